"""Check training and rendering on a GPU within eight minutes, compared with the CPU.

python scripts/check_gpu.py [--json results/gpu.json]
python scripts/check_gpu.py --device cpu                       # the same checks at tiny size

Prints a line for each check with its verdict. Exit status: 0 if all passed, 1 if one failed, 2
without a GPU. Checks run in processes of their own; one that fails or hangs does not stop others.
"""

import contextlib
import importlib
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import _checkout  # noqa: F401
import torch
from benchmarks import Metrics, calls_per_second
from benchmarks.clips import write_body_clips, write_face_clips
from benchmarks.generators import cuda_graph, fast_generator, generator_step, shipped_frames
from benchmarks.training import benchmark_training

from speech2video.models.pose2video.model import has_compiler
from speech2video.models.trainer import prepare_gpu
from speech2video.options.evaluation import BenchmarkOptions, CheckGpuOptions
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import list_checkpoints
from speech2video.util.errors import OptionError, one_line, run_command
from speech2video.util.files import read_json, write_json
from speech2video.util.metrics.image import psnr

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {  # seconds of each check
    "renderer": 110,
    "pose2video": 70,
    "audio2pose": 50,
    "speech2face": 60,
    "training": 90,
    "processes": 90,
}
END_SECONDS = 10  # for a process to end by itself
STEPS, RESUMED_AFTER = 4, 2
# Largest relative difference of a loss: at the first step rounding alone, then what Adam makes of
# it, whose first steps are as long for gradients near zero.
FIRST_TOLERANCE, TOLERANCE = 2e-3, 5e-2
SMALLEST_LOSS = 0.1  # differences of smaller ones count as if they were as large
LEAST_PSNR = {"fp32": 45.0, "bf16": 32.0}  # dB, from the CPU's frames in 32 bits
MOST_PSNR = 99.0  # dB, of equal frames
SMALL = {  # options of the trainers that make them short
    "pose2video": (
        *("--width", 64, "--height", 64, "--architecture", "channels=16,32", "blocks=1,1"),
        *("--ndf", 8, "--part_size", 16, "--gan_start", 0.25, "--weights", "perceptual=0"),
        *("--seq_len", 3, "--max_seq_len", 3, "--epoch_items", 16, "--held_out", "b"),
        *("--validate_frames", 4, "--batch_size", 2),
    ),
    "audio2pose": (
        *("--hidden_size", 32, "--seq_len", 16, "--batch_size", 4, "--num_augmentations", 1),
        *("--held_out", "b"),
    ),
    "speech2face": (
        *("--size", 64, "--batch_size", 4, "--generator_batch_size", 2, "--seq_len", 16),
        *("--look_ahead", 2, "--num_augmentations", 1, "--epoch_items", 16),
        *("--validate_clips", 2, "--validate_frames", 26, "--stage_shares", 1, 1, 1, 1),
    ),
}
# Each device draws its own dropout and noise of discriminators.
WITHOUT_RANDOM = {
    "audio2pose": ("--dropout", 0, "--lr_d", 0),
    "speech2face": ("--dropout", 0),
    "pose2video": (),
}


