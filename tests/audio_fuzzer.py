"""Damaged audio files: bytes changed, cut, doubled, moved.

PYTHONPATH=. python tests/audio_fuzzer.py FOLDER COUNT      writes COUNT files, and their list
"""

import sys
from pathlib import Path

import av
import numpy as np

from tests.tiny_speaker import voice

KINDS = {  # suffix: codec, rate in Hz
    ".wav": ("pcm_s16le", 16_000),
    ".flac": ("flac", 44_100),
    ".mp3": ("libmp3lame", 44_100),
    ".ogg": ("libopus", 48_000),
    ".m4a": ("aac", 48_000),
    ".aiff": ("pcm_s16be", 22_050),
}
HEAD = 200  # bytes, where half of all damage is done


def write_audio_file(path: Path, seconds: float = 0.4) -> Path:
    """Write audio with the codec of the suffix."""
    codec, rate = KINDS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        planar_1S = voice(seconds, rate=rate)[None]
        frame = av.AudioFrame.from_ndarray(planar_1S, "fltp", "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.codec_context.format, "mono", rate)
        fifo = av.AudioFifo()
        for piece in resampler.resample(frame):
            fifo.write(piece)
        size = stream.codec_context.frame_size or 1024
        while piece := fifo.read(size, partial=True):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Return a file's bytes with one to six changes."""
    content = bytearray(data)
    for _ in range(random.integers(1, 7)):
        end = min(HEAD, len(content)) if random.random() < 0.5 else len(content)
        place = int(random.integers(0, max(end, 1)))
        size = int(random.integers(1, 64))
        match random.integers(0, 5):
            case 0:
                content[place : place + 1] = random.bytes(1)
            case 1:
                content[place : place + size] = random.bytes(size)
            case 2:
                del content[place : place + size]
            case 3:
                content[place:place] = content[place : place + size]
            case 4:
                content[place : place + 4] = random.choice([b"\xff" * 4, b"\0" * 4, b"\x7f" * 4])
    share = random.uniform(0.1, 1) if random.random() < 0.3 else 1
    return bytes(content[: int(len(content) * share)])


def write_damaged(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write damaged audio of all kinds in turn; return the file that lists them."""
    random = np.random.default_rng(seed)
    whole = {suffix: write_audio_file(folder / f"whole{suffix}").read_bytes() for suffix in KINDS}
    paths = []
    for number in range(count):
        suffix = list(KINDS)[number % len(KINDS)]
        paths.append(folder / f"{number:03d}{suffix}")
        paths[-1].write_bytes(damaged(whole[suffix], random))
    listed = folder / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return listed


if __name__ == "__main__":
    print(write_damaged(Path(sys.argv[1]), int(sys.argv[2])))
