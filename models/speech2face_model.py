"""Speech to face: how it is trained, in four stages by the number of the step.

teachers      learn from labels and landmarks what there is to see in faces
students      learn to hear it: identity, emotion, how lips stand; and noise learns to move heads
generator     paints what there is to hear; students go on learning to hear it, not by pictures
adversaries   the same, judged by discriminators too
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from speech2video.data.face_motion import AGO, LIPS
from speech2video.data.face_recording import FaceRecording
from speech2video.models.base_model import BaseModel
from speech2video.models.descent import set_rate
from speech2video.models.face_teachers import FaceTeachers
from speech2video.models.losses.adversary import Adversary
from speech2video.models.losses.distillation import energy_distance, labelled_error, masked_error
from speech2video.models.networks.face_discriminators import (
    EmotionDiscriminator,
    FrameDiscriminator,
    SequenceDiscriminator,
    SyncDiscriminator,
)
from speech2video.models.networks.face_heads import Heads
from speech2video.models.pose2video import to_floats
from speech2video.models.speech2face_hearing import (
    EMOTION_TERMS,
    IDENTITY_TERMS,
    LOOKED_AT,
    Hearing,
    Losses,
    looked_at,
)
from speech2video.models.speech2face_losses import (
    ADVERSARIES,
    GENERATOR,
    STUDENTS,
    TEACHERS,
    FaceLossWeights,
    Schedule,
)
from speech2video.models.speech2face_painting import Painting
from speech2video.models.speech2face_validation import validated
from speech2video.util.training_log import TrainingLog

ALL = "speech2face"  # the optimiser of all but the adversaries
EPSILON = 1e-6  # of Adam, as in pose2video
APART = 3  # frames between pictures before adversaries come: neighbours teach the same twice
# Share of a picture's gradient that reaches what is heard: all of that of a generator that has
# learned nothing yet drowns what lips teach, and the mouth stops following speech.
PAINTED_GRADIENT = 0.1
JUDGES: dict[str, tuple[type[nn.Module], str]] = {  # with the kind of their loss
    "frame": (FrameDiscriminator, "hinge"),
    "sequence": (SequenceDiscriminator, "hinge"),
    "sync": (SyncDiscriminator, "hinge"),
    "emotion": (EmotionDiscriminator, "non_saturating"),
}

Look = Callable[[Tensor], Tensor]


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
        learning_rate: float,
        adversary_rate: float,
        painted: float = 0.25,
        pictures: int = 5,
        ema: float | None = 0.998,
        clip: float | None = 1.0,
        weights: FaceLossWeights | None = None,
        given: Mapping[str, Look] | None = None,
        validated_frames: int = 75,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, clip=clip)
        self.schedule, self.learning_rate = schedule, learning_rate
        self.adversary_rate, self.painted, self.pictures = adversary_rate, painted, pictures
        self.weights, self.used = weights or FaceLossWeights(), (weights or FaceLossWeights()).used
        self.given, self.validated_frames = dict(given or {}), validated_frames
        for name, network in networks.items():
            self.add_network(name, network, ema_decay=ema)
        self.takes_still = hasattr(networks["generator"], "look")
        self.teachers = self.add_network(
            "teachers", FaceTeachers(speakers=speakers, lips=len(LIPS))
        )
        self.add_network("heads", Heads(speakers=speakers, lips=len(LIPS)))
        self.optimizers[ALL] = self._adam(self.networks, learning_rate, (0.9, 0.99))
        for name, (kind, loss) in JUDGES.items():
            judge = kind().to(self.device)
            optimizer = self._adam(judge, adversary_rate, (0.0, 0.99))
            self.add_adversary(name, Adversary(judge, optimizer, kind=loss))

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `FaceMotionDataset`; return its losses."""
        stage = self.schedule.stage(self.step)
        set_rate(self.optimizers[ALL], self.learning_rate * self.schedule.rate_share(self.step))
        self.teachers.requires_grad_(stage == TEACHERS)
        judged: Losses = {}
        if stage == TEACHERS:
            losses = self._teach(batch)
        elif stage == STUDENTS:
            losses = self._distil(batch)
        else:
            painting, losses = self._paint(batch, apart=APART if stage == GENERATOR else 1)
            if stage == ADVERSARIES:
                judged = self._judge(painting)
        losses |= judged
        counted = [self.used[name] * loss for name, loss in losses.items() if name in self.used]
        total = torch.stack(counted).sum() if counted else torch.zeros(())
        if total.requires_grad:
            self.descend(ALL, total)
        return {"loss": total, **losses}

    def validate(
        self, batches: Iterable[FaceRecording], page: TrainingLog | None
    ) -> dict[str, float]:
        """Return how held-out sentences of known people look; show some on the page."""
        return validated(self, batches, page, frames=self.validated_frames)

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
        rows = looked_at(batch["frames"])
        frames, boxes = (batch[name][:, rows].flatten(0, 1) for name in ("frames", "mouth_boxes"))
        seen = self.net("teachers")(to_floats(frames), boxes)
        speaker, emotion = (batch[k].repeat_interleave(LOOKED_AT) for k in ("speaker", "emotion"))
        lips, lips_seen = batch["lips"][:, rows], batch["lips_seen"][:, rows]
        seen_lips = seen["lips"].unflatten(0, lips_seen.shape)
        return {
            "taught_speaker": labelled_error(seen["speaker"], speaker),
            "taught_emotion": labelled_error(seen["emotion"], emotion),
            "taught_lips": masked_error(seen_lips, lips, lips_seen),
        }

    def _distil(self, batch: Mapping[str, Tensor]) -> Losses:
        hearing = Hearing(self, batch)
        if self.uses("lips", "speaker_in_content"):
            hearing.content()
        if self._knows_people(hearing):
            logits_NP = self.net("generator")(hearing.identity_ND.detach())
            hearing.terms["looks"] = lambda: labelled_error(logits_NP, batch["speaker"])
        return hearing.losses() | self.only_used(
            {"motion_statistics": lambda: self._motion_error(batch)}
        )

    def _knows_people(self, hearing: Hearing) -> bool:
        """Return whether a generator has a gallery of people who are heard by a taught student."""
        return self.uses("looks") and not self.takes_still and hearing.identity_ND is not None

    def _motion_error(self, batch: Mapping[str, Tensor]) -> Tensor:
        made_NTM, _ = self.net("noise")(batch["noise"])
        return energy_distance(made_NTM[:, AGO:], self.networks["noise"].standard(batch["motion"]))

    def _paint(self, batch: Mapping[str, Tensor], *, apart: int) -> tuple[Painting, Losses]:
        """Paint with people's own looks and the feelings their faces show, where those are known.

        A second of speech often sounds like somebody else; whoever is painted as heard in it is
        painted with half of another's hair, and portraits blur into each other.
        """
        hearing, everybody = Hearing(self, batch, painting=True), batch
        content_NTC = hearing.content()
        losses = hearing.losses()
        count = max(1, round(self.painted * len(batch["mel"])))
        batch = {name: tensor[:count] for name, tensor in batch.items()}
        painting = Painting(batch, pictures=self.pictures, length=content_NTC.shape[1], apart=apart)
        said_NPC = painting.picked(content_NTC[:count])
        if self.uses("lips"):
            said_NPC = torch.lerp(said_NPC.detach(), said_NPC, PAINTED_GRADIENT)
        if hearing.felt_N8 is None:
            emotion_N8 = self._heard("emotion", batch["voice"], *EMOTION_TERMS).softmax(1)
        else:
            emotion_N8 = hearing.felt_N8[:count]
        given = said_NPC, emotion_N8, painting.picked(batch["motion"])
        if self._knows_people(hearing):
            identity_ND = hearing.identity_ND.detach()
            painting.identity_ND = identity_ND[:count]
            painting.fake, logits_NP = self.net("generator")(identity_ND, *given, batch["speaker"])
            losses["looks"] = labelled_error(logits_NP, everybody["speaker"])
        else:
            identity_ND = self._heard("identity", batch["voice"], *IDENTITY_TERMS)
            painting.identity_ND = identity_ND.detach()
            who = to_floats(batch["still"]) if self.takes_still else identity_ND
            painting.fake = self.net("generator")(who, *given)
        terms = painting.picture_terms() | painting.seen_terms(self.teachers)
        return painting, losses | self.only_used(terms)

    def _heard(self, name: str, voice_NBL: Tensor, *distilled: str) -> Tensor:
        """Return what a student hears; it learns by painting only if no teacher teaches it."""
        if self.uses(*distilled) or (name == "identity" and self.takes_still):
            with torch.no_grad():
                return self.networks[name].eval()(voice_NBL)
        return self.net(name).train()(voice_NBL)

    def _judge(self, painting: Painting) -> Losses:
        """Let the adversaries learn from a painting; return their losses, and the generator's."""
        losses: Losses = {}
        for name, adversary in self.adversaries.items():
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
