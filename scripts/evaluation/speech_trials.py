"""Speech to evaluate: clips with a recording, audio files without, and the generated videos."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from evaluation.lip_sync import ruled_mouth
from evaluation.motion import read_true_pose
from evaluation.tables import file_name, file_names
from speech2video.data.clip import Clip, list_clips
from speech2video.data.motion_io import read_motion
from speech2video.data.pose2video.clip import PoseVideo, load_pose_video
from speech2video.data.splits import split_clips
from speech2video.models.pipelines.body_video import BodySpeaker
from speech2video.models.pose2video.renderer import RendererOptions
from speech2video.options.evaluation import EvaluateSpeechOptions
from speech2video.options.inference import BodyVideoOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.text.phones import Phone
from speech2video.util.text.speech_source import Speech, recorded_speech
from speech2video.util.text.transcript import cut_words, read_phones, read_words
from speech2video.util.text.word_formats import has_times, read_text
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME


@dataclass(frozen=True, eq=False)
class Trial:
    """One speech to evaluate.

    Attributes:
        speech: audio and, where known, words; its stem names the trial.
        video: the recording in the renderer's framing; None for audio without one.
        recorded_TK3: fitted points (T, 144, 3) of the recording, metres.
        true_opening_T: true lip opening, metres.
        phones: said in it, where known.
    """

    speech: Speech
    video: PoseVideo | None = None
    recorded_TK3: np.ndarray | None = None
    true_opening_T: np.ndarray | None = None
    phones: Sequence[Phone] = ()


class GeneratedVideo(NamedTuple):
    """A generated video file, if any, and the points in it in metres and in pixels.

    `ruled_TK3` and `ruled_TK2` are those of the same motion with the mouth of the viseme rules,
    where the phones are known.
    """

    video: Path | None
    points_TK3: np.ndarray
    points_TK2: np.ndarray
    ruled_TK3: np.ndarray | None = None
    ruled_TK2: np.ndarray | None = None


def find_dataset(options: EvaluateSpeechOptions, trained: RendererOptions | None) -> Path | None:
    """Return --dataset or, without it and --audio, the dataset of the renderer's training.

    Raises:
        DataError: the training dataset is unknown.
    """
    if options.dataset is not None or options.audio:
        return options.dataset
    if isinstance(trained, TrainPose2VideoOptions):
        return trained.dataset
    raise DataError(f"{options.name}: the training dataset is unknown; give --dataset")


def load_trials(
    options: EvaluateSpeechOptions,
    dataset: Path | None,
    trained: RendererOptions | None,
    speaker: BodySpeaker,
    folder: Path,
) -> list[Trial]:
    """Return all trials, cut to --frames; cut audio is written into `folder`.

    Raises:
        DataError: clips, audio or ground truth missing or broken, or two of one name.
    """
    found = []
    if dataset is not None:
        videos = _load_videos(options, dataset, trained, speaker)
        found += [_clip_trial(video, options, speaker.body, folder) for video in videos]
    found += [_audio_trial(index, options, folder) for index in range(len(options.audio))]
    file_names([trial.speech.stem for trial in found])
    return found


def generate(
    speaker: BodySpeaker, trial: Trial, options: BodyVideoOptions, output: Path, folder: Path
) -> GeneratedVideo:
    """Generate a trial's video in `output`, or in `folder` if there is a recording to add.

    With --skeleton only its poses.
    """
    name = file_name(trial.speech.stem)
    if options.skeleton:
        video, pose_TP = None, speaker.predict_poses(trial.speech, options)
    else:
        video = (output if trial.video is None else folder) / f"{name}.mp4"
        pose = folder / f"{name}.npz"
        speaker.make_video(trial.speech, replace(options, output=video, save_pose=pose))
        pose_TP = read_motion(pose).resample().pose_vector(speaker.body)
    points_TK3 = _points(pose_TP, speaker.body)
    camera = speaker.camera()
    points_TK2 = camera.project(torch.from_numpy(points_TK3)).numpy()
    if not trial.phones:
        return GeneratedVideo(video, points_TK3, points_TK2)
    ruled_TK3 = _points(ruled_mouth(pose_TP, trial.phones, speaker.body), speaker.body)
    ruled_TK2 = camera.project(torch.from_numpy(ruled_TK3)).numpy()
    return GeneratedVideo(video, points_TK3, points_TK2, ruled_TK3, ruled_TK2)


def memory_map(file: BinaryIO, frames: Iterable[np.ndarray], *, most: int) -> np.ndarray:
    """Write up to `most` frames (3, H, W) uint8 to an open file and return them (T, 3, H, W)."""
    shape = ()
    for frame in islice(frames, most):
        shape = frame.shape
        file.write(np.ascontiguousarray(frame).data)
    file.flush()
    return np.memmap(file, np.uint8, "r").reshape(-1, *shape)


@torch.inference_mode()
def _points(pose_TP: Tensor, body: Body) -> np.ndarray:
    """Return the points (T, 144, 3) of pose vectors in metres."""
    return body.points(pose_TP).numpy()


def _load_videos(
    options: EvaluateSpeechOptions,
    dataset: Path,
    trained: RendererOptions | None,
    speaker: BodySpeaker,
) -> list[PoseVideo]:
    names = options.held_out
    clips = {clip.folder.name: clip for clip in list_clips(dataset, names)}
    size = dict(zip(("width", "height"), speaker.size, strict=True))
    seconds = 0.0
    if isinstance(trained, TrainPose2VideoOptions) and not names:
        names = tuple(name for name in trained.held_out if name in clips)
        own = dataset.resolve() == trained.dataset.resolve()
        seconds = trained.held_out_seconds if own and not trained.held_out else 0.0
    videos = [load_pose_video(clips[name], speaker.body, **size) for name in names or clips]
    if seconds:
        _, videos = split_clips(videos, held_out=(), seconds=seconds)
    limit = options.frames
    return [v if limit is None or len(v) <= limit else v.part(0, limit) for v in videos]


def _clip_trial(
    video: PoseVideo, options: EvaluateSpeechOptions, body: Body, folder: Path
) -> Trial:
    clip = Clip(video.video.parent)
    begin, end = video.begin, video.begin + len(video)
    if not clip.audio.is_file():
        raise DataError(f"{clip.folder}: no {clip.audio.name} in it; speech is needed")
    audio = _cut_audio(clip.audio, folder / f"{video.name}.wav", begin=begin, frames=len(video))
    words = None
    if clip.words.is_file():
        words = cut_words(read_words(clip.words), begin / FPS, end / FPS)
    true_opening_T = None
    if options.ground_truth is not None:
        true_folder = options.ground_truth / clip.folder.name
        true_TP = read_true_pose(true_folder, clip.info().frames, body)
        true_opening_T = lip_opening(_points(true_TP, body))[begin:end]
    speech = Speech(video.name, audio, words)
    recorded_TP = read_motion(clip.pose).resample().pose_vector(body)
    return Trial(speech, video, _points(recorded_TP, body)[begin:end], true_opening_T)


def _audio_trial(index: int, options: EvaluateSpeechOptions, folder: Path) -> Trial:
    path, frames = options.audio[index], options.frames
    speech = Speech(path.stem, path)
    if options.words:
        words = options.words[index]
        if has_times(words):
            speech = recorded_speech(path, words=words)
        else:
            speech = recorded_speech(path, transcript=read_text(words))
    phones = read_phones(options.phones[index]) if options.phones else []
    if frames is not None:
        audio = _cut_audio(path, folder / f"{path.stem}.wav", begin=0, frames=frames)
        words = None if speech.words is None else cut_words(speech.words, 0, frames / FPS)
        speech = Speech(path.stem, audio, words)
        phones = [phone for phone in phones if phone.end <= frames / FPS]
    return Trial(speech, phones=phones)


def _cut_audio(audio: Path, cut: Path, *, begin: int, frames: int) -> Path:
    """Write the audio of some frames to a file, and return it."""
    samples = slice(begin * SAMPLES_PER_FRAME, (begin + frames) * SAMPLES_PER_FRAME)
    audio_S = load_audio(audio)[samples]
    if not len(audio_S):
        raise DataError(f"{audio}: no audio from {begin / FPS:.1f} s on")
    write_audio(cut, audio_S)
    return cut
