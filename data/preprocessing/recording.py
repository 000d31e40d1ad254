"""One recording of a person becomes one clip's folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.keypoints import (
    Keypoints,
    fill_gaps,
    read_openpose_keypoints,
    remove_guessed_wrists,
)
from speech2video.data.motion import Motion, motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.preprocessing.detection.mediapipe_keypoints import detect_keypoints
from speech2video.data.preprocessing.fitting.fit import BodyFit, fit_body
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.text.speech_source import align_transcript, recognise_words
from speech2video.util.text.transcript import Word, read_words, write_words
from speech2video.util.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from speech2video.util.video.reader import ReadReport, VideoInfo, probe, read_frames
from speech2video.util.video.writer import write_video

# A recording's picture and sound become a clip's: 25 frames a second, 640 samples for each.

MIN_SECONDS = 2.0
MAX_LENGTH_DIFFERENCE = 0.2  # sound and picture whose lengths differ by more are worth a note
CLIP_CRF = 14  # x264's rate factor: a clip is to be learned from


@dataclass(frozen=True)
class ConvertedVideo:
    """What was copied.

    Attributes:
        source: what the recording was.
        frames: of the clip.
        width, height: of its picture, pixels.
        audio_S: its sound, as long as the picture.
        notes: what a person should know: damage, lengths that differ.
    """

    source: VideoInfo
    frames: int
    width: int
    height: int
    audio_S: np.ndarray
    notes: tuple[str, ...]


def convert_recording(
    clip: Clip, recording: Path, *, largest: int, tell: Callable[[float], None]
) -> ConvertedVideo:
    """Write a clip's video.mp4 and audio.wav; `tell` hears the share done.

    Args:
        clip: its folder is there.
        recording: any that PyAV reads.
        largest: larger side of the picture at most, pixels.
        tell: called with 0 to 1.

    Raises:
        DataError: not a video, no audio track, too short, or not to be written.
    """
    info = probe(recording)
    if not info.has_audio:
        raise DataError(f"{recording}: no audio track; a person speaking is needed")
    scale = min(1.0, largest / max(info.width, info.height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (info.width, info.height))
    report = ReadReport()
    frames = with_progress(
        read_frames(recording, fps=FPS, report=report), info.duration * FPS, tell
    )
    scaled = (_scaled(frame, width, height) for frame in frames)
    count = write_video(clip.video, scaled, fps=FPS, quality=CLIP_CRF, synthetic=False)
    damage = () if report.is_complete else (f"damaged: {report}",)
    if count < MIN_SECONDS * FPS:
        seen = "; ".join((f"{count / FPS:.1f} s", *damage))
        raise DataError(f"{recording}: {seen}; at least {MIN_SECONDS:.0f} s are needed")
    audio_S, lengths = _copy_sound(clip, recording, count)
    return ConvertedVideo(info, count, width, height, audio_S, damage + lengths)


def with_progress(
    frames: Iterator[np.ndarray], count: float, tell: Callable[[float], None]
) -> Iterator[np.ndarray]:
    """Yield frames, about `count` or NaN, telling what share of them is done."""
    for number, frame in enumerate(frames):
        if count >= 1:  # false for NaN
            tell(min(1.0, number / count))
        yield frame


def _scaled(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    if frame.shape[1:] == (height, width):
        return frame
    image_HW3 = frame.transpose(1, 2, 0)
    return cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)


def _copy_sound(clip: Clip, recording: Path, frames: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Write the sound, as long as the picture; return it, and a note if it was not."""
    audio_S = load_audio(recording)
    seconds, wanted = len(audio_S) / SAMPLE_RATE, frames * SAMPLES_PER_FRAME
    off = f"sound of {seconds:.2f} s made as long as the picture, {frames / FPS:.2f} s"
    notes = (off,) if abs(seconds - frames / FPS) > MAX_LENGTH_DIFFERENCE else ()
    audio_S = np.pad(audio_S[:wanted], (0, max(0, wanted - len(audio_S))))
    write_audio(clip.audio, audio_S)
    return audio_S, notes


# Where a recording's words and their times come from.

TIMED_SUFFIXES = (".TextGrid", ".csv", ".words.txt", ".align")  # words with times, as they are
TEXT_SUFFIX = ".txt"  # a text, to be aligned to the sound
FITTING = 0.5  # share of timed words that the sound has to reach, or they are another recording's


