"""One clip's observed points in the body's own table, whichever detector saw them."""

import json
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speech2video.util.body.skeleton import (
    IBUG68,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    POINT_INDEX,
    POINTS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write
from speech2video.util.rendering.openpose import OpenPoseFrame, points_to_openpose, read_openpose

FACE_MESH_POINTS = 468
MAX_GAP = 5  # frames, a fifth of a second: gaps up to here are filled
FILLED_CONFIDENCE = 0.5  # what the confidence of a filled point is multiplied with
MIN_CONFIDENCE = 0.3  # confidence from which a point counts as found
MIN_WRIST_CONFIDENCE = 0.38  # the same of a wrist whose hand is not found, most of that time

PART_POINTS = {
    "body": indices(("left_shoulder", "right_shoulder")),
    "face": list(IBUG68),
    "left_hand": indices(LEFT_HAND_JOINTS + LEFT_TIPS),
    "right_hand": indices(RIGHT_HAND_JOINTS + RIGHT_TIPS),
}
_NPZ_ERRORS = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class Keypoints:
    """One clip's observed points, in the order of `skeleton.POINTS`.

    Attributes:
        points_TK3: (T, 144, 3) float32: x, y in pixels and a confidence in [0, 1]. What is
            missing has confidence 0 and NaN for x and y.
        world_TK3: (T, 144, 3) float32 metres from between the hips, in camera axes (x right, y
            down, z away from the viewer): the detector's own, rough guess; NaN where it gives none.
            Fingers are placed from the wrist on.
        width: of the picture, pixels.
        height: of the picture, pixels.
        fps: frames a second.
        source: the detector, "mediapipe" or "openpose".
        people: how many were steadily in the picture; 0 where the detector does not say.
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
        """Raise `DataError` for wrong shapes, and where missing is not said as it must be."""
        count = len(self.points_TK3)
        shapes = {"points_TK3": (len(POINTS), 3), "world_TK3": (len(POINTS), 3)}
        if self.face_mesh_TM2 is not None:
            shapes["face_mesh_TM2"] = (FACE_MESH_POINTS, 2)
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != (count, *shape) or array.dtype != np.float32:
                seen = f"{array.dtype} {array.shape}"
                raise DataError(f"{name} is {seen}; float32 {(count, *shape)} is needed")
        confidence_TK = self.points_TK3[..., 2]
        if not ((confidence_TK >= 0) & (confidence_TK <= 1)).all():
            raise DataError("points_TK3 has a confidence that is not in [0, 1]")
        if (np.isfinite(self.points_TK3[..., :2]).all(2) != (confidence_TK > 0)).any():
            raise DataError("points_TK3: a point has a place or confidence 0, and never both")
        if min(self.width, self.height) < 1 or not 0 < self.fps < np.inf or self.people < 0:
            raise DataError(
                f"{self.width} × {self.height} pixels at {self.fps} fps, {self.people} people: "
                "positive numbers are needed"
            )

    def __len__(self) -> int:
        return len(self.points_TK3)

    @property
    def found_TK(self) -> np.ndarray:
        """Which points (T, 144) are found surely enough to be shown or counted."""
        return self.points_TK3[..., 2] >= MIN_CONFIDENCE

    def detection_rates(self) -> dict[str, float]:
        """Return the share of frames with body (both shoulders), face and each hand."""
        found = self.found_TK
        return {part: float(found[:, which].all(1).mean()) for part, which in PART_POINTS.items()}

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
        with atomic_write(Path(path)) as partial, open(partial, "wb") as stream:
            np.savez_compressed(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Keypoints":
        """Return the keypoints of a file that `save` wrote; raises `DataError` for any other."""
        try:
            with np.load(path, allow_pickle=False) as file:
                if file["point_names"].tolist() != list(POINTS):
                    raise DataError(f"{path}: its points are not the body's {len(POINTS)}")
                width, height = (int(n) for n in file["size"])
                return cls(
                    points_TK3=file["points"],
                    world_TK3=file["world"],
                    width=width,
                    height=height,
                    fps=float(file["fps"]),
                    source=str(file["source"]),
                    people=int(file["people"]),
                    face_mesh_TM2=file.get("face_mesh"),
                )
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except DataError as error:
            raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
        except (*_NPZ_ERRORS, TypeError, AttributeError) as error:
            raise DataError(f"{path}: not a file of keypoints ({error})") from None


def remove_guessed_wrists(keypoints: Keypoints) -> Keypoints:
    """Return keypoints in which a wrist that nobody saw is missing.

    Detectors of bodies place a wrist somewhere even behind a desk, surely enough to be taken for
    seen. Where its hand is not found either, it must be surer than other points. That is judged
    over the whole time for which the hand is lost, as single guesses look sure now and then.
    """
    points_TK3, world_TK3 = keypoints.points_TK3.copy(), keypoints.world_TK3.copy()
    for side in ("left", "right"):
        wrist = POINT_INDEX[f"{side}_wrist"]
        hand_T = (points_TK3[:, PART_POINTS[f"{side}_hand"], 2] > 0).all(1)
        for lost in _runs(~hand_T):
            if np.median(points_TK3[lost, wrist, 2]) < MIN_WRIST_CONFIDENCE:
                points_TK3[lost, wrist] = (np.nan, np.nan, 0.0)
                world_TK3[lost, wrist] = np.nan
    return replace(keypoints, points_TK3=points_TK3, world_TK3=world_TK3)


def _runs(true_T: np.ndarray) -> list[slice]:
    """Return where frames in a row are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], true_T.astype(int), [0]))))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def fill_gaps(keypoints: Keypoints, *, max_gap: int = MAX_GAP) -> Keypoints:
    """Return keypoints whose short gaps are bridged by straight lines.

    A filled point's confidence is `FILLED_CONFIDENCE` of what the line gives. Gaps longer than
    `max_gap` frames, and those at the beginning and the end, stay missing.
    """
    points_TK3, world_TK3 = keypoints.points_TK3.copy(), keypoints.world_TK3.copy()
    found_TK = points_TK3[..., 2] > 0
    _bridge(points_TK3, found_TK, max_gap)
    filled_TK = (points_TK3[..., 2] > 0) & ~found_TK
    points_TK3[filled_TK, 2] *= FILLED_CONFIDENCE
    _bridge(world_TK3, np.isfinite(world_TK3).all(2), max_gap)
    mesh_TM2 = keypoints.face_mesh_TM2
    if mesh_TM2 is not None:
        mesh_TM2 = mesh_TM2.copy()
        _bridge(mesh_TM2, np.isfinite(mesh_TM2).all(2), max_gap)
    return replace(keypoints, points_TK3=points_TK3, world_TK3=world_TK3, face_mesh_TM2=mesh_TM2)


