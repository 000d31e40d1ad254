"""Speech to face: how it is trained, in four stages by the number of the step.

teachers      learn from labels and landmarks what there is to see in faces
students      learn to hear it: identity, emotion, how lips stand; and noise learns to move heads
generator     paints what there is to hear; students go on learning to hear it, not by pictures
adversaries   the same, judged by discriminators too
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from speech2video.data.speech2face.clip import EMOTIONS, FaceRecording
from speech2video.data.speech2face.dataset import MOUTH, lip_shapes, part_boxes
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face.predictor import Speech2FacePredictor
from speech2video.util.audio.mel import log_mels, normalise_utterance
from speech2video.util.metrics.image import mean_in_boxes, psnr, ssim_map
from speech2video.util.metrics.statistics import correlation
from speech2video.util.training_log import TrainingLog
from speech2video.util.video.writer import write_video

if TYPE_CHECKING:
    pass
from collections.abc import Callable, Mapping

from torch import nn

from speech2video.data.speech2face.dataset import LIPS, NOISE_WARM_UP
from speech2video.models.base_model import BaseModel
from speech2video.models.gan import GANDiscriminator
from speech2video.models.speech2face.discriminators import (
    EmotionDiscriminator,
    FrameDiscriminator,
    LipSyncDiscriminator,
    SequenceDiscriminator,
)
from speech2video.models.speech2face.distillation import (
    EMOTION_TERMS,
    IDENTITY_TERMS,
    TEACHER_FRAMES,
    DistillationBatch,
    DistillationHeads,
    Losses,
    energy_distance,
    masked_cross_entropy,
    masked_mse,
    teacher_frames,
)
from speech2video.models.speech2face.losses import (
    ADVERSARIAL,
    GENERATOR,
    STUDENTS,
    TEACHERS,
    FaceLossWeights,
    Schedule,
    SynthesisBatch,
)
from speech2video.models.speech2face.teachers import FaceTeachers

# Speech that training never heard, of people it knows: what the faces painted to it are like.

EVALUATED_FRAMES = 5  # frames of a clip that teachers look at
SHOWN_CLIPS, SHOWN_FRAMES = 8, 4  # clips of the page's table, and frames of each


def validation_metrics(
    model: "Speech2FaceModel",
    recordings: Iterable[FaceRecording],
    page: TrainingLog | None,
    *,
    frames: int,
) -> dict[str, float]:
    """Return figures, means over recordings, and show the first of them.

    Of the voice alone: identity (share whose nearest face, of all recordings' people, is the right
    one), emotion (share), lips (correlation of the gap). The same of the face that is painted, as
    the teachers see it; and PSNR, SSIM of the mouth. A figure that no recording has, as emotion
    where none is labelled, is left out.
    """
    recordings = [one.part(0, min(len(one), frames)) for one in recordings]
    face = Speech2FacePredictor(model.networks, device=model.device)
    people = _mean_identities(model, recordings)
    figures, shown = [], []
    for number, recording in enumerate(recordings):
        painted = _generate(face, recording, recordings)
        figures.append(_metrics(model, face, recording, painted, people))
        if page is not None and number < SHOWN_CLIPS:
            shown.append((recording, painted))
    if page is not None:
        _show(model, shown, page)
    names = dict.fromkeys(name for found in figures for name in found)
    known = {n: [f[n] for f in figures if np.isfinite(f.get(n, np.nan))] for n in names}
    return {name: float(np.mean(values)) for name, values in known.items() if values}


def _generate(
    face: Speech2FacePredictor, recording: FaceRecording, others: Sequence[FaceRecording]
) -> np.ndarray:
    if not face.uses_reference_image:
        return face.generate_frames(recording.audio_S)
    same = (one for one in others if one.speaker == recording.speaker and one is not recording)
    reference_image = next(same, recording).frames_T3HW[0]
    return face.generate_frames(recording.audio_S, reference_image=reference_image)


def _mean_identities(
    model: "Speech2FaceModel", recordings: Sequence[FaceRecording]
) -> dict[str, Tensor]:
    """Return each person's mean identity (128,), as the teacher sees their real faces."""
    seen: dict[str, list[Tensor]] = {}
    for one in recordings:
        identity_D = model.recognise(_evaluated_frames(one.frames_T3HW, model)).mean(0)
        seen.setdefault(one.speaker, []).append(identity_D)
    return {speaker: torch.stack(found).mean(0) for speaker, found in seen.items()}


