"""Errors that users can fix, and how commands end: one line and exit status 2, or a signal."""

import atexit
import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

LONGEST = 400  # characters of a line for the user; the middle of more is left out
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
CLEAN_UP_SECONDS = 10.0  # in which further signals to stop are ignored


class UserError(Exception):
    """An error that the user can fix; the message says what was found, what is needed, where."""


class DataError(UserError):
    """A missing or unsuitable file, folder or array."""


class OptionError(UserError):
    """An option outside its range, or two that contradict each other."""


def note(text: str) -> None:
    """Print one line on standard error: what was done with input that is odd, but works."""
    _say(f"note: {text}")


def one_line(text: str) -> str:
    """Return a text on one line, without characters that steer a terminal or cannot be printed.

    The middle of more than `LONGEST` characters is left out: files may hold any names and values.
    """
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


def start_command() -> None:
    """Prepare a command, before the imports that take seconds.

    Until `run_command`, and again after it, a signal to stop ends the process with one line.
    Streams that are closed, by a shell's 2>&- or a pipe's reader, swallow what is written to them,
    and characters that a terminal cannot show are escaped.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would be this stream
            os.dup2(null, number)
        os.set_inheritable(number, True)
    if null > 2:
        os.close(null)
    sys.stdout = sys.__stdout__ = _LastingStream.of(sys.stdout, 1)
    sys.stderr = sys.__stderr__ = _LastingStream.of(sys.stderr, 2)
    for number in _own_signals():
        signal.signal(number, _end_at_once)


class _LastingStream(io.TextIOWrapper):
    """A standard stream that cannot fail: once its other end is gone, its text goes nowhere."""

    @classmethod
    def of(cls, stream: Any, number: int) -> "_LastingStream":
        lines = stream is None or stream.isatty() or number == 2
        encoding = "utf-8" if stream is None else stream.encoding
        buffer = open(number, "wb", closefd=False) if stream is None else stream.detach()  # noqa: SIM115
        return cls(buffer, encoding=encoding, errors="backslashreplace", line_buffering=lines)

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def _say(text: str) -> None:
    """Print one line on standard error, if there is one."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(one_line(text) + "\n")
        sys.stderr.flush()


def _own_signals() -> list[int]:
    """Return the signals to stop, but those that nohup or a shell has this process ignore."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [n for n in dict.fromkeys(STOP_SIGNALS) if signal.getsignal(n) is not signal.SIG_IGN]


def _end_at_once(number: int, _: FrameType | None) -> None:
    if not _ending:
        _say(_reason(number))
    os._exit(128 + number)


def _reason(number: int) -> str:
    return "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"


class _Stopped(SystemExit):
    """Raised by a signal to stop other than SIGINT."""


_ending: list[float] = []  # when a signal to stop came


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Have a signal to stop unwind the main thread once; others do not disturb the clean-up."""
    owner, before = os.getpid(), {number: signal.getsignal(number) for number in _own_signals()}
    _ending.clear()

    def stop(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not _ending:
            _ending.append(time.monotonic())
            raise KeyboardInterrupt if number == signal.SIGINT else _Stopped(128 + number)
        elif time.monotonic() - _ending[0] > CLEAN_UP_SECONDS:
            os._exit(128 + number)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        if _ending:  # nothing disturbs the end of a command
            for n, handler in before.items():
                before[n] = signal.SIG_IGN if handler is _end_at_once else handler
        _restore(before)


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
        with _stopped_by_signals():
            main()
        return
    except UserError as error:
        message = str(error)
    except OSError as error:  # unreadable, unwritable, disk full
        message = f"{error.filename or 'writing'}: {error.strerror or error}"
    except KeyboardInterrupt:
        _say(_reason(signal.SIGINT))
        sys.exit(128 + signal.SIGINT)
    except _Stopped as stopped:
        _say(_reason(int(str(stopped.code)) - 128))
        sys.exit(stopped.code)
    _say(f"error: {message}")
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
    """Record the first signal to stop, for a graceful stop; a second one has its usual effect.

    Outside the main thread, which alone may set handlers, nothing is recorded, nor are signals that
    this process ignores (SIGHUP under nohup).
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in _own_signals()}

    def record(number: int, _: FrameType | None) -> None:
        request.signal = number
        _restore(before)

    for number in before:
        signal.signal(number, record)
    try:
        yield request
    finally:
        _restore(before)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
