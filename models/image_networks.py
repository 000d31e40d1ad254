"""Networks trained elsewhere that judge pictures: for LPIPS, FID, KID, IS and FVD.

None ships, none is downloaded, none is replaced by another: a score whose files are not at hand is
absent, with the reason. They are looked for in a folder given, then where torch keeps what it has
downloaded (`torch.hub.get_dir()`/checkpoints), under the names they are published with:

alexnet-owt-7be5be79.pth                       LPIPS; torchvision's AlexNet
inception-2015-12-05.pt                        FID, KID, IS; NVIDIA's TorchScript of Inception
weights-inception-2015-12-05-6726825d.pth      the same of torch-fidelity, which must be installed
i3d_torchscript.pt                             FVD; TorchScript of I3D, as StyleGAN-V takes it
"""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.util.checkpoint import fill
from speech2video.util.errors import DataError

ALEXNET = "alexnet-owt-7be5be79.pth"
INCEPTION = "inception-2015-12-05.pt"
INCEPTION_FIDELITY = "weights-inception-2015-12-05-6726825d.pth"
I3D = "i3d_torchscript.pt"
INCEPTION_SCORES = ("fid", "kid", "inception_score")

BATCH = 16  # pictures a network sees at once
WINDOW = 16  # frames of a clip that I3D sees
WINDOW_STEP = 8  # frames from one such clip to the next
LPIPS_SIDE = 64  # pixels; the least AlexNet has five layers for

Features = tuple[np.ndarray, np.ndarray]  # (N, 2048), and logits (N, 1008)


