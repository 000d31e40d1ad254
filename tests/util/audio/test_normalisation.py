"""Loudness and voice normalisation remove a recording's constants, as it arrives."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from speech2video.util.audio.audio_io import (
    count_samples,
    load_audio,
    loudness_gain,
    read_audio,
    write_audio,
)
from speech2video.util.audio.features import (
    FEATURE_SETS,
    FeatureSet,
    extract_features,
    feature_set,
)
from speech2video.util.audio.mel import HOP, MARGIN
from speech2video.util.audio.normalisation import (
    RunningLoudness,
    RunningVoiceMean,
    SpeechFeatures,
    level_loudness,
    speech_features,
    stream_speech_features,
    voice_mean,
)
from speech2video.util.audio.tracks import MIN_RATE
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLES_PER_FRAME, frame_count
from tests.tiny_speaker import voice

KINDS = pytest.mark.parametrize(  # phonetic features are in test_phonetic.py
    "kind", [kind for kind, chosen in FEATURE_SETS.items() if chosen.voice_normalised]
)


def speech(seconds: float = 4.0) -> np.ndarray:
    """Return noise in bursts, at about speech's level."""
    rng = np.random.default_rng(0)
    time_S = np.arange(int(16_000 * seconds)) / 16_000
    return (0.2 * rng.standard_normal(len(time_S)) * np.sin(5 * time_S) ** 2).astype(np.float32)


def syllables(seconds: float, level: float, *, seed: int = 0) -> np.ndarray:
    """Return noise in syllables and phrases, at a level in dB of full scale, over faint noise."""
    time_S = np.arange(round(16_000 * seconds)) / 16_000
    envelope_S = np.abs(np.sin(2 * np.pi * 2.2 * time_S)) * (np.sin(2 * np.pi * time_S / 3) > -0.6)
    noise_S = np.random.default_rng(seed).standard_normal(len(time_S))
    return (noise_S * 1.4 * (envelope_S + 0.01) * 10 ** (level / 20)).astype(np.float32)


