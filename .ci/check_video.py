"""Check the video that scripts/demo.sh made: length, sound, and a face that moves its mouth.

python .ci/check_video.py VIDEO SOUND
"""

import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "scripts")]

from evaluation.video_landmarks import found_points
from speech2video.util.audio import load_wave
from speech2video.util.metrics.lips import EYE_CORNERS, lip_opening
from speech2video.util.video_reader import read_frames

SAMPLES_A_FRAME = 640
FACE_FOUND = 0.9  # share of the frames
MOUTH_MOVES = 0.02  # of the eye distance: its opening's 90th percentile less its 10th
SOUND_ALIKE = 0.9  # correlation of loudness, frame by frame


def main(video: Path, sound: Path) -> None:
    wave_S, heard_S = load_wave(sound), load_wave(video)
    frames = np.stack(list(read_frames(video)))
    expected = -(-len(wave_S) // SAMPLES_A_FRAME)
    assert len(frames) == expected, f"{len(frames)} frames, {expected} are needed"
    both = [loudness(one)[: expected - 1] for one in (wave_S, heard_S)]
    alike = np.corrcoef(*both)[0, 1]
    assert alike > SOUND_ALIKE, f"its sound is another one: correlation {alike:.2f}"
    points_TK2 = found_points(frames)
    found = np.isfinite(lip_opening(points_TK2)).mean()
    assert found > FACE_FOUND, f"a face in {found:.0%} of the frames"
    low, high = np.nanpercentile(lip_opening(points_TK2), (10, 90))
    eyes = np.nanmedian(np.linalg.norm(np.diff(points_TK2[:, EYE_CORNERS], axis=1)[:, 0], axis=1))
    moves = (high - low) / eyes
    assert moves > MOUTH_MOVES, f"the mouth moves by {moves:.3f} of the eye distance"
    print(f"{video}: {len(frames)} frames, face in {found:.0%}, mouth moves by {moves:.3f}")


def loudness(wave_S: np.ndarray) -> np.ndarray:
    count = len(wave_S) // SAMPLES_A_FRAME
    blocks = wave_S[: count * SAMPLES_A_FRAME].reshape(count, SAMPLES_A_FRAME)
    return np.sqrt(np.square(blocks).mean(1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
