"""Gestures inserted into motion: what changes, what does not, and when."""

from dataclasses import replace

import pytest
import torch

from speech2video.data.gestures.dictionary import GestureDictionary
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.data.gestures.timeline import (
    CHANCE,
    COLLISION,
    MIN_HOLD,
    MIN_RAMP,
    OUTSIDE,
    Insertion,
    Timeline,
)
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import TOLERANCE, limit_excess
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES, vector_to_smplx
from speech2video.util.errors import DataError
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS
from tests.data.gestures.gesture_examples import joint, legal_motion, small_dictionary, speech

FRAMES = 1500


@pytest.fixture(scope="module")
def gestures(body: Body) -> GestureInserter:
    return GestureInserter(small_dictionary(body), body)


def always(gestures: GestureInserter, body: Body, probability: float = 1.0) -> GestureInserter:
    """Return the inserter of the same gestures with another probability."""
    entries = tuple(replace(e, probability=probability) for e in gestures.dictionary.entries)
    return GestureInserter(GestureDictionary(entries, body.name), body)


def mixed(count: int) -> list[Word]:
    return [
        Word(("up", "all", "so", "ABOVE!")[k % 4], 0.6 * k, 0.6 * k + 0.4) for k in range(count)
    ]


def test_without_gestures_poses_are_unchanged(gestures: GestureInserter, body: Body) -> None:
    pose_TP = legal_motion(100, body)
    assert torch.equal(gestures.insert(pose_TP, []), pose_TP)
    assert torch.equal(gestures.insert(pose_TP, [Word("nothing", 1, 2)]), pose_TP)
    assert gestures.insert(pose_TP[:0], speech(3)).shape == (0, POSE_SIZE)


def test_poses_stay_legal(gestures: GestureInserter, body: Body) -> None:
    pose_TP = legal_motion(FRAMES, body)
    inserted = always(gestures, body).insert(pose_TP, mixed(90))
    assert not torch.equal(inserted, pose_TP)
    assert limit_excess(vector_to_smplx(inserted, body.hands).rotations).max() <= TOLERANCE


def test_only_owned_parts_change_and_only_inside_the_ramps(
    gestures: GestureInserter, body: Body
) -> None:
    pose_TP = legal_motion(FRAMES, body)
    timeline = gestures.plan(speech(18), frames=FRAMES, seed=1)
    changed_TP = gestures.apply(pose_TP, timeline) != pose_TP
    moments = (torch.arange(FRAMES) + 0.5) / FPS
    inside = torch.zeros(FRAMES, dtype=torch.bool)
    for one in timeline.inserted:
        inside |= (moments > one.start) & (moments < one.end)
    assert changed_TP.any() and not changed_TP[~inside].any()
    owned = torch.zeros(POSE_SIZE, dtype=torch.bool)
    for name in ("right_collar", "right_shoulder", "right_elbow", "right_wrist"):
        owned[joint(name)] = True
    owned[POSE_SLICES["right_hand"]] = True
    assert not changed_TP[:, ~owned].any()


def test_face_root_and_legs_are_never_touched(gestures: GestureInserter, body: Body) -> None:
    pose_TP = legal_motion(FRAMES, body)
    inserted = always(gestures, body).insert(pose_TP, mixed(90))
    for part in ("translation", "root_orientation", "expression", "jaw"):
        assert torch.equal(inserted[:, POSE_SLICES[part]], pose_TP[:, POSE_SLICES[part]])
    assert torch.equal(inserted[:, joint("left_hip")], pose_TP[:, joint("left_hip")])


def test_the_key_pose_is_reached_at_its_time(gestures: GestureInserter, body: Body) -> None:
    pose_TP = legal_motion(200, body)
    sure = always(gestures, body)
    inserted = sure.insert(pose_TP, [Word("up,", 3.0, 3.5)])
    frame = round((3.0 + 0.4 * 0.5) * FPS)  # the first whose moment is not before the key
    wanted = sure.dictionary.entries[0].motion_NP[0]
    for columns in (joint("right_shoulder"), joint("right_elbow"), POSE_SLICES["right_hand"]):
        torch.testing.assert_close(inserted[frame, columns], wanted[columns], atol=1e-5, rtol=0)


def test_a_motion_plays_at_its_speed(gestures: GestureInserter, body: Body) -> None:
    entry = gestures.dictionary.entries[1]
    key = 100.5 / FPS  # the moment of frame 100
    start, arrival, hold_end, end = entry.times(key)
    timeline = Timeline((Insertion("all", key, start, arrival, hold_end, end),))
    inserted = gestures.apply(legal_motion(200, body), timeline)
    for offset in range(-4, 9):
        for name in ("left_shoulder", "head", "spine1"):
            torch.testing.assert_close(
                inserted[100 + offset, joint(name)],
                entry.motion_NP[entry.key + offset, joint(name)],
                atol=1e-4,
                rtol=0,
            )


@pytest.mark.parametrize("size", [1, 7, 333])
def test_pieces_equal_the_whole(gestures: GestureInserter, body: Body, size: int) -> None:
    count = 400 if size == 1 else FRAMES
    pose_TP = legal_motion(count, body)
    timeline = gestures.plan(mixed(90), frames=count, seed=5)
    whole = gestures.apply(pose_TP, timeline)
    pieces = [
        gestures.apply(pose_TP[at : at + size], timeline, first_frame=at)
        for at in range(0, count, size)
    ]
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=0)


