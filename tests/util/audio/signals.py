"""Test signals, and how streams are cut into chunks."""

import numpy as np


def bursts(seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise (S,) at 16 kHz with the loudness of syllables and pauses."""
    random = np.random.default_rng(seed)
    size = round(seconds * 16_000)
    noise_S = np.convolve(random.standard_normal(size), [1, 0.7, 0.3], "same")
    loudness_S = np.sin(np.arange(size) / 2_000).clip(0) + 0.01
    return (0.1 * noise_S * loudness_S).astype(np.float32)


def cut(audio_S: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Return the audio in chunks of every size, empty ones too."""
    ends = np.sort(random.integers(0, len(audio_S) + 1, random.integers(1, 30)))
    return np.split(audio_S, np.repeat(ends, 2))
