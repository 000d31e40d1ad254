"""Motion files: all layouts give the same motion, and broken files are an error in one line."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.motion import Motion, motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose, limit_excess, limit_report
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_6d
from speech2video.util.errors import LONGEST, DataError
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


def bent(count: int = 30) -> np.ndarray:
    """Poses (T, 55, 3) that bend elbows and knees as joints do."""
    full = poses(count).reshape(count, 55, 3)
    swing = np.linspace(0.8, 1.6, count, dtype=np.float32)
    full[:, 18, 1], full[:, 19, 1] = -swing, swing  # elbows
    full[:, 4, 0] = full[:, 5, 0] = swing  # knees
    return full


def to_matrices(rotations: np.ndarray) -> np.ndarray:
    return axis_angle_to_matrix(torch.from_numpy(rotations)).numpy()


def columns_6d(rotations: np.ndarray) -> np.ndarray:
    return matrix_to_6d(axis_angle_to_matrix(torch.from_numpy(rotations))).numpy()


def split(convert: Callable[[np.ndarray], np.ndarray] = lambda part: part) -> dict[str, np.ndarray]:
    """SMPLify-X's layout, each part (T, J, …) as `convert` makes it."""
    full = bent()
    names = {"global_orient": (0, 1), "body_pose": (1, 22), "jaw_pose": (22, 23)}
    names |= {"leye_pose": (23, 24), "reye_pose": (24, 25)}
    names |= {"left_hand_pose": (25, 40), "right_hand_pose": (40, 55)}
    return {name: convert(full[:, begin:end]) for name, (begin, end) in names.items()}


def flat(part: np.ndarray) -> np.ndarray:
    return part.reshape(len(part), -1)


def show_array() -> np.ndarray:
    """TalkSHOW's (T, 265): face, pelvis, body, hands, expression."""
    full = flat(bent())
    expression = np.full((30, 100), 0.5, np.float32)
    return np.concatenate((full[:, 66:75], full[:, :66], full[:, 75:], expression), 1)


def motion_x_array() -> np.ndarray:
    """Motion-X's (T, 322): pelvis, body, hands, jaw, expression, face shape, place, shape."""
    full, zeros = flat(bent()), np.zeros((30, 100), np.float32)
    face = np.full((30, 50), 0.5, np.float32)
    parts = (full[:, :66], full[:, 75:], full[:, 66:69], face, zeros, zeros[:, :13])
    return np.concatenate(parts, 1)


