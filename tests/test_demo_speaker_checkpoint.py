"""The speaker that ships moves lips to speech, whoever speaks, and shuts them in silence."""

import importlib.util
from itertools import pairwise

import numpy as np
import pytest
from torch import Tensor

from speech2video.data.demo_speaker.motion import perform
from speech2video.data.gesture_insertion import GestureInserter
from speech2video.models import audio2pose, pose2video
from speech2video.models.audio2pose import Audio2Pose
from speech2video.util.audio import load_wave, normalise_loudness
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.metrics.lips import best_lag, lip_opening
from speech2video.util.metrics.motion import limit_violations
from speech2video.util.speech_synthesis import synthesise
from speech2video.util.transcript import Word
from tests.shared import ROOT

SPEAKER = ROOT / "checkpoints" / "demo"
NEVER_HEARD = ("en-gb-scotland+m7", "en-029+f5")  # voices the speaker was not trained on
TEXT = (
    "Maybe my mother will be back by Monday. People whom we know put big blue boats on the water, "
    "and a huge crowd came to watch them go up and down the river."
)
EXAMPLE = ROOT / "examples" / "speech.wav"
FRAMES = 80  # of it, in which an earlier speaker hopped and her face melted for five
SWAY = 0.01  # metres, sideways and up and down; of that speaker 0.05
STEP = 4.0  # levels, mean over a frame's pixels; 2.8 when she moves fastest, 7.7 when she melted
CLOSED = 4e-3  # metres between the inner lips' landmarks; 2.3 mm in the truth of a shut mouth


@pytest.fixture(scope="module")
def speaker() -> Audio2Pose:
    return audio2pose.load(SPEAKER / "audio2pose")


def gap(pose_TP: Tensor, body: Body) -> np.ndarray:
    return lip_opening(body.points(pose_TP).double().numpy())


def test_silence_shuts_the_mouth(speaker: Audio2Pose, body: Body):
    random = np.random.default_rng(0)
    for level in (0.0, 1e-4):  # digital, and a quiet room's
        wave_S = (level * random.standard_normal(4 * 16_000)).astype(np.float32)
        assert np.median(gap(speaker.of_wave(wave_S), body)) < CLOSED


@pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)
@pytest.mark.parametrize("voice", NEVER_HEARD)
def test_lips_follow_a_voice_never_heard(speaker: Audio2Pose, body: Body, voice: str):
    speech = synthesise(TEXT, voice=voice, rate_wpm=165)
    truth_T = gap(perform(speech, seed=1, body=body).pose_TP, body)
    ours_T = gap(speaker.of_wave(normalise_loudness(speech.wave_S)), body)
    lag, found = best_lag(truth_T, ours_T[: len(truth_T)], 5)
    assert abs(lag) <= 1 and found > 0.6


def test_she_is_painted_whole_where_she_stands(speaker: Audio2Pose, body: Body):
    """Nothing in any frame is new to the painter: none looks far from the one before it."""
    pose_TP = speaker.of_wave(normalise_loudness(load_wave(EXAMPLE)))[:FRAMES]
    points_TK3 = body.points(pose_TP)
    pelvis_T2 = points_TK3[:, POINT_INDEX["pelvis"], :2]
    assert (pelvis_T2.amax(0) - pelvis_T2.amin(0)).max() < SWAY
    painter = pose2video.load(SPEAKER / "pose2video")
    frames = painter.frames(painter.maps(painter.camera.project(points_TK3).numpy()))
    steps = [np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames)]
    assert max(steps) < STEP


def test_gestures_fit_the_speaker_and_no_limit_is_broken(speaker: Audio2Pose, body: Body):
    inserter = GestureInserter.load(SPEAKER / "gestures", speaker.body)
    entries = inserter.dictionary.entries
    assert entries and all(entry.on for entry in entries)
    words = [Word(e.words[0], 2.0 * i + 1, 2.0 * i + 1.4) for i, e in enumerate(entries)]
    wave_S = 0.1 * np.random.default_rng(0).standard_normal(2 * 16_000 * len(words))
    pose_TP = speaker.of_wave(wave_S.astype(np.float32))
    moved_TP = inserter.insert(pose_TP, words, seed=3)
    assert (moved_TP != pose_TP).any()
    assert limit_violations(vector_to_smplx(moved_TP, body.hands).rotations.numpy()) == 0
