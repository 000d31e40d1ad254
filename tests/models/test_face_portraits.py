"""Mean looks: a head that has been moved is put back, and a portrait begins as everybody's own."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from speech2video.data.face_motion import FaceMotionDataset
from speech2video.models.face_portraits import inverse, mean_looks
from speech2video.models.networks.face_generator import moved, placement
from speech2video.models.networks.face_looks import BEHIND, COLOURS, LOOKS, Portrait
from speech2video.models.pose2video import to_floats
from tests.face_clips import SIZE, recordings


def test_an_inverse_undoes_a_move() -> None:
    torch.manual_seed(0)
    place_M23 = placement(torch.tensor([[0.1, -0.05, 0.2, 0.1], [0.0, 0.0, -0.1, -0.2]]))
    down, across = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    smooth = torch.exp(-4 * (down.square() + (across - 0.2).square())).expand(2, 1, -1, -1)
    back = moved(moved(smooth, place_M23), inverse(place_M23))
    assert float((back - smooth)[..., 16:48, 16:48].abs().max()) < 0.02
    assert float((moved(smooth, place_M23) - smooth).abs().max()) > 0.1


def test_looks_are_of_each_person() -> None:
    dataset = FaceMotionDataset(recordings(), noise=1, frames=16)
    still = FaceMotionDataset(
        [replace(r, points_TK2=np.full_like(r.points_TK2, np.nan)) for r in dataset.recordings],
        noise=1,
        frames=16,
    )
    for heads, pictures in (mean_looks(dataset), mean_looks(still)):
        assert heads.shape == pictures.shape == (len(dataset.speakers), 3, SIZE, SIZE)
    torch.testing.assert_close(heads, pictures, atol=1e-4, rtol=0)  # who is not seen does not move
    own = [r for r in dataset.recordings if r.speaker == dataset.speakers[0]]
    usual = torch.stack([to_floats(torch.from_numpy(r.frames_T3HW)).mean(0) for r in own]).mean(0)
    assert float((pictures[0] - usual).abs().mean()) < 0.05
    assert float((pictures[1] - usual).abs().mean()) > 0.1


def test_a_clip_heard_in_several_ways_is_looked_at_once() -> None:
    once = FaceMotionDataset(recordings(), noise=1, frames=16)
    unheard = [replace(r, frames_T3HW=255 - r.frames_T3HW) for r in once.recordings[:1]]
    twice = FaceMotionDataset([*once.recordings, *unheard], noise=1, frames=16)
    for looks, again in zip(mean_looks(once), mean_looks(twice), strict=True):
        torch.testing.assert_close(looks, again)


def test_a_portrait_begins_as_everybodys_own() -> None:
    torch.manual_seed(0)
    people, size = 4, 32
    heads, pictures = torch.rand(2, people, COLOURS, size, size).mul(2).sub(1)
    portrait = Portrait(size)
    looks_PK = portrait.begin_with(heads, pictures)
    assert looks_PK.shape == (people, LOOKS) and not looks_PK[:, people - 1 :].any()
    torch.testing.assert_close(looks_PK.square().mean(0)[: people - 1], torch.ones(people - 1))
    for component_P in looks_PK[:, : people - 1].T:
        assert component_P[component_P.abs().argmax()] > 0
    own, behind = portrait(looks_PK)
    torch.testing.assert_close(own[:, :COLOURS], heads, atol=1e-4, rtol=0)
    small = F.interpolate(pictures, BEHIND, mode="bilinear", antialias=True)
    wide = F.interpolate(small, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(behind, wide, atol=1e-4, rtol=0)
