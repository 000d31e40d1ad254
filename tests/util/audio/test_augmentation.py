"""Augmented audio: another voice or acoustics, the same timing."""

from dataclasses import replace

import numpy as np
import pytest

from speech2video.util.audio.audio_io import TARGET_LEVEL, load_audio
from speech2video.util.audio.augmentation import (
    AudioAugmentation,
    add_echo,
    babble,
    coloured_noise,
    equalise,
    hum,
    slow_modulation,
)
from speech2video.util.audio.features import extract_features
from speech2video.util.timing import SAMPLE_RATE
from tests.shared import DATA, cases

RANGES = "pitch formants speed tilt peaks lowest highest echo noise gain"
OFF = AudioAugmentation(**dict.fromkeys(RANGES.split()), probability=1.0)


def only(**ranges: tuple[float, float]) -> AudioAugmentation:
    return replace(OFF, **ranges)


def syllables(seconds: float = 4.0) -> np.ndarray:
    """Return noise bursts (S,) of `TARGET_LEVEL`, three a second."""
    random = np.random.default_rng(0)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    audio_S = random.standard_normal(len(time)) * np.sin(np.pi * 3 * time).clip(0) ** 2
    return (audio_S * 10 ** (TARGET_LEVEL / 20) / np.sqrt(np.mean(audio_S**2))).astype(np.float32)


def decibel(audio_S: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(audio_S, dtype=np.float64)))


def band(audio_S: np.ndarray, low: float, high: float) -> float:
    """Return the mean power between two frequencies in decibels."""
    power = np.abs(np.fft.rfft(audio_S)) ** 2
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(power))
    return 10 * np.log10(power[(hertz >= low) & (hertz < high)].mean())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_length_and_range_are_kept_and_seeds_repeat(seed, probability):
    augmentation = AudioAugmentation(probability=probability)
    audio_S = syllables()[: 20_000 + 777 * seed]
    out_S = augmentation.augment(audio_S, np.random.default_rng(seed))
    assert out_S.shape == audio_S.shape and out_S.dtype == np.float32
    assert np.isfinite(out_S).all() and np.abs(out_S).max() <= 1
    assert np.array_equal(augmentation.augment(audio_S, np.random.default_rng(seed)), out_S)
    other_S = augmentation.augment(audio_S, np.random.default_rng(seed + 100))
    assert not np.array_equal(other_S, out_S)


def test_disabled_augmentation_returns_the_same_audio():
    audio_S, random = syllables(), np.random.default_rng(0)
    for augmentation in (OFF, AudioAugmentation(probability=0.0)):
        assert np.array_equal(augmentation.augment(audio_S, random), audio_S)
        assert augmentation.draw_speed(random) == 1.0


def test_changes_are_drawn_independently():
    audio_S = syllables()
    loud_S = only(gain=(-6, -3)).augment(audio_S, np.random.default_rng(5))
    both = only(gain=(-6, -3), highest=(3000, 6000)).augment(audio_S, np.random.default_rng(5))
    assert decibel(both) == pytest.approx(decibel(loud_S), abs=0.01)


def test_gain_is_applied_and_peaks_stay_in_range():
    audio_S, random = syllables(), np.random.default_rng(0)
    out_S = only(gain=(-6, -6)).augment(audio_S, random)
    assert decibel(out_S) - decibel(audio_S) == pytest.approx(-6, abs=1e-3)
    assert np.abs(only(gain=(40, 40)).augment(audio_S, random)).max() == pytest.approx(1)


@pytest.mark.parametrize("kind", AudioAugmentation().noises)
@pytest.mark.parametrize("ratio", [10.0, 30.0])
def test_noise_has_the_requested_level(kind, ratio):
    audio_S, random = syllables(), np.random.default_rng(0)
    augmentation = replace(only(noise=(ratio, ratio)), noises=(kind,))
    noisy_S = augmentation.augment(audio_S, random)
    assert decibel(noisy_S - audio_S) == pytest.approx(TARGET_LEVEL - ratio, abs=0.1)
    silence_S = augmentation.augment(np.zeros(16_000, np.float32), random)
    assert decibel(silence_S) == pytest.approx(TARGET_LEVEL - ratio, abs=0.1)


@pytest.mark.parametrize(("colour", "slope"), [(0.0, 0.0), (1.0, -3.01), (2.0, -6.02)])
def test_noise_has_its_colour(colour, slope):
    noise_S = coloured_noise(200_001, colour, rng=np.random.default_rng(0))
    assert decibel(noise_S) == pytest.approx(0, abs=1e-6)
    falls = [band(noise_S, 2 * low, 4 * low) - band(noise_S, low, 2 * low) for low in (200, 1000)]
    assert np.allclose(falls, slope, atol=0.3)


