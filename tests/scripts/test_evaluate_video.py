"""`scripts/evaluate.py video`: what must be so whatever was trained."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import evaluate
import numpy as np
import pytest
import torch
from evaluation import video, video_landmarks
from evaluation.video_baselines import Baselines, back_and_forth
from torch import nn

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.pose2video.clip import PoseVideo, load_pose_videos
from speech2video.data.pose2video.frame_cache import FrameCache
from speech2video.models.checkpointing import save_weights
from speech2video.models.pose2video.renderer import NETWORK, build_generator, complete_options
from speech2video.options.pose2video import TrainPose2VideoOptions, Vid2VidOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.metrics.image import IDENTICAL_DB
from speech2video.util.metrics.points import LIPS
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_skeleton_map
from speech2video.util.video.writer import write_video
from tests.models.evaluators.small_networks import FACE, write_networks
from tests.shared import run_here

SIZE, FRAMES = 64, 12
CAMERA = Camera(110.0, (32.0, 32.0), SIZE, SIZE, translation=(0.0, 0.15, 1.5))
SYSTEMS = ["model", "nearest_pose", "mean_frame"]


def write_clip(folder: Path, body: Body, *, phase: float) -> None:
    """Write a clip of somebody who leans and talks; the picture is a soft skeleton on a wall."""
    folder.mkdir(parents=True)
    clip, time_T = Clip(folder), torch.arange(FRAMES) / 4 + phase
    pose_TP = torch.zeros(FRAMES, POSE_SIZE)
    pose_TP[:, POSE_SLICES["translation"]][:, 0] = 0.1 * torch.sin(time_T)
    pose_TP[:, POSE_SLICES["jaw"]][:, 0] = 0.15 + 0.15 * torch.sin(3 * time_T)
    write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=CAMERA))
    wall = np.random.default_rng(0).integers(60, 120, (SIZE, SIZE, 3), np.uint8)
    frames = [
        wall // 2
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
        width=4, halvings=2, blocks=1, norm="instance", map_style="speech2video"
    )
    options.save(run / OPTIONS_FILE)
    save_weights(run / WEIGHTS_FILE, nn.ModuleDict({NETWORK: build_generator(options)}))
    return folder


def write_own_run(here: Path) -> None:
    """Write a run that says what it was trained on and what it held out."""
    options = TrainPose2VideoOptions(
        name="own", dataset=here / "data", width=SIZE, height=SIZE, held_out=("001",)
    )
    options = complete_options(options, CAMERA)
    run = here / "runs" / "own" / "pose2video"
    run.mkdir(parents=True)
    options.save(run / OPTIONS_FILE)
    save_weights(run / WEIGHTS_FILE, nn.ModuleDict({NETWORK: build_generator(options)}))


def judged(here: Path, output: Path, monkeypatch: pytest.MonkeyPatch, *more: object) -> Any:
    arguments = ["video", "--name", "small", "--checkpoints", here / "runs", "--output", output]
    arguments += ["--dataset", here / "data", "--size", SIZE, SIZE, "--bootstrap_samples", 20, "--no-landmarks"]
    assert run_here(monkeypatch, evaluate.main, *arguments, *more) == 0
    return json.loads((output / "metrics.json").read_text())


def videos(here: Path, body: Body) -> list[PoseVideo]:
    return load_pose_videos(here / "data", body, width=SIZE, height=SIZE)


def test_the_table_says_what_it_is_of(
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = judged(here, tmp_path, monkeypatch, "--held_out", "001", "--frames", 8)
    about = figures["about"]
    assert about["frames"] == 8 and about["size"] == f"{SIZE}x{SIZE}" and about["fps"] == 25
    assert about["seed"] == 0 and about["training_frames"] == 2 * FRAMES
    for part in ("whole_frame", "head", "mouth"):
        assert list(figures[part]["psnr_db"]) == list(figures[part]["ssim"]) == SYSTEMS
    assert {"lpips", "fid", "fvd", "identity_similarity", "landmarks"} <= set(figures["absent"])
    assert "lpips" not in figures["whole_frame"] and "drift" not in figures
    (name,) = figures["map_model_and_real"].values()
    assert (tmp_path / name).stat().st_size > 1000
    assert f'src="{name}"' in (tmp_path / "report.html").read_text()
    printed = capsys.readouterr().out
    assert "nearest_pose" in printed and "alexnet" in printed


def test_what_was_trained_on_is_found_again(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = judged(here, tmp_path, monkeypatch, "--held_out", "002")  # 001 is the same
    whole = figures["whole_frame"]
    assert whole["psnr_db"]["nearest_pose"] == IDENTICAL_DB
    assert whole["ssim"]["nearest_pose"] == pytest.approx(1)
    assert whole["flicker"]["mean_frame"] == 0
    assert whole["psnr_db"]["mean_frame"] > whole["psnr_db"]["model"]
    assert figures["model_better_by"]["whole_frame psnr_db"]["nearest_pose_high"] < 0


def test_a_run_says_itself_what_it_held_out(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own_run(here)
    files = ["--name", "own", "--checkpoints", here / "runs", "--output", tmp_path]
    more = ["--no-landmarks", "--frames", 3, "--bootstrap_samples", 10]
    assert run_here(monkeypatch, evaluate.main, "video", *files, *more) == 0
    about = json.loads((tmp_path / "metrics.json").read_text())["about"]
    assert about["clips"] == "001[0:3]" and about["generator"] == "FastGenerator"


class Perfect:
    """A painter of the real frames, back and forth."""

    width = height = SIZE
    generator = None
    shown: list[np.ndarray]

    def draw_maps(self, points_TK2: Iterable[np.ndarray], *, size: tuple[int, int]) -> Iterator:
        return (np.zeros((3, *size), np.uint8) for _ in points_TK2)

    def render(self, maps: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        period = 2 * (len(self.shown) - 1)
        for t, _ in enumerate(maps):
            yield self.shown[min(t % period, period - t % period)]


def test_who_paints_the_truth_is_perfect_for_minutes(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Body
) -> None:
    painter = Perfect()
    store = FrameCache(videos(here, body), limit_bytes=1 << 24)
    painter.shown = [frame.transpose(2, 0, 1) for frame in store.frames(1, range(FRAMES))]
    monkeypatch.setattr(video.pose2video, "load", lambda *_, **__: painter)
    networks = write_networks(tmp_path)
    more = ["--networks", networks, "--face_network", networks / FACE, "--face_size", 32]
    more += ["--held_out", "001", "--minutes", 0.04]
    figures = judged(here, tmp_path / "out", monkeypatch, *more)
    for part in ("whole_frame", "head", "mouth"):
        assert figures[part]["psnr_db"]["model"] == IDENTICAL_DB
        assert figures[part]["ssim"]["model"] == pytest.approx(1)
        for measure in ("sharpness", "flicker", "warping_error_x1000"):
            assert figures[part][measure]["model"] == figures[part][measure]["real"]
        assert figures[part]["lpips"]["model"] == 0 < figures[part]["lpips"]["mean_frame"]
    for part in ("whole_frame", "head"):
        fid = figures[part]["fid"]
        assert fid["model"] == fid["real"] == pytest.approx(0, abs=1e-3) and fid["mean_frame"] > 0
        assert {"kid", "inception_score"} <= set(figures[part])
    assert figures["head"]["identity_similarity"]["model"] == pytest.approx(1)
    assert set(figures["absent"]) == {"ms_ssim", "fvd", "landmarks"}  # small, short, not asked for
    assert figures["model_better_by"]["head ssim"]["mean_frame_low"] > 0
    rows = figures["drift"]["by_time"]
    assert len(rows) == 3 and rows["from 0 s"]["sharpness"] == pytest.approx(1)
    for name in ("psnr_db", "ssim", "sharpness"):
        assert rows["last over first"][name] == pytest.approx(1)


def test_a_loop_has_no_jump() -> None:
    numbers = list(back_and_forth(50, 7))
    assert set(numbers) == set(range(7)) and numbers[:8] == [*range(7), 5]
    assert (np.abs(np.diff(numbers)) == 1).all()
    assert list(back_and_forth(3, 1)) == [0, 0, 0]


def test_nearest_pose_does_not_mind_what_is_out_of_the_picture(here: Path, body: Body) -> None:
    train = videos(here, body)[:2]
    found = Baselines(train, FrameCache(train, limit_bytes=1 << 24))
    assert (found.nearest(train[1]) == FRAMES + np.arange(FRAMES)).all()
    points_TK2 = train[1].points_TK2
    outside = points_TK2[..., 0] > SIZE
    assert outside[:, POINT_INDEX["left_wrist"]].all()
    points_TK2[outside] += (500, 0)
    assert (found.nearest(train[1]) == FRAMES + np.arange(FRAMES)).all()


def test_landmarks_found_where_they_were_are_without_error() -> None:
    real = np.random.default_rng(0).uniform(0, SIZE, (FRAMES, 144, 2))
    same = video_landmarks.landmark_scores(real, real, real)
    assert all((same[name] == 0).all() for name in same if "error" in name)
    assert all((same[name] == 1).all() for name in same if "again" in name)
    moved = video_landmarks.landmark_scores(real + 3, real, real)
    assert moved["mouth_error"] == pytest.approx(np.zeros(FRAMES)) and moved["body_error"].min() > 0
    twice = video_landmarks.landmark_scores(2 * (real + 3), 2 * real, 2 * real)
    assert twice["body_error"] == pytest.approx(moved["body_error"])
    assert video_landmarks.hands_seen(real) == 2 * FRAMES


def test_landmarks_that_are_lost_count_as_lost() -> None:
    real = np.random.default_rng(0).uniform(0, SIZE, (FRAMES, 144, 2))
    lost = real.copy()
    lost[0, video_landmarks.HANDS[0]] = np.nan
    lost[1, list(IBUG68)] = np.nan
    scores = video_landmarks.landmark_scores(lost, real, real)
    assert scores["hands_again"][:2] == pytest.approx([0.5, 1])
    assert scores["face_again"][:2] == pytest.approx([1, 0])
    assert np.isnan(scores["mouth_error"][1]) and scores["mouth_error"][0] == 0
    none_seen = video_landmarks.landmark_scores(real, np.full_like(real, np.nan), real)
    assert np.isnan(none_seen["hands_again"]).all()  # nothing to find again
    opened = real.copy()
    opened[:, LIPS] *= 1.5
    assert video_landmarks.landmark_scores(opened, real, real)["mouth_error"].min() > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "nobody", "--held_out", "001"), "no checkpoint"),
        (("--name", "small", "--held_out", "007"), "no such clip"),
        (("--name", "small"), "--held_out"),
        (("--name", "small", "--held_out", "001", "--networks", "nowhere"), "nowhere"),
        (("--name", "small", "--held_out", "001", "--face_network", "none.pt"), "none.pt"),
        (("--name", "small", "--held_out", "001", "--dataset", "nowhere"), "no clips"),
    ],
)
def test_bad_input_is_one_line(
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
