"""Toy speakers whose faces follow exactly from their voices, for tests of face metrics.

The frequency of one tone is the speaker, that of a higher one the emotion, loudness opens the
mouth: each recording can be drawn again from its audio, to the last pixel.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from evaluation.face_systems import SpeechCodes

from speech2video.data.speech2face.clip import EMOTIONS, FaceRecording
from speech2video.util.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

SIZE, FRAMES = 64, 40
SKINS = ((210, 160, 130), (110, 70, 50), (150, 180, 110), (120, 130, 200))
TOY_EMOTIONS = ("neutral", "happy", "angry")
MOUTH = (200, 0, 40)
SPEAKERS = tuple(f"p{i}" for i in range(len(SKINS)))
SPEAKER_HZ, EMOTION_HZ = 200.0, 3000.0  # Hz, of the first speaker and of the first emotion
STEP = 100.0  # Hz from one to the next
WIDEST = 20  # pixels that a mouth opens


def voice(speaker: int, emotion: int, *, seed: int, frames: int = FRAMES) -> np.ndarray:
    """Return audio (S,): two tones, whose loudness is the opening of a randomly moving mouth."""
    rng = np.random.default_rng(seed)
    loud_T = np.convolve(rng.uniform(0, 1, frames + 2), np.ones(3) / 3, "valid") ** 2
    loud_T /= loud_T.max()
    time_S = np.arange(frames * SAMPLES_PER_FRAME) / SAMPLE_RATE
    tones_S = np.sin(2 * np.pi * (SPEAKER_HZ + STEP * speaker) * time_S)
    tones_S = tones_S + 0.3 * np.sin(2 * np.pi * (EMOTION_HZ + STEP * emotion) * time_S)
    return (0.5 * np.repeat(loud_T, SAMPLES_PER_FRAME) * tones_S).astype(np.float32)


def decode_voice(audio_S: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Return speaker, emotion, and the opening of the mouth (T,), 0 to 1."""
    power_F = np.abs(np.fft.rfft(audio_S))
    hertz = np.fft.rfftfreq(len(audio_S), 1 / SAMPLE_RATE)
    found = []
    for first, count in ((SPEAKER_HZ, len(SKINS)), (EMOTION_HZ, len(TOY_EMOTIONS))):
        bands = [np.abs(hertz - first - STEP * i) < STEP / 4 for i in range(count)]
        found.append(int(np.argmax([power_F[band].max() for band in bands])))
    loud_T = np.sqrt(np.square(audio_S.reshape(-1, SAMPLES_PER_FRAME), dtype=np.float64).mean(1))
    return found[0], found[1], loud_T / max(loud_T.max(), 1e-9)


def draw(speaker: int, emotion: int, open_T: Sequence[float]) -> np.ndarray:
    """Return frames (T, 3, H, W) uint8: skin for the speaker, brows for the emotion, a mouth."""
    frames = []
    for openness in open_T:
        image = np.full((SIZE, SIZE, 3), 40, np.uint8)
        cv2.ellipse(image, (32, 34), (26, 30), 0, 0, 360, SKINS[speaker], -1)
        brow = 10 + 6 * emotion
        cv2.rectangle(image, (14, brow), (50, brow + 5), (20, 20, 20), -1)
        half = round(openness * WIDEST / 2)
        cv2.rectangle(image, (22, 46 - half), (42, 46 + half), MOUTH, -1)
        frames.append(image.transpose(2, 0, 1))
    return np.stack(frames)


class ToyMesh:
    """Find the mouths of toy faces, in place of MediaPipe."""

    def points(self, frames_T3HW: np.ndarray) -> np.ndarray:
        """Return landmarks (T, 68, 2), NaN where there is no mouth."""
        mouth_TH = (frames_T3HW[..., 32] == np.array(MOUTH)[:, None]).all(1)
        points = np.zeros((len(frames_T3HW), 68, 2))
        points[:, 36], points[:, 45] = (12, 26), (52, 26)
        points[:, 48:68] = (32, 46)
        for t, mouth_H in enumerate(mouth_TH):
            rows = np.flatnonzero(mouth_H)
            if len(rows):
                points[t, 62, 1], points[t, 66, 1] = rows[0], rows[-1]
            else:
                points[t] = np.nan
        return points


def recording(speaker: int, emotion: int, sentence: int) -> FaceRecording:
    """Return a speaker's recording of a sentence with an emotion."""
    audio_S = voice(speaker, emotion, seed=sentence + 100 * speaker + 10 * emotion)
    frames = draw(*decode_voice(audio_S))
    name = f"{SPEAKERS[speaker]}_{TOY_EMOTIONS[emotion]}_{sentence}"
    points_TK2 = ToyMesh().points(frames)
    labels = SPEAKERS[speaker], TOY_EMOTIONS[emotion], f"s{sentence}"
    return FaceRecording(name, *labels, frames, audio_S, points_TK2)


def recordings(sentences: int = 3) -> list[FaceRecording]:
    """Return every speaker, emotion and sentence."""
    return [
        recording(speaker, emotion, sentence)
        for speaker in range(len(SKINS))
        for emotion in range(len(TOY_EMOTIONS))
        for sentence in range(sentences)
    ]


class OracleFace:
    """A face generator that reproduces every recording."""

    size, emotions = SIZE, TOY_EMOTIONS

    def encode(self, audio_S: np.ndarray) -> SpeechCodes:
        """Return one-hot codes of the speaker and of the emotion."""
        speaker, shown, _ = decode_voice(audio_S)
        logits_C = np.zeros(len(EMOTIONS))
        logits_C[EMOTIONS.index(TOY_EMOTIONS[shown])] = 5
        return SpeechCodes(np.eye(len(SKINS))[speaker], np.eye(len(TOY_EMOTIONS))[shown], logits_C)

    def generate(
        self,
        audio_S: np.ndarray,
        *,
        emotion: str | None = None,
        emotion_audio_S: np.ndarray | None = None,
        reference_image: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return the recording's own frames."""
        speaker, shown, open_T = decode_voice(audio_S)
        if emotion_audio_S is not None:
            shown = decode_voice(emotion_audio_S)[1]
        return draw(speaker, shown if emotion is None else TOY_EMOTIONS.index(emotion), open_T)


class ConstantFace(OracleFace):
    """A face generator that always shows the first speaker, neutral and static."""

    def encode(self, audio_S: np.ndarray) -> SpeechCodes:
        """Return noise that depends on nothing but the audio's sum."""
        rng = np.random.default_rng(int(1e6 * np.abs(audio_S).sum()) % (1 << 32))
        return SpeechCodes(
            *(rng.normal(size=n) for n in (len(SKINS), len(TOY_EMOTIONS), len(EMOTIONS)))
        )

    def generate(self, audio_S: np.ndarray, **given: object) -> np.ndarray:
        """Return a static face."""
        return draw(0, 0, np.full(len(audio_S) // SAMPLES_PER_FRAME, 0.2))
