"""`train_pose2video.py` as a user runs it: killed and resumed, alone and by two processes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import train_pose2video
from speech2video.models.pose2video.model import has_compiler
from speech2video.models.pose2video.renderer import load_renderer
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import newest_checkpoint
from tests.training_command import TrainingCommand
from tests.video_clips import write_moving_clip

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = 64  # pixels
SMALL = (
    *("--width", SIZE, "--height", SIZE, "--architecture", "channels=8,16", "blocks=1,1"),
    *("--ndf", 4, "--part_size", 16, "--gan_start", 0.2, "--weights"),
    *("perceptual=0", "--batch_size", 2, "--seq_len", 3, "--max_seq_len", 5, "--epoch_items", 8),
    *("--seq_grow_epochs", 1, "--held_out", "b", "--validate_frames", 4, "--device", "cpu"),
    *("--validate_every", 4, "--save_every", 2, "--keep", 50),
)
trainer = TrainingCommand(train_pose2video.main, "pose2video", SMALL)
STEPS = 8


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    folder = tmp_path_factory.mktemp("images") / "dataset"
    for seed, name in enumerate("ab"):
        write_moving_clip(folder / name, body, frames=16, seed=seed)
    return folder


@pytest.fixture(scope="module")
def runs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a straight run."""
    runs = tmp_path_factory.mktemp("checkpoints")
    assert trainer.run(dataset, runs, "--name", "straight", "--steps", STEPS) == 0
    return runs


@pytest.mark.slow
def test_a_run_killed_and_resumed_equals_a_straight_one(dataset: Path, runs: Path) -> None:
    trainer.check_resuming(dataset, runs, STEPS)


@pytest.mark.slow
def test_two_processes_equal_one(dataset: Path, runs: Path) -> None:
    same = ("--steps", 3)
    pairs = trainer.weights_of_one_and_two_processes(dataset, runs, *same)
    for key, one, two in pairs:
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, msg=key)


