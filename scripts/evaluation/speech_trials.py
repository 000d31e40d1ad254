"""What a speaker is to say, with a recording beside it or without, and what comes of it."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from speech2video.data.clip import Clip, list_clips
from speech2video.data.motion_io import read_motion
from speech2video.data.pose2video.clip import PoseVideo, load_pose_video
from speech2video.data.splits import split_clips
from speech2video.models.pipelines.body_video import BodySpeaker
from speech2video.models.pose2video.renderer import RendererOptions
from speech2video.options.evaluation import EvaluateSpeechOptions
from speech2video.options.inference import BodyVideoOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.audio.audio_io import read_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.metrics.points import lip_opening
from speech2video.util.text.speech_source import Speech
from speech2video.util.text.transcript import Word, read_words
from speech2video.util.timing import FPS


@dataclass(frozen=True, eq=False)
class Trial:
    """One speech.

    Attributes:
        speech: the sound, and the words where they are known; its stem is the trial's name.
        video: the recording, framed as the speaker is; None where there is only a sound.
        recorded_TK3: the recording's fitted points (T, 144, 3), metres.
        truth_T: how far the lips truly opened, metres.
    """

    speech: Speech
    video: PoseVideo | None = None
    recorded_TK3: np.ndarray | None = None
    truth_T: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Made:
    """What a speaker made of a speech.

    Attributes:
        video: the file.
        points_TK3, points_TK2: the pose in it, in metres, and in pixels of the picture.
    """

    video: Path
    points_TK3: np.ndarray
    points_TK2: np.ndarray


def dataset_of(options: EvaluateSpeechOptions, trained: RendererOptions) -> Path | None:
    """Return where the clips to say are: --dataset, or else, without --audio, the run's own.

    Raises:
        DataError: nothing to say.
    """
    if options.dataset is not None or options.audio:
        return options.dataset
    if isinstance(trained, TrainPose2VideoOptions):
        return trained.dataset
    raise DataError(f"{options.name}: does not say what it was trained on; give --dataset")


def trials(
    options: EvaluateSpeechOptions,
    dataset: Path | None,
    trained: RendererOptions,
    speaker: BodySpeaker,
    folder: Path,
) -> list[Trial]:
    """Return all that is to be said, cut to --frames; sounds that have to be cut go to `folder`.

    Raises:
        DataError: clips, sounds or truths that are missing or broken, or two of one name.
    """
    found = []
    if dataset is not None:
        videos = _videos(options, dataset, trained, speaker)
        found += [_of_clip(video, options, speaker.body, folder) for video in videos]
    found += [_of_sound(path, options.frames, folder) for path in options.audio]
    names = [file_name(trial.speech.stem) for trial in found]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise DataError(f"{double}: the name of two speeches; videos are named after them")
    return found


def make(
    loaded: BodySpeaker, trial: Trial, how: BodyVideoOptions, output: Path, folder: Path
) -> Made:
    """Make the video of a speech: into `folder` if it is to be shown beside its recording."""
    name = file_name(trial.speech.stem)
    video = (output if trial.video is None else folder) / f"{name}.mp4"
    pose = folder / f"{name}.npz"
    loaded.make_video(trial.speech, replace(how, output=video, save_pose=pose))
    points_TK3 = points_of(pose, loaded.body)
    points_TK2 = loaded.camera().project(torch.from_numpy(points_TK3)).numpy()
    return Made(video, points_TK3, points_TK2)


def file_name(name: str) -> str:
    """Return a speech's name as one for a file."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_") or "_"


def _videos(
    options: EvaluateSpeechOptions, dataset: Path, trained: RendererOptions, speaker: BodySpeaker
) -> list[PoseVideo]:
    names = options.held_out
    clips = {clip.folder.name: clip for clip in list_clips(dataset, names)}
    width, height = speaker.size
    seconds = 0.0
    if isinstance(trained, TrainPose2VideoOptions) and not names:
        names = tuple(name for name in trained.held_out if name in clips)
        own = dataset.resolve() == trained.dataset.resolve()
        seconds = trained.held_out_seconds if own and not trained.held_out else 0.0
    videos = [
        load_pose_video(clips[name], speaker.body, width=width, height=height)
        for name in names or clips
    ]
    if seconds:
        _, videos = split_clips(videos, held_out=(), seconds=seconds)
    if options.frames is not None:
        limit = options.frames
        videos = [video.part(0, limit) if len(video) > limit else video for video in videos]
    return videos


def _of_clip(video: PoseVideo, options: EvaluateSpeechOptions, body: Body, folder: Path) -> Trial:
    clip = Clip(video.video.parent)
    begin, end = video.begin, video.begin + video.frames
    if not clip.audio.is_file():
        raise DataError(f"{clip.folder}: no {clip.audio.name} in it; somebody who speaks is needed")
    audio = _cut(clip.audio, folder / f"{video.name}.wav", begin=begin, frames=video.frames)
    words = _words(clip, begin, end) if clip.words.is_file() else None
    truth_T = None
    if options.truth is not None:
        truth_T = lip_opening(points_of(options.truth / clip.folder.name / "pose.npz", body))
        if abs(len(truth_T) - clip.info().frames) > 1:
            raise DataError(
                f"{options.truth / clip.folder.name}: {len(truth_T)} frames of truth; the clip "
                f"has {clip.info().frames}"
            )
    return Trial(
        Speech(video.name, audio, words),
        video,
        points_of(clip.pose, body)[begin:end],
        None if truth_T is None else np.append(truth_T, truth_T[-1])[begin:end],
    )


def _of_sound(path: Path, frames: int | None, folder: Path) -> Trial:
    if frames is None:
        return Trial(Speech(path.stem, path))
    return Trial(Speech(path.stem, _cut(path, folder / f"{path.stem}.wav", begin=0, frames=frames)))


def _cut(audio: Path, cut: Path, *, begin: int, frames: int) -> Path:
    """Write what belongs to some frames of a sound, and return the file."""
    chunks = list(read_audio(audio, start=begin / FPS, duration=frames / FPS))
    if not chunks:
        raise DataError(f"{audio}: no sound from {begin / FPS:.1f} s on")
    write_audio(cut, np.concatenate(chunks))
    return cut


def _words(clip: Clip, begin: int, end: int) -> list[Word]:
    first, last = begin / FPS, end / FPS
    return [
        Word(word.text, word.start - first, word.end - first)
        for word in read_words(clip.words)
        if first <= word.start and word.end <= last
    ]


@torch.inference_mode()
def points_of(path: Path, body: Body) -> np.ndarray:
    """Return a motion's points (T, 144, 3) in metres, all in the shape of one body."""
    return body.points(read_motion(path).resample().pose_vector(body)).numpy()
