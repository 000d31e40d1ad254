"""Gestures put into a motion: planned by words and chance, blended in on the sphere.

Frame t is the moment (t + 0.5) / 25 s, the middle of the 640 samples it belongs to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from speech2video.data.gestures.dictionary import (
    PART_HANDS,
    PART_JOINTS,
    PARTS,
    GestureDictionary,
    GestureEntry,
)
from speech2video.data.gestures.timeline import Insertion, Timeline, plan
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import (
    TOLERANCE,
    check_angles,
    clamp_pose,
    limit_excess,
)
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import slerp
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.errors import DataError
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS

_BODY = POSE_SLICES["body"]


def _columns(part: str) -> range:
    """Return a hand's columns of the pose vector."""
    return range(POSE_SLICES[part].start, POSE_SLICES[part].stop)


JOINT_NAMES = tuple(joint for joints in PART_JOINTS.values() for joint in joints)
JOINT_COLUMNS = torch.tensor(
    [[_BODY.start + 3 * (BODY_JOINTS.index(j) - 1) + k for k in range(3)] for j in JOINT_NAMES]
)
HAND_COLUMNS = torch.tensor([list(_columns(part)) for part in PART_HANDS])


class GestureInserter:
    """Puts a dictionary's gestures into motion for a body.

    Rotations mean the same in every body, hand coefficients do not: a dictionary made for another
    body moves the arms and leaves the fingers as they are.

    Attributes:
        dictionary: what may be made.
        foreign: whether the dictionary was made for another body.
    """

    def __init__(self, dictionary: GestureDictionary, body: Body) -> None:
        self.dictionary = dictionary
        self.foreign = dictionary.body != body.name
        self._hands = body.hands
        self._motions = _MotionTable(dictionary.entries, hands=not self.foreign)

    @classmethod
    def load(cls, folder: Path, body: Body) -> "GestureInserter":
        """Return the inserter of a dictionary's folder; raises `DataError` if it is broken."""
        return cls(GestureDictionary.load(folder), body)

    def insert(self, pose_TP: Tensor, words: Sequence[Word], *, seed: int = 0) -> Tensor:
        """Return pose vectors (T, 106) with the gestures of the words in them."""
        return self.apply(pose_TP, self.plan(words, frames=len(pose_TP), seed=seed))

    def plan(self, words: Iterable[Word], *, frames: int | None = None, seed: int = 0) -> Timeline:
        """Return which gestures are made when, as `gesture_plan.plan` says."""
        return plan(self.dictionary, words, frames=frames, seed=seed)

    def apply(self, pose_TP: Tensor, timeline: Timeline, *, first_frame: int = 0) -> Tensor:
        """Return pose vectors (T, 106) with a timeline's gestures; the given ones stay as they are.

        Works on any stretch of a motion: `first_frame` is the number of its first frame, and pieces
        come out as the whole would. Only the parts that a gesture owns, in the frames it lasts,
        change: joints on the sphere, towards the gesture and back by minimum jerk; hands linearly
        in their coefficients, because fingers are hinges, for which both are the same, and a slerp
        would leave what twelve coefficients can say. What changed is inside the joint limits.

        Raises:
            DataError: poses of another shape, or a gesture that is not in the dictionary,
                or NaN where one is to go.
        """
        if pose_TP.ndim != 2 or pose_TP.shape[1] != POSE_SIZE:
            raise DataError(f"pose of shape {tuple(pose_TP.shape)}; (T, {POSE_SIZE}) is needed")
        result = pose_TP.cpu().clone()
        touched = torch.zeros(len(pose_TP), len(PARTS), dtype=torch.bool)
        begin, end = first_frame / FPS, (first_frame + len(pose_TP)) / FPS
        near = [one for one in timeline.made if one.start < end and one.end > begin]
        for layer in _layers(near):
            cue = self._motions.cue(layer, first_frame, len(pose_TP))
            result[cue.frame_N] = _blend(result[cue.frame_N], cue)
            touched[cue.frame_N] |= cue.owned_NP
        return self._clamped(result, touched).to(pose_TP.device)

    def _clamped(self, pose_TP: Tensor, touched_TP: Tensor) -> Tensor:
        """Return the poses with what gestures have touched, and nothing else, inside the limits."""
        frames_N = touched_TP.any(1).nonzero()[:, 0]
        rotations = vector_to_smplx(pose_TP[frames_N], self._hands).rotations
        check_angles(rotations)
        over = limit_excess(rotations) > TOLERANCE
        frames_N = frames_N[over.flatten(1).any(1)]  # most are legal, and clamping takes its time
        if len(frames_N):
            legal_NP = clamp_pose(pose_TP[frames_N], self._hands)
            owned_NP = _owned_columns(touched_TP[frames_N])
            pose_TP[frames_N] = torch.where(owned_NP, legal_NP, pose_TP[frames_N])
        return pose_TP


@dataclass(frozen=True)
class _Cue:
    """What goes into N frames, none of them twice.

    frame_N are places in the poses, motion_NP the gesture's pose vectors, weight_N how much of
    them, owned_NP which of `PARTS`.
    """

    frame_N: Tensor
    motion_NP: Tensor
    weight_N: Tensor
    owned_NP: Tensor


