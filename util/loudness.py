"""How loud speech is, its pauses left out, measured as it comes: no file needs to fit in memory."""

from collections import deque
from collections.abc import Iterable

import numpy as np

LEVEL = -23.0  # dB below full scale, what speech is scaled to (EBU R 128 asks it in LUFS)
GATE_WINDOW = 0.4  # seconds, ITU-R BS.1770-4
GATE_FLOOR = -70.0  # dB below full scale; anything less is silence
GATE_BELOW = 10.0  # dB below the mean; anything less is a pause
LIVE_MEMORY = 60.0  # seconds of a live stream that its gain is measured over
LIVE_MOST = 10.0  # largest gain of a live stream, lest it lift the room's noise before speech comes


class LoudnessMeter:
    """The gain that brings the sound heard so far to `LEVEL`, however it was cut into chunks.

    Gated as ITU-R BS.1770-4 does, but without its frequency weighting and overlap of windows. Keeps
    two numbers for each window of 0.4 s, at most `memory` seconds of them.
    """

    def __init__(self, rate: int, *, memory: float | None = None) -> None:
        self._size = round(GATE_WINDOW * rate)
        kept = None if memory is None else max(round(memory / GATE_WINDOW), 1)
        self._powers: deque[float] = deque(maxlen=kept)
        self._peaks: deque[float] = deque(maxlen=kept)
        self._rest = np.zeros(0, np.float32)  # less than a window

    def push(self, wave_S: np.ndarray) -> None:
        """Hear the next samples (S,)."""
        wave_S = np.concatenate([self._rest, wave_S])
        whole = len(wave_S) // self._size * self._size
        for window in wave_S[:whole].reshape(-1, self._size):
            self._powers.append(np.square(window, dtype=np.float64).mean())
            self._peaks.append(np.abs(window).max())
        self._rest = wave_S[whole:].copy()

    @property
    def gain(self) -> float | None:
        """The factor to multiply samples by; no sample heard passes 1 by it. None for silence.

        A begun window counts for its peak only, unless there is no other.
        """
        powers = np.array(self._powers)
        if not len(powers) and len(self._rest):
            powers = np.square(self._rest[None], dtype=np.float64).mean(axis=1)
        powers = powers[powers > 10 ** (GATE_FLOOR / 10)]
        if not len(powers):
            return None
        spoken = powers[powers > powers.mean() * 10 ** (-GATE_BELOW / 10)].mean()
        peak = max([*self._peaks, np.abs(self._rest).max(initial=0)])
        return float(min(10 ** (LEVEL / 20) / np.sqrt(spoken), 1 / peak))


class RunningLoudness:
    """Brings a live stream to `LEVEL` without waiting: each gain is measured over the past only.

    The gain glides over each window of 0.4 s to what was measured before that window began, so that
    it never jumps. It is `first` until something is heard. The size of the chunks does not matter.
    """

    def __init__(self, rate: int, *, first: float = 1.0) -> None:
        self._meter = LoudnessMeter(rate, memory=LIVE_MEMORY)
        self._size = round(GATE_WINDOW * rate)
        self._position = 0  # samples of the present window that are gone
        self._first, self._from, self._to = first, first, first

    def push(self, wave_S: np.ndarray) -> np.ndarray:
        """Return the next samples (S,), scaled and clipped to [-1, 1], float32."""
        parts = [np.zeros(0, np.float32)]
        while len(wave_S):
            part_N = wave_S[: self._size - self._position]
            wave_S = wave_S[len(part_N) :]
            glide_N = (self._position + np.arange(len(part_N))) / self._size
            gain_N = self._from + (self._to - self._from) * glide_N
            parts.append((part_N * gain_N).clip(-1, 1).astype(np.float32))
            self._meter.push(part_N)
            self._position += len(part_N)
            if self._position == self._size:
                self._end_window()
        return np.concatenate(parts)

    def _end_window(self) -> None:
        gain = self._meter.gain
        self._position, self._from = 0, self._to
        if gain is not None:
            self._to = min(gain, LIVE_MOST)


def loudness_gain(chunks: Iterable[np.ndarray], *, rate: int) -> float:
    """Return the factor that brings a sound, given in chunks (S,), to `LEVEL`; 1 for silence.

    A file can so be read twice instead of kept: once for its gain, once to use it.
    """
    meter = LoudnessMeter(rate)
    for chunk in chunks:
        meter.push(chunk)
    return meter.gain or 1.0
