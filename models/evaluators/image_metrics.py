"""Image and video metrics that need pretrained networks: LPIPS, FID, KID, IS, FVD, identity.

No network is shipped, downloaded or replaced by another; metrics without weights are reported as
unavailable. Files are searched in a given folder, then in `torch.hub.get_dir()`/checkpoints:

alexnet-owt-7be5be79.pth                   LPIPS: torchvision's AlexNet
inception-2015-12-05.pt                    FID, KID, IS: NVIDIA's TorchScript of Inception
weights-inception-2015-12-05-6726825d.pth  the same of torch-fidelity, which must be installed
i3d_torchscript.pt                         FVD: TorchScript of I3D, as used by StyleGAN-V

TorchScript can run any code, and is loaded only where its source is trusted.
"""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, interpolate

from speech2video.models.checkpointing import copy_tensors
from speech2video.models.external_network import TRUST, load_external_network, load_torchscript
from speech2video.models.pose2video.discriminators import crop
from speech2video.util.errors import DataError
from speech2video.util.metrics.image import torchmetrics
from speech2video.util.metrics.statistics import frechet_distance

ALEXNET = "alexnet-owt-7be5be79.pth"
INCEPTION = "inception-2015-12-05.pt"
INCEPTION_FIDELITY = "weights-inception-2015-12-05-6726825d.pth"
I3D = "i3d_torchscript.pt"
INCEPTION_METRICS = ("fid", "kid", "inception_score")

BATCH = 16  # images per forward pass
I3D_FRAMES = 16  # frames of a clip for I3D
I3D_STRIDE = 8  # frames between the starts of such clips
LPIPS_MIN_SIZE = 64  # pixels; AlexNet's five layers need so many
KID_SUBSET, KID_SUBSETS = 1000, 100  # torchmetrics' defaults
IS_SPLITS = 10

InceptionOutput = tuple[np.ndarray, np.ndarray]  # features (N, 2048), logits (N, 1008)


class _Unavailable(Exception):
    """Why a network cannot be loaded."""


