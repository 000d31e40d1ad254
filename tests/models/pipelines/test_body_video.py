"""The walk: streamed it gives what its steps give, and whatever goes wrong ends all of it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.models.pipelines import body_video as pipeline
from speech2video.models.pipelines import speaker
from speech2video.options.inference import InferenceOptions
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.iteration import STAGE_DEPTH
from speech2video.util.text.speech_source import Speech, recorded_speech
from speech2video.util.text.transcript import Word
from tests.tiny_speaker import NAME, voice

CPU = torch.device("cpu")
WORDS = [Word("huge", 0.8, 1.1), Word("up", 1.9, 2.2)]


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    write_audio(path, voice(3.01))
    return path


def options_of(checkpoints: Path, audio: Path, **more: object) -> InferenceOptions:
    return InferenceOptions(
        name=NAME, checkpoints=checkpoints, audio=audio, precision="fp32", **more
    )


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What is written, in place of a file."""
    frames: list[np.ndarray] = []

    def write(path: Path, pictures: Iterable[np.ndarray], **_: object) -> int:
        frames.extend(pictures)
        return len(frames)

    monkeypatch.setattr(pipeline, "write_video", write)
    return frames


def test_the_stream_gives_what_the_steps_give(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    options = options_of(checkpoints, audio, words=tmp_path, seed=3)
    person = speaker.load(options, CPU)
    assert pipeline.make_video(person, Speech("x", audio, WORDS), options, bar=False) == 76

    pose_TP = person.audio2pose.predict_from_audio(load_audio(audio, normalise=True), seed=3)
    plain_TP, pose_TP = pose_TP, person.gestures.insert(pose_TP, WORDS, seed=3)
    assert (pose_TP != plain_TP).any()
    points_TK2 = person.pose2video.camera.project(person.body.points(pose_TP)).numpy()
    maps = person.pose2video.draw_maps(points_TK2)
    whole = np.stack(list(person.pose2video.render(maps))).astype(int)
    assert np.abs(np.stack(written) - whole).max() <= 2


def test_side_by_side_is_the_map_and_its_frame(
    checkpoints: Path, audio: Path, written: list[np.ndarray]
):
    person = speaker.load(options_of(checkpoints, audio), CPU)
    for extra in ({}, {"skeleton": True}, {"side_by_side": True}):
        options = options_of(checkpoints, audio, **extra)
        pipeline.make_video(person, recorded_speech(audio), options, bar=False)
    frames, maps, both = (np.stack(written[i * 76 : i * 76 + 76]) for i in range(3))
    assert np.array_equal(both, np.concatenate((maps, frames), axis=3))


def test_a_motion_that_was_saved_gives_the_same_video(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    first = options_of(checkpoints, audio, save_pose=tmp_path / "pose.npz", skeleton=True)
    person = speaker.load(first, CPU)
    pipeline.make_video(person, recorded_speech(audio), first, bar=False)
    again = options_of(checkpoints, audio, pose=tmp_path / "pose.npz", place=False, skeleton=True)
    pipeline.make_video(person, recorded_speech(audio), again, bar=False)
    assert len(written) == 152
    assert np.abs(np.stack(written[:76]).astype(int) - np.stack(written[76:])).mean() < 0.1
    assert len(read_motion(tmp_path / "pose.npz")) == 76


def test_somebody_elses_motion_is_brought_before_the_camera(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    options = options_of(checkpoints, audio, pose=tmp_path / "pose.npz", skeleton=True)
    person = speaker.load(options, CPU)
    pose_TP = person.audio2pose.network.pose_mean.repeat(5, 1)
    pose_TP[:, :3] += torch.tensor([30.0, 1.0, -4.0])
    pose_TP[:, 3:6] = torch.tensor([0.0, 2.5, 0.0])
    write_motion(tmp_path / "pose.npz", motion_from_pose(pose_TP, person.body))
    pipeline.make_video(person, recorded_speech(audio), options, bar=False)
    assert len(written) == 5 and all((frame > 0).mean() > 0.02 for frame in written)


def test_no_more_is_made_than_is_about_to_be_used(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    write_audio(tmp_path / "long.wav", voice(60.0))
    made = 0

    def counted(maps: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal made
        for picture in maps:
            made += 1
            yield picture

    def write(path: Path, pictures: Iterable[np.ndarray], **_: object) -> int:
        for number, _picture in enumerate(pictures):
            assert made <= number + 2 * STAGE_DEPTH + 3
        return number + 1

    drawn = pipeline.draw_maps
    monkeypatch.setattr(pipeline, "draw_maps", lambda *items: counted(drawn(*items)))
    monkeypatch.setattr(pipeline, "write_video", write)
    options = options_of(checkpoints, tmp_path / "long.wav", skeleton=True)
    person = speaker.load(options, CPU)
    assert pipeline.make_video(person, recorded_speech(options.audio), options, bar=False) == 1500


@pytest.mark.parametrize("stage", ["gestured", "points_of", "maps_of", "painted", "progress"])
@pytest.mark.parametrize("error", [DataError("the third"), KeyboardInterrupt()], ids=repr)
def test_what_goes_wrong_anywhere_ends_all_of_it(
    checkpoints: Path,
    audio: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stage: str,
    error: BaseException,
):
    monkeypatch.setattr(pipeline, stage, _broken(getattr(pipeline, stage), error))
    options = options_of(checkpoints, audio, output=tmp_path / "out" / "a.mp4")
    person, before = speaker.load(options, CPU), workers()
    with pytest.raises(type(error)):
        pipeline.make_video(person, recorded_speech(audio), options)
    assert workers() == before
    assert not list((tmp_path / "out").iterdir())


def workers() -> int:
    """Return how many threads there are, the progress bar's own left out."""
    return sum(not thread.daemon for thread in threading.enumerate())


def _broken(stage: Callable[..., Iterable], error: BaseException) -> Callable[..., Iterator]:
    def broken(*arguments: object, **more: object) -> Iterator:
        for number, item in enumerate(stage(*arguments, **more)):
            if number == 2:
                raise error
            yield item

    return broken
