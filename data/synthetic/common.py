"""Smooth curves over time: minimum-jerk steps and pulses, and band-limited noise.

Times and durations are in seconds; every curve is a function of continuous time.
"""

import numpy as np

NOISE_WAVES = 8  # sines to a noise: enough that it never seems to repeat


def minimum_jerk(share: np.ndarray) -> np.ndarray:
    """Return the course of a reaching movement, 0 to 1, over `share` of its duration.

    The polynomial of Flash & Hogan, "The coordination of arm movements", J. Neurosci. 5, 1985. Its
    first two derivatives are zero at both ends.
    """
    share = np.clip(share, 0.0, 1.0)
    return share**3 * (10 + share * (6 * share - 15))


def step(times: np.ndarray, start: float, duration: float) -> np.ndarray:
    """Return a minimum-jerk step: 0 until `start`, 1 from `start + duration` on."""
    return minimum_jerk((times - start) / duration)


def plateau(times: np.ndarray, start: float, end: float, rise: float, fall: float) -> np.ndarray:
    """Return 1 from `start` to `end`, which it reaches in `rise` and leaves in `fall` seconds."""
    return step(times, start - rise, rise) * (1 - step(times, end, fall))


def through(times: np.ndarray, knots: list[tuple[float, float]]) -> np.ndarray:
    """Return the curve that rests at each (time, value) and moves between by minimum jerk.

    Before the first knot and after the last it keeps their values.
    """
    (last_time, last_value), *rest = knots
    curve = np.full(times.shape, last_value)
    for time, value in rest:
        curve = curve + (value - last_value) * step(times, last_time, time - last_time)
        last_time, last_value = time, value
    return curve


def smooth_noise(
    times_T: np.ndarray, random: np.random.Generator, *, low: float, high: float, count: int
) -> np.ndarray:
    """Return noise (T, count) of unit variance between two frequencies in Hz, 1/f in amplitude."""
    edges = np.geomspace(low, high, NOISE_WAVES + 1)
    hertz = random.uniform(edges[:-1], edges[1:], (count, NOISE_WAVES))
    phase = random.uniform(0, 2 * np.pi, (count, NOISE_WAVES))
    amplitude = 1 / np.sqrt(hertz)
    amplitude *= np.sqrt(2 / (amplitude**2).sum(1, keepdims=True))
    angle = 2 * np.pi * hertz * times_T[:, None, None] + phase
    return (amplitude * np.sin(angle)).sum(-1)
