"""Stretches of maps and frames: together, repeatable, and right at a clip's ends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speech2video.data.loader import SampleIndex, training_loader
from speech2video.data.pose2video.augmentation import ImageAugmentation, MapNoise
from speech2video.data.pose2video.clip import PoseVideo, load_pose_videos
from speech2video.data.pose2video.dataset import REGIONS, Pose2VideoDataset
from speech2video.data.pose2video.frames import FrameCache
from speech2video.models.pose2video.generators.base import warp
from speech2video.options.pose2video import Curriculum
from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import region_boxes
from speech2video.util.rendering.skeleton_maps import draw_map
from tests.video_clips import write_moving_clip

SIZE, LENGTH = 96, 4
KEYS = {"maps", "frames", "boxes", "present", "view", "flow", "flow_trust"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, body: Body) -> list[PoseVideo]:
    folder = tmp_path_factory.mktemp("clips")
    for seed, frames in enumerate((70, 12)):
        write_moving_clip(folder / str(seed), body, frames=frames, seed=seed)
    return load_pose_videos(folder, body, width=SIZE, height=SIZE)


def fixed_length(frames: int) -> Curriculum:
    return Curriculum(seq_len=frames, max_seq_len=frames)


def dataset(videos: list[PoseVideo], **changes: object) -> Pose2VideoDataset:
    return Pose2VideoDataset(videos, **{"curriculum": fixed_length(LENGTH)} | changes)


def place(videos: list[PoseVideo], frames: torch.Tensor) -> tuple[int, list[int]]:
    """Return which clip and which of its frames these are; they must be there."""
    for index, video in enumerate(videos):
        cache = FrameCache(videos, limit_bytes=10**9)
        all_TCHW = cache.frames(index, range(len(video))).transpose(0, 3, 1, 2)
        same_NT = (frames.numpy()[:, None] == all_TCHW).all((2, 3, 4))
        if same_NT.any(1).all():
            return index, [int(row.argmax()) for row in same_NT]
    raise AssertionError("no clip has these frames")


@pytest.mark.parametrize("map_style", ["speech2video", "vid2vid_authors"])
def test_frames_follow_each_other_and_maps_are_theirs(videos: list[PoseVideo], map_style: str):
    data = dataset(videos, map_style=map_style)
    for seed in range(12):
        item = data[SampleIndex(0, seed)]
        index, numbers = place(videos, item["frames"])
        assert numbers == list(range(numbers[0], numbers[0] + LENGTH))
        earlier = [max(numbers[0] - back, 0) for back in (2, 1)]
        for drawn, number in zip(item["maps"], earlier + numbers, strict=True):
            points_K2 = videos[index].points_TK2[number]
            wanted = draw_map(points_K2, map_style=map_style, width=SIZE, height=SIZE)
            assert np.array_equal(drawn.numpy(), wanted)
        assert torch.equal(item["view"], torch.eye(2, 3))


def test_shapes_and_types(videos: list[PoseVideo]):
    item = dataset(videos)[SampleIndex(0, 0)]
    form = {name: (str(value.dtype)[6:], *value.shape) for name, value in item.items()}
    assert form == {
        "maps": ("uint8", LENGTH + 2, 3, SIZE, SIZE),
        "frames": ("uint8", LENGTH, 3, SIZE, SIZE),
        "boxes": ("float32", LENGTH, len(REGIONS), 4),
        "present": ("float32", LENGTH, len(REGIONS)),
        "view": ("float32", 2, 3),
        "flow": ("float16", LENGTH, 2, SIZE, SIZE),
        "flow_trust": ("uint8", LENGTH, SIZE, SIZE),
    }
    assert set(dataset(videos, flow=False)[SampleIndex(0, 0)]) == KEYS - {"flow", "flow_trust"}


def test_an_item_depends_on_its_seed_alone(videos: list[PoseVideo]):
    changed = {"augmentation": ImageAugmentation(), "noise": MapNoise(part=0.2)}
    roomy, poor = dataset(videos, **changed), dataset(videos, cache_bytes=0, **changed)
    seeds = list(range(6))
    first = {seed: roomy[SampleIndex(0, seed)] for seed in seeds}
    for seed in reversed(seeds):
        again = poor[SampleIndex(seed, seed)]
        assert set(again) == KEYS
        assert all(torch.equal(first[seed][name], again[name]) for name in again)


def test_every_frame_of_every_clip_comes_up(videos: list[PoseVideo]):
    data = dataset(videos, flow=False)
    seen = set()
    for seed in range(400):
        frames = data[SampleIndex(0, seed)]["frames"]
        seen.update(frame.numpy().tobytes() for frame in frames)
    assert len(seen) == sum(map(len, videos))


def test_the_length_is_the_epochs_and_a_short_clip_plays_back_and_forth(videos: list[PoseVideo]):
    data = dataset(
        videos[1:], curriculum=Curriculum(4, 30, seq_grow_start=1, seq_grow_epochs=1), flow=False
    )
    assert data[SampleIndex(0, 0)]["frames"].shape[0] == 4
    _, numbers = place(videos[1:], data[SampleIndex(0, 0, epoch=3)]["frames"])
    assert numbers == [*range(12), *range(10, -1, -1), *range(1, 8)]


def test_augmented_frames_maps_boxes_and_flow_stay_together(videos: list[PoseVideo]):
    moves = ImageAugmentation(scale=(0.9, 1.2), shift=(-0.1, 0.1), probability=1)
    resting, moved = dataset(videos), dataset(videos, augmentation=moves)
    for seed in range(4):
        item = moved[SampleIndex(0, seed)]
        change = moves.draw(generator_at_change(resting, seed), width=SIZE, height=SIZE)
        index, numbers = place(videos, resting[SampleIndex(0, seed)]["frames"])
        points_TK2 = change.points(videos[index].points_TK2[numbers])
        np.testing.assert_array_equal(item["view"].numpy(), change.view())
        for number, points_K2 in enumerate(points_TK2):
            drawn = draw_map(points_K2, map_style="speech2video", width=SIZE, height=SIZE)
            assert np.array_equal(item["maps"][number + 2].numpy(), drawn)
            rest = resting[SampleIndex(0, seed)]["frames"][number].permute(1, 2, 0).numpy()
            shown = item["frames"][number].permute(1, 2, 0).numpy()
            assert np.array_equal(shown, change.image(rest))
        head = region_boxes(points_TK2, "head")
        there = item["present"][:, 0].bool().numpy()
        np.testing.assert_allclose(item["boxes"][there, 0], head[there], rtol=1e-5)


def test_flow_takes_the_frame_before_to_the_frame(videos: list[PoseVideo]):
    item = dataset(videos, augmentation=ImageAugmentation(probability=1))[SampleIndex(0, 1)]
    frames, flow = item["frames"].float(), item["flow"].float()
    trusted = item["flow_trust"] == 255
    assert not flow[0].any() and not trusted[0].any() and trusted[1:].float().mean() > 0.6
    off = (warp(frames[:-1], flow[1:]) - frames[1:]).abs().mean(1)
    unwarped = (frames[:-1] - frames[1:]).abs().mean(1)
    assert off[trusted[1:]].mean() < 0.4 * unwarped[trusted[1:]].mean()


def test_noise_changes_maps_and_nothing_else(videos: list[PoseVideo]):
    clean, noisy = dataset(videos), dataset(videos, noise=MapNoise(body=0.02))
    for seed in range(3):
        item, other = clean[SampleIndex(0, seed)], noisy[SampleIndex(0, seed)]
        assert not torch.equal(item["maps"], other["maps"])
        assert all(torch.equal(item[name], other[name]) for name in KEYS - {"maps"})


def test_at_a_clips_start_the_first_map_stands_for_its_past(videos: list[PoseVideo]):
    data = dataset(videos[1:], curriculum=fixed_length(12), noise=MapNoise(), flow=False)
    maps = data[SampleIndex(0, 0)]["maps"]
    assert torch.equal(maps[0], maps[2]) and torch.equal(maps[1], maps[2])
    assert not torch.equal(maps[2], maps[3])


def test_absent_parts_have_no_box(videos: list[PoseVideo]):
    video = videos[1]
    points_TK2 = video.points_TK2.copy()
    points_TK2[:, 40:] = np.nan  # the right hand and the face
    without = replace(video, points_TK2=points_TK2)
    item = dataset([without], flow=False)[SampleIndex(0, 0)]
    assert not item["boxes"][:, [0, 2, 3]].any() and not item["present"][:, [0, 2, 3]].any()


def test_a_loader_makes_batches_of_it(videos: list[PoseVideo]):
    data = dataset(videos, item_count=6)
    assert len(data) == 6 and len(dataset(videos)) == 82 // LENGTH
    batch = next(iter(training_loader(data, batch_size=3)))
    assert batch["maps"].shape == (3, LENGTH + 2, 3, SIZE, SIZE)


def generator_at_change(data: Pose2VideoDataset, seed: int) -> np.random.Generator:
    """Return an item's generator after it has chosen its place."""
    random = SampleIndex(0, seed).rng()
    random.integers(sum(max(len(video) - LENGTH, 0) + 1 for video in data.videos))
    return random
