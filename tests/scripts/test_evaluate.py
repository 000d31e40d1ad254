"""`scripts/evaluate.py preprocess` as a user runs it."""

import json
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.preprocessing.fitting.jacobian import POSE_STARTS
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.rendering.camera import Camera
from tests.shared import run_here

FRAMES = 40
CAMERA = Camera(360.0, (128.0, 128.0), 256, 256, translation=(0.0, 0.1, 3.0))


def talking_pose() -> torch.Tensor:
    pose_TP = torch.zeros(FRAMES, POSE_SIZE)
    pose_TP[:, POSE_STARTS["jaw"]] = 0.15 + 0.15 * torch.sin(torch.arange(FRAMES) / 2)
    return pose_TP


def write_clip(folder: Path, pose_TP: torch.Tensor, body: Body) -> None:
    folder.mkdir(parents=True)
    clip = Clip(folder)
    write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=CAMERA))
    write_audio(clip.audio, np.zeros(640 * len(pose_TP), np.float32))
    info = {"source": "a.mp4", "frames": len(pose_TP), "width": 256, "height": 256}
    clip.write_info(
        ClipInfo(**info, keypoints="none", body=body.name, people=1, words="none", notes=())
    )


@pytest.fixture
def dataset(tmp_path: Path, body: Body) -> tuple[Path, Path]:
    pose_TP = talking_pose()
    write_clip(tmp_path / "ground_truth" / "000", pose_TP, body)
    moved_TP = pose_TP.clone()
    moved_TP[:, POSE_STARTS["left_elbow"] + 1] += 2.5
    write_clip(tmp_path / "data" / "000", moved_TP, body)
    return tmp_path / "data", tmp_path / "ground_truth"


def test_only_changed_joints_have_errors(
    dataset: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, true = dataset
    out = tmp_path / "out"
    arguments = ("preprocess", "--dataset", data, "--ground_truth", true, "--output", out)
    assert run_here(monkeypatch, evaluate.main, *arguments) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["summary"]["frames"] == FRAMES
    assert metrics["summary"]["face_68_px"] == 0
    assert metrics["summary"]["jaw"] == pytest.approx(1)
    assert metrics["pixels"]["left_elbow"]["fit"] == 0
    assert metrics["pixels"]["left_wrist"]["fit"] > 5
    assert metrics["millimetres_aligned_at_the_neck"]["right_wrist"]["median"] == 0
    assert metrics["degrees_of_arm_bones"]["left forearm"]["flipped_frames"] == FRAMES
    assert metrics["degrees_of_arm_bones"]["left upper arm"]["flipped_frames"] == 0
    assert "left_wrist" in (out / "report.html").read_text()
    assert "left_wrist" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"metrics.json", "report.html"}


@pytest.mark.parametrize("kind", [(), ("unknown",)])
def test_a_bad_kind_lists_the_kinds(
    kind: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, evaluate.main, *kind) == 2
    error = capsys.readouterr().err
    assert "preprocess" in error and len(error.splitlines()) == 1


def test_ground_truth_of_other_names_is_refused(
    dataset: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--dataset", dataset[0], "--ground_truth", tmp_path, "--output", tmp_path / "out")
    assert run_here(monkeypatch, evaluate.main, "preprocess", *arguments) == 2
    assert "no clip of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
