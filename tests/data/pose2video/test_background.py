from dataclasses import dataclass

import numpy as np
import pytest
import torch

from speech2video.data.pose2video.frames import estimate_background, person_mask
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.skeleton import region_boxes
from speech2video.util.rendering.camera import Camera

SIZE = 96


@dataclass
class Clip:
    """What the background asks of a clip and of a cache of its frames."""

    points_TK2: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def frames(self, clip: int, numbers: np.ndarray) -> np.ndarray:
        return self.images[numbers]


@pytest.fixture(scope="module")
def points_TK2() -> np.ndarray:
    """A person who walks from the left to the right of the image."""
    body = Body.load()
    points_TK3 = body.points(torch.zeros(24, POSE_SIZE))
    camera = Camera.framing(points_TK3, width=SIZE, height=SIZE)
    points_TK2 = SIZE / 2 + 0.35 * (camera.project(points_TK3).numpy() - SIZE / 2)
    points_TK2[..., 0] += np.linspace(-60, 60, 24)[:, None]
    return points_TK2


def clip_of(points_TK2: np.ndarray, wall_HW3: np.ndarray, colour: int) -> Clip:
    images = np.repeat(wall_HW3[None], len(points_TK2), 0)
    for image, points_K2 in zip(images, points_TK2, strict=True):
        image[person_mask(points_K2, width=SIZE, height=SIZE)] = colour
    return Clip(points_TK2, images)


def test_who_walks_through_leaves_nothing_behind(points_TK2: np.ndarray) -> None:
    wall_HW3 = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    clip = clip_of(points_TK2, wall_HW3, colour=255)
    assert np.array_equal(estimate_background([clip], clip), wall_HW3)


def test_what_is_never_seen_is_guessed_from_around_it(points_TK2: np.ndarray) -> None:
    wall_HW3 = np.full((SIZE, SIZE, 3), (40, 80, 120), np.uint8)
    clip = clip_of(np.repeat(points_TK2[12:13], 6, 0), wall_HW3, colour=255)
    guessed_HW3 = estimate_background([clip], clip).astype(int)
    assert np.abs(guessed_HW3 - wall_HW3).max() <= 3  # levels: TELEA rounds


def test_the_mask_holds_head_and_hands_and_moves_with_the_person(points_TK2: np.ndarray) -> None:
    points_K2 = points_TK2[12]
    mask_HW = person_mask(points_K2, width=SIZE, height=SIZE)
    x0, y0, x1, y1 = np.round(region_boxes(points_K2[None], "head")[0]).astype(int)
    assert mask_HW[max(y0, 0) : y1, x0:x1].all()
    moved_HW = person_mask(points_K2 + (3, 0), width=SIZE, height=SIZE)
    assert (moved_HW[:, 3:] != mask_HW[:, :-3]).mean() < 0.02
    assert 0.05 < mask_HW.mean() < 0.8


def test_a_person_who_fills_the_image_stays_in_it() -> None:
    picture_HW3 = np.full((SIZE, SIZE, 3), 7, np.uint8)
    points_TK2 = np.full((5, 144, 2), np.nan, np.float32)
    clip = Clip(points_TK2, np.repeat(picture_HW3[None], 5, 0))
    assert np.array_equal(estimate_background([clip], clip), picture_HW3)


def test_a_person_of_missing_shoulders_may_be_anywhere(points_TK2: np.ndarray) -> None:
    assert person_mask(np.full_like(points_TK2[0], np.nan), width=SIZE, height=SIZE).all()
