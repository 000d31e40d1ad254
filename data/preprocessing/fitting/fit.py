"""Fit SMPL-X to a whole clip at once: one shape, one camera, 106 pose numbers a frame.

The objective is SMPLify-X's (Pavlakos et al., CVPR 2019), for the keypoints of a video. It is
minimised by Gauss-Newton with Levenberg's damping, batched over frames: twenty steps of a few
milliseconds a frame, where gradient descent takes hundreds. Frames are coupled by smoothness, by
the body's shape and by the person's own face, a constant offset of the landmarks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce

import torch
from torch import Tensor

from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing.fitting import jacobian, residuals
from speech2video.data.preprocessing.fitting.calibration import DetectorModel, load_detector_model
from speech2video.data.preprocessing.fitting.jacobian import COLUMNS, POSE_STARTS, UNKNOWNS
from speech2video.data.preprocessing.fitting.residuals import Observations, Residuals
from speech2video.util.body.body_model import NUM_BETAS, Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import IBUG68, JOINTS, POINT_INDEX, indices
from speech2video.util.errors import DataError
from speech2video.util.process_pool import Progress
from speech2video.util.rendering.camera import FOCAL_RATIO, Camera

EYE_DISTANCE = 0.09  # metres between the outer corners of the eyes
DEPTH_RANGE = (0.3, 8.0)  # metres of the face from the camera
CHUNK = 100  # frames solved in one batch; bounds memory to some hundred MB
SHAPE_SIGMA = 0.5
SIZE_SIGMA = 0.1  # of the first coefficient: large and far is hardly distinct from small and near
SHAPE_FRAMES = 60  # frames, spread over the clip, that the shape is estimated from
SHAPE_STEP = 0.05
INDEPENDENT_FRAMES = 0.03  # share of frames with independent errors, for the shape
FACE_OFFSET_SIGMA = 0.006  # metres
DAMPING_RANGE = (1e-4, 1e4)
MAX_STEP = 0.4  # radians or metres, within which linearisation holds
EXPRESSION_RANGE = (-0.2, 1.2)  # facial actions are 0 to 1
CLOSED_LIPS = ((61, 67), (62, 66), (63, 65))  # inner lips, upper and lower, iBUG's numbers
FACE = list(IBUG68)
HEAD, EXPRESSION = JOINTS.index("head"), POSE_SLICES["expression"]


@dataclass
class BodyFit:
    """A body fitted to a clip.

    Attributes:
        pose: (T, 106), every joint inside its range.
        betas: (10,) shape.
        camera: of the clip.
        detector: offsets of the detector's points from the body's.
        face_offset: (68, 3) metres, the person's landmarks minus the body's, in the head's axes.
        pixels: (T, 144, 2) the body's projected points, as the detector should see them.
    """

    pose: Tensor
    betas: Tensor
    camera: Camera
    detector: DetectorModel
    face_offset: Tensor = field(default_factory=lambda: torch.zeros(68, 3))
    pixels: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True)
class FitStage:
    """One stage of the optimisation.

    Attributes:
        steps: number of Gauss-Newton steps.
        scale: factor on the detector's error.
        directions: weight of the detector's 3D guess of arms and trunk, 1 / standard deviation.
        smooth: standard deviation from the mean of the neighbouring frames, radians.
        fingers: whether hands and face are optimised.
        shape, face: whether the shape, and the face's offset, are optimised.
    """

    steps: int
    scale: float
    directions: float
    smooth: float
    fingers: bool
    shape: bool
    face: bool

    def free_columns(self) -> Tensor:
        """Return the indices of the unknowns that the stage optimises."""
        if self.fingers:
            return torch.arange(UNKNOWNS)
        free = torch.zeros(UNKNOWNS, dtype=torch.bool)
        free[COLUMNS["translation"]] = free[COLUMNS["turns"]] = True
        free[jacobian.turn_column("jaw")] = False
        return free.nonzero().squeeze(1)

    def smoothness_sigma(self) -> Tensor:
        """Return the standard deviation (82,) of each unknown from its neighbours' mean."""
        sigma = torch.full((UNKNOWNS,), self.smooth)
        sigma[COLUMNS["translation"]] = self.smooth / 3  # metres
        sigma[COLUMNS["expression"]] = 0.3  # lips are fast, and well visible
        sigma[jacobian.turn_column("jaw")] = 0.1
        for name in ("left_hand", "right_hand"):
            sigma[COLUMNS[name]] = 3 * self.smooth
        return sigma