class ImageNetworks:
    """The networks that are at hand.

    Attributes:
        absent: why a score cannot be had, one line each, by the score's name.
    """

    def __init__(self, folder: Path | None = None, *, device: torch.device | str = "cpu") -> None:
        """Look for all networks; raises `DataError` for no such folder, and for a broken file."""
        if folder is not None and not folder.is_dir():
            raise DataError(f"--networks {folder}: no such folder")
        hub = Path(torch.hub.get_dir()) / "checkpoints"
        self._places = [hub] if folder is None else [folder, hub]
        self._device = device
        self.absent: dict[str, str] = {}
        self._lpips = self._load(("lpips",), self._load_lpips)
        self._inception = self._load(INCEPTION_SCORES, self._load_inception)
        self._i3d = self._load(("fvd",), self._load_i3d)

    def lpips(self, predicted_N3HW: np.ndarray, true_N3HW: np.ndarray) -> np.ndarray | None:
        """Return the perceptual distance (N,) of frames uint8, AlexNet (Zhang et al., CVPR 2018).

        Smaller pictures than `LPIPS_SIDE` are enlarged. None where LPIPS is absent.
        """
        if self._lpips is None:
            return None

        def look(pictures_N3HW: np.ndarray) -> Tensor:
            pictures = torch.from_numpy(pictures_N3HW).to(self._device).float() / 127.5 - 1
            scale = LPIPS_SIDE / min(pictures.shape[2:])
            if scale > 1:
                pictures = nn.functional.interpolate(
                    pictures, scale_factor=scale, mode="bilinear", antialias=True
                )
            return pictures

        found = [
            self._lpips(look(predicted), look(true)).flatten().cpu()
            for predicted, true in zip(batches(predicted_N3HW), batches(true_N3HW), strict=True)
        ]
        return torch.cat(found).numpy() if found else np.zeros(0)

    def inception(self, frames_N3HW: np.ndarray) -> Features | None:
        """Return Inception's features and logits of frames uint8; None where it is absent."""
        if self._inception is None:
            return None
        found = [
            self._inception(torch.from_numpy(batch).to(self._device))
            for batch in batches(frames_N3HW)
        ]
        features, logits = (
            torch.cat(parts).float().cpu().numpy() for parts in zip(*found, strict=True)
        )
        return features, logits

    def i3d(self, frames_T3HW: np.ndarray) -> np.ndarray | None:
        """Return I3D's features (N, 400) of a video's clips of `WINDOW` frames; None if absent."""
        if self._i3d is None:
            return None
        starts = range(0, len(frames_T3HW) - WINDOW + 1, WINDOW_STEP)
        found = [self._i3d(self._window(frames_T3HW[s : s + WINDOW])) for s in starts]
        return np.concatenate(found) if found else np.zeros((0, 1))

    def _window(self, frames_T3HW: np.ndarray) -> Tensor:
        clip_1T3HW = torch.from_numpy(np.ascontiguousarray(frames_T3HW))[None]
        return clip_1T3HW.transpose(1, 2).to(self._device).float()

    def _load(self, scores: tuple[str, ...], loader: Callable) -> Callable | None:
        try:
            return loader()
        except _Absent as reason:
            self.absent |= dict.fromkeys(scores, str(reason))
            return None

    def _find(self, *names: str) -> Path:
        for name in names:
            for place in self._places:
                if (place / name).is_file():
                    return place / name
        places = " or ".join(map(str, self._places))
        raise _Absent(f"no {' or '.join(names)} in {places}")

    @torch.no_grad()
    def _load_lpips(self) -> Callable:
        path = self._find(ALEXNET)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                import lpips
            except ImportError as error:
                raise _Absent(f"the package lpips cannot be imported ({error})") from None
            network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        trunk = {  # lpips cuts AlexNet into slices and keeps the layers' numbers
            f"features.{name.split('.', 1)[1]}": tensor
            for name, tensor in network.net.state_dict().items()
        }
        fill(path, trunk, {k: v for k, v in _read(path).items() if k in trunk})
        network.to(self._device).eval().requires_grad_(False)
        return network

    def _load_inception(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        path = self._find(INCEPTION, INCEPTION_FIDELITY)
        if path.name == INCEPTION_FIDELITY:
            return self._load_fidelity(path)
        network = load_script(path, device=self._device)

        @torch.no_grad()
        def look(pictures_N3HW: Tensor) -> tuple[Tensor, Tensor]:
            shares = network(pictures_N3HW, no_output_bias=True)
            return network(pictures_N3HW, return_features=True), shares.clamp(min=1e-12).log()

        return look

    def _load_fidelity(self, path: Path) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                from torchmetrics.image.fid import NoTrainInceptionV3

                wanted = ["2048", "logits_unbiased"]
                network = NoTrainInceptionV3("inception-v3-compat", wanted, str(path))
            except ImportError as error:
                raise _Absent(f"{path.name} is of torch-fidelity: {error}") from None
            except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
                raise DataError(f"{path}: not torch-fidelity's Inception ({error})") from None
        network.to(self._device).requires_grad_(False)
        return network._torch_fidelity_forward

    def _load_i3d(self) -> Callable[[Tensor], np.ndarray]:
        network = load_script(self._find(I3D), device=self._device)

        @torch.no_grad()
        def look(clip_13THW: Tensor) -> np.ndarray:
            return (
                network(clip_13THW, rescale=True, resize=True, return_features=True).cpu().numpy()
            )

        return look


def load_script(path: Path, *, device: torch.device | str = "cpu") -> torch.jit.ScriptModule:
    """Return a TorchScript network; raises `DataError` where the file is none."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; a TorchScript network is needed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            words = str(error).splitlines()[0]
            raise DataError(f"{path}: not a TorchScript network ({words})") from None


def batches(frames_N3HW: np.ndarray) -> list[np.ndarray]:
    """Return the frames in pieces of at most `BATCH`."""
    return [
        np.ascontiguousarray(frames_N3HW[i : i + BATCH]) for i in range(0, len(frames_N3HW), BATCH)
    ]


class _Absent(Exception):
    """Why a network cannot be had."""


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: not a file of weights ({error})") from None
