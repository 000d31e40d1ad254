"""Networks of audio2pose: LSTMs from speech features to poses, and the motion discriminator."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

State = dict[str, tuple[Tensor, Tensor]]


class SpeechLSTM(nn.Module):
    """One branch: an LSTM with one linear head per output; (N, T, I) to named (N, T, O)."""

    def __init__(
        self,
        inputs: int,
        outputs: Mapping[str, int],
        hidden: int,
        layers: int,
        dropout: float,
        bidirectional: bool,
    ) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.dropout = LockedDropout(dropout)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True, bidirectional=bidirectional)
        width = hidden * (2 if bidirectional else 1)
        heads = {name: nn.Linear(width, size) for name, size in outputs.items()}
        for head in heads.values():  # start from the mean pose
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        self.heads = nn.ModuleDict(heads)

    def forward(
        self, inputs_NTI: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """Return the outputs by name and the LSTM's next state."""
        hidden_NTH, next_state = self.lstm(self.dropout(self.input_layer(inputs_NTI)), state)
        hidden_NTH = self.dropout(hidden_NTH)
        return {name: head(hidden_NTH) for name, head in self.heads.items()}, next_state


class LockedDropout(nn.Module):
    """Dropout with one mask for all frames of a sequence (N, T, H).

    A new mask for each frame would make poses jitter (Gal and Ghahramani 2016).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, hidden_NTH: Tensor) -> Tensor:
        """Return the sequence with dropped units set to zero and the others scaled up."""
        if not self.training or not self.probability:
            return hidden_NTH
        mask_N1H = torch.full_like(hidden_NTH[:, :1], 1 - self.probability).bernoulli()
        return hidden_NTH * mask_N1H / (1 - self.probability)


class SpeechToPose(nn.Module):
    """Speech features and noise to standardised pose vectors.

    The paper names an LSTM only. Delayed output follows "Synthesizing Obama" (Suwajanakorn et al.
    2017): a pose is given `look_ahead` frames late, so that lips open before the phone and the
    network runs on live audio. Two branches: lips follow phones within 0.1 s, hands follow
    phrases. The body branch also gets noise, because one sentence has many fitting gestures.

    Buffers hold the training data's statistics. Inputs are standardised by `feature_mean` and
    `feature_std`; a pose is `pose_mean` plus `pose_std` times the outputs, so a number whose
    `pose_std` is 0 is constant. `voice_mean` is the mean of the training voices' features. With
    `matches_face`, `face_scale` is what facial motion is scaled by after the network.

    Args:
        features: F, features per frame.
        branches: {branch: {part: slice of the pose vector}}; together they cover it once.
        hidden: width of each branch.
        noisy: names of the branches with noise input.
        noise: Z, noise numbers per frame.
    """

    feature_mean: Tensor
    feature_std: Tensor
    voice_mean: Tensor
    pose_mean: Tensor
    pose_std: Tensor
    face_scale: Tensor | None

    def __init__(
        self,
        features: int,
        branches: Mapping[str, Mapping[str, slice]],
        *,
        hidden: Mapping[str, int],
        noisy: tuple[str, ...] = (),
        noise: int = 0,
        layers: int = 2,
        look_ahead: int = 6,
        dropout: float = 0.0,
        bidirectional: bool = False,
        matches_face: bool = False,
    ) -> None:
        super().__init__()
        self.parts = {name: dict(parts) for name, parts in branches.items()}
        self.noisy, self.noise, self.look_ahead = noisy, noise, look_ahead
        self.branches, self.size = nn.ModuleDict(), 0
        for name, parts in branches.items():
            inputs = features + (noise if name in noisy else 0)
            outputs = {part: where.stop - where.start for part, where in parts.items()}
            lstm = SpeechLSTM(inputs, outputs, hidden[name], layers, dropout, bidirectional)
            self.branches[name] = lstm
            self.size += sum(outputs.values())
        for name, size in (("feature", features), ("pose", self.size)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("voice_mean", torch.zeros(features))
        self.register_buffer("face_scale", torch.ones(()) if matches_face else None)

    def forward(
        self, features_NTF: Tensor, noise_NTZ: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Return standardised poses (N, T, P), `look_ahead` frames late, and the next state.

        The first `look_ahead` poses of a stream belong to no frame.
        """
        speech_NTF = self.standardise_features(features_NTF)
        pose_NTP = speech_NTF.new_zeros(*speech_NTF.shape[:2], self.size)
        next_state: State = {}
        for name, branch in self.branches.items():
            inputs = speech_NTF
            if name in self.noisy and noise_NTZ is not None:
                inputs = torch.cat((speech_NTF, noise_NTZ), -1)
            inputs = inputs.to(next(branch.parameters()).dtype)  # bf16 weights take bf16 inputs
            outputs, next_state[name] = branch(inputs, None if state is None else state[name])
            for part, where in self.parts[name].items():
                pose_NTP[..., where] = outputs[part].float()
        return pose_NTP, next_state

    def standardise_features(self, features_NTF: Tensor) -> Tensor:
        """Return features with the training data's mean 0 and standard deviation 1."""
        return (features_NTF - self.feature_mean) / self.feature_std

    def destandardise(self, pose_NTP: Tensor) -> Tensor:
        """Return standardised poses in radians and metres."""
        return self.pose_mean + self.pose_std * pose_NTP


class MotionDiscriminator(nn.Module):
    """Temporal convolutions over motion and speech at several frame rates.

    After the patch discriminators of Ginosar et al., "Learning Individual Styles of Conversational
    Gesture" (2019): one score for about each second.

    Args:
        motion: M, motion numbers per frame.
        speech: F, speech features per frame.
        width: channels of the hidden layers.
        strides: in frames, one scale for each.
    """

    def __init__(
        self, motion: int, speech: int, *, width: int = 96, strides: Sequence[int] = (1, 2)
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.speech_projection = nn.Linear(speech, 32)
        self.scales = nn.ModuleList(self._scale(motion + 32, width) for _ in self.strides)

    @staticmethod
    def _scale(inputs: int, width: int) -> nn.ModuleList:
        widths = (inputs, width, width, width)
        layers = [
            nn.Sequential(spectral_norm(nn.Conv1d(i, o, 5, stride=2, padding=2)), nn.LeakyReLU(0.2))
            for i, o in pairwise(widths)
        ]
        return nn.ModuleList([*layers, spectral_norm(nn.Conv1d(width, 1, 3, padding=1))])

    def forward(self, motion_NTM: Tensor, speech_NTF: Tensor) -> list[list[Tensor]]:
        """Return the features of each scale's layers, the last of which are the scores."""
        inputs_NTC = torch.cat((motion_NTM, self.speech_projection(speech_NTF)), -1)
        outputs = []
        for stride, layers in zip(self.strides, self.scales, strict=True):
            features = [inputs_NTC.transpose(1, 2)[..., ::stride]]
            assert isinstance(layers, nn.ModuleList)
            for layer in layers:
                features.append(layer(features[-1]))
            outputs.append(features[1:])
        return outputs
