"""C2PA manifests: signed statements in a video that it is generated, by what, and unchanged since.

Needs c2pa-python (the extra `c2pa`). No other host is asked for anything: the signature has no time
stamp of an authority.
"""

import io
import os
import secrets
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.files import check_file

TOOL = "speech2video"
GENERATED_BY_NETWORKS = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's term
)
MAX_PEM = 100_000  # bytes of a certificate chain or a key
INSTALL = "signing needs c2pa-python: pip install 'speech2video[c2pa]' brings it"


class VideoSigner:
    """Signs videos with a certificate, which is tried out first.

    Args:
        certificate: PEM: of the signer, then of its issuers. It is for signing documents or e-mail,
            names an organisation, and is not signed by itself.
        key: PEM, without a password: elliptic curve (P-256, P-384, P-521), Ed25519 or RSA.

    Raises:
        DataError: c2pa-python is missing, or files that cannot be read or used to sign.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        try:
            import c2pa
        except ImportError:
            raise DataError(INSTALL) from None
        self._c2pa: Any = c2pa
        self._where = f"{certificate} and {key}"
        self._certificate = _read_pem(certificate, what="a chain of certificates (PEM)")
        self._key = _read_pem(key, what="a private key (PEM)")
        self._algorithm = _algorithm(self._key, key)
        _, image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))
        self._sign("image/png", io.BytesIO(image.tobytes()), io.BytesIO(), "trial", "")

    def sign(self, path: Path, *, title: str, description: str) -> None:
        """Add a manifest to an mp4 or mov, in place; raises `DataError` where that fails."""
        kind = "video/quicktime" if path.suffix.lower() == ".mov" else "video/mp4"
        signed = path.with_name(f"{path.stem}.{secrets.token_hex(4)}{path.suffix}")
        try:
            with path.open("rb") as source, signed.open("w+b") as target:
                self._sign(kind, source, target, title, description)
            os.replace(signed, path)
        finally:
            signed.unlink(missing_ok=True)

    def _sign(self, kind: str, source: Any, target: Any, title: str, description: str) -> None:
        action = {
            "action": "c2pa.created",
            "digitalSourceType": GENERATED_BY_NETWORKS,
            "softwareAgent": {"name": TOOL},
            "description": description,
        }
        manifest = {
            "claim_generator_info": [{"name": TOOL}],
            "title": title,
            "format": kind,
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
        }
        c2pa = self._c2pa
        info = c2pa.C2paSignerInfo(self._algorithm, self._certificate, self._key, None)
        try:
            with c2pa.Signer.from_info(info) as signer, c2pa.Builder(manifest) as builder:
                builder.sign(signer, kind, source, target)
        except c2pa.C2paError as error:
            raise DataError(f"{self._where}: cannot sign ({error})") from None


def _read_pem(path: Path, *, what: str) -> bytes:
    check_file(path, what=what)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PEM + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {what} is needed") from None
    if b"-----BEGIN" not in content or b"\0" in content or len(content) > MAX_PEM:
        raise DataError(f"{path}: {what} is needed")
    return content


def _algorithm(content: bytes, path: Path) -> str:
    """Return C2PA's name of the algorithm that a private key signs with."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DataError(f"{path}: not a private key without password ({error})") from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"secp384r1": "es384", "secp521r1": "es512"}.get(key.curve.name, "es256")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise DataError(f"{path}: a key of an elliptic curve, Ed25519 or RSA is needed")
