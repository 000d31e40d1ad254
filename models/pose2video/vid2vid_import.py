"""Generators that vid2vid, or a fork of it, has saved.

LABEL_net_G0.pth is the coarsest scale, G1 the next finer one, and so on: dicts of tensors, each
named after its layer's place in the lists that vid2vid builds its networks from. The places follow
from the architecture, which is in the options alone. Files are read as plain tensors, so nothing in
them can run.
"""

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from speech2video.models.checkpointing import copy_tensors
from speech2video.models.pose2video.generators.vid2vid import (
    Decoder,
    Encoder,
    Scale,
    Vid2VidGenerator,
)
from speech2video.options.pose2video import Vid2VidOptions, describe_as_vid2vid
from speech2video.util.errors import DataError

NETWORK = "generator"  # its name in our checkpoints
WRAPPER = "module."  # before every name where a network was saved inside a wrapper
UNUSED = ("num_batches_tracked",)  # by batch norm; absent in files of older versions
UNUSED_INSTANCE = (*UNUSED, "running_mean", "running_var")  # older versions save them in vain
NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)
LAYER = 3  # places of convolution, normalisation and ReLU
BLOCK = {"first": 1, "second": 5}  # places in a residual block, paddings and ReLU between


def load_vid2vid(
    folder: Path, options: Vid2VidOptions, *, label: str = "latest"
) -> Vid2VidGenerator:
    """Return the generator of a folder of LABEL_net_G*.pth, ready to use.

    Raises:
        DataError: a file is missing, damaged, holds anything but tensors, or is of another
            architecture than the options say.
    """
    paths = [folder / f"{label}_net_G{number}.pth" for number in range(options.scales + 1)]
    if paths[-1].exists():
        raise DataError(f"{paths[-1]}: a scale too many, as n_scales_spatial is {options.scales}")
    unused = UNUSED_INSTANCE if options.norm == "instance" else UNUSED
    weights = {
        path: {k: v for k, v in read_weights(path).items() if not k.endswith(unused)}
        for path in paths[:-1]
    }
    with torch.device("meta"):  # wrong options may ask for more than there is of memory
        _fill(Vid2VidGenerator(**options.architecture()), weights, options)
    generator = Vid2VidGenerator(**options.architecture())
    _fill(generator, weights, options)
    return generator.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by the names they have there, wrapper's residue removed.

    Raises:
        DataError: missing, damaged, with NaN or infinity, or with anything but tensors in it.
    """
    needed = "a file of plain tensors is needed"
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; every scale has such a file") from None
    except pickle.UnpicklingError as error:
        asked = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else "damaged, or no weights"
        raise DataError(f"{path}: {reason}; {needed}") from None
    except Exception:  # there is no end to how reading a damaged pickle may fail
        raise DataError(f"{path}: damaged, or no weights; {needed}") from None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and _is_plain(value) for name, value in weights.items()
    ):
        raise DataError(f"{path}: plain tensors by name are needed, and nothing else")
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise DataError(f"{path}: {name} holds NaN or infinity")
    wrapped = all(name.startswith(WRAPPER) for name in weights)
    return {name.removeprefix(WRAPPER) if wrapped else name: t for name, t in weights.items()}


def vid2vid_tensors(scale: Scale, *, finer: bool) -> dict[str, Tensor]:
    """Return a scale's tensors, not copied, by the names vid2vid saves them under.

    Args:
        finer: whether it is a scale above the coarsest.
    """
    places = dict(_places(scale, finer=finer))
    tensors = {}
    for name, tensor in scale.state_dict().items():
        module, _, kind = name.rpartition(".")
        if kind not in UNUSED:
            tensors[f"{places[module]}.{kind}"] = tensor
    return tensors


def _is_plain(value: object) -> bool:
    """Tell dense numbers in memory from all else that a file may hold, sparse tensors included."""
    return (
        isinstance(value, Tensor)
        and value.dtype in NUMBERS
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_nested
    )


def _fill(
    generator: Vid2VidGenerator, weights: dict[Path, dict[str, Tensor]], options: Vid2VidOptions
) -> None:
    for number, (path, found) in enumerate(weights.items()):
        try:
            copy_tensors(path, vid2vid_tensors(generator.scales[number], finer=number > 0), found)
        except DataError as error:
            raise DataError(f"{error}; the options say {describe_as_vid2vid(options)}") from None


def _places(scale: Scale, *, finer: bool) -> Iterator[tuple[str, str]]:
    """Yield our name and theirs of each layer that has weights."""
    yield from _of_encoder("maps", scale.maps, "model_down_seg")
    yield from _of_encoder("past", scale.past, "model_down_img")
    yield from _of_decoder("picture", scale.picture, "img", finer=finer)
    yield "to_rgb", "model_final_img.1"
    if scale.flow_unit is not None:
        yield from _of_decoder("motion", scale.motion, "flow", finer=finer)
        yield "flow", "model_final_flow.1"
        yield "mask", "model_final_w.1"


def _of_encoder(ours: str, encoder: Encoder, theirs: str) -> Iterator[tuple[str, str]]:
    yield from _of_layer(f"{ours}.enter", theirs, 1)  # 0 is its padding
    for i in range(len(encoder.down)):
        yield from _of_layer(f"{ours}.down.{i}", theirs, 1 + LAYER * (i + 1))
    begin = 1 + LAYER * (len(encoder.down) + 1)
    for i in range(len(encoder.blocks)):
        yield from _of_block(f"{ours}.blocks.{i}", f"{theirs}.{begin + i}")


def _of_decoder(
    ours: str, decoder: Decoder, what: str, *, finer: bool
) -> Iterator[tuple[str, str]]:
    """Finer scales have their blocks in front of what goes up, the coarsest in its own list."""
    blocks, up = f"model_{'up' if finer else 'res'}_{what}", f"model_up_{what}"
    for i in range(len(decoder.blocks)):
        yield from _of_block(f"{ours}.blocks.{i}", f"{blocks}.{i}")
    begin = len(decoder.blocks) if finer else 0
    for i in range(len(decoder.up)):
        yield from _of_layer(f"{ours}.up.{i}", up, begin + LAYER * i)


def _of_block(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for name, place in BLOCK.items():
        yield from _of_layer(f"{ours}.{name}", f"{theirs}.conv_block", place)


def _of_layer(ours: str, theirs: str, place: int) -> Iterator[tuple[str, str]]:
    yield f"{ours}.conv", f"{theirs}.{place}"
    yield f"{ours}.norm", f"{theirs}.{place + 1}"
