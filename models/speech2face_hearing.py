"""What students hear in a batch, and the losses by which teachers who see its faces teach it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from speech2video.models.losses.distillation import (
    contrast,
    cross_covariance,
    emotion_distance,
    identity_distance,
    labelled_error,
    masked_error,
    posterior_distance,
    reversed_gradient,
)
from speech2video.models.pose2video import to_floats

if TYPE_CHECKING:
    from speech2video.models.speech2face_model import Speech2FaceModel

LOOKED_AT = 3  # frames of a stretch that teachers look at
IDENTITY_TERMS = ("identity_distance", "contrast", "posterior")
EMOTION_TERMS = ("emotion_distance",)

Losses = dict[str, Tensor]


class Hearing:
    """What is heard in a batch of `FaceMotionDataset`.

    Students go on learning while there is painting; but those without a teacher learn by it then,
    and are not heard here.

    Args:
        model: whose students, teachers and weights of losses these are.
        batch: N items.
        painting: whether there is painting.

    Attributes:
        terms: losses, each to be computed when it is asked for.
        identity_ND: by masked voices; None where nobody listens for it.
        felt_N8: what the teacher sees of emotions, 1 together; None where nobody listens for them.
    """

    identity_ND: Tensor | None = None
    felt_N8: Tensor | None = None

    def __init__(
        self, model: "Speech2FaceModel", batch: Mapping[str, Tensor], *, painting: bool = False
    ) -> None:
        self.model, self.batch = model, batch
        self.terms: dict[str, Callable[[], Tensor]] = {}
        self._codes: dict[str, Tensor] = {}  # what the heads read
        who, how = model.uses(*IDENTITY_TERMS), model.uses(*EMOTION_TERMS)
        if not painting:
            who = who or model.uses("emotion_in_identity", "covariance")
            how = how or model.uses("speaker_in_emotion", "covariance")
        if who or how:
            self._hear(who=who, how=how)

    def content(self) -> Tensor:
        """Return what is said (N, T − look-ahead, 256), each at its own frame."""
        content_NTC, _ = self.model.net("content").train()(self.batch["masked_mel"])
        content_NTC = content_NTC[:, self.model.networks["content"].look_ahead :]
        self._codes["lips"] = content_NTC
        self._codes["speaker_in_content"] = reversed_gradient(content_NTC.mean(1))
        return content_NTC

    def losses(self) -> Losses:
        """Return the losses that count, of all that was heard by now."""
        return self.model.only_used(self.terms) | self._read()

    def _hear(self, *, who: bool, how: bool) -> None:
        model, voice_NBL = self.model, self.batch["masked_voice"]
        seen_ND, felt_NT8 = self._seen()
        if who:
            identity_ND = self.identity_ND = model.net("identity").train()(voice_NBL)
            self._codes["emotion_in_identity"] = reversed_gradient(identity_ND)
            self.terms["identity_distance"] = lambda: identity_distance(identity_ND, seen_ND)
            self.terms["contrast"] = lambda: contrast(identity_ND, seen_ND)
            if "identity" not in model.given:  # a network of the user's own knows no such people
                tell = model.teachers.tell_people
                self.terms["posterior"] = lambda: posterior_distance(
                    tell(identity_ND), tell(seen_ND)
                )
        if how:
            logits_N8 = model.net("emotion").train()(voice_NBL)
            emotion_N8 = logits_N8.softmax(1)
            self.felt_N8 = felt_NT8.mean(1).softmax(1)
            self._codes["speaker_in_emotion"] = reversed_gradient(emotion_N8)
            self.terms["emotion_distance"] = lambda: emotion_distance(logits_N8, felt_NT8)
        if who and how:
            self.terms["covariance"] = lambda: cross_covariance(identity_ND, emotion_N8)

    @torch.no_grad()
    def _seen(self) -> tuple[Tensor, Tensor]:
        """Return what teachers see: identities (N, 128), and emotions' logits (N, 3, 8)."""
        frames = to_floats(self.batch["frames"][:, looked_at(self.batch["frames"])]).flatten(0, 1)
        identity_ND = self.model.recognise(frames).unflatten(0, (-1, LOOKED_AT)).mean(1)
        felt_NT8 = self.model.feel(frames).unflatten(0, (-1, LOOKED_AT))
        return nn.functional.normalize(identity_ND, dim=1), felt_NT8

    def _read(self) -> Losses:
        """Return the losses of the heads."""
        codes = {name: code for name, code in self._codes.items() if self.model.uses(name)}
        read = self.model.net("heads")(codes) if codes else {}
        losses = {}
        for name, guess in read.items():
            if name == "lips":
                lips, seen = (self.batch[k][:, : guess.shape[1]] for k in ("lips", "lips_seen"))
                losses[name] = masked_error(guess, lips, seen)
            else:
                losses[name] = labelled_error(guess, self.batch[name.partition("_")[0]])
        return losses


def looked_at(frames_NT3HW: Tensor) -> Tensor:
    """Return the numbers of the frames that teachers look at."""
    return torch.linspace(0, frames_NT3HW.shape[1] - 1, LOOKED_AT).long()
