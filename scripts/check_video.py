"""Check a video that test.py made: its length, its sound, and a face that moves its mouth.

python scripts/check_video.py VIDEO SOUND
"""

import sys
from pathlib import Path

import _checkout  # noqa: F401
import numpy as np
from evaluation.video_landmarks import found_points

from speech2video.util.audio import load_wave
from speech2video.util.errors import DataError, run_command
from speech2video.util.metrics.lips import EYE_CORNERS, lip_opening
from speech2video.util.video_reader import read_frames

SAMPLES_A_FRAME = 640
FACE_FOUND = 0.9  # share of the frames
MOUTH_MOVES = 0.02  # of the eye distance: its opening's 90th percentile less its 10th
SOUND_ALIKE = 0.9  # correlation of loudness, frame by frame


def main() -> None:
    if len(sys.argv) != 3:
        raise DataError("a video and the sound it was made from are needed")
    video, sound = map(Path, sys.argv[1:])
    wave_S, heard_S = load_wave(sound), load_wave(video)
    frames = np.stack(list(read_frames(video)))
    expected = -(-len(wave_S) // SAMPLES_A_FRAME)
    check(len(frames) == expected, f"{len(frames)} frames; {expected} are needed")
    alike = np.corrcoef(*(loudness(one)[: expected - 1] for one in (wave_S, heard_S)))[0, 1]
    check(alike > SOUND_ALIKE, f"its sound is another one: correlation {alike:.2f}")
    points_TK2 = found_points(frames)
    opening_T = lip_opening(points_TK2)
    found = np.isfinite(opening_T).mean()
    check(found > FACE_FOUND, f"a face in {found:.0%} of the frames")
    low, high = np.nanpercentile(opening_T, (10, 90))
    corners_T2 = np.diff(points_TK2[:, EYE_CORNERS], axis=1)[:, 0]
    moves = (high - low) / np.nanmedian(np.linalg.norm(corners_T2, axis=1))
    check(moves > MOUTH_MOVES, f"the mouth moves by {moves:.3f} of the eye distance only")
    print(f"{video}: {len(frames)} frames, a face in {found:.0%}, its mouth moves by {moves:.3f}")


def check(good: bool, otherwise: str) -> None:
    if not good:
        raise DataError(f"{sys.argv[1]}: {otherwise}")


def loudness(wave_S: np.ndarray) -> np.ndarray:
    """Return the RMS of each frame's samples (T,)."""
    count = len(wave_S) // SAMPLES_A_FRAME
    blocks = wave_S[: count * SAMPLES_A_FRAME].reshape(count, SAMPLES_A_FRAME)
    return np.sqrt(np.square(blocks).mean(1))


if __name__ == "__main__":
    run_command(main)
