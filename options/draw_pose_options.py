"""What a person may choose for `scripts/draw_pose.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class DrawPoseOptions(Options):
    """Draw a file of SMPL-X motion as a skeleton video, or as the shaded body, with sound."""

    pose: Path = option(
        REQUIRED, "motion: npz of BEAT2, AMASS, SHOW or ours, or a clip's folder", group="files"
    )
    audio: Path | None = option(
        None, "sound to put in, any format; a clip's folder brings its own", group="files"
    )
    output: Path = option(REQUIRED, "the mp4 to write", group="files")
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    size: int = option(
        512, "larger side of the picture in pixels", group="picture", minimum=64, maximum=4096
    )
    style: str = option(
        "speech2video",
        "how the skeleton is drawn; vid2vid_authors is what the paper authors' checkpoints expect",
        group="picture",
        choices=("speech2video", "filled_mouth", "vid2vid_authors"),
    )
    mesh: bool = option(False, "render the shaded body instead of its skeleton", group="picture")
    clamp: bool = option(False, "hold every joint inside its anatomical range", group="motion")
    fps: float | None = option(
        None, "the motion's frame rate, if its file does not say it", group="motion", minimum=1
    )
