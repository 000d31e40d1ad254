"""Generators that vid2vid, or a fork of it, has saved.

LABEL_net_G0.pth is the coarsest scale, G1 the next finer one, and so on: dicts of tensors, named
after the place of each layer in the lists that vid2vid builds its networks from. The places follow
from the architecture; `names_of_scale` has them. Files are read as plain tensors, so nothing in
them can run.
"""

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from speech2video.models.networks.vid2vid_generator import Scale, Vid2VidGenerator
from speech2video.models.networks.vid2vid_layers import ConvNorm, Decoder, Encoder, ResidualBlock
from speech2video.options.vid2vid_options import Vid2VidOptions
from speech2video.util.checkpoint import fill
from speech2video.util.errors import DataError

NETWORK = "generator"  # its name in our checkpoints
WRAPPER = "module."  # before every name, where a network was saved inside its wrapper
COUNTER = "num_batches_tracked"  # in files of newer versions only, and of no use
RUNNING = ("running_mean", "running_var")

Names = Iterator[tuple[str, str]]


def load_vid2vid(
    folder: Path, options: Vid2VidOptions, *, label: str = "latest"
) -> Vid2VidGenerator:
    """Return the generator of a folder of LABEL_net_G*.pth, ready to use.

    Raises:
        DataError: a file is missing, damaged, holds anything but tensors, or is of another
            architecture than the options say.
    """
    generator = Vid2VidGenerator(**options.architecture())
    beyond = folder / f"{label}_net_G{options.scales}.pth"
    if beyond.exists():
        raise DataError(f"{beyond}: a scale more than the {options.scales} of n_scales_spatial")
    for number, scale in enumerate(generator.scales):
        path = folder / f"{label}_net_G{number}.pth"
        found = _needed(read_weights(path), norm=options.norm)
        wanted = {theirs: scale.get_parameter_or_buffer(ours) for ours, theirs in x}
        fill(path, wanted, found)
    return generator.eval()
