"""SIGINT and SIGTERM as a wish to stop at a good moment."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

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
