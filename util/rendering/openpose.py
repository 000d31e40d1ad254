"""OpenPose keypoints of a frame, and the map the vid2vid authors' checkpoints were trained on.

A frame has BODY_25, 70 face points (the iBUG-68 places, then the two pupils) and 21 points a hand,
as in https://github.com/CMU-Perceptual-Computing-Lab/openpose, "Output format".
`openpose_json` reads them.

The map equals what the paper authors' fork of vid2vid draws (github.com/sibozhang/vid2vid), to the
pixel and with its quirks, because the released networks were trained on nothing else. vid2vid's pen
does not fill a shape. It stamps a whole line again and again, shifted by each offset of the pen in
turn. A stamp that falls on black alone is laid in full colour; one that meets any colour is
averaged, all of it, half and half with what was there, rounding down. n averagings of a value v
with a colour c leave c + floor((v - c) / 2^n), so here counting the stamps on each pixel replaces
laying them one by one.

Shapes: L lines, N pixels on their middles, S stamps, M stamped pixels, A pixels of the map.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from speech2video.util.body.skeleton import FINGER_TIPS, IBUG68, POINT_INDEX, finger_chain, indices
from speech2video.util.errors import DataError
from speech2video.util.files import read_json

_TABLES = read_json(Path(__file__).with_name("openpose.json"), what="OpenPose's tables")
BODY_25 = tuple(_TABLES["body_25"])


def hand_21_points(side: str) -> list[int]:
    """Return the wrist, then each finger from its root to its tip, thumb first."""
    fingers = [finger_chain(side, finger) for finger in FINGER_TIPS]
    return indices((fingers[0][0], *(name for chain in fingers for name in chain[1:])))


PART_POINTS = {  # the fields of `OpenPoseFrame`: their places among the body's points
    "body_253": indices(tuple(_TABLES["body_25"].values())),
    "face_703": [*IBUG68, POINT_INDEX["right_eye"], POINT_INDEX["left_eye"]],
    "left_hand_213": hand_21_points("left"),
    "right_hand_213": hand_21_points("right"),
}
FACE_POINTS = 70
HAND_POINTS = 21
FARTHEST_PX = 32768  # no point of an image lies farther out; keeps bad files from filling memory


@dataclass(frozen=True, eq=False)
class OpenPoseFrame:
    """One person in one frame; each row is x, y in pixels and a confidence, zeros where missing.

    `left_hand_listed` is False where the file had no list at all for the left hand (OpenPose run
    without hands); `draw_vid2vid_authors_map` distinguishes that from a hand not found.
    """

    body_253: np.ndarray
    face_703: np.ndarray
    left_hand_213: np.ndarray
    right_hand_213: np.ndarray
    left_hand_listed: bool = True

    def __post_init__(self) -> None:
        """Raise `DataError` for a wrong shape, values not finite, or points far out."""
        for name in PART_POINTS:
            points_K3 = getattr(self, name)
            shape = (int(name[-3:-1]), 3)
            if points_K3.shape != shape:
                raise DataError(f"{name}: shape {points_K3.shape}, {shape} is needed")
            if not (np.abs(points_K3) <= FARTHEST_PX).all():  # false for NaN, too
                raise DataError(f"{name}: finite numbers up to ±{FARTHEST_PX} are needed")


def points_to_openpose(points_K2: np.ndarray) -> OpenPoseFrame:
    """Return the OpenPose frame of a body's points (144, 2) in pixels, NaN where missing."""
    found_K1 = (np.abs(points_K2) <= FARTHEST_PX).all(1, keepdims=True)  # false for NaN, too
    points_K3 = np.where(found_K1, np.concatenate((points_K2, found_K1), 1), 0.0)
    body_253, face_703, left_213, right_213 = (points_K3[part] for part in PART_POINTS.values())
    return OpenPoseFrame(body_253, face_703, left_213, right_213)


BODY_EDGES = _TABLES["body_edges"]  # two of `BODY_25` and a colour; legs and head are left out
FINGERS = tuple(
    ((0, *range(first, first + 4)), colour)
    for first, colour in zip(range(1, 21, 4), _TABLES["finger_colours"], strict=True)
)
FACE_LINES = _TABLES["face_lines"]  # jaw, brows, nose, upper and lower lids, lips
FACE_COLOUR = (255, 255, 255)
BODY_CONFIDENCE = HAND_CONFIDENCE = 0.01  # a point must be above it
FACE_CONFIDENCE = 0.1
MARKED_HAND_POINT = 9  # the middle finger's knuckle
MARKER_RADIUS_PX = 8
LEFT_MARKER = (0, 255, 0)
RIGHT_MARKER = (255, 0, 0)
LIMB_HALF_WIDTH_PX = 3  # at every size of map; a line is twice as wide
FACE_HALF_WIDTH_PX = 2
SETTLED = 9  # averagings after which a value no longer changes


