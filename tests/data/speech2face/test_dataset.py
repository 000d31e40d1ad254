"""Items of face clips: aligned in time, reproducible; head motion and lips from landmarks."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from speech2video.data.loader import SampleIndex, iterate_batches, training_loader
from speech2video.data.speech2face import dataset as dataset_module
from speech2video.data.speech2face.clip import (
    EMOTIONS,
    FaceRecording,
    face_runs,
    load_face_recordings,
)
from speech2video.data.speech2face.dataset import (
    EYES,
    LIPS,
    MOTION,
    MOUTH,
    NOISE_WARM_UP,
    SYNC_SHIFTS,
    FaceDataset,
    FacePart,
    head_motion,
    lip_shapes,
    median_turn,
    part_boxes,
    relative_motion,
)
from speech2video.data.speech2face.index import FOLDER, FaceIndex, StoredRecordings
from speech2video.data.speech2face.speech import perturb_vocal_tract
from speech2video.util.audio import mel
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.audio.features import feature_set
from speech2video.util.audio.mel import HOPS_PER_FRAME
from speech2video.util.audio.normalisation import speech_features
from speech2video.util.errors import DataError
from tests.face_clips import (
    EYE_OFFSET,
    EYES_Y,
    FRAMES,
    SIZE,
    recording,
    recordings,
    write_face_clips,
)

T = 12


@pytest.fixture(scope="module")
def dataset() -> FaceDataset:
    return FaceDataset(recordings(frames=60), frames=T)


def columns(mel_BN: np.ndarray, begin: int) -> np.ndarray:
    return mel_BN[:, HOPS_PER_FRAME * begin : HOPS_PER_FRAME * (begin + T)]


def test_an_item_is_aligned_in_time(dataset: FaceDataset) -> None:
    for seed in range(8):
        item = dataset[SampleIndex(0, seed)]
        one, begin = dataset.recordings[int(item["clip"])], int(item["begin"])
        mel_BN = dataset.mel(int(item["clip"]))
        np.testing.assert_array_equal(item["frames"], one.frames_T3HW[begin : begin + T])
        np.testing.assert_array_equal(item["mel"], columns(mel_BN, begin))
        assert dataset.speakers[int(item["speaker"])] == one.speaker
        assert EMOTIONS[int(item["emotion"])] == one.emotion
        assert item["present"].all()


def test_items_are_reproducible(dataset: FaceDataset) -> None:
    first, again, other = (dataset[SampleIndex(0, seed)] for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["frames"], other["frames"])


def test_shifted_speech_is_out_of_sync(dataset: FaceDataset) -> None:
    for seed in range(20):
        item = dataset[SampleIndex(0, seed)]
        mel_BN, begin = dataset.mel(int(item["clip"])), int(item["begin"])
        found = [
            shift
            for shift in range(-begin, 60 - T - begin + 1)
            if np.array_equal(columns(mel_BN, begin + shift), item["shifted_mel"])
        ]
        assert any(SYNC_SHIFTS[0] <= abs(shift) <= SYNC_SHIFTS[1] for shift in found)


def test_reference_images_are_of_the_speaker_in_another_clip(dataset: FaceDataset) -> None:
    for seed in range(6):
        item = dataset[SampleIndex(0, seed)]
        index = int(item["clip"])
        speaker = dataset.recordings[index].speaker
        owners = [
            other
            for other, one in enumerate(dataset.recordings)
            if one.speaker == speaker
            and (one.frames_T3HW == item["reference_image"].numpy()).all((1, 2, 3)).any()
        ]
        assert owners and owners != [index]


def test_short_clips_are_padded_and_marked() -> None:
    item = FaceDataset([recording(frames=T - 5)], frames=T)[SampleIndex(0, 0)]
    assert item["present"].tolist() == [1.0] * (T - 5) + [0.0] * 5
    assert (item["frames"][T - 5 :] == item["frames"][T - 6]).all()
    assert item["mel"].shape == item["shifted_mel"].shape == (80, HOPS_PER_FRAME * T)


def faceless(*runs: slice, frames: int = 60) -> FaceRecording:
    """Return a recording whose frames have their number's colour, without a face in some."""
    one = recording(frames=frames)
    points_TK2, frames_T3HW = one.points_TK2.copy(), one.frames_T3HW.copy()
    frames_T3HW[:] = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    for run in runs:
        points_TK2[run] = np.nan
    return replace(one, points_TK2=points_TK2, frames_T3HW=frames_T3HW)


