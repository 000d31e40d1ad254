"""`scripts/preprocess.py` on the synthetic speaker, whose ground truth is known."""

import json
from pathlib import Path

import numpy as np
import preprocess as script
import pytest

from speech2video.data.clip import Clip
from speech2video.data.keypoints import Keypoints
from speech2video.data.motion_io import read_motion
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX, indices
from speech2video.util.rendering.openpose import points_to_openpose
from speech2video.util.text.transcript import read_words
from tests.demo import SIZE
from tests.shared import run_here

WORD_OFF = 0.15  # seconds median error of the start of aligned words
WRIST_OFF = 0.25  # metres, median error of detected wrists
PIXELS_OFF = 6.0  # median error of fitted shoulders, elbows and detected wrists, at 256 pixels


@pytest.fixture(scope="module")
def ground_truth(demo: Path, demo_clip: Clip, body: Body) -> dict[str, np.ndarray]:
    """The true pose, its points in the camera's axes and in pixels."""
    return _points(demo / "ground_truth/000/pose.npz", body)


@pytest.fixture(scope="module")
def fitted(demo_clip: Clip, body: Body) -> dict[str, np.ndarray]:
    """The same of the fit."""
    return _points(demo_clip.pose, body)


def _points(path: Path, body: Body) -> dict[str, np.ndarray]:
    motion = read_motion(path)
    pose_TP = motion.pose_vector(body)
    points_TK3 = body.points(pose_TP, betas=motion.betas)
    in_camera = motion.camera.to_camera(points_TK3)
    pixels = motion.camera.project(points_TK3)
    parts = {"pose": pose_TP, "metres": in_camera, "pixels": pixels}
    return {name: part.numpy() for name, part in parts.items()}


def test_the_clip_is_complete_and_in_sync(
    demo_clip: Clip, ground_truth: dict[str, np.ndarray]
) -> None:
    info, frames = demo_clip.info(), len(ground_truth["pose"])
    assert (info.frames, info.width, info.height) == (frames, SIZE, SIZE)
    assert info.words == "aligned" and info.source == "000.mp4" and info.people == 1
    assert info.notes == ()
    assert len(load_audio(demo_clip.audio)) == frames * 640
    assert "000" in (demo_clip.folder.parent / "report.html").read_text()
    assert (demo_clip.folder.parent / "report.json").is_file()
    assert len(read_motion(demo_clip.pose)) == len(Keypoints.load(demo_clip.keypoints)) == frames


def test_face_and_hands_are_found(demo_clip: Clip) -> None:
    found = Keypoints.load(demo_clip.keypoints).detection_rates()
    assert found["face"] > 0.99 and found["body"] > 0.99
    assert min(found["left_hand"], found["right_hand"]) > 0.5


def test_the_mouth_is_fitted(
    demo_clip: Clip, ground_truth: dict[str, np.ndarray], fitted: dict[str, np.ndarray]
) -> None:
    assert np.corrcoef(fitted["pose"][:, -3], ground_truth["pose"][:, -3])[0, 1] > 0.5
    seen_TK2 = Keypoints.load(demo_clip.keypoints).points_TK3[..., :2]
    gaps = [
        np.linalg.norm(points[:, IBUG68[62]] - points[:, IBUG68[66]], axis=1)
        for points in (seen_TK2, fitted["pixels"], ground_truth["pixels"])
    ]
    assert np.corrcoef(gaps)[:2, 2].min() > 0.8


def test_the_body_is_fitted(
    demo_clip: Clip, ground_truth: dict[str, np.ndarray], fitted: dict[str, np.ndarray]
) -> None:
    found_TK = Keypoints.load(demo_clip.keypoints).found_TK
    for side in ("left", "right"):
        hand_T = found_TK[:, indices((f"{side}_wrist", f"{side}_index1"))].all(1)
        for name in ("shoulder", "elbow", "wrist"):
            joint = POINT_INDEX[f"{side}_{name}"]
            off_T = np.linalg.norm(
                fitted["pixels"][:, joint] - ground_truth["pixels"][:, joint], axis=1
            )
            assert np.median(off_T[hand_T]) < PIXELS_OFF, f"{side} {name}"
        off_T3 = _from_neck(fitted, f"{side}_wrist") - _from_neck(ground_truth, f"{side}_wrist")
        assert np.median(np.linalg.norm(off_T3, axis=1)[hand_T]) < WRIST_OFF


def _from_neck(points: dict[str, np.ndarray], name: str) -> np.ndarray:
    return points["metres"][:, POINT_INDEX[name]] - points["metres"][:, POINT_INDEX["neck"]]


def test_the_words_are_aligned(demo: Path, demo_clip: Clip) -> None:
    spoken, aligned = read_words(demo / "ground_truth/000/words.csv"), read_words(demo_clip.words)
    assert [w.text.lower() for w in aligned] == [w.text.lower() for w in spoken]
    off = [abs(a.start - b.start) for a, b in zip(aligned, spoken, strict=True)]
    assert np.median(off) < WORD_OFF


def test_a_second_run_does_nothing(
    demo_clip: Clip, demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo_clip.folder.iterdir()}
    arguments = ("--input", demo / "recordings", "--output", demo_clip.folder.parent)
    assert run_here(monkeypatch, script.main, *arguments) == 0
    assert "1 of 1 recordings are there" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in demo_clip.folder.iterdir()}


OPENPOSE_KEYS = {
    "body_253": "pose_keypoints_2d",
    "face_703": "face_keypoints_2d",
    "left_hand_213": "hand_left_keypoints_2d",
    "right_hand_213": "hand_right_keypoints_2d",
}


def test_given_points_and_motion_are_scaled_to_the_clip(
    demo: Path,
    ground_truth: dict[str, np.ndarray],
    body: Body,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openpose, output = tmp_path / "openpose/000", tmp_path / "dataset"
    openpose.mkdir(parents=True)
    for number, points_K2 in enumerate(ground_truth["pixels"]):
        frame = points_to_openpose(points_K2)
        person = {key: getattr(frame, part).ravel().tolist() for part, key in OPENPOSE_KEYS.items()}
        (openpose / f"000_{number}_keypoints.json").write_text(json.dumps({"people": [person]}))
    given = (
        "--keypoints",
        f"openpose:{openpose.parent}",
        "--motion",
        demo / "ground_truth/000/pose.npz",
    )
    arguments = ("--input", demo / "recordings", "--output", output, "--size", SIZE // 2, *given)
    assert run_here(monkeypatch, script.main, *arguments) == 0
    clip = Clip(output / "000")
    assert (clip.info().keypoints, clip.info().width) == ("openpose", SIZE // 2)
    points_TK3 = Keypoints.load(clip.keypoints).points_TK3
    face = list(IBUG68)
    np.testing.assert_allclose(
        points_TK3[:, face, :2], ground_truth["pixels"][:, face] / 2, atol=1e-3
    )
    taken = _points(clip.pose, body)
    np.testing.assert_allclose(taken["pose"], ground_truth["pose"], atol=1e-4)
    np.testing.assert_allclose(taken["pixels"], ground_truth["pixels"] / 2, atol=1e-2)
