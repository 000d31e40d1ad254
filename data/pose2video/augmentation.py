"""Pictures and points changed together: a little larger or elsewhere, a little other in colour."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch import Tensor

from speech2video.util.body.skeleton import (
    FACE_LINES,
    IBUG68,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    POINTS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)
from speech2video.util.smoothing import SmoothNoise

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: what of red, green and blue is brightness
MIDDLE = 127.5  # grey level that contrast turns about

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class ImageTransform:
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

    def image(self, rgb_HW3: np.ndarray) -> np.ndarray:
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
class ImageAugmentation:
    """What may happen to pictures. Values are drawn evenly from ranges, ratios in logarithms.

    Place and colour each change with `probability`; what has the range None never does.
    """

    scale: Range | None = (0.95, 1.1)  # ratio
    shift: Range | None = (-0.04, 0.04)  # share of width and of height
    brightness: Range | None = (-0.03, 0.03)  # share of the grey levels
    contrast: Range | None = (0.95, 1.05)  # ratio
    saturation: Range | None = (0.9, 1.1)  # ratio
    probability: float = 0.7

    def draw(self, rng: np.random.Generator, *, width: int, height: int) -> ImageTransform:
        """Return what happens to an item of pictures of a size.

        It takes equally many random numbers whatever happens.
        """
        moves, tints = rng.random(2) < self.probability
        place_3, colour_3 = rng.random(3), rng.random(3)
        return ImageTransform(
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


# Points as a predicted or fitted pose has them: a little off, and some of them missing.

HANDS = (
    indices((*LEFT_HAND_JOINTS, *LEFT_TIPS)),
    indices((*RIGHT_HAND_JOINTS, *RIGHT_TIPS)),
)
LIPS = list(IBUG68[48:68])
FACE = [IBUG68[i] for i in range(48)]
# What is missing at once: a hand, a line of the face. Lips never are: all look at them.
PARTS = (
    *HANDS,
    *([IBUG68[i] for i in line] for name, (line, _) in FACE_LINES.items() if "lips" not in name),
)


@dataclass(frozen=True, kw_only=True)
class MapNoise:
    """What may be wrong with points. Shifts are standard deviations, shares of the larger side.

    Attributes:
        body, fingers, face, lips: by which a point wanders, on its own.
        hand, head: by which a hand's points, or the face's with the lips', wander together.
        part: share of the time that a hand or a line of the face is missing.
        point: share of the time that a point of a hand or a face is missing on its own.
        frames: for how many frames on average.
    """

    body: float = 0.003
    fingers: float = 0.002
    face: float = 0.0008
    lips: float = 0.0003
    hand: float = 0.003
    head: float = 0.0015
    part: float = 0.02
    point: float = 0.002
    frames: float = 12.0

    def times(self, factor: float) -> "MapNoise":
        """Return as much more noise; stretches stay as long."""
        amounts = {field.name: factor * getattr(self, field.name) for field in fields(self)}
        return MapNoise(**amounts | {"frames": self.frames})

    def apply(self, points_TK2: np.ndarray, *, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return points (T, 144, 2) in pixels, shifted, and NaN where missing now.

        Args:
            size: the larger side of the picture, pixels.
        """
        count = len(points_TK2)
        shift_TK2 = size * self._shift(count, rng)
        noisy_TK2 = (points_TK2 + shift_TK2).astype(points_TK2.dtype)
        noisy_TK2[self._missing(count, rng)] = np.nan
        return noisy_TK2

    def _shift(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return shifts (T, 144, 2) that wander from frame to frame."""
        points = len(POINTS)
        noise = SmoothNoise(2 * (points + 3), seed=int(rng.integers(2**32)))
        noise_TK2 = noise.next(count).reshape(count, points + 3, 2)
        alone_K = np.full(points, self.body, np.float32)
        alone_K[HANDS[0] + HANDS[1]] = self.fingers
        alone_K[FACE], alone_K[LIPS] = self.face, self.lips
        shift_TK2 = noise_TK2[:, :points] * alone_K[:, None]
        groups = (*HANDS, FACE + LIPS)
        amounts = (self.hand, self.hand, self.head)
        for number, (group, amount) in enumerate(zip(groups, amounts, strict=True)):
            shift_TK2[:, group] += amount * noise_TK2[:, points + number, None]
        return shift_TK2

    def _missing(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return which points (T, 144) are missing, for stretches of frames."""
        missing_TK = np.zeros((count, len(POINTS)), bool)
        parts_TN = _stretches(count, len(PARTS), self.part, self.frames, rng)
        for number, part in enumerate(PARTS):
            missing_TK[:, part] = parts_TN[:, number, None]
        single = HANDS[0] + HANDS[1] + FACE
        missing_TK[:, single] |= _stretches(count, len(single), self.point, self.frames, rng)
        return missing_TK


def _stretches(
    count: int, things: int, share: float, frames: float, rng: np.random.Generator
) -> np.ndarray:
    """Return (T, N) bool: each thing is away for `share` of the time, `frames` at a stretch.

    A Markov chain of two states, begun as it goes on.
    """
    chance_TN = rng.random((count, things))
    away_TN = chance_TN < share
    comes, goes = 1 / frames, share / frames / max(1 - share, 1e-6)
    for before, now, chance in zip(away_TN[:-1], away_TN[1:], chance_TN[1:], strict=True):
        now[:] = np.where(before, chance >= comes, chance < goes)
    return away_TN


# Windows cut out of an item's pictures: what is small in a picture is seen as often as the rest.
#
# A face takes a twentieth of a picture from the hips up, and a network that paints whole pictures
# learns it last. Windows of 96 pixels around head and hands, and one elsewhere, cost half of one
# whole picture of 256 and show the face at its full size each time.

GRID = 16  # pixels: windows begin on the grid that the network's coarsest features lie on
CENTRED = (0, 1, 2)  # of an item's parts, head and hands, those that get a window of their own
MIN_VISIBLE_SHARE = (
    0.5  # share of a part's box, or of the window, that must be seen to be judged there
)
IMAGE_KEYS = ("maps", "frames", "flow", "flow_trust")  # whose last two dimensions are pixels


def cut_windows(
    item: dict[str, Tensor], *, side: int, random: np.random.Generator
) -> list[dict[str, Tensor]]:
    """Return four windows of an item of `Pose2VideoDataset`: head, hands, and anywhere.

    A part that is out of the picture leaves its window to chance, too.

    Args:
        side: pixels, a multiple of `GRID`, no more than the picture's shorter side.
    """
    height, width = item["frames"].shape[-2:]
    middle = item["frames"].shape[0] // 2
    windows = []
    for part in (*CENTRED, None):
        anywhere = (random.random() * width, random.random() * height)
        seen = part is not None and item["present"][middle, part] > 0
        x0, y0, x1, y1 = item["boxes"][middle, part].tolist() if seen else 2 * anywhere
        # a box may be larger than a window, so it is not always the same part of it that is seen
        jitter = (random.random(2) - 0.5) * GRID
        x = _begin((x0 + x1) / 2 + jitter[0], side, width)
        y = _begin((y0 + y1) / 2 + jitter[1], side, height)
        windows.append(cut_window(item, x, y, side))
    return windows


def cut_window(item: dict[str, Tensor], x: int, y: int, side: int) -> dict[str, Tensor]:
    """Return an item of which only a window's pixels are left, with its boxes, parts and view."""
    height, width = item["frames"].shape[-2:]
    pixels = slice(y, y + side), slice(x, x + side)
    window = {name: item[name][(..., *pixels)].contiguous() for name in IMAGE_KEYS if name in item}
    boxes = item["boxes"] - torch.tensor((x, y, x, y))
    inside = boxes.clamp(0, side)
    # a part larger than the window fills it, and is judged by what there is of it
    share = _area(inside) / _area(boxes).clamp(min=1e-6, max=side**2)
    present = item["present"] * (share >= MIN_VISIBLE_SHARE)
    into = torch.tensor(
        (
            (side / width, 0, (2 * x + side) / width - 1),
            (0, side / height, (2 * y + side) / height - 1),
        )
    )
    view = item["view"][:, :2] @ into
    view[:, 2] += item["view"][:, 2]
    return window | {"boxes": inside * present[..., None], "present": present, "view": view}


def _begin(centre: float, side: int, length: int) -> int:
    begin = round((centre - side / 2) / GRID) * GRID
    return int(min(max(begin, 0), (length - side) // GRID * GRID))


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