STAGES = (
    FitStage(5, scale=20.0, directions=6.0, smooth=0.3, fingers=False, shape=False, face=False),
    FitStage(6, scale=5.0, directions=6.0, smooth=0.1, fingers=True, shape=False, face=True),
    FitStage(4, scale=1.0, directions=4.0, smooth=0.08, fingers=True, shape=True, face=True),
    FitStage(5, scale=1.0, directions=4.0, smooth=0.08, fingers=True, shape=False, face=True),
)


def fit_body(keypoints: Keypoints, body: Body, progress: Progress = lambda _: None) -> BodyFit:
    """Fit a body to a clip's keypoints. Progress goes from 0 to 1.

    Raises:
        DataError: no face in any frame, which the distance is estimated from.
    """
    solver = _Solver(keypoints, body)
    done, total = 0, sum(stage.steps for stage in STAGES)
    for stage in STAGES:
        damping = torch.full((len(keypoints),), 1e-2)
        for _ in range(stage.steps):
            if stage.shape:
                solver.update_shape(stage)
            if stage.face:
                solver.update_face_offset()
            solver.update_pose(stage, damping)
            done += 1
            progress(done / total)
    fit = solver.fit
    _, fit.pixels, _ = solver.detected_points(fit.pose, solver.body_points(fit.pose))
    return fit


