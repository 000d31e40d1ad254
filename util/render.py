"""The shaded body: triangles to pictures, off-screen, by PyVista (the extra `render`)."""

import math
from types import TracebackType
from typing import Any

import numpy as np

from speech2video.util.camera import Camera
from speech2video.util.errors import UserError

BACKGROUND = (0.93, 0.94, 0.95)
SKIN = (0.83, 0.68, 0.60)


class MeshRenderer:
    """Draws a mesh of fixed triangles as a `Camera` sees it; use it in a `with` block.

    Raises:
        UserError: PyVista is not installed.
    """

    def __init__(self, faces_F3: np.ndarray, camera: Camera) -> None:
        pyvista = _pyvista()
        self._camera = camera
        self._plotter = pyvista.Plotter(off_screen=True, window_size=(camera.width, camera.height))
        self._plotter.set_background(BACKGROUND)
        self._plotter.enable_anti_aliasing("ssaa")
        faces = np.pad(faces_F3, ((0, 0), (1, 0)), constant_values=3)
        self._mesh = pyvista.PolyData(np.zeros((int(faces_F3.max()) + 1, 3)), faces)
        self._faces_F3 = faces_F3
        self._aimed = False

    def __enter__(self) -> "MeshRenderer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._plotter.close()

    def frame(self, vertices_V3: np.ndarray) -> np.ndarray:
        """Return the picture (3, H, W) uint8 RGB of vertices (V, 3) in world metres."""
        vertices_V3 = vertices_V3[: self._mesh.n_points]
        self._mesh.points = vertices_V3
        self._mesh.point_data["Normals"] = vertex_normals(vertices_V3, self._faces_F3)
        if not self._aimed:
            # PyVista's own smooth shading would keep a copy of the first frame's normals
            self._mesh.point_data.active_normals_name = "Normals"
            actor = self._plotter.add_mesh(self._mesh, color=SKIN, specular=0.15, specular_power=12)
            actor.prop.interpolation = "phong"
            self._aim()
        self._plotter.renderer.ResetCameraClippingRange()
        self._plotter.render()
        picture = self._plotter.screenshot(return_img=True)
        return np.ascontiguousarray(picture[..., :3].transpose(2, 0, 1))

    def _aim(self) -> None:
        """Give VTK's camera this one's place, direction, angle and principal point."""
        ours, theirs = self._camera, self._plotter.camera
        rotation = np.array(ours.rotation)
        position = -rotation.T @ np.array(ours.translation)
        theirs.position = position
        theirs.focal_point = position + rotation[2]
        theirs.up = -rotation[1]
        theirs.view_angle = math.degrees(2 * math.atan(ours.height / 2 / ours.focal))
        x, y = ours.center
        theirs.SetWindowCenter(1 - 2 * x / ours.width, 2 * y / ours.height - 1)
        self._aimed = True


def vertex_normals(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Return unit normals (V, 3), each the mean of its triangles' by area."""
    a, b, c = vertices_V3[faces_F3].transpose(1, 0, 2)
    face_normals = np.cross(b - a, c - a)
    normals = np.stack(
        [
            sum(np.bincount(faces_F3[:, k], face_normals[:, i], len(vertices_V3)) for k in range(3))
            for i in range(3)
        ],
        1,
    )
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / np.maximum(lengths, 1e-12)).astype(np.float32)


def _pyvista() -> Any:
    try:
        import pyvista
        from vtkmodules.vtkCommonCore import vtkLogger
    except ImportError:
        raise UserError(
            "rendering a mesh needs PyVista: pip install 'speech2video[render]'"
        ) from None
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)  # it warns that there is no display
    return pyvista
