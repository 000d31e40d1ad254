"""The shipped demo speaker and demo face: lips, gestures, identities, emotions."""

import importlib.util
import json
from itertools import pairwise

import numpy as np
import pytest
from torch import Tensor

from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.synthetic.faces.emotions import EMOTION_PROFILES, synthesise_sentence
from speech2video.data.synthetic.faces.people import draw_person
from speech2video.data.synthetic.faces.recording import NUM_TEST_SENTENCES, SENTENCES
from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.checkpointing import read_tensors
from speech2video.models.pose2video.renderer import load_renderer
from speech2video.models.speech2face.predictor import Speech2FacePredictor, load_speech2face
from speech2video.util.audio.acoustics import music
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.audio.augmentation import coloured_noise
from speech2video.util.audio.mel import log_mels
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.metrics.motion import limit_violations, lip_opening
from speech2video.util.metrics.statistics import best_lag, correlation, lag_correlations
from speech2video.util.text.synthesis import synthesise
from speech2video.util.text.transcript import Word
from tests.shared import ROOT

SPEAKER = ROOT / "checkpoints" / "demo"
UNSEEN_VOICES = ("en-gb-scotland+m7", "en-029+f5")  # voices the speaker was not trained on
TEXT = (
    "Maybe my mother will be back by Monday. People whom we know put big blue boats on the water, "
    "and a huge crowd came to watch them go up and down the river."
)
EXAMPLE = ROOT / "examples" / "speech.wav"
FRAMES = 80  # at the start of EXAMPLE
SWAY = 0.01  # metres, sideways and up and down
STEP = 6.0  # levels, mean over a frame's pixels; fast gestures of the real recordings reach 8
CLOSED = 4e-3  # metres between the inner lips' landmarks; ground truth of a shut mouth: 2.3 mm
FACE = ROOT / "checkpoints" / "demo_face" / "speech2face"
PEOPLE, MOST_BYTES = 24, 30e6
MOUTH = (slice(None), slice(None), slice(72, 112), slice(40, 88))  # of 128 pixels
needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)


@pytest.fixture(scope="module")
def speaker() -> PosePredictor:
    return PosePredictor.load(SPEAKER / "audio2pose")


def gap(pose_TP: Tensor, body: Body) -> np.ndarray:
    return lip_opening(body.points(pose_TP).double().numpy())


def test_silence_shuts_the_mouth(speaker: PosePredictor, body: Body):
    random = np.random.default_rng(0)
    for level in (0.0, 1e-4):  # digital silence, quiet recording
        audio_S = (level * random.standard_normal(4 * 16_000)).astype(np.float32)
        assert np.median(gap(speaker.predict_from_audio(audio_S), body)) < CLOSED


@pytest.mark.parametrize("seed", range(3))
def test_music_and_noise_shut_the_mouth(speaker: PosePredictor, body: Body, seed: int):
    rng = np.random.default_rng(seed)
    for audio_S, level in (
        (music(128_000, rng), -23),
        (coloured_noise(128_000, 1.0, rng=rng), -35),
    ):
        audio_S = (audio_S * 10 ** (level / 20)).astype(np.float32)
        gap_T = gap(speaker.predict_from_audio(audio_S), body)[25:]
        assert np.median(gap_T) < CLOSED and np.percentile(gap_T, 90) < 2 * CLOSED


@needs_espeak
def test_lips_follow_a_text(speaker: PosePredictor, body: Body):
    """Known phones say more than recognised ones, in noise most of all."""
    speech = synthesise(TEXT, voice=UNSEEN_VOICES[0], rate_wpm=165)
    ground_truth_T = gap(animate_speaker(speech, seed=1, body=body).pose_TP, body)
    noise_S = 0.02 * np.random.default_rng(0).standard_normal(len(speech.audio_S))
    audio_S = (speech.audio_S + noise_S).astype(np.float32)
    without, given = (
        correlation(gap(speaker.predict_from_audio(audio_S, phones=p), body), ground_truth_T)
        for p in (None, speech.phones)
    )
    assert given > 0.95 and given > without + 0.05


@needs_espeak
@pytest.mark.parametrize("voice", UNSEEN_VOICES)
def test_lips_follow_an_unseen_voice(speaker: PosePredictor, body: Body, voice: str):
    speech = synthesise(TEXT, voice=voice, rate_wpm=165)
    ground_truth_T = gap(animate_speaker(speech, seed=1, body=body).pose_TP, body)
    predicted_T = gap(speaker.predict_from_audio(speech.audio_S), body)
    lag, found = best_lag(lag_correlations(ground_truth_T, predicted_T[: len(ground_truth_T)], 5))
    assert abs(lag) <= 1 and found > 0.6


