"""The face generator: identity, content, emotion and head motion to frames.

    appearance = generator.encode_appearance(identity)                       once per clip
    frames = generator.generate(appearance, content, emotion, motion)        (N, T, 3, H, W), -1..1

An identity selects a mixture of the training speakers' appearance codes, which is decoded as a
portrait of eigenfaces (Turk and Pentland, 1991) and a pyramid of feature maps. Parts that move with
the head are warped by its shift, roll and zoom; other motion, content and emotion modulate the
convolution blocks. These predict a flow that warps the portrait (as in Wiles et al., X2Face, 2018,
and Siarohin et al., First Order Motion Model, 2019) and a residual that is added to it. Frames are
independent of each other, so that long videos do not drift.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.speech2face import encoders
from speech2video.models.speech2face.encoders import APPEARANCE_DIM, CONTENT_DIM, PATCH, RGB
from speech2video.util.errors import DataError

CHANNELS, BLOCKS = (128, 96, 64, 32, 16), (1, 1, 1, 1, 1)  # of each level, the coarsest first
COARSE = 8  # pixels a side of the pyramid's coarsest level
BACKGROUND_SIDE = 16  # pixels a side of the static background, which is smooth
EIGENFACE_SPEAKERS = 256  # at most, so that their heads fit into memory
OPAQUE = 3.0  # initial logit of the head's mask
PLACEMENT_DIM = 4  # the first numbers of the motion: right, down, roll, zoom
STYLE_DIM = 192
PIVOT = (0.5, 0.4)  # of the image: the midpoint of the eyes, about which heads roll
FLOW_LEVEL = 2  # the level that predicts the flow, or the last one
FLOW_SCALE = 0.1  # of half an image


@dataclass(frozen=True, eq=False)
class AppearanceFeatures:
    """Decoded appearance of N clips.

    Attributes:
        head: portrait (N, 3, S, S), which may be finer than the frames; moves with the head.
        mask: its logit (N, 1, H, W); moves with the head, too.
        background: (N, 3, H, W), static.
        levels: moving and static feature maps of each level, the coarsest first.
    """

    head: Tensor
    mask: Tensor
    background: Tensor
    levels: Sequence[tuple[Tensor, Tensor]]


FrameInputs = tuple[Tensor, Tensor, Tensor]  # content, emotion, motion; see `generate`


class EigenfaceDecoder(nn.Module):
    """Decode an appearance code as a head with its mask, and the background.

    Args:
        size: H = W of mask and background.
        scale: by which the head is finer. Between the pixels of a head of the frames' own size,
            bilinear sampling would lose what is finest in every frame.
    """

    def __init__(self, size: int, *, scale: int = 1) -> None:
        super().__init__()
        self.size, self.side = size, scale * size
        self.split = RGB * self.side**2, size**2
        self.heads = nn.Linear(APPEARANCE_DIM, sum(self.split))
        self.background = nn.Linear(APPEARANCE_DIM, RGB * BACKGROUND_SIDE**2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.heads.bias[self.split[0] :] = OPAQUE

    @torch.no_grad()
    def init_from_means(self, heads_P3HW: Tensor, images_P3HW: Tensor) -> Tensor:
        """Set the layers to the principal components of P speakers; return their codes.

        Args:
            heads_P3HW: heads of `side` pixels a side, -1..1, whose components these are.
            images_P3HW: mean images with the background that goes with the heads.

        Returns:
            Appearance codes (P, `APPEARANCE_DIM`) of about unit variance.
        """
        small = F.interpolate(images_P3HW, BACKGROUND_SIDE, mode="bilinear", antialias=True)
        backgrounds, heads = small.flatten(1), heads_P3HW.flatten(1)
        mean, mean_background = heads.mean(0), backgrounds.mean(0)
        scores_PR, singular_R, components_RX = torch.linalg.svd(heads - mean, full_matrices=False)
        # A component's sign is the library's choice, but must be the same on all machines of a
        # run: the speaker with the largest score gets a positive one.
        sign_1R = scores_PR.gather(0, scores_PR.abs().argmax(0, keepdim=True)).sign()
        scores_PR, components_RX = scores_PR * sign_1R, components_RX * sign_1R.T
        count = min(len(heads) - 1, APPEARANCE_DIM)  # P centred heads have rank P − 1
        scale = len(heads) ** 0.5
        self.heads.bias[: heads.shape[1]] = mean
        self.background.bias[:] = mean_background
        weight_RX = components_RX[:count] * singular_R[:count, None] / scale
        self.heads.weight[: heads.shape[1], :count] = weight_RX.T
        weight_YR = (backgrounds - mean_background).T @ scores_PR[:, :count] / scale
        self.background.weight[:, :count] = weight_YR
        return F.pad(scale * scores_PR[:, :count], (0, APPEARANCE_DIM - count))

    @torch.no_grad()
    def encode(self, heads_N3HW: Tensor) -> Tensor:
        """Return the codes (N, `APPEARANCE_DIM`) of other heads, after `init_from_means`."""
        end = heads_N3HW[0].numel()
        weight_XR, mean_X = self.heads.weight[:end], self.heads.bias[:end]
        norm_R = weight_XR.square().sum(0)
        scores_NR = (heads_N3HW.flatten(1) - mean_X) @ weight_XR  # its columns are orthogonal
        return torch.where(norm_R > 0, scores_NR / norm_R.clamp(min=1e-12), 0.0)

    def forward(self, appearance_NK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return heads (N, 3, S, S), masks (N, 1, H, W) and backgrounds (N, 3, H, W)."""
        head, mask = self.heads(appearance_NK).split(self.split, 1)
        head = head.unflatten(1, (RGB, self.side, self.side))
        mask = mask.unflatten(1, (1, self.size, self.size))
        shape = -1, BACKGROUND_SIDE, BACKGROUND_SIDE
        background = self.background(appearance_NK).unflatten(1, shape)
        background = F.interpolate(background, self.size, mode="bilinear", align_corners=False)
        return head, mask, background


