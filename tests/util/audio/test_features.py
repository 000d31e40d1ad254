"""Features equal librosa's, lie in the right frame, and do not depend on how audio is chunked."""

import librosa
import numpy as np
import pytest

from speech2video.util.audio.audio_io import (
    load_audio,
    loudness_gain,
    normalise_loudness,
    read_audio,
    write_audio,
)
from speech2video.util.audio.features import (
    FEATURE_SETS,
    FLOOR,
    FLOOR_BATCH,
    FLOOR_HISTORY,
    FLOOR_QUANTILE,
    MAX_HERTZ,
    MIN_HERTZ,
    PHONETIC,
    FeatureExtractor,
    NoiseFloor,
    extract_features,
)
from speech2video.util.audio.mel import FFT, HOP, MARGIN, WINDOW, mel_filters
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLES_PER_FRAME, frame_count
from tests.recordings import make_recording
from tests.shared import DATA, cases
from tests.util.audio.signals import bursts, cut

# phonetic features are in test_phonetic.py
KINDS = [kind for kind in FEATURE_SETS if kind != PHONETIC]
MEMORYLESS = [kind for kind in KINDS if kind != "snr"]  # all without a noise floor
LOG_10 = np.log(10) / 10  # natural logarithm of one dB


def stream(chunks: list[np.ndarray], kind: str) -> np.ndarray:
    features = FeatureExtractor(kind)
    return np.concatenate([*map(features.push, chunks), features.finish()])


def librosa_mel(audio_S: np.ndarray, bands: int) -> np.ndarray:
    """Return librosa's mel power (N, bands) in the windows and units of `mel`."""
    hann = np.hanning(WINDOW)
    padded_S = np.pad(audio_S.astype(np.float64), MARGIN + (FFT - WINDOW) // 2)
    return librosa.feature.melspectrogram(
        y=padded_S, sr=16_000, n_fft=FFT, hop_length=HOP, win_length=WINDOW, center=False,
        window=hann * np.sqrt(2 / FFT / np.sum(hann**2)),
        n_mels=bands, fmin=MIN_HERTZ, fmax=MAX_HERTZ, norm=None,
    )  # fmt: skip


@pytest.mark.parametrize("bands", [26, 40, 80, 128])
def test_mel_filters_equal_librosas(bands):
    expected = librosa.filters.mel(
        sr=16_000,
        n_fft=FFT,
        n_mels=bands,
        fmin=MIN_HERTZ,
        fmax=MAX_HERTZ,
        norm=None,
        dtype=np.float64,
    )
    filters = mel_filters(bands, lowest=MIN_HERTZ, highest=MAX_HERTZ, equal_area=False)
    assert np.abs(filters - expected).max() < 1e-9
    assert bands > 80 or (filters.sum(axis=1) > 0).all()


def test_mfcc_equal_librosas():
    audio_S = bursts(4.0)
    decibel = librosa.power_to_db(librosa_mel(audio_S, 40), amin=FLOOR, top_db=None)
    mfcc_CN = librosa.feature.mfcc(S=decibel, n_mfcc=13) * LOG_10
    deltas_CN = librosa.feature.delta(mfcc_CN, width=5, mode="nearest")
    windows_NC = extract_features(audio_S).reshape(-1, 28)
    assert windows_NC.shape[0] == mfcc_CN.shape[1] == 400
    assert np.abs(windows_NC[:, :13] - mfcc_CN.T).max() < 1e-4
    assert np.abs(windows_NC[:, 14:27] - deltas_CN.T).max() < 1e-4


def test_logmel_equals_librosas():
    audio_S = bursts(4.0)
    expected_BN = np.log(np.maximum(librosa_mel(audio_S, 80), FLOOR))
    logmel_NB = extract_features(audio_S, kind="logmel").reshape(-1, 80)
    assert np.abs(logmel_NB - expected_BN.T).max() < 1e-4


def test_log_energy_is_the_mean_square():
    audio_S = np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000).astype(np.float32)
    energy_N = extract_features(0.1 * audio_S).reshape(-1, 28)[4:-4, 13]
    assert np.abs(energy_N - np.log(0.01 / 2)).max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 159, 640, 641, 1279, 1280, 5_000])
