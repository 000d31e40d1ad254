"""Face clips as batches: everything of one moment, and the same for the same item."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speech2video.data.face_clip import EMOTIONS
from speech2video.data.face_dataset import EYES, MOUTH, SHIFTS, FaceDataset, FacePart, part_boxes
from speech2video.data.training_loader import Item, batches_from, training_loader
from speech2video.util.errors import DataError
from speech2video.util.log_mels import COLUMNS
from tests.face_clips import SIZE, recording, recordings

T = 12


@pytest.fixture(scope="module")
def dataset() -> FaceDataset:
    return FaceDataset(recordings(frames=60), frames=T)


def item_of(dataset: FaceDataset, seed: int) -> dict[str, torch.Tensor]:
    return dataset[Item(0, seed)]


def test_an_items_parts_are_of_one_moment(dataset: FaceDataset) -> None:
    for seed in range(8):
        item = item_of(dataset, seed)
        one, begin = dataset.recordings[int(item["clip"])], int(item["begin"])
        mel_BN = dataset.mel(int(item["clip"]))
        np.testing.assert_array_equal(item["frames"], one.frames_T3HW[begin : begin + T])
        columns = slice(COLUMNS * begin, COLUMNS * (begin + T))
        np.testing.assert_array_equal(item["mel"], mel_BN[:, columns])
        assert dataset.speakers[int(item["speaker"])] == one.speaker
        assert EMOTIONS[int(item["emotion"])] == one.emotion
        assert item["present"].all()


def test_the_same_item_is_the_same(dataset: FaceDataset) -> None:
    first, again, other = (item_of(dataset, seed) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["frames"], other["frames"])


def test_shifted_speech_is_off_by_what_it_should(dataset: FaceDataset) -> None:
    for seed in range(20):
        item = item_of(dataset, seed)
        mel_BN, begin = dataset.mel(int(item["clip"])), int(item["begin"])
        found = [
            shift
            for shift in range(-begin, 60 - T - begin + 1)
            if np.array_equal(
                mel_BN[:, COLUMNS * (begin + shift) : COLUMNS * (begin + shift + T)],
                item["shifted_mel"],
            )
        ]
        assert any(SHIFTS[0] <= abs(shift) <= SHIFTS[1] for shift in found)


def test_stills_are_of_the_same_person_in_another_clip(dataset: FaceDataset) -> None:
    for seed in range(6):
        item = item_of(dataset, seed)
        index = int(item["clip"])
        speaker = dataset.recordings[index].speaker
        owners = [
            other
            for other, one in enumerate(dataset.recordings)
            if one.speaker == speaker
            and (one.frames_T3HW == item["still"].numpy()).all((1, 2, 3)).any()
        ]
        assert owners and owners != [index]


def test_short_clips_are_held_and_say_so() -> None:
    item = FaceDataset([recording(frames=T - 5)], frames=T)[Item(0, 0)]
    assert item["present"].tolist() == [1.0] * (T - 5) + [0.0] * 5
    assert (item["frames"][T - 5 :] == item["frames"][T - 6]).all()
    assert item["mel"].shape == item["shifted_mel"].shape == (80, COLUMNS * T)


def test_unknown_emotions_and_speakers_elsewhere() -> None:
    one = replace(recording(), emotion="")
    item = FaceDataset([one], frames=T, speakers=("zoe", "ann"))[Item(0, 0)]
    assert int(item["emotion"]) == -1 and int(item["speaker"]) == 1
    with pytest.raises(DataError, match="none of the 1"):
        FaceDataset([one], speakers=("zoe",))
    with pytest.raises(DataError, match="no recordings"):
        FaceDataset([])


def test_batches_are_made(dataset: FaceDataset) -> None:
    batch = next(batches_from(training_loader(dataset, batch_size=3), step=0))
    assert batch["frames"].shape == (3, T, 3, SIZE, SIZE) and batch["frames"].dtype == torch.uint8
    assert batch["mouth_boxes"].shape == batch["eye_boxes"].shape == (3, T, 4)
    assert batch["speaker"].dtype == torch.int64


@pytest.mark.parametrize("part", [MOUTH, EYES])
def test_boxes_of_a_part_are_of_one_size_and_inside(part: FacePart) -> None:
    own = list(part.landmarks)
    points_TK2 = recording().points_TK2.copy()
    points_TK2[3, own] += 100
    points_TK2[4] = np.nan
    boxes_T4 = part_boxes(points_TK2, SIZE, part)
    assert (boxes_T4 >= 0).all() and (boxes_T4 <= SIZE).all()
    sides_T2 = boxes_T4[:, 2:] - boxes_T4[:, :2]
    np.testing.assert_allclose(sides_T2, np.tile(part.sides, (len(sides_T2), 1)) * SIZE, 1e-5)
    low_2, high_2 = np.array(part.sides) * SIZE / 2, (1 - np.array(part.sides) / 2) * SIZE
    centre_2 = points_TK2[0, own].mean(0).clip(low_2, high_2)
    np.testing.assert_allclose((boxes_T4[0, :2] + boxes_T4[0, 2:]) / 2, centre_2, atol=1e-4)
    assert np.isfinite(part_boxes(np.full((2, 68, 2), np.nan), SIZE, part)).all()
