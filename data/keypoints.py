"""Detected keypoints of one clip, in the body's own order of points, from any detector."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speech2video.util.body import skeleton
from speech2video.util.body.skeleton import POINT_INDEX, POINTS, indices
from speech2video.util.errors import DataError, note
from speech2video.util.files import read_npz, write_npz
from speech2video.util.rendering.openpose import PART_POINTS as OPENPOSE_POINTS
from speech2video.util.rendering.openpose import OpenPoseFrame
from speech2video.util.rendering.openpose_json import OpenPoseRecording

FACE_MESH_POINTS = 468
MAX_GAP = 5  # frames, a fifth of a second: longer gaps are not filled
FILLED_CONFIDENCE = 0.5  # factor on the confidence of filled points
MIN_CONFIDENCE = 0.3  # from which a point counts as found
MIN_WRIST_CONFIDENCE = 0.38  # the same for a wrist whose hand is not found
MAX_MISSING_FILES = 1  # difference between the numbers of OpenPose's frames and of the video's
MAX_OPEN_END = 0.25  # share of a video after OpenPose's last frame; more is another recording

PART_POINTS = {
    "body": indices(("left_shoulder", "right_shoulder")),
    "face": list(skeleton.IBUG68),
    "left_hand": indices(skeleton.LEFT_HAND_JOINTS + skeleton.LEFT_TIPS),
    "right_hand": indices(skeleton.RIGHT_HAND_JOINTS + skeleton.RIGHT_TIPS),
}


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Detected points of one clip, in the order of `skeleton.POINTS`.

    Attributes:
        points_TK3: (T, 144, 3) float32: x, y in pixels and a confidence in [0, 1]. Missing points
            have confidence 0 and NaN for x and y.
        world_TK3: (T, 144, 3) float32 metres from the centre of the hips, in camera axes (x right,
            y down, z away from the viewer): the detector's own rough guess, NaN where it has none.
            Fingers are relative to the wrist.
        width, height: of the frames, pixels.
        fps: frames a second.
        source: the detector, "mediapipe" or "openpose".
        people: number of people steadily visible; 0 if unknown.
        face_mesh_TM2: (T, 468, 2) float32 pixels of MediaPipe's whole face mesh, NaN where missing.
    """

    points_TK3: np.ndarray
    world_TK3: np.ndarray
    width: int
    height: int
    fps: float
    source: str
    people: int = 0
    face_mesh_TM2: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Raise `DataError` for wrong shapes, and for missing points that are not NaN."""
        count = len(self.points_TK3)
        shapes = {"points_TK3": (count, len(POINTS), 3), "world_TK3": (count, len(POINTS), 3)}
        if self.face_mesh_TM2 is not None:
            shapes["face_mesh_TM2"] = (count, FACE_MESH_POINTS, 2)
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32:
                found = f"{array.dtype} {array.shape}"
                raise DataError(f"{name} is {found}; float32 {shape} is needed")
        confidence_TK = self.points_TK3[..., 2]
        if not ((confidence_TK >= 0) & (confidence_TK <= 1)).all():
            raise DataError("points_TK3 has a confidence that is not in [0, 1]")
        if (np.isfinite(self.points_TK3[..., :2]).all(2) != (confidence_TK > 0)).any():
            raise DataError("points_TK3: a point has a position or confidence 0, and never both")
        if min(self.width, self.height) < 1 or not 0 < self.fps < np.inf or self.people < 0:
            found = f"{self.width} × {self.height} pixels at {self.fps} fps, {self.people} people"
            raise DataError(f"{found}: positive numbers are needed")

    def __len__(self) -> int:
        return len(self.points_TK3)

    @property
    def found_TK(self) -> np.ndarray:
        """Mask (T, 144) of points with sufficient confidence."""
        return self.points_TK3[..., 2] >= MIN_CONFIDENCE

    def found_points(self) -> np.ndarray:
        """Return the points (T, 144, 3), NaN where the confidence is not sufficient."""
        return np.where(self.found_TK[..., None], self.points_TK3, np.nan)

    def detection_rates(self) -> dict[str, float]:
        """Return the share of frames with body (both shoulders), face and each hand."""
        found = self.found_TK
        return {part: float(found[:, points].all(1).mean()) for part, points in PART_POINTS.items()}

    def save(self, path: Path) -> None:
        """Write an npz file, atomically."""
        arrays = {
            "points": self.points_TK3,
            "world": self.world_TK3,
            "point_names": np.array(POINTS),
            "size": np.array([self.width, self.height]),
            "fps": np.array(float(self.fps)),
            "source": np.array(self.source),
            "people": np.array(self.people),
        }
        if self.face_mesh_TM2 is not None:
            arrays["face_mesh"] = self.face_mesh_TM2
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "Keypoints":
        """Return the keypoints of a file written by `save`; raises `DataError` for any other."""
        arrays = read_npz(path, what="a file of keypoints")
        try:
            if arrays["point_names"].tolist() != list(POINTS):
                raise DataError(f"its points are not the body's {len(POINTS)}")
            width, height = (int(n) for n in arrays["size"])
            rest = float(arrays["fps"]), str(arrays["source"]), int(arrays["people"])
            points_TK3, world_TK3 = arrays["points"], arrays["world"]
            return cls(points_TK3, world_TK3, width, height, *rest, arrays.get("face_mesh"))
        except (DataError, KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path}: not a file of keypoints ({error})") from None


def remove_guessed_wrists(keypoints: Keypoints) -> Keypoints:
    """Return keypoints without the wrists that a detector guesses, as behind a desk.

    Detectors give guesses a confidence like that of visible wrists. A wrist without its hand needs
    a higher one, as the median over all consecutive frames without the hand, since single guesses
    may be confident.
    """
    points_TK3, world_TK3 = keypoints.points_TK3.copy(), keypoints.world_TK3.copy()
    for side in ("left", "right"):
        wrist = POINT_INDEX[f"{side}_wrist"]
        hand_T = (points_TK3[:, PART_POINTS[f"{side}_hand"], 2] > 0).all(1)
        for lost in find_runs(~hand_T):
            if np.median(points_TK3[lost, wrist, 2]) < MIN_WRIST_CONFIDENCE:
                points_TK3[lost, wrist] = (np.nan, np.nan, 0.0)
                world_TK3[lost, wrist] = np.nan
    return replace(keypoints, points_TK3=points_TK3, world_TK3=world_TK3)


def find_runs(mask_T: np.ndarray) -> list[slice]:
    """Return the runs of consecutive true frames of a mask (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask_T.astype(int), [0]))))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def fill_gaps(keypoints: Keypoints) -> Keypoints:
    """Return keypoints with short gaps filled by linear interpolation.

    The confidence of filled points is interpolated, too, times `FILLED_CONFIDENCE`. Gaps longer
    than `MAX_GAP` frames, and those at the beginning and the end, remain.
    """
    points_TK3, world_TK3 = keypoints.points_TK3.copy(), keypoints.world_TK3.copy()
    found_TK = points_TK3[..., 2] > 0
    _interpolate(points_TK3, found_TK)
    filled_TK = (points_TK3[..., 2] > 0) & ~found_TK
    points_TK3[filled_TK, 2] *= FILLED_CONFIDENCE
    _interpolate(world_TK3, np.isfinite(world_TK3).all(2))
    mesh_TM2 = keypoints.face_mesh_TM2
    if mesh_TM2 is not None:
        mesh_TM2 = mesh_TM2.copy()
        _interpolate(mesh_TM2, np.isfinite(mesh_TM2).all(2))
    return replace(keypoints, points_TK3=points_TK3, world_TK3=world_TK3, face_mesh_TM2=mesh_TM2)


