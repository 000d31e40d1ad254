"""Names of networks and models, and the classes behind them; importing this imports no torch.

A new generator is one line here: `--generator` then takes its name, and `load_class` gives its class.
"""

import importlib

from speech2video.util.errors import OptionError

GENERATORS: dict[str, str] = {  # pose2video's
    "fast": "speech2video.models.pose2video.generators.fast:FastGenerator",
    "vid2vid": "speech2video.models.pose2video.generators.vid2vid:Vid2VidGenerator",
}

MODELS: dict[str, str] = {  # test.py's --model: what a walk from speech to video is made with
    "speech2video": "speech2video.models.pipelines.speaker:Speaker",
    "speech2face": "speech2video.models.speech2face.predictor:Speech2Face",
}


def load_class(table: dict[str, str], name: str) -> type:
    """Return the class behind a name; raises `OptionError` that lists the known names."""
    if name not in table:
        known = ", ".join(sorted(table)) or "none yet"
        raise OptionError(f"{name}: no such name; known are {known}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
