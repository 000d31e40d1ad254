"""Vocal-tract perturbation: change a voice's pitch, formants and speed, and keep its timing."""

import math
from fractions import Fraction

import numpy as np
from scipy.signal import firwin, oaconvolve, resample_poly

from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE

DENOMINATOR = 1000  # largest of the ratios that are resampled by
SEGMENT = 384  # samples that stretching moves at once, 24 ms: two periods of a low voice
SEARCH = 80  # samples by which a segment may move to fit the one before it, 5 ms
SHIFT_PENALTY = 0.02  # correlation that a segment gives up to stay where it belongs
LOWERED_BAND = 0.9  # of the band left by lowering a pitch; above it the audio stays as it was
TAPS = 129  # of the filter that divides these bands
SPECTRUM = 512  # samples of a window in which formants are moved, 32 ms
STEP = 128  # samples between these windows
CEPSTRUM = 32  # quefrencies of an envelope, 2 ms: shorter than the period of nearly any voice
MAX_CHANGE = 4.6  # nepers (40 dB) of a formant, up or down: beyond it there is only noise


def change_speed(audio_S: np.ndarray, factor: float) -> np.ndarray:
    """Return audio (S,) played faster by a factor: (round(S / factor),), float32.

    Pitch and formants rise with it (Ko et al., "Audio augmentation for speech recognition", 2015).
    The moment t seconds moves to t / factor. Raises `DataError` for factors outside [1/4, 4].
    """
    ratio = _ratio(factor)
    size = round(len(audio_S) / factor)
    if ratio == 1 or not size:
        return np.asarray(audio_S[:size], np.float32)
    out_S = resample_poly(np.asarray(audio_S, np.float64), ratio.denominator, ratio.numerator)
    return np.pad(out_S[:size], (0, max(size - len(out_S), 0))).astype(np.float32)


def change_voice(audio_S: np.ndarray, *, pitch: float = 1.0, formants: float = 1.0) -> np.ndarray:
    """Return speech (S,) at 16 kHz whose pitch and whose formants are multiplied, float32.

    Nothing moves in time by more than 10 ms. Resampling moves both and stretching restores the
    time; then the spectrum's envelope is warped to the wanted formants. Raises `DataError` for
    ratios outside [1/4, 4].
    """
    exact, formants = _ratio(pitch), float(_ratio(formants))
    return warp_envelope(_shift_pitch_and_formants(audio_S, exact), formants / float(exact))


