"""Judges windows of motion with the speech that belongs to them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


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
