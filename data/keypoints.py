"""One clip's observed points in the body's own table, whichever detector saw them."""

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
from speech2video.util.files import replacing

FACE_MESH_POINTS = 468
MAX_GAP = 5  # frames, a fifth of a second: gaps up to here are filled
FILLED_CONFIDENCE = 0.5  # what the confidence of a filled point is multiplied with
FOUND = 0.3  # confidence from which a point counts as found
WRIST_FOUND = 0.38  # the same of a wrist whose hand is not found, most of that time

PARTS = {
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
        return self.points_TK3[..., 2] >= FOUND

    def found_share(self) -> dict[str, float]:
        """Return the share of frames with body (both shoulders), face and each hand."""
        found = self.found_TK
        return {part: float(found[:, which].all(1).mean()) for part, which in PARTS.items()}

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
        with replacing(Path(path)) as partial, open(partial, "wb") as stream:
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


def without_guesses(keypoints: Keypoints) -> Keypoints:
    """Return keypoints in which a wrist that nobody saw is missing.

    Detectors of bodies place a wrist somewhere even behind a desk, surely enough to be taken for
    seen. Where its hand is not found either, it must be surer than other points. That is judged
    over the whole time for which the hand is lost, as single guesses look sure now and then.
    """
    points_TK3, world_TK3 = keypoints.points_TK3.copy(), keypoints.world_TK3.copy()
    for side in ("left", "right"):
        wrist = POINT_INDEX[f"{side}_wrist"]
        hand_T = (points_TK3[:, PARTS[f"{side}_hand"], 2] > 0).all(1)
        for lost in _runs(~hand_T):
            if np.median(points_TK3[lost, wrist, 2]) < WRIST_FOUND:
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
