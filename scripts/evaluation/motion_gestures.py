"""Evaluation of a gesture dictionary: how often gestures are made at their words, and when."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evaluation.tables import Metrics
from speech2video.data.audio2pose.dataset import MotionClip
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.gestures.timeline import COLLISION
from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import POINT_INDEX, indices
from speech2video.util.metrics.statistics import checked
from speech2video.util.timing import FPS, frame_times

SEEDS = 10  # timelines evaluated, because a few words say little about a probability
KEY_TOLERANCE = 0.06  # metres RMS over the hands within which a key pose is reached
HOLD_TOLERANCE = 0.25  # share of the tolerance within which a held pose counts as the same
MAX_DELAY = 0.6  # seconds from a gesture's planned time
HAND_POINTS = indices(
    tuple(f"{side}_{at}" for side in ("left", "right") for at in ("wrist", "middle1", "index_tip"))
)
CHEST = POINT_INDEX["spine3"]


class TimedGesture(NamedTuple):
    """A planned or detected gesture: dictionary entry, and seconds of its key pose."""

    name: str
    time: float


def gesture_metrics(
    inserter: GestureInserter, test: Sequence[MotionClip], poses: Sequence[Tensor], body: Body
) -> Metrics:
    """Return how often gestures are drawn, made and detected in the motion, and their timing.

    A gesture is detected where the motion reaches its key pose near the planned time.

    Args:
        inserter: with the dictionary.
        test: held-out clips with words.
        poses: predicted motion of each clip, without gestures.
        body: of the pose vectors.
    """
    key_poses = {
        entry.name: _hands(entry.motion_NP[entry.key : entry.key + 1], body)[0]
        for entry in inserter.dictionary.entries
    }
    words, expected, made, collided, errors = 0, 0.0, 0, 0, []
    for seed in range(SEEDS):
        for clip, pose_TP in zip(test, poses, strict=True):
            timeline = inserter.plan(clip.words, frames=len(clip), seed=seed)
            hands_TD = _hands(inserter.apply(pose_TP, timeline), body)
            planned = [TimedGesture(one.entry, one.key) for one in timeline.inserted]
            found = detect_gestures(hands_TD, planned, key_poses, tolerance=KEY_TOLERANCE)
            words += len(timeline.insertions)
            expected += sum(one.probability for one in timeline.insertions)
            made += len(planned)
            collided += sum(one.skipped == COLLISION for one in timeline.insertions)
            errors += timing_errors(planned, found)
    words = max(words, 1)
    delays = np.abs(errors) if errors else np.array([np.nan])
    return {
        "words": words // SEEDS,
        "probability": expected / words,
        "drawn": (made + collided) / words,
        "collided": collided / words,
        "made": made / words,
        "made_and_detected": len(errors) / max(made, 1),
        "timing_error_frames_mean": FPS * float(np.mean(delays)),
        "timing_error_frames_median": FPS * float(np.median(delays)),
    }


def detect_gestures(
    values_TD: np.ndarray,
    planned: Sequence[TimedGesture],
    key_poses: Mapping[str, np.ndarray],
    *,
    tolerance: float,
) -> list[TimedGesture]:
    """Return the planned gestures whose key pose is reached within `MAX_DELAY`, and when.

    Args:
        values_TD: motion features; frame t is at (t + 0.5) / 25 seconds.
        planned: gestures to detect; those without a key pose are ignored.
        key_poses: features (D,) by name.
        tolerance: root mean square over D within which a pose is the key pose.
    """
    values_TD = checked("motion", values_TD, axes=2)
    times_T = frame_times(len(values_TD))
    found = []
    for plan in planned:
        near = np.flatnonzero(np.abs(times_T - plan.time) <= MAX_DELAY)
        if plan.name not in key_poses or not len(near):
            continue
        distance = np.sqrt(np.square(values_TD[near] - key_poses[plan.name]).mean(1))
        if distance.min() <= tolerance:
            # A held pose is nearest at any frame of its hold: of the frames about as near, take
            # the one closest to the planned time.
            held = near[distance <= distance.min() + HOLD_TOLERANCE * tolerance]
            best = held[np.abs(times_T[held] - plan.time).argmin()]
            found.append(TimedGesture(plan.name, float(times_T[best])))
    return found


def timing_errors(planned: Sequence[TimedGesture], found: Sequence[TimedGesture]) -> list[float]:
    """Match gestures of one name, nearest first, and return the delay of each match in seconds."""
    pairs = sorted(
        (abs(seen.time - plan.time), i, j)
        for i, plan in enumerate(planned)
        for j, seen in enumerate(found)
        if plan.name == seen.name and abs(seen.time - plan.time) <= MAX_DELAY
    )
    match: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in match and j not in match.values():
            match[i] = j
    return [found[match[i]].time - planned[i].time for i in sorted(match)]


def body_points(pose_TP: Tensor, body: Body) -> np.ndarray:
    """Return the points (T, 144, 3) of pose vectors in double precision."""
    with torch.inference_mode():
        return body.points(pose_TP).double().numpy()


def _hands(pose_TP: Tensor, body: Body) -> np.ndarray:
    """Return the hands' points (T, D) relative to the chest."""
    points_TK3 = body_points(pose_TP, body)
    relative_TH3 = points_TK3[:, HAND_POINTS] - points_TK3[:, CHEST : CHEST + 1]
    return relative_TH3.reshape(len(points_TK3), -1)
