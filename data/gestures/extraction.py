"""Extraction of dictionary entries: from mined candidates, and from a list made by hand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from speech2video.data.gestures import mining
from speech2video.data.gestures.dictionary import Example, GestureDictionary, GestureEntry, spelling
from speech2video.data.gestures.mining import GestureCandidate, HandTrajectories, MiningClip
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.text.transcript import Word, read_rows
from speech2video.util.timing import FPS

BEFORE, AFTER = 22, 38  # frames of a window around the compared moment
MAX_SHIFT = 8  # frames by which instances are aligned
ALIGNED = (-10, 14)  # frames around the moment that are compared for it
QUARTERS = 0.2828  # share of a minimum-jerk reach's duration between 1/4 and 3/4 of its way
RAMP_IN, RAMP_OUT = (0.28, 0.6), 0.6  # seconds, range and constant; the way back is hard to detect
HOLD = (0.16, 2.0)  # seconds, range
MIN_LEAD = 0.14  # seconds; a shorter lead is part of the ramp
MIN_INSTANCES = 4  # for reading the timing from the spread between instances
MIN_MOTION = 0.045  # metres; a gesture that moves less is a key pose
MAX_SPREAD = 0.5  # share of the typical spread; instances with less are alike,
MAX_OTHER_SPREAD = 0.38  # and so is the other hand
MARGIN = 2  # extra frames of a motion, for the ramps
EXAMPLES = 6
KEY_IN_WORD = (-5, 5)  # word lengths, range
MIN_WORD = 0.04  # seconds, minimum of a word's length
LIST_HEADER = ("word", "clip", "start", "end", "probability")
KEY_POSE_SECONDS = 0.06  # a listed gesture that is not longer is a key pose


def mine_gestures(
    clips: Sequence[MiningClip],
    body: Body,
    *,
    min_count: int = 3,
    max_entries: int = 60,
    false_discovery_rate: float = 0.05,
    seed: int = 0,
) -> tuple[GestureDictionary, list[GestureCandidate]]:
    """Return a dictionary of one person's gestures, the surest first, and their candidates.

    Args:
        min_count: occurrences that a word needs, at least 2.
        false_discovery_rate: expected share of entries that are due to chance.
        seed: of the random moments that words are compared with.
    """
    hands = HandTrajectories(clips, body)
    found = mining.find_candidates(clips, hands, min_count=min_count, seed=seed)
    # Benjamini & Hochberg, "Controlling the false discovery rate", J. R. Statist. Soc. B 57, 1995.
    found.sort(key=lambda candidate: candidate.p)
    limits = [false_discovery_rate * rank / len(found) for rank in range(1, len(found) + 1)]
    below = [k for k, limit in enumerate(limits, 1) if found[k - 1].p <= limit]
    significant = found[: max(below, default=0)]
    significant.sort(key=lambda candidate: -candidate.score * candidate.deviation)
    candidates = significant[:max_entries]
    entries = tuple(extract_gesture(candidate, clips, hands) for candidate in candidates)
    return GestureDictionary(entries, body.name), candidates


@dataclass(frozen=True)
class _Instance:
    """One time a gesture is made: at which word, with which hand, and its moment as a frame."""

    at: mining.Occurrence
    hand: int
    moment: int


class _Timing(NamedTuple):
    """The phases of a gesture: seconds as of a `GestureEntry`."""

    keys: list[float]  # of each instance, frames from its moment to its key
    ramp_in: float
    lead: float
    hold: float


def extract_gesture(
    candidate: GestureCandidate, clips: Sequence[MiningClip], hands: HandTrajectories
) -> GestureEntry:
    """Return the dictionary entry of a candidate.

    The probability is the share of occurrences with the gesture, less that due to chance. The
    motion is the medoid's. The key is the arrival of the hands at what they then hold: the way in
    is taken for a minimum-jerk reach, timed by when it has passed 1/4, 1/2 and 3/4.
    """
    instances, number = _align(candidate, hands)
    medoid = instances[number]
    # Metres between a hand's positions at different times, median.
    points = np.concatenate([points[::10, 1] for points in hands.points])
    shifted = np.roll(points, len(points) // 3 + 1, 0)
    spread = float(np.median(mining.rms_distance(points - shifted)))
    timing = _timing(instances, hands, spread)
    count, chance = len(candidate.occurrences), candidate.chance
    probability = (len(instances) / count - chance) / (1 - chance)
    places = [
        _place_in_word((one.moment + key + 0.5) / FPS, one.at.word)
        for one, key in zip(instances, timing.keys, strict=True)
    ]
    both = _both_hands(instances, timing, hands, spread)
    key = medoid.moment + timing.keys[number]
    motion_NP, key_frame = _motion(clips[medoid.at.clip].pose_TP, hands, key, timing, medoid)
    return GestureEntry(
        name=candidate.word,
        words=(candidate.word,),
        probability=round(float(np.clip(probability, 0, 1)), 2),
        parts=hand_parts((0, 1) if both else (medoid.hand,)),
        motion_NP=motion_NP,
        key=key_frame,
        key_in_word=round(float(np.clip(np.median(places), *KEY_IN_WORD)), 3),
        ramp_in=round(timing.ramp_in, 2),
        lead=round(timing.lead, 2),
        hold=round(timing.hold, 2),
        ramp_out=RAMP_OUT,
        seen=count,
        made=len(instances),
        examples=_examples(instances, number, timing, clips),
    )


def hand_parts(sides: Sequence[int]) -> tuple[str, ...]:
    """Return the parts that gestures of these hands own; 0 is left, 1 right."""
    names = [("left", "right")[side] for side in sides]
    return tuple(f"{name}_{part}" for name in names for part in ("arm", "hand"))


def _place_in_word(time: float, word: Word) -> float:
    return (time - word.start) / max(MIN_WORD, word.end - word.start)


def _align(candidate: GestureCandidate, hands: HandTrajectories) -> tuple[list[_Instance], int]:
    """Return the instances, each moved to where it is most like the medoid, and its number."""
    centre = candidate.lag + mining.OFFSETS[len(mining.OFFSETS) // 2]
    made = np.flatnonzero(candidate.hand_N >= 0).tolist()
    words = [candidate.occurrences[k] for k in made]
    instances = [
        _Instance(word, int(candidate.hand_N[k]), word.middle + centre)
        for k, word in zip(made, words, strict=True)
    ]
    number = made.index(candidate.medoid[0])
    pattern = _window(instances[number], hands)
    compared = slice(BEFORE + ALIGNED[0], BEFORE + ALIGNED[1])

    def error(one: _Instance) -> float:
        return mining.rms_distance(_window(one, hands) - pattern)[compared].mean()

    shifts = sorted(range(-MAX_SHIFT, MAX_SHIFT + 1), key=abs)
    shifted = [[replace(one, moment=one.moment + s) for s in shifts] for one in instances]
    return [min(places, key=error) for places in shifted], number


def _window(one: _Instance, hands: HandTrajectories, *, other: bool = False) -> np.ndarray:
    """Return the hand's points (BEFORE + AFTER, 18) around the moment, held at the clip's ends."""
    points = hands.points[one.at.clip]
    frames = np.arange(one.moment - BEFORE, one.moment + AFTER).clip(0, len(points) - 1)
    return points[frames, 1 - one.hand if other else one.hand]


def _timing(instances: Sequence[_Instance], hands: HandTrajectories, spread: float) -> _Timing:
    windows = np.stack([_window(one, hands) for one in instances])  # (m, W, 18)
    distances = [mining.rms_distance(window - window[BEFORE]) for window in windows]
    quarters = [_crossings(distance[BEFORE::-1]) for distance in distances]
    reach = float(np.median([late - early for early, _, late in quarters])) / QUARTERS
    ramp_in = float(np.clip(reach / FPS, *RAMP_IN))
    keys = [-half + 0.5 * ramp_in * FPS for _, half, _ in quarters]
    back = [_crossings(distance[BEFORE:])[1] for distance in distances]
    key, hold_until = float(np.median(keys)), float(np.median(back))
    lead = 0.0
    if len(instances) >= MIN_INSTANCES:
        spreads = np.mean([mining.rms_distance(windows - window) for window in windows], (0, 1))
        spreads = spreads * len(instances) / (len(instances) - 1)
        unlike = np.flatnonzero(spreads > MAX_SPREAD * spread) - BEFORE
        begin = float(unlike[unlike < min(0, key)].max(initial=-BEFORE))
        lead = (key - begin) / FPS - 0.5 * ramp_in
        hold_until = float(unlike[unlike > max(0, key)].min(initial=AFTER))
    hold = (hold_until - key) / FPS - 0.5 * RAMP_OUT
    return _Timing(keys, ramp_in, lead if lead >= MIN_LEAD else 0.0, float(np.clip(hold, *HOLD)))


def _crossings(distance: np.ndarray) -> tuple[float, float, float]:
    """Return when a distance that starts at 0 passes 1/4, 1/2 and 3/4 of its first large move.

    The move ends where the distance first comes near its maximum.
    """
    top = distance.max()
    if top <= 0:
        return 0.0, 0.0, 0.0
    end = int(np.argmax(distance >= 0.95 * top))
    way = distance[: end + 1] / distance[end]

    def crossing(share: float) -> float:
        after = int(np.argmax(way >= share))  # at least 1, because `way` starts at 0
        return after - (way[after] - share) / (way[after] - way[after - 1])

    return crossing(0.25), crossing(0.5), crossing(0.75)


def _motion(
    pose_TP: Tensor, hands: HandTrajectories, key: float, timing: _Timing, medoid: _Instance
) -> tuple[Tensor, int]:
    """Return the medoid's key pose or motion, and the frame of its key."""
    last = len(pose_TP) - 1
    begin = max(0, round(key - timing.lead * FPS))
    end = min(last, max(round(key + timing.hold * FPS), begin))
    points = hands.points[medoid.at.clip][:, medoid.hand]
    middle = int(np.clip(medoid.moment, begin, end))
    distance = mining.rms_distance(points[begin : end + 1] - points[middle])
    if timing.lead == 0 and distance.max() < MIN_MOTION:
        return pose_TP[middle : middle + 1].clone(), 0
    begin, end = max(0, begin - MARGIN), min(last, end + MARGIN)
    return pose_TP[begin : end + 1].clone(), int(np.clip(round(key), begin, end)) - begin


