"""Names on the command line and their classes; importing this imports no torch.

A new generator is one line here: `--generator` then takes its name.
"""

import importlib

from speech2video.util.errors import OptionError

GENERATORS: dict[str, str] = {  # --generator of train_pose2video.py
    "fast": "speech2video.models.pose2video.generators.fast:FastGenerator",
    "vid2vid": "speech2video.models.pose2video.generators.vid2vid:Vid2VidGenerator",
}

SPEAKERS: dict[str, str] = {  # --model of test.py
    "speech2video": "speech2video.models.pipelines.body_video:BodySpeaker",
    "speech2face": "speech2video.models.pipelines.talking_face:TalkingFace",
}


def load_class(table: dict[str, str], name: str) -> type:
    """Return the class of a name; raises `OptionError` that lists the known names."""
    if name not in table:
        known = ", ".join(sorted(table)) or "none yet"
        raise OptionError(f"{name}: no such name; known are {known}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
