"""The folder of a run's checkpoints; each is written to a hidden folder and renamed as a whole.

checkpoints/NAME/KIND/step_00001000/   complete or absent
checkpoints/NAME/KIND/best             text file with the name of the best checkpoint, if any
checkpoints/NAME/KIND/options.json, model.safetensors   alternatively: a shipped checkpoint

A crash leaves at most a hidden, partial folder, which the next save removes. Imports no torch, so
that options can find a checkpoint quickly.
"""

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from speech2video.util.errors import DataError
from speech2video.util.files import write_errors, write_text

OPTIONS_FILE, WEIGHTS_FILE = "options.json", "model.safetensors"
_BEST = "best"
_STEP = re.compile(r"step_(\d+)")


def step_folder(folder: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return folder / f"step_{step:08d}"


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the largest step, None where there is none."""
    return next(iter(list_checkpoints(folder)), None)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return a run's checkpoints, the newest first."""
    return _steps(folder)[::-1]


def set_aside(checkpoint: Path) -> Path:
    """Rename a damaged checkpoint, so that it is no longer found, and return its new path."""
    with write_errors(checkpoint):
        for number in itertools.count():
            more = f"_{number}" if number else ""
            path = checkpoint.with_name(f"damaged_{checkpoint.name}{more}")
            if not path.exists():
                return checkpoint.rename(path)
    raise AssertionError


def best_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint marked best, None where none is or it is gone."""
    try:
        name = (folder / _BEST).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return folder / name if _STEP.fullmatch(name) and (folder / name).is_dir() else None


def resolve_checkpoint(folder: Path) -> Path:
    """Return the folder that holds the weights to use: of a run, its best or else newest.

    `folder` is that of a run, of one of its checkpoints, or of a shipped checkpoint. Raises
    `DataError` if there is no checkpoint.
    """
    found = best_checkpoint(folder) or newest_checkpoint(folder)
    if found is None and not (folder / WEIGHTS_FILE).is_file():
        raise DataError(f"{folder}: no checkpoint in it (step_N folders, or {WEIGHTS_FILE})")
    return found or folder


@contextlib.contextmanager
def new_checkpoint(folder: Path, step: int) -> Iterator[Path]:
    """Yield a folder to write a checkpoint into; on success it becomes folder/step_N.

    Raises `DataError` if it cannot be written there.
    """
    final = step_folder(folder, step)
    partial = _hidden(final)
    if final.exists():
        raise DataError(f"{final}: there is a checkpoint of that step already")
    with write_errors(final):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".step_*.partial"):  # by a run that was killed while saving
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir()
    good = newest_checkpoint(folder)
    kept = f"{good} is the last good one, and kept" if good else "there is no checkpoint yet"
    try:
        try:
            yield partial
        except (DataError, OSError) as error:  # a full disk, most likely
            reason = str(error).replace(f"{partial}{os.sep}", "")
            raise DataError(f"{final}: not saved ({reason}); {kept}") from None
        with write_errors(final):
            for path in (*partial.iterdir(), partial):
                _flush_to_disk(path)
            os.rename(partial, final)
            _flush_to_disk(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def mark_best(folder: Path, step: int) -> None:
    """Mark a checkpoint as the best of its folder."""
    write_text(folder / _BEST, step_folder(folder, step).name + "\n")


def prune_checkpoints(folder: Path, *, keep: int) -> None:
    """Remove all checkpoints but the `keep` newest and the one marked best."""
    best = best_checkpoint(folder)
    for path in _steps(folder)[:-keep]:
        if path != best:
            os.rename(path, _hidden(path))  # a checkpoint is never there in part
            shutil.rmtree(_hidden(path), ignore_errors=True)


def _steps(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step_*") if _STEP.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))


def _hidden(checkpoint: Path) -> Path:
    return checkpoint.with_name(f".{checkpoint.name}.partial")


def _flush_to_disk(path: Path) -> None:
    """Write a file or folder through to the disk, so that a power cut cannot empty it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
