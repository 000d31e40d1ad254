"""Teachers: the small ones that are trained, and external networks."""

import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.models.speech2face.teachers import ExternalTeacher, FaceTeachers, resize_faces
from speech2video.util.errors import DataError

trusting = partial(ExternalTeacher, trusted=True)


def script(path: Path, outputs: int, *, side: int = 32) -> Path:
    """Write a network that sees faces of `side` pixels."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.AvgPool2d(side // 4), nn.Flatten(), nn.Linear(48, outputs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather see torch.export
        torch.jit.script(network).save(str(path))
    return path


def test_outputs_of_the_trained_teachers() -> None:
    teachers = FaceTeachers(speakers=3, lips=4)
    frames, boxes = torch.randn(5, 3, 128, 128), torch.tensor([[40.0, 70, 90, 120]]).expand(5, -1)
    outputs = teachers(frames, boxes)
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        "speaker": (5, 3), "emotion": (5, 8), "lips": (5, 4)
    }  # fmt: skip
    torch.testing.assert_close(teachers.embed_identity(frames).norm(dim=1), torch.ones(5))
    torch.testing.assert_close(teachers.classify_emotion(frames), outputs["emotion"])


def test_an_external_network_embeds_identities(tmp_path: Path) -> None:
    teacher = trusting(script(tmp_path / "face.pt", 512), side=32)
    faces = torch.rand(4, 3, 64, 64) * 2 - 1
    identity = teacher(faces)
    assert identity.shape == (4, 128) and not identity.requires_grad
    torch.testing.assert_close(identity.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(trusting(tmp_path / "face.pt", side=32)(faces), identity)


class _Writer(nn.Module):
    """Writes a file when it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return faces.flatten(1)[:, :16]

    @torch.jit.export
    def __getstate__(self):
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), state[0])


def test_torchscript_is_loaded_only_where_it_is_trusted(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(_Writer(str(tmp_path / "written"))).save(str(tmp_path / "face.pt"))
    with pytest.raises(DataError, match=r"face\.pt: TorchScript can run any code.*--trust_torch"):
        ExternalTeacher(tmp_path / "face.pt", side=32)
    assert not (tmp_path / "written").exists()
    assert trusting(tmp_path / "face.pt", side=32)(torch.rand(1, 3, 32, 32)).shape == (1, 128)
    assert (tmp_path / "written").exists()  # so the refusal was needed


def test_external_classes_become_our_emotions(tmp_path: Path) -> None:
    classes = ("happy", "bored", "sad")
    path = script(tmp_path / "emotion.pt", 3)
    faces = torch.rand(4, 3, 32, 32)
    logits, own = (
        trusting(path, side=32, classes=classes)(faces),
        torch.jit.load(path)(faces),
    )
    torch.testing.assert_close(logits[:, EMOTIONS.index("happy")], own[:, 0])
    torch.testing.assert_close(logits[:, EMOTIONS.index("sad")], own[:, 2])
    assert (logits[:, EMOTIONS.index("angry")] == own.amin(1)).all()


def field(number: int, value: int | bytes | str) -> bytes:
    """Return a field of a protobuf message."""

    def varint(rest: int) -> bytes:
        return bytes([rest & 0x7F | 0x80]) + varint(rest >> 7) if rest > 0x7F else bytes([rest])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def write_onnx(path: Path, side: int) -> Path:
    """Write a network of means over 8 x 8 pixels, as the package onnx would."""

    def values(name: str, shape: tuple[int, ...]) -> bytes:
        sizes = b"".join(field(1, field(1, size)) for size in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))

    def node(kind: str, one: str, other: str, *attributes: str) -> bytes:
        ints = [field(1, name) + field(8, 8) * 2 + field(20, 7) for name in attributes]
        lists = b"".join(field(5, item) for item in ints)
        return field(1, one) + field(2, other) + field(4, kind) + lists

    graph = field(1, node("AveragePool", "x", "y", "kernel_shape", "strides"))
    graph += field(1, node("Flatten", "y", "z")) + field(2, "graph")
    graph += field(11, values("x", (1, 3, side, side))) + field(12, values("z", (1, 48)))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def test_an_onnx_network_needs_no_trust(tmp_path: Path) -> None:
    faces = torch.rand(3, 3, 32, 32)
    seen = ExternalTeacher(write_onnx(tmp_path / "face.onnx", 32), side=32)
    means = F.avg_pool2d(faces, 8).flatten(1)
    torch.testing.assert_close(seen._vectors(faces), means, atol=1e-5, rtol=1e-4)
    assert seen(faces).shape == (3, 128)


@pytest.mark.parametrize(
    ("name", "made", "words"),
    [
        ("none.pt", None, "no such file"),
        ("text.pt", b"no network", "not readable as TorchScript"),
        ("text.onnx", b"no network", "not readable as ONNX"),
    ],
)
def test_what_is_no_network_is_named(
    tmp_path: Path, name: str, made: bytes | None, words: str
) -> None:
    if made is not None:
        (tmp_path / name).write_bytes(made)
    with pytest.raises(DataError, match=words):
        trusting(tmp_path / name)


def test_a_network_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = script(tmp_path / "face.pt", 5)
    with pytest.raises(DataError, match=r"face.pt: takes no faces \(N, 3, 112, 112\)"):
        trusting(path)
    with pytest.raises(DataError, match="5 classes; 8 are named"):
        trusting(path, side=32, classes=EMOTIONS)


def test_shrinking_keeps_the_mean() -> None:
    images = torch.rand(2, 3, 128, 128)
    for side in (64, 32, 112):
        small = resize_faces(images, side)
        assert small.shape[-2:] == (side, side)
        assert float((small.mean() - images.mean()).abs()) < 0.01