def test_the_seed_determines_the_gestures(gestures: GestureInserter) -> None:
    words = speech(40)
    assert gestures.plan(words, seed=3) == gestures.plan(words, seed=3)
    assert gestures.plan(words, seed=3).inserted != gestures.plan(words, seed=4).inserted


def test_more_words_do_not_change_earlier_draws(gestures: GestureInserter) -> None:
    words = speech(30)
    few, many = (gestures.plan(part, seed=2) for part in (words[:20], words))
    assert many.insertions[:20] == few.insertions
    others = sorted([*words, *speech(30, text="all")], key=lambda word: word.start)
    both = [i for i in gestures.plan(others, seed=2).insertions if i.word == "up"]
    assert [i.draw for i in both] == [i.draw for i in many.insertions]


def test_probabilities_hold(gestures: GestureInserter, body: Body) -> None:
    words = speech(2000)
    made = len(gestures.plan(words, seed=0).inserted) / len(words)
    assert made == pytest.approx(0.7, abs=0.04)
    assert not always(gestures, body, 0.0).plan(words).inserted
    assert len(always(gestures, body, 1.0).plan(words).inserted) == len(words)


def test_disabled_entries_are_not_inserted(gestures: GestureInserter, body: Body) -> None:
    entries = tuple(replace(e, on=False) for e in gestures.dictionary.entries)
    off = GestureInserter(GestureDictionary(entries, body.name), body)
    assert not off.plan(speech(20)).insertions


@pytest.mark.parametrize("apart", [0.15, 0.3, 0.45, 0.6, 0.9, 1.4, 2.0])
def test_gestures_do_not_overlap(gestures: GestureInserter, body: Body, apart: float) -> None:
    words = [Word(("up", "all")[k % 3 == 0], 2 + apart * k, 2.1 + apart * k) for k in range(60)]
    timeline = always(gestures, body).plan(words)
    assert len(timeline.inserted) > 3
    for before, after in zip(timeline.inserted, timeline.inserted[1:], strict=False):
        assert after.start >= before.hold_end >= before.key + MIN_HOLD - 1e-3
        assert after.arrival - after.start >= MIN_RAMP - 1e-3
    reasons = {one.skipped for one in timeline.insertions}
    assert reasons <= {"", COLLISION} and (COLLISION in reasons) == (apart < 0.5)


def test_consecutive_gestures_are_no_faster(gestures: GestureInserter, body: Body) -> None:
    static = torch.zeros(FRAMES, POSE_SIZE)
    sure = always(gestures, body)
    alone = sure.insert(static, speech(1, text="up"))
    chained = sure.insert(static, speech(60, apart=0.6))
    columns = joint("right_elbow")
    speeds = [pose[:, columns].diff(dim=0).norm(dim=1).max() for pose in (alone, chained)]
    assert speeds[1] < 1.6 * speeds[0]


def test_gestures_of_other_parts_do_not_collide(gestures: GestureInserter, body: Body) -> None:
    up = replace(gestures.dictionary.entries[0], probability=1.0)
    nod = replace(up, name="nod", words=("yes",), parts=("head",))
    both = GestureInserter(GestureDictionary((up, nod), body.name), body)
    assert len(both.plan([Word("up", 2, 2.2), Word("yes", 2.2, 2.4)]).inserted) == 2


def test_gestures_outside_the_motion_are_skipped(gestures: GestureInserter, body: Body) -> None:
    sure = always(gestures, body)
    words = [Word("up", 0.0, 0.2), Word("up", 3.9, 4.4)]
    timeline = sure.plan(words, frames=100)
    assert [one.skipped for one in timeline.insertions] == ["", OUTSIDE]
    assert sure.insert(legal_motion(100, body), words).shape == (100, POSE_SIZE)


def test_an_edited_timeline_is_applied(gestures: GestureInserter, body: Body) -> None:
    pose_TP = legal_motion(300, body)
    timeline = gestures.plan(speech(3), frames=300, seed=1)
    reverse = {"": "by hand", CHANCE: ""}
    edited = Timeline(tuple(replace(i, skipped=reverse[i.skipped]) for i in timeline.insertions))
    changed = (gestures.apply(pose_TP, edited) != pose_TP).any(1)
    for one in timeline.insertions:
        assert changed[round(one.key * FPS)] == bool(one.skipped)


def test_hands_of_another_body_are_unchanged(body: Body) -> None:
    foreign = GestureInserter(replace(small_dictionary(body), body="smplx"), body)
    pose_TP = legal_motion(FRAMES, body)
    inserted = foreign.insert(pose_TP, speech(18))
    hand = POSE_SLICES["right_hand"]
    assert torch.equal(inserted[:, hand], pose_TP[:, hand])
    assert not torch.equal(inserted, pose_TP)


def test_invalid_arguments_raise(gestures: GestureInserter, body: Body) -> None:
    with pytest.raises(DataError, match="no gesture 'x'"):
        gestures.apply(legal_motion(60, body), Timeline((Insertion("x", 1, 1, 1, 1, 1),)))
    with pytest.raises(DataError, match="shape"):
        gestures.insert(torch.zeros(5, 3), [])
    with pytest.raises(DataError, match="NaN"):
        always(gestures, body).insert(torch.full((60, POSE_SIZE), torch.nan), speech(1))
