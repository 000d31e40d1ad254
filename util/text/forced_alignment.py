"""Forced alignment of a transcript by PocketSphinx, whose English model is in its wheel.

A recording is aligned window by window. In each, the search may stop after any word (an epsilon
transition from every state to the last); the words that end well before the window does are kept,
and the next window begins where the last of them ended. So the search takes the time and memory
of half a minute at a time, however long the recording.

A tone, noise or music around the speech would be taken for its first or last words: the model knows
silence, but no music. Where words are longer than speech makes them, such parts are searched for
and silenced, and the text is aligned again.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from speech2video.util.audio.audio_io import normalise_loudness
from speech2video.util.errors import DataError, note
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
FOREIGN = 2.5  # by which words of other languages, in English phones, may fit worse
SCORE_SCALE = 1024  # PocketSphinx keeps its acoustic scores in 1/1024 of its log units

# Frames of a word, likely and most, in pairs: of any word, and of each phone more.
# "three" takes 0.6 s at the end of a sentence.
USUAL_FRAMES, MOST_FRAMES = (10, 12), (50, 15)
MUSIC_FIT = -0.5  # log likelihood a frame of what is no word
STEADY_WINDOW = 60  # frames; a tone, hum, chord or steady noise keeps its spectrum for longer
STEADY_FRAMES = 80  # at least, as a drawn-out vowel is steady, too
STEADY_DECIBEL = 4.2  # mean deviation of the spectrum over time; speech has 5 and more
LOUD = -40.0  # dB of full scale of steady parts that may be taken for words; speech has -23
STEADY_COST = 3  # a frame of words in steady parts
SQUEEZED, SQUEEZED_COST = -6.0, 100  # fit of a word where it is not said
NEIGHBOURS = 4  # words on each side of a long one that are aligned again
MARGIN = 20  # frames of silence in place of what is cut out
STEP, MAX_TRIALS = 30, 8  # frames between the ends of cuts that are tried, and most of them
CUT_TOLERANCE = 0.1  # share of the gain of the best cut that a shorter one may lack
MAX_CUTS = 4
BLOCK = 100  # frames
MOST_UNCOVERED, MIN_UNCOVERED = 0.5, 5  # share and number of loud blocks without a word: a note

_PRONOUNCED = "·"  # before the phones of a word that stand for its spelling

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


def align(
    audio_S: np.ndarray,
    words: Sequence[str],
    *,
    pronunciations: Mapping[str, Sequence[str]] | None = None,
) -> list[tuple[float, float]]:
    """Return (start, end) in seconds for each of `words` in 16 kHz audio (S,) in [-1, 1].

    Words of another language get their `pronunciations` in ARPAbet, without stress, and a looser
    test of fit. Words unknown to the model's dictionary get one by rule. Raises `DataError` if the
    text does not fit: more words than the audio has room for, no path through the audio, or audio
    too unlike the words; and where PocketSphinx is not installed.
    """
    pcm_S = model_audio(audio_S)
    seconds = len(pcm_S) / SAMPLE_RATE
    if len(words) > FASTEST * seconds:
        raise DataError(
            f"the transcript does not fit: {len(words)} words in {seconds:.1f} s of audio"
        )
    written = words
    if pronunciations is not None:
        words = [pronounced_name(word, pronunciations) for word in words]
    aligned = _align(pcm_S, words, *BEAMS[0]) or _align(pcm_S, words, *BEAMS[1])
    phones_W = _phone_counts(words)
    steady = _steady_parts(pcm_S)
    loud = any(_level(pcm_S, part) > LOUD for part in steady)
    if aligned is None or loud or _long_words(aligned, phones_W):
        aligned = _align_without_music(pcm_S, words, aligned, steady, phones_W)
    if aligned is None:
        raise DataError("the transcript does not fit: its words cannot be found in the audio")
    _check_fit(written, aligned, looser=0.0 if pronunciations is None else FOREIGN)
    _note_uncovered(pcm_S, aligned)
    return [(word.start * FRAME, min(word.end * FRAME, seconds)) for word in aligned]


def model_audio(audio_S: np.ndarray) -> np.ndarray:
    """Return audio (S,) as PocketSphinx takes it: int16, at its loudness, without zeros."""
    if audio_S.ndim != 1 or not np.isfinite(audio_S).all():
        raise DataError(f"mono audio (S,) of finite numbers is needed, not {audio_S.shape}")
    if not np.any(audio_S):
        raise DataError("the transcript does not fit: the audio is silent")
    noise_S = np.random.default_rng(0).normal(scale=DITHER, size=len(audio_S))
    return (np.clip(normalise_loudness(audio_S) + noise_S, -1, 1) * 32767).astype(np.int16)


def _align(
    pcm_S: np.ndarray, words: Sequence[str], beam: float, word_beam: float
) -> list[_Aligned] | None:
    decoder = make_decoder(beam, word_beam)
    spoken = [dictionary_word(decoder, word) for word in words]
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


def _align_without_music(
    pcm_S: np.ndarray,
    words: Sequence[str],
    aligned: list[_Aligned] | None,
    steady: Sequence[tuple[int, int]],
    phones_W: np.ndarray,
) -> list[_Aligned] | None:
    """Return a better alignment without steady noise, then without what no words explain."""
    cuts = [*steady]
    better = _align_without(pcm_S, cuts, words) if cuts else None
    if aligned is None or (better and _gains(better, aligned, cuts, phones_W)):
        aligned = better
    else:
        cuts = []
    for _ in range(MAX_CUTS):
        if aligned is None:
            break
        cut = _unexplained_part(pcm_S, words, aligned, phones_W)
        if cut is None:
            break
        better = _align_without(pcm_S, [*cuts, cut], words)
        if not better or _score(better, phones_W) <= _score(aligned, phones_W):
            break
        aligned = better
        cuts.append(cut)
    return aligned


def _gains(
    better: Sequence[_Aligned],
    aligned: Sequence[_Aligned],
    cuts: Sequence[tuple[int, int]],
    phones_W: np.ndarray,
) -> bool:
    """Return whether an alignment without `cuts` is better than one with words in them."""
    frames = sum(
        max(0, min(word.end, end) - max(word.start, start))
        for word in aligned
        for start, end in cuts
    )
    return _score(better, phones_W) > _score(aligned, phones_W) - STEADY_COST * frames


def _score(aligned: Sequence[_Aligned], phones_W: np.ndarray) -> float:
    """Return how much better words explain their frames than music does.

    Words that are longer than usual, and squeezed ones, are punished.
    """
    frames_W = np.array([word.end - word.start for word in aligned])
    fits_W = np.array([word.fit for word in aligned])
    excess_W = np.maximum(0, frames_W - _word_frames(phones_W, USUAL_FRAMES))
    punished = excess_W.sum() + SQUEEZED_COST * (fits_W < SQUEEZED).sum()
    return float((frames_W * (fits_W - MUSIC_FIT)).sum() - punished)


def _word_frames(phones_W: np.ndarray, frames: tuple[int, int]) -> np.ndarray:
    return frames[0] + frames[1] * phones_W


def _phone_counts(words: Sequence[str]) -> np.ndarray:
    """Return how many phones each word has (W,)."""
    decoder = make_decoder(*BEAMS[0])
    phones = (decoder.lookup_word(dictionary_word(decoder, word)) for word in words)
    return np.array([len(word.split()) for word in phones])


def _long_words(aligned: Sequence[_Aligned], phones_W: np.ndarray) -> list[int]:
    """Return the words that last longer than speech makes them."""
    frames_W = np.array([word.end - word.start for word in aligned])
    return np.flatnonzero(frames_W > _word_frames(phones_W, MOST_FRAMES)).tolist()


def _align_without(
    pcm_S: np.ndarray, cuts: Sequence[tuple[int, int]], words: Sequence[str]
) -> list[_Aligned] | None:
    """Return the alignment without parts (frames), which become short silences."""
    audio_S, pieces = _cut_out(pcm_S, cuts)
    aligned = _align(audio_S, words, *BEAMS[0]) or _align(audio_S, words, *BEAMS[1])
    return aligned and [_original_time(word, pieces) for word in aligned]


def _cut_out(
    pcm_S: np.ndarray, cuts: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Return audio without parts (frames), and the pieces left: start, end, frames cut before."""
    scale = DITHER * 32767
    pause_S = np.random.default_rng(0).normal(scale=scale, size=MARGIN * FRAME_SAMPLES)
    parts, pieces, place, removed = [], [], 0, 0
    for start, end in [*sorted(cuts), (math.ceil(len(pcm_S) / FRAME_SAMPLES),) * 2]:
        if start > place:
            parts.append(pcm_S[place * FRAME_SAMPLES : start * FRAME_SAMPLES])
            pieces.append((place, start, removed))
        if end > start and end > place:
            parts.append(pause_S.astype(np.int16))
            removed += end - max(start, place) - MARGIN
        place = max(place, end)
    return np.concatenate(parts), pieces


