"""The folder of a run's checkpoints: each is written beside and renamed as a whole.

checkpoints/NAME/KIND/step_00001000/   complete, or not there
checkpoints/NAME/KIND/best             a text file that names the best of them, if one is watched
checkpoints/NAME/KIND/options.json, model.safetensors   or this: a checkpoint that was shipped

A crash leaves at most a hidden, partial folder, which the next save removes. The newest checkpoint
is the one with the largest number; nothing else has to be kept in step with it. Knows names only,
so that options can look for a checkpoint without loading torch.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write
from speech2video.util.files import write_errors as writing_file

OPTIONS_FILE, WEIGHTS_FILE = "options.json", "model.safetensors"
_BEST = "best"
_STEP = re.compile(r"step_(\d+)")


def step_folder(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"step_{step:08d}"


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the largest step, None where there is none."""
    steps = _steps(folder)
    return steps[-1] if steps else None


def best_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint marked best, None where none is or it is gone."""
    try:
        name = (folder / _BEST).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return folder / name if _STEP.fullmatch(name) and (folder / name).is_dir() else None


def resolve_checkpoint(folder: Path, *, best: bool = True) -> Path:
    """Return the folder that holds the weights to use.

    Args:
        folder: of a run, of one of its checkpoints, or of a shipped one.
        best: of a run, the checkpoint marked best where there is one, else the newest.

    Raises:
        DataError: there is no checkpoint.
    """
    found = (best_checkpoint(folder) if best else None) or newest_checkpoint(folder)
    if found is None and (folder / WEIGHTS_FILE).is_file():
        return folder
    if found is None:
        raise DataError(f"{folder}: no checkpoint in it (step_N folders, or {WEIGHTS_FILE})")
    return found


@contextlib.contextmanager
def new_checkpoint(folder: Path, step: int) -> Iterator[Path]:
    """Give a folder to write a checkpoint into; it becomes folder/step_N when all went well.

    Raises:
        DataError: it cannot be written there.
    """
    final = step_folder(folder, step)
    partial = _hidden(final)
    if final.exists():
        raise DataError(f"{final}: there is a checkpoint of that step already")
    with writing_file(final):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".step_*.partial"):  # by a run that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir()
    try:
        yield partial
        with writing_file(final):
            for path in (*partial.iterdir(), partial):
                _to_disk(path)
            os.rename(partial, final)
            _to_disk(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def mark_best(folder: Path, step: int) -> None:
    """Mark a checkpoint as the best of its folder."""
    with atomic_write(folder / _BEST) as partial:
        partial.write_text(step_folder(folder, step).name + "\n", encoding="utf-8")


def prune_checkpoints(folder: Path, *, keep: int) -> None:
    """Remove all checkpoints but the `keep` newest and the one marked best."""
    for path in _steps(folder)[:-keep]:
        if path != best_checkpoint(folder):
            _remove(path)


def _steps(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _STEP.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))


def _hidden(checkpoint: Path) -> Path:
    return checkpoint.with_name(f".{checkpoint.name}.partial")


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint as a whole: first its name, then its files."""
    os.rename(checkpoint, _hidden(checkpoint))
    shutil.rmtree(_hidden(checkpoint), ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Have the system write a file or folder to the disk, so that a power cut cannot empty it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
