"""SMPL-X fitted to a whole clip at once: one shape, one camera, 106 numbers a frame.

The aims are SMPLify-X's (Pavlakos et al., CVPR 2019), for the keypoints of a video in place of a
picture; the way there is Gauss-Newton with Levenberg's damping, all frames side by side, since a
talking body is a small least-squares problem that repeats: twenty steps of a few milliseconds a
frame where gradient descent takes hundreds. Frames are joined by smoothness and by what they share:
the body's shape and the person's own face (a constant offset of the landmarks).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing.detection.calibration import DetectorModel, load_detector_model
from speech2video.data.preprocessing.fitting import residuals
from speech2video.data.preprocessing.fitting.jacobian import (
    COLUMNS,
    POSE_STARTS,
    UNKNOWNS,
    PointSkinning,
    apply_step,
    global_rotations,
    jacobian,
    turn_column,
)
from speech2video.data.preprocessing.fitting.residuals import REST_POSE, Observations, observe
from speech2video.util.body.body_model import NUM_BETAS, Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import IBUG68, JOINTS, POINT_INDEX, indices
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import FOCAL_RATIO, Camera

# A fit on its way: the numbers found so far, where it begins, and where its points fall.

EYE_DISTANCE = 0.09  # metres between the outer corners of the eyes
HEAD, EXPRESSION = JOINTS.index("head"), POSE_SLICES["expression"]
DEPTH_RANGE = (0.3, 8.0)  # metres from the camera at which a face is believed


@dataclass
class BodyFit:
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
    detector: DetectorModel
    pixels: Tensor = field(default_factory=lambda: torch.empty(0))


def initial_fit(seen: Observations, body: Body, source: str) -> BodyFit:
    """Return the body at rest, its nose where it was seen."""
    camera = _camera(seen)
    pose = torch.zeros(len(seen), POSE_SIZE)
    for joint, angles in REST_POSE.items():
        pose[:, POSE_STARTS[joint] : POSE_STARTS[joint] + 3] = torch.tensor(angles)
    nose = POINT_INDEX["face_30"]
    place = body.points(pose[:1])[0, nose]
    center = torch.tensor(camera.center)
    metres = (seen.pixels[:, nose] - center) * camera.translation[2] / camera.focal
    metres = _held(metres * metres.new_tensor([1.0, -1.0]), seen.weight[:, nose] > 0)
    pose[:, :2] = metres - place[:2]
    pose[:, 2] = -place[2]
    return BodyFit(
        pose, torch.zeros(NUM_BETAS), camera, torch.zeros(68, 3), load_detector_model(source)
    )


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
    pose: Tensor, fit: BodyFit, body: Body, plain: Tensor | None = None
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


def seen_expressions(fit: BodyFit, body: Body) -> Tensor:
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


CHUNK = 100  # frames solved side by side; bounds memory to some hundred MB
SHAPE_SIGMA = 0.5
SIZE_SIGMA = 0.1  # of the first coefficient: large and far looks like small and near
SHAPE_FRAMES = 60  # frames, spread over the clip, that the shape is read from
SHAPE_STEP = 0.05
FACE_OFFSET_SIGMA = 0.006  # metres
DAMPING = (1e-4, 1e4)
EXPRESSION_RANGE = (-0.2, 1.2)  # facial actions are 0 to 1
CLOSED_LIPS = ((61, 67), (62, 66), (63, 65))  # inner lips, upper and lower, iBUG's numbers
LONGEST_STEP = 0.4  # radians or metres; a linear guess holds no further


@dataclass(frozen=True)
class FitStage:
    """A part of the way.

    Attributes:
        steps: Gauss-Newton steps.
        scale: how much wider than the detector's the errors are taken to be.
        directions: strength of the detector's 3D guess of arms and trunk, 1 / standard deviation.
        smooth: how far a frame may lie off its neighbours' middle, radians.
        fingers: whether hands and face are free.
        shape, face: whether the shape, and the face's offset, are found, too.
    """

    steps: int
    scale: float
    directions: float
    smooth: float
    fingers: bool
    shape: bool
    face: bool


STAGES = (
    FitStage(5, scale=20.0, directions=6.0, smooth=0.3, fingers=False, shape=False, face=False),
    FitStage(6, scale=5.0, directions=6.0, smooth=0.1, fingers=True, shape=False, face=True),
    FitStage(4, scale=1.0, directions=4.0, smooth=0.08, fingers=True, shape=True, face=True),
    FitStage(5, scale=1.0, directions=4.0, smooth=0.08, fingers=True, shape=False, face=True),
)


def fit_body(keypoints: Keypoints, body: Body) -> Iterator[float | BodyFit]:
    """Fit a body to a clip's keypoints: yields the share done after each step, last the `BodyFit`.

    Raises:
        DataError: no face in any frame to measure the distance by.
    """
    seen = observe(keypoints)
    fit = initial_fit(seen, body, keypoints.source)
    hanging = PointSkinning.of(body)
    hanging = replace(hanging, directions=hanging.directions + seen_expressions(fit, body))
    done, total = 0, sum(stage.steps for stage in STAGES)
    for stage in STAGES:
        damping = torch.full((len(seen),), 1e-2)
        for _ in range(stage.steps):
            if stage.shape:
                _find_shape(fit, seen, body, hanging, stage)
            if stage.face:
                _find_face(fit, seen, body)
            _step(fit, damping, seen, body, hanging, stage)
            done += 1
            yield done / total
    _, fit.pixels, _ = seen_points(fit.pose, fit, body)
    yield fit


def _step(
    fit: BodyFit,
    damping: Tensor,
    seen: Observations,
    body: Body,
    hanging: PointSkinning,
    stage: FitStage,
) -> None:
    """Move every frame's numbers by one damped Gauss-Newton step, inside the joints' ranges.

    A frame whose errors grow stays where it was, with its `damping` (T,) raised (Levenberg 1944).
    """
    # Even frames first, then odd ones: were neighbours to move at once, each to where the other
    # was, they would swap places for ever.
    for parity in (0, 1):
        for start in range(parity, len(seen), 2 * CHUNK):
            frames = slice(start, start + 2 * CHUNK, 2)
            _step_frames(fit, frames, damping, seen, body, hanging, stage)


def _step_frames(
    fit: BodyFit,
    frames: slice,
    damping: Tensor,
    seen: Observations,
    body: Body,
    hanging: PointSkinning,
    stage: FitStage,
) -> None:
    free = _free(stage)
    smooth = residuals.smoothness(fit.pose, _reach(stage), frames)
    rows = [*_rows(fit, seen, body, hanging, stage, frames), smooth]
    normal = sum(row.change.transpose(1, 2) @ row.change for row in rows)[:, free][:, :, free]
    slope = sum(row.change.transpose(1, 2) @ row.errors.unsqueeze(-1) for row in rows)[:, free]
    ridge = normal.diagonal(dim1=1, dim2=2) * damping[frames, None] + 1e-3
    step = torch.zeros(len(normal), UNKNOWNS)
    step[:, free] = -torch.linalg.solve(normal + torch.diag_embed(ridge), slope).squeeze(-1)
    old = fit.pose[frames].clone()
    new = _legal(apply_step(old, step.clamp(-LONGEST_STEP, LONGEST_STEP)), body)
    fit.pose[frames] = new
    smooth = residuals.smoothness(fit.pose, _reach(stage), frames)
    tried = [*_rows(fit, seen, body, None, stage, frames), smooth]
    before, after = (sum(row.errors.square().sum(1) for row in r) for r in (rows, tried))
    better = after < before
    fit.pose[frames] = torch.where(better.unsqueeze(1), new, old)
    damping[frames] = (damping[frames] * torch.where(better, 0.3, 10.0)).clamp(*DAMPING)


def _legal(pose: Tensor, body: Body) -> Tensor:
    """Return poses (T, 106) inside the joints' ranges, facial actions not beyond their extent."""
    pose = clamp_pose(pose, body.hands)
    expression, jaw = POSE_SLICES["expression"], POSE_STARTS["jaw"]
    pose[:, expression] = pose[:, expression].clamp(*EXPRESSION_RANGE)
    pose[:, jaw] = pose[:, jaw].clamp(min=0)  # it does not close through the teeth
    return pose


