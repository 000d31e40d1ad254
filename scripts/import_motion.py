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
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.preprocessing.recording import TimedWords, WordSource
from speech2video.options.tools import ImportMotionOptions
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.errors import DataError, run_command
from speech2video.util.files import write_errors
from speech2video.util.text.transcript import write_words
from speech2video.util.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

MOST_APART = 1.0  # seconds that motion and sound may differ in length


def main() -> None:
    options = ImportMotionOptions.parse()
    folder = options.output / options.motion.stem
    if folder.exists():
        raise DataError(f"{folder}: there already; delete it to make it anew")
    partial = Clip(folder.with_name(f".{folder.name}.partial"))
    shutil.rmtree(partial.folder, ignore_errors=True)
    try:
        with write_errors(folder):
            partial.folder.mkdir(parents=True)
        info = fill(partial, options)
        with write_errors(folder):
            os.replace(partial.folder, folder)
    finally:
        shutil.rmtree(partial.folder, ignore_errors=True)
    print(f"{folder}: {info.frames} frames; " + "; ".join(info.notes))


def fill(clip: Clip, options: ImportMotionOptions) -> ClipInfo:
    """Write a clip's files and return what clip.json says."""
    body = Body.load(options.body)
    motion = read_motion(options.motion).resample()
    foreign = motion.unsupported_parts(body)
    audio_S = load_audio(options.audio)
    frames = min(len(motion), len(audio_S) // SAMPLES_PER_FRAME)
    apart = abs(len(motion) - len(audio_S) / SAMPLES_PER_FRAME) / FPS
    if apart > MOST_APART:
        lengths = (
            f"{len(motion) / FPS:.1f} s of motion, {len(audio_S) / SAMPLE_RATE:.1f} s of sound"
        )
        raise DataError(f"{options.motion}: {lengths}; they must belong together")
    pose_TP = clamp_pose(motion.pose_vector(body)[:frames], body.hands)
    words = words_of(options, audio_S[: frames * SAMPLES_PER_FRAME])
    write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=motion.camera))
    write_audio(clip.audio, audio_S[: frames * SAMPLES_PER_FRAME])
    if words.words:
        write_words(clip.words, words.words)
    notes = ("no pictures", *words.notes, *(f"{part} of another body left out" for part in foreign))
    info = ClipInfo(
        options.motion.name, frames, 0, 0, "", body.name, words=words.source, notes=notes
    )
    clip.write_info(info)
    return info


def words_of(options: ImportMotionOptions, audio_S: np.ndarray) -> TimedWords:
    """Return the words of the file that is given, and none without."""
    if options.words is None:
        return TimedWords()
    if not options.words.is_file():
        raise DataError(f"{options.words}: no such file")
    return WordSource(transcripts=Path(options.words)).of(options.audio, audio_S)


if __name__ == "__main__":
    run_command(main)
