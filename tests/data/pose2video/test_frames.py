"""Random access gives the file's frames, whatever is cached."""

from pathlib import Path

import numpy as np
import pytest

from speech2video.data.pose2video.clip import PoseVideo, load_pose_videos
from speech2video.data.pose2video.frames import FrameCache
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.video.reader import read_frames
from tests.video_clips import write_moving_clip

SIZE = 64
FRAME_BYTES = SIZE * SIZE * 3


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, body: Body) -> list[PoseVideo]:
    folder = tmp_path_factory.mktemp("clips")
    for seed, frames in enumerate((130, 70)):
        write_moving_clip(folder / str(seed), body, frames=frames, seed=seed)
    return load_pose_videos(folder, body, width=SIZE, height=SIZE)


@pytest.fixture(scope="module")
def ground_truth(videos: list[PoseVideo]) -> list[np.ndarray]:
    return [
        np.stack([v.framing.image(f.transpose(1, 2, 0)) for f in read_frames(v.video)])
        for v in videos
    ]


@pytest.mark.parametrize("limit", [0, 40 * FRAME_BYTES, 120 * FRAME_BYTES, 10**9])
def test_frames_are_those_of_the_file(
    videos: list[PoseVideo], ground_truth: list[np.ndarray], limit: int
):
    cache, random = FrameCache(videos, limit_bytes=limit), np.random.default_rng(limit)
    for _ in range(12):
        clip = int(random.integers(2))
        numbers = random.integers(len(videos[clip]), size=5)
        assert np.array_equal(cache.frames(clip, numbers), ground_truth[clip][numbers])
        kept = sum(chunk.nbytes for _, chunk in cache._chunks._kept.values())
        assert kept == cache.bytes <= limit


def test_with_room_each_frame_is_decoded_once(
    videos: list[PoseVideo], ground_truth: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    cache = FrameCache(videos, limit_bytes=200 * FRAME_BYTES)
    for clip in (0, 1):
        assert np.array_equal(cache.frames(clip, range(len(videos[clip]))), ground_truth[clip])
    assert cache.bytes == 200 * FRAME_BYTES
    monkeypatch.setattr("speech2video.data.pose2video.frames.open_media", None)
    for clip in (1, 0):
        assert np.array_equal(cache.frames(clip, range(len(videos[clip]))), ground_truth[clip])


def test_a_part_counts_from_its_own_first_frame(
    videos: list[PoseVideo], ground_truth: list[np.ndarray]
):
    cache = FrameCache([videos[0].part(45, 110)], limit_bytes=10**9)
    assert np.array_equal(cache.frames(0, [64, 0, 7]), ground_truth[0][[109, 45, 52]])


def test_what_is_given_out_is_no_window_on_what_is_kept(videos: list[PoseVideo]):
    cache = FrameCache(videos, limit_bytes=10**9)
    first = cache.frames(0, [3])
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(cache.frames(0, [3]), kept)


def test_a_file_cut_short_is_one_line(videos: list[PoseVideo], tmp_path: Path, body: Body):
    clip = write_moving_clip(tmp_path / "a", body, frames=120)
    (video,) = load_pose_videos(tmp_path, body, width=SIZE, height=SIZE)
    content = bytearray(clip.video.read_bytes())
    content[len(content) * 2 // 3 :] = bytes(len(content) - len(content) * 2 // 3)
    clip.video.write_bytes(content)
    with pytest.raises(DataError) as error:
        FrameCache([video], limit_bytes=10**9).frames(0, range(120))
    assert str(clip.video) in str(error.value) and "\n" not in str(error.value)
