"""fit(): the training loop of all models.

with training_session(options) as device:
    model = Audio2PoseModel(..., device=device)
    loader = training_loader(dataset, batch_size=options.batch_size, seed=options.seed)
    fit(model, loader, options=options, validation=batches)

A step is a function of the state before it and of (seed, step): the sampler's order, each item's
augmentation and torch's random numbers (dropout, noise) follow from these. A run killed anywhere
and resumed therefore ends with the weights of one never killed, and neither validating nor saving
changes them (on a GPU as far as its kernels are deterministic).
"""

import contextlib
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from speech2video.data.loader import iterate_batches, steps_per_epoch
from speech2video.models.base_model import BaseModel
from speech2video.models.checkpointing import (
    find_nonfinite,
    last_good_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from speech2video.options.training import TrainingOptions
from speech2video.util import distributed
from speech2video.util.checkpoint_folder import (
    list_checkpoints,
    mark_best,
    newest_checkpoint,
    set_aside,
)
from speech2video.util.errors import (
    DataError,
    OptionError,
    StopRequest,
    UserError,
    note,
    stop_requests,
)
from speech2video.util.files import folder_lock
from speech2video.util.iteration import open_bar
from speech2video.util.training_log import TrainingLog

_STATE = ("best", "since_best", "validated_step", "seconds")  # saved by `_TrainingRun`
LOG_EVERY = 10  # steps; losses are averaged over them
SEED_WEIGHTS, SEED_STEPS, SEED_VALIDATION = 0, 1, 2  # separate streams of random numbers


class DivergedError(UserError):
    """A loss or a weight is NaN or infinite."""


@contextlib.contextmanager
def training_session(options: TrainingOptions) -> Iterator[torch.device]:
    """Join torchrun's processes and seed the weights; yield the device to train on.

    Raises `DataError` if another run trains in the same folder.
    """
    device = distributed.start(options.device)
    prepare_gpu(device, tf32=options.tf32)
    try:
        with folder_lock(options.folder) if distributed.is_main() else contextlib.nullcontext():
            if options.resume == "last_good":
                _set_aside_damaged(options)
            seed_everything(options.seed, SEED_WEIGHTS)
            yield device
    finally:
        distributed.stop()


def _set_aside_damaged(options: TrainingOptions) -> None:
    """Rename the checkpoints that are newer than the newest that can be read."""
    if distributed.is_main():
        good = last_good_checkpoint(options.folder, type(options))
        newer = list_checkpoints(options.folder)
        for checkpoint in newer[: newer.index(good) if good else len(newer)]:
            note(f"{checkpoint}: damaged; set aside as {set_aside(checkpoint).name}")
    distributed.barrier()


def prepare_gpu(device: torch.device, *, tf32: bool = False) -> None:
    """Set how exactly a GPU computes in 32 bits, and let cuDNN choose its fastest algorithms.

    `tf32`: whether factors of products are rounded to 10 bits. Changes nothing on the CPU.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32  # of convolutions and LSTMs
        torch.backends.cudnn.benchmark = True


def seed_everything(*numbers: int) -> None:
    """Seed the global generators of Python, NumPy and torch from all of the numbers."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def fit(
    model: BaseModel,
    loader: DataLoader,
    *,
    options: TrainingOptions,
    validation: Iterable[Any] | None = None,
) -> None:
    """Train a model until a limit of its options is reached; save it in `options.folder`.

    Continues from the folder's newest checkpoint. SIGINT and SIGTERM end training with a
    checkpoint, a message and exit status 130 or 143.

    Args:
        model: in its initial state; trained in place.
        loader: made by `data.loader.training_loader`.
        options: limits, intervals, folder.
        validation: batches for `model.validate`, iterated at every validation; None for none.

    Raises:
        OptionError: --resume, --best_metric or the architecture do not fit the run.
        DataError: a broken checkpoint or batch.
        DivergedError: a loss is NaN or infinite; the last good checkpoint is kept.
    """
    run = _TrainingRun(model, loader, options, validation)
    try:
        run.resume()
        with stop_requests() as stop:
            reason = run.train(stop)
    finally:
        if run.log is not None:
            run.log.close()
    if reason == "signal":
        _print_once(f"stopped by {stop.name} after step {model.step}; the same command goes on")
        raise SystemExit(stop.status)


