"""Files: right ones are read, wrong ones are named in one line; nothing is lost in writing."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.files import read_json, read_npz, typed_fields, write_npz


@dataclass
class Thing:
    name: str
    sizes: tuple[float, ...] = ()
    count: int = 0
    weight: float | None = None


def test_values_become_their_types() -> None:
    row = {"name": "a", "sizes": [1, 2.5], "weight": None}
    assert typed_fields(row, Thing, where="x") == {"name": "a", "sizes": (1.0, 2.5), "weight": None}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], "json object"),
        ({}, "no 'name'"),
        ({"name": 1}, "a text"),
        ({"name": "a", "size": 1}, "unknown 'size'"),
        ({"name": "a", "count": 1.5}, "whole number"),
        ({"name": "a", "count": True}, "whole number"),
        ({"name": "a", "sizes": [float("nan")]}, "finite"),
        ({"name": "a", "sizes": 1}, "a list"),
    ],
)
def test_wrong_values_are_named(row: object, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        typed_fields(row, Thing, where="things.json: thing 1")
    assert str(error.value).startswith("things.json: thing 1")


@pytest.mark.parametrize("text", [None, "", "{", "\x00"])
def test_no_json_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json.*a thing is needed"):
        read_json(path, what="a thing")


ARRAYS = {
    "poses": np.arange(12, dtype=np.float32).reshape(4, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "name": np.array("neutral"),
    "none": np.zeros((0, 5)),
}


def npy(descr: str = "<f4", shape: tuple[int, ...] = (2,), data: bytes = bytes(8)) -> bytes:
    """Return an npy file with any header."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zipped(
    name: str = "poses.npy", content: bytes = b"", method: int = zipfile.ZIP_STORED
) -> bytes:
    """Return a zip file of one member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, content or npy())
    return stream.getvalue()


def patched(archive: bytes, local: int, central: int, value: bytes) -> bytes:
    """Return a zip file of one member with other bytes in both of its headers."""
    start = archive.index(b"PK\x01\x02") + central
    archive = archive[:local] + value + archive[local + len(value) :]
    return archive[:start] + value + archive[start + len(value) :]


def bad_deflate() -> bytes:
    archive = zipped(content=npy(shape=(100,), data=os.urandom(400)), method=zipfile.ZIP_DEFLATED)
    return archive[:60] + bytes([255] * 200) + archive[260:]


def pickled() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, poses=np.array([{"a": 1}], object))
    return stream.getvalue()


def single_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


BAD_NPZ: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not an npz file"),
    "text": (lambda: b"0.5 0.5\n" * 100, "not an npz file"),
    "cut": (lambda: zipped()[:-30], "not an npz file, or damaged"),
    "bad deflate": (bad_deflate, "damaged"),
    "encrypted": (lambda: patched(zipped(), 6, 8, b"\x01\x00"), "encrypted"),
    "compression": (lambda: patched(zipped(), 8, 10, b"\x63\x00"), "damaged.*compression"),
    "bad checksum": (lambda: patched(zipped(), 14, 16, b"\x01\x02\x03\x04"), "CRC"),
    "60 TiB": (lambda: zipped(content=npy("<f4", (2**44,))), "declares.*GiB"),
    "overflow": (lambda: zipped(content=npy("<f4", (2**32, 2**32))), "declares"),
    "negative": (lambda: zipped(content=npy("<f4", (-1, -2))), "declares"),
    "nothing, often": (lambda: zipped(content=npy("|S0", (2**50,))), "declares"),
    "shape of texts": (lambda: zipped(content=npy("<f4", ("2",))), "damaged"),  # type: ignore[arg-type]
    "bad type": (lambda: zipped(content=npy("hello")), "damaged"),
    "fields": (lambda: zipped(content=npy("V8", (1,))), "numbers or texts"),
    "header": (lambda: zipped(content=npy()[:10] + b"(" * 60 + b"x" * 60), "damaged"),
    "version": (lambda: zipped(content=b"\x93NUMPY\x09\x00" + npy()[8:]), "version"),
    "no npy": (lambda: zipped(content=b"hello"), "no npy array"),
    "pickled": (pickled, "pickled"),
    "single array": (single_array, "a single array"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_unsuitable_npz_is_one_line(tmp_path: Path, case: str) -> None:
    make, words = BAD_NPZ[case]
    path = tmp_path / "a.npz"
    path.write_bytes(make())
    with pytest.raises(DataError, match=words) as error:
        read_npz(path, what="a file of motion")
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith("a file of motion is needed")


def test_declared_zip_sizes_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speech2video.util.files.MAX_NPZ_BYTES", 10_000)
    path = tmp_path / "a.npz"
    path.write_bytes(patched(zipped(), 22, 24, struct.pack("<I", 2**32 - 2)))
    with pytest.raises(DataError, match=r"4\.0 GiB of arrays"):
        read_npz(path, what="a thing")
    bomb = {"zeros": np.zeros(50_000, np.uint8)}
    write_npz(path, bomb)
    with pytest.raises(DataError, match="of arrays"):
        read_npz(path, what="a thing")


def test_npz_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, ARRAYS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "no array")
        archive.writestr("__MACOSX/._poses.npy", "no array")
    read = read_npz(path, what="a thing")
    with np.load(path) as file:
        expected = {name: file[name] for name in ARRAYS}
    assert list(read) == list(ARRAYS)
    for name, array in read.items():
        assert array.dtype == expected[name].dtype
        assert array.flags.f_contiguous == expected[name].flags.f_contiguous
        np.testing.assert_array_equal(array, expected[name])


def test_pickled_arrays_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(2), b=np.array([None], object))
    assert list(read_npz(path, what="a thing", skip_pickled=True)) == ["a"]


@pytest.mark.parametrize("name", ["none.npz", "folder", "pipe", "/dev/zero", "a\0b"])
def test_only_regular_files_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for read in (read_npz, read_json):
        with pytest.raises(DataError, match="a thing is needed"):
            read(tmp_path / name, what="a thing")
