"""What a file's audio tracks hold: which one is the voice, how its channels mix, its full scale.

Measured on some seconds spread over the file, and only where there is something to decide: several
tracks, several channels, floats, or 32-bit integers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from speech2video.util.errors import DataError
from speech2video.util.video.reader import (
    Damage,
    audio_streams,
    decode,
    file_stamp,
    note_once,
    open_media,
    wav_format,
)

MIN_RATE, MAX_RATE = 4000, 768_000  # Hz; below is no speech, but a broken header
PLANES = 8  # with so many, PyAV 18 reads past the end of a planar frame and crashes
WINDOWS, WINDOW = 16, 2.0  # number and seconds of what is measured of a long file
BAND_RATE = 8_000  # Hz; what is measured is below half of it
HUM = 32  # samples of it, whose mean is taken off: what is below 100 Hz hardly counts
HOP = 0.016  # seconds of the envelope
SYLLABLES = (2.0, 8.0)  # Hz at which the envelope of speech moves
SILENT = 1e-6  # mean square, relative to full scale, of a track that counts as silent
FAINT = 1e-3  # share of the loudest channel's power; a channel with less is dead
CANCELS = 0.2  # share of the difference's power; with less in the sum, the phase is opposite
SPEECH_LIKE = 0.35, 1.6  # modulation at that rate, relative to the mean: more is drums, clicks
SEGMENT = 2.0  # seconds over which it is measured, so that long pauses do not count
LOUDER = 2.0  # times the power of the usual track that another must have to be taken
SURROUND = {"FC": 1.0, "FL": 0.707, "FR": 0.707, "LFE": 0.0, "LFE2": 0.0}
SIDES = 0.5  # weight of all other loudspeakers
RUMBLE = 0.02  # share of the loudest channel's power in a real low-frequency channel
SAME = 1.1  # factor below which the mean of channels is as loud as the loudest
STORED_BITS = {"pcm_s16": 16, "pcm_s24": 24, "pcm_s32": 32}  # by the start of the codec's name
LARGEST = 2.0**32  # beyond it no sample is real
OVERDRIVEN, INTEGERS = 8.0, 100.0  # peaks of floats from which on they are louder, or integers
PEAK_SHARE = 99.9  # percentile of magnitudes that counts as peak


@dataclass(frozen=True, eq=False)
class Mix:
    """How a track's samples become audio of full scale 1.

    Attributes:
        stream: index of the track in its file.
        rate: of the track, Hz.
        weights_C: (C,) of its channels, which become one; None keeps one or two as they are.
        scale: factor on samples.
        limit: magnitude, before scaling, beyond which a sample is read as silence.
    """

    stream: int
    rate: int
    weights_C: np.ndarray | None = None
    scale: float = 1.0
    limit: float = LARGEST

    def apply(self, samples_CN: np.ndarray) -> np.ndarray:
        """Return samples (1 or 2, N) float32; of other channels than expected, their mean."""
        if self.scale != 1:
            samples_CN = samples_CN * np.float32(self.scale)
        if self.weights_C is not None and len(self.weights_C) == len(samples_CN):
            return (self.weights_C @ samples_CN).astype(np.float32)[None]
        return samples_CN if len(samples_CN) <= 2 else samples_CN.mean(axis=0, keepdims=True)


def choose_mix(path: Path) -> Mix:
    """Return the track of a file to take and how to mix it; unusual choices are noted once.

    Raises `DataError` if there is no audio track, or its rate is none of speech.
    """
    mix, notes = _choose_mix(path, file_stamp(path))
    for text in notes:
        note_once(path, text)
    return mix


@lru_cache(256)
def _choose_mix(path: Path, stamp: tuple[int, int]) -> tuple[Mix, tuple[str, ...]]:
    with open_media(path) as container:
        streams = audio_streams(container)
        if not streams:
            raise DataError(f"{path}: no audio track; a file with audio is needed")
        usable = [s for s in streams if MIN_RATE <= (s.rate or 0) <= MAX_RATE]
        if not usable:
            needed = f"speech needs {MIN_RATE} Hz and more, up to {MAX_RATE}"
            raise DataError(f"{path}: {streams[0].rate} Hz; {needed}")
        stream, notes = usable[0], []
        if len(usable) > 1:
            measured = {s.index: _Track(_windows(path, s.index), s.rate) for s in usable}
            stream, why = _choose_track(usable, measured)
            if why:
                number = 1 + container.streams.audio.index(stream)
                total = len(container.streams.audio)
                notes.append(f"audio track {number} of {total} taken: {why}")
        codec, channels = stream.codec_context.name, stream.channels
        if channels == 1 and not codec.startswith("pcm_f") and not _unused_bits(path, codec):
            return Mix(stream.index, stream.rate), tuple(notes)
        names = [channel.name for channel in stream.layout.channels]
        blocks = list(_windows(path, stream.index))
        scale, limit, text = _full_scale(path, codec, blocks)
        notes += [text] if text else []
        track = _Track(blocks, stream.rate, limit)
        weights_C, text = _channel_weights(track.covariance_CC * scale**2, names)
        notes += [text] if text else []
        return Mix(stream.index, stream.rate, weights_C, scale, limit), tuple(notes)


def to_samples(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame's samples (C, N) as float32; integers get full scale 1."""
    channels = frame.layout.nb_channels
    many = frame.format.is_planar and channels >= PLANES
    if many or frame.format.name.startswith("s64"):  # NumPy gets no such integers from PyAV
        frame = av.AudioResampler("flt", frame.layout, frame.sample_rate).resample(frame)[0]
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    with np.errstate(over="ignore"):
        return samples.astype(np.float32)


