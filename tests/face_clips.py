"""Drawn faces whose mouth follows a buzz's loudness, and small networks to train on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from speech2video.data.loader import SampleIndex
from speech2video.data.speech2face.clip import FaceClip, FaceInfo, FaceRecording
from speech2video.data.speech2face.dataset import MOTION, FaceDataset
from speech2video.models.speech2face.encoders import (
    ContentEncoder,
    EmotionEncoder,
    HeadMotionGenerator,
    IdentityEncoder,
)
from speech2video.models.speech2face.generator import FaceGenerator, ReferenceFaceGenerator
from speech2video.options.speech2face import MEL
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.timing import SAMPLE_RATE, SAMPLES_PER_FRAME
from speech2video.util.video.writer import write_video

SIZE, FRAMES = 64, 30
SPEAKERS, CLIP_EMOTIONS, SENTENCES = ("ann", "bob"), ("neutral", "happy"), ("one", "two", "three")
SKINS = ((210, 160, 130), (110, 80, 60))
PITCHES = (110.0, 220.0)  # Hz
TREMBLE = (0.0, 7.0)  # Hz, of an emotion's voice
EYES_Y, EYE_OFFSET, MOUTH, WIDE = 25.1, 11.5, 46.0, 7.0  # pixels


def recording(
    speaker: int = 0, emotion: int = 0, sentence: int = 0, *, frames: int = FRAMES
) -> FaceRecording:
    """Return a clip of a speaker saying a sentence with an emotion."""
    rng = np.random.default_rng((speaker, emotion, sentence))
    turns = np.arange(frames) / rng.uniform(6, 9)
    open_T = np.clip(np.sin(2 * np.pi * turns), 0, None)
    time_S = np.arange(frames * SAMPLES_PER_FRAME) / SAMPLE_RATE
    buzz_S = sum(np.sin(2 * np.pi * PITCHES[speaker] * h * time_S) / h for h in range(1, 10))
    buzz_S = buzz_S * (1 + 0.5 * np.sin(2 * np.pi * TREMBLE[emotion] * time_S))
    audio_S = 0.2 * np.repeat(open_T, SAMPLES_PER_FRAME) * buzz_S + 1e-3 * rng.standard_normal(
        len(time_S)
    )
    drawn = [_draw(speaker, emotion, open_T[t], t) for t in range(frames)]
    images, points = (np.stack(items) for items in zip(*drawn, strict=True))
    name = f"{SPEAKERS[speaker]}_{CLIP_EMOTIONS[emotion]}_{SENTENCES[sentence]}"
    return FaceRecording(
        name,
        SPEAKERS[speaker],
        CLIP_EMOTIONS[emotion],
        SENTENCES[sentence],
        images,
        audio_S.astype(np.float32),
        points.astype(np.float32),
    )


def recordings(*, frames: int = FRAMES) -> list[FaceRecording]:
    """Return every speaker, emotion and sentence."""
    return [
        recording(speaker, emotion, sentence, frames=frames)
        for speaker in range(len(SPEAKERS))
        for emotion in range(len(CLIP_EMOTIONS))
        for sentence in range(len(SENTENCES))
    ]


def write_face_clips(
    dataset: Path, clips: Sequence[FaceRecording] = (), *, frames: int = FRAMES
) -> Path:
    """Write recordings, by default all, as a data set's clips; return its folder."""
    for one in clips or recordings(frames=frames):
        with FaceClip.create(dataset / one.name) as clip:
            write_video(clip.video, one.frames_T3HW, synthetic=False)
            write_audio(clip.audio, one.audio_S)
            clip.write_points(one.points_TK2)
            info = FaceInfo("drawn", len(one), SIZE, one.speaker, one.emotion, one.sentence)
            clip.write_info(info)
    return dataset


def _draw(speaker: int, emotion: int, openness: float, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (3, H, W) uint8 and its landmarks (68, 2)."""
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    x, lid, gap = SIZE / 2 - 0.5 + 2 * np.sin(t / 9), 0.3 if t % 20 == 5 else 2.0, 5 * openness
    points_K2 = np.full((68, 2), (x, EYES_Y))
    _ellipse(image, (x, 34), (20, 27), SKINS[speaker])
    for first, side in ((36, -1), (42, 1)):
        eye = x + side * EYE_OFFSET
        _ellipse(image, (eye, EYES_Y), (4, lid), (20, 20, 60))
        _ellipse(image, (eye, EYES_Y - 7 - 3 * emotion), (5, 1), (20, 10, 10))
        across = np.array([-4, -2, 2, 4, 2, -2])
        points_K2[first : first + 6, 0] = eye + across
        points_K2[first : first + 6, 1] = EYES_Y + lid * np.array([0, -1, -1, 0, 1, 1])
    _ellipse(image, (x, MOUTH), (WIDE, 1 + gap), (120, 10, 20))
    points_K2[48:68] = (x, MOUTH)
    points_K2[[48, 54], 0] = x - WIDE, x + WIDE
    points_K2[[51, 57], 1] = MOUTH - gap - 1, MOUTH + gap + 1
    points_K2[[61, 62, 63], 1], points_K2[[65, 66, 67], 1] = MOUTH - gap, MOUTH + gap
    points_K2[[8, 30, 33], 1] = 60 + gap, 33, 36
    return image.transpose(2, 0, 1), points_K2


def _ellipse(
    image: np.ndarray, at: tuple[float, float], half: tuple[float, float], colour: tuple
) -> None:
    sixteenths = [tuple(round(16 * number) for number in pair) for pair in (at, half)]
    cv2.ellipse(image, *sixteenths, 0, 0, 360, colour, -1, cv2.LINE_AA, 4)


ITEM_FRAMES, LOOK_AHEAD, NOISE = 16, 2, 4


def small_networks(
    *, baseline: bool = False, coarse_to_fine: bool = False, features: str = MEL
) -> nn.ModuleDict:
    """Return small networks with random weights whose output depends on every input."""
    torch.manual_seed(0)
    generator = (ReferenceFaceGenerator if baseline else FaceGenerator)(
        motion_dim=len(MOTION),
        size=SIZE,
        speakers=2,
        coarse_to_fine=coarse_to_fine,
        channels=(16, 8, 8),
        blocks=(1, 1, 1),
    )
    for name, weight in generator.named_parameters():
        if name.endswith(("second.weight", "heads.weight", "rgb.weight")):
            nn.init.normal_(weight, std=0.2)
    networks = {
        "identity": IdentityEncoder(widths=(16, 16, 16, 16)),
        "emotion": EmotionEncoder(widths=(8, 8, 8, 8)),
        "content": ContentEncoder(features=features, look_ahead=LOOK_AHEAD),
        "head_motion": HeadMotionGenerator(len(MOTION), noise_dim=NOISE),
        "generator": generator,
    }
    networks["head_motion"].std[:] = 0.02
    return nn.ModuleDict(networks)


def small_batch(count: int = 4, *, seed: int = 0) -> Mapping[str, Tensor]:
    """Return a batch of drawn faces."""
    dataset = FaceDataset(recordings(), noise_dim=NOISE, frames=ITEM_FRAMES)
    items = [dataset[SampleIndex(0, seed * 100 + number)] for number in range(count)]
    return torch.utils.data.default_collate(items)
