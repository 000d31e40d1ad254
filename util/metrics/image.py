"""Image and video metrics without networks: similarity, sharpness, temporal stability.

Frames are (T, 3, H, W) uint8 RGB. Values are per frame (T,), over the whole image or in boxes
(T, 4), x0 y0 x1 y1 in pixels; NaN for frames without a box.
"""

import contextlib
import warnings
from collections.abc import Iterator
from types import ModuleType

import cv2
import numpy as np
import torch
from torch import Tensor

from speech2video.util.errors import DataError, UserError

IDENTICAL_DB = 100.0  # PSNR of identical images
LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601
MS_SSIM_MIN_SIZE = 161  # pixels, for five scales of an 11-pixel window
SSIM_MIN_SIZE = 6  # pixels; the window reaches five beyond the border, by reflection
STATIC_LEVELS = 2  # grey levels of change up to which a pixel counts as static


def psnr(
    predicted_T3HW: np.ndarray, true_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None
) -> np.ndarray:
    """Return the peak signal-to-noise ratio (T,) in dB, at most `IDENTICAL_DB`.

    Raises:
        DataError: the frames differ in shape.
    """
    _check_pair(predicted_T3HW, true_T3HW)
    error_T3HW = np.subtract(predicted_T3HW, true_T3HW, dtype=np.float32) / 255
    error_T = mean_in_boxes(np.square(error_T3HW).mean(1), boxes_T4)
    return -10 * np.log10(np.maximum(error_T, 10 ** (-IDENTICAL_DB / 10)))


def ssim(
    predicted_T3HW: np.ndarray, true_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None
) -> np.ndarray:
    """Return the structural similarity (T,), at most 1 (Wang et al., IEEE TIP 13, 2004).

    The mean of torchmetrics' map, with a Gaussian window of σ 1.5 pixels per colour. In boxes the
    mean is over windows centred there, without resampling.

    Raises:
        DataError: the frames differ in shape or are smaller than `SSIM_MIN_SIZE`.
        UserError: torchmetrics is not installed.
    """
    return mean_in_boxes(ssim_map(predicted_T3HW, true_T3HW), boxes_T4)


def ssim_map(predicted_T3HW: np.ndarray, true_T3HW: np.ndarray) -> np.ndarray:
    """Return the structural similarity map (T, H, W); raises as `ssim` does."""
    _check_pair(predicted_T3HW, true_T3HW)
    if min(true_T3HW.shape[2:]) < SSIM_MIN_SIZE:
        raise DataError(f"images of {true_T3HW.shape[2:]} pixels; SSIM needs {SSIM_MIN_SIZE}")
    with torchmetrics() as functional:
        _, maps_T3HW = functional.structural_similarity_index_measure(
            _unit(predicted_T3HW), _unit(true_T3HW),
            data_range=1.0, reduction="none", return_full_image=True,
        )  # fmt: skip
    return maps_T3HW.mean(1).numpy()


def ms_ssim(predicted_T3HW: np.ndarray, true_T3HW: np.ndarray) -> np.ndarray:
    """Return torchmetrics' multi-scale SSIM (T,) (Wang et al., Asilomar 2003).

    NaN for images smaller than `MS_SSIM_MIN_SIZE`. Raises as `ssim` does.
    """
    _check_pair(predicted_T3HW, true_T3HW)
    if min(true_T3HW.shape[2:]) < MS_SSIM_MIN_SIZE:
        return np.full(len(true_T3HW), np.nan)
    with torchmetrics() as functional:
        return functional.multiscale_structural_similarity_index_measure(
            _unit(predicted_T3HW), _unit(true_T3HW),
            data_range=1.0, reduction="none", normalize="relu",
        ).numpy()  # fmt: skip


def sharpness(frames_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None) -> np.ndarray:
    """Return the variance (T,) of the luma's 3 × 3 Laplacian (Pech-Pacheco et al., ICPR 2000).

    In squared levels of 255. Noise raises it too: compare it with the real image's value.
    """
    luma_THW = np.tensordot(frames_T3HW.astype(np.float32), LUMA, ((1,), (0,)))
    border = cv2.BORDER_REFLECT
    laplacians = (cv2.Laplacian(luma, cv2.CV_32F, borderType=border) for luma in luma_THW)
    laplacian_THW = np.stack(list(laplacians))
    mean_T = mean_in_boxes(laplacian_THW, boxes_T4)
    return mean_in_boxes(np.square(laplacian_THW), boxes_T4) - np.square(mean_T)


def flicker(
    frames_T3HW: np.ndarray, true_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None
) -> np.ndarray:
    """Return the mean absolute change (T,) from the previous frame where the true video is static.

    In levels of 255, over pixels whose true colours change by at most `STATIC_LEVELS`. NaN for the
    first frame, and where no pixel is static.
    """
    _check_pair(frames_T3HW, true_T3HW)
    static_THW = _changes(true_T3HW).max(1) <= STATIC_LEVELS
    change_THW = _changes(frames_T3HW).mean(1, dtype=np.float32)
    return _mean_of_changes(change_THW, static_THW, boxes_T4)


