"""Augmentation of speech: another voice, acoustics, microphone or noise, with the same timing.

Pitch and formants, which distinguish speakers, change independently, and so do colour, room, noise,
level and codec. Every phone stays in place to within 10 ms, so the recorded motion fits. Only a
change of speed (`change_speed`) moves phones; the motion is resampled alike. `mask_times` changes
features.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, reduce

import numpy as np
from scipy.signal import firwin, oaconvolve, resample_poly

from speech2video.util.audio.acoustics import (
    CODECS,
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
from speech2video.util.audio.audio_io import TARGET_LEVEL
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
    padded_S = np.pad(audio_S, (SPECTRUM, SPECTRUM + -len(audio_S) % STEP)).astype(np.float32)
    windows_NW = np.lib.stride_tricks.sliding_window_view(padded_S, SPECTRUM)[::STEP]
    taper = np.sqrt(np.hanning(SPECTRUM + 1)[:-1]).astype(np.float32)
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
    into_BC, back_CB = _cepstrum()
    last = len(into_BC) - 1
    at_B = np.minimum(np.arange(last + 1) / ratio, last)
    below_B = np.minimum(at_B.astype(int), last - 1)
    part_B = at_B - below_B
    moved_CB = (1 - part_B) * back_CB[:, below_B] + part_B * back_CB[:, below_B + 1]
    change_CB = (moved_CB - back_CB).astype(np.float32)
    change_NB = np.log(size_NB + np.float32(1e-6)) @ into_BC.astype(np.float32) @ change_CB
    return change_NB.clip(-MAX_CHANGE, MAX_CHANGE)


@cache
def _cepstrum() -> tuple[np.ndarray, np.ndarray]:
    """Return the matrices (B, C) and (C, B) from log spectra to their first cepstra and back."""
    size = SPECTRUM // 2 + 1
    into_BC = np.fft.irfft(np.eye(size))[:, :CEPSTRUM]
    return into_BC, np.fft.rfft(np.eye(CEPSTRUM, SPECTRUM) + _mirrored()).real


def _mirrored() -> np.ndarray:
    """Return the cepstra's second halves, (C, SPECTRUM): they are even."""
    return (
        np.roll(np.eye(SPECTRUM)[::-1], 1, axis=1)[:CEPSTRUM] * (np.arange(CEPSTRUM) > 0)[:, None]
    )


FILTER_TAPS = 513  # resolves 30 Hz at 16 kHz without audible smearing past 10 ms
STOP_BAND = -80.0  # dB
FLAT_BELOW = 50.0  # Hz, below which tilt and noise colour stay constant
TILT_CENTRE = 1000.0  # Hz, unchanged by a tilt
PEAKS = 5  # of the equaliser
PEAK_WIDTH = (0.3, 1.0)  # octaves, standard deviation
NEAR = 150.0  # Hz, where half of the boost of a near microphone is left
HARD = 0.5  # share of clipping that is hard
COMPRESSOR = {"attack": 0.005, "release": 0.15}  # seconds
AUTOMATIC_GAIN = {"attack": 0.3, "release": 3.0}
MAINS = (50.0, 60.0)  # Hz
HARMONICS = 12
HUM_TO_NOISE = 1.5  # ratio of amplitudes
MODULATION_DEPTH, MODULATION_HERTZ = 0.4, (0.1, 1.5)
BABBLE_SPEAKERS = 6
NOISE_TO_BABBLE = 0.3  # ratio of amplitudes, also to other noises that have pauses

RATIOS = ("pitch", "formants", "speed")  # drawn uniformly in their logarithm
RARE = ("proximity", "rumble", "compression", "automatic_gain", "clipping")

Range = tuple[float, float]
WIDE_GAIN: Range = (-18.0, 12.0)  # dB, for features that are not normalised


