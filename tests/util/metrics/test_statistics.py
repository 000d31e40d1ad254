import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.metrics.statistics import (
    bootstrap_interval,
    frechet_distance,
    halved_distance,
    noise_like,
)


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    chance = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        interval = bootstrap_interval(
            np.mean, chance.normal(5.0, 2.0, 40), confidence=0.9, draws=100, seed=trial
        )
        covered += interval.low <= 5.0 <= interval.high
    assert 0.8 < covered / 100 < 0.97


def test_more_samples_give_a_narrower_interval_around_the_value() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    few, many = (bootstrap_interval(np.mean, values[:count]) for count in (50, 2000))
    assert many.high - many.low < 0.4 * (few.high - few.low)
    assert few.low < few.value < few.high
    assert few.value == values[:50].mean()


def test_blocks_widen_the_interval_of_frames_that_hang_together() -> None:
    walk = np.convolve(np.random.default_rng(0).normal(size=1000), np.ones(25) / 25, "valid")
    single, blocks = (bootstrap_interval(np.mean, walk, block=size) for size in (1, 50))
    assert blocks.high - blocks.low > 2 * (single.high - single.low)


def test_pairs_stay_pairs() -> None:
    a = np.random.default_rng(0).normal(size=30)
    interval = bootstrap_interval(lambda x, y: float((x - y).mean()), a + 1, a)
    assert (interval.low, interval.high) == pytest.approx((1, 1))


def test_a_seed_gives_the_same_interval_and_nan_draws_are_left_out() -> None:
    values = np.random.default_rng(0).normal(size=20)
    assert bootstrap_interval(np.mean, values) == bootstrap_interval(np.mean, values)
    nothing = bootstrap_interval(lambda _: float("nan"), values)
    assert np.isnan(nothing.low)


def test_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="lengths"):
        bootstrap_interval(np.mean, np.zeros(3), np.zeros(4))
    with pytest.raises(DataError, match="blocks of 9"):
        bootstrap_interval(np.mean, np.zeros(3), block=9)


def cloud(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return chance.normal(size=(count, size)) @ chance.normal(size=(size, size))


def test_distance_is_zero_to_itself_symmetric_and_knows_no_place_or_turn() -> None:
    a, b = cloud(100), cloud(80, seed=1)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-7)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a @ turn + 5, b @ turn + 5) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b))


def test_a_shift_counts_squared_and_so_does_a_spread() -> None:
    a = cloud(100)
    assert frechet_distance(a + 2, a) == pytest.approx(4 * 6)
    assert frechet_distance(3 * a - 2 * a.mean(0), a) == pytest.approx(4 * np.cov(a.T).trace())


def test_fewer_vectors_than_numbers_are_no_trouble() -> None:
    a = cloud(4, size=20)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(a, cloud(5, size=20, seed=1)) > 0


def test_floor_is_below_noise() -> None:
    real = [cloud(50, seed=0)[:, :1] * np.ones(6) for _ in range(8)]
    noise = [noise_like(recording) for recording in real]
    assert halved_distance(real, real) < 0.1 * halved_distance(noise, real)


def test_one_recording_is_halved_in_time() -> None:
    recording = cloud(60)
    expected = frechet_distance(recording[:30], recording[30:])
    assert halved_distance([recording], [recording]) == expected


def test_noise_has_each_value_s_own_mean_and_spread() -> None:
    values = np.linspace(0, 1, 4000)[:, None] * (1.0, 5.0) + (0.0, 3.0)
    noise = noise_like(values)
    np.testing.assert_allclose(noise.mean(0), values.mean(0), atol=0.1)
    np.testing.assert_allclose(noise.std(0), values.std(0), rtol=0.05)
    assert abs(np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]) < 0.1


def test_clouds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="numbers"):
        frechet_distance(cloud(10), cloud(10, size=5))
    with pytest.raises(DataError, match="rows"):
        frechet_distance(cloud(1), cloud(10))
    with pytest.raises(DataError, match="recordings"):
        halved_distance([], [])
