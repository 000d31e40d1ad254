"""Words are found where they are said, and another text is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from speech2video.util.audio.audio_io import load_audio
from speech2video.util.errors import DataError
from speech2video.util.text.forced_alignment import KEEP, WINDOW
from speech2video.util.text.speech_source import align_transcript
from speech2video.util.text.spoken_text import normalise_text, split_words
from speech2video.util.text.synthesis import VOICES, SynthesisedSpeech, Voice, synthesise
from speech2video.util.text.transcript import Word, read_words
from tests.shared import DATA, cases

pytest.importorskip("pocketsphinx")

SENTENCE = "Come up there, it is huge! One, two, three: stop, and come back to me around noon."
OTHER = "No one went swimming that cold morning, so they sat by the fire and read about ships."


@pytest.fixture(scope="module")
def speech() -> SynthesisedSpeech:
    pytest.importorskip("espeakng_loader")
    return synthesise(SENTENCE)


def start_errors(found: list[Word], expected: list[Word]) -> np.ndarray:
    assert [word.text.lower() for word in found] == [word.text.lower() for word in expected]
    pairs = zip(found, expected, strict=True)
    return np.array([abs(one.start - other.start) for one, other in pairs])


@pytest.mark.parametrize("voice", VOICES[:4], ids=lambda voice: voice.voice)
def test_words_are_found_where_they_are_said(voice: Voice) -> None:
    pytest.importorskip("espeakng_loader")
    speech = synthesise(SENTENCE, **voice._asdict())
    errors = start_errors(align_transcript(speech.audio_S, SENTENCE), speech.words)
    assert np.median(errors) < 0.04
    assert errors.max() < 0.3


def test_alignment_does_not_depend_on_loudness(speech: SynthesisedSpeech) -> None:
    expected = align_transcript(speech.audio_S, SENTENCE)
    assert start_errors(align_transcript(speech.audio_S * 0.05, SENTENCE), expected).max() < 0.05


def test_numbers_and_unknown_words_are_aligned() -> None:
    pytest.importorskip("espeakng_loader")
    speech = synthesise("The wugglebort costs 21 dollars, and the zanthofrid is blimmed.")
    words = align_transcript(
        speech.audio_S, "The wugglebort costs $21 - and the zanthofrid is blimmed."
    )
    assert np.median(start_errors(words, speech.words)) < 0.08


def test_a_recording_longer_than_the_window_is_followed(speech: SynthesisedSpeech) -> None:
    repeats = 2 + WINDOW // 100 * 16_000 // len(speech.audio_S)
    seconds = len(speech.audio_S) / 16_000
    assert repeats * seconds > (WINDOW + KEEP / 4) / 100
    expected = [
        Word(word.text, word.start + turn * seconds, word.end + turn * seconds)
        for turn in range(repeats)
        for word in speech.words
    ]
    found = align_transcript(np.tile(speech.audio_S, repeats), " ".join([SENTENCE] * repeats))
    errors = start_errors(found, expected)
    assert np.median(errors) < 0.04
    assert errors.max() < 0.5


def test_a_text_far_too_short_is_noted(
    speech: SynthesisedSpeech, capsys: pytest.CaptureFixture
) -> None:
    found = align_transcript(np.tile(speech.audio_S, 5), SENTENCE)
    assert start_errors(found, speech.words).max() < 0.3
    assert capsys.readouterr().err.count("no words for") == 1
    align_transcript(np.tile(speech.audio_S, 2), f"{SENTENCE} {SENTENCE}")
    assert not capsys.readouterr().err


def around(kind: str, seconds: float) -> np.ndarray:
    """Return a tone, chords with an attack, or noise in bursts or without."""
    time_S = np.arange(round(16_000 * seconds)) / 16_000
    noise_S = np.random.default_rng(1).normal(size=len(time_S))
    if kind == "sine":
        music_S = np.sin(2 * np.pi * 440 * time_S)
    elif kind == "chords":
        roots_S = np.array([220.0, 196.0, 262.0, 175.0])[(time_S // 0.5).astype(int) % 4]
        waves = [
            np.sin(2 * np.pi * roots_S * step * time_S) / step for step in (1, 1.25, 1.5, 2, 3)
        ]
        music_S = np.sum(waves, axis=0) * np.exp(-3 * (time_S % 0.5))
    else:
        music_S = noise_S * (np.exp(-20 * (time_S % 0.25)) if kind == "drums" else 1.0)
    return (0.2 * music_S / np.abs(music_S).max()).astype(np.float32)


@pytest.mark.parametrize(
    "kind", ["sine", "chords", "noise", pytest.param("drums", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("voice", [VOICES[0], pytest.param(VOICES[3], marks=pytest.mark.slow)])
def test_words_do_not_stretch_over_what_is_no_speech(kind: str, voice: Voice) -> None:
    pytest.importorskip("espeakng_loader")
    speech = synthesise(SENTENCE, **voice._asdict())
    first = speech.words[7]  # after the pause
    place = round(16_000 * (speech.words[6].end + first.start) / 2)
    parts = [around(kind, 3.0), speech.audio_S[:place], around(kind, 2.5), speech.audio_S[place:]]
    found = align_transcript(np.concatenate([*parts, around(kind, 2.0)]), SENTENCE)
    expected = [
        Word(word.text, word.start + shift, word.end + shift)
        for word in speech.words
        for shift in [3.0 if word.start < first.start else 5.5]
    ]
    assert start_errors(found, expected).max() < 0.3
    assert max(abs(a.end - b.end) for a, b in zip(found, expected, strict=True)) < 0.4


def test_another_transcript_is_refused(speech: SynthesisedSpeech) -> None:
    noise_S = np.random.default_rng(0).normal(scale=0.1, size=80_000).astype(np.float32)
    for audio_S, text in [
        (speech.audio_S, OTHER),
        (speech.audio_S, " ".join(reversed(SENTENCE.split()))),
        (speech.audio_S, " ".join([SENTENCE] * 8)),
        (speech.audio_S[:16_000], SENTENCE),
        (np.zeros(80_000, np.float32), SENTENCE),
        (np.zeros(0, np.float32), SENTENCE),
        (noise_S, SENTENCE),
    ]:
        with pytest.raises(DataError, match="does not fit") as error:
            align_transcript(audio_S, text)
        assert "\n" not in str(error.value)


def test_text_without_english_words_is_refused(speech: SynthesisedSpeech) -> None:
    for text in ("", "...", "Привет"):
        with pytest.raises(DataError):
            align_transcript(speech.audio_S, text)


@pytest.mark.parametrize("path", cases(DATA, "beat2_scott/*.TextGrid", "speech/*.TextGrid"))
def test_real_speech_is_aligned_as_in_its_textgrid(path: Path) -> None:
    expected = [
        Word(text, word.start, word.end)
        for word in read_words(path)
        for text in split_words(normalise_text(word.text))
    ]
    text = " ".join(word.text for word in expected)
    found = align_transcript(load_audio(path.with_suffix(".wav")), text)
    errors = start_errors(found, expected)
    assert np.median(errors) <= 0.03
    assert np.quantile(errors, 0.9) <= 0.12


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(DataError, match="pip install pocketsphinx"):
        align_transcript(np.ones(16_000, np.float32), "hello")
