"""Emotions by name, and emotions of another voice: are they shown, and is it still the person?"""

from collections.abc import Sequence

import numpy as np

from evaluation.face_bench import Bench, Judges
from evaluation.face_speakers import FaceSpeaker, somebody_else
from evaluation.page import Figures
from speech2video.data.face_recording import FaceRecording

Scores = dict[str, float]


def named_figures(
    speaker: FaceSpeaker,
    judges: Judges,
    bench: Bench,
    clips: Sequence[FaceRecording],
    real: Sequence[FaceRecording],
    *,
    emotions: Sequence[str],
    seed: int,
) -> Figures:
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
        usual = _who(judges, bench, clip, speaker.render(clip.wave_S, seed=seed))
        for name, row in rows.items():
            video = speaker.render(clip.wave_S, emotion=name, seed=seed)
            who = _who(judges, bench, clip, video)
            row.append(
                {"recognised": float(_feels(judges, video) == name)}
                | {"identity": who["cosine_to_person"]}
                | {"identity_falls_by": usual["cosine_to_person"] - who["cosine_to_person"]}
                | {key: value for key, value in who.items() if key == "top_1"}
            )
    figures: Figures = {name: _means(row) for name, row in rows.items()}
    for name in rows:
        own = [float(_feels(judges, r.frames_T3HW) == name) for r in real if r.emotion == name]
        figures[name]["recognised_in_real"] = float(np.mean(own)) if own else None
    figures["all"] = _means([one for row in rows.values() for one in row])
    return figures


def swap_figures(
    speaker: FaceSpeaker,
    judges: Judges,
    bench: Bench,
    pairs: Sequence[tuple[FaceRecording, FaceRecording]],
    *,
    seed: int,
) -> Figures:
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
        video = speaker.render(a.wave_S, feeling_S=b.wave_S, seed=seed)
        swapped.append(_seen(judges, bench, a, b, video))
        usual.append(_seen(judges, bench, a, b, speaker.render(a.wave_S, seed=seed)))
    return {"swapped": _means(swapped), "as_heard": _means(usual)}


def pairs_of(
    clips: Sequence[FaceRecording], chosen: Sequence[FaceRecording]
) -> list[tuple[FaceRecording, FaceRecording]]:
    """Return each chosen clip with one of another person in another mood, where there is one."""
    places = {id(clip): index for index, clip in enumerate(clips)}
    pairs = [(clip, somebody_else(clips, places[id(clip)])) for clip in chosen]
    return [(a, b) for a, b in pairs if a.speaker != b.speaker and a.emotion != b.emotion]


def _seen(
    judges: Judges, bench: Bench, a: FaceRecording, b: FaceRecording, video: np.ndarray
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


def _who(judges: Judges, bench: Bench, clip: FaceRecording, video: np.ndarray) -> Scores:
    return bench.identity(clip, judges.face.look(video))


def _feels(judges: Judges, video: np.ndarray) -> str:
    return judges.emotion.says(judges.emotion.look(video))


def _means(rows: Sequence[Scores]) -> Figures:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} if rows else {}
