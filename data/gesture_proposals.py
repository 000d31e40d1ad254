"""A dictionary proposed from a data set, and one taken from a list that a person wrote."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from speech2video.data.clip import Clip
from speech2video.data.gesture_cutting import cut, parts_of
from speech2video.data.gesture_dictionary import (
    Example,
    GestureDictionary,
    GestureEntry,
    spelling,
)
from speech2video.data.gesture_evidence import DEPARTS, credible, findings
from speech2video.data.gesture_hands import Finding, Hands, Take
from speech2video.data.motion import FPS
from speech2video.data.motion_file import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.transcript import read_words

LIST_HEADER = ("word", "clip", "start", "end", "probability")
POSE_SECONDS = 0.06  # a listed stretch no longer than this is a key pose

Predict = Callable[[Clip], Tensor]


def read_takes(clips: Sequence[Clip], body: Body, predict: Predict | None = None) -> list[Take]:
    """Return the clips that have words, as the search sees them.

    `predict` gives the pose (T, 106) to be expected in a clip, from its sound; without it, the
    median pose of the clip is expected.

    Raises:
        DataError: no clip has words, or a broken one.
    """
    takes = []
    for clip in clips:
        if not clip.words.is_file():
            continue
        pose_TP = read_motion(clip.pose).pose_vector(body)
        expected_TP = predict(clip) if predict else None
        if expected_TP is not None and expected_TP.shape != pose_TP.shape:
            raise DataError(
                f"{clip.folder}: a prediction of shape {tuple(expected_TP.shape)}; "
                f"{tuple(pose_TP.shape)} is needed"
            )
        takes.append(Take(clip.folder.name, pose_TP, read_words(clip.words), expected_TP))
    if not takes:
        raise DataError(
            f"{clips[0].folder.parent if clips else 'data set'}: no clip has words.csv; gestures "
            "are found by words (preprocess with --transcripts or --recognise)"
        )
    return takes


def propose(
    takes: Sequence[Take],
    body: Body,
    *,
    least: int = 3,
    most: int = 60,
    false_share: float = 0.05,
    seed: int = 0,
) -> tuple[GestureDictionary, list[Finding]]:
    """Return a dictionary of this person's gestures, the surest first, and what speaks for each.

    Args:
        takes: the person's clips.
        body: the body they are for.
        least: a word must be said so often, at least 2.
        most: entries at most.
        false_share: about the share of the entries that may be chance.
        seed: of the random moments that words are compared with.
    """
    hands = Hands(takes, body)
    found = credible(findings(takes, hands, least=least, seed=seed), false_share=false_share)
    found = sorted(found, key=lambda finding: -finding.score * finding.departure)[:most]
    entries = tuple(cut(finding, takes, hands) for finding in found)
    return GestureDictionary(entries, body.name), found


def read_list(path: Path, takes: Sequence[Take], body: Body) -> tuple[GestureEntry, ...]:
    """Return the entries of a csv file: `word,clip,start,end,probability`.

    `word` may be several spellings with | between. `clip` is a clip's name, `start` and `end` are
    the seconds of the gesture in it, equal for a key pose. The key is where its hands are furthest
    from the clip's usual. Hands that stay where they usually are take no part.

    Raises:
        DataError: unreadable, a clip that is not there, or numbers that make no sense.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as text ({error}); a csv list is needed") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    seen = tuple(field.strip().lower() for field in reader.fieldnames or ())
    if not set(LIST_HEADER) <= set(seen):
        raise DataError(
            f"{path}: the header {','.join(LIST_HEADER)} is needed, seen: {','.join(seen)}"
        )
    reader.fieldnames = seen
    by_name = {take.name: take for take in takes}
    entries: list[GestureEntry] = []
    for row in reader:
        try:
            entry = _listed(row, by_name, body)
        except DataError as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from None
        taken = sum(other.words == entry.words for other in entries)
        entries.append(replace(entry, name=f"{entry.name} {taken + 1}") if taken else entry)
    return tuple(entries)


def joined(listed: Sequence[GestureEntry], proposed: GestureDictionary) -> GestureDictionary:
    """Return a dictionary of both; a word that a person listed is not proposed as well."""
    words = {spelling(word) for entry in listed for word in entry.words}
    others = [e for e in proposed.entries if not words & set(map(spelling, e.words))]
    return GestureDictionary((*listed, *others), proposed.body)


def _listed(row: dict[str, str], takes: dict[str, Take], body: Body) -> GestureEntry:
    words = tuple(word.strip() for word in (row["word"] or "").split("|"))
    clip = (row["clip"] or "").strip()
    if clip not in takes:
        raise DataError(f"no clip {clip!r} with words in the data set")
    take = takes[clip]
    start, end, probability = (_number(row, key) for key in ("start", "end", "probability"))
    seconds = len(take.pose_TP) / FPS
    if not 0 <= start <= end <= seconds:
        raise DataError(f"{start:g} to {end:g} s; 0 <= start <= end <= {seconds:g} is needed")
    last = len(take.pose_TP) - 1
    first = min(last, round(start * FPS))
    stop = first if end - start <= POSE_SECONDS else min(last, round(end * FPS))
    departure = Hands([replace(take, expected_TP=None)], body).departure[0][first : stop + 1]
    key = int(departure.max(1).argmax())
    sides = [side for side in (0, 1) if departure[key, side] >= DEPARTS]
    key_time = (first + key + 0.5) / FPS
    times = {} if stop == first else {"lead": key / FPS, "hold": (stop - first - key) / FPS}
    return GestureEntry(
        name=words[0],
        words=words,
        probability=probability,
        parts=parts_of(sides or [int(departure[key].argmax())]),
        motion_NP=take.pose_TP[first : stop + 1].clone(),
        key=key,
        key_in_word=_place(take, words, key_time),
        seen=sum(
            spelling(word.text) in map(spelling, words) for t in takes.values() for word in t.words
        ),
        made=1,
        examples=(Example(clip, start, round(key_time, 2), end),),
        **times,
    )


def _place(take: Take, words: Sequence[str], time: float) -> float:
    """Return where in its word a moment is, 0.5 where the word is not said within a second."""
    wanted = set(map(spelling, words))
    near = [w for w in take.words if spelling(w.text) in wanted and w.end > w.start]
    nearest = min(near, key=lambda w: abs((w.start + w.end) / 2 - time), default=None)
    if nearest is None or not nearest.start - 1 < time < nearest.end + 1:
        return 0.5
    place = (time - nearest.start) / max(0.04, nearest.end - nearest.start)
    return round(float(np.clip(place, -5, 5)), 3)


def _number(row: dict[str, str], key: str) -> float:
    try:
        value = float(row[key] or "")
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{key} is {row[key]!r}; a number is needed")
    return value
