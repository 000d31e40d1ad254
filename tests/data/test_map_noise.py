"""Noise on points: as large as asked, smooth, lips least, and stretches that are missing."""

import numpy as np
import pytest

from speech2video.data.map_noise import FACE, HANDS, LIPS, PARTS, MapNoise
from speech2video.util.body.skeleton import POINT_INDEX

SIZE, FRAMES = 1000, 4000
POINTS_TK2 = np.full((FRAMES, 144, 2), 500.0, np.float32)
STILL = {"body": 0, "fingers": 0, "face": 0, "lips": 0, "hand": 0, "head": 0}
WHOLE = {"part": 0, "point": 0}


def noisy(noise: MapNoise, seed: int = 0) -> np.ndarray:
    return noise.apply(POINTS_TK2, size=SIZE, rng=np.random.default_rng(seed))


def test_equal_generators_give_equal_noise_and_leave_the_points_alone():
    one, same, other = noisy(MapNoise()), noisy(MapNoise()), noisy(MapNoise(), 1)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and (POINTS_TK2 == 500).all()
    assert one.dtype == POINTS_TK2.dtype


def test_no_noise_changes_nothing():
    assert np.array_equal(noisy(MapNoise(**STILL, **WHOLE)), POINTS_TK2)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("fingers", HANDS[0] + HANDS[1]),
        ("face", FACE),
        ("lips", LIPS),
        ("body", [POINT_INDEX["left_elbow"]]),
    ],
)
def test_points_wander_by_as_much_as_asked(name: str, points: list[int]):
    wander = noisy(MapNoise(**STILL | {name: 0.01}, **WHOLE))[:, points] - 500
    assert wander.std() == pytest.approx(0.01 * SIZE, rel=0.25)
    steps = np.diff(wander, axis=0).std()
    assert steps < 0.5 * wander.std()  # smooth: frames lie nearer than any two moments
    others = np.setdiff1d(np.arange(144), points)
    if name != "body":
        assert (noisy(MapNoise(**STILL | {name: 0.01}, **WHOLE))[:, others] == 500).all()


@pytest.mark.parametrize(("name", "points"), [("hand", HANDS[0]), ("head", FACE + LIPS)])
def test_a_part_wanders_as_one(name: str, points: list[int]):
    wander = noisy(MapNoise(**STILL | {name: 0.01}, **WHOLE))[:, points] - 500
    assert wander.std() == pytest.approx(0.01 * SIZE, rel=0.3)
    np.testing.assert_allclose(wander, wander[:, :1].repeat(len(points), 1), atol=1e-3)


@pytest.mark.parametrize("frames", [4.0, 20.0])
def test_parts_are_missing_for_their_share_in_stretches(frames: float):
    noise = MapNoise(**STILL, part=0.1, point=0, frames=frames)
    missing = np.isnan(np.concatenate([noisy(noise, seed) for seed in range(4)])).any(-1)
    parts_TN = np.stack([missing[:, part].any(1) for part in PARTS], 1)
    assert parts_TN.mean() == pytest.approx(0.1, rel=0.2)
    begins = np.diff(parts_TN.astype(int), axis=0) == 1
    assert parts_TN.sum() / begins.sum() == pytest.approx(frames, rel=0.2)
    assert (missing[:, HANDS[0]].all(1) == missing[:, HANDS[0]].any(1)).all()


def test_lips_and_limbs_are_never_missing():
    gone = np.isnan(noisy(MapNoise(part=0.3, point=0.3))).any((0, 2))
    assert not gone[LIPS].any() and not gone[[POINT_INDEX["left_wrist"], POINT_INDEX["neck"]]].any()
    assert gone[HANDS[0] + HANDS[1] + FACE].all()


def test_times_makes_it_stronger_and_zero_none():
    assert np.array_equal(noisy(MapNoise().times(0)), POINTS_TK2)
    twice = np.nanstd(noisy(MapNoise().times(2)) - 500)
    assert twice == pytest.approx(2 * np.nanstd(noisy(MapNoise()) - 500), rel=0.2)
