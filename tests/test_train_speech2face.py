"""`train_speech2face.py` as users run it: resumed, with two processes; then test.py."""

import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import export_checkpoint
import numpy as np
import pytest
import torch

import train_speech2face
from speech2video.data.speech2face.clip import FaceClip
from speech2video.data.speech2face.index import FOLDER
from speech2video.models.checkpointing import read_tensors
from speech2video.models.speech2face.predictor import APPEARANCE_WEIGHTS, SPEAKER_WEIGHTS
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from tests.face_clips import SIZE, recording, write_face_clips
from tests.inference_command import command, read
from tests.shared import ROOT, run_here
from tests.speech_clips import write_speech_clips
from tests.training_command import TrainingCommand

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 8
SMALL = (
    *("--size", SIZE, "--batch_size", 4, "--generator_batch_size", 2),
    *("--seq_len", 16, "--look_ahead", 2),
    *("--num_augmentations", 1, "--epoch_items", 8, "--validate_clips", 2, "--validate_frames", 26),
    *("--validate_every", 4, "--save_every", 2, "--keep", 50, "--device", "cpu"),
    *("--stage_shares", 1, 1, 1, 1, "--r1_every", 3),
)
trainer = TrainingCommand(train_speech2face.main, "speech2face", SMALL)
SHIPPED = {"identity", "emotion", "content", "head_motion", "generator"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_clips(tmp_path_factory.mktemp("faces") / "dataset")


@pytest.fixture(scope="module")
def runs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an uninterrupted run."""
    runs = tmp_path_factory.mktemp("checkpoints")
    assert trainer.run(dataset, runs, "--name", "straight", "--steps", STEPS) == 0
    return runs


@pytest.mark.slow
def test_a_run_killed_and_resumed_equals_a_straight_one(dataset: Path, runs: Path) -> None:
    trainer.check_resuming(dataset, runs, STEPS)


@pytest.mark.slow
def test_two_processes_equal_one(dataset: Path, runs: Path) -> None:
    same = ("--steps", 4, "--dropout", 0)  # one of each stage
    pairs = trainer.weights_of_one_and_two_processes(dataset, runs, *same)
    for key, one, two in pairs:
        off = ~torch.isclose(one, two, rtol=1e-4, atol=1e-5)
        # where rounding is all the gradient there is, Adam's first step makes a whole step of it
        assert float(off.float().mean()) < 0.01, key


def test_pretrained_weights_are_loaded_without_the_speakers(
    dataset: Path, runs: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = (dataset, runs, "--pretrained", "straight", "--steps", 1)
    frozen = ("--lr", 0, "--lr_d", 0)
    assert trainer.run(*arguments, *frozen, "--name", "begun") == 0
    pretrained, begun = trainer.weights(runs, "straight"), trainer.weights(runs, "begun")
    same = {key for key in pretrained if torch.equal(pretrained[key], begun[key])}
    speakers = {key for key in pretrained if key.startswith(SPEAKER_WEIGHTS)}
    speech = {key for key in pretrained if key.startswith(tuple(f"{name}." for name in SHIPPED))}
    assert speech - speakers <= same
    assert speakers and not speakers <= same
    assert (
        trainer.run(*arguments, *frozen, "--baseline", "reference_image", "--name", "baseline") == 0
    )
    baseline = trainer.weights(runs, "baseline")
    assert {key for key in speech - speakers if not key.startswith(APPEARANCE_WEIGHTS)} <= {
        key for key in pretrained if key in baseline and torch.equal(pretrained[key], baseline[key])
    }
    features = (*arguments, *frozen, "--features", "mfcc", "--name", "features")
    assert trainer.run(*features) == 0
    other = trainer.weights(runs, "features")
    same = {key for key in pretrained if key in other and torch.equal(pretrained[key], other[key])}
    kept = {key for key in speech - speakers if not key.startswith("content.")}
    assert kept <= same and not {key for key in same if key.startswith("content.conv")}
    assert trainer.run(*arguments, "--size", 2 * SIZE, "--name", "other") == 2
    assert "weights of another network" in capsys.readouterr().err


def test_lips_of_other_speech_are_learned(
    dataset: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_speech_clips(tmp_path / "speech", Body.load())
    arguments = (dataset, runs, "--name", "lips", "--steps", 4, "--features", "mfcc+mel")
    assert trainer.run(*arguments, "--lip_dataset", tmp_path / "speech") == 0
    assert "other_lips" in (runs / "lips" / "speech2face" / "log.json").read_text()
    (tmp_path / "none").mkdir()
    wrong = (*arguments[:2], "--name", "wrong", "--steps", 4)
    assert trainer.run(*wrong, "--lip_dataset", tmp_path / "none") == 2
    assert "none" in capsys.readouterr().err


def test_the_page_shows_the_run(runs: Path) -> None:
    folder = runs / "straight" / "speech2face"
    page = (folder / "index.html").read_text()
    for words in ("generated", "real", "teacher_speaker", "identity_distance", "d_sync", "psnr"):
        assert words in page
    assert list((folder / "videos").glob("*.mp4"))
    assert list((folder / "images").glob("*.jpg"))


def show(monkeypatch: pytest.MonkeyPatch, runs: Path, *arguments: object) -> int:
    line = ("--model", "speech2face", "--checkpoints", runs, "--device", "cpu", "--threads", 1)
    return run_here(monkeypatch, command.main, *line, *arguments)


@pytest.fixture(scope="module")
def shipped(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the run's exported face."""
    folder = tmp_path_factory.mktemp("shipped")
    with pytest.MonkeyPatch.context() as monkeypatch:
        given = ("--name", "straight", "--kind", "speech2face", "--checkpoints", runs)
        given = (*given, "--output", folder / "face")
        assert run_here(monkeypatch, export_checkpoint.main, *given) == 0
    return folder


def test_only_inference_networks_ship(shipped: Path) -> None:
    path = shipped / "face" / "speech2face" / "model.safetensors"
    tensors = read_tensors(path)
    assert {name.split(".")[0] for name in tensors} == SHIPPED
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert path.stat().st_size < 30e6


def test_speech_becomes_a_face(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_audio(tmp_path / "speech.wav", recording().audio_S[:-100])
    audio = ("--name", "face", "--audio", tmp_path / "speech.wav")
    asked = {
        "one": (),
        "same": (),
        "seed": ("--seed", 1),
        "happy": ("--emotion", "happy"),
        "neutral": ("--emotion", "neutral"),
    }
    for name, more in asked.items():
        given = (*audio, "--output", tmp_path / f"{name}.mp4", *more)
        assert show(monkeypatch, shipped, *given) == 0
    frames, seconds, about = read(tmp_path / "one.mp4")
    assert frames.shape == (30, SIZE, SIZE, 3) and seconds == pytest.approx(1.2, abs=0.1)
    assert about["comment"].startswith("synthetic") and "speech2face" in about["comment"]
    made = {name: (tmp_path / f"{name}.mp4").read_bytes() for name in asked}
    assert made["one"] == made["same"]
    assert made["happy"] != made["neutral"]


def test_a_list_becomes_faces(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(tmp_path / "a.wav", recording().audio_S[:9000])
    (tmp_path / "list.txt").write_text("a.wav\nnone.wav\n")
    given = ("--name", "face", "--audio_list", "list.txt", "--output", "out")
    assert show(monkeypatch, shipped, *given) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--emotion", "angry"), "--emotion angry: face was trained with neutral, happy"),
        (("--reference_image", "x.png"), "it takes no --reference_image"),
        (("--name", "other"), "no speech2face in it; there are: face"),
        (("--audio", "no.wav"), "no such file"),
        (("--audio", "empty.wav"), "empty.wav"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, more: tuple, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(tmp_path / "a.wav", recording().audio_S[:9000])
    write_audio(tmp_path / "empty.wav", np.zeros(0, np.float32))
    assert show(monkeypatch, shipped, "--name", "face", "--audio", "a.wav", *more) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0]
    assert not list(tmp_path.glob("**/*.mp4"))


@pytest.mark.parametrize(
    "more", [("--skeleton",), ("--smooth", 3), ("--model", "speech2video", "--emotion", "sad")]
)
def test_options_of_the_other_model_are_unknown(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capfd, more: tuple
) -> None:
    assert show(monkeypatch, shipped, "--name", "face", "--audio", "a.wav", *more) == 2
    assert "unrecognized arguments: --" in capfd.readouterr().err


def test_the_baseline_trains_and_needs_a_reference_image(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    more = ("--name", "reference_image", "--steps", 4, "--baseline", "reference_image")
    assert trainer.run(dataset, tmp_path, *more) == 0
    write_audio(tmp_path / "a.wav", recording().audio_S)
    image = recording().frames_T3HW[0].transpose(1, 2, 0)
    cv2.imwrite(str(tmp_path / "face.png"), image[..., ::-1])
    given = ("--name", "reference_image", "--audio", tmp_path / "a.wav")
    given = (*given, "--output", tmp_path / "x.mp4")
    assert show(monkeypatch, tmp_path, *given) == 2
    assert "its baseline needs --reference_image" in capfd.readouterr().err
    assert show(monkeypatch, tmp_path, *given, "--reference_image", tmp_path / "a.wav") == 2
    assert "not readable as an image" in capfd.readouterr().err
    assert show(monkeypatch, tmp_path, *given, "--reference_image", tmp_path / "face.png") == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--stage_steps", 1, 1, 1, 1), "4 together; --steps 4 is needed"),
        (("--stage_shares", 1, 2), "--stage_shares: 4 numbers are needed, not 2"),
        (("--stage_shares", 0, 0, 0, 0), "at least one above 0"),
        (("--generator_batch_size", 5), "--generator_batch_size 5: --batch_size has 4"),
        (("--look_ahead", 11), "--seq_len 16: with --look_ahead and --num_frames 17 are needed"),
        (("--emotion_classes", "sad"), "--emotion_classes: makes sense with"),
        (("--identity_teacher", "nowhere.pt"), "nowhere.pt: no such file"),
        (("--weights", "gan=1"), "--weights gan: no such loss"),
        (("--held_out_speakers", "zoe"), "--held_out_speakers zoe"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_options_are_one_line(
    dataset: Path, tmp_path: Path, capfd, more: tuple, words: str
) -> None:
    bad = ("--name", "bad", "--steps", 2, *more)
    assert words in trainer.failing(capfd, dataset, tmp_path / "runs", *bad)
    assert not (tmp_path / "runs").exists()


def test_the_teacher_of_the_guide_is_learned_from(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    page = (ROOT / "docs/speech2face.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (options,) = re.findall(
        r"(--emotion_teacher expressions.pt .*) --trust_torchscript$", page, re.M
    )
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather see torch.export
        exec(code, {})
    # clips need no emotion then
    unlabelled = Path(shutil.copytree(dataset, tmp_path / "unlabelled"))
    for clip in FaceClip.find_all(unlabelled):
        clip.write_info(replace(clip.info(), emotion=""))
    more = (unlabelled, tmp_path / "runs", "--steps", 2, *options.split())
    assert "--trust_torchscript" in trainer.failing(capfd, *more, "--name", "refused")
    assert trainer.run(*more, "--name", "own", "--trust_torchscript") == 0
    assert trainer.run(*more[:4], "--name", "none") == 0
    own, none = (trainer.weights(tmp_path / "runs", name) for name in ("own", "none"))
    assert any(not torch.equal(own[key], none[key]) for key in own if key.startswith("emotion."))


def test_clips_of_unknown_people_are_learned_from(dataset: Path, tmp_path: Path, capfd) -> None:
    partly = Path(shutil.copytree(dataset, tmp_path / "partly"))
    clips = FaceClip.find_all(partly)
    for clip in clips[::2]:
        clip.write_info(replace(clip.info(), speaker="", emotion=""))
    assert trainer.run(partly, tmp_path / "runs", "--name", "partly", "--steps", 4) == 0
    for clip in clips:
        clip.write_info(replace(clip.info(), speaker=""))
    message = trainer.failing(capfd, partly, tmp_path / "runs", "--name", "none", "--steps", 2)
    assert "held out" in message or "who speaks" in message


@pytest.mark.slow
def test_memory_limit_and_workers_change_nothing(dataset: Path, runs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    shutil.rmtree(copy / FOLDER, ignore_errors=True)
    less = ("--name", "less", "--steps", STEPS, "--cache", 0.01, "--workers", 2)
    assert trainer.run(copy, tmp_path / "runs", *less) == 0
    straight, other = trainer.weights(runs, "straight"), trainer.weights(tmp_path / "runs", "less")
    assert straight.keys() == other.keys()
    assert [key for key in straight if not torch.equal(straight[key], other[key])] == []
    assert len(list((copy / FOLDER).iterdir())) == 3  # index, statistics, appearance


@pytest.mark.parametrize("file", ["video.mp4", "landmarks.npz", "audio.wav"])
def test_an_incomplete_clip_is_named(dataset: Path, tmp_path: Path, capfd, file: str) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    clip = min(path.parent for path in copy.glob("*/face.json"))
    (clip / file).unlink()
    message = trainer.failing(capfd, copy, tmp_path / "runs", "--name", "bad", "--steps", 2)
    assert str(clip / file) in message
