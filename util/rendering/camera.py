"""A pinhole camera: metres in the world (y up) to pixels in the image (y down)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from speech2video.util.body.skeleton import POINT_INDEX, POINTS, indices
from speech2video.util.errors import DataError

# World axes (x to the person's left, y up, z towards the viewer) to camera axes (x right, y down,
# z forward), for a camera straight in front of a person.
FACING = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
NEAR = 0.05  # metres; what is nearer than this, or behind the camera, is missing
FOCAL_RATIO = 1.4  # focal length / larger side: a webcam's or phone's 40 degrees
MARGIN = 1.1  # image size / size of what must be in it
NUMBERS = 17  # that a camera is made of
HELD = 0.998  # share of the points that must be in it: no outlier makes a person tiny

# Points that a framing must hold: from the hips up.
_LOWER = ("knee", "ankle", "foot", "toe", "heel")
_UPPER_POINTS = tuple(name for name in POINTS if not name.endswith(_LOWER))
_CROWN = 0.15  # metres of skull and hair above the highest landmark


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        focal: focal length in pixels.
        center: principal point (x, y) in pixels.
        width, height: image size in pixels.
        rotation: (3, 3) rows, world axes to camera axes.
        translation: (3,) metres, in camera axes, added after the rotation.
    """

    focal: float
    center: tuple[float, float]
    width: int
    height: int
    rotation: tuple[tuple[float, float, float], ...] = FACING
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def framing(cls, points_TK3: Tensor, *, width: int, height: int) -> "Camera":
        """Return a static camera in front of the person, framed from the hips up.

        `points_TK3` (T, 144, 3) are the body's points in metres.
        """
        left, right = (points_TK3[:, POINT_INDEX[f"{side}_shoulder"]] for side in ("left", "right"))
        across = (left - right).mean(0)
        yaw = math.atan2(-across[2].item(), across[0].item())  # from +z to where the shoulders face
        cos, sin = math.cos(yaw), math.sin(yaw)
        rotation = torch.tensor(FACING) @ torch.tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        seen = points_TK3[:, indices(_UPPER_POINTS)].flatten(0, 1) @ rotation.T.to(points_TK3)
        seen[:, 1] -= _CROWN * (seen[:, 1] <= seen[:, 1].amin() + _CROWN)  # up is negative
        middle = (seen.amin(0) + seen.amax(0)) / 2
        focal = FOCAL_RATIO * max(width, height)
        half = torch.tensor((width, height)).to(seen) / 2 / MARGIN
        # A point at depth z + distance falls on the margin at |x| · focal / half = z + distance.
        reach = (seen[:, :2] - middle[:2]).abs() * focal / half - seen[:, 2:]
        distance = float(np.quantile(reach.amax(1).numpy(), HELD))
        return cls(
            focal=focal,
            center=(width / 2, height / 2),
            width=width,
            height=height,
            rotation=tuple(map(tuple, rotation.tolist())),
            translation=(-middle[0].item(), -middle[1].item(), distance),
        )

    def numbers(self) -> tuple[float, ...]:
        """Return the camera as 17 numbers: focal length, centre, size, rotation, translation."""
        size = (float(self.width), float(self.height))
        return (self.focal, *self.center, *size, *sum(self.rotation, ()), *self.translation)

    @classmethod
    def from_numbers(cls, numbers: Sequence[float]) -> "Camera":
        """Return the camera of these 17 `numbers`.

        Raises:
            DataError: not 17 finite numbers.
        """
        finite = sum(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
        if not len(numbers) == finite == NUMBERS:
            raise DataError(f"a camera of {finite} finite numbers; {NUMBERS} are needed")
        focal, x, y, width, height, *rest = numbers
        rotation = tuple((rest[row], rest[row + 1], rest[row + 2]) for row in (0, 3, 6))
        tx, ty, tz = rest[9:]
        return cls(focal, (x, y), round(width), round(height), rotation, (tx, ty, tz))

    def to_camera(self, points_TK3: Tensor) -> Tensor:
        """Return points (..., 3) in camera axes (x right, y down, z forward), metres."""
        rotation = torch.tensor(self.rotation).to(points_TK3)
        return points_TK3 @ rotation.T + torch.tensor(self.translation).to(points_TK3)

    def project(self, points_TK3: Tensor) -> Tensor:
        """Return pixels (..., 2) of world points (..., 3) in metres; NaN behind the camera."""
        x, y, depth = self.to_camera(points_TK3).unbind(-1)
        depth = torch.where(depth > NEAR, depth, torch.full_like(depth, math.nan))
        pixels = torch.stack((x / depth, y / depth), -1) * self.focal
        return pixels + torch.tensor(self.center).to(pixels)

    def scaled_to(self, size: int) -> "Camera":
        """Return the camera of the same image with a larger side of `size` pixels."""
        scale = size / max(self.width, self.height)
        return self.resized(round(self.width * scale), round(self.height * scale))

    def resized(self, width: int, height: int) -> "Camera":
        """Return the camera of the same view in an image of another size, centred, aspect kept."""
        scale = min(width / self.width, height / self.height)
        x = (self.center[0] - self.width / 2) * scale + width / 2
        y = (self.center[1] - self.height / 2) * scale + height / 2
        return replace(self, focal=self.focal * scale, center=(x, y), width=width, height=height)
