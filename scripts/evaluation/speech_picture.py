"""What is measured in the pictures of a speaker, made or recorded, each video by itself."""

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

from evaluation.video_landmarks import HANDS
from speech2video.data.framing import Framing
from speech2video.data.keypoints import PARTS
from speech2video.data.motion import FPS
from speech2video.data.pose_video import PoseVideo
from speech2video.util.body.skeleton import indices
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import sharpness
from speech2video.util.regions import region_boxes, visible
from speech2video.util.video_reader import read_frames

SHOULDERS = indices(("left_shoulder", "right_shoulder"))
CHUNK = 32  # frames measured at once: bounds memory
FOUND = {"face": PARTS["face"], "left_hand": HANDS[0], "right_hand": HANDS[1]}


def kept_on_disk(file: BinaryIO, frames: Iterable[np.ndarray], *, most: int) -> np.ndarray:
    """Write frames (3, H, W) uint8, `most` of them, into an open file; return (T, 3, H, W)."""
    count, shape = 0, ()
    for count, frame in enumerate(frames, 1):
        shape = frame.shape
        file.write(np.ascontiguousarray(frame))
        if count == most:
            break
    file.flush()
    return np.memmap(file, np.uint8, "r", shape=(count, *shape))


def recorded_frames(video: PoseVideo) -> Iterator[np.ndarray]:
    """Yield the frames (3, H, W) of a recording, framed as the speaker is.

    Raises:
        DataError: the file ends before the clip does.
    """
    framing: Framing = video.framing
    shown = 0
    for number, frame in enumerate(read_frames(video.video, fps=FPS)):
        if number >= video.begin + video.frames:
            break
        if number >= video.begin:
            shown += 1
            yield framing.picture(frame.transpose(1, 2, 0)).transpose(2, 0, 1)
    if shown < video.frames:
        raise DataError(f"{video.video}: {shown} frames where {video.frames} are needed")


def picture_figures(frames_T3HW: np.ndarray, points_TK2: np.ndarray) -> Mapping[str, float | None]:
    """Return how sharp a video is, as a whole and at the head, and by how much it flickers.

    Flicker is how far a frame is from the mean of the frames before and after it, mean of absolute
    levels of 255: what moves steadily has little of it, what comes and goes much. A camera's noise
    counts, so it says something only beside a recording's own.
    """
    count, _, height, width = frames_T3HW.shape
    boxes_T4 = region_boxes(points_TK2, "head")
    there_T = visible(boxes_T4, width=width, height=height)
    boxes_T4 = np.where(there_T[:, None], boxes_T4, np.nan)
    values: dict[str, list[np.ndarray]] = {"sharpness": [], "head_sharpness": [], "flicker": []}
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        chunk = frames_T3HW[begin:end]
        values["sharpness"].append(sharpness(chunk))
        values["head_sharpness"].append(sharpness(chunk, boxes_T4[begin:end]))
        values["flicker"].append(_flicker(frames_T3HW[max(begin - 1, 0) : end + 1]))
    return {name: mean(np.concatenate(found)) for name, found in values.items()}


def found_shares(found_TK2: np.ndarray) -> dict[str, float]:
    """Return in which share of the frames face and each hand are found."""
    return {
        part: float(np.isfinite(found_TK2[:, which]).all((1, 2)).mean())
        for part, which in FOUND.items()
    }


def seen_hand_speed(found_TK2: np.ndarray) -> float | None:
    """Return the mean speed of found hands, shoulder widths a second; None where none is found.

    A hand's place is the mean of its points. A hand that is found in one frame and not in the next
    says nothing of its speed.
    """
    width = mean(np.linalg.norm(np.diff(found_TK2[:, SHOULDERS], axis=1)[:, 0], axis=1))
    if not width:
        return None
    steps = [np.diff(found_TK2[:, hand].mean(1), axis=0) for hand in HANDS]
    speed = mean(np.linalg.norm(np.concatenate(steps), axis=1))
    return None if speed is None else speed * FPS / width


def mean(values: np.ndarray) -> float | None:
    """Return the mean of the values that are numbers, None where none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _flicker(frames_T3HW: np.ndarray) -> np.ndarray:
    """Return the flicker (T − 2,) of all frames that have one before and one after."""
    levels_T3HW = frames_T3HW.astype(np.float32)
    middle_T3HW = (levels_T3HW[:-2] + levels_T3HW[2:]) / 2
    return np.abs(levels_T3HW[1:-1] - middle_T3HW).mean((1, 2, 3))