def _both_hands(
    instances: Sequence[_Instance], timing: _Timing, hands: HandTrajectories, spread: float
) -> bool:
    """Return whether the other hand does the same each time, too."""
    if len(instances) < 2:
        return False
    rows = (BEFORE + np.round(timing.keys).astype(int) + MARGIN).clip(0, BEFORE + AFTER - 1)
    windows = [_window(one, hands, other=True) for one in instances]
    points = np.stack([window[row] for window, row in zip(windows, rows, strict=True)])
    distances = mining.rms_distance(points[:, None] - points)
    pairs = distances[np.triu_indices(len(instances), 1)]
    # Two or three resting hands are alike by chance.
    share = MAX_OTHER_SPREAD if len(instances) >= MIN_INSTANCES else MAX_OTHER_SPREAD / 2
    return bool(np.median(pairs) < share * spread)


def _examples(
    instances: Sequence[_Instance], medoid: int, timing: _Timing, clips: Sequence[MiningClip]
) -> tuple[Example, ...]:
    """Return where the gesture is made, the medoid first."""
    found = []
    for k in sorted(range(len(instances)), key=lambda k: k != medoid)[:EXAMPLES]:
        one = instances[k]
        key = (one.moment + timing.keys[k] + 0.5) / FPS
        start, end = key - timing.lead - timing.ramp_in, key + timing.hold + RAMP_OUT
        limit = len(clips[one.at.clip].pose_TP) / FPS
        times = (round(float(np.clip(time, 0, limit)), 2) for time in (start, key, end))
        found.append(Example(clips[one.at.clip].name, *times))
    return tuple(found)


