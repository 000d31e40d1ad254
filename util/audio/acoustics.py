"""What recordings add to speech: rooms, codecs, microphones, automatic levels, noises and music.

Nothing here moves audio in time: the direct path of a room arrives at once, and the delay of a
codec is measured and taken out. Lengths are kept. Random numbers come from the caller.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import av
import numpy as np
from scipy.signal import firwin, oaconvolve, resample_poly

from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE

WAVE_SPEED = 343.0  # metres per second, in air
BANDS = 125.0 * 2.0 ** np.arange(7)  # Hz, centres of the octaves in which walls absorb
LOW_END = (30.0, 125.0)  # Hz, from which rooms resound
EARLY = 0.06  # seconds of single reflections; later ones are so dense that noise equals them
BLEND = 0.02  # seconds in which these pass into noise
SINC_TAPS = 32  # of the filter that delays by fractions of a sample
PRE = 1024  # samples before the direct path, which take the ringing of filters and are dropped
MARGIN = 0.3  # metres between a wall and the speaker or the microphone
SMALLEST, LARGEST = np.array([2.2, 2.0, 2.2]), np.array([8.0, 6.0, 3.5])  # metres of a room
DECAY_SLOPE = (-0.2, 0.05)  # octaves of decay time per octave: high frequencies die away sooner
WALLS = (0.3, 1.7)  # logarithmic absorption of a wall relative to the mean of all
HEIGHT = 0.25  # of the line from speaker to microphone, sine of its elevation, at most


@dataclass(frozen=True)
class Room:
    """A shoebox with a speaker and a microphone in it.

    Attributes:
        size_3: length, width and height, metres; one corner is the origin.
        source_3: the speaker's mouth.
        microphone_3: in the room, as the source.
        decay_B: seconds until the power in each of `BANDS` has decayed by 60 dB.
        walls_32: relative logarithmic absorption of the two walls across each axis, mean 1.
    """

    size_3: np.ndarray
    source_3: np.ndarray
    microphone_3: np.ndarray
    decay_B: np.ndarray
    walls_32: np.ndarray = field(default_factory=lambda: np.ones((3, 2)))


def draw_room(seconds: float, distance: float, rng: np.random.Generator) -> Room:
    """Return a random room that decays by 60 dB in `seconds` at 1 kHz.

    The microphone is `distance` metres away; a room that is too small for it is enlarged.
    """
    angle, lift = rng.uniform(0, 2 * np.pi), rng.uniform(-HEIGHT, HEIGHT)
    flat = math.sqrt(1 - lift**2)
    apart_3 = distance * np.array([flat * np.cos(angle), flat * np.sin(angle), lift])
    size_3 = np.maximum(rng.uniform(SMALLEST, LARGEST), np.abs(apart_3) + 2.1 * MARGIN)
    low_3 = MARGIN + np.maximum(-apart_3, 0)
    source_3 = rng.uniform(low_3, size_3 - MARGIN - np.maximum(apart_3, 0))
    decay_B = seconds * (BANDS / 1000) ** rng.uniform(*DECAY_SLOPE)
    walls_32 = rng.uniform(*WALLS, size=(3, 2))
    return Room(size_3, source_3, source_3 + apart_3, decay_B, walls_32 / walls_32.mean())


def impulse_response(room: Room, rng: np.random.Generator) -> np.ndarray:
    """Return a room's impulse response (S,) at 16 kHz: the direct path is 1 at time 0.

    Early reflections are image sources (Allen and Berkley, J. Acoust. Soc. Am. 65, 1979) with
    fractional delays. Later ones are noise of the density of energy that image sources have,
    decaying in each band on its own. Absorption follows from the decay by Eyring's formula.
    """
    volume = float(np.prod(room.size_3))
    surface = 2 * volume * float((1 / room.size_3).sum())
    direct = float(np.linalg.norm(room.source_3 - room.microphone_3))
    size = max(round(float(room.decay_B.max()) * SAMPLE_RATE), 1)
    reflect_B = np.exp(-0.161 * volume / (2 * surface * room.decay_B))  # amplitude, one reflection
    away_N, count_N = _images(room, WAVE_SPEED * EARLY + direct)
    late_N = (away_N - direct) / WAVE_SPEED  # seconds after the direct path
    loud_BN = reflect_B[:, None] ** count_N * direct / away_N
    loud_BN *= np.cos(np.pi / 2 * ((late_N - EARLY) / BLEND + 1).clip(0, 1))
    parts_BS = _impulses(late_N * SAMPLE_RATE, loud_BN, PRE + size)
    late_S = np.arange(size) / SAMPLE_RATE
    power = 4 * np.pi * WAVE_SPEED * direct**2 / (volume * SAMPLE_RATE)  # of a sample
    tail_S = rng.standard_normal(size) * math.sqrt(power)
    tail_S *= np.sin(np.pi / 2 * ((late_S - EARLY) / BLEND + 1).clip(0, 1))
    since_S = late_S + direct / WAVE_SPEED
    parts_BS[:, PRE:] += tail_S * 10 ** (-3 * since_S / room.decay_B[:, None])
    response_S = _join_bands(parts_BS)[PRE : PRE + size]
    response_S[0] += 1  # the direct path
    return response_S


def add_room(audio_S: np.ndarray, response_S: np.ndarray) -> np.ndarray:
    """Return audio (S,) convolved with an impulse response, cut off at the end."""
    return oaconvolve(audio_S, response_S)[: len(audio_S)]


def _images(room: Room, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return distances (N,) of the images within a reach, and how often each was reflected.

    The source itself is left out. A reflection counts as the absorption of its wall relative to
    the mean of all.
    """
    squares, counts = [], []
    for size, source, microphone, walls in zip(
        room.size_3, room.source_3, room.microphone_3, room.walls_32, strict=True
    ):
        last = math.ceil(reach / (2 * size)) + 1
        turns = np.arange(-last, last + 1)
        for mirrored in (0, 1):
            at = (1 - 2 * mirrored) * source + 2 * turns * size
            squares.append(np.square(at - microphone))
            counts.append(np.abs(turns - mirrored) * walls[0] + np.abs(turns) * walls[1])
    x, y, z = (np.concatenate(squares[2 * axis :][:2]) for axis in range(3))
    away = np.sqrt(x[:, None, None] + y[:, None] + z)
    x, y, z = (np.concatenate(counts[2 * axis :][:2]) for axis in range(3))
    count = x[:, None, None] + y[:, None] + z
    near = (away <= reach) & (count > 0)
    return away[near], count[near]


