"""Keypoints that OpenPose has already found: a folder with one json file a frame."""

import json
import re
from pathlib import Path

import numpy as np

from speech2video.data.keypoints import Keypoints
from speech2video.util.body.skeleton import POINTS
from speech2video.util.errors import DataError
from speech2video.util.openpose import OpenPoseFrame, points_to_openpose, read_openpose

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
