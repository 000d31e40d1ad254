"""A talking face, painted from numbers alone: who, what is said, which emotion, how the head moves.

    person = generator.begin(identity)                             once a clip
    frames = generator.frames(person, content, emotion, motion)    (N, T, 3, H, W), -1..1

Rebuilt. What somebody looks like is decoded once: an identity becomes a mixture of the looks of the
people trained on, and this a portrait, made of eigenfaces (Turk and Pentland, 1991), and a pyramid
of maps. Both have a part that moves with the head and one that stands still behind it. The first is
moved by the head's own shift, roll and zoom, so that hair and skin keep their detail and nobody has
to learn to paint them anew at each place. The rest of the motion (turn, nod, lids), speech and
emotion modulate the blocks on the way up. These bend the portrait, by a flow of 32×32 (as Wiles et
al., X2Face, 2018, and Siarohin et al., First Order Motion Model, 2019, bend a still), and what they
paint is added to it: a jaw that opens and a cheek that turns away are the same pixels elsewhere,
and only teeth and shadows are new. No frame sees another one: a video cannot drift, however long.
Most work is done at 32×32 and below.

The paper's baseline enters at the same place: `begin_with_still` takes a picture for the portrait
and makes the pyramid of it.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.networks.face_encoders import CODE, CONTENT, EMOTIONS, IDENTITY
from speech2video.models.networks.face_looks import (
    COARSE,
    COLOURS,
    LOOKS,
    SHUFFLED,
    Gallery,
    Person,
    PersonDecoder,
    Portrait,
    StillEncoder,
)
from speech2video.util.errors import DataError

PLACED = 4  # the first numbers of motion: right, down, roll, zoom
STYLE = 192  # hidden numbers of what modulates
PIVOT = (0.5, 0.4)  # of the picture: the eyes' middle, about which heads roll
CHANNELS, BLOCKS = (128, 96, 64, 32), (1, 1, 1, 1)  # of each level, the coarsest first
BENT_BY = 2  # the level that tells the flow, or the last one
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
        still: bool = False,
    ) -> None:
        super().__init__()
        sizes = [COARSE * SHUFFLED << level for level in range(len(channels))]
        if size not in sizes:
            raise DataError(f"faces of {size} pixels; one of {sizes} is needed")
        self.size, channels = size, channels[: 1 + sizes.index(size)]
        if still:
            self.look = StillEncoder(channels)
        else:
            self.gallery = Gallery(people, identity)
            self.imagine = nn.Linear(LOOKS, channels[0] * (COARSE // 2) ** 2)
            self.portrait = Portrait(size)
        self.person = PersonDecoder(channels)
        self.codes = nn.Parameter(torch.randn(EMOTIONS, code))
        self.style = nn.Sequential(
            nn.Linear(content + code + motion - PLACED, STYLE),
            nn.GELU(),
            nn.Linear(STYLE, STYLE),
            nn.GELU(),
        )
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for i, o in pairwise(channels))
        self.levels = nn.ModuleList(
            nn.ModuleList(Block(width) for _ in range(count))
            for width, count in zip(channels, blocks, strict=False)
        )
        self.bent_by = min(BENT_BY, len(channels) - 1)
        self.bend = nn.Conv2d(channels[self.bent_by], 2, 3, padding=1)
        self.paint = nn.Conv2d(channels[-1], COLOURS * SHUFFLED**2, 3, padding=1)
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
            return self.gallery.tell(who)
        given = content_NTC, emotion_N8, motion_NTM
        if speaker_N is not None:
            person = self.begin_with_looks(self.gallery.looks[speaker_N])
            return self.frames(person, *given), self.gallery.tell(who)
        person = self.begin(who) if who.ndim == 2 else self.begin_with_still(who)
        return self.frames(person, *given)

    @torch.no_grad()
    def begin_with_people(self, heads_P3HW: Tensor, pictures_P3HW: Tensor) -> None:
        """Let portraits begin as people's mean heads and pictures; see `Portrait.begin_with`."""
        self.gallery.looks.copy_(self.portrait.begin_with(heads_P3HW, pictures_P3HW))

    def begin(self, identity_ND: Tensor) -> Person:
        """Return somebody's looks, by their identity, a unit vector."""
        return self.begin_with_looks(self.gallery(identity_ND))

    def begin_with_looks(self, looks_NK: Tensor) -> Person:
        """Return somebody's looks, by what they are a mixture of."""
        coarse = self.imagine(looks_NK).unflatten(1, (-1, COARSE // 2, COARSE // 2))
        return Person(*self.portrait(looks_NK), self.person(coarse))

    def begin_with_still(self, still_N3HW: Tensor) -> Person:
        """Return somebody's looks, by a picture (N, 3, H, W) -1..1 of them."""
        *skips, coarse = self.look(still_N3HW)
        covers = torch.full_like(still_N3HW[:, :1], 1 / torch.finfo(still_N3HW.dtype).eps)
        return Person(torch.cat((still_N3HW, covers), 1), still_N3HW, self.person(coarse, skips))

    def code(self, emotion_N8: Tensor) -> Tensor:
        """Return the codes (N, 64) of emotions: mixtures of one learned code for each of eight.

        So nothing else gets through an emotion (who speaks, say), and naming an emotion is giving
        a code that faces were trained with. The paper says embedding and no more; rebuilt.
        """
        return emotion_N8 @ self.codes

    def frames(
        self, person: Person, content_NTC: Tensor, emotion_N8: Tensor, motion_NTM: Tensor
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
        given = torch.cat((content_NTC, emotion_NTE, motion_NTM[..., PLACED:]), -1)
        style_MS = self.style(given.flatten(0, 1))
        place_M23 = placement(motion_NTM[..., :PLACED].flatten(0, 1))
        x = flow = None
        for number, (level, maps) in enumerate(zip(self.levels, person.levels, strict=True)):
            moving, still = (each_frame(one, length) for one in maps)
            here = moved(moving, place_M23, flow) + still
            x = here if x is None else F.pixel_shuffle(self.up[number - 1](x), 2) + here
            for block in level:
                x = block(x, style_MS)
            if number == self.bent_by:
                flow = FLOW_UNIT * self.bend(x)
        head = moved(each_frame(person.head, length), place_M23, flow)
        portrait = torch.lerp(
            each_frame(person.behind, length), head[:, :COLOURS], head[:, COLOURS:].sigmoid()
        )
        painted = portrait + F.pixel_shuffle(self.paint(x), SHUFFLED)
        return painted.unflatten(0, (count, length))

    @torch.no_grad()
    def _draw_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
            if isinstance(layer, Block):
                nn.init.zeros_(layer.second.weight)
        nn.init.zeros_(self.bend.weight)
        nn.init.zeros_(self.paint.weight)  # the portrait comes first, what moves in it after


class Block(nn.Module):
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


def each_frame(maps_NCHW: Tensor, length: int) -> Tensor:
    """Return maps (N T, C, H, W), the same for all T frames of a clip."""
    if length == 1:
        return maps_NCHW
    return maps_NCHW[:, None].expand(-1, length, -1, -1, -1).flatten(0, 1)


def placement(place_M4: Tensor) -> Tensor:
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


def moved(maps_MCHW: Tensor, place_M23: Tensor, flow_M2HW: Tensor | None = None) -> Tensor:
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
