"""Files that are complete or absent."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from speech2video.util.errors import DataError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes `path`'s place on success, else goes.

    The folder is made if need be, and tried at once, before hours of work are done for one that
    takes no files. The suffix is kept, since some writers go by it, and the process's number is in
    the name, so that two runs into one folder do not write into each other's file.

    Raises:
        DataError: the file cannot be written there.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    if path.is_dir():
        raise DataError(f"{path}: a folder; the name of a file is needed")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.touch()
        yield partial
        with writing(path):
            os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Turn what goes wrong while writing (no permission, full disk) into one line.

    `also` are the exceptions of a library that does not raise the system's.
    """
    try:
        yield
    except (OSError, *also) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be written ({reason})") from None
