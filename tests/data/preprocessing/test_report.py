"""The report finds what was put into a clip: noise, missing parts, a late sound."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.keypoints import Keypoints
from speech2video.data.motion import from_pose_vector
from speech2video.data.motion_file import write_motion
from speech2video.data.preprocessing.clip_figures import clip_figures, sound_lag
from speech2video.data.preprocessing.report import verdict, write_report
from speech2video.util.audio import write_wave
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import IBUG68, LEFT_HAND_JOINTS, indices
from speech2video.util.camera import Camera
from speech2video.util.video import write_video

FRAMES, SIZE, NOISE, LATE = 60, 128, 1.5, 2


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Clip:
    """A clip whose detector is off by some noise, loses the left hand, and whose sound is late."""
    clip = Clip(tmp_path_factory.mktemp("dataset") / "talk")
    clip.folder.mkdir()
    random = np.random.default_rng(0)
    opening = np.convolve(random.random(FRAMES + LATE), np.ones(3) / 3, "same")[:FRAMES]
    pose = torch.zeros(FRAMES, POSE_SIZE)
    pose[:, POSE_SLICES["jaw"].start] = torch.from_numpy(0.35 * opening).float()
    camera = Camera(1200.0, (64.0, 64.0), SIZE, SIZE, translation=(0.0, 0.27, 0.8))
    write_motion(clip.pose, from_pose_vector(pose, body, camera=camera))
    points = body.points(pose)
    pixels = camera.project(points).numpy() + random.normal(0, NOISE, (FRAMES, 144, 2))
    seen = np.concatenate((pixels, np.ones((FRAMES, 144, 1))), 2).astype(np.float32)
    seen[:, indices(LEFT_HAND_JOINTS)] = (np.nan, np.nan, 0)
    world = points.numpy().astype(np.float32)
    Keypoints(seen, world, SIZE, SIZE, 25.0, "mediapipe", people=1).save(clip.keypoints)
    loud = np.repeat(np.roll(opening, LATE), 640) * np.sin(np.arange(FRAMES * 640) / 3)
    write_wave(clip.audio, loud.astype(np.float32) * 0.9)
    write_video(clip.video, (np.full((3, SIZE, SIZE), 99, np.uint8) for _ in range(FRAMES)))
    clip.write_info(ClipInfo("talk.mp4", FRAMES, SIZE, SIZE, "mediapipe", "open", notes=("cut",)))
    return clip


def test_known_noise_is_the_error_found(clip: Clip, body: Body) -> None:
    figures = clip_figures(clip, body)
    # the length of two normal errors has its median at 1.18 standard deviations
    assert figures.errors["face"].median == pytest.approx(1.18 * NOISE, rel=0.1)
    assert figures.found["left_hand"] == 0 and figures.found["face"] == 1
    assert figures.frames == FRAMES


def test_given_points_take_the_place_of_the_projected_ones(clip: Clip, body: Body) -> None:
    exact = Keypoints.load(clip.keypoints).points_TK3[..., :2]
    figures = clip_figures(clip, body, pixels_TK2=exact)
    assert figures.errors["face"].median == pytest.approx(0, abs=1e-4)


def test_a_known_lag_is_found(clip: Clip, body: Body) -> None:
    random = np.random.default_rng(1)
    for lag in (-5, 0, 3):
        opening = random.random(200)
        assert sound_lag(opening, np.roll(opening, lag))[0] == lag
    assert len(IBUG68) == 68 and clip_figures(clip, body).lag in (LATE - 1, LATE, LATE + 1)


def test_the_verdict_says_what_is_the_matter(clip: Clip, body: Body) -> None:
    figures = clip_figures(clip, body)
    minutes, hands, _, sound = verdict([figures])
    assert minutes.good is False and "Too little" in minutes.sentence
    assert hands.good is False and "left hand in 0%" in hands.sentence
    assert sound.good is None, "two seconds cannot tell"
    late = replace(figures, frames=5000, lag=9, lag_correlation=0.8)
    assert verdict([late])[3].good is False and verdict([late])[0].good is True


def test_page_and_json_hold_the_figures(clip: Clip, body: Body) -> None:
    page = write_report(clip.folder.parent, body=body).read_text()
    assert "talk" in page and "cut" in page and "<svg" in page and "data:image" in page
    report = json.loads(Path(clip.folder.parent / "report.json").read_text())
    assert report["clips"][0]["frames"] == FRAMES
    assert report["clips"][0]["errors"]["face"]["median"] > 0
