"""Forced alignment of a transcript by PocketSphinx, whose English model is in its wheel.

A recording is aligned window by window. In each, the search may stop after any word (an epsilon
transition from every state to the last); the words that end well before the window does are kept,
and the next window begins where the last of them ended. So the search takes the time and memory
of half a minute at a time, however long the recording.
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speech2video.util.audio.audio_io import normalise_loudness
from speech2video.util.errors import DataError
from speech2video.util.files import read_json
from speech2video.util.timing import SAMPLE_RATE

Lookup = Callable[[str], str | None]

FRAME = 0.01  # seconds a frame of the acoustic model
FRAME_SAMPLES = 160
WINDOW = 3000  # frames aligned at once
KEEP = 2300  # frames of a window whose words are kept; the rest is aligned again
WORDS_PER_FRAME = 0.06  # most words tried in a window: 6 a second, a fast speaker's rate
DITHER = 3e-4  # of full scale, next to speech at 0.07: the model has seen no digital silence
FASTEST = 12.0  # words a second; more is no speech
# (beam, word beam), the second where the first finds no path, as in noise of 14 dB. PocketSphinx'
# own, 1e-48 and 7e-29, lose some right texts of a minute.
BEAMS = ((1e-64, 1e-56), (1e-120, 1e-100))
# Mean log likelihood a frame below that of the best state, median over words. Right texts: -1.9 or
# better over whole recordings, -3.1 for a robot's voice or in noise; -3.2 in their worst 20 words.
# Wrong texts: -4.2 or worse. Parts of the text missing: -4.8 in the 20 words around the gap.
WORST_TEXT, WORST_STRETCH = -3.5, -4.5
STRETCH = 20  # words
SCORE_SCALE = 1024  # PocketSphinx keeps its acoustic scores in 1/1024 of its log units

SHORTEST_PART = 3  # letters in each half of a compound
VOICELESS = {"F", "K", "P", "T", "TH"}
SIBILANTS = {"S", "Z", "SH", "ZH", "CH", "JH"}


# Spellings and their phones, longest first: ^ word start, $ word end, _ consonant and final e
_RULES: dict[str, dict[str, str]] = read_json(
    Path(__file__).with_name("pronunciation.json"), what="a table of phones"
)
_SPELLINGS, _LETTERS, _ENDINGS = (_RULES[name] for name in ("spellings", "letters", "endings"))
_LONGEST = max(map(len, _SPELLINGS))


class _Aligned(NamedTuple):
    start: int  # frames
    end: int
    fit: float  # log likelihood a frame, 0 at best


def align(audio_S: np.ndarray, words: Sequence[str]) -> list[tuple[float, float]]:
    """Return (start, end) in seconds for each of `words` in 16 kHz audio (S,) in [-1, 1].

    Words unknown to the model's dictionary get a pronunciation by rule. Raises `DataError` if the
    text does not fit: more words than the audio has room for, no path through the audio, or audio
    too unlike the words; and where PocketSphinx is not installed.
    """
    pcm_S = _model_audio(audio_S)
    seconds = len(pcm_S) / SAMPLE_RATE
    if len(words) > FASTEST * seconds:
        raise DataError(
            f"the transcript does not fit: {len(words)} words in {seconds:.1f} s of audio"
        )
    aligned = _align(pcm_S, words, *BEAMS[0]) or _align(pcm_S, words, *BEAMS[1])
    if aligned is None:
        raise DataError("the transcript does not fit: its words cannot be found in the audio")
    _check_fit(words, aligned)
    return [(word.start * FRAME, min(word.end * FRAME, seconds)) for word in aligned]


def _model_audio(audio_S: np.ndarray) -> np.ndarray:
    if audio_S.ndim != 1 or not np.isfinite(audio_S).all():
        raise DataError(f"mono audio (S,) of finite numbers is needed, not {audio_S.shape}")
    if not np.any(audio_S):
        raise DataError("the transcript does not fit: the audio is silent")
    noise_S = np.random.default_rng(0).normal(scale=DITHER, size=len(audio_S))
    return (np.clip(normalise_loudness(audio_S) + noise_S, -1, 1) * 32767).astype(np.int16)


def _align(
    pcm_S: np.ndarray, words: Sequence[str], beam: float, word_beam: float
) -> list[_Aligned] | None:
    decoder = _decoder(beam, word_beam)
    spoken = [_dictionary_word(decoder, word) for word in words]
    aligned: list[_Aligned] = []
    begin = 0
    while len(aligned) < len(words):
        audio = pcm_S[begin * FRAME_SAMPLES :]
        last = len(audio) <= WINDOW * FRAME_SAMPLES
        text = spoken[len(aligned) :]
        if not last:
            audio = audio[: WINDOW * FRAME_SAMPLES]
            text = text[: round(WINDOW * WORDS_PER_FRAME)]
        found = _search(decoder, audio, text, whole=last)
        if found is None or (last and len(found) < len(text)):
            return None
        kept = found if last else [word for word in found if word.end <= KEEP]
        aligned += (_Aligned(begin + start, begin + end, fit) for start, end, fit in kept)
        # the next window begins further on, and never inside a word
        first = min(max(found[0].start, 1), KEEP) if found else KEEP
        begin += kept[-1].end if kept else first
    return aligned


def _decoder(beam: float, word_beam: float) -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise DataError(
            "aligning a transcript needs the package pocketsphinx (pip install pocketsphinx); "
            "or give words with times"
        ) from None
    # bestpath, a second search in the lattice of the first, may end before the text does
    beams = {"beam": beam, "pbeam": beam, "wbeam": word_beam}
    return Decoder(lm=None, loglevel="FATAL", bestpath=False, **beams)


def _dictionary_word(decoder: Any, word: str) -> str:
    """Return `word` in the decoder's dictionary, added by rule if it is not there."""
    word = word.lower()
    if decoder.lookup_word(word) is None:
        decoder.add_word(word, " ".join(pronounce(word, decoder.lookup_word)), True)
    return word