def test_frames_without_a_face_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    one = faceless(slice(20, 25), slice(30, 32))
    data = FaceDataset([one], frames=T)
    assert "12 of 60 frames" in capsys.readouterr().err  # with those between the two gaps
    seen, reference = set(), set()
    for seed in range(40):
        item = data[SampleIndex(0, seed)]
        present = item["present"].numpy() > 0
        numbers = item["frames"][present][:, 0, 0, 0].tolist()
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        seen |= set(numbers)
        reference.add(int(item["reference_image"][0, 0, 0]))
    assert seen <= {*range(20), *range(32, 60)} and {5, 45} <= seen
    assert not reference & {*range(20, 25), 30, 31}
    everything = FaceDataset([one], frames=T, use_all_frames=True)
    items = [everything[SampleIndex(0, seed)] for seed in range(40)]
    assert any(22 in item["frames"][:, 0, 0, 0].tolist() for item in items)


def test_where_faces_are_rare_all_frames_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    data = FaceDataset([faceless(slice(0, 50))], frames=T)
    assert "all frames are trained on" in capsys.readouterr().err
    items = [data[SampleIndex(0, seed)] for seed in range(10)]
    assert any(40 in item["frames"][:, 0, 0, 0].tolist() for item in items)


def test_unknown_emotions_and_empty_datasets() -> None:
    one = replace(recording(), emotion="")
    assert int(FaceDataset([one], frames=T)[SampleIndex(0, 0)]["emotion"]) == -1
    with pytest.raises(DataError, match="no recordings"):
        FaceDataset([])


def test_batches_are_made(dataset: FaceDataset) -> None:
    batch = next(iterate_batches(training_loader(dataset, batch_size=3), step=0))
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


