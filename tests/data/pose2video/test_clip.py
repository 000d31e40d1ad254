"""Clips as images with points: loaded, divided, one camera for all; bad ones in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from speech2video.data.clip import Clip
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.pose2video.clip import (
    Framing,
    PoseVideo,
    load_pose_videos,
    points_in_box,
    shared_camera,
    shared_shape,
)
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera
from tests.video_clips import write_moving_clip

FRAMES = 60


def video(name: str, frames: int, camera: Camera | None = None) -> PoseVideo:
    camera = camera or Camera(90.0, (32.0, 32.0), 64, 64, translation=(0, 0, 1.5))
    points_TK2 = np.repeat(np.arange(frames, dtype=np.float32), 288).reshape(frames, 144, 2)
    return PoseVideo(name, Path(name), points_TK2, Framing(64, 64, 64, 64), camera)


def framed_points(framing: Framing, points: np.ndarray) -> np.ndarray:
    return points_in_box(points, framing.box, width=framing.width, height=framing.height)


def test_a_data_set_is_loaded_with_points_where_the_camera_has_them(tmp_path: Path, body: Body):
    clips = [write_moving_clip(tmp_path / name, body, frames=FRAMES) for name in ("b", "a")]
    videos = load_pose_videos(tmp_path, body, width=64, height=48)
    assert [v.name for v in videos] == ["a", "b"] and [len(v) for v in videos] == [FRAMES] * 2
    motion = read_motion(clips[0].pose)
    points_TK2 = motion.camera.project(body.points(motion.pose_vector(body))).numpy()
    wanted_TK2 = framed_points(videos[0].framing, points_TK2)
    assert videos[0].points_TK2.dtype == np.float32
    np.testing.assert_allclose(videos[0].points_TK2, wanted_TK2, atol=1e-2)
    assert (videos[0].camera.width, videos[0].camera.height) == (64, 48)
    some = load_pose_videos(tmp_path, body, width=64, height=48, names=["b"])
    assert [v.name for v in some] == ["b"]
    with pytest.raises(DataError, match="c: no such clip; there are a, b"):
        load_pose_videos(tmp_path, body, width=64, height=48, names=["b", "c"])


def test_points_are_those_of_the_person_s_own_shape(tmp_path: Path, body: Body):
    shapes = {"a": [1.5, -0.5], "b": [0.5, 0.5]}
    for name, betas in shapes.items():
        clip = write_moving_clip(tmp_path / name, body, frames=3)
        motion = replace(read_motion(clip.pose), betas=torch.tensor(betas + [0.0] * 8))
        write_motion(clip.pose, motion)
    videos = load_pose_videos(tmp_path, body, width=64, height=64)
    motion = read_motion(tmp_path / "a" / "pose.npz")
    shaped = body.points(motion.pose_vector(body), betas=motion.betas)
    wanted_TK2 = framed_points(videos[0].framing, motion.camera.project(shaped).numpy())
    np.testing.assert_allclose(videos[0].points_TK2, wanted_TK2, atol=1e-2)
    assert np.abs(videos[0].points_TK2 - videos[1].points_TK2).max() > 0.5
    assert shared_shape(videos) == pytest.approx((1.0, 0.0, *[0.0] * 8))


def test_a_part_has_its_offset_in_the_file():
    part = video("a", 100).part(75, 100)
    assert part.begin == 75 and np.array_equal(part.points_TK2[:, 0, 0], np.arange(75, 100))


def test_the_shared_camera_is_the_one_in_the_middle(capsys: pytest.CaptureFixture[str]):
    cameras = [
        Camera(90.0, (32.0, 32.0), 64, 64, translation=(0, 0, z)) for z in (1.50, 1.52, 1.51)
    ]
    videos = [video(str(n), 50, camera) for n, camera in enumerate(cameras)]
    assert shared_camera(videos) == cameras[2] and not capsys.readouterr().err
    videos.append(video("far", 50, replace(cameras[0], translation=(0, 0, 3.0))))
    assert shared_camera(videos) in cameras
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1 and "far" in warning


def without(part: str) -> Callable[[Clip, Body], None]:
    return lambda clip, body: getattr(clip, part).unlink()


def no_camera(clip: Clip, body: Body) -> None:
    write_motion(clip.pose, replace(read_motion(clip.pose), camera=None))


def other_camera(clip: Clip, body: Body) -> None:
    motion = read_motion(clip.pose)
    write_motion(clip.pose, replace(motion, camera=motion.camera.resized(320, 240)))


def other_body(clip: Clip, body: Body) -> None:
    write_motion(clip.pose, replace(read_motion(clip.pose), body="smplx"))


def fewer_poses(clip: Clip, body: Body) -> None:
    camera = read_motion(clip.pose).camera
    write_motion(clip.pose, motion_from_pose(torch.zeros(9, 106), body, camera=camera))


def no_video(clip: Clip, body: Body) -> None:
    clip.video.write_text("nothing that moves")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without("json"), "no clips"),
        (without("video"), "no video.mp4"),
        (without("pose"), "no pose.npz"),
        (no_camera, "no camera"),
        (other_camera, "320x240"),
        (other_body, "--body"),
        (fewer_poses, "9 poses"),
        (no_video, "not a video"),
    ],
)
def test_bad_clips_are_one_line(
    tmp_path: Path, body: Body, spoil: Callable[[Clip, Body], None], words: str
):
    clip = write_moving_clip(tmp_path / "a", body, frames=20)
    spoil(clip, body)
    with pytest.raises(DataError, match=words) as error:
        load_pose_videos(tmp_path, body, width=64, height=64)
    assert "\n" not in str(error.value)


def test_a_clip_of_one_frame_is_refused(tmp_path: Path, body: Body):
    write_moving_clip(tmp_path / "a", body, frames=1)
    with pytest.raises(DataError, match="1 frames; at least 2"):
        load_pose_videos(tmp_path, body, width=64, height=64)


def test_a_bad_size_is_refused(tmp_path: Path, body: Body):
    write_moving_clip(tmp_path / "a", body, frames=2)
    with pytest.raises(DataError, match="positive multiples"):
        load_pose_videos(tmp_path, body, width=63, height=64)


# Images, points and cameras that are framed stay together, whatever the sizes.

SIZES = [(512, 384, 256, 256), (384, 512, 256, 192), (100, 100, 200, 300), (641, 359, 64, 48)]


@pytest.mark.parametrize("sizes", SIZES)
def test_the_box_is_centred_whole_and_of_the_shape(sizes: tuple[int, int, int, int]):
    framing = Framing(*sizes)
    x, y, width, height = framing.box
    assert min(x, y) >= 0 and x + width <= sizes[0] and y + height <= sizes[1]
    assert width == sizes[0] or height == sizes[1]
    assert abs(sizes[0] - width - 2 * x) <= 1 and abs(sizes[1] - height - 2 * y) <= 1
    assert abs(width * sizes[3] - height * sizes[2]) <= max(sizes[2:]) / 2  # half a source pixel


def test_its_own_size_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    framing = Framing(60, 40, 60, 40)
    points = np.random.default_rng(0).uniform(0, 60, (5, 2))
    assert np.array_equal(framing.image(image), image)
    assert np.array_equal(framed_points(framing, points), points)


@pytest.mark.parametrize("sizes", SIZES)
def test_what_is_drawn_at_a_point_is_found_at_the_framed_point(sizes: tuple[int, int, int, int]):
    framing = Framing(*sizes)
    x_W, y_H = np.arange(sizes[0]) + 0.5, np.arange(sizes[1])[:, None] + 0.5
    random = np.random.default_rng(0)
    x, y, width, height = framing.box
    spread = min(width, height) / 12
    for _ in range(5):
        point = random.uniform((x + 3 * spread, y + 3 * spread), (x + width / 2, y + height / 2))
        spot = 255 * np.exp(-((x_W - point[0]) ** 2 + (y_H - point[1]) ** 2) / (2 * spread**2))
        framed = framing.image(np.repeat(spot[..., None], 3, -1).astype(np.uint8))
        assert framed.shape == (sizes[3], sizes[2], 3)
        moments = cv2.moments(np.where(framed[..., 0] > 20, framed[..., 0], 0).astype(np.float32))
        found = np.array((moments["m10"], moments["m01"])) / moments["m00"] + 0.5
        np.testing.assert_allclose(found, framed_points(framing, point), atol=0.15)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_framed_camera_projects_to_the_framed_points(sizes: tuple[int, int, int, int]):
    framing = Framing(*sizes)
    camera = Camera(300.0, (sizes[0] / 2 + 3, sizes[1] / 2 - 5), *sizes[:2], translation=(0, 0, 2))
    points_K3 = torch.rand(20, 3) - 0.5
    framed = framing.camera(camera)
    assert (framed.width, framed.height) == sizes[2:]
    wanted_K2 = framed_points(framing, camera.project(points_K3).numpy())
    off = np.abs(framed.project(points_K3).numpy() - wanted_K2).max()
    assert off <= max(1e-3, 0.6 * sizes[2] / framing.box[2])


@pytest.mark.parametrize("size", [(0, 64), (-4, 64), (64, 30), (62, 64)])
def test_sizes_that_cannot_be_are_refused(size: tuple[int, int]):
    with pytest.raises(DataError, match="positive multiples of 4"):
        Framing(100, 100, *size)
