import subprocess
import sys
from pathlib import Path

import pytest

from speech2video.models.registry import GENERATORS, SPEAKERS, load_class
from speech2video.util.errors import OptionError


def test_every_name_has_a_class() -> None:
    for table in (GENERATORS, SPEAKERS):
        assert all(isinstance(load_class(table, name), type) for name in table)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match="fats: no such name; known are fast, slow"):
        load_class({"slow": "x:X", "fast": "y:Y"}, "fats")


def test_the_registry_imports_no_torch() -> None:
    code = "import sys, speech2video.models.registry; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
