"""Properties of image metrics, and torchmetrics as a reference."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from speech2video.util.errors import DataError
from speech2video.util.metrics import image as metrics

FRAMES, SIDE = 4, 192


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A smooth coloured texture that moves one pixel per frame to the right."""
    random = np.random.default_rng(0)
    texture = gaussian_filter(random.normal(size=(3, SIDE, SIDE + FRAMES)), (0, 2, 2))
    texture = (128 + 40 * texture / texture.std()).clip(30, 225).astype(np.uint8)
    return np.stack([texture[:, :, FRAMES - t : FRAMES - t + SIDE] for t in range(FRAMES)])


def noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=frames.shape) * sigma
    return (frames + noise).round().clip(0, 255).astype(np.uint8)


def boxes(*box: float) -> np.ndarray:
    return np.tile(np.array(box, np.float32), (FRAMES, 1))


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_psnr_of_known_noise(frames: np.ndarray, sigma: float) -> None:
    expected = 20 * np.log10(255 / np.hypot(sigma, 12**-0.5))  # rounding adds a twelfth
    found = metrics.psnr(noisy(frames, sigma), frames)
    assert found == pytest.approx(np.full(FRAMES, expected), abs=0.1)


def test_psnr_equals_torchmetrics(frames: np.ndarray) -> None:
    with metrics.torchmetrics() as functional:
        expected = functional.peak_signal_noise_ratio(
            metrics._unit(noisy(frames, 5)), metrics._unit(frames),
            data_range=1.0, dim=(1, 2, 3), reduction="none",
        )  # fmt: skip
    assert metrics.psnr(noisy(frames, 5), frames) == pytest.approx(expected.numpy(), abs=1e-3)


def test_identical_images_are_perfect(frames: np.ndarray) -> None:
    assert (metrics.psnr(frames, frames) == metrics.IDENTICAL_DB).all()
    assert metrics.ssim(frames, frames) == pytest.approx(np.ones(FRAMES))
    assert metrics.ms_ssim(frames, frames) == pytest.approx(np.ones(FRAMES), abs=1e-5)


def test_ssim_by_the_formula(frames: np.ndarray) -> None:
    other = noisy(frames, 10)
    x, y = other[0].astype(float) / 255, frames[0].astype(float) / 255

    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, (0, 1.5, 1.5), truncate=3.5, mode="mirror")

    c1, c2 = 0.01**2, 0.03**2
    covariance = mean(x * y) - mean(x) * mean(y)
    spread = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    light = (2 * mean(x) * mean(y) + c1) / (mean(x) ** 2 + mean(y) ** 2 + c1)
    expected = (light * (2 * covariance + c2) / (spread + c2)).mean(0)
    assert metrics.ssim_map(other, frames)[0] == pytest.approx(expected, abs=1e-3)


def test_similarity_is_symmetric_and_falls_with_noise(frames: np.ndarray) -> None:
    for measure in (metrics.ssim, metrics.ms_ssim, metrics.psnr):
        some, more = (measure(noisy(frames, sigma), frames) for sigma in (5, 20))
        assert (some > more).all()
        assert measure(frames, noisy(frames, 5)) == pytest.approx(some, abs=1e-5)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim, metrics.ms_ssim])
def test_similarity_is_mirror_invariant(frames: np.ndarray, measure) -> None:
    other = noisy(frames, 10)
    mirrored = measure(other[..., ::-1].copy(), frames[..., ::-1].copy())
    assert mirrored == pytest.approx(measure(other, frames), abs=1e-5)


def test_small_images_have_no_five_scales(frames: np.ndarray) -> None:
    assert np.isnan(metrics.ms_ssim(frames[..., :100], frames[..., :100])).all()


