"""Our metrics equal those of EMAGE's evaluation code on a real recording."""

import json
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
from scipy.io import wavfile

from speech2video.util.body.skeleton import JOINTS
from speech2video.util.metrics.motion import (
    beat_constancy,
    joint_speeds,
    l1_diversity,
    lvd_emage,
    motion_beats,
    speech_onsets,
    srgr,
)
from speech2video.util.metrics.statistics import frechet_distance
from tests.shared import DATA, FIXTURES

CLOSE = 1e-4  # relative
EXPECTED = FIXTURES / "motion_metrics" / "emage_expected.json"
RECORDING = DATA / "beat2_scott" / "2_scott_0_1_1.npz"

pytestmark = pytest.mark.skipif(
    not EXPECTED.is_file(), reason="no motion_metrics fixture: set S2V_FIXTURES"
)
needs_recording = pytest.mark.skipif(
    not RECORDING.is_file(), reason="no beat2_scott recording: set S2V_DATA"
)


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads(EXPECTED.read_text())


@pytest.fixture(scope="module")
def recording(expected: dict[str, Any]) -> dict[str, np.ndarray]:
    window = slice(expected["t0"], expected["t1"])
    with np.load(RECORDING, allow_pickle=False) as file:
        return {key: file[key][window].astype(float) for key in ("poses", "expressions")}


@pytest.fixture(scope="module")
def rotations(recording: dict[str, np.ndarray]) -> np.ndarray:
    return recording["poses"].reshape(-1, len(JOINTS), 3)


@needs_recording
def test_beat_constancy(expected: dict[str, Any], rotations: np.ndarray) -> None:
    found = beat_constancy(
        rotations,
        expected["onsets_s"],
        fps=expected["fps"],
        mean_speed_J=np.array(expected["mean_speed"]),
    )
    assert found == pytest.approx(expected["bc"], rel=CLOSE)


@needs_recording
def test_beats_of_one_joint(expected: dict[str, Any], rotations: np.ndarray) -> None:
    joint = JOINTS.index("left_shoulder")  # the first of an arm
    speed_T = joint_speeds(rotations, fps=expected["fps"])[:, joint]
    beats = motion_beats(speed_T, mean_speed=expected["mean_speed"][joint])
    assert beats.tolist() == expected["beats_first_joint"]


@needs_recording
@pytest.mark.skipif(
    not librosa.__version__.startswith("0.11."), reason="onsets depend on librosa's version"
)
def test_onsets(expected: dict[str, Any]) -> None:
    rate, pcm_S = wavfile.read(Path(RECORDING).with_suffix(".wav"))
    begin, end = (expected[key] * rate // expected["fps"] for key in ("t0", "t1"))
    onsets = speech_onsets(pcm_S[begin:end] / 32768.0, rate=rate)
    np.testing.assert_allclose(onsets, expected["onsets_s"], rtol=CLOSE)


@needs_recording
def test_diversity(expected: dict[str, Any], recording: dict[str, np.ndarray]) -> None:
    assert l1_diversity(recording["poses"]) == pytest.approx(expected["l1div"], rel=CLOSE)


@needs_recording
def test_recall_of_rolled_motion(expected: dict[str, Any], rotations: np.ndarray) -> None:
    rolled = np.roll(rotations, 3, axis=0)
    assert srgr(rolled, rotations) == pytest.approx(expected["srgr_roll3"], rel=CLOSE)


@needs_recording
def test_velocity_difference(expected: dict[str, Any], recording: dict[str, np.ndarray]) -> None:
    face = recording["expressions"]
    wobbling = face + 0.1 * np.sin(np.arange(len(face)))[:, None]
    assert lvd_emage(wobbling, face) == pytest.approx(expected["lvd_face"], rel=CLOSE)


def test_frechet_distance(expected: dict[str, Any]) -> None:
    random = np.random.default_rng(7)
    a, b = random.normal(size=(400, 16)), random.normal(size=(400, 16)) * 1.2 + 0.3
    assert frechet_distance(a, b) == pytest.approx(expected["frechet_seed7"], rel=CLOSE)