def _search(
    decoder: Any, pcm_S: np.ndarray, words: Sequence[str], *, whole: bool
) -> list[_Aligned] | None:
    """Return the words' frames; unless `whole`, the words after some point may be left out."""
    final = len(words)
    arcs: list[tuple] = [(state, state + 1, 1.0, word) for state, word in enumerate(words)]
    if not whole:
        arcs += [(state, final, 1.0) for state in range(final)]
    decoder.add_fsg("text", decoder.create_fsg("text", 0, final, arcs))
    decoder.activate_search("text")
    decoder.start_utt()
    decoder.process_raw(pcm_S.tobytes(), full_utt=True)
    decoder.end_utt()
    segments = decoder.seg()
    if segments is None:
        return None
    aligned = []
    for segment in (segment for segment in segments if segment.word[0] not in "<[("):
        start, end = segment.start_frame, segment.end_frame + 1
        likelihood = SCORE_SCALE * math.log(max(segment.ascore, np.finfo(float).tiny))
        aligned.append(_Aligned(start, end, likelihood / (end - start)))
    return aligned


def _check_fit(words: Sequence[str], aligned: Sequence[_Aligned]) -> None:
    fits = np.array([word.fit for word in aligned])
    if np.median(fits) < WORST_TEXT:
        raise DataError(
            f"the transcript does not fit the audio: fit {np.median(fits):.1f}, "
            f"at least {WORST_TEXT} is needed (0 is perfect, -4 another text)"
        )
    for first in range(len(fits) - STRETCH + 1):
        stretch = slice(first, first + STRETCH)
        if np.median(fits[stretch]) < WORST_STRETCH:
            start, end = aligned[first].start * FRAME, aligned[stretch][-1].end * FRAME
            raise DataError(
                f"the transcript does not fit the audio from {start:.1f} to {end:.1f} s "
                f"({' '.join(words[first : first + 4])} ...): words are missing or wrong there"
            )


