"""Generators saved by vid2vid: the same frames, or one line on what is wrong."""

import itertools
import json
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.vid2vid_import import (
    load_vid2vid,
    read_weights,
    vid2vid_tensors,
)
from speech2video.options.pose2video import read_vid2vid_options
from speech2video.util.errors import DataError
from tests.shared import FIXTURES, cases

TOLERANCE = 1e-3  # of -1..1
SMALL = {"ngf": 8, "n_downsample_G": 2, "n_blocks": 3, "n_blocks_local": 2, "no_first_img": True}


@pytest.mark.parametrize("expected", cases(FIXTURES / "vid2vid_checkpoints", "*/expected.npz"))
def test_frames_are_those_of_vid2vid(expected: Path) -> None:
    """Stored statistics, which only batch norm has: instance norm uses each frame's own."""
    norm = json.loads((expected.parent / "options.json").read_text()).get("norm", "batch")
    statistics = "stored" if norm == "batch" else "batch"
    generator, maps, frames = as_vid2vid_ran(expected, statistics, "frames_eval")
    first, *rest = maps.unsqueeze(1).split([2, *[1] * (len(maps) - 2)])
    generated = torch.cat(list(generator.generate_frames((m[0] for m in rest), before=list(first))))
    torch.testing.assert_close(generated, frames, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("exact", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("expected", cases(FIXTURES / "vid2vid_checkpoints", "single*/*.npz"))
def test_frames_by_their_own_statistics_follow_those_of_vid2vid(
    expected: Path, exact: bool
) -> None:
    """Each frame from the two that vid2vid generated before it.

    A past of zeros leaves the first to rounding errors (see the generator), in vid2vid as here.
    They differ between processors, and with two scales there is nothing behind them to go on from:
    the coarse frames are not saved.
    """
    generator, maps, frames = as_vid2vid_ran(expected, "batch", "frames_as_shipped")
    kind = torch.float64 if exact else torch.float32
    generator, maps, frames = generator.to(kind), maps.to(kind), frames.to(kind)
    past = torch.cat([torch.zeros_like(frames[:1]), frames])
    with torch.no_grad():
        for t in range(1, len(frames)):
            generated = generator.step(
                maps[t : t + 3].flatten(0, 1)[None], past[t - 1 : t + 1].flatten(0, 1)[None]
            )
            torch.testing.assert_close(
                generated.frame[0].to(kind), frames[t], atol=TOLERANCE, rtol=0
            )


def as_vid2vid_ran(
    expected: Path, statistics: str, key: str
) -> tuple[Vid2VidGenerator, torch.Tensor, torch.Tensor]:
    """Return the generator, the maps (T+2, C, H, W) and what vid2vid generated (T, 3, H, W)."""
    options = read_vid2vid_options(expected.parent / "options.json", statistics=statistics)
    with np.load(expected, allow_pickle=False) as file:
        maps, frames = torch.from_numpy(file["maps"]) / 255 * 2 - 1, torch.from_numpy(file[key])
    return load_vid2vid(expected.parent, options), maps, frames


def save_as_vid2vid(
    folder: Path, changes: dict[str, object], **how: object
) -> tuple[Path, Vid2VidGenerator]:
    """Write a generator with random weights as vid2vid would; return its options' file and it."""
    folder.mkdir(exist_ok=True)
    path = folder / "options.json"
    path.write_text(json.dumps(SMALL | changes))
    torch.manual_seed(0)
    generator = Vid2VidGenerator(**read_vid2vid_options(path).architecture()).eval()
    for tensor in generator.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.02, 0.2)
    for number, scale in enumerate(generator.scales):
        weights = OrderedDict(vid2vid_tensors(scale, finer=number > 0))
        torch.save(weights, folder / f"latest_net_G{number}.pth", **how)
    return path, generator


@pytest.mark.parametrize(
    "changes",
    [
        {"n_scales_spatial": scales, "no_flow": no_flow, "norm": norm}
        for scales, no_flow, norm in itertools.product(
            (1, 2, 3), (True, False), ("batch", "instance")
        )
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_weights_go_there_and_back(tmp_path: Path, changes: dict) -> None:
    path, generator = save_as_vid2vid(tmp_path, changes)
    back = load_vid2vid(tmp_path, read_vid2vid_options(path)).state_dict()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(back[name], tensor), name
    names = [
        n for k, scale in enumerate(generator.scales) for n in vid2vid_tensors(scale, finer=k > 0)
    ]
    assert all(name.startswith("model_") for name in names)


def test_layers_have_the_places_that_vid2vid_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_text('{"openpose_only": true, "no_first_img": true, "ngf": 4}')
    options = read_vid2vid_options(path)
    assert (options.n_blocks, options.n_downsample_G, options.flow, options.norm) == (
        9,
        3,
        False,
        "batch",
    )
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in vid2vid_tensors(
            Vid2VidGenerator(**options.architecture()).scales[0], finer=False
        ).items()
    }
    # the authors' own: 1 + 3 convolutions, then 5 of the 9 blocks; the other 4; 3 steps up
    assert shapes["model_down_seg.1.weight"] == (4, 9, 7, 7)
    assert shapes["model_down_img.10.weight"] == (32, 16, 3, 3)
    assert shapes["model_down_seg.17.conv_block.6.running_var"] == (32,)
    assert "model_down_seg.18.conv_block.1.weight" not in shapes
    assert shapes["model_res_img.3.conv_block.5.weight"] == (32, 32, 3, 3)
    assert "model_res_img.4.conv_block.1.weight" not in shapes
    assert shapes["model_up_img.6.weight"] == (8, 4, 3, 3)
    assert shapes["model_up_img.7.bias"] == (4,)
    assert shapes["model_final_img.1.weight"] == (3, 4, 7, 7)


def test_files_of_older_versions_and_of_wrapped_networks_load(tmp_path: Path) -> None:
    path, generator = save_as_vid2vid(tmp_path, {}, _use_new_zipfile_serialization=False)
    file = tmp_path / "latest_net_G0.pth"
    plain = read_weights(file)
    torch.save({f"module.{name}": tensor for name, tensor in plain.items()}, file)
    assert read_weights(file).keys() == plain.keys()
    counters = {
        name.replace("running_mean", "num_batches_tracked"): torch.tensor(7)
        for name in plain
        if name.endswith("running_mean")
    }
    torch.save(plain | counters, file)
    back = load_vid2vid(tmp_path, read_vid2vid_options(path))
    assert torch.equal(back.scales[0].to_rgb.weight, generator.scales[0].to_rgb.weight)


class Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_final_img.1.weight": None}, r"lacks model_final_img.1.weight; .* ngf 8"),
        ({"model_other.1.bias": torch.zeros(1)}, r"has also model_other.1.bias"),
        (
            {"model_up_img.0.weight": torch.zeros(4, 4, 3, 3)},
            r"model_up_img.0.weight \(4, 4, 3, 3\) where \(32, 16, 3, 3\) is needed",
        ),
        ({"model_final_img.1.bias": torch.tensor([0, 0, np.nan])}, "bias holds NaN or infinity"),
        ({"epoch": 3}, "not only plain tensors by name"),
        ({"model_final_img.1.bias": torch.zeros(3) * 1j}, "plain tensors by name"),
        ({"state": Vid2VidGenerator}, "it contains .*Vid2VidGenerator; a file of plain tensors"),
    ],
    ids=["missing", "unexpected", "shape", "nan", "number", "complex", "class"],
)
def test_wrong_weights_are_one_line(tmp_path: Path, changes: dict, message: str) -> None:
    path, _ = save_as_vid2vid(tmp_path, {})
    file = tmp_path / "latest_net_G0.pth"
    weights = read_weights(file) | changes
    torch.save({name: value for name, value in weights.items() if value is not None}, file)
    with pytest.raises(DataError, match=message) as caught:
        load_vid2vid(tmp_path, read_vid2vid_options(path))
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_no_pickle_runs(tmp_path: Path) -> None:
    path, _ = save_as_vid2vid(tmp_path, {})
    for zipped in (True, False):
        torch.save(
            {"weight": Trap(tmp_path / "ran")},
            tmp_path / "latest_net_G0.pth",
            _use_new_zipfile_serialization=zipped,
        )
        with pytest.raises(DataError, match=r"it contains .*system; a file of plain tensors"):
            load_vid2vid(tmp_path, read_vid2vid_options(path))
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", None, "half"])
def test_broken_files_are_one_line(tmp_path: Path, content: bytes | str | None) -> None:
    path, _ = save_as_vid2vid(tmp_path, {})
    file = tmp_path / "latest_net_G0.pth"
    whole = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    message = "No such file" if content is None else "damaged, or no weights"
    with pytest.raises(DataError, match=message) as caught:
        load_vid2vid(tmp_path, read_vid2vid_options(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("saved", "said_now", "message"),
    [
        ({}, {"ngf": 4}, r"model_down_seg.1.weight \(8, 9, 7, 7\) where \(4, 9, 7, 7\).*ngf 4"),
        ({}, {"ngf": 1024, "n_downsample_G": 8}, "lacks .* ngf 1024"),  # terabytes
        ({}, {"n_blocks": 5}, "lacks model_down_seg.12.conv_block.1.weight"),
        ({"no_flow": True}, {}, "lacks model_res_flow.0.conv_block.1.weight.* and .* more"),
        ({}, {"norm": "instance"}, "has also model_down_seg.2.weight"),
        ({}, {"n_scales_spatial": 2}, "G1.pth: No such file or directory; a file"),
        ({"n_scales_spatial": 2}, {}, "G1.pth: a scale too many, as n_scales_spatial is 1"),
    ],
)
def test_other_options_than_it_was_trained_with(
    tmp_path: Path, saved: dict, said_now: dict, message: str
) -> None:
    path, _ = save_as_vid2vid(tmp_path, saved)
    path.write_text(json.dumps(SMALL | said_now))
    with pytest.raises(DataError, match=message):
        load_vid2vid(tmp_path, read_vid2vid_options(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"no_first_img": False}, "no_first_img is False; only generators with no_first_img True"),
        ({"n_frames_G": 2}, "n_frames_G is 2; only generators with n_frames_G 3"),
        ({"label_nc": 35}, "label_nc is 35"),
        ({"fg": True}, "fg is True"),
        ({"ngf": "many"}, "ngf is 'many'; a whole number is needed"),
        ({"ngf": 0}, "ngf 0: at least 1 is needed"),
        ({"ngf": 6, "n_scales_spatial": 3}, "ngf 6: a multiple of 4 is needed"),
        ({"norm": "group"}, "norm group: one of batch, instance is needed"),
    ],
)
def test_options_that_cannot_be_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(SMALL | changes))
    with pytest.raises(DataError, match=message):
        read_vid2vid_options(path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "null"])
def test_options_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "options.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"options.json: .*json"):
        read_vid2vid_options(path)


def test_options_of_no_effect_on_the_generator_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(SMALL | {"lr": 2e-4, "gpu_ids": [0], "dataroot": None}))
    assert read_vid2vid_options(path).ngf == 8


def test_openpose_only_has_no_flow_by_default(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    for message, flow in (
        ({"openpose_only": True}, False),
        ({"openpose_only": True, "no_flow": False}, True),
        ({}, True),
    ):
        path.write_text(json.dumps(SMALL | message))
        assert read_vid2vid_options(path).flow == flow
