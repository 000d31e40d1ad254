"""The shaded body: pose vectors to images, off-screen, by PyVista (the extra `render`)."""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import JOINTS, PARENTS
from speech2video.util.errors import UserError
from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.outfit import Outfit, Surface, build_outfit

BATCH = 16  # frames skinned at a time
MAX_GAZE = 0.35  # radians that eyes turn; people turn their heads for more
FINER = 2  # supersampling a side; cheaper here than multisampling, and as smooth


class MeshRenderer:
    """Draws a body as a `Camera` sees it; use it in a `with` block.

    The open body is drawn with skin, eyes, hair and clothes, any other one in one colour. A given
    `outfit` is drawn in their place; its points may follow other vertices than the body's.

    Raises:
        UserError: PyVista is not installed.
    """

    def __init__(
        self,
        body: Body,
        camera: Camera,
        *,
        appearance: Appearance | None = None,
        outfit: Outfit | None = None,
    ) -> None:
        self._pyvista = _pyvista()
        self._body, self._camera, self._appearance = body, camera, appearance or Appearance()
        self._outfit = outfit or build_outfit(body, self._appearance)
        faces = np.concatenate([surface.faces_F3 for surface in self._outfit.surfaces])
        self._normals = VertexNormals(faces, self._outfit.mix.shape[0])
        size = [FINER * camera.width, FINER * camera.height]
        self._plotter = self._pyvista.Plotter(off_screen=True, window_size=size, lighting="none")
        self._plotter.disable_anti_aliasing()
        self._plotter.render_window.SetMultiSamples(0)
        self._plotter.render_window.SetAlphaBitPlanes(1)
        self._plotter.set_background("black")  # and clear: `_background_HW3` is composed under it
        self._background_HW3 = studio_background(camera.width, camera.height, self._appearance)
        self._parts = [self._add(surface) for surface in self._outfit.surfaces]
        for light in self._appearance.lights:
            place = {"position": light.position, "focal_point": (0, 0, 0)}
            colour = {"color": light.colour, "intensity": light.intensity}
            lamp = self._pyvista.Light(**place, **colour, light_type="camera light")
            self._plotter.add_light(lamp)
        self._aim()

    def __enter__(self) -> "MeshRenderer":
        return self

    def __exit__(self, *error: object) -> None:
        self._plotter.close()

    def frames(
        self, pose_TP: Tensor, target: tuple[float, float, float] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the image (3, H, W) uint8 RGB of every pose vector (T, 106).

        Args:
            target: what the eyes are turned to, world metres; by default straight ahead.
        """
        for pose_BP in pose_TP.split(BATCH):
            with torch.inference_mode():
                eyes_B23 = None
                if target is not None:
                    eyes_B23 = gaze(pose_BP, self._body, torch.tensor(target))
                vertices_BV3 = self._body.vertices(pose_BP, eyes_B23).cpu().numpy()
            for vertices_V3 in vertices_BV3:
                yield self.frame(vertices_V3)

    def frame(self, vertices_V3: np.ndarray) -> np.ndarray:
        """Return the image (3, H, W) uint8 RGB of the body's vertices (V, 3), world metres."""
        points_N3 = self._outfit.mix @ vertices_V3[: self._outfit.mix.shape[1]]
        normals_N3 = self._normals(points_N3)
        points_N3 += self._outfit.swell_N1 * normals_N3
        for used, mesh in self._parts:
            mesh.points = points_N3[used]
            mesh.point_data["Normals"] = normals_N3[used]
        self._plotter.renderer.ResetCameraClippingRange()
        self._plotter.render_window.Render()
        return self._image()

    def _image(self) -> np.ndarray:
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        window = self._plotter.render_window
        width, height = window.GetSize()
        pixels = vtkUnsignedCharArray()
        window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels, 0)
        fine_HW4 = vtk_to_numpy(pixels).reshape(height, width, 4)
        size = (self._camera.width, self._camera.height)
        drawn_HW4 = cv2.resize(fine_HW4, size, interpolation=cv2.INTER_AREA)[::-1]
        clear_HW1 = 1 - drawn_HW4[..., 3:] * np.float32(1 / 255)
        image_HW3 = drawn_HW4[..., :3] + clear_HW1 * self._background_HW3
        image_HW3 = (image_HW3 + np.float32(0.5)).astype(np.uint8)
        return np.ascontiguousarray(image_HW3.transpose(2, 0, 1))

    def _add(self, surface: Surface) -> tuple[np.ndarray, Any]:
        """Add a surface to the scene; return its point numbers and its mesh, whose points move."""
        used, faces = np.unique(surface.faces_F3, return_inverse=True)
        faces_F4 = np.pad(faces.reshape(-1, 3), ((0, 0), (1, 0)), constant_values=3)
        mesh = self._pyvista.PolyData(np.zeros((len(used), 3), np.float32), faces_F4)
        mesh.point_data["Normals"] = np.zeros((len(used), 3), np.float32)
        # PyVista's own smooth shading would keep a copy of the first frame's normals
        mesh.point_data.active_normals_name = "Normals"
        material: dict[str, Any] = {"specular": surface.shine, "specular_power": surface.sharpness}
        if surface.texture_HW3 is not None and surface.uv_N2 is not None:
            mesh.active_texture_coordinates = surface.uv_N2[used].astype(np.float32)
            texture = self._pyvista.Texture(surface.texture_HW3)
            texture.mipmap = True
            material |= {"texture": texture, "color": "white"}
        elif surface.colours_N3 is not None:
            mesh.point_data["colour"] = surface.colours_N3[used]
            material |= {"scalars": "colour", "rgb": True}
        actor = self._plotter.add_mesh(mesh, ambient=0.12, **material)
        actor.prop.interpolation = "phong"
        actor.prop.SetBackfaceCulling(not surface.inside)
        actor.prop.SetFrontfaceCulling(surface.inside)
        return used, mesh

    def _aim(self) -> None:
        """Set VTK's camera to this camera's place, direction, angle and principal point."""
        ours, theirs = self._camera, self._plotter.camera
        rotation = np.array(ours.rotation)
        position = -rotation.T @ np.array(ours.translation)
        theirs.position = position
        theirs.focal_point = position + rotation[2]
        theirs.up = -rotation[1]
        theirs.view_angle = math.degrees(2 * math.atan(ours.height / 2 / ours.focal))
        x, y = ours.center
        theirs.SetWindowCenter(1 - 2 * x / ours.width, 2 * y / ours.height - 1)


