"""Importing this lets a script of a plain checkout find the `speech2video` package beside it."""

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))
import speech2video  # noqa: F401 - before torch, see there
