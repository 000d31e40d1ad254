"""Any file gives the same samples at the same time, and loudness needs no whole file."""

import os
from pathlib import Path

import numpy as np
import pytest

from speech2video.util.audio.audio_io import (
    load_audio,
    loudness_gain,
    normalise_loudness,
    read_audio,
    write_audio,
)
from speech2video.util.errors import DataError
from tests.recordings import make_recording
from tests.shared import DATA, cases
from tests.util.audio.signals import bursts, cut

KINDS = [
    # name, codec, rate, channels, seconds
    ("plain.wav", "pcm_s16le", 16_000, 1, 1.0),
    ("short.wav", "pcm_s16le", 16_000, 1, 0.1),
    ("phone.wav", "pcm_u8", 8_000, 1, 1.0),
    ("float.wav", "pcm_f32le", 44_100, 2, 1.0),
    ("deep.wav", "pcm_s24le", 48_000, 2, 1.0),
    ("studio.wav", "pcm_s32le", 192_000, 8, 1.0),
    ("stereo.flac", "flac", 48_000, 2, 1.0),
    ("music.mp3", "libmp3lame", 44_100, 2, 1.0),
    ("surround.m4a", "aac", 48_000, 8, 1.0),
    ("apple.m4a", "aac", 44_100, 1, 1.0),
    ("web.ogg", "libopus", 48_000, 1, 1.0),
]


def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 200.0) -> np.ndarray:
    audio_S = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(audio_S.astype(np.float32), (channels, 1))


@pytest.mark.parametrize(("name", "codec", "rate", "channels", "seconds"), KINDS)
def test_every_kind_of_file_gives_the_same_audio(tmp_path, name, codec, rate, channels, seconds):
    audio_CS = tone(seconds, rate, channels)
    path = make_recording(tmp_path / name, (), audio_CS, rate=rate, codecs=("", codec))
    audio_S = load_audio(path)
    assert audio_S.dtype == np.float32 and audio_S.ndim == 1
    exact = codec.startswith(("pcm", "flac"))
    assert abs(len(audio_S) - seconds * 16_000) <= (1 if exact else 1200)
    size = min(len(audio_S), round(seconds * 16_000))
    inner = slice(400, size - 400)  # codecs and filters need a moment at both ends
    error_S = audio_S[:size] - tone(seconds, 16_000)[0, :size]
    assert np.abs(error_S[inner]).max() < (0.005 if exact else 0.05)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_moves_nothing_in_time(tmp_path, rate):
    audio_CS = np.zeros((1, 2 * rate), np.float32)
    audio_CS[0, rate] = 0.9
    path = make_recording(tmp_path / "a.wav", (), audio_CS, rate=rate, codecs=("", "pcm_f32le"))
    audio_S = load_audio(path)
    assert len(audio_S) == 32_000
    assert abs(int(np.abs(audio_S).argmax()) - 16_000) <= 1


def test_chunks_equal_the_whole(tmp_path):
    audio_CS = tone(3.3, 44_100)
    path = make_recording(tmp_path / "a.flac", (), audio_CS, rate=44_100, codecs=("", "flac"))
    whole_S, chunks = load_audio(path), list(read_audio(path))
    assert [len(chunk) for chunk in chunks] == [16_000, 16_000, 16_000, 4_800]
    assert np.array_equal(np.concatenate(chunks), whole_S)


def test_reading_is_lazy(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, np.zeros(60 * 16_000, np.float32))
    chunks = read_audio(path)
    assert len(next(chunks)) == 16_000
    os.truncate(path, 0)  # the rest cannot be read any more
    assert sum(map(len, chunks)) < 30 * 16_000


def test_written_audio_reads_back(tmp_path):
    audio_S = np.random.default_rng(0).uniform(-1.5, 1.5, 5_000).astype(np.float32)
    write_audio(tmp_path / "a.wav", audio_S)
    error_S = load_audio(tmp_path / "a.wav") - audio_S.clip(-1, 1)
    assert np.abs(error_S).max() <= 1 / 32768
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("samples", [1, 5_000, 40_001])
def test_a_plain_wav_equals_what_a_decoder_reads(tmp_path, samples):
    audio_S = np.random.default_rng(1).uniform(-1, 1, samples).astype(np.float32)
    write_audio(tmp_path / "a.wav", audio_S)
    decoded_S = np.concatenate(list(read_audio(tmp_path / "a.wav")))
    assert np.array_equal(load_audio(tmp_path / "a.wav"), decoded_S)


