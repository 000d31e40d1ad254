"""Log-mels: librosa's filters, the same however the sound comes, each column at its own time."""

import librosa
import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.log_mels import (
    BANDS,
    COLUMNS,
    FRAME,
    HOP,
    RATE,
    LogMelStream,
    coloured,
    log_mels,
    mel_filters,
    normalised,
)


@pytest.fixture(scope="module")
def wave_S() -> np.ndarray:
    """Noise whose loudness changes, 2.01 s: not whole frames."""
    random = np.random.default_rng(0)
    times_S = np.arange(round(2.01 * RATE)) / RATE
    noise_S = random.standard_normal(len(times_S))
    return (0.1 * noise_S * (1.2 + np.sin(9 * times_S))).astype(np.float32)


def test_the_filters_are_librosas() -> None:
    theirs = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=BANDS, fmax=8000)
    np.testing.assert_allclose(mel_filters(), theirs, atol=1e-6 * theirs.max())


def test_the_chunks_size_does_not_matter(wave_S: np.ndarray) -> None:
    whole_BN = log_mels(wave_S)
    assert whole_BN.shape == (BANDS, COLUMNS * -(-len(wave_S) // FRAME))
    for size in (1, 399, 5000):
        begins = range(0, 8000 if size == 1 else len(wave_S), size)
        part_S = wave_S[: begins.stop]
        stream = LogMelStream()
        pieces = [stream.push(part_S[begin : begin + size]) for begin in begins]
        pieces_BN = np.concatenate([*pieces, stream.finish()], 1)
        np.testing.assert_allclose(pieces_BN, log_mels(part_S), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("column", [0, 7, 30])
def test_a_click_is_loudest_in_its_own_column(column: int) -> None:
    wave_S = np.zeros(20 * FRAME, np.float32)
    wave_S[column * HOP + HOP // 2] = 0.5
    assert log_mels(wave_S).sum(0).argmax() == column


def test_gain_is_normalised_away(wave_S: np.ndarray) -> None:
    whole_S = wave_S[: 50 * FRAME]  # what is filled up with silence has no gain
    quiet, loud = (normalised(log_mels(gain * whole_S)) for gain in (4.0, 20.0))
    np.testing.assert_allclose(quiet, loud, atol=1e-3)
    np.testing.assert_allclose(loud.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(loud.std(1), 1, atol=1e-3)


def test_silence_stays_finite() -> None:
    assert not normalised(log_mels(np.zeros(5 * FRAME, np.float32))).any()


def test_colour_stays_and_gain_goes(wave_S: np.ndarray) -> None:
    mels_BN = log_mels(wave_S)
    usual = np.linspace(-5, -7, BANDS), np.linspace(1, 2, BANDS)
    tilt_B1 = np.linspace(-1, 1, BANDS)[:, None]
    plain_BN = coloured(mels_BN, *usual)
    louder_BN = coloured(mels_BN + 2 * usual[1][:, None], *usual)
    np.testing.assert_allclose(louder_BN, plain_BN, atol=1e-4)
    moved_BN = coloured(mels_BN + tilt_B1, *usual) - plain_BN
    assert moved_BN[0].max() < -0.3 and moved_BN[-1].min() > 0.3
    assert np.ptp(moved_BN, axis=1).max() < 1e-4


@pytest.mark.parametrize(
    ("wave_S", "said"),
    [
        (np.zeros((2, 9), np.float32), "mono"),
        (np.zeros(9, np.int16), "floats"),
        (np.array([0, np.nan], np.float32), "sample 1"),
    ],
)
def test_what_is_no_wave_is_refused(wave_S: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        log_mels(wave_S)
