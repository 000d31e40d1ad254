"""Motion moved to another place: its mean place and direction change, nothing else."""

import torch

from speech2video.data.motion import align_placement
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import JOINTS

PLACE, FACING = POSE_SLICES["translation"], POSE_SLICES["root_orientation"]


def motion() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a motion, and a pose elsewhere."""
    torch.manual_seed(0)
    pose_TP = 0.1 * torch.randn(40, POSE_SIZE)
    pose_TP[:, PLACE] += torch.tensor([20.0, 1.0, -3.0])
    pose_TP[:, FACING] += torch.tensor([0.0, 2.6, 0.0])
    like_P = 0.05 * torch.randn(POSE_SIZE)
    return pose_TP, like_P


def test_the_mean_place_and_direction_are_aligned(body: Body):
    pose_TP, like_P = motion()
    moved, like = body.joints(align_placement(pose_TP, like_P)), body.joints(like_P[None])
    pelvis, left, right = (JOINTS.index(f) for f in ("pelvis", "left_hip", "right_hip"))
    torch.testing.assert_close(moved[:, pelvis].mean(0), like[0, pelvis], atol=1e-4, rtol=0)
    across = [(j[:, left] - j[:, right]).mean(0)[[0, 2]] for j in (moved, like)]
    assert torch.cosine_similarity(*across, dim=0) > 0.98


def test_the_body_moves_as_before(body: Body):
    pose_TP, like_P = motion()
    before, after = body.joints(pose_TP), body.joints(align_placement(pose_TP, like_P))
    for joints in (before, after):
        joints -= joints[:, :1].mean(0)
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(after[..., 1], before[..., 1], atol=1e-4, rtol=0)


def test_placing_twice_is_placing_once():
    pose_TP, like_P = motion()
    once = align_placement(pose_TP, like_P)
    torch.testing.assert_close(align_placement(once, like_P), once, atol=1e-4, rtol=0)