@dataclass(frozen=True)
class Result:
    """Result of a check: a line, its metrics, and whether it passed; None: it was left out."""

    line: str
    passed: bool | None = True
    metrics: Metrics = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The result in a word or two."""
        return {True: "passed", False: "FAILED", None: "left out"}[self.passed]


def main() -> None:
    options = CheckGpuOptions.parse()
    if options.device == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else ", and this PyTorch is built without CUDA"
        raise OptionError(
            f"--device cuda: no CUDA GPU is available{built}; "
            "--device cpu runs the same checks at tiny size"
        )
    began, results = time.monotonic(), {}
    name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    print(f"{name}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}", flush=True)
    for check in options.checks:
        left = options.seconds - (time.monotonic() - began)
        start = time.monotonic()
        result = run_limited(check, options, seconds=min(LIMITS[check], left))
        seconds = time.monotonic() - start
        print(f"{check:12} {result.verdict:8} {seconds:6.1f} s  {result.line}", flush=True)
        results[check] = {
            "verdict": result.verdict,
            "line": result.line,
            "seconds": seconds,
            **result.metrics,
        }
    total = time.monotonic() - began
    failed = [check for check, result in results.items() if result["verdict"] == "FAILED"]
    verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
    print(f"{'total':12} {'':8} {total:6.1f} s  {verdict}")
    if options.json:
        device = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}
        write_json(options.json, device | {"seconds": total, "checks": results})
    if failed:
        sys.exit(1)


def run_limited(check: str, options: CheckGpuOptions, *, seconds: float) -> Result:
    """Run a check in a process of its own, which is ended with all its children at its limit."""
    if seconds <= 0:
        return Result(f"no time was left of --seconds {options.seconds:g}", passed=False)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        patience = 0.0
        process = context.Process(target=_run_check, args=(check, options, Path(folder), sender))
        process.start()
        sender.close()
        try:
            if not receiver.poll(seconds):
                return Result(f"stopped at its limit of {seconds:.0f} s; {_tail(log)}", False)
            result = receiver.recv()
            patience = END_SECONDS
            return result
        except EOFError:
            process.join(END_SECONDS)
            ended = f"its process ended with status {process.exitcode}"
            return Result(f"{ended}; {_tail(log)}", False)
        finally:
            process.join(patience)
            if process.is_alive():  # a broken CUDA context may hang it
                if hasattr(os, "killpg") and process.pid:
                    with contextlib.suppress(OSError):  # with the processes that it started
                        os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.join()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
    return next((one_line(line) for line in reversed(lines) if line.strip()), "no message")


def _run_check(check: str, options: CheckGpuOptions, folder: Path, sender: Connection) -> None:
    """Run a check with its output in folder/log.txt; send its result."""
    if hasattr(os, "setsid"):
        os.setsid()
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        result = CHECKS[check](options, folder)
    except SystemExit as end:
        result = Result(f"ended with status {end.code}; {_tail(folder / 'log.txt')}", False)
    except Exception as error:  # a check may fail in any way; the others are to run
        result = Result(one_line(f"{type(error).__name__}: {error}"), False)
    sender.send(result)
    sender.close()


def check_trainer(kind: str, options: CheckGpuOptions, folder: Path) -> Result:
    """Compare a trainer's losses on GPU and CPU, resume it, and train in 16 bits."""
    data, runs = _write_clips(kind, folder), folder / "runs"
    same = WITHOUT_RANDOM[kind]
    reference = _train(kind, data, runs, "cpu", "cpu", *same)
    losses = _train(kind, data, runs, "gpu", options.device, *same)
    first = difference(reference, losses, steps=(1,))
    later = difference(reference, losses, steps=range(2, STEPS + 1))
    shutil.copytree(runs / "gpu", runs / "resumed")
    for checkpoint in list_checkpoints(runs / "resumed" / kind)[: STEPS - RESUMED_AFTER]:
        shutil.rmtree(checkpoint)
    log = _train(kind, data, runs, "resumed", options.device, *same)
    resumed = difference(losses, log, steps=range(RESUMED_AFTER + 1, STEPS + 1))
    line = f"losses differ from the CPU's by {first:.1e} at the first step, {later:.1e} later"
    line += f"; resumed by {resumed:.1e}"
    finite = True
    if kind != "speech2face":  # which trains in 32 bits only
        found = _train(kind, data, runs, "bf16", options.device, "--precision", "bf16")
        finite = all(math.isfinite(v) for curve in found.values() for v in curve.values())
        line += (
            f"; in bf16 the loss is {found['loss'][STEPS]:.3g}, it was {losses['loss'][STEPS]:.3g}"
        )
    passed = finite and first <= FIRST_TOLERANCE and max(later, resumed) <= TOLERANCE
    metrics = {"first_difference": first, "later_difference": later, "resumed_difference": resumed}
    allowed = f" (allowed: {FIRST_TOLERANCE:g}, {TOLERANCE:g}, {TOLERANCE:g})"
    return Result(line + allowed, passed, metrics)


