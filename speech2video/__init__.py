"""Speech2Video: speech in, video of a speaking person out.

The package's rooms (`options`, `util`, `data`, `models`) lie beside this folder in a checkout and
below it in an installed wheel; either way they are imported as `speech2video.util` and so on.
"""

from pathlib import Path

__version__ = "0.1.0"

if not Path(__file__).with_name("models").is_dir():  # a checkout without symbolic links
    __path__.append(str(Path(__file__).resolve().parent.parent))
