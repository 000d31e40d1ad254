"""What the search for gestures looks at: both hands of a person, as points seen from the chest."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from speech2video.data.gestures.dictionary import spelling
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS, LEFT_TIPS, RIGHT_TIPS, indices
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS

COURSE = (0, 4, 8)  # frames that a moment is looked at, from there on
CLAIMED = 0.1  # metres: as long as the hand is no further from where it was,
CLAIM_MARGIN = 6  # and frames more, in which it comes and goes
_STRAIGHT = ("spine1", "spine2", "spine3", "neck", "head")


@dataclass(frozen=True, eq=False)
class MiningClip:
    """A clip as the search sees it.

    Attributes:
        name: the clip's.
        pose_TP: (T, 106) what the person did.
        words: what they said.
        expected_TP: (T, 106) what was expected of them; by default their median pose in this clip.
    """

    name: str
    pose_TP: Tensor
    words: Sequence[Word]
    expected_TP: Tensor | None = None


@dataclass(frozen=True)
class Occurrence:
    """A word in a take: the take's number and the word."""

    take: int
    word: Word

    @property
    def middle(self) -> int:
        """The frame of the word's middle."""
        return int((self.word.start + self.word.end) / 2 * FPS)


@dataclass(frozen=True, eq=False)
class GestureCandidate:
    """What one word's occurrences have in common.

    Attributes:
        word: its spelling.
        occurrences: N of them.
        medoid: the occurrence that the others are like, and its hand (0 left, 1 right).
        lag: frames from a word's middle to the moment that was compared.
        hand_N: of each occurrence the hand that did it, −1 where none did.
        chance: share of random moments that are like the medoid.
        score: −ln of the binomial tail.
        p: of the permutation test.
        departure: metres from what was expected, the mean of those alike.
    """

    word: str
    occurrences: list[Occurrence]
    medoid: tuple[int, int]
    lag: int
    hand_N: np.ndarray
    chance: float
    score: float
    p: float
    departure: float


