"""A renderer for use: what a checkpoint says of itself, and one line where it is no good."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from speech2video.models.checkpointing import read_tensors, save_weights, write_tensors
from speech2video.models.pose2video.generators.fast import FastGenerator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.renderer import (
    NETWORK,
    Pose2VideoRenderer,
    build_generator,
    complete_options,
    generator_arguments,
    load_renderer,
    to_bytes,
    to_floats,
)
from speech2video.models.pose2video.vid2vid_import import load_vid2vid, vid2vid_tensors
from speech2video.options.pose2video import (
    TrainPose2VideoOptions,
    Vid2VidOptions,
    read_vid2vid_options,
)
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.errors import DataError, OptionError
from speech2video.util.rendering.camera import Camera

WIDTH, HEIGHT = 48, 32
SMALL = ("channels=8,16", "blocks=1,1")
EYE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
CAMERA = Camera(61.5, (24.25, 16.0), WIDTH, HEIGHT, EYE, (0.1, 0.2, 1 / 3))


def options(**changes: object) -> TrainPose2VideoOptions:
    usual = {"name": "a", "dataset": Path("none"), "width": WIDTH, "height": HEIGHT}
    return TrainPose2VideoOptions(**usual | {"architecture": SMALL} | changes)


def maps(frames: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    shape = frames, 3, height, width
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def save(folder: Path, of: object, generator: nn.Module) -> Path:
    folder.mkdir(parents=True)
    save_weights(folder / WEIGHTS_FILE, nn.ModuleDict({NETWORK: generator}))
    of.save(folder / OPTIONS_FILE)
    return folder


def drawn(generator: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for weight in generator.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return generator.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint as one ships."""
    complete = complete_options(options(), CAMERA)
    return save(tmp_path / "pose2video", complete, drawn(build_generator(complete)))


def test_what_was_trained_comes_back(saved: Path) -> None:
    renderer = load_renderer(saved)
    assert (renderer.width, renderer.height, renderer.map_style) == (WIDTH, HEIGHT, "filled_mouth")
    assert renderer.camera == CAMERA
    assert not renderer.generator.training
    assert not any(weight.requires_grad for weight in renderer.generator.parameters())
    plain = Pose2VideoRenderer(drawn(build_generator(options())), "speech2video")
    frames = list(renderer.render(maps(4)))
    for frame, wanted in zip(frames, plain.render(maps(4)), strict=True):
        assert frame.dtype == np.uint8 and frame.shape == (3, HEIGHT, WIDTH)
        assert np.abs(frame.astype(int) - wanted).max() <= 1  # channels-last sums otherwise
    assert len(frames) == 4 and np.ptp(frames[0]) > 0


def test_frames_come_as_their_maps_do(saved: Path) -> None:
    read = []
    stream = load_renderer(saved).render(read.append(1) or one for one in maps(5))
    next(stream), next(stream)
    assert len(read) == 2


def test_16_bits_paint_nearly_the_same(saved: Path) -> None:
    exact, rounded = (
        np.stack(list(load_renderer(saved, dtype=dtype).render(maps(3)))).astype(float)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert np.abs(exact - rounded).mean() < 3


def test_maps_are_drawn_at_its_size(saved: Path) -> None:
    points_TK2 = np.random.default_rng(0).uniform(0, HEIGHT, (2, 144, 2)).astype(np.float32)
    shapes = {one.shape for one in load_renderer(saved).draw_maps(points_TK2)}
    assert shapes == {(3, HEIGHT, WIDTH)}
    other = load_renderer(saved).draw_maps(points_TK2, size=(20, 10))
    assert next(other).shape == (3, 10, 20)


def test_bytes_go_there_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256)
    assert np.array_equal(to_bytes(to_floats(levels)), levels.numpy())
    beyond = torch.tensor([-3.0, 3.0])
    assert to_bytes(beyond).tolist() == [0, 255]


