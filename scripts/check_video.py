"""Check a video that test.py made: its length, its sound, and a face that moves its mouth.

python scripts/check_video.py VIDEO SOUND
"""

import _checkout  # noqa: F401
import numpy as np
from evaluation.video_landmarks import found_points

from speech2video.options.tools import CheckVideoOptions
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.errors import DataError, run_command
from speech2video.util.metrics.points import lip_opening
from speech2video.util.timing import SAMPLES_PER_FRAME
from speech2video.util.video.reader import read_frames

FACE_FOUND = 0.9  # share of the frames
MOUTH_MOVES = 0.02  # of the eye distance: its opening's 90th percentile less its 10th
SOUND_ALIKE = 0.9  # correlation of loudness, frame by frame


def main() -> None:
    options = CheckVideoOptions.parse()
    if reason := reason_against(options):
        raise DataError(f"{options.video}: {reason}")
    print(f"{options.video}: length, sound, face and mouth are as they should be")


def reason_against(options: CheckVideoOptions) -> str:
    """Return what is wrong with a video, "" where nothing is."""
    audio_S, heard_S = load_audio(options.audio), load_audio(options.video)
    frames = np.stack(list(read_frames(options.video)))
    expected = -(-len(audio_S) // SAMPLES_PER_FRAME)
    if len(frames) != expected:
        return f"{len(frames)} frames; {expected} are needed"
    alike = np.corrcoef(*(loudness(one)[: expected - 1] for one in (audio_S, heard_S)))[0, 1]
    if not alike > SOUND_ALIKE:
        return f"its sound is another one: correlation {alike:.2f}"
    points_TK2 = found_points(frames)
    opening_T = lip_opening(points_TK2)  # in eye distances, as points in pixels have them
    found = np.isfinite(opening_T).mean()
    if found < FACE_FOUND:
        return f"a face in {found:.0%} of the frames"
    low, high = np.nanpercentile(opening_T, (10, 90))
    if high - low < MOUTH_MOVES:
        return f"the mouth moves by {high - low:.4f} of the eye distance only"
    return ""


def loudness(audio_S: np.ndarray) -> np.ndarray:
    """Return the RMS of each frame's samples (T,)."""
    count = len(audio_S) // SAMPLES_PER_FRAME
    blocks = audio_S[: count * SAMPLES_PER_FRAME].reshape(count, SAMPLES_PER_FRAME)
    return np.sqrt(np.square(blocks).mean(1))


if __name__ == "__main__":
    run_command(main)
