"""The synthetic speaker for tests: one short recording with its ground truth, made once."""

from pathlib import Path

import pytest

SIZE = 256  # pixels; MediaPipe still finds face and hands
SECONDS, SEED = 3.0, 5


def make_demo(folder: Path) -> Path:
    """Record the demo speaker into a folder and return it; skips without the extra `demo`."""
    pytest.importorskip("pyvista", reason="the extra `demo` is not installed")
    pytest.importorskip("espeakng_loader", reason="the extra `demo` is not installed")
    from speech2video.data.synthetic.speaker.recording import RecordingPlan, make_recording
    from speech2video.util.body.body_model import Body

    make_recording(folder, RecordingPlan(0, SEED, SECONDS, SIZE), Body.load())
    return folder
