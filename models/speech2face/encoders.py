"""Encoders of speech (identity, emotion, content) and of a reference image, and head motion noise.

Content is encoded from phonetic features, or from mels normalised per utterance, which removes most
of the speaker's timbre; identity and emotion from mels that keep it (`util/audio/mel.py`). Norms
act within one time step or one window, so that content streams and does not depend on how the audio
is chunked. Widths follow Wen et al. 2019 (identity) and Albanie et al. 2018 (emotion).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.data.speech2face.speech import part_sizes
from speech2video.options.speech2face import MEL
from speech2video.util.audio.mel import HOPS_PER_FRAME, N_MELS

NUM_EMOTIONS = len(EMOTIONS)
IDENTITY_DIM, EMOTION_CODE_DIM, CONTENT_DIM = 128, 64, 256
IDENTITY_WIDTHS, EMOTION_WIDTHS = (256, 384, 576, 864), (32, 64, 128, 256)
ATTENTION_DIM, EMOTION_HIDDEN, GROUPS = 128, 128, 8
MIN_VARIANCE = 1e-5
UNSEEN_LOGIT = -30.0  # of an emotion without training clips
# Of content: of mels alone, 100 columns a second become 25; else there are 25 frames a second.
MEL_KERNELS, MEL_STRIDES = (5, 4, 4), (1, 2, 2)
FEATURE_KERNELS, FEATURE_STRIDES = (3, 3), (1, 1)
NOISE_DIM, NOISE_HIDDEN = 16, 64
APPEARANCE_DIM = 32
BANK_SCALE = 24.0  # from cosines of identities to logits of speakers
BANK_INIT = 0.1  # of the identity directions: Adam's steps hardly turn long vectors
RGB, PATCH = 3, 2  # channels; pixels a side that one position of the finest feature map stands for

State = tuple[list[Tensor], Tensor]


def mlp(
    inputs: int, hidden: int, outputs: int, activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Return two linear layers."""
    return nn.Sequential(nn.Linear(inputs, hidden), activation(), nn.Linear(hidden, outputs))


def conv_layers(widths: Sequence[int]) -> list[nn.Module]:
    """Return convolutions with norms that each halve the size; from `widths`[0] channels on."""
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [nn.Conv2d(narrow, wide, 3, 2, 1), nn.GroupNorm(GROUPS, wide), nn.ReLU(True)]
    return layers


class ChannelNorm(nn.LayerNorm):
    """Normalise the channels of each time step separately."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, C, L) normalised."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class IdentityEncoder(nn.Module):
    """Encode a window's mels as a unit vector, by attentive statistics pooling.

    Okabe et al., Attentive Statistics Pooling for Deep Speaker Embedding, 2018.
    """

    def __init__(self, *, widths: tuple[int, ...] = IDENTITY_WIDTHS, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((N_MELS, *widths)):
            layers += [nn.Conv1d(narrow, wide, 3, 2, 1), ChannelNorm(wide), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        width = widths[-1]
        self.attention = nn.Sequential(
            nn.Conv1d(width, ATTENTION_DIM, 1), nn.Tanh(), nn.Conv1d(ATTENTION_DIM, width, 1)
        )
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(2 * width, IDENTITY_DIM)

    def forward(self, mel_NBL: Tensor) -> Tensor:
        """Return unit vectors (N, 128) of mels (N, 80, L)."""
        hidden_NCL = self.trunk(mel_NBL)
        attention_NCL = self.attention(hidden_NCL).softmax(2)
        mean_NC = (attention_NCL * hidden_NCL).sum(2)
        variance_NC = (attention_NCL * hidden_NCL.square()).sum(2) - mean_NC.square()
        std_NC = variance_NC.clamp(min=MIN_VARIANCE).sqrt()
        pooled_NC = self.dropout(torch.cat((mean_NC, std_NC), 1))
        return F.normalize(self.projection(pooled_NC), dim=1)


class EmotionEncoder(nn.Module):
    """Encode a window's mels as logits of the eight emotions.

    Attributes:
        trained: (8,), 1 for the emotions with training clips.
    """

    trained: Tensor

    def __init__(self, *, widths: tuple[int, ...] = EMOTION_WIDTHS, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*conv_layers((1, *widths)))
        bands = -(-N_MELS // 2 ** len(widths))
        self.gru = nn.GRU(widths[-1] * bands, EMOTION_HIDDEN, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = mlp(2 * EMOTION_HIDDEN, EMOTION_CODE_DIM, NUM_EMOTIONS)
        self.register_buffer("trained", torch.ones(NUM_EMOTIONS))

    def forward(self, mel_NBL: Tensor) -> Tensor:
        """Return logits (N, 8) of mels (N, 80, L); `UNSEEN_LOGIT` for untrained emotions."""
        hidden_NCBL = self.trunk(mel_NBL[:, None])
        hidden_NLC, _ = self.gru(hidden_NCBL.flatten(1, 2).transpose(1, 2))
        logits_N8 = self.classifier(self.dropout(hidden_NLC.mean(1)))
        return logits_N8.masked_fill(self.trained == 0, UNSEEN_LOGIT)


class ContentEncoder(nn.Module):
    """Encode speech at 25 Hz, by causal convolutions and a GRU with a delayed output.

    Lips open before their speech begins: the output at frame t + `look_ahead` belongs to frame t
    ("Synthesizing Obama", Suwajanakorn et al. 2017).

    Args:
        features: name of its speech, see `data.speech2face.speech`.
        look_ahead: frames.

    Attributes:
        mel_mean, mel_std: (80,) of the training voices' log-mels.
        feature_mean, feature_std: (F,) of their speech, by which it is standardised; not of mels
            alone.
    """

    mel_mean: Tensor
    mel_std: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, *, features: str = MEL, look_ahead: int = 5, dropout: float = 0.0) -> None:
        super().__init__()
        self.features, self.look_ahead = features, look_ahead
        self.kernels, self.strides = MEL_KERNELS, MEL_STRIDES
        size = N_MELS
        if features != MEL:
            self.kernels, self.strides = FEATURE_KERNELS, FEATURE_STRIDES
            size = sum(part_sizes(features))
            self.register_buffer("feature_mean", torch.zeros(size))
            self.register_buffer("feature_std", torch.ones(size))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size if i == 0 else CONTENT_DIM, CONTENT_DIM, kernel, stride)
            for i, (kernel, stride) in enumerate(zip(self.kernels, self.strides, strict=True))
        )
        self.norms = nn.ModuleList(ChannelNorm(CONTENT_DIM) for _ in self.kernels)
        self.gru = nn.GRU(CONTENT_DIM, CONTENT_DIM, batch_first=True)
        self.norm = nn.LayerNorm(CONTENT_DIM)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mel_mean", torch.zeros(N_MELS))
        self.register_buffer("mel_std", torch.ones(N_MELS))

    def forward(self, speech: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return content (N, T, 256), `look_ahead` frames late, and the state after it.

        Speech is (N, T, F). The first `look_ahead` outputs of a stream belong to no frame.
        """
        pasts, memory = state if state is not None else ([None] * len(self.kernels), None)
        if self.features == MEL:
            hidden = speech.unflatten(2, (HOPS_PER_FRAME, N_MELS)).flatten(1, 2).transpose(1, 2)
        else:
            hidden = ((speech - self.feature_mean) / self.feature_std).transpose(1, 2)
        after = []
        layers = zip(self.convolutions, self.norms, pasts, self.kernels, self.strides, strict=True)
        for convolution, norm, past, kernel, stride in layers:
            kept = kernel - stride
            if past is None:
                past = hidden.new_zeros(*hidden.shape[:2], kept)
            hidden = torch.cat((past, hidden), 2)
            after.append(hidden[..., hidden.shape[2] - kept :])
            hidden = self.dropout(F.gelu(norm(convolution(hidden))))
        content_NTC, memory = self.gru(hidden.transpose(1, 2), memory)
        return self.dropout(self.norm(content_NTC)), (after, memory)


