"""Pictures and points changed together: a little larger or elsewhere, a little other in colour."""

from dataclasses import dataclass

import cv2
import numpy as np

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: what of red, green and blue is brightness
MIDDLE = 127.5  # grey level that contrast turns about

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class PictureChange:
    """What happens to one item's pictures, the same to all of them; by default nothing.

    A box of the resting picture becomes the whole picture. Whole pixels let it be scaled along
    rows and columns one after the other, ten times as fast as a free warp.

    Attributes:
        width, height: of the pictures, pixels, before and after.
        box: x, y, width, height in pixels; it may reach beyond the picture. None: all of it.
        colour_34: from red, green, blue and 1 to red, green, blue; None: as they are.
    """

    width: int
    height: int
    box: tuple[int, int, int, int] | None = None
    colour_34: np.ndarray | None = None

    def points(self, points_TK2: np.ndarray) -> np.ndarray:
        """Return where pixels (..., 2) of the resting picture go."""
        if self.box is None:
            return points_TK2
        x, y, width, height = self.box
        scale = np.array((self.width / width, self.height / height), points_TK2.dtype)
        return (points_TK2 - np.array((x, y), points_TK2.dtype)) * scale

    def picture(self, rgb_HW3: np.ndarray) -> np.ndarray:
        """Return a picture (H, W, 3) uint8 changed; beyond its border its last pixels go on."""
        if self.box is not None:
            rgb_HW3 = cv2.resize(
                _cut(rgb_HW3, self.box), (self.width, self.height), interpolation=cv2.INTER_CUBIC
            )
        return rgb_HW3 if self.colour_34 is None else cv2.transform(rgb_HW3, self.colour_34)

    def view(self) -> np.ndarray:
        """Return (2, 3) float32 for torch's `affine_grid`: where the resting picture is sampled.

        It is for `align_corners=False`, where -1 and 1 are the outer borders of the picture.
        """
        x, y, width, height = self.box or (0, 0, self.width, self.height)
        across, down = width / self.width, height / self.height
        right, below = (2 * x + width) / self.width - 1, (2 * y + height) / self.height - 1
        return np.array(((across, 0, right), (0, down, below)), np.float32)


@dataclass(frozen=True, kw_only=True)
class PictureAugmentation:
    """What may happen to pictures. Values are drawn evenly from ranges, ratios in logarithms.

    Place and colour each change with `probability`; what has the range None never does.
    """

    scale: Range | None = (0.95, 1.1)  # ratio
    shift: Range | None = (-0.04, 0.04)  # share of width and of height
    brightness: Range | None = (-0.03, 0.03)  # share of the grey levels
    contrast: Range | None = (0.95, 1.05)  # ratio
    saturation: Range | None = (0.9, 1.1)  # ratio
    probability: float = 0.7

    def draw(self, rng: np.random.Generator, *, width: int, height: int) -> PictureChange:
        """Return what happens to an item of pictures of a size.

        It takes equally many random numbers whatever happens.
        """
        moves, tints = rng.random(2) < self.probability
        place_3, colour_3 = rng.random(3), rng.random(3)
        return PictureChange(
            width,
            height,
            self._box(place_3, width, height) if moves else None,
            self._colour(colour_3) if tints else None,
        )

    def _box(
        self, place_3: np.ndarray, width: int, height: int
    ) -> tuple[int, int, int, int] | None:
        if self.scale is None and self.shift is None:
            return None
        scale = _ratio(self.scale, place_3[0])
        right, down = (_between(self.shift, place) for place in place_3[1:])
        box_width, box_height = round(width / scale), round(height / scale)
        # The middle of the picture goes right and down, so that of the box goes left and up.
        x = round((width - box_width) / 2 - right * box_width)
        y = round((height - box_height) / 2 - down * box_height)
        return x, y, box_width, box_height

    def _colour(self, place_3: np.ndarray) -> np.ndarray | None:
        if self.brightness is None and self.contrast is None and self.saturation is None:
            return None
        brighter, contrast, saturation = (
            _between(self.brightness, place_3[0]),
            _ratio(self.contrast, place_3[1]),
            _ratio(self.saturation, place_3[2]),
        )
        grey_33 = np.tile(np.array(LUMA), (3, 1))
        matrix_33 = contrast * (saturation * np.eye(3) + (1 - saturation) * grey_33)
        added = 255 * brighter + MIDDLE * (1 - contrast)
        return np.concatenate((matrix_33, np.full((3, 1), added)), 1)


def _cut(rgb_HW3: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Return a box x, y, width, height of a picture, its border repeated where there is none."""
    x, y, width, height = box
    top, left = max(-y, 0), max(-x, 0)
    bottom = max(y + height - rgb_HW3.shape[0], 0)
    right = max(x + width - rgb_HW3.shape[1], 0)
    if top or left or bottom or right:
        rgb_HW3 = cv2.copyMakeBorder(rgb_HW3, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return rgb_HW3[y + top : y + top + height, x + left : x + left + width]


def _between(ends: Range | None, place: float) -> float:
    return 0.0 if ends is None else ends[0] + float(place) * (ends[1] - ends[0])


def _ratio(ends: Range | None, place: float) -> float:
    return 1.0 if ends is None else ends[0] * (ends[1] / ends[0]) ** float(place)
