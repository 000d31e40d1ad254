"""Detect body, face mesh with pupils, and both hands of one person with MediaPipe."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from speech2video.data.keypoints import FACE_MESH_POINTS, Keypoints, find_runs
from speech2video.data.preprocessing.detection import mediapipe_networks as networks
from speech2video.data.preprocessing.detection.hands import (
    HAND_LENGTH,
    MAX_WRIST_DISTANCE,
    Hand,
    HandTracker,
)
from speech2video.data.preprocessing.detection.mediapipe_networks import PersonDetection
from speech2video.util.body.skeleton import POINTS
from speech2video.util.errors import DataError
from speech2video.util.iteration import prefetch
from speech2video.util.metrics.motion import distances

FACE_CONFIDENCE = 1.0  # MediaPipe gives none for faces and hands
HAND_CONFIDENCE = (0.6, 1.0)  # for a side score of 0 and of 1
# Factors on the visibility of the pose network.
OUTSIDE_FACTOR = 0.1  # for points outside the image
WITHOUT_HAND_FACTOR = 0.4  # for a wrist without a detected hand
CONTRADICTED_FACTOR = 0.3  # for an elbow whose wrist is not at the detected hand
MIN_POINT_CONFIDENCE = 1e-3  # of a detected point
_UPPER_BODY = [0, 2, 5, 7, 8, 11, 12]  # nose, eyes, ears, shoulders: nearly always visible
_HEAD = range(11)  # nose, eyes, ears, mouth of the pose

LARGER_FACE = 1.3  # factor on the width of the tracked face, from which a person is larger
STEADY_COUNTS = 2  # consecutive counts of faces that must agree before the tracker switches
STEADY_SHARE = 0.25  # of all counts, from which a number of faces is steady
MIN_FACE = 0.3  # of the widest face; smaller ones are images on walls and people far off
HEAD_BOX = 1.8  # sides of a head's box in sides of its face's

SMOOTHING_SIGMA = 1.5  # frames; detection noise is faster than bodies at 25 fps
SMOOTHING_RADIUS = 5  # frames
MIN_RUN = 3  # frames; shorter detections of a hand are likely errors
MAX_JUMP = 0.5  # of a group's size between frames


class NoPersonError(DataError):
    """No person is found in any frame."""


def detect_keypoints(
    frames: Iterable[np.ndarray], *, width: int, height: int, fps: float
) -> Keypoints:
    """Return the keypoints of one person, the largest who is steadily visible.

    Frames are streamed; one second of them is kept, in which a newly found hand is tracked back.
    Gaps are not filled, see `keypoints.fill_gaps`.

    Args:
        frames: RGB uint8, (3, height, width) or (height, width, 3).
        width, height: of the frames, pixels.
        fps: frames a second.

    Raises:
        DataError: a frame of another size.
        NoPersonError: no frames, or no person in them.
        UserError: MediaPipe is not installed.
    """
    body, hands, monitor = networks.BodyNetwork(), HandTracker(), BystanderMonitor(round(fps))
    images = (_check_image(frame, width, height) for frame in frames)
    found: list[PersonDetection | None] = []
    # A second thread detects the bodies of the next frames during the detection of hands.
    for image_HW3, person, switched in prefetch(_track_person(images, body, monitor)):
        if switched:
            hands.reset()
        found.append(person)
        if person is None:
            hands.skip()
        else:
            hands.update(image_HW3, person.pose_333[:, :2], pixels_per_metre(person))
    main_T = monitor.main_person_frames()
    found = [person if main else None for person, main in zip(found, main_T, strict=True)]
    if not any(found):
        raise NoPersonError(
            f"no person found in {len(found)} frames; one, from the hips up, is needed"
        )
    tracks = _Tracks(found, hands.hands)
    tracks.clean(width, height)
    mesh_TM2 = tracks.face_TK2[:, :FACE_MESH_POINTS].astype(np.float32)
    points = tracks.to_body_points()
    return Keypoints(*points, width, height, fps, "mediapipe", monitor.people, mesh_TM2)


def _track_person(
    images: Iterable[np.ndarray], body: networks.BodyNetwork, monitor: "BystanderMonitor"
) -> Iterator[tuple[np.ndarray, PersonDetection | None, bool]]:
    """Yield each frame, the tracked person in it, and whether the tracker switched to this one.

    It switches to a clearly larger person.
    """
    for image_HW3 in images:
        person = body(image_HW3)
        masked_HW3 = monitor.update(image_HW3, person)
        if masked_HW3 is not None:
            body.reset()
            body(masked_HW3)
            person = body(image_HW3)
        yield image_HW3, person, masked_HW3 is not None


def pixels_per_metre(person: PersonDetection) -> float:
    """Return the scale at a person's distance, from head and shoulders in pixels and in metres."""
    pixels_K2 = person.pose_333[_UPPER_BODY, :2]
    metres_K2 = person.world_333[_UPPER_BODY, :2]
    spread = [np.linalg.norm(points - points.mean(0)) for points in (pixels_K2, metres_K2)]
    return float(spread[0] / max(spread[1], 1e-6))