def _impulses(late_N: np.ndarray, loud_BN: np.ndarray, size: int) -> np.ndarray:
    """Return impulses (B, size) at fractions of samples after sample `PRE`."""
    first_N = np.floor(late_N).astype(int)
    taps = np.arange(1 - SINC_TAPS // 2, SINC_TAPS // 2 + 1)
    off_NK = taps - (late_N - first_N)[:, None]
    shape_NK = np.sinc(off_NK) * np.cos(np.pi * off_NK / (SINC_TAPS + 2)) ** 2
    at_NK = first_N[:, None] + taps + PRE
    inside = at_NK < size
    return np.stack(
        [
            np.bincount(at_NK[inside], (loud_N[:, None] * shape_NK)[inside], minlength=size)
            for loud_N in loud_BN
        ]
    )


def _join_bands(parts_BS: np.ndarray) -> np.ndarray:
    """Return the sum (S,) of what each row has in its band; bands add up to 1 above the lowest.

    Below it they fade out: image sources are all positive and would add up to a rumble.
    """
    size = _power_of_two(parts_BS.shape[1])
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 1.0))
    masks_BF = np.stack([np.interp(octaves, np.log2(BANDS), row) for row in np.eye(len(BANDS))])
    masks_BF[0] *= np.interp(octaves, np.log2(LOW_END), (0, 1))
    return np.fft.irfft((np.fft.rfft(parts_BS, size) * masks_BF).sum(axis=0), size)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


@dataclass(frozen=True)
class Codec:
    """How audio is encoded: names of FFmpeg, the rate (Hz), bit rates (kbit/s) and options."""

    encoder: str
    decoder: str
    rate: int
    kilobits: tuple[float, ...]
    format: str = "fltp"
    options: tuple[tuple[str, str], ...] = ()


