"""One recording of a person becomes one clip's folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.keypoints import Keypoints, fill_gaps
from speech2video.data.motion import FPS, from_pose_vector
from speech2video.data.motion_file import read_motion, write_motion
from speech2video.data.preprocessing.fit import Fit, fit_body
from speech2video.data.preprocessing.mediapipe_keypoints import detect_keypoints
from speech2video.data.preprocessing.openpose_keypoints import read_openpose_keypoints
from speech2video.data.preprocessing.words import Words
from speech2video.util.audio import SPEECH_RATE, load_wave, write_wave
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.files import writing
from speech2video.util.video import write_video
from speech2video.util.video_reader import ReadReport, VideoInfo, probe, read_frames

LEAST_SECONDS = 2.0
SAMPLES = SPEECH_RATE // FPS  # of sound in a frame: 640
OFF_SECONDS = 0.2  # sound and picture whose lengths differ by more are worth a note
CLIP_QUALITY = 14  # x264's rate factor: a clip is to be learned from

# Shares of a recording's work, for the progress bar: copying, looking, fitting.
_COPIED, _SEEN, _FITTED = 0.1, 0.5, 0.95


@dataclass(frozen=True)
class Recipe:
    """How recordings are made into clips.

    Attributes:
        body: SMPLX_NEUTRAL.npz of one's own; None is the open body.
        size: larger side of a clip's picture at most, pixels.
        keypoints: "mediapipe", or a folder of OpenPose json files.
        motion: npz of motion that was fitted elsewhere, or None to fit it here.
        words: where words and their times come from.
    """

    body: Path | None
    size: int
    keypoints: str
    motion: Path | None
    words: Words


def make_clip(recording: Path, folder: Path, recipe: Recipe, tell: Callable[[float], None]) -> Clip:
    """Make a recording's clip; `tell` hears the share done. A finished clip is left as it is.

    Raises:
        DataError: not a video, no sound, nobody in it, too short, a transcript that does not fit,
            or a folder that cannot be written. Nothing half-made stays.
    """
    clip = Clip(folder)
    if clip.json.is_file():
        return clip
    partial = Clip(folder.with_name(f".{folder.name}.partial"))
    shutil.rmtree(partial.folder, ignore_errors=True)
    with writing(folder):
        partial.folder.mkdir(parents=True)
    try:
        _fill(partial, recording, recipe, tell)
        with writing(folder):
            os.replace(partial.folder, folder)
    finally:
        shutil.rmtree(partial.folder, ignore_errors=True)
    tell(1.0)
    return clip


def _fill(clip: Clip, recording: Path, recipe: Recipe, tell: Callable[[float], None]) -> None:
    info = probe(recording)
    if not info.has_audio:
        raise DataError(f"{recording}: no sound track; a person speaking is needed")
    report = ReadReport()
    frames, size = _copy_video(clip, recording, info, recipe.size, report)
    if frames < LEAST_SECONDS * FPS:
        seconds = frames / FPS
        raise DataError(f"{recording}: {seconds:.1f} s; at least {LEAST_SECONDS:.0f} s are needed")
    wave_S, notes = _copy_sound(clip, recording, frames)
    if not report.is_complete:
        notes.append(f"damaged: {report}")
    words, source = recipe.words.of(recording, wave_S)
    tell(_COPIED)
    keypoints = _look(clip, recording, recipe, frames, size, tell)
    if keypoints.people > 1:
        notes.append(f"{keypoints.people} people; the largest who stays was taken")
    if recipe.motion:
        _take_motion(clip, recipe.motion, frames)
    else:
        _fit(clip, recording, keypoints, Body.load(recipe.body), tell)
    if words:
        words.write(clip.words)
    body = read_motion(clip.pose).body
    clip.write_info(
        ClipInfo(
            source=recording.name,
            frames=frames,
            width=size[0],
            height=size[1],
            keypoints=keypoints.source,
            body=body,
            people=keypoints.people,
            words=source,
            notes=tuple(notes),
        )
    )


def _copy_video(
    clip: Clip, recording: Path, info: VideoInfo, largest: int, report: ReadReport
) -> tuple[int, tuple[int, int]]:
    """Write the picture at 25 frames a second, at most `largest`; return count and (W, H)."""
    scale = min(1.0, largest / max(info.width, info.height))
    width, height = (2 * round(side * scale / 2) for side in (info.width, info.height))
    frames = _scaled(read_frames(recording, fps=FPS, report=report), width, height)
    count = write_video(clip.video, frames, fps=FPS, quality=CLIP_QUALITY, synthetic=False)
    return count, (width, height)


def _scaled(frames: Iterator[np.ndarray], width: int, height: int) -> Iterator[np.ndarray]:
    for frame in frames:
        if frame.shape[1:] == (height, width):
            yield frame
        else:
            image_HW3 = cv2.resize(
                frame.transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_AREA
            )
            yield image_HW3.transpose(2, 0, 1)


def _copy_sound(clip: Clip, recording: Path, frames: int) -> tuple[np.ndarray, list[str]]:
    """Write the sound, as long as the picture; return it, and a note if it was not."""
    wave_S = load_wave(recording)
    seconds, wanted = len(wave_S) / SPEECH_RATE, frames * SAMPLES
    notes = []
    if abs(seconds - frames / FPS) > OFF_SECONDS:
        notes.append(f"sound of {seconds:.2f} s made as long as the picture, {frames / FPS:.2f} s")
    wave_S = np.pad(wave_S[:wanted], (0, max(0, wanted - len(wave_S))))
    write_wave(clip.audio, wave_S)
    return wave_S, notes


def _look(
    clip: Clip,
    recording: Path,
    recipe: Recipe,
    frames: int,
    size: tuple[int, int],
    tell: Callable[[float], None],
) -> Keypoints:
    width, height = size
    try:
        if recipe.keypoints == "mediapipe":
            pictures = _told(read_frames(clip.video, fps=FPS), frames, tell)
            found = detect_keypoints(pictures, width=width, height=height, fps=FPS)
        else:
            found = read_openpose_keypoints(
                Path(recipe.keypoints), frames=frames, width=width, height=height, fps=FPS
            )
    except DataError as error:
        raise DataError(f"{recording}: {error}") from None
    keypoints = fill_gaps(found)
    keypoints.save(clip.keypoints)
    return keypoints


def _told(
    frames: Iterator[np.ndarray], count: int, tell: Callable[[float], None]
) -> Iterator[np.ndarray]:
    for number, frame in enumerate(frames):
        tell(_COPIED + (_SEEN - _COPIED) * number / count)
        yield frame


def _fit(
    clip: Clip, recording: Path, keypoints: Keypoints, body: Body, tell: Callable[[float], None]
) -> None:
    try:
        for step in fit_body(keypoints, body):
            if isinstance(step, Fit):
                body.betas = step.betas
                motion = from_pose_vector(step.pose, body, camera=step.camera)
                write_motion(clip.pose, motion)
                pixels_TK2 = step.pixels.numpy().astype(np.float32)
                np.savez_compressed(clip.folder / "projected.npz", projected=pixels_TK2)
            else:
                tell(_SEEN + (_FITTED - _SEEN) * step)
    except DataError as error:
        raise DataError(f"{recording}: {error}") from None


def _take_motion(clip: Clip, motion_path: Path, frames: int) -> None:
    """Take motion that was fitted elsewhere as it is; its length must be the picture's."""
    motion = read_motion(motion_path)
    if abs(len(motion) - frames) > 1:
        raise DataError(
            f"{motion_path}: {len(motion)} frames at 25 a second; the picture's {frames} are needed"
        )
    write_motion(clip.pose, motion)
