import numpy as np
import pytest

from speech2video.util.body.skeleton import JOINTS
from speech2video.util.errors import DataError
from speech2video.util.metrics.beats import (
    beat_constancy,
    joint_speeds,
    motion_beats,
    speech_onsets,
)

FPS = 25
SECONDS = 8
PERIOD = 0.8  # seconds between two beats


def strokes(*, delay: float = 0.0) -> np.ndarray:
    """Return joints that turn round every 0.8 s, first at `delay`, and drift on meanwhile.

    Without the drift they would rest at the turns, which is no beat.
    """
    times = np.arange(SECONDS * FPS) / FPS - delay
    swing = np.stack((np.cos(np.pi * times / PERIOD), times, 0 * times), axis=1)
    return np.broadcast_to(swing[:, None], (len(times), len(JOINTS), 3)).copy()


ONSETS = np.arange(1, SECONDS / PERIOD - 1) * PERIOD
USUAL = joint_speeds(strokes(), fps=FPS).mean(0)


def constancy(motion: np.ndarray, **settings: float) -> float:
    return beat_constancy(motion, ONSETS, fps=FPS, mean_speed_J=USUAL, **settings)


def test_strokes_on_the_onsets_score_one_and_less_beside_them() -> None:
    assert constancy(strokes()) == pytest.approx(1)
    late = [constancy(strokes(delay=delay)) for delay in (0.0, 0.12, 0.4)]
    assert late == sorted(late, reverse=True)
    assert late[2] < late[0] - 0.3
    assert late[2] == pytest.approx(np.exp(-(0.4**2) / (2 * 0.3**2)), rel=0.05)


def test_a_motion_at_rest_has_no_beats() -> None:
    assert constancy(np.zeros_like(strokes())) == 0


def test_constancy_knows_no_place_and_no_size() -> None:
    motion = strokes(delay=0.1)
    assert constancy(motion + 3) == pytest.approx(constancy(motion))
    assert constancy(motion * 0.9) == pytest.approx(constancy(motion))


def test_slow_minima_are_rest() -> None:
    speed = 1 + np.cos(np.arange(100) * 2 * np.pi / 25)  # down to 0 every second
    assert motion_beats(speed, mean_speed=1.0).size == 0
    beats = motion_beats(speed + 0.5, mean_speed=1.0)
    np.testing.assert_allclose(beats, (12.5, 37.5, 62.5, 87.5), atol=0.5)


def test_onsets_are_where_sound_begins() -> None:
    rate, wave = 16_000, np.zeros(16_000 * 3)
    for start in (0.5, 1.5, 2.25):
        begin = round(start * rate)
        wave[begin : begin + 2000] = np.sin(np.arange(2000)) * np.linspace(1, 0, 2000)
    starts = np.array((0.5, 1.5, 2.25))
    after = speech_onsets(wave, rate=rate)[:, None] - starts
    assert (np.abs(after).min(0) < 0.05).all()  # each is found
    assert (np.abs(after).min(1) < 0.1).all()  # and nothing else


def test_no_onsets_and_foreign_speeds_are_refused() -> None:
    with pytest.raises(DataError, match="onsets"):
        beat_constancy(strokes(), [], fps=FPS, mean_speed_J=USUAL)
    with pytest.raises(DataError, match="mean speeds"):
        beat_constancy(strokes(), ONSETS, fps=FPS, mean_speed_J=USUAL[:3])
