"""Speech that content is encoded from: log-mels, features of audio2pose, or both side by side.

    speech_TF = encode_speech(audio_S, "phonetic+mel")

A name is that of a feature set (`util/audio/features.py`), or mel: four log-mels a frame,
normalised over the whole utterance, which removes most of a voice's timbre. A "+" joins several.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from speech2video.data.audio2pose.dataset import MotionClip, load_motion_clips
from speech2video.data.pose2video.frames import MemoryCache
from speech2video.data.speech2face.clip import LIPS, lip_shapes
from speech2video.options.speech2face import MEL
from speech2video.util.audio import mel
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.audio.features import feature_set, is_phonetic
from speech2video.util.audio.normalisation import SpeechFeatures, speech_features
from speech2video.util.audio.phonetic import PhoneReplacer
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.body.skeleton import IBUG68
from speech2video.util.text.phones import Phone

MEL_MIN_STD = 0.1  # of a normalised band, which has about 1
KNOWN_PHONES = 0.3  # share of samples of `LipClips` with known phones
DROPPED_MELS = 0.3  # share of samples whose features are without the mels next to them
MAX_MASKED_BANDS, MAX_MASKED_COLUMNS = 12, 16
NOISE_STD = 0.2  # of the noise added to masked mels, in standard deviations of a band
VTLP_STD = 0.08  # of the logarithm of the vocal tract's length


def speech_parts(features: str) -> tuple[str, ...]:
    """Return the names that a name joins."""
    return tuple(features.split("+"))


def part_sizes(features: str) -> list[int]:
    """Return the numbers of a frame of each part; raises `DataError` as `feature_set` does."""
    mels = mel.HOPS_PER_FRAME * mel.N_MELS
    return [mels if part == MEL else feature_set(part).size for part in speech_parts(features)]


def split_parts(speech_TF: np.ndarray, features: str) -> list[np.ndarray]:
    """Return the parts of speech (T, F)."""
    return np.split(speech_TF, np.cumsum(part_sizes(features))[:-1], 1)


def min_deviations(features: str) -> np.ndarray:
    """Return the deviation (F,) that each number has at least, to be standardised by."""
    parts = speech_parts(features)
    least = [MEL_MIN_STD if part == MEL else feature_set(part).min_std for part in parts]
    return np.repeat(least, part_sizes(features)).astype(np.float32)


def mel_frames(mel_BL: np.ndarray) -> np.ndarray:
    """Return log-mels (80, 4 T) as frames (T, 320)."""
    return np.ascontiguousarray(mel_BL.T.reshape(-1, mel.HOPS_PER_FRAME * mel.N_MELS))


class SpeechStream:
    """Speech (n, F) of audio that comes in chunks of any size.

    Args:
        features: name of the speech.
        mel_mean_B1, mel_deviation_B1: (80, 1) of the utterance's log-mels.
        phones: that are said, where they are known; phonetic features are replaced by them.
    """

    def __init__(
        self,
        features: str,
        mel_mean_B1: np.ndarray,
        mel_deviation_B1: np.ndarray,
        *,
        phones: Sequence[Phone] | None = None,
    ) -> None:
        statistics = mel_mean_B1, mel_deviation_B1
        self._parts = [
            _MelFrames(*statistics) if part == MEL else _Features(part, phones)
            for part in speech_parts(features)
        ]
        self._rest = [np.zeros((0, size), np.float32) for size in part_sizes(features)]

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return the frames (n, F) that all parts know by now."""
        return self._join(part.push(audio_S) for part in self._parts)

    def finish(self) -> np.ndarray:
        """Return the last frames (n, F)."""
        return self._join(part.finish() for part in self._parts)

    def _join(self, more: Iterable[np.ndarray]) -> np.ndarray:
        known = [np.concatenate(pair) for pair in zip(self._rest, more, strict=True)]
        count = min(map(len, known))
        self._rest = [frames[count:] for frames in known]
        return np.concatenate([frames[:count] for frames in known], 1)


