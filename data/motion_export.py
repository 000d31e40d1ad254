"""Motion for other programs: BVH, glTF of the skinned body, face coefficients named as ARKit's.

.npz          SMPL-X parameters, see `motion_io`
.bvh          skeleton of 55 joints: T-pose, centimetres, y up; rotations Z, X, Y in degrees
.glb, .gltf   the open body with clothes and hair, skinned; expressions are morph targets;
              metres, y up. A .gltf holds its data itself, in base64
.csv          52 ARKit coefficients and 9 angles a frame, as Live Link Face records them
"""

import csv
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from smplx import lbs

from speech2video.data.motion import Motion
from speech2video.data.motion_io import write_motion
from speech2video.data.synthetic.speaker.visemes import JAW_FULL
from speech2video.options.base import MOTION_ENDINGS
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import LIMITS
from speech2video.util.body.rotations import axis_angle_to_matrix, axis_angle_to_quaternion
from speech2video.util.body.skeleton import JOINTS, PARENTS, SKIN_POINTS
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, write_errors
from speech2video.util.gltf import ATTRIBUTE, INDICES, Gltf, four_joints
from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.outfit import build_outfit
from speech2video.util.rendering.renderer import VertexNormals
from speech2video.util.video.writer import SYNTHETIC

CENTIMETRES = 100.0
STUB = (0.0, 0.0, 0.03)  # metres from jaw and eyes, which have no children, to their ends
FIT_FRAMES, FIT_POSES = 24, 6  # of the motion, and others, that the skin is fitted in
MATERIALS = ("skin", "eyes", "teeth", "clothes", "hair")  # of the open body's outfit
EYE_FULL = np.deg2rad(30.0)  # turn of an eye that ARKit's coefficients are relative to
# The open body's expressions; their names in ARKit, "±" is Left and Right.
EXPRESSIONS = {
    "mouth_funnel": "MouthFunnel",
    "mouth_pucker": "MouthPucker",
    "mouth_close": "MouthClose",
    "mouth_smile": "MouthSmile±",
    "mouth_stretch": "MouthStretch±",
    "upper_lip_up": "MouthUpperUp±",
    "lower_lip_down": "MouthLowerDown±",
    "brows_up": "BrowInnerUp BrowOuterUp±",
    "brows_down": "BrowDown±",
    "blink": "EyeBlink±",
}
_EYE = "EyeBlink EyeLookDown EyeLookIn EyeLookOut EyeLookUp EyeSquint EyeWide"
_OTHERS = """
JawForward JawRight JawLeft JawOpen MouthClose MouthFunnel MouthPucker MouthRight MouthLeft
MouthSmile± MouthFrown± MouthDimple± MouthStretch± MouthRollLower MouthRollUpper MouthShrugLower
MouthShrugUpper MouthPress± MouthLowerDown± MouthUpperUp± BrowDown± BrowInnerUp BrowOuterUp±
CheekPuff CheekSquint± NoseSneer± TongueOut
"""


def _both_sides(names: str) -> list[str]:
    return [
        name.replace("±", side)
        for name in names.split()
        for side in (("Left", "Right") if "±" in name else ("",))
    ]


ARKIT_NAMES = (  # 52, in the order of Live Link Face
    *(f"{name}{side}" for side in ("Left", "Right") for name in _EYE.split()),
    *_both_sides(_OTHERS),
)
_TURNS = ("Yaw", "Pitch", "Roll")
ANGLE_NAMES = tuple(part + turn for part in ("Head", "LeftEye", "RightEye") for turn in _TURNS)


def write_motion_as(path: Path, motion: Motion, body: Body, *, comment: str = "") -> list[str]:
    """Write a motion in the format that the file's ending names, atomically.

    Args:
        path: ends in .npz, .bvh, .glb, .gltf or .csv.
        motion: of any body, whose expressions and hand coefficients may mean nothing in `body`.
        body: body of the skeleton and of the mesh.
        comment: provenance, for formats with a place for it.

    Returns:
        names of the parts that are left at rest.

    Raises:
        DataError: another ending, a body that the format is not for, an unwritable place.
    """
    check_motion_path(path, body)
    kind, smplx = path.suffix.lower(), motion.smplx_parameters(body)
    lost = motion.unsupported_parts(body)
    if kind == ".npz":  # says which body its expressions are of
        write_motion(path, motion.with_finger_rotations(body))
        return [part for part in lost if part != "expressions"]
    if kind == ".csv" and "expressions" in lost:
        needed = f"for ARKit's names those of the {body.name} one are needed"
        raise DataError(f"{path}: expressions of the {motion.body} body; {needed}")
    betas = motion.betas if motion.body == body.name else body.betas.cpu()
    motion = replace(motion, smplx=smplx, betas=betas)
    with atomic_write(path) as partial, write_errors(path):
        if kind == ".bvh":
            _write_bvh(partial, motion, body)
        elif kind == ".csv":
            _write_arkit(partial, motion)
        else:
            _body_gltf(motion, body, comment).write(partial)
    return lost


