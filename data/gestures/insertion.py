"""Insertion of a dictionary's gestures into a pose sequence.

Frame t is the moment (t + 0.5) / 25 s, the middle of the 640 samples it belongs to.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from speech2video.data.gestures import dictionary as gestures
from speech2video.data.gestures.dictionary import GestureDictionary, GestureEntry
from speech2video.data.gestures.timeline import Insertion, Timeline, plan_gestures
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import TOLERANCE, check_angles, clamp_pose, limit_excess
from speech2video.util.body.pose_vector import POSE_SIZE, pose_columns, vector_to_smplx
from speech2video.util.body.rotations import minimum_jerk, slerp
from speech2video.util.errors import DataError
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS

MIN_SECONDS = 1e-9  # keeps ramps without length from dividing by zero


class GestureInserter:
    """Inserts a dictionary's gestures into pose sequences of a body.

    Rotations mean the same in every body, hand coefficients do not: a dictionary made for another
    body moves the arms but not the fingers.
    """

    def __init__(self, dictionary: GestureDictionary, body: Body) -> None:
        self.dictionary = dictionary
        self._hands = body.hands
        same_body = dictionary.body == body.name
        self._columns = {entry.name: _Columns(entry, same_body) for entry in dictionary.entries}

    @classmethod
    def load(cls, folder: Path, body: Body) -> "GestureInserter":
        """Return the inserter of a dictionary's folder; raises `DataError` if it is broken."""
        return cls(GestureDictionary.load(folder), body)

    def insert(self, pose_TP: Tensor, words: Sequence[Word], *, seed: int = 0) -> Tensor:
        """Return pose vectors (T, 106) with the gestures drawn for the words."""
        return self.apply(pose_TP, self.plan(words, frames=len(pose_TP), seed=seed))

    def plan(self, words: Iterable[Word], *, frames: int | None = None, seed: int = 0) -> Timeline:
        """Return the gestures drawn for the words, see `plan_gestures`."""
        return plan_gestures(self.dictionary, words, frames=frames, seed=seed)

    def apply(self, pose_TP: Tensor, timeline: Timeline, *, first_frame: int = 0) -> Tensor:
        """Return a copy of pose vectors (T, 106) with a timeline's gestures.

        Only the parts that a gesture owns change, and only during it: joints by slerp with
        minimum-jerk ramps, hand coefficients linearly, because fingers are hinges and a slerp would
        leave the space of the 12 coefficients. Changed parts are clamped to the joint limits.

        Args:
            first_frame: number of the first pose; a sequence may be given in pieces.

        Raises:
            DataError: poses of another shape, an unknown gesture, or NaN where one is inserted.
        """
        if pose_TP.ndim != 2 or pose_TP.shape[1] != POSE_SIZE:
            raise DataError(f"pose of shape {tuple(pose_TP.shape)}; (T, {POSE_SIZE}) is needed")
        result_TP = pose_TP.cpu().clone()
        owned_TP = torch.zeros(pose_TP.shape, dtype=torch.bool)
        begin, end = first_frame / FPS, (first_frame + len(pose_TP)) / FPS
        for gesture in timeline.inserted:
            if gesture.start < end and gesture.end > begin:
                self._blend(result_TP, owned_TP, gesture, first_frame)
        self._clamp(result_TP, owned_TP)
        return result_TP.to(pose_TP.device)

    def _blend(
        self, pose_TP: Tensor, owned_TP: Tensor, gesture: Insertion, first_frame: int
    ) -> None:
        """Blend a gesture into the poses in place and mark what it owns."""
        entry = self.dictionary.entry(gesture.entry)
        columns = self._columns[gesture.entry]
        first = int(-(-(gesture.start * FPS - 0.5) // 1))
        last = int((gesture.end * FPS - 0.5) // 1)
        frame_N = torch.arange(max(first, first_frame), min(last + 1, first_frame + len(pose_TP)))
        time_N = (frame_N.double() + 0.5) / FPS
        motion_NP = _motion_at(entry.motion_NP, entry.key + (time_N - gesture.key) * FPS)
        motion_NP = motion_NP.to(pose_TP)
        weight_N1 = _weight(gesture, time_N).float()[:, None].to(pose_TP)
        row_N = frame_N - first_frame
        pose_NP = pose_TP[row_N]
        blended_NP = pose_NP.clone()
        joints, hands = columns.joints_J3, columns.hands_H
        turned_NJ3 = slerp(pose_NP[:, joints], motion_NP[:, joints], weight_N1)
        blended_NP[:, joints.flatten()] = turned_NJ3.flatten(1)
        blended_NP[:, hands] = torch.lerp(pose_NP[:, hands], motion_NP[:, hands], weight_N1)
        pose_TP[row_N] = torch.where(weight_N1 > 0, blended_NP, pose_NP)
        owned_TP[row_N] |= columns.owned_P

    def _clamp(self, pose_TP: Tensor, owned_TP: Tensor) -> None:
        """Move the owned numbers, and no others, inside the joint limits in place."""
        frame_N = owned_TP.any(1).nonzero()[:, 0]
        rotations = vector_to_smplx(pose_TP[frame_N], self._hands).rotations
        check_angles(rotations)
        outside = limit_excess(rotations) > TOLERANCE
        frame_N = frame_N[outside.flatten(1).any(1)]  # clamping is slow, and few frames need it
        if len(frame_N):
            legal_NP = clamp_pose(pose_TP[frame_N], self._hands)
            pose_TP[frame_N] = torch.where(owned_TP[frame_N], legal_NP, pose_TP[frame_N])


class _Columns:
    """The columns of the pose vector that an entry owns: joints (J, 3), hands (H,), mask (106,)."""

    def __init__(self, entry: GestureEntry, hands: bool) -> None:
        parts = [part for part in gestures.PART_HANDS if hands and part in entry.parts]
        self.joints_J3 = _joint_columns(entry.parts)
        self.hands_H = torch.tensor(pose_columns(*parts), dtype=torch.long)
        owned = torch.cat((self.joints_J3.flatten(), self.hands_H))
        self.owned_P = torch.isin(torch.arange(POSE_SIZE), owned)


def _joint_columns(parts: Sequence[str]) -> Tensor:
    """Return the columns (J, 3) of the parts' joints in the pose vector."""
    joints = [joint for part in parts for joint in gestures.PART_JOINTS.get(part, ())]
    return torch.tensor(pose_columns(*joints), dtype=torch.long).view(-1, 3)


JOINT_COLUMNS = _joint_columns(gestures.PARTS)


def _motion_at(motion_MP: Tensor, place_N: Tensor) -> Tensor:
    """Return a motion's poses (N, 106) at fractional frames, the first or last outside of it."""
    place_N = place_N.clamp(0, len(motion_MP) - 1)
    before_N = place_N.floor().long()
    after_N = (before_N + 1).clamp(max=len(motion_MP) - 1)
    share_N1 = (place_N - before_N).float()[:, None]
    before_NP, after_NP = motion_MP[before_N], motion_MP[after_N]
    result_NP = torch.lerp(before_NP, after_NP, share_N1)
    between = (before_N != after_N).nonzero()[:, 0]
    start, end = (poses[between][:, JOINT_COLUMNS] for poses in (before_NP, after_NP))
    turned = slerp(start, end, share_N1[between])
    result_NP[between[:, None], JOINT_COLUMNS.flatten()] = turned.flatten(1)
    return result_NP


def _weight(gesture: Insertion, time_N: Tensor) -> Tensor:
    """Return the weight (N,) of a gesture: rising to 1 at its arrival, falling from `hold_end`."""
    ramp_in = max(MIN_SECONDS, gesture.arrival - gesture.start)
    ramp_out = max(MIN_SECONDS, gesture.end - gesture.hold_end)
    rise_N = minimum_jerk((time_N - gesture.start) / ramp_in)
    return rise_N * (1 - minimum_jerk((time_N - gesture.hold_end) / ramp_out))