def studio_background(width: int, height: int, appearance: Appearance) -> np.ndarray:
    """Return the background (H, W, 3) float32 in [0, 255]: light behind the head, dim corners.

    Less than one step of noise keeps the slow gradient from showing bands.
    """
    far, near = (255 * np.array(colour) for colour in appearance.background)
    x = (np.arange(width) + 0.5) / width - 0.5
    y = (np.arange(height)[:, None] + 0.5) / height - 0.38
    light_HW1 = np.exp(-((x / 0.62) ** 2) - (y / 0.75) ** 2)[..., None]
    noise_HW3 = np.random.default_rng(0).uniform(-0.5, 0.5, (height, width, 1))
    return (far + (near - far) * light_HW1 + noise_HW3).clip(0, 254.5).astype(np.float32)


def gaze(pose_TP: Tensor, body: Body, target_3: Tensor) -> Tensor:
    """Return the axis-angle (T, 2, 3) of the left and the right eye, turned to a far place.

    Both turn alike, by `MAX_GAZE` at most; beyond that they miss the place.
    """
    rotations = axis_angle_to_matrix(vector_to_smplx(pose_TP, body.hands).rotations)
    head_T33, joint = rotations[:, JOINTS.index("head")], PARENTS[JOINTS.index("head")]
    while joint >= 0:
        head_T33, joint = rotations[:, joint] @ head_T33, PARENTS[joint]
    eyes_T23 = body.joints(pose_TP)[:, [JOINTS.index("left_eye"), JOINTS.index("right_eye")]]
    ahead_T13 = (target_3 - eyes_T23.mean(1, keepdim=True)) @ head_T33  # in the head's axes
    axis_T13 = torch.linalg.cross(torch.tensor((0.0, 0.0, 1.0)).expand_as(ahead_T13), ahead_T13)
    angle_T1 = torch.atan2(axis_T13.norm(dim=-1), ahead_T13[..., 2]).clamp(max=MAX_GAZE)
    return (F.normalize(axis_T13, dim=-1) * angle_T1[..., None]).expand(-1, 2, -1)


class VertexNormals:
    """Unit normals of the points of fixed triangles, each the mean of its triangles' by area."""

    def __init__(self, faces_F3: np.ndarray, count: int) -> None:
        self._corners = np.ascontiguousarray(faces_F3.T)
        columns = np.repeat(np.arange(len(faces_F3)), 3)
        ones = np.ones(faces_F3.size, np.float32)
        self._sum = csr_matrix((ones, (faces_F3.ravel(), columns)), (count, len(faces_F3)))

    def __call__(self, points_N3: np.ndarray) -> np.ndarray:
        """Return the normals (N, 3) of points (N, 3); zero where there is no triangle."""
        a, b, c = (points_N3[corner] for corner in self._corners)
        u, v = b - a, c - a
        cross = u[:, (1, 2, 0)] * v[:, (2, 0, 1)] - u[:, (2, 0, 1)] * v[:, (1, 2, 0)]
        normals = self._sum @ cross
        lengths = np.sqrt(np.einsum("nc,nc->n", normals, normals))
        return normals / np.maximum(lengths, 1e-12)[:, None]


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
