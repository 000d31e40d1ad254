"""Systematic errors of a detector: mirrored, and recovered by calibration from points with them."""

import numpy as np
import pytest
import torch

from speech2video.data.keypoints import Keypoints
from speech2video.data.motion import motion_from_pose
from speech2video.data.preprocessing.fitting.calibration import (
    ARM_BONES,
    CalibrationClip,
    calibrate,
    load_detector_model,
    offset_joints,
)
from speech2video.data.preprocessing.fitting.jacobian import POSE_STARTS
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.skeleton import JOINTS, POINT_INDEX, POINTS, mirrored
from speech2video.util.rendering.camera import Camera

CAMERA = Camera(700.0, (256.0, 256.0), 512, 512, translation=(0.0, 0.1, 1.7))
SIDEWAYS = np.array((4.0, 0.0))  # pixels


@pytest.fixture(scope="module")
def clip(body: Body) -> CalibrationClip:
    """Keypoints with errors of some pixels at both shoulders, in opposite directions."""
    pose_TP = torch.zeros(80, POSE_SIZE)
    pose_TP[:, POSE_STARTS["head"] + 1] = 0.3 * torch.sin(torch.arange(80) / 5)
    points_TK3 = body.points(pose_TP)
    pixels_TK2 = CAMERA.project(points_TK3).numpy()
    pixels_TK2[:, POINT_INDEX["left_shoulder"]] += SIDEWAYS
    pixels_TK2[:, POINT_INDEX["right_shoulder"]] -= SIDEWAYS
    points = np.concatenate((pixels_TK2, np.ones((80, len(POINTS), 1))), 2).astype(np.float32)
    world = (points_TK3.numpy() * (1, -1, -1)).astype(np.float32)
    keypoints = Keypoints(points, world, 512, 512, 25.0, "exact")
    return CalibrationClip.of(keypoints, motion_from_pose(pose_TP, body, camera=CAMERA))


def test_mirroring_twice_gives_the_same_name() -> None:
    for name in POINTS:
        assert mirrored(mirrored(name)) == name


def test_the_table_is_symmetric() -> None:
    table = load_detector_model("mediapipe")
    found = {
        (POINTS[point], JOINTS[joint]): offset
        for point, joint, offset in zip(
            table.points_E.tolist(), table.joints_E.tolist(), table.offsets_E3, strict=True
        )
    }
    assert {"left_wrist", "face_62", "right_index_tip"} <= {point for point, _ in found}
    for (point, joint), offset in found.items():
        other = found[mirrored(point), mirrored(joint)]
        if point != mirrored(point):
            assert torch.equal(other * torch.tensor((-1, 1, 1)), offset)
    assert (table.sigma_K[table.points_E] > 0).all()
    assert set(table.bones) == set(ARM_BONES)


def test_an_unknown_detector_has_no_errors() -> None:
    table = load_detector_model("exact")
    assert not len(table.points_E) and table.sigma_K.isnan().all() and not table.bones


def test_calibration_recovers_known_errors(clip: CalibrationClip) -> None:
    table = calibrate([clip, clip])
    assert set(table["points"]) <= set(offset_joints())
    shoulder = table["points"]["left_shoulder"]
    metres = SIDEWAYS[0] * clip.points_TK3[:, POINT_INDEX["left_shoulder"], 2].mean() / 700
    sideways = sum(offset[0] for offset in shoulder["offset_mm"].values())
    assert sideways == pytest.approx(1000 * metres, rel=0.1)
    nose = table["points"]["face_30"]
    assert np.abs(nose["offset_mm"]["head"]).max() < 0.2 and nose["sigma_mm"] < 0.2


def test_calibration_leaves_true_directions_alone(clip: CalibrationClip) -> None:
    for start, end in ARM_BONES.values():
        world_TK3 = clip.keypoints.world_TK3
        bone = world_TK3[:, POINT_INDEX[end]] - world_TK3[:, POINT_INDEX[start]]
        unit = bone.mean(0) * (1, -1, -1) / np.linalg.norm(bone.mean(0))
        name = next(name for name, ends in ARM_BONES.items() if ends == (start, end))
        matrix_34 = np.array(calibrate([clip])["bones"][name])
        assert matrix_34 @ np.append(unit, 1) == pytest.approx(unit, abs=0.01)
