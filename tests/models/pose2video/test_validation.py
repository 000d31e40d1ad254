"""Validation: generated clips, their metrics and their images in the training log."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.pose2video.clip import PoseVideo, load_pose_videos
from speech2video.models.pose2video.generators.fast import FastGenerator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.model import OptimConfig, Pose2VideoModel
from speech2video.models.pose2video.renderer import (
    NETWORK,
    REGION_SIDE,
    SHOWN_REGIONS,
    Pose2VideoRenderer,
    Rollout,
    ValidationClip,
)
from speech2video.options.pose2video import Curriculum
from speech2video.util.body.body_model import Body
from speech2video.util.training_log import TrainingLog
from tests.video_clips import SIZE, write_moving_clip

FRAMES = 8


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, body: Body) -> PoseVideo:
    folder = tmp_path_factory.mktemp("clips")
    write_moving_clip(folder / "a", body, frames=12)
    return load_pose_videos(folder, body, width=SIZE, height=SIZE)[0]


def held_out(video: PoseVideo, *, frames: int = FRAMES) -> ValidationClip:
    return ValidationClip(video, map_style="speech2video", frames=frames, cache_bytes=10**8)


def renderer() -> Pose2VideoRenderer:
    generator = FastGenerator(size=(SIZE, SIZE), channels=(8, 16), blocks=(1, 1))
    return Pose2VideoRenderer(generator.eval(), "speech2video", SIZE, SIZE)


def test_a_clip_is_generated_from_its_maps(video: PoseVideo) -> None:
    rollout = held_out(video).generate(renderer())
    shape = (FRAMES, 3, SIZE, SIZE)
    assert rollout.maps.shape == rollout.real.shape == rollout.fake.shape == shape
    assert np.array_equal(rollout.fake, np.full(shape, 128))  # grey: nothing learned yet
    assert len(held_out(video, frames=100).generate(renderer()).real) == 12


def test_metrics_are_of_the_parts_that_are_seen(video: PoseVideo) -> None:
    rollout = held_out(video).generate(renderer())
    metrics = rollout.metrics()
    assert {"psnr", "ssim", "head_psnr", "head_ssim", "mouth_psnr"} <= set(metrics)
    perfect = replace(rollout, fake=rollout.real).metrics()
    assert perfect["ssim"] == pytest.approx(1) and perfect["psnr"] > metrics["psnr"] + 20
    without = replace(rollout, points_TK2=np.full_like(rollout.points_TK2, np.nan)).metrics()
    assert set(without) == {"psnr", "ssim"}


def test_an_error_in_the_head_is_reported_there(video: PoseVideo) -> None:
    rollout = held_out(video).generate(renderer())
    spoilt = rollout.real.copy()
    spoilt[:, :, -SIZE // 8 :, : SIZE // 8] ^= 255  # a corner below the head
    away = replace(rollout, fake=spoilt).metrics()
    perfect = replace(rollout, fake=rollout.real).metrics()
    assert away["psnr"] < perfect["psnr"] and away["head_psnr"] == perfect["head_psnr"]


def test_clips_need_not_show_the_same_parts(video: PoseVideo) -> None:
    points_TK2 = video.points_TK2.copy()
    points_TK2[:, 40:] = np.nan  # the right hand and the face
    without = replace(video, points_TK2=points_TK2)
    made = Pose2VideoModel(renderer().generator, OptimConfig(lr=0.0))
    whole, part = ([held_out(one)] for one in (video, without))
    for order in (whole + part, part + whole):
        metrics = made.validate(order, None)
        assert metrics["head_psnr"] == pytest.approx(made.validate(whole, None)["head_psnr"])


def test_frames_of_coarse_scales_are_enlarged(video: PoseVideo) -> None:
    torch.manual_seed(0)
    generator = Vid2VidGenerator(
        ngf=8, n_scales_spatial=2, n_downsample_G=1, n_blocks=1, norm="instance"
    )
    made = Pose2VideoModel(
        generator, OptimConfig(lr=0.0, ema=None), curriculum=Curriculum(scale_epochs=1)
    )
    made.on_epoch(0)
    with made.evaluating():
        metrics = made.validate([held_out(video)], None)
        rollout = held_out(video).generate(
            Pose2VideoRenderer(made.networks[NETWORK], "speech2video")
        )
    assert rollout.fake.shape == rollout.real.shape and np.isfinite(metrics["psnr"])


def test_a_page_shows_maps_frames_parts_and_a_video(video: PoseVideo, tmp_path: Path) -> None:
    rollout = held_out(video).generate(renderer())
    with_hand_away = rollout.points_TK2.copy()
    with_hand_away[0, 40:] = np.nan
    without = replace(rollout, points_TK2=with_hand_away)
    rows = {r: list(without._region_rows(r, np.array([0, 5]))) for r in SHOWN_REGIONS}
    assert {one.shape for pair in rows.values() for one in pair} == {
        (3, REGION_SIDE, 2 * REGION_SIDE)
    }
    assert not rows["head"][0].any() and rows["head"][1].any()
    log = TrainingLog(tmp_path, title="a", step=0)
    Rollout.show(rollout, log, 0)
    log.close()
    page = (tmp_path / "index.html").read_text()
    for column in ("map", "generated", "real", "head", "left_hand", "right_hand"):
        assert column in page
    assert list((tmp_path / "videos").glob("*.mp4"))
