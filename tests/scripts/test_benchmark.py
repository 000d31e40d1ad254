"""`scripts/benchmark.py`: metrics are printed and written; their size is not tested."""

import json
from pathlib import Path
from typing import Any

import benchmark
import pytest

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
