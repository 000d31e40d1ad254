"""When a known text is said: forced alignment by PocketSphinx, whose English model is in its wheel.

A recording is aligned window by window. In each, the search may stop after any word (an epsilon
transition from every state to the last); the words that end well before the window does are kept,
and the next window begins where the last of them ended. So the search takes the time and memory
of half a minute at a time, however long the recording.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import resample_poly

from speech2video.util.audio import normalise_loudness
from speech2video.util.errors import DataError
from speech2video.util.pronunciation import pronounce

MODEL_RATE = 16_000  # Hz
FRAME = 0.01  # seconds a frame of the acoustic model
FRAME_SAMPLES = 160
WINDOW = 3000  # frames aligned at once
KEEP = 2300  # frames of a window whose words are kept; the rest is seen again
WORDS_A_FRAME = 0.06  # most words a window is offered: 6 a second, a fast speaker's rate
DITHER = 3e-4  # of full scale, beside speech at 0.07: the model knows no digital silence
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


class _Aligned(NamedTuple):
    start: int  # frames
    end: int
    fit: float  # log likelihood a frame, 0 at best


def align(wave_S: np.ndarray, words: Sequence[str], *, rate: int) -> list[tuple[float, float]]:
    """Return (start, end) in seconds for each of `words` in the sound `wave_S` (S,) in [-1, 1].

    Words unknown to the model's dictionary get a pronunciation by rule. Raises `DataError` if the
    text does not fit: more words than the sound has room for, no path through the sound, or sound
    so unlike the words that they were not said there; and where PocketSphinx is not installed.
    """
    pcm_S = _model_sound(wave_S, rate)
    seconds = len(pcm_S) / MODEL_RATE
    if len(words) > FASTEST * seconds:
        raise DataError(
            f"the transcript does not fit: {len(words)} words in {seconds:.1f} s of sound"
        )
    aligned = _align(pcm_S, words, *BEAMS[0]) or _align(pcm_S, words, *BEAMS[1])
    if aligned is None:
        raise DataError("the transcript does not fit: its words cannot be found in the sound")
    _check_fit(words, aligned)
    return [(word.start * FRAME, min(word.end * FRAME, seconds)) for word in aligned]


def _model_sound(wave_S: np.ndarray, rate: int) -> np.ndarray:
    if wave_S.ndim != 1 or not np.isfinite(wave_S).all():
        raise DataError(f"a mono sound (S,) of finite numbers is needed, not {wave_S.shape}")
    if not np.any(wave_S):
        raise DataError("the transcript does not fit: the sound is silent")
    if rate != MODEL_RATE:
        common = math.gcd(rate, MODEL_RATE)
        wave_S = resample_poly(wave_S, MODEL_RATE // common, rate // common)
    wave_S = normalise_loudness(wave_S, rate=MODEL_RATE)
    noise_S = np.random.default_rng(0).normal(scale=DITHER, size=len(wave_S))
    return (np.clip(wave_S + noise_S, -1, 1) * 32767).astype(np.int16)


def _align(
    pcm_S: np.ndarray, words: Sequence[str], beam: float, word_beam: float
) -> list[_Aligned] | None:
    decoder = _decoder(beam, word_beam)
    spoken = [_known(decoder, word) for word in words]
    aligned: list[_Aligned] = []
    begin = 0
    while len(aligned) < len(words):
        sound = pcm_S[begin * FRAME_SAMPLES :]
        last = len(sound) <= WINDOW * FRAME_SAMPLES
        text = spoken[len(aligned) :]
        if not last:
            sound = sound[: WINDOW * FRAME_SAMPLES]
            text = text[: round(WINDOW * WORDS_A_FRAME)]
        found = _search(decoder, sound, text, whole=last)
        if found is None or (last and len(found) < len(text)):
            return None
        kept = found if last else [word for word in found if word.end <= KEEP]
        aligned += (_Aligned(begin + start, begin + end, fit) for start, end, fit in kept)
        begin += _next_begin(kept, found)
    return aligned


def _next_begin(kept: Sequence[_Aligned], found: Sequence[_Aligned]) -> int:
    """Return where in a window the next one begins: always further on, and never inside a word."""
    if kept:
        return kept[-1].end
    return min(max(found[0].start, 1), KEEP) if found else KEEP


def _decoder(beam: float, word_beam: float) -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise DataError(
            "aligning a transcript needs the package pocketsphinx (pip install pocketsphinx); "
            "or give words with times"
        ) from None
    # bestpath, a second search in the lattice of the first, may end before the text does
    return Decoder(
        lm=None, loglevel="FATAL", bestpath=False, beam=beam, pbeam=beam, wbeam=word_beam
    )


def _known(decoder: Any, word: str) -> str:
    """Return `word` as the decoder's dictionary has it, added by rule if it has not."""
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
    return [_aligned(segment) for segment in segments if segment.word[0] not in "<[("]


def _aligned(segment: Any) -> _Aligned:
    start, end = segment.start_frame, segment.end_frame + 1
    likelihood = SCORE_SCALE * math.log(max(segment.ascore, np.finfo(float).tiny))
    return _Aligned(start, end, likelihood / (end - start))


def _check_fit(words: Sequence[str], aligned: Sequence[_Aligned]) -> None:
    fits = np.array([word.fit for word in aligned])
    if np.median(fits) < WORST_TEXT:
        raise DataError(
            f"the transcript does not fit the sound: fit {np.median(fits):.1f}, "
            f"at least {WORST_TEXT} is needed (0 is perfect, -4 another text)"
        )
    for first in range(len(fits) - STRETCH + 1):
        stretch = slice(first, first + STRETCH)
        if np.median(fits[stretch]) < WORST_STRETCH:
            start, end = aligned[first].start * FRAME, aligned[stretch][-1].end * FRAME
            raise DataError(
                f"the transcript does not fit the sound from {start:.1f} to {end:.1f} s "
                f"({' '.join(words[first : first + 4])} ...): words are missing or wrong there"
            )