def check_motion_path(path: Path, body: Body) -> None:
    """Raise `DataError` for an ending that `write_motion_as` does not know, or not for a body."""
    kind = path.suffix.lower()
    if kind not in MOTION_ENDINGS:
        known = ", ".join(MOTION_ENDINGS)
        raise DataError(f"{path}: motion cannot be written as {kind or 'that'}, but as {known}")
    if kind not in (".npz", ".bvh") and body.name != "open":
        needed = "the open one is needed for its mesh and expressions; .npz and .bvh work"
        raise DataError(f"{path}: the motion is of the {body.name} body; {needed}")


def _rest(motion: Motion, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (V, 3) and joints (55, 3) of the T-pose in metres."""
    model = body.model
    vertices_V3 = model.v_template + model.shapedirs @ motion.betas.to(model.shapedirs)
    return vertices_V3.cpu().numpy(), (model.J_regressor @ vertices_V3).cpu().numpy()


def _offset(joints_J3: np.ndarray, joint: int) -> np.ndarray:
    """Return the vector (3,) in metres from a joint's parent; of the root, from the origin."""
    return joints_J3[joint] - (joints_J3[PARENTS[joint]] if joint else 0)


def _write_bvh(path: Path, motion: Motion, body: Body) -> None:
    vertices_V3, joints_J3 = _rest(motion, body)
    skin_P3 = vertices_V3[body.model.vertex_joint_selector.extra_joints_idxs.cpu().numpy()]
    skin = dict(zip(SKIN_POINTS, skin_P3, strict=True))
    order: list[int] = []

    def branch(joint: int, indent: str) -> Iterator[str]:
        order.append(joint)
        name = JOINTS[joint]
        # the root's channels are its place, whether a reader adds the offset or not
        offset_3 = _offset(joints_J3, joint) * bool(joint)
        place = "6 Xposition Yposition Zposition" if not joint else "3"
        yield f"{indent}{'JOINT' if joint else 'ROOT'} {name}"
        yield f"{indent}{{"
        yield f"{indent}\tOFFSET {_centimetres(offset_3)}"
        yield f"{indent}\tCHANNELS {place} Zrotation Xrotation Yrotation"
        children = [child for child, above in enumerate(PARENTS) if above == joint]
        for child in children:
            yield from branch(child, indent + "\t")
        if not children:
            tip = name.replace("foot", "big_toe") if "foot" in name else f"{name[:-1]}_tip"
            end_3 = skin[tip] - joints_J3[joint] if tip in skin else np.array(STUB)
            yield f"{indent}\tEnd Site"
            yield f"{indent}\t{{"
            yield f"{indent}\t\tOFFSET {_centimetres(end_3)}"
            yield f"{indent}\t}}"
        yield f"{indent}}}"

    lines = ["HIERARCHY", *branch(0, ""), "MOTION"]
    lines += [f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.8g}"]
    place_T3 = CENTIMETRES * (motion.smplx.translation.numpy() + joints_J3[0])
    angles_TJ3 = np.rad2deg(_euler(motion.smplx.rotations[:, order].numpy(), "ZXY"))
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, np.column_stack((place_T3, angles_TJ3.reshape(len(motion), -1))), "%.5f")


def _centimetres(offset_3: np.ndarray) -> str:
    return " ".join(f"{CENTIMETRES * value:.6f}" for value in offset_3)


