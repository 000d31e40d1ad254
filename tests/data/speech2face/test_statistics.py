"""Statistics of clips that come one after the other equal NumPy's of all together."""

import numpy as np
import pytest

from speech2video.data.speech2face.statistics import (
    column_statistics,
    every_nth,
    repeated_quantile,
    row_statistics,
)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Versions of NumPy add up in other orders."""
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=5e-6, atol=5e-6)


@pytest.mark.parametrize("count", [1, 7, 129, 5000, 100_003])
def test_columns_add_up_as_numpy_adds_them(count: int) -> None:
    rng = np.random.default_rng(count)
    mels_BN = (rng.normal(-9, 3, (8, count))).astype(np.float32)
    places = np.sort(rng.integers(count + 1, size=5))
    mean_B, std_B = column_statistics(np.split(mels_BN, places, axis=1))
    assert_same(mean_B, mels_BN.mean(1))
    assert_same(std_B, mels_BN.std(1))


@pytest.mark.parametrize("count", [1, 3, 1000, 70_001])
@pytest.mark.parametrize("repeat", [1, 2, 5])
def test_rows_add_up_as_numpy_adds_them(count: int, repeat: int) -> None:
    rows_NM = np.random.default_rng(count).normal(3, 2, (count, 7)).astype(np.float32)
    all_NM = np.concatenate([rows_NM] * repeat)
    mean_M, std_M = row_statistics(rows_NM, repeat)
    assert_same(mean_M, all_NM.mean(0))
    assert_same(std_M, all_NM.std(0))
    for quantile in (0.002, 0.3, 0.998):
        # in 32 bits some versions round the place between two rows
        expected_M = np.quantile(all_NM.astype(np.float64), quantile, axis=0)
        found_M = repeated_quantile(rows_NM, quantile, repeat)
        assert_same(found_M, expected_M.astype(np.float32))


def test_of_very_many_clips_some_are_taken() -> None:
    assert [every_nth(frames, 100) for frames in (1, 100, 101, 200, 201)] == [1, 1, 2, 2, 3]
