"""What pose to video must beat: the training frame of the nearest pose, and their mean."""

from collections.abc import Sequence

import numpy as np

from speech2video.data.frame_store import FrameStore
from speech2video.data.pose_video import PoseVideo
from speech2video.util.body.skeleton import (
    IBUG68,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)

MOST_AVERAGED = 2000  # frames, spread evenly over all
COMPARED = 256  # poses compared with all training poses at once
PARTS = {  # points, and what their mean squared distance counts
    "body": (
        [i for side in ("left", "right") for i in indices((f"{side}_shoulder", f"{side}_elbow"))],
        1.0,
    ),
    "face": (list(IBUG68), 4.0),  # most of what is sharp in a picture of a speaker
    "left_hand": (indices(("left_wrist", *LEFT_HAND_JOINTS, *LEFT_TIPS)), 0.2),
    "right_hand": (indices(("right_wrist", *RIGHT_HAND_JOINTS, *RIGHT_TIPS)), 0.2),
}
SHOULDERS = indices(("left_shoulder", "right_shoulder"))


class Baselines:
    """Frames of the training videos in the place of painted ones.

    Args:
        train: the training videos.
        store: of their frames.
    """

    def __init__(self, train: Sequence[PoseVideo], store: FrameStore) -> None:
        self._train, self._store = train, store
        self._places = [(i, t) for i, video in enumerate(train) for t in range(len(video))]
        width = [
            np.linalg.norm(np.diff(video.points_TK2[:, SHOULDERS], axis=1), axis=2).ravel()
            for video in train
        ]
        self._shoulder_width = float(np.nanmedian(np.concatenate(width)))
        self._poses_ND = np.concatenate([self._posture(video) for video in train])

    def mean_frame(self) -> np.ndarray:
        """Return the mean (3, H, W) uint8 of the training frames, of `MOST_AVERAGED` at most."""
        step = -(-len(self._places) // MOST_AVERAGED)
        chosen = self._places[::step]
        total_HW3 = sum(self._frame(place).astype(np.int64) for place in chosen)
        return np.round(total_HW3 / len(chosen)).astype(np.uint8).transpose(2, 0, 1)

    def nearest(self, video: PoseVideo) -> np.ndarray:
        """Return for each frame of a video the number (T,) of the training frame nearest in pose.

        Poses are points where they are in the picture, in shoulder widths: `PARTS` says which, and
        what each part's mean squared distance counts. A point outside counts as on the border, for
        how far outside nobody sees.
        """
        poses_TD = self._posture(video)
        squares_N = np.square(self._poses_ND).sum(1)
        return np.concatenate(
            [
                (squares_N - 2 * poses_TD[i : i + COMPARED] @ self._poses_ND.T).argmin(1)
                for i in range(0, len(poses_TD), COMPARED)
            ]
        )

    def fill_with_nearest(self, frames_T3HW: np.ndarray, video: PoseVideo) -> None:
        """Write the training frames nearest to a video's poses into (T, 3, H, W) uint8."""
        nearest_T = self.nearest(video)
        for number in np.unique(nearest_T):  # in the files' own order: each is decoded once
            frames_T3HW[nearest_T == number] = self._frame(self._places[number]).transpose(2, 0, 1)

    def _frame(self, place: tuple[int, int]) -> np.ndarray:
        return self._store.frames(place[0], [place[1]])[0]

    def _posture(self, video: PoseVideo) -> np.ndarray:
        """Return weighed points (T, D), whose squared distance is that of the poses."""
        size = np.array((video.framing.width, video.framing.height), np.float32)
        points_TK2 = np.nan_to_num(video.points_TK2.clip(0, size)) / self._shoulder_width
        parts = [
            points_TK2[:, which].reshape(len(points_TK2), -1) * np.sqrt(weight / len(which))
            for which, weight in PARTS.values()
        ]
        return np.concatenate(parts, 1).astype(np.float64)