def stretch(audio_S: np.ndarray, size: int) -> np.ndarray:
    """Return audio (S,) at 16 kHz as (size,) float32, slower or faster at the same pitch.

    Waveform similarity overlap-add (Verhelst & Roelands, ICASSP 1993).
    """
    if size == len(audio_S):
        return np.asarray(audio_S, np.float32)
    hop = SEGMENT // 2
    count = -(-size // hop) + 1
    wanted = np.round(np.arange(count) * hop * len(audio_S) / max(size, 1)).astype(int)
    wanted = np.minimum(wanted, len(audio_S))
    padded_S = np.pad(np.asarray(audio_S, np.float64), SEGMENT + SEARCH)
    starts = _fitting_starts(padded_S, wanted + SEGMENT // 2 + SEARCH, hop)
    taper = np.hanning(SEGMENT + 1)[:-1]
    segments = padded_S[starts[:, None] + np.arange(SEGMENT)] * taper
    out_S = np.zeros((count + 1) * hop)
    out_S[:-hop] += segments[:, :hop].ravel()
    out_S[hop:] += segments[:, hop:].ravel()
    return out_S[hop : hop + size].astype(np.float32)


def warp_envelope(audio_S: np.ndarray, ratio: float) -> np.ndarray:
    """Return speech (S,) float32 with formants higher by a ratio and the same pitch.

    The envelope is the smooth part of the log spectrum, by its cepstrum.
    """
    if ratio == 1 or not len(audio_S):
        return np.asarray(audio_S, np.float32)
    padded_S = np.pad(audio_S, (SPECTRUM, SPECTRUM + -len(audio_S) % STEP))
    windows_NW = np.lib.stride_tricks.sliding_window_view(padded_S, SPECTRUM)[::STEP]
    taper = np.sqrt(np.hanning(SPECTRUM + 1)[:-1])
    spectra_NB = np.fft.rfft(windows_NW * taper)
    spectra_NB *= np.exp(_envelope_change(np.abs(spectra_NB), ratio))
    windows_NW = np.fft.irfft(spectra_NB, n=SPECTRUM) * taper
    out_S = np.zeros(len(padded_S))
    for begin in range(0, SPECTRUM, STEP):
        pieces = windows_NW[:, begin : begin + STEP].ravel()
        out_S[begin : begin + len(pieces)] += pieces
    return (out_S[SPECTRUM:][: len(audio_S)] * 2 / (SPECTRUM // STEP)).astype(np.float32)


def _ratio(factor: float) -> Fraction:
    if not 0.25 <= factor <= 4:
        raise DataError(f"a voice or speed changed by {factor}; a factor from 1/4 to 4 is needed")
    return Fraction(factor).limit_denominator(DENOMINATOR)


def _shift_pitch_and_formants(audio_S: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Return speech (S,) with pitch and formants moved alike.

    Stretching needs periods inside its reach, so it comes where the pitch is the higher one. A
    lowered pitch would leave nothing at the upper end of the band; hisses there have no pitch, so
    they stay as they were.
    """
    size = len(audio_S)
    if ratio == 1 or not size:
        return audio_S
    if ratio > 1:
        return stretch(change_speed(audio_S, float(ratio)), size)
    moved_S = change_speed(stretch(audio_S, math.ceil(size * ratio) + 1), float(ratio))[:size]
    end = LOWERED_BAND * float(ratio) * SAMPLE_RATE / 2
    return audio_S + oaconvolve(moved_S - audio_S, firwin(TAPS, end, fs=SAMPLE_RATE), "same")


def _fitting_starts(padded_S: np.ndarray, wanted: np.ndarray, hop: int) -> np.ndarray:
    """Return the start near each wanted one that best continues the segment before."""
    away = SHIFT_PENALTY * np.abs(np.arange(-SEARCH, SEARCH + 1)) / SEARCH
    sums = np.cumsum(np.concatenate([[0.0], padded_S**2]))
    starts = [wanted[0]]
    for start in wanted[1:]:
        first = start - SEARCH
        natural = padded_S[starts[-1] + hop :][:SEGMENT]
        match = np.correlate(padded_S[first : start + SEARCH + SEGMENT], natural, "valid")
        energy = sums[first + SEGMENT :][: len(match)] - sums[first:][: len(match)]
        norm = np.sqrt(np.maximum(energy * (natural @ natural), 1e-12))
        starts.append(first + int(np.argmax(match / norm - away)))
    return np.array(starts)


def _envelope_change(size_NB: np.ndarray, ratio: float) -> np.ndarray:
    """Return what to add to log spectra (N, B) to stretch their envelopes by a ratio."""
    cepstra = np.fft.irfft(np.log(size_NB + 1e-6))
    cepstra[:, CEPSTRUM : SPECTRUM - CEPSTRUM + 1] = 0
    envelope_NB = np.fft.rfft(cepstra).real
    last = envelope_NB.shape[1] - 1
    at_B = np.minimum(np.arange(last + 1) / ratio, last)
    below_B = np.minimum(at_B.astype(int), last - 1)
    part_B = at_B - below_B
    moved_NB = (1 - part_B) * envelope_NB[:, below_B] + part_B * envelope_NB[:, below_B + 1]
    return (moved_NB - envelope_NB).clip(-MAX_CHANGE, MAX_CHANGE)
