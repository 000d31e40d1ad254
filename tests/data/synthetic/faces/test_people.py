"""The demo faces' people and sentences: all different, the same at every call, fairly divided."""

import pytest

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.data.synthetic.faces.emotions import EMOTION_PROFILES
from speech2video.data.synthetic.faces.people import DemoPerson, draw_person
from speech2video.data.synthetic.faces.recording import (
    NUM_TEST_SENTENCES,
    SENTENCES,
    FacePlan,
    is_test_sentence,
)

COUNT, EACH = 24, 10


@pytest.fixture(scope="module")
def people() -> list[DemoPerson]:
    return [draw_person(number, seed=0) for number in range(COUNT)]


@pytest.fixture(scope="module")
def plans() -> list[FacePlan]:
    return [
        FacePlan(person, number, 0, 2.5, 64) for person in range(COUNT) for number in range(EACH)
    ]


def test_people_are_the_same_at_every_call(people: list[DemoPerson]) -> None:
    assert people[:5] == [draw_person(number, seed=0) for number in range(5)]
    assert people[3] != draw_person(3, seed=1)


def test_every_person_has_a_voice_and_a_face(people: list[DemoPerson]) -> None:
    assert len({one.voice_profile for one in people}) == len({one.betas for one in people}) == COUNT
    assert len({one.voice_profile.voice for one in people}) == COUNT
    appearances = {
        (
            one.appearance.skin,
            one.appearance.hair,
            one.appearance.style,
            one.head,
            one.appearance.top,
        )
        for one in people
    }
    assert len(appearances) == COUNT
    assert len({one.name for one in people}) == COUNT


def test_all_sentences_differ_and_may_end_in_any_mark() -> None:
    assert len(set(SENTENCES)) == len(SENTENCES)
    assert all(one.isascii() and one.endswith(".") and one.count(".") == 1 for one in SENTENCES)
    assert set(EMOTION_PROFILES) == set(EMOTIONS)


def test_every_person_shows_every_emotion_in_training(plans: list[FacePlan]) -> None:
    for person in range(COUNT):
        trained = [
            plan for plan in plans if plan.person == person and not is_test_sentence(plan.number)
        ]
        assert {plan.emotion for plan in trained} == set(EMOTIONS)
        said = [plan.sentence for plan in plans if plan.person == person]
        assert len(set(said)) == EACH


def test_test_sentences_are_not_in_training(plans: list[FacePlan]) -> None:
    kept = {plan.sentence for plan in plans if is_test_sentence(plan.number)}
    trained = {plan.sentence for plan in plans if not is_test_sentence(plan.number)}
    assert not kept & trained and min(kept) >= len(SENTENCES) - NUM_TEST_SENTENCES
    # so that `divide_faces` holds out just these, by name
    names = [f"{sentence:03d}" for sentence in (*trained, *kept)]
    assert sorted(names) == sorted(names, key=int)
    tested = [plan.emotion for plan in plans if is_test_sentence(plan.number)]
    assert {tested.count(emotion) for emotion in EMOTIONS} == {len(tested) // len(EMOTIONS)}