def test_one_frame_for_each_640_samples(kind, size):
    features_TF = extract_features(bursts(1.0)[:size], kind=kind)
    assert features_TF.shape == (frame_count(size), FEATURE_SETS[kind].size)
    assert features_TF.dtype == np.float32 and np.isfinite(features_TF).all()


@pytest.mark.parametrize("kind", KINDS)
def test_any_chunks_give_the_same(kind):
    random = np.random.default_rng(0)
    for seed in range(20):
        audio_S = bursts(random.uniform(0, 3), seed)
        whole_TF = extract_features(audio_S, kind=kind)
        assert np.array_equal(stream(cut(audio_S, random), kind), whole_TF)
    short_S = bursts(0.3)
    samples = np.split(short_S, len(short_S))
    assert np.array_equal(stream(samples, kind), extract_features(short_S, kind=kind))
    long_S = bursts(20.0)  # more than is computed at once
    assert np.array_equal(stream([long_S], kind), stream(cut(long_S, random), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_gives_each_frame_at_once_in_bounded_memory(kind):
    features, audio_S, given, kept = FeatureExtractor(kind), bursts(2.0), 0, 0
    lookahead = MARGIN + FEATURE_SETS[kind].reach * HOP
    for sample in range(0, len(audio_S), 10):
        given += len(features.push(audio_S[sample : sample + 10]))
        assert given == max(sample + 10 - lookahead, 0) // SAMPLES_PER_FRAME
        kept = max(kept, features._windows._audio_S.nbytes)
    assert kept < 4_000
    first_TF = features.finish()
    assert given + len(first_TF) == 50
    again_TF = np.concatenate([features.push(audio_S), features.finish()])
    assert np.array_equal(again_TF, extract_features(audio_S, kind=kind))


def test_a_click_is_loudest_in_its_own_frame():
    for sample in [0, 1, 639, 640, 641, 6_399, 6_400, 6_479, 6_480, 6_559, 6_560, 6_719, 12_799]:
        audio_S = np.zeros(12_800, np.float32)
        audio_S[sample] = 0.9
        for kind in KINDS:
            windows_NC = extract_features(audio_S, kind=kind).reshape(80, -1)
            energy_N = windows_NC[:, 13] if kind == "mfcc" else windows_NC.sum(axis=1)
            assert energy_N.argmax() == sample // HOP
            assert np.sort(energy_N)[-1] > np.sort(energy_N)[-2]


@pytest.mark.parametrize("kind", MEMORYLESS)
def test_a_frame_later_is_a_frame_later(kind):
    audio_S = bursts(3.0)
    features_TF = extract_features(audio_S, kind=kind)
    for frames in (1, 7):
        shifted_TF = extract_features(np.pad(audio_S, (640 * frames, 0)), kind=kind)
        assert np.abs(shifted_TF[frames + 1 :] - features_TF[1:]).max() < 1e-6
    part_TF = extract_features(audio_S[640 * 10 : 640 * 30], kind=kind)
    assert np.abs(part_TF[1:-1] - features_TF[11:29]).max() < 1e-6


def test_snr_subtracts_steady_noise():
    """Little is left of noise alone, and speech in noise is close to speech alone."""
    random, speech_S = np.random.default_rng(0), bursts(8.0)
    noise_S = 0.01 * random.standard_normal(len(speech_S)).astype(np.float32)
    power = np.exp(extract_features(noise_S, kind="snr").astype(np.float64))
    whole = np.square(noise_S).mean()
    left_T = power.reshape(-1, 4, 26).sum(2).mean(1)[25:] / whole
    assert left_T.mean() < 0.2
    alone, within = (
        extract_features(sum_S, kind="snr") for sum_S in (speech_S, speech_S + noise_S)
    )
    loud = alone[50:] > np.log(np.square(speech_S).mean() / 26)
    assert np.abs(alone[50:] - within[50:])[loud].mean() < 0.5


def test_snr_moves_with_the_gain():
    audio_S = bursts(4.0)
    quiet_TF, loud_TF = (extract_features(gain * audio_S, kind="snr") for gain in (1, 4))
    audible = quiet_TF > np.log(1e-7)
    np.testing.assert_allclose((loud_TF - quiet_TF)[audible], np.log(16), atol=1e-3)


def test_gain_is_a_constant_on_two_numbers():
    audio_S = 0.05 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    quiet_NC, loud_NC = (extract_features(gain * audio_S).reshape(-1, 28) for gain in (1, 4))
    difference = (loud_NC - quiet_NC)[4:-4]
    assert np.allclose(difference[:, 0], np.log(16) * np.sqrt(40), atol=1e-4)
    assert np.allclose(difference[:, 13], np.log(16), atol=1e-4)
    difference[:, [0, 13]] = 0
    assert np.abs(difference).max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_silence_is_finite_and_constant(kind):
    silent_TF = extract_features(np.zeros(16_000, np.float32), kind=kind)
    assert silent_TF.shape == (25, FEATURE_SETS[kind].size) and np.isfinite(silent_TF).all()
    assert np.abs(silent_TF - silent_TF[0]).max() < 1e-9
    hiss_S = 1e-5 * np.random.default_rng(0).standard_normal(16_000)
    assert np.abs(extract_features(hiss_S, kind=kind) - silent_TF).max() < 1e-9


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_broken_sample_is_reported(bad):
    features = FeatureExtractor()
    features.push(np.zeros(1_000, np.float32))
    audio_S = np.zeros(1_000, np.float32)
    audio_S[7] = bad
    with pytest.raises(DataError, match=f"sample 1007 .* {bad}"):
        features.push(audio_S)


def test_other_arrays_are_refused():
    for array in (np.zeros((2, 5)), np.zeros(5, np.int16), np.float64(0.1)):
        with pytest.raises(DataError, match="mono audio"):
            extract_features(array)
    with pytest.raises(DataError, match="'cqt': known are mfcc, logmel, snr"):
        FeatureExtractor("cqt")


def test_normalised_loudness_removes_the_gain(tmp_path):
    audio_S = bursts(3.0)
    levels = [normalise_loudness(gain * audio_S) for gain in (1.0, 0.1, 2.5)]
    features = [extract_features(level_S) for level_S in levels]
    assert np.abs(features[1] - features[0]).max() < 1e-3
    assert np.abs(features[2] - features[0]).max() < 1e-3
    write_audio(tmp_path / "a.wav", 0.2 * audio_S)
    gain = loudness_gain(read_audio(tmp_path / "a.wav"))
    two_passes_TF = stream([gain * chunk for chunk in read_audio(tmp_path / "a.wav")], "mfcc")
    one_TF = extract_features(load_audio(tmp_path / "a.wav", normalise=True))
    assert np.abs(two_passes_TF - one_TF).max() < 1e-4


FILES = [
    # name, codec, rate, channels, times full scale
    ("clipped.wav", "pcm_s16le", 16_000, 1, 20.0),
    ("stereo.wav", "pcm_s16le", 16_000, 2, 1.0),
    ("phone.wav", "pcm_s16le", 8_000, 1, 1.0),
    ("video.wav", "pcm_s16le", 48_000, 2, 1.0),
    ("music.mp3", "libmp3lame", 44_100, 2, 1.0),
    ("lossless.flac", "flac", 44_100, 1, 1.0),
    ("short.wav", "pcm_s16le", 16_000, 1, 1.0),
]


@pytest.mark.parametrize(("name", "codec", "rate", "channels", "scale"), FILES)
def test_every_file_becomes_the_same_features(tmp_path, name, codec, rate, channels, scale):
    seconds = 0.1 if name == "short.wav" else 2.0
    time_S = np.arange(round(seconds * rate)) / rate
    mono_S = 0.3 * np.sin(2 * np.pi * 300 * time_S) * (np.sin(2 * np.pi * 2 * time_S) > 0)
    audio_CS = np.tile((scale * mono_S).astype(np.float32), (channels, 1)).clip(-1, 1)
    path = make_recording(tmp_path / name, (), audio_CS, rate=rate, codecs=("", codec))
    features_TF = extract_features(load_audio(path, normalise=True))
    frames = round(seconds * 25 + 0.49)
    assert frames <= len(features_TF) <= frames + (2 if name == "music.mp3" else 0)
    assert np.isfinite(features_TF).all()
    energy_N = features_TF[:frames].reshape(-1, 28)[:, 13]
    spoken_N = np.sin(2 * np.pi * 2 * (np.arange(len(energy_N)) + 0.5) * HOP / 16_000) > 0
    assert energy_N[spoken_N].mean() > np.log(1e-3)
    assert seconds < 1 or energy_N[~spoken_N].mean() < np.log(1e-7)


def test_files_without_audio_are_reported_in_one_line(tmp_path):
    write_audio(tmp_path / "empty.wav", np.zeros(0, np.float32))
    nan_CS = np.full((1, 4_000), np.nan, np.float32)
    make_recording(tmp_path / "nan.wav", (), nan_CS, rate=16_000, codecs=("", "pcm_f32le"))
    (tmp_path / "nothing.wav").write_bytes(b"")
    for name in ("empty.wav", "nan.wav", "nothing.wav"):
        with pytest.raises(DataError) as caught:
            load_audio(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize("path", cases(DATA, "**/*.wav"))
def test_real_recordings(path):
    audio_S = load_audio(path, normalise=True)[: 16_000 * 20]
    for kind in KINDS:
        features_TF = extract_features(audio_S, kind=kind)
        assert len(features_TF) == frame_count(len(audio_S))
        assert np.isfinite(features_TF).all() and np.abs(features_TF).max() < 140
        assert (features_TF.std(axis=0) > 0.01).all()


def power(frames: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).chisquare(8, (frames, bands)) / 8


def test_the_noise_floor_is_a_quantile_of_the_past():
    power_TB = power(2 * FLOOR_HISTORY)
    floor_TB = NoiseFloor(3).push(power_TB)
    for frame in (0, 1, 7, FLOOR_HISTORY - 1, FLOOR_HISTORY, 2 * FLOOR_HISTORY - 1):
        past = power_TB[max(frame + 1 - FLOOR_HISTORY, 0) : frame + 1]
        expected = np.quantile(past, FLOOR_QUANTILE, axis=0, method="lower")
        np.testing.assert_array_equal(floor_TB[frame], expected)


@pytest.mark.parametrize(
    "frames", [0, 1, FLOOR_HISTORY, FLOOR_BATCH, FLOOR_BATCH + 1, 2 * FLOOR_BATCH + 300]
)
def test_the_noise_floor_does_not_depend_on_chunks(frames: int):
    power_TB, random = power(frames), np.random.default_rng(1)
    floor, cuts = NoiseFloor(3), np.sort(random.integers(0, frames + 1, 20))
    streamed = np.concatenate([floor.push(part) for part in np.split(power_TB, cuts)])
    np.testing.assert_array_equal(streamed, NoiseFloor(3).push(power_TB))


def test_bursts_do_not_move_the_noise_floor():
    noise_TB = power(1000)
    burst_TB = noise_TB.copy()
    burst_TB[np.arange(1000) % 10 < 6] *= 1000.0
    quiet, busy = NoiseFloor(3).push(noise_TB), NoiseFloor(3).push(burst_TB)
    assert np.abs(np.log(busy[FLOOR_HISTORY:] / quiet[FLOOR_HISTORY:])).max() < 0.7  # 3 dB


def test_the_noise_floor_follows_the_noise():
    louder_TB = power(4 * FLOOR_HISTORY) * np.repeat([1.0, 100.0], 2 * FLOOR_HISTORY)[:, None]
    floor_TB = NoiseFloor(3).push(louder_TB)
    ratio = floor_TB[-1] / floor_TB[2 * FLOOR_HISTORY - 1]
    np.testing.assert_allclose(ratio, 100, rtol=0.3)
    quieter_TB = NoiseFloor(3).push(louder_TB[::-1])
    assert (quieter_TB[2 * FLOOR_HISTORY + FLOOR_HISTORY // 2] < 2).all()


def test_the_noise_floor_takes_bounded_memory():
    floor = NoiseFloor(3)
    floor.push(power(5000))
    limit = 3 * 8 * (FLOOR_HISTORY + FLOOR_BATCH) * 2
    assert floor._past.base is None or floor._past.base.nbytes < limit
    assert len(floor._past) == FLOOR_HISTORY - 1
