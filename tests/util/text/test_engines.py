"""Voices of four engines speak the text, with phones in time with the audio."""

import importlib.util
import itertools
import shutil
import subprocess
from functools import lru_cache

import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.text import engines
from speech2video.util.text.engines import installed_voices, match_words, scheme_string
from speech2video.util.text.phones import PHONES, phone_classes
from speech2video.util.text.synthesis import SynthesisedSpeech, synthesise
from speech2video.util.text.transcript import Phone

TEXT = "Six big puppies push a boat, and she sees a ship. Take the cake back to the shop!"
VOICES = ("flite:slt", "flite:kal16", "festival:cmu_us_slt_arctic_hts", "festival:kal_diphone")
NETWORKS = ("piper:joe", "kokoro:jf_alpha+jm_kumo")
FIRST_VOWEL = PHONES.index("i")

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="espeakng-loader is not installed"
)


@lru_cache
def spoken(voice: str, **options: int) -> SynthesisedSpeech:
    return synthesise(TEXT, voice=voice, **options)


def speech_of(voice: str, **options: int) -> SynthesisedSpeech:
    if voice not in (name for names in installed_voices().values() for name in names):
        pytest.skip(f"{voice} is not installed")
    return spoken(voice, **options)


def class_of(phone: Phone) -> int:
    return phone_classes(phone.text)[0]


@needs_espeak
@pytest.mark.parametrize("voice", [*VOICES, *NETWORKS])
def test_words_phones_and_sound_belong_together(voice: str) -> None:
    speech = speech_of(voice)
    assert " ".join(word.text for word in speech.words).startswith("Six big puppies push a boat")
    assert {phone.word for phone in speech.phones} == set(range(len(speech.words)))
    for items in (speech.words, speech.phones):
        assert all(item.start < item.end for item in items)
        assert all(one.end <= two.start + 1e-6 for one, two in itertools.pairwise(items))
    assert speech.phones[-1].end <= len(speech.audio_S) / 16_000
    assert all(class_of(phone) >= FIRST_VOWEL for phone in speech.phones if phone.stress)
    assert sum(phone.stress == 1 for phone in speech.phones) >= 6
    # six, puppies and push start as in the text
    assert [
        next(phone.text for phone in speech.phones if phone.word == word) for word in (0, 2, 3)
    ] == ["s", "p", "p"]


