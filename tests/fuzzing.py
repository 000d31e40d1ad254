"""Damaged and hostile inputs, made by seed, and read in a process of its own under limits.

python -m tests.fuzzing KIND FOLDER --seconds 60            search; print what fails
python -m tests.fuzzing KIND FOLDER --first 17 --cases 1    case 17 alone

Of each input must come a result or one clear line, whatever is in it. A case depends on its number
and the seed alone, so what failed once can be repeated; how many fit in a time depends on the
machine.
"""

import argparse
import contextlib
import copy
import faulthandler
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speech2video.util.errors import DataError, UserError, run_command
from tests.shared import ROOT

KINDS = ("sound", "words", "npz", "json", "openpose", "video", "motion")
SNIPPET = "snippet"  # of Python, one for each case, by which the harness is tested
PATIENCE = 20.0  # seconds of the processor, most for one case
LOADED = 6  # times as many seconds of the clock: other processes may have the processor
MEMORY = 3 << 30  # bytes, most for one case above what the program itself takes
ADDRESSES = 6 << 30  # bytes of address space for a case: a bound for the machine's sake
MESSAGE = 500  # characters, most of a line for the user
ENOUGH = 20  # failures, after which the search ends
HEAD = 200  # bytes, where half of all damage is done
HUGE = 10**400  # too large for a float
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "pickle.find_class", "socket.connect")
NUMBERS = (
    "0", "-1", "1e-320", "1e9", "3e38", "1e308", "1e999", "-1e999", "nan", "inf", "9" * 400,
    "1" * 5000, "", "0x10", "1,5", "12:34:56.789", "٣", "1_000", "2147483648",
    "-9223372036854775809",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2, 0.5, -1e300, 1e-300, float("nan"), float("inf"), 40_000_000, 2**31,
    2**63, HUGE, "", "x", "9" * 300, "\x1b[31mred\n", "../../etc/passwd", [], [[]], {},
    [None], {"a": 1},
)  # fmt: skip
ODD = ("\0", "\x1b[2J", "é", "漢", "\u202e", '"', ";", "\t", "<", "\ud800")
SWAPS = ((",", ";"), (".", ","), ("\n", "\r"), ("\n", "\r\n"), (" ", ""))
DTYPES = ("<f8", "<f2", "<i8", "|u1", "|b1", "<c16", "<U5", "|S4", ">f4", "<M8[s]", "|V3")


@dataclass(frozen=True)
class Sample:
    """A whole input: files by name, and what reads the folder they lie in.

    Attributes:
        files: contents; a path is linked to.
        target: the file that is damaged.
        read: raises nothing but what `run_command` turns into a line.
    """

    files: Mapping[str, bytes | Path]
    target: str
    read: Callable[[Path], Any]


@dataclass
class Outcome:
    """How often each thing happened, and what should not have."""

    worked: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Return a file's bytes with one to six changes: set, cut, doubled, moved; or its beginning."""
    content = bytearray(data)
    for _ in range(random.integers(1, 7)):
        end = min(HEAD, len(content)) if random.random() < 0.5 else len(content)
        place = int(random.integers(0, max(end, 1)))
        size = int(random.integers(1, 64))
        match random.integers(0, 5):
            case 0:
                content[place : place + 1] = random.bytes(1)
            case 1:
                content[place : place + size] = random.bytes(size)
            case 2:
                del content[place : place + size]
            case 3:
                content[place:place] = content[place : place + size]
            case 4:
                content[place : place + 4] = random.choice([b"\xff" * 4, b"\0" * 4, b"\x7f" * 4])
    share = random.uniform(0.1, 1) if random.random() < 0.3 else 1
    return bytes(content[: int(len(content) * share)])


