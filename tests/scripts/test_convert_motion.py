"""`scripts/convert_motion.py` as a user runs it."""

from pathlib import Path

import convert_motion
import numpy as np
import pytest
import torch

from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from tests.shared import run_here


@pytest.fixture
def motion(tmp_path: Path, body: Body) -> Path:
    path = tmp_path / "motion.npz"
    write_motion(path, motion_from_pose(0.1 * torch.randn(30, POSE_SIZE), body))
    return path


def run(monkeypatch: pytest.MonkeyPatch, motion: Path, output: Path, *more: object) -> int:
    arguments = ("--motion", motion, "--output", output, *more)
    return run_here(monkeypatch, convert_motion.main, *arguments)


@pytest.mark.parametrize("ending", [".npz", ".bvh", ".csv", ".glb"])
def test_motion_is_converted_by_ending(
    ending: str, motion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = motion.with_name(f"converted{ending}")
    assert run(monkeypatch, motion, output) == 0
    assert capsys.readouterr().out == f"{output}: 30 frames, 1.20 s\n"
    assert output.stat().st_size > 1000


def test_what_cannot_be_converted_is_one_line_and_leaves_the_rest(
    motion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = motion.read_bytes()
    assert run(monkeypatch, motion, motion) == 2 and motion.read_bytes() == before
    assert "--motion is read from it" in capsys.readouterr().err
    assert run(monkeypatch, motion, motion.with_suffix(".fbx")) == 2
    assert ".npz, .bvh, .glb, .gltf, .csv" in capsys.readouterr().err
    theirs = motion.with_name("theirs.npz")  # as BEAT2's are: expressions of SMPL-X
    with np.load(motion) as file:
        np.savez(theirs, **{name: file[name] for name in file.files if name != "body"})
    assert run(monkeypatch, theirs, motion.with_suffix(".csv")) == 2
    assert "expressions of the smplx body" in capsys.readouterr().err
    assert run(monkeypatch, theirs, motion.with_suffix(".bvh")) == 0
    assert "note: " in capsys.readouterr().err
    assert len(list(motion.parent.iterdir())) == 3
    assert len(read_motion(theirs)) == 30
