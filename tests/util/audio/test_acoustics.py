"""Rooms, codecs, levels and noises: what recordings add keeps time, length and its stated range."""

import numpy as np
import pytest

from speech2video.util.audio.acoustics import (
    BANDS,
    CODECS,
    EARLY,
    TELEPHONE,
    Room,
    add_room,
    available_codecs,
    clip_peaks,
    compress,
    draw_room,
    impulse_response,
    keyboard,
    music,
    rumble,
    transcode,
)
from speech2video.util.audio.audio_io import TARGET_LEVEL, load_audio
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE
from tests.shared import DATA, cases

VARIANTS = [
    (name, rate)
    for name, codec in CODECS.items()
    for rate in sorted({min(codec.kilobits), max(codec.kilobits)})
]


def voice(seconds: float = 3.0) -> np.ndarray:
    """Return syllables (S,) of a gliding voice with resonances, of `TARGET_LEVEL`."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    hertz = 120 + 30 * np.sin(2 * np.pi * 0.7 * time)
    turns = np.cumsum(hertz) / SAMPLE_RATE
    audio_S = np.zeros(len(time))
    for tone in range(1, 40):
        loud = sum(np.exp(-np.square((tone * 120 - at) / 200)) for at in (500, 1500, 2500))
        audio_S += (loud + 0.01) * np.sin(2 * np.pi * tone * turns + tone**2)
    audio_S *= np.sin(np.pi * 3 * time) ** 2
    return (audio_S * 10 ** (TARGET_LEVEL / 20) / np.sqrt(np.mean(audio_S**2))).astype(np.float32)


def lag(before_S: np.ndarray, after_S: np.ndarray, most: int = 2_000) -> int:
    """Return the samples by which audio is late, of the greatest cross-correlation."""
    size = 2 ** int(np.ceil(np.log2(2 * len(before_S))))
    match = np.fft.irfft(np.fft.rfft(after_S, size) * np.conj(np.fft.rfft(before_S, size)))
    return int(np.argmax(np.concatenate([match[-most:], match[:most]]))) - most


def decibel(audio_S: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(audio_S, dtype=np.float64)) + 1e-20)


def band(audio_S: np.ndarray, low: float, high: float) -> float:
    """Return the power between two frequencies in decibels."""
    power = np.abs(np.fft.rfft(audio_S)) ** 2
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(power))
    return 10 * np.log10(power[(hertz >= low) & (hertz < high)].sum() + 1e-20)


def shoebox(seconds: float, distance: float = 1.0) -> Room:
    """Return a room of 6 by 5 by 3 m whose walls are alike."""
    source_3 = np.array([2.0, 1.7, 1.2])
    return Room(
        np.array([6.0, 5.0, 3.0]),
        source_3,
        source_3 + [distance, 0, 0],
        np.full(len(BANDS), seconds),
    )


# Codecs


@pytest.mark.parametrize(("name", "kilobits"), VARIANTS)
def test_a_codec_keeps_time_and_length(name, kilobits):
    if name not in available_codecs():
        pytest.skip(f"FFmpeg was built without {name}")
    audio_S = voice()
    out_S = transcode(audio_S, name, kilobits)
    assert out_S.shape == audio_S.shape and out_S.dtype == np.float32
    assert abs(lag(audio_S, out_S)) <= 16  # 1 ms
    assert np.corrcoef(audio_S, out_S)[0, 1] > (0.5 if name == "amr" else 0.8)
    assert not np.array_equal(out_S, audio_S)
    assert np.array_equal(transcode(audio_S, name, kilobits), out_S)


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_takes_any_length_and_silence(name):
    if name not in available_codecs():
        pytest.skip(f"FFmpeg was built without {name}")
    for size in (0, 1, 159, 3_333):
        out_S = transcode(voice()[:size], name, CODECS[name].kilobits[0])
        assert out_S.shape == (size,) and np.isfinite(out_S).all()
    silence_S = transcode(np.zeros(5_000, np.float32), name, CODECS[name].kilobits[0])
    assert np.abs(silence_S).max() < 1e-2


@pytest.mark.parametrize("name", sorted(available_codecs() & {"mulaw", "alaw", "amr"}))
def test_a_telephone_has_its_band(name):
    audio_S = 0.1 * np.random.default_rng(0).standard_normal(64_000)
    out_S = transcode(audio_S, name, CODECS[name].kilobits[-1])
    inside = band(out_S, *TELEPHONE)
    assert band(out_S, 0, 150) < inside - 20 and band(out_S, 4_100, 8_000) < inside - 25


def test_fewer_bits_are_worse():
    audio_S = voice()
    for name in sorted(available_codecs() & {"mp3", "opus", "aac"}):
        rates = CODECS[name].kilobits
        worse, better = (transcode(audio_S, name, rate) - audio_S for rate in (rates[0], rates[-1]))
        assert decibel(worse) > decibel(better)


def test_an_unknown_codec_is_refused():
    with pytest.raises(DataError, match="available are"):
        transcode(voice(), "tape", 32)


@pytest.mark.parametrize("path", cases(DATA, "speech/2_scott_*.wav", "talking_faces/*/*.wav")[:1])
def test_real_speech_keeps_its_time_in_every_codec(path):
    audio_S = load_audio(path, normalise=True)[: 3 * SAMPLE_RATE]
    for name in sorted(available_codecs()):
        out_S = transcode(audio_S, name, CODECS[name].kilobits[0])
        assert abs(lag(audio_S, out_S)) <= 16  # 1 ms


# Rooms


@pytest.mark.parametrize("seed", range(6))
def test_the_direct_path_of_a_room_comes_first(seed):
    rng = np.random.default_rng(seed)
    seconds, distance = rng.uniform(0.1, 0.8), rng.uniform(0.3, 3)
    room = draw_room(seconds, distance, np.random.default_rng(seed))
    for place_3 in (room.source_3, room.microphone_3):
        assert (place_3 > 0.2).all() and (place_3 < room.size_3 - 0.2).all()
    assert np.linalg.norm(room.source_3 - room.microphone_3) == pytest.approx(distance)
    response_S = impulse_response(room, np.random.default_rng(seed))
    assert response_S[0] == pytest.approx(1, abs=0.1) and np.isfinite(response_S).all()
    assert len(response_S) == round(room.decay_B.max() * SAMPLE_RATE)
    audio_S = voice()
    out_S = add_room(audio_S, response_S)
    assert out_S.shape == audio_S.shape
    again_S = impulse_response(room, np.random.default_rng(seed))
    assert np.array_equal(again_S, response_S)


@pytest.mark.parametrize("seconds", [0.25, 0.5, 0.8])
def test_a_room_decays_as_asked(seconds):
    """After the early reflections, the level falls by 60 dB in the wanted time."""
    response_S = impulse_response(shoebox(seconds, 2.0), np.random.default_rng(0))
    begin, size = round((EARLY + 0.01) * SAMPLE_RATE), 800
    levels = [decibel(response_S[start:][:size]) for start in (begin, begin + 1_600)]
    assert levels[0] - levels[1] == pytest.approx(60 * 0.1 / seconds, abs=2)


def test_bands_decay_on_their_own():
    room = shoebox(0.8)
    decay_B = np.where(BANDS < 1_500, 0.8, 0.2)
    room = Room(room.size_3, room.source_3, room.microphone_3, decay_B)
    late_S = impulse_response(room, np.random.default_rng(0))[3_000:6_000]
    assert band(late_S, 300, 1_000) > band(late_S, 4_000, 8_000) + 20


def test_the_first_reflection_is_that_of_the_nearest_wall():
    """The floor is 1.2 m below both, 1 m apart: a path of 2.6 m, 1.6 m after the direct one."""
    response_S = impulse_response(shoebox(0.5), np.random.default_rng(0))
    assert np.abs(response_S[16:60]).max() < 0.1
    late = 16 + int(np.argmax(response_S[16:90]))
    assert late == pytest.approx((np.hypot(1, 2.4) - 1) / 343 * SAMPLE_RATE, abs=1.5)
    assert 0.2 < response_S[late] < 1 / 2.6 + 0.05


def test_reflections_pass_into_noise_without_a_step():
    """On average over rooms, the level falls by as much as in the rest of the decay."""
    steps = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        response_S = impulse_response(draw_room(0.5, 1.5, rng), rng)
        at = round(EARLY * SAMPLE_RATE)
        steps.append(decibel(response_S[at - 480 : at - 240]) - decibel(response_S[at : at + 240]))
    assert np.mean(steps) == pytest.approx(60 * 0.03 / 0.5, abs=1)


def test_a_far_microphone_hears_more_of_the_room():
    near, far = (
        impulse_response(shoebox(0.5, distance), np.random.default_rng(0)) for distance in (0.3, 3)
    )
    assert decibel(far[40:]) > decibel(near[40:]) + 15


# Levels


def test_compression_divides_levels():
    """A tone 20 dB over the threshold comes out 5 dB over it at a ratio of 4."""
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone_S = np.sin(2 * np.pi * 500 * time) * np.sqrt(2)
    loud_S = np.concatenate([0.01 * tone_S, 0.1 * tone_S])
    out_S = compress(loud_S, 4.0, threshold=-40.0, attack=0.005, release=0.15)
    assert out_S.shape == loud_S.shape
    assert decibel(out_S[16_000:30_000]) == pytest.approx(-40, abs=0.5)
    assert decibel(out_S[48_000:]) == pytest.approx(-35, abs=0.5)
    assert np.allclose(compress(loud_S, 1.0, threshold=-40.0, attack=0.1, release=1.0), loud_S)
    assert not compress(np.zeros(100), 4.0, threshold=-40.0, attack=0.1, release=1.0).any()


@pytest.mark.parametrize("hard", [False, True])
def test_clipping_bounds_peaks(hard):
    audio_S = voice()
    out_S = clip_peaks(audio_S, 6.0, hard=hard)
    assert np.abs(out_S).max() <= np.abs(audio_S).max() * 10 ** (-6 / 20) + 1e-6
    assert lag(audio_S, out_S) == 0 and (np.sign(out_S) == np.sign(audio_S)).all()
    assert not clip_peaks(np.zeros(10), 6.0, hard=hard).any()


# Noises and music


@pytest.mark.parametrize("size", [100, 1_000, 48_001])
@pytest.mark.parametrize("kind", [rumble, keyboard, lambda size, rng: music(size, rng)])
def test_noises_have_power_one_and_repeat(kind, size):
    audio_S = kind(size, rng=np.random.default_rng(0))
    assert audio_S.shape == (size,)
    assert decibel(audio_S) == pytest.approx(0, abs=1e-3)
    assert np.array_equal(audio_S, kind(size, rng=np.random.default_rng(0)))
    assert not np.array_equal(audio_S, kind(size, rng=np.random.default_rng(1)))


def test_rumble_is_low_and_typing_is_sparse():
    rumble_S = rumble(64_000, rng=np.random.default_rng(0))
    assert band(rumble_S, 0, 120) > band(rumble_S, 120, 8_000) + 25
    typing_S = keyboard(64_000, rng=np.random.default_rng(0))
    assert np.abs(typing_S).max() > 5
    assert np.median(np.abs(typing_S)) < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_music_is_tonal_and_lasts(seed):
    """Its spectrum has lines, unlike noise, and there is no second without it."""
    audio_S = music(8 * SAMPLE_RATE, np.random.default_rng(seed))
    assert audio_S.dtype == np.float32 and np.isfinite(audio_S).all()
    power = np.abs(np.fft.rfft(audio_S * np.hanning(len(audio_S)))) ** 2
    low = power[: 8 * 1_000]
    flatness = np.exp(np.mean(np.log(low + 1e-9))) / low.mean()
    assert flatness < 0.15  # 0.56 for noise
    assert min(decibel(second_S) for second_S in audio_S.reshape(8, -1)) > -25
    assert music(0, np.random.default_rng(seed)).shape == (0,)
