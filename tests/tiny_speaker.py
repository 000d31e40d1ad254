"""A speaker for tests: the demo's motion and gestures, and an untrained renderer."""

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import nn

from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.checkpointing import save_weights
from speech2video.models.pose2video.renderer import NETWORK, build_generator, complete_options
from speech2video.options.pose2video import TrainPose2VideoOptions, Vid2VidOptions
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.rendering.camera import Camera
from tests.shared import ROOT

NAME, AUTHORS = "tiny", "authors"
SIZE = 64  # pixels
SMALL = ("ngf=8", "n_downsample_G=2", "n_blocks=2", "norm=instance")


def make_speaker(checkpoints: Path) -> Path:
    """Write the speakers NAME and, of imported weights, AUTHORS; return the checkpoints' folder."""
    others = shutil.ignore_patterns("pose2video")
    shutil.copytree(ROOT / "checkpoints" / "demo", checkpoints / NAME, ignore=others)
    predictor = PosePredictor.load(checkpoints / NAME / "audio2pose")
    stance = predictor.body.points(predictor.network.pose_mean[None])
    options = TrainPose2VideoOptions(
        name=NAME, dataset=Path("none"), width=SIZE, height=SIZE, generator="vid2vid",
        architecture=SMALL,
    )  # fmt: skip
    options = complete_options(options, Camera.framing(stance, width=SIZE, height=SIZE))
    _save(checkpoints / NAME / "pose2video", options)
    imported = Vid2VidOptions(
        ngf=8, n_downsample_G=2, n_blocks=2, norm="instance", map_style="vid2vid_authors"
    )
    _save(checkpoints / AUTHORS / "pose2video", imported)
    return checkpoints


def _save(folder: Path, options: TrainPose2VideoOptions | Vid2VidOptions) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    networks = nn.ModuleDict({NETWORK: build_generator(options)})
    save_weights(folder / WEIGHTS_FILE, networks)
    options.save(folder / OPTIONS_FILE)


def voice(seconds: float, *, rate: int = 16_000) -> np.ndarray:
    """Return noise (S,) that comes and goes as syllables do."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.1 * noise * np.abs(np.sin(2 * np.pi * 2 * time))).astype(np.float32)
