"""Optical flow between two frames: where each pixel was a moment before."""

import cv2
import numpy as np

SHRINK = 2  # flow is sought in pictures smaller by this: a quarter of the time, and calmer
PATCH, STRIDE, STEPS = 8, 5, 12  # pixels, pixels, steps of descent; finer ones gain nothing visible
TEXTURE = 10.0  # (grey levels a small pixel)²; what has less of it is a flat surface under noise
TEXTURE_WINDOW, SMOOTHING_WINDOW = (
    7,
    15,
)  # small pixels over which texture is felt and over which flow is lent
REST = 0.2  # share of textured pixels about one that outweighs the guess that nothing moves
GREY_LEVELS = 10  # by which a warped frame may be off where its flow is trusted
BLUR = 3  # pixels over which that is averaged: noise of the camera is no motion


def dis_flow(frame_HW3: np.ndarray, before_HW3: np.ndarray) -> np.ndarray:
    """Return the flow (2, H, W) float32 of a frame (H, W, 3) uint8: pixels right, pixels down.

    It goes from each pixel of the frame to where the frame before shows the same, which is the
    convention of `models.networks.warping.warp`. Dense inverse search (Kroeger et al., ECCV 2016)
    as OpenCV has it, down to single pixels and without its variational refinement, which smooths
    fingers away. Where there is nothing to hold on to, flow is that of what is near, or none.
    """
    height, width = frame_HW3.shape[:2]
    frame_hw, before_hw = _small_grey(frame_HW3), _small_grey(before_HW3)
    flow_hw2 = _suppress_noise(_search().calc(frame_hw, before_hw, None), frame_hw)
    ratio = np.array((width, height)) / flow_hw2.shape[1::-1]
    flow_hw2 *= ratio.astype(np.float32)
    return np.stack(cv2.split(cv2.resize(flow_hw2, (width, height))))


def flow_trust(frame_HW3: np.ndarray, before_HW3: np.ndarray, flow_2HW: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8: 255 where the frame before, warped, shows what the frame shows; else 0.

    What comes into the picture, or out from behind something, is so left out.
    """
    frame_HW, before_HW = (
        cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (frame_HW3, before_HW3)
    )
    height, width = frame_HW.shape
    x_HW = flow_2HW[0] + np.arange(width, dtype=np.float32)
    y_HW = flow_2HW[1] + np.arange(height, dtype=np.float32)[:, None]
    warped_HW = cv2.remap(before_HW, x_HW, y_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    off_HW = cv2.blur(cv2.absdiff(warped_HW, frame_HW), (BLUR, BLUR))
    inside_HW = (x_HW > -1) & (x_HW < width) & (y_HW > -1) & (y_HW < height)
    return np.uint8(255) * (inside_HW & (off_HW <= GREY_LEVELS))


def _suppress_noise(flow_hw2: np.ndarray, grey_hw: np.ndarray) -> np.ndarray:
    """Return a flow without what noise on flat surfaces made of it."""
    across_hw = cv2.Sobel(grey_hw, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down_hw = cv2.Sobel(grey_hw, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    energy_hw = cv2.blur(across_hw**2 + down_hw**2, (TEXTURE_WINDOW, TEXTURE_WINDOW)) ** 2
    sure_hw1 = (energy_hw / (energy_hw + TEXTURE**2))[..., None]
    near_hw2 = cv2.blur(sure_hw1 * flow_hw2, (SMOOTHING_WINDOW, SMOOTHING_WINDOW))
    near_hw2 /= cv2.blur(sure_hw1, (SMOOTHING_WINDOW, SMOOTHING_WINDOW))[..., None] + np.float32(
        REST
    )
    return sure_hw1 * flow_hw2 + (1 - sure_hw1) * near_hw2


def _small_grey(picture_HW3: np.ndarray) -> np.ndarray:
    grey_HW = cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2GRAY)
    height, width = grey_HW.shape
    size = max(width // SHRINK, 1), max(height // SHRINK, 1)
    return cv2.resize(grey_HW, size, interpolation=cv2.INTER_AREA)


def _search() -> cv2.DISOpticalFlow:
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchSize(PATCH)
    search.setPatchStride(STRIDE)
    search.setGradientDescentIterations(STEPS)
    search.setVariationalRefinementIterations(0)
    return search
