"""Errors and notes are one line of printable text."""

import pytest

from speech2video.util.errors import DataError, note, run_command


def test_messages_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        note("a\x1b[2J\nname\ud800")
        raise DataError("b\x08\tod\u202ey")

    with pytest.raises(SystemExit):
        run_command(main)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "note: a\ufffd[2J name\ufffd" and second == "error: b\ufffd od\ufffdy"
