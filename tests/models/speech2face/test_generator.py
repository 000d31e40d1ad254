"""The face generator: independent frames, warped heads, eigenfaces, and the baseline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.data.speech2face.dataset import FaceDataset
from speech2video.data.speech2face.index import FaceIndex
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face.encoders import APPEARANCE_DIM, RGB
from speech2video.models.speech2face.generator import (
    BACKGROUND_SIDE,
    EigenfaceDecoder,
    FaceGenerator,
    ReferenceFaceGenerator,
    head_transform,
    invert_affine,
    warp_with_head,
)
from speech2video.util.errors import DataError
from tests.face_clips import SIZE, recordings, write_face_clips
from train_speech2face import set_appearance, typical_appearance

SPEAKERS = 3
MOTION, SMALL = 7, {"channels": (16, 8, 8, 8, 4), "blocks": (1, 1, 1, 1, 1)}


def small(size: int = 64, kind: type[FaceGenerator] = FaceGenerator) -> FaceGenerator:
    """Return a generator with random weights in all layers."""
    torch.manual_seed(0)
    generator = kind(motion_dim=MOTION, size=size, speakers=SPEAKERS, **SMALL)
    for name, weight in generator.named_parameters():
        if name.endswith(("second.weight", "heads.weight", "to_rgb.weight")):
            torch.nn.init.normal_(weight, std=0.1)
    return generator


def inputs(count: int = 2, frames: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Return content, emotion and motion."""
    torch.manual_seed(1)
    emotion = torch.randn(count, 8).softmax(1)
    return torch.randn(count, frames, 256), emotion, 0.1 * torch.randn(count, frames, MOTION)


def unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=-1)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_faces_of_any_power_of_two(size: int) -> None:
    frames = small(size)(torch.randn(2, 128), inputs())[0]
    assert frames.shape == (2, 3, 3, size, size)


@pytest.mark.parametrize("size", [0, 8, 100, 512])
def test_other_sizes_are_named(size: int) -> None:
    with pytest.raises(DataError, match=f"faces of {size} pixels"):
        small(size)