def _check_image(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a frame as contiguous (height, width, 3); raises `DataError` for another shape."""
    if frame.shape == (3, height, width):
        frame = frame.transpose(1, 2, 0)
    if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
        raise DataError(
            f"a frame is {frame.dtype} {frame.shape}; uint8 RGB of {width} × {height} is needed"
        )
    return np.ascontiguousarray(frame)


class BystanderMonitor:
    """Counts the faces of every n-th frame and finds out if the tracked person is not the largest.

    Attributes:
        counts: the numbers of faces.
    """

    def __init__(self, every: int) -> None:
        self._faces = networks.FaceDetector()
        self._every = max(1, every)
        self._switches_T: list[int] = []  # number of switches so far, per frame
        self._smaller = 0  # consecutive counts in which the tracked person was not the largest
        self.counts: list[int] = []

    def update(self, image_HW3: np.ndarray, person: PersonDetection | None) -> np.ndarray | None:
        """Process the next frame.

        Returns:
            None, or, if the tracker should switch to a larger person, the frame with all other
            heads masked.
        """
        switches = self._switches_T[-1] if self._switches_T else 0
        self._switches_T.append(switches)
        if (len(self._switches_T) - 1) % self._every:
            return None
        boxes_N4 = self._faces(image_HW3)
        boxes_N4 = boxes_N4[boxes_N4[:, 2] > MIN_FACE * boxes_N4[:1, 2]]
        self.counts.append(len(boxes_N4))
        if person is None or len(boxes_N4) < 2 or not _is_another(boxes_N4, person):
            self._smaller = 0
            return None
        self._smaller += 1
        if self._smaller < STEADY_COUNTS and len(self._switches_T) > 1:
            return None
        self._smaller = 0
        self._switches_T[-1] = switches + 1
        return _mask_heads(image_HW3, boxes_N4[1:])

    @property
    def people(self) -> int:
        """Number of people steadily visible, including the tracked one."""
        counts = np.array(self.counts or [0])
        steady = [n for n in range(2, counts.max() + 1) if (counts >= n).mean() >= STEADY_SHARE]
        return max(steady, default=1)

    def main_person_frames(self) -> np.ndarray:
        """Return the mask (T,) of frames with the person who was tracked longest."""
        switches_T = np.array(self._switches_T, int)
        if not len(switches_T):
            return switches_T.astype(bool)
        return switches_T == np.bincount(switches_T).argmax()


def _is_another(boxes_N4: np.ndarray, person: PersonDetection) -> bool:
    """Return whether the widest face is another person's, and clearly wider than this one's."""
    centre_2 = person.pose_333[_HEAD, :2].mean(0)
    distance_N = np.linalg.norm(boxes_N4[:, :2] + boxes_N4[:, 2:] / 2 - centre_2, axis=1)
    own = int(distance_N.argmin())
    return own != 0 and boxes_N4[0, 2] > LARGER_FACE * boxes_N4[own, 2]


def _mask_heads(image_HW3: np.ndarray, boxes_N4: np.ndarray) -> np.ndarray:
    """Return the image with grey over some heads."""
    masked_HW3 = image_HW3.copy()
    for box in boxes_N4:
        centre_2, half_2 = box[:2] + box[2:] / 2, HEAD_BOX / 2 * box[2:]
        low, high = (tuple(int(v) for v in centre_2 + sign * half_2) for sign in (-1, 1))
        cv2.rectangle(masked_HW3, low, high, (128, 128, 128), cv2.FILLED)
    return masked_HW3


class _Tracks:
    """Detections of all frames as arrays, NaN where missing."""

    def __init__(self, found: list[PersonDetection | None], hands: list[list[Hand | None]]) -> None:
        count = len(found)
        self.pose_TK3 = np.full((count, 33, 3), np.nan)
        self.world_TK3 = np.full((count, 33, 3), np.nan)
        self.face_TK2 = np.full((count, FACE_MESH_POINTS + 10, 2), np.nan)
        self.scale_T = np.full(count, np.nan)  # pixels per metre
        self.hands_STK2 = np.full((2, count, 21, 2), np.nan)  # S: left, right
        self.hands_world_STK3 = np.full((2, count, 21, 3), np.nan)
        self.hands_score_ST = np.zeros((2, count))
        for t, person in enumerate(found):
            if person is None:
                continue
            self.pose_TK3[t], self.world_TK3[t] = person.pose_333, person.world_333
            self.scale_T[t] = pixels_per_metre(person)
            if person.face_K2 is not None:
                self.face_TK2[t] = person.face_K2
            for side, hand in enumerate(hands[t]):
                if hand is not None:
                    self.hands_STK2[side, t] = hand.points_212
                    self.hands_world_STK3[side, t] = hand.world_213
                    self.hands_score_ST[side, t] = hand.side_score

    def clean(self, width: int, height: int) -> None:
        """Remove jumps and short runs, smooth the body, lower doubtful confidences."""
        self.face_TK2[find_jumps(self.face_TK2)] = np.nan
        self.pose_TK3[..., :2] = smooth_track(self.pose_TK3[..., :2])
        self.world_TK3 = smooth_track(self.world_TK3)
        for side, hand_TK2 in enumerate(self.hands_STK2):
            hand_TK2[find_jumps(hand_TK2)] = np.nan
            hand_TK2[find_short_runs(self.has_hand_T(side))] = np.nan
            _, elbow, wrist, *_ = networks.POSE_ARMS[side]
            self.pose_TK3[~self.has_hand_T(side), wrist, 2] *= WITHOUT_HAND_FACTOR
            apart_T = distances(hand_TK2[:, 0], self.pose_TK3[:, wrist, :2])
            limit_T = MAX_WRIST_DISTANCE * HAND_LENGTH * self.scale_T
            contradicted_T = apart_T > limit_T  # false for NaN
            self.pose_TK3[contradicted_T, elbow, 2] *= CONTRADICTED_FACTOR
            self.world_TK3[contradicted_T, elbow] = np.nan
        xy_TK2 = self.pose_TK3[..., :2]
        outside_TK = ((xy_TK2 < 0) | (xy_TK2 > (width, height))).any(2)
        self.pose_TK3[..., 2] *= np.where(outside_TK, OUTSIDE_FACTOR, 1.0)

    def has_hand_T(self, side: int) -> np.ndarray:
        """Return the mask (T,) of frames with a hand."""
        return np.asarray(np.isfinite(self.hands_STK2[side]).all((1, 2)))

    def to_body_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return points and world points (T, 144, 3) float32 as in `Keypoints`."""
        points = np.full((len(self.pose_TK3), len(POINTS), 3), np.nan)
        world = np.full_like(points, np.nan)
        points[:, networks.POSE_TARGET] = self.pose_TK3[:, networks.POSE_SOURCE]
        world[:, networks.POSE_TARGET] = self.world_TK3[:, networks.POSE_SOURCE]
        points[:, networks.FACE_TARGET, :2] = self.face_TK2[:, networks.FACE_SOURCE]
        points[:, networks.FACE_TARGET, 2] = FACE_CONFIDENCE
        low, high = HAND_CONFIDENCE
        for side, target in enumerate(networks.HAND_TARGETS):
            frames = np.flatnonzero(self.has_hand_T(side))[:, None]
            points[frames, target, :2] = self.hands_STK2[side, frames[:, 0]]
            points[frames, target, 2] = low + (high - low) * self.hands_score_ST[side, frames]
            wrist_T13 = self.world_TK3[:, networks.POSE_ARMS[side][2], None]
            world[frames, target] = (wrist_T13 + self.hands_world_STK3[side])[frames[:, 0]]
        found_TK = np.isfinite(points[..., :2]).all(2)
        confidence = np.clip(np.nan_to_num(points[..., 2]), MIN_POINT_CONFIDENCE, 1.0)
        result = points.astype(np.float32)
        result[..., 2] = np.where(found_TK, confidence, 0.0)
        result[~found_TK, :2] = np.nan
        return result, world.astype(np.float32)


def smooth_track(values_TKC: np.ndarray) -> np.ndarray:
    """Return points smoothed over time, by a median of three and a centred Gaussian.

    A centred filter has no lag, unlike MediaPipe's one-euro filter. NaN is ignored, and stays NaN.
    """
    known = np.isfinite(values_TKC)
    values = np.where(known, _median_of_three(values_TKC), 0.0)
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for step in range(-SMOOTHING_RADIUS, SMOOTHING_RADIUS + 1):
        share = np.exp(-0.5 * (step / SMOOTHING_SIGMA) ** 2)
        here = slice(max(0, -step), max(0, len(values) - max(0, step)))
        if here.start < here.stop:
            there = slice(here.start + step, here.stop + step)
            total[here] += share * values[there]
            weight[here] += share * known[there]
    return np.where(known, total / np.where(known, weight, 1.0), np.nan)


def _median_of_three(values_TKC: np.ndarray) -> np.ndarray:
    """Return the median of each value and its two neighbours, if all are known."""
    result = values_TKC.copy()
    if len(result) > 2:
        median = np.median([values_TKC[:-2], values_TKC[1:-1], values_TKC[2:]], axis=0)
        result[1:-1] = np.where(np.isfinite(median), median, values_TKC[1:-1])
    return result


def find_jumps(points_TK2: np.ndarray) -> np.ndarray:
    """Return the mask (T,) of frames in which a group of points is elsewhere for that frame."""
    jumps_T = np.zeros(len(points_TK2), bool)
    if len(points_TK2) < 3:
        return jumps_T
    centre_T2, size_T = points_TK2.mean(1), np.ptp(points_TK2, axis=1).max(1)
    before, here, after = centre_T2[:-2], centre_T2[1:-1], centre_T2[2:]
    limit = MAX_JUMP * np.median(np.stack([size_T[:-2], size_T[1:-1], size_T[2:]]), axis=0)
    moves = np.minimum(distances(here, before), distances(here, after))
    jumps_T[1:-1] = (moves > limit) & (distances(before, after) < limit)  # false for NaN
    return jumps_T


def find_short_runs(found_T: np.ndarray) -> np.ndarray:
    """Return the mask (T,) of detections that last less than `MIN_RUN` frames."""
    short_T = np.zeros(len(found_T), bool)
    for run in find_runs(found_T):
        short_T[run] = run.stop - run.start < min(MIN_RUN, len(found_T))
    return short_T