HEAD = slice(0, 4)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Landmarks (T, 68, 2) of a static frontal face with open eyes."""
    return np.repeat(recording().points_TK2[:1], 9, 0)


def column(motion_TM: np.ndarray, name: str) -> np.ndarray:
    return motion_TM[:, MOTION.index(name)]


@pytest.mark.parametrize(
    ("name", "amount"), [("right", 0.05), ("down", -0.04), ("roll", 0.2), ("zoom", 0.1)]
)
def test_moving_the_head_changes_one_number(points: np.ndarray, name: str, amount: float) -> None:
    moved, about = points.astype(np.float64), points[0, [36, 39, 42, 45]].mean(0)
    cos, sin = np.cos(amount), np.sin(amount)
    moved[3] = {
        "right": lambda x: x + (amount * SIZE, 0),
        "down": lambda x: x + (0, amount * SIZE),
        "roll": lambda x: (x - about) @ np.array([[cos, sin], [-sin, cos]]) + about,
        "zoom": lambda x: (x - about) * np.exp(amount) + about,
    }[name](moved[3])
    found = head_motion(moved, SIZE)
    assert column(found, name)[3] == pytest.approx(amount, abs=1e-5)
    found[3, MOTION.index(name)] = 0
    np.testing.assert_allclose(found - found[:1], 0, atol=1e-5)


def test_blinks_change_the_lids_only(points: np.ndarray) -> None:
    shut = points.copy()
    shut[4, [37, 38, 40, 41, 43, 44, 46, 47], 1] = EYES_Y
    found = head_motion(shut, SIZE)
    assert column(found, "lids")[4] == pytest.approx(-1, abs=1e-5)
    np.testing.assert_allclose((found - found[:1])[:, :-1], 0, atol=1e-5)


def test_a_nose_off_the_middle_is_a_turn(points: np.ndarray) -> None:
    turned = points.copy()
    turned[2, 30, 0] += EYE_OFFSET
    turn_T = column(head_motion(turned, SIZE), "turn")
    assert turn_T[2] - turn_T[0] == pytest.approx(0.5, abs=1e-5)


def test_a_head_turned_all_through_a_clip_is_turned() -> None:
    motions = [np.full((n, len(MOTION)), turn, np.float32) for n, turn in ((9, 0.1), (4, 0.5))]
    lost = np.full((3, len(MOTION)), np.nan, np.float32)
    turn = {"a": median_turn(motions), "b": median_turn([motions[1], lost])}
    frontal, turned, other, none = (
        relative_motion(motion, turn[speaker])
        for motion, speaker in zip([*motions, motions[1], lost], "aabb", strict=True)
    )
    assert not column(frontal, "turn").any() and not column(other, "turn").any() and not none.any()
    np.testing.assert_allclose(column(turned, "turn"), 0.4, atol=1e-6)
    np.testing.assert_allclose(column(turned, "roll"), 0.5)  # relative to its clip, as given


def test_missing_frames_take_their_neighbours_motion(points: np.ndarray) -> None:
    gaps = points.copy()
    gaps[5:] += (3.0, 0)
    whole = head_motion(gaps, SIZE)
    gaps[6] = np.nan
    np.testing.assert_allclose(head_motion(gaps, SIZE), whole, atol=1e-6)
    assert np.isnan(head_motion(np.full_like(points, np.nan), SIZE)).all()


def test_lips_follow_the_mouth_and_not_the_head() -> None:
    one = recording()
    lips = lip_shapes(one.points_TK2)
    assert lips.shape == (FRAMES, len(LIPS)) and (lips[:, 0] >= -1e-6).all()
    gap = one.points_TK2[:, 66, 1] - one.points_TK2[:, 62, 1]
    assert np.corrcoef(lips[:, 0], gap)[0, 1] > 0.999
    np.testing.assert_allclose(lip_shapes(2 * one.points_TK2 + 7), lips, atol=1e-5)
    lost = one.points_TK2.copy()
    lost[3] = np.nan
    assert np.isnan(lip_shapes(lost)[3]).all() and np.isfinite(lip_shapes(lost)[4]).all()
    assert np.isnan(lip_shapes(np.full_like(lost, np.nan))).all()


def test_motion_and_noise_follow_from_the_seed() -> None:
    dataset = FaceDataset(recordings(), noise_dim=5, frames=16)
    one, again, other = (dataset[SampleIndex(0, seed)] for seed in (3, 3, 4))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["noise"], other["noise"])
    assert one["noise"].shape == (NOISE_WARM_UP + 16, 5) and one["motion"].shape == (
        16,
        len(MOTION),
    )
    motion = dataset.motions[int(one["clip"])][int(one["begin"]) :][:16]
    assert torch.equal(one["motion"], torch.from_numpy(motion))


def test_voices_are_masked() -> None:
    item = FaceDataset(recordings(), noise_dim=1, frames=16)[SampleIndex(0, 3)]
    voice, left = item["voice"], item["masked_voice"]
    assert left.shape == voice.shape and left.dtype == voice.dtype
    gone = left == 0
    assert 0 < float(gone.float().mean()) < 0.5
    assert float((left - voice)[~gone].std()) == pytest.approx(0.2, rel=0.1)


def test_content_mels_are_of_perturbed_vocal_tracts() -> None:
    dataset = FaceDataset(recordings(), noise_dim=1, frames=16)
    one, again, other = (dataset[SampleIndex(0, seed)]["speech"] for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)
    mel_BL = np.linspace(0, 79, 80)[:, None] + np.arange(3)
    np.testing.assert_allclose(perturb_vocal_tract(mel_BL, 1.0), mel_BL)
    np.testing.assert_allclose(perturb_vocal_tract(mel_BL, 0.5)[40], mel_BL[20])
    longer = perturb_vocal_tract(mel_BL, 1.25)
    np.testing.assert_allclose(longer[10], mel_BL[12] + 0.5)
    np.testing.assert_allclose(longer[70], mel_BL[79])  # clamped at the highest band


def test_content_is_encoded_from_features_of_each_version() -> None:
    clips = recordings()[:2]
    dataset = FaceDataset(clips, frames=T, num_augmentations=2, features="mfcc")
    plain = [speech_features(clip.audio_S, "mfcc") for clip in clips]
    seen = set()
    for seed in range(20):
        item = dataset[SampleIndex(0, seed)]
        clip, rows = int(item["clip"]), slice(int(item["begin"]), int(item["begin"]) + T)
        seen.add(clip)
        assert torch.equal(item["speech"], dataset[SampleIndex(0, seed)]["speech"])
        close = np.allclose(item["speech"], plain[clip % 2][rows], atol=0.01, rtol=0.01)
        assert close == (clip < 2)
    assert seen == set(range(4))
    mean_F, std_F = dataset.speech_statistics()
    np.testing.assert_allclose(mean_F, np.concatenate(plain).mean(0), atol=0.01)
    assert mean_F.shape == std_F.shape == plain[0][0].shape and (std_F > 0).all()


def test_mels_beside_features_are_left_out_at_times() -> None:
    dataset = FaceDataset(recordings()[:2], frames=T, features="mfcc+mel")
    size = feature_set("mfcc").size
    dropped = []
    for seed in range(40):
        item = dataset[SampleIndex(0, seed)]
        assert item["speech"].shape == (T, size + 320)
        plain = dataset.speech_features(int(item["clip"]), "mfcc")
        rows = plain[int(item["begin"]) :][:T].astype(np.float32)
        np.testing.assert_array_equal(item["speech"][:, :size], rows)
        dropped.append(not item["speech"][:, size:].any())
    assert 4 < sum(dropped) < 20
    alone = FaceDataset(recordings()[:2], frames=T, features="mel")
    assert all(alone[SampleIndex(0, seed)]["speech"].any() for seed in range(20))


def test_items_have_other_speech_with_lips() -> None:
    class Clips:
        def sample(self, rng: np.random.Generator, frames: int) -> tuple[np.ndarray, np.ndarray]:
            speech_TF = np.full((frames, 320), rng.random(), np.float32)
            return speech_TF, np.ones((frames, 4), np.float32)

    clips: Any = Clips()
    dataset = FaceDataset(recordings()[:2], frames=T, lip_clips=clips)
    one, again, other = (dataset[SampleIndex(0, seed)] for seed in (1, 1, 2))
    assert one["other_speech"].shape == (60, 320) and one["other_lips"].shape == (60, 4)
    assert torch.equal(one["other_speech"], again["other_speech"])
    assert not torch.equal(one["other_speech"], other["other_speech"])
    plain = FaceDataset(recordings()[:2], frames=T)[SampleIndex(0, 1)]
    assert set(one) - set(plain) == {"other_speech", "other_lips"}
    assert all(torch.equal(one[name], plain[name]) for name in plain)


def test_unseen_lips_are_marked() -> None:
    short = recording(frames=20)
    lost = short.points_TK2.copy()
    lost[:10] = np.nan
    dataset = FaceDataset([replace(short, points_TK2=lost)], noise_dim=1, frames=30)
    item = dataset[SampleIndex(0, 0)]
    assert item["lips_seen"].tolist() == [0.0] * 10 + [1.0] * 10 + [0.0] * 10
    assert item["lips"].isfinite().all()


def test_statistics_are_those_of_all_clips() -> None:
    dataset = FaceDataset(recordings(), noise_dim=1)
    found, motion = dataset.motion_statistics(), np.concatenate(dataset.motions)
    np.testing.assert_allclose(found["mean"], motion.mean(0), atol=1e-6)
    assert (found["lowest"] <= found["mean"]).all() and (found["mean"] <= found["highest"]).all()


def test_versions_differ_in_their_audio_only() -> None:
    originals = recordings()[:2]
    dataset, again = (FaceDataset(originals, frames=T, num_augmentations=3) for _ in range(2))
    other = FaceDataset(originals, frames=T, num_augmentations=3, seed=1)
    for clip in range(6):
        np.testing.assert_array_equal(dataset.log_mels(clip), again.log_mels(clip))
        assert dataset.log_mels(clip).shape == dataset.log_mels(clip % 2).shape
    for clip in (2, 3, 4, 5):
        assert not np.array_equal(dataset.log_mels(clip), dataset.log_mels(clip % 2))
        assert not np.array_equal(dataset.log_mels(clip), other.log_mels(clip))
    seen = set()
    for seed in range(30):
        item = dataset[SampleIndex(0, seed)]
        clip, begin = int(item["clip"]), int(item["begin"])
        seen.add(clip)
        assert (item["frames"].numpy() == originals[clip % 2].frames_T3HW[begin : begin + T]).all()
        np.testing.assert_array_equal(item["mel"], columns(dataset.mel(clip), begin))
    assert seen == set(range(6))


class InMemory:
    """Items as of all clips and their augmented copies in memory, with NumPy's own statistics."""

    def __init__(self, originals: list[FaceRecording], versions: int, seed: int) -> None:
        clips = list(originals)
        augmentation = AudioAugmentation(pitch=None, formants=None)
        for version in range(1, versions):
            for number, one in enumerate(originals):
                rng = np.random.default_rng((seed, number, version))
                clips.append(replace(one, audio_S=augmentation.augment(one.audio_S, rng)))
        self.clips = clips
        runs = [(n, run) for n, one in enumerate(clips) for run in face_runs(one.points_TK2)]
        self.runs, self.starts = runs, np.array([max(r.stop - r.start - T, 0) + 1 for _, r in runs])
        self.log_mels = [mel.log_mels(one.audio_S) for one in clips]
        mels_BN = np.concatenate(self.log_mels, 1)
        self.mel_mean_B, self.mel_std_B = mels_BN.mean(1), mels_BN.std(1).clip(min=0.1)
        motions = [head_motion(one.points_TK2, SIZE) for one in clips]
        self.motions = []
        for one, motion_TM in zip(clips, motions, strict=True):
            same = zip(clips, motions, strict=True)
            own = [motion for other, motion in same if other.speaker == one.speaker]
            own_NM = np.concatenate(own)
            median_M = np.zeros(len(MOTION), np.float32)
            median_M[4:6] = np.median(own_NM[np.isfinite(own_NM).all(1), 4:6], 0)
            self.motions.append(np.nan_to_num(motion_TM - median_M))
        motion_NM = np.concatenate(self.motions)
        self.motion = {"mean": motion_NM.mean(0), "std": motion_NM.std(0).clip(min=0.002)}
        self.motion["lowest"] = np.quantile(motion_NM, 0.002, axis=0)
        self.motion["highest"] = np.quantile(motion_NM, 1 - 0.002, axis=0)
        lips = [lip_shapes(one.points_TK2) for one in clips]
        seen = np.concatenate([one[np.isfinite(one).all(1)] for one in lips])
        self.lips = [one / seen.std(0).clip(min=0.02) for one in lips]

    def item(self, sample: SampleIndex) -> dict[str, np.ndarray]:
        """Return those parts of an item that depend on other clips."""
        rng = sample.rng()
        place = int(rng.integers(self.starts.sum()))
        number = int(np.searchsorted(self.starts.cumsum(), place, side="right"))
        index, run = self.runs[number]
        begin = run.start + place - int(self.starts[:number].sum())
        inside = np.arange(begin, begin + T).clip(max=run.stop - 1)
        rng.integers(SYNC_SHIFTS[0], SYNC_SHIFTS[1] + 1)
        rng.random()
        of_speaker = [n for n, r in enumerate(self.clips) if r.speaker == self.clips[index].speaker]
        others = [n for n in of_speaker if n != index] or [index]
        reference = self.clips[others[int(rng.integers(len(others)))]]
        found_T = np.isfinite(reference.points_TK2).all((1, 2))
        good = np.flatnonzero(found_T) if found_T.any() else np.arange(len(reference))
        columns = (np.arange(4 * T) + 4 * begin).clip(max=4 * len(self.clips[index]) - 1)
        mel_BN, lips_TL = self.log_mels[index], self.lips[index][inside]
        seen_T1 = (
            np.isfinite(lips_TL).all(1)[:, None] & (np.arange(begin, begin + T) < run.stop)[:, None]
        )
        mels = mel_BN[:, columns], self.mel_mean_B, self.mel_std_B
        return {
            "clip": np.array(index),
            "begin": np.array(begin),
            "frames": self.clips[index].frames_T3HW[inside],
            "mel": mel.normalise_utterance(mel_BN)[:, columns],
            "voice": mel.normalise_global(*mels),
            "motion": self.motions[index][inside],
            "lips": np.where(seen_T1, lips_TL, 0),
            "reference_image": reference.frames_T3HW[good[int(rng.integers(len(good)))]],
        }


