"""Synthesis is the same at every call, with words and phones in time with the audio."""

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.text.synthesis import VOICES, SynthesisedSpeech, Voice, synthesise

ROOT = Path(__file__).parent.parent.parent
TEXT = "Go up there, in the middle of the town! One, two, three - don't stop: it is huge."

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="espeakng-loader is not installed"
)


def loudness(speech: SynthesisedSpeech, start: float, end: float) -> float:
    part_S = speech.audio_S[round(start * 16_000) : round(end * 16_000)]
    return float(np.sqrt(np.mean(np.square(part_S))))


@needs_espeak
@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.voice)
def test_words_and_phones_are_in_order_and_inside_the_audio(voice: Voice) -> None:
    speech = synthesise(TEXT, **voice._asdict())
    assert speech.audio_S.dtype == np.float32
    assert 0.1 < np.abs(speech.audio_S).max() <= 1
    expected = "Go up there in the middle of the town One two three don't stop it is huge"
    assert [word.text for word in speech.words] == expected.split()
    for items in (speech.words, speech.phones):
        assert all(item.start < item.end for item in items)
        assert all(one.end <= two.start for one, two in itertools.pairwise(items))
    assert speech.words[-1].end < len(speech.audio_S) / 16_000


@needs_espeak
def test_every_phone_lies_in_its_word_and_every_word_has_one() -> None:
    speech = synthesise(TEXT)
    assert {phone.word for phone in speech.phones} == set(range(len(speech.words)))
    for index, word in enumerate(speech.words):
        phones = [phone for phone in speech.phones if phone.word == index]
        assert (phones[0].start, phones[-1].end) == (word.start, word.end)
    said = {
        word.text: [(phone.text, phone.stress) for phone in speech.phones if phone.word == index]
        for index, word in enumerate(speech.words)
    }
    assert said["huge"] == [("h", 0), ("j", 0), ("uː", 1), ("dʒ", 0)]
    assert said["the"] == [("ð", 0), ("ə", 0)]  # espeak-ng says "of the" as one word
    assert said["don't"] == [("d", 0), ("oʊ", 1), ("n", 0), ("t", 0)]


@needs_espeak
def test_words_are_loud_and_pauses_are_silent() -> None:
    speech = synthesise("Hello there. What a huge thing.")
    there, what = speech.words[1], speech.words[2]
    pause = loudness(speech, there.end + 0.05, what.start - 0.02)
    assert what.start - there.end > 0.2
    assert pause < 0.05 * min(loudness(speech, word.start, word.end) for word in speech.words)
    tail = len(speech.audio_S) / 16_000
    assert loudness(speech, speech.words[-1].end + 0.05, tail) < 0.01


@needs_espeak
def test_the_same_text_gives_the_same_samples() -> None:
    code = (
        "import sys; from speech2video.util.text.synthesis import synthesise as say;"
        "sys.stdout.buffer.write(say('A huge thing.', voice='en-us+f3').audio_S.tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    first = synthesise("A huge thing.", voice="en-us+f3")
    synthesise("Something else, and longer.", voice="en-gb-x-rp")
    second = synthesise("A huge thing.", voice="en-us+f3")
    np.testing.assert_array_equal(first.audio_S, second.audio_S)
    assert first.phones == second.phones
    assert other.stdout == first.audio_S.tobytes()


@needs_espeak
def test_rate_and_pitch_change_the_voice() -> None:
    slow, fast = (synthesise(TEXT, rate_wpm=rate).words[-1].end for rate in (120, 240))
    assert 1.5 < slow / fast < 2.5
    low, high = (
        np.median(
            librosa.yin(synthesise("No more!", pitch=pitch).audio_S, sr=16_000, fmin=50, fmax=400)
        )
        for pitch in (10, 90)
    )
    assert high > 1.5 * low


@needs_espeak
def test_voices_differ_in_timbre() -> None:
    assert len(VOICES) >= 8
    spectra = []
    for voice in VOICES:
        speech = synthesise("Think of a huge round thing, far away.", **voice._asdict())
        audio_S = speech.audio_S[: len(speech.audio_S) // 512 * 512].reshape(-1, 512)
        power = np.square(np.abs(np.fft.rfft(audio_S * np.hanning(512)))).mean(axis=0)
        decibel = 10 * np.log10(power[4:228].reshape(28, 8).mean(axis=1) + 1e-9)
        spectra.append(decibel - decibel.mean())
    apart = [np.std(one - two) for i, one in enumerate(spectra) for two in spectra[:i]]
    assert min(apart) > 1  # dB


@needs_espeak
def test_numbers_accents_and_a_long_text() -> None:
    assert [word.text for word in synthesise("21 caf\u00e9s, $5").words] == [
        *("twenty", "one", "cafes", "five", "dollars")
    ]
    assert len(synthesise("A tiny thing. " * 200).words) == 600


@needs_espeak
@pytest.mark.parametrize(
    ("text", "options", "seen"),
    [
        ("", {}, "no words"),
        ("...", {}, "no words"),
        ("你好", {}, "Latin letters"),
        ("hello", {"voice": "xx-nowhere"}, "no voice 'xx-nowhere'"),
        ("hello", {"voice": "en-us+none"}, "no voice"),
        ("hello", {"voice": "../../etc"}, "no voice"),
        ("hello", {"rate_wpm": 10}, "rate_wpm 10: 80 to 450"),
        ("hello", {"pitch": 120}, "pitch 120: 0 to 99"),
    ],
)
def test_bad_input_is_one_line(text: str, options: dict, seen: str) -> None:
    with pytest.raises(DataError, match=seen):
        synthesise(text, **options)
    assert synthesise("hello again").words


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DataError, match="pip install espeakng-loader"):
        synthesise("hello")
