"""What somebody looks like, decoded once a clip: a portrait, and a pyramid of maps to paint with.

Rebuilt. Whose looks a voice means is told by the gallery of the people trained on. Portrait and
pyramid both have a part that moves with the head and one that stands still behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.data.speech2face.dataset import FaceMotionDataset
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face.encoders import CODE, CONTENT, EMOTIONS, IDENTITY
from speech2video.util.errors import DataError

COLOURS = 3
COARSE = 8  # pixels a side of the pyramid's lowest level; it begins with half of it
SHUFFLED = 2  # pixels of the picture's side to one of the finest level
APPEARANCE = 32  # portraits that everybody's is a mixture of
BACKGROUND_SIDE = 16  # pixels a side of what stands still behind the head, which is smooth
BANK_SCALE = 24.0  # by which cosines of voices become logits, whoever it is
BANK_INIT = 0.1  # numbers of a direction at first; long ones hardly turn at Adam's steps
OPAQUE = 3.0  # logit of how much of what is behind a head covers, before anything is learned


@dataclass(frozen=True, eq=False)
class AppearanceFeatures:
    """Somebody's looks.

    Attributes:
        head: portrait and, last, the logit of what it covers (N, 4, H, W); moves.
        behind: (N, 3, H, W); stands still.
        levels: of the pyramid, the coarsest first: what moves, what stands still.
    """

    head: Tensor
    behind: Tensor
    levels: Sequence[tuple[Tensor, Tensor]]


class IdentityBank(nn.Module):
    """The people trained on: how each is heard, and of which mixture of looks their portrait is.

    An identity's looks are those of the people it is like, weighted by a softmax: a voice that is
    surely somebody's gets exactly their hair and glasses, one between two people a face between
    theirs (attention over a memory, as in Vaswani et al., 2017).

    Attributes:
        voices: (P, I), directions of the people's identities.
        looks: (P, `APPEARANCE`).
    """

    def __init__(self, people: int, identity: int) -> None:
        super().__init__()
        self.voices = nn.Parameter(BANK_INIT * torch.randn(people, identity))
        self.looks = nn.Parameter(torch.randn(people, APPEARANCE))

    def tell(self, identity_NI: Tensor) -> Tensor:
        """Return logits (N, P) of whose identities, unit vectors, these are."""
        return BANK_SCALE * identity_NI @ F.normalize(self.voices, dim=1).T

    def forward(self, identity_NI: Tensor) -> Tensor:
        """Return mixtures of looks (N, `APPEARANCE`)."""
        return self.tell(identity_NI).softmax(1) @ self.looks


class EigenfaceDecoder(nn.Module):
    """A mixture of looks to a head, what it covers, and what is behind it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.heads = nn.Linear(APPEARANCE, (COLOURS + 1) * size**2)
        self.behind = nn.Linear(APPEARANCE, COLOURS * BACKGROUND_SIDE**2)
        with torch.no_grad():
            for layer in (self.heads, self.behind):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
            self.heads.bias[COLOURS * size**2 :] = OPAQUE

    @torch.no_grad()
    def begin_with(self, heads_P3HW: Tensor, pictures_P3HW: Tensor) -> Tensor:
        """Set the mean of people's looks, and in what they mostly differ.

        Return whose looks are which mixture (P, `APPEARANCE`), of numbers of about 1.

        Args:
            heads_P3HW: of P people, -1..1; the principal components of these.
            pictures_P3HW: the same, with what is behind them; what goes with those components.
        """
        behind = F.interpolate(
            pictures_P3HW, BACKGROUND_SIDE, mode="bilinear", antialias=True
        ).flatten(1)
        heads = heads_P3HW.flatten(1)
        mean, mean_behind = heads.mean(0), behind.mean(0)
        scores_PR, sizes_R, looks_RX = torch.linalg.svd(heads - mean, full_matrices=False)
        # A component's sign is the library's choice. Another machine of a run, or one that goes on
        # with it, must choose the same: whoever has most of it has it with a plus.
        most_R = scores_PR.gather(0, scores_PR.abs().argmax(0, keepdim=True)).sign()
        scores_PR, looks_RX = scores_PR * most_R, looks_RX * most_R.T
        count = min(len(heads) - 1, APPEARANCE)  # of P people without their mean there are P − 1
        scale = len(heads) ** 0.5
        self.heads.bias[: heads.shape[1]] = mean
        self.behind.bias[:] = mean_behind
        self.heads.weight[: heads.shape[1], :count] = (
            looks_RX[:count] * sizes_R[:count, None] / scale
        ).T
        self.behind.weight[:, :count] = (behind - mean_behind).T @ scores_PR[:, :count] / scale
        return F.pad(scale * scores_PR[:, :count], (0, APPEARANCE - count))

    def forward(self, looks_NK: Tensor) -> tuple[Tensor, Tensor]:
        """Return heads (N, 4, H, W) and what is behind them (N, 3, H, W)."""
        heads = self.heads(looks_NK).unflatten(1, (-1, self.size, self.size))
        behind = self.behind(looks_NK).unflatten(1, (-1, BACKGROUND_SIDE, BACKGROUND_SIDE))
        return heads, F.interpolate(behind, self.size, mode="bilinear", align_corners=False)


