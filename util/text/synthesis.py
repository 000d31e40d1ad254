"""Text to speech by espeak-ng, offline and optional, with the times of words and phones.

espeak-ng is GPL-3: a separate package (`espeakng-loader` brings the library and its data), loaded
by ctypes only when called, and no part of this project. The interface is its `speak_lib.h`.
"""

import _ctypes
import ctypes
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.files import read_json
from speech2video.util.text.engines import PAUSE, installed_voices, speak
from speech2video.util.text.languages import (
    clean_phone,
    cut_runs,
    espeak_files,
    is_broken,
    is_english,
    known_languages,
    spoken_unicode,
    unicode_word_spans,
)
from speech2video.util.text.spoken_text import normalise_text, split_words, word_spans
from speech2video.util.text.transcript import Phone, Word
from speech2video.util.timing import SAMPLE_RATE

ESPEAK_RATE = 22_050  # Hz
RATES = (80, 450)  # words a minute that espeak-ng takes
PITCHES = (0, 99)
DEFAULT_VOICE = "en-us"

_STRESS = {"ˈ": 1, "ˌ": 2}
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _IPA, _DONT_EXIT = 0x1, 0x2, 0x8000
_UTF8, _END_PAUSE = 0x1, 0x1000
_RATE, _PITCH = 1, 3  # numbers of espeak's parameters
_LIST_END, _WORD, _PHONEME = 0, 1, 7  # kinds of events
_SEPARATOR = "_"
_VOICE = re.compile(r"([a-z0-9-]+)(?:\+(\w+))?", re.IGNORECASE)

# Each call loads the library anew (1 ms): its oscillators and random numbers run on from sentence
# to sentence, and the same text must give the same samples. Hence also one caller at a time.
_lock = threading.Lock()


class Voice(NamedTuple):
    """A synthetic voice: `synthesise(text, **voice._asdict())`."""

    voice: str
    rate_wpm: int
    pitch: int


# Accents, vocal tracts and tempi far apart, so that training does not depend on one of them.
VOICES = tuple(
    Voice(*row) for row in read_json(Path(__file__).with_name("voices.json"), what="voices")
)


def known_voices() -> list[str]:
    """Return English voices to choose from, the default first; none where espeak-ng is missing."""
    if not known_languages():
        return []
    others = (name for names in installed_voices().values() for name in names)
    return [*(one.voice for one in VOICES), *others]


@dataclass(frozen=True)
class SynthesisedSpeech:
    """Spoken text: `audio_S` (S,) float32 in [-1, 1] at 16 kHz, its words and its phones (IPA)."""

    audio_S: np.ndarray
    words: list[Word]
    phones: list[Phone]


class _Event(NamedTuple):
    """The start of a word or a phoneme.

    `sample` at 22,050 Hz; `position` counts characters from 0; `phoneme` is IPA with its stress
    mark, empty in a pause, and None where a word starts.
    """

    sample: int
    position: int
    phoneme: str | None


