"""Json that users edit: right values are read, wrong ones are named."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from speech2video.util.errors import DataError
from speech2video.util.files import read_json, typed_fields


@dataclass
class Thing:
    name: str
    sizes: tuple[float, ...] = ()
    count: int = 0
    weight: float | None = None


def test_values_become_their_types() -> None:
    row = {"name": "a", "sizes": [1, 2.5], "weight": None}
    assert typed_fields(row, Thing, where="x") == {"name": "a", "sizes": (1.0, 2.5), "weight": None}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], "json object"),
        ({}, "no 'name'"),
        ({"name": 1}, "a text"),
        ({"name": "a", "size": 1}, "unknown 'size'"),
        ({"name": "a", "count": 1.5}, "whole number"),
        ({"name": "a", "count": True}, "whole number"),
        ({"name": "a", "sizes": [float("nan")]}, "finite"),
        ({"name": "a", "sizes": 1}, "a list"),
    ],
)
def test_wrong_values_are_named(row: object, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        typed_fields(row, Thing, where="things.json: thing 1")
    assert str(error.value).startswith("things.json: thing 1")


@pytest.mark.parametrize("text", [None, "", "{", "\x00"])
def test_no_json_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json.*a thing is needed"):
        read_json(path, what="a thing")
