"""A training command as users run it: in this process, or in others that may be killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from speech2video.models.checkpointing import read_tensors
from speech2video.util.checkpoint_folder import newest_checkpoint
from tests.shared import ROOT, run_here

TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


class TrainingCommand:
    """The `main` of a train_KIND.py, run with arguments that make it small."""

    def __init__(self, main: Callable[[], None], kind: str, small: tuple) -> None:
        self.main, self.kind, self.small = main, kind, small

    def line(self, dataset: Path, runs: Path, *arguments: object) -> list[str]:
        return [*map(str, ("--dataset", dataset, "--checkpoints", runs, *self.small, *arguments))]

    def run(self, *arguments: object) -> int:
        """Run in this process; return the exit status."""
        with pytest.MonkeyPatch.context() as monkeypatch:
            return run_here(monkeypatch, self.main, *self.line(*arguments))

    def start(self, *arguments: object, launcher: tuple = ()) -> subprocess.Popen:
        """Start another process."""
        script = str(sys.modules[self.main.__module__].__file__)
        line = [sys.executable, *launcher, script, *self.line(*arguments)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)

    def failing(self, capfd: pytest.CaptureFixture, *arguments: object) -> str:
        """Return the one line that a run in this process fails with."""
        capfd.readouterr()
        assert self.run(*arguments) == 2
        errors = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
        assert len(errors) == 1
        return errors[0]

    def weights(self, runs: Path, name: str) -> dict[str, torch.Tensor]:
        """Return the newest weights of a run, averaged ones where there are some."""
        checkpoint = newest_checkpoint(runs / name / self.kind)
        return read_tensors(checkpoint / "model.safetensors") | read_tensors(
            checkpoint / "ema.safetensors"
        )

    def check_resuming(self, dataset: Path, runs: Path, steps: int) -> None:
        """Kill a run at its first checkpoint, resume it, compare it with the run "straight"."""
        more = (dataset, runs, "--name", "killed", "--steps", steps)
        killed = self.start(*more)
        while newest_checkpoint(runs / "killed" / self.kind) is None and killed.poll() is None:
            time.sleep(0.005)
        assert newest_checkpoint(runs / "killed" / self.kind) is not None
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert self.run(*more) == 0
        straight, resumed = self.weights(runs, "straight"), self.weights(runs, "killed")
        assert straight.keys() == resumed.keys()
        assert [key for key in straight if not torch.equal(straight[key], resumed[key])] == []

    def weights_of_one_and_two_processes(
        self, dataset: Path, runs: Path, *arguments: object
    ) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
        """Run with one and with two processes; return each weight's name and its two values."""
        two = self.start(dataset, runs, "--name", "two", *arguments, launcher=TWO_PROCESSES)
        assert self.run(dataset, runs, "--name", "one", *arguments) == 0
        message = two.communicate(timeout=300)[1]
        assert two.returncode == 0, message
        one, other = self.weights(runs, "one"), self.weights(runs, "two")
        assert one.keys() == other.keys()
        return [(key, one[key], other[key]) for key in one]