def synthesise(
    text: str, *, voice: str = "en-us", rate_wpm: int = 160, pitch: int = 50
) -> SynthesisedSpeech:
    """Return `text` spoken: the same samples and times at every call.

    `voice` is one of espeak-ng's, with a variant if wanted ("en-gb-x-rp+f3"), or another engine's
    ("flite:slt", "festival:kal_diphone", "piper:joe", "kokoro:jf_alpha", see `engines`); `rate_wpm`
    in words a minute; `pitch` from 0 to 99. English words carry the spoken form of numbers ("2":
    "two"); other languages keep their digits, which espeak-ng reads. Words and phones leave pauses
    out; the audio ends with the pause after the last word. Raises `DataError` on an empty text,
    letters other than Latin ones in English, values out of range, an unknown voice, and where
    espeak-ng is not installed.
    """
    for name, value, (low, high) in (("rate_wpm", rate_wpm, RATES), ("pitch", pitch, PITCHES)):
        if not low <= value <= high:
            raise DataError(f"{name} {value}: {low} to {high} is needed")
    if ":" in voice:
        sentences = re.split(r"(?<=[.!?])\s+", normalise_text(text))
        sentences = [sentence for sentence in sentences if split_words(sentence)]
        if not sentences:
            raise DataError("the text has no words to speak")
        return join_speech(
            synthesise_all(sentences, voice=voice, rate_wpm=rate_wpm, pitch=pitch),
            [round(PAUSE * SAMPLE_RATE)] * len(sentences),
        )
    pcm_S, words, groups = _speak(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch)
    phones = [replace(phone, word=word) for word, group in enumerate(groups) for phone in group]
    common = np.gcd(SAMPLE_RATE, ESPEAK_RATE)  # a linear-phase filter: no moment is shifted
    from scipy.signal import resample_poly  # takes half a second to import

    audio_S = resample_poly(pcm_S / 32768.0, SAMPLE_RATE // common, ESPEAK_RATE // common)
    audio_S = np.clip(audio_S, -1, 1).astype(np.float32)
    return SynthesisedSpeech(audio_S, _timed_words(words, groups), phones)


def synthesise_all(
    texts: Sequence[str], *, voice: str = "en-us", rate_wpm: int = 160, pitch: int = 50
) -> list[SynthesisedSpeech]:
    """Return each text as `synthesise` speaks it; other engines than espeak-ng start only once."""
    if ":" not in voice:
        return [synthesise(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch) for text in texts]
    texts = [normalise_text(text) for text in texts]
    references = [synthesise(text).phones for text in texts]
    spoken = speak(texts, references, voice=voice, rate_wpm=rate_wpm, pitch=pitch)
    speeches = []
    for text, (audio_S, phones) in zip(texts, spoken, strict=True):
        words = split_words(text)
        groups = [[phone for phone in phones if phone.word == i] for i in range(len(words))]
        speeches.append(SynthesisedSpeech(audio_S, _timed_words(words, groups), phones))
    return speeches


def join_speech(
    speeches: Sequence[SynthesisedSpeech], pauses: Sequence[int], *, before: int = 0
) -> SynthesisedSpeech:
    """Return speeches one after the other, with so many samples of silence after each."""
    parts, words, phones = [np.zeros(before, np.float32)], [], []
    samples = before
    for speech, pause in zip(speeches, pauses, strict=True):
        late, count = samples / SAMPLE_RATE, len(words)
        words += [replace(w, start=w.start + late, end=w.end + late) for w in speech.words]
        phones += [
            replace(p, start=p.start + late, end=p.end + late, word=(p.word or 0) + count)
            for p in speech.phones
        ]
        parts += [speech.audio_S, np.zeros(pause, np.float32)]
        samples += len(speech.audio_S) + pause
    return SynthesisedSpeech(np.concatenate(parts), words, phones)


def spoken_phones(text: str, *, voice: str) -> list[tuple[str, list[str]]]:
    """Return the words of `text` as espeak-ng says them in turn, and their phones in IPA."""
    _, words, groups = _speak(text, voice=voice, rate_wpm=RATES[1], pitch=50)
    pairs = zip(words, groups, strict=True)
    return [(word, [phone.text for phone in group]) for word, group in pairs]


def _speak(
    text: str, *, voice: str, rate_wpm: int, pitch: int
) -> tuple[np.ndarray, list[str], list[list[Phone]]]:
    """Return samples (S,) int16 at 22,050 Hz, the words and each word's phones."""
    english = is_english(voice)
    text = normalise_text(text) if english else spoken_unicode(text)
    spans = word_spans(text) if english else unicode_word_spans(text)
    if not spans:
        raise DataError("the text has no words to speak")
    pcm_S, events = _run_espeak(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch)
    if not english:
        spans = cut_runs(text, spans, (e.position for e in events if e.phoneme is None))
    words = [text[start:end] for start, end in spans]
    groups = _phones_by_word(events, spans, last=len(pcm_S), several=not english)
    if not any(groups):
        raise DataError(f"espeak-ng's voice {voice} has no phones for {text[:40]!r}")
    return pcm_S, words, _share_merged(groups, words, voice=voice)


def _phones_by_word(
    events: Sequence[_Event], spans: Sequence[tuple[int, int]], *, last: int, several: bool
) -> list[list[Phone]]:
    """Return each word's phones; words that espeak-ng merges with those before stay empty.

    Phones belong to the word whose event came last, whatever the times of both. `several` words of
    espeak-ng may be one of the text, such as a number.
    """
    groups: list[list[Phone]] = [[] for _ in spans]
    word = -1
    starts = [event.sample for event in events if event.phoneme is not None]
    ends = iter([*starts[1:], last])
    for event in events:
        if event.phoneme is None:
            # espeak-ng's positions fall short at times, into the word before, or are at punctuation
            same = several and word >= 0 and spans[word][0] <= event.position < spans[word][1]
            later = range(word + (not same), len(spans))
            word = next((number for number in later if spans[number][1] > event.position), word)
            continue
        until = next(ends)
        if event.phoneme and word >= 0 and until > event.sample:  # some accents' r lasts no time
            name, stress = event.phoneme.lstrip("".join(_STRESS)), _STRESS.get(event.phoneme[0], 0)
            start, end = event.sample / ESPEAK_RATE, until / ESPEAK_RATE
            groups[word].append(Phone(name, start, end, stress=stress))
    return groups


def _share_merged(
    groups: Sequence[list[Phone]], words: Sequence[str], *, voice: str
) -> list[list[Phone]]:
    """Return the groups with the phones of merged words ("in the") distributed over them."""
    if all(groups):
        return list(groups)
    counts = _phoneme_counts(words, voice=voice)
    shared = list(groups)
    for first, group in enumerate(groups):
        last = first + 1
        while last < len(groups) and not groups[last]:
            last += 1
        if group and last > first + 1:
            shared[first:last] = _share(group, counts[first:last])
    return shared


def _share(phones: list[Phone], counts: Sequence[int]) -> list[list[Phone]]:
    """Return the phones cut in proportion to `counts`, at least one to each while they last."""
    cuts = np.round(np.cumsum(counts) / sum(counts) * len(phones)).astype(int)
    parts, last = len(counts), len(phones)
    cuts = [min(max(cut, part + 1), last - parts + part + 1) for part, cut in enumerate(cuts)]
    return [phones[begin:end] for begin, end in zip([0, *cuts[:-1]], cuts, strict=True)]


def _timed_words(words: Sequence[str], groups: Sequence[Sequence[Phone]]) -> list[Word]:
    """Return the words with their times; one without a phone of its own lasts no time."""
    timed, start, end = [], 0.0, 0.0
    for word, phones in zip(words, groups, strict=True):
        start, end = (phones[0].start, phones[-1].end) if phones else (end, end)
        timed.append(Word(word, start, end))
    return timed


class _EventStruct(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("phoneme", ctypes.c_char * 8),  # a union; UTF-8, without a NUL if all 8 are used
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_EventStruct)
)


