"""Write files atomically, and read json that users edit with one line on each mistake."""

import contextlib
import csv
import dataclasses
import errno
import glob
import io
import json
import math
import os
import re
import reprlib
import secrets
import shutil
import socket
import stat
import sys
import time
import types
import typing
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from speech2video.util.errors import DataError, note

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MAX_NPZ_BYTES = 2 * 2**30  # of all arrays of a file; hours of keypoints have less
MAX_NPZ_MEMBERS = 1000
_NPZ_EXPANSION = 4  # arrays of a larger file may have as many times its size
_MAX_NPY_HEADER = 2**16  # bytes
_NPY_MAGIC = b"\x93NUMPY"
_RESULTS = (".mp4", ".mov", ".mkv", ".webm", ".gif", ".apng", ".png", ".html")  # may be replaced
_PARTIAL = re.compile(r"\..*\.[0-9a-f]{12}\.partial(\.[^.]*)?")
_PARTIAL_STEM = 150  # bytes
_OLD_SECONDS = 24 * 3600
_swept: set[Path] = set()
NamedPath = tuple[str, Path]  # of an option, without dashes
_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "an object",
}


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces `path` on success, else is deleted.

    The folder is made if needed and written to at once, before hours of work for nothing. A link
    is written through to its target, and an existing file keeps its permissions. The temporary
    file has a random name and `path`'s suffix, since some writers depend on it, and is locked;
    those that killed processes left in the folder are deleted. Raises `DataError` if the file
    cannot be written there, or is a folder, a device or a pipe.
    """
    check_output(path)
    final = Path(os.path.realpath(path))
    with write_errors(path):
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        partial, descriptor = _create_partial(final)
    try:
        yield partial
        with write_errors(path):
            _set_permissions(partial, final, os.fstat(descriptor).st_mode)
            if fcntl is None:  # Windows cannot rename an open file
                os.close(descriptor)
            os.replace(partial, final)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.close(descriptor)


def partial_of(path: Path) -> Path | None:
    """Return the unfinished file of an `atomic_write` of a path; None where there is none."""
    final = Path(os.path.realpath(path))
    found = final.parent.glob(f"{glob.escape(f'.{_partial_stem(final)}.')}*")
    return next((one for one in found if _PARTIAL.fullmatch(one.name)), None)


def check_output(path: Path) -> None:
    """Raise `DataError` unless a file can be written at `path`; nothing is made or changed.

    An existing file must be regular and writable, a new one's nearest existing folder writable.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        with write_errors(path):
            _check_folder(Path(os.path.realpath(path)).parent)
        return
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be written ({_reason(error)})") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: {_file_kind(mode)}; the name of a file is needed")
    with write_errors(path):
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _check_folder(Path(os.path.realpath(path)).parent)


def check_output_folder(path: Path) -> None:
    """Raise `DataError` unless `path` is a writable folder, or can become one."""
    with write_errors(path):
        _check_folder(Path(os.path.realpath(path)))


def check_paths(
    inputs: Iterable[NamedPath], outputs: Iterable[NamedPath], folders: Iterable[NamedPath] = ()
) -> None:
    """Check a command's outputs before its work; nothing is made or changed.

    Links, hard links and other spellings of a path are seen through. An existing file in a folder
    that is read may be replaced only if its ending is that of results: videos, pages.

    Args:
        inputs: files and folders that are read, each with the name of its option.
        outputs: files to write.
        folders: folders to write to.

    Raises:
        DataError: an output is an input or another output, is no regular file, or cannot be
            written.
    """
    read = {key: name for name, path in inputs for key in _identities(path)}
    written: dict[Any, str] = {}
    for name, path in outputs:
        if name != "output" or not _is_empty_folder(path):  # of images, which video becomes there
            check_output(path)
        keys, parents = _identities(path), [_identities(parent) for parent in _parents(path)]
        if source := next((read[key] for key in keys if key in read), ""):
            raise DataError(f"--{name} {path}: --{source} is read from it; another name is needed")
        if twin := next((written[key] for key in keys if key in written), ""):
            raise DataError(f"--{name} {path}: --{twin} is written to it; another name is needed")
        if above := next((written[k] for keys in parents for k in keys if k in written), ""):
            raise DataError(f"--{name} {path}: it cannot be in --{above}, which is a file")
        source = next((read[key] for key in parents[0] if key in read), "") if parents else ""
        is_result = path.suffix.lower() in _RESULTS and path.stem != "video"
        if source and path.exists() and not is_result:
            raise DataError(
                f"--{name} {path}: --{source} is read from its folder; another name is needed"
            )
        written |= dict.fromkeys(keys, name)
    for name, path in folders:
        check_output_folder(path)
        if source := next((read[key] for key in _identities(path) if key in read), ""):
            raise DataError(
                f"--{name} {path}: --{source} is read from it; another folder is needed"
            )


