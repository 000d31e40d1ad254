"""Fixtures of all tests, and the tier of slow ones: `--slow` runs them, too."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from tests.demo import make_demo
from tests.tiny_speaker import make_speaker, voice

# shells start what runs in their background with Ctrl-C ignored, and tests of it would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if (hangup := getattr(signal, "SIGHUP", None)) and signal.getsignal(hangup) is signal.SIG_IGN:
    signal.signal(hangup, signal.SIG_DFL)  # nohup


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


@pytest.fixture(scope="session")
def body() -> Body:
    """The open body."""
    return Body.load()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread, as processes of `training_command` do: sums are equal to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one recording of the demo speaker and its ground truth."""
    return make_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints with the speakers of `tiny_speaker`."""
    return make_speaker(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A second of audio, with a file name of spaces, dots and brackets."""
    path = tmp_path / "A speech, v1.2 (final).wav"
    write_audio(path, voice(1.0))
    return path
