"""`scripts/evaluate.py motion`: what must be so whatever was trained."""

import importlib.util
import json
from pathlib import Path

import evaluate
import pytest

import train_audio2pose
from speech2video.util.body.body_model import Body
from tests.shared import run_here
from tests.speech_clips import write_speech_clips

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)
TEXTS = (
    "Maybe you put up a big pump.",
    "We bought two small boats, and then we went up the river with both of them.",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, body: Body) -> tuple[Path, Path]:
    """The run's folder of checkpoints, and where the figures are."""
    folder = tmp_path_factory.mktemp("run")
    data = write_speech_clips(folder / "data", body, TEXTS)
    small = "--hidden_size 8 --layers 1 --seq_len 16 --batch_size 2 --num_augmentations 1 --steps 2"
    arguments = [*small.split(), "--held_out", "001", "--device", "cpu", "--name", "small"]
    files = ["--dataset", data, "--checkpoints", folder / "runs"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run_here(monkeypatch, train_audio2pose.main, *arguments, *files) == 0
        arguments = ["motion", "--name", "small", "--checkpoints", folder / "runs"]
        arguments += ["--output", folder / "figures", "--draws", 20]
        assert run_here(monkeypatch, evaluate.main, *arguments) == 0
    return folder / "runs", folder / "figures"


def test_the_truth_is_perfect_and_a_mean_pose_does_not_move(run: tuple[Path, Path]):
    systems = json.loads((run[1] / "metrics.json").read_text())["systems"]
    assert set(systems) == {"truth", "ours", "mean_pose", "ridge", "shuffled"}
    truth, still = systems["truth"], systems["mean_pose"]
    assert truth["lip_correlation"] == pytest.approx(1) and truth["lip_lag_frames"] == 0
    assert truth["lip_gap_error_mm"] == truth["body_mm"] == 0 and truth["srgr"] == 1
    assert truth["hand_energy"] == truth["jerk"] == pytest.approx(1)
    assert still["hand_energy"] == 0 and still["lip_correlation"] is None
    assert still["lip_gap_error_mm"] > 0
    assert all(system["frames_over_limits"] == 0 for system in (truth, systems["ours"]))


def test_a_page_is_written(run: tuple[Path, Path]):
    page = (run[1] / "report.html").read_text()
    assert "ridge" in page and "lip correlation" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "nobody"), "no checkpoint"),
        (("--name", "small", "--held_out", "007"), "no such clip"),
        (("--name", "small", "--truth", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line(
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
