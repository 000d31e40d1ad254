"""Dictionary gestures: are they made at their words, as often as asked, and on time?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speech2video.util.metrics.statistics import checked

HELD = 0.25  # of the tolerance, within which two moments show the same pose
REACH = 0.6  # seconds from a word within which its gesture counts as made


@dataclass(frozen=True)
class PlannedGesture:
    """A word that may have a gesture.

    Attributes:
        name: of the gesture, or of the word.
        time: seconds at which its pose should be reached.
        probability: how often it should be made, 0 to 1.
    """

    name: str
    time: float
    probability: float


@dataclass(frozen=True)
class FoundGesture:
    """A gesture that a timeline names or that was seen in the motion; `time` in seconds."""

    name: str
    time: float


@dataclass(frozen=True)
class GestureHits:
    """How well found gestures go with planned ones.

    Attributes:
        words: how many were planned.
        hits: how many of them were found.
        expected: how many the probabilities ask for.
        false_alarms: found gestures without a planned word near them.
        errors: seconds each hit comes late (early: negative), in the plan's order.
    """

    words: int
    hits: int
    expected: float
    false_alarms: int
    errors: tuple[float, ...]

    @property
    def hit_rate(self) -> float:
        """Share of the planned words with their gesture; NaN without words."""
        return self.hits / self.words if self.words else float("nan")

    @property
    def expected_rate(self) -> float:
        """Mean of the probabilities; the hit rate should come near it. NaN without words."""
        return self.expected / self.words if self.words else float("nan")

    @property
    def timing_error(self) -> float:
        """Mean absolute error of the hits' times in seconds; NaN without hits."""
        return float(np.mean(np.abs(self.errors))) if self.errors else float("nan")


def gesture_hits(
    planned: Sequence[PlannedGesture], found: Sequence[FoundGesture], *, reach: float = REACH
) -> GestureHits:
    """Return how found gestures match planned ones: each at most once, the nearest in time first.

    Only gestures of one name, and at most `reach` seconds apart, match.
    """
    pairs = sorted(
        (abs(seen.time - plan.time), i, j)
        for i, plan in enumerate(planned)
        for j, seen in enumerate(found)
        if plan.name == seen.name and abs(seen.time - plan.time) <= reach
    )
    match: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in match and j not in match.values():
            match[i] = j
    errors = tuple(found[match[i]].time - planned[i].time for i in sorted(match))
    expected = sum(plan.probability for plan in planned)
    return GestureHits(len(planned), len(match), expected, len(found) - len(match), errors)


def find_in_motion(
    values_TD: np.ndarray,
    planned: Sequence[PlannedGesture],
    key_poses: dict[str, np.ndarray],
    *,
    fps: float,
    tolerance: float,
    reach: float = REACH,
) -> list[FoundGesture]:
    """Return the planned gestures whose key pose is seen near their time, where it is nearest.

    Args:
        values_TD: what a pose is told by, such as wrists and fingers from the chest, metres. Frame
            t is the moment (t + 0.5) / fps.
        planned: which to look for; those without a key pose are passed over.
        key_poses: (D,) by the gesture's name.
        fps: frames a second.
        tolerance: root mean square over D within which a pose is the key pose.
        reach: seconds around the planned time to look in.
    """
    values_TD = checked("motion", values_TD, axes=2)
    times_T = (np.arange(len(values_TD)) + 0.5) / fps
    found = []
    for plan in planned:
        near = np.flatnonzero(np.abs(times_T - plan.time) <= reach)
        if plan.name not in key_poses or not len(near):
            continue
        distance = np.sqrt(np.square(values_TD[near] - key_poses[plan.name]).mean(1))
        if distance.min() <= tolerance:
            # A pose that is held is nearest at any moment of its hold: of those as good as the
            # best, the one nearest to the plan.
            held = near[distance <= distance.min() + HELD * tolerance]
            best = held[np.abs(times_T[held] - plan.time).argmin()]
            found.append(FoundGesture(plan.name, float(times_T[best])))
    return found
