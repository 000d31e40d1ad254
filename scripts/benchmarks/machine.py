"""What a machine takes: time and memory."""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any


def best_of(times: int, work: Callable[[], Any]) -> float:
    """Return the seconds of the fastest run: other users of the machine only ever slow one down."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_memory_mb() -> float:
    """Return the most memory this process ever held, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