RATE = {"fps": np.array(25)}
PLACE = {"transl": np.zeros((30, 3)), "betas": np.zeros((30, 10))} | RATE
TWO = [np.zeros((30, 55, 3), np.float32), np.ones((30, 3), np.float32)]
LAYOUTS: dict[str, Callable[[], dict[str, np.ndarray]]] = {
    "poses of joints": lambda: {"poses": bent()} | PLACE,
    "poses as matrices": lambda: {"poses": to_matrices(bent())} | PLACE,
    "poses as numbers of matrices": lambda: {"poses": flat(to_matrices(bent()))} | PLACE,
    "poses as 6D": lambda: {"poses": columns_6d(bent())} | PLACE,
    "poses as 6D in one row": lambda: {"fullpose": flat(columns_6d(bent()))} | PLACE,
    "poses as 6D of rows": lambda: {"poses": flat(to_matrices(bent())[..., :2, :])
                                    .reshape(30, 55, 6)} | PLACE,
    "poses as 6D, interleaved": lambda: {"poses": to_matrices(bent())[..., :2]
                                         .reshape(30, 55, 6)} | PLACE,
    "parts": lambda: split(flat) | PLACE,
    "parts of joints": lambda: split() | PLACE,
    "parts as matrices": lambda: split(to_matrices) | PLACE,
    "parts as matrices, one joint's without its axis": lambda: {
        name: part[:, 0] if name == "global_orient" else part
        for name, part in split(to_matrices).items()} | PLACE,
    "parts as 6D": lambda: split(columns_6d) | PLACE,
    "names of smplx": lambda: {f"smplx_{name}": part for name, part in {
        "root_pose": bent()[:, 0], "body_pose": bent()[:, 1:22], "jaw_pose": bent()[:, 22],
        "lhand_pose": bent()[:, 25:40], "rhand_pose": bent()[:, 40:]}.items()}
        | {"leye_pose": bent()[:, 23], "reye_pose": bent()[:, 24]} | PLACE,
    "capital letters": lambda: {"Poses": bent(), "Trans": np.zeros((30, 3)), "FPS": np.array(25)},
    "a batch of one": lambda: {"poses": flat(bent())[None], "trans": np.zeros((1, 30, 3))} | RATE,
    "two people": lambda: {"poses": np.stack((bent(), TWO[0])), "betas": np.zeros((2, 10)),
                           "trans": np.stack((0 * TWO[1], TWO[1]))} | RATE,
    "two people in each frame": lambda: {"poses": np.stack((flat(bent()), flat(TWO[0])), 1),
                                         "trans": np.stack((0 * TWO[1], TWO[1]), 1)} | RATE,
    "two people in parts": lambda: {name: np.stack((part, part * 0)) for name, part in
                                    split(flat).items()} | RATE,
    "an array of poses": lambda: {"arr_0": flat(bent())} | RATE,
    "Motion-X": lambda: {"motion": motion_x_array()} | RATE,
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_of_rotations_is_the_same_motion(tmp_path: Path, name: str) -> None:
    motion = read_motion(write(tmp_path / "m.npz", LAYOUTS[name]()))
    expected = bent()
    expected[:, 23:25] *= name != "Motion-X"  # which has no eyes
    assert np.abs(motion.smplx.rotations.numpy() - expected).max() < 2e-5
    assert (motion.smplx.translation == 0).all() and motion.hand_coefficients is None


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_talkshow_arrays_are_read(tmp_path: Path, body: Body, suffix: str) -> None:
    np.savez(tmp_path / "m.npz", a=show_array())
    np.save(tmp_path / "m.npy", show_array())
    motion = read_motion(tmp_path / f"m.{suffix}", fps=25)
    assert np.allclose(motion.smplx.rotations.numpy(), bent(), atol=1e-6)
    assert (motion.smplx.expression == 0.5).all()
    # finger angles are added to the mean hand, so that zero is a relaxed hand
    still = replace(motion, smplx=vector_to_smplx(torch.zeros(30, POSE_SIZE), body.hands))
    still.smplx.rotations[:] = 0
    assert still.pose_vector(body)[:, POSE_SLICES["left_hand"]].abs().max() < 1e-5


@pytest.mark.parametrize("width", [72, 66, 156])
def test_smpl_has_hands_at_rest(tmp_path: Path, body: Body, width: int) -> None:
    poses_TJ = np.delete(flat(bent()), np.arange(66, 75), axis=1)[:, :width]
    motion = read_motion(write(tmp_path / "m.npz", {"poses": poses_TJ, "trans": TWO[1]} | RATE))
    assert np.allclose(motion.smplx.rotations[:, :22], bent()[:, :22])
    left = motion.pose_vector(body)[:, POSE_SLICES["left_hand"]]
    assert width == 156 or left.abs().max() < 1e-5
    assert motion.unsupported_parts(body) == []


RATES = {"30": 30, "29.97": 29.97, b"25": 25, "30000/1001": 29.97, "24 fps": 24, "23,976": 23.976}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("key", ["fps", "mocap_framerate", "frame_rate", "mocap_frame_rate"])
def test_rates_are_numbers_or_texts(tmp_path: Path, key: str, rate: str | bytes) -> None:
    arrays = {"poses": np.zeros((300, 165)), "trans": np.zeros((300, 3)), key: np.array([rate])}
    motion = read_motion(write(tmp_path / "m.npz", arrays))
    assert len(motion) == round(300 * FPS / RATES[rate])


@pytest.mark.parametrize("names", ["expressions transl", "expression trans", "exp translation"])
@pytest.mark.parametrize("frames", [28, 29, 30, 31])
def test_expressions_may_be_a_frame_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str, frames: int
) -> None:
    expression, translation = names.split()
    ramp = np.arange(frames, dtype=np.float32)[:, None].repeat(50, 1)
    arrays = {"poses": poses(), expression: ramp, translation: np.ones((30, 3))} | RATE
    smplx = read_motion(write(tmp_path / "m.npz", arrays)).smplx
    assert (smplx.translation == 1).all()
    assert smplx.expression[:, 9].tolist() == [min(t, frames - 1) for t in range(30)]
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == (frames != 30) and all(f"{frames} frames" in line for line in notes)


def test_what_is_assumed_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_motion(write(tmp_path / "own.npz", beat2()))
    assert not capsys.readouterr().err
    assert len(read_motion(write(tmp_path / "bare.npz", {"poses": poses(30)}))) == 25
    rate, place = sorted(capsys.readouterr().err.splitlines())
    assert "30 frames a second" in rate and "no translation" in place


@pytest.mark.parametrize("count", [1, 2])
def test_a_single_frame_is_motion(tmp_path: Path, count: int) -> None:
    arrays = {"poses": bent(count), "trans": np.ones((count, 3)), "fps": np.array(25)}
    assert len(read_motion(write(tmp_path / "m.npz", arrays))) == count
    single = {name: part[0] for name, part in split().items()} | {"fps": np.array(30)}
    assert len(read_motion(write(tmp_path / "m.npz", single))) == 1


