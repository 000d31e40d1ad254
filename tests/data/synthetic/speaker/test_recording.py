import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from speech2video.data.synthetic.speaker.recording import demo_camera, render_speaker
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import BODY_JOINTS, JOINTS, PARENTS, POINT_INDEX
from speech2video.util.rendering.appearance import Appearance

pytest.importorskip("pyvista", reason="the extra `render` is not installed")
from speech2video.util.rendering.renderer import MAX_GAZE, gaze, studio_background

SIZE = 256
CAMERA = demo_camera(SIZE)
JAW_OPEN = 0.3  # radians


@pytest.fixture(scope="module")
def pose_TP() -> Tensor:
    """Arms down at rest; then a mouth that opens; then raised forearms."""
    pose_TP = torch.zeros(3, POSE_SIZE)
    body_TJ3 = pose_TP[:, POSE_SLICES["body"]].view(3, -1, 3)
    for side, sign in (("left", 1), ("right", -1)):
        body_TJ3[:, BODY_JOINTS.index(f"{side}_shoulder") - 1, 2] = -1.1 * sign
        body_TJ3[2, BODY_JOINTS.index(f"{side}_elbow") - 1, 1] = -1.5 * sign
    pose_TP[:, POSE_SLICES["body"]] = body_TJ3.flatten(1)
    pose_TP[1, POSE_SLICES["jaw"].start] = JAW_OPEN
    return pose_TP


def render(
    pose_TP: Tensor, body: Body, *, size: int = SIZE, appearance: Appearance | None = None
) -> np.ndarray:
    """Return all images (T, H, W, 3) as int."""
    frames = list(render_speaker(pose_TP, CAMERA, size=size, body=body, appearance=appearance))
    return np.stack(frames).transpose(0, 2, 3, 1).astype(int)


@pytest.fixture(scope="module")
def frames(pose_TP: Tensor, body: Body) -> np.ndarray:
    return render(pose_TP, body)


@pytest.fixture(scope="module")
def silhouettes(frames: np.ndarray) -> np.ndarray:
    """Where (T, H, W) the images differ from the empty studio."""
    empty = studio_background(SIZE, SIZE, Appearance())
    return np.abs(frames - empty).max(-1) > 3


def test_images_have_their_shape_and_do_not_change_from_run_to_run(
    frames: np.ndarray, pose_TP: Tensor, body: Body
):
    assert frames.shape == (3, SIZE, SIZE, 3)
    assert (frames == render(pose_TP, body)).all()
    alone = render(pose_TP[2:], body)
    assert (alone[0] == frames[2]).all(), "an image does not depend on those before it"


def test_an_opening_jaw_changes_the_mouth_and_nothing_else(
    frames: np.ndarray, pose_TP: Tensor, body: Body
):
    changed = np.abs(frames[1] - frames[0]).max(-1) > 8
    points_K2 = CAMERA.project(body.points(pose_TP[1:2]))[0]
    nose, chin, lid = (points_K2[POINT_INDEX[f"face_{number}"]] for number in (30, 8, 41))
    face = float((chin - nose).norm())
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 20
    assert rows.min() > lid[1] and rows.max() < chin[1] + 0.5 * face
    assert np.abs(columns - float(nose[0])).max() < 1.5 * face


def test_projected_joints_fall_on_the_body(silhouettes: np.ndarray, pose_TP: Tensor, body: Body):
    points_TJ2 = CAMERA.project(body.joints(pose_TP))
    pixels = points_TJ2.floor().long()
    inside = ((pixels >= 0) & (pixels < SIZE)).all(-1)
    above = [index for index, name in enumerate(JOINTS) if "knee" not in name]
    for frame in range(3):
        for joint in above:
            if inside[frame, joint]:
                x, y = pixels[frame, joint].tolist()
                assert silhouettes[frame, y, x], JOINTS[joint]
        assert inside[frame, JOINTS.index("left_wrist")]


