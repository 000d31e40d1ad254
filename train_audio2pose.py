"""Train speech to pose on clips of one person.

python train_audio2pose.py --dataset datasets/NAME --name NAME
torchrun --nproc_per_node 4 train_audio2pose.py --dataset datasets/NAME --name NAME

The same command resumes a stopped run. checkpoints/NAME/audio2pose/index.html shows its progress.
"""

if __name__ == "__main__":  # before the imports, which take seconds
    from speech2video.util.errors import start_command

    start_command()

from pathlib import Path

import torch
from torch import Tensor

from speech2video.data.audio2pose.dataset import (
    Audio2PoseDataset,
    MotionClip,
    load_motion_clips,
    mark_gestures,
    match_poses,
    mean_voice_features,
    pose_statistics,
    smooth_motion,
)
from speech2video.data.gestures.dictionary import GestureDictionary
from speech2video.data.loader import training_loader
from speech2video.data.splits import leave_out_bad_frames, remember_clips, split_clips
from speech2video.models.audio2pose.model import Audio2PoseModel, TrainingConfig
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.trainer import fit, training_session
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.audio.features import feature_set
from speech2video.util.body.body_model import Body
from speech2video.util.checkpoint_folder import OPTIONS_FILE, newest_checkpoint
from speech2video.util.errors import run_command

# Radians, metres. Smaller motion is jitter of the fit; predicted, it moves the body to places that
# the renderer was never trained on.
MIN_POSE_STD = 0.01


def main() -> None:
    options = TrainAudio2PoseOptions.parse()
    with training_session(options) as device:
        train(options, device)


def train(options: TrainAudio2PoseOptions, device: torch.device) -> None:
    """Load the clips, build predictor and model, fit."""
    body = Body.load(options.body)
    clips = [smooth_motion(c, options.smooth) for c in load_motion_clips(options.dataset, body)]
    if options.poses_like is not None:
        like = statistics_of(options.poses_like, options)
        clips = match_poses(clips, *like, min_std=MIN_POSE_STD)
    lengths = {clip.name: len(clip) for clip in clips}
    if options.gestures is not None:
        clips = mark_gestures(clips, GestureDictionary.load(options.gestures))
    training, held_out = split_clips(
        clips, held_out=options.held_out, seconds=options.held_out_seconds
    )
    if not options.use_all_frames:
        training, held_out = leave_out_bad_frames(training, held_out)
    predictor = PosePredictor.from_options(options, body)
    dataset = build_dataset(training, options)
    set_statistics(predictor, dataset)
    if pretrained := options.pretrained_folder():
        predictor.load_pretrained(pretrained)
    motions = [clip.pose_TP for clip in training]
    share = options.pretrained_lr_share if options.pretrained else 1.0
    config = options.fill(TrainingConfig, trunk_lr_share=share)
    model = Audio2PoseModel(predictor, motions=motions, config=config, device=device)
    loader = training_loader(
        dataset, batch_size=options.batch_size, seed=options.seed, workers=options.workers
    )
    remember_clips(options.folder, options.dataset, lengths, resumed=options.is_resumed)
    fit(model, loader, options=options, validation=held_out)


def statistics_of(folder: Path, options: TrainAudio2PoseOptions) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (106,) of the poses that a checkpoint predicts or a dataset has."""
    if (folder / OPTIONS_FILE).is_file() or newest_checkpoint(folder) is not None:
        network = PosePredictor.load(folder, body=options.body).network
        return network.pose_mean, network.pose_std
    return pose_statistics(load_motion_clips(folder, Body.load(options.body)))


def build_dataset(clips: list[MotionClip], options: TrainAudio2PoseOptions) -> Audio2PoseDataset:
    """Return the data set of the training clips with the options' augmentation."""
    return Audio2PoseDataset(
        clips,
        features=options.features,
        seq_len=options.seq_len,
        look_ahead=options.look_ahead,
        noise=options.noise,
        num_augmentations=options.num_augmentations,
        augmentation=AudioAugmentation() if options.num_augmentations > 1 else None,
        voice_mean_F=mean_voice_features(clips, options.features),
        known_phones=options.known_phones,
        seed=options.seed,
    )


def set_statistics(predictor: PosePredictor, dataset: Audio2PoseDataset) -> None:
    """Copy the training data's statistics into the network's buffers."""
    network = predictor.network
    feature_mean, feature_std = dataset.statistics()
    pose_mean, pose_std = pose_statistics(dataset.clips)
    network.feature_mean.copy_(feature_mean)
    min_std = feature_set(predictor.features).min_std
    network.feature_std.copy_(feature_std.clamp(min=min_std))
    network.pose_mean.copy_(pose_mean)
    network.pose_std.copy_(pose_std.where(pose_std > MIN_POSE_STD, 0))
    network.voice_mean.copy_(torch.from_numpy(dataset.voice_mean_F))


if __name__ == "__main__":
    run_command(main)
