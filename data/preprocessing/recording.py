"""Convert one recording of a person into a clip: frames, audio, keypoints, SMPL-X pose, words."""

import collections
import contextlib
import glob
import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from speech2video.data import keypoints as keypoint_data
from speech2video.data.clip import AnyClip, Clip, ClipFolder, ClipInfo
from speech2video.data.keypoints import Keypoints
from speech2video.data.motion import Motion, motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.preprocessing.clip_metrics import find_bad_frames, motion_pixels
from speech2video.data.preprocessing.cuts import CUT_NOTE, CutDetector
from speech2video.data.preprocessing.detection.mediapipe_keypoints import (
    NoPersonError,
    detect_keypoints,
)
from speech2video.data.preprocessing.fitting.fit import fit_body
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import SmplxParameters
from speech2video.util.errors import DataError, note
from speech2video.util.files import write_npz
from speech2video.util.process_pool import Progress
from speech2video.util.text.languages import ENGLISH, is_english
from speech2video.util.text.speech_source import align_transcript, find_phones, recognise_words
from speech2video.util.text.transcript import (
    Word,
    cut_words,
    find_words,
    read_words,
    write_phones,
    write_words,
)
from speech2video.util.text.word_formats import has_times, read_text
from speech2video.util.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from speech2video.util.video.reader import ReadReport, VideoInfo, probe, read_frames
from speech2video.util.video.writer import write_video

MIN_SECONDS = 2.0
MAX_LENGTH_DIFFERENCE = 0.2  # seconds between audio and video; beyond it a note is made
CLIP_CRF = 14  # x264's rate factor, high quality for training
TEXT_SUFFIX = ".txt"  # words with times, or plain text to be aligned with the audio
MIN_CONFIDENCE = 0.5  # of phones that are trained on
MIN_COVERED_WORDS = 0.5  # share of timed words within the audio, else they are another recording's

# Progress at the end of the conversion, the detection and the fit.
CONVERTED, DETECTED, FITTED = 0.1, 0.5, 0.95
_DETECTED, _FITTED = ((end - CONVERTED) / (1 - CONVERTED) for end in (DETECTED, FITTED))
_PART = re.compile(r"_([1-9]\d*)$")  # of the name of a part's clip