def _pairs(lines: Iterable[tuple[int, ...]]) -> np.ndarray:
    """Return the (L, 2) neighbours along each line of point numbers."""
    return np.array([pair for line in lines for pair in pairwise(line)])


def _line_pen(half_width: int) -> np.ndarray:
    """Return the (2, S) offsets x, y at which a line is stamped, in the order of stamping."""
    rows_columns_2S = np.mgrid[-half_width:half_width, -half_width:half_width].reshape(2, -1)
    return rows_columns_2S[::-1]


def _end_pen(half_width: int) -> np.ndarray:
    """Return the (2, S) offsets at which, after the line, its two ends are stamped: a disc."""
    offsets_2S = _line_pen(2 * half_width)
    return offsets_2S[:, (offsets_2S**2).sum(axis=0) < (2 * half_width) ** 2]


BODY_PAIRS = np.array([(BODY_25.index(start), BODY_25.index(end)) for start, end, _ in BODY_EDGES])
BODY_COLOURS = np.array([colour for _, _, colour in BODY_EDGES], np.int16)
FINGER_PAIRS = _pairs(finger for finger, _ in FINGERS)
FINGER_COLOURS = np.repeat(np.array([colour for _, colour in FINGERS], np.int16), 4, axis=0)
FACE_PAIRS = _pairs(FACE_LINES)
FACE_COLOURS = np.tile(np.array(FACE_COLOUR, np.int16), (len(FACE_PAIRS), 1))
LIMB_PEN = _line_pen(LIMB_HALF_WIDTH_PX)
LIMB_END_PEN = _end_pen(LIMB_HALF_WIDTH_PX)
FACE_PEN = _line_pen(FACE_HALF_WIDTH_PX)
STAMPS_PER_LINE = LIMB_PEN.shape[1] + LIMB_END_PEN.shape[1]


def draw_vid2vid_authors_map(frame: OpenPoseFrame, height: int, width: int) -> np.ndarray:
    """Return the map (3, height, width) of one frame, RGB uint8, points in the map's own pixels.

    A part whose points are missing is left out, with the fork's own exceptions: a point whose x is
    exactly 0 counts as missing, a missing hand's marker is drawn at (0, 0), and without a list for
    the left hand both hands are missing. What lies past the border is pressed flat onto it.
    """
    hands = [
        _confident(points_K3 * frame.left_hand_listed, [f for f, _ in FINGERS], HAND_CONFIDENCE)
        for points_K3 in (frame.left_hand_213, frame.right_hand_213)
    ]
    ends_L22, colour_L3, limbs = _lines(frame, hands)
    pixel_2N, line_N = _middles(ends_L22)
    stamp_M, pixel_2M = _stamps(pixel_2N, line_N, limbs)
    map_A3 = _lay(stamp_M, pixel_2M, colour_L3, height, width)
    map_HW3 = map_A3.astype(np.uint8).reshape(height, width, 3)
    for hand_K2, colour in zip(hands, (LEFT_MARKER, RIGHT_MARKER), strict=True):
        x, y = hand_K2[MARKED_HAND_POINT]
        cv2.circle(map_HW3, (int(x), int(y)), MARKER_RADIUS_PX, colour, thickness=-1)
    return np.ascontiguousarray(map_HW3.transpose(2, 0, 1))


def _confident(
    points_K3: np.ndarray, groups: Iterable[tuple[int, ...]], threshold: float
) -> np.ndarray:
    """Return the (K, 2) points of each group that is confident throughout, zeros for the others."""
    confident_K2 = np.zeros((len(points_K3), 2))
    for group in groups:
        members = list(group)
        if (points_K3[members, 2] > threshold).all():
            confident_K2[members] = points_K3[members, :2]
    return confident_K2


