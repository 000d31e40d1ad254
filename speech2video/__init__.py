"""Speech in, video of a speaking person out.

speaker = speech2video.load_speaker("demo")
speaker.speak("speech.wav", "speech.mp4", seed=1)
for frame in speaker.stream(audio_chunks): ...              # (H, W, 3) uint8 as audio arrives

The subpackages `options`, `util`, `data`, `models` and `studio` are links to the folders of a
checkout, and folders in an installed wheel.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speech2video.models.pipelines.speaker import Speaker

__version__ = "0.1.0"
__all__ = ["load_speaker"]

if not Path(__file__).with_name("models").is_dir():  # a checkout without symbolic links
    __path__.append(str(Path(__file__).resolve().parent.parent))


def load_speaker(
    name: str,
    *,
    model: str | None = None,
    checkpoints: Path | str = "checkpoints",
    device: str = "auto",
    **options: Any,
) -> "Speaker":
    """Load the speaker of a folder of checkpoints, ready to `speak` and `stream`.

    Args:
        name: the folder in `checkpoints`.
        model: "speech2video" for a body, "speech2face" for a face; by default what the folder has.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        options: further options of test.py that concern loading (precision, gestures, body).

    Raises:
        UserError: no such speaker, or unusable options.
    """
    from speech2video.models.pipelines import speaker  # torch is imported here

    return speaker.load_speaker(
        name, model=model, checkpoints=checkpoints, device=device, **options
    )
