"""Keypoints from frames, by MediaPipe: body, face mesh with pupils, and both hands."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from speech2video.data.keypoints import FACE_MESH_POINTS, Keypoints
from speech2video.data.preprocessing.detection.hands import HAND_LENGTH, NEAR, Hand, HandTracker
from speech2video.data.preprocessing.detection.mediapipe_networks import (
    FACE_SOURCE,
    FACE_TARGET,
    HAND_TARGETS,
    POSE_ELBOWS,
    POSE_SOURCE,
    POSE_TARGET,
    POSE_WRISTS,
    BodyNetwork,
    FaceDetector,
    PersonDetection,
)
from speech2video.util.body.skeleton import POINTS
from speech2video.util.errors import DataError
from speech2video.util.iteration import prefetch

# Who else is in the picture, looked for once a second, and who is the largest.

LARGER = 1.3  # times as wide a face makes somebody the larger person
STEADY = 2  # looks in a row that must agree before the body's tracker turns to somebody else
STEADY_SHARE = 0.25  # of all looks in which a number of faces must be seen to be counted
SMALLEST = 0.3  # of the widest face; smaller ones are pictures on walls and people far off
HEAD = 1.8  # sides of a head's box in sides of its face's
_FACE_OF_POSE = range(11)  # nose, eyes, ears, mouth


class BystanderMonitor:
    """Counts faces now and then, and says when the tracked person is not the largest.

    Attributes:
        looks: how many faces each look counted.
    """

    def __init__(self, every: int) -> None:
        self._faces = FaceDetector()
        self._every = max(1, every)
        self._owner_T: list[int] = []  # how often the tracker had turned to somebody, per frame
        self._wrong = 0
        self.looks: list[int] = []

    def look(self, image_HW3: np.ndarray, person: PersonDetection | None) -> np.ndarray | None:
        """Take note of the next frame.

        Returns:
            None; or, where the tracker is to turn to a larger person, the frame with everybody
            else's head hidden.
        """
        turn = self._owner_T[-1] if self._owner_T else 0
        self._owner_T.append(turn)
        if (len(self._owner_T) - 1) % self._every:
            return None
        boxes_N4 = self._faces(image_HW3)
        boxes_N4 = boxes_N4[boxes_N4[:, 2] > SMALLEST * boxes_N4[:1, 2]]
        self.looks.append(len(boxes_N4))
        if person is None or len(boxes_N4) < 2 or not _is_another(boxes_N4, person):
            self._wrong = 0
            return None
        self._wrong += 1
        if self._wrong < STEADY and len(self._owner_T) > 1:
            return None
        self._wrong = 0
        self._owner_T[-1] = turn + 1
        return _without_heads(image_HW3, boxes_N4[1:])

    @property
    def people(self) -> int:
        """How many people are steadily in the picture, the tracked one among them."""
        counts = np.array(self.looks or [0])
        steady = [n for n in range(2, counts.max() + 1) if (counts >= n).mean() >= STEADY_SHARE]
        return max(steady, default=1)

    def main_person(self) -> np.ndarray:
        """Return in which frames (T,) the tracker followed whom it followed longest."""
        owner_T = np.array(self._owner_T, int)
        return owner_T == np.bincount(owner_T).argmax() if len(owner_T) else owner_T.astype(bool)


def _is_another(boxes_N4: np.ndarray, person: PersonDetection) -> bool:
    """Return whether the widest face is clearly wider than the tracked person's and not theirs."""
    middle_2 = person.pose_333[_FACE_OF_POSE, :2].mean(0)
    distance_N = np.linalg.norm(boxes_N4[:, :2] + boxes_N4[:, 2:] / 2 - middle_2, axis=1)
    theirs = int(distance_N.argmin())
    return theirs != 0 and boxes_N4[0, 2] > LARGER * boxes_N4[theirs, 2]


def _without_heads(image_HW3: np.ndarray, boxes_N4: np.ndarray) -> np.ndarray:
    """Return the picture with grey over some heads."""
    hidden_HW3 = image_HW3.copy()
    for box in boxes_N4:
        middle_2, half_2 = box[:2] + box[2:] / 2, HEAD / 2 * box[2:]
        low, high = (tuple(int(v) for v in middle_2 + sign * half_2) for sign in (-1, 1))
        cv2.rectangle(hidden_HW3, low, high, (128, 128, 128), cv2.FILLED)
    return hidden_HW3


