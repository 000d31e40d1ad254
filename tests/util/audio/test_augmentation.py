"""Augmented audio: another voice or acoustics, the same timing."""

from dataclasses import fields, replace

import numpy as np
import pytest

from speech2video.util.audio.audio_io import TARGET_LEVEL, load_audio
from speech2video.util.audio.augmentation import (
    RARE,
    WIDE_GAIN,
    AudioAugmentation,
    babble,
    change_speed,
    change_voice,
    coloured_noise,
    equalise,
    hum,
    mask_times,
    slow_modulation,
    stretch,
    warp_envelope,
)
from speech2video.util.audio.features import extract_features
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE
from tests.shared import DATA, cases

RANGES = [field.name for field in fields(AudioAugmentation) if "None" in str(field.type)]
OFF = AudioAugmentation(**dict.fromkeys(RANGES), probability=1.0)
MILD = AudioAugmentation(
    probability=1.0,
    noise=(25, 40),
    rumble=(20, 40),
    room=(0.1, 0.4),
    distance=(0.3, 0.6),
    compression=(1.2, 1.5),  # more would level the rhythm that is compared
    automatic_gain=(1.2, 1.5),
    clipping=(1, 4),
)


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


@pytest.mark.parametrize(
    "ranges",
    [
        {"room": (0.4, 0.4)},
        {"rumble": (20, 20)},
        {"compression": (4, 4)},
        {"automatic_gain": (4, 4)},
        {"clipping": (6, 6)},
        {"codec": (0, 0)},
        {"proximity": (6, 6)},
    ],
    ids=str,
)
def test_each_change_alone_keeps_level_and_time(ranges):
    audio_S = syllables()
    for seed in range(4):
        out_S = only(**ranges).augment(audio_S, np.random.default_rng(seed))
        assert not np.allclose(out_S, audio_S, atol=1e-3)
        if ranges.keys() != {"codec"}:  # a telephone leaves out most of white noise
            assert decibel(out_S) == pytest.approx(TARGET_LEVEL, abs=0.3)
        power = np.fft.rfft(out_S, 2**17) * np.conj(np.fft.rfft(audio_S, 2**17))
        lag = int(np.argmax(np.fft.irfft(power)))
        assert min(lag, 2**17 - lag) <= 80  # 5 ms


def test_rare_changes_are_rarer():
    happens = {"gain": 0, "clipping": 0}
    for name in happens:
        augmentation, random = replace(OFF, **{name: (3, 3)}, probability=0.5), range(200)
        for seed in random:
            out_S = augmentation.augment(syllables(0.1), np.random.default_rng(seed))
            happens[name] += not np.array_equal(out_S, syllables(0.1))
    assert 75 < happens["gain"] < 125 and 25 < happens["clipping"] < 75 and "clipping" in RARE


def test_a_wide_gain_reaches_from_18_below_to_12_above():
    audio_S, augmentation = 0.2 * syllables(0.5), only(gain=WIDE_GAIN)
    gains = [
        decibel(augmentation.augment(audio_S, np.random.default_rng(seed))) - decibel(audio_S)
        for seed in range(60)
    ]
    assert min(gains) == pytest.approx(-17, abs=1) and max(gains) == pytest.approx(11, abs=1)


@pytest.mark.parametrize("seed", range(8))
def test_syllables_stay_in_place(seed):
    """Loudness before and after is aligned to within 10 ms."""
    audio_S = syllables(6.0)
    out_S = MILD.augment(audio_S, np.random.default_rng(seed))
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
    for seed in range(3):
        out_S = MILD.augment(audio_S, np.random.default_rng(seed))
        assert np.abs(out_S).max() <= 1 and not np.allclose(out_S, audio_S, atol=0.01)
        before, after = (
            extract_features(one_S, kind="logmel").reshape(-1, 80)[:, 10:50].mean(axis=1)
            for one_S in (audio_S, out_S)
        )
        match = [np.corrcoef(before[5:-5], np.roll(after, lag)[5:-5])[0, 1] for lag in range(-5, 6)]
        assert max(match) > 0.5 and abs(np.argmax(match) - 5) <= 1


# Pitch and formants move by the given ratios, each alone, and nothing moves in time.

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


@pytest.mark.parametrize("seed", range(6))
def test_masks_cover_times_with_the_means(seed):
    features_TF = np.random.default_rng(9).standard_normal((60, 80)).astype(np.float32)
    before_TF = features_TF.copy()
    masked_TF = mask_times(features_TF, np.random.default_rng(seed), share=0.1)
    assert np.array_equal(features_TF, before_TF)
    assert masked_TF.shape == features_TF.shape and masked_TF.dtype == np.float32
    masked_T = (masked_TF != features_TF).any(1)
    assert masked_T.sum() <= 2 * 6
    expected_TF = np.where(masked_T[:, None], features_TF.mean(axis=0), features_TF)
    assert np.allclose(masked_TF, expected_TF, atol=1e-6)
    again_TF = mask_times(features_TF, np.random.default_rng(seed), share=0.1)
    assert np.array_equal(again_TF, masked_TF)


def test_masks_differ_and_empty_features_pass():
    features_TF = np.random.default_rng(9).standard_normal((60, 20))
    counts = [
        int((mask_times(features_TF, np.random.default_rng(seed)) != features_TF).any(1).sum())
        for seed in range(50)
    ]
    assert len({*counts}) > 5 and max(counts) <= 30
    assert mask_times(np.zeros((0, 20)), np.random.default_rng(0)).shape == (0, 20)
