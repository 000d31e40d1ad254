"""The demo speaker's sentences: enough of everything, and no repetition."""

from collections import Counter

import pytest

from speech2video.data.synthetic.speaker.gestures import GESTURE_WORDS
from speech2video.data.synthetic.speaker.recording import SENTENCES, draw_sentences, spoken_seconds
from speech2video.util.text.spoken_text import normalise_text, split_words
from speech2video.util.text.synthesis import synthesise

# The consonants and vowels of General American (Ladefoged & Johnson, A Course in Phonetics), in
# espeak-ng's IPA.
PHONEMES = (
    "p b t d k ɡ f v θ ð s z ʃ ʒ h tʃ dʒ m n ŋ l ɹ w j iː ɪ eɪ ɛ æ ɑː ɔː oʊ ʊ uː ʌ ɜː ə ɚ aɪ aʊ ɔɪ"
)


def test_sentences_are_plain_and_different() -> None:
    assert len(SENTENCES) == len(set(SENTENCES)) >= 150
    for sentence in SENTENCES:
        assert sentence.isascii()
        assert sentence[-1] in ".!?"
        assert 3 <= len(split_words(sentence)) <= 14
        assert normalise_text(sentence) == sentence  # nothing to spell out: read as it stands


def test_every_gesture_has_its_words() -> None:
    words = [word.lower() for sentence in SENTENCES for word in split_words(sentence)]
    gestures = Counter(GESTURE_WORDS[word][0] for word in words if word in GESTURE_WORDS)
    wanted = {gesture for gesture, _ in GESTURE_WORDS.values()}
    assert {gesture for gesture in wanted if gestures[gesture] < 3} == set()


def test_every_phoneme_is_said() -> None:
    pytest.importorskip("espeakng_loader")
    phones = Counter(phone.text for phone in synthesise(" ".join(SENTENCES)).phones)
    assert {phoneme for phoneme in PHONEMES.split() if phones[phoneme] < 5} == set()


def test_script_is_drawn_by_its_seed_without_repetition() -> None:
    assert draw_sentences(60, seed=1) == draw_sentences(60, seed=1) != draw_sentences(60, seed=2)
    everything = draw_sentences(10_000, seed=0)
    first, second = everything[: len(SENTENCES)], everything[len(SENTENCES) :][: len(SENTENCES)]
    assert set(first) == set(second) == set(SENTENCES)
    assert first != second
    assert len(draw_sentences(0, seed=0)) == 1


def test_script_lasts_about_as_long_as_asked() -> None:
    pytest.importorskip("espeakng_loader")
    sentences = draw_sentences(40, seed=3)
    assert sum(map(spoken_seconds, sentences[:-1])) < 40 <= sum(map(spoken_seconds, sentences))
    spoken = sum(len(synthesise(sentence).audio_S) for sentence in sentences) / 16_000
    assert 0.85 * 40 < spoken < 1.25 * 40
