"""Phones of words whose times are known, by PocketSphinx: what is said when, and how surely.

Stretches of words between pauses are searched one by one, so the time and the memory of a search
do not depend on the length of the recording. The first pass chooses each word's pronunciation, the
second finds the states of its phones.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.text.forced_alignment import (
    BEAMS,
    FRAME,
    FRAME_SAMPLES,
    dictionary_word,
    make_decoder,
    model_audio,
    pronounced_name,
)
from speech2video.util.text.phones import Phone, from_arpabet
from speech2video.util.text.spoken_text import normalise_text, split_words
from speech2video.util.text.transcript import Word

PAUSE = 0.25  # seconds between words that part two stretches
LONGEST = 10.0  # seconds of a stretch
MARGIN = 0.25  # seconds around a stretch that are searched, too
TOLERANCE = 0.3  # seconds by which a phone may lie outside of its word's given time
# A frame's window is 25.6 ms long and starts with the frame; its boundaries lie in the middle.
DELAY = 0.008
MOST_VARIANTS = 8
VARIANT = 0.3  # probability of another pronunciation than the dictionary's first
RARE = re.compile("HH W ")  # "what" with an h is not said any more
# Seconds by which phones reach into silence: a shut glottis before a vowel is silent, and is taken
# for silence here, for the vowel by other aligners. Fitted to the phones of four recordings of one
# speaker by another aligner, not to measured lips.
VOWEL_AHEAD, CONSONANT_AHEAD, FADING = 0.12, 0.03, 0.02
MIN_SILENCE = 0.06
# Fit in PocketSphinx' units a frame, 0 as good as the best of the states tried. Means over words
# of one recording of 62 s: 95 % of right ones are above -52, 90 % of wrong ones below -49.
DOUBTFUL, FIT_SCALE = -50.0, 10.0

_FILLER = "<[("  # first letters of what is no word
_VOWEL = re.compile("[AEIOU]")
# words of one syllable that are said with a schwa
_REDUCED = frozenset(
    """a am an and are as at but can could did do does for from had has have her his in is it just
    must nor of on or our shall should so some than that the them then there to us was were will
    would you your""".split()  # noqa: SIM905
)


class _Entry(NamedTuple):
    """A phone of ARPAbet in frames of the recording, and its log likelihood a frame."""

    name: str
    start: int
    end: int
    fit: float


def align_phones(
    audio_S: np.ndarray,
    words: Sequence[Word],
    *,
    pronunciations: Mapping[str, Sequence[str]] | None = None,
) -> list[Phone]:
    """Return the phones (IPA) of `words` in 16 kHz audio (S,) in [-1, 1], in the order of time.

    Times of words may be off by `TOLERANCE`; the phones follow the audio. Where words are not found
    there, their phones share the given time, with confidence 0. Stress is the likely one of a word
    of its phones, as PocketSphinx's dictionary has none. Words of other languages are said by their
    `pronunciations` in ARPAbet.

    Raises:
        DataError: a word without letters a to z, and where PocketSphinx is not installed.
    """
    given = pronunciations or {}
    spoken = [
        [pronounced_name(word.text, given)] if word.text in given else _spoken(word.text)
        for word in words
    ]
    timed = [i for i, word in enumerate(words) if word.end > word.start]
    if not timed or not np.any(audio_S):
        return []
    aligner = _Aligner(model_audio(audio_S), words, spoken)
    entries: dict[int, list[_Entry]] = {}
    for stretch in _stretches(words, timed):
        found = aligner.search(stretch)
        for i in stretch:
            entries[i] = found.get(i) or aligner.search([i]).get(i) or aligner.shared(i)
    phones = [phone for i in timed for phone in _word_phones(entries[i], i, words[i].text)]
    return _with_edges(phones, len(audio_S) * FRAME / FRAME_SAMPLES)


def _spoken(text: str) -> list[str]:
    parts = [part for part in split_words(normalise_text(text)) if re.search("[a-z]", part.lower())]
    if not parts:
        raise DataError(f"{text!r:.40} has no letters a to z to pronounce")
    return [part for piece in parts for part in piece.split()]


def _stretches(words: Sequence[Word], timed: Sequence[int]) -> Iterator[list[int]]:
    """Yield words between pauses; long ones are cut at their longest gap."""
    todo: list[list[int]] = []
    for i in timed:
        if todo and words[i].start - words[todo[-1][-1]].end < PAUSE:
            todo[-1].append(i)
        else:
            todo.append([i])
    todo.reverse()
    while todo:
        stretch = todo.pop()
        if len(stretch) < 2 or words[stretch[-1]].end - words[stretch[0]].start <= LONGEST:
            yield stretch
            continue
        inner = range(1, len(stretch))
        middle = len(stretch) / 2

        def gap(k: int, stretch: list[int] = stretch, middle: float = middle) -> tuple:
            apart = words[stretch[k]].start - words[stretch[k - 1]].end
            return round(apart, 2), -abs(k - middle)

        cut = max(inner, key=gap)
        todo += [stretch[cut:], stretch[:cut]]


def _entry(phone: Any, begin: int) -> _Entry:
    start = begin + phone.start
    return _Entry(phone.name, start, start + phone.duration, phone.score / phone.duration)


class _Aligner:
    def __init__(
        self, pcm_S: np.ndarray, words: Sequence[Word], spoken: Sequence[Sequence[str]]
    ) -> None:
        self.pcm_S, self.words, self.spoken = pcm_S, words, spoken
        self.decoder: Any = make_decoder(*BEAMS[0], fsgusealtpron=False)

    def search(self, stretch: Sequence[int]) -> dict[int, list[_Entry]]:
        """Return the phones of words that are found near their times.

        Neighbours without a pause in between are searched, too, so that the first and the last word
        of the stretch do not take in theirs.
        """
        first, last = stretch[0], stretch[-1]
        numbers = [*stretch]
        if first and self._apart(first - 1, first) < MARGIN and self._lasts(first - 1):
            numbers.insert(0, first - 1)
        if last + 1 < len(self.words) and self._apart(last, last + 1) < MARGIN:
            numbers += [last + 1] if self._lasts(last + 1) else []
        frames = len(self.pcm_S) // FRAME_SAMPLES
        begin = self.words[numbers[0]].start - (MARGIN if numbers[0] == first else 0.02)
        stop = self.words[numbers[-1]].end + (MARGIN if numbers[-1] == last else 0.02)
        begin, stop = max(0, math.floor(begin / FRAME)), min(frames, math.ceil(stop / FRAME))
        names = [name for i in numbers for name in self.spoken[i]]
        groups = iter(self._search(begin, stop, names))
        found: dict[int, list[_Entry]] = {}
        for i in numbers:
            entries = [entry for _ in self.spoken[i] for entry in next(groups, ())]
            if not entries:
                break
            late = max(
                self.words[i].start - entries[0].start * FRAME,
                entries[-1].end * FRAME - self.words[i].end,
            )
            if i in stretch and late <= TOLERANCE:
                found[i] = entries
        return found

    def _apart(self, i: int, k: int) -> float:
        return self.words[k].start - self.words[i].end

    def _lasts(self, i: int) -> bool:
        return self.words[i].end > self.words[i].start

    def _search(self, begin: int, stop: int, names: Sequence[str]) -> list[list[_Entry]]:
        """Return the phones of each name between two frames; none if there is no path."""
        decoder = self.decoder
        arcs = [
            (state, state + 1, probability, variant)
            for state, name in enumerate(names)
            for variant, probability in self._variants(name)
        ]
        decoder.add_fsg("text", decoder.create_fsg("text", 0, len(names), arcs))
        decoder.activate_search("text")
        segments = decoder.seg() if self._decode(begin, stop) else None
        if sum(segment.word[0] not in _FILLER for segment in segments or ()) < len(names):
            return []
        decoder.set_alignment()
        if not self._decode(begin, stop):
            return []
        alignment = decoder.get_alignment()  # its entries are valid while it is alive
        found = [
            [_entry(phone, begin) for phone in word]
            for word in alignment
            if word.name[0] not in _FILLER
        ]
        del alignment
        return found

    def _decode(self, begin: int, stop: int) -> bool:
        audio_S = self.pcm_S[begin * FRAME_SAMPLES : stop * FRAME_SAMPLES]
        self.decoder.start_utt()
        try:
            self.decoder.process_raw(audio_S.tobytes(), full_utt=True)
            self.decoder.end_utt()
        except RuntimeError:
            return False
        return True

    def _variants(self, name: str) -> list[tuple[str, float]]:
        """Return a word's pronunciations that are in use, and their probabilities."""
        word = dictionary_word(self.decoder, name)
        variants = [word, *(f"{word}({k})" for k in range(2, MOST_VARIANTS + 1))]
        known = [name for name in variants if self.decoder.lookup_word(name)]
        used = [name for name in known if not RARE.match(self.decoder.lookup_word(name))]
        return [(name, VARIANT if k else 1.0) for k, name in enumerate(used or known[:1])]

    def shared(self, i: int) -> list[_Entry]:
        """Return the phones of a word that is not found: each has the same share of its time."""
        names = [
            phone
            for name in self.spoken[i]
            for phone in self.decoder.lookup_word(dictionary_word(self.decoder, name)).split()
        ]
        start, end = self.words[i].start / FRAME, self.words[i].end / FRAME
        edges = np.linspace(start, end, len(names) + 1)
        return [
            _Entry(name, a, b, -math.inf)
            for name, (a, b) in zip(names, itertools.pairwise(edges.tolist()), strict=True)
        ]


