from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.models.evaluators import face_classifier
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


def test_held_out_clips_are_classified(clips: tuple[list, list], tmp_path: Path) -> None:
    training, others = clips
    labels = [r.speaker for r in training]
    classifier = load_or_train_classifier(tmp_path, training, labels, seed=1, steps=STEPS)
    predictions = [classifier.predict(r.frames_T3HW) for r in others]
    hits = [p.label == r.speaker for p, r in zip(predictions, others, strict=True)]
    assert np.mean(hits) > 0.9
    for prediction, clip in zip(predictions, others, strict=True):
        assert prediction.probabilities_C.sum() == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(prediction.embedding_D) == pytest.approx(1, abs=1e-5)
        assert len(prediction.features_TD) == -(-len(clip) // face_classifier.FRAME_STEP)


def test_a_classifier_is_saved_and_retrained_for_other_clips(
    clips: tuple[list, list], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, others = clips
    calls = []

    def counted(*arguments: object, **named: object) -> torch.nn.Module:
        calls.append(1)
        return train_classifier(*arguments, **named)

    monkeypatch.setattr(face_classifier, "train_classifier", counted)
    labels = [r.emotion for r in training]
    first, again = (
        load_or_train_classifier(tmp_path, training, labels, seed=1, steps=2) for _ in range(2)
    )
    video = others[0].frames_T3HW
    assert len(calls) == 1
    np.testing.assert_array_equal(
        first.predict(video).probabilities_C, again.predict(video).probabilities_C
    )
    for seed in (1, 2):
        load_or_train_classifier(tmp_path, training[1:], labels[1:], seed=seed, steps=2)
    assert len(calls) == 3


def test_training_depends_on_its_seed_only(clips: tuple[list, list]) -> None:
    images, labels_N = resize_frames(clips[0][0].frames_T3HW), np.arange(40) % 2
    networks = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        networks.append(train_classifier(images, labels_N, seed=3, steps=2))
    for here, there in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(here, there)


def test_augmented_images_are_images() -> None:
    images = torch.rand(4, 3, face_classifier.IMAGE_SIZE, face_classifier.IMAGE_SIZE)
    changed = augment_images(images)
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
    assert not torch.equal(changed, images)


def test_one_class_is_refused(clips: tuple[list, list], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs two"):
        load_or_train_classifier(tmp_path, clips[0], ["a"] * len(clips[0]), seed=0)