def damaged_text(data: bytes, random: np.random.Generator) -> bytes:
    """Return a text with other numbers, lines moved, or in another encoding."""
    text = data.decode()
    for _ in range(random.integers(1, 4)):
        lines = text.splitlines(keepends=True) or [""]
        line = int(random.integers(0, len(lines)))
        match random.integers(0, 7):
            case 0 | 1:
                places = list(re.finditer(r"\d+(?:\.\d+)?", text))
                if places:
                    place = places[random.integers(0, len(places))]
                    number = NUMBERS[random.integers(0, len(NUMBERS))]
                    text = text[: place.start()] + number + text[place.end() :]
            case 2:
                del lines[line]
                text = "".join(lines)
            case 3:
                lines.insert(int(random.integers(0, len(lines) + 1)), lines[line])
                text = "".join(lines)
            case 4:
                odd = ODD[random.integers(0, len(ODD))]
                place = int(random.integers(0, len(text) + 1))
                text = text[:place] + odd + text[place:]
            case 5:
                text = text.replace(*SWAPS[random.integers(0, len(SWAPS))])
            case 6:
                text = text + lines[line] * int(random.choice([10, 5000]))
    encoding = str(random.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"]))
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


def damaged_json(data: bytes, random: np.random.Generator) -> bytes:
    """Return json with values of other types, keys gone or more, or nested too deeply."""
    value = json.loads(data)
    for _ in range(random.integers(1, 4)):
        places = list(_places(value))
        if not places:
            break
        parent, key = places[random.integers(0, len(places))]
        match random.integers(0, 6):
            case 0 | 1 | 2:
                parent[key] = copy.deepcopy(VALUES[random.integers(0, len(VALUES))])
            case 3:
                del parent[key]
            case 4 if isinstance(parent, dict):
                parent[str(random.choice(["", "x", "a" * 999, "__class__"]))] = parent[key]
            case 4:
                parent += parent[: int(random.choice([1, 100]))]
            case 5:
                parent[key] = [parent[key]] if random.random() < 0.5 else {"x": parent[key]}
    sys.set_int_max_str_digits(0)
    text = json.dumps(value)
    if random.random() < 0.05:
        deep = int(random.choice([900, 100_000]))
        text = text.replace(":", ":" + "[" * deep + "]" * deep + ',"b":', 1)
    return text.encode()


def damaged_npz(data: bytes, random: np.random.Generator) -> bytes:
    """Return an npz file with other arrays, or whose zip archive says other things."""
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    name = str(random.choice(sorted(arrays)))
    kind = random.integers(0, 12)
    if kind < 6:
        arrays[name] = _other_array(arrays[name], random)
    elif kind == 6:
        del arrays[name]
    elif kind == 7:
        arrays[str(random.choice(["x", "é", "../x", "poses", "a" * 300]))] = arrays[name]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=True)
            content = member.getvalue()
            if kind >= 8 and key == name:
                content = _other_member(content, random)
            archive.writestr(f"{key}.npy" if random.random() < 0.99 else key, content)
    content = bytearray(stream.getvalue())
    if kind == 11:  # flags, method, sizes of a member, in both places
        for mark, first in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = content.find(mark) + first + int(random.choice([0, 2, 12, 16]))
            content[place : place + 2] = random.bytes(2)
    return bytes(content)


class _Payload:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("unpickled",))


