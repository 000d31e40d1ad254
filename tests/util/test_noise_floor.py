"""The noise floor: a quantile of the past, whatever is said above it, however it comes."""

import numpy as np
import pytest

from speech2video.util.noise_floor import BATCH, HISTORY, QUANTILE, NoiseFloor


def power(frames: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).chisquare(8, (frames, bands)) / 8


def test_it_is_the_quantile_of_the_past():
    power_TB = power(2 * HISTORY)
    floor_TB = NoiseFloor(3).push(power_TB)
    for frame in (0, 1, 7, HISTORY - 1, HISTORY, 2 * HISTORY - 1):
        heard = power_TB[max(frame + 1 - HISTORY, 0) : frame + 1]
        truth = np.quantile(heard, QUANTILE, axis=0, method="lower")
        np.testing.assert_array_equal(floor_TB[frame], truth)


@pytest.mark.parametrize("frames", [0, 1, HISTORY, BATCH, BATCH + 1, 2 * BATCH + 300])
def test_chunks_do_not_matter(frames: int):
    power_TB, random = power(frames), np.random.default_rng(1)
    floor, cuts = NoiseFloor(3), np.sort(random.integers(0, frames + 1, 20))
    streamed = np.concatenate([floor.push(part) for part in np.split(power_TB, cuts)])
    np.testing.assert_array_equal(streamed, NoiseFloor(3).push(power_TB))


def test_bursts_above_it_do_not_move_it():
    noise_TB = power(1000)
    burst_TB = noise_TB.copy()
    burst_TB[np.arange(1000) % 10 < 6] *= 1000.0
    still, busy = NoiseFloor(3).push(noise_TB), NoiseFloor(3).push(burst_TB)
    assert np.abs(np.log(busy[HISTORY:] / still[HISTORY:])).max() < 0.7  # 3 dB


def test_it_follows_a_room_that_changes():
    louder_TB = power(4 * HISTORY) * np.repeat([1.0, 100.0], 2 * HISTORY)[:, None]
    floor_TB = NoiseFloor(3).push(louder_TB)
    ratio = floor_TB[-1] / floor_TB[2 * HISTORY - 1]
    np.testing.assert_allclose(ratio, 100, rtol=0.3)
    quieter_TB = NoiseFloor(3).push(louder_TB[::-1])
    assert (quieter_TB[2 * HISTORY + HISTORY // 2] < 2).all()


def test_memory_is_bounded():
    floor = NoiseFloor(3)
    floor.push(power(5000))
    assert floor._past.base is None or floor._past.base.nbytes < 3 * 8 * (HISTORY + BATCH) * 2
    assert len(floor._past) == HISTORY - 1
