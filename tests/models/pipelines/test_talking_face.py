"""Talking faces: a loaded face speaks and streams."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from speech2video.models.pipelines import speaker
from speech2video.models.pipelines.speaker import load_speaker
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.errors import DataError
from tests.shared import ROOT
from tests.tiny_speaker import voice


def test_a_loaded_face_speaks_and_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[np.ndarray] = []

    def write(path: Path, images: Iterable[np.ndarray], **_: object) -> int:
        frames.extend(images)
        return len(frames)

    monkeypatch.setattr(speaker, "write_video", write)
    audio_S = voice(1.5)
    write_audio(tmp_path / "speech.wav", audio_S)
    face = load_speaker("demo_face", checkpoints=ROOT / "checkpoints", device="cpu")
    assert face.speak(tmp_path / "speech.wav", tmp_path / "x.mp4", seed=1) == 38
    one, other = (
        np.stack(list(face.stream(np.split(audio_S, range(n, len(audio_S), n)), seed=1)))
        for n in (700, 20_000)
    )
    assert np.array_equal(one, other)
    # the statistics of the first two seconds are those of the whole file here
    assert np.abs(one.transpose(0, 3, 1, 2).astype(int) - np.stack(frames)).max() <= 2
    with pytest.raises(DataError, match="empty"):
        next(face.stream([]))
