"""Train speech to pose on one person's clips.

python train_audio2pose.py --dataset datasets/NAME --name NAME
torchrun --nproc_per_node 4 train_audio2pose.py --dataset datasets/NAME --name NAME

The same command goes on where a run was stopped. checkpoints/NAME/audio2pose/index.html shows how
it goes.
"""

import torch

from speech2video.data.audio2pose_dataset import Audio2PoseDataset, voice_prior
from speech2video.data.gesture_dictionary import GestureDictionary
from speech2video.data.held_out import divide
from speech2video.data.sound_augmentation import SoundAugmentation
from speech2video.data.speech_motion import (
    SpeechMotion,
    load_dataset,
    mark_gestures,
    pose_statistics,
    smoothed,
)
from speech2video.data.training_loader import training_loader
from speech2video.models import audio2pose
from speech2video.models.audio2pose_model import Audio2PoseModel
from speech2video.models.training import fit, session
from speech2video.options.train_audio2pose_options import TrainAudio2PoseOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import run_command

LEAST_FEATURE_STD = 0.1  # nepers; a feature that hardly changes is not blown up
# Radians, metres. What a person moves less is the fits' trembling; a network that may tremble, too,
# makes her hop where the painter has never seen her.
LEAST_STD = 0.01


def main() -> None:
    options = TrainAudio2PoseOptions.parse()
    with session(options) as device:
        train(options, device)


def train(options: TrainAudio2PoseOptions, device: torch.device) -> None:
    """Load, build, fit."""
    body = Body.load(options.body)
    loaded = load_dataset(options.dataset, body)
    recordings = [smoothed(recording, options.smooth) for recording in loaded]
    if options.gestures is not None:
        recordings = mark_gestures(recordings, GestureDictionary.load(options.gestures))
    training, held_out = divide(
        recordings, held_out=options.held_out, seconds=options.held_out_seconds
    )
    predictor = audio2pose.build(options, body)
    dataset = heard(training, options)
    set_statistics(predictor, dataset)
    if pretrained := options.run_to_begin_with():
        audio2pose.begin_with(predictor, pretrained)
    model = Audio2PoseModel(
        predictor,
        motions=[recording.pose_TP for recording in training],
        learning_rate=options.learning_rate,
        adversary=options.adversary_rate,
        steps=options.steps,
        ema=options.ema,
        clip=options.clip,
        precision=options.precision,
        device=device,
    )
    loader = training_loader(
        dataset, batch_size=options.batch_size, seed=options.seed, workers=options.workers
    )
    fit(model, loader, options=options, validation=held_out)


def heard(recordings: list[SpeechMotion], options: TrainAudio2PoseOptions) -> Audio2PoseDataset:
    """Return the data set, its sound augmented as the options ask."""
    return Audio2PoseDataset(
        recordings,
        features=options.features,
        window=options.window,
        look_ahead=options.look_ahead,
        noise=options.noise,
        versions=options.versions,
        augmentation=SoundAugmentation() if options.versions > 1 else None,
        voice_mean_F=voice_prior(recordings, options.features),
        seed=options.seed,
    )


def set_statistics(predictor: audio2pose.Audio2Pose, dataset: Audio2PoseDataset) -> None:
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
