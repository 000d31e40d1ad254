"""What speech tells of a face: who speaks, how they feel, what they say; and what it does not tell.

What is said comes from mels normalised over their utterance (`util/audio/mel.py`), which is instance
norm where most of a speaker's colour is; who and how from mels that keep it. Inside, every norm is
of one moment or of one window, so that content streams and is the same however the sound is cut.
Widths follow those that reconstruct faces from voices (Wen et al. 2019) for identity, Albanie et
al. 2018 for emotion; all of it rebuilt.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BANDS, COLUMNS = 80, 4  # of a mel; its columns a frame
EMOTIONS = 8
IDENTITY, CODE, CONTENT = 128, 64, 256  # numbers of each
IDENTITY_WIDTHS, EMOTION_WIDTHS = (256, 384, 576, 864), (32, 64, 128, 256)
ATTENTION, EMOTION_HIDDEN, GROUPS = 128, 128, 8
LEAST_VARIANCE = 1e-5
UNSEEN_LOGIT = -30.0  # logit of an emotion that nobody had in training
KERNELS, STRIDES = (5, 4, 4), (1, 2, 2)  # of content: 100 columns a second become 25
NOISE, NOISE_HIDDEN = 16, 64

State = tuple[list[Tensor], Tensor]


class ChannelNorm(nn.LayerNorm):
    """Normalises each moment's channels by themselves."""

    def forward(self, x_NCL: Tensor) -> Tensor:
        """Return (N, C, L) normalised."""
        return super().forward(x_NCL.transpose(1, 2)).transpose(1, 2)


