"""A speech heard as a stream is what it is when it is heard as a whole."""

from pathlib import Path

import numpy as np
import pytest

from speech2video.util.audio import load_wave, write_wave
from speech2video.util.errors import DataError
from speech2video.util.hearing import LEAST_RATE, hear
from speech2video.util.speech_features import FEATURE_SETS, speech_features
from speech2video.util.voice_normalisation import voice_mean
from tests.tiny_speaker import voice


@pytest.mark.parametrize("kind", FEATURE_SETS)
@pytest.mark.parametrize("rate, seconds", [(16_000, 3.37), (44_100, 0.05)])
def test_a_stream_hears_what_the_whole_says(
    tmp_path: Path, kind: str, rate: int, seconds: float
) -> None:
    path = tmp_path / "speech.wav"
    write_wave(path, 0.2 * voice(seconds, rate=rate), rate)
    features_TF = speech_features(load_wave(path, normalise=True), kind=kind)
    hearing = hear(path, kind=kind)
    heard_TF = np.concatenate(list(hearing.features()))
    assert hearing.frames == len(features_TF)
    np.testing.assert_allclose(heard_TF, features_TF, atol=1e-5)
    np.testing.assert_allclose(hearing.voice_F, voice_mean(features_TF, kind), atol=1e-4)


def test_silence_stays(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    write_wave(path, np.zeros(16_000, np.float32))
    hearing = hear(path, kind="mfcc")
    assert hearing.gain == 1 and hearing.frames == 25 and np.isfinite(hearing.voice_F).all()


def test_a_head_that_makes_hours_of_seconds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    write_wave(path, voice(1.0), LEAST_RATE - 1)
    with pytest.raises(DataError, match=f"{LEAST_RATE - 1} Hz"):
        hear(path, kind="mfcc")
