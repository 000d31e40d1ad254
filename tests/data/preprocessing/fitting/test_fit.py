"""The fit on exact points of known bodies, without a detector."""

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing.fitting.fit import BodyFit, fit_body
from speech2video.data.preprocessing.fitting.jacobian import (
    COLUMNS,
    POSE_STARTS,
    TURNED,
    UNKNOWNS,
    PointSkinning,
    apply_step,
    jacobian,
)
from speech2video.data.preprocessing.fitting.residuals import REST_POSE
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import TOLERANCE, limit_excess
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.skeleton import IBUG68, JOINTS, POINT_INDEX, POINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera

FRAMES = 30
CAMERA = Camera(700.0, (256.0, 256.0), 512, 512, translation=(0.0, 0.1, 1.7))


def talking(frames: int = FRAMES) -> Tensor:
    """Return poses (T, 106) of a person who moves arms, fingers, head and mouth smoothly."""
    time = torch.arange(frames) / 25
    pose = torch.zeros(frames, POSE_SIZE)
    for joint, angles in REST_POSE.items():
        pose[:, POSE_STARTS[joint] : POSE_STARTS[joint] + 3] = torch.tensor(angles)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        shoulder, elbow = POSE_STARTS[f"{side}_shoulder"], POSE_STARTS[f"{side}_elbow"]
        pose[:, shoulder + 1] += sign * (0.3 + 0.2 * torch.sin(3 * time))
        pose[:, elbow + 1] += sign * (0.9 + 0.3 * torch.sin(4 * time + sign))
    pose[:, POSE_STARTS["head"] + 1] = 0.2 * torch.sin(2 * time)
    pose[:, POSE_STARTS["jaw"]] = 0.15 + 0.15 * torch.sin(12 * time)
    pose[:, POSE_SLICES["left_hand"].start] = 0.4 * torch.sin(5 * time)
    return pose


def detect(points_TK3: Tensor, *, noise: float, missing: list[int] | None = None) -> Keypoints:
    """Return keypoints of points in space, with Gaussian noise (pixels)."""
    random = np.random.default_rng(0)
    pixels = CAMERA.project(points_TK3).numpy()
    pixels = pixels + random.normal(0, noise, pixels.shape)
    points = np.concatenate((pixels, np.ones((*pixels.shape[:2], 1))), 2).astype(np.float32)
    world = (points_TK3.numpy() * (1, -1, -1)).astype(np.float32)
    lost = missing or []
    points[:, lost], world[:, lost] = (np.nan, np.nan, 0), np.nan
    return Keypoints(points, world, 512, 512, 25.0, "exact")


def fitted(keypoints: Keypoints, body: Body) -> BodyFit:
    shares: list[float] = []
    fit = fit_body(keypoints, body, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    return fit


@pytest.fixture(scope="module")
def ground_truth(body: Body) -> tuple[Tensor, Tensor]:
    pose = talking()
    return pose, body.points(pose)


@pytest.fixture(scope="module")
def fit(ground_truth: tuple[Tensor, Tensor], body: Body) -> BodyFit:
    return fitted(detect(ground_truth[1], noise=0.5), body)


def test_the_jacobian_is_how_points_move(body: Body) -> None:
    torch.manual_seed(0)
    pose = talking(3) + 0.1 * torch.randn(3, POSE_SIZE)
    points = body.points(pose)
    predicted = jacobian(pose, points, body, PointSkinning.of(body), points)
    joints = slice(0, len(JOINTS))
    for unknown in range(0, COLUMNS["expression"].start):
        step = torch.zeros(3, UNKNOWNS)
        step[:, unknown] = 1e-2
        ahead, behind = body.points(apply_step(pose, step)), body.points(apply_step(pose, -step))
        measured = (ahead - behind)[:, joints] / 2e-2
        error = (measured - predicted[:, joints, :, unknown]).abs().max()
        assert error < 0.02 * measured.abs().max().clamp(min=0.05), unknown


def test_points_project_to_their_detections(
    fit: BodyFit, ground_truth: tuple[Tensor, Tensor]
) -> None:
    error = (fit.pixels - CAMERA.project(ground_truth[1])).norm(dim=-1)
    arms = indices(tuple(f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow")))
    assert error[:, list(IBUG68)].median() < 0.5
    assert error[:, arms].median() < 3
    assert error[:, indices(("left_index_tip", "right_thumb_tip"))].median() < 3


def test_wrists_are_right_in_space(
    fit: BodyFit, ground_truth: tuple[Tensor, Tensor], body: Body
) -> None:
    ours = body.points(fit.pose, betas=fit.betas)
    for side in ("left", "right"):
        wrist, neck = POINT_INDEX[f"{side}_wrist"], POINT_INDEX["neck"]
        place = [points[:, wrist] - points[:, neck] for points in (ours, ground_truth[1])]
        assert (place[0] - place[1]).norm(dim=1).median() < 0.06, "metres"


def test_the_mouth_opens_as_detected(fit: BodyFit, ground_truth: tuple[Tensor, Tensor]) -> None:
    upper, lower = POINT_INDEX["face_62"], POINT_INDEX["face_66"]
    pixels = fit.pixels, CAMERA.project(ground_truth[1])
    gaps = [(points[:, upper] - points[:, lower]).norm(dim=1) for points in pixels]
    assert torch.corrcoef(torch.stack(gaps))[0, 1] > 0.98


def test_another_build_is_the_shape_and_not_the_size(body: Body) -> None:
    build = torch.tensor([0.0, 1.5, -0.7, *[0.0] * 7])
    points = body.points(talking(), betas=build)
    keypoints, shoulders = detect(points, noise=0.5), indices(("left_shoulder", "right_shoulder"))
    fit = fitted(keypoints, body)
    error = (fit.pixels - CAMERA.project(points))[:, shoulders].norm(dim=-1)
    assert error.median() < 3, "pixels"
    assert fit.betas[1] > 0.4 and fit.betas[0].abs() < 0.3


def test_no_joint_is_outside_its_range(fit: BodyFit, body: Body) -> None:
    assert limit_excess(vector_to_smplx(fit.pose, body.hands).rotations).max() <= TOLERANCE


def test_a_hidden_arm_rests(ground_truth: tuple[Tensor, Tensor], body: Body) -> None:
    arm = [i for i, name in enumerate(POINTS) if name.startswith("left_") and i in _arm_and_hand()]
    fit = fitted(detect(ground_truth[1], noise=0.5, missing=arm), body)
    start = POSE_STARTS["left_shoulder"]
    off = (fit.pose[:, start : start + 3] - torch.tensor(REST_POSE["left_shoulder"])).abs()
    assert off.max() < 0.3, "radians"


def test_legs_are_left_alone(fit: BodyFit) -> None:
    legs = [j for j in ("left_hip", "right_knee", "left_ankle") if j not in TURNED]
    for joint in legs:
        start = POSE_SLICES["body"].start + 3 * (JOINTS.index(joint) - 1)
        assert not fit.pose[:, start : start + 3].any()


def test_a_missing_face_is_an_error(ground_truth: tuple[Tensor, Tensor], body: Body) -> None:
    with pytest.raises(DataError, match="no face"):
        fit_body(detect(ground_truth[1], noise=0.5, missing=list(IBUG68)), body)


def _arm_and_hand() -> list[int]:
    names = [
        name
        for name in POINTS
        if any(
            part in name for part in ("elbow", "wrist", "index", "middle", "ring", "pinky", "thumb")
        )
    ]
    return indices(tuple(names))
