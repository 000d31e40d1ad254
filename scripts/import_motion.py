"""Make a clip without pictures: motion recorded elsewhere, and the speech that belongs to it.

python scripts/import_motion.py --motion 2_scott.npz --audio 2_scott.wav --words 2_scott.TextGrid \\
    --output datasets/scott

Speech to pose trains on such clips as on any; pose to video needs pictures.
"""

import os
import shutil
from pathlib import Path

import _checkout  # noqa: F401
import numpy as np

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import FPS, from_pose_vector
from speech2video.data.motion_file import read_motion, write_motion
from speech2video.data.preprocessing.words import TimedWords, Words
from speech2video.options.import_motion_options import ImportMotionOptions
from speech2video.util.audio import SPEECH_RATE, load_wave, write_wave
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.errors import DataError, run_command
from speech2video.util.files import writing
from speech2video.util.transcript import write_words

SAMPLES = SPEECH_RATE // FPS  # of a frame
MOST_APART = 1.0  # seconds that motion and sound may differ in length


def main() -> None:
    options = ImportMotionOptions.parse()
    folder = options.output / options.motion.stem
    if folder.exists():
        raise DataError(f"{folder}: there already; delete it to make it anew")
    partial = Clip(folder.with_name(f".{folder.name}.partial"))
    shutil.rmtree(partial.folder, ignore_errors=True)
    try:
        with writing(folder):
            partial.folder.mkdir(parents=True)
        info = fill(partial, options)
        with writing(folder):
            os.replace(partial.folder, folder)
    finally:
        shutil.rmtree(partial.folder, ignore_errors=True)
    print(f"{folder}: {info.frames} frames; " + "; ".join(info.notes))


def fill(clip: Clip, options: ImportMotionOptions) -> ClipInfo:
    """Write a clip's files and return what clip.json says."""
    body = Body.load(options.body)
    motion = read_motion(options.motion).resampled()
    foreign = motion.foreign_parts(body)
    wave_S = load_wave(options.audio)
    frames = min(len(motion), len(wave_S) // SAMPLES)
    apart = abs(len(motion) - len(wave_S) / SAMPLES) / FPS
    if apart > MOST_APART:
        lengths = f"{len(motion) / FPS:.1f} s of motion, {len(wave_S) / SPEECH_RATE:.1f} s of sound"
        raise DataError(f"{options.motion}: {lengths}; they must belong together")
    pose_TP = clamp_pose(motion.pose_vector(body)[:frames], body.hands)
    words = words_of(options, wave_S[: frames * SAMPLES])
    write_motion(clip.pose, from_pose_vector(pose_TP, body, camera=motion.camera))
    write_wave(clip.audio, wave_S[: frames * SAMPLES])
    if words.words:
        write_words(clip.words, words.words)
    notes = ("no pictures", *words.notes, *(f"{part} of another body left out" for part in foreign))
    info = ClipInfo(
        options.motion.name, frames, 0, 0, "", body.name, words=words.source, notes=notes
    )
    clip.write_info(info)
    return info


def words_of(options: ImportMotionOptions, wave_S: np.ndarray) -> TimedWords:
    """Return the words of the file that is given, and none without."""
    if options.words is None:
        return TimedWords()
    if not options.words.is_file():
        raise DataError(f"{options.words}: no such file")
    return Words(transcripts=Path(options.words)).of(options.audio, wave_S)


if __name__ == "__main__":
    run_command(main)
