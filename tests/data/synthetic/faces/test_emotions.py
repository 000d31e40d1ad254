"""Voices with an emotion: times of words and phones stay known whatever changes the audio."""

import importlib.util

import numpy as np
import pytest

from speech2video.data.synthetic.faces.emotions import (
    EMOTION_PROFILES,
    Delivery,
    VoiceProfile,
    synthesise_sentence,
    tilt_spectrum,
)
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import SAMPLE_RATE

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("espeakng_loader"), reason="the extra `demo` is not installed"
)
PLAIN = Delivery()
PROFILE = VoiceProfile("en-us", 165, 50)
QUIET = (0.2, 0.3)


def said(
    delivery: Delivery = PLAIN, voice_profile: VoiceProfile = PROFILE, seconds: float = 5.0
) -> SynthesisedSpeech:
    random = np.random.default_rng(0)
    return synthesise_sentence(
        "Both parents phoned", voice_profile, delivery, seconds=seconds, quiet=QUIET, random=random
    )


def level(speech: SynthesisedSpeech, start: float, end: float) -> float:
    part_S = speech.audio_S[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return float(np.sqrt(np.mean(np.square(part_S))))


@pytest.mark.parametrize("emotion", EMOTION_PROFILES)
def test_phones_are_where_the_audio_is(emotion: str) -> None:
    speech = said(EMOTION_PROFILES[emotion].delivery)
    start, end = speech.phones[0].start, speech.phones[-1].end
    assert start >= QUIET[0] and end <= len(speech.audio_S) / SAMPLE_RATE - QUIET[1] + 1e-3
    spoken = level(speech, start, end)
    assert level(speech, 0, QUIET[0]) < 0.05 * spoken
    assert level(speech, len(speech.audio_S) / SAMPLE_RATE - QUIET[1] + 0.02, 99) < 0.05 * spoken
    assert np.abs(speech.audio_S).max() <= 1


def test_speech_is_deterministic() -> None:
    np.testing.assert_array_equal(said().audio_S, said().audio_S)


def test_a_voice_changes_timbre_but_not_time() -> None:
    other = VoiceProfile("en-us", 165, 50, 1.15, 1.2, 4.0, -10.0, (400.0, 1600.0), 0.4)
    plain, coloured = said(), said(voice_profile=other)
    assert plain.phones == coloured.phones and len(plain.audio_S) == len(coloured.audio_S)
    assert not np.allclose(plain.audio_S, coloured.audio_S)


def test_higher_is_played_faster_and_phones_follow() -> None:
    plain, high = said(Delivery(accents=0)), said(Delivery(accents=0, pitch=1.25))
    spans = [speech.phones[-1].end - speech.phones[0].start for speech in (plain, high)]
    assert spans[0] == pytest.approx(1.25 * spans[1], rel=1e-3)


def test_clips_do_not_last_longer_than_they_may() -> None:
    slow = EMOTION_PROFILES["sad"].delivery
    assert len(said(slow).audio_S) > 1.6 * SAMPLE_RATE
    assert len(said(slow, seconds=1.6).audio_S) <= 1.6 * SAMPLE_RATE


def test_loudness_is_as_asked() -> None:
    soft, loud = said(Delivery(loudness=-6)), said(Delivery(loudness=6))
    assert level(loud, 0, 99) / level(soft, 0, 99) == pytest.approx(10 ** (12 / 20), rel=0.02)


def test_tilt_changes_high_frequencies_only() -> None:
    times_S = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for hertz, gain in ((300, 1.0), (4000, 10 ** (6 / 20))):
        tone_S = np.sin(2 * np.pi * hertz * times_S)
        out_S = tilt_spectrum(tone_S, 6.0)[1000:-1000]
        assert np.std(out_S) / np.std(tone_S) == pytest.approx(gain, rel=0.06)
