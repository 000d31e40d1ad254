"""Export a checkpoint to ship: averaged weights in 16 bits and their options.

python scripts/export_checkpoint.py --name NAME --kind audio2pose --output checkpoints/ANNA
python scripts/export_checkpoint.py --name NAME --kind pose2video --output checkpoints/ANNA --engine
"""

import dataclasses
import filecmp
import tempfile
from pathlib import Path

import _checkout  # noqa: F401
import torch

from speech2video.data.pose2video.clip import load_pose_videos
from speech2video.models.checkpointing import export_checkpoint, weights_id
from speech2video.models.pose2video.engine import (
    CALIBRATION_FRAMES,
    calibration_steps,
    export_engine,
)
from speech2video.models.pose2video.renderer import load_renderer, to_floats
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.phonetic import TrainPhoneticOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.options.tools import ExportCheckpointOptions
from speech2video.util.audio.features import PHONETIC
from speech2video.util.audio.phonetic import FOLDER as PACKAGED
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.errors import note, run_command

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
    if options.kind == TrainAudio2PoseOptions.KIND:
        name_packaged_features(folder)
    if options.engine:
        export_renderer_engine(folder, options.dataset or _dataset(exported))
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6
    print(f"{folder}: {size:.1f} MB, from {exported}")


def name_packaged_features(folder: Path) -> None:
    """Name the phonetic network of exported motion as the package's, if it is the same."""
    options = TrainAudio2PoseOptions.load(folder / OPTIONS_FILE)
    kind, _, network = options.features.partition(":")
    if kind != PHONETIC or not network:
        return
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / PHONETIC
        export_checkpoint(Path(network), exported, options=TrainPhoneticOptions)
        same = filecmp.cmp(exported / WEIGHTS_FILE, PACKAGED / WEIGHTS_FILE, shallow=False)
    if same:
        dataclasses.replace(options, features=PHONETIC).save(folder / OPTIONS_FILE)
    else:
        note(f"{folder}: needs the phonetic network in {network}, which is not exported with it")


def export_renderer_engine(folder: Path, dataset: Path) -> None:
    """Write the graph of an exported renderer, its ranges measured on a dataset's clips."""
    renderer = load_renderer(folder)
    videos = load_pose_videos(dataset, Body.load(), width=renderer.width, height=renderer.height)
    length = -(-2 * CALIBRATION_FRAMES // len(videos))
    parts = (video.points_TK2[len(video) // 2 :][:length] for video in videos)
    clips = (
        (to_floats(torch.from_numpy(map_CHW.copy())[None]) for map_CHW in renderer.draw_maps(part))
        for part in parts
    )
    steps = calibration_steps(renderer.generator, clips)
    export_engine(renderer.generator, steps, folder, weights_id=weights_id(folder))


def _dataset(checkpoint: Path) -> Path:
    return TrainPose2VideoOptions.load(checkpoint / OPTIONS_FILE).dataset


if __name__ == "__main__":
    run_command(main)
