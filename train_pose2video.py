"""Train pose to video on one person's clips.

python train_pose2video.py --dataset datasets/NAME --name NAME
torchrun --nproc_per_node 4 train_pose2video.py --dataset datasets/NAME --name NAME

The same command goes on where a run was stopped. checkpoints/NAME/pose2video/index.html shows how
it goes.
"""

import torch

from speech2video.data.background import still_background
from speech2video.data.held_out import divide
from speech2video.data.map_noise import MapNoise
from speech2video.data.picture_augmentation import PictureAugmentation
from speech2video.data.pose2video_dataset import Pose2VideoDataset, collate
from speech2video.data.pose_video import PoseVideo, load_pose_videos, shared_camera
from speech2video.data.training_loader import training_loader
from speech2video.models import pose2video
from speech2video.models.losses.perceptual import PerceptualLoss
from speech2video.models.pose2video_model import LossWeights, Pose2VideoModel
from speech2video.models.pose2video_rollout import HeldOut
from speech2video.models.raft_flow import RaftFlow
from speech2video.models.training import fit, session
from speech2video.options.train_pose2video_options import TrainPose2VideoOptions
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import newest
from speech2video.util.errors import run_command

GIGABYTE = 1024**3


def main() -> None:
    options = TrainPose2VideoOptions.parse()
    with session(options) as device:
        train(options, device)


def train(options: TrainPose2VideoOptions, device: torch.device) -> None:
    """Load, build, fit."""
    body = Body.load(options.body)
    size = {"width": options.width, "height": options.height}
    videos = load_pose_videos(options.dataset, body, names=options.clips, **size)
    training, held_out = divide(videos, held_out=options.held_out, seconds=options.held_out_seconds)
    options = pose2video.complete(options, shared_camera(training))
    dataset = painted(training, options)
    generator = pose2video.build(options)
    if pretrained := options.run_to_begin_with():
        pose2video.begin_with(generator, pretrained)
    if newest(options.folder) is None:  # else it comes with the run's weights
        still_HW3 = torch.from_numpy(still_background(training, dataset.store))
        generator.begin_with(pose2video.to_floats(still_HW3.permute(2, 0, 1)))
    generator.checkpointing = options.checkpointing
    weights = LossWeights.of(options.weights)
    model = Pose2VideoModel(
        generator,
        learning_rate=options.learning_rate,
        adversary_rate=options.adversary_rate,
        steps=options.steps,
        discriminators=options.adversaries,
        adversary_after=options.adversary_after,
        adversary_width=options.adversary_width,
        gan=options.gan,
        perceptual=PerceptualLoss.load(options.vgg) if weights.perceptual else None,
        raft=RaftFlow.load(options.raft) if options.flow_truth == "raft" else None,
        part_size=options.part_size,
        scale_epochs=options.scale_epochs,
        ema=options.ema,
        clip=options.clip,
        precision=options.precision,
        weights=weights,
        device=device,
    )
    loader = training_loader(
        dataset,
        batch_size=options.batch_size,
        seed=options.seed,
        workers=options.workers,
        collate=collate,
    )
    cache = round(options.cache * GIGABYTE)
    validation = [
        HeldOut.of(video, style=options.style, frames=options.validate_frames, cache_bytes=cache)
        for video in held_out
    ]
    fit(model, loader, options=options, validation=validation)


def painted(videos: list[PoseVideo], options: TrainPose2VideoOptions) -> Pose2VideoDataset:
    """Return the data set, pictures and maps changed as the options ask."""
    warps = pose2video.arguments(options).get("flow", True)
    return Pose2VideoDataset(
        videos,
        length=options.sequence_length,
        style=options.style,
        augmentation=PictureAugmentation(
            scale=(1 / (1 + options.scale), 1 + options.scale),
            shift=(-options.shift, options.shift),
            brightness=(-options.colour, options.colour),
            contrast=(1 / (1 + options.colour), 1 + options.colour),
            saturation=(1 / (1 + 2 * options.colour), 1 + 2 * options.colour),
        ),
        noise=MapNoise().times(options.map_noise),
        cache_bytes=round(options.cache * GIGABYTE),
        flow=options.flow_truth == "dis" and warps,
        item_count=options.epoch_items,
        window=options.window_side,
    )


if __name__ == "__main__":
    run_command(main)
