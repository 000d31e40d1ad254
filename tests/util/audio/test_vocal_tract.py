"""Pitch and formants move by the given ratios, each alone, and nothing moves in time."""

import numpy as np
import pytest

from speech2video.util.audio.vocal_tract import change_speed, change_voice, stretch, warp_envelope
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE

RESONANCES = (500.0, 1500.0, 2500.0)  # Hz, a neutral vowel


def vowel(pitch: float, seconds: float = 1.5) -> np.ndarray:
    """Return pulses through three resonances: a voice of known pitch and formants."""
    audio_S = np.zeros(round(seconds * SAMPLE_RATE))
    audio_S[
        np.round(np.arange(0, seconds, 1 / pitch) * SAMPLE_RATE)
        .astype(int)
        .clip(max=len(audio_S) - 1)
    ] = 1
    time = np.arange(400) / SAMPLE_RATE
    for hertz in RESONANCES:
        ring = np.exp(-np.pi * 90 * time) * np.sin(2 * np.pi * hertz * time)
        audio_S = np.convolve(audio_S, ring)[: len(audio_S)]
    return (0.3 * audio_S / np.abs(audio_S).max()).astype(np.float32)


def pitch_of(audio_S: np.ndarray) -> float:
    """Return Hz at the first great peak of the autocorrelation of the middle."""
    middle_S = audio_S[6_000:14_192] * np.hanning(8_192)
    power = np.abs(np.fft.rfft(middle_S, 2**17)) ** 2
    match = np.fft.irfft(power)[:400]
    lags = np.arange(1, 399)
    peaks = lags[(match[1:-1] > match[:-2]) & (match[1:-1] > match[2:]) & (lags > 30)]
    first = peaks[match[peaks] > 0.85 * match[peaks].max()][0]
    left, top, right = match[first - 1 : first + 2]
    return SAMPLE_RATE / (first + 0.5 * (left - right) / (left - 2 * top + right))


def formants_moved(audio_S: np.ndarray, out_S: np.ndarray) -> float:
    """Return the ratio by which the spectrum's envelope reaches further, to 1 %."""
    before, after = envelope(audio_S), envelope(out_S)
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(before))
    audible = (hertz > 250) & (hertz < 4_500)
    ratios = np.arange(0.5, 2.0, 0.01)
    match = [
        np.corrcoef(after[audible], np.interp(hertz / ratio, hertz, before)[audible])[0, 1]
        for ratio in ratios
    ]
    return ratios[int(np.argmax(match))]


def envelope(audio_S: np.ndarray) -> np.ndarray:
    """Return the log spectrum of the middle, smoothed over harmonics."""
    power = np.abs(np.fft.rfft(audio_S[6_000:14_192] * np.hanning(8_192))) ** 2
    return np.log(np.convolve(power, np.hanning(201), "same") + 1e-9)


