"""Clips in memory, and how they are divided into what is trained on and what is held out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.gesture_dictionary import GestureDictionary, GestureEntry
from speech2video.data.speech_motion import (
    SpeechMotion,
    load_dataset,
    mark_gestures,
    smoothed,
)
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.transcript import Word
from tests.speech_clips import write_speech_clips


def clip(name: str, frames: int) -> SpeechMotion:
    numbers = torch.arange(frames).float().unsqueeze(1).expand(-1, 106)
    wave_S = np.repeat(np.arange(frames, dtype=np.float32), 640)
    return SpeechMotion(name, wave_S, numbers, [Word("up", 1.0, 1.4)], np.zeros(frames, bool))


def test_a_part_keeps_sound_and_pose_together():
    part = clip("a", 100).part(75, 100)
    assert torch.equal(part.pose_TP[:, 0], torch.arange(75.0, 100.0))
    assert part.wave_S[0] == 75 and len(part.wave_S) == 25 * 640


def test_smoothing_keeps_lengths_and_lips():
    rough = replace(clip("a", 40), pose_TP=torch.randn(40, 106))
    calm = smoothed(rough, 7)
    assert calm.pose_TP.shape == rough.pose_TP.shape
    assert torch.equal(calm.pose_TP[:, -13:], rough.pose_TP[:, -13:])
    assert calm.pose_TP[:, :93].diff(dim=0).norm() < 0.6 * rough.pose_TP[:, :93].diff(dim=0).norm()


def test_gestures_are_marked_about_their_words():
    entry = GestureEntry("up", ("up",), 0.5, ("left_arm",), torch.zeros(1, 106))
    marked = mark_gestures([clip("a", 100)], GestureDictionary((entry,)))[0].gesture_T
    key = round(25 * 1.2)
    assert marked[key] and marked.sum() < 50 and not marked[0] and not marked[-1]


def test_a_data_set_is_loaded_and_in_step(tmp_path: Path, body: Body):
    for recording in load_dataset(write_speech_clips(tmp_path, body), body):
        assert len(recording.wave_S) == 640 * len(recording) and recording.words
        assert recording.camera is not None


def test_another_bodys_motion_is_refused(tmp_path: Path, body: Body):
    folder = write_speech_clips(tmp_path, body)
    path = folder / "000" / "pose.npz"
    with np.load(path) as file:
        arrays = dict(file) | {"body": np.array("smplx")}
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="--body"):
        load_dataset(folder, body)
