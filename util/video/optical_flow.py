"""Optical flow between two frames by dense inverse search, and where it can be trusted."""

import cv2
import numpy as np

SHRINK = 2  # flow is computed at this fraction of the size: four times as fast, and less noisy
PATCH, STRIDE, ITERATIONS = 8, 5, 12  # pixels, pixels, gradient steps
TEXTURE = 10.0  # (grey levels per small pixel)²; less is a flat surface under noise
TEXTURE_WINDOW, SMOOTHING_WINDOW = 7, 15  # small pixels
ZERO_FLOW_WEIGHT = 0.2  # share of textured pixels that outweighs the prior of no motion
MAX_DIFFERENCE = 10  # grey levels between a frame and the warped one where flow is trusted
BLUR = 3  # pixels over which that difference is averaged, against camera noise


def dis_flow(frame_HW3: np.ndarray, before_HW3: np.ndarray) -> np.ndarray:
    """Return the flow (2, H, W) float32 of a frame (H, W, 3) uint8: pixels right, pixels down.

    It leads from each pixel of the frame to where the frame before shows the same, as `warp` in
    models/pose2video/generators/base.py takes it. Dense inverse search (Kroeger et al., ECCV 2016),
    down to single pixels and without OpenCV's variational refinement, which smooths fingers away.
    On flat surfaces the flow is that of the surroundings, or zero.
    """
    height, width = frame_HW3.shape[:2]
    frame_hw, before_hw = _small_grey(frame_HW3), _small_grey(before_HW3)
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    estimator.setPatchSize(PATCH)
    estimator.setPatchStride(STRIDE)
    estimator.setGradientDescentIterations(ITERATIONS)
    estimator.setVariationalRefinementIterations(0)
    flow_hw2 = estimator.calc(frame_hw, before_hw, None)  # pyright: ignore
    flow_hw2 = _suppress_noise(flow_hw2, frame_hw)
    flow_hw2 *= (np.array((width, height)) / flow_hw2.shape[1::-1]).astype(np.float32)
    return np.stack(cv2.split(cv2.resize(flow_hw2, (width, height))))


def flow_trust(frame_HW3: np.ndarray, before_HW3: np.ndarray, flow_2HW: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8: 255 where the frame before, warped, equals the frame; else 0.

    What enters the image or was occluded gets 0.
    """
    frame_HW = cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)
    before_HW = cv2.cvtColor(before_HW3, cv2.COLOR_RGB2GRAY)
    height, width = frame_HW.shape
    x_HW = flow_2HW[0] + np.arange(width, dtype=np.float32)
    y_HW = flow_2HW[1] + np.arange(height, dtype=np.float32)[:, None]
    warped_HW = cv2.remap(before_HW, x_HW, y_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference_HW = cv2.blur(cv2.absdiff(warped_HW, frame_HW), (BLUR, BLUR))
    inside_HW = (x_HW > -1) & (x_HW < width) & (y_HW > -1) & (y_HW < height)
    return np.uint8(255) * (inside_HW & (difference_HW <= MAX_DIFFERENCE))


def _suppress_noise(flow_hw2: np.ndarray, grey_hw: np.ndarray) -> np.ndarray:
    """Return a flow that, on flat surfaces, is the mean of the textured surroundings."""
    dx_hw = cv2.Sobel(grey_hw, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy_hw = cv2.Sobel(grey_hw, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    energy_hw = cv2.blur(dx_hw**2 + dy_hw**2, (TEXTURE_WINDOW, TEXTURE_WINDOW)) ** 2
    trust_hw1 = (energy_hw / (energy_hw + TEXTURE**2))[..., None]
    window = (SMOOTHING_WINDOW, SMOOTHING_WINDOW)
    near_hw2 = cv2.blur(trust_hw1 * flow_hw2, window)
    near_hw2 /= cv2.blur(trust_hw1, window)[..., None] + np.float32(ZERO_FLOW_WEIGHT)
    return trust_hw1 * flow_hw2 + (1 - trust_hw1) * near_hw2


def _small_grey(image_HW3: np.ndarray) -> np.ndarray:
    grey_HW = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)
    height, width = grey_HW.shape
    size = max(width // SHRINK, 1), max(height // SHRINK, 1)
    return cv2.resize(grey_HW, size, interpolation=cv2.INTER_AREA)
