"""Prepare a script: find the `speech2video` package in a plain checkout, and set OpenMP's threads.

It also starts the command, before the imports that take seconds.

torch's threads must not spin between operations, since decoding, drawing and encoding need their
cores. OpenMP reads the variable once, when torch is first imported.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
_FOLDER = Path(__file__).resolve().parent
sys.path.insert(1, str(_FOLDER.parent))

if Path(getattr(sys.modules["__main__"], "__file__", "") or "").resolve().parent == _FOLDER:
    from speech2video.util.errors import start_command

    start_command()