@pytest.mark.parametrize("size", [0, 2**31, 2**32 - 1])
def test_a_wav_whose_header_has_a_wrong_length_reads_as_by_a_decoder(tmp_path, size):
    write_audio(tmp_path / "a.wav", tone(1.0, 16_000)[0])
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[40:44] = size.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    decoded_S = np.concatenate(list(read_audio(tmp_path / "a.wav")))
    assert np.array_equal(load_audio(tmp_path / "a.wav"), decoded_S)


def test_clipped_and_partly_broken_samples_stay_in_range(tmp_path):
    audio_CS = tone(1.0, 48_000) * 40
    audio_CS[0, 100:200] = np.nan
    audio_CS[0, 300] = np.inf
    path = make_recording(tmp_path / "a.wav", (), audio_CS, rate=48_000, codecs=("", "pcm_f32le"))
    audio_S = load_audio(path)
    assert np.isfinite(audio_S).all() and np.abs(audio_S).max() <= 1


def test_loudness_ignores_gain_and_pauses():
    random = np.random.default_rng(0)
    speech_S = (random.standard_normal(51_200) * 0.05).astype(np.float32)
    level_S = normalise_loudness(speech_S)
    assert 20 * np.log10(np.sqrt(np.mean(level_S**2))) == pytest.approx(-23, abs=0.1)
    assert np.allclose(normalise_loudness(speech_S * 0.1), level_S, atol=1e-6)
    paused_S = np.concatenate([speech_S, np.zeros(96_000, np.float32)])
    assert np.allclose(normalise_loudness(paused_S)[:51_200], level_S, atol=1e-6)
    peaky_S = np.zeros(16_000, np.float32)
    peaky_S[8_000] = 0.5
    assert np.abs(normalise_loudness(peaky_S)).max() <= 1
    assert not normalise_loudness(np.zeros(16_000, np.float32)).any()
    assert not len(normalise_loudness(np.zeros(0, np.float32)))


def test_bad_files_are_reported_in_one_line(tmp_path):
    (tmp_path / "words.wav").write_text("these are words\n" * 50)
    (tmp_path / "none.wav").write_bytes(b"")
    write_audio(tmp_path / "empty.wav", np.zeros(0, np.float32))
    broken_CS = np.full((1, 4_000), np.nan, np.float32)
    codecs = ("libx264", "pcm_f32le")
    make_recording(tmp_path / "nan.wav", (), broken_CS, rate=16_000, codecs=codecs)
    make_recording(tmp_path / "mute.mp4", [(0.0, np.zeros((32, 32, 3), np.uint8))])
    names = ["words.wav", "none.wav", "empty.wav", "nan.wav", "mute.mp4", "missing.wav", "."]
    for name in names:
        with pytest.raises(DataError) as caught:
            load_audio(tmp_path / name)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("bad", [np.zeros((2, 5)), np.array([0.0, np.nan])])
def test_bad_audio_is_not_written(tmp_path, bad):
    with pytest.raises(DataError):
        write_audio(tmp_path / "a.wav", bad)
    with pytest.raises(DataError, match="cannot be written"):
        write_audio(Path("/proc/none/a.wav"), np.zeros(5))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", cases(DATA, "**/*.wav", "**/*.flac"))
def test_real_recordings(path):
    audio_S = load_audio(path, normalise=True)
    assert len(audio_S) > 16_000 and 0.02 < np.abs(audio_S).max() <= 1


@pytest.mark.parametrize("path", cases(DATA, "vidtimit*/*/audio.wav"))
def test_audio_of_a_video_is_in_time_with_the_microphone(path):
    microphone_S, video_S = load_audio(path), load_audio(path.with_name("video.mp4"))
    assert len(microphone_S) == len(video_S)
    middle_S = microphone_S[8_000:-8_000]
    match = np.correlate(video_S[7_900:-7_900], middle_S, "valid")
    assert abs(int(match.argmax()) - 100) <= 16  # 1 ms


def test_loudness_needs_no_whole_file():
    random = np.random.default_rng(0)
    for seed in range(10):
        audio_S = bursts(random.uniform(0.01, 5), seed)
        gain = loudness_gain(cut(audio_S, random))
        assert np.array_equal(normalise_loudness(audio_S), (audio_S * np.float64(gain)).astype("f"))
    assert loudness_gain([]) == loudness_gain([np.zeros(9_999)]) == 1
