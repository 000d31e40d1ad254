"""Export a checkpoint to ship: averaged weights in 16 bits and their options.

python scripts/export_checkpoint.py --name NAME --kind audio2pose --output checkpoints/SPEAKER
"""

import _checkout  # noqa: F401

from speech2video.models.checkpointing import export_checkpoint
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.phonetic import TrainPhoneticOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.options.tools import ExportCheckpointOptions
from speech2video.util.errors import run_command

KINDS = {
    options.KIND: options
    for options in (
        TrainAudio2PoseOptions,
        TrainPose2VideoOptions,
        TrainSpeech2FaceOptions,
        TrainPhoneticOptions,
    )
}


def main() -> None:
    options = ExportCheckpointOptions.parse()
    run, folder = (
        base / options.kind for base in (options.checkpoints / options.name, options.output)
    )
    exported = export_checkpoint(run, folder, options=KINDS[options.kind])
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6
    print(f"{folder}: {size:.1f} MB, from {exported}")


if __name__ == "__main__":
    run_command(main)
