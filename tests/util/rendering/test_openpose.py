"""OpenPose frames: their shapes, and those of a body's own points."""

import numpy as np
import pytest

from speech2video.util.body.skeleton import POINT_INDEX, POINTS
from speech2video.util.errors import DataError
from speech2video.util.rendering.openpose import (
    BODY_25,
    OpenPoseFrame,
    points_to_openpose,
)


def test_a_frame_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(DataError, match="face_703"):
        OpenPoseFrame(
            body_253=np.zeros((25, 3)),
            face_703=np.zeros((68, 3)),
            left_hand_213=np.zeros((21, 3)),
            right_hand_213=np.zeros((21, 3)),
        )


def test_body_points_become_openpose_and_missing_ones_zeros() -> None:
    points_K2 = np.arange(2.0 * len(POINTS)).reshape(-1, 2) + 1
    points_K2[POINT_INDEX["left_wrist"]] = np.nan
    points_K2[POINT_INDEX["face_30"]] = 1e9
    frame = points_to_openpose(points_K2)
    assert frame.body_253[BODY_25.index("LElbow"), :2] == pytest.approx(
        points_K2[POINT_INDEX["left_elbow"]]
    )
    assert not frame.body_253[BODY_25.index("LWrist")].any()
    assert not frame.face_703[30].any() and frame.face_703[8, 2] == 1
    assert frame.right_hand_213[8, :2] == pytest.approx(points_K2[POINT_INDEX["right_index_tip"]])
