"""The authors' maps: equal to the fork's own images, and to a pen that stamps one by one."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from speech2video.util.rendering.openpose import (
    BODY_25,
    BODY_EDGES,
    FACE_LINES,
    FINGERS,
    OpenPoseFrame,
    draw_vid2vid_authors_map,
)
from speech2video.util.rendering.openpose_json import read_openpose
from tests.shared import FIXTURES, cases

HEIGHT, WIDTH = 384, 512
UPPER_BODY = {
    "Nose": (250, 150),
    "Neck": (256, 215),
    "RShoulder": (190, 222),
    "RElbow": (160, 285),
    "RWrist": (120, 250),
    "LShoulder": (322, 220),
    "LElbow": (350, 280),
    "LWrist": (390, 245),
    "MidHip": (258, 345),
    "RHip": (225, 344),
    "LHip": (291, 347),
}


def frame_of(body: dict[str, tuple[float, float]]) -> OpenPoseFrame:
    body_253 = np.zeros((25, 3))
    for name, (x, y) in body.items():
        body_253[BODY_25.index(name)] = x + 0.37, y + 0.41, 1
    return OpenPoseFrame(body_253, np.zeros((70, 3)), np.zeros((21, 3)), np.zeros((21, 3)))


def random_frame(seed: int) -> OpenPoseFrame:
    """Return an upper body with hands and face, some points outside, some missing or doubtful."""
    random = np.random.default_rng(seed)

    def points(count: int, centre: tuple[float, float], size_px: float) -> np.ndarray:
        points_K2 = random.normal(centre, size_px, (count, 2))
        confidence_K1 = random.uniform(0.005, 1, (count, 1)) * (random.random((count, 1)) > 0.03)
        return np.hstack([points_K2, confidence_K1])

    centres = random.uniform(-20, 220, (4, 2))
    sizes_px = random.uniform((50, 5, 2, 2), (100, 40, 30, 30))
    counts = (25, 70, 21, 21)
    return OpenPoseFrame(*map(points, counts, centres, sizes_px))


def stamped_one_by_one(frame: OpenPoseFrame, height: int, width: int) -> np.ndarray:
    """Return the map as the fork's pen would lay it, stamp after stamp."""
    map_HW3 = np.zeros((height, width, 3), np.uint8)
    for start_3, end_3, colour, half_width in reference_lines(frame):
        pixel_N2 = reference_middle(start_3[:2], end_3[:2])
        if not len(pixel_N2):
            continue
        for dy in range(-half_width, half_width):
            for dx in range(-half_width, half_width):
                stamp(map_HW3, pixel_N2, dx, dy, colour)
        radius = 2 * half_width if colour != (255, 255, 255) else 0
        for dy in range(-radius, radius):
            for dx in range(-radius, radius):
                if dx**2 + dy**2 < radius**2:
                    stamp(map_HW3, pixel_N2[[0, -1]], dx, dy, colour)
    fingers = [finger for finger, _ in FINGERS if 9 in finger]
    for hand, colour in ((frame.left_hand_213, (0, 255, 0)), (frame.right_hand_213, (255, 0, 0))):
        x, y = hand[9, :2] * (hand[fingers[0], 2] > 0.01).all()
        cv2.circle(map_HW3, (int(x), int(y)), 8, colour, thickness=-1)
    return map_HW3.transpose(2, 0, 1)


def reference_lines(frame: OpenPoseFrame) -> list[tuple]:
    lines = []
    for *names, colour in BODY_EDGES:
        ends = [frame.body_253[BODY_25.index(name)] for name in names]
        if all(end[2] > 0.01 for end in ends):
            lines.append((*ends, colour, 3))
    white = [(line, (255, 255, 255)) for line in FACE_LINES]
    for points, groups, threshold, half_width in (
        (frame.left_hand_213, FINGERS, 0.01, 3),
        (frame.right_hand_213, FINGERS, 0.01, 3),
        (frame.face_703, white, 0.1, 2),
    ):
        for group, colour in groups:
            if (points[list(group), 2] > threshold).all():
                lines += [(points[a], points[b], colour, half_width) for a, b in pairwise(group)]
    return lines


def reference_middle(start_2: np.ndarray, end_2: np.ndarray) -> np.ndarray:
    side_2 = np.abs(end_2 - start_2)
    along = int(side_2[0] < side_2[1])
    if start_2[along] > end_2[along]:
        start_2, end_2 = end_2, start_2
    along_N = np.linspace(int(start_2[along]), int(end_2[along]), int(side_2[along]))
    slope, base = np.polyfit(*np.stack([start_2, end_2]).T[[along, 1 - along]], 1)
    across_N = slope * along_N + base
    return np.stack([across_N, along_N] if along else [along_N, across_N], axis=1).astype(int)


def stamp(
    map_HW3: np.ndarray, pixel_N2: np.ndarray, dx: int, dy: int, colour: tuple[int, int, int]
) -> None:
    height, width, _ = map_HW3.shape
    x_N = np.clip(pixel_N2[:, 0] + dx, 0, width - 1)
    y_N = np.clip(pixel_N2[:, 1] + dy, 0, height - 1)
    below_N3 = map_HW3[y_N, x_N].astype(int)
    map_HW3[y_N, x_N] = (below_N3 + colour) // 2 if below_N3.any() else colour


