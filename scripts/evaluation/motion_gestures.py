"""A gesture dictionary in use: made at its words, as often as asked, and on time."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from evaluation.tables import Metrics
from speech2video.data.audio2pose.dataset import MotionClip
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.gestures.timeline import COLLISION, Insertion
from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import POINT_INDEX, indices
from speech2video.util.metrics import gesture_hits as hits
from speech2video.util.timing import FPS

PLANS = 10  # seeds that the dictionary is judged over
KEY_TOLERANCE = 0.06  # metres, RMS over hands, within which a gesture's key pose is made
HAND_POINTS = indices(
    tuple(f"{side}_{at}" for side in ("left", "right") for at in ("wrist", "middle1", "index_tip"))
)
CHEST = POINT_INDEX["spine3"]


def gesture_metrics(
    inserter: GestureInserter, test: Sequence[MotionClip], plain: Sequence[Tensor], body: Body
) -> Metrics:
    """Return how often the dictionary's gestures are made at their words, and how far off in time.

    Over `PLANS` seeds, since a few words say little about a probability. A gesture counts as seen
    where the motion has its key pose, within `KEY_TOLERANCE`, at most 0.6 s from where it belongs.
    """
    keys = {
        entry.name: _hands(points_of(entry.motion_NP[entry.key : entry.key + 1], body))[0]
        for entry in inserter.dictionary.entries
    }
    words, expected, made, collided, seen, errors = 0, 0.0, 0, 0, 0, []
    for seed in range(PLANS):
        for recording, pose_TP in zip(test, plain, strict=True):
            timeline = inserter.plan(recording.words, frames=len(recording), seed=seed)
            moved = _hands(points_of(inserter.apply(pose_TP, timeline), body))
            wanted = [_planned(one) for one in timeline.made]
            found = hits.find_in_motion(moved, wanted, keys, fps=FPS, tolerance=KEY_TOLERANCE)
            result = hits.gesture_hits(wanted, found)
            words += len(timeline.insertions)
            expected += sum(one.probability for one in timeline.insertions)
            made += len(wanted)
            collided += sum(one.skipped == COLLISION for one in timeline.insertions)
            seen += result.hits
            errors += result.errors
    words = max(words, 1)
    return {
        "words": words // PLANS,
        "probability_set": expected / words,
        "drawn": (made + collided) / words,
        "left_out_for_another": collided / words,
        "made": made / words,
        "made_and_seen": seen / max(made, 1),
        "timing_error_frames_mean": FPS * float(np.mean(np.abs(errors))) if errors else None,
        "timing_error_frames_median": FPS * float(np.median(np.abs(errors))) if errors else None,
    }


def _planned(one: Insertion) -> hits.PlannedGesture:
    return hits.PlannedGesture(one.entry, one.key, one.probability)


def _hands(points_TK3: np.ndarray) -> np.ndarray:
    return (points_TK3[:, HAND_POINTS] - points_TK3[:, CHEST : CHEST + 1]).reshape(
        len(points_TK3), -1
    )


def points_of(pose_TP: Tensor, body: Body) -> np.ndarray:
    """Return the points (T, 144, 3) of pose vectors, in double precision as the metrics want."""
    with torch.inference_mode():
        return body.points(pose_TP).double().numpy()