# Tracks of detected points over time: what is noise in them, taken out without any lag.

SIGMA = 1.5  # frames; the detector's noise on a body is fast, bodies at 25 fps are slower
RADIUS = 5  # frames on either side that smoothing looks at
FLEETING = 3  # frames; what is seen for less is likelier a mistake than a hand
JUMP = 0.5  # of a group's own size; farther off than that its points have jumped


def smooth_track(values_TKC: np.ndarray, *, sigma: float = SIGMA) -> np.ndarray:
    """Return points smoothed over time: a median of three, then a centred Gaussian.

    A centred filter does not lag, unlike the one-euro filter that MediaPipe offers. NaN is missing:
    left out of its neighbours' means, and missing still.
    """
    known = np.isfinite(values_TKC)
    values = np.where(known, _median_of_three(values_TKC), 0.0)
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for step in range(-RADIUS, RADIUS + 1):
        share = np.exp(-0.5 * (step / sigma) ** 2)
        here, there = _overlap(len(values), step)
        total[here] += share * values[there]
        weight[here] += share * known[there]
    return np.where(known, total / np.where(known, weight, 1.0), np.nan)


def find_jumps(points_TK2: np.ndarray) -> np.ndarray:
    """Return in which frames (T,) a group of points leaps away and is back in the next frame."""
    jumps_T = np.zeros(len(points_TK2), bool)
    if len(points_TK2) < 3:
        return jumps_T
    middle_T2, size_T = points_TK2.mean(1), np.ptp(points_TK2, axis=1).max(1)
    before, here, after = middle_T2[:-2], middle_T2[1:-1], middle_T2[2:]
    limit = JUMP * np.median(np.stack([size_T[:-2], size_T[1:-1], size_T[2:]]), axis=0)
    out = np.minimum(_distance(here, before), _distance(here, after)) > limit  # false for NaN
    jumps_T[1:-1] = out & (_distance(before, after) < limit)
    return jumps_T


