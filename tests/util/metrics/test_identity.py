import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.metrics.identity import centroids, cosines, one_of_two, top_1, unit

PEOPLE, EACH, SIZE = 6, 5, 16
LABELS = np.repeat(np.arange(PEOPLE), EACH)


def faces(seed: int = 0, *, spread: float = 0.1) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return chance.normal(size=(PEOPLE, SIZE))[LABELS] + spread * chance.normal(
        size=(len(LABELS), SIZE)
    )


def test_everybody_is_recognised_by_themselves() -> None:
    vectors_ND = faces()
    scores_NC = cosines(vectors_ND, centroids(vectors_ND, LABELS, PEOPLE))
    assert top_1(scores_NC, LABELS).all()
    assert one_of_two(scores_NC, LABELS) == pytest.approx(np.ones(len(LABELS)))


def test_who_is_taken_for_another_is_recognised_by_nobody() -> None:
    vectors_ND = faces()
    scores_NC = cosines(vectors_ND, centroids(vectors_ND, (LABELS + 1) % PEOPLE, PEOPLE))
    assert not top_1(scores_NC, LABELS).any()
    assert one_of_two(scores_NC, LABELS).max() < 1


def test_renaming_people_changes_nothing() -> None:
    vectors_ND, names = faces(spread=1.5), np.random.default_rng(1).permutation(PEOPLE)
    scores_NC = cosines(vectors_ND, centroids(vectors_ND, LABELS, PEOPLE))
    renamed_NC = cosines(vectors_ND, centroids(vectors_ND, names[LABELS], PEOPLE))
    for measure in (top_1, one_of_two):
        np.testing.assert_allclose(measure(scores_NC, LABELS), measure(renamed_NC, names[LABELS]))


def test_chance_is_one_of_all_and_one_of_two() -> None:
    chance = np.random.default_rng(0)
    scores_NC, labels_N = chance.normal(size=(6000, PEOPLE)), chance.integers(PEOPLE, size=6000)
    assert top_1(scores_NC, labels_N).mean() == pytest.approx(1 / PEOPLE, abs=0.02)
    assert one_of_two(scores_NC, labels_N).mean() == pytest.approx(0.5, abs=0.02)
    same_NC = np.zeros((3, PEOPLE))
    assert not top_1(same_NC, labels_N[:3]).any()
    assert one_of_two(same_NC, labels_N[:3]) == pytest.approx(np.full(3, 0.5))


def test_length_does_not_count() -> None:
    vectors_ND = faces(spread=1.0)
    longer_ND = vectors_ND * np.random.default_rng(2).uniform(0.1, 9, (len(LABELS), 1))
    here, there = (centroids(v, LABELS, PEOPLE) for v in (vectors_ND, longer_ND))
    np.testing.assert_allclose(here, there)
    np.testing.assert_allclose(np.linalg.norm(here, axis=1), 1)
    assert unit(np.zeros((1, 3))).tolist() == [[0, 0, 0]]


def test_alone_there_are_no_two() -> None:
    assert np.isnan(one_of_two(np.ones((1, 1)), np.array([0])))


@pytest.mark.parametrize(
    ("labels", "count", "words"),
    [(LABELS, PEOPLE + 1, "no vectors"), (LABELS[1:], PEOPLE, "one each")],
)
def test_people_without_faces_are_an_error(labels: np.ndarray, count: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        centroids(faces(), labels, count)