class _Solver:
    """Gauss-Newton steps of one clip's pose, shape and face offset, which are in `fit`."""

    def __init__(self, keypoints: Keypoints, body: Body) -> None:
        self.seen, self.body = residuals.observe(keypoints), body
        self.fit = _initial_fit(self.seen, body, keypoints.source)
        table = self.fit.detector.face_K3E
        self.detected_expressions = table if body.name == "open" else torch.zeros_like(table)
        skinning = jacobian.PointSkinning.of(body)
        directions = skinning.directions + self.detected_expressions
        self.skinning = replace(skinning, directions=directions)

    def body_points(self, pose: Tensor) -> Tensor:
        """Return the points (T, 144, 3) of the body with the shape of the fit."""
        return self.body.points(pose, betas=self.fit.betas)

    def detected_points(self, pose: Tensor, body_points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return points (T, 144, 3), pixels (T, 144, 2) and depths (T, 144) as the detector's."""
        fit, off, points = self.fit, self.fit.detector, body_points.clone()
        angles = vector_to_smplx(pose, self.body.hands).rotations
        rotations = jacobian.global_rotations(axis_angle_to_matrix(angles))
        on_joints = (rotations[:, off.joints_E] @ off.offsets_E3.unsqueeze(-1)).squeeze(-1)
        points.index_add_(1, off.points_E, on_joints)
        expression = torch.einsum("kce,te->tkc", self.detected_expressions, pose[:, EXPRESSION])
        points += expression @ rotations[:, HEAD].transpose(1, 2)
        points[:, FACE] += fit.face_offset @ _head_axes(points)
        depth = fit.camera.to_camera(points)[..., 2].clamp(min=0.1)
        return points, torch.nan_to_num(fit.camera.project(points)), depth

    def update_pose(self, stage: FitStage, damping: Tensor) -> None:
        """Take one damped Gauss-Newton step of every frame, within the joints' ranges.

        A frame whose errors grow is reset, and its `damping` (T,) raised (Levenberg 1944).
        """
        # Even frames before odd ones: neighbours that move at once would swap places for ever.
        for parity in (0, 1):
            for start in range(parity, len(self.seen), 2 * CHUNK):
                self._step_frames(slice(start, start + 2 * CHUNK, 2), stage, damping)

    def _step_frames(self, frames: slice, stage: FitStage, damping: Tensor) -> None:
        pose, seen, free = self.fit.pose, self.seen.frames(frames), stage.free_columns()

        def rows(with_change: bool) -> list[Residuals]:
            smooth = residuals.smoothness(pose, stage.smoothness_sigma(), frames)
            return [*self._rows(pose[frames], seen, stage, with_change=with_change), smooth]

        before = rows(with_change=True)
        normal = _sum(row.change.transpose(1, 2) @ row.change for row in before)
        slope = _sum(row.change.transpose(1, 2) @ row.errors.unsqueeze(-1) for row in before)
        normal, slope = normal[:, free][:, :, free], slope[:, free]
        ridge = normal.diagonal(dim1=1, dim2=2) * damping[frames, None] + 1e-3
        step = torch.zeros(len(normal), UNKNOWNS)
        step[:, free] = -torch.linalg.solve(normal + torch.diag_embed(ridge), slope).squeeze(-1)
        old = pose[frames].clone()
        new = jacobian.apply_step(old, step.clamp(-MAX_STEP, MAX_STEP))
        new = clamp_pose(new, self.body.hands)
        new[:, EXPRESSION].clamp_(*EXPRESSION_RANGE)
        new[:, POSE_STARTS["jaw"]].clamp_(min=0)  # it does not close through the teeth
        pose[frames] = new
        after = rows(with_change=False)
        costs = [_sum(row.errors.square().sum(1) for row in block) for block in (before, after)]
        better = costs[1] < costs[0]
        pose[frames] = torch.where(better.unsqueeze(1), new, old)
        damping[frames] = (damping[frames] * torch.where(better, 0.3, 10.0)).clamp(*DAMPING_RANGE)

    def _rows(
        self, pose: Tensor, seen: Observations, stage: FitStage, *, with_change: bool
    ) -> list[Residuals]:
        """Return all rows but smoothness for some frames, with or without derivatives."""
        body_points = self.body_points(pose)
        points, pixels, depth = self.detected_points(pose, body_points)
        if with_change:
            change = jacobian.jacobian(pose, points, self.body, self.skinning, body_points)
        else:
            change = points.new_zeros(*points.shape, 0)
        camera = self.fit.camera
        rows = [
            residuals.reprojection(pixels, depth, change, seen, camera, stage.scale),
            residuals.bone_directions(body_points, change, seen, stage.directions),
            residuals.pose_prior(pose, seen),
        ]
        if stage.fingers:
            rows.append(residuals.lip_gaps(pixels, depth, change, seen, camera))
        return rows

    def update_shape(self, stage: FitStage) -> None:
        """Take a Gauss-Newton step of the shape, with the poses eliminated (Schur complement).

        The face is left out: its own offset explains it, and the two would compete.
        """
        stride = max(1, len(self.seen) // SHAPE_FRAMES)
        seen = self.seen.frames(slice(None, None, stride)).without_face()
        fit, pose = self.fit, self.fit.pose[::stride]
        rows = self._rows(pose, seen, stage, with_change=True)
        errors = torch.cat([row.errors for row in rows], 1)
        change = torch.cat([row.change for row in rows], 1)[..., stage.free_columns()]
        by_shape, betas = [], fit.betas
        for unit in torch.eye(NUM_BETAS) * SHAPE_STEP:
            fit.betas = betas + unit
            other = self._rows(pose, seen, stage, with_change=False)
            by_shape.append((torch.cat([row.errors for row in other], 1) - errors) / SHAPE_STEP)
        shape = torch.stack(by_shape, -1)  # (T, N, 10)
        normal = change.transpose(1, 2) @ change
        normal = normal + torch.diag_embed(1e-3 * normal.diagonal(dim1=1, dim2=2) + 1e-3)
        poses_by_shape = torch.linalg.solve(normal, change.transpose(1, 2) @ shape)
        left = shape - change @ poses_by_shape
        prior = torch.eye(NUM_BETAS) / SHAPE_SIGMA**2
        prior[0, 0] = 1 / SIZE_SIGMA**2
        system = (left.transpose(1, 2) @ left).sum(0) * INDEPENDENT_FRAMES + prior
        slope = (left.transpose(1, 2) @ errors.unsqueeze(-1)).sum(0).squeeze(-1)
        slope = slope * INDEPENDENT_FRAMES + prior @ betas
        fit.betas = (betas - torch.linalg.solve(system, slope).clamp(-0.5, 0.5)).clamp(-3, 3)

    def update_face_offset(self) -> None:
        """Set the face's offset to the least-squares explanation of the landmarks' errors.

        One frame determines two of an offset's three numbers; frames with another head pose
        determine the third. Undetermined numbers stay zero.
        """
        fit = self.fit
        points, pixels, depth = self.detected_points(fit.pose, self.body_points(fit.pose))
        axes = _head_axes(points)
        scale = (depth[:, FACE] / fit.camera.focal).unsqueeze(-1)
        metres = (self.seen.pixels - pixels)[:, FACE] * scale
        to_image = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
        across = to_image @ axes.transpose(1, 2)  # (T, 2, 3)
        target = metres + torch.einsum("tij,kj->tki", across, fit.face_offset)
        # Errors of neighbouring frames correlate: ten frames count as one.
        weight = self.seen.weight[:, FACE].square() / 10
        normal = torch.einsum("tk,tij,til->kjl", weight, across, across)
        normal = normal + torch.eye(3) / FACE_OFFSET_SIGMA**2
        slope = torch.einsum("tk,tij,tki->kj", weight, across, target)
        rest = self.body.points(torch.zeros(1, POSE_SIZE), betas=fit.betas)
        face = (rest[:, FACE] @ _head_axes(rest).transpose(1, 2))[0]
        fit.face_offset = _remove_motion(torch.linalg.solve(normal, slope), face)


def _initial_fit(seen: Observations, body: Body, source: str) -> BodyFit:
    """Return the body in its rest pose, with the nose where it was detected."""
    camera = _initial_camera(seen)
    pose = torch.zeros(len(seen), POSE_SIZE)
    for joint, angles in residuals.REST_POSE.items():
        pose[:, POSE_STARTS[joint] : POSE_STARTS[joint] + 3] = torch.tensor(angles)
    nose = POINT_INDEX["face_30"]
    place = body.points(pose[:1])[0, nose]
    metres = seen.pixels[:, nose] - torch.tensor(camera.center)
    metres = metres * camera.translation[2] / camera.focal
    metres = _hold(metres * metres.new_tensor([1.0, -1.0]), seen.weight[:, nose] > 0)
    pose[:, :2] = metres - place[:2]
    pose[:, 2] = -place[2]
    return BodyFit(pose, torch.zeros(NUM_BETAS), camera, load_detector_model(source))


def _initial_camera(seen: Observations) -> Camera:
    """Return a frontal camera at the distance that gives the face its detected size."""
    focal = FOCAL_RATIO * max(seen.width, seen.height)
    corners = [IBUG68[36], IBUG68[45]]
    found = (seen.weight[:, corners] > 0).all(1)
    if not found.any():
        raise DataError(f"no face in any of {len(seen)} frames; the fit needs one")
    right, left = seen.pixels[found][:, corners].unbind(1)
    # A turned head is narrow: the widest tenth are faces turned to the camera.
    width = (left - right).norm(dim=1).quantile(0.9).item()
    distance = min(max(focal * EYE_DISTANCE / max(width, 1e-3), DEPTH_RANGE[0]), DEPTH_RANGE[1])
    size, center = (seen.width, seen.height), (seen.width / 2, seen.height / 2)
    return Camera(focal, center, *size, translation=(0.0, 0.0, distance))


def _hold(values: Tensor, known: Tensor) -> Tensor:
    """Return values (T, D) with unknown frames set to the last known one, or else the first."""
    index = torch.where(known, torch.arange(len(known)), -1).cummax(0).values
    first = int(known.nonzero()[0]) if known.any() else 0
    return values[torch.where(index >= 0, index, torch.tensor(first))]


def _head_axes(points: Tensor) -> Tensor:
    """Return the head's axes (T, 3, 3) as rows, from landmarks that no expression moves."""
    names = ("face_36", "face_45", "face_27", "face_33")
    right, left, bridge, base = points[:, indices(names)].unbind(1)
    x = torch.nn.functional.normalize(left - right, dim=-1)
    z = torch.nn.functional.normalize(torch.linalg.cross(x, bridge - base), dim=-1)
    return torch.stack((x, torch.linalg.cross(z, x), z), 1)


def _remove_motion(offset: Tensor, face: Tensor) -> Tensor:
    """Return an offset (68, 3) without the translation, small rotation and scaling it contains.

    Those belong to the head's pose and the body's shape, since a near, small face equals a far,
    large one. They are estimated above jaw and lips, which move. A closed mouth is closed in every
    face.
    """
    steady = slice(17, 48)
    centred = face - face[steady].mean(0)
    axes = torch.eye(3).unsqueeze(1).expand(3, 68, 3)
    turns = torch.linalg.cross(axes, centred.expand(3, 68, 3))
    basis = torch.cat((turns, centred[None], axes)).flatten(1).T.contiguous()  # (204, 7)
    rows = basis.view(68, 3, 7)[steady].flatten(0, 1)
    amount = torch.linalg.lstsq(rows, offset[steady].reshape(-1, 1)).solution
    form = offset - (basis @ amount).view(68, 3)
    upper, lower = (list(side) for side in zip(*CLOSED_LIPS, strict=True))
    form[upper] = form[lower] = (form[upper] + form[lower]) / 2
    return form


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, terms)
