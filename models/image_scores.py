"""Scores of generated pictures and videos from what networks make of them (`image_networks`)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.models.image_networks import INCEPTION_SCORES, Features, batches, load_script
from speech2video.models.networks.crops import crop
from speech2video.util.errors import DataError
from speech2video.util.metrics.frechet import frechet_distance
from speech2video.util.metrics.image import torchmetrics

KID_SUBSET, KID_SUBSETS = 1000, 100  # torchmetrics' own
IS_SPLITS = 10


class FaceNetwork:
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


def cut_out(frames_N3HW: np.ndarray, boxes_N4: np.ndarray, size: int) -> np.ndarray:
    """Return the boxes (M, 3, size, size) uint8 of the M frames that have one; NaN is none."""
    there_N = np.isfinite(boxes_N4).all(1)
    pictures = torch.from_numpy(np.ascontiguousarray(frames_N3HW[there_N])).float()
    boxes = torch.from_numpy(np.ascontiguousarray(boxes_N4[there_N], np.float32))
    cut = crop(pictures, boxes, size) if there_N.any() else torch.zeros(0, 3, size, size)
    return cut.round().clamp(0, 255).byte().numpy()
