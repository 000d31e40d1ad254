"""What a user's mistake raises, and how it reaches the user: one line, exit status 2."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType


class UserError(Exception):
    """Something the user can mend; the message says what was seen, what is needed, and where."""


class DataError(UserError):
    """A file that is not what it should be."""


class OptionError(UserError):
    """An option outside its range, or two that contradict each other."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `UserError` or an interrupt becomes one line, never a traceback."""
    try:
        main()
    except UserError as error:
        sys.exit(_fail(str(error)))
    except OSError as error:  # unreadable, unwritable, disk full: the system's own words say it
        sys.exit(_fail(f"{error.filename or 'writing'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _fail(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return 2


# SIGINT and SIGTERM as a wish to stop at a good moment.

STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """Which signal asked to stop; 0 while none has."""

    signal: int = 0

    @property
    def name(self) -> str:
        """The signal's name."""
        return signal.Signals(self.signal).name

    @property
    def status(self) -> int:
        """The exit status that says so to a shell."""
        return 128 + self.signal


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note the first SIGINT or SIGTERM instead of dying; a second one has its usual effect.

    Outside the main thread, which alone may set handlers, nothing is noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def note(number: int, _: FrameType | None) -> None:
        request.signal = number
        _restore(before)

    for number in STOPPING:
        signal.signal(number, note)
    try:
        yield request
    finally:
        _restore(before)


def _restore(handlers: dict) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