def _run_espeak(
    text: str, *, voice: str, rate_wpm: int, pitch: int
) -> tuple[np.ndarray, list[_Event]]:
    """Return samples (S,) int16 at 22,050 Hz, and the words and phonemes in the order spoken.

    Raises `DataError` if `espeakng-loader` is not installed or lacks the voice.
    """
    blocks: list[np.ndarray] = []
    events: list[_Event] = []

    @_Callback
    def receive(samples: "ctypes._Pointer", count: int, found: "ctypes._Pointer") -> int:
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        events.extend(_events(found, english=is_english(voice)))
        return 0

    with _library(voice) as library:
        library.espeak_SetSynthCallback(receive)
        library.espeak_SetParameter(_RATE, rate_wpm, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        content, flags = text.encode() + b"\0", _UTF8 | _END_PAUSE
        failed = library.espeak_Synth(content, len(content), 0, 0, 0, flags, None, None)
    if failed or not blocks:
        raise DataError(f"espeak-ng gave no audio for {text[:40]!r} (status {failed})")
    return np.concatenate(blocks), events


def _phoneme_counts(words: Sequence[str], *, voice: str) -> list[int]:
    """Return how many phonemes each word has when it is said alone, at least 1."""
    with _library(voice) as library:
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        mode = _IPA | ord(_SEPARATOR) << 8
        counts = []
        for word in words:
            buffer = ctypes.create_string_buffer(word.encode())
            text = ctypes.c_void_p(ctypes.addressof(buffer))
            found = library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, mode) or b""
            phonemes = filter(None, found.decode("utf-8").split(_SEPARATOR))
            counts.append(max(len(list(phonemes)), 1))
        return counts


@contextmanager
def _library(voice: str) -> Iterator[ctypes.CDLL]:
    """Yield espeak-ng, freshly loaded and with a voice chosen."""
    path, data = espeak_files()
    with _lock:
        library = ctypes.CDLL(str(path))
        try:
            options = _PHONEME_EVENTS | _IPA | _DONT_EXIT
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), options)
            if rate != ESPEAK_RATE:
                raise DataError(f"espeak-ng does not start with its data in {data} (status {rate})")
            library.espeak_ng_SetRandSeed(1)  # it starts from the process number otherwise
            match = _VOICE.fullmatch(voice)
            # espeak-ng ignores an unknown variant silently
            known = match and (not match[2] or (data / "voices" / "!v" / match[2]).is_file())
            known = known and (is_english(voice) or not is_broken(voice.partition("+")[0]))
            if not known or library.espeak_SetVoiceByName(voice.encode()):
                raise DataError(
                    f"espeak-ng has no voice {voice!r}; one like en-us or en-us+f3 is needed"
                )
            yield library
        finally:
            library.espeak_Terminate()
            unload = "dlclose" if hasattr(_ctypes, "dlclose") else "FreeLibrary"
            getattr(_ctypes, unload)(library._handle)


def _events(found: Any, *, english: bool) -> Iterator[_Event]:
    for event in takewhile(lambda event: event.kind != _LIST_END, found or ()):
        if event.kind == _WORD:
            yield _Event(event.sample, event.text_position - 1, None)
        elif event.kind == _PHONEME:
            name = event.phoneme.decode("utf-8", "ignore")
            name = name if english else clean_phone(name)
            if name is not None:
                yield _Event(event.sample, event.text_position - 1, name)
