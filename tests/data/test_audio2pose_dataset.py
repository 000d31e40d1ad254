"""Windows of speech and motion: in step, repeatable, and whole at a clip's end."""

import numpy as np
import pytest
import torch

from speech2video.data.audio2pose_dataset import Audio2PoseDataset, normalised_features
from speech2video.data.sound_augmentation import SoundAugmentation
from speech2video.data.speech_motion import SpeechMotion
from speech2video.data.training_loader import Item

WINDOW, AHEAD = 20, 5
ALL_BUT_SPEED = ("pitch", "formants", "tilt", "peaks", "lowest", "highest", "echo", "noise", "gain")


def clip(frames: int) -> SpeechMotion:
    """Frames whose pose is their number, and whose sound grows with it."""
    numbers = torch.arange(frames).float()
    random = np.random.default_rng(0)
    loudness = np.repeat(np.linspace(0.01, 0.5, frames), 640)
    wave_S = (loudness * random.uniform(-1, 1, 640 * frames)).astype(np.float32)
    return SpeechMotion(
        "c", wave_S, numbers.unsqueeze(1).expand(-1, 106), [], np.arange(frames) > 30
    )


def dataset(frames: int = 60, **changes: object) -> Audio2PoseDataset:
    options = {"features": "mfcc", "window": WINDOW, "look_ahead": AHEAD, "noise": 3}
    return Audio2PoseDataset([clip(frames)], **(options | changes))


def test_features_and_poses_are_in_step():
    data = dataset()
    features_TF = normalised_features(clip(60).wave_S, "mfcc")
    for seed in range(20):
        item = data[Item(0, seed)]
        begin = int(item["pose"][0, 0])
        assert torch.equal(item["pose"][:, 0], torch.arange(begin, begin + WINDOW).float())
        end = min(begin + WINDOW + AHEAD, 60)
        heard = item["features"][: end - begin].numpy()
        np.testing.assert_allclose(heard, features_TF[begin:end], rtol=2e-3, atol=2e-2)
        assert item["weight"].all() and item["noise"].shape == (WINDOW + AHEAD, 3)
        assert torch.equal(item["gesture"], (item["pose"][:, 0] > 30).float())


def test_every_frame_comes_up():
    data = dataset()
    begins = {int(data[Item(0, seed)]["pose"][0, 0]) for seed in range(400)}
    assert begins == set(range(60 - WINDOW + 1))


def test_a_short_clip_is_filled_and_the_filling_does_not_count():
    item = dataset(frames=12)[Item(0, 0)]
    assert item["weight"].sum() == 12 and item["weight"][:12].all()
    assert torch.isfinite(item["features"]).all() and item["pose"].shape == (WINDOW, 106)


def test_an_item_depends_on_its_seed_alone():
    one = dataset(versions=3, augmentation=SoundAugmentation())
    other = dataset(versions=3, augmentation=SoundAugmentation())
    other[Item(0, 9)]
    first, second = one[Item(0, 4)], other[Item(1, 4)]
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_motion_is_as_fast_as_its_sound(speed: float):
    only_speed = SoundAugmentation(
        **dict.fromkeys(ALL_BUT_SPEED),
        speed=(speed, speed),
        probability=1.0,
    )
    data = dataset(frames=200, versions=2, augmentation=only_speed)
    features_TF, pose_TP, _ = data._version(0, 1)
    assert len(features_TF) >= len(pose_TP) == pytest.approx(200 / speed, abs=2)
    assert pose_TP[51, 0] - pose_TP[50, 0] == pytest.approx(speed, rel=1e-3)
    energy_T = features_TF[:, 13].astype(float)  # grows with the clip, as the pose does
    as_it_was = data._version(0, 0)[0][:, 13].astype(float)
    middle = len(pose_TP) // 2
    assert energy_T[middle] == pytest.approx(as_it_was[round(float(pose_TP[middle, 0]))], abs=0.5)
