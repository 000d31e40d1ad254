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
from speech2video.models.pose2video.generators.vid2vid import ConvNorm, Scale, Vid2VidGenerator
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
    """Return the tensors, not copied, of the coarsest or a `finer` scale by vid2vid's names."""
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
    yield from _list_names(scale, "map_encoder", "model_down_seg", 1)  # 0 is its padding
    yield from _list_names(scale, "past_encoder", "model_down_img", 1)
    decoders = (("image_decoder", "img"), ("flow_decoder", "flow"))
    for decoder, theirs in decoders[: 1 if scale.flow_unit is None else 2]:
        if finer:  # its blocks are in the list of upsampling layers
            yield from _list_names(scale, decoder, f"model_up_{theirs}")
        else:
            yield from _list_names(scale, f"{decoder}.blocks", f"model_res_{theirs}")
            yield from _list_names(scale, f"{decoder}.up", f"model_up_{theirs}")
    for layer, name in (("to_rgb", "img"), ("flow_head", "flow"), ("mask_head", "w")):
        yield layer, f"model_final_{name}.1"


def _list_names(scale: Scale, ours: str, theirs: str, index: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the names of a network's layers, which are one list of vid2vid's from `index` on."""
    for name, layer in scale.get_submodule(ours).named_modules():
        if not isinstance(layer, ConvNorm):
            continue
        in_block = BLOCK.get(name.rpartition(".")[2])
        if in_block is None:
            list_name, place = theirs, index
            index += LAYER
        else:
            list_name, place = f"{theirs}.{index}.conv_block", in_block
            index += in_block == BLOCK["conv2"]
        yield f"{ours}.{name}.conv", f"{list_name}.{place}"
        yield f"{ours}.{name}.norm", f"{list_name}.{place + 1}"
