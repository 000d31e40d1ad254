"""Numbers of head, lids and lips: what moves them, and what does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speech2video.data.face_motion import (
    AGO,
    LIPS,
    MOTION,
    FaceMotionDataset,
    head_motion,
    heard_otherwise,
    lip_shapes,
    off_usual,
    throat,
)
from speech2video.data.training_loader import Item
from tests.face_clips import EYE_APART, EYES, FRAMES, SIZE, recording, recordings

HEAD = slice(0, 4)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Landmarks (T, 68, 2) of a face that looks straight ahead, its eyes open."""
    still_K2 = recording().points_TK2[0]
    return np.repeat(still_K2[None], 9, 0)


def column(motion_TM: np.ndarray, name: str) -> np.ndarray:
    return motion_TM[:, MOTION.index(name)]


@pytest.mark.parametrize(
    ("name", "amount"), [("right", 0.05), ("down", -0.04), ("roll", 0.2), ("zoom", 0.1)]
)
def test_a_head_that_is_placed_elsewhere_says_so_and_nothing_else(
    points: np.ndarray, name: str, amount: float
) -> None:
    moved, about = points.astype(np.float64), points[0, [36, 39, 42, 45]].mean(0)
    cos, sin = np.cos(amount), np.sin(amount)
    moved[3] = {
        "right": lambda x: x + (amount * SIZE, 0),
        "down": lambda x: x + (0, amount * SIZE),
        "roll": lambda x: (x - about) @ np.array([[cos, sin], [-sin, cos]]) + about,
        "zoom": lambda x: (x - about) * np.exp(amount) + about,
    }[name](moved[3])
    found = head_motion(moved, SIZE)
    assert column(found, name)[3] == pytest.approx(amount, abs=1e-5)
    found[3, MOTION.index(name)] = 0
    np.testing.assert_allclose(found - found[:1], 0, atol=1e-5)


def test_blinks_move_lids_and_no_head(points: np.ndarray) -> None:
    shut = points.copy()
    shut[4, [37, 38, 40, 41, 43, 44, 46, 47], 1] = EYES
    found = head_motion(shut, SIZE)
    assert column(found, "lids")[4] == pytest.approx(-1, abs=1e-5)
    np.testing.assert_allclose((found - found[:1])[:, :-1], 0, atol=1e-5)


def test_a_nose_beside_the_middle_is_a_turn(points: np.ndarray) -> None:
    turned = points.copy()
    turned[2, 30, 0] += EYE_APART
    turn_T = column(head_motion(turned, SIZE), "turn")
    assert turn_T[2] - turn_T[0] == pytest.approx(0.5, abs=1e-5)


def test_a_head_turned_all_through_a_clip_is_turned() -> None:
    motions = [np.full((n, len(MOTION)), turn, np.float32) for n, turn in ((9, 0.1), (4, 0.5))]
    lost = np.full((3, len(MOTION)), np.nan, np.float32)
    usual, turned, other, none = off_usual([*motions, motions[1], lost], ["a", "a", "b", "b"])
    assert not column(usual, "turn").any() and not column(other, "turn").any() and not none.any()
    np.testing.assert_allclose(column(turned, "turn"), 0.4, atol=1e-6)
    np.testing.assert_allclose(column(turned, "roll"), 0.5)  # off its clip's, as it comes


def test_missing_frames_are_as_their_neighbours(points: np.ndarray) -> None:
    gaps = points.copy()
    gaps[5:] += (3.0, 0)
    whole = head_motion(gaps, SIZE)
    gaps[6] = np.nan
    np.testing.assert_allclose(head_motion(gaps, SIZE), whole, atol=1e-6)
    assert np.isnan(head_motion(np.full_like(points, np.nan), SIZE)).all()