class ReferenceImageEncoder(nn.Module):
    """Encode an image as feature maps of each level, the finest first, and one more at 4×4."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = channels[::-1]
        self.stem = nn.Conv2d(RGB * PATCH**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(i, o, 3, 2, 1) for i, o in pairwise((*widths, channels[0]))
        )

    def forward(self, image_N3HW: Tensor) -> list[Tensor]:
        """Return the feature maps."""
        image = image_N3HW.contiguous(memory_format=torch.channels_last)
        maps = [F.relu(self.stem(F.pixel_unshuffle(image, PATCH)))]
        for down in self.down:
            maps.append(F.relu(down(maps[-1])))
        return maps


class IdentityBank(nn.Module):
    """Identity directions and appearance codes of the training speakers.

    An identity's appearance is the softmax-weighted mean of theirs (attention over a memory,
    Vaswani et al., 2017): a confident identity gets exactly one speaker's hair and glasses.

    Attributes:
        identities: directions (P, I).
        appearances: codes (P, `APPEARANCE_DIM`).
    """

    def __init__(self, speakers: int) -> None:
        super().__init__()
        self.identities = nn.Parameter(BANK_INIT * torch.randn(speakers, IDENTITY_DIM))
        self.appearances = nn.Parameter(torch.randn(speakers, APPEARANCE_DIM))

    def classify(self, identity_NI: Tensor) -> Tensor:
        """Return speaker logits (N, P) of identities, unit vectors."""
        return BANK_SCALE * identity_NI @ F.normalize(self.identities, dim=1).T

    def forward(self, identity_NI: Tensor) -> Tensor:
        """Return appearance codes (N, `APPEARANCE_DIM`)."""
        return self.classify(identity_NI).softmax(1) @ self.appearances


class HeadMotionGenerator(nn.Module):
    """Generate head motion and blinks from noise, with the statistics of real motion.

    The face generator is trained with motion of real clips, which keeps its frames sharp; at
    inference the motion comes from here (as from the noise GRU of Vougioukas et al. 2020).

    Attributes:
        mean, std, lowest, highest: (M,) of the training clips' motion.
    """

    mean: Tensor
    std: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, motion_dim: int, *, noise_dim: int = NOISE_DIM) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.gru = nn.GRU(noise_dim, NOISE_HIDDEN, batch_first=True)
        self.out = mlp(NOISE_HIDDEN, NOISE_HIDDEN, motion_dim, nn.GELU)
        for name, value in (("mean", 0.0), ("std", 1.0), ("lowest", -3.0), ("highest", 3.0)):
            self.register_buffer(name, torch.full((motion_dim,), value))

    def forward(self, noise_NTZ: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return standardised motion (N, T, M) and the GRU's memory."""
        hidden_NTH, last = self.gru(noise_NTZ, memory)
        return self.out(hidden_NTH), last

    def denormalise(self, standard_NTM: Tensor) -> Tensor:
        """Return motion in its own units, clamped to the training clips' range."""
        return (self.mean + self.std * standard_NTM).clamp(self.lowest, self.highest)

    def normalise(self, motion_NTM: Tensor) -> Tensor:
        """Return standardised motion."""
        return (motion_NTM - self.mean) / self.std
