import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.metrics.statistics import (
    MIN_OVERLAP,
    best_lag,
    bootstrap_interval,
    correlation,
    finite_mean,
    frechet_distance,
    halved_distance,
    lag_correlations,
    noise_like,
    percentile,
)

MAX_LAG = 8


def smooth_series(count: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=count + 4)
    return np.convolve(noise, np.ones(5) / 5, mode="valid")


def features(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, size)) @ random.normal(size=(size, size))


def lag_of(a_T: np.ndarray, b_T: np.ndarray) -> tuple[int | None, float]:
    return best_lag(lag_correlations(a_T, b_T, MAX_LAG))


@pytest.mark.parametrize("shift", [-5, -1, 0, 3, 8])
def test_a_shift_is_found(shift: int) -> None:
    long = smooth_series(140)
    a, b = long[20:120], long[20 - shift : 120 - shift]
    assert lag_of(a, b) == (shift, pytest.approx(1))
    assert lag_of(b, a)[0] == -shift


def test_missing_frames_do_not_change_the_lag() -> None:
    long = smooth_series(340)
    a, b = long[20:320].copy(), long[17:317].copy()
    a[40:80], b[100:110], b[7] = np.nan, np.nan, np.inf
    assert lag_of(a, b) == (3, pytest.approx(1))


def test_correlation_is_invariant_to_scale_and_offset() -> None:
    a, b = smooth_series(100), smooth_series(100, seed=1)
    assert correlation(a, 3 * a + 5) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    assert correlation(2 * a + 1, b) == pytest.approx(correlation(a, b))
    assert lag_correlations(a, b, MAX_LAG)[MAX_LAG] == correlation(a, b)


def test_undefined_correlations_are_nan() -> None:
    a = smooth_series(100)
    assert np.isnan(correlation(a, np.ones(100)))
    assert np.isnan(correlation(a[: MIN_OVERLAP - 1], a[: MIN_OVERLAP - 1]))
    lag, value = lag_of(a[:10], a[:10])
    assert lag is None and np.isnan(value)
    with pytest.raises(DataError, match="length"):
        lag_of(np.zeros(40), np.zeros(41))


def test_means_and_percentiles_ignore_missing_values() -> None:
    values = np.array([5.0, np.nan, 7.0, np.inf])
    assert finite_mean(values) == percentile(values, 50) == 6
    assert np.isnan(finite_mean(values[1:2])) and np.isnan(percentile(values[1:2], 50))


def test_interval_covers_the_true_mean_at_about_its_confidence() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        interval = bootstrap_interval(
            np.mean, random.normal(5.0, 2.0, 40), confidence=0.9, draws=100, seed=trial
        )
        covered += interval.low <= 5.0 <= interval.high
    assert 0.8 < covered / 100 < 0.97


def test_more_samples_give_a_narrower_interval() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    few, many = (bootstrap_interval(np.mean, values[:count]) for count in (50, 2000))
    assert many.high - many.low < 0.4 * (few.high - few.low)
    assert few.low < few.value < few.high
    assert few.value == values[:50].mean()


def test_blocks_widen_the_interval_of_dependent_frames() -> None:
    series = np.convolve(np.random.default_rng(0).normal(size=1000), np.ones(25) / 25, "valid")
    single, blocks = (bootstrap_interval(np.mean, series, block=size) for size in (1, 50))
    assert blocks.high - blocks.low > 2 * (single.high - single.low)


def test_samples_are_resampled_together() -> None:
    a = np.random.default_rng(0).normal(size=30)
    interval = bootstrap_interval(lambda x, y: float((x - y).mean()), a + 1, a)
    assert (interval.low, interval.high) == pytest.approx((1, 1))


def test_a_seed_repeats_the_interval_and_nan_draws_are_ignored() -> None:
    values = np.random.default_rng(0).normal(size=20)
    assert bootstrap_interval(np.mean, values) == bootstrap_interval(np.mean, values)
    assert np.isnan(bootstrap_interval(lambda _: float("nan"), values).low)


def test_mismatched_samples_are_refused() -> None:
    with pytest.raises(DataError, match="lengths"):
        bootstrap_interval(np.mean, np.zeros(3), np.zeros(4))
    with pytest.raises(DataError, match="blocks of 9"):
        bootstrap_interval(np.mean, np.zeros(3), block=9)


def test_distance_is_zero_to_itself_symmetric_and_invariant_to_rigid_motion() -> None:
    a, b = features(100), features(80, seed=1)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-7)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a @ turn + 5, b @ turn + 5) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b))


def test_distance_is_quadratic_in_shift_and_scale() -> None:
    a = features(100)
    assert frechet_distance(a + 2, a) == pytest.approx(4 * 6)
    assert frechet_distance(3 * a - 2 * a.mean(0), a) == pytest.approx(4 * np.cov(a.T).trace())


def test_fewer_vectors_than_dimensions_are_accepted() -> None:
    a = features(4, size=20)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(a, features(5, size=20, seed=1)) > 0


def test_halves_of_real_motion_are_closer_than_noise() -> None:
    real = [features(50, seed=0)[:, :1] * np.ones(6) for _ in range(8)]
    noise = [noise_like(recording) for recording in real]
    assert halved_distance(real, real) < 0.1 * halved_distance(noise, real)


def test_one_recording_is_halved_in_time() -> None:
    recording = features(60)
    expected = frechet_distance(recording[:30], recording[30:])
    assert halved_distance([recording], [recording]) == expected


def test_noise_has_the_mean_and_deviation_of_each_column() -> None:
    values = np.linspace(0, 1, 4000)[:, None] * (1.0, 5.0) + (0.0, 3.0)
    noise = noise_like(values)
    np.testing.assert_allclose(noise.mean(0), values.mean(0), atol=0.1)
    np.testing.assert_allclose(noise.std(0), values.std(0), rtol=0.05)
    assert abs(np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]) < 0.1


def test_mismatched_features_are_refused() -> None:
    with pytest.raises(DataError, match="numbers"):
        frechet_distance(features(10), features(10, size=5))
    with pytest.raises(DataError, match="rows"):
        frechet_distance(features(1), features(10))
    with pytest.raises(DataError, match="recordings"):
        halved_distance([], [])