def _euler(rotation_TN3: np.ndarray, axes: str) -> np.ndarray:
    """Return the angles (T, N, 3) in radians of axis-angle, continuous in time where it can be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where two axes coincide one angle is set to zero
        angles = Rotation.from_rotvec(rotation_TN3.reshape(-1, 3)).as_euler(axes)
    return np.unwrap(angles.reshape(rotation_TN3.shape), axis=0)


def _write_arkit(path: Path, motion: Motion) -> None:
    values, rate = arkit_coefficients(motion), max(1, round(motion.fps))
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("Timecode", "BlendShapeCount", *values))
        for frame, row in enumerate(np.stack(list(values.values()), 1)):
            seconds, left = divmod(frame, rate)
            clock = seconds // 3600, seconds // 60 % 60, seconds % 60, left
            time = ":".join(f"{value:02d}" for value in clock) + ".000"
            writer.writerow((time, len(values), *(f"{value:.6f}" for value in row)))


def arkit_coefficients(motion: Motion) -> dict[str, np.ndarray]:
    """Return the 52 coefficients (T,) in [0, 1], and 9 angles (T,) in radians, of the open body.

    What has no counterpart in the body is 0. Yaw, pitch and roll turn about ARKit's y, x and z:
    to the person's left, down, to the right shoulder; the head's are relative to the pelvis.
    """
    values = {name: np.zeros(len(motion)) for name in (*ARKIT_NAMES, *ANGLE_NAMES)}
    rotations = motion.smplx.rotations.numpy()
    expression = motion.smplx.expression.numpy()
    for column, names in enumerate(EXPRESSIONS.values()):
        for name in _both_sides(names):
            values[name] = expression[:, column]
    values["JawOpen"] = rotations[:, JOINTS.index("jaw"), 0] / JAW_FULL
    head, joint = Rotation.identity(len(motion)), JOINTS.index("head")
    while joint:
        head = Rotation.from_rotvec(rotations[:, joint]) * head
        joint = PARENTS[joint]
    turns = {"Head": head.as_rotvec()}
    for side, outward in (("Left", 1), ("Right", -1)):
        turns[f"{side}Eye"] = turn_T3 = rotations[:, JOINTS.index(f"{side.lower()}_eye")]
        down, out = turn_T3[:, 0] / EYE_FULL, outward * turn_T3[:, 1] / EYE_FULL
        ways = {"Down": down, "Up": -down, "Out": out, "In": -out}
        values |= {f"EyeLook{way}{side}": value for way, value in ways.items()}
    values = {name: np.clip(value, 0, 1) + 0.0 for name, value in values.items()}  # no −0
    for part, turn_T3 in turns.items():
        angles = _euler(turn_T3[:, None], "YXZ")[:, 0].T
        values |= {f"{part}{name}": row for name, row in zip(_TURNS, angles, strict=True)}
    return values


def _body_gltf(motion: Motion, body: Body, comment: str) -> Gltf:
    """Return the glTF scene of the moving body with clothes and hair."""
    rest_V3, joints_J3 = _rest(motion, body)
    morphs, curves_TM = _morph_targets(motion, body)
    transforms_TJ44 = _transforms(motion, joints_J3)
    gltf = Gltf()
    for joint, name in enumerate(JOINTS):
        children = [child for child, above in enumerate(PARENTS) if above == joint]
        node = {"name": name, "translation": _offset(joints_J3, joint).tolist()}
        gltf.put("nodes", node | ({"children": children} if children else {}))
    inverse_J44 = np.tile(np.eye(4), (len(JOINTS), 1, 1))
    inverse_J44[:, 3, :3] = -joints_J3  # transposed, since glTF's matrices go column by column
    skin = {"joints": [*range(len(JOINTS))], "inverseBindMatrices": gltf.add(inverse_J44)}
    mesh = {
        "name": "body",
        "primitives": _primitives(gltf, rest_V3, morphs, transforms_TJ44, body),
        "weights": [0.0] * len(morphs),
        "extras": {"targetNames": [*morphs]},
    }
    node = {"name": "body", "mesh": gltf.put("meshes", mesh), "skin": gltf.put("skins", skin)}
    mesh_node = gltf.put("nodes", node)
    gltf.put("scenes", {"nodes": [0, mesh_node]})

    quaternions_TJ4 = axis_angle_to_quaternion(motion.smplx.rotations).numpy()
    curves = {
        (0, "translation"): motion.smplx.translation.numpy() + joints_J3[0],
        **{(joint, "rotation"): quaternions_TJ4[:, joint] for joint in range(len(JOINTS))},
        (mesh_node, "weights"): curves_TM.ravel(),
    }
    times = gltf.add(np.arange(len(motion)) / motion.fps, limits=True)
    samplers = [{"input": times, "output": gltf.add(values)} for values in curves.values()]
    channels = [
        {"sampler": sampler, "target": {"node": node, "path": path}}
        for sampler, (node, path) in enumerate(curves)
    ]
    gltf.put("animations", {"name": "speech", "samplers": samplers, "channels": channels})
    extras = {"comment": "; ".join(filter(None, (SYNTHETIC, comment)))}
    gltf.json["asset"] = {"version": "2.0", "generator": "speech2video", "extras": extras}
    return gltf


def _primitives(
    gltf: Gltf,
    rest_V3: np.ndarray,
    morphs: dict[str, np.ndarray],
    transforms_TJ44: np.ndarray,
    body: Body,
) -> list[dict[str, Any]]:
    """Append the surfaces of the outfit to a glTF file; return the mesh's primitives."""
    outfit = build_outfit(body, Appearance())
    surfaces = [surface for surface in outfit.surfaces if not surface.inside]
    faces_F3 = np.concatenate([surface.faces_F3 for surface in surfaces])
    points_N3 = outfit.mix @ rest_V3
    normals_N3 = VertexNormals(faces_F3, len(points_N3))(points_N3)
    normals_N3[np.linalg.norm(normals_N3, axis=1) < 0.5] = (0, 1, 0)  # the crown of the hair
    points_N3 += outfit.swell_N1 * normals_N3
    weights_NJ = outfit.mix @ body.model.lbs_weights.cpu().numpy()
    joints_N4, weights_N4 = four_joints(weights_NJ, points_N3, transforms_TJ44)
    moves = [outfit.mix @ rows_V3 for rows_V3 in morphs.values()]
    primitives = []
    for name, surface in zip(MATERIALS, surfaces, strict=True):
        used, faces = np.unique(surface.faces_F3, return_inverse=True)
        attributes = {
            "POSITION": gltf.add(points_N3[used], target=ATTRIBUTE, limits=True),
            "NORMAL": gltf.add(normals_N3[used], target=ATTRIBUTE),
            "JOINTS_0": gltf.add(joints_N4[used], target=ATTRIBUTE),
            "WEIGHTS_0": gltf.add(weights_N4[used], target=ATTRIBUTE),
        }
        colour: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1 - surface.shine}
        if surface.texture_HW3 is not None and surface.uv_N2 is not None:
            uv_N2 = surface.uv_N2[used] * (1, -1) + (0, 1)  # glTF's v points down
            attributes["TEXCOORD_0"] = gltf.add(uv_N2, target=ATTRIBUTE)
            colour["baseColorTexture"] = {"index": gltf.add_texture(surface.texture_HW3)}
        elif surface.colours_N3 is not None:
            linear_N3 = (surface.colours_N3[used] / 255.0) ** 2.2
            attributes["COLOR_0"] = gltf.add(linear_N3, target=ATTRIBUTE)
        material = {"name": name, "doubleSided": True, "pbrMetallicRoughness": colour}
        targets = [gltf.add(rows_N3[used], target=ATTRIBUTE, limits=True) for rows_N3 in moves]
        primitives.append(
            {
                "attributes": attributes,
                "targets": [{"POSITION": accessor} for accessor in targets],
                "indices": gltf.add(faces.ravel().astype(np.uint32), target=INDICES),
                "material": gltf.put("materials", material),
            }
        )
    return primitives


