"""Clips as pictures with points: loaded, divided, one camera for all; bad ones in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.clip import Clip
from speech2video.data.framing import Framing
from speech2video.data.motion import from_pose_vector
from speech2video.data.motion_file import read_motion, write_motion
from speech2video.data.pose_video import PoseVideo, load_pose_videos, shared_camera
from speech2video.util.body.body_model import Body
from speech2video.util.camera import Camera
from speech2video.util.errors import DataError
from tests.picture_clips import write_picture_clip

FRAMES = 60


def video(name: str, frames: int, camera: Camera | None = None) -> PoseVideo:
    camera = camera or Camera(90.0, (32.0, 32.0), 64, 64, translation=(0, 0, 1.5))
    points_TK2 = np.repeat(np.arange(frames, dtype=np.float32), 288).reshape(frames, 144, 2)
    return PoseVideo(name, Path(name), frames, points_TK2, Framing(64, 64, 64, 64), camera)


def test_a_data_set_is_loaded_with_points_where_the_camera_has_them(tmp_path: Path, body: Body):
    clips = [write_picture_clip(tmp_path / name, body, frames=FRAMES) for name in ("b", "a")]
    videos = load_pose_videos(tmp_path, body, width=64, height=48)
    assert [v.name for v in videos] == ["a", "b"] and [len(v) for v in videos] == [FRAMES] * 2
    motion = read_motion(clips[0].pose)
    points_TK2 = motion.camera.project(body.points(motion.pose_vector(body))).numpy()
    wanted_TK2 = videos[0].framing.points(points_TK2)
    assert videos[0].points_TK2.dtype == np.float32
    np.testing.assert_allclose(videos[0].points_TK2, wanted_TK2, atol=1e-2)
    assert (videos[0].camera.width, videos[0].camera.height) == (64, 48)
    some = load_pose_videos(tmp_path, body, width=64, height=48, names=["b"])
    assert [v.name for v in some] == ["b"]
    with pytest.raises(DataError, match="c: no such clip; there are a, b"):
        load_pose_videos(tmp_path, body, width=64, height=48, names=["b", "c"])


def test_a_part_knows_where_in_the_file_it_is():
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
    write_motion(clip.pose, from_pose_vector(torch.zeros(9, 106), body, camera=camera))


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
    clip = write_picture_clip(tmp_path / "a", body, frames=20)
    spoil(clip, body)
    with pytest.raises(DataError, match=words) as error:
        load_pose_videos(tmp_path, body, width=64, height=64)
    assert "\n" not in str(error.value)


def test_a_clip_of_one_frame_is_refused(tmp_path: Path, body: Body):
    write_picture_clip(tmp_path / "a", body, frames=1)
    with pytest.raises(DataError, match="1 frames; at least 2"):
        load_pose_videos(tmp_path, body, width=64, height=64)


def test_a_bad_size_is_refused(tmp_path: Path, body: Body):
    write_picture_clip(tmp_path / "a", body, frames=2)
    with pytest.raises(DataError, match="positive multiples"):
        load_pose_videos(tmp_path, body, width=63, height=64)