def gvhmr() -> dict[str, object]:
    """The tensors of GVHMR's hmr4d_results.pt."""
    world = {"body_pose": flat(bent()[:, 1:22]), "global_orient": bent()[:, 0]}
    world |= {"transl": np.zeros((30, 3), np.float32), "betas": np.zeros((30, 10), np.float32)}
    tensors = {name: torch.from_numpy(value) for name, value in world.items()}
    camera = tensors | {"transl": torch.ones(30, 3)}
    return {"smpl_params_incam": camera, "smpl_params_global": tensors, "K_fullimg": torch.eye(3)}


def test_gvhmr_is_read_in_the_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: Body
) -> None:
    torch.save(gvhmr(), tmp_path / "hmr4d_results.pt")
    motion = read_motion(tmp_path / "hmr4d_results.pt", fps=25)
    assert np.allclose(motion.smplx.rotations[:, :22], bent()[:, :22])
    assert (motion.smplx.translation == 0).all() and motion.unsupported_parts(body) == []
    assert "smpl_params_global is taken" in capsys.readouterr().err
    torch.save({0: gvhmr()["smpl_params_global"], 1: {"x": torch.ones(2)}}, tmp_path / "people.pt")
    assert len(read_motion(tmp_path / "people.pt", fps=25)) == 30
    torch.save({"weights": torch.ones(3)}, tmp_path / "net.pt")
    with pytest.raises(DataError, match="no SMPL-X parameters in it; found: weights"):
        read_motion(tmp_path / "net.pt")
    bomb = {"poses": torch.zeros(1).expand(2**40)}
    torch.save(bomb, tmp_path / "bomb.pt")
    with pytest.raises(DataError, match="npz"):
        read_motion(tmp_path / "bomb.pt")


def write_frames(folder: Path, people: dict[int, list[int]]) -> Path:
    """Write the frames of some people as SMPLer-X does."""
    (folder / "smplx").mkdir(parents=True)
    for person, frames in people.items():
        for frame in frames:
            arrays = {name: part[frame] for name, part in split().items()}
            arrays |= {"betas": np.zeros((1, 10)), "expression": np.full((1, 10), float(person))}
            arrays["transl"] = np.full((1, 3), float(frame))
            np.savez(folder / "smplx" / f"{frame:05}_{person}.npz", **arrays)
    return folder


def test_a_folder_of_frames_is_motion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: Body
) -> None:
    whole = read_motion(write_frames(tmp_path / "one", {0: list(range(30))}), fps=25)
    assert np.allclose(whole.smplx.rotations, bent(), atol=1e-6) and whole.hands_from_mean
    assert not capsys.readouterr().err
    some = [frame for frame in range(29) if frame not in (7, 8, 20)]
    people = {0: [3, 4, 29], 1: some}
    motion = read_motion(write_frames(tmp_path / "two", people), fps=25)
    assert (motion.smplx.expression == 1).all() and len(motion) == 30
    place = whole.smplx.translation.clone()
    place[29] = place[28]  # the last that is known
    assert torch.allclose(motion.smplx.translation, place, atol=1e-5)
    assert torch.equal(motion.smplx.rotations[some], whole.smplx.rotations[some])
    assert "2 people" in (err := capsys.readouterr().err) and "4 of 30 frames" in err
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="numbered by frame"):
        read_motion(tmp_path / "none")
    write(tmp_path / "none" / "take_1.npz", beat2() | split(flat))
    with pytest.raises(DataError, match="several frames"):
        read_motion(tmp_path / "none")


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
    "only a translation": (lambda: {"trans": np.zeros((30, 3))}, "'poses'.*trans"),
    "other keys": (lambda: {"verts": np.zeros(3)}, "'poses'.*verts"),
    "no keys": (dict, "nothing"),
    "wrong width": (lambda: beat2(poses=np.zeros((30, 73))), r"\(30, 73\).*165"),
    "wrong axes": (lambda: beat2(poses=np.zeros(165)), "165"),
    "other length": (lambda: beat2(trans=np.zeros((29, 3))), "29"),
    "NaN": (lambda: beat2(trans=np.full((30, 3), np.nan)), "NaN"),
    "no frames": (lambda: beat2(poses=poses(0), trans=np.zeros((0, 3)),
                                expressions=np.zeros((0, 100))), "no frames"),
    "degrees": (lambda: beat2(poses=poses() * 1e4), "degrees"),
    "text": (lambda: beat2(poses=np.full((30, 165), "a")), "numbers"),
    "rate": (lambda: beat2(mocap_frame_rate=0), "one rate"),
    "two rates": (lambda: beat2(mocap_frame_rate=[25, 30]), "one rate"),
    "slow": (lambda: beat2(mocap_frame_rate=0.001), "0.001.*1 to 1000"),
    "fast": (lambda: beat2(mocap_frame_rate=1e9), "one rate"),
    "negative rate": (lambda: beat2(mocap_frame_rate=-25), "one rate"),
    "NaN rate": (lambda: beat2(mocap_frame_rate=np.nan), "one rate"),
    "no rate in the text": (lambda: beat2(mocap_frame_rate="30/0"), "one rate"),
    "rate in words": (lambda: beat2(mocap_frame_rate="thirty"), "thirty.*one rate"),
    "hours": (lambda: beat2(poses=np.zeros((7300, 165)), trans=np.zeros((7300, 3)),
                            expressions=np.zeros((7300, 9)), mocap_frame_rate=1), "at most 7200 s"),
    "no rotation matrices": (lambda: beat2(poses=np.ones((30, 55, 3, 3))), "no rotation matrices"),
    "a mirrored matrix": (lambda: beat2(poses=np.tile(-np.eye(3), (30, 55, 1, 1))), "no rotation"),
    "zeros for 6D": (lambda: beat2(poses=np.zeros((30, 55, 6))), "zeros"),
    "too few expressions": (lambda: beat2(expressions=np.zeros((9, 100))), r"\(9, 100\)"),
    "far away": (lambda: beat2(trans=np.full((30, 3), 1e30)), "metres"),
    "beyond float32": (lambda: beat2(trans=np.full((30, 3), 1e300)), "infinity"),
    "no shape": (lambda: beat2(betas=np.zeros(0)), "betas"),
    "an embedding": (lambda: {"global_orient": poses()[:, :3], "body_pose": poses()[:, :32]},
                     r"\(30, 32\).*63"),
    "parts of two lengths": (lambda: {"global_orient": poses(9)[:, :3],
                                      "body_pose": poses()[:, :63]}, "9 and 30 frames"),
    "one hand in angles": (lambda: {"global_orient": poses()[:, :3], "body_pose": poses()[:, :63],
                                    "left_hand_pose": poses()[:, :45]}, "hand poses"),
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


