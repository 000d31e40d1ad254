"""Body videos: streamed stages equal whole ones; an error in any stage ends all of them."""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.models.checkpointing import save_weights
from speech2video.models.pipelines import body_video
from speech2video.models.pipelines import speaker as speakers
from speech2video.models.pipelines.body_video import BodySpeaker
from speech2video.models.pipelines.speaker import load_speaker
from speech2video.models.pose2video.renderer import NETWORK, build_generator, complete_options
from speech2video.options.inference import BodyVideoOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.errors import DataError
from speech2video.util.iteration import STAGE_DEPTH
from speech2video.util.rendering.camera import Camera
from speech2video.util.text.speech_source import Speech, recorded_speech
from speech2video.util.text.transcript import Word
from speech2video.util.video.writer import write_video
from tests.tiny_speaker import NAME, voice

WORDS = [Word("huge", 0.8, 1.1), Word("up", 1.9, 2.2)]


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "speech.wav"
    write_audio(path, voice(3.01))
    return path


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The frames that would be written to a file."""
    frames: list[np.ndarray] = []

    def write(path: Path, images: Iterable[np.ndarray], **_: object) -> int:
        frames.extend(images)
        return len(frames)

    monkeypatch.setattr(speakers, "write_video", write)
    return frames


def make_options(checkpoints: Path, audio: Path, **more: object) -> BodyVideoOptions:
    return BodyVideoOptions(
        name=NAME, checkpoints=checkpoints, audio=audio, precision="fp32", **more
    )


def load(options: BodyVideoOptions) -> BodySpeaker:
    return BodySpeaker.load(options, torch.device("cpu"))


def test_streamed_stages_equal_whole_ones(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    options = make_options(checkpoints, audio, words=tmp_path, seed=3)
    speaker = load(options)
    assert speaker.make_video(Speech("x", audio, WORDS), options, bar=False) == 76

    pose_TP = speaker.audio2pose.predict_from_audio(load_audio(audio), seed=3)
    plain_TP, pose_TP = pose_TP, speaker.gestures.insert(pose_TP, WORDS, seed=3)
    assert (pose_TP != plain_TP).any()
    points_TK2 = speaker.pose2video.camera.project(speaker.body.points(pose_TP)).numpy()
    maps = speaker.pose2video.draw_maps(points_TK2)
    whole = np.stack(list(speaker.pose2video.render(maps))).astype(int)
    assert np.abs(np.stack(written) - whole).max() <= 2


def test_side_by_side_is_the_map_and_its_frame(
    checkpoints: Path, audio: Path, written: list[np.ndarray]
):
    speaker = load(make_options(checkpoints, audio))
    for extra in ({}, {"skeleton": True}, {"side_by_side": True}):
        options = make_options(checkpoints, audio, **extra)
        speaker.make_video(recorded_speech(audio), options, bar=False)
    frames, maps, both = (np.stack(written[i * 76 : i * 76 + 76]) for i in range(3))
    assert np.array_equal(both, np.concatenate((maps, frames), axis=3))


@pytest.fixture(scope="module")
def fast_checkpoints(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny speaker with a renderer that separates person and background."""
    folder = tmp_path_factory.mktemp("fast")
    shutil.copytree(checkpoints / NAME, folder / NAME)
    path = folder / NAME / "pose2video" / OPTIONS_FILE
    options = replace(
        TrainPose2VideoOptions.load(path), generator="fast",
        architecture=("channels=8,16", "blocks=1,1"),
    )  # fmt: skip
    complete_options(options, Camera.from_numbers(options.camera)).save(path)
    torch.manual_seed(0)
    generator = build_generator(options)
    torch.nn.init.normal_(generator.to_rgb.weight, std=0.3)
    generator.init_background(torch.full((3, 64, 64), 0.2))
    save_weights(path.with_name(WEIGHTS_FILE), torch.nn.ModuleDict({NETWORK: generator}))
    return folder


