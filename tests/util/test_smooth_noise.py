"""Noise: the chunks it is asked for do not change it, and it has unit variance."""

import numpy as np

from speech2video.util.smooth_noise import NoiseStream


def test_chunks_do_not_matter():
    whole = NoiseStream(5, seed=3).next(200)
    stream = NoiseStream(5, seed=3)
    parts = [stream.next(count) for count in (1, 0, 60, 139)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_seeds_differ_and_repeat():
    assert np.array_equal(NoiseStream(3, seed=1).next(9), NoiseStream(3, seed=1).next(9))
    assert not np.array_equal(NoiseStream(3, seed=1).next(9), NoiseStream(3, seed=2).next(9))


def test_unit_variance_and_smooth():
    noise_TZ = NoiseStream(3, seed=0).next(50_000)
    np.testing.assert_allclose(noise_TZ.std(0), 1, atol=0.1)
    steps = np.diff(noise_TZ, axis=0).std(0)
    assert (np.diff(steps) < 0).all() and steps[0] < 0.6  # each slower than the one before