def _lines(frame: OpenPoseFrame, hands: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the lines in order: ends (L, 2, 2), colours (L, 3), how many of them are limbs."""
    single_points = [(k,) for k in range(len(BODY_25))]
    body_K2 = _confident(frame.body_253, single_points, BODY_CONFIDENCE)
    face_K2 = _confident(frame.face_703, FACE_LINES, FACE_CONFIDENCE)
    parts = [body_K2[BODY_PAIRS], *(hand[FINGER_PAIRS] for hand in hands), face_K2[FACE_PAIRS]]
    colours = [BODY_COLOURS, FINGER_COLOURS, FINGER_COLOURS, FACE_COLOURS]
    found = [part[..., 0].all(axis=1) for part in parts]
    ends_L22 = np.concatenate([part[here] for part, here in zip(parts, found, strict=True)])
    colour_L3 = np.concatenate([part[here] for part, here in zip(colours, found, strict=True)])
    return ends_L22, colour_L3, len(ends_L22) - int(found[-1].sum())


def _middles(ends_L22: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels x, y (2, N) in the middles of straight lines and the line (N,) of each.

    A line has as many pixels as whole ones fit into its longer side; there they run between the
    truncated ends, evenly, which leaves gaps now and then.
    """
    steep_L = np.diff(np.abs(np.diff(ends_L22, axis=1)[:, 0]), axis=1)[:, 0] > 0
    ends_L22 = np.where(steep_L[:, None, None], ends_L22[..., ::-1], ends_L22)
    backwards_L = ends_L22[:, 0, 0] > ends_L22[:, 1, 0]
    ends_L22 = np.where(backwards_L[:, None, None], ends_L22[:, ::-1], ends_L22)
    (start_L, base_L), (end_L, top_L) = ends_L22.transpose(1, 2, 0)
    count_L = (end_L - start_L).astype(int)
    slope_L = (top_L - base_L) / np.maximum(end_L - start_L, 1)
    gap_L = (np.trunc(end_L) - np.trunc(start_L)) / np.maximum(count_L - 1, 1)

    line_N = np.arange(len(ends_L22)).repeat(count_L)
    nth_N = np.arange(len(line_N)) - (count_L.cumsum() - count_L)[line_N]
    along_N = nth_N * gap_L[line_N] + np.trunc(start_L)[line_N]
    last_N = (nth_N == count_L[line_N] - 1) & (nth_N > 0)
    along_N[last_N] = np.trunc(end_L)[line_N[last_N]]  # the product above may fall just short
    across_N = base_L[line_N] + slope_L[line_N] * (along_N - start_L[line_N])
    steep_N = steep_L[line_N]
    x_N, y_N = np.where(steep_N, across_N, along_N), np.where(steep_N, along_N, across_N)
    pixel_2N = np.stack([x_N, y_N]).astype(int)
    # truncation makes two pixels one where a line crosses 0
    new_N = np.diff(pixel_2N, prepend=0).any(axis=0) | (nth_N == 0)
    return pixel_2N[:, new_N], line_N[new_N]


def _stamps(pixel_2N: np.ndarray, line_N: np.ndarray, limbs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the stamps' numbers (M,), which rise in order of drawing, and pixels x, y (2, M)."""
    limb_N = line_N < limbs
    changes = np.flatnonzero(np.diff(line_N, prepend=-1, append=-1))
    ends = np.unique([changes[:-1], changes[1:] - 1])
    stamps, pixels = [], []
    for pen_2S, first, chosen in (
        (LIMB_PEN, 0, np.flatnonzero(limb_N)),
        (LIMB_END_PEN, LIMB_PEN.shape[1], ends[limb_N[ends]]),
        (FACE_PEN, 0, np.flatnonzero(~limb_N)),
    ):
        numbers_S = np.arange(first, first + pen_2S.shape[1])
        stamps.append((line_N[chosen, None] * STAMPS_PER_LINE + numbers_S).ravel())
        pixels.append((pixel_2N[:, chosen, None] + pen_2S[:, None]).reshape(2, -1))
    return np.concatenate(stamps), np.concatenate(pixels, axis=1)


def _lay(
    stamp_M: np.ndarray, pixel_2M: np.ndarray, colour_L3: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Return the map (A, 3) with all stamps laid on black (see the module's docstring)."""
    area = height * width
    x_M, y_M = np.clip(pixel_2M, 0, [[width - 1], [height - 1]])
    border_M = (x_M == 0) | (x_M == width - 1) | (y_M == 0) | (y_M == height - 1)
    stamp_and_pixel_M = stamp_M * area + y_M * width + x_M
    # pixels of one stamp that meet on the border count once
    once = [stamp_and_pixel_M[~border_M], np.unique(stamp_and_pixel_M[border_M])]
    stamp_M, pixel_M = np.divmod(np.concatenate(once), area)

    # a stamp is in full colour if it is the first on all its pixels; those then start in its colour
    first_A = np.full(area, len(colour_L3) * STAMPS_PER_LINE)
    np.minimum.at(first_A, pixel_M, stamp_M)
    full_S = np.ones(len(colour_L3) * STAMPS_PER_LINE, bool)
    full_S[stamp_M[first_A[pixel_M] != stamp_M]] = False
    map_A3 = np.zeros((area, 3), np.int16)
    full_M = full_S[stamp_M]
    map_A3[pixel_M[full_M]] = colour_L3[stamp_M[full_M] // STAMPS_PER_LINE]

    line_and_pixel, count = np.unique(
        stamp_M // STAMPS_PER_LINE * area + pixel_M, return_counts=True
    )
    starts_L = np.searchsorted(line_and_pixel, np.arange(len(colour_L3) + 1) * area)
    pixel, count = line_and_pixel % area, np.minimum(count, SETTLED).astype(np.int16)[:, None]
    for colour_3, start, end in zip(colour_L3, starts_L[:-1], starts_L[1:], strict=True):
        touched = pixel[start:end]
        map_A3[touched] = colour_3 + ((map_A3[touched] - colour_3) >> count[start:end])
    return map_A3
