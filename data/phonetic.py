"""Clips of speech with phones, and the training windows of the phonetic network cut from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.clip import list_clips
from speech2video.data.loader import SampleIndex
from speech2video.util.audio import phonetic
from speech2video.util.audio.acoustics import music
from speech2video.util.audio.audio_io import TARGET_LEVEL, load_audio, normalise_loudness
from speech2video.util.audio.augmentation import (
    AudioAugmentation,
    change_speed,
    coloured_noise,
    mask_times,
)
from speech2video.util.audio.normalisation import level_loudness
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, read_npz, read_table
from speech2video.util.iteration import open_bar
from speech2video.util.process_pool import Progress, run_tasks
from speech2video.util.text.phones import phone_shares
from speech2video.util.text.transcript import Phone, read_phones
from speech2video.util.timing import SAMPLE_RATE

VOICES_FILE = "voices.csv"
AUGMENTATION = AudioAugmentation(probability=0.35, distance=(0.3, 1.5), gain=(-15.0, 9.0))
INSERTED = 0.25  # chance that a copy begins or ends with music or noise, at which lips are shut
MUSIC = 0.7  # share of it that is music
INSERTED_SECONDS, INSERTED_LEVEL = (1.5, 5.0), (-20.0, 3.0)  # dB over the speech
DROPPED_BANDS = 0.3  # chance of a window without bands
MASKED_STEPS = 0.04  # of a window, longest stretch that is masked
HALF = np.float16  # of cached arrays
VoiceMeans = tuple[np.ndarray, np.ndarray]  # log powers (5,), cepstra (13,)


@dataclass(frozen=True, eq=False)
class PhoneClip:
    """Speech (S,) at the usual loudness, 16 kHz, and its phones."""

    name: str
    voice: str
    audio_S: np.ndarray
    phones: list[Phone]


@dataclass(frozen=True, eq=False)
class PhoneticCopy:
    """Inputs and targets of a clip or an augmented copy: N steps of 20 ms.

    Attributes:
        inputs: with `phonetic.DELAY` steps more.
        shares_NC: phones' shares of each step.
    """

    inputs: phonetic.PhoneticInputs
    shares_NC: np.ndarray


def load_phone_clips(dataset: Path) -> list[PhoneClip]:
    """Return the clips of a dataset that have phones. Raises `DataError` if none has."""
    voices = {}
    if (dataset / VOICES_FILE).is_file():
        voices = {row["clip"]: row["voice"] for row in read_table(dataset / VOICES_FILE)}
    clips = [
        PhoneClip(
            clip.folder.name,
            voices.get(clip.folder.name, ""),
            normalise_loudness(load_audio(clip.audio)),
            read_phones(clip.phones),
        )
        for clip in list_clips(dataset)
        if clip.phones.is_file()
    ]
    if not clips:
        raise DataError(f"{dataset}: no clips with phones.csv in it")
    return clips


class PhoneticDataset(Dataset):
    """Windows of clips and their augmented copies; the `SampleIndex`'s seed alone decides which.

    An item is a dict of tensors: states (W + D, 252), bands (W + D, 10), shares (W, C) and
    weight (W,), 0 past the clip's end.

    Args:
        copies: made by `make_copies`.
        seq_len: W, steps of an item.
    """

    def __init__(self, copies: Sequence[PhoneticCopy], *, seq_len: int) -> None:
        self.copies, self.seq_len = list(copies), seq_len
        counts = np.array([max(len(copy.shares_NC) - seq_len, 0) + 1 for copy in copies])
        self._starts = np.concatenate([[0], counts.cumsum()])

    def __len__(self) -> int:
        """The number of windows that follow one another in all copies."""
        return max(int(self._starts[-1]) // self.seq_len, len(self.copies))

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor]:
        """Return a window, some of its time masked, and at times without its bands."""
        rng = item.rng()
        place = int(rng.integers(self._starts[-1]))
        number = int(np.searchsorted(self._starts, place, side="right")) - 1
        copy, begin = self.copies[number], place - int(self._starts[number])
        size = self.seq_len + phonetic.DELAY
        states_NS = _window(copy.inputs.states_NS, begin, size)
        bands_NB = _window(copy.inputs.bands_NB, begin, size)
        if rng.random() < DROPPED_BANDS:
            bands_NB[:] = 0
        states_NS = mask_times(states_NS, rng, share=MASKED_STEPS)
        shares_NC = copy.shares_NC[begin : begin + self.seq_len].astype(np.float32)
        missing = self.seq_len - len(shares_NC)
        return {
            "states": torch.from_numpy(states_NS),
            "bands": torch.from_numpy(bands_NB),
            "shares": torch.from_numpy(np.pad(shares_NC, ((0, missing), (0, 0)))),
            "weight": (torch.arange(self.seq_len) < len(shares_NC)).float(),
        }


def make_copies(
    clips: Sequence[PhoneClip],
    *,
    count: int,
    seed: int,
    voice_means: VoiceMeans,
    cache: Path,
    jobs: int,
) -> list[PhoneticCopy]:
    """Return `count` copies of each clip, the first of them unchanged.

    They are kept as npz in the folder `cache`, from which a run that is started again reads them.
    """
    cache.mkdir(parents=True, exist_ok=True)
    tasks = [(clip, number, cache) for clip in clips for number in range(count)]
    todo = [task for task in tasks if not _copy_path(*task).is_file()]
    start = _StartWorker(seed, voice_means)
    with open_bar(total=len(todo), name="augmented copies", unit="copy") as bar:
        run_tasks(start, todo, jobs=jobs, on_progress=lambda done: bar.update(done - bar.n))
    return [_read_copy(_copy_path(*task)) for task in tasks]


@dataclass(frozen=True, eq=False)
class _StartWorker:
    seed: int
    voice_means: VoiceMeans

    def __call__(self) -> Callable[[tuple[PhoneClip, int, Path], Progress], None]:
        torch.set_num_threads(1)
        return self._make

    def _make(self, task: tuple[PhoneClip, int, Path], progress: Progress) -> None:
        clip, number, _ = task
        if number:
            name = [ord(letter) for letter in clip.name]
            clip = augment_clip(clip, np.random.default_rng((self.seed, number, *name)))
        copy = phonetic_copy(clip, self.voice_means)
        arrays = vars(copy.inputs) | {"shares_NC": copy.shares_NC}
        with atomic_write(_copy_path(*task)) as partial, partial.open("wb") as file:
            halves: dict[str, Any] = {name: array.astype(HALF) for name, array in arrays.items()}
            np.savez(file, **halves)
        progress(1)


def augment_clip(clip: PhoneClip, rng: np.random.Generator) -> PhoneClip:
    """Return a clip with another voice, speed and acoustics, at times with music or noise added."""
    factor = AUGMENTATION.draw_speed(rng)
    audio_S = change_speed(clip.audio_S, factor)
    early = 0.0
    if rng.random() < INSERTED:
        size = round(rng.uniform(*INSERTED_SECONDS) * SAMPLE_RATE)
        is_music, first, level = (
            rng.random() < 0.7,
            rng.random() < 0.5,
            rng.uniform(*INSERTED_LEVEL),
        )
        added_S = music(size, rng) if is_music else coloured_noise(size, rng.uniform(0, 2), rng=rng)
        added_S = (added_S * 10 ** ((TARGET_LEVEL + level) / 20)).astype(np.float32)
        audio_S = np.concatenate([added_S, audio_S] if first else [audio_S, added_S])
        early = size / SAMPLE_RATE if first else 0.0
    phones = [
        replace(p, start=p.start / factor + early, end=p.end / factor + early) for p in clip.phones
    ]
    return replace(clip, audio_S=AUGMENTATION.augment(audio_S, rng), phones=phones)


def phonetic_copy(clip: PhoneClip, voice_means: VoiceMeans) -> PhoneticCopy:
    """Return what the network sees of a clip, as it arrives at inference, and its targets."""
    stream = phonetic.PhoneticInputStream(*voice_means)
    parts = [stream.push(level_loudness(clip.audio_S)), stream.finish()]
    arrays = ([getattr(part, name) for part in parts] for name in vars(parts[0]))
    inputs = phonetic.PhoneticInputs(*(np.concatenate(pair) for pair in arrays))
    steps = len(inputs.energy_N) - phonetic.DELAY
    return PhoneticCopy(inputs, phone_shares(clip.phones, steps, rate=phonetic.RATE))


def mean_voices(clips: Sequence[PhoneClip]) -> VoiceMeans:
    """Return the mean of the voices' mean log powers (5,) and cepstra (13,)."""
    means = [phonetic.mean_voice(level_loudness(clip.audio_S)) for clip in clips]
    bands, cepstra = zip(*means, strict=True)
    return np.mean(bands, axis=0), np.mean(cepstra, axis=0)


def _copy_path(clip: PhoneClip, number: int, cache: Path) -> Path:
    return cache / f"{clip.name}_{number}.npz"


def _read_copy(path: Path) -> PhoneticCopy:
    arrays = read_npz(path, what="an augmented copy")
    shares_NC = arrays.pop("shares_NC")
    return PhoneticCopy(phonetic.PhoneticInputs(**arrays), shares_NC)


def _window(rows: np.ndarray, begin: int, size: int) -> np.ndarray:
    """Return rows [begin, begin + size) as float32, the last one repeated past the end."""
    return rows[np.arange(begin, begin + size).clip(max=len(rows) - 1)].astype(np.float32)