def _metrics(
    model: "Speech2FaceModel",
    face: Speech2FacePredictor,
    recording: FaceRecording,
    painted: np.ndarray,
    people: dict[str, Tensor],
) -> dict[str, float]:
    mel_BL = log_mels(recording.audio_S)
    heard = face.hear([mel_BL])
    boxes = part_boxes(recording.points_TK2, painted.shape[-1], MOUTH)
    looks = _evaluated_frames(painted, model)
    gap_T = lip_shapes(recording.points_TK2)[:, 0]
    said = torch.cat(list(face.content([normalise_utterance(mel_BL)])), 1)
    heard_T = model.networks["heads"]({"lips": said})["lips"][0, :, 0].cpu().numpy()
    images = to_floats(torch.from_numpy(painted)).to(model.device)
    boxes_T4 = torch.from_numpy(boxes).to(model.device)
    shown_T = model.teachers.read_lips(images, boxes_T4)[:, 0].cpu().numpy()
    found = {
        "voice_identity": float(_nearest(heard.identity_D, people) == recording.speaker),
        "identity": float(_nearest(model.recognise(looks).mean(0), people) == recording.speaker),
        "voice_lips": correlation(heard_T, gap_T),
        "lips": correlation(shown_T, gap_T),
        "psnr": float(np.mean(psnr(painted, recording.frames_T3HW))),
        "mouth_ssim": float(
            np.nanmean(mean_in_boxes(ssim_map(painted, recording.frames_T3HW), boxes))
        ),
    }
    if recording.emotion:
        felt = EMOTIONS[int(model.feel(looks).amax(0).argmax())]
        found["voice_emotion"] = float(heard.emotion == recording.emotion)
        found["emotion"] = float(felt == recording.emotion)
    return found


def _show(
    model: "Speech2FaceModel",
    shown: Sequence[tuple[FaceRecording, np.ndarray]],
    page: TrainingLog,
) -> None:
    rows = [(_strip(one.frames_T3HW), _strip(painted)) for one, painted in shown]
    real, made = (np.stack(column) for column in zip(*rows, strict=True))
    page.images(model.step, {"real": real, "painted": made})
    recording, painted = shown[0]
    path = page.video_path(model.step, "real_painted")
    count = min(len(painted), len(recording))
    pairs = zip(recording.frames_T3HW[:count], painted[:count], strict=True)
    write_video(path, (np.concatenate(pair, 2) for pair in pairs))
    page.video(model.step, "real_painted", path)


def _strip(frames_T3HW: np.ndarray) -> np.ndarray:
    numbers = np.linspace(0, len(frames_T3HW) - 1, SHOWN_FRAMES).round().astype(int)
    return np.concatenate(list(frames_T3HW[numbers]), 2)


def _evaluated_frames(frames_T3HW: np.ndarray, model: "Speech2FaceModel") -> Tensor:
    numbers = np.linspace(0, len(frames_T3HW) - 1, EVALUATED_FRAMES).round().astype(int)
    return to_floats(torch.from_numpy(frames_T3HW[numbers])).to(model.device)


def _nearest(identity_D: Tensor, people: dict[str, Tensor]) -> str:
    return max(people, key=lambda name: float(identity_D @ people[name]))


MAIN = "speech2face"  # the optimiser of all but the adversaries
EPSILON = 1e-6  # of Adam, as in pose2video
FRAME_SPACING = (
    3  # frames between pictures before adversaries come: neighbours teach the same twice
)
# Share of a picture's gradient that reaches what is heard: all of that of a generator that has
# learned nothing yet drowns what lips teach, and the mouth stops following speech.
CONTENT_GRADIENT = 0.1
FACE_DISCRIMINATORS: dict[str, tuple[type[nn.Module], str]] = {  # with the kind of their loss
    "frame": (FrameDiscriminator, "hinge"),
    "sequence": (SequenceDiscriminator, "hinge"),
    "sync": (LipSyncDiscriminator, "hinge"),
    "emotion": (EmotionDiscriminator, "vanilla"),
}

FaceModel = Callable[[Tensor], Tensor]


