"""The demo faces' people and sentences: all different, the same at every call, fairly divided."""

import pytest

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.data.synthetic.faces.emotions import EMOTION_PROFILES
from speech2video.data.synthetic.faces.people import DemoPerson, person
from speech2video.data.synthetic.faces.recording import FacePlan
from speech2video.data.synthetic.faces.sentences import (
    NUM_TEST_SENTENCES,
    SENTENCES,
    is_test_sentence,
)

COUNT, EACH = 24, 10


@pytest.fixture(scope="module")
def people() -> list[DemoPerson]:
    return [person(number, seed=0) for number in range(COUNT)]


@pytest.fixture(scope="module")
def plans() -> list[FacePlan]:
    return [FacePlan(who, number, 0, 2.5, 64) for who in range(COUNT) for number in range(EACH)]


def test_people_are_the_same_at_every_call(people: list[DemoPerson]) -> None:
    assert people[:5] == [person(number, seed=0) for number in range(5)]
    assert people[3] != person(3, seed=1)


def test_nobody_has_anybody_elses_voice_or_face(people: list[DemoPerson]) -> None:
    assert len({one.voice_profile for one in people}) == len({one.betas for one in people}) == COUNT
    assert len({one.voice_profile.voice for one in people}) == COUNT
    looks = {
        (
            one.appearance.skin,
            one.appearance.hair,
            one.appearance.style,
            one.head,
            one.appearance.top,
        )
        for one in people
    }
    assert len(looks) == COUNT
    assert len({one.name for one in people}) == COUNT


def test_all_sentences_differ_and_may_end_in_any_mark() -> None:
    assert len(set(SENTENCES)) == len(SENTENCES)
    assert all(one.isascii() and one.endswith(".") and one.count(".") == 1 for one in SENTENCES)
    assert set(EMOTION_PROFILES) == set(EMOTIONS)


def test_everybody_shows_every_emotion_in_what_is_trained_on(plans: list[FacePlan]) -> None:
    for who in range(COUNT):
        trained = [
            plan for plan in plans if plan.person == who and not is_test_sentence(plan.number)
        ]
        assert {plan.emotion for plan in trained} == set(EMOTIONS)
        said = [plan.sentence for plan in plans if plan.person == who]
        assert len(set(said)) == EACH


def test_nobody_in_training_says_what_is_judged_by(plans: list[FacePlan]) -> None:
    kept = {plan.sentence for plan in plans if is_test_sentence(plan.number)}
    trained = {plan.sentence for plan in plans if not is_test_sentence(plan.number)}
    assert not kept & trained and min(kept) >= len(SENTENCES) - NUM_TEST_SENTENCES
    # so that `divide_faces` holds out just these, by name
    names = [f"{sentence:03d}" for sentence in (*trained, *kept)]
    assert sorted(names) == sorted(names, key=int)
    judged = [plan.emotion for plan in plans if is_test_sentence(plan.number)]
    assert {judged.count(emotion) for emotion in EMOTIONS} == {len(judged) // len(EMOTIONS)}
