"""Descriptions of clips that are broken: one line, whatever is wrong."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speech2video.data.clip import Clip, ClipFolder, ClipInfo, list_clips
from speech2video.data.speech2face.clip import FaceClip, FaceInfo
from speech2video.util.errors import DataError

VALID: dict[type[ClipFolder[Any]], Any] = {
    Clip: ClipInfo("a.mp4", 50, 64, 64, "mediapipe", "open"),
    FaceClip: FaceInfo("a.mp4", 50, 64, "ann"),
}
BROKEN = {
    "null": "null",
    "list": "[]",
    "text": "no json",
    "empty": "",
    "not UTF-8": b"\xff\xfe\xff",
    "nested": "[" * 100_000,
    "nested but closed": "[" * 900 + "]" * 900,
    "5,000 digits": '{"frames": ' + "9" * 5000 + "}",
    "large": '{"notes": ["' + "x" * 1_100_000 + '"]}',
}
DEEP = json.loads("[" * 900 + "]" * 900)


@pytest.fixture(params=VALID, ids=lambda kind: kind.__name__)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> ClipFolder[Any]:
    made = request.param(tmp_path / "a")
    made.folder.mkdir()
    made.write_info(VALID[request.param])
    return made


def refused(clip: ClipFolder[Any]) -> str:
    with pytest.raises(DataError) as error:
        clip.info()
    line = str(error.value)
    assert line.startswith(str(clip.json)) and len(line) < 500 and "\n" not in line
    return line


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_description_is_one_line(clip: ClipFolder[Any], content: str | bytes) -> None:
    clip.json.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(clip)


@pytest.mark.parametrize("value", [None, -1, 10**400, 1e400, 1.5, "5", True, [1], {}, DEEP])
def test_a_wrong_number_is_named(clip: ClipFolder[Any], value: object) -> None:
    fields = json.loads(clip.json.read_text()) | {"frames": value}
    clip.json.write_text(json.dumps(fields))
    assert "frames" in refused(clip)


@pytest.mark.parametrize("value", [None, 5, ["x"], DEEP, [None]])
def test_a_wrong_text_is_named(clip: ClipFolder[Any], value: object) -> None:
    for name in ("source", "notes"):
        if name == "source" or value != ["x"]:
            fields = json.loads(clip.json.read_text()) | {name: value}
            clip.json.write_text(json.dumps(fields))
            assert name in refused(clip)
            clip.write_info(VALID[type(clip)])


@pytest.mark.parametrize("rows", ["x", "5,3,no face", "-1,3,a", "a,b,c", "9" * 5000 + ",1,a", "1"])
def test_a_broken_list_of_bad_frames_is_one_line(tmp_path: Path, rows: str) -> None:
    clip = Clip(tmp_path)
    clip.bad_frames.write_text(f"first,last,reason\n{rows}\n")
    with pytest.raises(DataError, match=r"bad_frames\.csv: cannot be read"):
        clip.bad_mask(10)


def test_a_name_that_is_not_utf8_is_kept(clip: ClipFolder[Any]) -> None:
    info = replace(VALID[type(clip)], source=os.fsdecode(b"caf\xe9.mp4"), notes=("é",))
    clip.write_info(info)
    assert clip.info() == info


def test_names_of_other_clips_are_told(tmp_path: Path) -> None:
    clip = Clip(tmp_path / "a")
    clip.folder.mkdir()
    clip.write_info(VALID[Clip])
    with pytest.raises(DataError, match="b: no such clip; there are a in"):
        list_clips(tmp_path, ["b"])
