"""Voice normalisation removes a recording's constant, and streams equal whole files."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.audio.features import FEATURE_SETS, extract_features, feature_set
from speech2video.util.audio.normalisation import (
    VoiceMeter,
    analyse_audio,
    voice_mean,
)
from speech2video.util.audio.tracks import MIN_RATE
from speech2video.util.errors import DataError
from tests.tiny_speaker import voice

KINDS = pytest.mark.parametrize("kind", FEATURE_SETS)


def speech(seconds: float = 4.0) -> np.ndarray:
    """Return noise in bursts, at about speech's level."""
    rng = np.random.default_rng(0)
    time_S = np.arange(int(16_000 * seconds)) / 16_000
    return (0.2 * rng.standard_normal(len(time_S)) * np.sin(5 * time_S) ** 2).astype(np.float32)


@KINDS
def test_a_microphones_colour_is_removed(kind: str):
    audio_S = speech()
    coloured_S = lfilter([1.0, 0.6], [1.0], audio_S).astype(np.float32)
    before, after = (
        [extract_features(wave, kind=kind) for wave in (audio_S, coloured_S)] for _ in range(2)
    )
    after = [feature_set(kind).normalise(f, voice_mean(f, kind)) for f in after]
    loud = slice(2, 30)
    gaps = [np.abs(one - other)[loud].mean() for one, other in (before, after)]
    assert gaps[1] < 0.25 * gaps[0]


@KINDS
def test_chunks_do_not_matter(kind: str):
    features_TF = extract_features(speech(), kind=kind)
    meter = VoiceMeter(kind)
    for begin in range(0, len(features_TF), 7):
        meter.push(features_TF[begin : begin + 7])
    np.testing.assert_allclose(meter.mean(), voice_mean(features_TF, kind), rtol=1e-5, atol=1e-5)


@KINDS
def test_pauses_do_not_count(kind: str):
    audio_S = speech()
    padded_S = np.pad(audio_S, 32_000)
    means = [voice_mean(extract_features(wave, kind=kind), kind) for wave in (audio_S, padded_S)]
    np.testing.assert_allclose(means[0], means[1], rtol=0.03, atol=0.1)  # but for the fade-out


@KINDS
def test_silence_gives_the_prior(kind: str):
    features_TF = extract_features(np.zeros(16_000, np.float32), kind=kind)
    prior_F = voice_mean(extract_features(speech(), kind=kind), kind)
    np.testing.assert_allclose(
        voice_mean(features_TF, kind, prior_F), prior_F, rtol=1e-4, atol=1e-5
    )
    assert not voice_mean(features_TF, kind).any()


@pytest.mark.parametrize("below", [30.0, 15.0, 8.0])  # dB
def test_snr_is_nearly_zero_in_noisy_pauses(below: float):
    audio_S = np.concatenate([speech(), np.zeros(32_000), speech()]).astype(np.float32)
    noise_S = np.random.default_rng(1).standard_normal(len(audio_S))
    noise_S *= np.sqrt(np.square(speech()).mean()) * 10 ** (-below / 20)
    features_TF = extract_features(audio_S + noise_S, kind="snr")
    normal_TF = feature_set("snr").normalise(features_TF, voice_mean(features_TF, "snr"))
    assert (normal_TF >= 0).all()
    pause = slice(102, 148)
    assert normal_TF[pause].mean() < 0.1 * normal_TF[:100].mean()


def test_snr_nearly_ignores_the_gain():
    """All that changes is which frames count as speech, within 3 dB."""
    audio_S = np.pad(speech(), 8_000)
    features = [extract_features(gain * audio_S, kind="snr") for gain in (1.0, 0.5)]
    one, half = (feature_set("snr").normalise(f, voice_mean(f, "snr")) for f in features)
    np.testing.assert_allclose(one, half, atol=np.log(2))
    assert np.abs(one - half).mean() < 0.1


@pytest.mark.parametrize("kind", FEATURE_SETS)
@pytest.mark.parametrize("rate, seconds", [(16_000, 3.37), (44_100, 0.05)])
def test_a_stream_equals_the_whole(tmp_path: Path, kind: str, rate: int, seconds: float) -> None:
    path = tmp_path / "speech.wav"
    write_audio(path, 0.2 * voice(seconds, rate=rate), rate)
    features_TF = extract_features(load_audio(path, normalise=True), kind=kind)
    analysed = analyse_audio(path, kind=kind)
    streamed_TF = np.concatenate(list(analysed.features()))
    assert analysed.frames == len(features_TF)
    np.testing.assert_allclose(streamed_TF, features_TF, atol=1e-5)
    np.testing.assert_allclose(analysed.voice_F, voice_mean(features_TF, kind), atol=1e-4)


def test_silence_stays(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    write_audio(path, np.zeros(16_000, np.float32))
    analysed = analyse_audio(path, kind="mfcc")
    assert analysed.gain == 1 and analysed.frames == 25 and np.isfinite(analysed.voice_F).all()


def test_a_rate_that_no_speech_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    write_audio(path, voice(1.0), MIN_RATE - 1)
    with pytest.raises(DataError, match=f"{MIN_RATE - 1} Hz"):
        analyse_audio(path, kind="mfcc")
