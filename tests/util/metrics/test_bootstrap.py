import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.metrics.bootstrap import bootstrap_interval


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
