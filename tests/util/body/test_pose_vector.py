import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import (
    POSE_PARTS,
    POSE_SIZE,
    join_pose,
    smplx_to_vector,
    split_pose,
    vector_to_smplx,
)


def test_the_vector_has_106_numbers_in_named_parts() -> None:
    assert POSE_SIZE == 106
    pose = torch.arange(2.0 * POSE_SIZE).view(2, -1)
    parts = split_pose(pose)
    assert {name: part.shape[1] for name, part in parts.items()} == POSE_PARTS
    assert torch.equal(join_pose(**parts), pose)


def test_vector_to_smplx_to_vector_is_the_identity(body: Body) -> None:
    pose = torch.randn(20, POSE_SIZE)
    back = smplx_to_vector(vector_to_smplx(pose, body.hands), body.hands)
    assert torch.allclose(back, pose, atol=1e-5)


def test_hands_encode_to_the_nearest_pose_the_components_can_say(body: Body) -> None:
    fingers = 0.3 * torch.randn(10, 15, 3)
    for side in (0, 1):
        best = body.hands.encode(fingers, side)
        error = (body.hands.decode(best, side) - fingers).norm()
        for _ in range(5):
            other = best + 0.05 * torch.randn_like(best)
            assert (body.hands.decode(other, side) - fingers).norm() > error