class AppearanceDecoder(nn.Module):
    """Decode a coarse map as a pyramid of moving and static feature maps.

    Each level adds a learned position map that all speakers share.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = pairwise((channels[0], *channels))
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for i, o in widths)
        self.refine = nn.ModuleList(nn.Conv2d(o, o, 3, padding=1) for o in channels)
        self.out = nn.ModuleList(nn.Conv2d(o, 2 * o, 3, padding=1) for o in channels)
        self.norms = nn.ModuleList(nn.LayerNorm(o) for o in channels)
        self.positions = nn.ParameterList(
            torch.randn(width, COARSE << level, COARSE << level)
            for level, width in enumerate(channels)
        )

    def forward(
        self, coarse: Tensor, skips: list[Tensor] | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the maps of each level, the coarsest first; `skips` are the finest first."""
        x, levels = coarse.contiguous(memory_format=torch.channels_last), []
        layers = zip(self.up, self.refine, self.out, self.norms, strict=True)
        for number, (up, refine, out, norm) in enumerate(layers):
            x = F.pixel_shuffle(up(x), 2)
            if skips is not None:
                x = x + skips[-1 - number]
            x = x + refine(F.relu(x))
            x = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + self.positions[number]
            levels.append(tuple(out(F.relu(x)).chunk(2, 1)))
        return levels