def _windows(path: Path, index: int) -> Iterator[np.ndarray]:
    """Yield samples (C, N) of a track: all of a short file, else windows spread over it."""
    with open_media(path) as container:
        stream = next(s for s in container.streams.audio if s.index == index)
        start, length = container.start_time or 0, container.duration or 0
        seconds = length / av.time_base
        whole = seconds <= WINDOWS * WINDOW
        for number in range(1 if whole else WINDOWS):
            begin = None
            try:
                if number:
                    container.seek(round(start + length * number / WINDOWS))
                    stream.codec_context.flush_buffers()
                for time, frame in decode(container, stream, Damage()):
                    assert isinstance(frame, av.AudioFrame)
                    yield to_samples(frame)
                    begin = time if begin is None else begin
                    stop = WINDOWS * WINDOW if whole else WINDOW
                    if begin is not None and time is not None and time - begin > stop:
                        break
            except (FFmpegError, DataError):
                continue


class _Track:
    """Power, modulation and covariance of a track's channels in the band of speech."""

    def __init__(self, blocks: Sequence[np.ndarray] | Iterator, rate: int, limit: float = LARGEST):
        step = max(rate // BAND_RATE, 1)
        self._hop = max(round(HOP * rate / step), 1)
        self._rate = rate / step
        parts = []
        for block in blocks:
            with np.errstate(invalid="ignore"):
                block = np.where(np.abs(block) <= limit, block, 0).astype(np.float64)
            size = block.shape[1] // step * step
            parts.append(block[:, :size].reshape(len(block), -1, step).mean(-1))
        channels = len(parts[0]) if parts else 1
        parts = [part for part in parts if len(part) == channels] or [np.zeros((channels, 1))]
        audio_CN = _above_hum(_above_hum(np.concatenate(parts, axis=1)))
        self.covariance_CC = audio_CN @ audio_CN.T / audio_CN.shape[1]
        self._audio_N = audio_CN[self.powers_C.argmax()]

    @property
    def powers_C(self) -> np.ndarray:
        """Mean squares of the channels."""
        return np.diag(self.covariance_CC)

    @property
    def power(self) -> float:
        """Mean square of the loudest channel where it is not silent."""
        return float(self.powers_C.max())

    @property
    def modulation(self) -> float:
        """How much the envelope moves at the rate of syllables, relative to its mean."""
        size = len(self._audio_N) // self._hop * self._hop
        envelope_T = np.sqrt(np.square(self._audio_N[:size].reshape(-1, self._hop)).mean(1))
        length = min(round(SEGMENT * self._rate / self._hop), len(envelope_T))
        if length < 8 or not envelope_T.any():
            return 0.0
        envelope_NT = envelope_T[: len(envelope_T) // length * length].reshape(-1, length)
        mean_N1 = envelope_NT.mean(axis=1, keepdims=True)
        spectrum_NF = np.abs(np.fft.rfft(envelope_NT - mean_N1)) / length
        hertz_F = np.fft.rfftfreq(length, self._hop / self._rate)
        band_F = (hertz_F >= SYLLABLES[0]) & (hertz_F <= SYLLABLES[1])
        moving_N = np.sqrt(2 * np.square(spectrum_NF[:, band_F]).sum(axis=1))
        return float(moving_N.sum() / max(mean_N1.sum(), 1e-12))


def _above_hum(audio_CN: np.ndarray) -> np.ndarray:
    sums_CN = np.cumsum(np.pad(audio_CN, ((0, 0), (HUM // 2 + 1, HUM // 2)), "edge"), axis=1)
    return audio_CN - (sums_CN[:, HUM:-1] - sums_CN[:, : -HUM - 1])[:, : audio_CN.shape[1]] / HUM


def _choose_track(
    streams: "Sequence[av.AudioStream]", measured: dict[int, _Track]
) -> "tuple[av.AudioStream, str]":
    """Return the loudest track like speech, and why if it is not the first of `streams`."""
    usual, (low, high) = streams[0], SPEECH_LIKE
    audible = [s for s in streams if measured[s.index].power > SILENT]
    speech = [s for s in audible if low < measured[s.index].modulation < high] or audible
    if not speech:
        return usual, ""
    loudest = max(speech, key=lambda s: measured[s.index].power)
    if usual in speech and measured[loudest.index].power < LOUDER * measured[usual.index].power:
        return usual, ""
    why = "the usual one is quieter"
    if usual not in audible:
        why = "the usual one is silent"
    elif usual not in speech:
        why = "the usual one is no speech"
    return loudest, why if loudest is not usual else ""


def _unused_bits(path: Path, codec: str) -> int:
    """Return how many bits of a stored integer may be unused; 0 of other samples."""
    if codec[:7] not in STORED_BITS:
        return 0
    stored, found = STORED_BITS[codec[:7]], wav_format(path)
    valid = found.valid_bits if found and found.tag == 1 else stored
    return stored - (24 if valid == 32 else valid)  # some programs write 24 in 32 and do not say so


def _full_scale(path: Path, codec: str, blocks: Sequence[np.ndarray]) -> tuple[float, float, str]:
    """Return the factor on samples, the limit of sane ones, and a note or ""."""
    values = [block[np.isfinite(block) & (np.abs(block) < LARGEST)] for block in blocks]
    levels = np.abs(np.concatenate(values)) if values else np.zeros(0, np.float32)
    if not levels.any():
        return 1.0, LARGEST, ""
    if codec.startswith("pcm_f"):
        peak = float(np.percentile(levels, PEAK_SHARE))
        if peak <= OVERDRIVEN:
            return 1.0, INTEGERS, ""
        if peak <= INTEGERS:
            return 1 / peak, 8 * peak, f"samples reach {peak:.0f} times full scale; made quieter"
        bits = next((n for n in (16, 24, 32) if peak <= 2.0 ** (n - 1) * 1.01), 33)
        return 2.0 ** (1 - bits), 2.0**bits, f"float samples of {bits}-bit integers scaled to 1"
    unused = _unused_bits(path, codec)
    stored = STORED_BITS.get(codec[:7], 0)
    steps = levels.astype(np.float64) * 2 ** (stored - 1)
    if unused > 0 and levels.max() <= 2.0**-unused and (steps % 2**unused).any():
        text = f"samples of {stored - unused} bits at the lower end of {stored} scaled up"
        return 2.0**unused, LARGEST, text
    return 1.0, LARGEST, ""


def _channel_weights(
    covariance_CC: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray | None, str]:
    """Return weights (C,) that mix channels to one as loud as the loudest, and a note or "".

    None keeps ordinary mono and stereo, and makes the mean of channels that number microphones.
    """
    powers_C = np.diag(covariance_CC)
    count, loudest = len(powers_C), float(powers_C.max())
    if count == 1 or loudest <= SILENT * 1e-2:
        return None, ""
    live_C = powers_C > FAINT * loudest
    if count == 2:
        if not live_C.all():
            side = ("right", "left")[int(live_C[0])]
            return live_C.astype(float), f"one channel of two is silent; the {side} one is taken"
        (left, cross), (_, right) = covariance_CC
        if left + right + 2 * cross < CANCELS * (left + right - 2 * cross):
            return np.array([0.5, -0.5]), "the two channels are of opposite phase; one is turned"
        return None, ""
    low = [name.startswith("LFE") for name in names]
    quiet = powers_C[low].max(initial=0) <= RUMBLE * loudest
    if surround := {"FL", "FR", "FC"} <= set(names) and bool(quiet):
        weights_C = np.array([SURROUND.get(name, SIDES) for name in names]) * live_C
        text = "surround channels mixed down, the centre loudest"
    else:
        weights_C = live_C / live_C.sum()
        text = f"{live_C.sum()} of {count} channels are not silent; their mean is taken"
    mixed = float(weights_C @ covariance_CC @ weights_C)
    if mixed < CANCELS * loudest * np.square(weights_C).max():  # they cancel each other
        weights_C = np.eye(count)[powers_C.argmax()]
        return weights_C, f"{count} channels cancel each other; the loudest is taken"
    gain = float(np.sqrt(loudest / mixed))
    if not surround and live_C.all() and gain < SAME:
        return None, ""
    return weights_C * gain, text
