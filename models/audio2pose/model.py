"""Speech to pose: how it is trained."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.audio2pose.dataset import MotionClip
from speech2video.models.audio2pose.losses import (
    LEVER_ARMS,
    energy_loss,
    joint_loss,
    lever_arms,
    lip_loss,
    part_weights,
    rms_speed,
    velocity_loss,
    weighted_huber_loss,
)
from speech2video.models.audio2pose.network import MotionDiscriminator
from speech2video.models.audio2pose.predictor import NETWORK, PosePredictor
from speech2video.models.base_model import BaseModel
from speech2video.models.gan import GANDiscriminator
from speech2video.models.optim import Precision, cosine_decay
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import limit_penalty
from speech2video.util.body.pose_vector import POSE_SLICES, vector_to_smplx
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.metrics.motion import hand_energy_ratio
from speech2video.util.metrics.points import lip_opening
from speech2video.util.metrics.statistics import best_lag, correlation, lag_correlations
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_skeleton_maps
from speech2video.util.timing import SAMPLES_PER_FRAME
from speech2video.util.training_log import TrainingLog
from speech2video.util.video.writer import write_video

# Two motions side by side as a skeleton video with sound: what a validation shows.

SIZE = 256  # pixels of each picture's larger side


def write_motion_video(
    path: Path, poses: list[Tensor], audio_S: np.ndarray, body: Body, camera: Camera | None = None
) -> None:
    """Write skeletons of pose vectors (T, 106), left to right, with 16 kHz sound (S,).

    `camera` is the clip's own; without one all motions together are framed.
    """
    points = [body.points(pose_TP) for pose_TP in poses]
    if camera is None:
        camera = Camera.framing(points[0], width=SIZE, height=SIZE)
    scale = SIZE / max(camera.width, camera.height)
    camera = camera.resized(round(camera.width * scale), round(camera.height * scale))
    maps = [
        draw_skeleton_maps(
            camera.project(points_TK3).numpy(), width=camera.width, height=camera.height
        )
        for points_TK3 in points
    ]
    with tempfile.TemporaryDirectory() as scratch:
        audio = Path(scratch) / "sound.wav"
        write_audio(audio, audio_S)
        write_video(path, _side_by_side(maps), audio=audio)


def _side_by_side(videos: list[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    for frames in zip(*videos, strict=False):
        yield np.concatenate(frames, axis=2)


FACE = ("expression", "jaw")
SPEED, JERK = 1, 3  # orders of differences
MOSTLY = 0.5  # share of a window that gestures of the dictionary take, to be judged no more
JUDGED_NOISE = 0.1  # standard deviations, of what is judged: else tremor too fine to see decides
SHOWN_FRAMES = 300  # of a validation's video
LONGEST_LAG = 5  # frames that lips are looked for off the truth


@dataclass(frozen=True)
class LossWeights:
    """What each loss counts."""

    face: float = 2.0
    face_velocity: float = 4.0
    body: float = 0.25  # low: hands do as the speaker likes, and the mean of choices is stiff
    hands: float = 0.15
    body_velocity: float = 0.2
    energy: float = 0.5
    tremor: float = 0.1
    joints: float = 0.3  # a metre
    lips: float = 150.0  # a metre: a millimetre of lips counts as much as 15 cm of arm
    limits: float = 10.0
    adversary: float = 0.1


class Audio2PoseModel(BaseModel):
    """LSTM, losses and the discriminator of its motion.

    Args:
        predictor: what is trained, with the body whose joints the losses look at.
        motions: pose vectors (T, 106) of the training clips, for their usual speed.
        learning_rate: of Adam, to begin with.
        adversary: learning rate of the motion discriminator; 0 for none.
        precision: one of `mixed_precision.PRECISIONS`.
        steps: over which the learning rate falls, as half a cosine; None: it stays.
    """

    def __init__(
        self,
        predictor: PosePredictor,
        *,
        motions: Sequence[Tensor],
        lr: float,
        adversary: float = 0.0,
        steps: int | None = None,
        ema: float | None = 0.999,
        precision: str = "fp32",
        grad_clip: float | None = 1.0,
        weights: LossWeights | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, grad_clip=grad_clip)
        self.precision = Precision(precision)
        self.precision.to_dtype(predictor.network.branches)  # what statistics it holds stay exact
        network = self.add_network(NETWORK, predictor.network, ema_decay=ema)
        self.predictor, self.weights = predictor, weights or LossWeights()
        self.body = predictor.body.to(self.device)
        optimizer = self.precision.optimizer(
            network.parameters(), lambda p: torch.optim.Adam(p, lr=lr, betas=(0.9, 0.99))
        )
        self.add_optimizer(NETWORK, optimizer, lambda step: lr * cosine_decay(step, steps))
        if adversary:
            judge = MotionDiscriminator(len(GESTURING), network.feature_mean.numel())
            judge.to(self.device)
            optimizer = torch.optim.Adam(judge.parameters(), lr=adversary, betas=(0.5, 0.99))
            self.add_discriminator("motion", GANDiscriminator(judge, optimizer, gan_mode="hinge"))
        self._weigh(motions)

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `Audio2PoseDataset`; return its losses."""
        network = self.predictor.network
        late = network.look_ahead
        truth_NTP = (batch["pose"] - network.pose_mean) * self._per_std
        with self.precision.autocast(self.device):
            outputs_NTP, _ = self.net(NETWORK)(batch["features"], batch["noise"])
        pose_NTP = outputs_NTP[:, late:]
        losses = self._motion_losses(pose_NTP, truth_NTP, batch)
        losses |= self._posed_losses(pose_NTP, batch)
        judged = self._adversary_losses(pose_NTP, truth_NTP, batch)
        losses |= {name: loss for name, loss in judged.items() if not name.startswith("d_")}
        weights = asdict(self.weights)
        total = sum(weights[name] * loss for name, loss in losses.items())
        self.backward_and_step(NETWORK, total)
        return {"loss": total, **losses, **judged}

    def _weigh(self, motions: Sequence[Tensor]) -> None:
        """Settle what each pose number counts in which loss, and how fast the person usually is."""
        pose_std = self.predictor.network.pose_std.cpu()
        moving = pose_std > 0
        per_std = torch.where(moving, 1 / pose_std, 0)
        self._per_std = per_std.to(self.device)
        tables = {
            **{part: (lever_arms(part) * pose_std).square() for part in LEVER_ARMS},
            "face": part_weights(dict.fromkeys(FACE, 1.0)),
            "body": part_weights({"translation": 0.1, "root_orientation": 0.1, "body": 1.0}),
            "hands": part_weights({"left_hand": 1.0, "right_hand": 1.0}),
        }
        self._tables = {name: (table * moving).to(self.device) for name, table in tables.items()}
        standard = [motion * per_std for motion in motions]
        self._usual = {
            (name, order): rms_speed(standard, tables[name] * moving, order=order)
            for name in (*LEVER_ARMS, "hands")
            for order in (SPEED, JERK)
        }

    def _motion_losses(
        self, pose_NTP: Tensor, truth_NTP: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        error_NTP = pose_NTP - truth_NTP
        weight_NT1 = batch["weight"].unsqueeze(-1)
        face_NTP = self._tables["face"] * weight_NT1
        # Gestures of the dictionary are put in afterwards, so they are masked here: the network
        # learns what the person does when she makes none, and they are not averaged away.
        free_NT1 = weight_NT1 * (1 - batch["gesture"].unsqueeze(-1))
        body_NTP, hands_NTP = (self._tables[name] * free_NT1 for name in ("body", "hands"))
        gesturing_NTP = body_NTP + hands_NTP
        return {
            "face": weighted_huber_loss(error_NTP, face_NTP),
            "face_velocity": velocity_loss(error_NTP, face_NTP),
            "body": weighted_huber_loss(error_NTP, body_NTP),
            "hands": weighted_huber_loss(error_NTP, hands_NTP),
            "body_velocity": velocity_loss(error_NTP, gesturing_NTP),
            "energy": self._energy_error(pose_NTP, truth_NTP, free_NT1, SPEED),
            "tremor": self._energy_error(pose_NTP, truth_NTP, free_NT1, JERK),
        }

    def _energy_error(
        self, pose_NTP: Tensor, truth_NTP: Tensor, free_NT1: Tensor, order: int
    ) -> Tensor:
        """Return how much livelier or stiffer than the truth each part is, added up."""
        return sum(
            energy_loss(
                pose_NTP, truth_NTP, self._tables[name] * free_NT1, usual=usual, order=order
            )
            for (name, of_order), usual in self._usual.items()
            if of_order == order
        )

    def _posed_losses(self, pose_NTP: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the body says of some frames: joints, lips and limits."""
        rows = torch.arange(len(pose_NTP), device=pose_NTP.device).unsqueeze(1)
        pose_MP = self.predictor.network.destandardise(pose_NTP[rows, batch["posed"]]).flatten(0, 1)
        truth_MP = batch["pose"][rows, batch["posed"]].flatten(0, 1)
        points_MK3 = self.body.points(pose_MP)
        with torch.no_grad():
            truth_MK3 = self.body.points(truth_MP)
        heard_M, gesture_M = (
            batch[k][rows, batch["posed"]].flatten() for k in ("weight", "gesture")
        )
        rotations_MJ3 = vector_to_smplx(pose_MP, self.body.hands).rotations
        return {
            "joints": joint_loss(points_MK3, truth_MK3, heard_M * (1 - gesture_M)),
            "lips": lip_loss(points_MK3, truth_MK3, heard_M),
            "limits": limit_penalty(rotations_MJ3),
        }

    def _adversary_losses(
        self, pose_NTP: Tensor, truth_NTP: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        judge = self.discriminators.get("motion")
        if judge is None:
            return {}
        network, window = self.predictor.network, pose_NTP.shape[1]
        speech_NTF = (batch["features"][:, :window] - network.feature_mean) / network.feature_std
        blur = JUDGED_NOISE * torch.randn_like(truth_NTP[..., GESTURING])
        judged_NTP = pose_NTP * (self._per_std > 0)  # what is held still is 0 in the truth, too
        real, fake = (motion[..., GESTURING] + blur for motion in (truth_NTP, judged_NTP))
        free_N = (batch["gesture"].mean(1) < MOSTLY).to(real.dtype)
        given = {"condition": (speech_NTF,), "present_N": batch["weight"].amin(1) * free_N}
        return {
            "d_motion": judge.update(real, fake, **given),
            "adversary": judge.generator_loss(fake, **given),
        }

    def validate(self, batches: Iterable[MotionClip], page: TrainingLog | None) -> dict[str, float]:
        """Return how well held-out speech is moved to; show the first: truth, then ours."""
        figures, shown = [], False
        for recording in batches:
            pose_TP = self.predictor.predict_from_audio(recording.audio_S)[: len(recording)]
            figures.append(self._judge(recording, pose_TP))
            if page is not None and not shown:
                self._show(recording, pose_TP, page)
                shown = True
        return {name: float(np.nanmean([f[name] for f in figures])) for name in figures[0]}

    def _show(self, recording: MotionClip, pose_TP: Tensor, page: TrainingLog) -> None:
        frames = min(len(pose_TP), SHOWN_FRAMES)
        path = page.video_path(self.step, "truth_and_ours")
        poses = [recording.pose_TP[:frames], pose_TP[:frames]]
        write_motion_video(
            path,
            poses,
            recording.audio_S[: frames * SAMPLES_PER_FRAME],
            self.predictor.body,
            recording.camera,
        )
        page.video(self.step, "truth_and_ours", path)

    def _judge(self, recording: MotionClip, pose_TP: Tensor) -> dict[str, float]:
        points, truth = (
            self.predictor.body.points(pose).numpy() for pose in (pose_TP, recording.pose_TP)
        )
        gaps = lip_opening(truth), lip_opening(points)
        lag, best = best_lag(lag_correlations(*gaps, LONGEST_LAG))
        return {
            "lip_correlation": correlation(*gaps),
            "lip_best_correlation": best,
            "lip_lag": float("nan") if lag is None else float(lag),
            "lip_range": float(gaps[1].std() / gaps[0].std()) if gaps[0].std() else float("nan"),
            "lip_gap_mm": 1000 * float(np.abs(gaps[0] - gaps[1]).mean()),
            "hand_energy": hand_energy_ratio(points, truth),
            "joints_mm": 1000 * float(np.linalg.norm(points - truth, axis=-1)[:, :25].mean()),
        }


def _gesturing() -> list[int]:
    """Return the pose numbers that gesturing moves: all but the face and the legs."""
    wanted = [*range(POSE_SLICES["translation"].start, POSE_SLICES["root_orientation"].stop)]
    for joint, name in enumerate(BODY_JOINTS[1:]):
        if not any(leg in name for leg in ("hip", "knee", "ankle", "foot")):
            start = POSE_SLICES["body"].start + 3 * joint
            wanted += range(start, start + 3)
    wanted += range(POSE_SLICES["left_hand"].start, POSE_SLICES["right_hand"].stop)
    return wanted


GESTURING = _gesturing()
