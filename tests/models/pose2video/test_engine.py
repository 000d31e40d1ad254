"""The 8-bit engine: nearly the same frames as PyTorch, and one line where the graph is no good."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speech2video.models.checkpointing import save_weights, weights_id
from speech2video.models.pose2video.engine import (
    ENGINE_FILE,
    OpenVinoGenerator,
    calibration_steps,
    export_engine,
    has_engine,
)
from speech2video.models.pose2video.generators.fast import FastGenerator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.renderer import NETWORK, load_renderer
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import psnr
from speech2video.util.rendering.camera import FACING, Camera

pytest.importorskip("openvino", reason="the extra `engine` is not installed")
pytest.importorskip("nncf", reason="the extra `export-engine` is not installed")

SIDE, FRAMES = 32, 6
SMALL = {"channels": (16, 24), "blocks": (1, 1)}


def maps(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand((1, 3, SIDE, SIDE), generator=generator) * 2 - 1 for _ in range(FRAMES)]


def build() -> FastGenerator:
    torch.manual_seed(0)
    generator = FastGenerator(size=(SIDE, SIDE), **SMALL)
    for weight in generator.parameters():
        weight.data.add_(0.03 * torch.randn_like(weight))
    generator.background.uniform_(-1, 1)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its graph."""
    folder = tmp_path_factory.mktemp("engine") / "pose2video"
    folder.mkdir()
    generator = build()
    save_weights(folder / WEIGHTS_FILE, nn.ModuleDict({NETWORK: generator}))
    TrainPose2VideoOptions(
        name="a",
        dataset=Path("none"),
        width=SIDE,
        height=SIDE,
        architecture=("channels=16,24", "blocks=1,1"),
        camera=Camera(40.0, (16.0, 16.0), SIDE, SIDE, FACING, (0.0, 0.0, 1.0)).numbers(),
    ).save(folder / OPTIONS_FILE)
    steps = calibration_steps(generator, [maps(1), maps(2)], frames=8)
    export_engine(generator, steps, folder, weights_id=weights_id(folder))
    return folder


def test_calibration_takes_the_steps_of_rollouts() -> None:
    generator = build()
    steps = calibration_steps(generator, [maps(1), maps(2)], frames=100)
    assert len(steps) == 2 * (FRAMES - 1)  # a first frame has no past
    frames = list(generator.generate_frames(maps(2)))
    for (given, past), before in zip(steps[FRAMES - 1 :], frames[:-1], strict=True):
        assert torch.equal(past[:, :3], before) and given.shape == (1, 9, SIDE, SIDE)
    assert len(calibration_steps(generator, [maps(1), maps(2)], frames=4)) == 4


def test_frames_are_nearly_those_of_pytorch(folder: Path) -> None:
    exact, quantised = load_renderer(folder), load_renderer(folder, engine="openvino")
    given = [((one[0].numpy() + 1) * 127.5).round().astype(np.uint8) for one in maps(3)]
    frames, wanted = (np.stack(list(renderer.render(given))) for renderer in (quantised, exact))
    assert (frames[0] == wanted[0]).all(), "PyTorch computes the first"
    assert (frames != wanted).any(), "OpenVINO was not used"
    assert psnr(frames, wanted).min() > 30
    again = np.stack(list(quantised.render(given)))
    assert (again == frames).all()


@torch.no_grad()
def test_alpha_comes_with_the_frame(folder: Path) -> None:
    generator = build()
    engine = OpenVinoGenerator(generator, folder, weights_id=weights_id(folder))
    joined = torch.cat(maps(4)[:3], 1)
    past = generator.update_past(None, generator.step(joined))
    found, wanted = engine.step(joined, past), generator.step(joined, past)
    assert found.alpha.shape == (1, 1, SIDE, SIDE)
    assert (found.alpha - wanted.alpha).abs().mean() < 0.05
    assert torch.equal(found.background, wanted.background)


def test_a_graph_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "pose2video")
    generator = build()
    generator.to_rgb.bias.data.add_(1)
    save_weights(copy / WEIGHTS_FILE, nn.ModuleDict({NETWORK: generator}))
    with pytest.raises(DataError, match="made of the weights"):
        load_renderer(copy, engine="openvino")


@pytest.mark.parametrize("name", [ENGINE_FILE, "engine.bin"])
@pytest.mark.parametrize("content", [None, b"", b"<net"])
def test_a_broken_graph_is_one_line(
    folder: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    copy = shutil.copytree(folder, tmp_path / "pose2video")
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(DataError, match=str(copy)) as error:
        load_renderer(copy, engine="openvino")
    assert "\n" not in str(error.value)


def test_whether_there_is_a_graph(folder: Path, tmp_path: Path) -> None:
    assert has_engine(folder) and not has_engine(tmp_path)


def test_a_generator_without_alpha_has_none(tmp_path: Path) -> None:
    generator = Vid2VidGenerator(ngf=8, n_blocks=1, n_downsample_G=1).eval()
    past = torch.zeros(1, 6, SIDE, SIDE)
    with pytest.raises(DataError, match="without alpha"):
        export_engine(generator, [(torch.zeros(1, 9, SIDE, SIDE), past)], tmp_path, weights_id="a")
    assert not list(tmp_path.iterdir())


def test_nothing_is_reported_to_anybody(folder: Path) -> None:
    """In a process of its own: other tests may have imported the packages already."""
    code = (
        "import sys; from speech2video.models.pose2video import engine\n"
        "for name in ('openvino', 'nncf'): engine._import(name)\n"
        "from openvino.tools.ovc.telemetry_utils import tm; from nncf.telemetry import wrapper\n"
        "print(tm.__name__, *(name for name in sys.modules if name.startswith('openvino_tele')))\n"
        "print(type(wrapper.telemetry).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    module, found = done.stdout.splitlines()[-2:]
    assert module == "openvino.tools.ovc.telemetry_stub openvino_telemetry"  # of which it is None
    assert found != "NNCFTelemetry"