def _identities(path: Path) -> list[Any]:
    """Return keys that only one file has: its real path, and its number if it exists."""
    try:
        real = os.path.realpath(path)
    except ValueError:
        raise DataError(f"{path}: no file can have this name") from None
    keys: list[Any] = [real.casefold() if sys.platform in ("darwin", "win32") else real]
    with contextlib.suppress(OSError, ValueError):
        info = path.stat()
        keys.append((info.st_dev, info.st_ino))
    return keys


def _is_empty_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not any(path.iterdir())
    except (OSError, ValueError):
        return False


def _parents(path: Path) -> Sequence[Path]:
    return Path(os.path.realpath(path)).parents


def _check_folder(folder: Path) -> None:
    """Raise `OSError` unless files can be made in a folder, or in the nearest one that exists."""
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _create_partial(final: Path) -> tuple[Path, int]:
    """Return a new, locked file next to the final one, and its descriptor."""
    stem = _partial_stem(final)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    while True:
        name = f".{stem}.{secrets.token_hex(6)}.partial{final.suffix}"
        partial = final.with_name(name)
        try:
            descriptor = os.open(partial, flags, 0o666)
        except FileExistsError:
            continue
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        if partial.exists():  # another process may have swept it before it was locked
            return partial, descriptor
        os.close(descriptor)


def _partial_stem(final: Path) -> str:
    return os.fsdecode(os.fsencode(final.stem)[:_PARTIAL_STEM])  # names have at most 255 bytes


def _sweep(folder: Path) -> None:
    """Delete what killed processes left in a folder; once in each process.

    Files that a living process writes are locked. Where locks do not work, old files are deleted.
    """
    if folder in _swept:
        return
    _swept.add(folder)
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _PARTIAL.fullmatch(entry.name)]
    for name in names:
        with contextlib.suppress(OSError):
            _remove_if_dead(folder / name)


