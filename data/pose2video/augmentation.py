"""Augmentation of training items: image transforms, noise of skeleton points, random crops."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch import Tensor

from speech2video.data.pose2video.clip import Box, points_in_box
from speech2video.util.body.skeleton import FACE_LINES, IBUG68, POINTS, REGION_POINTS
from speech2video.util.smoothing import SmoothNoise

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: shares of red, green and blue in brightness
MID_GREY = 127.5  # grey level that a change of contrast keeps

HANDS = tuple(REGION_POINTS[hand][1:] for hand in ("left_hand", "right_hand"))  # without wrists
LIPS, FACE = list(IBUG68[48:]), list(IBUG68[:48])
# Points that are missing together: a hand, a line of the face. Lips are never missing.
DROPPED_PARTS = (
    *HANDS,
    *([IBUG68[i] for i in line] for name, (line, _) in FACE_LINES.items() if "lips" not in name),
)

GRID = 16  # pixels: crops begin on the grid of the generator's coarsest features
CROPPED_REGIONS = (0, 1, 2)  # of `REGIONS`, head and hands: each gets a crop of its own
MIN_VISIBLE_SHARE = 0.5  # of a region's box, or of the crop, for the region to be present in it
IMAGE_KEYS = ("maps", "frames", "flow", "flow_trust")  # whose last two dimensions are pixels

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class ImageTransform:
    """A change of position and colour, the same for all images of an item; identity by default.

    A box of the original image becomes the whole image. The box has whole pixels, so that rows and
    columns can be scaled one after the other, ten times as fast as a general warp.
    """

    width: int  # pixels of the images, before and after
    height: int
    box: Box | None = None  # may extend beyond the image; None: all of it
    colour_34: np.ndarray | None = None  # (red, green, blue, 1) to (red, green, blue)

    def points(self, points_TK2: np.ndarray) -> np.ndarray:
        """Return the new positions of pixels (..., 2) of the original image."""
        box = self.box or (0, 0, self.width, self.height)
        return points_in_box(points_TK2, box, width=self.width, height=self.height)

    def image(self, rgb_HW3: np.ndarray) -> np.ndarray:
        """Return an image (H, W, 3) uint8 transformed; its border pixels are repeated outside."""
        if self.box is not None:
            rgb_HW3 = cv2.resize(
                _cut(rgb_HW3, self.box), (self.width, self.height), interpolation=cv2.INTER_CUBIC
            )
        return rgb_HW3 if self.colour_34 is None else cv2.transform(rgb_HW3, self.colour_34)

    def view(self) -> np.ndarray:
        """Return the matrix (2, 3) float32 with which `affine_grid` samples the original image.

        It is for `align_corners=False`, where -1 and 1 are the outer borders of the image.
        """
        return _view(self.box or (0, 0, self.width, self.height), self.width, self.height)


@dataclass(frozen=True, kw_only=True)
class ImageAugmentation:
    """Ranges of random image transforms: uniform, ratios uniform in their logarithm.

    Position and colour each change with `probability`.
    """

    scale: Range = (0.95, 1.1)  # ratio
    shift: Range = (-0.04, 0.04)  # share of width and of height
    brightness: Range = (-0.03, 0.03)  # share of the grey levels
    contrast: Range = (0.95, 1.05)  # ratio
    saturation: Range = (0.9, 1.1)  # ratio
    probability: float = 0.7

    def draw(self, rng: np.random.Generator, *, width: int, height: int) -> ImageTransform:
        """Return a random transform for images of a size.

        The number of random draws does not depend on the result.
        """
        moves, recolours = rng.random(2) < self.probability
        position_3, colour_3 = rng.random(3), rng.random(3)
        box = self._box(position_3, width, height) if moves else None
        return ImageTransform(width, height, box, self._colour(colour_3) if recolours else None)

    def _box(self, uniform_3: np.ndarray, width: int, height: int) -> Box:
        scale = _uniform_ratio(self.scale, uniform_3[0])
        right, down = (_uniform(self.shift, value) for value in uniform_3[1:])
        box_width, box_height = round(width / scale), round(height / scale)
        # The image's content moves right and down, so the box moves left and up.
        x = round((width - box_width) / 2 - right * box_width)
        y = round((height - box_height) / 2 - down * box_height)
        return x, y, box_width, box_height

    def _colour(self, uniform_3: np.ndarray) -> np.ndarray:
        brightness = _uniform(self.brightness, uniform_3[0])
        contrast = _uniform_ratio(self.contrast, uniform_3[1])
        saturation = _uniform_ratio(self.saturation, uniform_3[2])
        grey_33 = (1 - saturation) * np.tile(LUMA, (3, 1))
        matrix_33 = contrast * (saturation * np.eye(3) + grey_33)
        offset = 255 * brightness + MID_GREY * (1 - contrast)
        return np.concatenate((matrix_33, np.full((3, 1), offset)), 1)


def _cut(rgb_HW3: np.ndarray, box: Box) -> np.ndarray:
    """Return a box of an image, border pixels repeated outside."""
    x, y, width, height = box
    rows, columns = np.arange(y, y + height), np.arange(x, x + width)
    return rgb_HW3.take(rows, 0, mode="clip").take(columns, 1, mode="clip")


def _view(box: Box, image_width: int, image_height: int) -> np.ndarray:
    x, y, width, height = box
    shift_x, shift_y = (2 * x + width) / image_width - 1, (2 * y + height) / image_height - 1
    rows = (width / image_width, 0, shift_x), (0, height / image_height, shift_y)
    return np.array(rows, np.float32)


def _uniform(ends: Range, uniform: float) -> float:
    return ends[0] + float(uniform) * (ends[1] - ends[0])


def _uniform_ratio(ends: Range, uniform: float) -> float:
    return ends[0] * (ends[1] / ends[0]) ** float(uniform)


@dataclass(frozen=True, kw_only=True)
class MapNoise:
    """Errors of predicted or fitted points: smooth shifts, and missing points.

    Shifts are standard deviations as shares of the larger side of the image.
    """

    body: float = 0.003  # shift of each point by itself
    fingers: float = 0.002
    face: float = 0.0008
    lips: float = 0.0003
    hand: float = 0.003  # common shift of a hand's points
    head: float = 0.0015  # common shift of the points of face and lips
    part: float = 0.02  # share of the time that a hand or a line of the face is missing
    point: float = 0.002  # the same of a single point of a hand or a face
    frames: float = 12.0  # mean number of frames for which they are missing

    def times(self, factor: float) -> "MapNoise":
        """Return the noise with all amounts multiplied; `frames` does not change."""
        amounts = {field.name: factor * getattr(self, field.name) for field in fields(self)}
        return MapNoise(**amounts | {"frames": self.frames})

    def apply(self, points_TK2: np.ndarray, *, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return points (T, 144, 2) in pixels, shifted, NaN where missing.

        Args:
            size: the larger side of the image, pixels.
        """
        count = len(points_TK2)
        noisy_TK2 = (points_TK2 + size * self._shift(count, rng)).astype(points_TK2.dtype)
        noisy_TK2[self._missing(count, rng)] = np.nan
        return noisy_TK2

    def _shift(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return shifts (T, 144, 2) that change smoothly over time."""
        points = len(POINTS)
        noise = SmoothNoise(2 * (points + 3), seed=int(rng.integers(2**32)))
        noise_TK2 = noise.next(count).reshape(count, points + 3, 2)
        single_K = np.full(points, self.body, np.float32)
        single_K[HANDS[0] + HANDS[1]] = self.fingers
        single_K[FACE], single_K[LIPS] = self.face, self.lips
        shift_TK2 = noise_TK2[:, :points] * single_K[:, None]
        groups = ((HANDS[0], self.hand), (HANDS[1], self.hand), (FACE + LIPS, self.head))
        for number, (group, amount) in enumerate(groups):
            shift_TK2[:, group] += amount * noise_TK2[:, points + number, None]
        return shift_TK2

    def _missing(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return which points (T, 144) are missing."""
        missing_TK = np.zeros((count, len(POINTS)), bool)
        parts_TN = _intervals(count, len(DROPPED_PARTS), self.part, self.frames, rng)
        for number, part in enumerate(DROPPED_PARTS):
            missing_TK[:, part] = parts_TN[:, number, None]
        single = HANDS[0] + HANDS[1] + FACE
        missing_TK[:, single] |= _intervals(count, len(single), self.point, self.frames, rng)
        return missing_TK


def _intervals(
    count: int, size: int, share: float, frames: float, rng: np.random.Generator
) -> np.ndarray:
    """Return (T, N) bool: N stationary Markov chains, true for `share` of the time.

    They stay true for `frames` frames on average.
    """
    uniform_TN = rng.random((count, size))
    state_TN = uniform_TN < share
    leave, enter = 1 / frames, share / frames / max(1 - share, 1e-6)
    for before, now, uniform in zip(state_TN[:-1], state_TN[1:], uniform_TN[1:], strict=True):
        now[:] = np.where(before, uniform >= leave, uniform < enter)
    return state_TN


def random_crops(
    item: dict[str, Tensor], *, size: int, rng: np.random.Generator
) -> list[dict[str, Tensor]]:
    """Return four crops of an item of `Pose2VideoDataset`: head, both hands, and a random place.

    A face takes a twentieth of an image from the hips up, so a generator trained on whole images
    learns it last. Four crops of 96 pixels cost half of one image of 256 and show the face at full
    size each time. A region outside the image is replaced by a random place.

    Args:
        size: pixels a side, a multiple of `GRID`, at most the shorter side of the image.
    """
    frames, _, height, width = item["frames"].shape
    middle = frames // 2
    crops = []
    for region in (*CROPPED_REGIONS, None):
        anywhere = (rng.random() * width, rng.random() * height)
        visible = region is not None and item["present"][middle, region] > 0
        x0, y0, x1, y1 = item["boxes"][middle, region].tolist() if visible else 2 * anywhere
        # a box may be larger than a crop, so the shift varies which part of it is shown
        jitter = (rng.random(2) - 0.5) * GRID
        x = _crop_begin((x0 + x1) / 2 + jitter[0], size, width)
        y = _crop_begin((y0 + y1) / 2 + jitter[1], size, height)
        crops.append(crop_item(item, x, y, size))
    return crops


def crop_item(item: dict[str, Tensor], x: int, y: int, size: int) -> dict[str, Tensor]:
    """Return an item cropped to `size` pixels a side, with its boxes, present regions and view."""
    height, width = item["frames"].shape[-2:]
    pixels = slice(y, y + size), slice(x, x + size)
    crop = {name: item[name][(..., *pixels)].contiguous() for name in IMAGE_KEYS if name in item}
    boxes = item["boxes"] - torch.tensor((x, y, x, y))
    inside = boxes.clamp(0, size)
    # a region larger than the crop is present if it fills it
    share = _area(inside) / _area(boxes).clamp(min=1e-6, max=size**2)
    present = item["present"] * (share >= MIN_VISIBLE_SHARE)
    view = item["view"][:, :2] @ torch.from_numpy(_view((x, y, size, size), width, height))
    view[:, 2] += item["view"][:, 2]
    return crop | {"boxes": inside * present[..., None], "present": present, "view": view}


def _crop_begin(centre: float, size: int, length: int) -> int:
    begin = round((centre - size / 2) / GRID) * GRID
    return int(min(max(begin, 0), (length - size) // GRID * GRID))


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