def test_rendered_frames_are_steady(speaker: PosePredictor, body: Body):
    """Poses outside the renderer's training distribution would corrupt frames."""
    pose_TP = speaker.predict_from_audio(load_audio(EXAMPLE))[:FRAMES]
    points_TK3 = body.points(pose_TP)
    pelvis_T2 = points_TK3[:, POINT_INDEX["pelvis"], :2]
    assert (pelvis_T2.amax(0) - pelvis_T2.amin(0)).max() < SWAY
    renderer = load_renderer(SPEAKER / "pose2video")
    frames = renderer.render(renderer.draw_maps(renderer.camera.project(points_TK3).numpy()))
    steps = [np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames)]
    assert max(steps) < STEP


@pytest.mark.parametrize(("right", "down"), [(48, 0), (-48, 0), (0, 32)])
def test_who_stands_elsewhere_stays_a_person(
    speaker: PosePredictor, body: Body, right: int, down: int
) -> None:
    """Points that are shifted by whole pixels give the shifted person."""
    renderer = load_renderer(SPEAKER / "pose2video")
    assert renderer.camera is not None
    pose_TP = speaker.predict_from_audio(load_audio(EXAMPLE)[:16_000], seed=0)[:4]
    points_TK2 = renderer.camera.project(body.points(pose_TP)).numpy()
    layers = [
        list(renderer.render_layers(iter(points)))[-1]
        for points in (points_TK2, points_TK2 + (right, down))
    ]
    usual, shifted = (np.concatenate(one) for one in layers)  # (4, H, W)
    height, width = usual.shape[1:]
    rows, columns = slice(max(down, 0), height), slice(max(right, 0), width + min(right, 0))
    usual = np.roll(usual, (down, right), (1, 2))[:, rows, columns]
    shifted = shifted[:, rows, columns]
    person, moved_person = usual[3] > 0.5, shifted[3] > 0.5
    assert (person & moved_person).sum() > 0.95 * (person | moved_person).sum()
    difference = np.abs(usual[:3] - shifted[:3]).mean(0)[person & moved_person]
    assert difference.mean() < 0.05


def test_gestures_fit_the_speaker_and_no_limit_is_broken(speaker: PosePredictor, body: Body):
    inserter = GestureInserter.load(SPEAKER / "gestures", speaker.body)
    entries = inserter.dictionary.entries
    assert entries and all(entry.on for entry in entries)
    words = [Word(e.words[0], 2.0 * i + 1, 2.0 * i + 1.4) for i, e in enumerate(entries)]
    audio_S = 0.1 * np.random.default_rng(0).standard_normal(2 * 16_000 * len(words))
    pose_TP = speaker.predict_from_audio(audio_S.astype(np.float32))
    gestured_TP = inserter.insert(pose_TP, words, seed=3)
    assert (gestured_TP != pose_TP).any()
    assert limit_violations(vector_to_smplx(gestured_TP, body.hands).rotations.numpy()) == 0


@pytest.fixture(scope="module")
def face() -> Speech2FacePredictor:
    return load_speech2face(FACE)


def speech(number: int, sentence: int, emotion: str) -> np.ndarray:
    """Return audio (S,) of a person of the training data with a sentence of the test data."""
    text = SENTENCES[len(SENTENCES) - NUM_TEST_SENTENCES + sentence].rstrip(".")
    random = np.random.default_rng((number, sentence))
    delivery, voice_profile = (
        EMOTION_PROFILES[emotion].delivery,
        draw_person(number, seed=0).voice_profile,
    )
    return synthesise_sentence(
        text, voice_profile, delivery, seconds=2.5, quiet=(0.2, 0.2), random=random
    ).audio_S


def test_the_face_is_small_and_has_no_teacher() -> None:
    assert sum(path.stat().st_size for path in FACE.iterdir()) < MOST_BYTES
    networks = {name.split(".")[0] for name in read_tensors(FACE / "model.safetensors")}
    assert networks == {"identity", "emotion", "content", "head_motion", "generator"}
    options = json.loads((FACE / "options.json").read_text())
    assert options["num_speakers"] == PEOPLE


@needs_espeak
def test_identity_and_emotion_are_recognised_from_the_voice(face: Speech2FacePredictor) -> None:
    emotions = [*face.emotions]
    identities, found = [], []
    for number in range(PEOPLE):
        emotion = emotions[number % len(emotions)]
        embedding = face.embed_speech(
            [log_mels(speech(number, number % NUM_TEST_SENTENCES, emotion))]
        )
        scores = face.networks["generator"].identity_bank.classify(embedding.identity_D[None])
        identities.append(int(scores.argmax()) == number)
        found.append(embedding.emotion == emotion)
    assert np.mean(identities) >= 0.8 and np.mean(found) >= 0.7


@needs_espeak
def test_a_mouth_moves_with_speech_and_rests_without(face: Speech2FacePredictor) -> None:
    for number in (0, 7):
        audio_S = speech(number, 3, "neutral")
        embedding = face.embed_speech([log_mels(audio_S)])
        # head motion is made of noise, the same in both
        spoken, silent = (
            face.generate_frames(one, embedding=embedding, seed=1)[MOUTH].astype(float)
            for one in (audio_S, np.zeros_like(audio_S))
        )
        moving, resting = (np.abs(np.diff(x, axis=0)).mean() for x in (spoken, silent))
        assert moving > 1.2 * resting