class _MotionTable:
    """All motions of a dictionary one after the other, to be read at fractional frames."""

    def __init__(self, entries: Sequence[GestureEntry], *, hands: bool) -> None:
        self._row, self._entry, count = {}, {}, 0
        for entry in entries:
            self._row[entry.name], self._entry[entry.name] = count, entry
            count += len(entry.motion_NP)
        motions = [entry.motion_NP for entry in entries]
        self._motion_MP = torch.cat(motions) if motions else torch.zeros(0, POSE_SIZE)
        usable = [part for part in PARTS if hands or part not in PART_HANDS]
        self._owned = {
            entry.name: torch.tensor([p in entry.parts and p in usable for p in PARTS])
            for entry in entries
        }

    def cue(self, layer: Sequence[Insertion], first_frame: int, count: int) -> _Cue:
        """Return what gestures that do not meet put into `count` frames from `first_frame` on."""
        pieces = [self._piece(insertion, first_frame, count) for insertion in layer]
        frame_N, before_N, after_N, share_N, weight_N, owned_NP = map(
            torch.cat, zip(*pieces, strict=True)
        )
        before_NP, after_NP = self._motion_MP[before_N], self._motion_MP[after_N]
        motion_NP = torch.lerp(before_NP, after_NP, share_N.float()[:, None])
        between = (before_N != after_N).nonzero()[:, 0]  # a key pose needs no slerp
        if len(between):
            turned = slerp(
                before_NP[between][:, JOINT_COLUMNS],
                after_NP[between][:, JOINT_COLUMNS],
                share_N[between].float()[:, None],
            )
            motion_NP[between[:, None], JOINT_COLUMNS.flatten()] = turned.flatten(1)
        return _Cue(frame_N, motion_NP, weight_N.float(), owned_NP)

    def _piece(self, one: Insertion, first_frame: int, count: int) -> tuple[Tensor, ...]:
        if one.entry not in self._entry:
            raise DataError(f"timeline: no gesture {one.entry!r} in the dictionary")
        entry = self._entry[one.entry]
        first, last = _frames(one)
        frame_N = torch.arange(max(first, first_frame), min(last + 1, first_frame + count))
        time_N = (frame_N.double() + 0.5) / FPS
        place_N = (entry.key + (time_N - one.key) * FPS).clamp(0, len(entry.motion_NP) - 1)
        before_N = place_N.floor().long()
        after_N = (before_N + 1).clamp(max=len(entry.motion_NP) - 1)
        row = self._row[one.entry]
        return (
            frame_N - first_frame,
            row + before_N,
            row + after_N,
            place_N - before_N,
            _weight(one, time_N),
            self._owned[one.entry].expand(len(frame_N), -1),
        )


def _frames(one: Insertion) -> tuple[int, int]:
    """Return the first and the last frame whose moments lie in a gesture."""
    return int(-(-(one.start * FPS - 0.5) // 1)), int((one.end * FPS - 0.5) // 1)


def _layers(made: Sequence[Insertion]) -> list[list[Insertion]]:
    """Return the gestures in layers to lay one on the other; in a layer none meet."""
    layers: list[list[Insertion]] = []
    place: list[tuple[Insertion, int]] = []  # those that may still be met, and their layers
    for one in made:
        place = [(other, k) for other, k in place if other.end >= one.start - 1 / FPS]
        k = max((k for _, k in place), default=-1) + 1
        place.append((one, k))
        layers += [[]] if k == len(layers) else []
        layers[k].append(one)
    return layers


def _blend(pose_NP: Tensor, cue: _Cue) -> Tensor:
    """Return poses (N, 106) drawn towards the gestures' in the parts they own."""
    result = pose_NP.clone()
    columns = JOINT_COLUMNS.flatten()
    turned = slerp(
        pose_NP[:, JOINT_COLUMNS],
        cue.motion_NP[:, JOINT_COLUMNS].to(pose_NP),
        cue.weight_N[:, None].to(pose_NP),
    )
    result[:, columns] = turned.flatten(1)
    hands = HAND_COLUMNS.flatten()
    result[:, hands] = torch.lerp(
        pose_NP[:, hands], cue.motion_NP[:, hands].to(pose_NP), cue.weight_N[:, None].to(pose_NP)
    )
    moved = _owned_columns(cue.owned_NP) & (cue.weight_N > 0)[:, None]
    return torch.where(moved, result, pose_NP)


def _owned_columns(owned_NP: Tensor) -> Tensor:
    """Return which columns (N, 106) of the pose vector belong to the parts that are owned."""
    columns = torch.zeros(len(owned_NP), POSE_SIZE, dtype=torch.bool)
    for k, part in enumerate(PARTS):
        if part in PART_HANDS:
            own = HAND_COLUMNS[PART_HANDS.index(part)]
        else:
            own = JOINT_COLUMNS[[JOINT_NAMES.index(j) for j in PART_JOINTS[part]]].flatten()
        columns[:, own] = owned_NP[:, k : k + 1]
    return columns


def _weight(one: Insertion, time_N: Tensor) -> Tensor:
    """Return how much of a gesture there is: 0, up to 1 at its arrival, from hold_end back to 0."""
    tiny = 1e-9
    up = minimum_jerk((time_N - one.start) / max(tiny, one.arrival - one.start))
    return up * (1 - minimum_jerk((time_N - one.hold_end) / max(tiny, one.end - one.hold_end)))


def minimum_jerk(share: Tensor) -> Tensor:
    """Return the course, 0 to 1, of a reaching movement over `share` of its duration.

    The polynomial of Flash & Hogan, "The coordination of arm movements", J. Neurosci. 5, 1985.
    """
    share = share.clamp(0, 1)
    return share**3 * (10 + share * (6 * share - 15))
