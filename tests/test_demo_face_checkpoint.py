"""The face that ships knows its people by their voices, and speaks only when they do."""

import importlib.util
import json

import numpy as np
import pytest

from speech2video.data.demo_faces.feelings import FEELINGS
from speech2video.data.demo_faces.people import person
from speech2video.data.demo_faces.sentences import KEPT, SENTENCES
from speech2video.data.demo_faces.voices import say
from speech2video.models import speech2face
from speech2video.models.speech2face import Speech2Face
from speech2video.util.checkpoint import read_tensors
from speech2video.util.log_mels import log_mels
from tests.shared import ROOT

FACE = ROOT / "checkpoints" / "demo_face" / "speech2face"
PEOPLE, MOST_BYTES = 24, 30e6
SPOKEN = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)
MOUTH = (slice(None), slice(None), slice(72, 112), slice(40, 88))  # of 128 pixels


@pytest.fixture(scope="module")
def face() -> Speech2Face:
    return speech2face.load(FACE)


def speech(number: int, sentence: int, mood: str) -> np.ndarray:
    """Return a wave (S,) of one of its people saying what nobody said in training."""
    text = SENTENCES[len(SENTENCES) - KEPT + sentence].rstrip(".")
    random = np.random.default_rng((number, sentence))
    delivery, throat = FEELINGS[mood].delivery, person(number, seed=0).throat
    return say(text, throat, delivery, seconds=2.5, quiet=(0.2, 0.2), random=random).wave_S


def test_it_is_small_and_holds_no_teacher() -> None:
    assert sum(path.stat().st_size for path in FACE.iterdir()) < MOST_BYTES
    networks = {name.split(".")[0] for name in read_tensors(FACE / "model.safetensors")}
    assert networks == {"identity", "emotion", "content", "noise", "generator"}
    options = json.loads((FACE / "options.json").read_text())
    assert options["people"] == PEOPLE


@SPOKEN
def test_people_and_moods_are_known_by_their_voices(face: Speech2Face) -> None:
    moods = [*face.emotions]
    right, felt = [], []
    for number in range(PEOPLE):
        mood = moods[number % len(moods)]
        heard = face.hear([log_mels(speech(number, number % KEPT, mood))])
        told = face.networks["generator"].gallery.tell(heard.identity_D[None])
        right.append(int(told.argmax()) == number)
        felt.append(heard.emotion == mood)
    assert np.mean(right) >= 0.8 and np.mean(felt) >= 0.7


@SPOKEN
def test_a_mouth_moves_with_speech_and_rests_without(face: Speech2Face) -> None:
    for number in (0, 7):
        wave_S = speech(number, 3, "neutral")
        heard = face.hear([log_mels(wave_S)])
        # the head's play is the same in both: it is made of noise
        spoken, silent = (
            face.of_wave(one, heard=heard, seed=1)[MOUTH].astype(float)
            for one in (wave_S, np.zeros_like(wave_S))
        )
        moving, resting = (np.abs(np.diff(x, axis=0)).mean() for x in (spoken, silent))
        assert moving > 1.2 * resting