def _word_phones(entries: Sequence[_Entry], number: int, text: str) -> Iterator[Phone]:
    levels = stress([entry.name for entry in entries], text)
    frames = sum(entry.end - entry.start for entry in entries)
    word_fit = sum(entry.fit * (entry.end - entry.start) for entry in entries) / frames
    for entry, level in zip(entries, levels, strict=True):
        vowel = _VOWEL.match(entry.name)
        known = from_arpabet(f"{entry.name}{level}" if vowel else entry.name)
        if known is not None:
            start, end = entry.start * FRAME + DELAY, entry.end * FRAME + DELAY
            yield Phone(known[0], start, end, number, level, _confidence(entry.fit, word_fit))


def _confidence(fit: float, word_fit: float) -> float:
    """Return 0 to 1 for a phone: its own fit and its word's count alike."""
    steps = ((fit + word_fit) / 2 - DOUBTFUL) / FIT_SCALE
    return round(1 / (1 + math.exp(-max(steps, -50.0))), 4)


def stress(names: Sequence[str], word: str) -> list[int]:
    """Return the likely stress of each phone of a word: 1 primary, 2 secondary, 0 none."""
    vowels = [k for k, name in enumerate(names) if _VOWEL.match(name)]
    levels = [0] * len(names)
    if not vowels:
        return levels
    if len(vowels) == 1:
        weak = word.lower() in _REDUCED and names[vowels[0]] in ("AH", "ER", "IH")
        levels[vowels[0]] = int(not weak)
        return levels
    full = [k for k in vowels if names[k] not in ("AH", "ER", "IH")]
    heavy = [k for k in full if k != vowels[-1] or names[k] not in ("IY", "OW")]
    if heavy or full:
        main = (heavy or full)[0]
    elif re.match("a|be|de|re|in|en|ex", word.lower()) and names[vowels[0]] != "ER":
        main = vowels[1]
    else:
        main = vowels[0]
    for k in heavy:
        levels[k] = 2
    levels[main] = 1
    return levels


def _with_edges(phones: Sequence[Phone], seconds: float) -> list[Phone]:
    """Return phones that reach into pauses, one after the other."""
    moved: list[Phone] = []
    end = 0.0
    for k, phone in enumerate(phones):
        before = phone.start - (phones[k - 1].end if k else 0.0)
        after = (phones[k + 1].start if k + 1 < len(phones) else seconds) - phone.end
        start, stop = phone.start, phone.end
        if before > MIN_SILENCE:
            ahead = VOWEL_AHEAD if _is_vowel(phone) else CONSONANT_AHEAD
            start -= min(ahead, before / 2)
        if after > MIN_SILENCE:
            stop += min(FADING, after / 2)
        start = min(max(start, end), seconds)
        end = min(max(stop, start), seconds)
        moved.append(replace(phone, start=start, end=end))
    return [phone for phone in moved if phone.end > phone.start]


def _is_vowel(phone: Phone) -> bool:
    return phone.text[0] in "iɪeɛæaɑʌəɜɝɔoʊu"
