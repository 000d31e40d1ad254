"""Train the phonetic features' network on the speech of many voices with known phones.

python scripts/make_demo_speech.py --output datasets/demo_speech
python scripts/train_phonetic.py --dataset datasets/demo_speech --name NAME

The same command resumes a stopped run. `scripts/export_checkpoint.py --kind phonetic` puts the
trained weights in the place of those that ship.
"""

if __name__ == "__main__":  # before the imports, which take seconds
    import _checkout  # noqa: F401

    from speech2video.util.errors import start_command

    start_command()

import torch

from speech2video.data.loader import training_loader
from speech2video.data.phonetic import (
    PhoneClip,
    PhoneticDataset,
    load_phone_clips,
    make_copies,
    mean_voices,
)
from speech2video.models.phonetic import PhoneticConfig, PhoneticModel
from speech2video.models.trainer import fit, training_session
from speech2video.options.phonetic import TrainPhoneticOptions
from speech2video.util.audio.phonetic import PhoneticNetwork
from speech2video.util.errors import DataError, run_command

EVERY = 20  # without --held_out, every so many clips one is held out


def main() -> None:
    options = TrainPhoneticOptions.parse()
    with training_session(options) as device:
        train(options, device)


def train(options: TrainPhoneticOptions, device: torch.device) -> None:
    """Load the clips, prepare their copies, fit."""
    training, held_out = split_by_voice(load_phone_clips(options.dataset), options)
    network = PhoneticNetwork(options.hidden_size, options.layers, options.dropout)
    means = mean_voices(training)
    for buffer, mean in zip((network.bands_mean, network.cepstra_mean), means, strict=True):
        buffer.copy_(torch.from_numpy(mean))
    common = {
        "seed": options.seed,
        "voice_means": means,
        "cache": options.folder / "cache",
        "jobs": options.jobs,
    }
    copies = make_copies(training, count=options.num_augmentations, **common)
    validation = make_copies(held_out, count=1, **common)
    dataset = PhoneticDataset(copies, seq_len=options.seq_len)
    model = PhoneticModel(network, config=options.fill(PhoneticConfig), device=device)
    loader = training_loader(
        dataset, batch_size=options.batch_size, seed=options.seed, workers=options.workers
    )
    fit(model, loader, options=options, validation=validation)


def split_by_voice(
    clips: list[PhoneClip], options: TrainPhoneticOptions
) -> tuple[list[PhoneClip], list[PhoneClip]]:
    """Return the training clips and the held-out ones."""
    names, voices = set(options.held_out), set(options.held_out_voices)
    for option, given, known in (
        ("held_out", names, {clip.name for clip in clips}),
        ("held_out_voices", voices, {clip.voice for clip in clips}),
    ):
        if unknown := sorted(given - known):
            raise DataError(f"--{option} {unknown[0]}: not in {options.dataset}")
    if not names and not voices:
        names = {clip.name for clip in clips[EVERY - 1 :: EVERY]} or {clips[-1].name}
    held_out = [clip for clip in clips if clip.name in names or clip.voice in voices]
    training = [clip for clip in clips if clip.name not in names and clip.voice not in voices]
    if not training:
        raise DataError(f"{options.dataset}: {len(clips)} clips, all of them held out")
    return training, held_out


if __name__ == "__main__":
    run_command(main)
