"""What is heard of voices: whether it tells who and how, and whether it mixes up the two."""

from collections.abc import Sequence

import numpy as np

from evaluation.face_speakers import Cast, Codes
from evaluation.page import Figures
from speech2video.data.face_clip import EMOTIONS
from speech2video.data.face_recording import FaceRecording
from speech2video.util.errors import DataError
from speech2video.util.metrics.classification import (
    LinearProbe,
    accuracy,
    cross_validated,
    macro_f1,
)
from speech2video.util.metrics.identity import one_of_two, top_1

PROBES = {  # what is looked for, and the code it is looked for in
    "speaker_in_emotion_code": ("speaker", "emotion_E"),
    "emotion_in_identity_code": ("emotion", "identity_D"),
    "speaker_in_identity_code": ("speaker", "identity_D"),
    "emotion_in_emotion_code": ("emotion", "emotion_E"),
}


def heard_figures(cast: Cast, clips: Sequence[FaceRecording], codes: Sequence[Codes]) -> Figures:
    """Return how well voices alone tell people who were trained on, and emotions.

    A voice is whose training voices' middle it is nearest to; its emotion is the highest logit.
    """
    scores_NC = cast.voice_scores(codes)
    numbers_N = np.array([cast.speakers.index(r.speaker) for r in clips])
    figures: Figures = {
        "people": len(cast.speakers),
        "voice_top_1": float(top_1(scores_NC, numbers_N).mean()),
        "voice_one_of_two": float(one_of_two(scores_NC, numbers_N).mean()),
    }
    felt = [(r.emotion, one) for r, one in zip(clips, codes, strict=True) if r.emotion]
    if felt:
        said_N = np.array([EMOTIONS[int(one.logits_C.argmax())] for _, one in felt])
        true_N = np.array([emotion for emotion, _ in felt])
        figures["emotion_accuracy"] = accuracy(said_N, true_N)
        figures["emotion_macro_f1"] = macro_f1(said_N, true_N)
    return figures


def probe_figures(
    training: tuple[Sequence[FaceRecording], Sequence[Codes]],
    held_out: tuple[Sequence[FaceRecording], Sequence[Codes]],
) -> Figures:
    """Return what linear probes find in the codes of held-out sentences.

    accuracy  of probes fitted to the codes of the training sentences
    within_held_out  of probes fitted to the other held-out codes: what a code gives away although
        the student, which knows its training sentences, hides it there
    chance  the share of the class that is most frequent
    times_chance  the larger of both, by that
    """
    rows: Figures = {}
    for name, (label, code) in PROBES.items():
        sides = [_side(*side, label, code) for side in (training, held_out)]
        (x_ND, y_N), (held_MD, true_M) = sides
        if min(len(set(y_N)), len(set(true_M))) < 2:
            continue
        found = {"accuracy": accuracy(LinearProbe(x_ND, y_N).predict(held_MD), true_M)}
        within = _within(held_MD, true_M)
        if within is not None:
            found["within_held_out"] = within
        chance = float(np.unique(true_M, return_counts=True)[1].max() / len(true_M))
        rows[name] = found | {"chance": chance, "times_chance": max(found.values()) / chance}
    return rows


def _side(
    clips: Sequence[FaceRecording], codes: Sequence[Codes], label: str, code: str
) -> tuple[np.ndarray, np.ndarray]:
    known = [(getattr(one, code), getattr(r, label)) for r, one in zip(clips, codes, strict=True)]
    known = [(vector, name) for vector, name in known if name]
    vectors = np.stack([vector for vector, _ in known]) if known else np.zeros((0, 1))
    return vectors, np.array([name for _, name in known])


def _within(vectors_ND: np.ndarray, labels_N: np.ndarray) -> float | None:
    """Return the accuracy across folds that hold each class evenly; None with too few of one."""
    rank_N = np.array([int((labels_N[:i] == label).sum()) for i, label in enumerate(labels_N)])
    if rank_N.max() < 1:
        return None
    try:
        return accuracy(cross_validated(vectors_ND, labels_N, rank_N), labels_N)
    except DataError:  # a fold leaves one class only
        return None