def _other_array(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    match random.integers(0, 8):
        case 0:
            with np.errstate(all="ignore"):
                kind = DTYPES[random.integers(0, len(DTYPES))]
                return np.zeros(array.shape, kind)
        case 1:
            return array[: int(random.choice([0, 1]))] if array.ndim else array[None]
        case 2:
            return array[..., :-1] if array.ndim else np.zeros((2, 3))
        case 3:
            return array[..., None] if random.random() < 0.5 else array.reshape(-1)
        case 4 if array.dtype.kind == "f":
            fill = random.choice([np.nan, np.inf, -1e30, 3e38, 1e-40, 1e6])
            changed = np.array(array)
            changed.flat[:: int(random.choice([1, 7]))] = fill
            return changed
        case 5:
            return np.array([_Payload()], object)
        case 6:
            return np.array(random.choice(["", "9" * 400, '{"a": NaN}', "30", "x" * 999]))
    return np.array(random.choice([0.0, -1.0, 0.001, 1e12, 1e-320, np.nan]))


def _other_member(content: bytes, random: np.random.Generator) -> bytes:
    match random.integers(0, 4):
        case 0:
            return b"no array"
        case 1:
            return damaged(content, random)
        case 2:  # 60 TiB are declared
            shape = str(random.choice(["(8000000000000,)", "(-1, 3)", "(0, 99999999999, 0)", "()"]))
            return re.sub(rb"'shape': \([^)]*\)", f"'shape': {shape}".encode(), content)
    return content[: len(content) // 2]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value inside a json value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys if isinstance(value, dict | list) else ():
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def make_case(sample: Sample, folder: Path, random: np.random.Generator) -> None:
    """Write a damaged sample's files into a folder."""
    for name, content in sample.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        elif name != sample.target:
            path.write_bytes(content)
        else:
            _write_damaged(path, content, random)


def _write_damaged(path: Path, content: bytes, random: np.random.Generator) -> None:
    if random.random() < 0.02:
        match random.integers(0, 6):
            case 0:
                path.mkdir()
            case 1:
                os.mkfifo(path)
            case 2:
                path.symlink_to("/dev/zero")
            case 3:
                path.symlink_to("nowhere")
            case 4:
                path.write_bytes(b"")
            case 5:
                path.write_bytes(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
        return
    operators = {
        ".npz": damaged_npz,
        ".json": damaged_json,
        ".srt": damaged_text,
        ".bvh": damaged_text,
    }
    suffix = path.suffix.lower()
    text = suffix not in operators and _is_text(content)
    operator = damaged_text if text else operators.get(suffix, damaged)
    if random.random() < 0.15:
        operator = damaged
    path.write_bytes(operator(content, random))


def _is_text(content: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        return "\0" not in content.decode()
    return False


def fuzz(
    kind: str,
    folder: Path,
    *,
    seconds: float,
    cases: int = 1_000_000,
    first: int = 0,
    patience: float = PATIENCE,
) -> Outcome:
    """Return the outcome of cases in processes that start again after one that ended them.

    Args:
        kind: one of `KINDS`.
        folder: to work in; inputs that failed are kept in it.
        seconds: after which no further case begins, starting the program left out.
        cases: at most.
        first: number of the first.
        patience: seconds of the processor, most for one case.
    """
    outcome, end, number = Outcome(), first + cases, first
    folder.mkdir(parents=True, exist_ok=True)
    while number < end and seconds > 0 and len(outcome.failures) < ENOUGH:
        command = [sys.executable, "-m", "tests.fuzzing", kind, str(folder), "--child"]
        limits = {"--seconds": seconds, "--first": number, "--cases": end - number}
        limits["--patience"] = patience
        command += [str(part) for pair in limits.items() for part in pair]
        settings = {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
        environment = os.environ | settings
        with open(folder / "stderr.txt", "w", encoding="utf-8") as errors:
            status = subprocess.run(command, env=environment, stderr=errors, cwd=ROOT).returncode
        state = json.loads((folder / "state.json").read_text())
        outcome.worked += state["worked"]
        outcome.refused += state["refused"]
        outcome.failures += state["failures"]
        number, seconds = state["number"] + 1, seconds - state["seconds"]
        if status:  # killed, crashed or too slow
            shutil.rmtree(folder / f"case_{state['number']}", ignore_errors=True)
            if (folder / "case").exists():
                os.rename(folder / "case", folder / f"case_{state['number']}")
            reason = (folder / "stderr.txt").read_text(errors="replace")[-1500:]
            outcome.failures.append(f"case {state['number']}: ended with status {status}\n{reason}")
    return outcome


class _Child:
    """One process's cases."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.case = kind, folder, folder / "case"
        self.broken: list[str] = []
        self.state: dict[str, Any] = {"worked": 0, "refused": 0, "failures": [], "seconds": 0.0}
        source = folder / "whole"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        self.samples = self._snippets() if kind == SNIPPET else self._whole(source)
        for sample in self.samples:  # imports and caches are none of a case's
            self._new_case()
            make_case(Sample(sample.files, "", sample.read), self.case, np.random.default_rng(0))
            with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(UserError):
                sample.read(self.case)
        self._new_case()
        os.chdir(self.case)
        sys.dont_write_bytecode = True
        sys.addaudithook(self._watch)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES, used + ADDRESSES))

    def run(self, *, seconds: float, first: int, cases: int, patience: float) -> None:
        """Read cases and keep the state of the search in a file."""
        begin = time.monotonic()
        for number in range(first, first + cases):
            self.state |= {"number": number, "seconds": time.monotonic() - begin}
            if self.state["seconds"] > seconds or len(self.state["failures"]) >= ENOUGH:
                break
            self._one(number, patience)
        self._save()

    def _whole(self, folder: Path) -> list[Sample]:
        from tests.fuzz_samples import make_samples  # torch and all else, which a snippet needs not

        return make_samples(self.kind, folder)

    def _snippets(self) -> list[Sample]:
        snippets = json.loads((self.folder / "snippets.json").read_text())

        def read(_: Path) -> None:
            if "number" in self.state:  # not to warm up
                exec(snippets[self.state["number"]], {"DataError": DataError})

        return [Sample({"a.bin": b"0123456789" * 9}, "a.bin", read)]

    def _one(self, number: int, patience: float) -> None:
        random = np.random.default_rng(([*KINDS, SNIPPET].index(self.kind), number))
        sample = self.samples[random.integers(0, len(self.samples))]
        self._new_case()
        make_case(sample, self.case, random)
        self._save()
        before = self._memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self.broken.clear()
        faulthandler.dump_traceback_later(LOADED * patience, exit=True)
        begin = time.process_time()
        worked = self._read(sample)
        faulthandler.cancel_dump_traceback_later()
        if (taken := time.process_time() - begin) > patience:
            self.broken.append(f"took {taken:.0f} s")
        grown = self._memory("VmHWM") - before
        if (self.case / "unpickled").exists():
            self.broken.append("unpickled")
        if grown > MEMORY:
            self.broken.append(f"took {grown >> 20} MiB")
        self.state["worked" if worked else "refused"] += 1
        if self.broken:
            what = "; ".join(self.broken)
            self.state["failures"].append(f"case {number}, {sample.target}: {what}")
            kept = self.folder / f"case_{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.case, kept, symlinks=True, ignore=_no_fifos)

    def _read(self, sample: Sample) -> bool:
        """Return whether a case worked; what broke the rules goes to `broken`."""
        status, errors = 0, io.StringIO()
        try:
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
                run_command(lambda: sample.read(self.case))
        except SystemExit as stop:
            status = stop.code
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-3:]
            where = " < ".join(f"{Path(p.filename).name}:{p.lineno}" for p in reversed(place))
            self.broken.append(f"{type(error).__name__}: {error!s:.200} at {where}")
            return False
        lines = errors.getvalue().splitlines()
        if status not in (0, 2) or (status == 2) != any(x.startswith("error: ") for x in lines):
            self.broken.append(f"status {status} with {lines}")
        for line in lines:
            if len(line) > MESSAGE or not line.isprintable():
                self.broken.append(f"{len(line)} characters: {line[:200]!r}")
        return status == 0

    def _new_case(self) -> None:
        shutil.rmtree(self.case, ignore_errors=True)
        if self.case.is_dir():
            for path in self.case.iterdir():
                path.unlink()
        self.case.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.chdir(self.case)

    @staticmethod
    def _memory(name: str) -> int:
        """Return bytes of memory that this process has ("VmRSS") or had at most ("VmHWM")."""
        status = Path("/proc/self/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) << 10

    def _save(self) -> None:
        (self.folder / "state.json").write_text(json.dumps(self.state))

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what a case opens for writing outside its folder, starts or unpickles."""
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            full = os.path.abspath(os.fsdecode(path)) if not isinstance(path, int) else ""
            if full and full != os.devnull and not full.startswith(str(self.folder)):
                self.broken.append(f"writes {full}")
        elif event in FORBIDDEN:
            self.broken.append(f"{event} {arguments!r:.100}")


def _no_fifos(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_fifo()]


def main() -> None:
    """Search for failures, or be the process that reads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=(*KINDS, SNIPPET))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--patience", type=float, default=PATIENCE)
    parser.add_argument("--child", action="store_true")
    given = parser.parse_args()
    limits = {name: getattr(given, name) for name in ("seconds", "first", "cases", "patience")}
    if given.child:
        _Child(given.kind, given.folder.resolve()).run(**limits)
        return
    outcome = fuzz(given.kind, given.folder, **limits)
    print(*outcome.failures, sep="\n")
    failed = len(outcome.failures)
    print(f"{given.kind}: {outcome.worked} worked, {outcome.refused} refused, {failed} failed")
    sys.exit(bool(outcome.failures))


if __name__ == "__main__":
    main()
