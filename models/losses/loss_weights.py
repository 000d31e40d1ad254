"""What each loss counts, as a person says it."""

import math
from collections.abc import Sequence

from speech2video.util.errors import OptionError


def weights_of(pairs: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    """Return the weights that pairs NAME=NUMBER say.

    Raises:
        OptionError: no such loss, or no number that is 0 or more.
    """
    given: dict[str, float] = {}
    for name, _, text in (pair.partition("=") for pair in pairs):
        if name not in known:
            raise OptionError(f"--weights {name}: no such loss; {', '.join(known)} are known")
        try:
            given[name] = float(text)
        except ValueError:
            given[name] = math.nan
        if not 0 <= given[name] < math.inf:
            raise OptionError(f"--weights {name}={text}: a number, 0 or more, is needed")
    return given