def test_lips_follow_the_mouth_and_not_the_head() -> None:
    one = recording()
    lips = lip_shapes(one.points_TK2)
    assert lips.shape == (FRAMES, len(LIPS)) and (lips[:, 0] >= -1e-6).all()
    gap = one.points_TK2[:, 66, 1] - one.points_TK2[:, 62, 1]
    assert np.corrcoef(lips[:, 0], gap)[0, 1] > 0.999
    np.testing.assert_allclose(lip_shapes(2 * one.points_TK2 + 7), lips, atol=1e-5)
    lost = one.points_TK2.copy()
    lost[3] = np.nan
    assert np.isnan(lip_shapes(lost)[3]).all() and np.isfinite(lip_shapes(lost)[4]).all()
    assert np.isnan(lip_shapes(np.full_like(lost, np.nan))).all()


def test_items_follow_from_their_seed() -> None:
    dataset = FaceMotionDataset(recordings(), noise=5, frames=16)
    one, again, other = (dataset[Item(0, seed)] for seed in (3, 3, 4))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["noise"], other["noise"])
    assert one["noise"].shape == (AGO + 16, 5) and one["motion"].shape == (16, len(MOTION))
    motion = dataset.motions[int(one["clip"])][int(one["begin"]) :][:16]
    assert torch.equal(one["motion"], torch.from_numpy(motion))


def test_parts_of_a_voice_are_left_out() -> None:
    item = FaceMotionDataset(recordings(), noise=1, frames=16)[Item(0, 3)]
    voice, left = item["voice"], item["masked_voice"]
    assert left.shape == voice.shape and left.dtype == voice.dtype
    gone = left == 0
    assert 0 < float(gone.float().mean()) < 0.5
    assert float((left - voice)[~gone].std()) == pytest.approx(0.2, rel=0.1)


def test_what_is_said_is_heard_of_other_throats() -> None:
    dataset = FaceMotionDataset(recordings(), noise=1, frames=16)
    one, again, other = (dataset[Item(0, seed)]["masked_mel"] for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)
    mel_BL = np.linspace(0, 79, 80)[:, None] + np.arange(3)
    np.testing.assert_allclose(throat(mel_BL, 1.0), mel_BL)
    np.testing.assert_allclose(throat(mel_BL, 0.5)[40], mel_BL[20])
    longer = throat(mel_BL, 1.25)
    np.testing.assert_allclose(longer[10], mel_BL[12] + 0.5)
    np.testing.assert_allclose(longer[70], mel_BL[79])  # beyond the highest band it goes on


def test_lips_that_are_not_seen_count_nothing() -> None:
    short = recording(frames=20)
    lost = short.points_TK2.copy()
    lost[:10] = np.nan
    dataset = FaceMotionDataset([replace(short, points_TK2=lost)], noise=1, frames=30)
    item = dataset[Item(0, 0)]
    assert item["lips_seen"].tolist() == [0.0] * 10 + [1.0] * 10 + [0.0] * 10
    assert item["lips"].isfinite().all()


def test_statistics_are_those_of_all_clips() -> None:
    dataset = FaceMotionDataset(recordings(), noise=1)
    found, motion = dataset.motion_statistics(), np.concatenate(dataset.motions)
    np.testing.assert_allclose(found["mean"], motion.mean(0), atol=1e-6)
    assert (found["lowest"] <= found["mean"]).all() and (found["mean"] <= found["highest"]).all()


def test_other_rooms_change_the_sound_alone() -> None:
    known = recordings()[:2]
    heard = heard_otherwise(known, 3, seed=0)
    assert len(heard) == 6 and heard[:2] == known
    for number, one in enumerate(heard[2:]):
        original = known[number % 2]
        assert one.frames_T3HW is original.frames_T3HW and one.wave_S.shape == original.wave_S.shape
        assert one.speaker == original.speaker
    assert any(not np.array_equal(one.wave_S, known[0].wave_S) for one in heard[2::2])
    again = heard_otherwise(known, 3, seed=0)
    assert all(np.array_equal(a.wave_S, b.wave_S) for a, b in zip(heard, again, strict=True))