class AppearanceDecoder(nn.Module):
    """A coarse map to the pyramid of somebody's looks.

    Each level has a map of its own that is everybody's, so that it is known from the first step on
    where in the picture what is.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        steps = list(pairwise((channels[0], *channels)))
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for i, o in steps)
        self.refine = nn.ModuleList(nn.Conv2d(o, o, 3, padding=1) for o in channels)
        self.give = nn.ModuleList(nn.Conv2d(o, 2 * o, 3, padding=1) for o in channels)
        self.norms = nn.ModuleList(nn.LayerNorm(o) for o in channels)
        self.places = nn.ParameterList(
            torch.randn(width, COARSE << level, COARSE << level)
            for level, width in enumerate(channels)
        )

    def forward(
        self, coarse: Tensor, skips: list[Tensor] | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the maps of each level, the coarsest first."""
        x, person = coarse.contiguous(memory_format=torch.channels_last), []
        for number, (up, refine, give, norm) in enumerate(
            zip(self.up, self.refine, self.give, self.norms, strict=True)
        ):
            x = F.pixel_shuffle(up(x), 2)
            if skips is not None:
                x = x + skips[-1 - number]
            x = x + refine(F.relu(x))
            x = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + self.places[number]
            person.append(tuple(give(F.relu(x)).chunk(2, 1)))
        return person


