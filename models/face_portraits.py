"""What the people of a data set look like on average: where a generator's portraits begin.

Eigenfaces (Turk & Pentland, 1991) of heads that are put back in their place: nobody has to learn by
gradient descent what a mean over pictures tells.
"""

import numpy as np
import torch
from torch import Tensor

from speech2video.data.face_motion import FaceMotionDataset
from speech2video.models.networks.face_generator import PLACED, moved, placement
from speech2video.models.pose2video import to_floats

LOOKED_AT = 8  # frames of each clip, evenly apart


def mean_looks(dataset: FaceMotionDataset) -> tuple[Tensor, Tensor]:
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
        place_M23 = placement(torch.from_numpy(motion_TM[rows, :PLACED]))
        heads[recording.speaker].append(moved(frames, inverse(place_M23)).mean(0))
        pictures[recording.speaker].append(frames.mean(0))
    mean_heads, mean_pictures = (
        torch.stack([torch.stack(found[speaker]).mean(0) for speaker in dataset.speakers])
        for found in (heads, pictures)
    )
    return mean_heads, mean_pictures


def inverse(place_M23: Tensor) -> Tensor:
    """Return the inverses (M, 2, 3) of affine maps."""
    back_M22 = torch.linalg.inv(place_M23[:, :, :2])
    return torch.cat((back_M22, -back_M22 @ place_M23[:, :, 2:]), 2)