def pronounce(word: str, lookup: Lookup) -> list[str]:
    """Return phones of the CMU dictionary for `word`; `lookup` gives those of known words, or None.

    Tried in turn: a known word with an ending, two known words in one, letters spelled out where
    there is no vowel, spelling rules. A wrong vowel does little harm to an alignment.
    Raises `DataError` if `word` has no letter a to z.
    """
    word = re.sub(r"[^a-z']", "", word.lower())
    letters = word.replace("'", "")
    if not letters:
        raise DataError(f"the transcript's {word!r} has no letters to pronounce")
    if not re.search("[aeiouy]", letters):
        return _spell_out(letters)
    return _inflected(word, lookup) or _compound(letters, lookup) or spell_phones(letters)


def spell_phones(letters: str) -> list[str]:
    """Return phones for a word of letters a to z by spelling rules alone."""
    phones: list[str] = []
    place = 0
    while place < len(letters):
        length, found = _longest_spelling(letters, place)
        phones += found.split()
        place += length
    return phones or _spell_out(letters)


def _spell_out(letters: str) -> list[str]:
    return " ".join(_LETTERS[letter] for letter in letters).split()


def _longest_spelling(letters: str, place: int) -> tuple[int, str]:
    """Return how many letters the best spelling takes at `place`, and its phones."""
    for length in range(min(_LONGEST, len(letters) - place), 0, -1):
        part = letters[place : place + length]
        start, end = place == 0, place + length == len(letters)
        silent_e = length == 1 and re.fullmatch(r"[^aeiouywx]es?", letters[place + 1 :])
        keys = f"^{part}$", f"{part}$", f"^{part}", f"{part}_", part
        for key, fits in zip(keys, (start and end, end, start, silent_e, True), strict=True):
            if fits and key in _SPELLINGS:
                return length, _SPELLINGS[key]
    raise AssertionError(f"no spelling for {letters[place:]!r}: every letter has one")


def _inflected(word: str, lookup: Lookup) -> list[str] | None:
    for ending in ("'s", "s'", "s", "es"):
        stem = _stem(word.removesuffix(ending), lookup) if word.endswith(ending) else None
        if stem:
            return stem + _after(stem, SIBILANTS, ["IH", "Z"], "S", "Z")
    if word.endswith("ed"):
        stem = _lookup_phones(word[:-1], lookup) or _lookup_phones(word[:-2], lookup)
        stem = stem or _undoubled(word[:-2], lookup)
        if stem:
            return stem + _after(stem, {"T", "D"}, ["IH", "D"], "T", "D")
    for ending, phones in _ENDINGS.items():
        rest = word.removesuffix(ending)
        stem = None
        if rest != word:
            stem = _stem(rest, lookup) or _lookup_phones(f"{rest}e", lookup)
            stem = stem or _undoubled(rest, lookup)
        if stem:
            return stem + phones.split()
    return None


def _after(
    stem: list[str], alike: set[str], apart: list[str], voiceless: str, voiced: str
) -> list[str]:
    """Return the phones of a plural or past ending after `stem`."""
    if stem[-1] in alike:
        return apart
    return [voiceless if stem[-1] in VOICELESS | SIBILANTS - {"Z", "ZH", "JH"} else voiced]


def _undoubled(rest: str, lookup: Lookup) -> list[str] | None:
    doubled = len(rest) > SHORTEST_PART and rest[-1] == rest[-2]
    return _lookup_phones(rest[:-1], lookup) if doubled else None


def _stem(word: str, lookup: Lookup) -> list[str] | None:
    return _lookup_phones(word, lookup) or _compound(word, lookup)


def _lookup_phones(word: str, lookup: Lookup) -> list[str] | None:
    phones = lookup(word) if len(word) >= SHORTEST_PART else None
    return phones.split() if phones else None


def _compound(letters: str, lookup: Lookup) -> list[str] | None:
    for cut in range(len(letters) - SHORTEST_PART, SHORTEST_PART - 1, -1):
        first, second = _lookup_phones(letters[:cut], lookup), _lookup_phones(letters[cut:], lookup)
        if first and second:
            return first + second
    return None
