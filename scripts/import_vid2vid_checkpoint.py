"""Import a generator trained by NVIDIA's vid2vid, or by the paper authors' fork of it.

python scripts/import_vid2vid_checkpoint.py --checkpoint DIR --options options.json --name NAME

DIR holds latest_net_G0.pth (coarsest scale), latest_net_G1.pth, ... as saved by vid2vid.
options.json holds the options of its training under vid2vid's own names; missing ones have
vid2vid's defaults. For the checkpoints that the paper's authors published:

    {"openpose_only": true, "no_first_img": true}

which is ngf 128, n_downsample_G 3, n_blocks 9, one scale, no flow, batch norm.

Batch norm has two kinds of statistics. vid2vid's test script never leaves training mode, so it
normalises each frame by itself: --statistics batch, the default, gives the same frames, but only
in 32 bits and contiguous memory (see models/pose2video/generators/vid2vid.py). --statistics stored
uses the averages of training. "statistics" in the result's options.json may be changed later.

The result is checkpoints/NAME/pose2video/{model.safetensors, options.json}.
"""

import _checkout  # noqa: F401
from torch import nn

from speech2video.models.checkpointing import save_weights
from speech2video.models.pose2video.renderer import NETWORK
from speech2video.models.pose2video.vid2vid_import import load_vid2vid
from speech2video.options.pose2video import ImportVid2VidOptions, read_vid2vid_options
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE, newest_checkpoint
from speech2video.util.errors import DataError, run_command


def main() -> None:
    options = ImportVid2VidOptions.parse()
    folder = options.folder
    if newest_checkpoint(folder) or (folder / WEIGHTS_FILE).exists():
        raise DataError(f"{folder}: there is a checkpoint already; choose another --name")
    architecture = read_vid2vid_options(
        options.options, statistics=options.statistics, map_style=options.map_style
    )
    generator = load_vid2vid(options.checkpoint, architecture, label=options.label)
    architecture.save(folder / OPTIONS_FILE)
    save_weights(folder / WEIGHTS_FILE, nn.ModuleDict({NETWORK: generator}))
    millions = sum(weight.numel() for weight in generator.parameters()) / 1e6
    print(f"{folder}: {architecture.n_scales_spatial} scale(s), {millions:.1f} million weights")


if __name__ == "__main__":
    run_command(main)