@pytest.mark.parametrize("path", cases(FIXTURES, "skeleton_maps/*.json"))
def test_fixtures_are_equal(path: Path) -> None:
    picture_HW3 = cv2.imread(str(path.with_name(f"{path.stem}_authors_fork.png")))[..., ::-1]
    map_3HW = draw_vid2vid_authors_map(read_openpose(path), *picture_HW3.shape[:2])
    assert (map_3HW.transpose(1, 2, 0) == picture_HW3).all(axis=2).mean() >= 0.995


@pytest.mark.parametrize("seed", range(4))
def test_counting_stamps_equals_stamping_one_by_one(seed: int) -> None:
    frame = random_frame(seed)
    for height, width in ((200, 220), (64, 31), (1, 1)):
        map_3HW = draw_vid2vid_authors_map(frame, height, width)
        assert map_3HW.shape == (3, height, width)
        assert map_3HW.dtype == np.uint8
        np.testing.assert_array_equal(map_3HW, stamped_one_by_one(frame, height, width))


def test_nothing_found_leaves_only_the_markers_of_missing_hands() -> None:
    map_3HW = draw_vid2vid_authors_map(frame_of({}), HEIGHT, WIDTH)
    assert map_3HW[0, 0, 0] == 255
    assert not map_3HW[1:].any()
    assert not map_3HW[:, 9:].any()
    assert not map_3HW[:, :, 9:].any()


@pytest.mark.parametrize(
    "missing", [{"LWrist"}, {"LElbow"}, {"LElbow", "LWrist"}, {"LShoulder", "LElbow", "LWrist"}]
)
def test_a_missing_arm_draws_nothing_there_and_changes_nothing_elsewhere(
    missing: set[str],
) -> None:
    whole = draw_vid2vid_authors_map(frame_of(UPPER_BODY), HEIGHT, WIDTH)
    body = {name: place for name, place in UPPER_BODY.items() if name not in missing}
    without = draw_vid2vid_authors_map(frame_of(body), HEIGHT, WIDTH)
    beyond_elbow = slice(int(UPPER_BODY["LElbow"][0]) + 8, None)
    assert whole[:, :, beyond_elbow].any()
    assert not without[:, :, beyond_elbow].any()
    neck = int(UPPER_BODY["Neck"][0]) - 8
    np.testing.assert_array_equal(without[:, :, :neck], whole[:, :, :neck])


def test_legs_and_head_are_left_out() -> None:
    others = {name: (30, 200) for name in BODY_25 if name not in UPPER_BODY}
    np.testing.assert_array_equal(
        draw_vid2vid_authors_map(frame_of(UPPER_BODY | others), HEIGHT, WIDTH),
        draw_vid2vid_authors_map(frame_of(UPPER_BODY), HEIGHT, WIDTH),
    )


def test_a_doubtful_point_is_a_missing_one() -> None:
    frame = frame_of(UPPER_BODY)
    frame.body_253[BODY_25.index("RWrist"), 2] = 0.01
    body = {name: place for name, place in UPPER_BODY.items() if name != "RWrist"}
    np.testing.assert_array_equal(
        draw_vid2vid_authors_map(frame, HEIGHT, WIDTH),
        draw_vid2vid_authors_map(frame_of(body), HEIGHT, WIDTH),
    )


def test_the_maps_size_changes_no_line() -> None:
    small = draw_vid2vid_authors_map(frame_of(UPPER_BODY), HEIGHT, WIDTH)
    large = draw_vid2vid_authors_map(frame_of(UPPER_BODY), HEIGHT + 123, WIDTH + 77)
    np.testing.assert_array_equal(large[:, :HEIGHT, :WIDTH], small)
    assert not large[:, HEIGHT:].any()
    assert not large[:, :, WIDTH:].any()


def test_shifted_points_give_a_shifted_map() -> None:
    frame, shift = frame_of(UPPER_BODY), 16
    moved_253 = frame.body_253 + (shift, shift, 0) * (frame.body_253[:, 2:] > 0)
    here = draw_vid2vid_authors_map(frame, HEIGHT, WIDTH)
    there = draw_vid2vid_authors_map(replace(frame, body_253=moved_253), HEIGHT, WIDTH)
    # the markers of the missing hands stay at (0, 0)
    np.testing.assert_array_equal(there[:, 2 * shift :, shift:], here[:, shift:-shift, :-shift])


def test_without_a_list_for_the_left_hand_both_are_missing() -> None:
    frame = random_frame(7)
    missing = np.zeros((21, 3))
    np.testing.assert_array_equal(
        draw_vid2vid_authors_map(replace(frame, left_hand_listed=False), HEIGHT, WIDTH),
        draw_vid2vid_authors_map(
            replace(frame, left_hand_213=missing, right_hand_213=missing), HEIGHT, WIDTH
        ),
    )
