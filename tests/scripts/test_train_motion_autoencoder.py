"""`scripts/train_motion_autoencoder.py` as a user runs it, in miniature."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import train_motion_autoencoder as script

from speech2video.models.evaluators.gesture_distance import WEIGHTS, MotionAutoencoder
from speech2video.options.tools import TrainMotionAutoencoderOptions
from tests.shared import run_here

TINY = ("--recordings", 3, "--seconds", 5, "--steps", 5, "--frames", 16, "--width", 8)
NEEDED = pytest.mark.skipif(
    not importlib.util.find_spec("espeakng_loader"), reason="the extra `demo` is missing"
)


@NEEDED
def test_a_seed_gives_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        assert run_here(monkeypatch, script.main, "--output", tmp_path / name, *TINY) == 0
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()
    assert MotionAutoencoder.load(tmp_path / "a").sizes["frames"] == 16
    options = TrainMotionAutoencoderOptions.load(tmp_path / "a" / "options.json")
    assert options.steps == 5
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert set(metrics) == {"held_out_loss", "real_distance", "noise_distance"}


def test_windows_do_not_cross_recordings() -> None:
    features = [torch.zeros(30, 1), torch.ones(17, 1), torch.full((40, 1), 2.0)]
    starts = script.window_starts(features, 16)
    cut = torch.cat(features)[starts[:, None] + torch.arange(16)]
    assert (cut == cut[:, :1]).all()
    assert len(starts) == sum((len(f) - 16) // script.STRIDE + 1 for f in features)
