"""Import of generators saved by vid2vid or a fork of it.

LABEL_net_G0.pth is the coarsest scale, G1 the next finer one, and so on: dicts of tensors, named
by their layer's index in the lists that vid2vid builds its networks from. The indices follow from
the architecture, which only the options contain. Files are read as plain tensors, so they cannot
run code.
"""

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
from speech2video.models.pose2video.pretrained import read_plain_tensors
from speech2video.options.pose2video import Vid2VidOptions
from speech2video.util.errors import DataError

WRAPPER = "module."  # prefix of all names of a network saved inside DataParallel
UNUSED = ("num_batches_tracked",)  # by batch norm; absent in files of older versions
UNUSED_INSTANCE = (*UNUSED, "running_mean", "running_var")  # saved without effect by older versions
LAYER = 3  # indices of a layer: convolution, norm and ReLU
BLOCK = {"conv1": 1, "conv2": 5}  # index in a residual block, paddings and ReLU between


def load_vid2vid(
    folder: Path, options: Vid2VidOptions, *, label: str = "latest"
) -> Vid2VidGenerator:
    """Return the generator of a folder of LABEL_net_G*.pth, in evaluation mode.

    Raises:
        DataError: a file is missing, damaged, holds anything but tensors, or is of another
            architecture than the options.
    """
    scales = options.n_scales_spatial
    paths = [folder / f"{label}_net_G{number}.pth" for number in range(scales + 1)]
    if paths[-1].exists():
        raise DataError(f"{paths[-1]}: a scale too many, as n_scales_spatial is {scales}")
    unused = UNUSED_INSTANCE if options.norm == "instance" else UNUSED
    weights = {
        path: {k: v for k, v in read_weights(path).items() if not k.endswith(unused)}
        for path in paths[:-1]
    }
    with torch.device("meta"):  # wrong options may need more than all memory
        _copy_weights(Vid2VidGenerator(**options.architecture()), weights, options)
    generator = Vid2VidGenerator(**options.architecture())
    _copy_weights(generator, weights, options)
    return generator.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by their names, without a wrapper's prefix.

    Raises:
        DataError: missing, damaged, with NaN or infinity, or with anything but tensors in it.
    """
    weights = read_plain_tensors(path, "a file of plain tensors is needed for every scale")
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise DataError(f"{path}: {name} holds NaN or infinity")
    wrapped = all(name.startswith(WRAPPER) for name in weights)
    return {name.removeprefix(WRAPPER) if wrapped else name: t for name, t in weights.items()}


def vid2vid_tensors(scale: Scale, *, finer: bool) -> dict[str, Tensor]:
    """Return a scale's tensors, not copied, by vid2vid's names.

    Args:
        finer: whether it is a scale above the coarsest.
    """
    names = dict(_layer_names(scale, finer=finer))
    tensors = {}
    for name, tensor in scale.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if kind not in UNUSED:
            tensors[f"{names[layer]}.{kind}"] = tensor
    return tensors


def _copy_weights(
    generator: Vid2VidGenerator, weights: dict[Path, dict[str, Tensor]], options: Vid2VidOptions
) -> None:
    for number, (path, found) in enumerate(weights.items()):
        scale = generator.scales[number]
        assert isinstance(scale, Scale)
        try:
            copy_tensors(path, vid2vid_tensors(scale, finer=number > 0), found)
        except DataError as error:
            raise DataError(f"{error}; the options are {options.describe()}") from None


def _layer_names(scale: Scale, *, finer: bool) -> Iterator[tuple[str, str]]:
    """Yield our name and vid2vid's of each layer with weights."""
    yield from _encoder_names("map_encoder", scale.map_encoder, "model_down_seg")
    yield from _encoder_names("past_encoder", scale.past_encoder, "model_down_img")
    yield from _decoder_names("image_decoder", scale.image_decoder, "img", finer=finer)
    yield "to_rgb", "model_final_img.1"
    if scale.flow_unit is not None:
        yield from _decoder_names("flow_decoder", scale.flow_decoder, "flow", finer=finer)
        yield "flow_head", "model_final_flow.1"
        yield "mask_head", "model_final_w.1"


def _encoder_names(ours: str, encoder: Encoder, theirs: str) -> Iterator[tuple[str, str]]:
    yield from _conv_names(f"{ours}.stem", theirs, 1)  # 0 is its padding
    for i in range(len(encoder.down)):
        yield from _conv_names(f"{ours}.down.{i}", theirs, 1 + LAYER * (i + 1))
    begin = 1 + LAYER * (len(encoder.down) + 1)
    for i in range(len(encoder.blocks)):
        yield from _block_names(f"{ours}.blocks.{i}", f"{theirs}.{begin + i}")


def _decoder_names(
    ours: str, decoder: Decoder, branch: str, *, finer: bool
) -> Iterator[tuple[str, str]]:
    """Finer scales have their blocks in the list of upsampling layers, the coarsest in its own."""
    blocks, up = f"model_{'up' if finer else 'res'}_{branch}", f"model_up_{branch}"
    for i in range(len(decoder.blocks)):
        yield from _block_names(f"{ours}.blocks.{i}", f"{blocks}.{i}")
    begin = len(decoder.blocks) if finer else 0
    for i in range(len(decoder.up)):
        yield from _conv_names(f"{ours}.up.{i}", up, begin + LAYER * i)


def _block_names(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for name, index in BLOCK.items():
        yield from _conv_names(f"{ours}.{name}", f"{theirs}.conv_block", index)


def _conv_names(ours: str, theirs: str, index: int) -> Iterator[tuple[str, str]]:
    yield f"{ours}.conv", f"{theirs}.{index}"
    yield f"{ours}.norm", f"{theirs}.{index + 1}"
