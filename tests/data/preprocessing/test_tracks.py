"""Tracks: smoothing takes noise and adds no lag; jumps and flashes of a frame are seen."""

import numpy as np
import pytest

from speech2video.data.preprocessing.tracks import fleeting, jumped, smoothed


def walk(frames: int = 60) -> np.ndarray:
    """Return a group of points (T, 5, 2) that moves smoothly."""
    time = np.arange(frames)[:, None]
    middle = np.concatenate([200 + 60 * np.sin(time / 9), 150 + 40 * np.cos(time / 7)], 1)
    return middle[:, None] + np.random.default_rng(0).uniform(-30, 30, (1, 5, 2))


def test_smoothing_leaves_a_straight_line_where_it_is() -> None:
    line = np.arange(30.0)[:, None, None] * np.ones((1, 2, 2))
    np.testing.assert_allclose(smoothed(line)[5:-5], line[5:-5])


def test_smoothing_forwards_equals_smoothing_backwards() -> None:
    track = walk() + np.random.default_rng(1).normal(0, 3, (60, 5, 2))
    np.testing.assert_allclose(smoothed(track[::-1]), smoothed(track)[::-1])


def test_smoothing_comes_nearer_to_the_truth() -> None:
    noisy = walk() + np.random.default_rng(1).normal(0, 3, (60, 5, 2))
    before, after = (np.abs(track - walk()).mean() for track in (noisy, smoothed(noisy)))
    assert after < 0.7 * before


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 60])
def test_missing_stays_missing_and_spoils_no_neighbour(frames: int) -> None:
    track = walk(frames)
    track[frames // 2] = np.nan
    np.testing.assert_array_equal(np.isnan(smoothed(track)), np.isnan(track))


def test_a_jump_of_one_frame_is_seen_and_a_fast_move_is_not() -> None:
    track = walk()
    assert not jumped(track).any()
    track[20] += 300
    assert np.flatnonzero(jumped(track)).tolist() == [20]
    track[40:] += 300
    track[50] = np.nan
    assert np.flatnonzero(jumped(track)).tolist() == [20]


def test_only_sightings_that_do_not_last_are_fleeting() -> None:
    seen = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1], bool)
    expected = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], bool)
    np.testing.assert_array_equal(fleeting(seen), expected)
