"""The demo faces' people and sentences: all different, the same at every call, fairly divided."""

import pytest

from speech2video.data.demo_faces.feelings import FEELINGS
from speech2video.data.demo_faces.people import Person, person
from speech2video.data.demo_faces.recording import FacePlan
from speech2video.data.demo_faces.sentences import KEPT, SENTENCES, is_kept
from speech2video.data.face_clip import EMOTIONS

COUNT, EACH = 24, 10


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [person(number, seed=0) for number in range(COUNT)]


@pytest.fixture(scope="module")
def plans() -> list[FacePlan]:
    return [FacePlan(who, number, 0, 2.5, 64) for who in range(COUNT) for number in range(EACH)]


def test_people_are_the_same_at_every_call(people: list[Person]) -> None:
    assert people[:5] == [person(number, seed=0) for number in range(5)]
    assert people[3] != person(3, seed=1)


def test_nobody_has_anybody_elses_voice_or_face(people: list[Person]) -> None:
    assert len({one.throat for one in people}) == len({one.betas for one in people}) == COUNT
    assert len({one.throat.voice for one in people}) == COUNT
    looks = {
        (one.look.skin, one.look.hair, one.look.style, one.head, one.look.top) for one in people
    }
    assert len(looks) == COUNT
    assert len({one.name for one in people}) == COUNT


def test_all_sentences_differ_and_may_end_in_any_mark() -> None:
    assert len(set(SENTENCES)) == len(SENTENCES)
    assert all(one.isascii() and one.endswith(".") and one.count(".") == 1 for one in SENTENCES)
    assert set(FEELINGS) == set(EMOTIONS)


def test_everybody_shows_every_emotion_in_what_is_trained_on(plans: list[FacePlan]) -> None:
    for who in range(COUNT):
        trained = [plan for plan in plans if plan.person == who and not is_kept(plan.number)]
        assert {plan.emotion for plan in trained} == set(EMOTIONS)
        said = [plan.sentence for plan in plans if plan.person == who]
        assert len(set(said)) == EACH


def test_nobody_in_training_says_what_is_judged_by(plans: list[FacePlan]) -> None:
    kept = {plan.sentence for plan in plans if is_kept(plan.number)}
    trained = {plan.sentence for plan in plans if not is_kept(plan.number)}
    assert not kept & trained and min(kept) >= len(SENTENCES) - KEPT
    # so that `divide_faces` holds out just these, by name
    names = [f"{sentence:03d}" for sentence in (*trained, *kept)]
    assert sorted(names) == sorted(names, key=int)
    judged = [plan.emotion for plan in plans if is_kept(plan.number)]
    assert {judged.count(emotion) for emotion in EMOTIONS} == {len(judged) // len(EMOTIONS)}
