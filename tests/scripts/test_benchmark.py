"""`scripts/benchmark.py`: figures are printed and written; how large they are decides nothing."""

import json
from pathlib import Path

import benchmark
import pytest

from tests.shared import run_here


def test_speech_to_pose_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "figures.json"
    arguments = ("audio2pose", "--minutes", 0.2, "--json", path)
    assert run_here(monkeypatch, benchmark.main, *arguments) == 0
    figures = json.loads(path.read_text())
    assert figures["frames"] == 0.2 * 60 * 25 and figures["gestures"] > 0
    assert figures["times_real_time_of_processor"] > 0 and figures["peak_memory_mb"] > 0


def test_an_unknown_kind_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run_here(monkeypatch, benchmark.main, "luck") == 2
    assert "luck" in capsys.readouterr().err


def test_the_whole_walk_is_measured_beside_its_painter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "figures.json"
    arguments = ("pipeline", "--minutes", 0.04, "--size", 64, "--json", path)
    assert run_here(monkeypatch, benchmark.main, *arguments) == 0
    figures = json.loads(path.read_text())
    assert figures["frames"] == 60 and figures["share_of_painters_rate"] > 0
    assert figures["peak_memory_mb"] >= figures["memory_mb_before"] > 0


def test_speech_to_a_face_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "figures.json"
    arguments = ("speech2face", "--minutes", 0.04, "--json", path)
    assert run_here(monkeypatch, benchmark.main, *arguments) == 0
    figures = json.loads(path.read_text())
    for size in (64, 128):
        assert figures[f"frames_per_second_{size}"] > 0
        assert figures[f"generator_frames_per_second_{size}"] > 0
    assert figures["shipped_mb_128"] < 30 and figures["gflop_per_frame_128"] < 1.5