def _remove_if_dead(partial: Path) -> None:
    descriptor = os.open(partial, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        if fcntl is None:
            raise OSError(errno.ENOTSUP, "")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink()  # while it is locked: a process that has just made it notices that
    except BlockingIOError:
        pass
    except OSError:  # no locks
        if time.time() - os.fstat(descriptor).st_mtime > _OLD_SECONDS:
            partial.unlink()
    finally:
        os.close(descriptor)


def _set_permissions(partial: Path, final: Path, mode: int) -> None:
    """Give a file the permissions and, if allowed, the owner of the one it replaces, else a mode.

    Some libraries (safetensors) make a file of their own, which only its owner may read.
    """
    with contextlib.suppress(FileNotFoundError):
        info = final.stat()
        mode = info.st_mode
        with contextlib.suppress(OSError, AttributeError):
            os.chown(partial, info.st_uid, info.st_gid)
    os.chmod(partial, stat.S_IMODE(mode))


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder, which is made if needed.

    The lock ends with its process, however that ends. Folders that stay empty are removed again.
    Raises `DataError` at once, which says who holds the folder, and where it cannot be written to.
    """
    real = Path(os.path.realpath(folder))
    made = [one for one in (real, *real.parents) if not one.exists()]
    with write_errors(folder):
        real.mkdir(parents=True, exist_ok=True)
    path, holder = real / ".lock", real / ".lock_holder"
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        who = "another process"
        with contextlib.suppress(OSError, ValueError):
            who = f"{holder.read_text(encoding='utf-8'):.200}"
        raise DataError(
            f"{folder}: {who} writes to it; wait for its end, or choose another"
        ) from None
    except (NotImplementedError, OSError) as error:
        with write_errors(folder):
            _check_folder(real)
        note(f"{folder}: no lock here ({_reason(error)}); a second run would disturb this one")
        yield
        return
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):
            text = f"process {os.getpid()} on {socket.gethostname()} (since {since})"
            holder.write_text(text, encoding="utf-8")
        yield
    finally:
        for file in (holder, path):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)  # a process that waits for it notices that
        lock.release()
        with contextlib.suppress(OSError):
            for one in made:
                one.rmdir()


@contextlib.contextmanager
def write_errors(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Turn errors of writing (no permission, full disk) into a `DataError` of one line.

    `also` are the exceptions of a library that does not raise the system's.
    """
    try:
        yield
    except (OSError, *also) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be written ({reason})") from None


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically. Raises `DataError` if it cannot be written."""
    with atomic_write(path) as partial, write_errors(path):
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Write a json file atomically. Raises `DataError` if it cannot be written."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # bytes of a file's name that are not UTF-8 become escapes, which are read back as they were
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed npz file atomically; raises `DataError` if it cannot be written."""
    with atomic_write(path) as partial, write_errors(path), open(partial, "wb") as stream:
        np.savez_compressed(stream, **dict[str, Any](arrays))


def link_or_copy(source: Path, path: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    with write_errors(path), atomic_write(path) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)


def check_file(path: Path, *, what: str) -> None:
    """Raise `DataError`, which says `what` is needed, where `path` is no regular file.

    Folders, devices, sockets and pipes are refused: reading them fails late, blocks or never ends.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        missing = isinstance(error, FileNotFoundError)
        reason = "no such file" if missing else f"cannot be read ({_reason(error)})"
        raise DataError(f"{path}: {reason}; {what} is needed") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: {_file_kind(mode)}, not a regular file; {what} is needed")


def read_npz(path: Path, *, what: str, skip_pickled: bool = False) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file, numbers and texts; nothing is ever unpickled.

    Sizes are checked before memory is taken: all arrays together may have `MAX_NPZ_BYTES`, or a
    few times the size of the file if that is more. Members that are no arrays and have another
    suffix than npy are ignored.

    Args:
        path: an untrusted file.
        what: what it should be, for error messages.
        skip_pickled: leave out arrays of Python objects, instead of refusing the file.

    Raises:
        DataError: no npz file, damaged, encrypted, too large, or with pickled arrays.
    """
    check_file(path, what=what)
    try:
        with path.open("rb") as file:
            if file.read(len(_NPY_MAGIC)) == _NPY_MAGIC:
                raise DataError("a single array (npy), no npz file of named arrays")
            with zipfile.ZipFile(file) as archive:
                return _read_members(archive, path.stat().st_size, skip_pickled)
    except DataError as error:
        reason = str(error)
    except zipfile.BadZipFile as error:
        reason = f"not an npz file, or damaged: {_reason(error)}"
    except Exception as error:  # decoders raise anything on damaged data, even RuntimeError
        reason = f"damaged, or not an npz file: {_reason(error)}"
    raise DataError(f"{path}: cannot be read ({reason}); {what} is needed") from None


def _read_members(
    archive: zipfile.ZipFile, file_size: int, skip_pickled: bool
) -> dict[str, np.ndarray]:
    infos = [info for info in archive.infolist() if not info.filename.startswith("__MACOSX/")]
    limit = max(MAX_NPZ_BYTES, _NPZ_EXPANSION * file_size)
    if len(infos) > MAX_NPZ_MEMBERS:
        raise DataError(f"{len(infos)} arrays; at most {MAX_NPZ_MEMBERS} are allowed")
    if (total := sum(info.file_size for info in infos)) > limit:
        raise DataError(f"{total / 2**30:,.1f} GiB of arrays; at most {limit / 2**30:.1f} GiB fit")
    arrays = {}
    for info in infos:
        if info.flag_bits & 1:
            raise DataError(f"{info.filename} is encrypted")
        with archive.open(info) as stream:
            head = stream.read(_MAX_NPY_HEADER)
        if not head.startswith(_NPY_MAGIC):
            if info.filename.endswith(".npy"):
                raise DataError(f"{info.filename} is no npy array")
            continue
        pickled = _check_header(io.BytesIO(head), info, limit)
        if pickled and not skip_pickled:
            raise DataError(f"{info.filename} is pickled, which may run code; plain arrays only")
        if not pickled:
            with archive.open(info) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
            if array.dtype.kind == "U":  # numbers beyond Unicode would end in a SystemError
                codes = np.frombuffer(array.tobytes(), array.dtype.str[0] + "u4")
                if codes.max(initial=0) > sys.maxunicode:
                    raise DataError(f"{info.filename} is no text")
            arrays[info.filename.removesuffix(".npy")] = array
    return arrays


def _check_header(stream: io.BytesIO, info: zipfile.ZipInfo, limit: int) -> bool:
    """Check an npy header's size and type; return whether the array is pickled."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):  # 3.0 is for fields with names
        raise DataError(f"{info.filename} is npy version {version[0]}; 1 or 2 is needed")
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        return True
    if dtype.kind not in "biufcSU":
        raise DataError(f"{info.filename} holds {dtype!s:.40}; numbers or texts are needed")
    size = math.prod(shape) * max(dtype.itemsize, 1)
    if min(shape, default=0) < 0 or size > limit or size > info.file_size:
        wrong = f"{info.filename} declares {dtype} {shape!s:.60}, {size / 2**30:,.3g} GiB"
        raise DataError(f"{wrong}, and has {info.file_size} bytes")
    return False


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{' '.join(str(text).split()):.200}"


def _file_kind(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((name for test, name in kinds.items() if test(mode)), "a special file")


def read_json(path: Path, *, what: str) -> Any:
    """Return the value of a json file; raises `DataError` with `what` the file should hold."""
    check_file(path, what=what)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {what} is needed") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not json ({error}); {what} is needed") from None


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a csv file, text by the names in its first line."""
    check_file(path, what="a table")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def typed_fields(
    row: Any, kind: type, *, where: str, leave_out: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a json object's values as the types of a dataclass's fields; lists become tuples.

    Fields that are missing are left to their defaults. Dataclasses in a tuple stay json objects.
    Raises `DataError` on no object, unknown or missing fields, and values of another type or NaN.
    """
    if not isinstance(row, dict):
        raise DataError(f"{where}: a json object is needed, not {_shown(row)}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in leave_out}
    if unknown := [name for name in row if name not in fields]:
        raise DataError(f"{where}: unknown {_shown(unknown[0])}; known are {', '.join(fields)}")
    for name, item in fields.items():
        if name not in row and item.default is dataclasses.MISSING:
            raise DataError(f"{where}: no {name!r}")
    return {name: _typed(value, hints[name], f"{where}: {name}") for name, value in row.items()}


def _typed(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):  # T | None
        if value is None:
            return None
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise DataError(f"{where} is {_shown(value)}; a list is needed")
        return tuple(_typed(item, typing.get_args(hint)[0], where) for item in value)
    if dataclasses.is_dataclass(hint):
        return value
    fits = isinstance(value, hint) or (hint is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and hint is not bool):
        raise DataError(f"{where} is {_shown(value)}; {_TYPE_NAMES[hint]} is needed")
    if hint is not float:
        return value
    with contextlib.suppress(OverflowError):  # of whole numbers of hundreds of digits
        if math.isfinite(value):
            return float(value)
    raise DataError(f"{where} is {_shown(value)}; a finite number is needed")


def _shown(value: Any) -> str:
    """Return the start of a value of json, however large or deep it is."""
    return f"{reprlib.repr(value):.60}"
