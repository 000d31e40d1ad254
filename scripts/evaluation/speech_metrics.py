"""What is measured of one speech: by table or reference, then by system (see `speech`)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from evaluation.lip_sync import lag_curve, loudness, mouth_metrics, silences, sync_metrics
from evaluation.speech_trials import Made, Trial
from evaluation.tables import REAL, Metrics
from evaluation.video_landmarks import HANDS
from speech2video.data.keypoints import PART_POINTS
from speech2video.data.pose2video.clip import Framing, PoseVideo
from speech2video.util.body.skeleton import boxes_visible, indices, region_boxes
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import sharpness
from speech2video.util.metrics.motion import hand_energy_ratio, mean_derivative
from speech2video.util.metrics.points import lip_opening
from speech2video.util.timing import FPS
from speech2video.util.video.reader import read_frames

# What is measured in the pictures of a speaker, made or recorded, each video by itself.

SHOULDERS = indices(("left_shoulder", "right_shoulder"))
CHUNK = 32  # frames measured at once: bounds memory
FOUND = {"face": PART_POINTS["face"], "left_hand": HANDS[0], "right_hand": HANDS[1]}


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
            yield framing.image(frame.transpose(1, 2, 0)).transpose(2, 0, 1)
    if shown < video.frames:
        raise DataError(f"{video.video}: {shown} frames where {video.frames} are needed")


def image_metrics(frames_T3HW: np.ndarray, points_TK2: np.ndarray) -> Mapping[str, float | None]:
    """Return how sharp a video is, as a whole and at the head, and by how much it flickers.

    Flicker is how far a frame is from the mean of the frames before and after it, mean of absolute
    levels of 255: what moves steadily has little of it, what comes and goes much. A camera's noise
    counts, so it says something only beside a recording's own.
    """
    count, _, height, width = frames_T3HW.shape
    boxes_T4 = region_boxes(points_TK2, "head")
    there_T = boxes_visible(boxes_T4, width=width, height=height)
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


GENERATED, POSE, TRUTH = "generated", "pose", "truth"
WRISTS = indices(("left_wrist", "right_wrist"))
HANDS_SEEN = 0.3  # share of a recording's frames that shows a hand, from which its hands compare


@dataclass(frozen=True, eq=False)
class Measured:
    """One speech.

    Attributes:
        frames: how many, T.
        openings: lip openings (T,) by system, and the truth's where it is known.
        curves: lag curves by reference and system.
        figures: by table and system.
    """

    frames: int
    openings: dict[str, np.ndarray]
    curves: dict[str, dict[str, np.ndarray]]
    figures: dict[str, dict[str, Metrics]]


def measure(
    trial: Trial,
    made: Made,
    frames: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
    audio_S: np.ndarray,
) -> Measured:
    """Return what is measured of one speech.

    Args:
        trial: the speech, and its recording and truth where there are any.
        made: what the speaker made of it.
        frames: (T, 3, H, W) uint8 of the made video and, where there is one, the recording.
        found: points (T, 144, 2) found in them; empty if nobody looked.
        audio_S: the sound, 16 kHz.
    """
    count = len(frames[GENERATED])
    points = {GENERATED: made.points_TK2[:count]}
    if trial.video is not None:
        points[REAL] = trial.video.points_TK2[:count]
    openings = _openings(points, found)
    loudness_T = loudness(audio_S, count)
    references = {"loudness": loudness_T}
    if REAL in openings:
        references[REAL] = openings[REAL]
    if trial.truth_T is not None:
        references[TRUTH] = trial.truth_T[:count]
    silent_T = silences(loudness_T)
    figures = {
        "mouth": {system: mouth_metrics(o_T, silent_T) for system, o_T in openings.items()},
        "hands": _hands(trial, made, found, count),
        "picture": {s: image_metrics(video, points[s]) for s, video in frames.items()},
    }
    if found:
        figures["found"] = {system: found_shares(f_TK2) for system, f_TK2 in found.items()}
    drawn = {name: references[name] for name in (TRUTH,) if name in references} | openings
    return Measured(count, drawn, _curves(references, openings), figures)


def _openings(
    points: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return lip openings (T,), from what was found where somebody looked."""
    openings = {system: lip_opening(found_TK2) for system, found_TK2 in found.items()}
    openings[POSE] = lip_opening(points[GENERATED])
    if REAL in points:
        openings.setdefault(REAL, lip_opening(points[REAL]))
    return openings


def _curves(
    references: Mapping[str, np.ndarray], openings: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Return lag curves of all lips with all that they are to go with."""
    return {
        reference: {
            system: lag_curve(reference_T, opening_T)
            for system, opening_T in openings.items()
            if system != reference
        }
        for reference, reference_T in references.items()
    }


def _hands(trial: Trial, made: Made, found: Mapping[str, np.ndarray], count: int) -> Metrics:
    """Return how fast wrists move in the poses (m/s) and, found again, in the videos."""
    poses = {GENERATED: made.points_TK3[:count]}
    if trial.recorded_TK3 is not None:
        poses[REAL] = trial.recorded_TK3[:count]
    rows: Metrics = {}
    for system, points_TK3 in poses.items():
        wrists_TK3 = points_TK3[:, WRISTS]
        rows[system] = {"wrist_speed": mean_derivative(wrists_TK3, order=1, fps=FPS)}
        if found:
            rows[system]["speed_in_picture"] = seen_hand_speed(found[system])
    if REAL in poses and _shows_hands(found):
        ratio = hand_energy_ratio(poses[GENERATED], poses[REAL])
        rows[GENERATED]["energy_over_real"] = ratio if np.isfinite(ratio) else None
    return rows


def _shows_hands(found: Mapping[str, np.ndarray]) -> bool:
    """Return whether a recording's hands are there to compare with, as far as anybody looked."""
    if REAL not in found:
        return True
    shares = found_shares(found[REAL])
    return max(shares["left_hand"], shares["right_hand"]) >= HANDS_SEEN


def in_a_row(one: Measured) -> Metrics:
    """Return the few figures of one speech that matter most."""
    judged = GENERATED if GENERATED in one.openings else POSE
    row: Metrics = {"seconds": one.frames / FPS}
    for reference, systems in one.curves.items():
        figures = sync_metrics([systems[judged]])
        row[f"{reference}_lag"] = figures["lag_frames"]
        row[f"{reference}_within_1"] = figures["within_1_frame"]
    mouth = one.figures["mouth"][judged]
    return row | {name: mouth[name] for name in ("in_silence", "in_speech")}
