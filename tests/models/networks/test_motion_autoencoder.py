from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from speech2video.models.networks.motion_autoencoder import (
    WEIGHTS,
    MotionAutoencoder,
    reconstruction_loss,
)
from speech2video.util.errors import DataError

SIZES = {"features": 6, "frames": 16, "width": 8, "code": 4, "depth": 2}


@pytest.fixture
def model() -> MotionAutoencoder:
    torch.manual_seed(0)
    model = MotionAutoencoder(**SIZES)
    model.mean.normal_()
    model.spread.uniform_(0.5, 2)
    return model.eval()


def test_a_window_becomes_a_code_and_a_window_again(model: MotionAutoencoder) -> None:
    windows = torch.randn(3, 16, 6)
    codes = model.encode(windows)
    assert codes.shape == (3, 4)
    assert torch.equal(model.decode(codes), model(windows))
    assert model(windows).shape == windows.shape


def test_a_window_s_code_does_not_hang_on_the_others(model: MotionAutoencoder) -> None:
    windows = torch.randn(3, 16, 6)
    torch.testing.assert_close(model.encode(windows)[1:2], model.encode(windows[1:2]))


def test_saved_and_loaded_is_the_same(model: MotionAutoencoder, tmp_path: Path) -> None:
    model.save(tmp_path / "new" / "folder")
    loaded = MotionAutoencoder.load(tmp_path / "new" / "folder")
    windows = torch.randn(3, 16, 6)
    assert loaded.sizes == SIZES
    assert torch.equal(loaded.encode(windows), model.encode(windows))


def test_it_learns_to_remember() -> None:
    torch.manual_seed(0)
    model = MotionAutoencoder(**SIZES | {"code": 8})
    time = torch.linspace(0, 6, 16)[:, None]
    windows = torch.stack([torch.sin(time + phase) * torch.ones(6) for phase in torch.rand(32)])
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    before = reconstruction_loss(model, windows).item()
    for _ in range(60):
        optimiser.zero_grad()
        loss = reconstruction_loss(model, windows)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.3 * before


def test_loss_sees_jitter_more_than_a_shift(model: MotionAutoencoder) -> None:
    class Shifted(MotionAutoencoder):
        def forward(self, windows_NTF: torch.Tensor) -> torch.Tensor:
            return windows_NTF + self.shift

    shifted, jittery = Shifted(**SIZES), Shifted(**SIZES)
    shifted.shift = 0.1
    jittery.shift = 0.1 * (-1.0) ** torch.arange(16)[:, None]
    windows = torch.randn(3, 16, 6)
    assert reconstruction_loss(jittery, windows) > 2 * reconstruction_loss(shifted, windows)


def test_what_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        MotionAutoencoder.load(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"not weights")
    with pytest.raises(DataError, match="not a motion autoencoder"):
        MotionAutoencoder.load(tmp_path)
    save_file({"weight": torch.zeros(3)}, tmp_path / WEIGHTS)
    with pytest.raises(DataError, match="not a motion autoencoder"):
        MotionAutoencoder.load(tmp_path)


def test_windows_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ValueError, match="not whole"):
        MotionAutoencoder(**SIZES | {"frames": 18})
