"""A recording's picture and sound become a clip's: 25 frames a second, 640 samples for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from speech2video.data.clip import Clip
from speech2video.data.motion import FPS
from speech2video.util.audio import SPEECH_RATE, load_wave, write_wave
from speech2video.util.errors import DataError
from speech2video.util.video import write_video
from speech2video.util.video_reader import ReadReport, VideoInfo, probe, read_frames

LEAST_SECONDS = 2.0
SAMPLES = SPEECH_RATE // FPS  # of sound in a frame: 640
OFF_SECONDS = 0.2  # sound and picture whose lengths differ by more are worth a note
CLIP_QUALITY = 14  # x264's rate factor: a clip is to be learned from


@dataclass(frozen=True)
class Copied:
    """What was copied.

    Attributes:
        source: what the recording was.
        frames: of the clip.
        width, height: of its picture, pixels.
        wave_S: its sound, as long as the picture.
        notes: what a person should know: damage, lengths that differ.
    """

    source: VideoInfo
    frames: int
    width: int
    height: int
    wave_S: np.ndarray
    notes: tuple[str, ...]


def copy_recording(
    clip: Clip, recording: Path, *, largest: int, tell: Callable[[float], None]
) -> Copied:
    """Write a clip's video.mp4 and audio.wav; `tell` hears the share done.

    Args:
        clip: its folder is there.
        recording: any that PyAV reads.
        largest: larger side of the picture at most, pixels.
        tell: called with 0 to 1.

    Raises:
        DataError: not a video, no sound track, too short, or not to be written.
    """
    info = probe(recording)
    if not info.has_audio:
        raise DataError(f"{recording}: no sound track; a person speaking is needed")
    scale = min(1.0, largest / max(info.width, info.height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (info.width, info.height))
    report = ReadReport()
    frames = told(read_frames(recording, fps=FPS, report=report), info.duration * FPS, tell)
    scaled = (_scaled(frame, width, height) for frame in frames)
    count = write_video(clip.video, scaled, fps=FPS, quality=CLIP_QUALITY, synthetic=False)
    damage = () if report.is_complete else (f"damaged: {report}",)
    if count < LEAST_SECONDS * FPS:
        seen = "; ".join((f"{count / FPS:.1f} s", *damage))
        raise DataError(f"{recording}: {seen}; at least {LEAST_SECONDS:.0f} s are needed")
    wave_S, lengths = _copy_sound(clip, recording, count)
    return Copied(info, count, width, height, wave_S, damage + lengths)


def told(
    frames: Iterator[np.ndarray], count: float, tell: Callable[[float], None]
) -> Iterator[np.ndarray]:
    """Yield frames, about `count` or NaN, telling what share of them is done."""
    for number, frame in enumerate(frames):
        if count >= 1:  # false for NaN
            tell(min(1.0, number / count))
        yield frame


def _scaled(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    if frame.shape[1:] == (height, width):
        return frame
    image_HW3 = frame.transpose(1, 2, 0)
    return cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)


def _copy_sound(clip: Clip, recording: Path, frames: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Write the sound, as long as the picture; return it, and a note if it was not."""
    wave_S = load_wave(recording)
    seconds, wanted = len(wave_S) / SPEECH_RATE, frames * SAMPLES
    off = f"sound of {seconds:.2f} s made as long as the picture, {frames / FPS:.2f} s"
    notes = (off,) if abs(seconds - frames / FPS) > OFF_SECONDS else ()
    wave_S = np.pad(wave_S[:wanted], (0, max(0, wanted - len(wave_S))))
    write_wave(clip.audio, wave_S)
    return wave_S, notes
