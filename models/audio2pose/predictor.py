"""Pose predictor: streams pose vectors inside the joint limits from speech features."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.models.audio2pose.network import SpeechToPose, State
from speech2video.models.checkpointing import load_networks
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.audio.features import feature_set, is_phonetic
from speech2video.util.audio.normalisation import speech_features, stream_speech_features
from speech2video.util.audio.phonetic import PhoneReplacer
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SLICES, pose_columns
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.smoothing import PoseSmoother, SmoothNoise
from speech2video.util.text.transcript import Phone
from speech2video.util.timing import FPS, SAMPLE_RATE
from speech2video.util.torch_compiler import without_compiler

NETWORK = "speech_to_pose"  # its name in a checkpoint
CHUNK = 1000  # frames computed at once: bounds memory
BRANCHES = {
    "face": ("expression", "jaw"),
    "body": ("translation", "root_orientation", "body", "left_hand", "right_hand"),
}
NOISY = ("body",)
FACE = pose_columns(*BRANCHES["face"])
SILENT_FRAMES = 75  # after so much silence the LSTM's state is that of rest


class PosePredictor:
    """Speech-driven motion of one speaker.

    Attributes:
        network: the LSTMs with the training data's statistics.
        body: the body that the pose vectors are for.
        features: feature set of the network, see `SpeechFeatures`.
        face_motion_scale: scale of facial motion relative to rest; None for the network's own. A
            least-squares prediction moves less than its target; speech synthesis restores variance
            likewise (Silén et al., Ways to implement global variance in statistical speech
            synthesis, Interspeech 2012).
    """

    def __init__(
        self,
        network: SpeechToPose,
        body: Body,
        *,
        features: str,
        face_motion_scale: float | None = 1.0,
    ) -> None:
        self.network, self.body, self.features = network, body, features
        self.face_motion_scale = face_motion_scale

    @classmethod
    def from_options(cls, options: TrainAudio2PoseOptions, body: Body) -> "PosePredictor":
        """Return an untrained predictor of the options' architecture."""
        network = SpeechToPose(
            feature_set(options.features).size,
            branch_slices(),
            hidden=dict.fromkeys(BRANCHES, options.hidden_size),
            noisy=NOISY if options.noise else (),
            noise=options.noise,
            layers=options.layers,
            look_ahead=options.look_ahead,
            dropout=options.dropout,
            bidirectional=options.bidirectional,
            matches_face=options.face_motion_scale is None,
        )
        own = {"features": options.features, "face_motion_scale": options.face_motion_scale}
        return cls(network, body, **own)

    @classmethod
    def load(
        cls, folder: Path, *, body: Path | None = None, face_motion_scale: float | None = None
    ) -> "PosePredictor":
        """Return the predictor of a run's folder or a shipped checkpoint, in evaluation mode.

        Args:
            folder: checkpoints/NAME/audio2pose, or one of its step_N.
            body: file of the body; None for the one of the training options.
            face_motion_scale: replaces the one of the training options.

        Raises:
            DataError: missing or broken checkpoint, or one of another version or network.
        """
        checkpoint = resolve_checkpoint(folder)
        options = TrainAudio2PoseOptions.load(checkpoint / OPTIONS_FILE)
        loaded_body = Body.load(body or options.body)
        with (
            without_compiler(),
            torch.device("meta"),
        ):  # wrong options may need more than all memory
            shapes = cls.from_options(options, loaded_body).network
        load_networks(nn.ModuleDict({NETWORK: shapes}), checkpoint)
        predictor = cls.from_options(options, loaded_body)
        if face_motion_scale is not None:
            predictor.face_motion_scale = face_motion_scale
        load_networks(nn.ModuleDict({NETWORK: predictor.network}), checkpoint)
        predictor.network.eval()
        return predictor

    def load_pretrained(self, folder: Path) -> None:
        """Load another run's weights; the pose statistics stay those of the own training data.

        Raises:
            DataError: missing checkpoint, or one of another architecture.
        """
        checkpoint = resolve_checkpoint(folder)
        options = TrainAudio2PoseOptions.load(checkpoint / OPTIONS_FILE)
        own = {name: tensor.clone() for name, tensor in self.network.named_buffers()}
        # of two networks that differ in this buffer only, one lacks it in its weights
        self.network.face_scale = None if options.face_motion_scale is not None else torch.ones(())
        load_networks(nn.ModuleDict({NETWORK: self.network}), checkpoint)
        self.network.face_scale = own.get("face_scale")
        self.network.pose_mean.copy_(own["pose_mean"])
        self.network.pose_std.copy_(own["pose_std"])

    def predict_from_audio(
        self,
        audio_S: np.ndarray,
        *,
        phones: Sequence[Phone] | None = None,
        seed: int = 0,
        smooth: int = 1,
    ) -> Tensor:
        """Return pose vectors (T, 106), T = ceil(S / 640), of raw 16 kHz audio (S,).

        `phones` are those that are known to be said, see `follows_phones`.
        """
        features_TF = speech_features(audio_S, self.features, self._voice_F)
        chunks = (features_TF[i : i + CHUNK] for i in range(0, len(features_TF), CHUNK))
        poses = list(self.stream(chunks, phones=phones, seed=seed, smooth=smooth))
        return torch.cat(poses) if poses else torch.zeros(0, self.network.size)

    def stream_from_audio(
        self,
        chunks: Iterable[np.ndarray],
        *,
        phones: Sequence[Phone] | None = None,
        seed: int = 0,
        smooth: int = 1,
    ) -> Iterator[Tensor]:
        """Yield pose vectors (n, 106) of raw 16 kHz audio in chunks (S,), as they arrive."""
        features = stream_speech_features(chunks, self.features, self._voice_F)
        return self.stream(features, phones=phones, seed=seed, smooth=smooth)

    @property
    def follows_phones(self) -> bool:
        """Whether known phones can drive the lips; with other features they are ignored."""
        return is_phonetic(self.features)

    def stream(
        self,
        chunks: Iterable[np.ndarray],
        *,
        phones: Sequence[Phone] | None = None,
        seed: int = 0,
        smooth: int = 1,
    ) -> Iterator[Tensor]:
        """Yield pose vectors (n, 106) for chunks of normalised features (n, F), one for each frame.

        The size of the chunks does not change the poses.

        Args:
            chunks: of `SpeechFeatures`.
            phones: that are said, where they are known; they drive the lips as far as they are
                sure.
            seed: of the noise.
            smooth: odd number of frames over which body and hands, never the face, are smoothed.
        """
        if phones and self.follows_phones:
            chunks = map(PhoneReplacer(phones).push, chunks)
        smoother = PoseSmoother(smooth)
        scale = self.face_motion_scale
        if scale is None:
            assert self.network.face_scale is not None
            scale = float(self.network.face_scale)
        rest_P = None if scale == 1 else self.rest_pose()
        for pose_TP in self._network_poses(chunks, seed):
            yield self._finish(smoother.push(pose_TP), rest_P, scale)
        yield self._finish(smoother.finish(), rest_P, scale)

    def rest_pose(self) -> Tensor:
        """Return the pose (106,) predicted for silence, its mouth as between words."""
        silence_S = np.zeros(SILENT_FRAMES * SAMPLE_RATE // FPS, np.float32)
        features_TF = speech_features(silence_S, self.features, self._voice_F)
        return torch.cat(list(self._network_poses([features_TF], 0)))[-1]

    @property
    def _voice_F(self) -> np.ndarray:
        """The training voices' mean features (F,)."""
        return self.network.voice_mean.cpu().numpy()

    def _network_poses(self, chunks: Iterable[np.ndarray], seed: int) -> Iterator[Tensor]:
        """Yield the network's poses without its delay."""
        look_ahead = self.network.look_ahead
        noise = SmoothNoise(max(self.network.noise, 1), seed=seed)
        state, delay, last = None, look_ahead, None
        for features_TF in chunks:
            if len(features_TF):
                last = features_TF[-1:]
                pose_TP, state = self._step(features_TF, noise, state)
                yield pose_TP[delay:]
                delay = max(delay - len(pose_TP), 0)
        if last is not None and look_ahead:  # the last features are repeated past the end
            beyond_TF = last.repeat(look_ahead, axis=0)
            yield self._step(beyond_TF, noise, state)[0][delay:]

    @torch.no_grad()
    def _step(
        self, features_TF: np.ndarray, noise: SmoothNoise, state: State | None
    ) -> tuple[Tensor, State]:
        device = self.network.pose_mean.device
        speech_1TF = torch.from_numpy(features_TF).float()[None].to(device)
        noise_1TZ = torch.from_numpy(noise.next(len(features_TF)))[None].to(device)
        pose_NTP, next_state = self.network(speech_1TF, noise_1TZ, state)
        return self.network.destandardise(pose_NTP)[0].cpu(), next_state

    def _finish(self, pose_TP: Tensor, rest_P: Tensor | None, scale: float) -> Tensor:
        """Return poses inside the joint limits, their facial motion scaled relative to `rest_P`."""
        if not len(pose_TP):
            return pose_TP
        if rest_P is not None:
            pose_TP = scale_face(pose_TP, rest_P, scale)
        return clamp_pose(pose_TP, self.body.hands)


def scale_face(pose_TP: Tensor, rest_P: Tensor, scale: float) -> Tensor:
    """Return poses (T, 106) with facial motion scaled relative to a pose (106,)."""
    pose_TP = pose_TP.clone()
    pose_TP[:, FACE] = rest_P[FACE].lerp(pose_TP[:, FACE], scale)
    return pose_TP


def branch_slices() -> dict[str, dict[str, slice]]:
    """Return {branch: {part: slice of the pose vector}}."""
    return {name: {part: POSE_SLICES[part] for part in parts} for name, parts in BRANCHES.items()}