@pytest.mark.parametrize("versions", [1, 2])
@pytest.mark.parametrize("stored", [False, True])
def test_items_equal_those_of_all_clips_in_memory(
    tmp_path: Path, versions: int, stored: bool
) -> None:
    clips = [recording(s, e, n, frames=40) for s in (0, 1) for e in (0, 1) for n in (0, 1)]
    lost = clips[1].points_TK2.copy()
    lost[3:5] = np.nan
    clips[1] = replace(clips[1], points_TK2=lost)
    clips[6] = replace(clips[6], points_TK2=np.full_like(lost, np.nan))
    given: list[FaceRecording] | StoredRecordings = clips
    if stored:
        write_face_clips(tmp_path, clips)
        given = FaceIndex.update(tmp_path).recordings(range(8), size=SIZE, cache_bytes=10**6)
        clips = load_face_recordings(tmp_path, size=SIZE)
    memory = InMemory(clips, versions, seed=5)
    dataset = FaceDataset(given, frames=T, num_augmentations=versions, seed=5)
    statistics = dataset.statistics
    np.testing.assert_array_equal(statistics.mel_mean_B, memory.mel_mean_B)
    np.testing.assert_array_equal(statistics.mel_std_B, memory.mel_std_B)
    for name, value in dataset.motion_statistics().items():
        np.testing.assert_array_equal(value, memory.motion[name].astype(np.float32), err_msg=name)
    for seed in range(10 if stored else 25):
        item = dataset[SampleIndex(0, seed)]
        for name, expected in memory.item(SampleIndex(0, seed)).items():
            np.testing.assert_array_equal(item[name], expected, err_msg=name)