def check_processes(options: CheckGpuOptions, folder: Path) -> Result:
    """Compare training by two processes, on a GPU each, with training by one."""
    if options.device == "cuda" and torch.cuda.device_count() < 2:
        return Result("two GPUs are needed, this machine has one", passed=None)
    differences: Metrics = {}
    # NCCL is the same for all kinds: the CPU's gloo checks one
    for kind in SMALL if options.device == "cuda" else ("pose2video",):
        data, runs = _write_clips(kind, folder / kind), folder / kind / "runs"
        more = (options.device, *WITHOUT_RANDOM[kind])
        _train(kind, data, runs, "two", *more, processes=2)
        pair = _train(kind, data, runs, "one", *more), _losses(runs / "two" / kind)
        differences[f"{kind}_difference"] = difference(
            *pair, steps=range(1, STEPS + 1), only="loss"
        )
    found = ", ".join(f"{name.split('_')[0]} {one:.1e}" for name, one in differences.items())
    line = f"two processes' losses differ from one's: {found} (allowed: {TOLERANCE:g})"
    return Result(line, max(differences.values()) <= TOLERANCE, differences)


def _write_clips(kind: str, folder: Path) -> Path:
    data = folder / "clips"
    if kind == "speech2face":
        return write_face_clips(data, size=64)
    return write_body_clips(data, Body.load(), size=64)


def _train(
    kind: str,
    data: Path,
    runs: Path,
    name: str,
    device: str,
    *more: object,
    processes: int = 1,
) -> dict[str, dict[int, float]]:
    """Run a training command; return its losses by name and step."""
    given = ("--dataset", data, "--checkpoints", runs, "--name", name, "--device", device)
    fixed = ("--steps", STEPS, "--save_every", 1, "--keep", 50, "--validate_every", STEPS)
    line = [*map(str, (*given, *SMALL[kind], *fixed, *more))]
    script = f"train_{kind}"
    if processes > 1:
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
        threads = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, *launcher, str(ROOT / f"{script}.py"), *line]
        subprocess.run(command, cwd=ROOT, env=threads, check=True)
    else:
        sys.argv = [f"{script}.py", *line]
        importlib.import_module(script).main()
    return _losses(runs / name / kind)


def _losses(folder: Path) -> dict[str, dict[int, float]]:
    curves = read_json(folder / "log.json", what="a training log")["curves"]
    return {
        name.removeprefix("train/"): {int(step): value for step, value in points}
        for name, points in curves.items()
        if name.startswith("train/")
    }


def difference(
    one: dict[str, dict[int, float]],
    other: dict[str, dict[int, float]],
    *,
    steps: Sequence[int],
    only: str = "",
) -> float:
    """Return the largest relative difference of losses {name: {step: value}} at some steps.

    It is infinite where a loss is missing in one, or not finite.
    """
    worst = 0.0
    for name in {only} if only else {*one, *other}:
        for step in steps:
            runs = [run[name] for run in (one, other) if step in run.get(name, {})]
            if not runs:
                continue
            values = [run[step] for run in runs if math.isfinite(run[step])]
            if len(values) < 2:
                return math.inf
            scale = max(abs(values[0]), SMALLEST_LOSS)
            worst = max(worst, abs(values[0] - values[1]) / scale)
    return worst


