"""Cuts and abrupt changes of framing within a recording, found while its frames are read.

A cut is a frame that differs from the one before far more than frames nearby differ from theirs,
and after which most of the image stays different. So motion, however fast, is no cut, as its
neighbours are fast, too; nor is a flash, after which the image is as before; nor a light that is
switched on, as structure is compared and not brightness; nor a gesture after a frozen image, as
most of the image stays.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

SIZE = (64, 48)  # pixels, width and height at which frames are compared
BLOCK = 8  # pixels, sides of the parts that are compared
REACH = 12  # frames on each side that a cut is compared with
MIN_VIEW = 3  # frames before and after a cut
MIN_RATIO = 2.5  # of a cut's difference to the third largest nearby; motion reaches 2
CUT_NOTE = "cut out of"  # begins the note of a clip that is a part of a recording
MIN_CHANGED = 0.35  # share of blocks with structure that a cut changes; a jump after a pause: 0.3
MIN_CORRELATION = 0.5  # of an unchanged block
MIN_CONTRAST = 4.0  # grey levels, standard deviation of a block with structure
LOCAL = (9, 9)  # pixels, neighbourhood whose mean and contrast are divided out
NOISE = 4.0  # grey levels, contrast of a neighbourhood without structure


class CutDetector:
    """Finds cuts in a stream of frames, with the memory of 25 thumbnails.

    Attributes:
        cuts: numbers of the frames that begin another view, so far.
    """

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._count = 0
        self._greys: deque[np.ndarray] = deque(maxlen=2 * REACH)  # of the newest frames
        self._differences: deque[float] = deque(maxlen=2 * REACH)
        self._before_HW: np.ndarray | None = None
        self._largest = 0.0  # difference at the last cut

    def push(self, frame_3HW: np.ndarray) -> None:
        """Take the next frame, RGB uint8 (3, H, W)."""
        small_HW3 = cv2.resize(frame_3HW.transpose(1, 2, 0), SIZE, interpolation=cv2.INTER_AREA)
        grey_HW = cv2.cvtColor(small_HW3, cv2.COLOR_RGB2GRAY).astype(np.float32)
        flat_HW = _divide_contrast_out(grey_HW)
        before_HW = flat_HW if self._before_HW is None else self._before_HW
        self._differences.append(float(np.abs(flat_HW - before_HW).mean()))
        self._greys.append(grey_HW)
        self._before_HW = flat_HW
        self._count += 1
        if self._count > REACH:
            self._examine(len(self._greys) - REACH)

    def watch(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield frames and take each."""
        for frame_3HW in frames:
            self.push(frame_3HW)
            yield frame_3HW

    def finish(self) -> list[int]:
        """Return all cuts, when the last frame has been pushed."""
        for place in range(max(1, len(self._greys) - REACH + 1), len(self._greys)):
            self._examine(place)
        return self.cuts

    def _examine(self, place: int) -> None:
        """Add the frame at a place in the window to `cuts`, if it is one."""
        number = self._count - len(self._greys) + place
        first = max(place - REACH, 0)
        greys, differences = list(self._greys)[first:], list(self._differences)[first:]
        place -= first
        if min(place, len(greys) - place) < MIN_VIEW:
            return
        difference = differences.pop(place)
        nearby = sorted(differences, reverse=True)
        if difference < MIN_RATIO * max(nearby[2], 1e-3):
            return
        if _share_changed(np.median(greys[:place], 0), np.median(greys[place:], 0)) < MIN_CHANGED:
            return
        if self.cuts and number - self.cuts[-1] < MIN_VIEW:  # a blend of both views lies between
            if difference > self._largest:
                self.cuts[-1], self._largest = number, difference
            return
        self.cuts.append(number)
        self._largest = difference


def _divide_contrast_out(grey_HW: np.ndarray) -> np.ndarray:
    detail_HW = grey_HW - cv2.blur(grey_HW, LOCAL)
    return detail_HW / (np.sqrt(cv2.blur(detail_HW**2, LOCAL)) + NOISE)


def _share_changed(before_HW: np.ndarray, after_HW: np.ndarray) -> float:
    """Return the share of blocks with structure in either image whose structure differs."""
    before_BN, after_BN = _blocks(before_HW), _blocks(after_HW)
    contrasts = before_BN.std(1), after_BN.std(1)
    structured_B = np.maximum(*contrasts) > MIN_CONTRAST
    if not structured_B.any():
        return 0.0
    product_B = np.prod([contrast.clip(min=MIN_CONTRAST / 2) for contrast in contrasts], 0)
    correlation_B = (before_BN * after_BN).mean(1) / product_B
    return float((correlation_B[structured_B] < MIN_CORRELATION).mean())


def _blocks(grey_HW: np.ndarray) -> np.ndarray:
    """Return the blocks (B, pixels) of an image, each minus its mean."""
    height, width = grey_HW.shape
    blocks = grey_HW.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    blocks_BN = blocks.transpose(0, 2, 1, 3).reshape(-1, BLOCK * BLOCK)
    return blocks_BN - blocks_BN.mean(1, keepdims=True)
