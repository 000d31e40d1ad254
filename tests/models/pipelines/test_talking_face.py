"""Talking faces: a loaded face speaks and streams."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from speech2video.models.pipelines import speaker
from speech2video.models.pipelines.speaker import load_speaker
from speech2video.models.pipelines.talking_face import TalkingFace
from speech2video.models.speech2face.predictor import Speech2FacePredictor
from speech2video.options.inference import TalkingFaceOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.errors import DataError
from speech2video.util.text.phones import Phone
from speech2video.util.text.speech_source import Speech
from tests.face_clips import LOOK_AHEAD, small_networks
from tests.shared import ROOT
from tests.tiny_speaker import voice


def test_known_phones_drive_the_lips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Speech2FacePredictor(small_networks(features="phonetic").eval())
    face = TalkingFace("toy", "toy", predictor)
    write_audio(tmp_path / "a.wav", voice(1.0))
    videos = []

    def write(path: Path, images: Iterable[np.ndarray], **_: object) -> int:
        videos.append(np.stack(list(images)))
        return len(videos[-1])

    monkeypatch.setattr(speaker, "write_video", write)
    options = TalkingFaceOptions(name="toy", audio=tmp_path / "a.wav", output=tmp_path / "a.mp4")
    for phones in (None, [], [Phone("a", 0.5, 0.6)], [Phone("a", 0.5, 0.6, confidence=0)]):
        speech = Speech("a", tmp_path / "a.wav", phones=phones)
        assert face.make_video(speech, options) == 25
    heard, none, said, unsure = videos
    assert np.array_equal(heard, none) and np.array_equal(heard, unsure)
    before = 12 - LOOK_AHEAD
    assert np.array_equal(said[:before], heard[:before]) and not np.array_equal(said, heard)


def test_words_change_nothing_where_lips_follow_mels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    face = TalkingFace("toy", "toy", Speech2FacePredictor(small_networks().eval()))
    write_audio(tmp_path / "a.wav", voice(0.2))
    monkeypatch.setattr(speaker, "write_video", lambda path, images, **_: len(list(images)))
    speech = Speech("a", tmp_path / "a.wav", phones=[Phone("a", 0.0, 0.2)])
    options = TalkingFaceOptions(
        name="toy", audio=tmp_path / "a.wav", transcript="ah", output=tmp_path / "a.mp4"
    )
    assert face.make_video(speech, options) == 5
    assert "toy: its lips follow the audio alone" in capsys.readouterr().err


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
    # phonetic features differ by a float's last bit, as their network gets more steps at once
    assert np.abs(one.astype(int) - other).max() <= 1
    # the statistics of the first two seconds are those of the whole file here
    assert np.abs(one.transpose(0, 3, 1, 2).astype(int) - np.stack(frames)).max() <= 2
    with pytest.raises(DataError, match="empty"):
        next(face.stream([]))
