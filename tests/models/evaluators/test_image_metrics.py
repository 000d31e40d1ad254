"""Metrics of networks: properties that hold for any weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.models.evaluators.image_metrics import (
    ALEXNET,
    I3D,
    INCEPTION,
    FaceRecognitionNetwork,
    ImageNetworks,
    crop_boxes,
    fvd,
    inception_metrics,
)
from speech2video.util.errors import DataError
from speech2video.util.metrics.statistics import frechet_distance
from tests.models.evaluators.small_networks import FACE, write_networks


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> ImageNetworks:
    return ImageNetworks(write_networks(tmp_path_factory.mktemp("networks")), trusted=True)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 3, 64, 64), np.uint8)


def test_missing_networks_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: np.ndarray
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    networks = ImageNetworks(tmp_path)
    assert set(networks.unavailable) == {"lpips", "fid", "kid", "inception_score", "fvd"}
    reason = networks.unavailable["lpips"]
    assert ALEXNET in reason and str(tmp_path) in reason
    assert networks.lpips(frames, frames) is None
    assert networks.inception(frames) is None and networks.i3d(frames) is None


def test_lpips_is_zero_for_identical_images_only(
    networks: ImageNetworks, frames: np.ndarray
) -> None:
    few, others = frames[:3], frames[3:6]
    assert not networks.unavailable
    assert networks.lpips(few, few) == pytest.approx(np.zeros(3))
    assert (networks.lpips(few, others) > 0).all()
    assert networks.lpips(few, others) == pytest.approx(networks.lpips(others, few), rel=1e-4)
    assert np.isfinite(networks.lpips(few[..., :20, :20], others[..., :20, :20])).all()


def test_distances_of_distributions(networks: ImageNetworks, frames: np.ndarray) -> None:
    real, dark = networks.inception(frames), networks.inception(frames // 3)
    same, other = inception_metrics(real, real), inception_metrics(dark, real)
    assert same["fid"] == pytest.approx(0, abs=1e-4) and other["fid"] > 0.01
    assert other["fid"] == pytest.approx(frechet_distance(dark[0], real[0]), rel=1e-2)
    assert other["kid"] > same["kid"]
    assert 1 <= same["inception_score"] <= 8
    assert other == inception_metrics(dark, real)


def test_fvd_of_a_video_with_itself_is_zero(networks: ImageNetworks, frames: np.ndarray) -> None:
    clips = networks.i3d(frames)
    assert len(clips) == 4
    assert fvd(clips, clips) == pytest.approx(0, abs=1e-3)
    assert fvd(networks.i3d(frames // 2), clips) > 1
    assert np.isnan(fvd(clips[:1], clips)) and not len(networks.i3d(frames[:9]))


def test_identity(tmp_path: Path, frames: np.ndarray) -> None:
    face = FaceRecognitionNetwork(write_networks(tmp_path) / FACE, size=32, trusted=True)
    assert face.similarity(frames, frames) == pytest.approx(np.ones(len(frames)), abs=1e-5)
    assert (face.similarity(frames, frames[::-1]) < 0.9).all()


def test_crops_of_whole_pixels_are_copies(frames: np.ndarray) -> None:
    boxes = np.tile(np.array((8, 4, 24, 20), np.float32), (len(frames), 1))
    boxes[1] = np.nan
    cut = crop_boxes(frames, boxes, 16)
    assert (cut == np.delete(frames, 1, 0)[:, :, 4:20, 8:24]).all()
    assert crop_boxes(frames, boxes * np.nan, 16).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("name", [ALEXNET, INCEPTION, I3D])
def test_broken_files_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a network at all")
    with pytest.raises(DataError, match=name):
        ImageNetworks(tmp_path, trusted=True)


def test_torchscript_is_loaded_only_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("was loaded"))
    networks = ImageNetworks(write_networks(tmp_path))
    assert set(networks.unavailable) == {"fid", "kid", "inception_score", "fvd"}
    assert all("--trust_torchscript" in reason for reason in networks.unavailable.values())
    with pytest.raises(DataError, match="--trust_torchscript"):
        FaceRecognitionNetwork(tmp_path / FACE, size=32)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        ImageNetworks(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no such file"):
        FaceRecognitionNetwork(tmp_path / "face.pt", size=32)
