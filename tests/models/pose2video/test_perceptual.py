"""VGG19's features: those of torchvision, from a file; without one, a line and no more."""

import time
import urllib.error
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg

from speech2video.models.pose2video import pretrained
from speech2video.models.pose2video.pretrained import COMPARED, PerceptualLoss
from speech2video.util.errors import DataError

X, Y = (
    torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(s)) * 2 - 1 for s in (0, 1)
)


@pytest.fixture(scope="module")
def reference() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return vgg.make_layers(vgg.cfgs["E"])[:30].requires_grad_(False)


@pytest.fixture(scope="module")
def weights(reference: torch.nn.Sequential) -> dict[str, torch.Tensor]:
    features = {f"features.{name}": tensor for name, tensor in reference.state_dict().items()}
    others = {"features.30.bias": torch.zeros(2), "classifier.0.weight": torch.zeros(3, 3)}
    return features | others


@pytest.fixture(scope="module")
def path(weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(weights, file)
    return file


@pytest.fixture(scope="module")
def loss(path: Path) -> PerceptualLoss:
    return PerceptualLoss.load(path)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, and a home of torchvision's that is empty."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"


def test_it_compares_torchvisions_features(
    loss: PerceptualLoss, reference: torch.nn.Sequential
) -> None:
    mean, deviation = (torch.tensor(t).view(3, 1, 1) for t in ((0.485, 0.456, 0.406),
                                                              (0.229, 0.224, 0.225)))  # fmt: skip
    x, y = ((image * 0.5 + 0.5 - mean) / deviation for image in (X, Y))
    expected = torch.tensor(0.0)
    for place, layer in enumerate(reference):
        x, y = layer(x), layer(y)
        expected = expected + COMPARED.get(place, 0.0) * (x - y).abs().mean()
    torch.testing.assert_close(loss(X, Y), expected, atol=1e-5, rtol=1e-4)
    assert list(COMPARED.values()) == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]


def test_only_the_generated_image_has_a_gradient(loss: PerceptualLoss) -> None:
    generated, real = X.clone().requires_grad_(), Y.clone().requires_grad_()
    loss(generated, real).backward()
    assert generated.grad.abs().sum() > 0 and real.grad is None
    assert not any(p.requires_grad for p in loss.parameters())
    assert loss(Y, Y) == 0


def test_two_half_batches_equal_a_whole(loss: PerceptualLoss) -> None:
    first, second = (loss(X[n : n + 1], Y[n : n + 1]) for n in (0, 1))
    torch.testing.assert_close(loss(X, Y), (first + second) / 2)


def test_sixteen_bits_see_about_the_same(loss: PerceptualLoss, path: Path) -> None:
    short = PerceptualLoss.load(path).bfloat16().to(memory_format=torch.channels_last)
    assert float(short(X, Y)) == pytest.approx(float(loss(X, Y)), rel=0.02)


def test_every_kind_of_file_is_read(
    loss: PerceptualLoss, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(weights, tmp_path / "v.safetensors")
    torch.save(weights, tmp_path / "v.pth", _use_new_zipfile_serialization=False)  # torchvision's
    for name in ("v.safetensors", "v.pth"):
        assert torch.equal(PerceptualLoss.load(tmp_path / name)(X, Y), loss(X, Y))


class Code:
    def __reduce__(self) -> tuple:
        return (print, ("code ran",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"no weights", "damaged, or no weights"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "lacks"),
        ({"a": 3}, "not only plain tensors by name"),
        ({"a": Code()}, "it contains print"),
    ],
    ids=["missing", "damaged", "incomplete", "numbers", "code"],
)
def test_a_wrong_file_is_one_clear_line(
    content: object, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "v.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(DataError, match=message) as caught:
        PerceptualLoss.load(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    assert "code ran" not in capfd.readouterr().out


def test_without_file_and_network_it_is_none_and_one_line(
    offline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert PerceptualLoss.load() is None
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and str(offline) in err and "no route" in err


def test_a_network_that_does_not_answer_is_left(
    offline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import socket

    silent = socket.create_server(("127.0.0.1", 0))  # takes calls, says nothing
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/vgg19-dcbb9e9d.pth"
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(offline.parent.parent))
    monkeypatch.setattr(PerceptualLoss, "URL", url)
    monkeypatch.setattr(pretrained, "TIMEOUT", 0.2)
    began = time.monotonic()
    with silent:
        assert PerceptualLoss.load() is None
    assert time.monotonic() - began < 60
    assert capfd.readouterr().err.count("\n") == 1
    assert socket.getdefaulttimeout() is None and not list(offline.parent.iterdir())


def test_what_torchvision_has_downloaded_is_taken(
    loss: PerceptualLoss, weights: dict[str, torch.Tensor], offline: Path
) -> None:
    offline.parent.mkdir(parents=True)
    torch.save(weights, offline)
    assert torch.equal(PerceptualLoss.load()(X, Y), loss(X, Y))