def test_a_complete_checkpoint_leaves_nothing_open(tmp_path: Path) -> None:
    complete = complete_options(options(architecture=("flow=False",)), CAMERA)
    assert {pair.partition("=")[0] for pair in complete.architecture} == {
        *("map_channels", "channels", "blocks", "flow", "norm")
    }
    assert complete_options(complete, CAMERA) == complete
    complete.save(tmp_path / "o.json")
    assert TrainPose2VideoOptions.load(tmp_path / "o.json") == complete
    assert generator_arguments(complete) == generator_arguments(
        options(architecture=("flow=false",))
    )
    other = Camera.framing(torch.rand(1, 144, 3), width=WIDTH, height=HEIGHT)
    assert (
        complete_options(complete, other).camera == CAMERA.numbers()
    )  # a run goes on with its own


def test_a_shipped_checkpoint_tells_nothing_of_the_machine() -> None:
    files = {name: Path(f"/home/ann/{name}") for name in ("body", "vgg", "raft", "dataset")}
    shipped = options(**files, device="cpu").for_shipping()
    assert "/home" not in " ".join(map(str, vars(shipped).values())) and shipped.device == "auto"


@pytest.mark.parametrize(
    ("generator", "kind"), [("fast", FastGenerator), ("vid2vid", Vid2VidGenerator)]
)
def test_every_generator_can_be_chosen(generator: str, kind: type) -> None:
    of = {
        "fast": ("channels=8,16", "blocks=0,2", "flow=true"),
        "vid2vid": (
            "ngf=8",
            "n_downsample_G=1",
            "n_blocks=2",
            "norm=instance",
            "n_scales_spatial=2",
        ),
    }
    built = build_generator(options(generator=generator, architecture=of[generator]))
    assert isinstance(built, kind)


@pytest.mark.parametrize(
    ("generator", "pairs", "message"),
    [
        ("slow", (), "slow: no such name; known are fast, vid2vid"),
        ("fast", ("depth=3",), "--architecture depth: fast takes map_channels, channels, blocks"),
        ("fast", ("size=3,4",), "--architecture size: fast takes map_channels"),
        ("fast", ("flow=maybe",), "flow=maybe: a value like true is needed"),
        ("fast", ("channels=wide",), "channels=wide: a value like 48,96,192 is needed"),
        ("fast", ("blocks=-1,1,1",), "blocks=-1,1,1: a value like 1,2,4 is needed"),
        ("fast", ("map_channels=x",), "map_channels=x: a value like 3 is needed"),
        ("fast", ("norm=group", "channels=10,20,40"), r"no such network \(num_channels"),
        ("fast", ("channels=0,8,8",), "no such network"),
        ("vid2vid", ("norm=group",), "norm group, statistics batch; one of batch batch"),
        ("vid2vid", ("n_scales_spatial=0",), "no such network"),
        ("vid2vid", ("ngf=7", "n_scales_spatial=2", "n_downsample_G=1"), "no such network"),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_an_architecture_that_cannot_be_is_named(
    generator: str, pairs: tuple, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        build_generator(options(generator=generator, architecture=pairs))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 50}, "images of 50x32; this generator needs multiples of 8"),
        ({"architecture": ("channels=8,16", "blocks=1")}, "2 channels, 1 blocks"),
        ({"architecture": (*SMALL, "map_channels=4")}, "9 channels; 48x32, 12 are needed"),
        ({"generator": "vid2vid", "architecture": ("ngf=4",), "width": 36}, "maps of 36x32"),
    ],
)
def test_a_size_that_cannot_be_generated_is_named(changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_generator(options(**changes))


def test_a_map_of_another_size_is_named(saved: Path) -> None:
    with pytest.raises(DataError, match="maps of 32x48 pixels, 9 channels; 48x32, 9 are needed"):
        list(load_renderer(saved).render(maps(1, width=HEIGHT, height=WIDTH)))


def spoil_weights(folder: Path, how: str) -> None:
    path = folder / WEIGHTS_FILE
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "nan":
        tensors = read_tensors(path)
        next(iter(tensors.values())).fill_(torch.nan)
        write_tensors(path, tensors)
    elif how == "foreign":
        path.unlink()
        save_weights(path, nn.ModuleDict({"predictor": nn.Linear(3, 3)}))
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "other": b"x" * 99}[how])


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "other", "foreign", "nan"])
def test_weights_that_are_no_good_are_one_line(saved: Path, how: str) -> None:
    spoil_weights(saved, how)
    with pytest.raises(DataError) as caught:
        load_renderer(saved)
    assert str(saved) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": []}, "a camera of 0 finite numbers; 17 are needed"),
        ({"camera": ["x"] * 17}, "camera: a value of type float"),
        ({"width": 64}, "weights of another network: has .*background"),
        ({"width": 50}, "images of 50x32"),
        ({"architecture": ["channels=8,24", "blocks=1,1"]}, "weights of another network"),
        ({"architecture": ["channels=90000,90000", "blocks=9,9"]}, "from 0 to 4096 are"),  # 20 TB
        ({"architecture": ["blocks=1,2,40000000"]}, "up to 16 numbers from 0 to 64 are needed"),
        ({"architecture": ["channels=" + "8," * 99 + "8"]}, "up to 16 numbers"),
        ({"architecture": ["channels=eight"]}, "channels=eight: a value like"),
        ({"architecture": "channels"}, "architecture: a list is needed"),
        ({"architecture": ["channels"]}, "NAME=VALUE is needed"),
        ({"width": None}, "width: a value is needed, not null"),
        ({"width": 10**400}, "--width 1000"),
        ({"generator": "slow"}, "slow: no such name"),
        ({"map_style": "crayon"}, "--map_style crayon: one of"),
        ({"depth": 3}, "unknown options depth"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_are_no_good_are_one_line(saved: Path, changes: dict, message: str) -> None:
    path = saved / OPTIONS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DataError, match=message) as caught:
        load_renderer(saved)
    assert str(saved) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "[1]", '{"dataset": 3}', "\0\xff"])