def _interpolate(values_TKC: np.ndarray, known_TK: np.ndarray) -> None:
    """Fill short gaps (T, K, C) in place."""
    for k in range(values_TKC.shape[1]):
        known = np.flatnonzero(known_TK[:, k])
        steps = np.diff(known)
        for before, step in zip(known[:-1], steps, strict=True):
            if 1 < step <= MAX_GAP + 1:
                after = before + step
                share = np.arange(1, step, dtype=np.float32)[:, None] / step
                ends = values_TKC[before, k], values_TKC[after, k]
                values_TKC[before + 1 : after, k] = (1 - share) * ends[0] + share * ends[1]


def read_openpose_keypoints(
    path: Path,
    *,
    frames: int,
    width: int,
    height: int,
    fps: float,
    source_fps: float | None = None,
) -> Keypoints:
    """Return the keypoints of a video from OpenPose's json, or json like it.

    The largest of several people is taken; points of frames without people or without a file are
    missing. `util.rendering.openpose_json` says which files are read, and how frames are numbered.

    Args:
        path: a folder with one json file for each frame of the recording, or one file.
        frames: number of frames of the result.
        width, height: of the recording that OpenPose processed, pixels.
        fps: frames a second of the result.
        source_fps: frames a second of the recording, if it differs; its frames are then chosen as
            by `util.video.reader.read_frames`.

    Raises:
        DataError: no files, of another number of frames, no people in any, or a broken file.
    """
    ratio = 1.0 if source_fps is None else source_fps / fps
    needed, margin = round(frames * ratio), max(1.0, ratio) * MAX_MISSING_FILES
    recording = OpenPoseRecording(path, size=(width, height), frames=needed)
    missing = frames * ratio - len(recording)
    if missing < -margin or missing > max(margin, MAX_OPEN_END * needed):
        seen = f"{recording.given} json files or frames, up to frame {len(recording)}"
        raise DataError(f"{path}: {seen}; one for each of {needed} frames is needed")
    last = len(recording) - 1 if missing <= margin else needed
    points_TK3 = np.zeros((frames, len(POINTS), 3), np.float32)
    for t in range(frames):
        person = recording.frame(min(int((t + 0.5) * ratio), last))
        if person is not None:
            points_TK3[t] = _openpose_points(person)
    if not points_TK3[..., 2].any():
        raise DataError(f"{path}: no person found in {frames} frames")
    if (absent := needed - recording.given) > margin:
        note(f"{path}: {absent} of {needed} frames are not there; they are taken as missing")
    points_TK3[points_TK3[..., 2] <= 0, :2] = np.nan
    return Keypoints(points_TK3, np.full_like(points_TK3, np.nan), width, height, fps, "openpose")


def _openpose_points(person: OpenPoseFrame) -> np.ndarray:
    """Return (144, 3); of duplicates, such as a wrist, the more confident point."""
    points_K3 = np.zeros((len(POINTS), 3), np.float32)
    for part, points in OPENPOSE_POINTS.items():
        part_N3 = getattr(person, part).astype(np.float32)
        part_N3[:, 2] = part_N3[:, 2].clip(0, 1)
        better_N = part_N3[:, 2] > points_K3[points, 2]
        points_K3[np.array(points)[better_N]] = part_N3[better_N]
    return points_K3