PICKLES = {
    "wham_output.pkl": ({0: {"pose_world": [1]}}, "p['pose_world']"),
    "demo.pkl": ({"0.jpg": {"tracked_ids": [1]}}, "v['smpl'][0]"),
    "m.pkl": ({"poses": [1]}, "joblib.load('m.pkl').items()"),
    "m.npz": ({"poses": [1]}, "joblib.load('m.npz')"),
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_are_refused_with_the_command_that_converts_them(tmp_path: Path, name: str) -> None:
    content, command = PICKLES[name]
    bomb = content | {"bomb": _Bomb(tmp_path / "mark")}
    (tmp_path / name).write_bytes(pickle.dumps(bomb))
    torch.save(bomb, tmp_path / "m.pt")
    np.save(tmp_path / "track.npy", np.array(bomb, dtype=object), allow_pickle=True)
    hints = {name: command, "m.pt": "torch.load('m.pt'", "track.npy": "allow_pickle=True).item()"}
    for file, hint in hints.items():
        with pytest.raises(DataError, match="npz") as error:
            read_motion(tmp_path / file)
        if name == "m.pkl" or file == name:
            assert hint in str(error.value) and "\n" not in str(error.value)
            assert len(str(error.value)) - len(str(tmp_path)) < LONGEST - 100
    assert not (tmp_path / "mark").exists()


def test_the_command_that_converts_a_pickle_works(tmp_path: Path) -> None:
    people = {i: {"pose_world": bent(n)[:, :24].reshape(n, 72), "trans_world": np.zeros((n, 3)),
                  "betas": np.zeros((n, 10))} for i, n in enumerate((3, 30))}  # fmt: skip
    (tmp_path / "wham_output.pkl").write_bytes(pickle.dumps(people))
    with pytest.raises(DataError) as error:
        read_motion(tmp_path / "wham_output.pkl")
    script = str(error.value).split('python -c "')[1].rstrip('"')
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    motion = read_motion(tmp_path / "wham_output.npz", fps=30)
    assert len(motion) == 25 and motion.fps == FPS


@pytest.mark.parametrize("name", ["$(touch mark).pkl", 'a";touch mark;".pkl', "`touch mark`.pt"])
def test_no_name_of_a_pickle_is_part_of_the_command(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"poses": [1]}))
    with pytest.raises(DataError) as error:
        read_motion(tmp_path / name)
    command = str(error.value).split("python -c ")[1]
    assert "'FILE.pkl'" in command and "'FILE.npz'" in command and "touch" not in command


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
