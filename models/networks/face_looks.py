"""What somebody looks like, decoded once a clip: a portrait, and a pyramid of maps to paint with.

Rebuilt. Whose looks a voice means is told by the gallery of the people trained on. Portrait and
pyramid both have a part that moves with the head and one that stands still behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COLOURS = 3
COARSE = 8  # pixels a side of the pyramid's lowest level; it begins with half of it
SHUFFLED = 2  # pixels of the picture's side to one of the finest level
LOOKS = 32  # portraits that everybody's is a mixture of
BEHIND = 16  # pixels a side of what stands still behind the head, which is smooth
SURENESS = 24.0  # by which cosines of voices become logits, whoever it is
SHORT = 0.1  # numbers of a direction at first; long ones hardly turn at Adam's steps
OPAQUE = 3.0  # logit of how much of what is behind a head covers, before anything is learned


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody's looks.

    Attributes:
        head: portrait and, last, the logit of what it covers (N, 4, H, W); moves.
        behind: (N, 3, H, W); stands still.
        levels: of the pyramid, the coarsest first: what moves, what stands still.
    """

    head: Tensor
    behind: Tensor
    levels: Sequence[tuple[Tensor, Tensor]]


class Gallery(nn.Module):
    """The people trained on: how each is heard, and of which mixture of looks their portrait is.

    An identity's looks are those of the people it is like, weighted by a softmax: a voice that is
    surely somebody's gets exactly their hair and glasses, one between two people a face between
    theirs (attention over a memory, as in Vaswani et al., 2017).

    Attributes:
        voices: (P, I), directions of the people's identities.
        looks: (P, `LOOKS`).
    """

    def __init__(self, people: int, identity: int) -> None:
        super().__init__()
        self.voices = nn.Parameter(SHORT * torch.randn(people, identity))
        self.looks = nn.Parameter(torch.randn(people, LOOKS))

    def tell(self, identity_NI: Tensor) -> Tensor:
        """Return logits (N, P) of whose identities, unit vectors, these are."""
        return SURENESS * identity_NI @ F.normalize(self.voices, dim=1).T

    def forward(self, identity_NI: Tensor) -> Tensor:
        """Return mixtures of looks (N, `LOOKS`)."""
        return self.tell(identity_NI).softmax(1) @ self.looks


class Portrait(nn.Module):
    """A mixture of looks to a head, what it covers, and what is behind it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.heads = nn.Linear(LOOKS, (COLOURS + 1) * size**2)
        self.behind = nn.Linear(LOOKS, COLOURS * BEHIND**2)
        with torch.no_grad():
            for layer in (self.heads, self.behind):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
            self.heads.bias[COLOURS * size**2 :] = OPAQUE

    @torch.no_grad()
    def begin_with(self, heads_P3HW: Tensor, pictures_P3HW: Tensor) -> Tensor:
        """Set the mean of people's looks, and in what they mostly differ.

        Return whose looks are which mixture (P, `LOOKS`), of numbers of about 1.

        Args:
            heads_P3HW: of P people, -1..1; the principal components of these.
            pictures_P3HW: the same, with what is behind them; what goes with those components.
        """
        behind = F.interpolate(pictures_P3HW, BEHIND, mode="bilinear", antialias=True).flatten(1)
        heads = heads_P3HW.flatten(1)
        mean, mean_behind = heads.mean(0), behind.mean(0)
        scores_PR, sizes_R, looks_RX = torch.linalg.svd(heads - mean, full_matrices=False)
        # A component's sign is the library's choice. Another machine of a run, or one that goes on
        # with it, must choose the same: whoever has most of it has it with a plus.
        most_R = scores_PR.gather(0, scores_PR.abs().argmax(0, keepdim=True)).sign()
        scores_PR, looks_RX = scores_PR * most_R, looks_RX * most_R.T
        count = min(len(heads) - 1, LOOKS)  # of P people without their mean there are P − 1
        scale = len(heads) ** 0.5
        self.heads.bias[: heads.shape[1]] = mean
        self.behind.bias[:] = mean_behind
        self.heads.weight[: heads.shape[1], :count] = (
            looks_RX[:count] * sizes_R[:count, None] / scale
        ).T
        self.behind.weight[:, :count] = (behind - mean_behind).T @ scores_PR[:, :count] / scale
        return F.pad(scale * scores_PR[:, :count], (0, LOOKS - count))

    def forward(self, looks_NK: Tensor) -> tuple[Tensor, Tensor]:
        """Return heads (N, 4, H, W) and what is behind them (N, 3, H, W)."""
        heads = self.heads(looks_NK).unflatten(1, (-1, self.size, self.size))
        behind = self.behind(looks_NK).unflatten(1, (-1, BEHIND, BEHIND))
        return heads, F.interpolate(behind, self.size, mode="bilinear", align_corners=False)


class PersonDecoder(nn.Module):
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


class StillEncoder(nn.Module):
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
        still = still_N3HW.contiguous(memory_format=torch.channels_last)
        maps = [F.relu(self.pack(F.pixel_unshuffle(still, SHUFFLED)))]
        for down in self.down:
            maps.append(F.relu(down(maps[-1])))
        return maps
