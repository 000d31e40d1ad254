"""Prepare a script: find the `speech2video` package in a plain checkout, and set OpenMP's threads.

torch's threads must not spin between operations, since decoding, drawing and encoding need their
cores. OpenMP reads the variable once, when torch is first imported.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))
