"""`scripts/import_vid2vid_checkpoint.py` as a user runs it."""

import json
from pathlib import Path

import import_vid2vid_checkpoint as script
import pytest
import torch
from torch import nn

from speech2video.models.checkpointing import load_networks
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.renderer import NETWORK
from speech2video.models.pose2video.vid2vid_import import vid2vid_tensors
from speech2video.models.registry import GENERATORS, load_class
from speech2video.options.pose2video import Vid2VidOptions, read_vid2vid_options
from tests.shared import run_here

VID2VID = {"ngf": 4, "n_downsample_G": 1, "n_blocks": 2, "n_blocks_local": 1, "no_first_img": True}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Vid2VidGenerator]:
    """A folder as vid2vid leaves it, two scales with flow, and the generator in it."""
    folder = tmp_path / "vid2vid"
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps(VID2VID | {"n_scales_spatial": 2}))
    torch.manual_seed(0)
    options = read_vid2vid_options(folder / "options.json")
    generator = Vid2VidGenerator(**options.architecture()).eval()
    for number, scale in enumerate(generator.scales):
        torch.save(vid2vid_tensors(scale, finer=number > 0), folder / f"latest_net_G{number}.pth")
    return folder, generator


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *more: object) -> int:
    given = ("--checkpoint", folder, "--options", folder / "options.json", "--name", "Ann")
    return run_here(monkeypatch, script.main, *given, "--checkpoints", folder.parent, *more)


@pytest.mark.parametrize("statistics", ["batch", "stored"])
def test_the_result_is_a_checkpoint_that_gives_the_same_frames(
    saved: tuple, monkeypatch: pytest.MonkeyPatch, statistics: str
) -> None:
    folder, generator = saved
    assert run(monkeypatch, folder, "--statistics", statistics) == 0
    written = folder.parent / "Ann/pose2video"
    assert sorted(p.name for p in written.iterdir()) == ["model.safetensors", "options.json"]
    options = Vid2VidOptions.load(written / "options.json")
    assert (options.map_style, options.statistics) == ("vid2vid_authors", statistics)
    network = load_class(GENERATORS, options.generator)(**options.architecture()).eval()
    load_networks(nn.ModuleDict({NETWORK: network}), written)
    maps = torch.rand(3, 1, 3, 16, 16) * 2 - 1
    for norm in generator.modules():
        if hasattr(norm, "stored"):
            norm.stored = statistics == "stored"
    same = zip(network.generate_frames(maps), generator.generate_frames(maps), strict=True)
    assert all(torch.equal(frame, theirs) for frame, theirs in same)


def test_nothing_is_written_over(saved: tuple, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    folder, _ = saved
    assert run(monkeypatch, folder) == 0
    assert run(monkeypatch, folder) == 2
    assert "there is a checkpoint already; choose another --name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--label", "10"), "10_net_G0.pth: No such file"),
        (("--label", "../latest"), "--label ../latest: a plain name is needed"),
        (("--name", "a/b"), "--name a/b: a plain name is needed"),
        (("--options", "nowhere.json"), "nowhere.json: no such file"),
    ],
)
def test_mistakes_are_one_line(
    saved: tuple, monkeypatch: pytest.MonkeyPatch, capsys, more: tuple, message: str
) -> None:
    folder, _ = saved
    assert run(monkeypatch, folder, *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (folder.parent / "Ann").exists()
