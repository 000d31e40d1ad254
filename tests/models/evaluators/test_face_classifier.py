from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.models.evaluators import face_classifier as face_judges
from speech2video.models.evaluators.face_classifier import (
    augment_images,
    load_or_train_classifier,
    resize_frames,
    train_classifier,
)
from speech2video.util.errors import DataError
from tests.toy_faces import recordings

STEPS = 25


@pytest.fixture(scope="module")
def clips() -> tuple[list, list]:
    """Toy clips to train on, and others."""
    found = recordings(sentences=2)
    return [r for r in found if r.sentence == "s0"], [r for r in found if r.sentence == "s1"]


def test_a_judge_knows_people_it_was_not_shown_so(clips: tuple[list, list], tmp_path: Path) -> None:
    training, others = clips
    judge = load_or_train_classifier(
        tmp_path, training, [r.speaker for r in training], seed=1, steps=STEPS
    )
    opinions = [judge.look(r.frames_T3HW) for r in others]
    assert (
        np.mean([judge.says(o) == r.speaker for o, r in zip(opinions, others, strict=True)]) > 0.9
    )
    for opinion, clip in zip(opinions, others, strict=True):
        assert opinion.shares_C.sum() == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(opinion.embedding_D) == pytest.approx(1, abs=1e-5)
        assert len(opinion.features_TD) == -(-len(clip) // face_judges.LOOK_STEP)


def test_a_judge_is_kept_and_trained_anew_for_other_clips(
    clips: tuple[list, list], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, others = clips
    calls = []

    def counted(*arguments: object, **named: object) -> torch.nn.Module:
        calls.append(1)
        return train_classifier(*arguments, **named)

    monkeypatch.setattr(face_judges, "train_classifier", counted)
    labels = [r.emotion for r in training]
    first = load_or_train_classifier(tmp_path, training, labels, seed=1, steps=2)
    again = load_or_train_classifier(tmp_path, training, labels, seed=1, steps=2)
    video = others[0].frames_T3HW
    assert len(calls) == 1
    np.testing.assert_array_equal(first.look(video).shares_C, again.look(video).shares_C)
    load_or_train_classifier(tmp_path, training[1:], labels[1:], seed=1, steps=2)
    load_or_train_classifier(tmp_path, training[1:], labels[1:], seed=2, steps=2)
    assert len(calls) == 3


def test_training_is_of_its_seed_alone(clips: tuple[list, list]) -> None:
    pictures, labels_N = resize_frames(clips[0][0].frames_T3HW), np.arange(40) % 2
    torch.manual_seed(5)
    one = train_classifier(pictures, labels_N, seed=3, steps=2)
    torch.manual_seed(6)
    two = train_classifier(pictures, labels_N, seed=3, steps=2)
    for here, there in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(here, there)


def test_a_picture_is_disturbed_and_stays_a_picture() -> None:
    pictures = torch.rand(4, 3, face_judges.IMAGE_SIZE, face_judges.IMAGE_SIZE)
    changed = augment_images(pictures)
    assert changed.shape == pictures.shape and changed.min() >= 0 and changed.max() <= 1
    assert not torch.equal(changed, pictures)


def test_one_class_is_no_question(clips: tuple[list, list], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs two"):
        load_or_train_classifier(tmp_path, clips[0], ["a"] * len(clips[0]), seed=0)