def test_maps_show_the_person_s_own_shape(fast_checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shaped"
    shutil.copytree(fast_checkpoints, folder)
    path = folder / NAME / "pose2video" / OPTIONS_FILE
    betas = (1.5, *[0.0] * 9)
    replace(TrainPose2VideoOptions.load(path), betas=betas).save(path)
    plain, shaped = (
        load(make_options(one, tmp_path / "a.wav")) for one in (fast_checkpoints, folder)
    )
    assert shaped.body.betas.tolist() == list(betas) and not plain.body.betas.any()
    pose_1P = torch.zeros(1, 106)
    points = [
        next(body_video.project_points([pose_1P], s.body, s.camera())) for s in (plain, shaped)
    ]
    assert np.abs(points[0] - points[1]).max() > 0.5


def test_a_speaker_stands_before_any_background(
    fast_checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
) -> None:
    plain = make_options(fast_checkpoints, audio)
    speaker = load(plain)
    write_video(tmp_path / "sea.mp4", (np.full((3, 32, 48), 90, np.uint8) for _ in range(3)))
    made = {}
    for background in (None, "#000", "#ffffff", "#999", "transparent", str(tmp_path / "sea.mp4")):
        given = {"format": "webm"} if background == "transparent" else {}
        options = replace(plain, background=background, **given)
        written.clear()
        assert speaker.make_video(recorded_speech(audio), options, bar=False) == 76
        made[background] = np.stack(written).astype(int)
    rgba = made["transparent"]
    assert rgba.shape == (76, 4, 64, 64) and 1000 < (rgba[:, 3] > 128).sum() < rgba[:, 3].size
    over = made["#ffffff"] - made["#000"]
    assert np.abs(255 - over - rgba[:, 3:]).max() <= 1
    share = rgba[:, 3:] / 255
    assert np.abs(rgba[:, :3] * share - made["#000"]).max() <= 2
    gone = (rgba[:, 3:] == 0) & np.ones_like(over, bool)
    assert (made["#999"][gone] == 0x99).all() and np.median(np.abs(made[None][gone] - 153)) < 9
    assert (np.abs(made[str(tmp_path / "sea.mp4")][gone] - 90) <= 3).all()
    chunks = [load_audio(audio)]
    streamed = np.stack(list(speaker.stream(chunks, background="transparent")))
    assert streamed.shape == (76, 64, 64, 4)
    assert np.abs(streamed.transpose(0, 3, 1, 2).astype(int) - rgba).max() <= 2


def test_a_generator_without_alpha_has_no_other_background(checkpoints: Path, audio: Path) -> None:
    options = make_options(checkpoints, audio, background="#fff", output=audio.with_name("x.mp4"))
    with pytest.raises(DataError, match=r"--background: .*Vid2VidGenerator does not separate"):
        load(options).make_video(recorded_speech(audio), options, bar=False)
    assert not audio.with_name("x.mp4").exists()


def test_a_loaded_speaker_speaks_and_streams(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    speaker = load_speaker(NAME, checkpoints=checkpoints, device="cpu", precision="fp32")
    (tmp_path / "words.csv").write_text("word,start,end\nhuge,0.3,0.5\n")
    for more in ({}, {"words": tmp_path / "words.csv"}):
        speaker.speak(audio, tmp_path / "x.mp4", seed=1, **more)
    plain, gestured = np.stack(written[:76]), np.stack(written[76:])
    assert plain.shape == (76, 3, 64, 64) and (plain != gestured).any()

    audio_S = load_audio(audio)
    one, other = (
        np.stack(list(speaker.stream(np.split(audio_S, range(n, len(audio_S), n)), seed=1)))
        for n in (700, 48_000)
    )
    assert np.array_equal(one, other) and one.shape == (76, 64, 64, 3)
    assert np.abs(one.transpose(0, 3, 1, 2).astype(int) - plain).max() <= 1
    with pytest.raises(DataError, match="empty"):
        list(speaker.stream([]))


def test_saved_motion_gives_the_same_video(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    first = make_options(checkpoints, audio, save_pose=tmp_path / "pose.npz", skeleton=True)
    speaker = load(first)
    speaker.make_video(recorded_speech(audio), first, bar=False)
    again = make_options(checkpoints, audio, pose=tmp_path / "pose.npz", place=False, skeleton=True)
    speaker.make_video(recorded_speech(audio), again, bar=False)
    assert len(written) == 152
    assert np.abs(np.stack(written[:76]).astype(int) - np.stack(written[76:])).mean() < 0.1
    assert len(read_motion(tmp_path / "pose.npz")) == 76


def test_motion_is_saved_by_ending(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    path = tmp_path / "pose.glb"
    options = make_options(checkpoints, audio, save_pose=path, skeleton=True)
    speaker = load(options)
    speaker.make_video(recorded_speech(audio), options, bar=False)
    assert path.read_bytes()[:4] == b"glTF" and len(written) == 76
    assert f"synthetic: made by speech2video; {NAME}".encode() in path.read_bytes()
    written.clear()
    licensed = replace(speaker, body=Body(speaker.body.model, name="smplx"))
    with pytest.raises(DataError, match=r"pose\.glb: the motion is of the smplx body"):
        licensed.make_video(recorded_speech(audio), options, bar=False)
    assert not written  # refused before the work


def test_motion_longer_than_its_audio_is_cut(
    checkpoints: Path,
    audio: Path,
    written: list[np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    options = make_options(checkpoints, audio, pose=tmp_path / "pose.npz", skeleton=True)
    speaker = load(options)
    pose_TP = speaker.audio2pose.network.pose_mean.repeat(100, 1)
    write_motion(tmp_path / "pose.npz", motion_from_pose(pose_TP, speaker.body))
    speaker.make_video(recorded_speech(audio), options, bar=False)
    assert len(written) == 76
    assert "4.00 s of motion, 3.04 s of audio" in capsys.readouterr().err


def test_motion_from_elsewhere_is_moved_in_front_of_the_camera(
    checkpoints: Path, audio: Path, written: list[np.ndarray], tmp_path: Path
):
    options = make_options(checkpoints, audio, pose=tmp_path / "pose.npz", skeleton=True)
    speaker = load(options)
    pose_TP = speaker.audio2pose.network.pose_mean.repeat(5, 1)
    pose_TP[:, :3] += torch.tensor([30.0, 1.0, -4.0])
    pose_TP[:, 3:6] = torch.tensor([0.0, 2.5, 0.0])
    write_motion(tmp_path / "pose.npz", motion_from_pose(pose_TP, speaker.body))
    speaker.make_video(recorded_speech(audio), options, bar=False)
    assert len(written) == 5 and all((frame > 0).mean() > 0.02 for frame in written)


def test_stages_work_only_a_few_frames_ahead(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    write_audio(tmp_path / "long.wav", voice(60.0))
    drawn = 0

    def counted(maps: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal drawn
        for image in maps:
            drawn += 1
            yield image

    def write(path: Path, images: Iterable[np.ndarray], **_: object) -> int:
        count = 0
        for count, _image in enumerate(images, 1):
            assert drawn <= count + 2 * STAGE_DEPTH + 2
        return count

    draw_maps = body_video.draw_maps
    monkeypatch.setattr(body_video, "draw_maps", lambda *items: counted(draw_maps(*items)))
    monkeypatch.setattr(speakers, "write_video", write)
    options = make_options(checkpoints, tmp_path / "long.wav", skeleton=True)
    speech = recorded_speech(options.audio)
    assert load(options).make_video(speech, options, bar=False) == 1500


@pytest.mark.parametrize(
    "stage", ["insert_gestures", "project_points", "draw_maps", "render_frames", "show_progress"]
)
@pytest.mark.parametrize("error", [DataError("the third"), KeyboardInterrupt()], ids=repr)
def test_an_error_in_any_stage_ends_all_of_them(
    checkpoints: Path,
    audio: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stage: str,
    error: BaseException,
):
    module = speakers if hasattr(speakers, stage) else body_video
    monkeypatch.setattr(module, stage, _broken(getattr(module, stage), error))
    options = make_options(checkpoints, audio, output=tmp_path / "out" / "a.mp4")
    speaker, before = load(options), count_workers()
    with pytest.raises(type(error)):
        speaker.make_video(recorded_speech(audio), options)
    assert count_workers() == before
    assert not list((tmp_path / "out").iterdir())


def count_workers() -> int:
    """Return the number of threads, without the progress bar's own."""
    return sum(not thread.daemon for thread in threading.enumerate())


def _broken(stage: Callable[..., Iterable], error: BaseException) -> Callable[..., Iterator]:
    def broken(*arguments: object, **more: object) -> Iterator:
        for number, item in enumerate(stage(*arguments, **more)):
            if number == 2:
                raise error
            yield item

    return broken