class IdentityEncoder(nn.Module):
    """Who speaks: a window's mels to a unit vector, by attentive statistics pooling.

    Okabe et al., Attentive Statistics Pooling for Deep Speaker Embedding, 2018.
    """

    def __init__(
        self,
        *,
        size: int = IDENTITY,
        widths: tuple[int, ...] = IDENTITY_WIDTHS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers = []
        for narrow, wide in pairwise((BANDS, *widths)):
            layers += [nn.Conv1d(narrow, wide, 3, 2, 1), ChannelNorm(wide), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        width = widths[-1]
        self.attention = nn.Sequential(
            nn.Conv1d(width, ATTENTION, 1), nn.Tanh(), nn.Conv1d(ATTENTION, width, 1)
        )
        self.drop = nn.Dropout(dropout)
        self.project = nn.Linear(2 * width, size)

    def forward(self, mel_NBL: Tensor) -> Tensor:
        """Return (N, 128), unit vectors, of mels (N, 80, L)."""
        hidden_NCL = self.trunk(mel_NBL)
        share_NCL = self.attention(hidden_NCL).softmax(2)
        mean_NC = (share_NCL * hidden_NCL).sum(2)
        variance_NC = (share_NCL * hidden_NCL.square()).sum(2) - mean_NC.square()
        deviation_NC = variance_NC.clamp(min=LEAST_VARIANCE).sqrt()
        pooled_NC = self.drop(torch.cat((mean_NC, deviation_NC), 1))
        return F.normalize(self.project(pooled_NC), dim=1)


class EmotionEncoder(nn.Module):
    """How somebody feels: a window's mels to logits of the eight emotions.

    Attributes:
        known: (8,), 1 for the emotions that were trained on.
    """

    known: Tensor

    def __init__(
        self,
        *,
        size: int = CODE,
        widths: tuple[int, ...] = EMOTION_WIDTHS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers = []
        for narrow, wide in pairwise((1, *widths)):
            layers += [nn.Conv2d(narrow, wide, 3, 2, 1), nn.GroupNorm(GROUPS, wide)]
            layers += [nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        bands = -(-BANDS // 2 ** len(widths))
        self.gru = nn.GRU(widths[-1] * bands, EMOTION_HIDDEN, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Sequential(
            nn.Linear(2 * EMOTION_HIDDEN, size), nn.ReLU(), nn.Linear(size, EMOTIONS)
        )
        self.register_buffer("known", torch.ones(EMOTIONS))

    def forward(self, mel_NBL: Tensor) -> Tensor:
        """Return logits (N, 8) of mels (N, 80, L); those of emotions never seen are
        `UNSEEN_LOGIT`."""
        hidden_NCBL = self.trunk(mel_NBL[:, None])
        hidden_NLC, _ = self.gru(hidden_NCBL.flatten(1, 2).transpose(1, 2))
        return self.classify(self.drop(hidden_NLC.mean(1))).masked_fill(
            self.known == 0, UNSEEN_LOGIT
        )


class ContentEncoder(nn.Module):
    """What is said, at 25 Hz: three causal convolutions and a GRU whose output comes late.

    Lips open before the sound, hence the delay: what comes out at frame t + `look_ahead` belongs
    to frame t ("Synthesizing Obama", Suwajanakorn et al. 2017).

    Dropout keeps what is heard of training clips like what is heard of new ones: else faces are
    painted by what tells the clip.

    Attributes:
        mel_mean, mel_deviation: (80,) of the training voices' log-mels.
    """

    mel_mean: Tensor
    mel_deviation: Tensor

    def __init__(self, *, size: int = CONTENT, look_ahead: int = 5, dropout: float = 0.0) -> None:
        super().__init__()
        self.look_ahead = look_ahead
        self.convolutions = nn.ModuleList(
            nn.Conv1d(BANDS if i == 0 else size, size, kernel, stride)
            for i, (kernel, stride) in enumerate(zip(KERNELS, STRIDES, strict=True))
        )
        self.norms = nn.ModuleList(ChannelNorm(size) for _ in KERNELS)
        self.gru = nn.GRU(size, size, batch_first=True)
        self.norm = nn.LayerNorm(size)
        self.drop = nn.Dropout(dropout)
        self.register_buffer("mel_mean", torch.zeros(BANDS))
        self.register_buffer("mel_deviation", torch.ones(BANDS))

    def forward(self, mel_NBL: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return content (N, T, 256), `look_ahead` frames late, and the state after it.

        Mels (N, 80, 4 T). The first `look_ahead` frames of a stream belong to no frame.
        """
        pasts, memory = state if state is not None else ([None] * len(KERNELS), None)
        hidden, after = mel_NBL, []
        for convolution, norm, past in zip(self.convolutions, self.norms, pasts, strict=True):
            kept = convolution.kernel_size[0] - convolution.stride[0]
            if past is None:
                past = hidden.new_zeros(*hidden.shape[:2], kept)
            hidden = torch.cat((past, hidden), 2)
            after.append(hidden[..., hidden.shape[2] - kept :])
            hidden = self.drop(F.gelu(norm(convolution(hidden))))
        content_NTC, memory = self.gru(hidden.transpose(1, 2), memory)
        return self.drop(self.norm(content_NTC)), (after, memory)


class NoiseProcess(nn.Module):
    """What no speech tells: how the head sways and when the eyes blink, made of noise.

    Rebuilt: in training a face is painted with the truth's own motion, so that chance blurs no
    picture, and this learns to make motion of the same statistics out of noise, 16 numbers a frame
    (Vougioukas et al. 2020 let a GRU read noise for the same end).

    Attributes:
        mean, deviation, lowest, highest: (M,) of the training clips' motion.
    """

    mean: Tensor
    deviation: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, motion: int, *, noise: int = NOISE, hidden: int = NOISE_HIDDEN) -> None:
        super().__init__()
        self.noise = noise
        self.gru = nn.GRU(noise, hidden, batch_first=True)
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, motion))
        for name, value in (("mean", 0.0), ("deviation", 1.0), ("lowest", -3.0), ("highest", 3.0)):
            self.register_buffer(name, torch.full((motion,), value))

    def forward(self, noise_NTZ: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return motion (N, T, M) in deviations from its mean, and the GRU's memory."""
        hidden_NTH, memory = self.gru(noise_NTZ, memory)
        return self.out(hidden_NTH), memory

    def in_units(self, standard_NTM: Tensor) -> Tensor:
        """Return motion in its own units, inside what was seen in training."""
        motion_NTM = self.mean + self.deviation * standard_NTM
        return motion_NTM.clamp(self.lowest, self.highest)

    def standard(self, motion_NTM: Tensor) -> Tensor:
        """Return motion in deviations from its mean."""
        return (motion_NTM - self.mean) / self.deviation