# mp3 runs at twice the rate, so that it has as few bits a sample as in real files
CODECS = {
    "mp3": Codec("libmp3lame", "mp3float", 32_000, (32, 40, 48, 64, 96)),
    "opus": Codec(
        "libopus", "opus", 16_000, (12, 16, 20, 24, 32), "flt", (("application", "voip"),)
    ),
    "aac": Codec("aac", "aac", 16_000, (12, 16, 24, 32)),
    "mulaw": Codec("pcm_mulaw", "pcm_mulaw", 8_000, (64,), "s16"),
    "alaw": Codec("pcm_alaw", "pcm_alaw", 8_000, (64,), "s16"),
    "amr": Codec("libopencore_amrnb", "amrnb", 8_000, (4.75, 5.9, 7.4, 12.2), "s16"),
}
TELEPHONE = (300.0, 3400.0)  # Hz, the band of what is encoded at 8 kHz
TELEPHONE_TAPS = 129
BLOCK = 4096  # samples encoded at once by a codec without frames
FLUSH = 4  # frames of silence after the audio, more than any delay
PROBE_SECONDS = 1.0


@cache
def available_codecs() -> frozenset[str]:
    """Return which of `CODECS` this build of FFmpeg can encode and decode."""
    found = set()
    for name, codec in CODECS.items():
        try:
            av.Codec(codec.encoder, "w")
            av.Codec(codec.decoder, "r")
        except ValueError:  # unknown to it
            continue
        found.add(name)
    return frozenset(found)


def transcode(audio_S: np.ndarray, name: str, kilobits: float) -> np.ndarray:
    """Return 16 kHz audio (S,) in [-1, 1] encoded and decoded, float32, without the codec's delay.

    Codecs of 8 kHz get the band of a telephone. Raises `DataError` on a codec that is unknown or
    not available.
    """
    if name not in available_codecs():
        known = ", ".join(sorted(available_codecs()))
        raise DataError(f"codec {name!r}: available are {known}")
    if not len(audio_S):
        return np.zeros(0, np.float32)
    out_S = _round_trip(audio_S, CODECS[name], kilobits)[_delay(name, kilobits) :][: len(audio_S)]
    return np.pad(out_S, (0, len(audio_S) - len(out_S))).astype(np.float32)


