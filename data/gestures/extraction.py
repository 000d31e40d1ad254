"""Gestures cut out of a motion: when the hands arrive, how long they stay, which parts move."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from speech2video.data.clip import Clip
from speech2video.data.gestures.dictionary import Example, GestureDictionary, GestureEntry, spelling
from speech2video.data.gestures.mining import (
    COURSE,
    DEPARTS,
    GestureCandidate,
    HandTrajectories,
    MiningClip,
    Occurrence,
    find_candidates,
    rms_distance,
    significant_candidates,
)
from speech2video.data.motion_io import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.text.transcript import read_words
from speech2video.util.timing import FPS

BEFORE, AFTER = 22, 38  # frames looked at before and after the moment that was compared
SHIFT = 8  # frames by which one occurrence may be late or early
ALIGNED = (-10, 14)  # frames about the moment that are compared for it
QUARTER, HALF = 0.2828, 0.5  # a minimum-jerk reach goes from 1/4 to 3/4 of its way in that share
RAMP_IN, RAMP_OUT = (0.28, 0.6), 0.6  # seconds, least and most; the way back is hard to see
HOLD = (0.16, 2.0)  # seconds, least and most
LEAST_LEAD = 0.14  # seconds of course before the key: less is part of the way in
SEVERAL = 4  # occurrences from which their spread over time can be read
STILL = 0.045  # metres: a gesture that moves less is a pose
TOGETHER = 0.5  # share of the usual spread: with less they do the same,
OTHER_TOGETHER = 0.38  # and the other hand takes part
MARGIN = 2  # frames more of a motion, for the ramps
EXAMPLES = 6


@dataclass(frozen=True)
class _Made:
    """One time a gesture was made: where, by which hand, and its moment as a frame."""

    one: Occurrence
    hand: int
    moment: int


@dataclass(frozen=True)
class _Timing:
    """When the gestures happen; frames from their moments, seconds where said so."""

    keys: list[float]
    ramp_in: float  # seconds
    lead: float  # seconds
    hold: float  # seconds


def extract_gesture(
    finding: GestureCandidate, takes: Sequence[MiningClip], hands: HandTrajectories
) -> GestureEntry:
    """Return the dictionary's entry for what a word's occurrences have in common.

    Its probability is their share, less what chance would give. The motion is the medoid's. The key
    is where the hands arrive at what they then hold: ways in are taken for minimum-jerk reaches,
    whose arrival is read from when they have a quarter, half and three quarters behind them.
    """
    made = _aligned(finding, hands)
    medoid = next(m for m in made if m.one is finding.occurrences[finding.medoid[0]])
    usual = _usual_spread(hands)
    timing = _timing(made, hands, usual)
    key = medoid.moment + timing.keys[made.index(medoid)]
    count, chance = len(finding.occurrences), finding.chance
    places = [
        ((m.moment + k + 0.5) / FPS - m.one.word.start) / max(0.04, _length(m.one))
        for m, k in zip(made, timing.keys, strict=True)
    ]
    take = takes[medoid.one.take]
    motion_NP, place = _motion(take.pose_TP, hands.points[medoid.one.take], key, timing, medoid)
    sides = (medoid.hand, 1 - medoid.hand) if _both(made, timing, hands, usual) else (medoid.hand,)
    return GestureEntry(
        name=finding.word,
        words=(finding.word,),
        probability=round(float(np.clip((len(made) / count - chance) / (1 - chance), 0, 1)), 2),
        parts=hand_parts(sides),
        motion_NP=motion_NP,
        key=place,
        key_in_word=round(float(np.clip(np.median(places), -5, 5)), 3),
        ramp_in=round(timing.ramp_in, 2),
        lead=round(timing.lead, 2),
        hold=round(timing.hold, 2),
        ramp_out=RAMP_OUT,
        seen=count,
        made=len(made),
        examples=_examples(made, medoid, timing, takes),
    )


def hand_parts(sides: Sequence[int]) -> tuple[str, ...]:
    """Return the parts that gestures of these hands own; 0 is left, 1 right."""
    names = [("left", "right")[side] for side in sorted(sides)]
    return tuple(f"{name}_{part}" for name in names for part in ("arm", "hand"))


def _length(one: Occurrence) -> float:
    return one.word.end - one.word.start


def _aligned(finding: GestureCandidate, hands: HandTrajectories) -> list[_Made]:
    """Return where the gesture was made, each moment where it looks most like the medoid's."""
    medoid, hand = finding.medoid
    centre = finding.lag + COURSE[len(COURSE) // 2]
    pairs = zip(finding.occurrences, finding.hand_N, strict=True)
    made = [_Made(one, int(h), one.middle + centre) for one, h in pairs if h >= 0]
    pattern = _window(
        _Made(finding.occurrences[medoid], hand, _medoid_moment(finding, centre)), hands
    )
    first, last = (BEFORE + edge for edge in ALIGNED)
    aligned = []
    for one in made:
        errors = {}
        for shift in sorted(range(-SHIFT, SHIFT + 1), key=abs):
            moved = _Made(one.one, one.hand, one.moment + shift)
            errors[moved] = rms_distance(_window(moved, hands) - pattern)[first:last].mean()
        aligned.append(min(errors, key=errors.__getitem__))
    return aligned


def _medoid_moment(finding: GestureCandidate, centre: int) -> int:
    """Return the frame of the medoid's moment."""
    return finding.occurrences[finding.medoid[0]].middle + centre


def _window(made: _Made, hands: HandTrajectories, *, other: bool = False) -> np.ndarray:
    """Return the hand's points (BEFORE + AFTER, 18) about its moment, held at the clip's ends."""
    points = hands.points[made.one.take]
    frames = np.arange(made.moment - BEFORE, made.moment + AFTER).clip(0, len(points) - 1)
    return points[frames, 1 - made.hand if other else made.hand]


def _usual_spread(hands: HandTrajectories) -> float:
    """Return how far a person's hand at one time is from itself at another, metres, the median."""
    points = np.concatenate([points[::10, 1] for points in hands.points])
    return float(np.median(rms_distance(points - np.roll(points, len(points) // 3 + 1, 0))))


def _timing(made: Sequence[_Made], hands: HandTrajectories, usual: float) -> _Timing:
    windows = np.stack([_window(one, hands) for one in made])  # (m, W, 18)
    away = [rms_distance(window - window[BEFORE]) for window in windows]
    quarters = [_crossings(curve[BEFORE::-1]) for curve in away]
    reach = float(np.median([late - early for early, _, late in quarters])) / QUARTER
    ramp_in = float(np.clip(reach / FPS, *RAMP_IN))
    keys = [-half + HALF * ramp_in * FPS for _, half, _ in quarters]
    back = [_crossings(curve[BEFORE:])[1] for curve in away]
    key, hold_until = float(np.median(keys)), float(np.median(back))
    lead = 0.0
    if len(made) >= SEVERAL:
        spread = np.mean([rms_distance(windows - window) for window in windows], (0, 1))
        spread = spread * len(made) / (len(made) - 1)
        wide = np.flatnonzero(spread > TOGETHER * usual) - BEFORE
        begin = float(wide[wide < min(0, key)].max(initial=-BEFORE))
        lead = (key - begin) / FPS - HALF * ramp_in
        hold_until = float(wide[wide > max(0, key)].min(initial=AFTER))
    hold = (hold_until - key) / FPS - HALF * RAMP_OUT
    return _Timing(keys, ramp_in, lead if lead >= LEAST_LEAD else 0.0, float(np.clip(hold, *HOLD)))


def _crossings(away: np.ndarray) -> tuple[float, float, float]:
    """Return when a curve that leaves 0 first has 1/4, 1/2, 3/4 of its first large way behind it.

    The way ends where the curve first comes near its largest value.
    """
    top = away.max()
    if top <= 0:
        return 0.0, 0.0, 0.0
    end = int(np.argmax(away >= 0.95 * top))
    course = away[: end + 1] / away[end]
    found = []
    for share in (0.25, 0.5, 0.75):
        after = int(np.argmax(course >= share))
        step = course[after] - course[after - 1] if after else 1.0
        found.append(after - (course[after] - share) / step if after else 0.0)
    return found[0], found[1], found[2]


def _motion(
    pose_TP: Tensor, points: np.ndarray, key: float, timing: _Timing, medoid: _Made
) -> tuple[Tensor, int]:
    """Return the medoid's key pose or motion, and which frame of it is the key."""
    last = len(pose_TP) - 1
    at = int(np.clip(round(key), 0, last))
    begin = max(0, round(key - timing.lead * FPS))
    end = min(last, max(round(key + timing.hold * FPS), begin))
    course = points[begin : end + 1, medoid.hand]
    middle = int(np.clip(medoid.moment, begin, end))
    if timing.lead == 0 and rms_distance(course - points[middle, medoid.hand]).max() < STILL:
        return pose_TP[middle : middle + 1].clone(), 0
    begin, end = max(0, begin - MARGIN), min(last, end + MARGIN)
    at = int(np.clip(at, begin, end))
    return pose_TP[begin : end + 1].clone(), at - begin


def _both(made: Sequence[_Made], timing: _Timing, hands: HandTrajectories, usual: float) -> bool:
    """Return whether the other hand does the same thing each time, too."""
    if len(made) < 2:
        return False
    at = [BEFORE + round(key) + MARGIN for key in timing.keys]
    others = [_window(one, hands, other=True) for one in made]
    places = np.stack(
        [window[min(max(0, k), len(window) - 1)] for window, k in zip(others, at, strict=True)]
    )
    apart = np.stack([rms_distance(places - place) for place in places])
    pairs = apart[np.triu_indices(len(made), 1)]
    # Of two or three, hands at rest are alike by chance.
    share = OTHER_TOGETHER if len(made) >= SEVERAL else OTHER_TOGETHER / 2
    return bool(np.median(pairs) < share * usual)


def _examples(
    made: Sequence[_Made], medoid: _Made, timing: _Timing, takes: Sequence[MiningClip]
) -> tuple[Example, ...]:
    """Return where the gesture was made, the medoid first."""
    keys = dict(zip(made, timing.keys, strict=True))
    found = []
    for one in [medoid, *(m for m in made if m != medoid)][:EXAMPLES]:
        key = (one.moment + keys[one] + 0.5) / FPS
        start, end = key - timing.lead - timing.ramp_in, key + timing.hold + RAMP_OUT
        limit = len(takes[one.one.take].pose_TP) / FPS
        times = (round(float(np.clip(time, 0, limit)), 2) for time in (start, key, end))
        found.append(Example(takes[one.one.take].name, *times))
    return tuple(found)


# A dictionary proposed from a data set, and one taken from a list that a person wrote.

LIST_HEADER = ("word", "clip", "start", "end", "probability")
POSE_SECONDS = 0.06  # a listed stretch no longer than this is a key pose

Predict = Callable[[Clip], Tensor]


def read_mining_clips(
    clips: Sequence[Clip], body: Body, predict: Predict | None = None
) -> list[MiningClip]:
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
        takes.append(MiningClip(clip.folder.name, pose_TP, read_words(clip.words), expected_TP))
    if not takes:
        raise DataError(
            f"{clips[0].folder.parent if clips else 'data set'}: no clip has words.csv; gestures "
            "are found by words (preprocess with --transcripts or --recognise)"
        )
    return takes


def propose(
    takes: Sequence[MiningClip],
    body: Body,
    *,
    least: int = 3,
    most: int = 60,
    false_share: float = 0.05,
    seed: int = 0,
) -> tuple[GestureDictionary, list[GestureCandidate]]:
    """Return a dictionary of this person's gestures, the surest first, and what speaks for each.

    Args:
        takes: the person's clips.
        body: the body they are for.
        least: a word must be said so often, at least 2.
        most: entries at most.
        false_share: about the share of the entries that may be chance.
        seed: of the random moments that words are compared with.
    """
    hands = HandTrajectories(takes, body)
    found = significant_candidates(
        find_candidates(takes, hands, least=least, seed=seed), false_share=false_share
    )
    found = sorted(found, key=lambda finding: -finding.score * finding.departure)[:most]
    entries = tuple(extract_gesture(finding, takes, hands) for finding in found)
    return GestureDictionary(entries, body.name), found


def read_gesture_list(
    path: Path, takes: Sequence[MiningClip], body: Body
) -> tuple[GestureEntry, ...]:
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


def merge_entries(listed: Sequence[GestureEntry], proposed: GestureDictionary) -> GestureDictionary:
    """Return a dictionary of both; a word that a person listed is not proposed as well."""
    words = {spelling(word) for entry in listed for word in entry.words}
    others = [e for e in proposed.entries if not words & set(map(spelling, e.words))]
    return GestureDictionary((*listed, *others), proposed.body)


def _listed(row: dict[str, str], takes: dict[str, MiningClip], body: Body) -> GestureEntry:
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
    departure = HandTrajectories([replace(take, expected_TP=None)], body).departure[0][
        first : stop + 1
    ]
    key = int(departure.max(1).argmax())
    sides = [side for side in (0, 1) if departure[key, side] >= DEPARTS]
    key_time = (first + key + 0.5) / FPS
    times = {} if stop == first else {"lead": key / FPS, "hold": (stop - first - key) / FPS}
    return GestureEntry(
        name=words[0],
        words=words,
        probability=probability,
        parts=hand_parts(sides or [int(departure[key].argmax())]),
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


def _place(take: MiningClip, words: Sequence[str], time: float) -> float:
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
