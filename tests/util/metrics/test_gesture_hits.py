import numpy as np
import pytest

from speech2video.util.metrics.gesture_hits import (
    FoundGesture,
    PlannedGesture,
    find_in_motion,
    gesture_hits,
)
from speech2video.util.timing import FPS

PLAN = [PlannedGesture(name, time, 0.5) for name, time in (("up", 1), ("huge", 3), ("up", 5))]


def test_all_found_on_time_is_a_rate_of_one_without_error() -> None:
    hits = gesture_hits(PLAN, [FoundGesture(plan.name, plan.time) for plan in PLAN])
    assert (hits.hit_rate, hits.timing_error, hits.false_alarms) == (1, 0, 0)
    assert hits.expected_rate == pytest.approx(0.5)


def test_late_ones_are_late_and_foreign_ones_are_false_alarms() -> None:
    found = [FoundGesture("up", 5.08), FoundGesture("huge", 9.0), FoundGesture("tiny", 1.0)]
    hits = gesture_hits(PLAN, found)
    assert (hits.hits, hits.false_alarms) == (1, 2)
    assert hits.errors == pytest.approx((0.08,))


def test_each_is_matched_once_and_the_nearest_wins() -> None:
    plan = [PlannedGesture("up", 1.0, 1), PlannedGesture("up", 1.4, 1)]
    hits = gesture_hits(plan, [FoundGesture("up", 1.3)])
    assert hits.hits == 1
    assert hits.errors == pytest.approx((-0.1,))


def test_nothing_planned_is_no_rate() -> None:
    hits = gesture_hits([], [])
    assert np.isnan(hits.hit_rate)
    assert np.isnan(hits.timing_error)


def test_a_pose_is_found_in_the_frame_it_is_reached() -> None:
    motion = np.zeros((8 * FPS, 6))
    bump = np.hanning(21)[:, None]
    motion[40:61] += bump  # at its highest in frame 50
    plan = [PlannedGesture("up", 2.1, 1), PlannedGesture("up", 6.0, 1)]
    keys = {"up": np.ones(6)}
    found = find_in_motion(motion, plan, keys, fps=FPS, tolerance=0.08)
    assert found == [FoundGesture("up", 50.5 / FPS)]
