import numpy as np
import pytest
import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS, POINT_INDEX
from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.outfit import Outfit, affine_weights, build_outfit, cut_mesh


@pytest.fixture(scope="module")
def outfit(body: Body) -> Outfit:
    return build_outfit(body, Appearance())


def area(points_N3: np.ndarray, faces_F3: np.ndarray) -> float:
    """Return the area of triangles."""
    a, b, c = (points_N3[faces_F3[:, corner]] for corner in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_cut_parts_add_up_and_lie_on_their_sides():
    chance = np.random.default_rng(0)
    points = chance.normal(size=(60, 3))
    faces = np.stack([chance.choice(60, 3, replace=False) for _ in range(100)])
    height = points[:, 1] - 0.1
    areas = []
    for side in (1, -1):
        kept, ends, share = cut_mesh(faces, side * height)
        edge = points[ends[:, 0]] + share[:, None] * (points[ends[:, 1]] - points[ends[:, 0]])
        everything = np.concatenate((points, edge))
        np.testing.assert_allclose(edge[:, 1], 0.1, atol=1e-9)
        assert (side * (everything[kept][..., 1] - 0.1) > -1e-9).all()
        areas.append(area(everything, kept))
    assert sum(areas) == pytest.approx(area(points, faces))


def test_cut_keeps_the_winding():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    for roll in range(3):
        for height in (points[:, 1] - 0.5, 0.5 - points[:, 1]):
            kept, ends, share = cut_mesh(np.roll([[0, 1, 2]], roll, 1), height)
            edge = points[ends[:, 0]] + share[:, None] * (points[ends[:, 1]] - points[ends[:, 0]])
            a, b, c = np.concatenate((points, edge))[kept].transpose(1, 0, 2)
            assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_what_hangs_on_anchors_moves_with_them():
    chance = np.random.default_rng(1)
    anchors, points = chance.normal(size=(6, 3)), chance.normal(size=(40, 3))
    weights = affine_weights(points, anchors)
    turn, shift = chance.normal(size=(3, 3)), chance.normal(size=3)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(weights @ anchors, points, atol=1e-9)
    np.testing.assert_allclose(weights @ (anchors @ turn + shift), points @ turn + shift, atol=1e-9)


def test_hair_is_stiff_and_stays_on_the_head(body: Body, outfit: Outfit):
    torch.manual_seed(0)
    poses = 0.3 * torch.randn(4, POSE_SIZE)
    poses[0] = 0
    poses[:, POSE_SLICES["expression"]] = torch.rand(4, 10)
    vertices = body.vertices(poses).numpy()
    hair = np.unique(outfit.surfaces[-1].faces_F3)
    points = np.stack([(outfit.mix @ v)[hair] for v in vertices])[:, ::40]
    head = body.joints(poses)[:, BODY_JOINTS.index("head")].numpy()
    points = np.concatenate((points, head[:, None]), 1)
    distances = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    np.testing.assert_allclose(distances, distances[:1].repeat(4, 0), atol=2e-3)


def test_surfaces_fit_their_points(outfit: Outfit):
    count = outfit.mix.shape[0]
    np.testing.assert_allclose(outfit.mix.sum(1), 1, atol=1e-4)
    assert outfit.swell_N1.shape == (count, 1) and np.abs(outfit.swell_N1).max() < 0.01
    for surface in outfit.surfaces:
        assert len(surface.faces_F3) and surface.faces_F3.min() >= 0
        values = surface.colours_N3 if surface.texture_HW3 is None else surface.uv_N2
        assert surface.faces_F3.max() < min(count, len(values))
        if surface.texture_HW3 is not None:
            assert surface.texture_HW3.dtype == np.uint8 and surface.texture_HW3.std() > 2
            used = surface.uv_N2[np.unique(surface.faces_F3)]
            assert used.min() > -0.01 and used.max() < 1.01


def test_no_hair_lies_in_front_of_the_face(body: Body, outfit: Outfit):
    vertices = body.vertices(torch.zeros(1, POSE_SIZE)).numpy()[0]
    points = (outfit.mix @ vertices)[np.unique(outfit.surfaces[-1].faces_F3)]
    rest = body.points(torch.zeros(1, POSE_SIZE))[0].numpy()
    inner = rest[[POINT_INDEX[f"face_{number}"] for number in range(17, 68)]]
    low, high = inner.min(0) - 0.005, inner.max(0) + 0.005
    inside = ((points[:, :2] > low[:2]) & (points[:, :2] < high[:2])).all(1)
    assert not (inside & (points[:, 2] > inner[:, 2].min())).any()
