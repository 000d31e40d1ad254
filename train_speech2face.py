"""Train speech to a talking face on clips of many people.

python train_speech2face.py --dataset datasets/NAME --name NAME
torchrun --nproc_per_node 4 train_speech2face.py --dataset datasets/NAME --name NAME

The same command resumes a stopped run. checkpoints/NAME/speech2face/index.html shows its progress.
"""

if __name__ == "__main__":  # before the imports, which take seconds
    from speech2video.util.errors import start_command

    start_command()

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.data.loader import training_loader
from speech2video.data.speech2face.clip import EMOTIONS, split_numbers
from speech2video.data.speech2face.dataset import FaceDataset
from speech2video.data.speech2face.index import (
    GIGABYTE,
    FaceIndex,
    HeldOutClips,
    StoredRecordings,
)
from speech2video.data.speech2face.speech import LipClips
from speech2video.data.splits import remember_clips
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face import generator, predictor
from speech2video.models.speech2face.losses import TrainingConfig
from speech2video.models.speech2face.model import Speech2FaceModel
from speech2video.models.speech2face.teachers import ExternalTeacher
from speech2video.models.trainer import fit, training_session
from speech2video.options.speech2face import MEL, REFERENCE_IMAGE, TrainSpeech2FaceOptions
from speech2video.util import distributed
from speech2video.util.errors import DataError, run_command
from speech2video.util.iteration import open_bar

MEL_SHARE = 1 / 8  # of --cache: they are slow to make, and small
BAR = 100  # people from which a progress bar is shown
SAMPLED_CLIPS, SAMPLED_FRAMES = 16, 8  # of a speaker, of a clip, evenly spaced, for the appearance


def main() -> None:
    options = TrainSpeech2FaceOptions.parse()
    with training_session(options) as device:
        train(options, device)


def train(options: TrainSpeech2FaceOptions, device: torch.device) -> None:
    """Load the data, build the model and train it."""
    weights = options.loss_weights()
    external = load_teachers(options, device)
    with distributed.main_process_first():  # it writes what the others read
        index = FaceIndex.update(options.dataset, workers=options.workers)
        dataset, held_out = build_dataset(index, options)
        options = dataclasses.replace(options, num_speakers=len(dataset.speakers))
        networks = predictor.build_networks(options)
        if pretrained := options.pretrained_folder():
            predictor.load_pretrained(networks, pretrained)
        set_statistics(predictor.Speech2FacePredictor(networks), dataset)
    config = options.fill(
        TrainingConfig,
        stage_ends=options.stage_ends(),
        generator_share=options.generator_batch_size / options.batch_size,
        weights=weights,
    )
    model = Speech2FaceModel(
        networks, config, speakers=options.num_speakers, external=external, device=device
    )
    loader = training_loader(
        dataset, batch_size=options.batch_size, seed=options.seed, workers=options.workers
    )
    lengths = dict(zip(index.names, index.frames_C.tolist(), strict=True))
    remember_clips(options.folder, options.dataset, lengths, resumed=options.is_resumed)
    fit(model, loader, options=options, validation=held_out)


def build_dataset(
    index: FaceIndex, options: TrainSpeech2FaceOptions
) -> tuple[FaceDataset, HeldOutClips]:
    """Return the training dataset, and the held-out clips to validate on."""
    training, observed, unseen = split_numbers(
        index.speaker_names,
        index.sentences,
        held_out_sentences=options.held_out_sentences,
        held_out_speakers=options.held_out_speakers,
    )
    cache_bytes = round(options.cache * GIGABYTE)
    kept_bytes = round(MEL_SHARE * cache_bytes)
    dataset = FaceDataset(
        index.recordings(training, size=options.size, cache_bytes=cache_bytes - kept_bytes),
        frames=options.seq_len,
        noise_dim=options.noise,
        item_count=options.epoch_items,
        use_all_frames=options.use_all_frames,
        num_augmentations=options.num_augmentations,
        seed=options.seed,
        reference_images=options.baseline == REFERENCE_IMAGE,
        features=options.features,
        lip_clips=load_lip_clips(options),
        kept_bytes=kept_bytes,
        workers=options.workers,
    )
    if not dataset.speakers:
        raise DataError(f"{options.dataset}: no clip says who speaks; some have to")
    held_out = observed or unseen
    places = np.linspace(0, len(held_out) - 1, min(options.validate_clips, len(held_out)))
    chosen = [held_out[int(place)] for place in places]
    clips = index.recordings(chosen, size=options.size, cache_bytes=0)
    return dataset, HeldOutClips(clips, frames=options.validate_frames)


def load_lip_clips(options: TrainSpeech2FaceOptions) -> LipClips | None:
    """Return the clips of speech and motion whose lips are learned, too, if there are any."""
    if options.lip_dataset is None:
        return None
    versions = options.num_augmentations
    return LipClips(
        options.lip_dataset, options.features, num_augmentations=versions, seed=options.seed
    )


