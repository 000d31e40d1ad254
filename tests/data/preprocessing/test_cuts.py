"""Cuts are found to the frame; motion, flashes, light and pauses are none."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from speech2video.data.preprocessing.cuts import CutDetector

HEIGHT, WIDTH = 120, 160
FRAMES, CUT = 90, 45


def draw(t: int, *, zoom: float = 1.0, right: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return a frame (3, H, W): a textured wall, and a person whose arm moves fast."""
    wall = np.random.default_rng(seed).integers(90, 170, (12, 16, 3), np.uint8)
    image = cv2.resize(wall, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    hand = (int(110 + 30 * np.sin(t / 2)), int(70 + 30 * np.cos(t / 2)))
    cv2.ellipse(image, (80, 120), (30, 50), 0, 0, 360, (40, 60, 120), -1)
    cv2.circle(image, (80, 45), 18, (200, 160, 140), -1)
    cv2.circle(image, (74, 42), 2, (20, 20, 20), -1)
    cv2.circle(image, (86, 42), 2, (20, 20, 20), -1)
    cv2.line(image, (100, 90), hand, (40, 60, 120), 10)
    cv2.circle(image, hand, 8, (200, 160, 140), -1)
    middle = np.array((WIDTH / 2 + right * WIDTH, HEIGHT * 0.4))
    shift = middle - zoom * np.array((WIDTH / 2, HEIGHT * 0.4))
    matrix_23 = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    return cv2.warpAffine(image, matrix_23, (WIDTH, HEIGHT)).transpose(2, 0, 1)


def cuts_of(frame: Callable[[int], np.ndarray], frames: int = FRAMES) -> list[int]:
    detector = CutDetector()
    assert len(list(detector.watch(map(frame, range(frames))))) == frames
    return detector.finish()


@pytest.mark.parametrize(
    "change",
    [{"zoom": 1.3}, {"zoom": 0.75}, {"right": 0.15}, {"seed": 1, "right": -0.2}],
    ids=["closer", "farther", "aside", "another scene"],
)
def test_another_view_is_a_cut(change: dict[str, float]) -> None:
    assert cuts_of(lambda t: draw(t, **(change if t >= CUT else {}))) == [CUT]


def test_slides_are_cut_off_at_both_ends() -> None:
    slide = np.full((3, HEIGHT, WIDTH), 230, np.uint8)
    slide[:, 40:50, 20:120] = 20
    frames = [slide] * 6 + [draw(t) for t in range(60)] + [np.zeros_like(slide)] * 4
    assert cuts_of(lambda t: frames[t], len(frames)) == [6, 66]


def test_a_blend_of_two_views_is_one_cut() -> None:
    def frame(t: int) -> np.ndarray:
        before, after = draw(t), draw(t, zoom=1.4)
        return (before // 2 + after // 2) if t == CUT else after if t > CUT else before

    assert cuts_of(frame) in ([CUT], [CUT + 1])


def lit(t: int, gain: float) -> np.ndarray:
    return np.clip(draw(t) * gain, 0, 255).astype(np.uint8)


SHAKE = np.random.default_rng(0).normal(0, 0.008, FRAMES)


@pytest.mark.parametrize(
    "frame",
    [
        draw,
        lambda t: lit(t, 3.0 if CUT <= t < CUT + 3 else 1.0),
        lambda t: np.full((3, HEIGHT, WIDTH), 255, np.uint8) if t in (CUT, CUT + 1) else draw(t),
        lambda t: lit(t, 0.5 if t >= CUT else 1.0),
        lambda t: draw(t, right=SHAKE[t]),
        lambda t: draw(t, right=0.03 * np.sin(t / 5)),
        lambda t: draw(t, zoom=1 + 0.01 * t),
        lambda t: draw(t // 6 * 6),
        lambda t: draw(min(t, 20) if t < CUT else t),
        lambda t: draw(t) if t else np.zeros((3, HEIGHT, WIDTH), np.uint8),
    ],
    ids=[
        "gestures",
        "flash",
        "white flash",
        "light goes out",
        "shake",
        "handheld",
        "slow zoom",
        "4 frames a second",
        "a pause",
        "black first frame",
    ],
)
def test_what_is_no_cut(frame: Callable[[int], np.ndarray]) -> None:
    assert cuts_of(frame) == []
