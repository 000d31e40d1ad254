"""`scripts/evaluate.py video`: properties of any trained model."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import evaluate
import numpy as np
import pytest
import torch
from evaluation import video
from evaluation.video_baselines import Baselines, back_and_forth
from evaluation.video_metrics import HANDS, count_hands, landmark_metrics
from torch import nn

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.pose2video.clip import PoseVideo, load_pose_videos
from speech2video.data.pose2video.frames import FrameCache
from speech2video.models.checkpointing import save_weights
from speech2video.models.pose2video.renderer import NETWORK, build_generator, complete_options
from speech2video.options.pose2video import TrainPose2VideoOptions, Vid2VidOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.metrics.image import IDENTICAL_DB
from speech2video.util.metrics.motion import LIPS
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_skeleton_map
from speech2video.util.video.writer import write_video
from tests.models.evaluators.small_networks import FACE, write_networks
from tests.shared import run_here

SIZE, FRAMES = 64, 12
CAMERA = Camera(110.0, (32.0, 32.0), SIZE, SIZE, translation=(0.0, 0.15, 1.5))
SYSTEMS = ["model", "nearest_pose", "mean_frame"]


def write_clip(folder: Path, body: Body, *, phase: float) -> None:
    """Write a clip of a person leaning and talking; the image is a soft skeleton on noise."""
    folder.mkdir(parents=True)
    clip, time_T = Clip(folder), torch.arange(FRAMES) / 4 + phase
    pose_TP = torch.zeros(FRAMES, POSE_SIZE)
    pose_TP[:, POSE_SLICES["translation"]][:, 0] = 0.1 * torch.sin(time_T)
    pose_TP[:, POSE_SLICES["jaw"]][:, 0] = 0.15 + 0.15 * torch.sin(3 * time_T)
    write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=CAMERA))
    background = np.random.default_rng(0).integers(60, 120, (SIZE, SIZE, 3), np.uint8)
    frames = [
        background // 2
        + cv2.GaussianBlur(draw_skeleton_map(points_K2, width=SIZE, height=SIZE), (0, 0), 1) // 2
        for points_K2 in CAMERA.project(body.points(pose_TP)).numpy()
    ]
    write_video(clip.video, (frame.transpose(2, 0, 1) for frame in frames), quality=5)
    clip.write_info(ClipInfo("a.mp4", FRAMES, SIZE, SIZE, "", body.name))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    """A folder with data/{000,001,002}, the last a copy of 001, and a run of random weights."""
    folder = tmp_path_factory.mktemp("video")
    for name, phase in (("000", 0.0), ("001", 5.0), ("002", 5.0)):
        write_clip(folder / "data" / name, body, phase=phase)
    run = folder / "runs" / "small" / "pose2video"
    run.mkdir(parents=True)
    torch.manual_seed(0)
    options = Vid2VidOptions(
        ngf=4, n_downsample_G=2, n_blocks=1, norm="instance", map_style="speech2video"
    )
    options.save(run / OPTIONS_FILE)
    save_weights(run / WEIGHTS_FILE, nn.ModuleDict({NETWORK: build_generator(options)}))
    return folder


def write_own_run(here: Path) -> None:
    """Write a run with training dataset and held-out clips in its options."""
    options = TrainPose2VideoOptions(
        name="own", dataset=here / "data", width=SIZE, height=SIZE, held_out=("001",)
    )
    options = complete_options(options, CAMERA)
    run = here / "runs" / "own" / "pose2video"
    run.mkdir(parents=True)
    options.save(run / OPTIONS_FILE)
    save_weights(run / WEIGHTS_FILE, nn.ModuleDict({NETWORK: build_generator(options)}))


def run_evaluation(here: Path, output: Path, monkeypatch: pytest.MonkeyPatch, *more: object) -> Any:
    arguments = ["video", "--name", "small", "--checkpoints", here / "runs", "--output", output]
    arguments += ["--dataset", here / "data", "--size", SIZE, SIZE, "--no-landmarks"]
    arguments += ["--bootstrap_samples", 20]
    assert run_here(monkeypatch, evaluate.main, *arguments, *more) == 0
    return json.loads((output / "metrics.json").read_text())


def videos(here: Path, body: Body) -> list[PoseVideo]:
    return load_pose_videos(here / "data", body, width=SIZE, height=SIZE)


def test_the_report_describes_itself(
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = run_evaluation(here, tmp_path, monkeypatch, "--held_out", "001", "--frames", 8)
    about = metrics["about"]
    assert about["frames"] == 8 and about["size"] == f"{SIZE}x{SIZE}" and about["fps"] == 25
    assert about["seed"] == 0 and about["training_frames"] == 2 * FRAMES
    for part in ("whole_frame", "head", "mouth"):
        assert list(metrics[part]["psnr"]) == list(metrics[part]["ssim"]) == SYSTEMS
    missing = {"lpips", "fid", "fvd", "identity_similarity", "landmarks"}
    assert missing <= set(metrics["unavailable"])
    assert "lpips" not in metrics["whole_frame"] and "drift" not in metrics
    (name,) = metrics["map_model_and_real"].values()
    assert (tmp_path / name).stat().st_size > 1000
    assert f'src="{name}"' in (tmp_path / "report.html").read_text()
    printed = capsys.readouterr().out
    assert "nearest_pose" in printed and "alexnet" in printed


def test_training_frames_are_found(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = run_evaluation(here, tmp_path, monkeypatch, "--held_out", "002")  # 001 is the same
    whole = metrics["whole_frame"]
    assert whole["psnr"]["nearest_pose"] == IDENTICAL_DB
    assert whole["ssim"]["nearest_pose"] == pytest.approx(1)
    assert whole["flicker"]["mean_frame"] == 0
    assert whole["psnr"]["mean_frame"] > whole["psnr"]["model"]
    assert (
        metrics["model_intervals"]["whole_frame psnr"]["improvement_over_nearest_pose"]["high"] < 0
    )


def test_held_out_clips_come_from_the_run(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own_run(here)
    files = ["--name", "own", "--checkpoints", here / "runs", "--output", tmp_path]
    more = ["--no-landmarks", "--frames", 3, "--bootstrap_samples", 10]
    assert run_here(monkeypatch, evaluate.main, "video", *files, *more) == 0
    about = json.loads((tmp_path / "metrics.json").read_text())["about"]
    assert about["clips"] == "001[0:3]" and about["generator"] == "FastGenerator"


class PerfectRenderer:
    """Renders the real frames, back and forth."""

    width = height = SIZE
    generator = None
    frames: list[np.ndarray]

    def draw_maps(self, points_TK2: Iterable[np.ndarray], *, size: tuple[int, int]) -> Iterator:
        return (np.zeros((3, *size), np.uint8) for _ in points_TK2)

    def render(self, maps: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        period = 2 * (len(self.frames) - 1)
        for t, _ in enumerate(maps):
            yield self.frames[min(t % period, period - t % period)]


def test_a_perfect_renderer_has_perfect_metrics(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Body
) -> None:
    renderer = PerfectRenderer()
    cache = FrameCache(videos(here, body), limit_bytes=1 << 24)
    renderer.frames = [frame.transpose(2, 0, 1) for frame in cache.frames(1, range(FRAMES))]
    monkeypatch.setattr(video, "load_renderer", lambda *_, **__: renderer)
    networks = write_networks(tmp_path)
    more = ["--networks", networks, "--face_network", networks / FACE, "--face_size", 32]
    more += ["--trust_torchscript"]
    more += ["--held_out", "001", "--minutes", 0.04]
    metrics = run_evaluation(here, tmp_path / "out", monkeypatch, *more)
    for part in ("whole_frame", "head", "mouth"):
        assert metrics[part]["psnr"]["model"] == IDENTICAL_DB
        assert metrics[part]["ssim"]["model"] == pytest.approx(1)
        for metric in ("sharpness", "flicker", "warping_error_x1000"):
            assert metrics[part][metric]["model"] == metrics[part][metric]["real"]
        assert metrics[part]["lpips"]["model"] == 0 < metrics[part]["lpips"]["mean_frame"]
    for part in ("whole_frame", "head"):
        fid = metrics[part]["fid"]
        assert fid["model"] == fid["real"] == pytest.approx(0, abs=1e-3) and fid["mean_frame"] > 0
        assert {"kid", "inception_score"} <= set(metrics[part])
    assert metrics["head"]["identity_similarity"]["model"] == pytest.approx(1)
    assert set(metrics["unavailable"]) == {
        "ms_ssim",
        "fvd",
        "landmarks",
    }
    assert metrics["model_intervals"]["head ssim"]["improvement_over_mean_frame"]["low"] > 0
    rows = metrics["drift"]["by_time"]
    assert len(rows) == 3 and rows["from 0 s"]["sharpness"] == pytest.approx(1)
    for name in ("psnr", "ssim", "sharpness"):
        assert rows["last over first"][name] == pytest.approx(1)


def test_a_loop_has_no_jumps() -> None:
    numbers = list(back_and_forth(50, 7))
    assert set(numbers) == set(range(7)) and numbers[:8] == [*range(7), 5]
    assert (np.abs(np.diff(numbers)) == 1).all()
    assert list(back_and_forth(3, 1)) == [0, 0, 0]


def test_nearest_pose_ignores_points_outside_the_image(here: Path, body: Body) -> None:
    train = videos(here, body)[:2]
    baselines = Baselines(train, FrameCache(train, limit_bytes=1 << 24))
    assert (baselines.nearest(train[1]) == FRAMES + np.arange(FRAMES)).all()
    points_TK2 = train[1].points_TK2
    outside = points_TK2[..., 0] > SIZE
    assert outside[:, POINT_INDEX["left_wrist"]].all()
    points_TK2[outside] += (500, 0)
    assert (baselines.nearest(train[1]) == FRAMES + np.arange(FRAMES)).all()


def test_identical_landmarks_have_no_error() -> None:
    real = np.random.default_rng(0).uniform(0, SIZE, (FRAMES, 144, 2))
    same = landmark_metrics(real, real, real)
    assert all((same[name] == 0).all() for name in same if "error" in name)
    assert all((same[name] == 1).all() for name in same if "recall" in name)
    moved = landmark_metrics(real + 3, real, real)
    assert moved["mouth_error"] == pytest.approx(np.zeros(FRAMES)) and moved["body_error"].min() > 0
    twice = landmark_metrics(2 * (real + 3), 2 * real, 2 * real)
    assert twice["body_error"] == pytest.approx(moved["body_error"])
    assert count_hands(real) == 2 * FRAMES


def test_missing_landmarks_lower_recall() -> None:
    real = np.random.default_rng(0).uniform(0, SIZE, (FRAMES, 144, 2))
    missing = real.copy()
    missing[0, HANDS[0]] = np.nan
    missing[1, list(IBUG68)] = np.nan
    scores = landmark_metrics(missing, real, real)
    assert scores["hands_recall"][:2] == pytest.approx([0.5, 1])
    assert scores["face_recall"][:2] == pytest.approx([1, 0])
    assert np.isnan(scores["mouth_error"][1]) and scores["mouth_error"][0] == 0
    undetected = landmark_metrics(real, np.full_like(real, np.nan), real)
    assert np.isnan(undetected["hands_recall"]).all()
    opened = real.copy()
    opened[:, LIPS] *= 1.5
    assert landmark_metrics(opened, real, real)["mouth_error"].min() > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "missing", "--held_out", "001"), "no checkpoint"),
        (("--name", "small", "--held_out", "007"), "no such clip"),
        (("--name", "small"), "--held_out"),
        (("--name", "small", "--held_out", "001", "--networks", "nowhere"), "nowhere"),
        (("--name", "small", "--held_out", "001", "--face_network", "none.pt"), "none.pt"),
        (("--name", "small", "--held_out", "001", "--dataset", "nowhere"), "no clips"),
    ],
)
def test_bad_input_is_reported(
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    files = ["--checkpoints", here / "runs", "--output", tmp_path / "out", "--size", SIZE, SIZE]
    if "--dataset" not in arguments:
        files += ["--dataset", here / "data"]
    assert run_here(monkeypatch, evaluate.main, "video", *arguments, *files) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