@dataclass(frozen=True, kw_only=True)
class AudioAugmentation:
    """Random changes of audio, each applied with `probability`; one whose range is None never is.

    Those of `RARE` are applied with its square. Values are uniform in their ranges, those of
    `RATIOS` in their logarithm.
    """

    pitch: Range | None = (0.65, 1.6)  # ratio of the voice's pitch
    formants: Range | None = (0.82, 1.22)  # ratio of formants, inverse to the vocal tract's length
    speed: Range | None = (0.88, 1.14)  # ratio, for `draw_speed` only
    tilt: Range | None = (-4.0, 4.0)  # dB per octave
    peaks: Range | None = (-8.0, 8.0)  # dB, height of each peak of the equaliser
    proximity: Range | None = (2.0, 10.0)  # dB, boost below 150 Hz of a near microphone
    lowest: Range | None = (50.0, 350.0)  # Hz, lower band edge (telephone: 300)
    highest: Range | None = (3300.0, 7800.0)  # Hz, upper band edge (telephone: 3400)
    room: Range | None = (0.1, 0.8)  # seconds until a room's echo has decayed by 60 dB
    distance: Range = (0.3, 3.0)  # metres from mouth to microphone, in a room
    noise: Range | None = (0.0, 40.0)  # dB, speech of `TARGET_LEVEL` over noise
    noises: tuple[str, ...] = ("coloured", "hum", "fan", "babble", "keyboard", "music")  # one
    colour: Range = (0.0, 2.0)  # exponent of 1/f noise: 0 white, 1 pink, 2 brown
    rumble: Range | None = (5.0, 30.0)  # dB, speech over noise below 100 Hz and an offset
    compression: Range | None = (1.5, 8.0)  # ratio of levels, as in broadcasts
    automatic_gain: Range | None = (1.5, 6.0)  # ratio of levels over seconds
    threshold: Range = (-15.0, 0.0)  # dB over `TARGET_LEVEL`, from which levels are compressed
    clipping: Range | None = (1.0, 12.0)  # dB below the peak; half of it is soft
    gain: Range | None = (-6.0, 6.0)  # dB; see `WIDE_GAIN`
    codec: Range | None = (0.0, 1.0)  # from a codec's lowest bit rate (0) to its highest (1)
    codecs: tuple[str, ...] = tuple(CODECS)  # one of those that are available
    probability: float = 0.5

    def augment(self, audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return augmented speech (S,) float32 with unchanged timing, peaks at most 1.

        Args:
            audio_S: at 16 kHz and `TARGET_LEVEL`, which all changes but noise and gain keep.
            rng: its state determines the result. Each stage has numbers of its own, so that a
                change of one leaves the others as they are.
        """
        if not len(audio_S):
            return np.zeros(0, np.float32)
        rngs = map(np.random.default_rng, rng.integers(2**63, size=6))
        voice, microphone, place, level, loss, last = rngs
        pitch, formants = self._draw("pitch", voice) or 1.0, self._draw("formants", voice) or 1.0
        out_S = change_voice(audio_S, pitch=pitch, formants=formants)
        if (curve_B := self._curve(microphone)) is not None:
            out_S = equalise(out_S, curve_B)
        if (seconds := self._draw("room", place)) is not None:
            room = draw_room(seconds, place.uniform(*self.distance), place)
            out_S = add_room(out_S, impulse_response(room, place))
        out_S = _match_level(out_S, audio_S)
        for name, kind in (("noise", self._noise), ("rumble", _rumble)):
            if (ratio := self._draw(name, level)) is not None:
                out_S = out_S + kind(audio_S, level) * 10 ** ((TARGET_LEVEL - ratio) / 20)
        out_S = self._compress(out_S, loss)
        out_S = out_S * 10 ** ((self._draw("gain", last) or 0) / 20)
        out_S = self._transcode(_limit(out_S), last)
        return _limit(out_S).astype(np.float32)

    def draw_speed(self, rng: np.random.Generator) -> float:
        """Return a factor for `change_speed` and for resampling the motion; 1 for no change."""
        return self._draw("speed", rng) or 1.0

    def _noise(self, audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noise (S,) of power 1 and a random kind; each kind includes coloured noise."""
        kind, size = rng.choice(self.noises), len(audio_S)
        noise_S = coloured_noise(size, rng.uniform(*self.colour), rng=rng)
        if kind == "hum":
            noise_S = noise_S + HUM_TO_NOISE * hum(size, rng=rng)
        elif kind == "fan":
            noise_S = noise_S * slow_modulation(size, rng=rng)
        elif kind == "babble":
            noise_S = NOISE_TO_BABBLE * noise_S + babble(audio_S, rng=rng)
        elif kind == "keyboard":
            noise_S = NOISE_TO_BABBLE * noise_S + keyboard(size, rng=rng)
        elif kind == "music":
            noise_S = NOISE_TO_BABBLE * noise_S + music(size, rng)
        return noise_S / np.sqrt(np.square(noise_S).mean())

    def _compress(self, audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return audio (S,) with automatic levels and clipped peaks, as loud as before."""
        out_S = audio_S
        for name, times in (("automatic_gain", AUTOMATIC_GAIN), ("compression", COMPRESSOR)):
            ratio, threshold = self._draw(name, rng), TARGET_LEVEL + rng.uniform(*self.threshold)
            if ratio is not None:
                out_S = compress(out_S, ratio, threshold=threshold, **times)
        clipping, hard = self._draw("clipping", rng), rng.random() < HARD
        if clipping is not None:
            out_S = clip_peaks(out_S, clipping, hard=hard)
        return audio_S if out_S is audio_S else _match_level(out_S, audio_S)

    def _transcode(self, audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        quality, names = self._draw("codec", rng), sorted(available_codecs() & {*self.codecs})
        if quality is None or not names:
            return audio_S
        name = str(rng.choice(names))
        rates = CODECS[name].kilobits
        return transcode(audio_S, name, rates[min(int(quality * len(rates)), len(rates) - 1)])

    def _draw(self, name: str, rng: np.random.Generator) -> float | None:
        """Return a value from a range, None for no change; both consume two random numbers."""
        happens = rng.random() < self.probability ** (2 if name in RARE else 1)
        share, limits = rng.random(), getattr(self, name)
        if not happens or limits is None:
            return None
        low, high = limits
        return low * (high / low) ** share if name in RATIOS else low + share * (high - low)

    def _curve(self, rng: np.random.Generator) -> np.ndarray | None:
        """Return a filter's decibels (B,) from 0 Hz to half the rate, None for no filter."""
        hertz = np.linspace(0, SAMPLE_RATE / 2, FILTER_TAPS // 2 + 1)
        octaves = np.log2(np.maximum(hertz, FLAT_BELOW) / TILT_CENTRE)
        curves = []
        if (tilt := self._draw("tilt", rng)) is not None:
            curves.append(tilt * octaves)
        if self._draw("peaks", rng) is not None and self.peaks is not None:
            for _ in range(PEAKS):
                centre, width = rng.choice(octaves[1:]), rng.uniform(*PEAK_WIDTH)
                bell = np.exp(-0.5 * np.square((octaves - centre) / width))
                curves.append(rng.uniform(*self.peaks) * bell)
        if (boost := self._draw("proximity", rng)) is not None:
            curves.append(boost / (1 + np.square(hertz / NEAR)))
        if (lowest := self._draw("lowest", rng)) is not None:
            curves.append(np.where(hertz < lowest, STOP_BAND, 0.0))
        if (highest := self._draw("highest", rng)) is not None:
            curves.append(np.where(hertz > highest, STOP_BAND, 0.0))
        return np.sum(curves, axis=0) if curves else None


def equalise(audio_S: np.ndarray, curve_B: np.ndarray) -> np.ndarray:
    """Return audio (S,) filtered without delay by decibels (B,), from 0 Hz to half the rate."""
    kernel = np.fft.fftshift(np.fft.irfft(10 ** (np.asarray(curve_B) / 20), n=FILTER_TAPS - 1))
    kernel = np.append(kernel, kernel[0]) * np.hanning(FILTER_TAPS)
    return oaconvolve(audio_S, kernel, "same")


def coloured_noise(size: int, colour: float, *, rng: np.random.Generator) -> np.ndarray:
    """Return noise (size,) of power 1 at 16 kHz, its power falling as f ** -colour above 50 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(size + size % 2))
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    noise_S = np.fft.irfft(spectrum * np.maximum(hertz, FLAT_BELOW) ** (-colour / 2))[:size]
    return noise_S / np.sqrt(np.square(noise_S).mean())


def hum(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return mains hum (size,) of power 1 at 16 kHz: 50 or 60 Hz and weaker harmonics."""
    second_S = np.arange(SAMPLE_RATE) / SAMPLE_RATE  # a whole number of periods
    tones = np.arange(1, HARMONICS + 1)
    loud = rng.uniform(size=HARMONICS) / tones
    turns = np.outer(tones * rng.choice(MAINS), second_S) + rng.uniform(size=HARMONICS)[:, None]
    hum_S = loud @ np.sin(2 * np.pi * turns) * np.sqrt(2 / np.square(loud).sum())
    return np.resize(hum_S, size)


def slow_modulation(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return a slow modulation (size,) about 1, as of a fan or traffic."""
    turns = rng.uniform(*MODULATION_HERTZ) * np.arange(size) / SAMPLE_RATE + rng.uniform()
    return 1 + MODULATION_DEPTH * np.sin(2 * np.pi * turns)


def babble(audio_S: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return unintelligible speech (S,) of power 1; silence for silence.

    It is the sum of reversed and shifted copies of the speech itself.
    """
    reversed_S = np.asarray(audio_S[::-1], np.float64)
    shifts = (int(rng.integers(len(audio_S))) for _ in range(BABBLE_SPEAKERS))
    sum_S = reduce(np.add, (np.roll(reversed_S, shift) for shift in shifts))
    power = np.square(sum_S).mean()
    return sum_S / np.sqrt(power) if power > 0 else sum_S


def mask_times(
    features_TF: np.ndarray, rng: np.random.Generator, *, count: int = 2, share: float = 0.25
) -> np.ndarray:
    """Return features (T, F) with up to `count` spans of frames masked by the features' means.

    SpecAugment (Park et al., Interspeech 2019). The spans, each at most a share of the frames, may
    overlap. The target stays, so a network learns to bridge them; keep spans shorter than it can
    see.
    """
    masked_TF = np.array(features_TF)
    if masked_TF.size:
        mean_F = masked_TF.mean(axis=0, dtype=np.float64)
        for begin, end in _spans(len(masked_TF), rng, count, share):
            masked_TF[begin:end] = mean_F
    return masked_TF


def _spans(size: int, rng: np.random.Generator, count: int, share: float) -> list[tuple[int, int]]:
    """Return one to `count` spans of at most a share of `size`."""
    widths = rng.integers(int(share * size) + 1, size=rng.integers(1, count + 1))
    begins = [int(rng.integers(size - width + 1)) for width in widths]
    return [(begin, begin + int(width)) for begin, width in zip(begins, widths, strict=True)]


def _rumble(audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rumble(len(audio_S), rng=rng)


def _limit(audio_S: np.ndarray) -> np.ndarray:
    """Return audio (S,) made quieter so that no peak passes 1."""
    return audio_S / max(np.abs(audio_S).max(initial=0), 1.0)


def _match_level(audio_S: np.ndarray, like_S: np.ndarray) -> np.ndarray:
    power, wanted = (np.square(audio, dtype=np.float64).mean() for audio in (audio_S, like_S))
    return audio_S * np.sqrt(wanted / power) if power > 0 else audio_S