def _bridge(values_TKC: np.ndarray, known_TK: np.ndarray, max_gap: int) -> None:
    """Fill short gaps (T, K, C) in place."""
    for k in range(values_TKC.shape[1]):
        known = np.flatnonzero(known_TK[:, k])
        steps = np.diff(known)
        for before, step in zip(known[:-1], steps, strict=True):
            if 1 < step <= max_gap + 1:
                after = before + step
                share = np.arange(1, step, dtype=np.float32)[:, None] / step
                ends = values_TKC[before, k], values_TKC[after, k]
                values_TKC[before + 1 : after, k] = (1 - share) * ends[0] + share * ends[1]


# Keypoints that OpenPose has already found: a folder with one json file a frame.

MISSING_FRAMES = 1  # by so many the number of files may differ from the video's frames
_PARTS = ("body_253", "face_703", "left_hand_213", "right_hand_213")


def read_openpose_keypoints(
    folder: Path,
    *,
    frames: int,
    width: int,
    height: int,
    fps: float,
    source_fps: float | None = None,
) -> Keypoints:
    """Return the keypoints of a video from OpenPose's json files.

    Files are taken in the order of the numbers in their names; whether they count from 0 or from 1,
    the first belongs to the first frame. A frame with nobody in it is missing; of several people
    the largest is taken.

    Args:
        folder: holds one json file for each frame of the recording.
        frames: how many frames the keypoints are to have.
        width: pixels, of the recording that OpenPose saw.
        height: pixels.
        fps: frames a second of the keypoints.
        source_fps: frames a second of the recording, if its frames were resampled to `fps`; its
            frames are then taken as `util.video_reader.read_frames` takes them.

    Raises:
        DataError: no files, more or fewer than the video has frames, nobody in any, or a bad file.
    """
    paths = sorted(Path(folder).glob("*.json"), key=_frame_order)
    ratio = 1.0 if source_fps is None else source_fps / fps
    wanted = frames * ratio
    if not paths or abs(len(paths) - wanted) > max(1.0, ratio) * MISSING_FRAMES:
        raise DataError(
            f"{folder}: {len(paths)} json files; one for each of {round(wanted)} frames is needed"
        )
    places = _places()
    points_TK3 = np.zeros((frames, len(POINTS), 3), np.float32)
    for t in range(frames):
        person = _person(paths[min(int((t + 0.5) * ratio), len(paths) - 1)])
        if person is not None:
            points_TK3[t] = _points(person, places)
    if not points_TK3[..., 2].any():
        raise DataError(f"{folder}: no person found in {frames} frames")
    points_TK3[points_TK3[..., 2] <= 0, :2] = np.nan
    return Keypoints(
        points_TK3=points_TK3,
        world_TK3=np.full_like(points_TK3, np.nan),
        width=width,
        height=height,
        fps=fps,
        source="openpose",
    )


def _places() -> dict[str, np.ndarray]:
    """Return, for each part of an OpenPose frame, the indices of its points in `POINTS`.

    Points that carry their own index as coordinates are turned into an OpenPose frame, so that
    reading is the inverse of drawing.
    """
    numbered = np.arange(len(POINTS), dtype=float)[:, None].repeat(2, axis=1)
    frame = points_to_openpose(numbered)
    return {part: getattr(frame, part)[:, 0].astype(int) for part in _PARTS}


def _points(person: OpenPoseFrame, places: dict[str, np.ndarray]) -> np.ndarray:
    """Return (144, 3); of two points at one place, such as a wrist, the surer one."""
    points_K3 = np.zeros((len(POINTS), 3), np.float32)
    for part in _PARTS:
        part_N3 = getattr(person, part).astype(np.float32)
        part_N3[:, 2] = part_N3[:, 2].clip(0, 1)
        surer_N = part_N3[:, 2] > points_K3[places[part], 2]
        points_K3[places[part][surer_N]] = part_N3[surer_N]
    return points_K3


def _person(path: Path) -> OpenPoseFrame | None:
    try:
        return read_openpose(path)
    except DataError:
        if _is_empty(path):
            return None
        raise


def _is_empty(path: Path) -> bool:
    """Return whether a file says, properly, that nobody is in its frame."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("people") == []


def _frame_order(path: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)], path.name
