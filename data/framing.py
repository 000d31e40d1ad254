"""A picture cut and scaled to another size, and the camera and points that go with it."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from speech2video.util.camera import Camera
from speech2video.util.errors import DataError

MULTIPLE = 4  # pixels; the networks ask for more, and say so themselves


@dataclass(frozen=True)
class Framing:
    """The largest centred box of the wanted shape, scaled to the wanted size.

    The box has whole pixels, so its shape is met to within one of them.

    Attributes:
        source_width, source_height: of the picture that comes in, pixels.
        width, height: of the picture that goes out, pixels.

    Raises:
        DataError: a source without pixels; a size that is not a positive multiple of 4.
    """

    source_width: int
    source_height: int
    width: int
    height: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.source_width, self.source_height) < 1:
            seen = f"{self.source_width}x{self.source_height}"
            raise DataError(f"a picture of {seen} pixels; at least one each way is needed")
        if (
            min(self.width, self.height) < MULTIPLE
            or self.width % MULTIPLE | self.height % MULTIPLE
        ):
            seen = f"{self.width}x{self.height}"
            raise DataError(f"pictures of {seen}; positive multiples of {MULTIPLE} are needed")

    @property
    def box(self) -> tuple[int, int, int, int]:
        """What is kept of the source: x, y, width, height in pixels."""
        scale = min(self.source_width / self.width, self.source_height / self.height)
        width, height = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        return (self.source_width - width) // 2, (self.source_height - height) // 2, width, height

    def picture(self, rgb_HW3: np.ndarray) -> np.ndarray:
        """Return a source picture (H, W, 3) uint8 as (height, width, 3); raises `DataError`.

        Pictures that shrink are averaged over areas, pictures that grow are interpolated cubically.
        """
        if rgb_HW3.shape != (self.source_height, self.source_width, 3):
            needed = (self.source_height, self.source_width, 3)
            raise DataError(f"a picture of shape {rgb_HW3.shape}; {needed} is needed")
        x, y, width, height = self.box
        kept = rgb_HW3[y : y + height, x : x + width]
        if (width, height) == (self.width, self.height):
            return np.ascontiguousarray(kept)
        way = cv2.INTER_AREA if width > self.width else cv2.INTER_CUBIC
        return cv2.resize(kept, (self.width, self.height), interpolation=way)

    def points(self, points_TK2: np.ndarray) -> np.ndarray:
        """Return where pixels (..., 2) of the source are in the framed picture."""
        x, y, width, height = self.box
        scale = np.array((self.width / width, self.height / height), points_TK2.dtype)
        return (points_TK2 - np.array((x, y), points_TK2.dtype)) * scale

    def camera(self, camera: Camera) -> Camera:
        """Return a source camera as one that takes the framed picture.

        A camera's pixels are square: where the box is not quite of the wanted shape, its points
        and those of `points` differ by up to half a source pixel at the border.
        """
        x, y, width, height = self.box
        across, down = self.width / width, self.height / height
        return replace(
            camera,
            focal=camera.focal * (across + down) / 2,
            center=((camera.center[0] - x) * across, (camera.center[1] - y) * down),
            width=self.width,
            height=self.height,
        )
