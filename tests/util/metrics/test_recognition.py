import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.metrics.recognition import (
    LinearProbe,
    accuracy,
    centroids,
    cosines,
    cross_validated,
    macro_f1,
    one_of_two,
    top_1,
    unit,
)

CLASSES, DIMENSIONS = 5, 8


def clusters(count: int, *, seed: int = 0, distance: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels_N = np.arange(count) % CLASSES
    centres_CD = np.random.default_rng(99).normal(size=(CLASSES, DIMENSIONS))
    return distance * centres_CD[labels_N] + random.normal(size=(count, DIMENSIONS)), labels_N


def test_all_correct_is_one_and_all_wrong_is_zero() -> None:
    true_N = np.array(["sad", "sad", "happy", "calm"])
    assert accuracy(true_N, true_N) == macro_f1(true_N, true_N) == 1
    wrong_N = np.array(["happy", "calm", "sad", "sad"])
    assert accuracy(wrong_N, true_N) == macro_f1(wrong_N, true_N) == 0
    assert np.isnan(accuracy(true_N[:0], true_N[:0])) and np.isnan(macro_f1(true_N[:0], true_N[:0]))


def test_f1_equals_its_definition() -> None:
    true_N, predicted_N = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    by_hand = [2 * 1 * (2 / 3) / (1 + 2 / 3), 2 * 0.5 * 0.5 / (0.5 + 0.5), 2 * 0.5 * 1 / 1.5]
    assert macro_f1(predicted_N, true_N) == pytest.approx(np.mean(by_hand))


def test_a_constant_prediction_has_low_f1() -> None:
    true_N = np.repeat([0, 1], [90, 10])
    assert accuracy(np.zeros(100, int), true_N) == 0.9
    assert macro_f1(np.zeros(100, int), true_N) == pytest.approx(2 * 90 / 190 / 2)


def test_a_probe_separates_clusters_and_not_noise() -> None:
    probe = LinearProbe(*clusters(200))
    vectors_ND, labels_N = clusters(100, seed=1)
    assert accuracy(probe.predict(vectors_ND), labels_N) > 0.98
    noise_ND = np.random.default_rng(2).normal(size=(400, DIMENSIONS))
    labels_N = np.random.default_rng(3).integers(CLASSES, size=400)
    found = accuracy(
        LinearProbe(noise_ND[:200], labels_N[:200]).predict(noise_ND[200:]), labels_N[200:]
    )
    assert found < 2 / CLASSES


def test_a_probe_ignores_scale_and_offset() -> None:
    vectors_ND, labels_N = clusters(100, distance=1.0)
    moved_ND = vectors_ND * np.linspace(0.1, 30, DIMENSIONS) + np.arange(DIMENSIONS)
    here, there = (LinearProbe(v, labels_N).predict(v) for v in (vectors_ND, moved_ND))
    assert (here == there).all()


def test_a_probe_predicts_class_names() -> None:
    vectors_ND, labels_N = clusters(100)
    names_N = np.array([f"person {label}" for label in labels_N])
    assert (LinearProbe(vectors_ND, names_N).predict(vectors_ND) == names_N).all()


def test_groups_stay_in_one_fold() -> None:
    groups_N = np.repeat(np.arange(20), 5)
    vectors_ND = np.eye(20)[groups_N]  # identifies groups only
    labels_N = np.random.default_rng(0).integers(2, size=20)[groups_N]
    assert accuracy(LinearProbe(vectors_ND, labels_N).predict(vectors_ND), labels_N) == 1
    assert accuracy(cross_validated(vectors_ND, labels_N, groups_N), labels_N) < 0.8
    vectors_ND, labels_N = clusters(100)
    assert accuracy(cross_validated(vectors_ND, labels_N, groups_N), labels_N) > 0.95


def test_invalid_probes_are_refused() -> None:
    vectors_ND, labels_N = clusters(10)
    with pytest.raises(DataError, match="two at least"):
        LinearProbe(vectors_ND, np.zeros(10, int))
    with pytest.raises(DataError, match="one group"):
        cross_validated(vectors_ND, labels_N, np.zeros(10, int))
    with pytest.raises(DataError, match="one length"):
        accuracy(labels_N, labels_N[1:])


PEOPLE, EACH, EMBEDDING_SIZE = 6, 5, 16
LABELS = np.repeat(np.arange(PEOPLE), EACH)


def faces(seed: int = 0, *, spread: float = 0.1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(PEOPLE, EMBEDDING_SIZE))[LABELS] + spread * random.normal(
        size=(len(LABELS), EMBEDDING_SIZE)
    )


def test_people_are_recognised_by_their_own_vectors() -> None:
    vectors_ND = faces()
    scores_NC = cosines(vectors_ND, centroids(vectors_ND, LABELS, PEOPLE))
    assert top_1(scores_NC, LABELS).all()
    assert one_of_two(scores_NC, LABELS) == pytest.approx(np.ones(len(LABELS)))


def test_swapped_labels_are_never_recognised() -> None:
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
    random = np.random.default_rng(0)
    scores_NC, labels_N = random.normal(size=(6000, PEOPLE)), random.integers(PEOPLE, size=6000)
    assert top_1(scores_NC, labels_N).mean() == pytest.approx(1 / PEOPLE, abs=0.02)
    assert one_of_two(scores_NC, labels_N).mean() == pytest.approx(0.5, abs=0.02)
    same_NC = np.zeros((3, PEOPLE))
    assert not top_1(same_NC, labels_N[:3]).any()
    assert one_of_two(same_NC, labels_N[:3]) == pytest.approx(np.full(3, 0.5))


def test_vector_length_is_ignored() -> None:
    vectors_ND = faces(spread=1.0)
    longer_ND = vectors_ND * np.random.default_rng(2).uniform(0.1, 9, (len(LABELS), 1))
    here, there = (centroids(v, LABELS, PEOPLE) for v in (vectors_ND, longer_ND))
    np.testing.assert_allclose(here, there)
    np.testing.assert_allclose(np.linalg.norm(here, axis=1), 1)
    assert unit(np.zeros((1, 3))).tolist() == [[0, 0, 0]]


def test_a_single_person_has_no_pairs() -> None:
    assert np.isnan(one_of_two(np.ones((1, 1)), np.array([0])))


@pytest.mark.parametrize(
    ("labels", "count", "words"),
    [(LABELS, PEOPLE + 1, "no vectors"), (LABELS[1:], PEOPLE, "one each")],
)
def test_people_without_vectors_are_refused(labels: np.ndarray, count: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        centroids(faces(), labels, count)