def _original_time(word: _Aligned, pieces: Sequence[tuple[int, int, int]]) -> _Aligned:
    """Return a word of audio with cuts at its time in the original, within one piece."""

    def shared(piece: tuple[int, int, int]) -> int:
        start, end, removed = piece
        return min(word.end + removed, end) - max(word.start + removed, start)

    start, end, removed = max(pieces, key=shared)
    first = min(max(word.start + removed, start), end - 1)
    return _Aligned(first, max(first + 1, min(word.end + removed, end)), word.fit)


def _level(pcm_S: np.ndarray, part: tuple[int, int]) -> float:
    """Return the level of a part (frames) in dB of full scale."""
    part_S = pcm_S[part[0] * FRAME_SAMPLES : part[1] * FRAME_SAMPLES] / 32768
    return float(10 * np.log10(np.mean(np.square(part_S)) + 1e-12)) if len(part_S) else -120.0


def _steady_parts(pcm_S: np.ndarray) -> list[tuple[int, int]]:
    """Return the parts (frames) whose spectrum changes less than speech's does."""
    mels = []
    for place in range(0, max(len(pcm_S), 1), WINDOW * FRAME_SAMPLES):  # in blocks, for memory
        block_S = pcm_S[place : place + WINDOW * FRAME_SAMPLES] / np.float32(32768)
        spectrum = librosa.stft(block_S, n_fft=512, hop_length=FRAME_SAMPLES)
        power_FT = np.square(np.abs(spectrum[:, : math.ceil(len(block_S) / FRAME_SAMPLES)]))
        mel = librosa.feature.melspectrogram(S=power_FT, sr=SAMPLE_RATE, n_mels=20, fmin=80)
        mels.append(mel)
    mel_MT = np.concatenate(mels, axis=1)
    # means over 0.1 s, as a band of noise fluctuates by itself
    band_MT = 10 * np.log10(uniform_filter1d(mel_MT, 10, axis=1) + 1e-5)
    mean_MT = uniform_filter1d(band_MT, STEADY_WINDOW, axis=1)
    square_MT = uniform_filter1d(np.square(band_MT), STEADY_WINDOW, axis=1)
    deviation_T = np.sqrt(np.maximum(square_MT - np.square(mean_MT), 0)).mean(axis=0)
    steady_T = maximum_filter1d(deviation_T < STEADY_DECIBEL, STEADY_WINDOW - 10)
    edges = np.flatnonzero(np.diff(np.pad(steady_T.astype(int), 1)))
    parts = [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
    return [(start, end) for start, end in parts if end - start >= STEADY_FRAMES]


def _unexplained_part(
    pcm_S: np.ndarray, words: Sequence[str], aligned: Sequence[_Aligned], phones_W: np.ndarray
) -> tuple[int, int] | None:
    """Return the part (frames) without which the words around the longest one fit best."""
    long = _long_words(aligned, phones_W)
    if not long:
        return None
    place = max(long, key=lambda i: aligned[i].end - aligned[i].start)
    first, last = max(0, place - NEIGHBOURS), min(len(words), place + NEIGHBOURS + 1)
    begin = aligned[first - 1].end if first else 0
    end = aligned[last].start if last < len(words) else len(pcm_S) // FRAME_SAMPLES
    decoder = make_decoder(*BEAMS[0])
    spoken = [dictionary_word(decoder, word) for word in words[first:last]]
    before = _score(aligned[first:last], phones_W[first:last])
    scores: dict[tuple[int, int], float] = {}
    for start, stop in _possible_cuts(aligned, place, first, last, end):
        pieces = [(0, begin), (start, stop), (end, len(pcm_S) // FRAME_SAMPLES + 1)]
        found = _search(decoder, _cut_out(pcm_S, pieces)[0], spoken, whole=True)
        if found is not None and len(found) == len(spoken):
            scores[start, stop] = _score(found, phones_W[first:last])
    best = max(scores.values(), default=before)
    # the shortest cut that is almost as good as the best, which may cut into speech
    enough = best - CUT_TOLERANCE * (best - before)
    good = [cut for cut, score in scores.items() if score >= enough and best > before]
    return min(good, key=lambda cut: cut[1] - cut[0], default=None)


def _possible_cuts(
    aligned: Sequence[_Aligned], place: int, first: int, last: int, end: int
) -> Iterator[tuple[int, int]]:
    """Yield parts (frames) that may be no speech at a long word.

    Either the word is said at its end, and words before it may have been squeezed in front of the
    music; or at its start, and words after it may have been squeezed behind.
    """
    long = aligned[place]
    following = aligned[place + 1].start if place + 1 < len(aligned) else end
    previous = aligned[place - 1].end if place else 0
    starts = {0 if first == 0 else aligned[first].start, long.start}
    stops = {end if last == len(aligned) else aligned[last - 1].end, long.end}
    step = max(STEP, (following - previous) // MAX_TRIALS)
    for start in starts:
        yield from ((start, stop) for stop in range(max(start, long.start) + step, following, step))
    for stop in stops:
        yield from ((start, stop) for start in range(previous, min(stop, long.end) - step, step))


def make_decoder(beam: float, word_beam: float, **options: Any) -> Any:
    """Return a decoder of PocketSphinx's English model without a language model."""
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise DataError(
            "aligning a transcript needs the package pocketsphinx (pip install pocketsphinx); "
            "or give words with times"
        ) from None
    # bestpath, a second search in the lattice of the first, may end before the text does
    beams = {"beam": beam, "pbeam": beam, "wbeam": word_beam}
    return Decoder(lm=None, loglevel="FATAL", bestpath=False, **beams, **options)


def dictionary_word(decoder: Any, word: str) -> str:
    """Return `word` in the decoder's dictionary, added by rule if it is not there."""
    if word.startswith(_PRONOUNCED):
        if decoder.lookup_word(word) is None:
            decoder.add_word(word, word[1:].replace("-", " "), True)
        return word
    word = word.lower()
    if decoder.lookup_word(word) is None:
        decoder.add_word(word, " ".join(pronounce(word, decoder.lookup_word)), True)
    return word


def pronounced_name(word: str, pronunciations: Mapping[str, Sequence[str]]) -> str:
    """Return the name in the decoder's dictionary of a word with given phones."""
    phones = pronunciations.get(word)
    return _PRONOUNCED + "-".join(phones) if phones else word


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


def _check_fit(words: Sequence[str], aligned: Sequence[_Aligned], *, looser: float) -> None:
    fits = np.array([word.fit for word in aligned])
    if np.median(fits) < WORST_TEXT - looser:
        raise DataError(
            f"the transcript does not fit the audio: fit {np.median(fits):.1f}, "
            f"at least {WORST_TEXT - looser} is needed (0 is perfect, -4 another text)"
        )
    for first in range(len(fits) - STRETCH + 1):
        stretch = slice(first, first + STRETCH)
        if np.median(fits[stretch]) < WORST_STRETCH - looser:
            start, end = aligned[first].start * FRAME, aligned[stretch][-1].end * FRAME
            raise DataError(
                f"the transcript does not fit the audio from {start:.1f} to {end:.1f} s "
                f"({' '.join(words[first : first + 4])} ...): words are missing or wrong there"
            )


def _note_uncovered(pcm_S: np.ndarray, aligned: Sequence[_Aligned]) -> None:
    """Print a note where most of the audio that is not silent is far from any word."""
    loud_N, covered_N = [], []
    for start in range(0, len(pcm_S) // FRAME_SAMPLES, BLOCK):
        loud_N.append(_level(pcm_S, (start, start + BLOCK)) > LOUD)
        covered_N.append(False)
    for word in aligned:
        for block in range(word.start // BLOCK - 1, word.end // BLOCK + 2):
            if 0 <= block < len(covered_N):
                covered_N[block] = True
    loud = sum(loud_N)
    uncovered = sum(a and not b for a, b in zip(loud_N, covered_N, strict=True))
    if uncovered > max(MOST_UNCOVERED * loud, MIN_UNCOVERED):
        seconds = BLOCK * FRAME
        note(
            f"the transcript has no words for {uncovered * seconds:.0f} of the "
            f"{loud * seconds:.0f} s of audio that are not silent: music, or a text too short"
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
