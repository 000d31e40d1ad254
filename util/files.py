"""Write files atomically, and read json that users edit with one line on each mistake."""

import contextlib
import csv
import dataclasses
import json
import math
import os
import types
import typing
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speech2video.util.errors import DataError

_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces `path` on success, else is deleted.

    The folder is made if needed and written to at once, before hours of work for nothing. The
    suffix is kept, since some writers depend on it, and the process's number is in the name, so
    that two runs into one folder do not write into each other's file. Raises `DataError` if the
    file cannot be written there.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    if path.is_dir():
        raise DataError(f"{path}: a folder; the name of a file is needed")
    try:
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.touch()
        yield partial
        with write_errors(path):
            os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


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
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed npz file atomically; raises `DataError` if it cannot be written."""
    with atomic_write(path) as partial, write_errors(path), open(partial, "wb") as stream:
        np.savez_compressed(stream, **dict[str, Any](arrays))


def read_npz(path: Path, *, what: str) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file; raises `DataError`, which says `what` it should be."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); {what} is needed") from None


def read_json(path: Path, *, what: str) -> Any:
    """Return the value of a json file; raises `DataError` with `what` the file should hold."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {what} is needed") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not json ({error}); {what} is needed") from None


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a csv file, text by the names in its first line."""
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
        raise DataError(f"{where}: a json object is needed, not {row!r:.60}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in leave_out}
    if unknown := [name for name in row if name not in fields]:
        raise DataError(f"{where}: unknown {unknown[0]!r}; known are {', '.join(fields)}")
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
            raise DataError(f"{where} is {value!r:.60}; a list is needed")
        return tuple(_typed(item, typing.get_args(hint)[0], where) for item in value)
    if dataclasses.is_dataclass(hint):
        return value
    fits = isinstance(value, hint) or (hint is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and hint is not bool):
        raise DataError(f"{where} is {value!r:.60}; {_TYPE_NAMES[hint]} is needed")
    if hint is float and not math.isfinite(value):
        raise DataError(f"{where} is {value}; a finite number is needed")
    return float(value) if hint is float else value
