"""The walk: streamed it gives what its steps give, and whatever goes wrong ends all of it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.motion import from_pose_vector
from speech2video.data.motion_file import read_motion, write_motion
from speech2video.models import pipeline, speaker
from speech2video.options.test_options import TestOptions
from speech2video.util.audio import load_wave, write_wave
from speech2video.util.errors import DataError
from speech2video.util.speech_source import Speech, recorded
from speech2video.util.stages import DEPTH
from speech2video.util.transcript import Word
from tests.tiny_speaker import NAME, voice

CPU = torch.device("cpu")
WORDS = [Word("huge", 0.8, 1.1), Word("up", 1.9, 2.2)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    write_wave(path, voice(3.01))
    return path


def options_of(checkpoints: Path, sound: Path, **more: object) -> TestOptions:
    return TestOptions(name=NAME, checkpoints=checkpoints, audio=sound, precision="fp32", **more)


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
    checkpoints: Path, sound: Path, written: list[np.ndarray], tmp_path: Path
):
    options = options_of(checkpoints, sound, words=tmp_path, seed=3)
    person = speaker.load(options, CPU)
    assert pipeline.make_video(person, Speech("x", sound, WORDS), options, bar=False) == 76

    pose_TP = person.audio2pose.of_wave(load_wave(sound, normalise=True), seed=3)
    plain_TP, pose_TP = pose_TP, person.gestures.insert(pose_TP, WORDS, seed=3)
    assert (pose_TP != plain_TP).any()
    points_TK2 = person.pose2video.camera.project(person.body.points(pose_TP)).numpy()
    maps = person.pose2video.maps(points_TK2)
    whole = np.stack(list(person.pose2video.frames(maps))).astype(int)
    assert np.abs(np.stack(written) - whole).max() <= 2


def test_side_by_side_is_the_map_and_its_frame(
    checkpoints: Path, sound: Path, written: list[np.ndarray]
):
    person = speaker.load(options_of(checkpoints, sound), CPU)
    for extra in ({}, {"skeleton": True}, {"side_by_side": True}):
        options = options_of(checkpoints, sound, **extra)
        pipeline.make_video(person, recorded(sound), options, bar=False)
    frames, maps, both = (np.stack(written[i * 76 : i * 76 + 76]) for i in range(3))
    assert np.array_equal(both, np.concatenate((maps, frames), axis=3))


def test_a_motion_that_was_saved_gives_the_same_video(
    checkpoints: Path, sound: Path, written: list[np.ndarray], tmp_path: Path
):
    first = options_of(checkpoints, sound, save_pose=tmp_path / "pose.npz", skeleton=True)
    person = speaker.load(first, CPU)
    pipeline.make_video(person, recorded(sound), first, bar=False)
    again = options_of(checkpoints, sound, pose=tmp_path / "pose.npz", place=False, skeleton=True)
    pipeline.make_video(person, recorded(sound), again, bar=False)
    assert len(written) == 152
    assert np.abs(np.stack(written[:76]).astype(int) - np.stack(written[76:])).mean() < 0.1
    assert len(read_motion(tmp_path / "pose.npz")) == 76


def test_somebody_elses_motion_is_brought_before_the_camera(
    checkpoints: Path, sound: Path, written: list[np.ndarray], tmp_path: Path
):
    options = options_of(checkpoints, sound, pose=tmp_path / "pose.npz", skeleton=True)
    person = speaker.load(options, CPU)
    pose_TP = person.audio2pose.network.pose_mean.repeat(5, 1)
    pose_TP[:, :3] += torch.tensor([30.0, 1.0, -4.0])
    pose_TP[:, 3:6] = torch.tensor([0.0, 2.5, 0.0])
    write_motion(tmp_path / "pose.npz", from_pose_vector(pose_TP, person.body))
    pipeline.make_video(person, recorded(sound), options, bar=False)
    assert len(written) == 5 and all((frame > 0).mean() > 0.02 for frame in written)


def test_no_more_is_made_than_is_about_to_be_used(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    write_wave(tmp_path / "long.wav", voice(60.0))
    made = 0

    def counted(maps: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal made
        for picture in maps:
            made += 1
            yield picture

    def write(path: Path, pictures: Iterable[np.ndarray], **_: object) -> int:
        for number, _picture in enumerate(pictures):
            assert made <= number + 2 * DEPTH + 3
        return number + 1

    drawn = pipeline.maps_of
    monkeypatch.setattr(pipeline, "maps_of", lambda *items: counted(drawn(*items)))
    monkeypatch.setattr(pipeline, "write_video", write)
    options = options_of(checkpoints, tmp_path / "long.wav", skeleton=True)
    person = speaker.load(options, CPU)
    assert pipeline.make_video(person, recorded(options.audio), options, bar=False) == 1500


@pytest.mark.parametrize("stage", ["gestured", "points_of", "maps_of", "painted", "progress"])
@pytest.mark.parametrize("error", [DataError("the third"), KeyboardInterrupt()], ids=repr)
def test_what_goes_wrong_anywhere_ends_all_of_it(
    checkpoints: Path,
    sound: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stage: str,
    error: BaseException,
):
    monkeypatch.setattr(pipeline, stage, _broken(getattr(pipeline, stage), error))
    options = options_of(checkpoints, sound, output=tmp_path / "out" / "a.mp4")
    person, before = speaker.load(options, CPU), workers()
    with pytest.raises(type(error)):
        pipeline.make_video(person, recorded(sound), options)
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
