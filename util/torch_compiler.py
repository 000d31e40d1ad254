"""Use torch without importing its compiler, which takes over a second and 100 MB.

torch imports the compiler to mark some functions as not to be compiled: those that make random
numbers on the meta device, and two of roma's. None of them is compiled here.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Have torch's compiler not imported inside the block, unless it is there already.

    Nothing inside the block may be compiled. Not safe where another thread uses torch's compiler.
    """
    if COMPILER in sys.modules:
        yield
        return
    placeholder: Any = ModuleType(COMPILER)
    placeholder.disable = _unchanged
    sys.modules[COMPILER] = placeholder
    try:
        yield
    finally:
        if sys.modules.get(COMPILER) is placeholder:
            del sys.modules[COMPILER]


def _unchanged(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
    return function