def read_gesture_list(
    path: Path, clips: Sequence[MiningClip], body: Body
) -> tuple[GestureEntry, ...]:
    """Return the entries of a csv file: `word,clip,start,end,probability`.

    `word` may be several spellings separated by |. `start` and `end` are seconds in the clip, equal
    for a key pose. The key is where the hands deviate most from the clip's median; a hand that
    never does takes no part.

    Raises:
        DataError: unreadable file, unknown clip, or invalid numbers.
    """
    by_name = {clip.name: clip for clip in clips}
    entries: list[GestureEntry] = []
    for line, row in read_rows(path, LIST_HEADER):
        try:
            entry = _listed_entry(row, by_name, body)
        except DataError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        taken = sum(other.words == entry.words for other in entries)
        entries.append(replace(entry, name=f"{entry.name} {taken + 1}") if taken else entry)
    return tuple(entries)


def merge_entries(listed: Sequence[GestureEntry], mined: GestureDictionary) -> GestureDictionary:
    """Return a dictionary of both, without mined entries of listed words."""
    words = {spelling(word) for entry in listed for word in entry.words}
    others = [e for e in mined.entries if not words & set(map(spelling, e.words))]
    return GestureDictionary((*listed, *others), mined.body)


def _listed_entry(row: dict[str, str], clips: dict[str, MiningClip], body: Body) -> GestureEntry:
    words = tuple(word.strip() for word in (row["word"] or "").split("|"))
    name = (row["clip"] or "").strip()
    if name not in clips:
        raise DataError(f"no clip {name!r} with words in the data set")
    clip = clips[name]
    start, end, probability = (_number(row, key) for key in ("start", "end", "probability"))
    seconds = len(clip.pose_TP) / FPS
    if not 0 <= start <= end <= seconds:
        raise DataError(f"{start:g} to {end:g} s; 0 <= start <= end <= {seconds:g} is needed")
    last = len(clip.pose_TP) - 1
    first = min(last, round(start * FPS))
    stop = first if end - start <= KEY_POSE_SECONDS else min(last, round(end * FPS))
    hands = HandTrajectories([replace(clip, expected_TP=None)], body)
    deviation = hands.deviation[0][first : stop + 1]
    key = int(deviation.max(1).argmax())
    sides = np.flatnonzero(deviation[key] >= mining.MIN_DEVIATION).tolist()
    key_time = (first + key + 0.5) / FPS
    lead, hold = GestureEntry.lead, GestureEntry.hold
    if stop > first:
        lead, hold = key / FPS, (stop - first - key) / FPS
    keys = set(map(spelling, words))
    return GestureEntry(
        name=words[0],
        words=words,
        probability=probability,
        parts=hand_parts(sides or [int(deviation[key].argmax())]),
        motion_NP=clip.pose_TP[first : stop + 1].clone(),
        key=key,
        key_in_word=_key_in_word(clip, keys, key_time),
        seen=sum(spelling(word.text) in keys for c in clips.values() for word in c.words),
        made=1,
        examples=(Example(name, start, round(key_time, 2), end),),
        lead=lead,
        hold=hold,
    )


def _key_in_word(clip: MiningClip, keys: set[str], time: float) -> float:
    """Return the place of a time in the nearest word, 0.5 if none is within a second."""
    words = [w for w in clip.words if spelling(w.text) in keys and w.end > w.start]
    nearest = min(words, key=lambda w: abs((w.start + w.end) / 2 - time), default=None)
    if nearest is None or not nearest.start - 1 < time < nearest.end + 1:
        return 0.5
    return round(float(np.clip(_place_in_word(time, nearest), *KEY_IN_WORD)), 3)


def _number(row: dict[str, str], key: str) -> float:
    try:
        value = float(row[key] or "")
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{key} is {row[key]!r}; a number is needed")
    return value
