"""Data that does not ship, and commands run in this process."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speech2video.util.errors import run_command

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("S2V_DATA", ROOT / "../shared/data"))
FIXTURES = Path(os.environ.get("S2V_FIXTURES", ROOT / "../shared/fixtures"))


def cases(folder: Path, *patterns: str) -> list[Any]:
    """Return a test case for every matching path below a folder, else one skipped case."""
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    if found:
        return [pytest.param(path, id=str(path.relative_to(folder))) for path in found]
    reason = f"no {' or '.join(patterns)} in {folder.name}: set S2V_DATA and S2V_FIXTURES"
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


def run_here(monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], *arguments: object) -> int:
    """Run a command's `main` in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    try:
        run_command(main)
    except SystemExit as stop:
        return stop.code
    return 0