class Speech2FaceModel(BaseModel):
    """Students, generator, teachers, losses and adversaries.

    Args:
        networks: as `speech2face.build` makes them.
        speakers: how many people are trained on.
        schedule: of the stages.
        learning_rate, adversary_rate: of the two kinds of Adam, to begin with.
        painted: share of a batch that faces are painted of.
        pictures: of a stretch that are painted; consecutive ones once adversaries judge them.
        given: teachers of a user's own, "identity" and "emotion", in place of those trained here.
        validated_frames: of each clip that is validated on.
    """

    unused_parameters = True  # each stage leaves some out

    def __init__(
        self,
        networks: nn.ModuleDict,
        *,
        speakers: int,
        schedule: Schedule,
        lr: float,
        lr_d: float,
        painted: float = 0.25,
        pictures: int = 5,
        ema: float | None = 0.998,
        grad_clip: float | None = 1.0,
        weights: FaceLossWeights | None = None,
        given: Mapping[str, FaceModel] | None = None,
        validated_frames: int = 75,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, grad_clip=grad_clip)
        self.schedule, self.lr = schedule, lr
        self.lr_d, self.painted, self.pictures = lr_d, painted, pictures
        self.weights, self.used = weights or FaceLossWeights(), (weights or FaceLossWeights()).used
        self.given, self.validated_frames = dict(given or {}), validated_frames
        for name, network in networks.items():
            self.add_network(name, network, ema_decay=ema)
        self.uses_reference_image = hasattr(networks["generator"], "look")
        self.teachers = self.add_network(
            "teachers", FaceTeachers(speakers=speakers, lips=len(LIPS))
        )
        self.add_network("heads", DistillationHeads(speakers=speakers, lips=len(LIPS)))
        self.add_optimizer(
            MAIN,
            self._adam(self.networks, lr, (0.9, 0.99)),
            lambda step: lr * schedule.rate_share(step),
        )
        for name, (gan_mode, loss) in FACE_DISCRIMINATORS.items():
            judge = gan_mode().to(self.device)
            optimizer = self._adam(judge, lr_d, (0.0, 0.99))
            self.add_discriminator(name, GANDiscriminator(judge, optimizer, gan_mode=loss))

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `FaceMotionDataset`; return its losses."""
        stage = self.schedule.stage(self.step)
        self.teachers.requires_grad_(stage == TEACHERS)
        judged: Losses = {}
        if stage == TEACHERS:
            losses = self._teach(batch)
        elif stage == STUDENTS:
            losses = self._distil(batch)
        else:
            painting, losses = self._paint(batch, apart=FRAME_SPACING if stage == GENERATOR else 1)
            if stage == ADVERSARIAL:
                judged = self._judge(painting)
        losses |= judged
        counted = [self.used[name] * loss for name, loss in losses.items() if name in self.used]
        total = torch.stack(counted).sum() if counted else torch.zeros(())
        if total.requires_grad:
            self.backward_and_step(MAIN, total)
        return {"loss": total, **losses}

    def validate(
        self, batches: Iterable[FaceRecording], page: TrainingLog | None
    ) -> dict[str, float]:
        """Return how held-out sentences of known people look; show some on the page."""
        return validation_metrics(self, batches, page, frames=self.validated_frames)

    def recognise(self, frames_N3HW: Tensor) -> Tensor:
        """Return whom the teacher sees (N, 128), unit vectors."""
        return self.given.get("identity", self.teachers.recognise)(frames_N3HW)

    def feel(self, frames_N3HW: Tensor) -> Tensor:
        """Return the emotions' logits (N, 8) that the teacher sees."""
        return self.given.get("emotion", self.teachers.feel)(frames_N3HW)

    def uses(self, *names: str) -> bool:
        """Return whether any of these losses counts."""
        return any(name in self.used for name in names)

    def only_used(self, terms: Mapping[str, Callable[[], Tensor]]) -> Losses:
        """Return the losses that count; what is left out is not even computed."""
        return {name: term() for name, term in terms.items() if name in self.used}

    def _adam(
        self, network: nn.Module, rate: float, betas: tuple[float, float]
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=rate, betas=betas, eps=EPSILON)

    def _teach(self, batch: Mapping[str, Tensor]) -> Losses:
        rows = teacher_frames(batch["frames"])
        frames, boxes = (batch[name][:, rows].flatten(0, 1) for name in ("frames", "mouth_boxes"))
        seen = self.net("teachers")(to_floats(frames), boxes)
        speaker, emotion = (
            batch[k].repeat_interleave(TEACHER_FRAMES) for k in ("speaker", "emotion")
        )
        lips, lips_seen = batch["lips"][:, rows], batch["lips_seen"][:, rows]
        seen_lips = seen["lips"].unflatten(0, lips_seen.shape)
        return {
            "taught_speaker": masked_cross_entropy(seen["speaker"], speaker),
            "taught_emotion": masked_cross_entropy(seen["emotion"], emotion),
            "taught_lips": masked_mse(seen_lips, lips, lips_seen),
        }

    def _distil(self, batch: Mapping[str, Tensor]) -> Losses:
        hearing = DistillationBatch(self, batch)
        if self.uses("lips", "speaker_in_content"):
            hearing.content()
        if self._knows_people(hearing):
            logits_NP = self.net("generator")(hearing.identity_ND.detach())
            hearing.terms["looks"] = lambda: masked_cross_entropy(logits_NP, batch["speaker"])
        return hearing.losses() | self.only_used(
            {"motion_statistics": lambda: self._motion_error(batch)}
        )

    def _knows_people(self, hearing: DistillationBatch) -> bool:
        """Return whether a generator has a gallery of people who are heard by a taught student."""
        return (
            self.uses("looks") and not self.uses_reference_image and hearing.identity_ND is not None
        )

    def _motion_error(self, batch: Mapping[str, Tensor]) -> Tensor:
        made_NTM, _ = self.net("noise")(batch["noise"])
        return energy_distance(
            made_NTM[:, NOISE_WARM_UP:], self.networks["noise"].standard(batch["motion"])
        )

    def _paint(self, batch: Mapping[str, Tensor], *, apart: int) -> tuple[SynthesisBatch, Losses]:
        """Paint with people's own looks and the feelings their faces show, where those are known.

        A second of speech often sounds like somebody else; whoever is painted as heard in it is
        painted with half of another's hair, and portraits blur into each other.
        """
        hearing, everybody = DistillationBatch(self, batch, painting=True), batch
        content_NTC = hearing.content()
        losses = hearing.losses()
        count = max(1, round(self.painted * len(batch["mel"])))
        batch = {name: tensor[:count] for name, tensor in batch.items()}
        painting = SynthesisBatch(
            batch, pictures=self.pictures, length=content_NTC.shape[1], apart=apart
        )
        said_NPC = painting.picked(content_NTC[:count])
        if self.uses("lips"):
            said_NPC = torch.lerp(said_NPC.detach(), said_NPC, CONTENT_GRADIENT)
        if hearing.felt_N8 is None:
            emotion_N8 = self._heard("emotion", batch["voice"], *EMOTION_TERMS).softmax(1)
        else:
            emotion_N8 = hearing.felt_N8[:count]
        given = said_NPC, emotion_N8, painting.picked(batch["motion"])
        if self._knows_people(hearing):
            identity_ND = hearing.identity_ND.detach()
            painting.identity_ND = identity_ND[:count]
            painting.fake, logits_NP = self.net("generator")(identity_ND, *given, batch["speaker"])
            losses["looks"] = masked_cross_entropy(logits_NP, everybody["speaker"])
        else:
            identity_ND = self._heard("identity", batch["voice"], *IDENTITY_TERMS)
            painting.identity_ND = identity_ND.detach()
            who = to_floats(batch["reference_image"]) if self.uses_reference_image else identity_ND
            painting.fake = self.net("generator")(who, *given)
        terms = painting.picture_terms() | painting.seen_terms(self.teachers)
        return painting, losses | self.only_used(terms)

    def _heard(self, name: str, voice_NBL: Tensor, *distilled: str) -> Tensor:
        """Return what a student hears; it learns by painting only if no teacher teaches it."""
        if self.uses(*distilled) or (name == "identity" and self.uses_reference_image):
            with torch.no_grad():
                return self.networks[name].eval()(voice_NBL)
        return self.net(name).train()(voice_NBL)

    def _judge(self, painting: SynthesisBatch) -> Losses:
        """Let the adversaries learn from a painting; return their losses, and the generator's."""
        losses: Losses = {}
        for name, adversary in self.discriminators.items():
            if name not in self.used:
                continue
            real, fake, given = painting.view(name)
            losses[f"d_{name}"] = adversary.update(real, fake, **given)
            real, fake, given = painting.view(name, painted_only=True)
            if name == "frame":
                both = adversary.generator_losses(real, fake, **given)
                losses |= dict(zip(("frame", "matching"), both, strict=True))
            else:
                losses[name] = adversary.generator_loss(fake, **given)
        return losses
