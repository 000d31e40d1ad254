"""Speech features to pose numbers: LSTMs with look-ahead, one for the face and one for the rest.

The paper says LSTM and no more. Look-ahead by delayed output is "Synthesizing Obama"'s
(Suwajanakorn et al. 2017): the frame that comes out has been heard a little beyond, so that lips
open before the sound, and the network still runs on a live stream. Rebuilt: two branches, because
lips follow phonemes within a tenth of a second and hands follow phrases; and noise beside the
speech for the second, because the same sentence is never gestured the same way twice.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

State = dict[str, tuple[Tensor, Tensor]]


class SpeechLSTM(nn.Module):
    """One branch: inputs (N, T, I) to named outputs (N, T, O), an LSTM with a head for each."""

    def __init__(
        self,
        inputs: int,
        outputs: Mapping[str, int],
        *,
        hidden: int,
        layers: int,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.drop = LockedDropout(dropout)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True, bidirectional=bidirectional)
        width = hidden * (2 if bidirectional else 1)
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in outputs.items()})
        for head in self.heads.values():  # start from the mean pose
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)

    def forward(
        self, inputs_NTI: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """Return the outputs and the state to go on from."""
        hidden_NTH, state = self.lstm(self.drop(self.enter(inputs_NTI)), state)
        hidden_NTH = self.drop(hidden_NTH)
        return {name: head(hidden_NTH) for name, head in self.heads.items()}, state


class LockedDropout(nn.Module):
    """Dropout that drops the same numbers of a sequence (N, T, H) at all its frames.

    Drawn anew at each frame it would shake the pose (Gal and Ghahramani 2016 for the idea).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, hidden_NTH: Tensor) -> Tensor:
        """Return the sequence with some of its numbers zero, the others scaled up."""
        if not self.training or not self.share:
            return hidden_NTH
        kept = torch.full_like(hidden_NTH[:, :1], 1 - self.share).bernoulli()
        return hidden_NTH * kept / (1 - self.share)


class SpeechToPose(nn.Module):
    """Features and noise to pose vectors, in the data's own units.

    Buffers hold the training data's statistics, so that a checkpoint is complete: what goes in is
    standardised by `feature_mean` and `feature_std`, what comes out is `pose_mean` plus `pose_std`
    times the branches' numbers, so that one whose `pose_std` is 0 stands still; `voice_mean` is the
    training voices' own (`voice_normalisation`). `look_ahead` frames of speech beyond the last pose
    are needed.

    Args:
        features: F, numbers a frame that go in.
        branches: {branch: {part: its numbers in the pose vector}}; together all of the pose, once.
        noisy: the branches that are given noise.
        hidden: width of each branch.
        noise: Z, noise numbers a frame.
    """

    feature_mean: Tensor
    feature_std: Tensor
    voice_mean: Tensor
    pose_mean: Tensor
    pose_std: Tensor

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
    ) -> None:
        super().__init__()
        self.parts = {name: dict(parts) for name, parts in branches.items()}
        self.noisy, self.noise, self.look_ahead = noisy, noise, look_ahead
        self.size = sum(
            part.stop - part.start for parts in branches.values() for part in parts.values()
        )
        self.branches = nn.ModuleDict(
            {
                name: SpeechLSTM(
                    features + (noise if name in noisy else 0),
                    {part: where.stop - where.start for part, where in parts.items()},
                    hidden=hidden[name],
                    layers=layers,
                    dropout=dropout,
                    bidirectional=bidirectional,
                )
                for name, parts in branches.items()
            }
        )
        for name, size in (("feature", features), ("pose", self.size)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("voice_mean", torch.zeros(features))

    def forward(
        self, features_NTF: Tensor, noise_NTZ: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Return standardised poses (N, T, P), `look_ahead` frames late, and the state after them.

        The first `look_ahead` poses of a stream belong to no frame.
        """
        speech_NTF = (features_NTF - self.feature_mean) / self.feature_std
        pose_NTP = speech_NTF.new_zeros(*speech_NTF.shape[:2], self.size)
        after: State = {}
        for name, branch in self.branches.items():
            inputs = speech_NTF
            if name in self.noisy:
                inputs = torch.cat((speech_NTF, noise_NTZ), -1)
            inputs = inputs.to(branch.lstm.weight_ih_l0.dtype)  # 16 bits, perhaps
            outputs, after[name] = branch(inputs, None if state is None else state[name])
            for part, where in self.parts[name].items():
                pose_NTP[..., where] = outputs[part].float()
        return pose_NTP, after

    def in_units(self, pose_NTP: Tensor) -> Tensor:
        """Return standardised poses in radians and metres."""
        return self.pose_mean + self.pose_std * pose_NTP


# Judges windows of motion with the speech that belongs to them.


class MotionDiscriminator(nn.Module):
    """Convolutions over time on motion and speech, judged at two frame rates.

    Rebuilt, after the patch discriminators of Ginosar et al., "Learning Individual Styles of
    Conversational Gesture" (2019): a score for each stretch of about a second.
    """

    def __init__(
        self, motion: int, speech: int, *, width: int = 96, strides: Sequence[int] = (1, 2)
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.hear = nn.Linear(speech, 32)
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
        """Return, for each scale, the features of its layers, the last of them the scores."""
        both_NCT = torch.cat((motion_NTM, self.hear(speech_NTF)), -1).transpose(1, 2)
        outputs = []
        for stride, layers in zip(self.strides, self.scales, strict=True):
            hidden, features = both_NCT[..., ::stride], []
            for layer in layers:
                hidden = layer(hidden)
                features.append(hidden)
            outputs.append(features)
        return outputs
