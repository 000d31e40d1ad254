"""Speech to pose, trained: features in, legal pose vectors out, as they come."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.models.audio2pose.network import SpeechToPose
from speech2video.models.checkpointing import load_networks
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.audio.features import extract_features, feature_size
from speech2video.util.audio.normalisation import normalise_voice, voice_mean
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.smoothing import PoseSmoother, SmoothNoise
from speech2video.util.timing import FPS, SAMPLE_RATE

NETWORK = "speech_to_pose"  # its name in a checkpoint
CHUNK = 1000  # frames computed at once: bounds memory
BRANCHES = {
    "face": ("expression", "jaw"),
    "body": ("translation", "root_orientation", "body", "left_hand", "right_hand"),
}
NOISY = ("body",)
FACE = [number for part in BRANCHES["face"] for number in range(POSE_SIZE)[POSE_SLICES[part]]]
SILENCE = 75  # frames, after which the network has forgotten how it began


class PosePredictor:
    """One speaker's motion to any speech.

    Attributes:
        network: the LSTMs with the training data's statistics.
        body: the body that the pose vectors are for.
        features: the set of `extract_features` it was trained on.
        articulation: how many times as far from rest as the network says the face moves. What is
            guessed with least error moves less than what is true; speech synthesis scales its
            variance back for the same reason (Silén et al., Ways to implement global variance in
            statistical speech synthesis, Interspeech 2012).
    """

    def __init__(
        self, network: SpeechToPose, body: Body, *, features: str, face_motion_scale: float = 1.0
    ) -> None:
        self.network, self.body, self.features = network, body, features
        self.face_motion_scale = face_motion_scale

    def predict_from_audio(self, audio_S: np.ndarray, *, seed: int = 0, smooth: int = 1) -> Tensor:
        """Return pose vectors (T, 106), T = ceil(S / 640), of loudness-normalised speech."""
        features_TF = extract_features(audio_S, kind=self.features)
        return self.predict(features_TF, seed=seed, smooth=smooth)

    def predict(self, features_TF: np.ndarray, *, seed: int = 0, smooth: int = 1) -> Tensor:
        """Return pose vectors (T, 106) of a recording's features (T, F). Joint limits hold."""
        voice_F = voice_mean(features_TF, self.features, self.network.voice_mean.cpu().numpy())
        chunks = (features_TF[i : i + CHUNK] for i in range(0, len(features_TF), CHUNK))
        poses = list(self.stream(chunks, voice_F, seed=seed, smooth=smooth))
        return torch.cat(poses) if poses else torch.zeros(0, self.network.size)

    def stream(
        self,
        chunks: Iterable[np.ndarray],
        voice_F: np.ndarray,
        *,
        seed: int = 0,
        smooth: int = 1,
    ) -> Iterator[Tensor]:
        """Yield pose vectors (n, 106) as features (n, F) come; together as many as came in.

        How the features are cut into chunks does not matter. `voice_F` is taken from all of them.
        `smooth` is an odd number of frames over which body and hands, never the face, are smoothed.
        """
        smoother = PoseSmoother(smooth)
        rest_P = None if self.face_motion_scale == 1 else self.rest_pose()
        for pose_TP in self._raw(chunks, voice_F, seed):
            yield self._finished(smoother.push(pose_TP), rest_P)
        yield self._finished(smoother.finish(), rest_P)

    def rest_pose(self) -> Tensor:
        """Return the pose (106,) that silence is answered with: a mouth as it is between words."""
        features_TF = extract_features(np.zeros(SILENCE * SAMPLE_RATE // FPS), kind=self.features)
        voice_F = self.network.voice_mean.cpu().numpy()
        return torch.cat(list(self._raw([features_TF], voice_F, 0)))[-1]

    def _raw(
        self, chunks: Iterable[np.ndarray], voice_F: np.ndarray, seed: int
    ) -> Iterator[Tensor]:
        """Yield the network's poses, each at its own frame."""
        network = self.network
        noise = SmoothNoise(max(network.noise, 1), seed=seed)
        state, late, last = None, network.look_ahead, None
        for features_TF in chunks:
            if len(features_TF):
                last = features_TF[-1:]
                pose_TP, state = self._step(
                    normalise_voice(features_TF, voice_F, self.features), noise, state
                )
                yield pose_TP[late:]
                late = max(late - len(pose_TP), 0)
        if last is not None and network.look_ahead:  # beyond the end the last moment lasts
            beyond = last.repeat(network.look_ahead, axis=0)
            beyond = normalise_voice(beyond, voice_F, self.features)
            pose_TP, _ = self._step(beyond, noise, state)
            yield pose_TP[late:]

    @torch.no_grad()
    def _step(
        self, features_TF: np.ndarray, noise: SmoothNoise, state: object
    ) -> tuple[Tensor, object]:
        device = self.network.pose_mean.device
        speech_NTF = torch.from_numpy(features_TF).float().unsqueeze(0).to(device)
        noise_NTZ = torch.from_numpy(noise.next(len(features_TF))).unsqueeze(0).to(device)
        pose_NTP, state = self.network(speech_NTF, noise_NTZ, state)
        return self.network.in_units(pose_NTP)[0].cpu(), state

    def _finished(self, pose_TP: Tensor, rest_P: Tensor | None) -> Tensor:
        """Return poses with the face as far from rest as it is to be; joint limits hold."""
        if not len(pose_TP):
            return pose_TP
        if rest_P is not None:
            pose_TP = pose_TP.clone()
            pose_TP[:, FACE] = rest_P[FACE].lerp(pose_TP[:, FACE], self.face_motion_scale)
        return clamp_pose(pose_TP, self.body.hands)


def build(options: TrainAudio2PoseOptions, body: Body) -> PosePredictor:
    """Return an untrained network of an architecture."""
    network = SpeechToPose(
        feature_size(options.features),
        branches(),
        hidden=dict.fromkeys(BRANCHES, options.hidden_size),
        noisy=NOISY if options.noise else (),
        noise=options.noise,
        layers=options.layers,
        look_ahead=options.look_ahead,
        dropout=options.dropout,
        bidirectional=options.bidirectional,
    )
    return PosePredictor(
        network, body, features=options.features, face_motion_scale=options.face_motion_scale
    )


def load(
    folder: Path, *, body: Path | None = None, face_motion_scale: float | None = None
) -> PosePredictor:
    """Return what a run's folder or a shipped checkpoint holds, ready to use.

    Args:
        folder: checkpoints/NAME/audio2pose, or one of its step_N.
        body: the body's file, where it was trained with another than the open body.
        articulation: in place of the one that the run was given.

    Raises:
        DataError: no checkpoint there, broken, of another version or of another network.
    """
    checkpoint = resolve_checkpoint(folder)
    options = TrainAudio2PoseOptions.load(checkpoint / OPTIONS_FILE)
    if face_motion_scale is not None:
        options = replace(options, face_motion_scale=face_motion_scale)
    predictor = build(options, Body.load(body or options.body))
    load_networks(nn.ModuleDict({NETWORK: predictor.network}), checkpoint)
    predictor.network.eval()
    return predictor


def load_pretrained(predictor: PosePredictor, folder: Path) -> None:
    """Take another run's weights to begin with; the statistics of the poses stay the new ones.

    Raises:
        DataError: no checkpoint there, or of another architecture.
    """
    network = predictor.network
    own = network.pose_mean.clone(), network.pose_std.clone()
    load_networks(nn.ModuleDict({NETWORK: network}), folder)
    network.pose_mean.copy_(own[0])
    network.pose_std.copy_(own[1])


def branches() -> dict[str, dict[str, slice]]:
    """Return which numbers of the pose vector each branch gives."""
    return {name: {part: POSE_SLICES[part] for part in parts} for name, parts in BRANCHES.items()}
