"""How commands end: one line, the right status, no traceback, no lost work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speech2video.util.errors import DataError, note, run_command
from tests.shared import ROOT

START = "from speech2video.util.errors import *; start_command()\n"
COMMAND = (
    START
    + """
import sys, time
from pathlib import Path
from speech2video.util.files import atomic_write

def main():
    with atomic_write(Path("out.txt")) as partial:
        try:
            print("at it", flush=True)
            time.sleep(float(sys.argv[1]))
        finally:
            if sys.argv[2:]:
                time.sleep(float(sys.argv[2]))
        print("\\u0107 \\udcff", "x" * 100_000)
        note("odd")
        partial.write_text("done")

run_command(main)
"""
)


def start(
    folder: Path, *arguments: object, code: str = COMMAND, **more: object
) -> subprocess.Popen:
    line = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(line, cwd=folder, env=environment | {"PYTHONUTF8": "0"}, **pipes)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGINT, b"interrupted\n"),
        (signal.SIGTERM, b"stopped by SIGTERM\n"),
        (signal.SIGHUP, b"stopped by SIGHUP\n"),
    ],
)
def test_a_signal_cleans_up_and_a_second_one_does_not_disturb(
    tmp_path: Path, number: signal.Signals, line: bytes
) -> None:
    process = start(tmp_path, 60, 0.5)
    assert process.stdout.readline() == b"at it\n"
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.05)
    _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (128 + number, line)
    assert not list(tmp_path.iterdir())


def test_a_signal_during_the_imports_is_one_line(tmp_path: Path) -> None:
    code = START + "print('at it', flush=True); import time; time.sleep(60)"
    process = start(tmp_path, code=code)
    assert process.stdout.readline() == b"at it\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (130, b"interrupted\n")


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    process = start(tmp_path, 0.5, preexec_fn=ignore)
    assert process.stdout.readline() == b"at it\n"
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("closed", ["1", "2", "12", "012", "pipe"])
def test_closed_streams_lose_no_work(tmp_path: Path, closed: str) -> None:
    if closed == "pipe":
        process = start(tmp_path, 0.2)
        process.stdout.close()
        process.stderr.close()
        process.wait(timeout=20)
    else:
        process = start(tmp_path, 0, preexec_fn=lambda: [os.close(int(n)) for n in closed])
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert (tmp_path / "out.txt").read_text() == "done"


def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.reconfigure(encoding='ascii', errors='strict')\n" + COMMAND
    output, error = start(tmp_path, 0, code=code).communicate(timeout=20)
    assert output.startswith(b"at it\n\\u0107 \\udcff x")
    assert error == b"note: odd\n"


@pytest.mark.parametrize("name", ["test.py", "scripts/draw_pose.py", "train_audio2pose.py"])
def test_commands_start_before_their_imports(name: str) -> None:
    """The handlers are there before torch, whose import takes seconds."""
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import signal, sys\n"
            "sys.meta_path.insert(0, type('Probe', (), {'find_spec': staticmethod(lambda name, *_: "
            "print(signal.getsignal(signal.SIGINT).__name__) or sys.exit(7) if name == 'torch' "
            "else None)})())\n"
            f"import runpy; sys.argv = [{str(ROOT / name)!r}]; sys.path.insert(0, "
            f"{str((ROOT / name).parent)!r}); sys.modules['__main__'].__file__ = sys.argv[0]; "
            f"runpy.run_path(sys.argv[0], run_name='__main__')",
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 7, result.stderr
    assert result.stdout == "_end_at_once\n"


def test_messages_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        note("a\x1b[2J\nname\ud800")
        raise DataError("b\x08\tod\u202ey")

    with pytest.raises(SystemExit):
        run_command(main)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "note: a\ufffd[2J name\ufffd" and second == "error: b\ufffd od\ufffdy"
