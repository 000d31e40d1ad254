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

from speech2video.models.checkpointing import copy_tensors
from speech2video.models.pose2video.discriminators import crop
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import torchmetrics
from speech2video.util.metrics.statistics import frechet_distance

ALEXNET = "alexnet-owt-7be5be79.pth"
INCEPTION = "inception-2015-12-05.pt"
INCEPTION_FIDELITY = "weights-inception-2015-12-05-6726825d.pth"
I3D = "i3d_torchscript.pt"
INCEPTION_SCORES = ("fid", "kid", "inception_score")

BATCH = 16  # pictures a network sees at once
I3D_FRAMES = 16  # frames of a clip that I3D sees
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
        """Return I3D's features (N, 400) of a video's clips of `I3D_FRAMES` frames; None if absent."""
        if self._i3d is None:
            return None
        starts = range(0, len(frames_T3HW) - I3D_FRAMES + 1, WINDOW_STEP)
        found = [self._i3d(self._window(frames_T3HW[s : s + I3D_FRAMES])) for s in starts]
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
        copy_tensors(path, trunk, {k: v for k, v in _read(path).items() if k in trunk})
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


# Scores of generated pictures and videos from what networks make of them (`image_networks`).

KID_SUBSET, KID_SUBSETS = 1000, 100  # torchmetrics' own
IS_SPLITS = 10


class FaceRecognitionNetwork:
    """A user's face recognition network: how much two pictures show the same person.

    Args:
        path: TorchScript that takes (N, 3, size, size) RGB in -1..1 and gives vectors (N, D).
        size: of the pictures it takes, pixels.
    """

    def __init__(self, path: Path, *, size: int, device: torch.device | str = "cpu") -> None:
        self._network, self._path = load_script(path, device=device), path
        self._size, self._device = size, device

    @torch.no_grad()
    def similarity(self, predicted_N3HW: np.ndarray, true_N3HW: np.ndarray) -> np.ndarray:
        """Return the cosine (N,) between the vectors of heads cut out of two videos, uint8.

        Raises:
            DataError: the network does not take such pictures, or gives no vectors.
        """
        found = [np.zeros(0)]
        for pair in zip(batches(predicted_N3HW), batches(true_N3HW), strict=True):
            vectors = [self._look(heads) for heads in pair]
            found.append(nn.functional.cosine_similarity(*vectors).cpu().numpy())
        return np.concatenate(found)

    def _look(self, heads_N3HW: np.ndarray) -> Tensor:
        heads = torch.from_numpy(heads_N3HW).to(self._device).float() / 127.5 - 1
        size = (self._size, self._size)
        heads = nn.functional.interpolate(heads, size, mode="bilinear", antialias=True)
        try:
            vectors = self._network(heads)
        except RuntimeError as error:
            raise DataError(f"{self._path}: fails on {tuple(heads.shape)} ({error})") from None
        if not isinstance(vectors, Tensor) or vectors.ndim != 2 or len(vectors) != len(heads):
            raise DataError(f"{self._path}: a vector for each picture is needed")
        return vectors.float()


def inception_scores(found: Features, real: Features, *, seed: int = 0) -> dict[str, float]:
    """Return FID, KID and IS of generated frames beside real ones, by torchmetrics.

    Heusel et al., NeurIPS 2017; Bińkowski et al., ICLR 2018; Salimans et al., NeurIPS 2016. All
    depend on the number of frames: compare only figures of the same.

    Args:
        found, real: what `ImageNetworks.inception` says of the frames, at least two of each.
        seed: draws KID's subsets and IS' order.
    """
    with torchmetrics(), torch.random.fork_rng(devices=[]):
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.inception import InceptionScore
        from torchmetrics.image.kid import KernelInceptionDistance

        torch.manual_seed(seed)
        seen = nn.Identity()  # the networks have looked already
        seen.num_features = found[0].shape[1]
        count = min(len(found[0]), len(real[0]))
        fid = FrechetInceptionDistance(feature=seen)
        kid = KernelInceptionDistance(
            feature=seen, subset_size=min(KID_SUBSET, count), subsets=KID_SUBSETS
        )
        for metric in (fid, kid):
            metric.update(torch.from_numpy(real[0]), real=True)
            metric.update(torch.from_numpy(found[0]), real=False)
        scores = InceptionScore(feature=seen, splits=min(IS_SPLITS, count))
        scores.update(torch.from_numpy(found[1]))
        values = fid.compute(), kid.compute()[0], scores.compute()[0]
    return dict(zip(INCEPTION_SCORES, map(float, values), strict=True))


def fvd(found_ND: np.ndarray, real_ND: np.ndarray) -> float:
    """Return the Fréchet video distance of I3D's features (Unterthiner et al., 2018).

    NaN for fewer than two clips.
    """
    if min(len(found_ND), len(real_ND)) < 2:
        return float("nan")
    return frechet_distance(found_ND, real_ND)


def crop_boxes(frames_N3HW: np.ndarray, boxes_N4: np.ndarray, size: int) -> np.ndarray:
    """Return the boxes (M, 3, size, size) uint8 of the M frames that have one; NaN is none."""
    there_N = np.isfinite(boxes_N4).all(1)
    pictures = torch.from_numpy(np.ascontiguousarray(frames_N3HW[there_N])).float()
    boxes = torch.from_numpy(np.ascontiguousarray(boxes_N4[there_N], np.float32))
    cut = crop(pictures, boxes, size) if there_N.any() else torch.zeros(0, 3, size, size)
    return cut.round().clamp(0, 255).byte().numpy()
