"""Pictures beside the true ones: how near they come, how sharp they are, how steady in time.

Frames are (T, 3, H, W) uint8 RGB. Figures come frame by frame (T,), over the whole picture or in
boxes (T, 4), x0 y0 x1 y1 in pixels, as `util.regions` gives them; NaN where a frame has none.
"""

import contextlib
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from speech2video.util.errors import DataError, UserError

IDENTICAL_DB = 100.0  # what pictures without any difference are said to reach
LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601
MS_SSIM_SIDE = 161  # pixels; five scales of an 11-pixel window need so many
SSIM_SIDE = 6  # pixels; the window reaches five beyond the border, by reflection
STILL = 2  # grey levels; where the true picture changes by no more, nothing moves


def psnr(
    predicted_T3HW: np.ndarray, true_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None
) -> np.ndarray:
    """Return the peak signal-to-noise ratio (T,) in dB: −10 log₁₀ of the mean squared error.

    Colours count as 0 to 1. It stops at `IDENTICAL_DB`. Raises `DataError` for frames that differ
    in shape.
    """
    predicted_T3HW, true_T3HW = _pair(predicted_T3HW, true_T3HW)
    error_T3HW = np.subtract(predicted_T3HW, true_T3HW, dtype=np.float32) / 255
    error_T = mean_in_boxes(np.square(error_T3HW).mean(1), boxes_T4)
    return -10 * np.log10(np.maximum(error_T, 10 ** (-IDENTICAL_DB / 10)))


def ssim(
    predicted_T3HW: np.ndarray, true_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None
) -> np.ndarray:
    """Return the structural similarity (T,), at most 1 (Wang et al., IEEE TIP 13, 2004).

    torchmetrics' map of it, Gaussian window of σ 1.5 pixels over each colour, averaged. In boxes it
    is averaged over the windows that have their middle there, at the picture's own scale, so that
    no crop is resampled.

    Raises:
        DataError: frames that differ in shape, or are smaller than the window allows.
        UserError: torchmetrics is not installed.
    """
    return mean_in_boxes(ssim_map(predicted_T3HW, true_T3HW), boxes_T4)


def ssim_map(predicted_T3HW: np.ndarray, true_T3HW: np.ndarray) -> np.ndarray:
    """Return the structural similarity (T, H, W) of the window around each pixel, as `ssim`."""
    predicted_T3HW, true_T3HW = _pair(predicted_T3HW, true_T3HW)
    if min(true_T3HW.shape[2:]) < SSIM_SIDE:
        raise DataError(f"pictures of {true_T3HW.shape[2:]} pixels; SSIM needs {SSIM_SIDE}")
    with torchmetrics() as functional:
        _, maps_T3HW = functional.structural_similarity_index_measure(
            _unit(predicted_T3HW), _unit(true_T3HW),
            data_range=1.0, reduction="none", return_full_image=True,
        )  # fmt: skip
    return maps_T3HW.mean(1).numpy()


def ms_ssim(predicted_T3HW: np.ndarray, true_T3HW: np.ndarray) -> np.ndarray:
    """Return the similarity over five scales (T,) (Wang et al., Asilomar 2003), by torchmetrics.

    NaN for pictures under `MS_SSIM_SIDE`, which have no five scales. Raises as `ssim` does.
    """
    predicted_T3HW, true_T3HW = _pair(predicted_T3HW, true_T3HW)
    if min(true_T3HW.shape[2:]) < MS_SSIM_SIDE:
        return np.full(len(true_T3HW), np.nan)
    with torchmetrics() as functional:
        return functional.multiscale_structural_similarity_index_measure(
            _unit(predicted_T3HW), _unit(true_T3HW),
            data_range=1.0, reduction="none", normalize="relu",
        ).numpy()  # fmt: skip


def sharpness(frames_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None) -> np.ndarray:
    """Return the variance (T,) of the luma's 3 × 3 Laplacian, in squared levels of 255.

    A picture out of focus has little of it (Pech-Pacheco et al., ICPR 2000). Noise has much: only
    beside the true picture's own does it say something.
    """
    laplacian_THW = np.stack(
        [
            cv2.Laplacian(luma, cv2.CV_32F, borderType=cv2.BORDER_REFLECT)
            for luma in _luma(frames_T3HW)
        ]
    )
    mean_T = mean_in_boxes(laplacian_THW, boxes_T4)
    return mean_in_boxes(np.square(laplacian_THW), boxes_T4) - np.square(mean_T)


