"""The shipped body file: SMPL-X's layout, and a face, hands and joints where they should be."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
from scipy.spatial import cKDTree

from speech2video.util.body.skeleton import (
    FINGERS,
    IBUG_MIRROR,
    JOINTS,
    PARENTS,
    POINT_INDEX,
    POINTS,
    mirrored,
)

FILE = Path(__file__).parents[3] / "util/body/open_body.npz"
MIRROR = np.array([-1.0, 1.0, 1.0])
FULL_JAW = 0.392  # radians, 22.5 degrees
TALKING_JAW = 0.2


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(FILE, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def model() -> smplx.SMPLX:
    settings = {"num_pca_comps": 12, "use_face_contour": True, "num_betas": 10}
    with contextlib.redirect_stdout(io.StringIO()):  # it warns that there are only 10 shapes
        return smplx.SMPLX(str(FILE), ext="npz", num_expression_coeffs=10, **settings)


def posed(model: smplx.SMPLX, **pose: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and points of one pose, in millimetres."""
    with torch.no_grad():
        output = model(**pose)
    return output.vertices[0].numpy() * 1000, output.joints[0].numpy() * 1000


def face_points(model: smplx.SMPLX, **pose: torch.Tensor) -> np.ndarray:
    """Return the landmarks (68, 3) in iBUG's order, millimetres."""
    points = posed(model, **pose)[1]
    return points[[POINT_INDEX[f"face_{i}"] for i in range(68)]]


def jaw(angle: float) -> dict[str, torch.Tensor]:
    return {"jaw_pose": torch.tensor([[angle, 0.0, 0.0]])}


def expression(arrays: dict[str, np.ndarray], **amounts: float) -> dict[str, torch.Tensor]:
    names = arrays["expression_names"].tolist()
    coefficients = torch.zeros(1, len(names))
    for name, amount in amounts.items():
        coefficients[0, names.index(name)] = amount
    return {"expression": coefficients}


def lip_gap(face: np.ndarray) -> float:
    return float(face[62, 1] - face[66, 1])


def eye_height(face: np.ndarray) -> float:
    return float((face[[37, 38], 1] - face[[41, 40], 1]).mean())


def test_small_and_without_pickles(arrays: dict[str, np.ndarray]) -> None:
    assert FILE.stat().st_size < 4e6
    assert all(array.dtype != object for array in arrays.values())


def test_names_match_what_they_name(arrays: dict[str, np.ndarray]) -> None:
    assert arrays["body_name"] == "open"
    names = [*arrays["shape_names"], *arrays["expression_names"]]
    assert len(names) == len(set(names)) == arrays["shapedirs"].shape[-1] == 20
    assert len(set(arrays["hand_component_names"])) == 12
    assert arrays["vertex_parts"].max() == len(arrays["part_names"]) - 1
    count = len(arrays["v_template"])
    assert arrays["vertex_parts"].shape == (count,)
    assert arrays["vertex_regions"].shape == (len(arrays["region_names"]), count)
    assert arrays["ft"].shape == arrays["f"].shape and arrays["ft"].max() < len(arrays["vt"])


def test_stock_smplx_gives_all_points(model: smplx.SMPLX) -> None:
    vertices, points = posed(model)
    assert points.shape == (len(POINTS), 3)
    assert np.isfinite(vertices).all() and np.isfinite(points).all()


def test_skeleton_is_smplx(arrays: dict[str, np.ndarray], model: smplx.SMPLX) -> None:
    assert model.parents.tolist() == list(PARENTS)
    regressor = arrays["J_regressor"]
    assert (regressor.sum(1) == 1).all() and (regressor.max(1) == 1).all()
    joints = regressor @ arrays["v_template"]
    assert not np.isin(regressor.argmax(1), arrays["f"]).any()
    index = JOINTS.index
    assert joints[index("left_wrist"), 0] > 0.5 and joints[index("left_foot"), 2] > 0.05
    heights = [joints[index(name), 1] for name in ("pelvis", "spine1", "spine3", "neck", "head")]
    assert heights == sorted(heights)


def test_weights_are_shares(arrays: dict[str, np.ndarray]) -> None:
    weights = arrays["weights"]
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_hand_components_are_orthonormal_and_mirrored(arrays: dict[str, np.ndarray]) -> None:
    left, right = arrays["hands_componentsl"], arrays["hands_componentsr"]
    mirror = np.tile([1, -1, -1], 15)
    np.testing.assert_allclose(left @ left.T, np.eye(45), atol=1e-6)
    np.testing.assert_allclose(right, left * mirror)
    np.testing.assert_allclose(arrays["hands_meanr"], arrays["hands_meanl"] * mirror)


@pytest.mark.parametrize("seed", range(3))
def test_both_sides_are_alike(seed: int, model: smplx.SMPLX) -> None:
    generator = torch.Generator().manual_seed(seed)
    hand = torch.randn(1, 12, generator=generator) / 3
    pose = {
        "betas": torch.randn(1, 10, generator=generator),
        "expression": torch.rand(1, 10, generator=generator),
        "left_hand_pose": hand,
        "right_hand_pose": hand,
    }
    vertices, points = posed(model, **pose | jaw(0.1))
    distance, _ = cKDTree(vertices).query(vertices * MIRROR)
    assert distance.max() < 0.5
    named = len(POINTS) - 68
    partners = [POINT_INDEX[mirrored(name)] for name in POINTS[:named]]
    np.testing.assert_allclose(points[:named], points[partners] * MIRROR, atol=0.5)


def test_landmarks_are_mirrored(model: smplx.SMPLX) -> None:
    face = face_points(model)
    np.testing.assert_allclose(face, face[list(IBUG_MIRROR)] * MIRROR, atol=1.0)