class _MelFrames:
    def __init__(self, mean_B1: np.ndarray, deviation_B1: np.ndarray) -> None:
        self._stream, self._statistics = mel.LogMelStream(), (mean_B1, deviation_B1)

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        return self._normalise(self._stream.push(audio_S))

    def finish(self) -> np.ndarray:
        return self._normalise(self._stream.finish())

    def _normalise(self, mel_BL: np.ndarray) -> np.ndarray:
        mean_B1, deviation_B1 = self._statistics
        return mel_frames(((mel_BL - mean_B1) / deviation_B1).astype(np.float32))


class _Features:
    def __init__(self, kind: str, phones: Sequence[Phone] | None) -> None:
        self._features = SpeechFeatures(kind)
        self._change: Callable[[np.ndarray], np.ndarray] = lambda frames: frames
        if phones and is_phonetic(kind):
            self._change = PhoneReplacer(phones).push

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        return self._change(self._features.push(audio_S))

    def finish(self) -> np.ndarray:
        return self._change(self._features.finish())


def stream_speech(
    chunks: Iterable[np.ndarray],
    features: str,
    mel_mean_B1: np.ndarray,
    mel_deviation_B1: np.ndarray,
    *,
    phones: Sequence[Phone] | None = None,
) -> Iterator[np.ndarray]:
    """Yield speech (n, F) of audio chunks (S,); other arguments as of `SpeechStream`."""
    stream = SpeechStream(features, mel_mean_B1, mel_deviation_B1, phones=phones)
    for audio_S in chunks:
        yield stream.push(audio_S)
    yield stream.finish()


def encode_speech(audio_S: np.ndarray, features: str) -> np.ndarray:
    """Return the speech (T, F), T = ceil(S / 640), of 16 kHz audio (S,)."""
    return recognised_and_known(audio_S, features)[0]


