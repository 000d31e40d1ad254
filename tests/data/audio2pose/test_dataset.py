"""Clips of speech with motion, and the training windows cut from them."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2video.data.audio2pose.dataset import (
    Audio2PoseDataset,
    MotionClip,
    load_motion_clips,
    mark_gestures,
    match_poses,
    pose_statistics,
    smooth_motion,
)
from speech2video.data.gestures.dictionary import GestureDictionary, GestureEntry
from speech2video.data.loader import SampleIndex
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.audio.normalisation import speech_features
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.text.transcript import Word
from tests.speech_clips import write_speech_clips


def clip(name: str, frames: int) -> MotionClip:
    numbers = torch.arange(frames).float().unsqueeze(1).expand(-1, 106)
    audio_S = np.repeat(np.arange(frames, dtype=np.float32), 640)
    return MotionClip(name, audio_S, numbers, [Word("up", 1.0, 1.4)], np.zeros(frames, bool))


def test_a_part_keeps_audio_and_pose_aligned():
    part = clip("a", 100).part(75, 100)
    assert torch.equal(part.pose_TP[:, 0], torch.arange(75.0, 100.0))
    assert part.audio_S[0] == 75 and len(part.audio_S) == 25 * 640


def test_matched_poses_have_the_others_statistics():
    rough, like = (
        [replace(clip(name, 40), pose_TP=size * torch.randn(40, 106) + size) for name in "ab"]
        for size in (0.3, 2.0)
    )
    like[0].pose_TP[:, 7] = like[1].pose_TP[:, 7] = 0.5  # constant
    matched = match_poses(rough, *pose_statistics(like))
    for number, (found, wanted) in enumerate(
        zip(pose_statistics(matched), pose_statistics(like), strict=True)
    ):
        torch.testing.assert_close(found[:93], wanted[:93], atol=1e-4, rtol=1e-3, msg=str(number))
    for one, other in zip(rough, matched, strict=True):
        assert torch.equal(one.pose_TP[:, 93:], other.pose_TP[:, 93:])


def test_small_motion_is_not_enlarged():
    rough = [replace(clip("a", 40), pose_TP=0.001 * torch.randn(40, 106))]
    matched = match_poses(rough, torch.ones(106), torch.ones(106), min_std=0.01)
    assert (matched[0].pose_TP[:, :93] == 1).all()


def test_smoothing_keeps_lengths_and_lips():
    rough_TP = torch.randn(40, 106)
    smooth_TP = smooth_motion(replace(clip("a", 40), pose_TP=rough_TP), 7).pose_TP
    assert smooth_TP.shape == rough_TP.shape
    assert torch.equal(smooth_TP[:, -13:], rough_TP[:, -13:])
    assert smooth_TP[:, :93].diff(dim=0).norm() < 0.6 * rough_TP[:, :93].diff(dim=0).norm()


def test_good_frames_take_nothing_from_bad_ones_when_smoothed():
    rough_TP = torch.zeros(40, 106)
    rough_TP[15:20] = 9
    bad_T = np.zeros(40, bool)
    bad_T[15:20] = True
    smooth_TP = smooth_motion(replace(clip("a", 40), pose_TP=rough_TP, bad_T=bad_T), 7).pose_TP
    assert not smooth_TP[~bad_T].any()


def test_bad_frames_come_with_their_clip(tmp_path: Path, body: Body):
    folder = write_speech_clips(tmp_path, body)
    assert all(loaded.bad_T is None for loaded in load_motion_clips(folder, body))
    (folder / "000/bad_frames.csv").write_text("first,last,reason\n5,9,no face\n")
    bad_T = load_motion_clips(folder, body)[0].part(2, 30).bad_T
    assert bad_T.nonzero()[0].tolist() == [3, 4, 5, 6, 7]


def test_gestures_are_marked_about_their_words():
    entry = GestureEntry("up", ("up",), 0.5, ("left_arm",), torch.zeros(1, 106))
    marked = mark_gestures([clip("a", 100)], GestureDictionary((entry,)))[0].gesture_T
    key = round(25 * 1.2)
    assert marked[key] and marked.sum() < 50 and not marked[0] and not marked[-1]


def test_loaded_clips_have_aligned_audio_and_poses(tmp_path: Path, body: Body):
    for loaded in load_motion_clips(write_speech_clips(tmp_path, body), body):
        assert len(loaded.audio_S) == 640 * len(loaded) and loaded.words
        assert loaded.camera is not None


def test_another_bodys_motion_is_refused(tmp_path: Path, body: Body):
    folder = write_speech_clips(tmp_path, body)
    path = folder / "000" / "pose.npz"
    with np.load(path) as file:
        arrays = dict(file) | {"body": np.array("smplx")}
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="--body"):
        load_motion_clips(folder, body)


WINDOW, AHEAD = 20, 5
ALL_BUT_SPEED = [
    field.name
    for field in fields(AudioAugmentation)
    if "None" in str(field.type) and field.name != "speed"
]


def numbered_clip(frames: int) -> MotionClip:
    """Return a clip whose poses are the frames' numbers and whose loudness grows with them."""
    numbers = torch.arange(frames).float()
    random = np.random.default_rng(0)
    loudness = np.repeat(np.linspace(0.01, 0.5, frames), 640)
    audio_S = (loudness * random.uniform(-1, 1, 640 * frames)).astype(np.float32)
    return MotionClip(
        "c", audio_S, numbers.unsqueeze(1).expand(-1, 106), [], np.arange(frames) > 30
    )


