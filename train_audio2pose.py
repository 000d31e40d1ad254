"""Train speech to pose on one person's clips.

python train_audio2pose.py --dataset datasets/NAME --name NAME
torchrun --nproc_per_node 4 train_audio2pose.py --dataset datasets/NAME --name NAME

The same command goes on where a run was stopped. checkpoints/NAME/audio2pose/index.html shows how
it goes.
"""

import torch

from speech2video.data.audio2pose.dataset import (
    Audio2PoseDataset,
    MotionClip,
    load_motion_clips,
    mark_gestures,
    mean_voice_features,
    pose_statistics,
    smooth_motion,
)
from speech2video.data.gestures.dictionary import GestureDictionary
from speech2video.data.loader import training_loader
from speech2video.data.splits import split_clips
from speech2video.models.audio2pose.model import Audio2PoseModel
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.trainer import fit, training_session
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.body.body_model import Body
from speech2video.util.errors import run_command

LEAST_FEATURE_STD = 0.1  # nepers; a feature that hardly changes is not blown up
# Radians, metres. What a person moves less is the fits' trembling; a network that may tremble, too,
# makes her hop where the painter has never seen her.
LEAST_STD = 0.01


def main() -> None:
    options = TrainAudio2PoseOptions.parse()
    with training_session(options) as device:
        train(options, device)


def train(options: TrainAudio2PoseOptions, device: torch.device) -> None:
    """Load, build, fit."""
    body = Body.load(options.body)
    loaded = load_motion_clips(options.dataset, body)
    recordings = [smooth_motion(recording, options.smooth) for recording in loaded]
    if options.gestures is not None:
        recordings = mark_gestures(recordings, GestureDictionary.load(options.gestures))
    training, held_out = split_clips(
        recordings, held_out=options.held_out, seconds=options.held_out_seconds
    )
    predictor = PosePredictor.from_options(options, body)
    dataset = heard(training, options)
    set_statistics(predictor, dataset)
    if pretrained := options.pretrained_folder():
        predictor.load_pretrained(pretrained)
    model = Audio2PoseModel(
        predictor,
        motions=[recording.pose_TP for recording in training],
        lr=options.lr,
        adversary=options.lr_d,
        steps=options.steps,
        ema=options.ema,
        grad_clip=options.grad_clip,
        precision=options.precision,
        device=device,
    )
    loader = training_loader(
        dataset, batch_size=options.batch_size, seed=options.seed, workers=options.workers
    )
    fit(model, loader, options=options, validation=held_out)


def heard(recordings: list[MotionClip], options: TrainAudio2PoseOptions) -> Audio2PoseDataset:
    """Return the data set, its sound augmented as the options ask."""
    return Audio2PoseDataset(
        recordings,
        features=options.features,
        window=options.window,
        look_ahead=options.look_ahead,
        noise=options.noise,
        num_augmentations=options.num_augmentations,
        augmentation=AudioAugmentation() if options.num_augmentations > 1 else None,
        voice_mean_F=mean_voice_features(recordings, options.features),
        seed=options.seed,
    )


def set_statistics(predictor: PosePredictor, dataset: Audio2PoseDataset) -> None:
    """Give the network the statistics of what it is trained on."""
    network = predictor.network
    feature_mean, feature_std = dataset.statistics()
    pose_mean, pose_std = pose_statistics(dataset.recordings)
    network.feature_mean.copy_(feature_mean)
    network.feature_std.copy_(feature_std.clamp(min=LEAST_FEATURE_STD))
    network.pose_mean.copy_(pose_mean)
    network.pose_std.copy_(pose_std.where(pose_std > LEAST_STD, 0))
    network.voice_mean.copy_(torch.from_numpy(dataset.voice_mean_F))


if __name__ == "__main__":
    run_command(main)
