"""Make a video of a trained speaker from speech.

python test.py --name demo --audio speech.wav                      # results/demo/speech.mp4
python test.py --name demo --text "A huge welcome to both of you."
python test.py --name demo --audio_list speeches.txt --jobs 4
torchrun --nproc_per_node 4 test.py --name demo --audio_list speeches.txt
python test.py --name NAME --pose motion.npz --audio speech.wav    # recorded motion
python test.py --model speech2face --name NAME --audio speech.wav [--emotion happy]   # a face

models/pipelines/body_video.py has the stages from audio to video, talking_face.py those of a face.
"""

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if __name__ == "__main__":  # before the imports, which take seconds
    from speech2video.util.errors import start_command

    start_command()

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # OpenMP reads it when torch is imported

from speech2video.models.pipelines.speaker import Speaker, make_videos
from speech2video.models.registry import SPEAKERS, load_class
from speech2video.options.inference import InferenceOptions, parse_inference_options
from speech2video.util import distributed
from speech2video.util.errors import run_command
from speech2video.util.text.speech_source import read_audio_list, synthesised_speech

if TYPE_CHECKING:
    from pathlib import Path

    import torch


def main() -> None:
    options = parse_inference_options()
    device = distributed.start(options.device, threads=options.threads)
    try:
        if options.audio_list:
            make_listed(options.audio_list, options, device)
        elif distributed.is_main():
            make_one(options, device)
    finally:
        distributed.stop()


def make_one(options: InferenceOptions, device: "torch.device") -> None:
    """Make one video."""
    speaker: Speaker = load_class(SPEAKERS, options.model).load(options, device)
    with contextlib.ExitStack() as stack:
        if options.text is None:
            speech = speaker.read_speech(options.audio, options)
        else:
            text = synthesised_speech(options.text, voice=options.voice, language=options.language)
            speech = stack.enter_context(text)
        frames = speaker.make_video(speech, options)
        print(f"{options.outputs(speech.stem).video}: {frames} frames")


def make_listed(path: "Path", options: InferenceOptions, device: "torch.device") -> None:
    """Make this process's share of a list and wait for the others; exit with 2 if any failed."""
    audio_files = read_audio_list(path)
    options.check_outputs({audio.stem: audio for audio in audio_files})
    audio_files = audio_files[distributed.rank() :: distributed.world_size()]
    messages = make_videos(audio_files, options, device)
    for message in messages:
        print("error: " + " ".join(message.split()), file=sys.stderr)
    print(f"{len(audio_files) - len(messages)} of {len(audio_files)} videos made")
    if distributed.largest(len(messages)):
        sys.exit(2)


if __name__ == "__main__":
    run_command(main)
