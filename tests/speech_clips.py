"""Clips of speech and motion of the synthetic speaker, without video."""

from pathlib import Path

import numpy as np

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.data.synthetic.speaker.recording import demo_camera
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.text.synthesis import VOICES, synthesise
from speech2video.util.text.transcript import write_words
from speech2video.util.timing import SAMPLES_PER_FRAME

TEXTS = ("Maybe you put up a big pump.", "We bought two small boats.")


def write_speech_clips(folder: Path, body: Body, texts: tuple[str, ...] = TEXTS) -> Path:
    """Write a clip for each text, with another voice each; return the data set's folder."""
    for number, text in enumerate(texts):
        clip = Clip(folder / f"{number:03d}")
        clip.folder.mkdir(parents=True)
        speech = synthesise(text, **VOICES[number % len(VOICES)]._asdict())
        motion = animate_speaker(speech, seed=number, body=body)
        frames = len(motion.pose_TP)
        audio_S = np.pad(speech.audio_S, (0, frames * SAMPLES_PER_FRAME - len(speech.audio_S)))
        write_audio(clip.audio, audio_S)
        write_words(clip.words, speech.words)
        write_motion(clip.pose, motion_from_pose(motion.pose_TP, body, camera=demo_camera(128)))
        clip.write_info(ClipInfo(f"{number:03d}.wav", frames, 128, 128, "", body.name))
    return folder
