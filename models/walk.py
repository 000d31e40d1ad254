"""Which walk from speech to video a command asks for: how it is loaded, how it makes a video."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from speech2video.models import face_pipeline, pipeline, speaker
from speech2video.options.test_options import SPEECH2FACE, SPEECH2VIDEO, TestOptions


@dataclass(frozen=True)
class Walk:
    """Two functions.

    Attributes:
        load: (options, device) to whoever speaks.
        make_video: (who, speech, options, bar=True) to the number of frames written.
    """

    load: Callable[..., Any]
    make_video: Callable[..., int]


WALKS = {
    SPEECH2VIDEO: Walk(speaker.load, pipeline.make_video),
    SPEECH2FACE: Walk(face_pipeline.load, face_pipeline.make_video),
}


def walk_of(options: TestOptions) -> Walk:
    """Return the walk of --model."""
    return WALKS[options.model]
