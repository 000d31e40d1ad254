"""Run a command as the child of a process that watches over it.

python -m speech2video.studio.guard LOCK COMMAND ...

Standard input is a pipe that the server holds. When it closes, since the server stops the command
or has ended in any way, the command gets SIGTERM, on which trainers save a checkpoint; what is left
of the session after `STOP_SECONDS` is killed. The lock file keeps a second run out meanwhile.
Imports next to nothing, as it lives for hours.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import filelock

STOP_SECONDS = 60.0
NICENESS = 10  # videos and live sessions of the studio come first

_starting = threading.Lock()
_children: list[subprocess.Popen] = []


def main() -> int:
    """Run the command; return its exit status, 128 and its number for a signal."""
    lock, *command = sys.argv[1:]
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    try:
        with filelock.FileLock(lock).acquire(timeout=STOP_SECONDS + 10):
            status = _start(command).wait()
            return status if status >= 0 else 128 - status
    except filelock.Timeout:
        print("error: another process trains in this folder", file=sys.stderr)
        return 2


def _start(command: list[str]) -> subprocess.Popen:
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    with _starting:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        _children.append(child)
    return child


def _stop_at_end_of_input() -> None:
    while os.read(0, 1):
        pass
    with _starting:
        if not _children:  # the lock is waited for
            os._exit(128 + signal.SIGTERM)
    for child in _children:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill_session(os.getpid())


def kill_session(leader: int) -> None:
    """Kill all processes of the session that a process leads or led."""
    with contextlib.suppress(AttributeError, OSError):  # Windows has none; all have ended
        os.killpg(leader, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
