"""Networks that know faces and teach encoders of speech: who it is, how they feel, how lips stand.

Small ones are trained here, on the training split's labels and landmarks, in the first stage of a
run; or a user gives a face-recognition and an expression network of their own, as TorchScript or
ONNX. They are never needed in use: a run keeps its own for going on, no shipped checkpoint has any.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.models.pose2video.discriminators import crop
from speech2video.models.speech2face.encoders import IDENTITY
from speech2video.util.errors import DataError

SIDE, MOUTH_SIDE = 64, 32  # pixels a side that the small ones see, of the face and of the mouth
WIDTHS, MOUTH_WIDTHS, GROUPS = (24, 48, 96, 128), (24, 48, 64), 8
LOGIT_SCALE = 16.0  # by which cosines become logits (Wang et al., NormFace, 2017)
EXTERNAL_SIDE = 112  # pixels a side that a user's networks see, unless they say otherwise

FaceModel = Callable[[Tensor], Tensor]


class FaceTeachers(nn.Module):
    """The small ones: identity (with its classifier), emotion and lips, a network each."""

    def __init__(self, *, speakers: int, lips: int) -> None:
        super().__init__()
        self.identity = _network(WIDTHS, SIDE, IDENTITY)
        self.emotion = _network(WIDTHS, SIDE, len(EMOTIONS))
        self.lips = _network(MOUTH_WIDTHS, MOUTH_SIDE, lips)
        self.people = nn.Parameter(torch.randn(speakers, IDENTITY))

    def forward(self, frames_N3HW: Tensor, boxes_N4: Tensor) -> dict[str, Tensor]:
        """Return what there is to learn from labels: logits "speaker", "emotion"; numbers "lips".

        Frames are -1..1, boxes around their mouths in pixels.
        """
        faces = resize_faces(frames_N3HW, SIDE)
        identity_ND = F.normalize(self.identity(faces), dim=1)
        return {
            "speaker": self.classify_speakers(identity_ND),
            "emotion": self.emotion(faces),
            "lips": self.read_lips(frames_N3HW, boxes_N4),
        }

    def recognise(self, frames_N3HW: Tensor) -> Tensor:
        """Return identities (N, 128), unit vectors."""
        return F.normalize(self.identity(resize_faces(frames_N3HW, SIDE)), dim=1)

    def classify_speakers(self, identity_ND: Tensor) -> Tensor:
        """Return logits (N, S) of the people trained on, of unit vectors."""
        return LOGIT_SCALE * identity_ND @ F.normalize(self.people, dim=1).T

    def feel(self, frames_N3HW: Tensor) -> Tensor:
        """Return emotions' logits (N, 8)."""
        return self.emotion(resize_faces(frames_N3HW, SIDE))

    def read_lips(self, frames_N3HW: Tensor, boxes_N4: Tensor) -> Tensor:
        """Return lips (N, L), in deviations, of frames with boxes (N, 4) around their mouths."""
        return self.lips(crop(frames_N3HW, boxes_N4, MOUTH_SIDE))


class ExternalTeacher:
    """A user's network, TorchScript (.pt) or ONNX (.onnx); it looks, and learns nothing.

    Faces go in as (N, 3, S, S) RGB -1..1 and vectors (N, D) come out.

    Args:
        path: its file.
        side: S.
        classes: of an expression network, the emotion of each output; others than `EMOTIONS` are
            left out. None for a face-recognition network, whose vectors of any D are brought to
            128 numbers by a fixed random projection, which keeps angles about as they are
            (Johnson and Lindenstrauss 1984).

    Raises:
        DataError: no such file, no network, or one that gives something else.
    """

    def __init__(
        self,
        path: Path,
        *,
        side: int = EXTERNAL_SIDE,
        classes: Sequence[str] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.path, self.side, self.classes = path, side, classes
        self._look = _load(path, device)
        size = self._vectors(torch.zeros(1, 3, side, side, device=device)).shape[1]
        if classes is not None and size != len(classes):
            raise DataError(f"{path}: {size} classes; {len(classes)} are named")
        draw = torch.Generator().manual_seed(0)
        self._projection_DI = torch.randn(size, IDENTITY, generator=draw).to(device)

    @torch.no_grad()
    def __call__(self, frames_N3HW: Tensor) -> Tensor:
        """Return identities (N, 128), unit vectors, or emotions' logits (N, 8)."""
        vectors_ND = self._vectors(resize_faces(frames_N3HW.float(), self.side))
        if self.classes is None:
            return F.normalize(F.normalize(vectors_ND, dim=1) @ self._projection_DI, dim=1)
        logits_N8 = vectors_ND.new_full((len(vectors_ND), len(EMOTIONS)), -torch.inf)
        for number, name in enumerate(self.classes):
            if name in EMOTIONS:
                logits_N8[:, EMOTIONS.index(name)] = vectors_ND[:, number]
        least_N1 = vectors_ND.amin(1, keepdim=True)  # what it does not know is never likely
        return torch.where(logits_N8.isfinite(), logits_N8, least_N1)

    def _vectors(self, faces_N3SS: Tensor) -> Tensor:
        try:
            vectors = self._look(faces_N3SS)
        except (RuntimeError, cv2.error, TypeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise DataError(
                f"{self.path}: takes no faces (N, 3, {self.side}, {self.side}) ({reason})"
            ) from None
        if not isinstance(vectors, Tensor) or vectors.ndim != 2 or len(vectors) != len(faces_N3SS):
            seen = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise DataError(f"{self.path}: gives {seen}; vectors (N, D) are needed")
        return vectors


def resize_faces(pictures_N3HW: Tensor, side: int) -> Tensor:
    """Return pictures of `side` pixels a side."""
    if pictures_N3HW.shape[-1] == side:
        return pictures_N3HW
    smaller = pictures_N3HW.shape[-1] % side == 0
    if smaller:
        return F.avg_pool2d(pictures_N3HW, pictures_N3HW.shape[-1] // side)
    return F.interpolate(pictures_N3HW, (side, side), mode="bilinear", antialias=True)


def _network(widths: Sequence[int], side: int, outputs: int) -> nn.Sequential:
    layers, narrow = [], 3
    for wide in widths:
        layers += [nn.Conv2d(narrow, wide, 3, 2, 1), nn.GroupNorm(GROUPS, wide), nn.ReLU()]
        narrow = wide
    left = side >> len(widths)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(narrow * left * left, outputs))


def _load(path: Path, device: torch.device | str) -> FaceModel:
    if not path.is_file():
        raise DataError(f"{path}: no such file; TorchScript (.pt) or ONNX (.onnx) is needed")
    if path.suffix.lower() == ".onnx":
        return _onnx(path, device)
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: not readable as TorchScript ({reason})") from None


def _onnx(path: Path, device: torch.device | str) -> FaceModel:
    """Return an ONNX network, run by OpenCV one face at a time, as most are exported."""
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise DataError(f"{path}: not readable as ONNX ({error.err})") from None

    def look(faces_N3SS: Tensor) -> Tensor:
        vectors = []
        for face in faces_N3SS.cpu().numpy():
            network.setInput(np.ascontiguousarray(face[None]))
            vectors.append(network.forward().reshape(1, -1))
        return torch.from_numpy(np.concatenate(vectors)).to(device)

    return look
