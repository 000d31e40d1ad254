"""Speech to a face, in use: streamed as whole, the seed decides, an emotion can be asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.models.speech2face.predictor import (
    FRAMES_PER_STEP,
    Speech2FacePredictor,
    SpeechEmbedding,
)
from speech2video.util.audio.mel import WINDOW_FRAMES, log_mels, normalise_utterance
from speech2video.util.errors import DataError
from tests.face_clips import LOOK_AHEAD, SIZE, recording, small_networks

FRAMES = 40


@pytest.fixture(scope="module")
def face() -> Speech2FacePredictor:
    return Speech2FacePredictor(small_networks().eval())


@pytest.fixture(scope="module")
def log_mel() -> np.ndarray:
    return log_mels(recording(frames=FRAMES).audio_S)


@pytest.fixture(scope="module")
def mel(log_mel: np.ndarray) -> np.ndarray:
    return normalise_utterance(log_mel)


@pytest.fixture(scope="module")
def heard(face: Speech2FacePredictor, log_mel: np.ndarray) -> SpeechEmbedding:
    return face.hear([log_mel])


def cut(mel_BL: np.ndarray, *frames: int) -> list[np.ndarray]:
    return np.split(mel_BL, 4 * np.cumsum(frames), 1)


def test_how_the_sound_is_cut_changes_no_bit(
    face: Speech2FacePredictor, mel: np.ndarray, log_mel: np.ndarray, heard: SpeechEmbedding
) -> None:
    whole = np.stack(list(face.stream([mel], heard=heard, seed=1)))
    assert whole.shape == (FRAMES, 3, SIZE, SIZE) and whole.dtype == np.uint8
    for pieces in ((1,) * (FRAMES - 1), (7, 0, 20)):
        parts = np.stack(list(face.stream(iter(cut(mel, *pieces)), heard=heard, seed=1)))
        assert np.array_equal(parts, whole)
        again = face.hear(iter(cut(log_mel, *pieces)))
        assert torch.equal(again.identity_D, heard.identity_D)
    wave = recording(frames=FRAMES).audio_S
    assert np.array_equal(face.generate_frames(wave, seed=1), whole)


def test_the_stream_is_what_the_networks_give_as_a_whole(
    face: Speech2FacePredictor, mel: np.ndarray
) -> None:
    content = torch.cat(list(face.content([mel])), 1)
    beyond = np.concatenate((mel, *[mel[:, -4:]] * LOOK_AHEAD), 1)
    with torch.no_grad():
        whole, _ = face.networks["content"](torch.from_numpy(beyond)[None])
    torch.testing.assert_close(content, whole[:, LOOK_AHEAD:], atol=1e-5, rtol=1e-4)


def test_frames_come_while_sound_comes(
    face: Speech2FacePredictor, mel: np.ndarray, heard: SpeechEmbedding
) -> None:
    pushed = 0

    def chunks():
        nonlocal pushed
        for part in cut(mel, *(1,) * (FRAMES - 1)):
            pushed += 1
            yield part

    for number, _ in enumerate(face.stream(chunks(), heard=heard)):
        assert pushed < number + 2 * FRAMES_PER_STEP + LOOK_AHEAD


def test_the_seed_decides_what_speech_does_not_say(
    face: Speech2FacePredictor, mel: np.ndarray, heard: SpeechEmbedding
) -> None:
    takes = [list(face.stream([mel], heard=heard, seed=seed)) for seed in (1, 1, 2)]
    one, same, other = map(np.stack, takes)
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_an_emotion_can_be_asked_for(
    face: Speech2FacePredictor, mel: np.ndarray, heard: SpeechEmbedding
) -> None:
    happy = face.with_emotion(heard, "happy")
    assert happy.emotion == "happy" and torch.equal(happy.identity_D, heard.identity_D)
    torch.testing.assert_close(happy.emotion_code_E, face.networks["generator"].codes[2])
    asked = np.stack(list(face.stream([mel], heard=heard, emotion="happy")))
    assert not np.array_equal(asked, np.stack(list(face.stream([mel], heard=heard))))
    assert np.array_equal(asked, np.stack(list(face.stream([mel], heard=happy))))


def test_only_trained_emotions_can_be_asked_for(mel: np.ndarray, log_mel: np.ndarray) -> None:
    networks = small_networks().eval()
    networks["emotion"].known[2:] = 0
    face = Speech2FacePredictor(networks)
    heard = face.hear([log_mel])
    assert face.emotions == EMOTIONS[:2] and heard.emotion in EMOTIONS[:2]
    for emotion in ("happy", "bored"):
        with pytest.raises(DataError, match=f"emotion {emotion}: .* neutral, calm"):
            list(face.stream([mel], heard=heard, emotion=emotion))


@pytest.mark.parametrize("frames", [1, 3, WINDOW_FRAMES - 1, WINDOW_FRAMES, WINDOW_FRAMES + 1])
def test_any_length_is_heard_and_shown(
    face: Speech2FacePredictor, log_mel: np.ndarray, frames: int
) -> None:
    part = log_mel[:, : 4 * frames]
    heard = face.hear([part])
    torch.testing.assert_close(heard.identity_D.norm(), torch.tensor(1.0))
    torch.testing.assert_close(heard.emotion_8.sum(), torch.tensor(1.0))
    assert len(list(face.stream([normalise_utterance(part)], heard=heard))) == frames


def test_windows_together_are_surer_of_an_emotion_than_one(
    face: Speech2FacePredictor, log_mel: np.ndarray
) -> None:
    tone = log_mel[:, :1]  # steady: each window of it is like the first
    once_8 = face.hear([np.repeat(tone, 4 * WINDOW_FRAMES, 1)]).emotion_8
    windows = 1 + 3  # a whole one, and one more for every 12 frames
    often_8 = face.hear([np.repeat(tone, 4 * (WINDOW_FRAMES + 12 * 3), 1)]).emotion_8
    torch.testing.assert_close(often_8, (once_8.log() * windows / 2).softmax(0))
    assert often_8.max() > once_8.max()


def test_bad_input_is_named(
    face: Speech2FacePredictor, mel: np.ndarray, heard: SpeechEmbedding
) -> None:
    with pytest.raises(DataError, match="the audio is empty"):
        face.hear([])
    with pytest.raises(DataError, match=r"log-mels \(80, 3\)"):
        list(face.stream([mel[:, :3]], heard=heard))
    with pytest.raises(DataError, match="takes no picture"):
        list(face.stream([mel], heard=heard, reference_image=np.zeros((3, SIZE, SIZE), np.uint8)))


def test_the_baseline_needs_a_picture(mel: np.ndarray, log_mel: np.ndarray) -> None:
    face = Speech2FacePredictor(small_networks(reference_image=True).eval())
    heard = face.hear([log_mel])
    with pytest.raises(DataError, match="one is needed"):
        list(face.stream([mel], heard=heard))
    with pytest.raises(DataError, match=r"a still of \(3, 8, 8\)"):
        list(face.stream([mel], heard=heard, reference_image=np.zeros((3, 8, 8), np.uint8)))
    pictures = [recording(person).frames_T3HW[0] for person in range(2)]
    ann, bob = (
        np.stack(list(face.stream([mel], heard=heard, reference_image=p))) for p in pictures
    )
    assert not np.array_equal(ann, bob)
    elsewhere = replace(heard, identity_D=-heard.identity_D)  # a picture says who it is
    assert np.array_equal(
        np.stack(list(face.stream([mel], heard=elsewhere, reference_image=pictures[0]))), ann
    )