def test_boxes_restrict_metrics(frames: np.ndarray) -> None:
    spoilt = frames.copy()
    spoilt[:, :, :40, :40] = 255 - spoilt[:, :, :40, :40]
    clean, whole, spot = boxes(60, 60, 120, 120), boxes(0, 0, SIDE, SIDE), boxes(-9, -9, 39.5, 40)
    assert (metrics.psnr(spoilt, frames, clean) == metrics.IDENTICAL_DB).all()
    assert metrics.ssim(spoilt, frames, clean) == pytest.approx(np.ones(FRAMES))
    for measure in (metrics.psnr, metrics.ssim):
        assert measure(spoilt, frames, whole) == pytest.approx(measure(spoilt, frames))
        assert (measure(spoilt, frames, spot) < measure(spoilt, frames)).all()
    crop = np.s_[:, :, :40, :40]
    expected = metrics.psnr(spoilt[crop], frames[crop])
    assert metrics.psnr(spoilt, frames, spot) == pytest.approx(expected)


@pytest.mark.parametrize("box", [(np.nan,) * 4, (300, 300, 320, 320), (0, 0, 0, 0)])
def test_without_a_box_metrics_are_nan(frames: np.ndarray, box: tuple[float, ...]) -> None:
    for measure in (metrics.psnr, metrics.ssim, metrics.flicker):
        assert np.isnan(measure(frames, frames, boxes(*box))).all()


def test_blur_lowers_sharpness(frames: np.ndarray) -> None:
    blurred = gaussian_filter(frames, (0, 0, 2, 2))
    assert (metrics.sharpness(blurred) < 0.5 * metrics.sharpness(frames)).all()
    assert (metrics.sharpness(np.full_like(frames, 90)) == 0).all()
    darker = frames // 2
    assert metrics.sharpness(darker) == pytest.approx(metrics.sharpness(frames) / 4, rel=0.1)


def test_flicker_is_change_of_static_pixels(frames: np.ndarray) -> None:
    static = np.repeat(frames[:1], FRAMES, 0)
    assert metrics.flicker(static, static)[1:] == pytest.approx(np.zeros(FRAMES - 1))
    blinking = static.copy()
    blinking[1::2] += 7
    assert metrics.flicker(blinking, static)[1:] == pytest.approx(np.full(FRAMES - 1, 7))
    half = static.copy()
    half[1::2, :, :, SIDE // 2 :] += 30  # moves, so that it is not counted
    assert metrics.flicker(half, half)[1:] == pytest.approx(np.zeros(FRAMES - 1))
    assert np.isnan(metrics.flicker(blinking, static)[0])


def test_steady_change_is_no_jitter() -> None:
    brighter = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * np.ones((3, 8, 8), np.uint8)
    jitter_T = metrics.jitter(brighter)
    assert np.isnan(jitter_T[[0, -1]]).all() and (jitter_T[1:-1] == 0).all()
    brighter[1::2] += 6
    assert metrics.jitter(brighter)[1:-1] == pytest.approx(np.full(FRAMES - 2, 6))
    assert np.isnan(metrics.jitter(brighter[:2])).all()


def test_motion_along_the_flow_has_no_warping_error(frames: np.ndarray) -> None:
    flow = np.zeros((FRAMES, 2, SIDE, SIDE), np.float32)
    flow[:, 0] = -1  # each pixel was one to the left
    trust = np.ones((FRAMES, SIDE, SIDE), bool)
    trust[:, :, 0] = False
    assert metrics.warping_error(frames, flow, trust)[1:] == pytest.approx(np.zeros(FRAMES - 1))
    assert (metrics.warping_error(noisy(frames, 5), flow, trust)[1:] > 1e-4).all()
    assert (metrics.warping_error(frames, 0 * flow, trust)[1:] > 1e-4).all()


@pytest.mark.parametrize("other", [np.zeros((4, 3, 9, 9), np.uint8), np.zeros((4, 3, 8, 8))])
def test_mismatched_frames_are_refused(other: np.ndarray) -> None:
    with pytest.raises(DataError, match="needed"):
        metrics.ssim(np.zeros((4, 3, 8, 8), np.uint8), other)
