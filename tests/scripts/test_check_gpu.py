"""`scripts/check_gpu.py`: its verdicts and limits, and the checks themselves on the CPU."""

import json
import math
from pathlib import Path
from typing import Any

import check_gpu
import pytest
import torch

from speech2video.options.evaluation import GPU_CHECKS
from tests.shared import run_here

pytestmark = pytest.mark.usefixtures("one_thread")


def run_checks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, Any]:
    path = folder / "checks.json"
    line = ("--device", "cpu", "--json", path, *arguments)
    status = run_here(monkeypatch, check_gpu.main, *line)
    return status, json.loads(path.read_text())["checks"]


def test_every_check_has_a_limit_and_all_limits_are_within_eight_minutes() -> None:
    assert set(check_gpu.CHECKS) == set(check_gpu.LIMITS) == set(GPU_CHECKS)
    assert check_gpu.CheckGpuOptions().seconds < 480


def test_differences_are_relative_and_missing_or_infinite_losses_count() -> None:
    one = {"a": {1: 2.0, 2: 4.0}, "b": {1: 0.0}}
    assert check_gpu.difference(one, one, steps=(1, 2)) == 0
    other = {"a": {1: 2.0, 2: 5.0}, "b": {1: 0.0}}
    assert check_gpu.difference(one, other, steps=(1,)) == 0
    assert check_gpu.difference(one, other, steps=(1, 2)) == 0.25
    assert check_gpu.difference(one, other, steps=(1, 2), only="b") == 0
    assert check_gpu.difference(one, {"a": one["a"]}, steps=(1,)) == math.inf
    assert check_gpu.difference({"a": {1: math.nan}}, {"a": {1: math.nan}}, steps=(1,)) == math.inf


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, check_gpu.main) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "no CUDA GPU" in lines[0] and "--device cpu" in lines[0]


def test_a_check_at_its_limit_fails_and_the_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = ("--checks", "pose2video", "renderer", "--seconds", 1)
    status, found = run_checks(tmp_path, monkeypatch, *checks)
    assert status == 1
    assert [found[name]["verdict"] for name in checks[1:3]] == ["FAILED", "FAILED"]
    assert "limit" in found["pose2video"]["line"] and "no time" in found["renderer"]["line"]
    assert capsys.readouterr().out.splitlines()[-1].endswith("failed: pose2video, renderer")


@pytest.mark.slow
def test_the_cpu_agrees_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = ("renderer", "pose2video", "audio2pose")
    status, found = run_checks(tmp_path, monkeypatch, "--checks", *checks)
    assert status == 0, found
    for kind in checks[1:]:
        for name in ("first", "later", "resumed"):
            assert found[kind][f"{name}_difference"] == 0
    assert found["renderer"]["fp32_psnr_db"] == check_gpu.MOST_PSNR
    assert check_gpu.LEAST_PSNR["bf16"] < found["renderer"]["bf16_psnr_db"] < check_gpu.MOST_PSNR
    assert found["renderer"]["fp32_64_frames_per_second"] > 0
    assert len(capsys.readouterr().out.splitlines()) == len(checks) + 2


@pytest.mark.slow
def test_training_is_measured_and_two_processes_agree_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, found = run_checks(tmp_path, monkeypatch, "--checks", "training", "processes")
    assert status == 0, found
    assert found["training"]["bf16_steps_per_second"] > 0
    assert found["processes"]["pose2video_difference"] < 1e-3


def test_a_check_that_raises_is_a_failure() -> None:
    options = check_gpu.CheckGpuOptions(device="cpu")
    result = check_gpu.run_limited("unknown", options, seconds=60)
    assert result.passed is False and "unknown" in result.line
