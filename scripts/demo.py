"""Install into .venv and make a video of the demo speaker.

    python scripts/demo.py [AUDIO [test.py options]]

Needs Python 3.10 to 3.14 and no other software. Writes results/demo/AUDIO.mp4.
"""

from __future__ import annotations

import subprocess
import sys

from install import ROOT, install

EXAMPLE = ["examples/speech.wav", "--words", "examples/speech.csv"]


def main() -> None:
    """Install, then run test.py in the environment."""
    try:
        python = install()
        command = [str(python), "test.py", "--name", "demo", "--audio", *(sys.argv[1:] or EXAMPLE)]
        sys.exit(subprocess.call(command, cwd=str(ROOT)))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