def _rows(
    fit: BodyFit,
    seen: Observations,
    body: Body,
    hanging: PointSkinning | None,
    stage: FitStage,
    frames: slice,
) -> list[residuals.Residuals]:
    """Return all rows but smoothness of some frames; without `hanging` only their errors count."""
    pose, now = fit.pose[frames], seen.frames(frames)
    plain = body.points(pose, betas=fit.betas)
    points, pixels, depth = seen_points(pose, fit, body, plain)
    if hanging is None:
        change = points.new_zeros(*points.shape, 0)
    else:
        change = jacobian(pose, points, body, hanging, plain)
    rows = [
        residuals.reprojection(pixels, depth, change, now, fit.camera, stage.scale),
        residuals.directions(plain, change, now, stage.directions),
        residuals.priors(pose, now),
    ]
    if stage.fingers:
        rows.append(residuals.lip_gaps(pixels, depth, change, now, fit.camera))
    return rows


def _find_shape(
    fit: BodyFit, seen: Observations, body: Body, hanging: PointSkinning, stage: FitStage
) -> None:
    """Take a Gauss-Newton step of the shape, the poses following it (their Schur complement).

    The face has no say: its own offset explains it, and the two would chase each other.
    """
    stride = max(1, len(seen) // SHAPE_FRAMES)
    some = seen.frames(slice(None, None, stride)).with_face(0.0)
    part = replace(fit, pose=fit.pose[::stride])
    rows = _rows(part, some, body, hanging, stage, slice(None))
    errors = torch.cat([row.errors for row in rows], 1)
    change = torch.cat([row.change for row in rows], 1)[..., _free(stage)]
    by_shape = []
    for unit in torch.eye(NUM_BETAS) * SHAPE_STEP:
        part.betas = fit.betas + unit
        other = _rows(part, some, body, None, stage, slice(None))
        by_shape.append((torch.cat([row.errors for row in other], 1) - errors) / SHAPE_STEP)
    shape = torch.stack(by_shape, -1)  # (T, N, 10)
    normal = change.transpose(1, 2) @ change
    normal = normal + torch.diag_embed(1e-3 * normal.diagonal(dim1=1, dim2=2) + 1e-3)
    follow = torch.linalg.solve(normal, change.transpose(1, 2) @ shape)  # poses' answer to a shape
    left = shape - change @ follow
    own = torch.eye(NUM_BETAS) / SHAPE_SIGMA**2
    own[0, 0] = 1 / SIZE_SIGMA**2
    # Errors of neighbouring frames are alike: a clip tells as much as one frame in ten of it.
    share = 0.03
    system = (left.transpose(1, 2) @ left).sum(0) * share + own
    slope = (left.transpose(1, 2) @ errors.unsqueeze(-1)).sum(0).squeeze(
        -1
    ) * share + own @ fit.betas
    fit.betas = (fit.betas - torch.linalg.solve(system, slope).clamp(-0.5, 0.5)).clamp(-3, 3)


def _find_face(fit: BodyFit, seen: Observations, body: Body) -> None:
    """Set the face's offset to what best explains where the landmarks are off, over all frames.

    A picture shows two of an offset's three numbers; frames in which the head is turned show
    others. What none shows stays zero.
    """
    face = list(IBUG68)
    points, pixels, depth = seen_points(fit.pose, fit, body)
    axes = head_axes(points)
    metres = (seen.pixels - pixels)[:, face] * (depth[:, face] / fit.camera.focal).unsqueeze(-1)
    across = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]) @ axes.transpose(1, 2)  # (T, 2, 3)
    target = metres + torch.einsum("tij,kj->tki", across, fit.face_offset)
    # Errors of neighbouring frames are alike: a clip tells as much as one frame in ten of it.
    weight = seen.weight[:, face].square() / 10
    normal = torch.einsum("tk,tij,til->kjl", weight, across, across)
    normal = normal + torch.eye(3) / FACE_OFFSET_SIGMA**2
    slope = torch.einsum("tk,tij,tki->kj", weight, across, target)
    fit.face_offset = _without_motion(torch.linalg.solve(normal, slope), _resting_face(body, fit))


