"""`scripts/evaluate.py motion`: properties of any trained model, and gesture detection."""

import importlib.util
import json
from pathlib import Path

import evaluate
import numpy as np
import pytest
from evaluation.motion_gestures import TimedGesture, detect_gestures, timing_errors

import train_audio2pose
from speech2video.util.body.body_model import Body
from speech2video.util.timing import FPS
from tests.shared import run_here
from tests.speech_clips import write_speech_clips

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)
TEXTS = (
    "Maybe you put up a big pump.",
    "We bought two small boats, and then we went up the river with both of them.",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, body: Body) -> tuple[Path, Path]:
    """The run's folder of checkpoints, and the folder of metrics."""
    folder = tmp_path_factory.mktemp("run")
    data = write_speech_clips(folder / "data", body, TEXTS)
    small = "--hidden_size 8 --layers 1 --seq_len 16 --batch_size 2 --num_augmentations 1 --steps 2"
    arguments = [*small.split(), "--held_out", "001", "--device", "cpu", "--name", "small"]
    files = ["--dataset", data, "--checkpoints", folder / "runs"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run_here(monkeypatch, train_audio2pose.main, *arguments, *files) == 0
        arguments = ["motion", "--name", "small", "--checkpoints", folder / "runs"]
        arguments += ["--output", folder / "metrics", "--bootstrap_samples", 20]
        assert run_here(monkeypatch, evaluate.main, *arguments) == 0
    return folder / "runs", folder / "metrics"


@needs_espeak
def test_ground_truth_is_perfect_and_a_mean_pose_is_static(run: tuple[Path, Path]):
    systems = json.loads((run[1] / "metrics.json").read_text())["systems"]
    assert set(systems) == {"ground_truth", "model", "mean_pose", "ridge", "shuffled"}
    true, static = systems["ground_truth"], systems["mean_pose"]
    assert true["lip_correlation"] == pytest.approx(1) and true["lip_lag_frames"] == 0
    assert true["lip_opening_error_mm"] == true["body_mm"] == 0 and true["srgr"] == 1
    assert true["hand_energy"] == true["jerk"] == pytest.approx(1)
    assert static["hand_energy"] == 0 and static["lip_correlation"] is None
    assert static["lip_opening_error_mm"] > 0
    assert all(system["frames_over_limits"] == 0 for system in (true, systems["model"]))


@needs_espeak
def test_a_report_is_written(run: tuple[Path, Path]):
    page = (run[1] / "report.html").read_text()
    assert "ridge" in page and "lip correlation" in page


@needs_espeak
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "missing"), "no checkpoint"),
        (("--name", "small", "--held_out", "007"), "no such clip"),
        (("--name", "small", "--ground_truth", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_reported(
    run: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
):
    files = ("--checkpoints", run[0], "--output", tmp_path / "out")
    assert run_here(monkeypatch, evaluate.main, "motion", *arguments, *files) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


PLAN = [TimedGesture("up", 1), TimedGesture("huge", 3), TimedGesture("up", 5)]


def test_gestures_are_matched_by_name_once_and_nearest_first() -> None:
    assert timing_errors(PLAN, PLAN) == [0, 0, 0]
    found = [TimedGesture("up", 5.08), TimedGesture("huge", 9.0), TimedGesture("tiny", 1.0)]
    assert timing_errors(PLAN, found) == pytest.approx([0.08])
    close = [TimedGesture("up", 1.0), TimedGesture("up", 1.4)]
    assert timing_errors(close, [TimedGesture("up", 1.3)]) == pytest.approx([-0.1])
    assert timing_errors([], []) == []


def test_a_gesture_is_detected_in_the_frame_of_its_key_pose() -> None:
    motion = np.zeros((8 * FPS, 6))
    motion[40:61] += np.hanning(21)[:, None]  # highest in frame 50
    plan = [TimedGesture("up", 2.1), TimedGesture("up", 6.0)]
    found = detect_gestures(motion, plan, {"up": np.ones(6)}, tolerance=0.08)
    assert found == [TimedGesture("up", 50.5 / FPS)]
