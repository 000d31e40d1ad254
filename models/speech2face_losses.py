"""Speech to face: what each loss counts, and which stage a step belongs to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from speech2video.models.descent import cosine_share
from speech2video.models.losses.loss_weights import weights_of
from speech2video.options.train_speech2face_options import STAGES, TERMS

TEACHERS, STUDENTS, GENERATOR, ADVERSARIES = STAGES
WARM_UP = 50  # steps over which the learning rate rises at first, in each part
ADVERSARY_NAMES = ("frame", "sequence", "sync", "emotion")


@dataclass(frozen=True)
class FaceLossWeights:
    """What each loss counts."""

    # teachers, by labels and landmarks
    taught_speaker: float = 1.0
    taught_emotion: float = 1.0
    taught_lips: float = 1.0
    # students, by what the teachers see
    identity_distance: float = 1.0
    contrast: float = 0.5
    posterior: float = 1.0
    emotion_distance: float = 1.0
    lips: float = 1.0
    # portraits, by the people's mean looks
    looks: float = 1.0
    # what is kept apart
    speaker_in_emotion: float = 0.05
    emotion_in_identity: float = 0.05
    speaker_in_content: float = 0.05
    covariance: float = 0.1
    motion_statistics: float = 1.0
    # pictures
    reconstruction: float = 1.0
    structural: float = 0.2
    movement: float = 1.0
    # pictures as the teachers see them; little, or specks that please them are painted
    seen_identity: float = 0.02
    seen_emotion: float = 0.005
    seen_lips: float = 0.01
    # adversaries
    frame: float = 0.01
    matching: float = 0.05
    sequence: float = 0.005
    sync: float = 0.01
    emotion: float = 0.005

    @classmethod
    def of(cls, pairs: Sequence[str], *, without: Sequence[str] = ()) -> "FaceLossWeights":
        """Return the weights that pairs NAME=NUMBER say, the usual others, 0 for terms left out.

        Raises:
            OptionError: no such loss, or no number that is 0 or more.
        """
        said = cls(**weights_of(pairs, [field.name for field in fields(cls)]))
        return replace(said, **{name: 0.0 for term in without for name in TERMS[term]})

    @property
    def used(self) -> dict[str, float]:
        """The weights of the losses that count at all."""
        return {name: weight for name, weight in asdict(self).items() if weight}


@dataclass(frozen=True)
class Schedule:
    """Which stage a step is of; `ends` are the steps before which each ends."""

    ends: tuple[int, ...]

    def stage(self, step: int) -> str:
        """Return the stage of a step; the last one goes on for ever."""
        return next(
            (n for n, end in zip(STAGES, self.ends, strict=True) if step < end), ADVERSARIES
        )

    def rate_share(self, step: int) -> float:
        """Return the share of the learning rate: it rises and falls once for each part of a run.

        Teachers, students, and the painting of both last stages are parts of their own.
        """
        parts = (0, self.ends[0], self.ends[1], self.ends[-1])
        number = next((i for i in range(2) if step < parts[i + 1]), 2)
        done, length = step - parts[number], parts[number + 1] - parts[number]
        return cosine_share(done, max(length, 1)) * min(1.0, (done + 1) / WARM_UP)
