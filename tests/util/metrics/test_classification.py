import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.metrics.classification import (
    LinearProbe,
    accuracy,
    cross_validated,
    macro_f1,
)

CLASSES, SIZE = 5, 8


def clouds(count: int, *, seed: int = 0, apart: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    labels_N = np.arange(count) % CLASSES
    middles_CD = np.random.default_rng(99).normal(size=(CLASSES, SIZE))
    return apart * middles_CD[labels_N] + chance.normal(size=(count, SIZE)), labels_N


def test_right_is_one_and_wrong_is_nought() -> None:
    true_N = np.array(["sad", "sad", "happy", "calm"])
    assert accuracy(true_N, true_N) == macro_f1(true_N, true_N) == 1
    wrong_N = np.array(["happy", "calm", "sad", "sad"])
    assert accuracy(wrong_N, true_N) == macro_f1(wrong_N, true_N) == 0
    assert np.isnan(accuracy(true_N[:0], true_N[:0])) and np.isnan(macro_f1(true_N[:0], true_N[:0]))


def test_f1_equals_its_definition() -> None:
    true_N, said_N = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    by_hand = [2 * 1 * (2 / 3) / (1 + 2 / 3), 2 * 0.5 * 0.5 / (0.5 + 0.5), 2 * 0.5 * 1 / 1.5]
    assert macro_f1(said_N, true_N) == pytest.approx(np.mean(by_hand))


def test_always_the_same_answer_has_little_f1() -> None:
    true_N = np.repeat([0, 1], [90, 10])
    assert accuracy(np.zeros(100, int), true_N) == 0.9
    assert macro_f1(np.zeros(100, int), true_N) == pytest.approx(2 * 90 / 190 / 2)


def test_a_probe_finds_what_is_there_and_nothing_else() -> None:
    probe = LinearProbe(*clouds(200))
    vectors_ND, labels_N = clouds(100, seed=1)
    assert accuracy(probe.predict(vectors_ND), labels_N) > 0.98
    noise_ND = np.random.default_rng(2).normal(size=(400, SIZE))
    labels_N = np.random.default_rng(3).integers(CLASSES, size=400)
    found = accuracy(
        LinearProbe(noise_ND[:200], labels_N[:200]).predict(noise_ND[200:]), labels_N[200:]
    )
    assert found < 2 / CLASSES


def test_a_probe_does_not_mind_scale_and_place() -> None:
    vectors_ND, labels_N = clouds(100, apart=1.0)
    moved_ND = vectors_ND * np.linspace(0.1, 30, SIZE) + np.arange(SIZE)
    here, there = (LinearProbe(v, labels_N).predict(v) for v in (vectors_ND, moved_ND))
    assert (here == there).all()


def test_a_probe_keeps_the_names_of_classes() -> None:
    vectors_ND, labels_N = clouds(100)
    names_N = np.array([f"person {label}" for label in labels_N])
    assert (LinearProbe(vectors_ND, names_N).predict(vectors_ND) == names_N).all()


def test_groups_are_never_on_both_sides() -> None:
    groups_N = np.repeat(np.arange(20), 5)
    vectors_ND = np.eye(20)[groups_N]  # tells groups, and nothing else
    labels_N = np.random.default_rng(0).integers(2, size=20)[groups_N]
    assert accuracy(LinearProbe(vectors_ND, labels_N).predict(vectors_ND), labels_N) == 1
    assert accuracy(cross_validated(vectors_ND, labels_N, groups_N), labels_N) < 0.8
    vectors_ND, labels_N = clouds(100)
    assert accuracy(cross_validated(vectors_ND, labels_N, groups_N), labels_N) > 0.95


def test_what_cannot_be_probed_is_an_error() -> None:
    vectors_ND, labels_N = clouds(10)
    with pytest.raises(DataError, match="two at least"):
        LinearProbe(vectors_ND, np.zeros(10, int))
    with pytest.raises(DataError, match="one group"):
        cross_validated(vectors_ND, labels_N, np.zeros(10, int))
    with pytest.raises(DataError, match="one length"):
        accuracy(labels_N, labels_N[1:])
