"""Flow of a shifted image is the shift, as `warp` takes it; where nothing moves nothing flows."""

import numpy as np
import pytest
import torch

from speech2video.data.pose2video.frames import dis_flow, flow_trust
from speech2video.models.pose2video.generators.base import warp
from tests.video_clips import texture

IMAGE = texture(160, 200)
INNER = np.s_[..., 16:-16, 16:-16]


@pytest.mark.parametrize("shift", [(3, 0), (0, -2), (5, 4), (-6, 1), (-1, -1)])
def test_a_shift_is_found_in_the_convention_of_warp(shift: tuple[int, int]):
    frame, before = np.roll(IMAGE, shift[::-1], (0, 1)), IMAGE
    flow_2HW = dis_flow(frame, before)
    assert flow_2HW.shape == (2, 160, 200) and flow_2HW.dtype == np.float32
    inner = flow_2HW[INNER]
    np.testing.assert_allclose(np.median(inner, (1, 2)), -np.array(shift), atol=0.15)
    assert np.mean(np.abs(inner + np.array(shift)[:, None, None]) < 0.5) > 0.97
    warped = warp(image(before), torch.from_numpy(flow_2HW)[None])
    off = (warped - image(frame)).abs()[INNER]
    assert off.mean() < 3 and (flow_trust(frame, before, flow_2HW)[INNER] == 255).mean() > 0.97


def test_nothing_moves_nothing_flows():
    flow_2HW = dis_flow(IMAGE, IMAGE)
    assert np.abs(flow_2HW).max() < 0.01
    assert (flow_trust(IMAGE, IMAGE, flow_2HW) == 255).all()


def test_noise_on_a_wall_is_no_motion():
    random = np.random.default_rng(0)
    wall, again = (random.normal(128, 2, (96, 96, 3)).astype(np.uint8) for _ in "ab")
    assert np.abs(dis_flow(wall, again)).mean() < 0.1


def test_what_was_not_there_is_not_trusted():
    frame = IMAGE.copy()
    frame[60:100, 80:120] = 255 - frame[60:100, 80:120]
    trust_HW = flow_trust(frame, IMAGE, np.zeros((2, 160, 200), np.float32))
    changed = np.abs(frame.astype(int) - IMAGE).max(-1) > 60
    assert (trust_HW[changed] == 0).mean() > 0.9 and (trust_HW[:50] == 255).all()


def test_what_comes_from_beyond_the_border_is_not_trusted():
    flow_2HW = np.zeros((2, 160, 200), np.float32)
    flow_2HW[0] = -20
    grey = np.full_like(IMAGE, 90)
    trust_HW = flow_trust(grey, grey, flow_2HW)
    assert (trust_HW[:, :19] == 0).all() and (trust_HW[:, 20:] == 255).all()


def image(rgb_HW3: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb_HW3).permute(2, 0, 1)[None].float()