@pytest.mark.slow
def test_other_processes_compute_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_face_clips(tmp_path, recordings(frames=20)[:4])
    stored = FaceIndex.update(tmp_path).recordings(range(4), size=SIZE, cache_bytes=0)
    here = FaceDataset(stored, frames=T, num_augmentations=2)
    shutil.rmtree(tmp_path / FOLDER)
    monkeypatch.setattr(dataset_module, "MANY", 0)
    there = FaceDataset(stored, frames=T, num_augmentations=2, workers=2)
    for one, other in zip(here.statistics, there.statistics, strict=True):
        np.testing.assert_array_equal(one, other)


def test_unknown_people_have_no_number() -> None:
    unknown = [replace(one, speaker="") for one in recordings()[:2]]
    dataset = FaceDataset([*unknown, *recordings()[2:8]], frames=T)
    assert dataset.speakers == ("ann", "bob")
    items = [dataset[SampleIndex(0, seed)] for seed in range(40)]
    for item in items:
        clip = int(item["clip"])
        assert int(item["speaker"]) == (-1 if clip < 2 else (clip >= 6))
        if clip < 2:  # nothing tells which other clip is of the same person
            frames = dataset.recordings[clip].frames_T3HW
            assert (frames == item["reference_image"].numpy()).all((1, 2, 3)).any()
    assert {int(item["clip"]) for item in items} >= {0, 1}
    turn = median_turn([head_motion(unknown[0].points_TK2, SIZE)])
    expected = relative_motion(head_motion(unknown[0].points_TK2, SIZE), turn)
    np.testing.assert_array_equal(dataset.motions[0], expected)