@dataclass(frozen=True)
class TimedWords:
    """A recording's words.

    Attributes:
        words: in order; none where nobody knows them.
        source: "given", "aligned" or "recognised", "" where nobody knows them.
        notes: what a person should know.
    """

    words: tuple[Word, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WordSource:
    """The rule by which each recording gets its words.

    Attributes:
        transcripts: a folder of files named as the recordings, or one file; None looks beside the
            recording.
        recognise: whether to recognise the speech of those that have none.
    """

    transcripts: Path | None = None
    recognise: bool = False

    def of(self, recording: Path, audio_S: np.ndarray) -> TimedWords:
        """Return a recording's words.

        Raises:
            DataError: a transcript that cannot be read, is broken or does not fit the sound.
        """
        path = self._file(recording)
        if path is None:
            if not self.recognise:
                return TimedWords()
            return TimedWords(tuple(recognise_words(audio_S)), "recognised")
        if path.name.endswith(TIMED_SUFFIXES):
            return _given(path, read_words(path), len(audio_S) / SAMPLE_RATE)
        try:
            return TimedWords(tuple(align_transcript(audio_S, _text(path))), "aligned")
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def _file(self, recording: Path) -> Path | None:
        if self.transcripts is not None and self.transcripts.is_file():
            return self.transcripts
        folder = self.transcripts or recording.parent
        names = [recording.stem + suffix for suffix in (*TIMED_SUFFIXES, TEXT_SUFFIX)]
        return next((folder / name for name in names if (folder / name).is_file()), None)


def _given(path: Path, words: list[Word], seconds: float) -> TimedWords:
    """Return timed words without those after the sound's end, which a damaged recording lacks."""
    heard = tuple(word for word in words if word.start < seconds)
    if len(heard) < FITTING * len(words):
        end = f"{words[-1].end:.1f} s, the sound lasts {seconds:.1f} s"
        raise DataError(f"{path}: the words do not fit the sound: they go on until {end}")
    left = len(words) - len(heard)
    notes = (f"words after the end of the sound left out: {left}",) if left else ()
    return TimedWords(heard, "given", notes)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError("not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from None


# Shares of a recording's work that are done when it is copied, looked at, fitted.
CONVERTED, DETECTED, FITTED = 0.1, 0.5, 0.95

Tell = Callable[[float], None]


@dataclass(frozen=True)
class ClipConfig:
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
    words: WordSource


def preprocess_recording(recording: Path, folder: Path, recipe: ClipConfig, tell: Tell) -> Clip:
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


def _fill(clip: Clip, recording: Path, recipe: ClipConfig, tell: Tell) -> None:
    """Write a clip's files; what costs most comes last, so that bad input is refused early."""
    motion = read_motion(recipe.motion) if recipe.motion else None
    copied = convert_recording(
        clip, recording, largest=recipe.size, tell=_part(tell, 0.0, CONVERTED)
    )
    words = recipe.words.of(recording, copied.audio_S)
    if motion:
        motion = _as_taken(motion, recipe.motion, copied)
    tell(CONVERTED)
    with _about(recording):
        if recipe.keypoints == "mediapipe":
            found = _detect(clip, copied, _part(tell, CONVERTED, DETECTED))
        else:
            found = _read_openpose(Path(recipe.keypoints), copied)
        keypoints = remove_guessed_wrists(fill_gaps(found))
        keypoints.save(clip.keypoints)
        tell(DETECTED)
        if not motion:
            motion = _fit(clip, keypoints, Body.load(recipe.body), _part(tell, DETECTED, FITTED))
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


def _detect(clip: Clip, copied: ConvertedVideo, tell: Tell) -> Keypoints:
    pictures = with_progress(read_frames(clip.video, fps=FPS), copied.frames, tell)
    return detect_keypoints(pictures, width=copied.width, height=copied.height, fps=FPS)


def _read_openpose(folder: Path, copied: ConvertedVideo) -> Keypoints:
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
        if isinstance(step, BodyFit):
            fit = step
        else:
            tell(step)
    body.betas = fit.betas
    pixels_TK2 = fit.pixels.numpy().astype(np.float32)
    np.savez_compressed(clip.folder / "projected.npz", projected=pixels_TK2)
    return motion_from_pose(fit.pose, body, camera=fit.camera)


def _as_taken(motion: Motion, path: Path, copied: ConvertedVideo) -> Motion:
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