def test_options_that_are_none_are_one_line(saved: Path, text: str | None) -> None:
    path = saved / OPTIONS_FILE
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=OPTIONS_FILE) as caught:
        load_renderer(saved)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no checkpoint in it"):
        load_renderer(tmp_path)


@pytest.mark.parametrize("scales", [1, 2])
def test_an_imported_checkpoint_gives_the_same_frames(tmp_path: Path, scales: int) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    words = {"ngf": 8, "n_downsample_G": 2, "n_blocks": 3, "n_blocks_local": 1, "norm": "instance"}
    words |= {"n_scales_spatial": scales, "no_first_img": True}
    (theirs / "options.json").write_text(json.dumps(words))
    architecture = read_vid2vid_options(theirs / "options.json")
    torch.manual_seed(0)
    for number, scale in enumerate(Vid2VidGenerator(**architecture.architecture()).scales):
        torch.save(vid2vid_tensors(scale, finer=number > 0), theirs / f"latest_net_G{number}.pth")
    generator = load_vid2vid(theirs, architecture)

    renderer = load_renderer(save(tmp_path / "pose2video", architecture, generator))
    assert renderer.camera is None and (renderer.width, renderer.height) == (0, 0)
    assert renderer.map_style == "vid2vid_authors"
    given = maps(4)
    floats = (torch.from_numpy(one)[None].float() / 127.5 - 1 for one in given)
    for frame, wanted in zip(
        renderer.render(given), generator.generate_frames(floats), strict=True
    ):
        assert np.array_equal(frame, to_bytes(wanted[0]))


def test_an_imported_checkpoint_of_another_architecture_is_named(tmp_path: Path) -> None:
    architecture = Vid2VidOptions(ngf=8, n_downsample_G=1, n_blocks=2, norm="instance")
    folder = save(
        tmp_path / "pose2video", architecture, Vid2VidGenerator(**architecture.architecture())
    )
    Vid2VidOptions(ngf=1024, n_downsample_G=8).save(folder / OPTIONS_FILE)  # terabytes
    with pytest.raises(DataError, match="weights of another network"):
        load_renderer(folder)
