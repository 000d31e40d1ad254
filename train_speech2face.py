"""Train speech to a talking face on clips of many people.

python train_speech2face.py --dataset datasets/NAME --name NAME
torchrun --nproc_per_node 4 train_speech2face.py --dataset datasets/NAME --name NAME

The same command goes on where a run was stopped. checkpoints/NAME/speech2face/index.html shows how
it goes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from speech2video.data.loader import training_loader
from speech2video.data.speech2face.clip import (
    EMOTIONS,
    FaceRecording,
    load_face_recordings,
    split_faces,
)
from speech2video.data.speech2face.dataset import FaceMotionDataset, augmented_copies
from speech2video.models.speech2face import predictor as speech2face
from speech2video.models.speech2face.generator import mean_appearance
from speech2video.models.speech2face.losses import FaceLossWeights, Schedule
from speech2video.models.speech2face.model import Speech2FaceModel
from speech2video.models.speech2face.teachers import ExternalTeacher
from speech2video.models.trainer import fit, training_session
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.util.errors import run_command


def main() -> None:
    options = TrainSpeech2FaceOptions.parse()
    with training_session(options) as device:
        train(options, device)


def train(options: TrainSpeech2FaceOptions, device: torch.device) -> None:
    """Load, build, fit."""
    weights = FaceLossWeights.of(options.weights, without=options.without)
    given = teachers(options, device)
    recordings = load_face_recordings(options.dataset, size=options.size)
    split = split_faces(
        recordings,
        held_out_sentences=options.held_out_sentences,
        held_out_speakers=options.held_out_speakers,
    )
    heard = augmented_copies(split.training, options.num_augmentations, seed=options.seed)
    dataset = FaceMotionDataset(
        heard, noise=options.noise, frames=options.frames, item_count=options.epoch_items
    )
    options = dataclasses.replace(options, people=len(dataset.speakers))
    networks = speech2face.build(options)
    if pretrained := options.pretrained_folder():
        speech2face.load_pretrained(networks, pretrained)
    set_statistics(networks, dataset, split.training)
    model = Speech2FaceModel(
        networks,
        speakers=len(dataset.speakers),
        schedule=Schedule(options.stage_ends()),
        lr=options.lr,
        lr_d=options.lr_d,
        painted=options.painted / options.batch_size,
        pictures=options.pictures,
        ema=options.ema,
        grad_clip=options.grad_clip,
        weights=weights,
        given=given,
        validated_frames=options.validate_frames,
        device=device,
    )
    loader = training_loader(
        dataset, batch_size=options.batch_size, seed=options.seed, workers=options.workers
    )
    validation = spread(split.observed or split.unseen, options.validate_clips)
    fit(model, loader, options=options, validation=validation)


def teachers(options: TrainSpeech2FaceOptions, device: torch.device) -> dict[str, ExternalTeacher]:
    """Return the user's own teachers, those that there are."""
    given = {"identity": options.identity_teacher, "emotion": options.emotion_teacher}
    classes = {"identity": None, "emotion": options.emotion_classes or EMOTIONS}
    return {
        name: ExternalTeacher(path, side=options.teacher_size, classes=classes[name], device=device)
        for name, path in given.items()
        if path is not None
    }


def set_statistics(
    networks: nn.ModuleDict, dataset: FaceMotionDataset, recordings: Sequence[FaceRecording]
) -> None:
    """Give the networks the statistics of what they are trained on."""
    for name, value in dataset.motion_statistics().items():
        getattr(networks["noise"], name).copy_(value)
    networks["content"].mel_mean.copy_(torch.from_numpy(dataset.mel_mean_B))
    networks["content"].mel_deviation.copy_(torch.from_numpy(dataset.mel_deviation_B))
    known = {recording.emotion for recording in recordings} - {""}
    if known:
        shown = torch.tensor([float(name in known) for name in EMOTIONS])
        networks["emotion"].known.copy_(shown)
    if hasattr(networks["generator"], "identity_bank"):
        networks["generator"].init_eigenfaces(*mean_appearance(dataset))


def spread(recordings: Sequence[FaceRecording], count: int) -> list[FaceRecording]:
    """Return so many recordings, evenly spread over all."""
    places = np.linspace(0, len(recordings) - 1, min(count, len(recordings)))
    return [recordings[int(place)] for place in places]


if __name__ == "__main__":
    run_command(main)
