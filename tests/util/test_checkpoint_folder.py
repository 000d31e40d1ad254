"""A checkpoint is complete or absent."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speech2video.util.checkpoint_folder import (
    best_checkpoint,
    mark_best,
    new_checkpoint,
    newest_checkpoint,
    prune_checkpoints,
    resolve_checkpoint,
    step_folder,
)
from speech2video.util.errors import DataError


def save(folder: Path, step: int) -> Path:
    with new_checkpoint(folder, step) as partial:
        (partial / "file").write_text(str(step))
    return step_folder(folder, step)


def test_newest_is_the_largest_step(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None and newest_checkpoint(tmp_path / "none") is None
    for step in (9, 100_000_000, 10):
        save(tmp_path, step)
    assert (newest_checkpoint(tmp_path) / "file").read_text() == "100000000"


def test_failed_saving_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(RuntimeError), new_checkpoint(tmp_path, 2) as partial:
        (partial / "file").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]


def test_partial_checkpoint_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    left = tmp_path / ".step_00000002.partial"
    left.mkdir()
    (left / "file").write_text("half")
    assert newest_checkpoint(tmp_path).name == "step_00000001"
    save(tmp_path, 3)
    assert not left.exists()


@pytest.mark.parametrize("call", range(9))
def test_crash_at_any_point_leaves_a_complete_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    save(tmp_path, 1)
    calls = 0

    def crashing(real: Callable, cleanup: bool = False) -> Callable:
        def wrapped(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls > call:  # nothing reaches the disk any more, not even the cleanup
                if cleanup:
                    return None
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        for module, name in ((os, "fsync"), (os, "rename"), (os, "replace")):
            patch.setattr(module, name, crashing(getattr(module, name)))
        patch.setattr(shutil, "rmtree", crashing(shutil.rmtree, cleanup=True))
        with contextlib.suppress(KeyboardInterrupt):
            save(tmp_path, 2)
            mark_best(tmp_path, 2)
            prune_checkpoints(tmp_path, keep=1)
    found = newest_checkpoint(tmp_path)
    assert (found / "file").read_text() == str(int(found.name[5:]))
    assert resolve_checkpoint(tmp_path) == found
    save(tmp_path, 3)
    assert newest_checkpoint(tmp_path).name == "step_00000003" and not list(tmp_path.glob(".step*"))


def test_pruning_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in range(1, 7):
        save(tmp_path, step)
        if step == 2:
            mark_best(tmp_path, step)
        prune_checkpoints(tmp_path, keep=2)
    assert sorted(path.name[-1] for path in tmp_path.glob("step_*")) == ["2", "5", "6"]
    assert best_checkpoint(tmp_path).name == "step_00000002"


def test_no_step_is_written_twice(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(DataError, match="already"):
        save(tmp_path, 1)
    assert (newest_checkpoint(tmp_path) / "file").read_text() == "1"


def test_resolving_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no checkpoint in it"):
        resolve_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").touch()  # shipped, then trained on
    assert resolve_checkpoint(tmp_path) == tmp_path
    for step in (1, 2):
        save(tmp_path, step)
    (tmp_path / "best").write_text("../../elsewhere")
    assert resolve_checkpoint(tmp_path).name == "step_00000002"
    mark_best(tmp_path, 1)
    assert resolve_checkpoint(tmp_path).name == "step_00000001"


def test_finding_a_checkpoint_imports_no_torch() -> None:
    code = "import sys, speech2video.util.checkpoint_folder; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
