"""`scripts/make_demo_speech.py` as a user runs it, in miniature, and what its clips hold."""

import importlib.util
import shutil
from pathlib import Path

import make_demo_speech as script
import numpy as np
import pytest

from speech2video.data.audio2pose.dataset import load_motion_clips
from speech2video.data.clip import list_clips
from speech2video.data.synthetic.speech import (
    BREATH,
    SENTENCES,
    SHARES,
    plan_audio,
    plan_speech,
    shout,
    whisper,
)
from speech2video.util.body.body_model import Body
from speech2video.util.text.transcript import read_phones, read_words
from tests.shared import run_here

TINY = ("--minutes", 0.3, "--seconds", 6, "--seed", 3, "--engines", "espeak", "--jobs", 1)
NEEDED = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("espeakng_loader", "pyvista"))),
    reason="the extra `demo` is missing",
)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three clips."""
    folder = tmp_path_factory.mktemp("speech") / "speech"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run_here(monkeypatch, script.main, "--output", folder, *TINY) == 0
    return folder


@NEEDED
def test_clips_train_audio2pose(folder: Path, body: Body) -> None:
    clips = load_motion_clips(folder, body)
    assert len(clips) == 3
    for clip, files in zip(clips, list_clips(folder), strict=True):
        assert len(clip.audio_S) == 640 * len(clip) and clip.words == read_words(files.words)
        phones = read_phones(files.folder / "phones.csv")
        assert phones[-1].end < len(clip) / 25 and phones[0].start > 0.2
        spoken = {phone.word for phone in phones if phone.text != BREATH}
        assert spoken == set(range(len(clip.words)))
    rows = (folder / "voices.csv").read_text().splitlines()
    assert rows[0] == "clip,voice,rate_wpm,pitch,style" and len(rows) == 4


@NEEDED
def test_a_stopped_run_continues_and_gives_the_same_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    shutil.rmtree(again / "0001")
    assert run_here(monkeypatch, script.main, "--output", again, *TINY) == 0
    assert contents(again) == contents(folder)


def test_engines_have_their_shares_and_the_first_plans_stay() -> None:
    voices = {"flite": ["flite:a", "flite:b"], "festival": ["festival:c"], "piper": []}
    plans = plan_speech(100, 30, 5, voices)
    assert plans[:40] == plan_speech(20, 30, 5, voices)
    total = SHARES["espeak"] + SHARES["flite"] + SHARES["festival"]
    for engine in ("flite", "festival"):
        share = np.mean([plan.voice.startswith(engine) for plan in plans])
        assert share == pytest.approx(SHARES[engine] / total, abs=0.01)
    for style in ("shouted", "whispered"):
        assert np.mean([plan.style == style for plan in plans]) == pytest.approx(0.08, abs=0.02)
    assert plans != plan_speech(100, 30, 6, voices)


@NEEDED
def test_breaths_are_soft_and_lie_in_pauses() -> None:
    breaths = 0
    for plan in plan_speech(3, 20, 2, {}):
        speech = plan_audio(plan)
        level = np.sqrt(np.mean(speech.audio_S**2))
        for one, phone, two in zip(
            speech.phones, speech.phones[1:], speech.phones[2:], strict=False
        ):
            if phone.text == BREATH:
                breaths += 1
                assert one.end <= phone.start < phone.end <= two.start
                part_S = speech.audio_S[round(phone.start * 16e3) : round(phone.end * 16e3)]
                assert 0 < np.sqrt(np.mean(part_S**2)) < 0.3 * level
    assert breaths >= 3


def test_a_whisper_has_no_pitch_and_a_shout_is_brighter() -> None:
    times_S = np.arange(16_000) / 16_000
    voice_S = np.sum([np.sin(2 * np.pi * 120 * k * times_S) / k for k in range(1, 30)], axis=0)
    voice_S = (0.05 * voice_S).astype(np.float32)

    def periodicity(audio_S: np.ndarray) -> float:
        lag = round(16_000 / 120)
        return float(np.corrcoef(audio_S[:-lag], audio_S[lag:])[0, 1])

    def brightness(audio_S: np.ndarray) -> float:
        power_F = np.abs(np.fft.rfft(audio_S)) ** 2
        return float(power_F[1000:].sum() / power_F.sum())

    assert (
        periodicity(voice_S)
        > 0.9
        > 0.3
        > abs(periodicity(whisper(voice_S, np.random.default_rng(1))))
    )
    assert brightness(shout(voice_S)) > 1.5 * brightness(voice_S)


def test_sentences_are_many_plain_and_different() -> None:
    assert len(SENTENCES) == len(set(SENTENCES)) >= 700
    assert all(sentence.isascii() and sentence[-1] in ".?!" for sentence in SENTENCES)
