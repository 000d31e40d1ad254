"""Loudness: what a whole file tells, its chunks tell too; a live stream needs no future."""

import numpy as np
import pytest

from speech2video.util.audio import normalise_loudness
from speech2video.util.loudness import (
    LEVEL,
    LIVE_MOST,
    LoudnessMeter,
    RunningLoudness,
    loudness_gain,
)


def bursts(seconds: float, seed: int) -> np.ndarray:
    """Return noise (S,) that comes and goes."""
    noise_S = np.random.default_rng(seed).standard_normal(round(seconds * 16_000))
    loudness_S = np.sin(np.arange(len(noise_S)) / 4_000).clip(0) + 0.001
    return (0.05 * noise_S * loudness_S).astype(np.float32)


def cut(wave_S: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Return chunks of every size, empty ones too."""
    ends = np.sort(random.integers(0, len(wave_S) + 1, random.integers(1, 30)))
    return np.split(wave_S, np.repeat(ends, 2))


def test_loudness_needs_no_whole_file():
    random = np.random.default_rng(0)
    for seed in range(10):
        wave_S = bursts(random.uniform(0.01, 5), seed)
        gain = loudness_gain(cut(wave_S, random), rate=16_000)
        assert np.array_equal(normalise_loudness(wave_S), (wave_S * np.float64(gain)).astype("f"))
    assert loudness_gain([], rate=16_000) == loudness_gain([np.zeros(9_999)], rate=16_000) == 1


def test_live_speech_comes_to_its_loudness_without_a_jump():
    wave_S = 0.05 * np.sin(2 * np.pi * 200 * np.arange(16_000 * 6) / 16_000).astype(np.float32)
    wave_S[: 16_000 * 2] *= 0.01  # a room before anybody speaks
    live, random = RunningLoudness(16_000), np.random.default_rng(0)
    out_S = live.push(wave_S)
    assert out_S.shape == wave_S.shape and np.abs(out_S).max() <= 1
    level = 10 * np.log10(np.mean(out_S[-16_000:] ** 2))
    assert level == pytest.approx(LEVEL, abs=0.1)
    assert np.abs(out_S[: 16_000 * 2]).max() < 0.01
    again = RunningLoudness(16_000)
    chunked_S = np.concatenate([again.push(chunk) for chunk in cut(wave_S, random)])
    assert np.allclose(chunked_S, out_S, atol=1e-6)
    quiet_S = np.zeros(16_000, np.float32)
    assert not RunningLoudness(16_000).push(quiet_S).any()


def test_a_live_stream_neither_lifts_a_quiet_room_nor_keeps_what_is_long_past():
    room_S = 0.002 * np.random.default_rng(0).standard_normal(160_000).astype(np.float32)
    out_S = RunningLoudness(16_000).push(room_S)
    assert np.std(out_S) < LIVE_MOST * np.std(room_S)
    meter = LoudnessMeter(16_000, memory=2.0)
    for chunk in (0.5 * np.ones(16_000), 0.1 * np.ones(64_000)):
        meter.push(chunk)
    assert meter.gain == pytest.approx(10 ** (LEVEL / 20) / 0.1)
