"""Motion files: all layouts give the same motion, and broken files are an error in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.motion import Motion, motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose, limit_excess, limit_report
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera
from speech2video.util.timing import FPS
from tests.shared import DATA, cases


def poses(count: int = 30) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (count, 165)).astype(np.float32)


def beat2(**changes: object) -> dict[str, np.ndarray]:
    arrays = {
        "poses": poses(),
        "trans": np.zeros((30, 3)),
        "betas": np.zeros(300),
        "expressions": np.full((30, 100), 0.5),
        "mocap_frame_rate": np.array(25),
    }
    arrays |= {key: np.asarray(value) for key, value in changes.items()}
    return {key: value for key, value in arrays.items() if value.dtype != object or value.shape}


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


def test_our_own_file_round_trips(tmp_path: Path, body: Body) -> None:
    torch.manual_seed(0)
    pose = torch.randn(40, POSE_SIZE) * 0.2
    camera = Camera(700.0, (320.0, 180.0), 640, 360, translation=(0.0, 0.3, 2.5))
    write_motion(tmp_path / "pose.npz", motion_from_pose(pose, body, camera=camera))
    motion = read_motion(tmp_path / "pose.npz")
    assert torch.allclose(motion.pose_vector(body), pose, atol=1e-5)
    assert motion.camera == camera and motion.body == body.name and motion.fps == FPS
    assert motion.unsupported_parts(body) == []


def test_written_files_have_what_beat2_and_amass_tools_read(tmp_path: Path, body: Body) -> None:
    write_motion(tmp_path / "m.npz", motion_from_pose(torch.zeros(5, POSE_SIZE), body))
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        shapes = {key: file[key].shape for key in file.files}
    assert shapes["poses"] == (5, 165) and shapes["trans"] == (5, 3)
    assert shapes["expressions"] == (5, 100) and shapes["betas"] == (300,)
    assert shapes["mocap_frame_rate"] == shapes["mocap_framerate"] == ()


def test_all_layouts_give_the_same_motion(tmp_path: Path, body: Body) -> None:
    full = poses()
    rest = {"trans": np.zeros((30, 3)), "betas": np.zeros(16), "mocap_framerate": np.array(25)}
    split = {"root_orient": full[:, :3], "pose_body": full[:, 3:66], "pose_jaw": full[:, 66:69]}
    split |= {"pose_eye": full[:, 69:75], "pose_hand": full[:, 75:]}
    show = {"global_orient": full[:, None, :3], "body_pose_axis": full[:, 3:66]}
    show |= {"jaw_pose": full[:, 66:69], "leye_pose": full[:, 69:72], "reye_pose": full[:, 72:75]}
    show |= {"left_hand_pose": full[:, 75:120], "right_hand_pose": full[:, 120:]}
    show |= {"transl": rest["trans"], "betas": np.zeros((1, 300)), "fps": np.array(25)}
    reference = read_motion(write(tmp_path / "beat2.npz", beat2())).smplx.rotations
    assert np.allclose(reference.flatten(1), full, atol=1e-6)
    for name, arrays in {"amass": split | rest, "show": show}.items():
        other = read_motion(write(tmp_path / f"{name}.npz", arrays)).smplx.rotations
        assert torch.equal(other, reference), name
    smplh = np.delete(full, np.arange(66, 75), axis=1)
    other = read_motion(write(tmp_path / "h.npz", {"poses": smplh} | rest)).smplx.rotations
    assert torch.equal(other[:, :22], reference[:, :22]) and torch.equal(
        other[:, 25:], reference[:, 25:]
    )


@pytest.mark.parametrize("rate", [24, 29.97, 30, 60, 120])
def test_any_rate_becomes_25_and_a_constant_stays_constant(tmp_path: Path, rate: float) -> None:
    constant = np.repeat(poses(1), 120, axis=0)
    arrays = beat2(poses=constant, trans=np.ones((120, 3)), expressions=np.ones((120, 100)))
    arrays["mocap_frame_rate"] = np.array(rate)
    motion = read_motion(write(tmp_path / "m.npz", arrays))
    assert motion.fps == FPS and abs(len(motion) / FPS - 120 / rate) <= 0.5 / FPS
    assert np.allclose(motion.smplx.rotations.flatten(1), constant[:1], atol=1e-6)
    assert (motion.smplx.translation == 1).all()


@pytest.mark.parametrize("turn", [np.pi, np.pi / 2, -np.pi / 2])
def test_worlds_with_another_up_are_turned_upright(tmp_path: Path, turn: float) -> None:
    arrays = beat2(poses=np.zeros((30, 165)))
    arrays["poses"][:, 0] = turn
    arrays["trans"] = np.tile(np.array([0.0, 0.1, 0.2]), (30, 1))
    smplx = read_motion(write(tmp_path / "m.npz", arrays)).smplx
    up = axis_angle_to_matrix(smplx.rotations[:, 0])[:, :, 1]
    assert torch.allclose(up, torch.tensor([0.0, 1.0, 0.0]).expand_as(up), atol=1e-6)
    assert torch.allclose(smplx.translation.norm(dim=1), torch.tensor(0.05).sqrt(), atol=1e-6)


def test_expressions_and_hands_of_another_body_are_zero(tmp_path: Path, body: Body) -> None:
    motion = read_motion(write(tmp_path / "m.npz", beat2()))
    assert motion.body == "smplx" and motion.unsupported_parts(body) == ["expressions"]
    assert (motion.pose_vector(body)[:, POSE_SLICES["expression"]] == 0).all()
    own = Motion(motion.smplx, FPS, motion.betas, body.name)
    assert (own.pose_vector(body)[:, POSE_SLICES["expression"]] == 0.5).all()
    show = {"global_orient": np.zeros((4, 3)), "body_pose": np.zeros((4, 63))}
    show |= {f"{side}_hand_pose": np.ones((4, 12)) for side in ("left", "right")}
    show |= {"transl": np.zeros((4, 3)), "betas": np.zeros(10), "fps": np.array(25.0)}
    motion = read_motion(write(tmp_path / "s.npz", show))
    assert motion.unsupported_parts(body) == ["hand coefficients"]
    assert motion.pose_vector(body)[:, POSE_SLICES["left_hand"]].abs().max() < 1e-6
    own = Motion(motion.smplx, FPS, motion.betas, body.name, None, motion.hand_coefficients)
    assert torch.allclose(own.pose_vector(body)[:, POSE_SLICES["left_hand"]], torch.ones(12))


BAD: dict[str, tuple[Callable[[], dict[str, np.ndarray]], str]] = {
    "missing trans": (lambda: {"poses": poses()}, "'trans'"),
    "other keys": (lambda: {"verts": np.zeros(3)}, "'poses'.*verts"),
    "no keys": (dict, "nothing"),
    "wrong width": (lambda: beat2(poses=np.zeros((30, 72))), r"\(30, 72\).*165"),
    "wrong axes": (lambda: beat2(poses=np.zeros(165)), "165"),
    "other length": (lambda: beat2(trans=np.zeros((29, 3))), "29"),
    "NaN": (lambda: beat2(trans=np.full((30, 3), np.nan)), "NaN"),
    "no frames": (lambda: beat2(poses=poses(0), trans=np.zeros((0, 3)),
                                expressions=np.zeros((0, 100))), "no frames"),
    "degrees": (lambda: beat2(poses=poses() * 1e4), "degrees"),
    "text": (lambda: beat2(poses=np.full((30, 165), "a")), "numbers"),
    "rate": (lambda: beat2(mocap_frame_rate=0), "one rate"),
    "huge rate": (lambda: beat2(mocap_frame_rate=[25, 30]), "one rate"),
    "foreign camera": (lambda: beat2(camera="{}"), "camera"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_broken_file_is_an_error_in_one_line(tmp_path: Path, name: str) -> None:
    make, words = BAD[name]
    with pytest.raises(DataError, match=words) as error:
        read_motion(write(tmp_path / "bad.npz", make()))
    assert "bad.npz" in str(error.value) and "\n" not in str(error.value)


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def test_object_arrays_are_rejected_and_never_unpickled(tmp_path: Path) -> None:
    arrays = beat2()
    arrays["poses"] = np.array([_Bomb(tmp_path / "mark")], dtype=object)
    with pytest.raises(DataError, match="'poses'"):
        read_motion(write(tmp_path / "bad.npz", arrays))
    np.save(tmp_path / "single.npy", arrays["poses"])
    with pytest.raises(DataError, match=r"single\.npy"):
        read_motion(tmp_path / "single.npy")
    assert not (tmp_path / "mark").exists()


def test_truncated_and_foreign_files_are_rejected(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.npz", beat2()).read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_motion(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_motion(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("path", cases(DATA, "beat2_*/*.npz", "show/*.npz"))
def test_real_motion_is_within_the_limits(path: Path, body: Body) -> None:
    motion = read_motion(path)
    pose = motion.pose_vector(body)
    assert limit_report(motion.smplx.rotations).frames_over_outside_hands < 0.01
    rotations = vector_to_smplx(pose, body.hands).rotations
    assert limit_report(rotations).frames_over_outside_hands < 0.01
    assert (
        limit_excess(vector_to_smplx(clamp_pose(pose, body.hands), body.hands).rotations).max()
        < 1e-3
    )
