"""Check a generated video: its length, its audio, and a face with a moving mouth.

python scripts/check_video.py VIDEO AUDIO
"""

import _checkout  # noqa: F401
import librosa
import numpy as np
from evaluation.video_metrics import detect_points

from speech2video.options.tools import CheckVideoOptions
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.errors import DataError, run_command
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.timing import SAMPLES_PER_FRAME, frame_count
from speech2video.util.video.reader import read_frames

MIN_FACES = 0.9  # share of frames with a face
MIN_MOUTH_RANGE = 0.02  # eye distances between 10th and 90th percentile of the lip opening
MIN_CORRELATION = 0.9  # of loudness per frame


def main() -> None:
    options = CheckVideoOptions.parse()
    if fault := find_fault(options):
        raise DataError(f"{options.video}: {fault}")
    print(f"{options.video}: length, audio, face and mouth are correct")


def find_fault(options: CheckVideoOptions) -> str:
    """Return a description of the video's first fault, or "" without one."""
    audio_S, video_audio_S = load_audio(options.audio), load_audio(options.video)
    frames = np.stack(list(read_frames(options.video)))
    expected = frame_count(len(audio_S))
    if len(frames) != expected:
        return f"{len(frames)} frames; {expected} are needed"
    block = {"frame_length": SAMPLES_PER_FRAME, "hop_length": SAMPLES_PER_FRAME, "center": False}
    rms = [librosa.feature.rms(y=one, **block)[0] for one in (audio_S, video_audio_S)]
    similarity = np.corrcoef(*(one_T[: expected - 1] for one_T in rms))[0, 1]
    if not similarity > MIN_CORRELATION:
        return f"its audio differs: correlation {similarity:.2f}"
    opening_T = lip_opening(detect_points(frames))  # in eye distances
    found = np.isfinite(opening_T).mean()
    if found < MIN_FACES:
        return f"a face in {found:.0%} of the frames"
    low, high = np.nanpercentile(opening_T, (10, 90))
    if high - low < MIN_MOUTH_RANGE:
        return f"the mouth moves by only {high - low:.4f} of the eye distance"
    return ""


if __name__ == "__main__":
    run_command(main)
