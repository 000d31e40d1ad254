"""What is heard of voices: whether it tells who and how, and whether it mixes up the two."""

from collections.abc import Sequence

import numpy as np

from evaluation.face_metrics import FaceClassifiers, FaceMetrics
from evaluation.face_systems import Codes, FaceSpeaker, Systems, contrasting_clip
from evaluation.tables import Metrics
from speech2video.data.speech2face.clip import EMOTIONS, FaceRecording
from speech2video.util.errors import DataError
from speech2video.util.metrics.recognition import (
    LinearProbe,
    accuracy,
    cross_validated,
    macro_f1,
    one_of_two,
    top_1,
)

PROBES = {  # what is looked for, and the code it is looked for in
    "speaker_in_emotion_code": ("speaker", "emotion_E"),
    "emotion_in_identity_code": ("emotion", "identity_D"),
    "speaker_in_identity_code": ("speaker", "identity_D"),
    "emotion_in_emotion_code": ("emotion", "emotion_E"),
}


def voice_metrics(cast: Systems, clips: Sequence[FaceRecording], codes: Sequence[Codes]) -> Metrics:
    """Return how well voices alone tell people who were trained on, and emotions.

    A voice is whose training voices' middle it is nearest to; its emotion is the highest logit.
    """
    scores_NC = cast.voice_scores(codes)
    numbers_N = np.array([cast.speakers.index(r.speaker) for r in clips])
    figures: Metrics = {
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


def probe_metrics(
    training: tuple[Sequence[FaceRecording], Sequence[Codes]],
    held_out: tuple[Sequence[FaceRecording], Sequence[Codes]],
) -> Metrics:
    """Return what linear probes find in the codes of held-out sentences.

    accuracy  of probes fitted to the codes of the training sentences
    within_held_out  of probes fitted to the other held-out codes: what a code gives away although
        the student, which knows its training sentences, hides it there
    chance  the share of the class that is most frequent
    times_chance  the larger of both, by that
    """
    rows: Metrics = {}
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


# Emotions by name, and emotions of another voice: are they shown, and is it still the person?

Scores = dict[str, float]


def named_emotion_metrics(
    speaker: FaceSpeaker,
    judges: FaceClassifiers,
    bench: FaceMetrics,
    clips: Sequence[FaceRecording],
    real: Sequence[FaceRecording],
    *,
    emotions: Sequence[str],
    seed: int,
) -> Metrics:
    """Return for each emotion how often it is recognised where it is asked for by name.

    Beside it how often the judge recognises it in real clips, and by how much the likeness to the
    person falls from where nothing is asked for.

    Args:
        speaker: who is asked.
        judges: of both kinds.
        bench: knows the people.
        clips: speech to ask it for.
        real: held-out recordings, for the judge's own score.
        emotions: that the speaker knows; those that the judge knows, too, are asked for.
        seed: of all videos.
    """
    rows: dict[str, list[Scores]] = {e: [] for e in judges.emotion.classes if e in emotions}
    for clip in clips:
        usual = _who(judges, bench, clip, speaker.render(clip.audio_S, seed=seed))
        for name, row in rows.items():
            video = speaker.render(clip.audio_S, emotion=name, seed=seed)
            who = _who(judges, bench, clip, video)
            row.append(
                {"recognised": float(_feels(judges, video) == name)}
                | {"identity": who["cosine_to_person"]}
                | {"identity_falls_by": usual["cosine_to_person"] - who["cosine_to_person"]}
                | {key: value for key, value in who.items() if key == "top_1"}
            )
    figures: Metrics = {name: _means(row) for name, row in rows.items()}
    for name in rows:
        own = [float(_feels(judges, r.frames_T3HW) == name) for r in real if r.emotion == name]
        figures[name]["recognised_in_real"] = float(np.mean(own)) if own else None
    figures["all"] = _means([one for row in rows.values() for one in row])
    return figures


def emotion_swap_metrics(
    speaker: FaceSpeaker,
    judges: FaceClassifiers,
    bench: FaceMetrics,
    pairs: Sequence[tuple[FaceRecording, FaceRecording]],
    *,
    seed: int,
) -> Metrics:
    """Return who is seen and which emotion where one voice says who, and another how it feels.

    Args:
        speaker: who is asked.
        judges: of both kinds.
        bench: knows the people.
        pairs: recordings A, whose words and identity are taken, and B, whose emotion.
        seed: of all videos.
    """
    swapped, usual = [], []
    for a, b in pairs:
        video = speaker.render(a.audio_S, feeling_S=b.audio_S, seed=seed)
        swapped.append(_seen(judges, bench, a, b, video))
        usual.append(_seen(judges, bench, a, b, speaker.render(a.audio_S, seed=seed)))
    return {"swapped": _means(swapped), "as_heard": _means(usual)}


def pairs_of(
    clips: Sequence[FaceRecording], chosen: Sequence[FaceRecording]
) -> list[tuple[FaceRecording, FaceRecording]]:
    """Return each chosen clip with one of another person in another mood, where there is one."""
    places = {id(clip): index for index, clip in enumerate(clips)}
    pairs = [(clip, contrasting_clip(clips, places[id(clip)])) for clip in chosen]
    return [(a, b) for a, b in pairs if a.speaker != b.speaker and a.emotion != b.emotion]


def _seen(
    judges: FaceClassifiers,
    bench: FaceMetrics,
    a: FaceRecording,
    b: FaceRecording,
    video: np.ndarray,
) -> Scores:
    opinion, felt = judges.face.look(video), _feels(judges, video)
    who = judges.face.says(opinion)
    return {
        "seen_as_a": float(who == a.speaker),
        "seen_as_b": float(who == b.speaker),
        "feels_as_a": float(felt == a.emotion),
        "feels_as_b": float(felt == b.emotion),
        "cosine_to_a": bench.identity(a, opinion)["cosine_to_person"],
    }


def _who(
    judges: FaceClassifiers, bench: FaceMetrics, clip: FaceRecording, video: np.ndarray
) -> Scores:
    return bench.identity(clip, judges.face.look(video))


def _feels(judges: FaceClassifiers, video: np.ndarray) -> str:
    return judges.emotion.says(judges.emotion.look(video))


def _means(rows: Sequence[Scores]) -> Metrics:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} if rows else {}