class ReferenceImageEncoder(nn.Module):
    """A picture to maps of each level, the finest first, and one more at 4×4."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        wide = channels[::-1]
        self.pack = nn.Conv2d(COLOURS * SHUFFLED**2, wide[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(i, o, 3, 2, 1) for i, o in pairwise((*wide, channels[0]))
        )

    def forward(self, still_N3HW: Tensor) -> list[Tensor]:
        """Return the maps."""
        reference_image = still_N3HW.contiguous(memory_format=torch.channels_last)
        maps = [F.relu(self.pack(F.pixel_unshuffle(reference_image, SHUFFLED)))]
        for down in self.down:
            maps.append(F.relu(down(maps[-1])))
        return maps


# A talking face, painted from numbers alone: who, what is said, which emotion, how the head moves.
#
#     person = generator.begin(identity)                             once a clip
#     frames = generator.frames(person, content, emotion, motion)    (N, T, 3, H, W), -1..1
#
# Rebuilt. What somebody looks like is decoded once: an identity becomes a mixture of the looks of the
# people trained on, and this a portrait, made of eigenfaces (Turk and Pentland, 1991), and a pyramid
# of maps. Both have a part that moves with the head and one that stands still behind it. The first is
# moved by the head's own shift, roll and zoom, so that hair and skin keep their detail and nobody has
# to learn to paint them anew at each place. The rest of the motion (turn, nod, lids), speech and
# emotion modulate the blocks on the way up. These bend the portrait, by a flow of 32×32 (as Wiles et
# al., X2Face, 2018, and Siarohin et al., First Order Motion Model, 2019, bend a still), and what they
# paint is added to it: a jaw that opens and a cheek that turns away are the same pixels elsewhere,
# and only teeth and shadows are new. No frame sees another one: a video cannot drift, however long.
# Most work is done at 32×32 and below.
#
# The paper's baseline enters at the same place: `encode_reference` takes a picture for the portrait
# and makes the pyramid of it.

PLACEMENT = 4  # the first numbers of motion: right, down, roll, zoom
STYLE = 192  # hidden numbers of what modulates
PIVOT = (0.5, 0.4)  # of the picture: the eyes' middle, about which heads roll
CHANNELS, BLOCKS = (128, 96, 64, 32), (1, 1, 1, 1)  # of each level, the coarsest first
FLOW_LEVEL = 2  # the level that tells the flow, or the last one
FLOW_UNIT = 0.1  # of half a picture: what a flow of 1 out of the network means


class FaceGenerator(nn.Module):
    """Identity, content, emotion and motion to frames.

    Args:
        size: pixels a side, 64 or 128 (or another power of two, from 16 on).
        motion: numbers a frame, the first four of them how the head is placed.
        people: how many it is trained on.
        channels: of the levels, from 8×8 to half the picture; a smaller picture leaves out the
            last ones.
        blocks: of the levels.
        still: whether looks are those of a picture, for the baseline.

    Raises:
        DataError: a size that is no such power.
    """

    def __init__(
        self,
        *,
        motion: int,
        size: int = 128,
        people: int = 1,
        identity: int = IDENTITY,
        content: int = CONTENT,
        code: int = CODE,
        channels: tuple[int, ...] = CHANNELS,
        blocks: tuple[int, ...] = BLOCKS,
        reference_image: bool = False,
    ) -> None:
        super().__init__()
        sizes = [COARSE * SHUFFLED << level for level in range(len(channels))]
        if size not in sizes:
            raise DataError(f"faces of {size} pixels; one of {sizes} is needed")
        self.size, channels = size, channels[: 1 + sizes.index(size)]
        if reference_image:
            self.look = ReferenceImageEncoder(channels)
        else:
            self.identity_bank = IdentityBank(people, identity)
            self.identity_projection = nn.Linear(APPEARANCE, channels[0] * (COARSE // 2) ** 2)
            self.portrait = EigenfaceDecoder(size)
        self.person = AppearanceDecoder(channels)
        self.codes = nn.Parameter(torch.randn(EMOTIONS, code))
        self.style = nn.Sequential(
            nn.Linear(content + code + motion - PLACEMENT, STYLE),
            nn.GELU(),
            nn.Linear(STYLE, STYLE),
            nn.GELU(),
        )
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for i, o in pairwise(channels))
        self.levels = nn.ModuleList(
            nn.ModuleList(ModulatedBlock(width) for _ in range(count))
            for width, count in zip(channels, blocks, strict=False)
        )
        self.bent_by = min(FLOW_LEVEL, len(channels) - 1)
        self.flow_head = nn.Conv2d(channels[self.bent_by], 2, 3, padding=1)
        self.to_rgb = nn.Conv2d(channels[-1], COLOURS * SHUFFLED**2, 3, padding=1)
        self._draw_weights()

    def forward(
        self,
        who: Tensor,
        content_NTC: Tensor | None = None,
        emotion_N8: Tensor | None = None,
        motion_NTM: Tensor | None = None,
        speaker_N: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return frames (N, T, 3, H, W); `who` is an identity (N, 128), or a still, see above.

        With speakers known, by number, return frames of these and the logits of whom the gallery
        takes all identities `who` for; of identities alone, these logits: under
        DistributedDataParallel processes agree on gradients of what is called by this method,
        once, only.
        """
        if content_NTC is None:
            return self.identity_bank.tell(who)
        given = content_NTC, emotion_N8, motion_NTM
        if speaker_N is not None:
            person = self.decode_appearance(self.identity_bank.looks[speaker_N])
            return self.frames(person, *given), self.identity_bank.tell(who)
        person = self.begin(who) if who.ndim == 2 else self.encode_reference(who)
        return self.frames(person, *given)

    @torch.no_grad()
    def init_eigenfaces(self, heads_P3HW: Tensor, pictures_P3HW: Tensor) -> None:
        """Let portraits begin as people's mean heads and pictures; see `EigenfaceDecoder.begin_with`."""
        self.identity_bank.looks.copy_(self.portrait.begin_with(heads_P3HW, pictures_P3HW))

    def begin(self, identity_ND: Tensor) -> AppearanceFeatures:
        """Return somebody's looks, by their identity, a unit vector."""
        return self.decode_appearance(self.identity_bank(identity_ND))

    def decode_appearance(self, looks_NK: Tensor) -> AppearanceFeatures:
        """Return somebody's looks, by what they are a mixture of."""
        coarse = self.identity_projection(looks_NK).unflatten(1, (-1, COARSE // 2, COARSE // 2))
        return AppearanceFeatures(*self.portrait(looks_NK), self.person(coarse))

    def encode_reference(self, still_N3HW: Tensor) -> AppearanceFeatures:
        """Return somebody's looks, by a picture (N, 3, H, W) -1..1 of them."""
        *skips, coarse = self.look(still_N3HW)
        covers = torch.full_like(still_N3HW[:, :1], 1 / torch.finfo(still_N3HW.dtype).eps)
        return AppearanceFeatures(
            torch.cat((still_N3HW, covers), 1), still_N3HW, self.person(coarse, skips)
        )

    def code(self, emotion_N8: Tensor) -> Tensor:
        """Return the codes (N, 64) of emotions: mixtures of one learned code for each of eight.

        So nothing else gets through an emotion (who speaks, say), and naming an emotion is giving
        a code that faces were trained with. The paper says embedding and no more; rebuilt.
        """
        return emotion_N8 @ self.codes

    def frames(
        self,
        person: AppearanceFeatures,
        content_NTC: Tensor,
        emotion_N8: Tensor,
        motion_NTM: Tensor,
    ) -> Tensor:
        """Return frames (N, T, 3, H, W), about -1..1.

        Args:
            person: what `begin` returned.
            content_NTC: what is said (N, T, 256).
            emotion_N8: how much there is of each emotion (N, 8), 1 together.
            motion_NTM: head and lids (N, T, M), `data.face_motion.MOTION`'s units.
        """
        count, length = content_NTC.shape[:2]
        emotion_NTE = self.code(emotion_N8)[:, None].expand(-1, length, -1)
        given = torch.cat((content_NTC, emotion_NTE, motion_NTM[..., PLACEMENT:]), -1)
        style_MS = self.style(given.flatten(0, 1))
        place_M23 = head_transform(motion_NTM[..., :PLACEMENT].flatten(0, 1))
        x = flow = None
        for number, (level, maps) in enumerate(zip(self.levels, person.levels, strict=True)):
            moving, reference_image = (repeat_frames(one, length) for one in maps)
            here = warp_with_head(moving, place_M23, flow) + reference_image
            x = here if x is None else F.pixel_shuffle(self.up[number - 1](x), 2) + here
            for block in level:
                x = block(x, style_MS)
            if number == self.bent_by:
                flow = FLOW_UNIT * self.flow_head(x)
        head = warp_with_head(repeat_frames(person.head, length), place_M23, flow)
        portrait = torch.lerp(
            repeat_frames(person.behind, length), head[:, :COLOURS], head[:, COLOURS:].sigmoid()
        )
        painted = portrait + F.pixel_shuffle(self.to_rgb(x), SHUFFLED)
        return painted.unflatten(0, (count, length))

    @torch.no_grad()
    def _draw_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
            if isinstance(layer, ModulatedBlock):
                nn.init.zeros_(layer.second.weight)
        nn.init.zeros_(self.flow_head.weight)
        nn.init.zeros_(self.to_rgb.weight)  # the portrait comes first, what moves in it after


class ModulatedBlock(nn.Module):
    """Two convolutions, modulated by a style, whose sum with their input goes on.

    Each pixel is normalised by itself, then scaled and shifted channel by channel (Perez et al.,
    FiLM, 2018), before and between the convolutions: what is said must reach every pixel it opens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(STYLE, 4 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, style_MS: Tensor) -> Tensor:
        """Return features (M, C, H, W) of the same shape."""
        scale, shift, scale_2, shift_2 = self.modulate(style_MS)[..., None, None].chunk(4, 1)
        hidden = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        hidden = self.first(F.relu(hidden * (1 + scale) + shift))
        return x + self.second(F.relu(hidden * (1 + scale_2) + shift_2))


def repeat_frames(maps_NCHW: Tensor, length: int) -> Tensor:
    """Return maps (N T, C, H, W), the same for all T frames of a clip."""
    if length == 1:
        return maps_NCHW
    return maps_NCHW[:, None].expand(-1, length, -1, -1, -1).flatten(0, 1)


def head_transform(place_M4: Tensor) -> Tensor:
    """Return for `affine_grid` where (M, 2, 3) what is seen at a place was before the head moved.

    Right and down are shares of the picture's width, roll is in radians, zoom a logarithm.
    """
    right, down, roll, zoom = place_M4.float().unbind(1)
    shrink = torch.exp(-zoom)
    cos, sin = shrink * torch.cos(roll), shrink * torch.sin(roll)
    x, y = (2 * PIVOT[0] - 1 + 2 * right), (2 * PIVOT[1] - 1 + 2 * down)  # of -1..1
    back_x = 2 * PIVOT[0] - 1 - (cos * x + sin * y)
    back_y = 2 * PIVOT[1] - 1 - (cos * y - sin * x)
    rows = torch.stack((cos, sin, back_x, -sin, cos, back_y), 1)
    return rows.unflatten(1, (2, 3))


def warp_with_head(maps_MCHW: Tensor, place_M23: Tensor, flow_M2HW: Tensor | None = None) -> Tensor:
    """Return maps moved with the head; beyond the border its last pixels go on.

    A flow, of any size, says how far off (right, down, in halves of a picture) its place alone what
    is seen there was before.
    """
    size = list(maps_MCHW.shape)
    grid = F.affine_grid(place_M23, size, align_corners=False)
    if flow_M2HW is not None:
        flow = F.interpolate(flow_M2HW.float(), size[2:], mode="bilinear", align_corners=False)
        grid = grid + flow.permute(0, 2, 3, 1)
    return F.grid_sample(maps_MCHW, grid.to(maps_MCHW.dtype), "bilinear", "border", False)


# What the people of a data set look like on average: where a generator's portraits begin.
#
# Eigenfaces (Turk & Pentland, 1991) of heads that are put back in their place: nobody has to learn by
# gradient descent what a mean over pictures tells.

LOOKED_AT = 8  # frames of each clip, evenly apart


def mean_appearance(dataset: FaceMotionDataset) -> tuple[Tensor, Tensor]:
    """Return people's mean head and mean picture, (P, 3, H, W) each, -1..1, by name.

    Heads are moved back to where they are in the clip as a whole; pictures are as they are. Clips
    that are heard in several ways are seen in one, and looked at once.
    """
    clips = {
        recording.name: (recording, motion_TM)
        for recording, motion_TM in reversed(
            [*zip(dataset.recordings, dataset.motions, strict=True)]
        )
    }
    heads: dict[str, list[Tensor]] = {speaker: [] for speaker in dataset.speakers}
    pictures: dict[str, list[Tensor]] = {speaker: [] for speaker in dataset.speakers}
    for recording, motion_TM in clips.values():
        rows = np.unique(np.linspace(0, len(recording) - 1, LOOKED_AT).round().astype(int))
        frames = to_floats(torch.from_numpy(np.ascontiguousarray(recording.frames_T3HW[rows])))
        place_M23 = head_transform(torch.from_numpy(motion_TM[rows, :PLACEMENT]))
        heads[recording.speaker].append(warp_with_head(frames, invert_affine(place_M23)).mean(0))
        pictures[recording.speaker].append(frames.mean(0))
    mean_heads, mean_pictures = (
        torch.stack([torch.stack(found[speaker]).mean(0) for speaker in dataset.speakers])
        for found in (heads, pictures)
    )
    return mean_heads, mean_pictures


def invert_affine(place_M23: Tensor) -> Tensor:
    """Return the inverses (M, 2, 3) of affine maps."""
    back_M22 = torch.linalg.inv(place_M23[:, :, :2])
    return torch.cat((back_M22, -back_M22 @ place_M23[:, :, 2:]), 2)