@dataclass(frozen=True)
class TimedWords:
    """Words of a recording.

    Attributes:
        words: in order; none where they are unknown.
        source: "given", "aligned" or "recognised", "" where they are unknown.
        notes: remarks for the user.
        language: tag of their language.
    """

    words: tuple[Word, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()
    language: str = ENGLISH


@dataclass(frozen=True)
class WordSource:
    """Where recordings get their words from.

    Attributes:
        transcripts: a folder of files named as the recordings, or one file; None searches the
            folder of the recording.
        recognise: whether to recognise the speech of recordings without a transcript.
        language: tag of the speech's language; by default English, and detected by recognition.
    """

    transcripts: Path | None = None
    recognise: bool = False
    language: str | None = None

    def read(self, recording: Path, audio_S: np.ndarray) -> TimedWords:
        """Return the words of a recording.

        Raises:
            DataError: a transcript is unreadable, broken, or does not fit the audio.
        """
        path = self.find(recording)
        if path is None and not self.recognise:
            return TimedWords()
        if path is None:
            found = recognise_words(audio_S, language=self.language)
            return TimedWords(tuple(found.words), "recognised", language=found.language)
        language = self.language or ENGLISH
        if path.suffix.lower() != TEXT_SUFFIX or has_times(path):
            given = _read_timed_words(path, len(audio_S) / SAMPLE_RATE)
            return replace(given, language=language)
        text = read_text(path)
        try:
            words = align_transcript(audio_S, text, language=language)
            return TimedWords(tuple(words), "aligned", language=language)
        except DataError as error:
            if is_english(language):
                raise DataError(f"{path}: {error}") from None
            note(f"{path}: {error}; the clip is made without words")
            return TimedWords()

    def find(self, recording: Path) -> Path | None:
        """Return the file with a recording's words, timed ones first; None without any."""
        if self.transcripts is not None and self.transcripts.is_file():
            return self.transcripts
        folder = self.transcripts or recording.parent
        plain = folder / f"{recording.stem}{TEXT_SUFFIX}"
        return find_words(recording, folder) or (plain if plain.is_file() else None)


@dataclass(frozen=True)
class ClipConfig:
    """Settings for converting a recording into a clip.

    Attributes:
        body: path of SMPLX_NEUTRAL.npz; None is the open body.
        size: maximum of width and height of the clip, pixels.
        keypoints: "mediapipe", or a folder with one OpenPose json file for each frame.
        motion: npz of motion that was fitted elsewhere, or None to fit it here.
        words: source of words and their times.
    """

    body: Path | None
    size: int
    keypoints: str
    motion: Path | None
    words: WordSource


@dataclass(frozen=True)
class ConvertedVideo:
    """Result of `_convert_recording`.

    Attributes:
        source: properties of the recording.
        frames: their number in the clip.
        width, height: of the clip, pixels.
        audio_S: audio of the clip, 640 samples a frame.
        notes: remarks for the user: damage, lengths that differ.
        cuts: numbers of the frames after which the recording shows another view.
    """

    source: VideoInfo
    frames: int
    width: int
    height: int
    audio_S: np.ndarray
    notes: tuple[str, ...]
    cuts: tuple[int, ...] = ()


def preprocess_recording(
    recording: Path, folder: Path, config: ClipConfig, progress: Progress
) -> list[Clip]:
    """Convert a recording into a clip, unless that exists. Progress goes from 0 to 1.

    A recording with cuts becomes several clips, `folder` with _1, _2 and so on. Parts between cuts
    that are too short or without a person are left out.

    Memory: a few frames, and about 50 kB a frame of points and pose.

    Raises:
        DataError: not a video, no audio, no person, too short, a transcript that does not fit, or
            a folder that cannot be written. No partial clip remains.
    """
    if not (clips := made_clips(Clip(folder), recording)):
        clips = [Clip(folder)]
        given = None
        with contextlib.suppress(_CutsFound), Clip.create(folder) as clip:
            given = _read(clip, recording, config, part_of(progress, 0.0, CONVERTED))
            if given.video.cuts:
                raise _CutsFound
            _fill(clip, recording, config, given, part_of(progress, CONVERTED, 1.0))
        if given and given.video.cuts:
            progress_of_parts = part_of(progress, CONVERTED, 1.0)
            clips = _make_parts(recording, Clip(folder), config, given, progress_of_parts)
    progress(1.0)
    return clips


def made_clips(clip: AnyClip, recording: Path) -> list[AnyClip]:
    """Return the complete clips of a recording: `clip`, or else its name with _1, _2 and so on.

    Parts appear from the last to the first, so that all are there once the first is.

    Raises:
        DataError: `clip` is a part of another recording, or broken.
    """
    if clip.is_complete:
        whole = _PART.sub("", recording.stem)
        if whole != recording.stem and Path(source := clip.info().source).stem == whole:
            raise DataError(f"{clip.folder}: a part of {source} already; rename {recording.name}")
        return [clip]
    parts = (type(clip)(part_folder(clip, number)) for number in itertools.count(1))
    return list(itertools.takewhile(lambda part: is_part_of(part, recording), parts))


def is_part_of(clip: ClipFolder[Any], recording: Path) -> bool:
    """Return whether a clip is complete and a part of a recording, by its description."""
    return clip.is_complete and clip.info().source == recording.name


def part_folder(clip: ClipFolder[Any], number: int) -> Path:
    """Return the folder of a part of a recording, counted from 1, instead of `clip`."""
    return clip.folder.with_name(f"{clip.folder.name}_{number}")


def old_parts(clip: AnyClip, recording: Path) -> list[AnyClip]:
    """Return the complete clips of parts of a recording, in order."""
    pattern = f"{glob.escape(clip.folder.name)}_*/{clip.INFO_FILE}"
    found = [type(clip)(path.parent) for path in clip.folder.parent.glob(pattern)]
    parts = {
        int(match[1]): part
        for part in found
        if (match := _PART.search(part.folder.name))
        and part.folder.name == clip.folder.name + match[0]
        and part.info().source == recording.name
    }
    return [parts[number] for number in sorted(parts)]


def seconds_of(begin: int, end: int) -> str:
    """Return the times of frames [begin, end), for a note."""
    return f"{begin / FPS:.2f} to {end / FPS:.2f} s"


class _CutsFound(Exception):
    """Leaves a clip that is to be several."""


class _NoPersonError(Exception):
    """A part between two cuts shows no person."""


@dataclass(frozen=True)
class _Given:
    """What a clip is made of, apart from what is detected in it.

    Attributes:
        motion, keypoints: from elsewhere, or None.
    """

    video: ConvertedVideo
    words: TimedWords
    motion: Motion | None
    keypoints: Keypoints | None = None

    def part(self, begin: int, end: int, notes: tuple[str, ...]) -> "_Given":
        """Return frames [begin, end), with other notes on the video."""
        audio_S = self.video.audio_S[begin * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
        words = tuple(cut_words(self.words.words, begin / FPS, end / FPS))
        return _Given(
            replace(self.video, frames=end - begin, audio_S=audio_S, notes=notes),
            replace(self.words, words=words),
            self.motion and _frames_of_motion(self.motion, begin, end),
            self.keypoints and _frames_of_keypoints(self.keypoints, begin, end),
        )


def _read(clip: Clip, recording: Path, config: ClipConfig, progress: Progress) -> _Given:
    """Write a clip's video and audio, and read what is given, so that bad input fails early."""
    motion = read_motion(config.motion) if config.motion else None
    video = _convert_recording(clip, recording, config.size, progress)
    words = config.words.read(recording, video.audio_S)
    if motion and config.motion:
        motion = _match_video(motion, config.motion, video)
    progress(1.0)
    given = _Given(video, words, motion)
    if config.keypoints == "mediapipe":
        return given
    try:
        return replace(given, keypoints=_read_openpose(Path(config.keypoints), video))
    except DataError as error:
        raise DataError(f"{recording}: {error}") from None


def _make_parts(
    recording: Path, clip: Clip, config: ClipConfig, whole: _Given, progress: Progress
) -> list[Clip]:
    """Make clips of the parts between two cuts; raises `DataError` if none is left.

    They are named after `clip`.
    """
    count, video = whole.video.frames, whole.video
    edges = (0, *video.cuts, count)
    left_out: list[str] = []
    made: list[Clip] = []  # as long as they have temporary names
    frames = read_frames(recording, fps=FPS)
    frames = (_resize(frame, video.width, video.height) for frame in frames)
    old = old_parts(clip, recording)
    with contextlib.ExitStack() as renamed_at_the_end:
        for begin, end in pairwise(edges):
            seconds = seconds_of(begin, end)
            own = islice(frames, end - begin)
            if end - begin < MIN_SECONDS * FPS:
                left_out.append(f"{seconds}, shorter than {MIN_SECONDS:.0f} s")
                collections.deque(own, 0)
                continue
            cut = f"{CUT_NOTE} {recording.name}, whose view changes: {seconds}"
            folder = part_folder(clip, len(made) + 1)
            creation = Clip.create(folder, over=Clip(folder) in old)
            part = creation.__enter__()
            try:
                write_video(part.video, own, fps=FPS, quality=CLIP_CRF, synthetic=False)
                given = whole.part(begin, end, (cut, *video.notes))
                write_audio(part.audio, given.video.audio_S)
                _fill(part, recording, config, given, part_of(progress, begin / count, end / count))
            except _NoPersonError as error:
                creation.__exit__(_NoPersonError, error, None)
                left_out.append(f"{seconds}, without a person")
            except BaseException:
                creation.__exit__(*sys.exc_info())
                raise
            else:
                renamed_at_the_end.push(creation)
                made.append(part)
        if not made:
            raise DataError(f"{recording}: nothing left between its cuts: {'; '.join(left_out)}")
        if left_out:
            info = made[0].info()
            notes = (*info.notes, f"parts left out: {'; '.join(left_out)}")
            made[0].write_info(replace(info, notes=notes))
        for left in old[len(made) :]:
            shutil.rmtree(left.folder)
    return [Clip(part_folder(clip, n + 1)) for n in range(len(made))]


def _fill(
    clip: Clip, recording: Path, config: ClipConfig, given: _Given, progress: Progress
) -> None:
    """Write the rest of a clip, whose video and audio are there."""
    video, words, motion, found = given.video, given.words, given.motion, given.keypoints
    body = Body.load(config.body)
    try:
        if found is None:
            frames = read_frames(clip.video, fps=FPS)
            frames = with_progress(frames, video.frames, part_of(progress, 0.0, _DETECTED))
            found = detect_keypoints(frames, width=video.width, height=video.height, fps=FPS)
        if video.cuts and not found.found_TK.any():
            raise NoPersonError("no person found")
        keypoints = keypoint_data.remove_guessed_wrists(keypoint_data.fill_gaps(found))
        keypoints.save(clip.keypoints)
        progress(_DETECTED)
        if motion:
            pixels_TK2 = motion_pixels(motion, body)
            motion = motion.with_finger_rotations(body)
        else:
            fit = fit_body(keypoints, body, part_of(progress, _DETECTED, _FITTED))
            body.betas = fit.betas
            pixels_TK2 = fit.pixels.numpy().astype(np.float32)
            write_npz(clip.projection, {"projected": pixels_TK2})
            motion = motion_from_pose(fit.pose, body, camera=fit.camera)
        clip.write_bad_frames(find_bad_frames(keypoints.found_points(), pixels_TK2))
    except NoPersonError as error:
        if video.cuts:
            raise _NoPersonError from None
        raise DataError(f"{recording}: {error}") from None
    except DataError as error:
        raise DataError(f"{recording}: {error}") from None
    write_motion(clip.pose, motion)
    write_words_and_phones(clip, words, video.audio_S)
    several = (f"{keypoints.people} people; the largest who stays was taken",)
    notes = video.notes + words.notes + (several if keypoints.people > 1 else ())
    video_part = recording.name, video.frames, video.width, video.height
    pose_part = keypoints.source, motion.body, keypoints.people
    clip.write_info(ClipInfo(*video_part, *pose_part, words.source, notes))


def _convert_recording(
    clip: Clip, recording: Path, max_size: int, progress: Progress
) -> ConvertedVideo:
    """Write a clip's video at 25 fps, at most `max_size` pixels wide and high, and its audio."""
    info = probe(recording)
    if not info.has_audio:
        raise DataError(f"{recording}: no audio track; a person speaking is needed")
    scale = min(1.0, max_size / max(info.width, info.height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (info.width, info.height))
    report, detector = ReadReport(), CutDetector()
    frames = read_frames(recording, fps=FPS, report=report)
    frames = with_progress(frames, info.duration * FPS, progress)
    resized = detector.watch(_resize(frame, width, height) for frame in frames)
    count = write_video(clip.video, resized, fps=FPS, quality=CLIP_CRF, synthetic=False)
    damage = damage_notes(report)
    if count < MIN_SECONDS * FPS:
        length = "; ".join((f"{count / FPS:.1f} s", *damage))
        raise DataError(f"{recording}: {length}; at least {MIN_SECONDS:.0f} s are needed")
    audio_S, notes = fit_audio_length(load_audio(recording), count)
    write_audio(clip.audio, audio_S)
    cuts = tuple(detector.finish())
    return ConvertedVideo(info, count, width, height, audio_S, damage + notes, cuts)


def with_progress(
    frames: Iterator[np.ndarray], count: float, progress: Progress
) -> Iterator[np.ndarray]:
    """Yield frames and report the share done; `count` is approximate, or NaN if unknown."""
    for number, frame in enumerate(frames):
        if count >= 1:  # false for NaN
            progress(min(1.0, number / count))
        yield frame


def damage_notes(report: ReadReport) -> tuple[str, ...]:
    """Return a note if parts of a video could not be read."""
    return () if report.is_complete else (f"damaged: {report}",)


def fit_audio_length(audio_S: np.ndarray, frames: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return audio cut or padded to a number of frames, and a note if its length differed."""
    seconds, needed = len(audio_S) / SAMPLE_RATE, frames * SAMPLES_PER_FRAME
    note = f"audio of {seconds:.2f} s cut or padded to the video's {frames / FPS:.2f} s"
    notes = (note,) if abs(seconds - frames / FPS) > MAX_LENGTH_DIFFERENCE else ()
    return np.pad(audio_S[:needed], (0, max(0, needed - len(audio_S)))), notes


def part_of(progress: Progress, begin: float, end: float) -> Progress:
    """Return a callback that maps progress from [0, 1] to [begin, end]."""
    return lambda share: progress(begin + (end - begin) * share)


def _resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    if frame.shape[1:] == (height, width):
        return frame
    image_HW3 = frame.transpose(1, 2, 0)
    return cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)


def _read_openpose(folder: Path, video: ConvertedVideo) -> Keypoints:
    """Return OpenPose's keypoints of the recording, in the clip's pixels and frames."""
    source, size = video.source, {"width": video.source.width, "height": video.source.height}
    found = keypoint_data.read_openpose_keypoints(
        folder, frames=video.frames, **size, fps=FPS, source_fps=source.fps
    )
    points_TK3 = found.points_TK3.copy()
    points_TK3[..., 0] *= video.width / source.width
    points_TK3[..., 1] *= video.height / source.height
    return replace(found, points_TK3=points_TK3, width=video.width, height=video.height)


def _match_video(motion: Motion, path: Path, video: ConvertedVideo) -> Motion:
    """Return motion from elsewhere with its camera scaled to the clip; raises `DataError`."""
    if abs(len(motion) - video.frames) > 1:
        needed = f"the video's {video.frames} are needed"
        raise DataError(f"{path}: {len(motion)} frames at 25 fps; {needed}")
    if len(motion) != video.frames:
        motion = _frames_of_motion(motion, 0, video.frames)
    if (camera := motion.camera) is None:
        return motion
    scale, size = video.width / camera.width, {"width": video.width, "height": video.height}
    center = (scale * camera.center[0], scale * camera.center[1])
    camera = replace(camera, focal=camera.focal * scale, center=center, **size)
    return replace(motion, camera=camera)


def _frames_of_motion(motion: Motion, begin: int, end: int) -> Motion:
    """Return frames [begin, end) of motion; its last frame is repeated beyond its end."""
    rows = torch.arange(begin, end).clamp(max=len(motion) - 1)
    smplx, hands = motion.smplx, motion.hand_coefficients
    parts = smplx.rotations[rows], smplx.translation[rows], smplx.expression[rows]
    hands = None if hands is None else hands[rows]
    return replace(motion, smplx=SmplxParameters(*parts), hand_coefficients=hands)


def _frames_of_keypoints(keypoints: Keypoints, begin: int, end: int) -> Keypoints:
    mesh_TM2 = keypoints.face_mesh_TM2
    return replace(
        keypoints,
        points_TK3=keypoints.points_TK3[begin:end],
        world_TK3=keypoints.world_TK3[begin:end],
        face_mesh_TM2=None if mesh_TM2 is None else mesh_TM2[begin:end],
    )


def write_words_and_phones(clip: Clip, words: TimedWords, audio_S: np.ndarray) -> None:
    """Write a clip's words, if any, and their phones in 16 kHz audio (S,), if they are found."""
    if words.words:
        write_words(clip.words, words.words)
        phones = find_phones(audio_S, words.words, language=words.language) or ()
        if sure := [phone for phone in phones if phone.confidence >= MIN_CONFIDENCE]:
            write_phones(clip.phones, sure)


def _read_timed_words(path: Path, seconds: float) -> TimedWords:
    """Return timed words without those after the end of the audio, as of a damaged recording."""
    words, remarks = read_words(path, notes=[]), []
    try:
        kept = tuple(read_words(path, seconds=seconds, notes=remarks))
    except DataError:  # none of them lies within the audio
        kept = ()
    if len(kept) < MIN_COVERED_WORDS * len(words):
        end = f"{words[-1].end:.1f} s, the audio lasts {seconds:.1f} s"
        raise DataError(f"{path}: the words do not fit the audio: they go on until {end}")
    left = len(words) - len(kept)
    notes = (f"words after the end of the audio left out: {left}",) if left else ()
    return TimedWords(kept, "given", (*notes, *(r for r in remarks if "past the end" not in r)))
