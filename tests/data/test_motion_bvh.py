"""BVH: skeletons of any names, rest pose, unit and up axis give the same motion of SMPL-X."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from speech2video.data import motion_bvh
from speech2video.data.motion import Motion, motion_from_pose
from speech2video.data.motion_bvh import read_bvh
from speech2video.data.motion_export import write_motion_as
from speech2video.data.motion_io import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from speech2video.util.body.skeleton import FINGERS, JOINTS, PARENTS
from speech2video.util.errors import DataError

EYE = torch.eye(3, dtype=torch.float64)
NO_HANDS = [joint for joint in JOINTS if not joint[:-1].endswith(FINGERS)]
TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
# One name for each of SMPL-X's joints, with {side}; those not named are left out.
STYLES = {
    "SMPL-X": {joint: joint for joint in JOINTS},
    "SMPL": {joint: joint.replace("left", "L").replace("right", "R").title() for joint in NO_HANDS},
    "Mixamo": "mixamorig:{} Hips Spine Spine1 Spine2 Neck Head Shoulder Arm ForeArm Hand UpLeg Leg "
    "Foot ToeBase {side}Hand{Finger}{n}",
    "BEAT": "{} Hips Spine Spine1 Spine2 Neck Head Shoulder Arm ForeArm Hand UpLeg Leg "
    "Foot ToeBase {side}Hand{Finger}{n}",
    "Daz": "{} hip abdomen chest chest2 neck head Collar Shldr ForeArm Hand Thigh Shin Foot Toe "
    "{s}{Finger}{n}",
    "Xsens": "{} Hips Chest Chest2 Chest3 Neck Head Collar Shoulder Elbow Wrist Hip Knee Ankle Toe",
    "3ds Max": "Bip01 {} Pelvis Spine Spine1 Spine2 Neck Head Clavicle UpperArm Forearm Hand Thigh "
    "Calf Foot Toe0",
    "Unreal": "{} pelvis spine_01 spine_02 spine_03 neck_01 head clavicle upperarm lowerarm hand "
    "thigh calf foot ball {finger}_0{n}_{s}",
    "VRM": "{} hips spine chest upperChest neck head Shoulder UpperArm LowerArm Hand UpperLeg "
    "LowerLeg Foot Toes",
    "GENEA": "{} b_root b_spine0 b_spine1 b_spine2 b_neck0 b_head shoulder arm forearm wrist "
    "upleg leg foot toe b_{s}_{finger}{n}",
}  # fmt: skip
SIDED = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")


def names_of(style: str) -> dict[str, str]:
    """Return the names of joints in a style."""
    table = STYLES[style]
    if isinstance(table, dict):
        return table
    words = table.replace("Bip01 {}", "Bip01_{}").split()
    pattern, central, sided = words[0].replace("_", " "), words[1:7], words[7:15]
    names = {joint: pattern.format(word) for joint, word in zip(TRUNK, central, strict=True)}
    for side in ("left", "right"):
        for joint, word in zip(SIDED, sided, strict=True):
            name = {"3ds Max": f"{side[0].upper()} {word}", "Daz": f"{side[0]}{word}"}
            name |= {"Unreal": f"{word}_{side[0]}", "GENEA": f"b_{side[0]}_{word}"}
            name |= {"VRM": f"{side}{word}"}
            names[f"{side}_{joint}"] = pattern.format(name.get(style, side.title() + word))
        if len(words) > 15:
            for finger in FINGERS:
                for n in (1, 2, 3):
                    parts = {"side": side.title(), "s": side[0], "finger": finger, "n": n}
                    name = words[15].format(Finger=finger.title(), **parts)
                    names[f"{side}_{finger}{n}"] = pattern.format(name)
    return names


def rest_joints() -> Tensor:
    return motion_bvh._rest_joints()


def speaking(count: int = 40) -> tuple[Tensor, Tensor]:
    """Return smooth rotations (T, 55, 3) of a person who gestures, and translations (T, 3)."""
    generator = torch.Generator().manual_seed(0)
    phases = 2 * torch.pi * torch.rand(len(JOINTS), 3, generator=generator)
    times = torch.linspace(0, 4 * torch.pi, count)[:, None, None]
    rotations = 0.15 * torch.sin(times + phases)
    wave = torch.sin(times[:, 0, 0] + 0.3)
    for side, sign in (("left", 1), ("right", -1)):
        rotations[:, JOINTS.index(f"{side}_shoulder"), 2] -= sign * 1.1  # hanging arms
        rotations[:, JOINTS.index(f"{side}_elbow")] *= 0
        rotations[:, JOINTS.index(f"{side}_elbow"), 1] = -sign * (1.0 + 0.7 * wave)
        rotations[:, JOINTS.index(f"{side}_knee")] *= 0
        rotations[:, JOINTS.index(f"{side}_knee"), 0] = 0.4 + 0.2 * wave
    rotations[:, 0, 1] += 0.5
    for joint in ("jaw", "left_eye", "right_eye"):
        rotations[:, JOINTS.index(joint)] = 0
    return rotations.double(), torch.stack((0.2 * wave, 0.1 * wave, 1 + 0 * wave), 1).double()


def world_rotations(rotations_TJ3: Tensor) -> list[Tensor]:
    """Return the rotation (T, 3, 3) in the world of each joint."""
    turns: list[Tensor] = []
    for joint, parent in enumerate(PARENTS):
        own = axis_angle_to_matrix(rotations_TJ3[:, joint])
        turns.append(turns[parent] @ own if joint else own)
    return turns


def bvh_text(
    motion: tuple[Tensor, Tensor],
    names: dict[str, str],
    *,
    world: Tensor = EYE,
    rest: Callable[[str], Tensor] = lambda _: EYE,
    unit: float = 0.01,
    order: str = "ZXY",
    fps: float = 25,
) -> str:
    """Return BVH in which a joint's rotation in the world is `world` · SMPL-X's · `rest`(joint)."""
    turns = world_rotations(motion[0])
    kept = [i for i, joint in enumerate(JOINTS) if joint in names]
    own = {i: world @ turns[i] @ rest(JOINTS[i]) for i in kept}
    places, joints = rest_joints(), dict.fromkeys(kept, -1)
    for i in kept:
        parent = PARENTS[i]
        while parent >= 0 and parent not in joints:
            parent = PARENTS[parent]
        joints[i] = parent
    columns = [(motion[1] + places[0]) @ world.T / unit]

    def branch(i: int) -> list[str]:
        parent = joints[i]
        offset = places[i] - places[parent] if parent >= 0 else places[0]
        offset = rest(JOINTS[parent]).T @ offset if parent >= 0 else world @ offset
        numbers = " ".join(f"{value / unit:.8f}" for value in offset.tolist())
        place = "Xposition Yposition Zposition " if parent < 0 else ""
        channels = place + " ".join(f"{axis}rotation" for axis in order)
        count = len(channels.split())
        local = own[parent].mT @ own[i] if parent >= 0 else own[i]
        columns.append(torch.rad2deg(roma.rotmat_to_euler(order, local)))
        lines = [
            f"{'JOINT' if parent >= 0 else 'ROOT'} {names[JOINTS[i]]}",
            "{",
            f"OFFSET {numbers}",
        ]
        lines.append(f"CHANNELS {count} {channels}")
        children = [child for child, above in joints.items() if above == i]
        for child in children:
            lines += branch(child)
        if not children:
            lines += ["End Site", "{", "OFFSET 0 0 0", "}"]
        return [*lines, "}"]

    lines = ["HIERARCHY", *branch(0), "MOTION", f"Frames: {len(motion[0])}"]
    lines.append(f"Frame Time: {1 / fps:.7f}")
    rows = torch.cat(columns, 1).tolist()
    return "\n".join([*lines, *(" ".join(f"{value:.7f}" for value in row) for row in rows), ""])


def read(folder: Path, text: str) -> Motion:
    (folder / "m.bvh").write_text(text)
    return read_bvh(folder / "m.bvh")


def expected(names: dict[str, str]) -> Tensor:
    """Return the rotations of the person who speaks, without those of joints that are left out."""
    rotations = speaking()[0].clone()
    for index, joint in enumerate(JOINTS):
        rotations[:, index] *= joint in names
    return rotations


@pytest.mark.parametrize("style", STYLES)
def test_names_of_many_programs_are_known(tmp_path: Path, style: str, body: Body) -> None:
    names = names_of(style)
    assert len(set(names.values())) == len(names) > 20
    motion = read(tmp_path, bvh_text(speaking(), names))
    assert (motion.smplx.rotations - expected(names)).abs().max() < 1e-4
    assert (motion.smplx.translation - speaking()[1]).abs().max() < 1e-4
    assert motion.fps == 25 and motion.unsupported_parts(body) == []
    has_hands = "left_index1" in names
    assert (motion.hand_coefficients is None) == has_hands


def test_what_we_write_is_read_as_it_was(
    tmp_path: Path, body: Body, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    pose_TP = 0.3 * torch.randn(40, POSE_SIZE)
    written = motion_from_pose(pose_TP, body)
    write_motion_as(tmp_path / "m.bvh", replace(written, betas=torch.randn(10)), body)
    motion = read_motion(tmp_path / "m.bvh")
    turns = [axis_angle_to_matrix(each.smplx.rotations) for each in (motion, written)]
    assert (turns[0] - turns[1]).abs().max() < 1e-5 and len(motion) == 40
    assert (motion.smplx.translation - written.smplx.translation).abs().max() < 1e-5
    assert not capsys.readouterr().err


def a_pose(joint: str) -> Tensor:
    """Arms that hang by 50 degrees in the pose without rotations."""
    arms = (
        "shoulder",
        "elbow",
        "wrist",
        *(f"{finger}{n}" for finger in FINGERS for n in (1, 2, 3)),
    )
    side = joint.split("_")[0]
    if not joint.endswith(arms):
        return EYE
    turn = torch.tensor([0, 0, np.deg2rad(50 if side == "left" else -50)])
    return axis_angle_to_matrix(turn.double())


def turned(*degrees: float) -> Tensor:
    return axis_angle_to_matrix(torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)))


def of_world(world: Tensor) -> dict[str, object]:
    return {"world": world, "rest": lambda _: world.T}


WORLDS: dict[str, dict] = {
    "metres": {"unit": 1.0},
    "millimetres": {"unit": 0.001},
    "inches": {"unit": 0.0254},
    "CMU's unit": {"unit": 0.056444},
    "A-pose": {"rest": a_pose},
    "XYZ": {"order": "XYZ"},
    "YXZ": {"order": "YXZ"},
    "z up": of_world(turned(90, 0, 0)),
    "facing x": of_world(turned(0, 90, 0)),
    "facing away": of_world(turned(0, 180, 0)),
    "only the motion has z up": {"world": turned(90, 0, 0)},
}


@pytest.mark.parametrize("name", WORLDS)
def test_units_orders_axes_and_rest_poses(tmp_path: Path, name: str) -> None:
    names = names_of("Mixamo")
    (tmp_path / "m.bvh").write_text(bvh_text(speaking(), names, **WORLDS[name]))
    smplx = read_motion(tmp_path / "m.bvh").smplx
    assert (smplx.rotations - expected(names)).abs().max() < 2e-4
    moved = smplx.translation - smplx.translation[:1]
    assert (moved - speaking()[1] + speaking()[1][:1]).abs().max() < 1e-3


def scrambled(joint: str) -> Tensor:
    generator = torch.Generator().manual_seed(JOINTS.index(joint))
    return roma.special_gramschmidt(torch.randn(3, 3, generator=generator).double())


def test_bones_of_any_directions_move_alike(tmp_path: Path, body: Body) -> None:
    names = names_of("BEAT")
    motion = read(tmp_path, bvh_text(speaking(200), names, rest=scrambled))
    rotations, places = speaking(200)
    whole = torch.stack(world_rotations(rotations))
    ours = torch.stack(world_rotations(motion.smplx.rotations.double()))
    angles = torch.rad2deg(roma.rotmat_geodesic_distance(whole, ours)).mean(1)
    far = {joint: angle for joint, angle in zip(JOINTS, angles.tolist(), strict=True) if angle > 3}
    assert far.keys() <= {"spine1", "spine2"} and max(far.values()) < 10, far
    assert (motion.smplx.translation - places).abs().max() < 0.01


def small() -> str:
    """Return a skeleton of three joints that ends at the elbows, with two frames."""
    text = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT LeftArm
  {
    OFFSET 20 50 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT LeftForeArm
    {
      OFFSET 25 0 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 25 0 0
      }
    }
  }
  JOINT RightArm
  {
    OFFSET -20 50 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET -25 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
"""
    row = " ".join(["1"] * 15)
    return f"{text}{row}\n{row}\n"


