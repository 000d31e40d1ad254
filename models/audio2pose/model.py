"""Training of audio2pose: one step, and the validation on held-out clips."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.data.audio2pose.dataset import MotionClip
from speech2video.models.audio2pose.losses import LOSSES, PoseLosses
from speech2video.models.audio2pose.network import MotionDiscriminator
from speech2video.models.audio2pose.predictor import NETWORK, PosePredictor, scale_face
from speech2video.models.base_model import BaseModel
from speech2video.models.gan import GANDiscriminator
from speech2video.models.optim import Precision, cosine_decay
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import pose_columns
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.metrics.motion import hand_energy_ratio, lip_opening
from speech2video.util.metrics.statistics import best_lag, correlation, lag_correlations
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_skeleton_maps
from speech2video.util.timing import SAMPLES_PER_FRAME
from speech2video.util.training_log import TrainingLog
from speech2video.util.video.writer import write_video

MAX_GESTURE_SHARE = 0.5  # of a window's frames; the discriminator gets no window with more
DISCRIMINATOR_NOISE = 0.1  # standard deviations, added to real and generated motion: hides jitter
VIDEO_FRAMES, VIDEO_SIZE = 300, 256  # of a validation's video; pixels of each side's larger edge
FACE_SCALES, SCALE_ITERATIONS = (0.7, 2.0), 3
MIN_DEVIATION = 1e-5  # metres, of a network that does not move the lips yet
MAX_LAG = 5  # frames, of the lips behind or before the ground truth
LEGS = ("hip", "knee", "ankle", "foot")
UPPER_BODY_POINTS = 25
_NOT_LEGS = [joint for joint in BODY_JOINTS[1:] if not any(leg in joint for leg in LEGS)]
# Pose numbers that gestures move: all but face and legs.
GESTURE_COLUMNS = pose_columns(
    "translation", "root_orientation", *_NOT_LEGS, "left_hand", "right_hand"
)


@dataclass(frozen=True)
class TrainingConfig:
    """How an `Audio2PoseModel` is trained.

    Attributes:
        lr: initial learning rate of Adam.
        trunk_lr_share: share of `lr` that all but the last layers have.
        lr_d: learning rate of the motion discriminator; 0 for none.
        steps: of the cosine schedule of `lr`; None for a constant one.
        ema: decay of the averaged weights; 0 or None for none.
        precision: one of `optim.PRECISIONS`.
        grad_clip: largest norm of the gradient; None for any.
    """

    lr: float
    trunk_lr_share: float = 1.0
    lr_d: float = 0.0
    steps: int | None = None
    ema: float | None = 0.999
    precision: str = "fp32"
    grad_clip: float | None = 1.0


class Audio2PoseModel(BaseModel):
    """Pose predictor, its losses and the motion discriminator.

    Args:
        predictor: is trained; its body gives the joints and lips of the losses.
        motions: pose vectors (T, 106) of the training clips.
    """

    def __init__(
        self,
        predictor: PosePredictor,
        *,
        motions: Sequence[Tensor],
        config: TrainingConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, grad_clip=config.grad_clip)
        self.predictor = predictor
        self.precision = Precision(config.precision)
        self.precision.to_dtype(predictor.network.branches)  # its statistics stay in 32 bits
        network = self.add_network(NETWORK, predictor.network, ema_decay=config.ema)
        optimizer = self.precision.optimizer(
            _parameter_groups(network, config.trunk_lr_share),
            lambda p: torch.optim.Adam(p, lr=config.lr, betas=(0.9, 0.99)),
        )
        self.add_optimizer(NETWORK, optimizer, lambda t: config.lr * cosine_decay(t, config.steps))
        if config.lr_d:
            features = predictor.network.feature_mean.numel()
            motion = MotionDiscriminator(len(GESTURE_COLUMNS), features).to(self.device)
            optimizer = torch.optim.Adam(motion.parameters(), lr=config.lr_d, betas=(0.5, 0.99))
            self.add_discriminator("motion", GANDiscriminator(motion, optimizer, gan_mode="hinge"))
        body = predictor.body.to(self.device)
        self.pose_losses = PoseLosses(predictor.network, body, motions, self.device)

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `Audio2PoseDataset`; return its losses."""
        true_NTP = self.pose_losses.standardise(batch["pose"])
        with self.precision.autocast(self.device):
            outputs_NTP, _ = self.net(NETWORK)(batch["features"], batch["noise"])
        pose_NTP = outputs_NTP[:, self.predictor.network.look_ahead :]
        losses = self.pose_losses(pose_NTP, true_NTP, batch)
        losses |= self._gan_losses(pose_NTP, true_NTP, batch)
        weighted = (term.weight * losses[name] for name, term in LOSSES.items() if name in losses)
        total = reduce(torch.add, weighted)
        self.backward_and_step(NETWORK, total)
        return {"loss": total, **losses}

    def _gan_losses(
        self, pose_NTP: Tensor, true_NTP: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Do one step of the discriminator; return its loss and the predictor's."""
        discriminator = self.discriminators.get("motion")
        if discriminator is None:
            return {}
        features_NTF = batch["features"][:, : pose_NTP.shape[1]]
        speech_NTF = self.predictor.network.standardise_features(features_NTF)
        noise_NTG = DISCRIMINATOR_NOISE * torch.randn_like(true_NTP[..., GESTURE_COLUMNS])
        moving_NTP = pose_NTP * self.pose_losses.moving  # constant numbers are 0 in the data, too
        real, fake = (m[..., GESTURE_COLUMNS] + noise_NTG for m in (true_NTP, moving_NTP))
        free_N = (batch["gesture"].mean(1) < MAX_GESTURE_SHARE).to(real.dtype)
        present_N = batch["weight"].amin(1) * free_N
        given = {"condition": (speech_NTF,), "present_N": present_N}
        d_loss = discriminator.update(real, fake, **given)
        return {"gan": discriminator.generator_loss(fake, **given), "d_motion": d_loss}

    def validate(self, batches: Iterable[MotionClip], log: TrainingLog | None) -> dict[str, float]:
        """Return the mean metrics of held-out clips; write a video of the first one to the log.

        If the network matches the person's face, `face_scale` is among them: the scale of facial
        motion with which the lips of these clips move as far as the person's.
        """
        clips, predictor = list(batches), self.predictor
        matches = predictor.face_motion_scale is None
        if matches:
            predictor = PosePredictor(
                predictor.network, predictor.body, features=predictor.features
            )
        poses = [predictor.predict_from_audio(clip.audio_S)[: len(clip)] for clip in clips]
        more = {}
        if matches:
            rest_P = predictor.rest_pose()
            more["face_scale"] = matching_scale(poses, clips, rest_P, predictor.body)
            poses = [scale_face(pose_TP, rest_P, more["face_scale"]) for pose_TP in poses]
        if log is not None:
            path = log.video(self.step, "ground_truth_and_predicted")
            write_comparison(path, clips[0], poses[0], predictor.body)
        pairs = zip(poses, clips, strict=True)
        metrics = [pose_metrics(pose_TP, clip.pose_TP, predictor.body) for pose_TP, clip in pairs]
        return {name: float(np.nanmean([m[name] for m in metrics])) for name in metrics[0]} | more

    def after_validation(self, metrics: Mapping[str, float]) -> None:
        """Keep the measured `face_scale`."""
        scale = self.predictor.network.face_scale
        if scale is not None:
            for kept in (
                scale,
                *(average.weights["face_scale"] for average in self.averages.values()),
            ):
                kept.fill_(metrics["face_scale"])


def matching_scale(
    poses: Sequence[Tensor], clips: Sequence[MotionClip], rest_P: Tensor, body: Body
) -> float:
    """Return the scale of facial motion relative to rest with which lips move as far as clips'.

    As far: the opening's standard deviation within clips. It is not quite linear in the scale.

    Args:
        poses: predicted ones (T, 106) of each clip.
        rest_P: the pose (106,) at rest.
    """

    def deviation(motions: Iterable[Tensor]) -> float:
        gaps = [lip_opening(body.points(pose_TP).numpy()) for pose_TP in motions]
        return float(np.sqrt(np.concatenate([np.square(g - g.mean()) for g in gaps]).mean()))

    scale, wanted = 1.0, deviation(clip.pose_TP for clip in clips)
    for _ in range(SCALE_ITERATIONS):
        given = deviation(scale_face(pose_TP, rest_P, scale) for pose_TP in poses)
        scale = float(np.clip(scale * wanted / max(given, MIN_DEVIATION), *FACE_SCALES))
    return scale


def _parameter_groups(network: nn.Module, trunk_lr_share: float) -> list[dict[str, Any]]:
    """Return the optimizer's groups: the heads, and the layers before them."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        groups[".heads." in name].append(parameter)
    return [{"params": groups[True]}, {"params": groups[False], "lr_share": trunk_lr_share}]


def pose_metrics(pose_TP: Tensor, true_TP: Tensor, body: Body) -> dict[str, float]:
    """Return how well predicted poses (T, 106) match the ground truth: lips, hands and joints."""
    points, true = (body.points(poses).numpy() for poses in (pose_TP, true_TP))
    gap_T, true_gap_T = lip_opening(points), lip_opening(true)
    lag, best = best_lag(lag_correlations(true_gap_T, gap_T, MAX_LAG))
    distance_TJ = np.linalg.norm(points - true, axis=-1)[:, :UPPER_BODY_POINTS]
    true_range = true_gap_T.std()
    return {
        "lip_correlation": correlation(true_gap_T, gap_T),
        "best_lip_correlation": best,
        "lip_lag": float("nan") if lag is None else float(lag),
        "lip_range": float(gap_T.std() / true_range) if true_range else float("nan"),
        "lip_opening_error_mm": 1000 * float(np.abs(true_gap_T - gap_T).mean()),
        "hand_energy": hand_energy_ratio(points, true),
        "mpjpe_mm": 1000 * float(distance_TJ.mean()),
    }


def write_comparison(path: Path, clip: MotionClip, pose_TP: Tensor, body: Body) -> None:
    """Write a skeleton video with audio: ground truth on the left, predicted poses on the right."""
    count = min(len(pose_TP), VIDEO_FRAMES)
    points = [body.points(poses[:count]) for poses in (clip.pose_TP, pose_TP)]
    camera = clip.camera or Camera.framing(points[0], width=VIDEO_SIZE, height=VIDEO_SIZE)
    camera = camera.scaled_to(VIDEO_SIZE)
    size = {"width": camera.width, "height": camera.height}
    maps = [draw_skeleton_maps(camera.project(p).numpy(), **size) for p in points]
    frames = (np.concatenate(pair, axis=2) for pair in zip(*maps, strict=False))
    with tempfile.TemporaryDirectory() as scratch:
        audio = Path(scratch) / "audio.wav"
        write_audio(audio, clip.audio_S[: count * SAMPLES_PER_FRAME])
        write_video(path, frames, audio=audio)
