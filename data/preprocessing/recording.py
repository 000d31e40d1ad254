"""One recording of a person becomes one clip's folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.keypoints import Keypoints, fill_gaps, without_guesses
from speech2video.data.motion import FPS, Motion, from_pose_vector
from speech2video.data.motion_file import read_motion, write_motion
from speech2video.data.preprocessing.clip_copy import Copied, copy_recording, told
from speech2video.data.preprocessing.fit import Fit, fit_body
from speech2video.data.preprocessing.mediapipe_keypoints import detect_keypoints
from speech2video.data.preprocessing.openpose_keypoints import read_openpose_keypoints
from speech2video.data.preprocessing.words import Words
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.transcript import write_words
from speech2video.util.video_reader import read_frames

# Shares of a recording's work that are done when it is copied, looked at, fitted.
COPIED, SEEN, FITTED = 0.1, 0.5, 0.95

Tell = Callable[[float], None]


@dataclass(frozen=True)
class Recipe:
    """How recordings are made into clips.

    Attributes:
        body: SMPLX_NEUTRAL.npz of one's own; None is the open body.
        size: larger side of a clip's picture at most, pixels.
        keypoints: "mediapipe", or a folder of OpenPose json files, one a frame of the recording.
        motion: npz of motion that was fitted elsewhere, or None to fit it here.
        words: where words and their times come from.
    """

    body: Path | None
    size: int
    keypoints: str
    motion: Path | None
    words: Words


def make_clip(recording: Path, folder: Path, recipe: Recipe, tell: Tell) -> Clip:
    """Make a recording's clip; `tell` hears the share done. A finished clip is left as it is.

    Takes the memory of a few frames, and some 50 kB a frame of points and pose.

    Raises:
        DataError: not a video, no sound, nobody in it, too short, a transcript that does not fit,
            or a folder that cannot be written. Nothing half-made stays.
    """
    clip = Clip(folder)
    if clip.json.is_file():
        return clip
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: in the way; it is no clip, and not empty")
    partial = Clip(folder.with_name(f".{folder.name}.partial"))
    shutil.rmtree(partial.folder, ignore_errors=True)  # a killed run's
    try:
        partial.folder.mkdir(parents=True)
        _fill(partial, recording, recipe, tell)
        os.replace(partial.folder, folder)
    except OSError as error:  # a full disk, most likely
        raise DataError(f"{error.filename or folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial.folder, ignore_errors=True)
    tell(1.0)
    return clip


def _fill(clip: Clip, recording: Path, recipe: Recipe, tell: Tell) -> None:
    """Write a clip's files; what costs most comes last, so that bad input is refused early."""
    motion = read_motion(recipe.motion) if recipe.motion else None
    copied = copy_recording(clip, recording, largest=recipe.size, tell=_part(tell, 0.0, COPIED))
    words = recipe.words.of(recording, copied.wave_S)
    if motion:
        motion = _as_taken(motion, recipe.motion, copied)
    tell(COPIED)
    with _about(recording):
        if recipe.keypoints == "mediapipe":
            found = _detect(clip, copied, _part(tell, COPIED, SEEN))
        else:
            found = _read_openpose(Path(recipe.keypoints), copied)
        keypoints = without_guesses(fill_gaps(found))
        keypoints.save(clip.keypoints)
        tell(SEEN)
        if not motion:
            motion = _fit(clip, keypoints, Body.load(recipe.body), _part(tell, SEEN, FITTED))
    write_motion(clip.pose, motion)
    if words.words:
        write_words(clip.words, words.words)
    several = (f"{keypoints.people} people; the largest who stays was taken",)
    clip.write_info(
        ClipInfo(
            source=recording.name,
            frames=copied.frames,
            width=copied.width,
            height=copied.height,
            keypoints=keypoints.source,
            body=motion.body,
            people=keypoints.people,
            words=words.source,
            notes=copied.notes + words.notes + (several if keypoints.people > 1 else ()),
        )
    )


def _part(tell: Tell, begin: float, end: float) -> Tell:
    """Return who hears, of a part of the work, the share of it that is done."""
    return lambda share: tell(begin + (end - begin) * share)


@contextmanager
def _about(recording: Path) -> Iterator[None]:
    """Say in an error which recording it is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{recording}: {error}") from None


def _detect(clip: Clip, copied: Copied, tell: Tell) -> Keypoints:
    pictures = told(read_frames(clip.video, fps=FPS), copied.frames, tell)
    return detect_keypoints(pictures, width=copied.width, height=copied.height, fps=FPS)


def _read_openpose(folder: Path, copied: Copied) -> Keypoints:
    """Return what OpenPose saw in the recording, in the pixels and at the frames of the clip."""
    source = copied.source
    found = read_openpose_keypoints(
        folder,
        frames=copied.frames,
        width=source.width,
        height=source.height,
        fps=FPS,
        source_fps=source.fps,
    )
    points_TK3 = found.points_TK3.copy()
    points_TK3[..., 0] *= copied.width / source.width
    points_TK3[..., 1] *= copied.height / source.height
    return replace(found, points_TK3=points_TK3, width=copied.width, height=copied.height)


def _fit(clip: Clip, keypoints: Keypoints, body: Body, tell: Tell) -> Motion:
    """Return the fitted motion; where its points fall is written beside."""
    for step in fit_body(keypoints, body):
        if isinstance(step, Fit):
            fit = step
        else:
            tell(step)
    body.betas = fit.betas
    pixels_TK2 = fit.pixels.numpy().astype(np.float32)
    np.savez_compressed(clip.folder / "projected.npz", projected=pixels_TK2)
    return from_pose_vector(fit.pose, body, camera=fit.camera)


def _as_taken(motion: Motion, path: Path, copied: Copied) -> Motion:
    """Return motion from elsewhere, its camera for the clip's picture; raises `DataError`."""
    if abs(len(motion) - copied.frames) > 1:
        needed = f"the picture's {copied.frames} are needed"
        raise DataError(f"{path}: {len(motion)} frames at 25 a second; {needed}")
    if motion.camera is None:
        return motion
    camera, scale = motion.camera, copied.width / motion.camera.width
    camera = replace(
        camera,
        focal=camera.focal * scale,
        center=tuple(scale * middle for middle in camera.center),
        width=copied.width,
        height=copied.height,
    )
    return replace(motion, camera=camera)
