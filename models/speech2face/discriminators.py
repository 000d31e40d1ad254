"""What tells painted faces from real ones: by a frame, a sequence, lips beside sound, the emotion.

All keep `Adversary`'s contract: for each scale its features, the last of them the scores. Each is
rebuilt, after Vougioukas et al. 2020 (frame, sequence, sync) and emotalkingface (emotion).
"""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.discriminators import PatchDiscriminator, PatchNorm
from speech2video.models.speech2face.encoders import BANDS, COLUMNS, EMOTIONS, IDENTITY

COLOURS, KERNEL, SLOPE = 3, 4, 0.2
SYNC_FRAMES, MOUTH_SIDE = 5, 32  # frames judged as one; pixels a side of their mouths
SEQUENCE_SIDE, EMOTION_SIDE = 32, 64  # pixels a side of what is judged
MOUTHS, MELS = (SYNC_FRAMES * COLOURS, MOUTH_SIDE, MOUTH_SIDE), (BANDS, SYNC_FRAMES * COLUMNS)
HIDDEN = 128


class FrameDiscriminator(nn.Module):
    """Is it a real picture of this person? (Miyato and Koyama, cGANs with Projection, 2018.)"""

    def __init__(self, *, width: int = 16, identity: int = IDENTITY, layers: int = 4) -> None:
        super().__init__()
        self.patches = PatchDiscriminator(
            COLOURS, width=width, layers=layers, scales=1, norm="instance"
        )
        self.project = nn.Linear(identity, width << (layers - 1), bias=False)

    def forward(self, pictures_NCHW: Tensor, identity_ND: Tensor) -> list[list[Tensor]]:
        """Return features and scores of pictures (N, 3, H, W) of people (N, 128)."""
        *features, scores = self.patches(pictures_NCHW)[0]
        likes = self.project(identity_ND)[..., None, None] * features[-1]
        return [[*features, scores + likes.mean(1, keepdim=True)]]


class SequenceDiscriminator(nn.Module):
    """Do these frames follow each other, and this speech, as in a real video?"""

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.look = image_trunk(COLOURS, width)
        self.enter = nn.Linear(width * 4 * (SEQUENCE_SIDE // 8) ** 2, HIDDEN)
        self.listen = nn.Linear(BANDS * COLUMNS, HIDDEN)
        self.gru = nn.GRU(2 * HIDDEN, HIDDEN, batch_first=True)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, frames_NT3HW: Tensor, mel_NBL: Tensor) -> list[list[Tensor]]:
        """Return features and scores (N, T) of frames of 32 pixels with mels (N, 80, 4 T)."""
        seen = self.look(frames_NT3HW.flatten(0, 1)).flatten(1)
        seen_NTH = self.enter(seen).unflatten(0, frames_NT3HW.shape[:2])
        heard_NTH = self.listen(mel_NBL.unflatten(2, (-1, COLUMNS)).transpose(1, 2).flatten(2))
        both = F.leaky_relu(torch.cat((seen_NTH, heard_NTH), 2), SLOPE)
        hidden_NTH, _ = self.gru(both)
        return [[seen_NTH, hidden_NTH, self.score(hidden_NTH)[..., 0]]]


class LipSyncDiscriminator(nn.Module):
    """Do these five mouths say what is heard?

    It judges picture and sound in one row each (`join_sync_inputs`), so that a real mouth beside the speech
    of another moment can be among the fakes (Chung and Zisserman, Out of Time, 2016).
    """

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        self.look = image_trunk(MOUTHS[0], width)
        self.see = nn.Linear(width * 4 * (MOUTH_SIDE // 8) ** 2, HIDDEN)
        self.listen = nn.Sequential(
            nn.Conv1d(BANDS, HIDDEN, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv1d(HIDDEN, HIDDEN, KERNEL, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(HIDDEN * MELS[1] // 2, HIDDEN),
        )
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, rows_NR: Tensor) -> list[list[Tensor]]:
        """Return features and scores (N, 1) of rows that `join_sync_inputs` made."""
        mouths, mels = rows_NR.split((prod(MOUTHS), prod(MELS)), 1)
        seen_NH = self.see(self.look(mouths.unflatten(1, MOUTHS)).flatten(1))
        heard_NH = self.listen(mels.unflatten(1, MELS))
        both_NH = F.leaky_relu(seen_NH, SLOPE) * F.leaky_relu(heard_NH, SLOPE)
        return [[seen_NH, self.score(both_NH)]]


class EmotionDiscriminator(nn.Module):
    """Is it a real picture of somebody who feels so? Classes are the emotions, and fake.

    Its score is the log-odds of the emotion against all other classes, so that non-saturating
    losses of it are the cross-entropies of a classifier: of the emotion for real pictures and for
    the generator, of anything else for painted ones.
    """

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.look = nn.Sequential(*image_trunk(COLOURS, width), *_halving(4 * width, 4 * width))
        self.classify = nn.Linear(4 * width * (EMOTION_SIDE // 16) ** 2, EMOTIONS + 1)

    def forward(self, pictures_NCHW: Tensor, emotion_N: Tensor) -> list[list[Tensor]]:
        """Return features and scores (N, 1) of pictures of 64 pixels with emotions (N,)."""
        seen = self.look(pictures_NCHW)
        logits_NE = self.classify(seen.flatten(1))
        own_NE = F.one_hot(emotion_N.clamp(min=0), EMOTIONS + 1).bool()
        own_N = logits_NE[own_NE]
        others_N = logits_NE.masked_fill(own_NE, -torch.inf).logsumexp(1)
        return [[seen, (own_N - others_N)[:, None]]]


def join_sync_inputs(mouths_NT3HW: Tensor, mel_NBL: Tensor) -> Tensor:
    """Return five mouths (N, 5, 3, 32, 32) and their mels (N, 80, 20) in a row each, (N, R)."""
    return torch.cat((mouths_NT3HW.flatten(1), mel_NBL.flatten(1)), 1)


def image_trunk(channels: int, width: int) -> nn.Sequential:
    """Return three convolutions that halve the size, to 4 `width` channels."""
    first = nn.Sequential(nn.Conv2d(channels, width, KERNEL, 2, 1), nn.LeakyReLU(SLOPE))
    return nn.Sequential(first, *_halving(width, 2 * width), *_halving(2 * width, 4 * width))


def _halving(narrow: int, wide: int) -> list[nn.Module]:
    # no bias: the norm takes it away again, and Adam would blow up the rounding that is left of it
    convolution = nn.Conv2d(narrow, wide, KERNEL, 2, 1, bias=False)
    return [convolution, PatchNorm(), nn.LeakyReLU(SLOPE)]