class ImageNetworks:
    """The pretrained networks that are available.

    Attributes:
        unavailable: reason by metric name.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        device: torch.device | str = "cpu",
        trusted: bool = False,
    ) -> None:
        """Load all networks, of TorchScript only if `trusted`.

        Raises `DataError` for a missing folder or a broken file.
        """
        if folder is not None and not folder.is_dir():
            raise DataError(f"--networks {folder}: no such folder")
        hub = Path(torch.hub.get_dir()) / "checkpoints"
        self._folders = [hub] if folder is None else [folder, hub]
        self._device, self._trusted = device, trusted
        self.unavailable: dict[str, str] = {}
        self._lpips = self._load(("lpips",), self._load_lpips)
        self._inception = self._load(INCEPTION_METRICS, self._load_inception)
        self._i3d = self._load(("fvd",), self._load_i3d)

    def lpips(self, predicted_N3HW: np.ndarray, true_N3HW: np.ndarray) -> np.ndarray | None:
        """Return LPIPS (N,) of frames uint8 with AlexNet (Zhang et al., CVPR 2018).

        Images smaller than `LPIPS_MIN_SIZE` are enlarged. None if unavailable.
        """
        if self._lpips is None:
            return None

        found = [torch.zeros(0)]
        for pair in zip(_batches(predicted_N3HW), _batches(true_N3HW), strict=True):
            predicted, true = (_normalise(images, self._device) for images in pair)
            scale = LPIPS_MIN_SIZE / min(true.shape[2:])
            if scale > 1:
                enlarge = {"scale_factor": scale, "mode": "bilinear", "antialias": True}
                predicted, true = (interpolate(images, **enlarge) for images in (predicted, true))
            found.append(self._lpips(predicted, true).flatten().cpu())
        return torch.cat(found).numpy()

    def inception(self, frames_N3HW: np.ndarray) -> InceptionOutput | None:
        """Return Inception's features and logits of frames uint8; None if unavailable."""
        if self._inception is None:
            return None
        batches = (torch.from_numpy(batch).to(self._device) for batch in _batches(frames_N3HW))
        features, logits = zip(*map(self._inception, batches), strict=True)
        return torch.cat(features).float().cpu().numpy(), torch.cat(logits).float().cpu().numpy()

    def i3d(self, frames_T3HW: np.ndarray) -> np.ndarray | None:
        """Return I3D features (N, 400) of clips of `I3D_FRAMES`; None if unavailable."""
        if self._i3d is None:
            return None
        found = []
        for start in range(0, len(frames_T3HW) - I3D_FRAMES + 1, I3D_STRIDE):
            clip_T3HW = np.ascontiguousarray(frames_T3HW[start : start + I3D_FRAMES])
            clip_3THW = torch.from_numpy(clip_T3HW).transpose(0, 1).to(self._device)
            found.append(self._i3d(clip_3THW[None].float()))
        return np.concatenate(found) if found else np.zeros((0, 1))

    def _load(self, metrics: tuple[str, ...], loader: Callable) -> Callable | None:
        try:
            return loader()
        except _Unavailable as reason:
            self.unavailable |= dict.fromkeys(metrics, str(reason))
            return None

    def _find(self, *names: str) -> Path:
        for path in (folder / name for name in names for folder in self._folders):
            if path.is_file():
                return path
        folders = " or ".join(map(str, self._folders))
        raise _Unavailable(f"no {' or '.join(names)} in {folders}")

    def _load_script(self, path: Path) -> torch.jit.ScriptModule:
        if not self._trusted:
            raise _Unavailable(f"{path} is TorchScript, which can run any code: {TRUST}")
        return load_torchscript(path, device=self._device, trusted=True)

    @torch.no_grad()
    def _load_lpips(self) -> Callable:
        path = self._find(ALEXNET)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                import lpips
            except ImportError as error:
                raise _Unavailable(f"the package lpips cannot be imported ({error})") from None
            network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        # lpips cuts AlexNet into slices and keeps the layers' numbers.
        weights = network.net.state_dict().items()
        trunk = {f"features.{name.split('.', 1)[1]}": tensor for name, tensor in weights}
        copy_tensors(path, trunk, {k: v for k, v in _read_weights(path).items() if k in trunk})
        network.to(self._device).eval().requires_grad_(False)
        return network

    def _load_inception(self) -> Callable[[Tensor], tuple[Tensor, ...]]:
        names = (INCEPTION, INCEPTION_FIDELITY)
        path = self._find(*(names if self._trusted else reversed(names)))
        if path.name == INCEPTION_FIDELITY:
            return self._load_fidelity(path)
        network = self._load_script(path)

        @torch.no_grad()
        def inception(images_N3HW: Tensor) -> tuple[Tensor, Tensor]:
            probabilities = network(images_N3HW, no_output_bias=True)
            return network(images_N3HW, return_features=True), probabilities.clamp(1e-12).log()

        return inception

    def _load_fidelity(self, path: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                from torchmetrics.image.fid import NoTrainInceptionV3

                outputs = ["2048", "logits_unbiased"]
                network = NoTrainInceptionV3("inception-v3-compat", outputs, str(path))
            except ImportError as error:
                raise _Unavailable(f"{path.name} is of torch-fidelity: {error}") from None
            except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
                raise DataError(f"{path}: not torch-fidelity's Inception ({error})") from None
        network.to(self._device).requires_grad_(False)
        return network._torch_fidelity_forward

    def _load_i3d(self) -> Callable[[Tensor], np.ndarray]:
        network = self._load_script(self._find(I3D))

        @torch.no_grad()
        def i3d(clip_13THW: Tensor) -> np.ndarray:
            features = network(clip_13THW, rescale=True, resize=True, return_features=True)
            return features.cpu().numpy()

        return i3d


class _Precomputed(nn.Identity):
    """Stands for Inception where its features are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


class FaceRecognitionNetwork:
    """A user's face recognition network, for the similarity of identity.

    Args:
        path: ONNX or TorchScript from RGB (N, 3, size, size) in -1..1 to embeddings (N, D).
        size: pixels of its input.
        trusted: whether TorchScript, which can run code, may be loaded.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int,
        device: torch.device | str = "cpu",
        trusted: bool = False,
    ) -> None:
        self._network = load_external_network(path, device=device, trusted=trusted)
        self._path = path
        self._size, self._device = size, device

    @torch.no_grad()
    def similarity(self, predicted_N3HW: np.ndarray, true_N3HW: np.ndarray) -> np.ndarray:
        """Return the cosine similarity (N,) of the heads in two videos, uint8.

        Raises:
            DataError: the network rejects the images or returns no embeddings.
        """
        found = [np.zeros(0)]
        for pair in zip(_batches(predicted_N3HW), _batches(true_N3HW), strict=True):
            predicted, true = (self._embed(heads) for heads in pair)
            found.append(cosine_similarity(predicted, true).cpu().numpy())
        return np.concatenate(found)

    def _embed(self, heads_N3HW: np.ndarray) -> Tensor:
        size = (self._size, self._size)
        heads = _normalise(heads_N3HW, self._device)
        heads = interpolate(heads, size, mode="bilinear", antialias=True)
        try:
            vectors = self._network(heads)
        except (RuntimeError, cv2.error) as error:
            raise DataError(f"{self._path}: fails on {tuple(heads.shape)} ({error})") from None
        if not isinstance(vectors, Tensor) or vectors.ndim != 2 or len(vectors) != len(heads):
            raise DataError(f"{self._path}: a vector for each image is needed")
        return vectors.float()


