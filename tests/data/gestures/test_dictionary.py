"""The dictionary's folder: a round trip, and one-line errors on invalid edits."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.gestures.dictionary import Example, GestureDictionary, GestureEntry, spelling
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.errors import DataError
from tests.data.gestures.gesture_examples import small_dictionary


def test_round_trip(tmp_path: Path, body: Body) -> None:
    first = small_dictionary(body)
    examples = (Example("000", 1.0, 1.5, 2.25),)
    first = replace(
        first, entries=(*first.entries[:1], replace(first.entries[1], examples=examples))
    )
    first.save(tmp_path)
    second = GestureDictionary.load(tmp_path)
    assert second.body == first.body
    for one, other in zip(first.entries, second.entries, strict=True):
        assert torch.equal(one.motion_NP, other.motion_NP)
        assert vars(one) | {"motion_NP": 0} == vars(other) | {"motion_NP": 0}
    text = (tmp_path / "dictionary.json").read_text()
    second.save(tmp_path)
    assert (tmp_path / "dictionary.json").read_text() == text


def test_edits_and_order_are_kept(tmp_path: Path, body: Body) -> None:
    small_dictionary(body).save(tmp_path)
    edit(tmp_path, lambda rows: (rows.reverse(), rows[0].update(on=False, probability=1)))
    loaded = GestureDictionary.load(tmp_path)
    assert [entry.name for entry in loaded.entries] == ["all", "up"]
    assert not loaded.entries[0].on and loaded.entries[0].probability == 1.0
    assert set(loaded.by_word()) == {"up", "above"}


@pytest.mark.parametrize("text", ["up", "Up", "UP,", "“up”", " up!", "…up?", "‘up’", "up—"])
def test_spellings(text: str) -> None:
    assert spelling(text) == "up"


def edit(folder: Path, change: Callable[[list], object]) -> None:
    path = folder / "dictionary.json"
    values = json.loads(path.read_text())
    change(values["entries"])
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[0].update(probability=1.5), "'up': probability 1.5; 0 to 1"),
        (lambda rows: rows[0].update(probability=float("nan")), "probability is nan"),
        (lambda rows: rows[0].update(probability="often"), "'often'; a number"),
        (lambda rows: rows[0].update(on="yes"), "true or false"),
        (lambda rows: rows[0].update(parts=["third_arm"]), "unknown part 'third_arm'"),
        (lambda rows: rows[0].update(parts=[]), "no parts"),
        (lambda rows: rows[0].update(parts="right_arm"), "a list is needed"),
        (lambda rows: rows[0].update(words=[]), "at least one word"),
        (lambda rows: rows[0].update(name="down"), "no motion of that name"),
        (lambda rows: rows[0].update(key=1), "key 1; its motion has frames 0 to 0"),
        (lambda rows: rows[0].update(ramp_in=-1), "ramp_in -1"),
        (lambda rows: rows[0].update(probabilty=1), "unknown 'probabilty'"),
        (lambda rows: rows[0].update(examples=[{"clip": "a"}]), "examples: no 'start'"),
        (lambda rows: rows[0].pop("parts"), "no 'parts'"),
        (lambda rows: rows.append(rows[0]), "two of that name"),
        (lambda rows: rows[1].update(words=["up"], probability=0.9), "add up to 1.6"),
        (lambda rows: rows.append("up"), "json object"),
    ],
)
def test_invalid_edits_give_one_line_errors(
    tmp_path: Path, body: Body, change: Callable[[list], object], words: str
) -> None:
    small_dictionary(body).save(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(DataError) as error:
        GestureDictionary.load(tmp_path)
    line = str(error.value)
    assert words in line and "dictionary.json" in line and "\n" not in line


@pytest.mark.parametrize(
    "motion_NP",
    [
        np.zeros((1, 5), np.float32),
        np.zeros((0, POSE_SIZE), np.float32),
        np.full((1, POSE_SIZE), np.nan, np.float32),
        np.full((1, POSE_SIZE), 170.0, np.float32),
        np.zeros((999, POSE_SIZE), np.float32),
        np.array("text"),
        np.array([{}], dtype=object),
    ],
    ids=["shape", "empty", "nan", "degrees", "long", "text", "pickle"],
)
def test_broken_motions_give_one_line_errors(
    tmp_path: Path, body: Body, motion_NP: np.ndarray
) -> None:
    dictionary = small_dictionary(body)
    dictionary.save(tmp_path)
    np.savez(tmp_path / "motions.npz", up=motion_NP, all=dictionary.entries[1].motion_NP.numpy())
    with pytest.raises(DataError, match=r"up|motions.npz") as error:
        GestureDictionary.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["dictionary.json", "motions.npz"])
@pytest.mark.parametrize("content", [None, b"", b"[1]", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_broken_files_give_one_line_errors(
    tmp_path: Path, body: Body, name: str, content: bytes | None
) -> None:
    small_dictionary(body).save(tmp_path)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(name)) as error:
        GestureDictionary.load(tmp_path)
    assert "\n" not in str(error.value)


def test_entries_are_checked() -> None:
    with pytest.raises(DataError, match="NaN"):
        GestureEntry("a", ("a",), 1.0, ("head",), torch.full((1, POSE_SIZE), torch.nan))