def find_fleeting(seen_T: np.ndarray) -> np.ndarray:
    """Return the frames (T,) of sightings that last less than `FLEETING` frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen_T.astype(int), [0]])))
    short_T = np.zeros(len(seen_T), bool)
    for start, end in edges.reshape(-1, 2):
        short_T[start:end] = end - start < min(FLEETING, len(seen_T))
    return short_T


def _median_of_three(values_TKC: np.ndarray) -> np.ndarray:
    """Return each value, or the middle one of it and its neighbours where it has both."""
    result = values_TKC.copy()
    if len(result) > 2:
        middle = np.median([values_TKC[:-2], values_TKC[1:-1], values_TKC[2:]], axis=0)
        result[1:-1] = np.where(np.isfinite(middle), middle, values_TKC[1:-1])
    return result


def _overlap(count: int, step: int) -> tuple[slice, slice]:
    """Return the frames that have one `step` frames later, and those."""
    here = slice(max(0, -step), max(0, count - max(0, step)))
    return here, slice(here.start + step, here.stop + step) if here.start < here.stop else here


def _distance(a_T2: np.ndarray, b_T2: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a_T2 - b_T2, axis=1)


FACE_CONFIDENCE = 1.0  # MediaPipe gives none for faces and hands
HAND_CONFIDENCE = (0.6, 1.0)  # from a hand of doubtful side to one of a sure side
OUTSIDE_SHARE = 0.1  # of a pose's own visibility where the point is beyond the border
WITHOUT_HAND_SHARE = 0.4  # of it for a wrist in the picture where no hand can be found
CONTRADICTED_SHARE = 0.3  # of it for an elbow whose wrist is not where the hand is
LEAST_CONFIDENCE = 1e-3  # a point with a place has some
_UPPER_BODY = [0, 2, 5, 7, 8, 11, 12]  # nose, eyes, ears, shoulders: what is nearly always seen


def detect_keypoints(
    frames: Iterable[np.ndarray], *, width: int, height: int, fps: float
) -> Keypoints:
    """Return the keypoints of one person, the largest who is steadily in the picture.

    Frames stream through; only points are kept, and one second of pictures, in which a hand is
    followed back from where it was found. Gaps are not filled, see `keypoints.fill_gaps`.

    Args:
        frames: RGB uint8, (3, height, width) or (height, width, 3).
        width: pixels.
        height: pixels.
        fps: frames a second.

    Raises:
        DataError: a frame of another size, no frames, or nobody in them.
        UserError: MediaPipe is not installed.
    """
    body, hands, onlookers = BodyNetwork(), HandTracker(), BystanderMonitor(round(fps))
    images = (_image(frame, width, height) for frame in frames)
    found: list[PersonDetection | None] = []
    # A second core looks for the next frames' bodies while this one looks for hands.
    for image_HW3, person, is_other in prefetch(_people(images, body, onlookers)):
        if is_other:
            hands.forget()
        found.append(person)
        if person is None:
            hands.skip()
        else:
            hands.see(image_HW3, person.pose_333[:, :2], pixels_per_metre(person))
    main_T = onlookers.main_person()
    found = [person if main else None for person, main in zip(found, main_T, strict=True)]
    if not any(found):
        raise DataError(f"no person found in {len(found)} frames; one, from the hips up, is needed")
    return _Collected(found, hands.hands, width, height).keypoints(fps, onlookers.people)


class _Sighting(NamedTuple):
    """A frame, whom the tracker follows in it, and whether that is somebody else than before."""

    image_HW3: np.ndarray
    person: PersonDetection | None
    is_other: bool


def _people(
    images: Iterable[np.ndarray], body: BodyNetwork, onlookers: BystanderMonitor
) -> Iterator[_Sighting]:
    """Yield whom each frame shows; the tracker turns to somebody clearly larger."""
    for image_HW3 in images:
        person = body(image_HW3)
        others_hidden_HW3 = onlookers.look(image_HW3, person)
        if others_hidden_HW3 is not None:
            body.start()
            body(others_hidden_HW3)
            person = body(image_HW3)
        yield _Sighting(image_HW3, person, others_hidden_HW3 is not None)


def pixels_per_metre(person: PersonDetection) -> float:
    """Return the scale at a person's distance, from head and shoulders in pixels and in metres."""
    pixels_K2 = person.pose_333[_UPPER_BODY, :2]
    metres_K2 = person.world_333[_UPPER_BODY, :2]
    spread = [np.linalg.norm(points - points.mean(0)) for points in (pixels_K2, metres_K2)]
    return float(spread[0] / max(spread[1], 1e-6))


