"""Install speech2video, and the locked versions of all that it uses, into a virtual environment.

    python scripts/install.py      # VENV names another folder than .venv

Needs Python 3.10 to 3.14 and no other software. Does nothing when the environment is up to date.
UV_TORCH_BACKEND=cpu takes PyTorch without CUDA from PyTorch's own index; other values are those of
`uv pip install --torch-backend`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 10), (3, 14)
TORCH = ("torch", "torchvision")  # with a CUDA of their own in each index
CUDA = re.compile(r"(nvidia|cuda|triton)\b")  # what comes with them
QUIET = ("--quiet", "--disable-pip-version-check")
MADE = "cannot be made by Python's venv; on Debian and Ubuntu, apt install python3-venv brings it"


def main() -> None:
    """Install; a failure is one line and exit status 2."""
    try:
        install()
    except KeyboardInterrupt:
        sys.exit(130)


def install() -> Path:
    """Return the interpreter of the environment that holds everything; exit with 2 on failure."""
    venv = ROOT / os.environ.get("VENV", ".venv")
    python = make_environment(venv)
    code = "import sys; print(*sys.version_info[:2])"
    version = subprocess.check_output([str(python), "-c", code], universal_newlines=True).split()
    lock = ROOT / "requirements" / f"py{''.join(version)}.txt"
    if not lock.is_file():
        fail(f"{venv}: {needed()}, and {'.'.join(version)} was found")
    backend = os.environ.get("UV_TORCH_BACKEND", "")
    wanted, installed = f"{backend}\n{lock.read_text()}", venv / "installed.txt"
    if not installed.is_file() or installed.read_text() != wanted:
        if installed.is_file():
            installed.unlink()
        for command in commands(python, lock, backend=backend, scratch=venv):
            if subprocess.call(command):
                fail(f"{venv}: not installed, for the reason above; the same command tries again")
        installed.write_text(wanted)
    return python


def make_environment(venv: Path) -> Path:
    """Return the interpreter of a virtual environment with pip, made where there is none."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        if not OLDEST <= sys.version_info[:2] <= NEWEST:
            fail(f"{needed()}, and {sys.version.split()[0]} was found; PYTHON names another")
        if subprocess.call([sys.executable, "-m", "venv", str(venv)], stdout=subprocess.DEVNULL):
            fail(f"{venv}: {MADE}")
        return python
    # stopped while it was made, or made by uv
    lacks_pip = subprocess.call([str(python), "-c", "import pip"], stderr=subprocess.DEVNULL)
    if lacks_pip and subprocess.call([str(python), "-m", "ensurepip"], stdout=subprocess.DEVNULL):
        fail(f"{venv}: {MADE}")
    return python


def commands(python: Path, lock: Path, *, backend: str, scratch: Path) -> list[list[str]]:
    """Return the commands that install a lock file and this checkout.

    With a `backend`, PyTorch's wheels have other hashes than the locked ones: it has the locked
    version, and everything else comes from a copy of the lock file without it, in `scratch`.
    """
    pip = [str(python), "-m", "pip", "install", *QUIET, "--require-hashes"]
    uv = [str(python), "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    found = [[*pip, "-r", str(lock.with_name("uv.txt"))]]
    if backend:
        torch, rest = split_lock(lock.read_text())
        others = scratch / "requirements.txt"
        others.write_text(rest)
        found.append([*uv, "--torch-backend", backend, "--constraint", str(others), *torch])
        lock = others
    found.append([*uv, "--require-hashes", "--no-deps", "--no-build", "-r", str(lock)])
    found.append([*uv, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    return found


def split_lock(text: str) -> tuple[list[str], str]:
    """Return PyTorch's packages of a lock file, and its text without them and CUDA's."""
    entries = re.findall(r"^\S.*(?:\n[ ].*)*\n?", text, re.MULTILINE)
    torch = [entry for entry in entries if entry.split("==")[0] in TORCH]
    rest = [entry for entry in entries if entry not in torch and not CUDA.match(entry)]
    return [entry.split()[0] for entry in torch], "".join(rest)


def needed() -> str:
    """Return which Python is needed."""
    return "Python {}.{} to {}.{} is needed".format(*OLDEST, *NEWEST)


def fail(message: str) -> None:
    """Print one line and exit with status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
