"""Smoothing keeps parabolas and lips and removes tremor; noise is smooth and repeatable."""

import numpy as np
import pytest
import torch
from scipy.signal import savgol_coeffs

from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.smoothing import PoseSmoother, SmoothNoise, savitzky_golay

FACE = slice(POSE_SLICES["expression"].start, None)


def smoothed(pose_TP: torch.Tensor, window: int, cuts: tuple[int, ...] = ()) -> torch.Tensor:
    smoother = PoseSmoother(window)
    parts = [smoother.push(part) for part in pose_TP.tensor_split(cuts)]
    return torch.cat([*parts, smoother.finish()])


@pytest.mark.parametrize("window", [3, 7, 11])
def test_weights_equal_scipys(window: int):
    np.testing.assert_allclose(savitzky_golay(window), savgol_coeffs(window, 2), atol=1e-12)


def test_a_parabola_stays_and_tremor_goes():
    time = torch.linspace(-1, 1, 60).unsqueeze(1)
    curve = (time**2 + 0.3 * time).expand(-1, 106).contiguous()
    inside = slice(5, -5)
    torch.testing.assert_close(smoothed(curve, 9)[inside], curve[inside], atol=1e-4, rtol=1e-4)
    tremor = torch.tensor([0.1, -0.1]).repeat(30).unsqueeze(1)
    left = smoothed(curve + tremor, 9) - curve
    assert left[inside, :93].abs().max() < 0.035
    assert left[inside, FACE].abs().max() == pytest.approx(0.1, abs=1e-3)


def test_chunks_do_not_matter_and_nothing_is_lost():
    pose_TP = torch.randn(50, 106)
    whole = smoothed(pose_TP, 7)
    assert whole.shape == pose_TP.shape
    torch.testing.assert_close(smoothed(pose_TP, 7, (1, 2, 2, 30)), whole)
    torch.testing.assert_close(smoothed(pose_TP, 1), pose_TP)
    assert smoothed(pose_TP[:1], 7).shape == (1, 106) and smoothed(pose_TP[:0], 7).shape == (0, 106)


@pytest.mark.parametrize("window", [0, 2, 4])
def test_even_windows_are_refused(window: int):
    with pytest.raises(ValueError, match="odd"):
        PoseSmoother(window)


# Noise: the chunks it is asked for do not change it, and it has unit variance.


def test_chunks_do_not_matter():
    whole = SmoothNoise(5, seed=3).next(200)
    stream = SmoothNoise(5, seed=3)
    parts = [stream.next(count) for count in (1, 0, 60, 139)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_seeds_differ_and_repeat():
    assert np.array_equal(SmoothNoise(3, seed=1).next(9), SmoothNoise(3, seed=1).next(9))
    assert not np.array_equal(SmoothNoise(3, seed=1).next(9), SmoothNoise(3, seed=2).next(9))


def test_unit_variance_and_smooth():
    noise_TZ = SmoothNoise(3, seed=0).next(50_000)
    np.testing.assert_allclose(noise_TZ.std(0), 1, atol=0.1)
    steps = np.diff(noise_TZ, axis=0).std(0)
    assert (np.diff(steps) < 0).all() and steps[0] < 0.6  # each slower than the one before