class ModulatedBlock(nn.Module):
    """Residual block of two convolutions, each after a norm per pixel and FiLM.

    Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, 2018.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(STYLE_DIM, 4 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, style_MS: Tensor) -> Tensor:
        """Return features (M, C, H, W) of the same shape."""
        scale, shift, scale_2, shift_2 = self.modulation(style_MS)[..., None, None].chunk(4, 1)
        hidden = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        hidden = self.first(F.relu(hidden * (1 + scale) + shift))
        return x + self.second(F.relu(hidden * (1 + scale_2) + shift_2))


class FaceGenerator(nn.Module):
    """Generate frames of a speaker from identity, content, emotion and motion.

    Args:
        motion_dim: M numbers a frame, the first `PLACEMENT_DIM` of which place the head.
        size: pixels a side, a power of two from 16 to 256.
        speakers: P of the training data.
        portrait_scale: by which portraits are finer than frames.
        coarse_to_fine: whether frames of half the size can be generated, too, from all levels but
            the last, to train these first (Karras et al., Progressive Growing of GANs, 2018).
        channels, blocks: of the levels, from 8×8 to half the image; a smaller image leaves out the
            last ones.

    Raises:
        DataError: a size that is no such power.
    """

    uses_reference_image = False

    def __init__(
        self,
        *,
        motion_dim: int,
        size: int = 128,
        speakers: int = 1,
        portrait_scale: int = 1,
        coarse_to_fine: bool = False,
        channels: tuple[int, ...] = CHANNELS,
        blocks: tuple[int, ...] = BLOCKS,
    ) -> None:
        super().__init__()
        sizes = [COARSE * PATCH << level for level in range(len(channels))]
        if size not in sizes:
            raise DataError(f"faces of {size} pixels; one of {sizes} is needed")
        self.size, self.portrait_scale = size, portrait_scale
        channels = channels[: 1 + sizes.index(size)]
        self._add_appearance_layers(channels, speakers)
        self.appearance_decoder = AppearanceDecoder(channels)
        code_dim = encoders.EMOTION_CODE_DIM
        self.emotion_codes = nn.Parameter(torch.randn(encoders.NUM_EMOTIONS, code_dim))
        inputs = CONTENT_DIM + code_dim + motion_dim - PLACEMENT_DIM
        self.style = nn.Sequential(*encoders.mlp(inputs, STYLE_DIM, STYLE_DIM, nn.GELU), nn.GELU())
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for i, o in pairwise(channels))
        self.levels = nn.ModuleList(
            nn.ModuleList(ModulatedBlock(width) for _ in range(count))
            for width, count in zip(channels, blocks, strict=False)
        )
        self.flow_level = min(FLOW_LEVEL, len(channels) - 1)
        self.flow_head = nn.Conv2d(channels[self.flow_level], 2, 3, padding=1)
        self.to_rgb = nn.Conv2d(channels[-1], RGB * PATCH**2, 3, padding=1)
        self.coarse_to_fine = coarse_to_fine
        if coarse_to_fine:
            self.to_coarse_rgb = nn.Conv2d(channels[-2], RGB * PATCH**2, 3, padding=1)
        self._init_weights()

    def forward(
        self,
        source: Tensor,
        inputs: FrameInputs | None = None,
        speaker_N: Tensor | None = None,
        *,
        coarse: bool = False,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return frames (N, T, 3, H, W) and speaker logits (M, P); None where not computed.

        One call gives both, since DDP synchronises one call per step.

        Args:
            source: see `encode_appearance`.
            inputs: of the frames, if frames are to be generated.
            speaker_N: speakers to generate in place of `source`, whose logits are returned; where
                they are unknown, -1, the first ones of the source are.
            coarse: see `generate`.
        """
        if inputs is None:
            return None, self.identity_bank.classify(source)
        if speaker_N is None:
            return self.generate(self.encode_appearance(source), *inputs, coarse=coarse), None
        own_NK = self.identity_bank.appearances[speaker_N.clamp(min=0)]
        known_N1 = (speaker_N >= 0)[:, None]
        code_NK = torch.where(known_N1, own_NK, self.identity_bank(source[: len(own_NK)]))
        appearance = self.decode_appearance(code_NK)
        frames = self.generate(appearance, *inputs, coarse=coarse)
        return frames, self.identity_bank.classify(source)

    @torch.no_grad()
    def init_eigenfaces(
        self,
        heads_P3HW: Tensor,
        images_P3HW: Tensor,
        others: Callable[[], Tensor] | None = None,
    ) -> None:
        """Initialise portraits with speakers' heads and mean images, (P, 3, H, W) -1..1.

        Heads are `portrait_scale` times as large as frames. Of very many speakers they are of
        `eigenface_speakers`, and `others` returns the codes of the rest, once these have been made.
        """
        codes_PK = self.eigenfaces.init_from_means(heads_P3HW, images_P3HW)
        bank = self.identity_bank.appearances
        chosen = eigenface_speakers(len(bank))
        rest = np.setdiff1d(np.arange(len(bank)), chosen)
        bank[chosen] = codes_PK
        if len(rest):
            assert others is not None
            bank[rest] = others()

    def encode_appearance(self, source: Tensor) -> AppearanceFeatures:
        """Return the appearance of identities (N, I), unit vectors."""
        return self.decode_appearance(self.identity_bank(source))

    def decode_appearance(self, appearance_NK: Tensor) -> AppearanceFeatures:
        """Return the appearance of codes (N, `APPEARANCE_DIM`)."""
        shape = -1, COARSE // 2, COARSE // 2
        coarse = self.identity_projection(appearance_NK).unflatten(1, shape)
        head, mask, background = self.eigenfaces(appearance_NK)
        return AppearanceFeatures(head, mask, background, self.appearance_decoder(coarse))

    def generate(
        self,
        appearance: AppearanceFeatures,
        content_NTC: Tensor,
        emotion_N8: Tensor,
        motion_NTM: Tensor,
        *,
        coarse: bool = False,
    ) -> Tensor:
        """Return frames (N, T, 3, H, W), about -1..1.

        Args:
            appearance: of N clips.
            content_NTC: (N, T, 256).
            emotion_N8: share of each emotion, sum 1.
            motion_NTM: head and lids, in the units of `data.speech2face.dataset.MOTION`.
            coarse: whether frames have half the size and the last level is left out.
        """
        levels = list(zip(self.levels, appearance.levels, strict=True))
        size = self.size
        if coarse:
            levels, size = levels[:-1], size // 2
        count, length = content_NTC.shape[:2]
        # a mixture of learned codes carries nothing else of the voice, such as the speaker
        emotion_NTE = (emotion_N8 @ self.emotion_codes)[:, None].expand(-1, length, -1)
        inputs = torch.cat((content_NTC, emotion_NTE, motion_NTM[..., PLACEMENT_DIM:]), -1)
        style_MS = self.style(inputs.flatten(0, 1))
        place_M23 = head_transform(motion_NTM[..., :PLACEMENT_DIM].flatten(0, 1))
        x = flow = residual = None
        for number, (level, maps) in enumerate(levels):
            moving, static = (repeat_frames(one, length) for one in maps)
            here = warp_with_head(moving, place_M23, flow) + static
            x = here if x is None else F.pixel_shuffle(self.up[number - 1](x), 2) + here
            for block in cast(nn.ModuleList, level):
                x = block(x, style_MS)
            if number == self.flow_level:
                flow = FLOW_SCALE * self.flow_head(x)
            if self.coarse_to_fine and number == len(self.levels) - 2:
                residual = F.pixel_shuffle(self.to_coarse_rgb(x), PATCH)
        finest = appearance.head, appearance.mask, appearance.background
        if coarse:
            finest = (F.avg_pool2d(one, 2) for one in finest)
        head, mask, background = (repeat_frames(one, length) for one in finest)
        head, mask = (warp_with_head(one, place_M23, flow, size) for one in (head, mask))
        portrait = torch.lerp(background, head, mask.sigmoid())
        if not coarse:
            fine = F.pixel_shuffle(self.to_rgb(x), PATCH)
            residual = fine if residual is None else fine + F.interpolate(residual, scale_factor=2)
        frames = portrait + residual
        return frames.unflatten(0, (count, length))

    def _add_appearance_layers(self, channels: tuple[int, ...], speakers: int) -> None:
        self.identity_bank = encoders.IdentityBank(speakers)
        self.identity_projection = nn.Linear(APPEARANCE_DIM, channels[0] * (COARSE // 2) ** 2)
        self.eigenfaces = EigenfaceDecoder(self.size, scale=self.portrait_scale)

    def _init_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.flow_head.weight)
        nn.init.zeros_(self.to_rgb.weight)  # training starts from the unmoved portrait
        if self.coarse_to_fine:
            nn.init.zeros_(self.to_coarse_rgb.weight)


class ReferenceFaceGenerator(FaceGenerator):
    """The paper's baseline: the appearance comes from an image of the person."""

    uses_reference_image = True

    def encode_appearance(self, source: Tensor) -> AppearanceFeatures:
        """Return the appearance of images (N, 3, H, W) -1..1."""
        *skips, coarse = self.reference_encoder(source)
        mask = torch.full_like(source[:, :1], 1 / torch.finfo(source.dtype).eps)
        levels = self.appearance_decoder(coarse, skips)
        return AppearanceFeatures(source, mask, source, levels)

    def _add_appearance_layers(self, channels: tuple[int, ...], speakers: int) -> None:
        self.reference_encoder = encoders.ReferenceImageEncoder(channels)


def eigenface_speakers(speakers: int) -> np.ndarray:
    """Return the numbers of the speakers whose heads eigenfaces are made of, evenly spaced."""
    count = min(speakers, EIGENFACE_SPEAKERS)
    return np.linspace(0, speakers - 1, count).round().astype(int)


def repeat_frames(maps_NCHW: Tensor, length: int) -> Tensor:
    """Return maps (N T, C, H, W), the same for all T frames of a clip."""
    return maps_NCHW[:, None].expand(-1, length, -1, -1, -1).flatten(0, 1)


def head_transform(place_M4: Tensor) -> Tensor:
    """Return `affine_grid` matrices (M, 2, 3) from a moved head back to its rest position.

    Right and down are shares of the image's width, roll is in radians, zoom a logarithm.
    """
    right, down, roll, zoom = place_M4.float().unbind(1)
    shrink = torch.exp(-zoom)
    cos, sin = shrink * torch.cos(roll), shrink * torch.sin(roll)
    x, y = (2 * PIVOT[0] - 1 + 2 * right), (2 * PIVOT[1] - 1 + 2 * down)  # of -1..1
    back_x = 2 * PIVOT[0] - 1 - (cos * x + sin * y)
    back_y = 2 * PIVOT[1] - 1 - (cos * y - sin * x)
    return torch.stack((cos, sin, back_x, -sin, cos, back_y), 1).unflatten(1, (2, 3))


def invert_affine(place_M23: Tensor) -> Tensor:
    """Return the inverses (M, 2, 3) of affine maps."""
    inverse_M22 = torch.linalg.inv(place_M23[:, :, :2])
    return torch.cat((inverse_M22, -inverse_M22 @ place_M23[:, :, 2:]), 2)


def warp_with_head(
    maps_MCHW: Tensor,
    place_M23: Tensor,
    flow_M2HW: Tensor | None = None,
    size: int | None = None,
) -> Tensor:
    """Return maps warped with the head, of `size` pixels a side, by default that of the maps.

    The border's pixels are repeated beyond it. A flow of any size adds to the sampling positions
    (right, down, in halves of an image).
    """
    shape = list(maps_MCHW.shape[:2]) + ([size, size] if size else list(maps_MCHW.shape[2:]))
    grid = F.affine_grid(place_M23, shape, align_corners=False)
    if flow_M2HW is not None:
        flow = F.interpolate(flow_M2HW.float(), shape[2:], mode="bilinear", align_corners=False)
        grid = grid + flow.permute(0, 2, 3, 1)
    return F.grid_sample(maps_MCHW, grid.to(maps_MCHW.dtype), "bilinear", "border", False)