@cache
def _delay(name: str, kilobits: float) -> int:
    """Return the samples at 16 kHz by which a codec delays: it differs between versions.

    The probe is a voice's glide, which codecs made for speech keep the phase of.
    """
    time_S = np.arange(round(PROBE_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    turns_S = 110 * time_S + 70 * time_S**2
    probe_S = sum(np.sin(2 * np.pi * tone * turns_S + tone**2) / tone for tone in range(3, 15))
    probe_S = 0.2 * np.asarray(probe_S) * np.sin(3 * np.pi * time_S) ** 2
    out_S = _round_trip(probe_S, CODECS[name], kilobits)
    size = _power_of_two(len(out_S) + len(probe_S))
    match = np.fft.irfft(np.fft.rfft(out_S, size) * np.conj(np.fft.rfft(probe_S, size)), size)
    return int(np.argmax(match[: len(out_S)]))


def _round_trip(audio_S: np.ndarray, codec: Codec, kilobits: float) -> np.ndarray:
    """Return 16 kHz audio after a codec (N,), as late and as long as it comes out."""
    audio_S = _resample(np.asarray(audio_S, np.float64), SAMPLE_RATE, codec.rate)
    if codec.rate < SAMPLE_RATE:
        band = firwin(TELEPHONE_TAPS, TELEPHONE, fs=codec.rate, pass_zero=False)
        audio_S = oaconvolve(audio_S, band, "same")
    encoder: Any = av.CodecContext.create(codec.encoder, "w")
    encoder.sample_rate, encoder.format, encoder.layout = codec.rate, codec.format, "mono"
    encoder.bit_rate = round(kilobits * 1000)
    encoder.options = dict(codec.options)
    encoder.open()
    size = encoder.frame_size or BLOCK
    audio_S = np.pad(audio_S.clip(-1, 1), (0, FLUSH * size + -len(audio_S) % size))
    if codec.format == "s16":
        audio_S = np.round(audio_S * 32767).astype(np.int16)
    else:
        audio_S = audio_S.astype(np.float32)
    packets = []
    for number, block_S in enumerate(audio_S.reshape(-1, size)):
        frame = av.AudioFrame.from_ndarray(block_S[None], codec.format, "mono")
        frame.sample_rate, frame.pts = codec.rate, number * size
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder: Any = av.CodecContext.create(codec.decoder, "r")
    decoder.sample_rate, decoder.layout = codec.rate, "mono"
    decoder.extradata = encoder.extradata
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    out_S = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
    out_S = out_S / 32768 if out_S.dtype == np.int16 else out_S.astype(np.float64)
    return _resample(out_S, frames[0].sample_rate, SAMPLE_RATE)


def _resample(audio_S: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    if rate == to_rate:
        return audio_S
    shared = math.gcd(rate, to_rate)
    return resample_poly(audio_S, to_rate // shared, rate // shared)


HOP = 32  # samples, 2 ms, for which a compressor's gain is computed


def compress(
    audio_S: np.ndarray, ratio: float, *, threshold: float, attack: float, release: float
) -> np.ndarray:
    """Return 16 kHz audio (S,) whose level (dB) above a threshold (dB) is divided by a ratio.

    The level is the power, smoothed by `attack` seconds where it rises and `release` where it
    falls. Fast, it is what broadcasters do; with seconds, a recorder's automatic gain.
    """
    count = -(-len(audio_S) // HOP)
    padded_S = np.pad(np.asarray(audio_S, np.float64), (0, count * HOP - len(audio_S)))
    powers = np.square(padded_S.reshape(count, HOP)).mean(axis=1)
    rise, fall = (1 - math.exp(-HOP / (SAMPLE_RATE * seconds)) for seconds in (attack, release))
    level, levels = 10 ** (threshold / 10), []
    for power in powers.tolist():
        level += (rise if power > level else fall) * (power - level)
        levels.append(level)
    over = 10 * np.log10(np.maximum(levels, 1e-12)) - threshold
    gain = -over.clip(min=0) * (1 - 1 / ratio) / 20
    at = (np.arange(count) + 0.5) * HOP
    return audio_S * 10 ** np.interp(np.arange(len(audio_S)), at, gain)


def clip_peaks(audio_S: np.ndarray, decibels: float, *, hard: bool) -> np.ndarray:
    """Return audio (S,) clipped that far below its peak; not `hard`: bent as by a tape."""
    ceiling = np.abs(audio_S).max(initial=0) * 10 ** (-decibels / 20)
    if hard or not ceiling:
        return np.clip(audio_S, -ceiling, ceiling)
    return ceiling * np.tanh(audio_S / ceiling)


RUMBLE_RATE = 200  # Hz: handling, wind and traffic lie below half of it
CLICK = 800  # samples of a key's click
STROKE_GAPS = (0.1, 0.45)  # seconds between strokes
RELEASES = (0.05, 0.13)  # seconds until a key comes up
KEYS = 8  # different ones

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))  # major and minor, semitones
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (1, 4, 0, 0), (0, 6, 5, 4))
BEAT = (0.4, 1.0)  # seconds, 60 to 150 a minute
TABLE = 2048  # samples of a period of a note
PARTIALS = 16


def rumble(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return noise (size,) of power 1 at 16 kHz below 100 Hz, with a constant offset."""
    up = SAMPLE_RATE // RUMBLE_RATE
    noise_S = resample_poly(rng.standard_normal(size // up + 2), up, 1)[:size] + rng.normal()
    return noise_S / np.sqrt(np.square(noise_S).mean())


def keyboard(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return the clicks (size,) of typing at 16 kHz, of power 1; the first comes at once."""
    time = np.arange(CLICK) / SAMPLE_RATE
    keys = []
    for _ in range(KEYS):
        hertz_N, decay_N = rng.uniform(150, 6000, 5), rng.uniform(0.002, 0.01, 5)
        rings = np.sin(2 * np.pi * np.outer(hertz_N, time)) * np.exp(-time / decay_N[:, None])
        hiss = rng.standard_normal(CLICK) * np.exp(-time / 0.003)
        keys.append(rings.sum(axis=0) + hiss)
    out_S, start = np.zeros(size + 4 * CLICK), 0
    while start < size:
        up = start + round(rng.uniform(*RELEASES) * SAMPLE_RATE)
        for begin, loud in ((start, rng.uniform(0.6, 1)), (up, rng.uniform(0.1, 0.6))):
            out_S[begin : begin + CLICK] += loud * keys[rng.integers(KEYS)]
        start += round(rng.uniform(*STROKE_GAPS) * SAMPLE_RATE)
    return out_S[:size] / np.sqrt(np.square(out_S[:size]).mean())


class _Instrument:
    """A timbre: harmonics, attack, decay and vibrato, drawn at random, that adds notes to audio."""

    def __init__(self, attack: float, decay: float, rng: np.random.Generator):
        tones = np.arange(1, PARTIALS + 1)
        self.loud = rng.uniform(0.2, 1, PARTIALS) * tones ** -rng.uniform(0.8, 2.2)
        self.turns = rng.uniform(size=PARTIALS)
        self.attack, self.decay = attack, decay
        self.depth, self.rate = rng.choice([0.0, 0.006]) * rng.uniform(), rng.uniform(4, 7)
        self._tables: dict[float, np.ndarray] = {}

    def play(self, out_S: np.ndarray, start: float, seconds: float, pitch: float, loud: float):
        """Add a note of a MIDI pitch in place, as far as it lies in the audio."""
        begin, size = round(start * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
        size = min(size, len(out_S) - begin)
        if size <= 0:
            return
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        if pitch not in self._tables:
            tones = np.arange(1, PARTIALS + 1)[:, None]
            period = np.sin(2 * np.pi * (tones * np.arange(TABLE) / TABLE + self.turns[:, None]))
            self._tables[pitch] = (self.loud * (tones[:, 0] * hertz < 7500)) @ period
        time = np.arange(size) / SAMPLE_RATE
        turns = hertz * time
        if self.depth:
            turns += (
                hertz * self.depth / (2 * np.pi * self.rate) * np.sin(2 * np.pi * self.rate * time)
            )
        shape = np.minimum(time / self.attack, 1) * np.exp(-time / self.decay)
        shape *= np.minimum((seconds - time) / 0.03, 1)
        at = (turns * TABLE).astype(np.int64) % TABLE
        out_S[begin : begin + size] += loud * shape * self._tables[pitch][at]


def music(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return an accompaniment (size,) float32 at 16 kHz, of power 1: chords, bass, drums, melody.

    Every piece has chords, held or broken; the rest is drawn.
    """
    out_S = np.zeros(max(size, 1))
    beat, scale, progression = rng.uniform(*BEAT), rng.choice(SCALES), rng.choice(PROGRESSIONS)
    tonic = int(rng.integers(36, 48))
    chords = _Instrument(rng.uniform(0.005, 0.2), rng.uniform(0.3, 3), rng)
    bass = _Instrument(0.01, rng.uniform(0.2, 1), rng)
    lead = _Instrument(rng.uniform(0.01, 0.08), rng.uniform(0.3, 2), rng)
    broken, has_bass, has_drums, has_lead = rng.random(4) < (0.4, 0.8, 0.6, 0.5)
    loud_bass, loud_drums, loud_lead = rng.uniform(0.4, 1.2, 3)
    step = int(rng.integers(7, 15))  # of the melody, in the scale

    def pitch(degree: int) -> float:
        return float(tonic + 12 * (degree // 7) + scale[degree % 7])

    for bar in range(math.ceil(size / (4 * beat * SAMPLE_RATE))):
        root, start = int(progression[bar % len(progression)]), 4 * beat * bar
        triad = [root + 7 + third for third in (0, 2, 4, 7)]
        for number, degree in enumerate(np.resize(triad, 8) if broken else triad):
            at, length = (number / 2, 1.0) if broken else (0.0, 4.0)
            chords.play(out_S, start + at * beat, length * beat, pitch(int(degree)), 0.4)
        for half in range(8):
            at = start + half * beat / 2
            if has_bass and half in (0, 3, 4, 6):
                bass.play(out_S, at, beat, pitch(root), loud_bass)
            if has_lead and rng.random() < 0.5:
                step = int(np.clip(step + rng.integers(-2, 3), 7, 20))
                lead.play(out_S, at, beat * rng.choice([0.5, 1, 2]), pitch(step + 7), loud_lead)
            if has_drums:
                _drum(out_S, at, half, loud_drums, rng)
    power = np.square(out_S).mean()
    return (out_S[:size] / np.sqrt(power if power > 0 else 1.0)).astype(np.float32)


def _drum(out_S: np.ndarray, start: float, half: int, loud: float, rng: np.random.Generator):
    """Add the drums of one of eight half beats: a bass drum, a snare, and a high hat always."""
    begin = round(start * SAMPLE_RATE)
    size = min(4_000, len(out_S) - begin)
    if size <= 0:
        return
    time = np.arange(size) / SAMPLE_RATE
    noise = rng.standard_normal(size)
    drum = 0.3 * np.diff(noise, prepend=0) * np.exp(-time / 0.02)
    if half % 4 == 0:
        turns = 50 * time + 2.5 * (1 - np.exp(-time / 0.03))
        drum += 2 * np.sin(2 * np.pi * turns) * np.exp(-time / 0.08)
    elif half % 4 == 2:
        drum += (noise + np.sin(2 * np.pi * 190 * time)) * np.exp(-time / 0.06)
    out_S[begin : begin + size] += loud * drum