def test_the_studio_is_empty_elsewhere(silhouettes: np.ndarray, pose_TP: Tensor, body: Body):
    for frame, silhouette in enumerate(silhouettes):
        vertices = body.vertices(pose_TP[frame : frame + 1])
        near = np.zeros((SIZE, SIZE), np.uint8)
        for x, y in CAMERA.project(vertices)[0].round().int().tolist():
            cv2.circle(near, (x, y), 12, 1, -1)
        assert not silhouette[near == 0].any()
        assert 0.1 < silhouette.mean() < 0.5


def test_half_the_size_gives_the_same_image(frames: np.ndarray, pose_TP: Tensor, body: Body):
    small = render(pose_TP[:1], body, size=SIZE // 2)[0]
    shrunk = cv2.resize(frames[0].astype(np.float32), small.shape[:2], interpolation=cv2.INTER_AREA)
    assert np.abs(small - shrunk).mean() < 1.5


def test_the_appearance_is_rendered(frames: np.ndarray, pose_TP: Tensor, body: Body):
    red = render(pose_TP[:1], body, appearance=replace(Appearance(), top=(0.7, 0.1, 0.1)))[0]
    chest = CAMERA.project(body.joints(pose_TP[:1]))[0, JOINTS.index("spine2")].round().int()
    x, y = chest.tolist()
    assert red[y, x].argmax() == 0 and frames[0][y, x].argmax() == 2
    face = CAMERA.project(body.points(pose_TP[:1]))[0, POINT_INDEX["face_30"]].round().int()
    x, y = face.tolist()
    assert (red[y, x] == frames[0][y, x]).all()


def test_another_body_has_one_colour(pose_TP: Tensor, body: Body):
    other = copy.copy(body)
    other.name = "smplx"
    frame = render(pose_TP[:1], other)[0]
    seen = frame[np.abs(frame - studio_background(SIZE, SIZE, Appearance())).max(-1) > 12]
    share = seen / seen.sum(-1, keepdims=True)
    plain = np.array(Appearance().plain) / sum(Appearance().plain)
    assert np.abs(np.median(share, 0) - plain).max() < 0.05


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.1, -0.2, 0.05), (-0.15, 0.25, 0.0)])
def test_eyes_stay_on_a_place_when_the_head_turns(body: Body, turn: tuple[float, float, float]):
    pose_TP = torch.zeros(1, POSE_SIZE)
    pose_TP[0, POSE_SLICES["root_orientation"]] = torch.tensor((0.0, 0.1, 0.0))
    head = POSE_SLICES["body"].start + 3 * (BODY_JOINTS.index("head") - 1)
    pose_TP[0, head : head + 3] = torch.tensor(turn)
    target = torch.tensor((0.1, 0.4, 2.0))
    eyes_123 = gaze(pose_TP, body, target)
    assert eyes_123.norm(dim=-1).max() < MAX_GAZE, "the test needs a place within reach"
    at = [JOINTS.index("left_eye"), JOINTS.index("right_eye")]
    middle_3 = body.joints(pose_TP)[0, at].mean(0)
    # moves of an eye's vertices relative to its joint are those of its global rotation
    ahead_3 = torch.tensor((0.0, 0.0, 1.0))
    rotations = axis_angle_to_matrix(vector_to_smplx(pose_TP, body.hands).rotations)[0]
    total_33, joint = axis_angle_to_matrix(eyes_123)[0, 0], JOINTS.index("head")
    while joint >= 0:
        total_33, joint = rotations[joint] @ total_33, PARENTS[joint]
    wanted_3 = (target - middle_3) / (target - middle_3).norm()
    torch.testing.assert_close(total_33 @ ahead_3, wanted_3, atol=1e-4, rtol=0)


def test_eyes_turn_the_mesh_and_only_so_far(body: Body):
    pose_TP = torch.zeros(1, POSE_SIZE)
    behind = gaze(pose_TP, body, torch.tensor((1.0, 0.3, -1.0)))
    torch.testing.assert_close(behind.norm(dim=-1), torch.full((1, 2), MAX_GAZE))
    moved_V = (body.vertices(pose_TP, behind) - body.vertices(pose_TP)).norm(dim=-1)[0]
    assert moved_V.max() > 1e-3, "eyes move"
    assert (moved_V > 1e-6).float().mean() < 0.2, "little else does"
