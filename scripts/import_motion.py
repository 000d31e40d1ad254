"""Make a clip without video from motion recorded elsewhere and its speech.

python scripts/import_motion.py --motion 2_scott.npz --audio 2_scott.wav --words 2_scott.TextGrid \\
    --output datasets/scott

The first seconds that both have are used. Such clips train audio2pose; pose2video needs video.
"""

import _checkout  # noqa: F401

from speech2video.data.clip import Clip, ClipInfo, find_motion_and_audio
from speech2video.data.motion import motion_from_pose, overlap
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.preprocessing.recording import TimedWords, WordSource, write_words_and_phones
from speech2video.options.tools import ImportMotionOptions
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.errors import DataError, run_command
from speech2video.util.files import folder_lock
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

MIN_OVERLAP = 0.25  # of the longer of motion and audio; other pairs do not belong together


def main() -> None:
    options = ImportMotionOptions.parse()
    folder = options.output / options.motion.stem
    with folder_lock(folder.with_name(f".{folder.name}.import")):  # others may make other clips
        if folder.exists():
            raise DataError(f"{folder}: there already; delete it to make it anew")
        with Clip.create(folder) as clip:
            info = fill(clip, options)
    print(f"{folder}: {info.frames} frames; " + "; ".join(info.notes))


def fill(clip: Clip, options: ImportMotionOptions) -> ClipInfo:
    """Write a clip's files and return its description."""
    body = Body.load(options.body)
    motion_path, _ = find_motion_and_audio(options.motion)
    motion = read_motion(motion_path, fps=options.fps)
    unsupported = motion.unsupported_parts(body)
    audio_S = load_audio(options.audio)
    lengths = len(motion), len(audio_S) // SAMPLES_PER_FRAME
    if min(lengths) < MIN_OVERLAP * max(lengths):
        seconds = f"{lengths[0] / FPS:.1f} s of motion, {lengths[1] / FPS:.1f} s of audio"
        raise DataError(f"{options.motion}: {seconds}; they must belong together")
    frames = overlap(options.motion, *lengths)
    pose_TP = clamp_pose(motion.pose_vector(body)[:frames], body.hands)
    audio_S = audio_S[: frames * SAMPLES_PER_FRAME]
    words = TimedWords()
    if options.words is not None:
        if not options.words.is_file():
            raise DataError(f"{options.words}: no such file")
        words = WordSource(transcripts=options.words, language=options.language).read(
            options.audio, audio_S
        )
    write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=motion.camera))
    write_audio(clip.audio, audio_S)
    write_words_and_phones(clip, words, audio_S)
    left_out = (f"{part} of another body left out" for part in unsupported)
    info = ClipInfo(
        source=options.motion.name,
        frames=frames,
        width=0,
        height=0,
        keypoints="",
        body=body.name,
        words=words.source,
        notes=("no video", *words.notes, *left_out),
    )
    clip.write_info(info)
    return info


if __name__ == "__main__":
    run_command(main)
