"""Signed videos: what the manifest says, that changes show, and what cannot sign."""

import json
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.video.content_credentials import GENERATED_BY_NETWORKS, VideoSigner
from speech2video.util.video.reader import read_frames
from speech2video.util.video.writer import SYNTHETIC, write_video
from tests.util.video.test_video import blocks, noise

c2pa = pytest.importorskip("c2pa", reason="the extra `c2pa` is not installed")
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa  # noqa: E402

from tests.certificates import ORGANISATION, write_credentials  # noqa: E402

KEYS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


def report(path: Path) -> dict[str, Any]:
    """Return what a reader of C2PA says of a file."""
    with c2pa.Reader(str(path)) as reader:
        return json.loads(reader.json())


@pytest.mark.parametrize("kind", KEYS)
def test_a_signed_video_says_what_it_is_and_shows_changes(tmp_path: Path, kind: str) -> None:
    signer = VideoSigner(*write_credentials(tmp_path, KEYS[kind]()).values())
    path, audio = tmp_path / "a.mp4", noise(tmp_path / "a.wav", 1.0)
    frames = [blocks(number) for number in range(25)]
    about = {"comment": "demo: pose2video 123; seed 1"}
    write_video(tmp_path / "plain.mp4", frames, audio=audio, metadata=about)
    write_video(path, frames, audio=audio, metadata=about, signer=signer)
    seen = [np.stack([*read_frames(one)]) for one in (path, tmp_path / "plain.mp4")]
    assert np.array_equal(*seen)
    with av.open(path) as container:
        assert container.metadata["comment"].startswith(SYNTHETIC)
    found = report(path)
    assert found["validation_state"] == "Valid"  # signed by an authority that nothing trusts
    assert [one["code"] for one in found["validation_status"]] == ["signingCredential.untrusted"]
    manifest = found["manifests"][found["active_manifest"]]
    assert manifest["title"] == "a.mp4" and manifest["signature_info"]["issuer"] == ORGANISATION
    (actions,) = [one for one in manifest["assertions"] if "actions" in one["label"]]
    (action,) = actions["data"]["actions"]
    assert action["digitalSourceType"] == GENERATED_BY_NETWORKS
    assert action["softwareAgent"]["name"] == "speech2video"
    assert action["description"].endswith("demo: pose2video 123; seed 1")
    content = bytearray(path.read_bytes())
    content[content.index(b"mdat") + 500] ^= 1
    path.write_bytes(content)
    assert report(path)["validation_state"] == "Invalid"


def test_mov_is_signed_and_other_kinds_get_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = VideoSigner(*write_credentials(tmp_path).values())
    write_video(tmp_path / "a.mov", [blocks()], signer=signer)
    assert report(tmp_path / "a.mov")["validation_state"] == "Valid"
    assert capsys.readouterr().err == ""
    write_video(tmp_path / "a.webm", [blocks()], signer=signer)
    assert "without a C2PA manifest" in capsys.readouterr().err
    with pytest.raises(DataError, match="not written in fragments"):
        write_video(tmp_path / "b.mp4", [blocks()], signer=signer, fragmented=True)
    assert not [*tmp_path.glob("b*"), *tmp_path.glob(".*")]


def test_what_cannot_sign_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    chain, key = write_credentials(tmp_path).values()
    other_key = write_credentials(tmp_path / "other")["c2pa_key"]
    issuer = tmp_path / "issuer.pem"
    issuer.write_text("-----BEGIN" + chain.read_text().rpartition("-----BEGIN")[2])
    (tmp_path / "dsa").mkdir()
    dsa_key = write_credentials(tmp_path / "dsa", dsa.generate_private_key(1024))["c2pa_key"]
    cases = [
        (tmp_path / "none.pem", key, "no such file"),
        (chain, tmp_path / "none.pem", "no such file"),
        (chain, chain, "not a private key"),
        (chain, other_key, "cannot sign"),
        (chain, dsa_key, "Ed25519 or RSA is needed"),
        (issuer, key, "cannot sign"),
    ]
    broken = tmp_path / "broken.pem"
    broken.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    cases += [(broken, key, "cannot sign"), (tmp_path, key, "a folder")]
    for certificate, private, line in cases:
        with pytest.raises(DataError, match=line) as error:
            VideoSigner(certificate, private)
        assert "\n" not in str(error.value)


def test_without_the_package_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(DataError, match="signing needs c2pa-python"):
        VideoSigner(*write_credentials(tmp_path).values())
