"""The voice is found among tracks and channels, at its loudness, and odd samples are set right."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from speech2video.util.audio.audio_io import load_audio, read_audio_blocks, write_audio
from speech2video.util.errors import DataError
from tests.recordings import make_recording
from tests.tiny_speaker import voice

RATE = 16_000
SECONDS = 3.0
PCM = bytes.fromhex("0100000000001000800000aa00389b71")  # the GUID of integers


def speech(level: float = 1.0) -> np.ndarray:
    """Return noise (S,) with syllables and pauses, as of speech."""
    return (level * voice(SECONDS, rate=RATE)).astype(np.float32)


def music(level: float = 0.3) -> np.ndarray:
    """Return chords (S,) that change each half second, louder than speech."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    step = (time * 2).astype(int) % 4
    notes = np.array([[220, 277, 330], [196, 247, 294], [175, 220, 262], [220, 262, 330]])[step]
    tones = sum(
        np.sin(2 * np.pi * notes.T * time * harmonic) / harmonic for harmonic in (1, 2, 3, 5)
    )
    return (level / 3 * np.sum(tones, axis=0)).astype(np.float32)


def write_tracks(
    path: Path, tracks: list[np.ndarray], *, codec: str = "pcm_s16le", layout: str = "mono"
) -> Path:
    """Write audio tracks, each (S,) or (C, S), into one file."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=RATE, layout=layout) for _ in tracks]
        for begin in range(0, tracks[0].shape[-1], 1000):
            for stream, audio in zip(streams, tracks, strict=True):
                block_CN = np.atleast_2d(audio)[:, begin : begin + 1000]
                packed_1N = np.ascontiguousarray(block_CN.T.astype(np.float32).reshape(1, -1))
                frame = av.AudioFrame.from_ndarray(packed_1N, "flt", layout)
                frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                frame.pts = begin
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def write_float_wav(path: Path, audio_CS: np.ndarray) -> Path:
    audio_CS = np.atleast_2d(audio_CS)
    return make_recording(path, (), audio_CS, rate=RATE, codecs=("", "pcm_f32le"))


def write_wav(path: Path, samples_S: np.ndarray, *, valid: int, size: int = 0) -> Path:
    """Write integers (S,) as an extensible wav of `valid` bits in `size` bytes each."""
    size = size or samples_S.dtype.itemsize
    form = struct.pack("<HHIIHH", 0xFFFE, 1, RATE, RATE * size, size, 8 * size)
    form += struct.pack("<HHI16s", 22, valid, 0, PCM)
    data_SB = samples_S.astype(samples_S.dtype.newbyteorder("<"))[:, None].view(np.uint8)
    data = data_SB[:, :size].tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def level(audio_S: np.ndarray) -> float:
    """Return the level in decibels."""
    return 20 * np.log10(np.sqrt(np.mean(np.square(audio_S, dtype=np.float64))) + 1e-9)


def alike(audio_S: np.ndarray, expected_S: np.ndarray, *, decibels: float = 0.5) -> bool:
    """Return whether two signals are the same sound at about the same level."""
    size = min(len(audio_S), len(expected_S))
    correlation = np.corrcoef(audio_S[:size], expected_S[:size])[0, 1]
    return correlation > 0.95 and abs(level(audio_S) - level(expected_S)) < decibels


SILENCE = np.zeros(round(SECONDS * RATE), np.float32)


@pytest.mark.parametrize(
    ("tracks", "taken"),
    [
        ([SILENCE, speech()], 1),
        ([music(), speech()], 1),
        ([speech(), music()], 0),
        ([SILENCE, music(), speech(0.3)], 2),
        ([speech(0.1), speech()], 1),
        ([speech(), speech()], 0),
        ([speech(0.9), speech()], 0),
        ([SILENCE, SILENCE], 0),
        ([SILENCE, music()], 1),
    ],
)
@pytest.mark.parametrize("name", ["a.mkv", "a.mov"])
def test_the_track_of_the_voice_is_taken(tmp_path, capsys, name, tracks, taken):
    path = write_tracks(tmp_path / name, tracks)
    audio_S = load_audio(path)
    size = len(audio_S)
    assert abs(size - len(SILENCE)) <= 16  # mkv counts in milliseconds
    assert np.abs(audio_S - tracks[taken][:size]).max() < 1e-3
    for _ in range(2):  # reading again notes nothing
        load_audio(path)
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == (taken > 0)
    assert all(f"audio track {taken + 1} of {len(tracks)} taken" in line for line in notes)


def test_a_voice_that_starts_late_is_found(tmp_path):
    late_S = np.concatenate([np.zeros(100 * RATE, np.float32), speech(), speech(), speech()])
    path = write_tracks(tmp_path / "a.mkv", [np.zeros_like(late_S), late_S])
    assert alike(load_audio(path)[100 * RATE :], late_S[100 * RATE :])


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ([1.0, -1.0], "opposite phase"),
        ([0.7, -1.0], "opposite phase"),
        ([1.0, 0.0], "the left one is taken"),
        ([0.001, 1.0], "the right one is taken"),
    ],
)
def test_a_stereo_pair_that_would_cancel_or_fade_is_mixed(tmp_path, capsys, channels, words):
    path = write_float_wav(tmp_path / "a.wav", np.outer(channels, speech()))
    audio_S = load_audio(path)
    assert alike(audio_S, speech(), decibels=1.5) or alike(-audio_S, speech(), decibels=1.5)
    (note,) = capsys.readouterr().err.splitlines()
    assert words in note and note.startswith(f"note: {path}: ")
    assert {len(block) for block in read_audio_blocks(path, rate=RATE)} == {1}


def test_hum_in_phase_does_not_hide_a_voice_of_opposite_phase(tmp_path):
    hum_S = 0.3 * np.sin(2 * np.pi * 50 * np.arange(round(SECONDS * RATE)) / RATE)
    path = write_float_wav(tmp_path / "a.wav", np.stack([hum_S + speech(), hum_S - speech()]))
    assert alike(load_audio(path), speech())


@pytest.mark.parametrize("second", [1.0, 0.5, 0.1, -0.1])
def test_ordinary_stereo_is_the_mean_of_its_channels(tmp_path, capsys, second):
    noise_S = 0.05 * np.random.default_rng(1).standard_normal(round(SECONDS * RATE))
    audio_CS = np.stack([speech(), second * speech() + noise_S]).astype(np.float32)
    path = write_float_wav(tmp_path / "a.wav", audio_CS)
    assert np.array_equal(load_audio(path), audio_CS.mean(axis=0).clip(-1, 1))
    assert not capsys.readouterr().err
    assert {len(block) for block in read_audio_blocks(path, rate=RATE)} == {2}


@pytest.mark.parametrize(("layout", "centre"), [("5.1", 2), ("7.1", 2), ("5.0", 2), ("3.0", 2)])
def test_a_voice_in_the_centre_keeps_its_loudness(tmp_path, layout, centre):
    channels = av.AudioLayout(layout).nb_channels
    audio_CS = np.zeros((channels, len(SILENCE)), np.float32)
    audio_CS[centre] = speech()
    random = np.random.default_rng(2)
    audio_CS[:2] = 0.003 * random.standard_normal((2, len(SILENCE)))
    path = write_tracks(tmp_path / "a.mkv", [audio_CS], layout=layout)
    assert alike(load_audio(path), speech())


def test_a_real_low_frequency_channel_is_left_out(tmp_path):
    audio_CS = np.zeros((6, len(SILENCE)), np.float32)
    audio_CS[2] = speech()
    audio_CS[3] = 0.8 * np.sin(2 * np.pi * 30 * np.arange(len(SILENCE)) / RATE)
    path = write_tracks(tmp_path / "a.mkv", [audio_CS], layout="5.1")
    assert alike(load_audio(path), speech())


@pytest.mark.parametrize("place", range(6))
def test_one_live_microphone_of_an_array_keeps_its_loudness(tmp_path, place):
    audio_CS = np.zeros((6, len(SILENCE)), np.float32)
    audio_CS[place] = speech()
    path = write_tracks(tmp_path / "a.wav", [audio_CS], layout="5.1")
    assert alike(load_audio(path), speech())


@pytest.mark.parametrize(
    ("dtype", "valid", "shift"),
    [
        (np.int32, 24, 0),
        (np.int32, 24, 8),
        (np.int32, 20, 0),
        (np.int32, 20, 12),
        (np.int16, 12, 0),
        (np.int16, 12, 4),
        (np.int32, 32, 0),
        (np.int16, 16, 0),
    ],
)
def test_fewer_valid_bits_than_stored_have_full_scale(tmp_path, dtype, valid, shift):
    samples_S = (np.round(speech() * 2.0 ** (valid - 1)).astype(np.int64) << shift).astype(dtype)
    path = write_wav(tmp_path / "a.wav", samples_S, valid=valid)
    audio_S = load_audio(path)
    assert len(audio_S) == len(samples_S)
    assert np.abs(audio_S - speech()).max() < 2.0 ** (2 - valid) + 2e-7


@pytest.mark.parametrize("shift", [0, 4])
def test_twenty_bits_stored_in_three_bytes_have_full_scale(tmp_path, shift):
    samples_S = (np.round(speech() * 2.0**19).astype(np.int64) << shift).astype(np.int32)
    audio_S = load_audio(write_wav(tmp_path / "a.wav", samples_S, valid=20, size=3))
    assert np.abs(audio_S - speech()).max() < 2.0**-18 + 2e-7


def test_a_file_written_to_a_pipe_is_not_called_damaged(tmp_path, capsys):
    """Its header gives the largest size that there is."""
    samples_S = np.round(speech() * 32767).astype(np.int16)
    path = write_wav(tmp_path / "a.wav", samples_S, valid=16)
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff" * 4
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff" * 4
    path.write_bytes(content)
    assert len(load_audio(path)) == len(samples_S)
    assert not capsys.readouterr().err


def test_integers_of_64_bits_are_read(tmp_path):
    samples_S = np.round(speech() * 2.0**62).astype(np.int64)
    audio_S = load_audio(write_wav(tmp_path / "a.wav", samples_S, valid=64))
    assert np.abs(audio_S - speech() / 2).max() < 1e-6


def test_a_header_of_32_bits_with_24_bit_samples_is_noticed(tmp_path, capsys):
    samples_S = np.round(speech() * 2.0**23).astype(np.int32)
    assert alike(load_audio(write_wav(tmp_path / "a.wav", samples_S, valid=32)), speech())
    assert "24 bits" in capsys.readouterr().err


@pytest.mark.parametrize("scale", [2.0**15, 2.0**23, 2.0**31, 20.0])
def test_floats_beyond_full_scale_are_scaled(tmp_path, capsys, scale):
    audio_S = load_audio(write_float_wav(tmp_path / "a.wav", 2 * speech() * scale))
    assert np.abs(audio_S).max() <= 1 and np.corrcoef(audio_S, speech())[0, 1] > 0.99
    assert len(capsys.readouterr().err.splitlines()) == 1
    if scale > 20:
        assert alike(audio_S, 2 * speech())


@pytest.mark.parametrize("spike", [3e38, -3e38, 1e6, np.nan, np.inf])
@pytest.mark.parametrize("scale", [1.0, 2.0**15])
def test_absurd_samples_are_silence_and_change_no_others(tmp_path, capsys, spike, scale):
    audio_S = speech() * np.float32(scale)
    audio_S[[5, 20_000, 20_001]] = spike * scale if abs(spike) == 1e6 else spike
    found_S = load_audio(write_float_wav(tmp_path / "a.wav", audio_S))
    expected_S = speech()
    expected_S[[5, 20_000, 20_001]] = 0
    assert np.abs(found_S - expected_S).max() < 1e-4
    notes = capsys.readouterr().err
    assert notes.count("are read as silence") == 1 and notes.count("note:") <= 2


def test_doubles_beyond_floats_are_silence(tmp_path):
    audio_S = speech().astype(np.float64)
    audio_S[7] = 1e300
    form = struct.pack("<HHIIHH", 3, 1, RATE, RATE * 8, 8, 64)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", audio_S.nbytes) + audio_S.tobytes()
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    found_S = load_audio(tmp_path / "a.wav")
    assert found_S[7] == 0 and alike(found_S, speech())


@pytest.mark.parametrize("rate", [1, 999, 2**31 - 1, 800_000])
def test_a_rate_that_no_speech_has_is_one_line(tmp_path, rate):
    write_audio(tmp_path / "a.wav", speech()[:4000])
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[24:28] = struct.pack("<I", rate)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(DataError, match=r"a.wav: .*Hz|not a video or audio"):
        load_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "pcm_s16le"),
        ("a.flac", "flac"),
        ("a.mp3", "libmp3lame"),
        ("a.aiff", "pcm_s16be"),
        ("a.mkv", "pcm_s16le"),
    ],
)
def test_a_truncated_file_says_how_much_was_read(tmp_path, capsys, name, codec):
    audio_CS = voice(6.0, rate=RATE)[None]
    path = make_recording(tmp_path / name, (), audio_CS, rate=RATE, codecs=("", codec))
    assert abs(len(load_audio(path)) - 6 * RATE) < 0.1 * RATE
    assert not capsys.readouterr().err
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    seconds = len(load_audio(path)) / RATE
    assert 2 < seconds < 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "damaged audio" in line and "of 6.0" in line
    read = float(line.split("damaged audio: ")[1].split(" s of")[0])
    assert read == pytest.approx(seconds, abs=0.06)