class _Collected:
    """What was seen in all frames, as arrays with NaN where it was not."""

    def __init__(
        self,
        found: list[PersonDetection | None],
        hands: list[list[Hand | None]],
        width: int,
        height: int,
    ) -> None:
        count = len(found)
        self.size = width, height
        self.pose_TK3 = np.full((count, 33, 3), np.nan)
        self.world_TK3 = np.full((count, 33, 3), np.nan)
        self.face_TK2 = np.full((count, FACE_MESH_POINTS + 10, 2), np.nan)
        self.hands = [_HandTrack(count), _HandTrack(count)]
        self.scale_T = np.full(count, np.nan)
        for t, person in enumerate(found):
            if person is None:
                continue
            self.pose_TK3[t], self.world_TK3[t] = person.pose_333, person.world_333
            self.scale_T[t] = pixels_per_metre(person)
            if person.face_K2 is not None:
                self.face_TK2[t] = person.face_K2
            for track, hand in zip(self.hands, hands[t], strict=True):
                track.put(t, hand)

    def keypoints(self, fps: float, people: int) -> Keypoints:
        """Return it in the body's own table."""
        self.face_TK2[find_jumps(self.face_TK2)] = np.nan
        self.pose_TK3[..., :2] = smooth_track(self.pose_TK3[..., :2])
        self.world_TK3 = smooth_track(self.world_TK3)
        points = np.full((len(self.pose_TK3), len(POINTS), 3), np.nan)
        world = np.full_like(points, np.nan)
        for side, track in enumerate(self.hands):
            track.drop(find_jumps(track.points_TK2))
            track.drop(find_fleeting(track.seen_T))
            self._weigh_arm(side, track)
        self._weigh_border()
        points[:, POSE_TARGET] = self.pose_TK3[:, POSE_SOURCE]
        world[:, POSE_TARGET] = self.world_TK3[:, POSE_SOURCE]
        points[:, FACE_TARGET, :2] = self.face_TK2[:, FACE_SOURCE]
        points[:, FACE_TARGET, 2] = FACE_CONFIDENCE
        for side, track in enumerate(self.hands):
            target, wrist = HAND_TARGETS[side], POSE_WRISTS[side]
            seen = track.seen_T[:, None, None]
            points[:, target] = np.where(seen, track.points_and_confidence(), points[:, target])
            on_wrist = self.world_TK3[:, wrist, None] + track.world_TK3
            world[:, target] = np.where(seen, on_wrist, world[:, target])
        return Keypoints(
            points_TK3=_with_missing(points),
            world_TK3=world.astype(np.float32),
            width=self.size[0],
            height=self.size[1],
            fps=fps,
            source="mediapipe",
            people=people,
            face_mesh_TM2=self.face_TK2[:, :FACE_MESH_POINTS].astype(np.float32),
        )

    def _weigh_arm(self, side: int, track: "_HandTrack") -> None:
        """Trust an arm less where its hand is not found, and least where it is found elsewhere."""
        wrist, elbow = POSE_WRISTS[side], POSE_ELBOWS[side]
        self.pose_TK3[~track.seen_T, wrist, 2] *= WITHOUT_HAND_SHARE
        apart_T = np.linalg.norm(track.points_TK2[:, 0] - self.pose_TK3[:, wrist, :2], axis=1)
        contradicted_T = apart_T > NEAR * HAND_LENGTH * self.scale_T  # false for NaN
        self.pose_TK3[contradicted_T, elbow, 2] *= CONTRADICTED_SHARE
        self.world_TK3[contradicted_T, elbow] = np.nan

    def _weigh_border(self) -> None:
        outside = ((self.pose_TK3[..., :2] < 0) | (self.pose_TK3[..., :2] > self.size)).any(2)
        self.pose_TK3[..., 2] *= np.where(outside, OUTSIDE_SHARE, 1.0)


class _HandTrack:
    """One hand in all frames."""

    def __init__(self, count: int) -> None:
        self.points_TK2 = np.full((count, 21, 2), np.nan)
        self.world_TK3 = np.full((count, 21, 3), np.nan)
        self.score_T = np.zeros(count)

    def put(self, t: int, hand: Hand | None) -> None:
        """Note a frame's hand."""
        if hand is not None:
            self.points_TK2[t], self.world_TK3[t] = hand.points_212, hand.world_213
            self.score_T[t] = hand.side_score

    def drop(self, frames_T: np.ndarray) -> None:
        """Take it for not seen in some frames."""
        self.points_TK2[frames_T] = self.world_TK3[frames_T] = np.nan

    @property
    def seen_T(self) -> np.ndarray:
        """In which frames (T,) it is seen."""
        return np.isfinite(self.points_TK2).all((1, 2))

    def points_and_confidence(self) -> np.ndarray:
        """Return (T, 21, 3)."""
        low, high = HAND_CONFIDENCE
        confidence_TK1 = np.broadcast_to(
            (low + (high - low) * self.score_T)[:, None, None], (*self.points_TK2.shape[:2], 1)
        )
        return np.concatenate([self.points_TK2, confidence_TK1], 2)


def _with_missing(points_TK3: np.ndarray) -> np.ndarray:
    """Return float32 points whose confidence is 0 exactly where they have no place."""
    placed = np.isfinite(points_TK3[..., :2]).all(2)
    confidence = np.clip(np.nan_to_num(points_TK3[..., 2]), LEAST_CONFIDENCE, 1.0)
    result = points_TK3.astype(np.float32)
    result[..., 2] = np.where(placed, confidence, 0.0)
    result[~placed, :2] = np.nan
    return result


def _image(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a frame as contiguous (height, width, 3)."""
    if frame.shape == (3, height, width):
        frame = frame.transpose(1, 2, 0)
    if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
        raise DataError(
            f"a frame is {frame.dtype} {frame.shape}; uint8 RGB of {width} × {height} is needed"
        )
    return np.ascontiguousarray(frame)