def test_hum_babble_and_modulation():
    random = np.random.default_rng(0)
    hum_S = hum(160_000, rng=random)
    assert decibel(hum_S) == pytest.approx(0, abs=0.1)
    power = np.abs(np.fft.rfft(hum_S)) ** 2
    hertz = np.fft.rfftfreq(len(hum_S), 1 / SAMPLE_RATE)
    at_mains = np.minimum(hertz % 50, -hertz % 50).clip(max=np.minimum(hertz % 60, -hertz % 60))
    assert power[at_mains < 0.5].sum() > 0.999 * power.sum()
    babble_S = babble(syllables(), rng=random)
    assert decibel(babble_S) == pytest.approx(0, abs=1e-6) and babble_S.shape == syllables().shape
    assert not babble(np.zeros(100), rng=random).any()
    slow_S = slow_modulation(160_000, rng=random)
    assert slow_S.min() > 0 and np.abs(np.diff(slow_S)).max() < 1e-3


def test_filters_follow_their_curve():
    noise_S = np.random.default_rng(0).standard_normal(160_000)
    hertz = np.linspace(0, SAMPLE_RATE / 2, 257)
    out_S = equalise(noise_S, np.where(hertz > 4000, -20.0, 6.0))
    assert band(out_S, 200, 3800) - band(noise_S, 200, 3800) == pytest.approx(6, abs=0.1)
    assert band(out_S, 4200, 7900) - band(noise_S, 4200, 7900) == pytest.approx(-20, abs=0.3)
    assert np.allclose(equalise(noise_S, np.zeros(257)), noise_S)
    phone = only(lowest=(300, 300), highest=(3400, 3400)).augment(
        syllables(), np.random.default_rng()
    )
    assert band(phone, 0, 200) < band(phone, 400, 3300) - 40
    assert band(phone, 3600, 8000) < band(phone, 400, 3300) - 40
    assert decibel(phone) == pytest.approx(TARGET_LEVEL, abs=0.01)
    tilted_S = only(tilt=(-4, -4)).augment(0.1 * noise_S, np.random.default_rng())
    fall = band(tilted_S, 3900, 4100) - band(tilted_S, 980, 1020)
    assert fall == pytest.approx(-8, abs=1)


def test_an_echo_decays():
    click_S = np.zeros(SAMPLE_RATE)
    click_S[4_000] = 0.5
    out_S = add_echo(click_S, 0.3, direct=6.0, rng=np.random.default_rng(0))
    assert out_S.shape == click_S.shape and np.abs(out_S[:4_000]).max() < 1e-9
    assert out_S[4_000] == pytest.approx(0.5)
    tail_S = out_S[4_001:]
    assert 10 * np.log10(np.sum(tail_S**2) / 0.25) == pytest.approx(-6, abs=0.01)
    fall = decibel(tail_S[2_400:3_200]) - decibel(tail_S[:800])
    assert fall == pytest.approx(-30, abs=2)


@pytest.mark.parametrize("seed", range(8))
def test_syllables_stay_in_place(seed):
    """Loudness before and after is aligned to within 10 ms."""
    audio_S = syllables(6.0)
    augmentation = AudioAugmentation(probability=1.0, noise=(20, 40), direct=(8, 15))
    out_S = augmentation.augment(audio_S, np.random.default_rng(seed))
    before, after = (
        np.sqrt(np.convolve(np.square(audio), np.ones(320) / 320, "same"))
        for audio in (audio_S, out_S)
    )
    lags = np.arange(-800, 801, 20)
    inner, count = before[800:-800], len(before) - 1600
    match = [np.corrcoef(inner, after[800 + lag :][:count])[0, 1] for lag in lags]
    assert max(match) > 0.85
    assert abs(lags[int(np.argmax(match))]) <= 160


def test_speed_is_drawn_from_its_range():
    random = np.random.default_rng(0)
    drawn = np.array([AudioAugmentation().draw_speed(random) for _ in range(500)])
    changed = drawn[drawn != 1]
    assert 200 < len(changed) < 300
    assert changed.min() >= 0.88 and changed.max() <= 1.14 and changed.std() > 0.05


@pytest.mark.parametrize("size", [0, 1, 50, 700])
def test_short_audio_passes(size):
    for seed in range(5):
        audio_S = syllables()[3_000 : 3_000 + size]
        out_S = AudioAugmentation(probability=1.0).augment(audio_S, np.random.default_rng(seed))
        assert out_S.shape == (size,) and np.isfinite(out_S).all()


@pytest.mark.parametrize("path", cases(DATA, "vidtimit*/*/audio.wav", "grid_faces/*/*.wav"))
def test_real_speech_keeps_its_rhythm(path):
    """Power in the telephone band before and after is aligned to within 10 ms."""
    audio_S = load_audio(path, normalise=True)
    augmentation = AudioAugmentation(probability=1.0, noise=(25, 40), direct=(8, 15))
    for seed in range(3):
        out_S = augmentation.augment(audio_S, np.random.default_rng(seed))
        assert np.abs(out_S).max() <= 1 and not np.allclose(out_S, audio_S, atol=0.01)
        before, after = (
            extract_features(one_S, kind="logmel").reshape(-1, 80)[:, 10:50].mean(axis=1)
            for one_S in (audio_S, out_S)
        )
        match = [np.corrcoef(before[5:-5], np.roll(after, lag)[5:-5])[0, 1] for lag in range(-5, 6)]
        assert max(match) > 0.7 and abs(np.argmax(match) - 5) <= 1
