"""A fit on its way: the numbers found so far, where it begins, and where its points fall."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from speech2video.data.preprocessing.detector_offsets import Detector, detector_table
from speech2video.data.preprocessing.fit_jacobian import POSE_STARTS, global_rotations
from speech2video.data.preprocessing.fit_observations import Observations
from speech2video.data.preprocessing.fit_residuals import REST
from speech2video.util.body.body_model import SHAPES, Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import IBUG68, JOINTS, POINT_INDEX, indices
from speech2video.util.camera import FOCAL_RATIO, Camera
from speech2video.util.errors import DataError

EYE_DISTANCE = 0.09  # metres between the outer corners of the eyes
HEAD, EXPRESSION = JOINTS.index("head"), POSE_SLICES["expression"]
DEPTH_RANGE = (0.3, 8.0)  # metres from the camera at which a face is believed


@dataclass
class Fit:
    """A clip's fitted body.

    Attributes:
        pose: (T, 106), every joint inside its range.
        betas: (10,) shape.
        camera: the picture's camera.
        face_offset: (68, 3) metres, the person's landmarks less the body's, in the head's axes.
        detector: where its points lie beside the body's.
        pixels: (T, 144, 2) where the body's points fall, as the detector sees them.
    """

    pose: Tensor
    betas: Tensor
    camera: Camera
    face_offset: Tensor
    detector: Detector
    pixels: Tensor = field(default_factory=lambda: torch.empty(0))


def at_rest(seen: Observations, body: Body, source: str) -> Fit:
    """Return the body at rest, its nose where it was seen."""
    camera = _camera(seen)
    pose = torch.zeros(len(seen), POSE_SIZE)
    for joint, angles in REST.items():
        pose[:, POSE_STARTS[joint] : POSE_STARTS[joint] + 3] = torch.tensor(angles)
    nose = POINT_INDEX["face_30"]
    place = body.points(pose[:1])[0, nose]
    center = torch.tensor(camera.center)
    metres = (seen.pixels[:, nose] - center) * camera.translation[2] / camera.focal
    metres = _held(metres * metres.new_tensor([1.0, -1.0]), seen.weight[:, nose] > 0)
    pose[:, :2] = metres - place[:2]
    pose[:, 2] = -place[2]
    return Fit(pose, torch.zeros(SHAPES), camera, torch.zeros(68, 3), detector_table(source))


def _camera(seen: Observations) -> Camera:
    """Return a plain camera at the distance at which the face has its seen size."""
    focal = FOCAL_RATIO * max(seen.width, seen.height)
    corners = [IBUG68[36], IBUG68[45]]
    found = (seen.weight[:, corners] > 0).all(1)
    if not found.any():
        raise DataError(f"no face in any of {len(seen)} frames; the fit needs one")
    right, left = seen.pixels[found][:, corners].unbind(1)
    # A turned head looks narrow: the widest tenth are those that look into the camera.
    width = (left - right).norm(dim=1).quantile(0.9).item()
    distance = min(max(focal * EYE_DISTANCE / max(width, 1e-3), DEPTH_RANGE[0]), DEPTH_RANGE[1])
    return Camera(
        focal=focal,
        center=(seen.width / 2, seen.height / 2),
        width=seen.width,
        height=seen.height,
        translation=(0.0, 0.0, distance),
    )


def _held(values: Tensor, known: Tensor) -> Tensor:
    """Return values (T, D), unknown frames as the last known one before them, or the first."""
    index = torch.where(known, torch.arange(len(known)), -1).cummax(0).values
    first = int(known.nonzero()[0]) if known.any() else 0
    return values[torch.where(index >= 0, index, torch.tensor(first))]


def seen_points(
    pose: Tensor, fit: Fit, body: Body, plain: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return points (T, 144, 3), pixels (T, 144, 2) and depths (T, 144) as the detector sees them.

    `plain` are the body's own points, where they are at hand.
    """
    points = (body.points(pose, betas=fit.betas) if plain is None else plain).clone()
    turned = global_rotations(axis_angle_to_matrix(vector_to_smplx(pose, body.hands).rotations))
    off = fit.detector
    on_joints = (turned[:, off.joints_E] @ off.offsets_E3.unsqueeze(-1)).squeeze(-1)
    points.index_add_(1, off.points_E, on_joints)
    expression = torch.einsum("kce,te->tkc", seen_expressions(fit, body), pose[:, EXPRESSION])
    points += expression @ turned[:, HEAD].transpose(1, 2)
    face = list(IBUG68)
    points[:, face] += fit.face_offset @ head_axes(points)
    depth = fit.camera.to_camera(points)[..., 2].clamp(min=0.1)
    return points, torch.nan_to_num(fit.camera.project(points)), depth


def seen_expressions(fit: Fit, body: Body) -> Tensor:
    """Return what expressions add to where the points are seen (144, 3, 10), head's axes."""
    table = fit.detector.face_K3E
    return table if body.name == "open" else torch.zeros_like(table)


def head_axes(points: Tensor) -> Tensor:
    """Return the head's axes (T, 3, 3) as rows, from landmarks that no expression moves."""
    names = ("face_36", "face_45", "face_27", "face_33")
    right, left, bridge, base = points[:, indices(names)].unbind(1)
    x = torch.nn.functional.normalize(left - right, dim=-1)
    z = torch.nn.functional.normalize(torch.linalg.cross(x, bridge - base), dim=-1)
    return torch.stack((x, torch.linalg.cross(z, x), z), 1)
