"""Speech to face: how it is trained, in four stages by the number of the step.

teachers      learn from labels and landmarks what there is to see in faces
students      learn to hear it: identity, emotion, how lips stand; and noise learns to move heads
generator     paints what there is to hear; students go on learning to hear it, not by pictures
adversaries   the same, judged by discriminators too
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speech2video.data.face_motion import AGO, LIPS
from speech2video.data.face_recording import FaceRecording
from speech2video.models.base_model import BaseModel
from speech2video.models.descent import set_rate
from speech2video.models.face_teachers import FaceTeachers
from speech2video.models.losses.adversary import Adversary
from speech2video.models.losses.distillation import (
    contrast,
    cross_covariance,
    emotion_distance,
    energy_distance,
    identity_distance,
    labelled_error,
    masked_error,
    posterior_distance,
    reversed_gradient,
)
from speech2video.models.networks.face_discriminators import (
    EmotionDiscriminator,
    FrameDiscriminator,
    SequenceDiscriminator,
    SyncDiscriminator,
)
from speech2video.models.networks.face_heads import Heads
from speech2video.models.pose2video import to_floats
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
IDENTITY_TERMS = ("identity_distance", "contrast", "posterior")
APART = 3  # frames between pictures before adversaries come: neighbours teach the same twice
LOOKS = 3  # frames of a stretch that teachers look at
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
Losses = dict[str, Tensor]
Terms = dict[str, Callable[[], Tensor]]


@dataclass(frozen=True, eq=False)
class Hearing:
    """What the students of who and how hear in a batch.

    Attributes:
        codes, terms: for `_read`, and losses, each to be computed when it is asked for.
        identity_ND: by masked voices; None where nobody listens.
        felt_N8: what the teacher sees of emotions, 1 together; None where nobody listens.
    """

    codes: dict[str, Tensor]
    terms: Terms
    identity_ND: Tensor | None
    felt_N8: Tensor | None


class Speech2FaceModel(BaseModel):
    """Students, generator, teachers, losses and adversaries.

    Args:
        networks: as `speech2face.build` makes them.
        speakers: how many people are trained on.
        schedule: of the stages.
        learning_rate, adversary_rate: of the two kinds of Adam, to begin with.
        painted: share of a batch that faces are painted of.
        pictures: of a stretch that are painted; consecutive ones once adversaries judge them.
        looks: (P, K) of the people, what their portraits begin as; see `Portrait.begin_with`.
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
        looks: Tensor | None = None,
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
        self.looks_PK = None if looks is None else looks.to(self.device)
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

    def _adam(
        self, network: nn.Module, rate: float, betas: tuple[float, float]
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=rate, betas=betas, eps=EPSILON)

    def _uses(self, *names: str) -> bool:
        return any(name in self.used for name in names)

    def _only_used(self, terms: Mapping[str, Callable[[], Tensor]]) -> Losses:
        """Return the losses that count; what is left out is not even computed."""
        return {name: term() for name, term in terms.items() if name in self.used}

    def _teach(self, batch: Mapping[str, Tensor]) -> Losses:
        rows = _looks(batch["frames"])
        frames, boxes = (batch[name][:, rows].flatten(0, 1) for name in ("frames", "mouth_boxes"))
        seen = self.net("teachers")(to_floats(frames), boxes)
        speaker, emotion = (batch[k].repeat_interleave(LOOKS) for k in ("speaker", "emotion"))
        lips, lips_seen = batch["lips"][:, rows], batch["lips_seen"][:, rows]
        seen_lips = seen["lips"].unflatten(0, lips_seen.shape)
        return {
            "taught_speaker": labelled_error(seen["speaker"], speaker),
            "taught_emotion": labelled_error(seen["emotion"], emotion),
            "taught_lips": masked_error(seen_lips, lips, lips_seen),
        }

    def _distil(self, batch: Mapping[str, Tensor]) -> Losses:
        heard = self._hear(batch)
        codes, terms = heard.codes, heard.terms
        if self._uses("lips", "speaker_in_content"):
            codes |= self._content_codes(self._content(batch["mel"]))
        if self._knows_looks(heard):
            guess_NK = self.net("generator")(heard.identity_ND.detach())
            terms["looks"] = lambda: self._looks_error(guess_NK, batch["speaker"])
        losses = self._only_used(terms) | self._read(codes, batch)
        return losses | self._only_used({"motion_statistics": lambda: self._motion_error(batch)})

    def _hear(self, batch: Mapping[str, Tensor], *, painting: bool = False) -> Hearing:
        """Return what both students hear, and their losses.

        They go on learning while there is painting; but those without a teacher learn by it then.
        """
        voice, codes, terms = batch["masked_voice"], {}, {}
        who, how = self._uses(*IDENTITY_TERMS), self._uses("emotion_distance")
        if not painting:
            who = who or self._uses("emotion_in_identity", "covariance")
            how = how or self._uses("speaker_in_emotion", "covariance")
        if not (who or how):
            return Hearing({}, {}, None, None)
        with torch.no_grad():
            frames = to_floats(batch["frames"][:, _looks(batch["frames"])])
            seen_ND = nn.functional.normalize(
                self.recognise(frames.flatten(0, 1)).unflatten(0, (-1, LOOKS)).mean(1), dim=1
            )
            felt_NT8 = self.feel(frames.flatten(0, 1)).unflatten(0, (-1, LOOKS))
        identity_ND = emotion_N8 = None
        if who:
            identity_ND = self.net("identity").train()(voice)
            codes["emotion_in_identity"] = reversed_gradient(identity_ND)
            terms["identity_distance"] = lambda: identity_distance(identity_ND, seen_ND)
            terms["contrast"] = lambda: contrast(identity_ND, seen_ND)
            if "identity" not in self.given:  # a network of the user's own knows no such people
                tell = self.teachers.tell_people
                terms["posterior"] = lambda: posterior_distance(tell(identity_ND), tell(seen_ND))
        if how:
            logits_N8 = self.net("emotion").train()(voice)
            emotion_N8 = logits_N8.softmax(1)
            codes["speaker_in_emotion"] = reversed_gradient(emotion_N8)
            terms["emotion_distance"] = lambda: emotion_distance(logits_N8, felt_NT8)
        if who and how:
            terms["covariance"] = lambda: cross_covariance(identity_ND, emotion_N8)
        felt_N8 = felt_NT8.mean(1).softmax(1) if how else None
        return Hearing(codes, terms, identity_ND, felt_N8)

    def _knows_looks(self, heard: Hearing) -> bool:
        return heard.identity_ND is not None and self.looks_PK is not None and self._uses("looks")

    def _looks_error(self, guess_NK: Tensor, speaker_N: Tensor) -> Tensor:
        """Return how far portraits are from people's own, before any of them is painted.

        Else a generator would have to find out whom a code means while it paints with it.
        """
        return (guess_NK - self.looks_PK[speaker_N]).square().mean()

    def _motion_error(self, batch: Mapping[str, Tensor]) -> Tensor:
        made_NTM, _ = self.net("noise")(batch["noise"])
        return energy_distance(made_NTM[:, AGO:], self.networks["noise"].standard(batch["motion"]))

    def _content(self, mel_NBL: Tensor) -> Tensor:
        """Return content (N, T − look-ahead, 256), each at its own frame."""
        content_NTC, _ = self.net("content")(mel_NBL)
        return content_NTC[:, self.networks["content"].look_ahead :]

    def _content_codes(self, content_NTC: Tensor) -> dict[str, Tensor]:
        return {"lips": content_NTC, "speaker_in_content": reversed_gradient(content_NTC.mean(1))}

    def _read(self, codes: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Losses:
        """Return the losses of the heads."""
        codes = {name: code for name, code in codes.items() if name in self.used}
        read = self.net("heads")(codes) if codes else {}
        losses = {}
        for name, guess in read.items():
            if name == "lips":
                lips, seen = (batch[k][:, : guess.shape[1]] for k in ("lips", "lips_seen"))
                losses[name] = masked_error(guess, lips, seen)
            else:
                losses[name] = labelled_error(guess, batch[name.partition("_")[0]])
        return losses

    def _paint(self, batch: Mapping[str, Tensor], *, apart: int) -> tuple[Painting, Losses]:
        """Paint with people's own looks and the feelings their faces show, where those are known.

        A second of speech often sounds like somebody else; whoever is painted as heard in it is
        painted with half of another's hair, and portraits blur into each other.
        """
        content_NTC = self._content(batch["mel"])
        heard, everybody = self._hear(batch, painting=True), batch
        losses = self._only_used(heard.terms)
        losses |= self._read(heard.codes | self._content_codes(content_NTC), batch)
        count = max(1, round(self.painted * len(batch["mel"])))
        batch = {name: tensor[:count] for name, tensor in batch.items()}
        painting = Painting(batch, pictures=self.pictures, length=content_NTC.shape[1], apart=apart)
        identity_ND = self._heard("identity", batch["voice"], *IDENTITY_TERMS)
        painting.identity_ND = identity_ND.detach()
        said_NPC = painting.picked(content_NTC[:count])
        if self._uses("lips"):
            said_NPC = torch.lerp(said_NPC.detach(), said_NPC, PAINTED_GRADIENT)
        if heard.felt_N8 is None:
            emotion_N8 = self._heard("emotion", batch["voice"], "emotion_distance").softmax(1)
        else:
            emotion_N8 = heard.felt_N8[:count]
        given = said_NPC, emotion_N8, painting.picked(batch["motion"])
        if self._knows_looks(heard):
            looks_NK = self.looks_PK[batch["speaker"]]
            painting.fake, guess_NK = self.net("generator")(
                heard.identity_ND.detach(), *given, looks_NK
            )
            losses["looks"] = self._looks_error(guess_NK, everybody["speaker"])
        else:
            who = to_floats(batch["still"]) if self.takes_still else identity_ND
            painting.fake = self.net("generator")(who, *given)
        terms = painting.picture_terms() | painting.seen_terms(self.teachers)
        return painting, losses | self._only_used(terms)

    def _heard(self, name: str, voice_NBL: Tensor, *distilled: str) -> Tensor:
        """Return what a student hears; it learns by painting only if no teacher teaches it."""
        if self._uses(*distilled) or (name == "identity" and self.takes_still):
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


def _looks(frames_NT3HW: Tensor) -> Tensor:
    """Return the numbers of the frames that teachers look at."""
    return torch.linspace(0, frames_NT3HW.shape[1] - 1, LOOKS).long()
