"""Log-mels use librosa's filters, do not depend on chunks, and put each column at its time."""

import librosa
import numpy as np
import pytest

from speech2video.util.audio.mel import (
    HOP,
    HOPS_PER_FRAME,
    N_MELS,
    LogMelStream,
    log_mels,
    mel_filters,
    normalise_global,
    normalise_utterance,
)
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE, SAMPLES_PER_FRAME, frame_count


@pytest.fixture(scope="module")
def audio_S() -> np.ndarray:
    """Noise of changing loudness, 2.01 s: not whole frames."""
    random = np.random.default_rng(0)
    times_S = np.arange(round(2.01 * SAMPLE_RATE)) / SAMPLE_RATE
    noise_S = random.standard_normal(len(times_S))
    return (0.1 * noise_S * (1.2 + np.sin(9 * times_S))).astype(np.float32)


def test_the_filters_equal_librosas() -> None:
    expected = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=512, n_mels=N_MELS, fmax=8000)
    np.testing.assert_allclose(mel_filters(), expected, atol=1e-6 * expected.max())


def test_the_chunks_size_does_not_matter(audio_S: np.ndarray) -> None:
    whole_BN = log_mels(audio_S)
    assert whole_BN.shape == (N_MELS, HOPS_PER_FRAME * frame_count(len(audio_S)))
    for size in (1, 399, 5000):
        begins = range(0, 8000 if size == 1 else len(audio_S), size)
        part_S = audio_S[: begins.stop]
        stream = LogMelStream()
        pieces = [stream.push(part_S[begin : begin + size]) for begin in begins]
        assert not any(piece.shape[1] % HOPS_PER_FRAME for piece in pieces)
        pieces_BN = np.concatenate([*pieces, stream.finish()], 1)
        np.testing.assert_allclose(pieces_BN, log_mels(part_S), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("column", [0, 7, 30])
def test_a_click_is_loudest_in_its_own_column(column: int) -> None:
    audio_S = np.zeros(20 * SAMPLES_PER_FRAME, np.float32)
    audio_S[column * HOP + HOP // 2] = 0.5
    assert log_mels(audio_S).sum(0).argmax() == column


def test_gain_is_normalised_away(audio_S: np.ndarray) -> None:
    whole_S = audio_S[: 50 * SAMPLES_PER_FRAME]  # padded silence has no gain
    quiet, loud = (normalise_utterance(log_mels(gain * whole_S)) for gain in (4.0, 20.0))
    np.testing.assert_allclose(quiet, loud, atol=1e-3)
    np.testing.assert_allclose(loud.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(loud.std(1), 1, atol=1e-3)


def test_silence_stays_finite() -> None:
    assert not normalise_utterance(log_mels(np.zeros(5 * SAMPLES_PER_FRAME, np.float32))).any()


def test_colour_stays_and_gain_goes(audio_S: np.ndarray) -> None:
    mels_BN = log_mels(audio_S)
    usual = np.linspace(-5, -7, N_MELS), np.linspace(1, 2, N_MELS)
    tilt_B1 = np.linspace(-1, 1, N_MELS)[:, None]
    plain_BN = normalise_global(mels_BN, *usual)
    louder_BN = normalise_global(mels_BN + 2 * usual[1][:, None], *usual)
    np.testing.assert_allclose(louder_BN, plain_BN, atol=1e-4)
    moved_BN = normalise_global(mels_BN + tilt_B1, *usual) - plain_BN
    assert moved_BN[0].max() < -0.3 and moved_BN[-1].min() > 0.3
    assert np.ptp(moved_BN, axis=1).max() < 1e-4


@pytest.mark.parametrize(
    ("audio_S", "said"),
    [
        (np.zeros((2, 9), np.float32), "mono"),
        (np.zeros(9, np.int16), "floats"),
        (np.array([0, np.nan], np.float32), "sample 1"),
    ],
)
def test_what_is_no_wave_is_refused(audio_S: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        log_mels(audio_S)