class HandTrajectories:
    """Both hands of all takes, seen from the chest, the right one mirrored.

    Attributes:
        points: of each take (T, 2, 18) metres, float32.
        departure: of each take (T, 2) metres from what was expected.
        claims: how many findings have claimed their gestures.
    """

    def __init__(self, takes: Sequence[MiningClip], body: Body) -> None:
        self.points = [_hand_points(take.pose_TP, body) for take in takes]
        expected = [
            np.median(points, 0, keepdims=True)
            if take.expected_TP is None
            else _hand_points(take.expected_TP, body)
            for take, points in zip(takes, self.points, strict=True)
        ]
        self.departure = [
            rms_distance(points - other)
            for points, other in zip(self.points, expected, strict=True)
        ]
        self.claims = 0
        self._claimed = [np.zeros(len(points), bool) for points in self.points]

    def claim(self, finding: GestureCandidate) -> None:
        """Let a finding's gestures speak for no other word."""
        self.claims += 1
        for one, hand in zip(finding.occurrences, finding.hand_N, strict=True):
            if hand >= 0:
                points = self.points[one.take][:, hand]
                moment = min(max(0, one.middle + finding.lag + COURSE[1]), len(points) - 1)
                away = np.flatnonzero(rms_distance(points - points[moment]) > CLAIMED)
                first, last = away[away < moment].max(initial=-1), away[away > moment]
                begin, end = first - CLAIM_MARGIN, last.min(initial=len(points)) + CLAIM_MARGIN
                self._claimed[one.take][max(0, begin) : end] = True

    def course(self, take: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what the hands do from a frame on, (2, 54), and how far that departs, (2,).

        What is claimed departs by nothing.
        """
        frames = np.clip(frame + np.array(COURSE), 0, len(self.points[take]) - 1)
        course = self.points[take][frames].transpose(1, 0, 2).reshape(2, -1)
        free = not self._claimed[take][frames].any()
        return course, self.departure[take][frames].mean(0) * free


def rms_distance(points: np.ndarray) -> np.ndarray:
    """Return the root mean square distance of points (..., 3·K), as K points in space."""
    return np.sqrt((points**2).sum(-1) / (points.shape[-1] / 3))


def _hand_points(pose_TP: Tensor, body: Body) -> np.ndarray:
    """Return wrist and finger tips (T, 2, 18) from the neck, the trunk held upright."""
    upright = pose_TP.clone()
    upright[:, POSE_SLICES["translation"]] = 0
    upright[:, POSE_SLICES["root_orientation"]] = 0
    for joint in _STRAIGHT:
        start = POSE_SLICES["body"].start + 3 * (BODY_JOINTS.index(joint) - 1)
        upright[:, start : start + 3] = 0
    with torch.no_grad():
        points = body.points(upright)
    points = points - points[:, indices(("neck",))]
    left = points[:, indices(("left_wrist", *LEFT_TIPS))]
    right = points[:, indices(("right_wrist", *RIGHT_TIPS))] * torch.tensor([-1.0, 1.0, 1.0])
    return torch.stack((left, right), 1).flatten(2).numpy()


# At which words do this person's hands do the same unusual thing, more often than by chance?
#
# A hand is six points in metres, seen from the chest; the right one is mirrored, so that a gesture
# may be made with either hand. Of the times a word is said, those count as alike in which one hand,
# for a third of a second, passes within a radius of what it did at one of them, the medoid, and is
# away from where it was expected. How likely that is by chance is asked of random moments: once by
# the binomial tail, which makes the score, and, because the medoid, the radius and the lag are the
# best of many, once more by drawing words' moments at random and scoring these (permutation test).
#
# Words beside a gesture's word see the gesture too. So the word with the highest score comes first
# and claims its gestures; what it claimed speaks for no other word.

LAGS = (-8, -4, 0, 4, 8)  # frames from a word's middle to its gesture's
RADII = (0.035, 0.05, 0.075)  # metres, root mean square over a hand's points
DEPARTS = 0.08  # metres from what is expected: less is no gesture
RANDOM_MOMENTS = 1200
DRAWS = 400  # of the permutation test, for each number of occurrences
FEW, TAIL = 10, 40  # draws that score higher: fewer are extrapolated, from the highest so many
MOST_OCCURRENCES = 400  # looked at of one word,
MOST_DRAWN = 60  # and of random moments in the permutation test
CLAIMS = 0.02  # a word whose p is no more than this claims its gestures,


def find_candidates(
    takes: Sequence[MiningClip], hands: HandTrajectories, *, least: int = 2, seed: int = 0
) -> list[GestureCandidate]:
    """Return of every word said at least `least` times what its occurrences have in common."""
    random = np.random.default_rng(seed)
    said = _said(takes)
    everything = [one for occurrences in said.values() for one in occurrences]
    if len(everything) < 2:
        return []
    sample = random.permutation(len(everything))[:RANDOM_MOMENTS]
    chance = _Chance([everything[i] for i in sample], hands, random)
    queue = []
    for number, (word, occurrences) in enumerate(said.items()):
        if len(occurrences) >= least:
            kept = sorted(random.permutation(len(occurrences))[:MOST_OCCURRENCES])
            finding = chance.finding(word, [occurrences[i] for i in kept])
            heapq.heappush(queue, (-finding.score, number, hands.claims, finding))
    found = []
    while queue:  # what others claim only lowers a score: the highest that is up to date is next
        _, number, age, finding = heapq.heappop(queue)
        if age != hands.claims:
            finding = chance.finding(finding.word, finding.occurrences)
            heapq.heappush(queue, (-finding.score, number, hands.claims, finding))
            continue
        found.append(finding)
        if finding.p <= CLAIMS:
            hands.claim(finding)
    return found


def _said(takes: Sequence[MiningClip]) -> dict[str, list[Occurrence]]:
    """Return spelling -> where it is said."""
    said: dict[str, list[Occurrence]] = {}
    for number, take in enumerate(takes):
        for word in take.words:
            if spelling(word.text):
                said.setdefault(spelling(word.text), []).append(Occurrence(number, word))
    return said


def significant_candidates(
    found: Sequence[GestureCandidate], *, false_share: float = 0.05
) -> list[GestureCandidate]:
    """Return the findings of which about `false_share` are chance.

    By Benjamini & Hochberg, "Controlling the false discovery rate", J. R. Statist. Soc. B 57, 1995.
    """
    by_p = sorted(found, key=lambda finding: finding.p)
    rank = max((k for k, f in enumerate(by_p, 1) if f.p <= false_share * k / len(by_p)), default=0)
    return by_p[:rank]


class _Moments:
    """What the hands do at some words: courses (L, N, 2, 54) and departures (L, N, 2)."""

    def __init__(self, occurrences: Sequence[Occurrence], hands: HandTrajectories) -> None:
        pairs = [[hands.course(one.take, one.middle + lag) for one in occurrences] for lag in LAGS]
        self.course = np.array([[course for course, _ in row] for row in pairs])
        self.departure = np.array([[departure for _, departure in row] for row in pairs])

    def distances(self, other: "_Moments") -> np.ndarray:
        """Return (L, N, 2, M, 2) metres from each hand to each hand; inf where it stays put."""
        apart = np.stack(
            [
                _apart(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]))
                for a, b in zip(self.course, other.course, strict=True)
            ]
        )
        lags, count, rest = len(LAGS), self.course.shape[1], other.course.shape[1]
        apart = apart.reshape(lags, count, 2, rest, 2)
        return np.where(other.departure[:, None, None] >= DEPARTS, apart, np.inf)


class _Chance:
    """Random moments of the same person, to compare with."""

    def __init__(
        self, moments: Sequence[Occurrence], hands: HandTrajectories, random: np.random.Generator
    ) -> None:
        self._hands, self._random = hands, random
        self._moments = _Moments(moments, hands)
        between = self._moments.distances(self._moments).min(-1)  # (L, R, 2, R)
        self._near = [between < radius for radius in RADII]
        self._rate = [self._share(near.mean(-1)) for near in self._near]  # (L, R, 2) each
        self._null: dict[int, np.ndarray] = {}

    def finding(self, word: str, occurrences: list[Occurrence]) -> GestureCandidate:
        """Return what the occurrences of a word have in common, and how likely by chance."""
        moments = _Moments(occurrences, self._hands)
        between = moments.distances(moments)  # (L, N, 2, N, 2)
        to_chance = moments.distances(self._moments).min(-1)  # (L, N, 2, R)
        near = [between.min(-1) < radius for radius in RADII]
        rate = [self._share((to_chance < radius).mean(-1)) for radius in RADII]
        scores = _scores(near, rate, moments.departure)  # (radii, L, N, 2)
        best = np.unravel_index(scores.argmax(), scores.shape)
        radius, lag, medoid, hand = (int(i) for i in best)
        apart = between[lag, medoid, hand]  # (N, 2)
        hand_N = np.where(apart.min(1) < RADII[radius], apart.argmin(1), -1)
        hand_N[medoid] = hand
        alike = np.flatnonzero(hand_N >= 0)
        return GestureCandidate(
            word=word,
            occurrences=occurrences,
            medoid=(medoid, hand),
            lag=LAGS[lag],
            hand_N=hand_N,
            chance=float(rate[radius][lag, medoid, hand]),
            score=float(scores[best]),
            p=self._p(len(occurrences), scores[best]),
            departure=float(moments.departure[lag, alike, hand_N[alike]].mean()),
        )

    def _share(self, rate: np.ndarray) -> np.ndarray:
        """Return a share of the random moments that is not nought only because they are few."""
        count = self._moments.course.shape[1]
        return (rate * count + 1) / (count + 2)

    def _p(self, count: int, score: float) -> float:
        """Return how often random moments, as many, score as high.

        Where few of the draws do, by an exponential tail through the highest of them, as in
        Knijnenburg et al., "Fewer permutations, more accurate P-values", Bioinformatics 25, 2009.
        """
        if count > MOST_DRAWN:  # more medoids to choose from: at most so much more by chance
            score, count = score - math.log(count / MOST_DRAWN), MOST_DRAWN
        if count not in self._null:
            self._null[count] = np.sort([self._drawn(count) for _ in range(DRAWS)])
        null = self._null[count]
        higher = int((null >= score).sum())
        if higher >= FEW:
            return higher / DRAWS
        tail = null[-TAIL:]
        scale = max(float((tail - tail[0]).mean()), 0.1)
        return float(max(1e-6, TAIL / DRAWS * np.exp(-(score - tail[0]) / scale)))

    def _drawn(self, count: int) -> float:
        size = self._moments.course.shape[1]
        chosen = self._random.choice(size, count, replace=size < count)
        near = [near[:, chosen][:, :, :, chosen] for near in self._near]
        rate = [rate[:, chosen] for rate in self._rate]
        return _scores(near, rate, self._moments.departure[:, chosen]).max()


def _scores(
    near: Sequence[np.ndarray], rate: Sequence[np.ndarray], departure: np.ndarray
) -> np.ndarray:
    """Return (radii, L, N, 2): −ln P(as many of the others near, if each is so by chance).

    `near` (L, N, 2, N) says which occurrences are near each hand of each, `rate` (L, N, 2) how
    often random moments are.
    """
    count = departure.shape[1]
    itself = np.eye(count, dtype=bool)[None, :, None]
    scores = np.stack(
        [
            -binom.logsf((n & ~itself).sum(-1) - 1, count - 1, r)
            for n, r in zip(near, rate, strict=True)
        ]
    )
    return np.where(departure >= DEPARTS, scores, 0.0)


def _apart(a_ND: np.ndarray, b_MD: np.ndarray) -> np.ndarray:
    """Return the distances (N, M), as `rms` of the differences."""
    squared = (a_ND**2).sum(1)[:, None] + (b_MD**2).sum(1) - 2 * a_ND @ b_MD.T
    return np.sqrt(squared.clip(min=0) / (a_ND.shape[1] / 3))
