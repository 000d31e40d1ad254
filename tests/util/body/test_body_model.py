import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2video.util.body.body_model import OPEN_BODY, Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import PARENTS, POINTS
from speech2video.util.errors import DataError


def random_poses(count: int, body: Body) -> Tensor:
    torch.manual_seed(count)
    return clamp_pose(torch.randn(count, POSE_SIZE) * 0.5, body.hands)


def smplx_forward(body: Body, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Return (points, vertices) by smplx's own forward on the whole mesh."""
    part = {name: pose[:, where] for name, where in POSE_SLICES.items()}
    zeros = torch.zeros(len(pose), 3)
    output = body.model(
        betas=body.betas.expand(len(pose), -1),
        transl=part["translation"],
        global_orient=part["root_orientation"],
        body_pose=part["body"],
        left_hand_pose=part["left_hand"],
        right_hand_pose=part["right_hand"],
        expression=part["expression"],
        jaw_pose=part["jaw"],
        leye_pose=zeros,
        reye_pose=zeros,
    )
    return output.joints, output.vertices


@pytest.mark.parametrize("shape", [None, torch.linspace(-1, 1, 10)])
def test_points_and_mesh_equal_smplx_own_forward(shape: Tensor | None) -> None:
    body = Body.load(betas=shape)
    # smplx allots its landmark weights to a fixed batch; one frame at a time fits any of them
    for pose in random_poses(8, body).split(1):
        points, vertices = smplx_forward(body, pose)
        assert points.shape[1] == len(POINTS)
        assert torch.allclose(body.points(pose), points, atol=1e-5)
        assert torch.allclose(body.vertices(pose), vertices, atol=1e-6)


def test_parents_are_smplx_own(body: Body) -> None:
    assert tuple(body.model.parents.tolist()) == PARENTS


def test_bone_lengths_do_not_change_with_pose(body: Body) -> None:
    poses = random_poses(50, body)
    poses[:, POSE_SLICES["expression"]] = 0  # in SMPL-X, expressions move the joints a little
    joints = body.joints(poses)
    bones = (joints[:, 1:] - joints[:, list(PARENTS[1:])]).norm(dim=-1)
    assert torch.allclose(bones, bones[:1].expand_as(bones), atol=1e-5)


def test_gradients_reach_every_pose_number(body: Body) -> None:
    pose = (0.1 * torch.randn(1, POSE_SIZE)).requires_grad_()
    weights = torch.randn(1, len(POINTS), 3)  # unequal, or translations and turns would cancel
    (body.points(pose) * weights).sum().backward()
    assert pose.grad.isfinite().all()
    assert (pose.grad.abs() > 1e-6).all()


def test_translation_moves_everything(body: Body) -> None:
    pose = random_poses(3, body)
    moved = pose.clone()
    moved[:, POSE_SLICES["translation"]] += torch.tensor([1.0, 2.0, 3.0])
    shift = body.points(moved) - body.points(pose)
    assert torch.allclose(shift, torch.tensor([1.0, 2.0, 3.0]).expand_as(shift), atol=1e-5)


def test_many_frames_equal_frame_by_frame(body: Body) -> None:
    poses = random_poses(2100, body)  # more than one chunk
    assert torch.allclose(body.points(poses)[[0, 1999, 2000, 2099]],
                          body.points(poses[[0, 1999, 2000, 2099]]), atol=1e-5)  # fmt: skip


def test_a_body_without_its_name_is_the_users_own(tmp_path: Path) -> None:
    with np.load(OPEN_BODY) as file:
        arrays = {key: file[key] for key in file.files if key != "body_name"}
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez(path, **arrays, part2num=np.array({"head": 1}, dtype=object))
    body = Body.load(path)
    assert body.name == "smplx"
    poses = torch.zeros(1, POSE_SIZE)
    assert torch.equal(body.points(poses), Body.load().points(poses))


class _Bomb:
    """An object whose unpickling leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def test_nothing_in_a_body_file_is_unpickled(tmp_path: Path) -> None:
    with np.load(OPEN_BODY) as file:
        arrays = {key: file[key] for key in file.files}
    mark = tmp_path / "mark"
    np.savez(tmp_path / "body.npz", **arrays, bomb=np.array(_Bomb(mark), dtype=object))
    Body.load(tmp_path / "body.npz")
    assert not mark.exists()
    pickle.loads(pickle.dumps(_Bomb(mark)))
    assert mark.exists(), "the bomb must be a real one"


@pytest.mark.parametrize("content", [None, b"", b"not a body", "other npz"])
def test_what_is_no_body_says_where_to_get_one(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "body.npz"
    if content == "other npz":
        stream = io.BytesIO()
        np.savez(stream, v_template=np.zeros((4, 3)))
        content = stream.getvalue()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="body"):
        Body.load(path)
    if content is None:
        with pytest.raises(DataError, match="register at https"):
            Body.load(path)


def test_a_network_that_holds_a_body_does_not_save_it(body: Body) -> None:
    network = torch.nn.Linear(1, 1)
    network.body = body
    assert set(network.state_dict()) == {"weight", "bias"}, "a user's body is licence-bound"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("hands_meanr", lambda a: a[:1], r"hands_meanr is float64 \(1,\); numbers \(45\)"),
        ("weights", lambda a: a[:-1], r"weights is .*; numbers \(17422, 55\) are needed"),
        ("v_template", lambda a: np.array("x"), "v_template is"),
        ("shapedirs", lambda a: a * np.nan, "shapedirs holds NaN"),
        ("f", lambda a: a + 17422, "f has numbers outside 0 to 17421"),
        ("kintree_table", lambda a: a[:, ::-1], "kintree_table"),
    ],
)
def test_arrays_that_do_not_fit_are_named(
    tmp_path: Path, name: str, change: Callable, words: str
) -> None:
    with np.load(OPEN_BODY) as file:
        arrays = {key: file[key] for key in file.files}
    arrays[name] = change(arrays[name])
    np.savez(tmp_path / "body.npz", **arrays)
    with pytest.raises(DataError, match=words):
        Body.load(tmp_path / "body.npz")