class _TrainingRun:
    """One call of `fit`."""

    def __init__(
        self, model: BaseModel, loader: DataLoader, options: TrainingOptions, validation: Any
    ) -> None:
        self.model, self.loader, self.options = model, loader, options
        self.validation = validation
        self.epoch_steps = steps_per_epoch(loader)
        limits = (options.steps, options.epochs and options.epochs * self.epoch_steps)
        self.max_steps = min((limit for limit in limits if limit), default=None)
        self.losses: dict[str, list[Any]] = defaultdict(list)  # since they were last logged
        self.best: float | None = None
        self.since_best = 0  # validations
        self.seconds_before = 0.0
        self.saved_step = self.validated_step = -1
        self.log: TrainingLog | None = None

    def resume(self) -> None:
        """Restore the newest checkpoint, if there is one, and open the log."""
        checkpoint = self.options.checkpoint_to_resume()
        if checkpoint is not None:
            try:
                state = load_checkpoint(self.model, checkpoint)
            except DataError as error:
                good = last_good_checkpoint(self.options.folder, type(self.options))
                advice = "no other checkpoint of the run can be read"
                if good and good != checkpoint:
                    advice = f"--resume last_good goes back to {good}"
                raise DataError(f"{error}; {advice}") from None
            if missing := [name for name in _STATE if name not in state]:
                raise DataError(f"{checkpoint}: no entry {missing[0]!r} in its training state")
            self.best, self.since_best = state["best"], state["since_best"]
            self.seconds_before = state["seconds"]
            self.saved_step, self.validated_step = self.model.step, state["validated_step"]
            _print_once(f"{checkpoint}: goes on after step {self.model.step}")
        distributed.barrier()  # no process writes before all have searched for a checkpoint
        if distributed.is_main():
            title = f"{self.options.name}: {self.options.KIND}"
            self.log = TrainingLog(self.options.folder, title=title, step=self.model.step)

    def train(self, stop: StopRequest) -> str:
        """Do steps until there is a reason to stop; return it."""
        self.began = time.monotonic()
        model = self.model
        batches = iterate_batches(self.loader, step=model.step, device=model.device)
        bar = open_bar(
            total=self.max_steps,
            name=self.options.name,
            unit="step",
            initial=model.step,
            disable=not distributed.is_main(),
        )
        with bar:
            while not (reason := self._reason_to_stop(stop)):
                self._begin_epoch()
                self._step(next(batches))
                bar.update()
                self._after_step(bar)
        self._finish(reason)
        return reason

    def _reason_to_stop(self, stop: StopRequest) -> str:
        if self.max_steps is not None and self.model.step >= self.max_steps:
            return "steps"
        if self.options.patience is not None and self.since_best >= self.options.patience:
            return "patience"
        hours = self.options.hours
        late = hours is not None and self._seconds() >= hours * 3600
        # clocks and signals differ between processes: if one has to stop, all do
        stop.signal = distributed.largest(stop.signal)
        if stop.signal:
            return "signal"
        return "hours" if hours is not None and distributed.largest(int(late)) else ""

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began

    def _begin_epoch(self) -> None:
        epoch = self.model.step // self.epoch_steps
        if epoch != self.model.epoch:
            seed_everything(self.options.seed, SEED_WEIGHTS, epoch + 1)
            self.model.epoch = epoch
            self.model.on_epoch(epoch)

    def _step(self, batch: Any) -> None:
        model = self.model
        seed_everything(self.options.seed, SEED_STEPS, model.step, distributed.rank())
        model.set_learning_rates()
        for name, value in model.training_step(batch).items():  # not fetched from the device yet
            value = value.detach().double() if isinstance(value, Tensor) else value
            self.losses[name].append(value)
        model.update_ema()
        model.step += 1

    def _after_step(self, bar: tqdm) -> None:
        step, options = self.model.step, self.options
        validate = self.validation is not None and step % options.validate_every == 0
        save = step % options.save_every == 0
        if step % LOG_EVERY == 0 or validate or save:
            self._log_losses(bar)
        is_best = self._validate() if validate else False
        if save or is_best:
            self._save(is_best=is_best)

    def _finish(self, reason: str) -> None:
        self._log_losses()
        is_best = False
        if reason != "signal" and self.validated_step != self.model.step:
            is_best = self._validate()
        if self.saved_step != self.model.step:
            self._save(is_best=is_best)
        elif is_best and distributed.is_main():
            mark_best(self.options.folder, self.model.step)

    def _log_losses(self, bar: tqdm | None = None) -> None:
        means = {name: float(sum(values)) / len(values) for name, values in self.losses.items()}
        self.losses.clear()
        losses = distributed.mean_over_ranks(means)
        for name, value in losses.items():
            if not math.isfinite(value):
                self._diverged(f"the loss {name} is {value}")
        if self.log is not None:
            self.log.scalars(self.model.step, {f"train/{k}": v for k, v in losses.items()})
        if bar is not None:
            bar.set_postfix({k: f"{v:.4g}" for k, v in losses.items()}, refresh=False)

    def _diverged(self, what: str) -> None:
        good = newest_checkpoint(self.options.folder)
        kept = f"{good} is the last good checkpoint" if good else "there is no checkpoint yet"
        raise DivergedError(
            f"{what} after step {self.model.step}: a smaller --lr or --grad_clip is needed; {kept}"
        )

    def _validate(self) -> bool:
        """Validate on the main process; return whether --best_metric is the best so far."""
        metrics: dict[str, float] = {}
        if self.validation is not None and self.log is not None:
            seed_everything(self.options.seed, SEED_VALIDATION)
            with self.model.evaluating():
                metrics = dict(self.model.validate(self.validation, self.log))
            step = self.model.step
            self.log.scalars(step, {f"validation/{k}": v for k, v in metrics.items()})
            self.log.write()
        metrics = distributed.from_main(metrics)
        self.model.after_validation(metrics)
        self.validated_step = self.model.step
        return self.validation is not None and self._is_best(metrics)

    def _is_best(self, metrics: dict[str, float]) -> bool:
        if self.options.best_metric is None:
            return False
        name = self.options.best_metric.removeprefix("+")
        if name not in metrics:
            known = ", ".join(metrics) or "none"
            raise OptionError(f"--best_metric {name}: no such metric; the validation has {known}")
        value = metrics[name] * (-1 if self.options.best_metric.startswith("+") else 1)
        if math.isfinite(value) and (self.best is None or value < self.best):
            self.best, self.since_best = value, 0
            return True
        self.since_best += 1
        return False

    def _save(self, *, is_best: bool) -> None:
        if name := find_nonfinite(self.model):
            self._diverged(f"the weights {name} are no longer finite")
        values = self.best, self.since_best, self.validated_step, self._seconds()
        state: dict[str, Any] = dict(zip(_STATE, values, strict=True))
        if distributed.is_main():
            folder, keep = self.options.folder, self.options.keep
            save_checkpoint(
                self.model, folder, options=self.options, state=state, keep=keep, best=is_best
            )
        if self.log is not None:
            self.log.write()
        self.saved_step = self.model.step


def _print_once(line: str) -> None:
    """Print a line on standard error, above the bar, once for all processes."""
    if distributed.is_main():
        tqdm.write(line, file=sys.stderr)