def _transforms(motion: Motion, joints_J3: np.ndarray) -> np.ndarray:
    """Return how joints move points at rest (T, 55, 4, 4) in poses of the motion and in others.

    The others lie within half of the joints' ranges, so that the skin also fits other motion.
    """
    frames = np.linspace(0, len(motion) - 1, FIT_FRAMES).round().astype(int)
    share = torch.rand(FIT_POSES, *LIMITS.shape[:2], generator=torch.Generator().manual_seed(0))
    others = torch.lerp(LIMITS[..., 0], LIMITS[..., 1], 0.25 + share / 2)
    rotations = axis_angle_to_matrix(torch.cat((motion.smplx.rotations[frames], others)))
    joints_TJ3 = torch.from_numpy(joints_J3).expand(len(rotations), -1, -1)
    chain: Any = lbs.batch_rigid_transform  # its types name another Tensor
    return chain(rotations, joints_TJ3, torch.tensor(PARENTS))[1].numpy()


def _morph_targets(motion: Motion, body: Body) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return how the vertices (V, 3) move with each target, and the targets' weights (T, M).

    Targets are the expressions and the pose correctives in use: one, of the jaw, in the open body.
    """
    model, smplx = body.model, motion.smplx
    moves = dict(zip(EXPRESSIONS, model.expr_dirs.cpu().numpy().transpose(2, 0, 1), strict=True))
    curves = [smplx.expression.numpy()]
    for row in (model.posedirs != 0).any(1).nonzero().flatten().tolist():
        joint, entry = 1 + row // 9, row % 9
        rows_V3 = model.posedirs[row].float().cpu().numpy().reshape(-1, 3)
        moves[f"{JOINTS[joint]}_corrective_{entry}"] = rows_V3
        turns_T33 = axis_angle_to_matrix(smplx.rotations[:, joint]) - torch.eye(3)
        curves.append(turns_T33.flatten(1)[:, [entry]].numpy())
    return moves, np.concatenate(curves, 1)