@needs_espeak
@pytest.mark.parametrize("voice", [*VOICES, *NETWORKS])
def test_phones_are_in_time_with_the_sound(voice: str) -> None:
    speech = speech_of(voice)
    window, hop = 256, 80  # 5 ms
    padded_S = np.pad(speech.audio_S, (window // 2, window))
    frames_TW = np.lib.stride_tricks.sliding_window_view(padded_S, window)[::hop]
    power_TF = np.abs(np.fft.rfft(frames_TW * np.hanning(window))) ** 2
    bright_T = power_TF[:, 60:].sum(1) / (power_TF.sum(1) + 1e-3)  # above 3.75 kHz
    loud_T = 10 * np.log10(power_TF.sum(1) + 1e-5)
    loud_T = np.maximum(loud_T, loud_T.max() - 50)

    def lag(sounds_T: np.ndarray, chosen: list[Phone]) -> float:
        """Return by how many seconds the sound is later than the phones."""
        marked_T = np.zeros(len(sounds_T))
        for phone in chosen:
            marked_T[round(phone.start * 200) : round(phone.end * 200)] = 1
        lags = range(-16, 17)
        fits = [np.corrcoef(np.roll(marked_T, n), sounds_T)[0, 1] for n in lags]
        assert max(fits) > 0.5
        return lags[int(np.argmax(fits))] / 200

    sibilants = [phone for phone in speech.phones if phone.text in {"s", "z", "ʃ"}]
    vowels = [phone for phone in speech.phones if class_of(phone) >= FIRST_VOWEL]
    offsets = [lag(bright_T, sibilants), lag(loud_T, vowels)]
    assert abs(np.mean(offsets)) <= 0.02 and np.abs(offsets).max() <= 0.03


@needs_espeak
@pytest.mark.parametrize("voice", [*VOICES, *NETWORKS])
def test_the_same_text_gives_the_same_samples(voice: str) -> None:
    one, two = speech_of(voice), synthesise(TEXT, voice=voice)
    np.testing.assert_array_equal(one.audio_S, two.audio_S)
    assert one.phones == two.phones


@needs_espeak
@pytest.mark.parametrize("voice", VOICES[::3])
def test_rate_and_pitch_change_the_voice(voice: str) -> None:
    slow, fast = (speech_of(voice, rate_wpm=rate).words[-1].end for rate in (120, 200))
    assert slow / fast == pytest.approx(200 / 120, rel=0.15)
    own, high = speech_of(voice), speech_of(voice, pitch=90)
    assert high.words[-1].end == pytest.approx(own.words[-1].end, rel=0.05)
    assert not np.array_equal(own.audio_S[:8000], high.audio_S[:8000])


@needs_espeak
@pytest.mark.parametrize("voice", VOICES)
def test_text_is_never_code_or_an_option(voice: str) -> None:
    if voice not in (name for names in installed_voices().values() for name in names):
        pytest.skip(f"{voice} is not installed")
    said = synthesise('- o "quoted" \\ (exit 3) ") (exit 4) and more', voice=voice)
    assert [word.text for word in said.words][-2:] == ["and", "more"]


@pytest.mark.parametrize("text", ['a "b" c', "back\\slash", 'end\\"', '") (exit 7) ("', "(a 'b)"])
def test_scheme_strings_hold_any_text(text: str) -> None:
    quoted = scheme_string(text)
    inner = quoted[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '"' not in inner and "\\" not in inner
    if festival := shutil.which("festival"):
        program = f'(format t "%s" {quoted})'
        done = subprocess.run([festival, "--pipe"], input=program.encode(), capture_output=True)
        assert done.stdout.decode() == text


def test_words_are_matched_though_phones_differ() -> None:
    def row(*names: str, words: tuple[int, ...] = ()) -> list[Phone]:
        return [
            Phone(name, i / 10, i / 10 + 0.1, word=words[i] if words else None, stress=-1)
            for i, name in enumerate(names)
        ]

    reference = row("ɡ", "oʊ", "t", "ə", "ð", "ə", "p", "ɪ", "t", words=(0, 0, 1, 1, 2, 2, 3, 3, 3))
    found = row("ɡ", "oʊ", "t", "u", "ð", "p", "ɪ", "t", "s")
    assert [phone.word for phone in match_words(found, reference)] == [0, 0, 1, 1, 2, 3, 3, 3, 3]
    assert [phone.word for phone in match_words(reference, reference)] == [
        phone.word for phone in reference
    ]


@needs_espeak
@pytest.mark.parametrize(
    ("voice", "seen"),
    [
        ("kokoro:jf_none", "no voice 'jf_none'"),
        ("nothing:slt", "no voice 'nothing:slt'"),
        ("flite:", "no voice"),
        ("flite:a b", "no voice"),
    ],
)
def test_an_unknown_voice_is_one_line(voice: str, seen: str) -> None:
    with pytest.raises(DataError, match=seen):
        synthesise("hello", voice=voice)


@needs_espeak
@pytest.mark.parametrize(
    ("voice", "seen"),
    [("flite:slt", "apt install flite"), ("festival:kal_diphone", "apt install festival")],
)
def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, voice: str, seen: str) -> None:
    monkeypatch.setattr(engines.shutil, "which", lambda _: None)
    with pytest.raises(DataError, match=seen):
        synthesise("hello", voice=voice)
    assert not installed_voices()["flite"] and not installed_voices()["festival"]
