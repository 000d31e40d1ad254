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

from speech2video.data.face_clip import EMOTIONS
from speech2video.data.face_motion import FaceMotionDataset, heard_otherwise
from speech2video.data.face_recording import FaceRecording, divide_faces, load_face_recordings
from speech2video.data.training_loader import training_loader
from speech2video.models import speech2face
from speech2video.models.face_portraits import mean_looks
from speech2video.models.face_teachers import GivenTeacher
from speech2video.models.speech2face_losses import FaceLossWeights, Schedule
from speech2video.models.speech2face_model import Speech2FaceModel
from speech2video.models.training import fit, session
from speech2video.options.train_speech2face_options import TrainSpeech2FaceOptions
from speech2video.util.errors import run_command


def main() -> None:
    options = TrainSpeech2FaceOptions.parse()
    with session(options) as device:
        train(options, device)


def train(options: TrainSpeech2FaceOptions, device: torch.device) -> None:
    """Load, build, fit."""
    weights = FaceLossWeights.of(options.weights, without=options.without)
    given = teachers(options, device)
    recordings = load_face_recordings(options.dataset, size=options.size)
    split = divide_faces(
        recordings,
        held_out_sentences=options.held_out_sentences,
        held_out_speakers=options.held_out_speakers,
    )
    heard = heard_otherwise(split.training, options.versions, seed=options.seed)
    dataset = FaceMotionDataset(
        heard, noise=options.noise, frames=options.frames, item_count=options.epoch_items
    )
    options = dataclasses.replace(options, people=len(dataset.speakers))
    networks = speech2face.build(options)
    if pretrained := options.run_to_begin_with():
        speech2face.begin_with(networks, pretrained)
    set_statistics(networks, dataset, split.training)
    model = Speech2FaceModel(
        networks,
        speakers=len(dataset.speakers),
        schedule=Schedule(options.stage_ends()),
        learning_rate=options.learning_rate,
        adversary_rate=options.adversary_rate,
        painted=options.painted / options.batch_size,
        pictures=options.pictures,
        ema=options.ema,
        clip=options.clip,
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


def teachers(options: TrainSpeech2FaceOptions, device: torch.device) -> dict[str, GivenTeacher]:
    """Return the user's own teachers, those that there are."""
    given = {"identity": options.identity_teacher, "emotion": options.emotion_teacher}
    classes = {"identity": None, "emotion": options.emotion_classes or EMOTIONS}
    return {
        name: GivenTeacher(path, side=options.teacher_size, classes=classes[name], device=device)
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
    if hasattr(networks["generator"], "gallery"):
        networks["generator"].begin_with_people(*mean_looks(dataset))


def spread(recordings: Sequence[FaceRecording], count: int) -> list[FaceRecording]:
    """Return so many recordings, evenly spread over all."""
    places = np.linspace(0, len(recordings) - 1, min(count, len(recordings)))
    return [recordings[int(place)] for place in places]


if __name__ == "__main__":
    run_command(main)
