from pathlib import Path

import preprocess
import pytest

from speech2video.data.clip import Clip
from tests.shared import run_here


@pytest.fixture(scope="session")
def demo_clip(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The preprocessed clip of the demo speaker's recording."""
    pytest.importorskip("mediapipe", reason="the extra `preprocess` is not installed")
    output = tmp_path_factory.mktemp("dataset")
    with pytest.MonkeyPatch.context() as monkeypatch:
        arguments = ("--input", demo / "recordings", "--output", output)
        assert run_here(monkeypatch, preprocess.main, *arguments) == 0
    return Clip(output / "000")
