"""Speech to a talking face, for use: log-mels in, frames out, as they come.

face = load(Path("checkpoints/demo_face/speech2face"))
mel_BN = log_mels(audio_S)
heard = face.hear([mel_BN])                                       # who speaks, and how they feel
for frame in face.stream([normalised(mel_BN)], heard=heard, emotion="happy", seed=1):
    ...                                                     # (3, H, W) uint8, one at a time

Frames are heard and painted four at once, counted from the first: how the sound is cut into chunks
changes no bit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.data.speech2face.dataset import MOTION
from speech2video.models.checkpointing import copy_tensors, load_networks
from speech2video.models.pose2video.renderer import to_bytes, to_floats
from speech2video.models.speech2face.encoders import (
    ContentEncoder,
    EmotionEncoder,
    IdentityEncoder,
    NoiseProcess,
    State,
)
from speech2video.models.speech2face.generator import AppearanceFeatures, FaceGenerator
from speech2video.options.speech2face import REFERENCE_IMAGE, TrainSpeech2FaceOptions
from speech2video.util.audio.mel import (
    batched,
    log_mels,
    mel_frames,
    mel_windows,
    normalise_global,
    normalise_utterance,
    repeat_last,
)
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, OptionError
from speech2video.util.smoothing import SmoothNoise

SPEAKER_WEIGHTS = ("generator.gallery.", "generator.portrait.")  # weights that know people's looks
APPEARANCE_WEIGHTS = (
    "generator.imagine.",
    "generator.look.",
)  # of looks: of those known, of a still's
FRAMES_PER_STEP = 4  # frames heard and painted together; scripts/benchmark.py says what it gains
WINDOW_OVERLAP = 0.5  # of a second that is new in each window in which somebody is heard


@dataclass(frozen=True, eq=False)
class SpeechEmbedding:
    """Who speaks and how they feel, as a speech tells it.

    Attributes:
        identity_D: (128,), a unit vector.
        emotion_8: how much there is of each of `EMOTIONS`, 1 together.
        code_E: (64,), the emotion as the generator takes it.
    """

    identity_D: Tensor
    emotion_8: Tensor
    emotion_code_E: Tensor

    @property
    def emotion(self) -> str:
        """The emotion there is most of."""
        return EMOTIONS[int(self.emotion_8.argmax())]


class Speech2FacePredictor:
    """Trained students and generator.

    Attributes:
        networks: identity, emotion, content, noise, generator; in evaluation mode.
        size: pixels a side of the pictures.
        takes_still: whether it is the baseline, to which a picture says who it is.
    """

    def __init__(self, networks: nn.ModuleDict, *, device: torch.device | str = "cpu") -> None:
        self.networks, self.device = networks, torch.device(device)
        self.size: int = networks["generator"].size
        self.uses_reference_image: bool = hasattr(networks["generator"], "look")

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions it was trained on."""
        known_8 = self.networks["emotion"].known.cpu()
        return tuple(name for name, known in zip(EMOTIONS, known_8, strict=True) if known)

    @torch.inference_mode()
    def hear(self, chunks: Iterable[np.ndarray]) -> SpeechEmbedding:
        """Return who speaks and how, of all log-mels (80, 4 n) in chunks, not normalised.

        Of windows of a second, two of them a second, in the memory of one: the mean identity, and
        the emotion that all of them together tell of, each counting half, for they overlap.
        """
        content: ContentEncoder = self.networks["content"]
        usual = content.mel_mean.cpu().numpy(), content.mel_deviation.cpu().numpy()
        identity_D, logits_8, count = 0.0, 0.0, 0
        for mel_BL in mel_windows(chunks):
            voice_NBL = torch.from_numpy(normalise_global(mel_BL, *usual))[None].to(self.device)
            identity_D = identity_D + self.networks["identity"](voice_NBL)[0]
            logits_8 = logits_8 + self.networks["emotion"](voice_NBL)[0]
            count += 1
        if not count:
            raise DataError("the audio is empty; nobody can be heard in it")
        emotion_8 = (logits_8 * max(1 / count, WINDOW_OVERLAP)).softmax(0)
        return self._heard(F.normalize(identity_D, dim=0), emotion_8)

    def with_emotion(self, heard: SpeechEmbedding, emotion: str) -> SpeechEmbedding:
        """Return the same person with a named emotion; raises `DataError` for one not trained."""
        if emotion not in self.emotions:
            known = ", ".join(self.emotions)
            raise DataError(f"emotion {emotion}: this face was trained with {known}")
        emotion_8 = torch.zeros_like(heard.emotion_8)
        emotion_8[EMOTIONS.index(emotion)] = 1
        return self._heard(heard.identity_D, emotion_8)

    @torch.inference_mode()
    def stream(
        self,
        chunks: Iterable[np.ndarray],
        *,
        heard: SpeechEmbedding,
        emotion: str | None = None,
        seed: int = 0,
        reference_image: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield a frame (3, H, W) uint8 for each four columns of normalised log-mels, as they come.

        Args:
            chunks: (80, 4 n) each.
            heard: who and how.
            emotion: to show in place of the one that is heard.
            seed: another one is another play of head and lids.
            still: (3, H, W) uint8 of the person, for the baseline.

        Raises:
            DataError: no sound, an emotion it was not trained with, or a still too many or missing.
        """
        if (reference_image is not None) != self.uses_reference_image:
            raise DataError(
                "this face was trained with a picture of the person; one is needed"
                if self.uses_reference_image
                else "this face takes no picture, only speech"
            )
        if emotion is not None:
            heard = self.with_emotion(heard, emotion)
        person, emotion_N8 = self._begin(heard, reference_image), heard.emotion_8[None]
        play = self._play(seed)
        for group in batched(self.content(chunks), FRAMES_PER_STEP):
            content_NTC = torch.cat(group, 1)
            motion_NTM = torch.cat(list(islice(play, len(group))), 1)
            frames = self.networks["generator"].frames(person, content_NTC, emotion_N8, motion_NTM)
            yield from to_bytes(frames[0])

    def generate_frames(self, audio_S: np.ndarray, **given: object) -> np.ndarray:
        """Return frames (T, 3, H, W), T = ceil(S / 640), of a 16 kHz wave heard as a whole.

        `given`: as for `stream`.
        """
        mel_BL = log_mels(audio_S)
        given.setdefault("heard", self.hear([mel_BL]))
        return np.stack(list(self.stream([normalise_utterance(mel_BL)], **given)))

    @torch.inference_mode()
    def content(self, chunks: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Yield what is said (1, 1, 256), frame by frame; beyond the end the last moment lasts."""
        encoder: ContentEncoder = self.networks["content"]
        state: State | None = None
        early = encoder.look_ahead  # what comes out of the first frames belongs to none
        for group in batched(repeat_last(mel_frames(chunks), encoder.look_ahead), FRAMES_PER_STEP):
            mel_NBL = torch.from_numpy(np.concatenate(group, 1))[None].to(self.device)
            content_NTC, state = encoder(mel_NBL, state)
            for t in range(early, len(group)):
                yield content_NTC[:, t : t + 1]
            early = max(0, early - len(group))

    def _heard(self, identity_D: Tensor, emotion_8: Tensor) -> SpeechEmbedding:
        with torch.no_grad():
            emotion_code_E = self.networks["generator"].code(emotion_8[None])[0]
        return SpeechEmbedding(identity_D, emotion_8, emotion_code_E)

    def _begin(
        self, heard: SpeechEmbedding, reference_image: np.ndarray | None
    ) -> AppearanceFeatures:
        generator: FaceGenerator = self.networks["generator"]
        if reference_image is None:
            return generator.begin(heard.identity_D[None])
        if reference_image.shape != (3, self.size, self.size) or reference_image.dtype != np.uint8:
            seen = f"{reference_image.shape} {reference_image.dtype}"
            raise DataError(f"a still of {seen}; (3, {self.size}, {self.size}) uint8 is needed")
        picture = torch.from_numpy(np.ascontiguousarray(reference_image))[None].to(self.device)
        return generator.encode_reference(to_floats(picture))

    def _play(self, seed: int) -> Iterator[Tensor]:
        """Yield how head and lids are (1, 1, 7), frame by frame, for ever."""
        process: NoiseProcess = self.networks["noise"]
        noise, memory = SmoothNoise(process.noise, seed=seed), None
        while True:
            noise_NTZ = torch.from_numpy(noise.next(FRAMES_PER_STEP))[None].to(self.device)
            motion_NTM, memory = process(noise_NTZ, memory)
            yield from process.in_units(motion_NTM).split(1, 1)


def build(options: TrainSpeech2FaceOptions) -> nn.ModuleDict:
    """Return untrained networks of an architecture; raises `OptionError` for a size it cannot."""
    try:
        generator = FaceGenerator(
            motion=len(MOTION),
            size=options.size,
            people=options.people,
            reference_image=options.baseline == REFERENCE_IMAGE,
        )
    except DataError as error:
        raise OptionError(f"--size {options.size}: {error}") from None
    return nn.ModuleDict(
        {
            "identity": IdentityEncoder(dropout=options.dropout),
            "emotion": EmotionEncoder(dropout=options.dropout),
            "content": ContentEncoder(look_ahead=options.look_ahead, dropout=options.dropout),
            "noise": NoiseProcess(len(MOTION), noise=options.noise),
            "generator": generator.to(memory_format=torch.channels_last),
        }
    )


def load_pretrained(networks: nn.ModuleDict, folder: Path) -> None:
    """Take the weights of another run, or of a shipped checkpoint, to begin with.

    All but whom it knows and what they look like, which are those of its own data set; and but how
    looks come in, where one of the two is the baseline.

    Raises:
        DataError: no checkpoint there, broken, or of another architecture.
    """
    face = load(folder)
    alike = face.uses_reference_image == hasattr(networks["generator"], "look")
    left_out = SPEAKER_WEIGHTS if alike else SPEAKER_WEIGHTS + APPEARANCE_WEIGHTS
    own, other = (
        {name: tensor for name, tensor in state.items() if not name.startswith(left_out)}
        for state in (networks.state_dict(), face.networks.state_dict())
    )
    copy_tensors(folder, own, other)


def load(folder: Path, *, device: torch.device | str = "cpu") -> Speech2FacePredictor:
    """Return what a run's folder or a shipped checkpoint holds, ready to use.

    Raises:
        DataError: no checkpoint there, broken, of another version or of another network.
    """
    checkpoint = resolve_checkpoint(folder)
    try:
        options = TrainSpeech2FaceOptions.load(checkpoint / OPTIONS_FILE)
        networks = build(options)
    except OptionError as error:
        raise DataError(str(error)) from None
    load_networks(networks, checkpoint)
    networks = networks.to(device).eval().requires_grad_(False)
    return Speech2FacePredictor(networks, device=device)
