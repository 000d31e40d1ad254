"""`scripts/benchmark.py`: metrics are printed and written; their size is not tested."""

import json
from pathlib import Path
from typing import Any

import benchmark
import pytest
from benchmarks.generators import generator_step

from speech2video.models.pose2video.generators.base import Generator
from speech2video.models.pose2video.generators.fast import FastGenerator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.util.audio.features import feature_set
from tests.shared import ROOT, run_here


def run_benchmark(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Any:
    path = folder / "metrics.json"
    assert run_here(monkeypatch, benchmark.main, *arguments, "--json", path) == 0
    return json.loads(path.read_text())


def test_audio2pose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    metrics = run_benchmark(tmp_path, monkeypatch, "audio2pose", "--minutes", 0.2)
    assert metrics["frames"] == 0.2 * 60 * 25 and metrics["gestures"] > 0
    assert metrics["times_real_time_of_processor"] > 0
    assert 0 <= metrics["memory_growth_mb"] < metrics["peak_memory_mb"]


def test_a_pose_comes_after_the_look_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    more = ("--minutes", 0.1, "--name", "demo", "--checkpoints", ROOT / "checkpoints")
    metrics = run_benchmark(tmp_path, monkeypatch, "audio2pose", *more)
    options = json.loads((ROOT / "checkpoints/demo/audio2pose/options.json").read_text())
    look_ahead = (options["look_ahead"] + feature_set(options["features"]).delay) / 25
    assert look_ahead < metrics["first_pose_after_seconds"] <= look_ahead + 0.11
    assert metrics["features"] == options["features"] and metrics["gestures"] > 0
    assert metrics["first_pose_computation_seconds"] > 0


def test_the_pipeline_is_compared_with_its_renderer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    metrics = run_benchmark(tmp_path, monkeypatch, "pipeline", "--minutes", 0.04, "--size", 64)
    assert metrics["frames"] == 60 and metrics["share_of_renderer_rate"] > 0
    assert metrics["peak_memory_mb"] >= metrics["memory_mb_before"] > 0


@pytest.mark.parametrize(
    "generator",
    [FastGenerator(size=(64, 64)), Vid2VidGenerator(ngf=8, n_blocks=1)],
    ids=["fast", "vid2vid"],
)
def test_a_step_has_the_past_that_its_generator_keeps(generator: Generator):
    output = generator_step(generator.eval(), 64)()
    assert output.frame.shape == (1, 3, 64, 64) and output.flow is not None


def test_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = ("--size", 64, "--steps", 1, "--architecture", "channels=8,16", "blocks=1,1")
    metrics = run_benchmark(tmp_path, monkeypatch, "pose2video", "--train", *small)
    assert metrics["benchmark"] == "training" and metrics["device"] == "cpu"
    assert metrics["steps_per_second"] > 0
    assert 0 < metrics["loading_share"] < 1 and 0 <= metrics["discriminators_share"] < 1
    assert metrics["peak_memory_mb"] > 0


@pytest.mark.slow
def test_training_on_many_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = ("--clips", 12, 36, "--index_lines", 5000, "--steps", 4, "--batch_size", 2)
    metrics = run_benchmark(tmp_path, monkeypatch, "speech2face", "--train", *small)
    assert metrics["benchmark"] == "face_data" and abs(metrics["memory_growth"]) < 0.1
    assert metrics["peak_memory_mb_36"] > 0 and metrics["startup_seconds_36"] > 0
    assert metrics["index_lines"] == 5000 and metrics["index_memory_mb"] < 50


def test_what_has_no_benchmark_of_training_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run_here(monkeypatch, benchmark.main, "body", "--train") == 2
    assert "pose2video or speech2face is needed" in capsys.readouterr().err


@pytest.mark.slow
def test_speech2face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    metrics = run_benchmark(tmp_path, monkeypatch, "speech2face", "--minutes", 0.04)
    for size in (64, 128):
        assert metrics[f"frames_per_second_{size}"] > 0
        assert metrics[f"generator_frames_per_second_{size}"] > 0
    assert metrics["shipped_mb_128"] < 30 and metrics["gflop_per_frame_128"] < 1.5


def test_an_unknown_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run_here(monkeypatch, benchmark.main, "luck") == 2
    assert "luck" in capsys.readouterr().err
