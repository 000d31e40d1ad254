"""`scripts/benchmark.py`: metrics are printed and written; their size is not tested."""

import json
from pathlib import Path
from typing import Any

import benchmark
import pytest

from tests.shared import run_here


def run_benchmark(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Any:
    path = folder / "metrics.json"
    assert run_here(monkeypatch, benchmark.main, *arguments, "--json", path) == 0
    return json.loads(path.read_text())


def test_audio2pose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    metrics = run_benchmark(tmp_path, monkeypatch, "audio2pose", "--minutes", 0.2)
    assert metrics["frames"] == 0.2 * 60 * 25 and metrics["gestures"] > 0
    assert metrics["times_real_time_of_processor"] > 0 and metrics["peak_memory_mb"] > 0


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