def flicker(
    frames_T3HW: np.ndarray, true_T3HW: np.ndarray, boxes_T4: np.ndarray | None = None
) -> np.ndarray:
    """Return by how many levels of 255 a frame differs from the one before where nothing moves.

    (T,), the mean absolute difference over the pixels whose true colours change by at most `STILL`;
    NaN for the first frame, and where all moves.
    """
    frames_T3HW, true_T3HW = _pair(frames_T3HW, true_T3HW)
    still_THW = (_steps(true_T3HW) <= STILL).all(1)
    change_THW = _steps(frames_T3HW).mean(1, dtype=np.float32)
    return _lagging(_share(change_THW, still_THW, None if boxes_T4 is None else boxes_T4[1:]))


def warping_error(
    frames_T3HW: np.ndarray,
    flow_T2HW: np.ndarray,
    trust_THW: np.ndarray,
    boxes_T4: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean squared difference (T,) of each frame from the one before, moved along.

    Lai et al., ECCV 2018: colours count as 0 to 1, `flow_T2HW` is the true video's, pixels right
    and down from each pixel of a frame to where the frame before shows the same, and pixels without
    trust, such as those hidden there, are left out. NaN for the first frame; its flow is not used.
    """
    moved = [warped(*pair) for pair in zip(frames_T3HW[:-1], flow_T2HW[1:], strict=True)]
    error_TCHW = np.square((frames_T3HW[1:] - np.array(moved).reshape(frames_T3HW[1:].shape)) / 255)
    boxes = None if boxes_T4 is None else boxes_T4[1:]
    return _lagging(_share(error_TCHW.mean(1), trust_THW[1:], boxes))


def warped(frame_3HW: np.ndarray, flow_2HW: np.ndarray) -> np.ndarray:
    """Return a frame (3, H, W) float32 as seen along a flow, the border repeated beyond it."""
    rows, columns = np.indices(flow_2HW.shape[1:], dtype=np.float32)
    there = columns + flow_2HW[0].astype(np.float32), rows + flow_2HW[1].astype(np.float32)
    picture_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0), np.float32)
    moved = cv2.remap(picture_HW3, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved.transpose(2, 0, 1)


def mean_in_boxes(values_THW: np.ndarray, boxes_T4: np.ndarray | None = None) -> np.ndarray:
    """Return the mean (T,) of each frame's values (H, W), whole or in its box, NaN without one."""
    return _share(values_THW, np.ones(values_THW.shape, bool), boxes_T4)


@contextlib.contextmanager
def torchmetrics() -> Iterator[object]:
    """Give `torchmetrics.functional.image`, without the warnings that it has for importers.

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


def _share(
    values_THW: np.ndarray, counted_THW: np.ndarray, boxes_T4: np.ndarray | None
) -> np.ndarray:
    """Return the mean (T,) of the values that count, inside the boxes."""
    means = np.full(len(values_THW), np.nan)
    for t, (values_HW, counted_HW) in enumerate(zip(values_THW, counted_THW, strict=True)):
        place = slice(None) if boxes_T4 is None else _inside(boxes_T4[t], values_HW.shape)
        if place is not None and counted_HW[place].any():
            means[t] = values_HW[place][counted_HW[place]].mean(dtype=np.float64)
    return means


def _inside(box_4: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the whole pixels that a box touches, None for no box or one outside the picture."""
    if not np.isfinite(box_4).all():
        return None
    height, width = shape
    left, top = np.floor(box_4[:2]).astype(int).clip(0, (width, height))
    right, bottom = np.ceil(box_4[2:]).astype(int).clip(0, (width, height))
    return None if right <= left or bottom <= top else (slice(top, bottom), slice(left, right))


def _pair(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if predicted.shape != true.shape or true.ndim != 4 or true.shape[1] != 3:
        raise DataError(
            f"frames of shapes {predicted.shape} and {true.shape}; twice (T, 3, H, W) is needed"
        )
    if predicted.dtype != np.uint8 or true.dtype != np.uint8:
        raise DataError(f"frames of {predicted.dtype} and {true.dtype}; uint8 is needed")
    return predicted, true


def _unit(frames_T3HW: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames_T3HW)).float() / 255


def _luma(frames_T3HW: np.ndarray) -> np.ndarray:
    return np.tensordot(frames_T3HW.astype(np.float32), LUMA, ((1,), (0,)))


def _steps(frames_T3HW: np.ndarray) -> np.ndarray:
    """Return by how much (T − 1, 3, H, W) each colour changes from frame to frame."""
    return np.abs(np.diff(frames_T3HW.astype(np.int16), axis=0))


def _lagging(values: np.ndarray) -> np.ndarray:
    """Return figures of the frames from the second on as those of all frames."""
    return np.concatenate(([np.nan], values))