def load_teachers(
    options: TrainSpeech2FaceOptions, device: torch.device
) -> dict[str, ExternalTeacher]:
    """Return the user's own teachers by name, "identity" and "emotion"."""
    teacher = partial(
        ExternalTeacher,
        side=options.teacher_size,
        device=device,
        trusted=options.trust_torchscript,
    )
    teachers = {}
    if options.identity_teacher:
        teachers["identity"] = teacher(options.identity_teacher)
    if options.emotion_teacher:
        classes = options.emotion_classes or EMOTIONS
        teachers["emotion"] = teacher(options.emotion_teacher, classes=classes)
    return teachers


def set_statistics(face: predictor.Speech2FacePredictor, dataset: FaceDataset) -> None:
    """Set the networks' buffers and initial eigenfaces to the statistics of the training data."""
    for name, value in dataset.motion_statistics().items():
        getattr(face.head_motion, name).copy_(value)
    if face.features != MEL:
        for name, value in zip(("mean", "std"), dataset.speech_statistics(), strict=True):
            getattr(face.content, f"feature_{name}").copy_(torch.from_numpy(value))
    face.content.mel_mean.copy_(torch.from_numpy(dataset.statistics.mel_mean_B))
    face.content.mel_std.copy_(torch.from_numpy(dataset.statistics.mel_std_B))
    if known := dataset.emotions:
        face.emotion.trained.copy_(torch.tensor([float(name in known) for name in EMOTIONS]))
    if not face.uses_reference_image:
        set_appearance(face.generator, dataset)


def set_appearance(faces: generator.FaceGenerator, dataset: FaceDataset) -> None:
    """Set a generator's initial eigenfaces, and its speakers' codes."""
    scale, count, side = faces.portrait_scale, len(dataset.speakers), dataset.size
    chosen = generator.eigenface_speakers(count)
    rest = np.setdiff1d(np.arange(count), chosen)

    def heads_and_images() -> dict[str, np.ndarray]:
        found = zip(*typical_appearance(dataset, chosen, scale=scale), strict=True)
        return dict(zip(("heads", "images"), map(np.stack, found), strict=True))

    def codes_of_rest() -> dict[str, np.ndarray]:
        found = typical_appearance(dataset, rest, scale=scale)
        codes = [faces.eigenfaces.encode(torch.from_numpy(head)[None]).numpy() for head, _ in found]
        return {"codes": np.concatenate(codes)}

    settings, larger = (dataset.use_all_frames, scale), scale * side
    shapes = {"heads": (len(chosen), 3, larger, larger), "images": (len(chosen), 3, side, side)}
    found = _kept(dataset, "appearance", settings, shapes, heads_and_images)

    def others() -> Tensor:
        shapes = {"codes": (len(rest), generator.APPEARANCE_DIM)}
        codes = _kept(dataset, "appearance_codes", settings, shapes, codes_of_rest)
        return torch.from_numpy(codes["codes"])

    heads, images = (torch.from_numpy(found[name]) for name in shapes)
    faces.init_eigenfaces(heads, images, others)


def _kept(
    dataset: FaceDataset,
    name: str,
    settings: tuple[object, ...],
    shapes: Mapping[str, tuple[int, ...]],
    make: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Return arrays that are computed of a data set, of clips on disk as they are kept there."""
    if isinstance(dataset.recordings, StoredRecordings):
        return dataset.recordings.cached(name, settings, shapes, make)
    return make()


def typical_appearance(
    dataset: FaceDataset, speakers: Sequence[int] | np.ndarray, *, scale: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the head, `scale` times as large, and the mean image of speakers, (3, H, W) -1..1.

    A head is warped back to its median place in the clip; of each speaker's, the one nearest to
    their mean is returned. The mean itself would be blurred, since heads turn and faces move, and
    training hardly sharpens it.
    """
    hidden = len(speakers) < BAR or not distributed.is_main()
    with open_bar(total=len(speakers), name="faces", unit="person", disable=hidden) as bar:
        for speaker in speakers:
            own = dataset.clips_of(int(speaker))
            chosen = np.unique(np.linspace(0, len(own) - 1, SAMPLED_CLIPS).round().astype(int))
            found = [_rest_heads(dataset, int(own[place]), scale) for place in chosen]
            heads_N3HW, images_N3HW = (torch.cat(parts) for parts in zip(*found, strict=True))
            distance_N = (heads_N3HW - heads_N3HW.mean(0)).abs().mean((1, 2, 3))
            yield heads_N3HW[int(distance_N.argmin())].numpy(), images_N3HW.mean(0).numpy()
            bar.update()


def _rest_heads(dataset: FaceDataset, number: int, scale: int) -> tuple[Tensor, Tensor]:
    """Return frames of a clip, enlarged with the head at its median place, and as they are."""
    recording, motion_TM = dataset.recordings[number], dataset.motions[number]
    good = dataset.good_rows(number)
    rows = good[np.unique(np.linspace(0, len(good) - 1, SAMPLED_FRAMES).round().astype(int))]
    frames = to_floats(torch.from_numpy(np.ascontiguousarray(recording.frames_T3HW[rows])))
    place_M4 = torch.from_numpy(motion_TM[rows, : generator.PLACEMENT_DIM])
    rest_M23 = generator.invert_affine(generator.head_transform(place_M4))
    larger = F.interpolate(frames, scale_factor=scale, mode="bicubic") if scale > 1 else frames
    return generator.warp_with_head(larger, rest_M23).clamp(-1, 1), frames


if __name__ == "__main__":
    run_command(main)
