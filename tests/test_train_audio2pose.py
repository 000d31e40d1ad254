"""`train_audio2pose.py` from the command line: killed and resumed, with one and two processes."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import train_audio2pose
from speech2video.data.audio2pose.dataset import load_motion_clips, pose_statistics, smooth_motion
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.checkpointing import read_tensors
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import newest_checkpoint
from tests.shared import ROOT, run_here
from tests.speech_clips import write_speech_clips

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)
SMALL = (
    *("--hidden_size", "8", "--layers", "1", "--seq_len", "16", "--batch_size", "4"),
    *("--num_augmentations", "2", "--held_out", "001", "--device", "cpu"),
    *("--validate_every", "6", "--save_every", "2", "--keep", "50"),
)
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    return write_speech_clips(tmp_path_factory.mktemp("speech") / "dataset", body)


def start(dataset: Path, runs: Path, *arguments: object, launcher: tuple = ()) -> subprocess.Popen:
    command = [sys.executable, *launcher, "train_audio2pose.py", "--dataset", str(dataset)]
    command += ["--checkpoints", str(runs), *SMALL, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    stderr = process.communicate(timeout=300)[1]
    assert process.returncode == 0, stderr


def weights(runs: Path, name: str) -> dict[str, torch.Tensor]:
    checkpoint = newest_checkpoint(runs / name / "audio2pose")
    return read_tensors(checkpoint / "model.safetensors") | read_tensors(
        checkpoint / "ema.safetensors"
    )


@pytest.fixture(scope="module")
def runs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoints folder of an uninterrupted run."""
    runs = tmp_path_factory.mktemp("checkpoints")
    finish(start(dataset, runs, "--name", "straight", "--steps", 12))
    return runs


def test_a_run_killed_and_resumed_equals_an_uninterrupted_one(dataset: Path, runs: Path):
    killed = start(dataset, runs, "--name", "killed", "--steps", 12)
    while newest_checkpoint(runs / "killed" / "audio2pose") is None and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    finish(start(dataset, runs, "--name", "killed", "--steps", 12))
    straight, resumed = weights(runs, "straight"), weights(runs, "killed")
    assert straight.keys() == resumed.keys()
    assert [key for key in straight if not torch.equal(straight[key], resumed[key])] == []


def test_two_processes_equal_one(dataset: Path, runs: Path):
    # Each process draws its own dropout and discriminator noise.
    same = ("--steps", 4, "--dropout", 0, "--lr_d", 0)
    finish(start(dataset, runs, "--name", "one", *same))
    finish(start(dataset, runs, "--name", "two", *same, launcher=LAUNCHER))
    one, two = weights(runs, "one"), weights(runs, "two")
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("precision", ["autocast", "bf16"])
def test_it_trains_in_16_bits(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Body, precision: str
):
    arguments = ("--dataset", dataset, "--checkpoints", tmp_path, "--name", "half", *SMALL)
    run = (*arguments, "--steps", 3, "--precision", precision)
    assert run_here(monkeypatch, train_audio2pose.main, *run) == 0
    predictor = PosePredictor.load(tmp_path / "half" / "audio2pose")
    pose_TP = predictor.predict_from_audio(load_motion_clips(dataset, body)[0].audio_S)
    assert pose_TP.dtype == torch.float32 and torch.isfinite(pose_TP).all()


def test_pretrained_weights_are_loaded_and_not_needed_on_resuming(
    dataset: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(runs / "straight", tmp_path / "other")
    pretrained = weights(tmp_path, "other")
    run = ("--checkpoints", tmp_path, "--dataset", dataset, *SMALL, "--lr", "0")
    run = (*run, "--lr_d", "0", "--name", "tuned", "--steps", "1")
    assert run_here(monkeypatch, train_audio2pose.main, *run, "--pretrained", "other") == 0
    tuned = weights(tmp_path, "tuned")
    learned = [key for key in tuned if ".branches." in key]
    assert learned and all(torch.equal(tuned[key], pretrained[key]) for key in learned)
    shutil.rmtree(tmp_path / "other")
    assert run_here(monkeypatch, train_audio2pose.main, *run[:-1], "2") == 0
    missing = (*run, "--pretrained", "other", "--name", "third")
    assert run_here(monkeypatch, train_audio2pose.main, *missing) == 2


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


def test_bad_input_is_one_line(tmp_path: Path, dataset: Path):
    cases = {
        "no clips": (tmp_path, "held_out 001", "no clips"),
        "no such clip": (dataset, "held_out 007", "no such clip"),
        "look-ahead of a bidirectional network": (dataset, "bidirectional", "look_ahead"),
    }
    for folder, option, words in cases.values():
        arguments = ["--name", "bad", "--steps", 2, *f"--{option}".split()]
        process = start(folder, tmp_path / "runs", *arguments)
        stderr = process.communicate(timeout=120)[1]
        assert process.returncode == 2 and words in stderr and "Traceback" not in stderr
        assert len([line for line in stderr.splitlines() if "error: " in line]) == 1
    assert not (tmp_path / "runs").exists()
