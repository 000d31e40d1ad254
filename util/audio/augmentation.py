"""Training sound as another voice, room or microphone would have given it, at the same instants.

A network that hears one voice only learns that voice. Here its pitch and its formants, which tell
people apart, move independently, and so do colour, echo, noise and level, while each sound stays at
its place to within 10 ms, so that the motion recorded with it still fits. A change of speed does
move things: `voice_change.change_speed`, and the motion resampled by the same factor.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import oaconvolve

from speech2video.util.audio.audio_io import TARGET_LEVEL
from speech2video.util.audio.vocal_tract import change_voice
from speech2video.util.timing import SAMPLE_RATE

TAPS = 513  # of filters: at 16 kHz they resolve 30 Hz and smear nothing audible past 10 ms
STOP = -80.0  # dB left of what a filter takes out
LOW = 50.0  # Hz, below which neither tilt nor noise rises further
PIVOT = 1000.0  # Hz, not changed by a tilt
PEAKS = 5  # of an equaliser
PEAK_WIDTH = (0.3, 1.0)  # octaves, standard deviation
MAINS = (50.0, 60.0)  # Hz
HARMONICS = 12
HUM_OVER_HISS = 1.5  # amplitudes
WAVER, WAVER_HERTZ = 0.4, (0.1, 1.5)  # share, and how often a second
TALKERS = 6
HISS_OF_BABBLE = 0.3  # amplitude beside that of the babble

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class AudioAugmentation:
    """What may happen to a sound. Values are drawn evenly from ranges, ratios in logarithms.

    Each change happens with `probability`, on its own; one whose range is None never does.
    """

    pitch: Range | None = (0.65, 1.6)  # ratio of the voice's pitch
    formants: Range | None = (0.82, 1.22)  # ratio of formants: shortness of the vocal tract
    speed: Range | None = (0.88, 1.14)  # ratio, for `draw_speed` only
    tilt: Range | None = (-4.0, 4.0)  # dB an octave
    peaks: Range | None = (-8.0, 8.0)  # dB, height of each peak of an equaliser
    lowest: Range | None = (50.0, 350.0)  # Hz, lower end of the band (telephone: 300)
    highest: Range | None = (3300.0, 7800.0)  # Hz, upper end of the band (telephone: 3400)
    echo: Range | None = (0.1, 0.6)  # seconds until an echo is 60 dB down
    direct: Range = (3.0, 15.0)  # dB by which sound is louder than its echo
    noise: Range | None = (0.0, 40.0)  # dB by which speech of `TARGET_LEVEL` is louder than noise
    noises: tuple[str, ...] = ("coloured", "hum", "fan", "babble")  # kinds, one is drawn
    colour: Range = (0.0, 2.0)  # noise's power falls as frequency to this: 0 white, 1 pink, 2 brown
    gain: Range | None = (-6.0, 6.0)  # dB
    probability: float = 0.5

    def augment(self, audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return speech (S,) float32 of the same length, peaks at most 1; all stays at its time.

        Speech is to be at 16 kHz and of the usual loudness (`TARGET_LEVEL`), which all but `noise` and
        `gain` keep. The same state of the generator gives the same sound.
        """
        if not len(audio_S):
            return np.zeros(0, np.float32)
        pitch, formants = self._ratio("pitch", rng), self._ratio("formants", rng)
        out_S = change_voice(audio_S, pitch=pitch, formants=formants)
        if (curve_B := self._curve(rng)) is not None:
            out_S = equalise(out_S, curve_B)
        if (seconds := self._draw("echo", rng)) is not None:
            out_S = add_echo(out_S, seconds, direct=rng.uniform(*self.direct), rng=rng)
        out_S = _as_loud_as(out_S, audio_S)
        if (ratio := self._draw("noise", rng)) is not None:
            noise_S = self._noise(audio_S, rng)
            out_S = out_S + noise_S * 10 ** ((TARGET_LEVEL - ratio) / 20)
        out_S = out_S * 10 ** ((self._draw("gain", rng) or 0) / 20)
        return (out_S / max(np.abs(out_S).max(initial=0), 1.0)).astype(np.float32)

    def draw_speed(self, rng: np.random.Generator) -> float:
        """Return a factor for `change_speed`, to resample the motion by as well; 1 for none."""
        return self._ratio("speed", rng)

    def _noise(self, audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noise (S,) of power 1, of a kind that is drawn; a steady hiss is in all."""
        kind, size = rng.choice(self.noises), len(audio_S)
        noise_S = coloured_noise(size, rng.uniform(*self.colour), rng=rng)
        if kind == "hum":
            noise_S = noise_S + HUM_OVER_HISS * hum(size, rng=rng)
        elif kind == "fan":
            noise_S = noise_S * slow_modulation(size, rng=rng)
        elif kind == "babble":
            noise_S = HISS_OF_BABBLE * noise_S + babble(audio_S, rng=rng)
        return noise_S / np.sqrt(np.square(noise_S).mean())

    def _draw(self, name: str, rng: np.random.Generator) -> float | None:
        """Return a value from a range, None if the change is not to happen."""
        place = self._place(name, rng)
        if place is None:
            return None
        low, high = getattr(self, name)
        return low + place * (high - low)

    def _ratio(self, name: str, rng: np.random.Generator) -> float:
        place = self._place(name, rng)
        if place is None:
            return 1.0
        low, high = getattr(self, name)
        return low * (high / low) ** place

    def _place(self, name: str, rng: np.random.Generator) -> float | None:
        """Return a place in a range, 0 to 1. A change left out takes as many numbers as another."""
        happens, place = rng.random() < self.probability, rng.random()
        return place if happens and getattr(self, name) is not None else None

    def _curve(self, rng: np.random.Generator) -> np.ndarray | None:
        """Return a filter's decibels at its frequencies (B,), None for no filter."""
        hertz = _frequencies()
        octaves = np.log2(np.maximum(hertz, LOW) / PIVOT)
        curves = []
        if (tilt := self._draw("tilt", rng)) is not None:
            curves.append(tilt * octaves)
        if self._draw("peaks", rng) is not None:
            for _ in range(PEAKS):
                centre, width = rng.choice(octaves[1:]), rng.uniform(*PEAK_WIDTH)
                bell = np.exp(-0.5 * np.square((octaves - centre) / width))
                curves.append(rng.uniform(*self.peaks) * bell)
        if (lowest := self._draw("lowest", rng)) is not None:
            curves.append(np.where(hertz < lowest, STOP, 0.0))
        if (highest := self._draw("highest", rng)) is not None:
            curves.append(np.where(hertz > highest, STOP, 0.0))
        return np.sum(curves, axis=0) if curves else None


def equalise(audio_S: np.ndarray, curve_B: np.ndarray) -> np.ndarray:
    """Return a wave (S,) filtered by decibels (B,) from 0 Hz to half the rate, without delay."""
    kernel = np.fft.fftshift(np.fft.irfft(10 ** (np.asarray(curve_B) / 20), n=TAPS - 1))
    kernel = np.append(kernel, kernel[0]) * np.hanning(TAPS)
    return oaconvolve(audio_S, kernel, "same")


def add_echo(
    audio_S: np.ndarray, seconds: float, *, direct: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a 16 kHz wave (S,) in a room whose echo is 60 dB down after `seconds`.

    The echo is noise that decays, its power `direct` dB below that of the sound itself, which stays
    where it is. What sounds on after the end is cut off.
    """
    size = max(round(seconds * SAMPLE_RATE), 1)
    tail = rng.standard_normal(size) * 10 ** (-3 * np.arange(size) / size)
    tail *= 10 ** (-direct / 20) / np.sqrt(np.square(tail).sum())
    return oaconvolve(audio_S, np.concatenate([[1.0], tail]))[: len(audio_S)]


def coloured_noise(size: int, colour: float, *, rng: np.random.Generator) -> np.ndarray:
    """Return noise (size,) of power 1 at 16 kHz, falling as frequency to `colour` above 50 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(size + size % 2))
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    noise_S = np.fft.irfft(spectrum * np.maximum(hertz, LOW) ** (-colour / 2))[:size]
    return noise_S / np.sqrt(np.square(noise_S).mean())


def hum(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return mains hum (size,) of power 1 at 16 kHz: 50 or 60 Hz and weaker harmonics."""
    time_S = np.arange(size) / SAMPLE_RATE
    tones = np.arange(1, HARMONICS + 1)
    loud = rng.uniform(size=HARMONICS) / tones
    turns = np.outer(tones * rng.choice(MAINS), time_S) + rng.uniform(size=HARMONICS)[:, None]
    return loud @ np.sin(2 * np.pi * turns) * np.sqrt(2 / np.square(loud).sum())


def slow_modulation(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return a slow rise and fall (size,) about 1, of a fan or of traffic."""
    turns = rng.uniform(*WAVER_HERTZ) * np.arange(size) / SAMPLE_RATE + rng.uniform()
    return 1 + WAVER * np.sin(2 * np.pi * turns)


def babble(audio_S: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return speech (S,) of power 1 that nobody understands; silence of silence.

    It is the sound itself, several times over, backwards and from anywhere in it.
    """
    backwards_S = np.asarray(audio_S[::-1], np.float64)
    talkers = (np.roll(backwards_S, int(rng.integers(len(audio_S)))) for _ in range(TALKERS))
    sum_S = sum(talkers)
    power = np.square(sum_S).mean()
    return sum_S / np.sqrt(power) if power > 0 else sum_S


def _as_loud_as(audio_S: np.ndarray, like_S: np.ndarray) -> np.ndarray:
    power, wanted = (np.square(audio, dtype=np.float64).mean() for audio in (audio_S, like_S))
    return audio_S * np.sqrt(wanted / power) if power > 0 else audio_S


def _frequencies() -> np.ndarray:
    return np.linspace(0, SAMPLE_RATE / 2, TAPS // 2 + 1)
