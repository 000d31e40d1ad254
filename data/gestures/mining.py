"""Mining of gestures: words at which the hands do the same unusual thing more often than by chance.

A hand is six points in metres relative to the neck; the right hand is mirrored, so that a gesture
may be made with either. Occurrences of a word are alike if one hand, for a third of a second, stays
within a radius of what it did at one of them, the medoid, and deviates from its expected pose. The
binomial tail of their number, with the rate among random moments, is the score. Because medoid,
radius and lag are the best of many, a permutation test with random moments gives the p-value.

Words next to a gesture's word coincide with the gesture too. So the word of the highest score comes
first and claims its gestures, which then count for no other word.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from speech2video.data.clip import Clip
from speech2video.data.gestures.dictionary import spelling
from speech2video.data.motion_io import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import pose_columns
from speech2video.util.body.skeleton import LEFT_TIPS, RIGHT_TIPS, indices
from speech2video.util.errors import DataError
from speech2video.util.text.transcript import Word, read_words
from speech2video.util.timing import FPS

OFFSETS = (0, 4, 8)  # frames from a moment on at which hands are compared
CLAIM_RADIUS = 0.1  # metres: a claim lasts as long as the hand is no further from its gesture,
CLAIM_MARGIN = 6  # and frames before and after, in which it comes and goes
TRUNK = ("spine1", "spine2", "spine3", "neck", "head")
LAGS = (-8, -4, 0, 4, 8)  # frames from a word's middle to its gesture's moment
RADII = (0.035, 0.05, 0.075)  # metres, RMS over a hand's points
MIN_DEVIATION = 0.08  # metres from the expected pose; less is no gesture
RANDOM_MOMENTS = 1200
DRAWS = 400  # of the permutation test, for each number of occurrences
MIN_HIGHER, TAIL = 10, 40  # with fewer higher draws the p-value is extrapolated from so many
MAX_OCCURRENCES = 400  # used of one word,
MAX_DRAWN = 60  # and of random moments in the permutation test
CLAIM_P = 0.02  # largest p-value of a word that claims its gestures

Predict = Callable[[Clip], Tensor]


@dataclass(frozen=True, eq=False)
class MiningClip:
    """A clip with words.

    Attributes:
        name: of the clip.
        pose_TP: (T, 106) poses.
        words: spoken in it.
        expected_TP: (T, 106) poses expected from the speech; None for the clip's median hands.
    """

    name: str
    pose_TP: Tensor
    words: Sequence[Word]
    expected_TP: Tensor | None = None


@dataclass(frozen=True)
class Occurrence:
    """A word in a clip: the clip's number and the word."""

    clip: int
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
        lag: frames from a word's middle to the compared moment.
        hand_N: hand that makes the gesture at each occurrence, −1 for none.
        chance: share of random moments that are like the medoid.
        score: −ln of the binomial tail.
        p: p-value of the permutation test.
        deviation: metres from the expected pose, mean over the gestures.
    """

    word: str
    occurrences: list[Occurrence]
    medoid: tuple[int, int]
    lag: int
    hand_N: np.ndarray
    chance: float
    score: float
    p: float
    deviation: float


class HandTrajectories:
    """Both hands of all clips relative to the neck, the right one mirrored.

    Attributes:
        points: of each clip (T, 2, 18) metres, float32.
        deviation: of each clip (T, 2) metres from the expected pose.
        claims: number of candidates that have claimed their gestures.
    """

    def __init__(self, clips: Sequence[MiningClip], body: Body) -> None:
        self.points = [_hand_points(clip.pose_TP, body) for clip in clips]
        self.deviation = []
        for clip, points in zip(clips, self.points, strict=True):
            expected = clip.expected_TP
            expected = np.median(points, 0) if expected is None else _hand_points(expected, body)
            self.deviation.append(rms_distance(points - expected))
        self.claims = 0
        self._claimed = [np.zeros(len(points), bool) for points in self.points]

    def claim(self, candidate: GestureCandidate) -> None:
        """Exclude a candidate's gestures from all other words."""
        self.claims += 1
        for one, hand in zip(candidate.occurrences, candidate.hand_N, strict=True):
            if hand >= 0:
                points = self.points[one.clip][:, hand]
                moment = np.clip(one.middle + candidate.lag + OFFSETS[1], 0, len(points) - 1)
                away = np.flatnonzero(rms_distance(points - points[moment]) > CLAIM_RADIUS)
                first, last = away[away < moment].max(initial=-1), away[away > moment]
                begin, end = first - CLAIM_MARGIN, last.min(initial=len(points)) + CLAIM_MARGIN
                self._claimed[one.clip][max(0, begin) : end] = True

    def window(self, clip: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the hands (2, 54) at `OFFSETS` from a frame, and their mean deviations (2,).

        Claimed frames deviate by 0.
        """
        frames = np.clip(frame + np.array(OFFSETS), 0, len(self.points[clip]) - 1)
        points = self.points[clip][frames].transpose(1, 0, 2).reshape(2, -1)
        free = not self._claimed[clip][frames].any()
        return points, self.deviation[clip][frames].mean(0) * free


def rms_distance(points: np.ndarray) -> np.ndarray:
    """Return the root mean square length (...) of K vectors (..., 3·K)."""
    return np.sqrt((points**2).sum(-1) / (points.shape[-1] / 3))


def _hand_points(pose_TP: Tensor, body: Body) -> np.ndarray:
    """Return wrists and finger tips (T, 2, 18) relative to the neck of an upright trunk."""
    upright = pose_TP.clone()
    upright[:, pose_columns("translation", "root_orientation", *TRUNK)] = 0
    with torch.no_grad():
        points = body.points(upright)
    points = points - points[:, indices(("neck",))]
    left = points[:, indices(("left_wrist", *LEFT_TIPS))]
    right = points[:, indices(("right_wrist", *RIGHT_TIPS))] * torch.tensor([-1.0, 1.0, 1.0])
    return torch.stack((left, right), 1).flatten(2).numpy()


def read_mining_clips(
    clips: Sequence[Clip], body: Body, predict: Predict | None = None
) -> list[MiningClip]:
    """Return the clips that have words.

    Args:
        predict: gives the poses (T, 106) expected in a clip; without it, the clip's median.

    Raises:
        DataError: no clip has words, or a broken clip.
    """
    found = []
    for clip in (clip for clip in clips if clip.words.is_file()):
        pose_TP = read_motion(clip.pose).pose_vector(body)
        expected_TP = predict(clip) if predict else None
        if expected_TP is not None and expected_TP.shape != pose_TP.shape:
            raise DataError(
                f"{clip.folder}: a prediction of shape {tuple(expected_TP.shape)}; "
                f"{tuple(pose_TP.shape)} is needed"
            )
        found.append(MiningClip(clip.folder.name, pose_TP, read_words(clip.words), expected_TP))
    if not found:
        raise DataError(
            f"{clips[0].folder.parent if clips else 'data set'}: no clip has words.csv; gestures "
            "are found by words (preprocess with --transcripts or --recognise)"
        )
    return found


def find_candidates(
    clips: Sequence[MiningClip], hands: HandTrajectories, *, min_count: int = 2, seed: int = 0
) -> list[GestureCandidate]:
    """Return the candidate of every word with at least `min_count` occurrences."""
    rng = np.random.default_rng(seed)
    by_word: dict[str, list[Occurrence]] = defaultdict(list)
    for number, clip in enumerate(clips):
        for word in clip.words:
            by_word[spelling(word.text)].append(Occurrence(number, word))
    by_word.pop("", None)
    everything = [one for occurrences in by_word.values() for one in occurrences]
    if len(everything) < 2:
        return []
    sample = rng.permutation(len(everything))[:RANDOM_MOMENTS]
    test = _ChanceTest([everything[i] for i in sample], hands, rng)
    queue = []
    for number, (word, occurrences) in enumerate(by_word.items()):
        if len(occurrences) >= min_count:
            kept = sorted(rng.permutation(len(occurrences))[:MAX_OCCURRENCES])
            candidate = test.candidate(word, [occurrences[i] for i in kept])
            heapq.heappush(queue, (-candidate.score, number, hands.claims, candidate))
    found = []
    while queue:  # claims only lower scores: the highest that is up to date is next
        _, number, age, candidate = heapq.heappop(queue)
        if age != hands.claims:
            candidate = test.candidate(candidate.word, candidate.occurrences)
            heapq.heappush(queue, (-candidate.score, number, hands.claims, candidate))
            continue
        found.append(candidate)
        if candidate.p <= CLAIM_P:
            hands.claim(candidate)
    return found


class _Moments:
    """Hands at the lags of some words: points (L, N, 2, 54) and deviation (L, N, 2)."""

    def __init__(self, occurrences: Sequence[Occurrence], hands: HandTrajectories) -> None:
        pairs = [[hands.window(one.clip, one.middle + lag) for one in occurrences] for lag in LAGS]
        self.points = np.array([[points for points, _ in row] for row in pairs])
        self.deviation = np.array([[deviation for _, deviation in row] for row in pairs])

    def distances(self, other: "_Moments") -> np.ndarray:
        """Return metres (L, N, 2, M, 2) from each hand to each hand; inf to one as expected."""
        pairs = zip(self.points, other.points, strict=True)
        distances = np.stack([_pairwise_rms(a, b) for a, b in pairs])
        return np.where(other.deviation[:, None, None] >= MIN_DEVIATION, distances, np.inf)


class _ChanceTest:
    """Compares the occurrences of words with random moments of the same person."""

    def __init__(
        self, moments: Sequence[Occurrence], hands: HandTrajectories, rng: np.random.Generator
    ) -> None:
        self._hands, self._rng = hands, rng
        self._moments = _Moments(moments, hands)
        self._near = _near(self._moments.distances(self._moments))  # (radii, L, R, 2, R)
        self._rate = self._rate_of(self._near)  # (radii, L, R, 2)
        self._null: dict[int, np.ndarray] = {}

    def candidate(self, word: str, occurrences: list[Occurrence]) -> GestureCandidate:
        """Return what a word's occurrences have in common, and how likely that is by chance."""
        moments = _Moments(occurrences, self._hands)
        between = moments.distances(moments)  # (L, N, 2, N, 2)
        rate = self._rate_of(_near(moments.distances(self._moments)))  # (radii, L, N, 2)
        scores = _scores(_near(between), rate, moments.deviation)  # (radii, L, N, 2)
        best = np.unravel_index(scores.argmax(), scores.shape)
        radius, lag, medoid, hand = (int(i) for i in best)
        distances = between[lag, medoid, hand]  # (N, 2)
        hand_N = np.where(distances.min(1) < RADII[radius], distances.argmin(1), -1)
        hand_N[medoid] = hand
        alike = hand_N >= 0
        return GestureCandidate(
            word=word,
            occurrences=occurrences,
            medoid=(medoid, hand),
            lag=LAGS[lag],
            hand_N=hand_N,
            chance=float(rate[best]),
            score=float(scores[best]),
            p=self._p_value(len(occurrences), scores[best]),
            deviation=float(moments.deviation[lag, alike, hand_N[alike]].mean()),
        )

    def _rate_of(self, near: np.ndarray) -> np.ndarray:
        """Return the share of random moments that are near, with one pseudo-count on each side."""
        count = self._moments.points.shape[1]
        return (near.mean(-1) * count + 1) / (count + 2)

    def _p_value(self, count: int, score: float) -> float:
        """Return how often as many random moments score as high.

        With few such draws, by an exponential tail through the highest ones, as in Knijnenburg et
        al., "Fewer permutations, more accurate P-values", Bioinformatics 25, 2009.
        """
        if count > MAX_DRAWN:  # bounds what more medoids to choose from add by chance
            score, count = score - math.log(count / MAX_DRAWN), MAX_DRAWN
        if count not in self._null:
            self._null[count] = np.sort([self._random_score(count) for _ in range(DRAWS)])
        null = self._null[count]
        higher = int((null >= score).sum())
        if higher >= MIN_HIGHER:
            return higher / DRAWS
        tail = null[-TAIL:]
        scale = max(float((tail - tail[0]).mean()), 0.1)
        return float(max(1e-6, TAIL / DRAWS * np.exp(-(score - tail[0]) / scale)))

    def _random_score(self, count: int) -> float:
        size = self._moments.points.shape[1]
        chosen = self._rng.choice(size, count, replace=size < count)
        near = self._near[:, :, chosen][..., chosen]
        return _scores(near, self._rate[:, :, chosen], self._moments.deviation[:, chosen]).max()


def _near(distances: np.ndarray) -> np.ndarray:
    """Return, for each radius, whether (radii, L, N, 2, M) a hand is within it of each hand."""
    return np.stack([distances.min(-1) < radius for radius in RADII])


def _scores(near: np.ndarray, rate: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return (radii, L, N, 2): −ln P(as many others near, if each is near by chance).

    `near` (radii, L, N, 2, N) says which occurrences are near each hand of each, `rate`
    (radii, L, N, 2) how often random moments are.
    """
    count = deviation.shape[1]
    itself = np.eye(count, dtype=bool)[None, :, None]
    tails = -binom.logsf((near & ~itself).sum(-1) - 1, count - 1, rate)
    return np.where(deviation >= MIN_DEVIATION, tails, 0.0)


def _pairwise_rms(a_N2D: np.ndarray, b_M2D: np.ndarray) -> np.ndarray:
    """Return the distances (N, 2, M, 2), `rms_distance` of the differences."""
    size = a_N2D.shape[-1]
    a_ND, b_MD = a_N2D.reshape(-1, size), b_M2D.reshape(-1, size)
    squared = (a_ND**2).sum(1)[:, None] + (b_MD**2).sum(1) - 2 * a_ND @ b_MD.T
    return np.sqrt(squared.clip(min=0) / (size / 3)).reshape(len(a_N2D), 2, len(b_M2D), 2)
