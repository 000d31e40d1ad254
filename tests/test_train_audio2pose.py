"""`train_audio2pose.py` from the command line: killed and resumed, with one and two processes."""

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch

import train_audio2pose
from speech2video.data.audio2pose.dataset import load_motion_clips, pose_statistics, smooth_motion
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.body.body_model import Body
from tests.speech_clips import write_speech_clips
from tests.training_command import TrainingCommand

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        importlib.util.find_spec("espeakng_loader") is None,
        reason="the extra `demo` is not installed",
    ),
]
SMALL = (
    *("--hidden_size", "8", "--layers", "1", "--seq_len", "16", "--batch_size", "4"),
    *("--num_augmentations", "2", "--held_out", "001", "--device", "cpu"),
    *("--validate_every", "6", "--save_every", "2", "--keep", "50"),
)
trainer = TrainingCommand(train_audio2pose.main, "audio2pose", SMALL)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    return write_speech_clips(tmp_path_factory.mktemp("speech") / "dataset", body)


@pytest.fixture(scope="module")
def runs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoints folder of an uninterrupted run."""
    runs = tmp_path_factory.mktemp("checkpoints")
    assert trainer.run(dataset, runs, "--name", "straight", "--steps", 12) == 0
    return runs


@pytest.mark.slow
def test_a_run_killed_and_resumed_equals_an_uninterrupted_one(dataset: Path, runs: Path) -> None:
    trainer.check_resuming(dataset, runs, 12)


@pytest.mark.slow
def test_two_processes_equal_one(dataset: Path, runs: Path) -> None:
    # Each process draws its own dropout and discriminator noise.
    same = ("--steps", 4, "--dropout", 0, "--lr_d", 0)
    pairs = trainer.weights_of_one_and_two_processes(dataset, runs, *same)
    for key, one, two in pairs:
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("precision", ["autocast", "bf16"])
def test_it_trains_in_16_bits(dataset: Path, tmp_path: Path, body: Body, precision: str):
    more = ("--name", "half", "--steps", 3, "--precision", precision)
    assert trainer.run(dataset, tmp_path, *more) == 0
    predictor = PosePredictor.load(tmp_path / "half" / "audio2pose")
    pose_TP = predictor.predict_from_audio(load_motion_clips(dataset, body)[0].audio_S)
    assert pose_TP.dtype == torch.float32 and torch.isfinite(pose_TP).all()


def test_pretrained_weights_are_loaded_and_not_needed_on_resuming(
    dataset: Path, runs: Path, tmp_path: Path
):
    shutil.copytree(runs / "straight", tmp_path / "other")
    pretrained = trainer.weights(tmp_path, "other")
    run = (dataset, tmp_path, "--lr", 0, "--lr_d", 0, "--name", "tuned", "--steps", 1)
    assert trainer.run(*run, "--pretrained", "other") == 0
    tuned = trainer.weights(tmp_path, "tuned")
    learned = [key for key in tuned if ".branches." in key]
    assert learned and all(torch.equal(tuned[key], pretrained[key]) for key in learned)
    shutil.rmtree(tmp_path / "other")
    assert trainer.run(*run[:-1], 2) == 0
    assert trainer.run(*run, "--pretrained", "other", "--name", "third") == 2


def test_pretrained_weights_with_and_without_a_scale_of_the_face(
    dataset: Path, runs: Path, tmp_path: Path
):
    shutil.copytree(runs / "straight", tmp_path / "matched")
    run = (dataset, tmp_path, "--lr", 0, "--lr_d", 0, "--steps", 1)
    fixed = ("--name", "fixed", "--pretrained", "matched", "--face_motion_scale", 1)
    assert trainer.run(*run, *fixed) == 0
    assert trainer.run(*run, "--name", "again", "--pretrained", "fixed") == 0
    scaled = {n: trainer.weights(tmp_path, n) for n in ("matched", "fixed", "again")}
    names = {n: {key.split(".")[-1] for key in weights} for n, weights in scaled.items()}
    assert "face_scale" in names["matched"] & names["again"] - names["fixed"]


def test_poses_are_like_those_of_a_dataset_or_a_checkpoint(
    dataset: Path, runs: Path, tmp_path: Path, body: Body
):
    checkpoint = runs / "straight" / "audio2pose"
    network = PosePredictor.load(checkpoint).network
    expected = {
        dataset: pose_statistics(load_motion_clips(dataset, body)),
        checkpoint: (network.pose_mean, network.pose_std),
    }
    for like, statistics in expected.items():
        line = trainer.line(dataset, tmp_path, "--name", like.name, "--poses_like", like)
        options = TrainAudio2PoseOptions.parse(line)
        for found, wanted in zip(
            train_audio2pose.statistics_of(like, options), statistics, strict=True
        ):
            torch.testing.assert_close(found, wanted)
        more = ("--name", like.name, "--poses_like", like, "--steps", 1)
        assert trainer.run(dataset, tmp_path, *more) == 0


def test_a_trained_run_moves_a_body_to_speech(dataset: Path, runs: Path, body: Body):
    predictor = PosePredictor.load(runs / "straight" / "audio2pose")
    clip = smooth_motion(load_motion_clips(dataset, body)[0], TrainAudio2PoseOptions.smooth)
    pose_TP = predictor.predict_from_audio(clip.audio_S)
    assert len(pose_TP) == len(clip) and torch.isfinite(pose_TP).all()
    constant_P = pose_statistics([clip])[1] <= train_audio2pose.MIN_POSE_STD
    assert constant_P.any() and not constant_P.all()
    assert (pose_TP[:, constant_P].std(0) < 1e-6).all()
    assert (pose_TP[:, ~constant_P].std(0) > 1e-5).all()


def test_a_page_shows_metrics_and_videos(runs: Path):
    folder = runs / "straight" / "audio2pose"
    page = (folder / "index.html").read_text()
    assert "lip_correlation" in page and list((folder / "videos").glob("*.mp4"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--held_out", "007"), "no such clip"),
        (("--bidirectional",), "look_ahead"),
    ],
)
def test_bad_input_is_one_line(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture, more: tuple, words: str
) -> None:
    bad = ("--name", "bad", "--steps", 2, *more)
    assert words in trainer.failing(capfd, dataset, tmp_path / "runs", *bad)
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_clips_is_named(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    message = trainer.failing(capfd, tmp_path, tmp_path / "runs", "--name", "bad")
    assert f"{tmp_path}: no clips" in message
