"""Text to speech that works offline, with the times of words and phones: espeak-ng, optional."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from speech2video.util.audio import SPEECH_RATE
from speech2video.util.errors import DataError
from speech2video.util.espeak import ESPEAK_RATE, Event, phoneme_counts, speak
from speech2video.util.spoken_text import speakable, word_spans, words_of
from speech2video.util.transcript import Phone, Word

RATES = (80, 450)  # words a minute that espeak-ng takes
PITCHES = (0, 99)

_STRESS = {"ˈ": 1, "ˌ": 2}


class Voice(NamedTuple):
    """A way to speak: `synthesise(text, **voice._asdict())`."""

    voice: str
    rate_wpm: int
    pitch: int


# Accents, throats and tempi far apart, so that what is learned is not tied to one of them.
VOICES = (
    Voice("en-us", 160, 50),
    Voice("en-us+f5", 170, 55),
    Voice("en-gb-x-rp+m3", 165, 40),
    Voice("en-us+belinda", 155, 50),
    Voice("en-us+klatt3", 150, 60),
    Voice("en-gb-scotland+f1", 150, 45),
    Voice("en-us-nyc+m1", 175, 35),
    Voice("en-us+steph", 165, 50),
    Voice("en-029+m7", 150, 55),
    Voice("en-us+f2", 180, 65),
    Voice("en-us+edward", 160, 65),
    Voice("en-gb-x-rp+grandma", 145, 45),
)


@dataclass(frozen=True)
class Speech:
    """Spoken text: `wave_S` (S,) float32 in [-1, 1] at 16 kHz, its words and its phones (IPA)."""

    wave_S: np.ndarray
    words: list[Word]
    phones: list[Phone]


class _Sound(NamedTuple):
    start: int  # samples at ESPEAK_RATE
    end: int
    phoneme: str


def synthesise(text: str, *, voice: str = "en-us", rate_wpm: int = 160, pitch: int = 50) -> Speech:
    """Return `text` spoken: the same samples and times at every call.

    `voice` is one of espeak-ng's, with a variant if wanted ("en-gb-x-rp+f3"); `rate_wpm` in words a
    minute; `pitch` from 0 to 99. Words carry the spoken form of numbers ("2": "two"). Words and
    phones leave pauses out; the sound ends with the pause after the last word. Raises `DataError`
    on an empty text, letters other than Latin ones, values out of range, an unknown voice, and
    where espeak-ng is not installed.
    """
    _check_range("rate_wpm", rate_wpm, RATES)
    _check_range("pitch", pitch, PITCHES)
    text = speakable(text)
    spans = word_spans(text)
    if not spans:
        raise DataError("the text has no words to speak")
    pcm_S, events = speak(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch)
    groups = _sounds_by_word(events, spans, end=len(pcm_S))
    words = words_of(text)
    groups = _share_merged(groups, words, voice=voice)
    phones = [_phone(sound, index) for index, sounds in enumerate(groups) for sound in sounds]
    return Speech(_speech_rate(pcm_S), _timed(words, groups), phones)


def _check_range(name: str, value: int, allowed: tuple[int, int]) -> None:
    if not allowed[0] <= value <= allowed[1]:
        raise DataError(f"{name} {value}: {allowed[0]} to {allowed[1]} is needed")


def _speech_rate(pcm_S: np.ndarray) -> np.ndarray:
    """Return the samples at 16 kHz, each moment where it was (linear-phase filter)."""
    common = np.gcd(SPEECH_RATE, ESPEAK_RATE)
    wave_S = resample_poly(pcm_S / 32768.0, SPEECH_RATE // common, ESPEAK_RATE // common)
    return np.clip(wave_S, -1, 1).astype(np.float32)


def _sounds_by_word(
    events: Sequence[Event], spans: Sequence[tuple[int, int]], *, end: int
) -> list[list[_Sound]]:
    """Return each word's sounds; words that espeak-ng says as one with those before stay empty.

    Phonemes belong to the word whose event came last, whatever the times of both.
    """
    groups: list[list[_Sound]] = [[] for _ in spans]
    word = -1
    ends = [event.sample for event in events if event.phoneme is not None][1:] + [end]
    phoneme_ends = iter(ends)
    for event in events:
        if event.phoneme is None:
            word = _word_at(event.position, spans, after=word)
            continue
        until = next(phoneme_ends)
        if event.phoneme and word >= 0 and until > event.sample:  # some accents' r lasts no time
            groups[word].append(_Sound(event.sample, until, event.phoneme))
    return groups


def _word_at(position: int, spans: Sequence[tuple[int, int]], *, after: int) -> int:
    """Return the first word after word `after` that does not end before `position`.

    espeak-ng's positions fall short at times, into the word before, and may point at punctuation.
    """
    later = range(after + 1, len(spans))
    return next((word for word in later if spans[word][1] > position), after)


def _share_merged(
    groups: Sequence[list[_Sound]], words: Sequence[str], *, voice: str
) -> list[list[_Sound]]:
    """Return the groups with sounds of merged words ("in the") shared out among them."""
    if all(groups):
        return list(groups)
    counts = phoneme_counts(list(words), voice=voice)
    shared = list(groups)
    for first, group in enumerate(groups):
        last = first + 1
        while last < len(groups) and not groups[last]:
            last += 1
        if group and last > first + 1:
            shared[first:last] = _share(group, counts[first:last])
    return shared


def _share(sounds: list[_Sound], counts: Sequence[int]) -> list[list[_Sound]]:
    """Return the sounds cut in proportion to `counts`, at least one to each while they last."""
    cuts = np.round(np.cumsum(counts) / sum(counts) * len(sounds)).astype(int)
    parts = len(counts)
    cuts = [
        min(max(cut, part + 1), len(sounds) - parts + part + 1) for part, cut in enumerate(cuts)
    ]
    return [sounds[begin:end] for begin, end in zip([0, *cuts[:-1]], cuts, strict=True)]


def _timed(words: Sequence[str], groups: Sequence[Sequence[_Sound]]) -> list[Word]:
    """Return the words with their times; one without a sound of its own lasts no time."""
    timed: list[Word] = []
    for word, sounds in zip(words, groups, strict=True):
        before = timed[-1].end if timed else 0.0
        start = sounds[0].start / ESPEAK_RATE if sounds else before
        timed.append(Word(word, start, sounds[-1].end / ESPEAK_RATE if sounds else before))
    return timed


def _phone(sound: _Sound, word: int) -> Phone:
    text = sound.phoneme.lstrip("".join(_STRESS))
    stress = _STRESS.get(sound.phoneme[0], 0)
    return Phone(text, sound.start / ESPEAK_RATE, sound.end / ESPEAK_RATE, word, stress)