def test_a_run_begins_with_another_s_weights_and_its_own_background(
    dataset: Path, runs: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = (dataset, runs, "--pretrained", "straight", "--steps", 1)
    frozen = ("--lr", 0, "--map_style", "filled_mouth", "--held_out", "a")
    assert trainer.run(*arguments, *frozen, "--name", "begun") == 0
    known, begun = trainer.weights(runs, "straight"), trainer.weights(runs, "begun")
    generator = [key for key in known if key.startswith("generator.")]
    other = {key for key in generator if not torch.equal(known[key], begun[key])}
    assert other == {"generator.background"}
    deeper = ("--architecture", "channels=8,16", "blocks=1,2", "--name", "deeper")
    assert trainer.run(*arguments, *deeper) == 2
    assert "weights of another network" in capsys.readouterr().err


def test_a_trained_generator_renders(dataset: Path, runs: Path) -> None:
    renderer = load_renderer(runs / "straight" / "pose2video")
    points_TK2 = np.random.default_rng(0).uniform(0, SIZE, (3, 144, 2)).astype(np.float32)
    frames = list(renderer.render(renderer.draw_maps(points_TK2)))
    assert [frame.shape for frame in frames] == [(3, SIZE, SIZE)] * 3
    assert (renderer.camera.width, renderer.camera.height) == (SIZE, SIZE)
    assert np.std(frames[0]) > 5  # the background is there from the start


def test_a_page_shows_the_training(runs: Path) -> None:
    folder = runs / "straight" / "pose2video"
    page = (folder / "index.html").read_text()
    for words in ("generated", "real", "map", "left_hand", "psnr", "temporal_1"):
        assert words in page
    assert list((folder / "videos").glob("*.mp4"))
    assert list((folder / "images").glob("*.jpg"))


@pytest.mark.parametrize(
    "more",
    [
        ("--precision", "bf16", "--gradient_checkpointing", "--flow_ground_truth", "none"),
        ("--precision", "autocast", "--map_style", "vid2vid_authors", "--discriminators", "none"),
        (
            *("--generator", "vid2vid", "--scale_epochs", 1, "--workers", 1, "--architecture"),
            *("ngf=8", "n_scales_spatial=2", "n_downsample_G=1", "n_blocks=2", "norm=instance"),
        ),
    ],
    ids=["bf16", "autocast", "vid2vid"],
)
def test_it_trains_otherwise(dataset: Path, tmp_path: Path, more: tuple) -> None:
    assert trainer.run(dataset, tmp_path, "--name", "other", "--steps", 5, *more) == 0
    renderer = load_renderer(tmp_path / "other" / "pose2video")
    blank = np.zeros((2, 3, SIZE, SIZE), np.uint8)
    assert [frame.shape for frame in renderer.render(blank)] == [(3, SIZE, SIZE)] * 2


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler")
def test_a_compiled_step_trains_alike(dataset: Path, tmp_path: Path) -> None:
    for name, more in (("eager", ()), ("compiled", ("--compile",))):
        assert trainer.run(dataset, tmp_path, "--name", name, "--steps", 2, *more) == 0
    eager, compiled = (trainer.weights(tmp_path, name) for name in ("eager", "compiled"))
    assert eager.keys() == compiled.keys()
    for key in eager:
        torch.testing.assert_close(eager[key], compiled[key], rtol=1e-3, atol=1e-4, msg=key)


def test_without_a_compiler_compiling_is_refused(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    more = ("--name", "bad", "--steps", 1, "--compile")
    assert "--compile: no C++ compiler" in trainer.failing(capfd, dataset, tmp_path / "runs", *more)
    assert not (tmp_path / "runs").exists()


def test_without_weights_of_raft_it_trains_without_flow(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    more = ("--name", "raft", "--steps", 1, "--flow_ground_truth", "raft")
    assert trainer.run(dataset, tmp_path, *more) == 0
    message = capfd.readouterr().err.splitlines()
    assert len([words for words in message if words.startswith("without the loss of flow")]) == 1


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


@pytest.mark.parametrize("file", ["video.mp4", "pose.npz"])
def test_a_clip_that_lacks_something_is_named(copy: Path, tmp_path: Path, capfd, file: str) -> None:
    (copy / "a" / file).unlink()
    message = trainer.failing(capfd, copy, tmp_path / "runs", "--name", "bad", "--steps", 2)
    assert f"{copy / 'a'}: no {file} in it" in message
    assert not (tmp_path / "runs").exists()


def test_a_clip_of_one_frame_is_named(copy: Path, tmp_path: Path, body: Body, capfd) -> None:
    write_moving_clip(copy / "c", body, frames=1)
    message = trainer.failing(capfd, copy, tmp_path / "runs", "--name", "bad", "--steps", 2)
    assert f"{copy / 'c'}: 1 frames; at least 2 are needed" in message


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--width", 100), "images of 100x64; this generator needs multiples of 8"),
        (("--held_out", "z"), "no such clip; there are a, b"),
        (("--clips", "a", "z"), "no such clip; there are a, b"),
        (("--clips", "a", "--held_out", "b"), "no such clip; there are a"),
        (("--generator", "slow"), "known are fast, vid2vid"),
        (("--architecture", "depth=3"), "--architecture depth: fast takes"),
        (("--weights", "gam=1"), "--weights gam: no such loss"),
        (("--flow_ground_truth", "raft", "--raft", "nowhere.pth"), "nowhere.pth: No such file"),
        (("--vgg", "nowhere.pth", "--weights", "gan=1"), "nowhere.pth: No such file"),
        (("--seq_len", 9), "--max_seq_len 5: at least --seq_len, 9, is needed"),
        (("--discriminators", "none", "head"), "--discriminators none"),
        (("--weights", "gan"), "--weights gan: NAME=VALUE is needed"),
    ],
    ids=lambda value: "".join(map(str, value[:2])) if isinstance(value, tuple) else "",
)
def test_bad_options_are_one_line(
    dataset: Path, tmp_path: Path, capfd, more: tuple, words: str
) -> None:
    bad = ("--name", "bad", "--steps", 2, *more)
    assert words in trainer.failing(capfd, dataset, tmp_path / "runs", *bad)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "training.pt", "ema.safetensors"])
def test_a_broken_checkpoint_is_one_line(
    dataset: Path, runs: Path, tmp_path: Path, capfd, file: str
) -> None:
    shutil.copytree(runs / "straight", tmp_path / "straight")
    broken = newest_checkpoint(tmp_path / "straight" / "pose2video") / file
    broken.write_bytes(broken.read_bytes()[:1000])
    more = ("--name", "straight", "--steps", STEPS + 2)
    assert str(broken) in trainer.failing(capfd, dataset, tmp_path, *more)


def test_a_run_resumes_with_its_own_architecture_only(dataset: Path, runs: Path, capfd) -> None:
    more = ("--name", "straight", "--steps", STEPS + 2, "--architecture", "channels=8,24")
    message = trainer.failing(capfd, dataset, runs, *more, "blocks=1,1")
    assert "was trained with" in message and "leave it out" in message
