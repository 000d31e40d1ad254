"""The timeline's file: a round trip, edits by hand, and one-line errors on invalid ones."""

import json
from pathlib import Path

import pytest

from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.gestures.timeline import Timeline
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from tests.data.gestures.gesture_examples import small_dictionary, speech


def test_round_trip(tmp_path: Path, body: Body) -> None:
    timeline = GestureInserter(small_dictionary(body), body).plan(speech(20, apart=0.36), seed=7)
    timeline.save(tmp_path / "timeline.json")
    assert Timeline.load(tmp_path / "timeline.json") == timeline
    assert {one.skipped for one in timeline.insertions} == {"", "chance", "collision"}


def test_entry_and_key_are_enough_with_the_dictionary(tmp_path: Path, body: Body) -> None:
    dictionary = small_dictionary(body)
    row = {"entry": "up", "key": 3.0, "hold_end": 5.0, "end": 5.5}
    path = write(tmp_path, [row])
    (one,) = Timeline.load(path, dictionary).inserted
    start, arrival, *_ = dictionary.entry("up").times(3.0)
    assert (one.start, one.arrival, one.hold_end, one.end) == (start, arrival, 5.0, 5.5)
    with pytest.raises(DataError, match="no 'start'"):
        Timeline.load(path)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"entry": "down", "key": 1}, "no gesture 'down'"),
        ({"entry": "up", "key": "soon"}, "'soon'; a number"),
        ({"entry": "up", "key": 3, "hold_end": 2}, "start <= arrival"),
        ({"entry": "up"}, "no 'key'"),
        ({"entry": "up", "key": 1, "begin": 0}, "unknown 'begin'"),
        ({"entry": "up", "key": float("inf")}, "finite"),
        ({"entry": "up", "key": 10**400}, "finite"),
        ({"entry": "up", "key": -(10**400)}, "finite"),
        ({"entry": "up", "key": 1e308}, "at most 1e+06 s"),
        ({"entry": "up", "key": 1, "end": 1e308}, "at most 1e+06 s"),
        ({"entry": "up", "key": 1, "start": -1e308}, "at most 1e+06 s"),
        ({"entry": "up", "key": True}, "True; a number"),
        ({"entry": "up", "key": 1, "word": "\ud800"}, "half a character"),
        ({"entry": "up" * 9999, "key": 1}, "no gesture 'upup"),
        ({"entry": ["up"], "key": 1}, "a text"),
        ([[]], "json object"),
        (3, "json object"),
    ],
)
def test_invalid_rows_give_one_line_errors(
    tmp_path: Path, body: Body, row: object, words: str
) -> None:
    path = write(tmp_path, [row])
    with pytest.raises(DataError) as error:
        Timeline.load(path, small_dictionary(body))
    assert words in str(error.value) and "timeline.json" in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"format": 2, "insertions": []}', '{"insertions": 1}', "[" * 100_000),
        '{"format": 1, "insertions": [], "seed": true}',
        '{"format": 1, "insertions": [], "seed": 1' + "0" * 400 + "}",
        '{"format": 1' + "0" * 5000 + ', "insertions": []}',
    ],
)
def test_other_files_give_one_line_errors(tmp_path: Path, text: str) -> None:
    path = tmp_path / "timeline.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"timeline\.json"):
        Timeline.load(path)


def write(folder: Path, rows: list) -> Path:
    path = folder / "timeline.json"
    path.write_text(json.dumps({"format": 1, "insertions": rows}))
    return path