ODD: dict[str, tuple[Callable[[], str], int]] = {
    "as it is": (small, 2),
    "Windows": (lambda: small().replace("\n", "\r\n"), 2),
    "old Macintosh": (lambda: small().replace("\n", "\r"), 2),
    "tabs": (lambda: small().replace("  ", "\t").replace(" 1", "\t1"), 2),
    "BOM": (lambda: "\ufeff" + small(), 2),
    "braces on the line": (lambda: small().replace("\n{", " {"), 2),
    "decimal commas": (lambda: small().replace("0.04", "0,04").replace(" 1", " 1,5"), 2),
    "one number a line": (lambda: small().replace(" 1", "\n1"), 2),
    "no end of line": (lambda: small().rstrip(), 2),
    "one frame cut off": (lambda: small()[:-9], 1),
    "more frames declared": (lambda: small().replace("Frames: 2", "Frames: 200"), 2),
    "scale channels": (lambda: small().replace("CHANNELS 6", "CHANNELS 7 Xscale")
        .replace("\n1 1", "\n1 1 1"), 2),
    "capitals": (lambda: small().upper(), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read(tmp_path: Path, name: str) -> None:
    make, frames = ODD[name]
    (tmp_path / "m.bvh").write_bytes(make().encode())
    motion = read_motion(tmp_path / "m.bvh")
    assert len(motion) == frames and motion.fps == 25
    assert motion.smplx.rotations[:, JOINTS.index("left_elbow")].abs().max() > 0.01


BAD = {
    "no frames": (lambda: small().split("Frame Time")[0] + "Frame Time: 0.04\n", "no frames"),
    "frame time 0": (lambda: small().replace("0.04", "0"), "frame time of 0"),
    "0.001 frames a second": (lambda: small().replace("0.04", "1000"), "0.001 frames a second"),
    "1e9 frames a second": (lambda: small().replace("0.04", "1e-9"), "1e.09 frames a second"),
    "no frame time": (lambda: small().replace("Frame Time: 0.04", ""), "after MOTION"),
    "NaN": (lambda: small()[:-3] + " nan\n", "NaN"),
    "huge": (lambda: small()[:-3] + " 1e99\n", "finite|beyond"),
    "text": (lambda: small()[:-3] + " one\n", "text among the numbers"),
    "no motion": (lambda: small().split("MOTION")[0], "before MOTION"),
    "other joints": (lambda: small().replace("Arm", "Wing"), "LeftWing.*needed"),
    "two bodies": (lambda: small().replace("JOINT RightArm", "}\nROOT RightArm").replace(
        "}\n}\nMOTION", "}\nMOTION"), "in common|one body"),
    "no text": (lambda: "\x00\x01\x02" * 50, "BVH is needed"),
    "empty": (lambda: "", "BVH is needed"),
    "deep": (lambda: "HIERARCHY\n" + "JOINT a\n{\n" * 3, "line 2"),
    "many": (lambda: "HIERARCHY\nROOT a\n{\n" + "JOINT a\n{\n" * 2000, "joints"),
    "channels": (lambda: small().replace("CHANNELS 3", "CHANNELS 4"), "4 channels, and 3"),
    "offset": (lambda: small().replace("OFFSET 25 0 0", "OFFSET 25 0"), "three numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_broken_file_is_an_error_in_one_line(tmp_path: Path, name: str) -> None:
    make, words = BAD[name]
    (tmp_path / "bad.bvh").write_text(make())
    with pytest.raises(DataError, match=words) as error:
        read_motion(tmp_path / "bad.bvh")
    assert "bad.bvh" in str(error.value) and "\n" not in str(error.value)


def test_what_is_left_out_is_one_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(tmp_path, small().replace("LeftForeArm", "LeftWing"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "1 joints" in lines[0] and "LeftWing" in lines[0]


def test_the_table_of_names_names_joints() -> None:
    table = json.loads(Path(motion_bvh.__file__).with_name("bvh_joints.json").read_text())
    for joint in table["sided"]:
        assert {f"left_{joint}", f"right_{joint}"} <= {*JOINTS}
    assert {*table["central"]} <= {*JOINTS} and {*table["fingers"].values()} == {*FINGERS}
    assert torch.allclose(matrix_to_axis_angle(EYE), torch.zeros(3).double())
