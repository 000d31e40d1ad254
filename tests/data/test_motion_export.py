"""Exported motion: what other programs compute from the file is what the body model computes."""

import base64
import csv
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from speech2video.data import motion_export
from speech2video.data.motion import Motion, motion_from_pose
from speech2video.data.motion_export import (
    ARKIT_NAMES,
    EXPRESSIONS,
    arkit_coefficients,
    write_motion_as,
)
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.util.body.body_model import OPEN_BODY, Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import JOINTS, PARENTS
from speech2video.util.errors import DataError
from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.outfit import Outfit, build_outfit
from speech2video.util.video.writer import SYNTHETIC

FRAMES = 12
TYPES = {5121: "u1", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@pytest.fixture(scope="module")
def shaped() -> Body:
    """The open body in an unusual shape."""
    return Body.load(betas=torch.tensor((1.0, -0.8, 0.3, 0.0, 0.0, 0.0, 1.0, -1.0, 0.5, 0.0)))


@pytest.fixture(scope="module")
def pose_TP() -> torch.Tensor:
    """A lively person who talks, a metre up."""
    torch.manual_seed(0)
    swing_T1 = torch.linspace(-0.3, 0.3, FRAMES)[:, None]
    pose_TP = swing_T1 * torch.randn(POSE_SIZE) + 0.02 * torch.randn(FRAMES, POSE_SIZE)
    pose_TP[:, POSE_SLICES["translation"]] += torch.tensor((0.3, 1.2, -0.5))
    pose_TP[:, POSE_SLICES["jaw"]] = torch.rand(FRAMES, 1) * torch.tensor((0.39, 0.0, 0.0))
    pose_TP[:, POSE_SLICES["expression"]] = torch.rand(FRAMES, 10)
    return pose_TP


@pytest.fixture(scope="module")
def motion(shaped: Body, pose_TP: torch.Tensor) -> Motion:
    return motion_from_pose(pose_TP, shaped)


@pytest.fixture(scope="module")
def outfit(shaped: Body) -> Iterator[Outfit]:
    """The open body's clothes and hair, made once; they do not stand off, which is no skinning."""
    made = build_outfit(shaped, Appearance())
    made = replace(made, swell_N1=np.zeros_like(made.swell_N1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion_export, "build_outfit", lambda *_: made)
        yield made


class Gltf:
    """A glTF file as a viewer reads it."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        if path.suffix == ".glb":
            magic, version, total = struct.unpack("<4sII", content[:12])
            length, kind = struct.unpack("<I4s", content[12:20])
            assert (magic, version, total, kind) == (b"glTF", 2, len(content), b"JSON")
            self.json: dict[str, Any] = json.loads(content[20 : 20 + length])
            self.buffer = content[20 + length + 8 :]
        else:
            self.json = json.loads(content)
            self.buffer = base64.b64decode(self.json["buffers"][0].pop("uri").split(",")[1])

    def array(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        kind, width = TYPES[accessor["componentType"]], WIDTHS[accessor["type"]]
        count = accessor["count"] * width
        flat = np.frombuffer(self.buffer, kind, count, view["byteOffset"])
        return flat.reshape(-1, width)

    def curve(self, node: int, path: str) -> np.ndarray:
        """Return a channel's values (T, …) of a node."""
        animation = self.json["animations"][0]
        for channel in animation["channels"]:
            if channel["target"] == {"node": node, "path": path}:
                sampler = animation["samplers"][channel["sampler"]]
                return self.array(sampler["output"]).reshape(FRAMES, -1)
        raise KeyError(path)

    def joint_matrices(self, frame: int) -> np.ndarray:
        """Return (55, 4, 4), from the rest pose to the frame, by the nodes' tree."""
        skin, nodes = self.json["skins"][0], self.json["nodes"]
        places: dict[int, np.ndarray] = {}

        def place(node: int, above: np.ndarray) -> None:
            local = np.eye(4)
            local[:3, 3] = nodes[node]["translation"]
            if node == 0:
                local[:3, 3] = self.curve(node, "translation")[frame]
            rotation = self.curve(node, "rotation")[frame]
            local[:3, :3] = Rotation.from_quat(rotation).as_matrix()
            places[node] = above @ local
            for child in nodes[node].get("children", ()):
                place(child, places[node])

        place(self.json["scenes"][0]["nodes"][0], np.eye(4))
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        return np.stack([places[joint] for joint in skin["joints"]]) @ inverse

    def vertices(self, primitive: dict[str, Any], frame: int) -> np.ndarray:
        """Return the skinned vertices (N, 3) of a primitive in a frame."""
        named = {name: self.array(i) for name, i in primitive["attributes"].items()}
        points_N3 = named["POSITION"].astype(float)
        weights = self.curve(len(JOINTS), "weights")[frame]
        for weight, target in zip(weights, primitive["targets"], strict=True):
            points_N3 += weight * self.array(target["POSITION"])
        matrices_N44 = np.einsum(
            "nk,nkij->nij", named["WEIGHTS_0"], self.joint_matrices(frame)[named["JOINTS_0"]]
        )
        return np.einsum(
            "nij,nj->ni", matrices_N44, np.pad(points_N3, ((0, 0), (0, 1)), constant_values=1)
        )[:, :3]


def test_glb_moves_as_the_body_does(
    tmp_path: Path, shaped: Body, pose_TP: torch.Tensor, motion: Motion, outfit: Outfit
):
    path = tmp_path / "motion.glb"
    assert write_motion_as(path, motion, shaped, comment="a test") == []
    gltf = Gltf(path)
    assert [node["name"] for node in gltf.json["nodes"]] == [*JOINTS, "body"]
    mesh = gltf.json["meshes"][0]
    assert mesh["extras"]["targetNames"] == [*EXPRESSIONS, "jaw_corrective_7"]
    assert gltf.json["asset"]["extras"] == {"comment": f"{SYNTHETIC}; a test"}
    surfaces = [surface for surface in outfit.surfaces if not surface.inside]
    for frame in (0, FRAMES - 1):
        points_N3 = outfit.mix @ shaped.vertices(pose_TP[frame : frame + 1])[0].numpy()
        for surface, primitive in zip(surfaces, mesh["primitives"], strict=True):
            used = np.unique(surface.faces_F3)
            away_N = np.linalg.norm(gltf.vertices(primitive, frame) - points_N3[used], axis=1)
            assert away_N.max() < 3e-3 and np.median(away_N) < 5e-5  # metres
    assert path.stat().st_size < 5e6


@pytest.mark.usefixtures("outfit")
def test_gltf_is_the_same_as_glb(tmp_path: Path, shaped: Body, motion: Motion):
    one, other = (tmp_path / f"motion{ending}" for ending in (".glb", ".gltf"))
    for path in (one, other):
        write_motion_as(path, motion, shaped)
    assert Gltf(one).json == Gltf(other).json and Gltf(one).buffer == Gltf(other).buffer


def test_bvh_moves_as_the_body_does(
    tmp_path: Path, shaped: Body, pose_TP: torch.Tensor, motion: Motion
):
    path = tmp_path / "motion.bvh"
    write_motion_as(path, motion, shaped)
    head, values = path.read_text().split("Frame Time: 0.04\n")
    tokens = head.split()
    names = [tokens[i + 1] for i, token in enumerate(tokens) if token in ("ROOT", "JOINT")]
    starts = [i for i, token in enumerate(tokens) if token == "OFFSET"]
    offsets = {  # an end site's offset has no channels after it
        name: np.array(tokens[i + 1 : i + 4], float)
        for name, i in zip(names, [i for i in starts if tokens[i + 4] == "CHANNELS"], strict=True)
    }
    assert sorted(names) == sorted(JOINTS) and head.count("End Site") == 15
    assert head.count("CHANNELS 3 Zrotation Xrotation Yrotation") == 54
    rows = np.loadtxt(values.splitlines())
    assert rows.shape == (FRAMES, 3 + 3 * 55)
    turns = {
        name: Rotation.from_euler("ZXY", rows[:, 3 + 3 * i : 6 + 3 * i], degrees=True)
        for i, name in enumerate(names)
    }
    places, facing = {"pelvis": rows[:, :3]}, {"pelvis": turns["pelvis"]}
    for name, parent in zip(JOINTS[1:], (JOINTS[i] for i in PARENTS[1:]), strict=True):
        places[name] = places[parent] + facing[parent].apply(offsets[name])
        facing[name] = facing[parent] * turns[name]
    expected = 100 * shaped.joints(pose_TP).numpy()
    assert np.abs(np.stack([places[name] for name in JOINTS], 1) - expected).max() < 1e-2  # 0.1 mm


def test_bvh_is_read_back(tmp_path: Path, shaped: Body, motion: Motion):
    write_motion_as(tmp_path / "motion.bvh", motion, shaped)
    smplx = read_motion(tmp_path / "motion.bvh").smplx
    turns, expected = (axis_angle_to_matrix(x.rotations) for x in (smplx, motion.smplx))
    assert torch.allclose(turns, expected, atol=1e-4)
    assert torch.allclose(smplx.translation, motion.smplx.translation, atol=1e-4)


def test_arkit_csv_has_live_link_faces_columns(tmp_path: Path, body: Body):
    pose_TP = torch.zeros(27, POSE_SIZE)
    pose_TP[0, POSE_SLICES["jaw"].start] = 0.3927 / 2
    pose_TP[1, POSE_SLICES["expression"]] = torch.tensor(
        (0.1, 0.2, 0.3, 2, -1, 0.4, 0, 0.5, 0, 0.6)
    )
    pose_TP[2, POSE_SLICES["body"].start + 3 * (JOINTS.index("neck") - 1) + 1] = 0.5
    write_motion_as(tmp_path / "face.csv", motion_from_pose(pose_TP, body), body)
    with open(tmp_path / "face.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 27 and len(rows[0]) == 2 + 61 and len(set(ARKIT_NAMES)) == 52
    assert list(rows[0])[:4] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert list(rows[0])[16:20] == ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    assert list(rows[0])[53:55] == ["TongueOut", "HeadYaw"]
    assert rows[26]["Timecode"] == "00:00:01:01.000" and rows[26]["BlendShapeCount"] == "61"
    assert float(rows[0]["JawOpen"]) == pytest.approx(0.5, abs=1e-5)
    given = {name: float(value) for name, value in rows[1].items() if name in ARKIT_NAMES}
    expected = {"MouthFunnel": 0.1, "MouthPucker": 0.2, "MouthClose": 0.3, "BrowInnerUp": 0.5}
    for name, value in {
        "MouthSmile": 1, "MouthUpperUp": 0.4, "BrowOuterUp": 0.5, "EyeBlink": 0.6
    }.items():  # fmt: skip
        expected |= {f"{name}Left": value, f"{name}Right": value}
    assert {name: value for name, value in given.items() if value} == pytest.approx(expected)
    assert float(rows[2]["HeadYaw"]) == pytest.approx(0.5) and float(rows[2]["HeadRoll"]) == 0


def test_eyes_become_directions(motion: Motion):
    rotations = torch.zeros_like(motion.smplx.rotations)
    rotations[:, JOINTS.index("left_eye"), 1] = np.deg2rad(15)  # to the person's left
    rotations[:, JOINTS.index("right_eye"), 0] = np.deg2rad(-30)  # up
    smplx = type(motion.smplx)(rotations, motion.smplx.translation, motion.smplx.expression)
    values = arkit_coefficients(Motion(smplx, 25, motion.betas, "open"))
    assert np.allclose(values["EyeLookOutLeft"], 0.5) and not values["EyeLookInLeft"].any()
    assert np.allclose(values["EyeLookUpRight"], 1) and not values["EyeLookDownRight"].any()
    assert np.allclose(values["LeftEyeYaw"], np.deg2rad(15))


def test_expressions_are_those_of_the_body():
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        assert tuple(file["expression_names"]) == tuple(EXPRESSIONS)
    names = " ".join(EXPRESSIONS.values()).split()
    assert {name.replace("±", "Left") for name in names} <= set(ARKIT_NAMES)


def test_npz_is_that_of_motion_io(tmp_path: Path, shaped: Body, motion: Motion):
    write_motion_as(tmp_path / "one.npz", motion, shaped)
    write_motion(tmp_path / "other.npz", motion)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


@pytest.mark.usefixtures("outfit")
def test_unsuitable_bodies_and_endings_are_one_line(tmp_path: Path, body: Body, motion: Motion):
    for name in ("motion.fbx", "motion"):
        with pytest.raises(DataError, match=r"\.npz, \.bvh, \.glb, \.gltf, \.csv"):
            write_motion_as(tmp_path / name, motion, body)
    theirs = Motion(motion.smplx, 25, motion.betas, "smplx")
    with pytest.raises(DataError, match="expressions of the smplx body"):
        write_motion_as(tmp_path / "face.csv", theirs, body)
    assert write_motion_as(tmp_path / "motion.GLB", theirs, body) == ["expressions"]
    licensed = Body(body.model, name="smplx")
    for ending in (".glb", ".gltf", ".csv"):
        with pytest.raises(DataError, match=r"of the smplx body.*\.npz and \.bvh"):
            write_motion_as(tmp_path / f"motion{ending}", theirs, licensed)
    write_motion_as(tmp_path / "motion.bvh", theirs, licensed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["motion.GLB", "motion.bvh"]


def test_hand_coefficients_become_fingers(tmp_path: Path, body: Body, motion: Motion):
    hands = torch.full((FRAMES, 2, 12), 0.5)
    given = Motion(motion.smplx, 25, motion.betas, "open", hand_coefficients=hands)
    assert write_motion_as(tmp_path / "motion.npz", given, body) == []
    written = read_motion(tmp_path / "motion.npz").pose_vector(body)
    assert torch.allclose(written, given.pose_vector(body), atol=1e-4)
