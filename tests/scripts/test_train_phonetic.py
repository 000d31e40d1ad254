"""`scripts/train_phonetic.py` as a user runs it, in miniature."""

import importlib.util
from pathlib import Path

import make_demo_speech
import pytest
import train_phonetic

from speech2video.util.audio import phonetic, senones
from speech2video.util.audio.features import extract_features
from tests.shared import run_here
from tests.training_command import TrainingCommand

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        not senones.is_available() or importlib.util.find_spec("espeakng_loader") is None,
        reason="pocketsphinx or the extra `demo` is not installed",
    ),
]
SPEECH = ("--minutes", 0.3, "--seconds", 6, "--seed", 3, "--engines", "espeak", "--jobs", 1)
SMALL = (
    *("--hidden_size", "8", "--layers", "1", "--seq_len", "40", "--batch_size", "4"),
    *("--num_augmentations", "2", "--jobs", "1", "--device", "cpu"),
    *("--validate_every", "4", "--save_every", "2", "--keep", "50"),
)
trainer = TrainingCommand(train_phonetic.main, "phonetic", SMALL)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech") / "speech"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run_here(monkeypatch, make_demo_speech.main, "--output", folder, *SPEECH) == 0
    return folder


@pytest.fixture(scope="module")
def runs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoints folder of an uninterrupted run."""
    runs = tmp_path_factory.mktemp("checkpoints")
    assert trainer.run(dataset, runs, "--name", "straight", "--steps", 8) == 0
    return runs


def test_features_of_a_trained_network(runs: Path, dataset: Path) -> None:
    audio_S = phonetic_audio(dataset)
    features_TF = extract_features(audio_S, kind=f"phonetic:{runs / 'straight' / 'phonetic'}")
    assert features_TF.shape == (-(-len(audio_S) // 640), phonetic.SIZE)


@pytest.mark.slow
def test_a_run_killed_and_resumed_equals_an_uninterrupted_one(dataset: Path, runs: Path) -> None:
    trainer.check_resuming(dataset, runs, 8)


def test_unknown_voices_and_clips_are_named(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--held_out", "--held_out_voices"):
        assert trainer.run(dataset, tmp_path, "--name", "a", option, "nobody") == 2
        assert f"{option} nobody: not in" in capsys.readouterr().err


def phonetic_audio(dataset: Path):
    from speech2video.data.clip import list_clips
    from speech2video.util.audio.audio_io import load_audio

    return load_audio(list_clips(dataset)[0].audio)[:32_000]