def test_frames_are_independent() -> None:
    generator, (content, emotion, motion) = small(), inputs()
    identity = unit(torch.randn(2, 128))
    whole = generator(identity, (content, emotion, motion))[0]
    appearance = generator.encode_appearance(identity)
    for t in range(3):
        one = generator.generate(appearance, content[:, t : t + 1], emotion, motion[:, t : t + 1])
        torch.testing.assert_close(one[:, 0], whole[:, t], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("index", range(4), ids=["identity", "content", "emotion", "motion"])
def test_every_input_changes_the_frames(index: int) -> None:
    generator, items = small(), [unit(torch.randn(2, 128)), *inputs()]
    before = generator(items[0], tuple(items[1:]))[0]
    items[index] = items[index].flip(0)
    assert (generator(items[0], tuple(items[1:]))[0] - before).abs().mean() > 1e-4


def test_an_identity_alone_gives_speaker_logits() -> None:
    generator, identity = small(), unit(torch.randn(4, 128))
    frames, logits = generator(identity)
    assert frames is None and logits.shape == (4, SPEAKERS)
    mixed = logits.softmax(1) @ generator.identity_bank.appearances
    expected, found = generator.decode_appearance(mixed), generator.encode_appearance(identity)
    assert torch.equal(found.head, expected.head)
    assert torch.equal(found.background, expected.background)


def test_a_confident_identity_gets_exactly_one_speakers_appearance() -> None:
    bank = small().identity_bank
    identities = unit(bank.identities.detach())
    torch.testing.assert_close(bank(identities), bank.appearances, atol=1e-3, rtol=0)
    between = bank(unit(identities[0] + identities[1])[None])[0]
    torch.testing.assert_close(between, bank.appearances[:2].mean(0), atol=0.02, rtol=0)


def test_given_speakers_are_generated_whatever_the_identities() -> None:
    generator, speaker = small(), torch.tensor([2, 0])
    identity = unit(torch.randn(5, 128))
    frames, logits = generator(identity, inputs(), speaker)
    torch.testing.assert_close(logits, generator(identity)[1])
    assert torch.equal(frames, generator(identity.flip(0), inputs(), speaker)[0])
    own = unit(generator.identity_bank.identities.detach())[speaker]
    torch.testing.assert_close(frames, generator(own, inputs())[0], atol=1e-3, rtol=1e-3)


def test_an_unknown_speaker_looks_as_the_identity_tells() -> None:
    generator, identity = small(), unit(torch.randn(5, 128))
    frames, logits = generator(identity, inputs(3), torch.tensor([0, -1, 1]))
    known, _ = generator(identity, inputs(3), torch.tensor([0, 0, 1]))
    mixed, _ = generator(identity[:3], inputs(3))
    torch.testing.assert_close(frames[::2], known[::2])
    torch.testing.assert_close(frames[1], mixed[1])
    assert not torch.allclose(frames[1], known[1]) and logits.shape == (5, SPEAKERS)


def test_portraits_start_as_the_speakers_mean_heads() -> None:
    generator, heads = small(16), torch.rand(SPEAKERS, 3, 16, 16) * 2 - 1
    generator.init_eigenfaces(heads, heads)
    portraits, *_ = generator.eigenfaces(generator.identity_bank.appearances)
    torch.testing.assert_close(portraits, heads, atol=1e-4, rtol=0)


def test_a_finer_portrait_keeps_more_of_the_finest_stripes() -> None:
    shifts_M4 = torch.zeros(32, 4)
    shifts_M4[:, 0] = torch.arange(32) / 32 / 32  # up to a pixel to the right
    place_M23 = head_transform(shifts_M4)
    energies = []
    for scale in (1, 2):
        stripes = (torch.arange(32 * scale) // scale % 2).float().mul(2).sub(1)  # a pixel wide
        maps = stripes.expand(32, 1, 32 * scale, -1)
        shown = warp_with_head(maps, place_M23, size=32)
        assert shown.shape == (32, 1, 32, 32)
        energies.append(float(shown[..., 8:24].square().mean()))
    # a linear ramp from one to the next has a third of the energy, half a ramp two thirds
    assert energies == pytest.approx([1 / 3, 2 / 3], rel=0.05)


def test_portraits_may_be_finer_than_frames() -> None:
    torch.manual_seed(0)
    generator = FaceGenerator(motion_dim=MOTION, size=32, speakers=2, portrait_scale=2, **SMALL)
    heads = torch.rand(2, 3, 64, 64) * 2 - 1
    generator.init_eigenfaces(heads, F.avg_pool2d(heads, 2))
    head, mask, background = generator.eigenfaces(generator.identity_bank.appearances)
    torch.testing.assert_close(head, heads, atol=1e-4, rtol=0)
    assert mask.shape == (2, 1, 32, 32) and background.shape == (2, 3, 32, 32)
    assert generator(unit(torch.randn(2, 128)), inputs())[0].shape == (2, 3, 3, 32, 32)


@pytest.mark.parametrize("kind", [FaceGenerator, ReferenceFaceGenerator])
def test_coarse_frames_are_the_fine_ones_at_half_the_size(kind: type[FaceGenerator]) -> None:
    torch.manual_seed(0)
    options = {"size": 64, "speakers": SPEAKERS, "portrait_scale": 2, "coarse_to_fine": True}
    generator = kind(motion_dim=MOTION, **options, **SMALL)
    smooth = F.interpolate(torch.rand(SPEAKERS, 3, 8, 8) * 2 - 1, 128, mode="bicubic")
    for name, weight in generator.named_parameters():
        if name.endswith(("second.weight", "to_coarse_rgb.weight")):
            torch.nn.init.normal_(weight, std=0.1)
    source = unit(torch.randn(2, 128))
    if kind is FaceGenerator:
        generator.init_eigenfaces(smooth, F.avg_pool2d(smooth, 2))
    else:
        source = F.avg_pool2d(smooth[:2], 2)
    coarse = generator(source, inputs(), coarse=True)[0]
    fine = generator(source, inputs())[0]
    assert coarse.shape == (2, 3, 3, 32, 32) and fine.shape == (2, 3, 3, 64, 64)
    # the fine level adds nothing before it is trained
    halved = F.avg_pool2d(fine.flatten(0, 1), 2).unflatten(0, (2, 3))
    inner = (..., slice(4, -4), slice(4, -4))
    assert (halved - coarse)[inner].abs().mean() < 0.1 * coarse[inner].std()


def test_the_baseline_takes_an_image_in_place_of_an_identity() -> None:
    generator = small(kind=ReferenceFaceGenerator)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    frames = generator(image, inputs())[0]
    assert frames.shape == (2, 3, 3, 64, 64)
    assert (generator(image.flip(0), inputs())[0] - frames).abs().mean() > 1e-4
    assert generator.uses_reference_image and not small().uses_reference_image
    assert not hasattr(generator, "identity_bank") and not hasattr(small(), "reference_encoder")


@pytest.mark.parametrize(("right", "down"), [(1 / 8, 0), (0, 1 / 8), (-1 / 4, 1 / 8)])
def test_maps_are_shifted_with_the_head(right: float, down: float) -> None:
    maps, expected = torch.zeros(2, 1, 1, 16, 16)
    maps[0, 0, 7, 6] = 1
    expected[0, 0, 7 + round(16 * down), 6 + round(16 * right)] = 1
    warped = warp_with_head(maps, head_transform(torch.tensor([[right, down, 0, 0]])))
    torch.testing.assert_close(warped, expected, atol=1e-5, rtol=0)


def test_a_flow_adds_to_the_sampling_positions() -> None:
    maps, expected = torch.zeros(2, 1, 1, 16, 16)
    maps[0, 0, 7, 6] = expected[0, 0, 6, 8] = 1
    flow = torch.zeros(1, 2, 4, 4)
    flow[:, 0], flow[:, 1] = -2 / 8, 1 / 8  # of half an image: 2 pixels to the left, 1 down
    warped = warp_with_head(maps, head_transform(torch.zeros(1, 4)), flow)
    torch.testing.assert_close(warped, expected, atol=1e-5, rtol=0)


def test_content_warps_the_portrait_through_the_flow() -> None:
    generator, identity, (content, emotion, motion) = small(), unit(torch.randn(2, 128)), inputs()
    torch.nn.init.zeros_(generator.to_rgb.weight)
    frames = generator(identity, (content, emotion, 0 * motion))[0]
    assert torch.equal(frames[:, 0], frames[:, 1])  # at first it does not
    torch.nn.init.normal_(generator.flow_head.weight)
    frames = generator(identity, (content, emotion, 0 * motion))[0]
    assert (frames[:, 0] - frames[:, 1]).abs().mean() > 1e-3


def test_heads_roll_and_zoom_about_the_eyes() -> None:
    points = torch.zeros(1, 1, 100, 100)
    points[0, 0, 35:45, 70:80] = 1  # to the right of the eyes' midpoint
    rolled = warp_with_head(points, head_transform(torch.tensor([[0, 0, torch.pi / 2, 0]])))
    rows, columns = torch.nonzero(rolled[0, 0] > 0.5, as_tuple=True)
    # a positive roll turns right to down, as pixels count
    assert abs(rows.float().mean() - 64.5) < 1 and abs(columns.float().mean() - 49.5) < 1
    zoom = torch.tensor([[0, 0, 0, torch.tensor(1.5).log()]])
    _, columns = torch.nonzero(warp_with_head(points, head_transform(zoom))[0, 0] > 0.5).T
    assert abs(columns.float().mean() - (49.5 + 1.5 * 25)) < 1


def test_an_inverse_undoes_a_warp() -> None:
    torch.manual_seed(0)
    place_M23 = head_transform(torch.tensor([[0.1, -0.05, 0.2, 0.1], [0.0, 0.0, -0.1, -0.2]]))
    down, across = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    smooth = torch.exp(-4 * (down.square() + (across - 0.2).square())).expand(2, 1, -1, -1)
    warped = warp_with_head(smooth, place_M23)
    back = warp_with_head(warped, invert_affine(place_M23))
    assert float((back - smooth)[..., 16:48, 16:48].abs().max()) < 0.02
    assert float((warped - smooth).abs().max()) > 0.1


def appearances(dataset: FaceDataset) -> list[Tensor]:
    """Return heads and mean images of all speakers."""
    pairs = typical_appearance(dataset, range(len(dataset.speakers)))
    return [torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True)]


def test_typical_appearances_are_of_each_speaker() -> None:
    dataset = FaceDataset(recordings(), noise_dim=1, frames=16)
    static = FaceDataset(
        [replace(r, points_TK2=np.full_like(r.points_TK2, np.nan)) for r in recordings()],
        noise_dim=1,
        frames=16,
    )
    for heads, images in (appearances(dataset), appearances(static)):
        assert heads.shape == images.shape == (len(dataset.speakers), 3, SIZE, SIZE)
    for number, speaker in enumerate(dataset.speakers):
        own = [r.frames_T3HW for r in dataset.recordings if r.speaker == speaker]
        frames = to_floats(torch.from_numpy(np.concatenate(own)))
        mean = frames.mean(0)
        assert float((images[number] - mean).abs().mean()) < 0.05
        assert float((images[1 - number] - mean).abs().mean()) > 0.1
        # without landmarks there is no motion: the head is one of the frames, and a usual one
        off_N = (frames - heads[number]).abs().mean((1, 2, 3))
        assert float(off_N.min()) < 1e-3
        from_mean_N = (frames - mean).abs().mean((1, 2, 3))
        assert float(from_mean_N[off_N.argmin()]) <= float(from_mean_N.median())


def test_augmented_copies_count_once_in_the_appearance() -> None:
    once = FaceDataset(recordings(), noise_dim=1, frames=16)
    twice = FaceDataset(recordings(), noise_dim=1, frames=16, num_augmentations=2)
    for mean, again in zip(appearances(once), appearances(twice), strict=True):
        torch.testing.assert_close(mean, again)


def test_other_heads_have_codes_that_reconstruct_them() -> None:
    torch.manual_seed(0)
    heads, images = torch.rand(2, 6, RGB, 32, 32).mul(2).sub(1)
    decoder = EigenfaceDecoder(32)
    codes_PK = decoder.init_from_means(heads, images)
    torch.testing.assert_close(decoder.encode(heads), codes_PK, atol=1e-4, rtol=1e-4)
    between = torch.lerp(heads[0], heads[1], 0.3)[None]
    torch.testing.assert_close(decoder(decoder.encode(between))[0], between, atol=1e-4, rtol=0)


def test_of_very_many_speakers_some_make_the_eigenfaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speech2video.models.speech2face.generator.EIGENFACE_SPEAKERS", 1)
    write_face_clips(tmp_path / "faces", frames=20)
    index = FaceIndex.update(tmp_path / "faces")
    stored = index.recordings(range(len(index)), size=SIZE)
    in_memory = FaceDataset(recordings(frames=20), noise_dim=1, frames=16)
    dataset = FaceDataset(stored, noise_dim=1, frames=16)
    made = []
    for one in (in_memory, dataset, dataset):  # the last time from files
        generator = FaceGenerator(motion_dim=MOTION, size=SIZE, speakers=2, **SMALL)
        set_appearance(generator, one)
        made.append(generator.state_dict())
        codes = generator.identity_bank.appearances
        heads, _ = appearances(one)
        torch.testing.assert_close(codes[1:], generator.eigenfaces.encode(heads[1:]))
        torch.testing.assert_close(generator.eigenfaces(codes[:1])[0], heads[:1], atol=1e-4, rtol=0)
    names = [name for name in made[0] if name.startswith(("eigenfaces", "identity_bank.appear"))]
    for name in names:
        assert torch.equal(made[1][name], made[2][name])
        assert float((made[0][name] - made[1][name]).abs().mean()) < 0.05  # videos are compressed


def test_eigenfaces_reconstruct_the_speakers_means() -> None:
    torch.manual_seed(0)
    speakers, size = 4, 32
    heads, images = torch.rand(2, speakers, RGB, size, size).mul(2).sub(1)
    decoder = EigenfaceDecoder(size)
    codes_PK = decoder.init_from_means(heads, images)
    assert codes_PK.shape == (speakers, APPEARANCE_DIM) and not codes_PK[:, speakers - 1 :].any()
    variance_K = codes_PK.square().mean(0)[: speakers - 1]
    torch.testing.assert_close(variance_K, torch.ones(speakers - 1))
    for component_P in codes_PK[:, : speakers - 1].T:
        assert component_P[component_P.abs().argmax()] > 0
    own, _, background = decoder(codes_PK)
    torch.testing.assert_close(own, heads, atol=1e-4, rtol=0)
    low = F.interpolate(images, BACKGROUND_SIDE, mode="bilinear", antialias=True)
    expected = F.interpolate(low, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(background, expected, atol=1e-4, rtol=0)
