"""Files: right ones are read, wrong ones are named in one line; nothing is lost in writing."""

import io
import os
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from speech2video.util import files
from speech2video.util.errors import DataError
from speech2video.util.files import (
    atomic_write,
    check_output,
    check_output_folder,
    folder_lock,
    read_json,
    read_npz,
    typed_fields,
    write_npz,
    write_text,
)


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


def child(path: Path, function: str = "atomic_write") -> "subprocess.Popen[str]":
    """Start a process that writes a file until it is killed, and wait until it is at it."""
    code = (
        "import sys, time; from pathlib import Path\n"
        f"from speech2video.util.files import {function}\n"
        f"with {function}(Path({str(path)!r})): print('at it', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "at it\n"
    return process


def test_partials_of_killed_processes_are_swept_and_others_kept(tmp_path: Path) -> None:
    killed, alive = child(tmp_path / "a.txt"), child(tmp_path / "b.txt")
    (tmp_path / ".mine.partial.txt").touch()
    try:
        killed.kill()
        killed.wait()
        write_text(tmp_path / "c.txt", "c")
        names = sorted(path.name for path in tmp_path.iterdir())
        assert len(names) == 3
        assert not [name for name in names if name.startswith(".a.")]
        assert [name for name in names if name.startswith(".b.")]
    finally:
        alive.kill()
        alive.wait()


def test_old_partials_are_swept_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    old, new = (tmp_path / f".{name}.0123456789ab.partial.txt" for name in ("old", "new"))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    write_text(tmp_path / "c.txt", "c")
    assert not old.exists()
    assert new.exists()


def test_partial_names_are_random_and_no_link_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, tokens = tmp_path / "victim", iter(["0" * 12, "1" * 12])
    victim.write_text("precious")
    (tmp_path / f".a.{'0' * 12}.partial.txt").symlink_to(victim)
    with atomic_write(tmp_path / "a.txt") as one, atomic_write(tmp_path / "a.txt") as two:
        assert one != two
        assert one.suffix == two.suffix == ".txt"
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: next(tokens))
    write_text(tmp_path / "a.txt", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "a.txt").read_text() == "new"


def test_links_are_written_through_and_permissions_kept(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    write_text(link, "first")
    assert link.is_symlink()
    target.chmod(0o640)
    write_text(link, "second")
    assert target.read_text() == "second"
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_has_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    source, path = tmp_path / "a.mp4", tmp_path / "b" / "c.mp4"
    source.write_bytes(b"frames")

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(files.os, "link", refuse)
    files.link_or_copy(source, path)
    assert path.read_bytes() == b"frames" and path.samefile(source) == links
    assert [one.name for one in path.parent.iterdir()] == ["c.mp4"]


def test_new_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "a")
        with atomic_write(tmp_path / "b.bin") as path:
            path.unlink()  # as safetensors does
            os.close(os.open(path, os.O_CREAT, 0o600))
    finally:
        os.umask(before)
    for name in ("a.txt", "b.bin"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640


def test_longest_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 125 + ".txt")
    write_text(path, "a")
    assert path.read_text() == "a"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "a folder; the name of a file is needed"),
        ("pipe", "a pipe; the name"),
        ("link", "a pipe; the name"),
        ("/dev/null", "a device; the name"),
        ("socket", "a socket; the name"),
        ("file/a.txt", "no folder"),
        ("loop", "cannot be written"),
        ("a\0b", "cannot be written"),
        ("x" * 300, "cannot be written"),
    ],
)
def test_outputs_that_are_no_regular_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for write in (check_output, partial(write_text, text="a")):
            with pytest.raises(DataError, match=words):
                write(Path(name))
    assert Path("pipe").is_fifo()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_places_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "protected.txt").touch(mode=0o400)
    for path in (tmp_path / "locked" / "new" / "a.txt", tmp_path / "protected.txt"):
        with pytest.raises(DataError, match="Permission denied"):
            check_output(path)
    with pytest.raises(DataError, match="Permission denied"):
        check_output_folder(tmp_path / "locked" / "new")


def test_folder_lock_says_who_holds_it_and_ends_with_its_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    other = child(folder, "folder_lock")
    try:
        holder = rf"process {other.pid} on .* \(since 20.*writes to it"
        with pytest.raises(DataError, match=holder), folder_lock(folder):
            pass
    finally:
        other.kill()
        other.wait()
    with folder_lock(folder), pytest.raises(DataError, match=str(os.getpid())):
        (folder / "file").touch()
        with folder_lock(folder):
            pass
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_folders_that_stay_empty_are_not_left(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())
