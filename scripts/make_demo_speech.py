"""Make speech with exact poses to train audio2pose: many voices, no video.

python scripts/make_demo_speech.py --output datasets/demo_speech --minutes 90 --seed 1 --jobs 2

datasets/demo_speech/0000/    a clip: audio.wav, pose.npz, words.csv, phones.csv, plan.json, …
datasets/demo_speech/voices.csv    the voice of each clip, to hold voices out

Voices are espeak-ng's, and those of flite, festival and Piper that are installed (docs/install.md).
A run that was stopped continues where it stopped, clip by clip.
"""

import _checkout  # noqa: F401
from make_demo_speaker import make_missing

from speech2video.data.synthetic.speech import is_complete, make_clip, plan_speech, write_voices
from speech2video.options.tools import MakeDemoSpeechOptions
from speech2video.util.errors import note, run_command
from speech2video.util.files import folder_lock
from speech2video.util.text.engines import installed_voices


def main() -> None:
    options = MakeDemoSpeechOptions.parse()
    voices = installed_voices()
    voices = {name: voices[name] if name in options.engines else [] for name in voices}
    missing = [name for name in options.engines if name != "espeak" and not voices[name]]
    if missing:
        note(f"left out, as they are not installed: {', '.join(missing)} (docs/install.md)")
    plans = plan_speech(options.minutes, options.seconds, options.seed, voices)
    with folder_lock(options.output):
        make_missing(plans, options.output, make_clip, is_complete, options.jobs, "clips")
        write_voices(options.output / "voices.csv", plans)
    print(f"{options.output}: {len(plans)} clips of {len({plan.voice for plan in plans})} voices")


if __name__ == "__main__":
    run_command(main)