def clicks(rate_of_clicks: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Return bursts of 20 ms (S,) and the seconds at which they begin."""
    random = np.random.default_rng(0)
    onsets = np.arange(0.2, 3.8, 1 / rate_of_clicks)
    audio_S = np.zeros(4 * SAMPLE_RATE, np.float32)
    for onset in onsets:
        audio_S[round(onset * SAMPLE_RATE) :][:320] = 0.5 * random.standard_normal(320).clip(-2, 2)
    return audio_S, onsets


def onsets_of(audio_S: np.ndarray) -> np.ndarray:
    """Return the seconds at which a burst's power passes half of its peak."""
    power = np.convolve(np.square(audio_S), np.ones(32) / 32, "same")
    loud = power > 0.3 * power.max()
    starts = np.flatnonzero(loud[1:] & ~loud[:-1])
    return starts[np.diff(starts, prepend=-SAMPLE_RATE) > SAMPLE_RATE / 10] / SAMPLE_RATE


def test_the_measures_are_right():
    assert pitch_of(vowel(120)) == pytest.approx(120, rel=0.01)
    audio_S = vowel(120)
    assert formants_moved(audio_S, audio_S) == pytest.approx(1.0, abs=0.001)
    lower_S = change_speed(audio_S, 0.8)
    assert pitch_of(lower_S) == pytest.approx(96, rel=0.01)
    assert formants_moved(audio_S, lower_S) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("ratio", [0.65, 0.8, 1.25, 1.6])
def test_pitch_moves_and_formants_stay(ratio):
    audio_S = vowel(130)
    out_S = change_voice(audio_S, pitch=ratio)
    assert out_S.shape == audio_S.shape and out_S.dtype == np.float32
    assert pitch_of(out_S) == pytest.approx(130 * ratio, rel=0.01)
    assert formants_moved(audio_S, out_S) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("ratio", [0.82, 1.22])
def test_formants_move_and_pitch_stays(ratio):
    audio_S = vowel(110)
    out_S = change_voice(audio_S, formants=ratio)
    assert pitch_of(out_S) == pytest.approx(110, rel=0.01)
    assert formants_moved(audio_S, out_S) == pytest.approx(ratio, abs=0.05)


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_both_move_together(ratio):
    audio_S = vowel(130)
    out_S = change_voice(audio_S, pitch=ratio, formants=ratio)
    assert pitch_of(out_S) == pytest.approx(130 * ratio, rel=0.01)
    assert formants_moved(audio_S, out_S) == pytest.approx(ratio, abs=0.05)


@pytest.mark.parametrize("ratio", [0.65, 0.9, 1.3, 1.6])
def test_a_sine_moves_and_keeps_its_loudness(ratio):
    audio_S = 0.3 * np.sin(2 * np.pi * 400 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
    out_S = change_voice(audio_S, pitch=ratio, formants=ratio)
    power = np.abs(np.fft.rfft(out_S[4_000:-4_000] * np.hanning(len(out_S) - 8_000)))
    hertz = power.argmax() * SAMPLE_RATE / (len(out_S) - 8_000)
    assert hertz == pytest.approx(400 * ratio, rel=0.01)
    assert np.std(out_S[4_000:-4_000]) == pytest.approx(np.std(audio_S), rel=0.1)


@pytest.mark.parametrize("pitch", [0.65, 0.8, 1.0, 1.25, 1.6])
@pytest.mark.parametrize("formants", [0.82, 1.0, 1.22])
def test_every_burst_stays_at_its_time(pitch, formants):
    audio_S, onsets = clicks()
    found = onsets_of(change_voice(audio_S, pitch=pitch, formants=formants))
    assert len(found) == len(onsets)
    assert np.abs(found - onsets).max() < 0.010


@pytest.mark.parametrize("factor", [0.88, 0.9371, 1.14, 2.0])
def test_speed_moves_times_by_its_factor(factor):
    audio_S, onsets = clicks()
    out_S = change_speed(audio_S, factor)
    assert len(out_S) == round(len(audio_S) / factor)
    assert np.abs(onsets_of(out_S) - onsets / factor).max() < 0.002
    back_S = change_speed(change_speed(vowel(130), factor), 1 / factor)
    size = min(len(back_S), 24_000)
    assert np.corrcoef(back_S[:size], vowel(130)[:size])[0, 1] > 0.99


@pytest.mark.parametrize("longer", [0.6, 1.7])
def test_stretching_keeps_pitch_and_order(longer):
    audio_S = vowel(130, 2.0)
    out_S = stretch(audio_S, round(len(audio_S) * longer))
    assert out_S.shape == (round(len(audio_S) * longer),)
    assert pitch_of(out_S) == pytest.approx(130, rel=0.01)
    audio_S, onsets = clicks()
    at = onsets_of(stretch(audio_S, round(len(audio_S) * longer)))
    assert np.abs(at - onsets * longer).max() < 0.015


def test_ratios_of_one_change_nothing():
    audio_S = vowel(130)
    for out_S in (
        change_voice(audio_S),
        change_speed(audio_S, 1.0),
        stretch(audio_S, len(audio_S)),
    ):
        assert np.array_equal(out_S, audio_S)
    assert np.abs(warp_envelope(audio_S, 1.0 + 1e-9) - audio_S).max() < 1e-5


@pytest.mark.parametrize("size", [0, 1, 100, 641])
def test_short_audio_and_silence_pass(size):
    for audio_S in (np.zeros(size, np.float32), vowel(130)[:size]):
        out_S = change_voice(audio_S, pitch=1.5, formants=1.1)
        assert out_S.shape == (size,) and np.isfinite(out_S).all()
        assert np.isfinite(change_voice(audio_S, pitch=0.7)).all()
        assert len(change_speed(audio_S, 1.1)) == round(size / 1.1)
    assert not change_voice(np.zeros(size), pitch=0.7, formants=0.9).any()


@pytest.mark.parametrize("ratio", [0.0, -1.0, 5.0, np.nan, np.inf])
def test_absurd_ratios_are_refused(ratio):
    for change in ({"pitch": ratio}, {"formants": ratio}):
        with pytest.raises(DataError, match="1/4"):
            change_voice(vowel(130), **change)
