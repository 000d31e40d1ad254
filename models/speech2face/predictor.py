"""Inference of speech to a talking face: speech in, frames out, as a stream.

face = load_speech2face(Path("checkpoints/demo_face/speech2face"))
embedding = face.embed_speech([log_mels(audio_S)])                # identity and emotion
for frame in face.stream([face.speech_of(audio_S)], embedding=embedding, emotion="happy"):
    ...                                                          # (3, H, W) uint8, one at a time

Frames are computed four at once, counted from the first: how the audio is chunked changes no bit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.data.speech2face.dataset import MOTION
from speech2video.data.speech2face.speech import encode_speech, part_sizes, speech_parts
from speech2video.models.checkpointing import copy_tensors, load_networks
from speech2video.models.pose2video.renderer import to_bytes, to_floats
from speech2video.models.speech2face import encoders, generator
from speech2video.options.speech2face import REFERENCE_IMAGE, TrainSpeech2FaceOptions
from speech2video.util.audio import mel
from speech2video.util.audio.features import is_phonetic
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, OptionError, note
from speech2video.util.smoothing import SmoothNoise
from speech2video.util.timing import SAMPLE_RATE

# weights of the training speakers, and of where the appearance comes from
SPEAKER_WEIGHTS = ("generator.identity_bank.", "generator.eigenfaces.")
APPEARANCE_WEIGHTS = ("generator.identity_projection.", "generator.reference_encoder.")
CONTENT_WEIGHTS = ("content.",)
FRAMES_PER_STEP = 4  # computed together; scripts/benchmark.py measures what it gains
COARSE_TO_FINE_SIZE = 256  # pixels a side from which faces are first trained at half the size
WINDOW_OVERLAP = 0.5  # of the windows of speech that are embedded


@dataclass(frozen=True, eq=False)
class SpeechEmbedding:
    """Identity and emotion of a speech.

    Attributes:
        identity_D: (128,), a unit vector.
        emotion_8: share of each of `EMOTIONS`, sum 1.
    """

    identity_D: Tensor
    emotion_8: Tensor

    @property
    def emotion(self) -> str:
        """The emotion with the largest share."""
        return EMOTIONS[int(self.emotion_8.argmax())]


class Speech2FacePredictor:
    """Trained encoders and generator.

    Attributes:
        networks: identity, emotion, content, head_motion, generator; in evaluation mode.
        size: pixels a side of the frames.
        features: that lips follow, see `ContentEncoder`.
        lip_scale: of lip motion relative to silence.
        uses_reference_image: whether it is the baseline, which needs an image of the person.
    """

    def __init__(
        self,
        networks: nn.ModuleDict,
        *,
        lip_scale: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.networks, self.device, self.lip_scale = networks, torch.device(device), lip_scale
        by_name: dict[str, Any] = dict(networks.items())
        self.identity: encoders.IdentityEncoder = by_name["identity"]
        self.emotion: encoders.EmotionEncoder = by_name["emotion"]
        self.content: encoders.ContentEncoder = by_name["content"]
        self.head_motion: encoders.HeadMotionGenerator = by_name["head_motion"]
        self.generator: generator.FaceGenerator = by_name["generator"]
        self.size, self.features = self.generator.size, self.content.features
        self.uses_reference_image = self.generator.uses_reference_image

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions it was trained with."""
        trained_8 = self.emotion.trained.cpu()
        return tuple(name for name, trained in zip(EMOTIONS, trained_8, strict=True) if trained)

    @property
    def follows_phones(self) -> bool:
        """Whether known phones can drive the lips; with other features they are ignored."""
        return any(map(is_phonetic, speech_parts(self.features)))

    @torch.inference_mode()
    def embed_speech(self, chunks: Iterable[np.ndarray]) -> SpeechEmbedding:
        """Return identity and emotion of unnormalised log-mels (80, 4 n) in chunks.

        Windows of a second, two per second, are encoded one by one: the identity is their mean, the
        emotion that of their summed logits, each counting half because windows overlap.

        Raises:
            DataError: no audio.
        """
        stats = self.content.mel_mean.cpu().numpy(), self.content.mel_std.cpu().numpy()
        identity_D = logits_8 = torch.zeros((), device=self.device)
        count = 0
        for mel_BL in mel.mel_windows(chunks):
            voice_NBL = torch.from_numpy(mel.normalise_global(mel_BL, *stats))[None].to(self.device)
            identity_D = identity_D + self.identity(voice_NBL)[0]
            logits_8 = logits_8 + self.emotion(voice_NBL)[0]
            count += 1
        if not count:
            raise DataError("the audio is empty; there is no speech to embed")
        emotion_8 = (logits_8 * max(1 / count, WINDOW_OVERLAP)).softmax(0)
        return SpeechEmbedding(F.normalize(identity_D, dim=0), emotion_8)

    def with_emotion(self, embedding: SpeechEmbedding, emotion: str) -> SpeechEmbedding:
        """Return the identity with a named emotion; raises `DataError` for an untrained one."""
        if emotion not in self.emotions:
            known = ", ".join(self.emotions)
            raise DataError(f"emotion {emotion}: this face was trained with {known}")
        emotion_8 = torch.zeros_like(embedding.emotion_8)
        emotion_8[EMOTIONS.index(emotion)] = 1
        return replace(embedding, emotion_8=emotion_8)

    @torch.inference_mode()
    def stream(
        self,
        chunks: Iterable[np.ndarray],
        *,
        embedding: SpeechEmbedding,
        emotion: str | None = None,
        seed: int = 0,
        reference_image: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield a frame (3, H, W) uint8 for each one of speech.

        Args:
            chunks: speech (n, F) as `speech_of` returns it.
            embedding: identity and emotion.
            emotion: in place of the embedding's.
            seed: of the motion of head and lids.
            reference_image: (3, H, W) uint8 of the person, for the baseline.

        Raises:
            DataError: no audio, an untrained emotion, or an image too many, missing or of another
                size.
        """
        if emotion is not None:
            embedding = self.with_emotion(embedding, emotion)
        appearance = self._appearance(embedding, reference_image)
        emotion_N8, motion = embedding.emotion_8[None], self._head_motion(seed)
        for group in mel.batched(self.encode_content(chunks), FRAMES_PER_STEP):
            content_NTC = torch.cat(group, 1)
            if self.lip_scale != 1:
                content_NTC = torch.lerp(self._silence, content_NTC, self.lip_scale)
            motion_NTM = torch.cat(list(islice(motion, len(group))), 1)
            frames = self.generator.generate(appearance, content_NTC, emotion_N8, motion_NTM)
            yield from to_bytes(frames[0])

    def generate_frames(
        self,
        audio_S: np.ndarray,
        *,
        embedding: SpeechEmbedding | None = None,
        emotion: str | None = None,
        seed: int = 0,
        reference_image: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return frames (T, 3, H, W), T = ceil(S / 640), of 16 kHz audio; see `stream`.

        The embedding is that of the audio by default.
        """
        embedding = embedding or self.embed_speech([mel.log_mels(audio_S)])
        given = {"emotion": emotion, "seed": seed, "reference_image": reference_image}
        speech = [self.speech_of(audio_S)]
        return np.stack(list(self.stream(speech, embedding=embedding, **given)))

    def speech_of(self, audio_S: np.ndarray) -> np.ndarray:
        """Return what content is encoded from (T, F)."""
        return encode_speech(audio_S, self.features)

    @torch.inference_mode()
    def encode_content(self, chunks: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Yield content (1, 1, 256) frame by frame; the last speech is repeated beyond the end."""
        state: encoders.State | None = None
        early = self.content.look_ahead  # outputs that belong to no frame
        frames = mel.repeat_last(self._speech_frames(chunks), early)
        for group in mel.batched(frames, FRAMES_PER_STEP):
            speech = torch.from_numpy(np.stack(group))[None].to(self.device)
            content_NTC, state = self.content(speech, state)
            for t in range(early, len(group)):
                yield content_NTC[:, t : t + 1]
            early = max(0, early - len(group))

    @cached_property
    def _silence(self) -> Tensor:
        """The content (1, 1, 256) of a second of silence."""
        speech_TF = self.speech_of(np.zeros(SAMPLE_RATE, np.float32))
        return torch.cat(list(self.encode_content([speech_TF])), 1).mean(1, keepdim=True)

    def _speech_frames(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        size = sum(part_sizes(self.features))
        for speech_TF in chunks:
            if speech_TF.ndim != 2 or speech_TF.shape[1] != size:
                raise DataError(f"speech {speech_TF.shape}; (n, {size}) is needed")
            yield from speech_TF

    def _appearance(
        self, embedding: SpeechEmbedding, image_3HW: np.ndarray | None
    ) -> generator.AppearanceFeatures:
        if (image_3HW is not None) != self.uses_reference_image:
            verb = "needs a" if self.uses_reference_image else "takes no"
            raise DataError(f"this face {verb} reference image")
        if image_3HW is None:
            return self.generator.encode_appearance(embedding.identity_D[None])
        found, needed = f"{image_3HW.shape} {image_3HW.dtype}", f"{(3, self.size, self.size)} uint8"
        if found != needed:
            raise DataError(f"a reference image of {found}; {needed} is needed")
        image = torch.from_numpy(np.ascontiguousarray(image_3HW))[None].to(self.device)
        return self.generator.encode_appearance(to_floats(image))

    def _head_motion(self, seed: int) -> Iterator[Tensor]:
        """Yield motion of head and lids (1, 1, 7), frame by frame, without end."""
        noise, memory = SmoothNoise(self.head_motion.noise_dim, seed=seed), None
        while True:
            noise_NTZ = torch.from_numpy(noise.next(FRAMES_PER_STEP))[None].to(self.device)
            motion_NTM, memory = self.head_motion(noise_NTZ, memory)
            yield from self.head_motion.denormalise(motion_NTM).split(1, 1)


def build_networks(options: TrainSpeech2FaceOptions) -> nn.ModuleDict:
    """Return untrained networks; raises `DataError` for a size without a generator."""
    baseline, dropout = options.baseline == REFERENCE_IMAGE, options.dropout
    kind = generator.ReferenceFaceGenerator if baseline else generator.FaceGenerator
    faces = kind(
        motion_dim=len(MOTION),
        size=options.size,
        speakers=options.num_speakers,
        portrait_scale=options.portrait_scale,
        coarse_to_fine=options.size >= COARSE_TO_FINE_SIZE,
    )
    networks: dict[str, nn.Module] = {
        "identity": encoders.IdentityEncoder(dropout=dropout),
        "emotion": encoders.EmotionEncoder(dropout=dropout),
        "content": encoders.ContentEncoder(
            features=options.features, look_ahead=options.look_ahead, dropout=dropout
        ),
        "head_motion": encoders.HeadMotionGenerator(len(MOTION), noise_dim=options.noise),
        "generator": faces.to(memory_format=torch.channels_last),
    }
    return nn.ModuleDict(networks)


def load_pretrained(networks: nn.ModuleDict, folder: Path) -> None:
    """Load the weights of another run or of a shipped checkpoint.

    All but those of its speakers; if one of the two is the baseline, of its appearance layers; and
    if lips follow other features, of its content encoder.

    Raises:
        DataError: no checkpoint there, broken, or of another architecture.
    """
    pretrained = load_speech2face(folder)
    left_out = SPEAKER_WEIGHTS
    if pretrained.uses_reference_image != Speech2FacePredictor(networks).uses_reference_image:
        left_out += APPEARANCE_WEIGHTS
    if pretrained.features != Speech2FacePredictor(networks).features:
        left_out += CONTENT_WEIGHTS
        note(f"{folder}: its lips follow {pretrained.features}; here content is learned anew")
    own, other = (
        {name: tensor for name, tensor in one.state_dict().items() if not name.startswith(left_out)}
        for one in (networks, pretrained.networks)
    )
    copy_tensors(folder, own, other)


def load_speech2face(folder: Path, *, device: torch.device | str = "cpu") -> Speech2FacePredictor:
    """Return the predictor of a run's folder or of a shipped checkpoint.

    Raises:
        DataError: no checkpoint there, broken, of another version or of other networks.
    """
    checkpoint = resolve_checkpoint(folder)
    try:
        options = TrainSpeech2FaceOptions.load(checkpoint / OPTIONS_FILE)
        networks = build_networks(options)
    except OptionError as error:
        raise DataError(str(error)) from None
    load_networks(networks, checkpoint)
    networks = networks.to(device).eval().requires_grad_(False)
    return Speech2FacePredictor(networks, lip_scale=options.lip_scale, device=device)