def jitter(frames_T3HW: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference (T,) of a frame to the mean of its neighbours.

    In levels of 255. It needs no true video that moves alike, as `flicker` does, but includes
    camera noise and quick motion: compare it with the recording's. NaN for first and last frame.
    """
    change_T = np.full(len(frames_T3HW), np.nan)
    for number in range(1, len(frames_T3HW) - 1):
        before, here, after = frames_T3HW[number - 1 : number + 2].astype(np.float32)
        change_T[number] = np.abs(here - (before + after) / 2).mean()
    return change_T


def warping_error(
    frames_T3HW: np.ndarray,
    flow_T2HW: np.ndarray,
    trust_THW: np.ndarray,
    boxes_T4: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean squared error (T,) of each frame to its warped previous one, colours 0..1.

    Lai et al., ECCV 2018. NaN for the first frame, whose flow is not used.

    Args:
        frames_T3HW: generated frames.
        flow_T2HW: backward flow of the true video, in pixels right and down.
        trust_THW: pixels used; occluded ones are False.
        boxes_T4: regions, or None for the whole image.
    """
    following = frames_T3HW[1:]
    warped = [_warp(*pair) for pair in zip(frames_T3HW[:-1], flow_T2HW[1:], strict=True)]
    error_TCHW = np.square((following - np.array(warped).reshape(following.shape)) / 255)
    return _mean_of_changes(error_TCHW.mean(1), trust_THW[1:], boxes_T4)


def _warp(frame_3HW: np.ndarray, flow_2HW: np.ndarray) -> np.ndarray:
    """Return a frame (3, H, W) float32 warped by a backward flow, its border replicated."""
    rows, columns = np.indices(flow_2HW.shape[1:], dtype=np.float32)
    there = columns + flow_2HW[0].astype(np.float32), rows + flow_2HW[1].astype(np.float32)
    image_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0), np.float32)
    moved = cv2.remap(image_HW3, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved.transpose(2, 0, 1)


def mean_in_boxes(values_THW: np.ndarray, boxes_T4: np.ndarray | None = None) -> np.ndarray:
    """Return the mean (T,) of each frame's values (H, W), whole or in its box, or NaN."""
    return _masked_mean(values_THW, np.ones(values_THW.shape, bool), boxes_T4)


@contextlib.contextmanager
def torchmetrics() -> Iterator[ModuleType]:
    """Give `torchmetrics.functional.image`, with its warnings on import suppressed.

    Raises:
        UserError: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from torchmetrics.functional import image
        except ImportError as error:
            raise UserError(
                f"torchmetrics cannot be imported ({error}); pip install 'speech2video[evaluate]'"
            ) from None
        with torch.no_grad():
            yield image


def _masked_mean(
    values_THW: np.ndarray, counted_THW: np.ndarray, boxes_T4: np.ndarray | None
) -> np.ndarray:
    """Return the mean (T,) of the counted values inside the boxes."""
    means = np.full(len(values_THW), np.nan)
    for t, (values_HW, counted_HW) in enumerate(zip(values_THW, counted_THW, strict=True)):
        place = slice(None) if boxes_T4 is None else _inside(boxes_T4[t])
        if counted_HW[place].any():
            means[t] = values_HW[place][counted_HW[place]].mean(dtype=np.float64)
    return means


def _inside(box_4: np.ndarray) -> tuple[slice, slice]:
    """Return the pixels that a box touches; none for a NaN box."""
    if not np.isfinite(box_4).all():
        return slice(0), slice(0)
    left, top = np.floor(box_4[:2].clip(0)).astype(int)
    right, bottom = np.ceil(box_4[2:].clip(0)).astype(int)
    return slice(top, bottom), slice(left, right)


def _check_pair(predicted: np.ndarray, true: np.ndarray) -> None:
    if predicted.shape != true.shape or true.ndim != 4 or true.shape[1] != 3:
        shapes = f"{predicted.shape} and {true.shape}"
        raise DataError(f"frames of shapes {shapes}; twice (T, 3, H, W) is needed")
    if predicted.dtype != np.uint8 or true.dtype != np.uint8:
        raise DataError(f"frames of {predicted.dtype} and {true.dtype}; uint8 is needed")


def _unit(frames_T3HW: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames_T3HW)).float() / 255


def _changes(frames_T3HW: np.ndarray) -> np.ndarray:
    """Return the absolute change (T − 1, 3, H, W) of each colour between frames."""
    return np.abs(np.diff(frames_T3HW.astype(np.int16), axis=0))


def _mean_of_changes(
    values_THW: np.ndarray, counted_THW: np.ndarray, boxes_T4: np.ndarray | None
) -> np.ndarray:
    """Return `_masked_mean` of values of the frames from the second on, with NaN for the first."""
    boxes = None if boxes_T4 is None else boxes_T4[1:]
    return np.concatenate(([np.nan], _masked_mean(values_THW, counted_THW, boxes)))
