"""Voices in a mood: what is said when stays known whatever is done to the sound."""

import importlib.util

import numpy as np
import pytest

from speech2video.data.demo_faces.feelings import FEELINGS, Delivery
from speech2video.data.demo_faces.voices import Throat, say, tilted
from speech2video.util.audio import SPEECH_RATE
from speech2video.util.speech_synthesis import Speech

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("espeakng_loader"), reason="the extra `demo` is not installed"
)
PLAIN = Delivery()
THROAT = Throat("en-us", 165, 50)
QUIET = (0.2, 0.3)


def said(delivery: Delivery = PLAIN, throat: Throat = THROAT, seconds: float = 5.0) -> Speech:
    random = np.random.default_rng(0)
    return say("Both parents phoned", throat, delivery, seconds=seconds, quiet=QUIET, random=random)


def level(speech: Speech, start: float, end: float) -> float:
    part_S = speech.wave_S[round(start * SPEECH_RATE) : round(end * SPEECH_RATE)]
    return float(np.sqrt(np.mean(np.square(part_S))))


@pytest.mark.parametrize("emotion", FEELINGS)
def test_phones_are_where_the_sound_is(emotion: str) -> None:
    speech = said(FEELINGS[emotion].delivery)
    start, end = speech.phones[0].start, speech.phones[-1].end
    assert start >= QUIET[0] and end <= len(speech.wave_S) / SPEECH_RATE - QUIET[1] + 1e-3
    spoken = level(speech, start, end)
    assert level(speech, 0, QUIET[0]) < 0.05 * spoken
    assert level(speech, len(speech.wave_S) / SPEECH_RATE - QUIET[1] + 0.02, 99) < 0.05 * spoken
    assert np.abs(speech.wave_S).max() <= 1


def test_the_same_is_said_the_same_way() -> None:
    np.testing.assert_array_equal(said().wave_S, said().wave_S)


def test_a_voice_colours_sound_but_not_time() -> None:
    other = Throat("en-us", 165, 50, 1.15, 1.2, 4.0, -10.0, (400.0, 1600.0), 0.4)
    plain, coloured = said(), said(throat=other)
    assert plain.phones == coloured.phones and len(plain.wave_S) == len(coloured.wave_S)
    assert not np.allclose(plain.wave_S, coloured.wave_S)


def test_higher_is_played_faster_and_phones_know() -> None:
    plain, high = said(Delivery(accents=0)), said(Delivery(accents=0, pitch=1.25))
    spans = [speech.phones[-1].end - speech.phones[0].start for speech in (plain, high)]
    assert spans[0] == pytest.approx(1.25 * spans[1], rel=1e-3)


def test_clips_do_not_last_longer_than_they_may() -> None:
    slow = FEELINGS["sad"].delivery
    assert len(said(slow).wave_S) > 1.6 * SPEECH_RATE
    assert len(said(slow, seconds=1.6).wave_S) <= 1.6 * SPEECH_RATE


def test_loudness_is_as_asked() -> None:
    soft, loud = said(Delivery(loudness=-6)), said(Delivery(loudness=6))
    assert level(loud, 0, 99) / level(soft, 0, 99) == pytest.approx(10 ** (12 / 20), rel=0.02)


def test_tilt_changes_high_frequencies_only() -> None:
    times_S = np.arange(SPEECH_RATE) / SPEECH_RATE
    for hertz, gain in ((300, 1.0), (4000, 10 ** (6 / 20))):
        tone_S = np.sin(2 * np.pi * hertz * times_S)
        out_S = tilted(tone_S, 6.0)[1000:-1000]
        assert np.std(out_S) / np.std(tone_S) == pytest.approx(gain, rel=0.06)