def chunks_of(audio_S: np.ndarray, *, seed: int = 0, largest: int = 5_000) -> list[np.ndarray]:
    """Return audio (S,) cut at random places, some chunks empty, some of one sample."""
    cuts = np.random.default_rng(seed).integers(0, largest, 2 + 3 * len(audio_S) // largest)
    cuts[::5], cuts[1::7] = 0, 1
    return np.split(audio_S, cuts.cumsum().clip(max=len(audio_S)))


def levelled(chunks: list[np.ndarray]) -> np.ndarray:
    loudness = RunningLoudness()
    return np.concatenate([*map(loudness.push, chunks), loudness.finish()])


def gains(audio_S: np.ndarray) -> np.ndarray:
    """Return the gain (dB) at the end of each 10 ms (N,) of audio without zeros there."""
    ends = slice(159, None, 160)
    return 20 * np.log10(level_loudness(audio_S)[ends] / audio_S[ends])


def test_loudness_does_not_depend_on_the_chunks():
    for seconds in (0.0, 0.005, 0.19, 0.2, 0.777, 9.0):
        audio_S = syllables(seconds, -35)
        whole_S = level_loudness(audio_S)
        assert whole_S.shape == audio_S.shape and whole_S.dtype == np.float32
        for seed, largest in enumerate((160, 1000, 50_000)):
            parts = chunks_of(audio_S, seed=seed, largest=largest)
            assert np.array_equal(levelled(parts), whole_S)


def test_loudness_is_not_delayed_after_its_start_up():
    loudness, taken, given = RunningLoudness(), 0, 0
    for chunk_S in chunks_of(syllables(2.0, -30), largest=400):
        taken += len(chunk_S)
        given += len(loudness.push(chunk_S))
        assert given == (taken // 160 * 160 if taken >= 3_200 else 0)


def test_loudness_knows_the_past_only():
    audio_S = syllables(6.0, -30)
    for moment in (3_200, 20_000, 64_001):
        changed_S = audio_S.copy()
        changed_S[moment:] = syllables(6.0, -5, seed=1)[moment:]
        same = moment // 160 * 160
        assert np.array_equal(level_loudness(audio_S)[:same], level_loudness(changed_S)[:same])


@pytest.mark.parametrize("level", [-50.0, -40.0, -23.0, -12.0, -5.0])
def test_speech_of_any_level_soon_has_the_usual_one(level: float):
    audio_S = syllables(12.0, level)
    wanted = gains(audio_S)[-1]
    assert wanted == pytest.approx(20 * np.log10(loudness_gain([0.1 * audio_S])) - 20, abs=2)
    for first in (0, 3):  # seconds of a quiet room
        room_S = np.random.default_rng(3).standard_normal(16_000 * first) * 10 ** (level / 20 - 2)
        gain_N = gains(np.concatenate([room_S.astype(np.float32), audio_S]))[100 * first :]
        if level > -50:  # before that, it might be noise
            assert abs(gain_N[25:] - wanted).max() < 4
        assert abs(gain_N[150:] - wanted).max() < 2
        assert abs(gain_N[600:] - gain_N[500:-100]).max() < 1.5  # dB a second


@pytest.mark.parametrize("below", [60.0, 25.0, 12.0])  # dB
def test_noise_in_a_pause_keeps_the_gain(below: float):
    audio_S = syllables(42.0, -30)
    time_S = np.arange(30 * 16_000) / 16_000
    noise_S = np.random.default_rng(3).standard_normal(len(time_S)) + 0.5 * np.sin(314 * time_S)
    audio_S[6 * 16_000 : 36 * 16_000] = noise_S * 10 ** ((-30 - below) / 20)
    gain_N = gains(audio_S)
    assert abs(gain_N[600:] - gain_N[595]).max() < 2


def test_loudness_after_music_and_after_whispering():
    time_S = np.arange(5 * 16_000) / 16_000
    tones = 2 * np.pi * np.outer([220.0, 277.2, 329.6], time_S)
    music_S = (0.15 * np.sin(tones).mean(0) * (1.2 + np.sin(4 * time_S))).astype(np.float32)
    wanted = gains(syllables(8.0, -30))[-1]
    assert abs(gains(np.concatenate([music_S, syllables(8.0, -30)]))[1050:] - wanted).max() < 4
    gain_N = gains(np.concatenate([syllables(10.0, -45), syllables(8.0, -18, seed=2)]))
    assert gain_N[990] == pytest.approx(wanted + 15, abs=2)
    assert abs(gain_N[1200:] - wanted + 12).max() < 6


def test_silence_stays_silence():
    for audio_S in (np.zeros(48_000, np.float32), np.full(48_000, 0.01, np.float32)):
        assert np.array_equal(level_loudness(audio_S), audio_S)


def test_samples_that_are_no_numbers_are_named():
    loudness = RunningLoudness()
    loudness.push(np.zeros(500, np.float32))
    with pytest.raises(DataError, match="sample 502 of the audio is nan"):
        loudness.push(np.array([0.0, 0.0, np.nan]))


def cut_features(chunks: list[np.ndarray], kind: str, prior_F: np.ndarray) -> np.ndarray:
    return np.concatenate(list(stream_speech_features(chunks, kind, prior_F)))


@KINDS
def test_features_do_not_depend_on_the_chunks(kind: str):
    prior_F = voice_mean(extract_features(speech(), kind=kind), kind)
    for seconds in (0.0, 0.03, 0.3, 6.0):
        audio_S = syllables(seconds, -35)
        whole_TF = speech_features(audio_S, kind, prior_F)
        assert whole_TF.shape == (frame_count(len(audio_S)), feature_set(kind).size)
        assert whole_TF.dtype == np.float32
        for seed, largest in enumerate((400, 3_000, 80_000)):
            parts = chunks_of(audio_S, seed=seed, largest=largest)
            assert np.array_equal(cut_features(parts, kind, prior_F), whole_TF)
    features = SpeechFeatures(kind, prior_F)
    for _ in range(2):  # anew
        again_TF = np.concatenate([features.push(audio_S), features.finish()])
        assert np.array_equal(again_TF, whole_TF)


@KINDS
def test_features_know_little_of_the_future(kind: str):
    """A frame knows what the windows of its deltas reach, and no 10 ms more."""
    audio_S, reach = syllables(8.0, -30), MARGIN + feature_set(kind).reach * HOP
    whole_TF = speech_features(audio_S, kind)
    for moment in (3_200, 20_000, 64_001):
        changed_S = audio_S.copy()
        changed_S[moment:] = syllables(8.0, -5, seed=1)[moment:]
        same = (moment // HOP * HOP - reach) // SAMPLES_PER_FRAME
        changed_TF = speech_features(changed_S, kind)
        assert np.array_equal(changed_TF[:same], whole_TF[:same])
        assert not np.array_equal(changed_TF[: same + 8], whole_TF[: same + 8])


@KINDS
def test_features_hardly_depend_on_the_gain(kind: str):
    loud_TF, quiet_TF = (speech_features(syllables(12.0, level), kind) for level in (-10, -40))
    gap_T = np.abs(loud_TF - quiet_TF).mean(1)
    assert gap_T[38:].max() < 0.4 and gap_T[38:].mean() < 0.2  # nepers
    raw = (extract_features(syllables(12.0, level), kind=kind) for level in (-10, -40))
    assert gap_T.mean() < 0.1 * np.abs(np.subtract(*raw)).mean()


@KINDS
def test_a_microphones_colour_is_removed(kind: str):
    audio_S = syllables(12.0, -25)
    coloured_S = lfilter([1.0, 0.6], [1.0], audio_S).astype(np.float32)
    before = [extract_features(level_loudness(wave), kind=kind) for wave in (audio_S, coloured_S)]
    after = [speech_features(wave, kind) for wave in (audio_S, coloured_S)]
    loud = slice(100, None)
    gaps = [np.abs(one - other)[loud].mean() for one, other in (before, after)]
    assert gaps[1] < 0.25 * gaps[0]


@KINDS
def test_the_running_mean_becomes_that_of_all_speech(kind: str):
    features_TF = extract_features(speech(12.0), kind=kind)
    whole_F, means_TF = voice_mean(features_TF, kind), RunningVoiceMean(kind).push(features_TF)
    np.testing.assert_allclose(means_TF[-1], whole_F, rtol=1e-4, atol=1e-4)
    far_F = whole_F + 1
    drawn_TF = RunningVoiceMean(kind, far_F).push(np.tile(features_TF, (8, 1)))
    gap_T = np.abs(drawn_TF - whole_F)[:, whole_F != 0].max(1)
    assert gap_T[0] > 0.9 and gap_T[-1] < 0.15


@KINDS
def test_pauses_do_not_count(kind: str):
    audio_S = speech()
    padded_S = np.pad(audio_S, 32_000)
    means = [voice_mean(extract_features(wave, kind=kind), kind) for wave in (audio_S, padded_S)]
    np.testing.assert_allclose(means[0], means[1], rtol=0.03, atol=0.1)  # but for the fade-out


@KINDS
def test_silence_gives_the_prior(kind: str):
    silence_S = np.zeros(16_000, np.float32)
    features_TF = extract_features(silence_S, kind=kind)
    prior_F = voice_mean(extract_features(speech(), kind=kind), kind)
    means_TF = RunningVoiceMean(kind, prior_F).push(features_TF)
    np.testing.assert_allclose(means_TF, np.tile(prior_F, (25, 1)), rtol=1e-4, atol=1e-5)
    assert not RunningVoiceMean(kind).push(features_TF).any()
    assert not voice_mean(features_TF, kind).any()
    assert np.isfinite(speech_features(silence_S, kind)).all()


def test_a_set_that_needs_no_voice_gets_the_gain_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FEATURE_SETS, "plain", FeatureSet(20, voice_normalised=False))
    audio_S = syllables(3.0, -40)
    expected_TF = extract_features(level_loudness(audio_S), kind="plain")
    assert np.array_equal(speech_features(audio_S, "plain"), expected_TF)


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


@pytest.mark.parametrize("rate, seconds", [(16_000, 3.37), (44_100, 0.05)])
def test_a_file_gives_what_its_samples_give(tmp_path: Path, rate: int, seconds: float) -> None:
    path = tmp_path / "speech.wav"
    write_audio(path, 0.2 * voice(seconds, rate=rate), rate)
    audio_S = load_audio(path)
    assert count_samples(path) == len(audio_S)
    streamed_TF = np.concatenate(list(stream_speech_features(read_audio(path), "mfcc")))
    assert np.array_equal(streamed_TF, speech_features(audio_S, "mfcc"))


def test_a_rate_that_no_speech_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    write_audio(path, voice(1.0), MIN_RATE - 1)
    with pytest.raises(DataError, match=f"{MIN_RATE - 1} Hz"):
        count_samples(path)
    write_audio(path, np.zeros(0))
    with pytest.raises(DataError):
        count_samples(path)
