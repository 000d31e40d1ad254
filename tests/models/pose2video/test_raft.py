"""Flow by RAFT: torchvision's own, in our convention, trusted where it leads back."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.optical_flow import raft_small

from speech2video.models.pose2video import pretrained
from speech2video.models.pose2video.generators.base import warp
from speech2video.models.pose2video.pretrained import RaftFlowEstimator, consistency_mask
from speech2video.util.errors import DataError

SIZE = HEIGHT, WIDTH = 128, 136


def images(count: int, size: tuple[int, int] = SIZE, *, seed: int = 0) -> Tensor:
    noise = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(noise, 5, 1, 2) * 4 - 2


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    torch.manual_seed(0)
    return raft_small(weights=None, progress=False).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def path(reference: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("raft") / "raft_small.pth"
    torch.save(reference.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def ground_truth(reference: nn.Module) -> Tensor:
    return reference(images(2), images(2, seed=1))[-1]


@pytest.mark.parametrize("pairs", [pretrained.MAX_CORRELATIONS, 1], ids=["together", "one by one"])
def test_it_is_torchvisions(
    ground_truth: Tensor, path: Path, monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    monkeypatch.setattr(pretrained, "MAX_CORRELATIONS", pairs)
    flow, trusted = RaftFlowEstimator.load(path)(images(2), images(2, seed=1))
    torch.testing.assert_close(flow, ground_truth, atol=1e-3, rtol=1e-3)
    assert trusted.shape == (2, *SIZE) and set(trusted.unique().tolist()) <= {0.0, 1.0}


def test_every_kind_of_file_is_read(reference: nn.Module, path: Path, tmp_path: Path) -> None:
    save_file(reference.state_dict(), tmp_path / "r.safetensors")
    for file in (path, tmp_path / "r.safetensors"):
        found = RaftFlowEstimator.load(file).network.state_dict()
        assert all(torch.equal(found[k], v) for k, v in reference.state_dict().items())


class Search(nn.Module):
    """Finds by trying, as RAFT says it: where in the second image is what the first shows?"""

    def forward(self, first: Tensor, second: Tensor, num_flow_updates: int) -> list[Tensor]:
        assert first.shape[2] % 8 == first.shape[3] % 8 == 0 and min(first.shape[2:]) >= 128
        flows = []
        for one, other in zip(first, second, strict=True):
            offs = {
                (x, y): (other.roll((-y, -x), (1, 2)) - one).abs().mean()
                for x in range(-8, 9)
                for y in range(-8, 9)
            }
            best = min(offs, key=offs.get)
            flows.append(torch.tensor(best).float().view(2, 1, 1).expand(2, *one.shape[1:]))
        return [torch.stack(flows)]


@pytest.mark.parametrize("size", [(128, 128), (64, 64), (128, 192), (132, 130)])
def test_flow_takes_the_frame_before_to_the_frame(size: tuple[int, int]) -> None:
    flow = RaftFlowEstimator()
    flow.network = Search()
    before = images(2, size)
    frames = torch.stack([before[0].roll((1, 2), (1, 2)), before[1].roll((-2, 0), (1, 2))])
    found, trusted = flow(frames, before)
    assert found.shape == (2, 2, *size) and trusted.shape == (2, *size)
    moved = warp(before, found)
    inner = (..., slice(4, -4), slice(4, -4))
    assert (moved - frames)[inner].abs().mean() < 0.25 * (before - frames)[inner].abs().mean()
    assert trusted[:, 4:-4, 4:-4].all()
    assert not trusted[0, 0].any() and not trusted[0, :, 0].any()  # from outside the image


def test_what_does_not_lead_back_is_not_trusted() -> None:
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 2
    returning = -flow
    returning[..., :4] = 3  # a part that something hid
    found = consistency_mask(flow, returning)[0]
    assert found[:, 2:6].all() and not found[:, :2].any()  # those land in columns 4..7
    assert not found[:, 6:].any()  # and those outside


def test_it_learns_nothing() -> None:
    flow = RaftFlowEstimator()
    assert not flow.network.training and not any(p.requires_grad for p in flow.parameters())
    flow.network = Search()
    frames = images(1).requires_grad_()
    assert not any(t.requires_grad for t in flow(frames, images(1)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory; torchvision's raft_small"),
        (b"none", "damaged, or no weights"),
        ({"a": torch.zeros(3)}, "weights of another network"),
    ],
    ids=["missing", "damaged", "foreign"],
)
def test_a_wrong_file_is_one_clear_line(content: object, message: str, tmp_path: Path) -> None:
    file = tmp_path / "r.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        torch.save(content, file)
    with pytest.raises(DataError, match=message) as caught:
        RaftFlowEstimator.load(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_without_file_and_network_it_is_none_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert RaftFlowEstimator.load() is None
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "no route" in err
    assert err.startswith("without the loss of flow: ") and "raft_small_C_T_V2-01064c6d.pth" in err


def test_what_torchvision_has_downloaded_is_taken(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    there = tmp_path / "checkpoints" / "raft_small_C_T_V2-01064c6d.pth"
    there.parent.mkdir()
    there.write_bytes(path.read_bytes())
    assert RaftFlowEstimator.load() is not None
