import subprocess
import sys
from pathlib import Path

import pytest

from speech2video.models.optim import Ema
from speech2video.models.registry import GENERATORS, MODELS, load_class
from speech2video.util.errors import OptionError


def test_names_lead_to_classes() -> None:
    assert load_class({"a": "speech2video.models.optim:Ema"}, "a") is Ema
    for table in (GENERATORS, MODELS):
        assert all(isinstance(load_class(table, name), type) for name in table)


def test_unknown_name_is_answered_with_the_known() -> None:
    with pytest.raises(OptionError, match="fats: no such name; known are fast, slow"):
        load_class({"slow": "x:X", "fast": "y:Y"}, "fats")


def test_the_table_loads_no_torch() -> None:
    code = "import sys, speech2video.models.registry; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