def check_renderer(options: CheckGpuOptions, folder: Path) -> Result:
    """Compare the shipped speaker's frames with the CPU's; measure the default generator."""
    device, tiny = torch.device(options.device), options.device == "cpu"
    prepare_gpu(device)
    count = 3 if tiny else 25
    exact = shipped_frames(count=count)
    metrics: Metrics = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        frames = shipped_frames(device=device, dtype=dtype, count=count)
        db = min(float(psnr(frames, exact).mean()), MOST_PSNR)
        metrics[f"{name}_psnr_db"] = db
    passed = all(metrics[f"{name}_psnr_db"] >= least for name, least in LEAST_PSNR.items())
    speeds: list[str] = []
    for size in (64, 128) if tiny else (512, 1024):
        found = _speeds(size, device, calls=2 if tiny else 100)
        rates = {k: v for k, v in found.items() if isinstance(v, float)}
        metrics |= {f"{way}_{size}_frames_per_second": rate for way, rate in rates.items()}
        metrics |= {f"{way}_{size}": v for way, v in found.items() if way not in rates}
        shown = (f"{way} {rate:.0f}" for way, rate in rates.items())
        skipped = (f"{way}: {v}" for way, v in found.items() if way not in rates)
        speeds.append(f"{size} px {', '.join([*shown, *skipped])}")
    line = f"from the CPU's frames {metrics['fp32_psnr_db']:.1f} dB in fp32, "
    line += f"{metrics['bf16_psnr_db']:.1f} in bf16 (needed: {LEAST_PSNR['fp32']:g}, "
    line += f"{LEAST_PSNR['bf16']:g}); frames per second at {'; at '.join(speeds)}"
    return Result(line, passed, metrics)


def _speeds(size: int, device: torch.device, *, calls: int) -> dict[str, float | str]:
    """Return frames per second of the generator in each way; a text where one does not work."""
    generator = fast_generator(size).to(device)
    step = generator_step(generator, size, device)
    with torch.inference_mode():
        found: dict[str, float | str] = {"fp32": calls_per_second(step, calls, device)}
    generator = generator.to(torch.bfloat16)
    step = generator_step(generator, size, device)
    with torch.inference_mode():
        found["bf16"] = calls_per_second(step, calls, device)
    if device.type != "cuda":
        return found
    with _kept(found, "graph"), cuda_graph(step) as replay:
        found["graph"] = calls_per_second(replay, calls, device)
    if not has_compiler():
        return found | {"compiled": "left out, there is no C++ compiler"}
    with _kept(found, "compiled"):
        compiled = torch.compile(step, dynamic=False)
        with torch.inference_mode():
            found["compiled"] = calls_per_second(compiled, calls, device)
        with cuda_graph(compiled) as replay:
            found["compiled+graph"] = calls_per_second(replay, calls, device)
    return found


@contextlib.contextmanager
def _kept(found: dict[str, float | str], way: str) -> Iterator[None]:
    """Record why a way does not work here, and go on."""
    try:
        yield
    except Exception as error:  # compilers and drivers raise anything
        found.setdefault(way, one_line(f"does not work here ({type(error).__name__}: {error})"))


def check_training(options: CheckGpuOptions, folder: Path) -> Result:
    """Measure training steps of pose2video."""
    tiny = options.device == "cpu"
    size, steps = (64, 1) if tiny else (512, 20)
    small = ("channels=8,16", "blocks=1,1") if tiny else ()
    ways = {"fp32": ("fp32", False), "bf16": ("bf16", False)}
    ways |= {} if tiny else {"tf32": ("fp32", True)}
    metrics: Metrics = {}
    shown = []
    for name, (precision, tf32) in ways.items():
        found = benchmark_training(
            BenchmarkOptions(
                kind="pose2video",
                train=True,
                device=options.device,
                size=size,
                steps=steps,
                precision=precision,
                tf32=tf32,
                architecture=small,
                workers=0 if tiny else min(4, (os.cpu_count() or 1) // 2),
            )
        )
        metrics |= {f"{name}_{key}": v for key, v in found.items() if isinstance(v, float)}
        memory = found.get("gpu_memory_mb", found["peak_memory_mb"])
        shown.append(
            f"{name} {found['steps_per_second']:.2f} steps per second "
            f"({found['steps_per_second_without_loading']:.2f} without loading, discriminators "
            f"{found['discriminators_share']:.0%}), {memory:.0f} MB"
        )
    return Result(f"{size} px: {'; '.join(shown)}", True, metrics)


CHECKS: dict[str, Callable[[CheckGpuOptions, Path], Result]] = {
    "renderer": check_renderer,
    "training": check_training,
    "processes": check_processes,
    **{kind: partial(check_trainer, kind) for kind in SMALL},
}


if __name__ == "__main__":
    run_command(main)
