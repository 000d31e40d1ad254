"""Inference of speech to face: streaming, seeds, chosen emotions, the baseline."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.data.speech2face.speech import mel_frames
from speech2video.models.speech2face.predictor import (
    FRAMES_PER_STEP,
    Speech2FacePredictor,
    SpeechEmbedding,
)
from speech2video.util.audio.features import feature_set
from speech2video.util.audio.mel import WINDOW_FRAMES, log_mels, normalise_utterance
from speech2video.util.audio.normalisation import stream_speech_features
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
    """Speech (T, 320) that is encoded."""
    return mel_frames(normalise_utterance(log_mel))


@pytest.fixture(scope="module")
def embedding(face: Speech2FacePredictor, log_mel: np.ndarray) -> SpeechEmbedding:
    return face.embed_speech([log_mel])


def cut(mel_BL: np.ndarray, *frames: int) -> list[np.ndarray]:
    return np.split(mel_BL, 4 * np.cumsum(frames), 1)


def pieces(speech_TF: np.ndarray, *frames: int) -> list[np.ndarray]:
    return np.split(speech_TF, np.cumsum(frames))


def test_chunking_changes_no_bit(
    face: Speech2FacePredictor, mel: np.ndarray, log_mel: np.ndarray, embedding: SpeechEmbedding
) -> None:
    whole = np.stack(list(face.stream([mel], embedding=embedding, seed=1)))
    assert whole.shape == (FRAMES, 3, SIZE, SIZE) and whole.dtype == np.uint8
    for sizes in ((1,) * (FRAMES - 1), (7, 0, 20)):
        chunks = iter(pieces(mel, *sizes))
        parts = np.stack(list(face.stream(chunks, embedding=embedding, seed=1)))
        assert np.array_equal(parts, whole)
        again = face.embed_speech(iter(cut(log_mel, *sizes)))
        assert torch.equal(again.identity_D, embedding.identity_D)
    wave = recording(frames=FRAMES).audio_S
    assert np.array_equal(face.generate_frames(wave, seed=1), whole)


def test_streamed_content_equals_the_whole(face: Speech2FacePredictor, mel: np.ndarray) -> None:
    content = torch.cat(list(face.encode_content([mel])), 1)
    beyond = np.concatenate((mel, *[mel[-1:]] * LOOK_AHEAD))
    with torch.no_grad():
        whole, _ = face.networks["content"](torch.from_numpy(beyond)[None])
    torch.testing.assert_close(content, whole[:, LOOK_AHEAD:], atol=1e-5, rtol=1e-4)


def test_frames_come_while_audio_comes(
    face: Speech2FacePredictor, mel: np.ndarray, embedding: SpeechEmbedding
) -> None:
    pushed = 0

    def chunks():
        nonlocal pushed
        for part in pieces(mel, *(1,) * (FRAMES - 1)):
            pushed += 1
            yield part

    for number, _ in enumerate(face.stream(chunks(), embedding=embedding)):
        assert pushed < number + 2 * FRAMES_PER_STEP + LOOK_AHEAD


def test_lips_follow_features_as_they_arrive() -> None:
    face = Speech2FacePredictor(small_networks(features="mfcc").eval())
    audio_S = recording(frames=FRAMES).audio_S
    features_TF = face.speech_of(audio_S)
    assert features_TF.shape == (FRAMES, feature_set("mfcc").size)
    whole = torch.cat(list(face.encode_content([features_TF])), 1)
    assert whole.shape[1] == FRAMES
    parts = np.array_split(features_TF, [1, 4, 5, 30])
    assert torch.equal(torch.cat(list(face.encode_content(iter(parts))), 1), whole)
    streamed = stream_speech_features(np.array_split(audio_S, 7), "mfcc")
    assert torch.equal(torch.cat(list(face.encode_content(streamed)), 1), whole)
    beyond_NTF = torch.from_numpy(features_TF[[*range(FRAMES), *[FRAMES - 1] * LOOK_AHEAD]])[None]
    with torch.no_grad():
        expected, _ = face.content(beyond_NTF)
        torch.testing.assert_close(whole, expected[:, LOOK_AHEAD:], atol=1e-5, rtol=1e-4)
        face.content.feature_mean[:], face.content.feature_std[:] = 3, 2
        again, _ = face.content(2 * beyond_NTF + 3)
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-4)
    assert face.generate_frames(audio_S).shape == (FRAMES, 3, SIZE, SIZE)


def test_the_seed_decides_the_head_motion(
    face: Speech2FacePredictor, mel: np.ndarray, embedding: SpeechEmbedding
) -> None:
    videos = [list(face.stream([mel], embedding=embedding, seed=seed)) for seed in (1, 1, 2)]
    one, same, other = map(np.stack, videos)
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_lips_move_by_their_scale(
    mel: np.ndarray, log_mel: np.ndarray, embedding: SpeechEmbedding
) -> None:
    def frames(scale: float, speech_TF: np.ndarray) -> np.ndarray:
        torch.manual_seed(0)
        face = Speech2FacePredictor(small_networks().eval(), lip_scale=scale)
        return np.stack(list(face.stream([speech_TF], embedding=embedding))).astype(float)

    rest = frames(0, mel)
    np.testing.assert_array_equal(rest, frames(0, mel[::-1].copy()))  # nothing of the speech
    moved = [np.abs(frames(scale, mel) - rest).mean() for scale in (0.5, 1, 2)]
    assert 0 < moved[0] < moved[1] < moved[2]


def test_an_emotion_can_be_chosen(
    face: Speech2FacePredictor, mel: np.ndarray, embedding: SpeechEmbedding
) -> None:
    happy = face.with_emotion(embedding, "happy")
    assert happy.emotion == "happy" and torch.equal(happy.identity_D, embedding.identity_D)
    assert torch.equal(happy.emotion_8, torch.eye(len(EMOTIONS))[EMOTIONS.index("happy")])
    asked = np.stack(list(face.stream([mel], embedding=embedding, emotion="happy")))
    assert not np.array_equal(asked, np.stack(list(face.stream([mel], embedding=embedding))))
    assert np.array_equal(asked, np.stack(list(face.stream([mel], embedding=happy))))


def test_only_trained_emotions_can_be_chosen(mel: np.ndarray, log_mel: np.ndarray) -> None:
    networks = small_networks().eval()
    networks["emotion"].trained[2:] = 0
    face = Speech2FacePredictor(networks)
    embedding = face.embed_speech([log_mel])
    assert face.emotions == EMOTIONS[:2] and embedding.emotion in EMOTIONS[:2]
    for emotion in ("happy", "bored"):
        with pytest.raises(DataError, match=f"emotion {emotion}: .* neutral, calm"):
            list(face.stream([mel], embedding=embedding, emotion=emotion))


@pytest.mark.parametrize("frames", [1, 3, WINDOW_FRAMES - 1, WINDOW_FRAMES, WINDOW_FRAMES + 1])
def test_speech_of_any_length(face: Speech2FacePredictor, log_mel: np.ndarray, frames: int) -> None:
    part = log_mel[:, : 4 * frames]
    embedding = face.embed_speech([part])
    torch.testing.assert_close(embedding.identity_D.norm(), torch.tensor(1.0))
    torch.testing.assert_close(embedding.emotion_8.sum(), torch.tensor(1.0))
    speech = [mel_frames(normalise_utterance(part))]
    assert len(list(face.stream(speech, embedding=embedding))) == frames


def test_more_windows_are_more_confident_of_an_emotion(
    face: Speech2FacePredictor, log_mel: np.ndarray
) -> None:
    tone = log_mel[:, :1]  # steady: each window of it is like the first
    once_8 = face.embed_speech([np.repeat(tone, 4 * WINDOW_FRAMES, 1)]).emotion_8
    windows = 1 + 3  # a whole one, and one more for every 12 frames
    often_8 = face.embed_speech([np.repeat(tone, 4 * (WINDOW_FRAMES + 12 * 3), 1)]).emotion_8
    torch.testing.assert_close(often_8, (once_8.log() * windows / 2).softmax(0))
    assert often_8.max() > once_8.max()


def test_bad_input_is_named(
    face: Speech2FacePredictor, mel: np.ndarray, embedding: SpeechEmbedding
) -> None:
    with pytest.raises(DataError, match="the audio is empty"):
        face.embed_speech([])
    with pytest.raises(DataError, match=rf"speech \({FRAMES}, 3\); \(n, 320\) is needed"):
        list(face.stream([mel[:, :3]], embedding=embedding))
    with pytest.raises(DataError, match=r"log-mels \(80, 3\)"):
        face.embed_speech([np.zeros((80, 3), np.float32)])
    with pytest.raises(DataError, match="takes no reference image"):
        list(
            face.stream(
                [mel], embedding=embedding, reference_image=np.zeros((3, SIZE, SIZE), np.uint8)
            )
        )


def test_the_baseline_needs_a_reference_image(mel: np.ndarray, log_mel: np.ndarray) -> None:
    face = Speech2FacePredictor(small_networks(baseline=True).eval())
    embedding = face.embed_speech([log_mel])
    with pytest.raises(DataError, match="needs a reference image"):
        list(face.stream([mel], embedding=embedding))
    with pytest.raises(DataError, match=r"a reference image of \(3, 8, 8\)"):
        list(face.stream([mel], embedding=embedding, reference_image=np.zeros((3, 8, 8), np.uint8)))
    images = [recording(person).frames_T3HW[0] for person in range(2)]
    ann, bob = (
        np.stack(list(face.stream([mel], embedding=embedding, reference_image=p))) for p in images
    )
    assert not np.array_equal(ann, bob)
    elsewhere = replace(
        embedding, identity_D=-embedding.identity_D
    )  # the image decides the identity
    assert np.array_equal(
        np.stack(list(face.stream([mel], embedding=elsewhere, reference_image=images[0]))), ann
    )
