"""Weights that come with torchvision: from a file, from what was downloaded once, or not at all.

What needs them says so in one line where there are none, and is left out; nothing takes its place.
"""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from speech2video.util import distributed
from speech2video.util.errors import DataError

TIMEOUT = 10.0  # seconds without an answer


def weights_at_hand(
    path: Path | None, url: Callable[[], str], *, use: str, network: str
) -> Path | None:
    """Return where a network's weights lie; None, and a line on stderr, where they do not.

    Under torchrun every process must call it; all or none get a path. The main process downloads.

    Args:
        path: a file of one's own, which is not looked at. None: what torchvision has downloaded,
            or can.
        url: of torchvision's weights; only called without a path.
        use: what is left out without them: "the perceptual loss".
        network: whose weights they are: "VGG19".
    """
    path, reason = (Path(path), "") if path is not None else _downloaded(url())
    if not distributed.largest(int(bool(reason))):
        return path
    if distributed.is_main():
        reason = reason or f"another process has no weights of {network}"
        print(f"without {use}: {reason}", file=sys.stderr)
    return None


def read_weights(path: Path, network: str) -> dict[str, Tensor]:
    """Return a file's tensors by name: safetensors, or a file of `torch.save`.

    Args:
        network: what the message says is needed: "torchvision's vgg19".

    Raises:
        DataError: missing, damaged, or with anything but tensors by name in it.
    """
    needed = f"{network} as safetensors, or as a file of plain tensors, is needed"
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {needed}") from None
    except Exception:  # there is no end to how reading a damaged pickle may fail
        raise DataError(f"{path}: not readable; {needed}") from None
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise DataError(f"{path}: no tensors by name; {needed}")
    return found


def _downloaded(url: str) -> tuple[Path, str]:
    """Return where torchvision keeps the weights, and why they are not there, "" if they are."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    with distributed.main_process_first():
        if path.is_file():
            return path, ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            check = path.stem.rpartition("-")[2]  # the name says how its SHA-256 begins
            with _timeout(TIMEOUT):
                watched = sys.stderr.isatty()
                torch.hub.download_url_to_file(url, str(path), check, progress=watched)
        except (OSError, HTTPException, RuntimeError) as error:
            return path, f"{path} is not there, and was not to be downloaded ({error})"
    return path, ""


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
