"""Teachers of the speech encoders: networks that see identity, emotion and lip shape in faces.

Small ones are trained in the first stage of a run, on the training split's labels and landmarks.
In place of them a user may give a face-recognition and an expression network, as ONNX or
TorchScript. Teachers are needed in training only; no shipped checkpoint contains any.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.models.external_network import ExternalNetwork, load_external_network
from speech2video.models.pose2video.discriminators import crop
from speech2video.models.speech2face.encoders import IDENTITY_DIM, RGB, conv_layers
from speech2video.util.errors import DataError

SIDE, MOUTH_SIDE = 64, 32  # pixels a side of the small ones' inputs, of face and mouth
WIDTHS, MOUTH_WIDTHS = (24, 48, 96, 128), (24, 48, 64)
LOGIT_SCALE = 16.0  # from cosines to logits (Wang et al., NormFace, 2017)
EMOTION_TEMPERATURE = 2.0  # of soft emotion targets (Albanie et al. 2018)


class FaceTeachers(nn.Module):
    """Identity (with its classifier), emotion and lip networks.

    Args:
        speakers: of the training data.
        lips: numbers of a lip shape.
        external: networks to distil from in place of those trained here, "identity", "emotion".
    """

    def __init__(
        self, *, speakers: int, lips: int, external: Mapping[str, ExternalNetwork] | None = None
    ) -> None:
        super().__init__()
        self.external = dict(external or {})
        self.identity = _network(WIDTHS, SIDE, IDENTITY_DIM)
        self.emotion = _network(WIDTHS, SIDE, len(EMOTIONS))
        self.lips = _network(MOUTH_WIDTHS, MOUTH_SIDE, lips)
        self.speakers = nn.Parameter(torch.randn(speakers, IDENTITY_DIM))

    def forward(self, frames_N3HW: Tensor, boxes_N4: Tensor) -> dict[str, Tensor]:
        """Return "speaker" and "emotion" logits and "lips" of frames -1..1 with mouth boxes."""
        return {
            "speaker": self.classify_speaker(self.embed_identity(frames_N3HW)),
            "emotion": self.classify_emotion(frames_N3HW),
            "lips": self.lip_shape(frames_N3HW, boxes_N4),
        }

    def embed_identity(self, frames_N3HW: Tensor) -> Tensor:
        """Return identities (N, 128), unit vectors."""
        return F.normalize(self.identity(resize_faces(frames_N3HW, SIDE)), dim=1)

    def classify_speaker(self, identity_ND: Tensor) -> Tensor:
        """Return logits (N, P) of the training speakers, of unit vectors."""
        return LOGIT_SCALE * identity_ND @ F.normalize(self.speakers, dim=1).T

    def classify_emotion(self, frames_N3HW: Tensor) -> Tensor:
        """Return emotion logits (N, 8)."""
        return self.emotion(resize_faces(frames_N3HW, SIDE))

    def lip_shape(self, frames_N3HW: Tensor, boxes_N4: Tensor) -> Tensor:
        """Return standardised lip shapes (N, L) of frames with mouth boxes (N, 4) in pixels."""
        return self.lips(crop(frames_N3HW, boxes_N4, MOUTH_SIDE))

    def target_identity(self, frames_N3HW: Tensor) -> Tensor:
        """Return identities (N, 128) to distil: the external network's where there is one."""
        return self.external.get("identity", self.embed_identity)(frames_N3HW)

    def target_emotion(self, frames_N3HW: Tensor) -> Tensor:
        """Return emotion logits (N, 8) to distil: the external network's where there is one."""
        return self.external.get("emotion", self.classify_emotion)(frames_N3HW)


class ExternalTeacher:
    """A user's frozen network, ONNX (.onnx) or TorchScript (.pt).

    It maps faces (N, 3, S, S) RGB -1..1 to vectors (N, D).

    Args:
        path: its file.
        side: S.
        classes: of an expression network, the emotion of each output; others than `EMOTIONS` are
            left out. None for a face-recognition network, whose vectors a fixed random projection
            brings to 128 numbers, with nearly the same angles (Johnson and Lindenstrauss 1984).
        trusted: whether TorchScript, which can run code, may be loaded.

    Raises:
        DataError: no such file, no network, or one with other outputs.
    """

    def __init__(
        self,
        path: Path,
        *,
        side: int = 112,
        classes: Sequence[str] | None = None,
        device: torch.device | str = "cpu",
        trusted: bool = False,
    ) -> None:
        self.path, self.side, self.classes = path, side, classes
        self._network = load_external_network(path, device=device, trusted=trusted)
        size = self._vectors(torch.zeros(1, 3, side, side, device=device)).shape[1]
        if classes is not None and size != len(classes):
            raise DataError(f"{path}: {size} classes; {len(classes)} are named")
        rng = torch.Generator().manual_seed(0)
        self._projection_DI = torch.randn(size, IDENTITY_DIM, generator=rng).to(device)

    @torch.no_grad()
    def __call__(self, frames_N3HW: Tensor) -> Tensor:
        """Return identities (N, 128), unit vectors, or emotion logits (N, 8)."""
        vectors_ND = self._vectors(resize_faces(frames_N3HW.float(), self.side))
        if self.classes is None:
            return F.normalize(F.normalize(vectors_ND, dim=1) @ self._projection_DI, dim=1)
        # an emotion without an output is as unlikely as the least likely class
        logits_N8 = vectors_ND.amin(1, keepdim=True).repeat(1, len(EMOTIONS))
        for name, logit_N in zip(self.classes, vectors_ND.T, strict=True):
            if name in EMOTIONS:
                logits_N8[:, EMOTIONS.index(name)] = logit_N
        return logits_N8

    def _vectors(self, faces_N3SS: Tensor) -> Tensor:
        try:
            vectors = self._network(faces_N3SS)
        except (RuntimeError, cv2.error, TypeError) as error:
            reason = str(error).strip().splitlines()[-1]
            shape = f"(N, 3, {self.side}, {self.side})"
            raise DataError(f"{self.path}: takes no faces {shape} ({reason})") from None
        if not isinstance(vectors, Tensor) or vectors.ndim != 2 or len(vectors) != len(faces_N3SS):
            found = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise DataError(f"{self.path}: gives {found}; vectors (N, D) are needed")
        return vectors


def resize_faces(images_N3HW: Tensor, side: int) -> Tensor:
    """Return images of `side` pixels a side."""
    size = images_N3HW.shape[-1]
    if size == side:
        return images_N3HW
    if size % side == 0:
        return F.avg_pool2d(images_N3HW, size // side)
    return F.interpolate(images_N3HW, (side, side), mode="bilinear", antialias=True)


def _network(widths: Sequence[int], side: int, outputs: int) -> nn.Sequential:
    features = widths[-1] * (side >> len(widths)) ** 2
    layers = conv_layers((RGB, *widths))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, outputs))
