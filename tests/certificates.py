"""Certificates for tests of signing, made anew: a signer's, and that of its issuer."""

import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ORGANISATION = "A test"


def write_credentials(folder: Path, key: Any = None) -> dict[str, Path]:
    """Write a chain of certificates and its key; return them as options."""
    key, issuer = key or ec.generate_private_key(ec.SECP256R1()), _new_key()
    chain = _certificate("signer", key.public_key(), issuer) + _certificate("issuer", None, issuer)
    paths = {"c2pa_certificate": folder / "chain.pem", "c2pa_key": folder / "key.pem"}
    paths["c2pa_certificate"].write_bytes(chain)
    paths["c2pa_key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _certificate(name: str, key: Any, issuer: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate as PEM; without a key the issuer's own."""
    is_issuer, key = key is None, key or issuer.public_key()
    now = datetime.datetime.now(datetime.timezone.utc)
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage = dict.fromkeys((*unused, "encipher_only", "decipher_only"), False)
    usage |= {"key_cert_sign": is_issuer, "crl_sign": is_issuer, "digital_signature": not is_issuer}
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("issuer"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
        .add_extension(x509.KeyUsage(**usage), critical=True)
    )
    if not is_issuer:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(purpose, critical=False)
    return made.sign(issuer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION)
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])
