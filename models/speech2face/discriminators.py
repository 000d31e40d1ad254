"""Discriminators of single frames, their mouth and eyes, frame sequences, lip sync and emotion.

Each returns, for each of its scales, its features with the scores last, as `GANDiscriminator`
needs. They follow Vougioukas et al. 2020 (frame, sequence, sync) and emotalkingface (emotion).
"""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.discriminators import PatchDiscriminator, PatchNorm
from speech2video.models.speech2face.encoders import IDENTITY_DIM, NUM_EMOTIONS, RGB
from speech2video.util.audio.mel import HOPS_PER_FRAME, N_MELS

KERNEL, SLOPE = 4, 0.2
SYNC_FRAMES, MOUTH_SIDE = 5, 32  # frames of a sync input; pixels a side of their mouth crops
SEQUENCE_SIDE, EMOTION_SIDE, REGION_SIDE = 32, 64, 64  # pixels a side of the inputs
MOUTHS = (SYNC_FRAMES * RGB, MOUTH_SIDE, MOUTH_SIDE)
MELS = (N_MELS, SYNC_FRAMES * HOPS_PER_FRAME)
HIDDEN = 128

Features = list[list[Tensor]]


class FrameDiscriminator(nn.Module):
    """Distinguish real frames of a given person from generated ones.

    Miyato and Koyama, cGANs with Projection Discriminator, 2018.
    """

    def __init__(self, *, width: int = 16, layers: int = 4) -> None:
        super().__init__()
        self.patches = PatchDiscriminator(RGB, width=width, layers=layers, scales=1)
        self.projection = nn.Linear(IDENTITY_DIM, width << (layers - 1), bias=False)

    def forward(self, images_NCHW: Tensor, identity_ND: Tensor) -> Features:
        """Return features and scores of images (N, 3, H, W) of identities (N, 128)."""
        *features, scores = self.patches(images_NCHW)[0]
        projected = self.projection(identity_ND)[..., None, None] * features[-1]
        return [[*features, scores + projected.mean(1, keepdim=True)]]


class RegionDiscriminator(PatchDiscriminator):
    """Distinguish real crops of a part of the face, at their own resolution, from generated ones.

    Mouth and eyes are a quarter of the image; in the frame discriminator's mean they hardly count.
    """

    def __init__(self, *, width: int = 16) -> None:
        super().__init__(RGB, width=width, layers=3, scales=1)


class SequenceDiscriminator(nn.Module):
    """Distinguish real consecutive frames with their speech from generated ones."""

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.image_encoder = image_trunk(RGB, width)
        self.image_projection = nn.Linear(width * 4 * (SEQUENCE_SIDE // 8) ** 2, HIDDEN)
        self.audio_projection = nn.Linear(N_MELS * HOPS_PER_FRAME, HIDDEN)
        self.gru = nn.GRU(2 * HIDDEN, HIDDEN, batch_first=True)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, frames_NT3HW: Tensor, mel_NBL: Tensor) -> Features:
        """Return features and scores (N, T) of frames of 32 pixels with mels (N, 80, 4 T)."""
        images = self.image_encoder(frames_NT3HW.flatten(0, 1)).flatten(1)
        image_NTH = self.image_projection(images).unflatten(0, frames_NT3HW.shape[:2])
        mel_NTM = mel_NBL.unflatten(2, (-1, HOPS_PER_FRAME)).transpose(1, 2).flatten(2)
        audio_NTH = self.audio_projection(mel_NTM)
        hidden_NTH, _ = self.gru(F.leaky_relu(torch.cat((image_NTH, audio_NTH), 2), SLOPE))
        return [[image_NTH, hidden_NTH, self.score(hidden_NTH)[..., 0]]]


class LipSyncDiscriminator(nn.Module):
    """Distinguish real mouths in sync with the speech from generated or out-of-sync ones.

    Images and audio share one row (`join_sync_inputs`), so that real mouths with speech of another
    moment can be among the fakes (Chung and Zisserman, Out of Time, 2016).
    """

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        width *= 2  # for five frames at once
        self.image_encoder = image_trunk(MOUTHS[0], width)
        self.image_projection = nn.Linear(width * 4 * (MOUTH_SIDE // 8) ** 2, HIDDEN)
        self.audio_encoder = nn.Sequential(
            nn.Conv1d(N_MELS, HIDDEN, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv1d(HIDDEN, HIDDEN, KERNEL, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(HIDDEN * MELS[1] // 2, HIDDEN),
        )
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, rows_NR: Tensor) -> Features:
        """Return features and scores (N, 1) of rows of `join_sync_inputs`."""
        mouths, mels = rows_NR.split((prod(MOUTHS), prod(MELS)), 1)
        image_NH = self.image_projection(self.image_encoder(mouths.unflatten(1, MOUTHS)).flatten(1))
        audio_NH = self.audio_encoder(mels.unflatten(1, MELS))
        both_NH = F.leaky_relu(image_NH, SLOPE) * F.leaky_relu(audio_NH, SLOPE)
        return [[image_NH, self.score(both_NH)]]


class EmotionDiscriminator(nn.Module):
    """Classify frames as one of the emotions or as generated.

    The score is the log-odds of the given emotion against all other classes, so that the vanilla
    GAN loss of it is the cross-entropy of a classifier: of the emotion for real frames and for the
    generator, of any other class for generated ones.
    """

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.image_encoder = image_trunk(RGB, width).extend(_downsample(4 * width, 4 * width))
        self.classifier = nn.Linear(4 * width * (EMOTION_SIDE // 16) ** 2, NUM_EMOTIONS + 1)

    def forward(self, images_NCHW: Tensor, emotion_N: Tensor) -> Features:
        """Return features and scores (N, 1) of images of 64 pixels with emotions (N,)."""
        features = self.image_encoder(images_NCHW)
        logits_NE = self.classifier(features.flatten(1))
        given_NE = F.one_hot(emotion_N.clamp(min=0), NUM_EMOTIONS + 1).bool()
        others_N = logits_NE.masked_fill(given_NE, -torch.inf).logsumexp(1)
        return [[features, (logits_NE[given_NE] - others_N)[:, None]]]


DISCRIMINATORS: dict[str, tuple[type[nn.Module], str]] = {  # with their gan_mode
    "frame": (FrameDiscriminator, "hinge"),
    "mouth": (RegionDiscriminator, "hinge"),
    "eyes": (RegionDiscriminator, "hinge"),
    "sequence": (SequenceDiscriminator, "hinge"),
    "sync": (LipSyncDiscriminator, "hinge"),
    "emotion": (EmotionDiscriminator, "vanilla"),
}


def join_sync_inputs(mouths_NT3HW: Tensor, mel_NBL: Tensor) -> Tensor:
    """Return rows (N, R) of five mouths (N, 5, 3, 32, 32) and their mels (N, 80, 20)."""
    return torch.cat((mouths_NT3HW.flatten(1), mel_NBL.flatten(1)), 1)


def image_trunk(channels: int, width: int) -> nn.Sequential:
    """Return three convolutions that halve the size, to 4 `width` channels."""
    first = nn.Sequential(nn.Conv2d(channels, width, KERNEL, 2, 1), nn.LeakyReLU(SLOPE))
    return nn.Sequential(first, *_downsample(width, 2 * width), *_downsample(2 * width, 4 * width))


def _downsample(narrow: int, wide: int) -> list[nn.Module]:
    # no bias: the norm removes it, and Adam would blow up the rounding that is left of it
    convolution = nn.Conv2d(narrow, wide, KERNEL, 2, 1, bias=False)
    return [convolution, PatchNorm(), nn.LeakyReLU(SLOPE)]
