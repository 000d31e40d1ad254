"""Windows cut out of an item's pictures: what is small in a picture is seen as often as the rest.

A face takes a twentieth of a picture from the hips up, and a network that paints whole pictures
learns it last. Windows of 96 pixels around head and hands, and one elsewhere, cost half of one
whole picture of 256 and show the face at its full size each time.
"""

import numpy as np
import torch
from torch import Tensor

GRID = 16  # pixels: windows begin on the grid that the network's coarsest features lie on
CENTRED = (0, 1, 2)  # of an item's parts, head and hands, those that get a window of their own
LEAST_SEEN = 0.5  # share of a part's box, or of the window, that must be seen to be judged there
PICTURES = ("maps", "frames", "flow", "flow_trust")  # whose last two dimensions are pixels


def windows_of(
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
        windows.append(cut(item, x, y, side))
    return windows


def cut(item: dict[str, Tensor], x: int, y: int, side: int) -> dict[str, Tensor]:
    """Return an item of which only a window's pixels are left, with its boxes, parts and view."""
    height, width = item["frames"].shape[-2:]
    pixels = slice(y, y + side), slice(x, x + side)
    window = {name: item[name][(..., *pixels)].contiguous() for name in PICTURES if name in item}
    boxes = item["boxes"] - torch.tensor((x, y, x, y))
    inside = boxes.clamp(0, side)
    # a part larger than the window fills it, and is judged by what there is of it
    share = _area(inside) / _area(boxes).clamp(min=1e-6, max=side**2)
    present = item["present"] * (share >= LEAST_SEEN)
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