def inception_metrics(
    generated: InceptionOutput, real: InceptionOutput, *, seed: int = 0
) -> dict[str, float]:
    """Return FID, KID and IS of generated frames compared with real ones, by torchmetrics.

    Heusel et al., NeurIPS 2017; Bińkowski et al., ICLR 2018; Salimans et al., NeurIPS 2016. All
    depend on the number of frames: compare only values for equal numbers.

    Args:
        generated: outputs of `ImageNetworks.inception`, at least two.
        real: likewise.
        seed: of KID's subsets and IS' order.
    """
    with torchmetrics(), torch.random.fork_rng(devices=[]):
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.inception import InceptionScore
        from torchmetrics.image.kid import KernelInceptionDistance

        torch.manual_seed(seed)
        identity = _Precomputed(generated[0].shape[1])
        count = min(len(generated[0]), len(real[0]))
        fid = FrechetInceptionDistance(feature=identity)
        size = min(KID_SUBSET, count)
        kid = KernelInceptionDistance(feature=identity, subset_size=size, subsets=KID_SUBSETS)
        for metric in (fid, kid):
            metric.update(torch.from_numpy(real[0]), real=True)
            metric.update(torch.from_numpy(generated[0]), real=False)
        score = InceptionScore(feature=identity, splits=min(IS_SPLITS, count))
        score.update(torch.from_numpy(generated[1]))
        values = fid.compute(), kid.compute()[0], score.compute()[0]
    return dict(zip(INCEPTION_METRICS, map(float, values), strict=True))


def fvd(generated_ND: np.ndarray, real_ND: np.ndarray) -> float:
    """Return the Fréchet video distance of I3D features (Unterthiner et al., 2018).

    NaN for fewer than two clips.
    """
    enough = min(len(generated_ND), len(real_ND)) >= 2
    return frechet_distance(generated_ND, real_ND) if enough else float("nan")


def crop_boxes(frames_N3HW: np.ndarray, boxes_N4: np.ndarray, size: int) -> np.ndarray:
    """Return crops (M, 3, size, size) uint8 of the M frames whose box is not NaN."""
    present_N = np.isfinite(boxes_N4).all(1)
    images = torch.from_numpy(np.ascontiguousarray(frames_N3HW[present_N])).float()
    boxes = torch.from_numpy(np.ascontiguousarray(boxes_N4[present_N], np.float32))
    crops = crop(images, boxes, size) if present_N.any() else torch.zeros(0, 3, size, size)
    return crops.round().clamp(0, 255).byte().numpy()


def _batches(frames_N3HW: np.ndarray) -> list[np.ndarray]:
    starts = range(0, len(frames_N3HW), BATCH)
    return [np.ascontiguousarray(frames_N3HW[i : i + BATCH]) for i in starts]


def _normalise(images_N3HW: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.from_numpy(images_N3HW).to(device).float() / 127.5 - 1


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: not a file of weights ({error})") from None