def _resting_face(body: Body, fit: BodyFit) -> Tensor:
    """Return the body's landmarks (68, 3) at rest, metres, in its head's axes."""
    points = body.points(torch.zeros(1, POSE_SIZE), betas=fit.betas)
    return (points[:, list(IBUG68)] @ head_axes(points).transpose(1, 2))[0]


def _without_motion(offset: Tensor, face: Tensor) -> Tensor:
    """Return an offset (68, 3) less the shift, the small turn and the growth that it holds.

    Those are the head's and the shape's to make: a person's face differs by its form alone, or
    else it could be near and small or far and large. Jaw and lips move, so that the parts above
    them say what is shift, turn and growth. A closed mouth is closed in every face.
    """
    steady = slice(17, 48)
    centred = face - face[steady].mean(0)
    motions = [torch.linalg.cross(axis.expand(68, 3), centred) for axis in torch.eye(3)]
    motions += [centred, *(axis.expand(68, 3) for axis in torch.eye(3))]
    basis = torch.stack([motion.flatten() for motion in motions], 1)  # (204, 7)
    rows = basis.view(68, 3, 7)[steady].flatten(0, 1)
    amount = torch.linalg.lstsq(rows, offset[steady].reshape(-1, 1)).solution
    form = offset - (basis @ amount).view(68, 3)
    upper, lower = (list(side) for side in zip(*CLOSED_LIPS, strict=True))
    form[upper] = form[lower] = (form[upper] + form[lower]) / 2
    return form


def _free(stage: FitStage) -> Tensor:
    """Return the columns of the unknowns that a stage moves."""
    free = torch.zeros(UNKNOWNS, dtype=torch.bool)
    free[COLUMNS["translation"]] = free[COLUMNS["turns"]] = True
    if stage.fingers:
        free[:] = True
    else:
        free[turn_column("jaw")] = False
    return free.nonzero().squeeze(1)


def _reach(stage: FitStage) -> Tensor:
    """Return how far each unknown (82,) may lie off its neighbours' middle."""
    reach = torch.full((UNKNOWNS,), stage.smooth)
    reach[COLUMNS["translation"]] = stage.smooth / 3  # metres
    reach[COLUMNS["expression"]] = 0.3  # lips are fast, and well seen
    reach[turn_column("jaw")] = 0.1
    for name in ("left_hand", "right_hand"):
        reach[COLUMNS[name]] = 3 * stage.smooth
    return reach
