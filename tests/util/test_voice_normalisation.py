"""Voice normalisation: what is the same in all of a recording is taken away, silence is not."""

import numpy as np
import pytest
from scipy.signal import lfilter

from speech2video.util.speech_features import FEATURE_SETS, speech_features
from speech2video.util.voice_normalisation import VoiceMeter, normalised, voice_mean

KINDS = pytest.mark.parametrize("kind", FEATURE_SETS)


def speech(seconds: float = 4.0) -> np.ndarray:
    """Noise that comes and goes, at about speech's level."""
    rng = np.random.default_rng(0)
    time_S = np.arange(int(16_000 * seconds)) / 16_000
    return (0.2 * rng.standard_normal(len(time_S)) * np.sin(5 * time_S) ** 2).astype(np.float32)


@KINDS
def test_a_microphones_colour_goes_away(kind: str):
    wave_S = speech()
    coloured_S = lfilter([1.0, 0.6], [1.0], wave_S).astype(np.float32)
    before, after = (
        [speech_features(wave, kind=kind) for wave in (wave_S, coloured_S)] for _ in range(2)
    )
    after = [normalised(features, voice_mean(features, kind), kind) for features in after]
    loud = slice(2, 30)
    assert (
        np.abs(after[0] - after[1])[loud].mean() < 0.25 * np.abs(before[0] - before[1])[loud].mean()
    )


@KINDS
def test_chunks_do_not_matter(kind: str):
    features_TF = speech_features(speech(), kind=kind)
    meter = VoiceMeter(kind)
    for begin in range(0, len(features_TF), 7):
        meter.push(features_TF[begin : begin + 7])
    np.testing.assert_allclose(meter.mean(), voice_mean(features_TF, kind), rtol=1e-5, atol=1e-5)


@KINDS
def test_pauses_do_not_count(kind: str):
    wave_S = speech()
    padded_S = np.pad(wave_S, 32_000)
    means = [voice_mean(speech_features(wave, kind=kind), kind) for wave in (wave_S, padded_S)]
    np.testing.assert_allclose(means[0], means[1], rtol=0.03, atol=0.1)  # but for the fade-out


@KINDS
def test_of_silence_only_the_prior_is_known(kind: str):
    features_TF = speech_features(np.zeros(16_000, np.float32), kind=kind)
    prior_F = voice_mean(speech_features(speech(), kind=kind), kind)
    np.testing.assert_allclose(
        voice_mean(features_TF, kind, prior_F), prior_F, rtol=1e-4, atol=1e-5
    )
    assert not voice_mean(features_TF, kind).any()


@pytest.mark.parametrize("below", [30.0, 15.0, 8.0])  # dB
def test_in_any_rooms_pause_snr_is_nearly_nothing(below: float):
    wave_S = np.concatenate([speech(), np.zeros(32_000), speech()]).astype(np.float32)
    room_S = np.random.default_rng(1).standard_normal(len(wave_S))
    room_S *= np.sqrt(np.square(speech()).mean()) * 10 ** (-below / 20)
    features_TF = speech_features(wave_S + room_S, kind="snr")
    heard_TF = normalised(features_TF, voice_mean(features_TF, "snr"), "snr")
    assert (heard_TF >= 0).all()
    pause = slice(102, 148)
    assert heard_TF[pause].mean() < 0.1 * heard_TF[:100].mean()


def test_snr_nearly_forgets_the_gain():
    """But for which frames count as speech, 3 dB of what stays."""
    wave_S = np.pad(speech(), 8_000)
    features = [speech_features(gain * wave_S, kind="snr") for gain in (1.0, 0.5)]
    one, half = (normalised(f, voice_mean(f, "snr"), "snr") for f in features)
    np.testing.assert_allclose(one, half, atol=np.log(2))
    assert np.abs(one - half).mean() < 0.1
