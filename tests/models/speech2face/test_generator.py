"""The generator: each frame by itself, heads moved as told, all that is given is used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.data.speech2face.dataset import FaceMotionDataset
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face.generator import (
    APPEARANCE,
    BACKGROUND_SIDE,
    COLOURS,
    EigenfaceDecoder,
    FaceGenerator,
    head_transform,
    invert_affine,
    mean_appearance,
    warp_with_head,
)
from speech2video.util.errors import DataError
from tests.face_clips import SIZE, recordings

PEOPLE = 3
MOTION, SMALL = 7, {"channels": (16, 8, 8, 8), "blocks": (1, 1, 1, 1)}


def generator(size: int = 64, **more: object) -> FaceGenerator:
    torch.manual_seed(0)
    made = FaceGenerator(motion=MOTION, size=size, people=PEOPLE, **SMALL, **more)
    for layer in made.modules():
        if hasattr(layer, "second"):
            torch.nn.init.normal_(layer.second.weight, std=0.1)
        if hasattr(layer, "paint"):
            torch.nn.init.normal_(layer.paint.weight, std=0.1)
        if hasattr(layer, "heads"):
            torch.nn.init.normal_(layer.heads.weight, std=0.1)
    return made


def given(count: int = 2, frames: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    emotion = torch.randn(count, 8).softmax(1)
    return torch.randn(count, frames, 256), emotion, 0.1 * torch.randn(count, frames, MOTION)


def unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_faces_of_any_power_of_two(size: int) -> None:
    assert generator(size)(torch.randn(2, 128), *given()).shape == (2, 3, 3, size, size)


@pytest.mark.parametrize("size", [0, 8, 100, 256])
def test_other_sizes_are_named(size: int) -> None:
    with pytest.raises(DataError, match=f"faces of {size} pixels"):
        generator(size)


def test_no_frame_sees_another() -> None:
    made, (content, emotion, motion) = generator(), given()
    identity = unit(torch.randn(2, 128))
    whole, person = made(identity, content, emotion, motion), made.begin(identity)
    for t in range(3):
        one = made.frames(person, content[:, t : t + 1], emotion, motion[:, t : t + 1])
        torch.testing.assert_close(one[:, 0], whole[:, t], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("what", range(4), ids=["who", "content", "emotion", "motion"])
def test_all_that_is_given_counts(what: int) -> None:
    made, items = generator(), [unit(torch.randn(2, 128)), *given()]
    before = made(*items)
    items[what] = items[what].flip(0)
    assert (made(*items) - before).abs().mean() > 1e-4


def test_an_identity_alone_is_told_whose_it_is() -> None:
    made, identity = generator(), unit(torch.randn(4, 128))
    logits = made(identity)
    assert logits.shape == (4, PEOPLE)
    shares = logits.softmax(1)
    expected = made.decode_appearance(shares @ made.identity_bank.looks)
    assert torch.equal(made.begin(identity).head, expected.head)
    assert torch.equal(made.begin(identity).behind, expected.behind)


def test_a_voice_that_is_surely_somebodys_gets_exactly_their_looks() -> None:
    made = generator()
    voices = unit(made.identity_bank.voices.detach())
    torch.testing.assert_close(
        made.identity_bank(voices), made.identity_bank.looks, atol=1e-3, rtol=0
    )
    between = unit(voices[0] + voices[1])
    looks = made.identity_bank(between[None])[0]
    torch.testing.assert_close(looks, made.identity_bank.looks[:2].mean(0), atol=0.02, rtol=0)


def test_known_people_are_painted_as_themselves_however_they_are_heard() -> None:
    made, speaker = generator(), torch.tensor([2, 0])
    heard = unit(torch.randn(5, 128))
    frames, logits = made(heard, *given(), speaker)
    torch.testing.assert_close(logits, made(heard))
    other, _ = made(heard.flip(0), *given(), speaker)
    assert torch.equal(frames, other)
    sure = made(unit(made.identity_bank.voices.detach())[speaker], *given())
    torch.testing.assert_close(frames, sure, atol=1e-3, rtol=1e-3)


def test_portraits_begin_as_the_people_who_are_known() -> None:
    made, heads = generator(16), torch.rand(PEOPLE, 3, 16, 16) * 2 - 1
    made.init_eigenfaces(heads, heads)
    portraits, _ = made.portrait(made.identity_bank.looks)
    torch.testing.assert_close(portraits[:, :3], heads, atol=1e-4, rtol=0)


def test_the_baseline_sees_a_picture_in_place_of_an_identity() -> None:
    made = generator(reference_image=True)
    reference_image = torch.rand(2, 3, 64, 64) * 2 - 1
    frames = made(reference_image, *given())
    assert frames.shape == (2, 3, 3, 64, 64)
    assert (made(reference_image.flip(0), *given()) - frames).abs().mean() > 1e-4
    assert not hasattr(made, "imagine") and not hasattr(generator(), "look")


@pytest.mark.parametrize(("right", "down"), [(1 / 8, 0), (0, 1 / 8), (-1 / 4, 1 / 8)])
def test_what_moves_with_the_head_goes_where_it_goes(right: float, down: float) -> None:
    maps = torch.zeros(1, 1, 16, 16)
    maps[0, 0, 7, 6] = 1
    place = torch.tensor([[right, down, 0, 0]])
    shown = warp_with_head(maps, head_transform(place))
    expected = torch.zeros_like(maps)
    expected[0, 0, 7 + round(16 * down), 6 + round(16 * right)] = 1
    torch.testing.assert_close(shown, expected, atol=1e-5, rtol=0)


def test_a_flow_says_where_a_portrait_comes_from() -> None:
    maps = torch.zeros(1, 1, 16, 16)
    maps[0, 0, 7, 6] = 1
    flow = torch.zeros(1, 2, 4, 4)
    flow[:, 0], flow[:, 1] = -2 / 8, 1 / 8  # of half a picture: 2 pixels to the left, 1 down
    shown = warp_with_head(maps, head_transform(torch.zeros(1, 4)), flow)
    expected = torch.zeros_like(maps)
    expected[0, 0, 6, 8] = 1
    torch.testing.assert_close(shown, expected, atol=1e-5, rtol=0)


def test_speech_bends_the_portrait_before_anything_is_painted() -> None:
    made, identity, (content, emotion, motion) = generator(), unit(torch.randn(2, 128)), given()
    reference_image = 0 * motion
    torch.nn.init.zeros_(made.paint.weight)
    frames = made(identity, content, emotion, reference_image)
    assert torch.equal(frames[:, 0], frames[:, 1])  # at first it does not
    torch.nn.init.normal_(made.bend.weight)
    frames = made(identity, content, emotion, reference_image)
    assert (frames[:, 0] - frames[:, 1]).abs().mean() > 1e-3


def test_heads_roll_and_zoom_about_the_eyes() -> None:
    points = torch.zeros(1, 1, 100, 100)
    points[0, 0, 35:45, 70:80] = 1  # to the right of the eyes' middle
    turned = warp_with_head(points, head_transform(torch.tensor([[0, 0, torch.pi / 2, 0]])))
    rows, columns = torch.nonzero(turned[0, 0] > 0.5, as_tuple=True)
    # a positive roll turns right to down, as pixels count
    assert abs(rows.float().mean() - 64.5) < 1 and abs(columns.float().mean() - 49.5) < 1
    nearer = warp_with_head(
        points, head_transform(torch.tensor([[0, 0, 0, torch.tensor(1.5).log()]]))
    )
    _, columns = torch.nonzero(nearer[0, 0] > 0.5, as_tuple=True)
    assert abs(columns.float().mean() - (49.5 + 1.5 * 25)) < 1


def test_emotions_mix_learned_codes() -> None:
    made = generator()
    torch.testing.assert_close(made.code(torch.eye(8)), made.codes)
    half = torch.full((1, 8), 1 / 8)
    torch.testing.assert_close(made.code(half)[0], made.codes.mean(0))


# Mean looks: a head that has been moved is put back, and a portrait begins as everybody's own.


def test_an_inverse_undoes_a_move() -> None:
    torch.manual_seed(0)
    place_M23 = head_transform(torch.tensor([[0.1, -0.05, 0.2, 0.1], [0.0, 0.0, -0.1, -0.2]]))
    down, across = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    smooth = torch.exp(-4 * (down.square() + (across - 0.2).square())).expand(2, 1, -1, -1)
    back = warp_with_head(warp_with_head(smooth, place_M23), invert_affine(place_M23))
    assert float((back - smooth)[..., 16:48, 16:48].abs().max()) < 0.02
    assert float((warp_with_head(smooth, place_M23) - smooth).abs().max()) > 0.1


def test_looks_are_of_each_person() -> None:
    dataset = FaceMotionDataset(recordings(), noise=1, frames=16)
    still = FaceMotionDataset(
        [replace(r, points_TK2=np.full_like(r.points_TK2, np.nan)) for r in dataset.recordings],
        noise=1,
        frames=16,
    )
    for heads, pictures in (mean_appearance(dataset), mean_appearance(still)):
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
    for looks, again in zip(mean_appearance(once), mean_appearance(twice), strict=True):
        torch.testing.assert_close(looks, again)


def test_a_portrait_begins_as_everybodys_own() -> None:
    torch.manual_seed(0)
    people, size = 4, 32
    heads, pictures = torch.rand(2, people, COLOURS, size, size).mul(2).sub(1)
    portrait = EigenfaceDecoder(size)
    looks_PK = portrait.begin_with(heads, pictures)
    assert looks_PK.shape == (people, APPEARANCE) and not looks_PK[:, people - 1 :].any()
    torch.testing.assert_close(looks_PK.square().mean(0)[: people - 1], torch.ones(people - 1))
    for component_P in looks_PK[:, : people - 1].T:
        assert component_P[component_P.abs().argmax()] > 0
    own, behind = portrait(looks_PK)
    torch.testing.assert_close(own[:, :COLOURS], heads, atol=1e-4, rtol=0)
    small = F.interpolate(pictures, BACKGROUND_SIDE, mode="bilinear", antialias=True)
    wide = F.interpolate(small, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(behind, wide, atol=1e-4, rtol=0)
