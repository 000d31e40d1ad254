"""Errors that users can fix, and how commands end: one line and exit status 2, or a signal."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class UserError(Exception):
    """An error that the user can fix; the message says what was found, what is needed, where."""


class DataError(UserError):
    """A missing or unsuitable file, folder or array."""


class OptionError(UserError):
    """An option outside its range, or two that contradict each other."""


def note(text: str) -> None:
    """Print one line on standard error: what was done with input that is odd, but works."""
    print("note: " + one_line(text), file=sys.stderr)


def one_line(text: str) -> str:
    """Return a text on one line, without characters that steer a terminal or cannot be printed."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def run_command(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `UserError` or an interrupt becomes one line, never a traceback."""
    status = 0
    try:
        _run(main)
    except SystemExit as end:
        status = end.code
        if not _is_launched():
            raise
    if _is_launched():
        # gloo's threads may hold tensors yet; they abort a process whose interpreter ends
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))


def _is_launched() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _run(main: Callable[[], None]) -> None:
    try:
        main()
        return
    except UserError as error:
        message = str(error)
    except OSError as error:  # unreadable, unwritable, disk full
        message = f"{error.filename or 'writing'}: {error.strerror or error}"
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    print("error: " + one_line(message), file=sys.stderr)
    sys.exit(2)


@dataclass
class StopRequest:
    """A pending request to stop: the number of its signal, or 0."""

    signal: int = 0

    @property
    def name(self) -> str:
        """The signal's name."""
        return signal.Signals(self.signal).name

    @property
    def status(self) -> int:
        """The exit status of a process that a signal stopped."""
        return 128 + self.signal


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Record the first SIGINT or SIGTERM for a graceful stop; a second one has its usual effect.

    Outside the main thread, which alone may set handlers, nothing is recorded.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def record(number: int, _: FrameType | None) -> None:
        request.signal = number
        _restore(before)

    for number in STOP_SIGNALS:
        signal.signal(number, record)
    try:
        yield request
    finally:
        _restore(before)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
