"""A user's own network: ONNX, which only computes, or TorchScript, which can do anything.

TorchScript is a program: loading it or calling it may write files and more. It is loaded only where
the user says that its source is trusted.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from speech2video.util.errors import DataError

TRUST = "if its source is trusted, give --trust_torchscript"
ExternalNetwork = Callable[[Tensor], Tensor]


def load_external_network(
    path: Path, *, device: torch.device | str = "cpu", trusted: bool = False
) -> ExternalNetwork:
    """Return a network of a file: ONNX (.onnx), run by OpenCV, or else TorchScript.

    Args:
        path: its file.
        device: where TorchScript computes, and where the outputs lie.
        trusted: whether TorchScript may be loaded.

    Raises:
        DataError: no such file, no network, or TorchScript that is not trusted.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; ONNX (.onnx) or TorchScript (.pt) is needed")
    if path.suffix.lower() == ".onnx":
        return _load_onnx(path, device)
    return load_torchscript(path, device=device, trusted=trusted)


def load_torchscript(
    path: Path, *, device: torch.device | str = "cpu", trusted: bool = False
) -> torch.jit.ScriptModule:
    """Return a TorchScript network in evaluation mode; raises `DataError` as above."""
    if not trusted:
        raise DataError(
            f"{path}: TorchScript can run any code, and ONNX (.onnx) cannot, and is needed; {TRUST}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather see torch.export
        try:
            return torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DataError(f"{path}: not readable as TorchScript ({reason})") from None


def _load_onnx(path: Path, device: torch.device | str) -> ExternalNetwork:
    """Return an ONNX network, run by OpenCV one image at a time, as most are exported."""
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise DataError(f"{path}: not readable as ONNX ({error.err})") from None

    def run(images_N3HW: Tensor) -> Tensor:
        vectors = []
        for image in images_N3HW.cpu().numpy():
            network.setInput(np.ascontiguousarray(image[None]))
            vectors.append(network.forward().reshape(1, -1))
        return torch.from_numpy(np.concatenate(vectors)).to(device)

    return run