def test_landmarks_lie_where_ibug_has_them(model: smplx.SMPLX) -> None:
    face = face_points(model)
    right_of_middle = [*range(8), *range(17, 22), 31, 32, *range(36, 42), 48, 49, 50]
    assert (face[right_of_middle, 0] < 0).all()  # iBUG counts from the person's right
    assert face[:, 1].argmin() == 8  # chin
    assert face[:, 2].argmax() == 30  # tip of the nose
    assert (np.diff(face[27:31, 1]) < 0).all()  # down the nose
    brows, eyes, nostrils, lips = (
        face[part, 1].mean()
        for part in (slice(17, 27), slice(36, 48), slice(31, 36), slice(48, 68))
    )
    assert brows > eyes + 10 > nostrils > lips + 10
    assert face[0, 0] == face[:, 0].min() or face[1, 0] == face[:, 0].min()  # contour is outermost


def test_contour_follows_the_turning_head(model: smplx.SMPLX) -> None:
    """In a turned head no contour point lies inside the silhouette it had when seen from ahead."""
    for degrees, far in ((30.0, slice(11, 16)), (-30.0, slice(1, 6))):
        turn = torch.tensor([[0.0, np.deg2rad(degrees), 0.0]], dtype=torch.float32)
        static = face_points(model) - posed(model)[1][0]
        turned = face_points(model, global_orient=turn)[far, 0]
        rotation = smplx.lbs.batch_rodrigues(turn)[0].numpy()
        stayed = (static @ rotation.T)[far, 0]
        outward = np.sign(degrees) * (turned - stayed)
        assert (outward > 0.5).all()


def test_lips_meet_at_rest_and_the_jaw_opens_them(model: smplx.SMPLX) -> None:
    rest, opened = face_points(model), face_points(model, **jaw(TALKING_JAW))
    assert lip_gap(rest) < 2
    assert lip_gap(opened) > 12
    assert np.abs(opened[51] - rest[51]).max() < 2  # the upper lip stays
    assert opened[57, 1] < rest[57, 1] - 8 and opened[8, 1] < rest[8, 1] - 12


def test_lower_teeth_move_with_the_jaw(arrays: dict[str, np.ndarray], model: smplx.SMPLX) -> None:
    moved = np.linalg.norm(posed(model, **jaw(TALKING_JAW))[0] - posed(model)[0], axis=1)
    part = arrays["part_names"].tolist().index
    assert moved[arrays["vertex_parts"] == part("upper_teeth")].max() < 0.1
    assert moved[arrays["vertex_parts"] == part("lower_teeth")].min() > 4
    assert moved[arrays["vertex_parts"] == part("left_eye")].max() < 0.1


def test_mouth_close_closes_the_opened_jaw(
    arrays: dict[str, np.ndarray], model: smplx.SMPLX
) -> None:
    for share in (0.25, 0.5, 1.0):
        pose = jaw(share * FULL_JAW) | expression(arrays, mouth_close=share)
        assert abs(lip_gap(face_points(model, **pose))) < 3


def test_expressions_do_what_they_are_called(
    arrays: dict[str, np.ndarray], model: smplx.SMPLX
) -> None:
    rest = face_points(model)

    def change(name: str) -> np.ndarray:
        return face_points(model, **expression(arrays, **{name: 1.0})) - rest

    width = [54, 48]
    assert np.subtract(*change("mouth_pucker")[width, 0]) < -8
    assert np.subtract(*change("mouth_stretch")[width, 0]) > 4
    assert (change("mouth_smile")[width, 1] > 3).all()
    assert change("mouth_funnel")[62, 1] - change("mouth_funnel")[66, 1] > 3
    assert change("upper_lip_up")[51, 1] > 2
    assert change("lower_lip_down")[57, 1] < -2
    assert (change("brows_up")[17:27, 1] > 1.5).all()
    assert (change("brows_down")[[20, 21, 22, 23], 1] < -2).all()


def test_blink_closes_the_eyes(arrays: dict[str, np.ndarray], model: smplx.SMPLX) -> None:
    opened, closed = (
        eye_height(face_points(model, **expression(arrays, blink=amount))) for amount in (0, 1)
    )
    assert opened > 6 and abs(closed) < 0.2 * opened


def test_finger_tips_end_the_fingers(model: smplx.SMPLX) -> None:
    points = posed(model)[1]
    for side in ("left", "right"):
        for finger in FINGERS:
            knuckles = [points[POINT_INDEX[f"{side}_{finger}{k}"]] for k in (2, 3)]
            last = points[POINT_INDEX[f"{side}_{finger}_tip"]] - knuckles[1]
            along = knuckles[1] - knuckles[0]
            assert 12 < np.linalg.norm(last) < 40
            assert last @ along > 0.7 * np.linalg.norm(last) * np.linalg.norm(along)


def test_curls_make_a_fist(arrays: dict[str, np.ndarray], model: smplx.SMPLX) -> None:
    names = arrays["hand_component_names"].tolist()
    curl = torch.zeros(1, 12)
    for finger in ("index", "middle", "ring", "pinky"):
        curl[0, names.index(f"{finger}_curl")] = 1.9
    relaxed, fist = posed(model)[1], posed(model, right_hand_pose=curl)[1]
    for finger in ("index", "middle", "ring", "pinky"):
        tip, wrist = POINT_INDEX[f"right_{finger}_tip"], POINT_INDEX["right_wrist"]
        reach = [np.linalg.norm(points[tip] - points[wrist]) for points in (relaxed, fist)]
        assert reach[1] < 0.7 * reach[0]
