"""What a user's mistake raises, and how it reaches the user: one line, exit status 2."""

import sys
from collections.abc import Callable


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
