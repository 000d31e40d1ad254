"""Train pose to video on clips of one person.

python train_pose2video.py --dataset datasets/NAME --name NAME
torchrun --nproc_per_node 4 train_pose2video.py --dataset datasets/NAME --name NAME

The same command resumes a run. checkpoints/NAME/pose2video/index.html shows its progress.
"""

if __name__ == "__main__":  # before the imports, which take seconds
    from speech2video.util.errors import start_command

    start_command()

import torch
from torch import nn

from speech2video.data.loader import training_loader
from speech2video.data.pose2video.augmentation import ImageAugmentation, MapNoise
from speech2video.data.pose2video.clip import (
    PoseVideo,
    load_pose_videos,
    shared_camera,
    shared_shape,
)
from speech2video.data.pose2video.dataset import Pose2VideoDataset, collate
from speech2video.data.pose2video.frames import estimate_background
from speech2video.data.splits import leave_out_bad_frames, remember_clips, split_clips
from speech2video.models.checkpointing import load_networks
from speech2video.models.pose2video.losses import loss_weights
from speech2video.models.pose2video.model import GanConfig, OptimConfig, Pose2VideoModel
from speech2video.models.pose2video.pretrained import PerceptualLoss, RaftFlowEstimator
from speech2video.models.pose2video.renderer import (
    NETWORK,
    ValidationClip,
    build_generator,
    complete_options,
    generator_arguments,
    to_floats,
)
from speech2video.models.trainer import fit, training_session
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import newest_checkpoint
from speech2video.util.errors import run_command

GIGABYTE = 1024**3


def main() -> None:
    options = TrainPose2VideoOptions.parse()
    with training_session(options) as device:
        train(options, device)


def train(options: TrainPose2VideoOptions, device: torch.device) -> None:
    """Load the clips, build the model and fit it."""
    body = Body.load(options.body)
    size = {"width": options.width, "height": options.height}
    videos = load_pose_videos(options.dataset, body, names=options.clips, **size)
    training, held_out = split_clips(
        videos, held_out=options.held_out, seconds=options.held_out_seconds
    )
    options = complete_options(options, shared_camera(training), shared_shape(training))
    if not options.use_all_frames:
        training, held_out = leave_out_bad_frames(training, held_out)
    dataset = build_dataset(training, options)
    generator = build_generator(options)
    if pretrained := options.pretrained_folder():
        load_networks(nn.ModuleDict({NETWORK: generator}), pretrained)  # of any map style
    if newest_checkpoint(options.folder) is None:  # a resumed run's weights include it
        background_HW3 = torch.from_numpy(estimate_background(training, dataset.frame_cache))
        generator.init_background(to_floats(background_HW3.permute(2, 0, 1)))
    generator.gradient_checkpointing = options.gradient_checkpointing
    weights = loss_weights(options.weights)
    model = Pose2VideoModel(
        generator,
        options.fill(OptimConfig),
        options.fill(GanConfig, discriminators=options.discriminator_names),
        weights=weights,
        curriculum=options.curriculum,
        perceptual=PerceptualLoss.load(options.vgg) if weights["perceptual"] else None,
        raft=RaftFlowEstimator.load(options.raft) if options.flow_ground_truth == "raft" else None,
        compiled=options.compile,
        device=device,
    )
    loader = training_loader(
        dataset,
        batch_size=options.batch_size,
        seed=options.seed,
        workers=options.workers,
        collate=collate,
    )
    validation = [
        ValidationClip(
            video,
            map_style=options.map_style,
            frames=options.validate_frames,
            cache_bytes=dataset.frame_cache.limit_bytes,
        )
        for video in held_out
    ]
    lengths = {video.name: len(video) for video in videos}
    remember_clips(options.folder, options.dataset, lengths, resumed=options.is_resumed)
    fit(model, loader, options=options, validation=validation)


def build_dataset(videos: list[PoseVideo], options: TrainPose2VideoOptions) -> Pose2VideoDataset:
    """Return the training dataset with the options' augmentation."""
    generator_warps = generator_arguments(options).get("flow", True)
    return Pose2VideoDataset(
        videos,
        curriculum=options.curriculum,
        map_style=options.map_style,
        augmentation=ImageAugmentation(
            scale=(1 / (1 + options.scale), 1 + options.scale),
            shift=(-options.shift, options.shift),
            brightness=(-options.colour, options.colour),
            contrast=(1 / (1 + options.colour), 1 + options.colour),
            saturation=(1 / (1 + 2 * options.colour), 1 + 2 * options.colour),
        ),
        noise=MapNoise().times(options.map_noise),
        cache_bytes=round(options.cache * GIGABYTE),
        flow=options.flow_ground_truth == "dis" and generator_warps,
        item_count=options.epoch_items,
    )


if __name__ == "__main__":
    run_command(main)
