"""Make a video of a trained speaker who says something.

python test.py --name demo --audio speech.wav                      # results/demo/speech.mp4
python test.py --name demo --text "A huge welcome to both of you."
python test.py --name demo --audio_list speeches.txt --jobs 4
torchrun --nproc_per_node 4 test.py --name demo --audio_list speeches.txt
python test.py --name NAME --pose motion.npz --audio speech.wav    # somebody's motion, our speaker
python test.py --model speech2face --name NAME --audio speech.wav [--emotion happy]   # no picture

models/pipelines/body_video.py is the walk from the sound to the video, models/pipelines/talking_face.py that to a face.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # OpenMP reads it when torch is imported

from speech2video.models.pipelines.batch import find_pipeline, make_videos
from speech2video.options.inference import InferenceOptions
from speech2video.util import distributed
from speech2video.util.errors import run_command
from speech2video.util.text.speech_source import (
    Speech,
    read_audio_list,
    recorded_speech,
    synthesised_speech,
)

if TYPE_CHECKING:
    import torch


def main() -> None:
    options = InferenceOptions.parse()
    device = distributed.start(options.device, threads=options.threads)
    try:
        if options.audio_list:
            make_listed(options, device)
        elif distributed.is_main():
            make_one(options, device)
    finally:
        distributed.stop()


def make_one(options: InferenceOptions, device: "torch.device") -> None:
    """Make the one video that is asked for."""
    walk = find_pipeline(options)
    loaded = walk.load(options, device)
    with speech_of(options) as speech:
        frames = walk.make_video(loaded, speech, options)
        print(f"{options.outputs(speech.stem).video}: {frames} frames")


def make_listed(options: InferenceOptions, device: "torch.device") -> None:
    """Make this process's share of a list, and wait for the others; ends with 2 if any failed."""
    audio_files = read_audio_list(options.audio_list)[
        distributed.rank() :: distributed.world_size()
    ]
    failed = make_videos(audio_files, options, device)
    for reason in failed:
        print("error: " + " ".join(reason.split()), file=sys.stderr)
    print(f"{len(audio_files) - len(failed)} of {len(audio_files)} videos made")
    if distributed.largest(len(failed)):
        sys.exit(2)


@contextlib.contextmanager
def speech_of(options: InferenceOptions) -> Iterator[Speech]:
    """Give what is to be said: a recording, a text, or, for motion that is given, nothing."""
    if options.text is not None:
        with synthesised_speech(options.text, voice=options.voice) as speech:
            yield speech
    elif options.audio:
        yield recorded_speech(options.audio, words=options.words, transcript=options.transcript)
    else:
        motion = options.pose or options.openpose
        yield Speech(motion.name if motion.is_dir() else motion.stem)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and clean up
    run_command(main)