def recognised_and_known(
    audio_S: np.ndarray,
    features: str,
    *,
    phones: Sequence[Phone] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the speech (T, F) of audio, and the same with known phones in place of others."""
    plain, known = [], []
    for part in speech_parts(features):
        if part == MEL:
            mel_BL = mel.normalise_utterance(mel.log_mels(audio_S))
            frames = replaced = mel_frames(mel_BL)
        else:
            frames = replaced = speech_features(audio_S, part)
            if phones and is_phonetic(part):
                replaced = PhoneReplacer(phones).push(frames)
        plain.append(frames)
        known.append(replaced)
    return np.concatenate(plain, 1), np.concatenate(known, 1)


class LipClips:
    """Speech with motion and without faces, whose lips content learns, too: many more voices.

    Args:
        dataset: folder of motion clips, as `make_demo_speech.py` makes them.
        features: name of the speech.
        num_augmentations: versions of each clip, all but the first with other voices and acoustics.
        seed: of these.
        kept_bytes: limit of the speech that stays in memory once it is encoded.

    Raises:
        DataError: no clips there, or broken ones.
    """

    def __init__(
        self,
        dataset: Path,
        features: str,
        *,
        num_augmentations: int = 1,
        seed: int = 0,
        kept_bytes: int = 1 << 30,
    ) -> None:
        self._body = Body.load()
        self.clips = load_motion_clips(dataset, self._body)
        self.features, self.seed = features, seed
        self.versions = num_augmentations * len(self.clips)
        self._kept = MemoryCache(kept_bytes)

    def sample(self, rng: np.random.Generator, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return speech (T, F) and lips (T, 4), in deviations of the clip's, at a random place.

        At times with the known phones: how lips make them is learned from these.
        """
        number, known = int(rng.integers(self.versions)), rng.random() < KNOWN_PHONES
        clip = self.clips[number % len(self.clips)]
        size = len(clip) * (4 * sum(part_sizes(self.features)) + 4 * len(LIPS))
        *both, lips_TL = self._kept.get(number, size, lambda: self._version(number))
        speech_TF = both[known]
        begin = int(rng.integers(max(len(speech_TF) - frames, 0) + 1))
        rows = np.arange(begin, begin + frames).clip(max=len(speech_TF) - 1)
        speech_TF = speech_TF[rows].astype(np.float32)
        found = split_parts(speech_TF, self.features)
        parts = dict(zip(speech_parts(self.features), found, strict=True))
        if MEL in parts:
            mel_BL = parts[MEL].reshape(-1, mel.N_MELS).T
            parts[MEL] = mel_frames(augment_mels(mel_BL, rng, droppable=len(parts) > 1))
        return np.concatenate(list(parts.values()), 1), lips_TL[rows]

    def _version(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return speech with recognised and with known phones (T, F) float16, and lips (T, 4)."""
        version, index = divmod(number, len(self.clips))
        clip = self.clips[index]
        audio_S = clip.audio_S
        if version:
            rng = np.random.default_rng((self.seed, index, version))
            audio_S = AudioAugmentation().augment(audio_S, rng)
        both = recognised_and_known(audio_S, self.features, phones=clip.phones)
        lips_TL = lips_of_motion(clip, self._body)
        count = min(len(both[0]), len(lips_TL))
        plain_TF, known_TF = (speech_TF[:count].astype(np.float16) for speech_TF in both)
        return plain_TF, known_TF, lips_TL[:count]


def lips_of_motion(clip: MotionClip, body: Body) -> np.ndarray:
    """Return the lips (T, 4) of a clip's motion, see `LIPS`, in deviations of each."""
    pose_TP = clip.pose_TP.clone()
    for part, where in POSE_SLICES.items():
        if part not in ("jaw", "expression"):  # an upright head, as faces are aligned
            pose_TP[:, where] = 0
    lips_TL = lip_shapes(body.points(pose_TP)[:, list(IBUG68), :2].numpy())
    return (lips_TL / lips_TL.std(0).clip(min=1e-6)).astype(np.float32)


def augment_mels(mel_BL: np.ndarray, rng: np.random.Generator, *, droppable: bool) -> np.ndarray:
    """Return log-mels (80, L) masked and of another vocal tract; at times 0 where they can be.

    They alone would teach what the training voices are like, which other voices are not.
    """
    tract = np.exp(VTLP_STD * rng.standard_normal())
    mel_BL = spec_augment(perturb_vocal_tract(mel_BL, tract), rng)
    return np.zeros_like(mel_BL) if droppable and rng.random() < DROPPED_MELS else mel_BL


def spec_augment(mel_BL: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return normalised log-mels (80, L) with noise, and some bands and columns masked by 0.

    Park et al., SpecAugment, 2019.
    """
    bands, columns = mel_BL.shape
    mel_BL = mel_BL + NOISE_STD * rng.standard_normal(mel_BL.shape)
    for axis, size, most in ((0, bands, MAX_MASKED_BANDS), (1, columns, MAX_MASKED_COLUMNS)):
        begin, count = rng.integers(size), rng.integers(most + 1)
        mel_BL[(slice(None),) * axis + (slice(begin, begin + count),)] = 0
    return mel_BL.astype(np.float32)


def perturb_vocal_tract(mel_BL: np.ndarray, length: float) -> np.ndarray:
    """Return log-mels (80, L) of a vocal tract of another length: band b is read at `length` b.

    Jaitly and Hinton, Vocal Tract Length Perturbation, 2013.
    """
    bands = np.arange(len(mel_BL))
    source_B = np.clip(length * bands, 0, bands[-1])
    below_B = np.floor(source_B).astype(int).clip(max=bands[-1] - 1)
    share_B1 = (source_B - below_B)[:, None]
    return (1 - share_B1) * mel_BL[below_B] + share_B1 * mel_BL[below_B + 1]
