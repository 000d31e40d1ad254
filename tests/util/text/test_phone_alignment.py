"""Phones are found in the sound, within their words, and doubted where other words were said."""

import itertools

import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.text import phone_alignment
from speech2video.util.text.phone_alignment import TOLERANCE, align_phones, stress
from speech2video.util.text.phones import Phone, phone_classes
from speech2video.util.text.synthesis import SynthesisedSpeech, synthesise
from speech2video.util.text.transcript import Word

pytest.importorskip("pocketsphinx", reason="the extra `preprocess` is not installed")
pytest.importorskip("espeakng_loader", reason="the extra `demo` is not installed")

SENTENCE = "Come up there, it is huge! We put seven big boats on the water before the morning."


@pytest.fixture(scope="module")
def speech() -> SynthesisedSpeech:
    return synthesise(SENTENCE)


@pytest.fixture(scope="module")
def found(speech: SynthesisedSpeech) -> list[Phone]:
    return align_phones(speech.audio_S, speech.words)


def by_word(phones: list[Phone]) -> dict[int | None, list[Phone]]:
    return {word: [*group] for word, group in itertools.groupby(phones, lambda p: p.word)}


def test_phones_tile_their_words_in_order(speech: SynthesisedSpeech, found: list[Phone]) -> None:
    groups = by_word(found)
    assert list(groups) == list(range(len(speech.words)))
    assert all(0 <= p.start < p.end <= len(speech.audio_S) / 16_000 for p in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    for group in groups.values():
        assert all(a.end == b.start for a, b in itertools.pairwise(group))


def test_phones_are_those_said_where_they_are_said(
    speech: SynthesisedSpeech, found: list[Phone]
) -> None:
    said = [
        (set(phone_classes(p.text)), p.start, p.end) for p in speech.phones if phone_classes(p.text)
    ]
    errors = []
    for classes, start, end in said:
        same = [p for p in found if classes & {*phone_classes(p.text)} and p.end > start - 0.1]
        near = [p for p in same if p.start < end + 0.1]
        errors += [min(abs(p.start - start) for p in near)] if near else []
    assert len(errors) > 0.75 * len(said)
    assert np.median(errors) < 0.025


def test_a_pause_has_no_phones(speech: SynthesisedSpeech, found: list[Phone]) -> None:
    words = speech.words
    first, last = words[6].start, words[5].end  # "huge! We"
    assert first - last > 0.15
    groups = by_word(found)
    assert groups[6][0].start - groups[5][-1].end > 0.4 * (first - last)


def test_another_word_is_doubted(speech: SynthesisedSpeech, found: list[Phone]) -> None:
    words = [*speech.words]
    wrong = next(i for i, word in enumerate(words) if word.text == "seven")
    words[wrong] = Word("football", words[wrong].start, words[wrong].end)
    doubted = by_word(align_phones(speech.audio_S, words))[wrong]
    mean = np.mean([p.confidence for p in by_word(found)[wrong]])
    assert np.mean([p.confidence for p in doubted]) < min(0.5, mean - 0.2)
    assert all(0 <= p.confidence <= 1 for p in found)


def test_imprecise_times_are_corrected_within_the_tolerance(
    speech: SynthesisedSpeech, found: list[Phone]
) -> None:
    random = np.random.default_rng(0)
    moved = [
        Word(word.text, max(0.0, word.start + shift), max(0.02, word.end + shift))
        for word, shift in zip(
            speech.words, random.uniform(-0.08, 0.08, len(speech.words)), strict=True
        )
    ]
    phones = by_word(align_phones(speech.audio_S, moved))
    starts = [abs(phones[i][0].start - group[0].start) for i, group in by_word(found).items()]
    assert np.median(starts) <= 0.02
    for i, word in enumerate(moved):
        ahead = phone_alignment.VOWEL_AHEAD
        assert phones[i][0].start >= word.start - TOLERANCE - ahead - 0.02
        assert phones[i][-1].end <= word.end + TOLERANCE + 0.05


def test_words_that_are_not_said_share_their_time_without_confidence() -> None:
    noise_S = np.random.default_rng(0).normal(scale=0.05, size=32_000).astype(np.float32)
    phones = align_phones(noise_S, [Word("extraordinary", 0.5, 0.52), Word("yes", 1.0, 1.0)])
    assert {p.word for p in phones} == {0}
    assert all(p.confidence < 0.5 for p in phones)
    assert not align_phones(np.zeros(16_000, np.float32), [Word("yes", 0.1, 0.4)])
    with pytest.raises(DataError, match="letters"):
        align_phones(noise_S, [Word("да", 0.5, 0.8)])


def test_the_result_is_the_same_each_time(speech: SynthesisedSpeech, found: list[Phone]) -> None:
    assert align_phones(speech.audio_S, speech.words) == found


@pytest.mark.parametrize(
    ("names", "word", "levels"),
    [
        ("DH AH", "the", [0, 0]),
        ("K AH P", "cup", [0, 1, 0]),
        ("AE N D", "and", [1, 0, 0]),
        ("AH B AW T", "about", [0, 0, 1, 0]),
        ("W AO T ER", "water", [0, 1, 0, 0]),
        ("B IH K AH Z", "because", [0, 0, 0, 1, 0]),
        ("HH AE P IY", "happy", [0, 1, 0, 0]),
    ],
)
def test_stress_is_where_it_is_likely(names: str, word: str, levels: list[int]) -> None:
    assert stress(names.split(), word) == levels
