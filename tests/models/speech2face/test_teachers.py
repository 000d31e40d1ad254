"""Teachers: the small ones that are trained, and external networks."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.models.speech2face.teachers import ExternalTeacher, FaceTeachers, resize_faces
from speech2video.util.errors import DataError


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
    teacher = ExternalTeacher(script(tmp_path / "face.pt", 512), side=32)
    faces = torch.rand(4, 3, 64, 64) * 2 - 1
    identity = teacher(faces)
    assert identity.shape == (4, 128) and not identity.requires_grad
    torch.testing.assert_close(identity.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(ExternalTeacher(tmp_path / "face.pt", side=32)(faces), identity)


def test_external_classes_become_our_emotions(tmp_path: Path) -> None:
    classes = ("happy", "bored", "sad")
    path = script(tmp_path / "emotion.pt", 3)
    faces = torch.rand(4, 3, 32, 32)
    logits, own = (
        ExternalTeacher(path, side=32, classes=classes)(faces),
        torch.jit.load(path)(faces),
    )
    torch.testing.assert_close(logits[:, EMOTIONS.index("happy")], own[:, 0])
    torch.testing.assert_close(logits[:, EMOTIONS.index("sad")], own[:, 2])
    assert (logits[:, EMOTIONS.index("angry")] == own.amin(1)).all()


def test_an_onnx_network_sees_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 16))
    torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), tmp_path / "face.onnx", dynamo=False)
    faces = torch.rand(3, 3, 32, 32)
    seen = ExternalTeacher(tmp_path / "face.onnx", side=32)
    torch.testing.assert_close(seen._vectors(faces), network(faces), atol=1e-5, rtol=1e-4)


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
        ExternalTeacher(tmp_path / name)


def test_a_network_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = script(tmp_path / "face.pt", 5)
    with pytest.raises(DataError, match=r"face.pt: takes no faces \(N, 3, 112, 112\)"):
        ExternalTeacher(path)
    with pytest.raises(DataError, match="5 classes; 8 are named"):
        ExternalTeacher(path, side=32, classes=EMOTIONS)


def test_shrinking_keeps_the_mean() -> None:
    images = torch.rand(2, 3, 128, 128)
    for side in (64, 32, 112):
        small = resize_faces(images, side)
        assert small.shape[-2:] == (side, side)
        assert float((small.mean() - images.mean()).abs()) < 0.01