def dataset(frames: int = 60, **changes: object) -> Audio2PoseDataset:
    options = {"features": "mfcc", "seq_len": WINDOW, "look_ahead": AHEAD, "noise": 3}
    return Audio2PoseDataset([numbered_clip(frames)], **(options | changes))


def test_features_and_poses_are_aligned():
    data = dataset()
    features_TF = speech_features(numbered_clip(60).audio_S, "mfcc")
    for seed in range(20):
        item = data[SampleIndex(0, seed)]
        begin = int(item["pose"][0, 0])
        assert torch.equal(item["pose"][:, 0], torch.arange(begin, begin + WINDOW).float())
        end = min(begin + WINDOW + AHEAD, 60)
        window_TF = item["features"][: end - begin].numpy()
        np.testing.assert_allclose(window_TF, features_TF[begin:end], rtol=2e-3, atol=2e-2)
        assert item["weight"].all() and item["noise"].shape == (WINDOW + AHEAD, 3)
        assert torch.equal(item["gesture"], (item["pose"][:, 0] > 30).float())


def test_every_window_is_drawn():
    data = dataset()
    begins = {int(data[SampleIndex(0, seed)]["pose"][0, 0]) for seed in range(400)}
    assert begins == set(range(60 - WINDOW + 1))


def test_padding_of_a_short_clip_has_no_weight():
    item = dataset(frames=12)[SampleIndex(0, 0)]
    assert item["weight"].sum() == 12 and item["weight"][:12].all()
    assert torch.isfinite(item["features"]).all() and item["pose"].shape == (WINDOW, 106)


def test_an_item_depends_on_its_seed_alone():
    one = dataset(num_augmentations=3, augmentation=AudioAugmentation())
    other = dataset(num_augmentations=3, augmentation=AudioAugmentation())
    other[SampleIndex(0, 9)]
    first, second = one[SampleIndex(0, 4)], other[SampleIndex(1, 4)]
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_motion_is_resampled_with_its_audio(speed: float):
    only_speed = AudioAugmentation(
        **dict.fromkeys(ALL_BUT_SPEED),
        speed=(speed, speed),
        probability=1.0,
    )
    data = dataset(frames=200, num_augmentations=2, augmentation=only_speed)
    features_TF, pose_TP, *_ = data._copy(0, 1)
    assert len(features_TF) >= len(pose_TP) == pytest.approx(200 / speed, abs=2)
    assert pose_TP[51, 0] - pose_TP[50, 0] == pytest.approx(speed, rel=1e-3)
    energy_T = features_TF[:, 13].astype(float)  # grows over the clip, as the pose does
    original_T = data._copy(0, 0)[0][:, 13].astype(float)
    middle = len(pose_TP) // 2
    assert energy_T[middle] == pytest.approx(original_T[round(float(pose_TP[middle, 0]))], abs=0.5)
