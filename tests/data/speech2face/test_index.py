"""The index of face clips: made once, and again of clips that change; small; as good as clips."""

import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech2video.data.speech2face import index as index_module
from speech2video.data.speech2face.clip import FaceClip, load_face_recordings
from speech2video.data.speech2face.index import (
    FILE,
    FOLDER,
    ClipSummary,
    FaceIndex,
    HeldOutClips,
    Texts,
)
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLES_PER_FRAME
from tests.face_clips import SIZE, recording, write_face_clips

CLIPS = [recording(speaker, 0, sentence, frames=20) for speaker in (0, 1) for sentence in (0, 1, 2)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    lost = CLIPS[0].points_TK2.copy()
    lost[2] = np.nan
    return write_face_clips(tmp_path / "faces", [replace(CLIPS[0], points_TK2=lost), *CLIPS[1:]])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the clips that are read."""
    names: list[str] = []
    summarise = index_module.summarise_clip

    def remember(clip: FaceClip) -> ClipSummary:
        names.append(clip.folder.name)
        return summarise(clip)

    monkeypatch.setattr(index_module, "summarise_clip", remember)
    return names


def same(one: FaceIndex, other: FaceIndex) -> bool:
    mine, others = one.arrays(), other.arrays()
    return all(np.array_equal(mine[name], others[name]) for name in {*mine, *others})


def test_stored_recordings_equal_loaded_ones(dataset: Path) -> None:
    index = FaceIndex.update(dataset)
    assert list(index.names) == sorted(one.name for one in CLIPS) and len(index) == len(CLIPS)
    for size in (SIZE, SIZE // 2):
        loaded = load_face_recordings(dataset, size=size)
        stored = index.recordings(range(len(index)), size=size, cache_bytes=10**6)
        for one, other in zip(stored, loaded, strict=True):
            labels = one.name, one.speaker, one.emotion, one.sentence, len(one)
            assert labels == (other.name, other.speaker, other.emotion, other.sentence, len(other))
            np.testing.assert_array_equal(one.frames_T3HW[:], other.frames_T3HW)
            np.testing.assert_array_equal(
                one.frames_T3HW[np.array([3, 3, 7])][1], other.frames_T3HW[3]
            )
            np.testing.assert_array_equal(one.frames_T3HW[-1], other.frames_T3HW[-1])
            np.testing.assert_array_equal(one.audio_S, other.audio_S)
            np.testing.assert_array_equal(one.points_TK2, other.points_TK2)
        for one, other in zip(HeldOutClips(stored[:2], frames=9), loaded, strict=False):
            part = other.part(0, 9)
            for name in ("frames_T3HW", "audio_S", "points_TK2"):
                np.testing.assert_array_equal(getattr(one, name), getattr(part, name))


def test_some_clips_of_an_index(dataset: Path) -> None:
    index = FaceIndex.update(dataset)
    stored = index.recordings([0, 4], size=SIZE, cache_bytes=0)
    assert stored.speakers == ("ann", "bob") and stored.speaker_C.tolist() == [0, 1]
    assert stored.run_R3.tolist() == [[0, 3, 20], [1, 0, 20]]
    other = index.recordings([4, 5], size=SIZE, cache_bytes=0)
    assert other.speakers == ("bob",) and other.run_R3[:, 0].tolist() == [0, 1]


def test_clips_are_read_once_and_again_when_they_change(dataset: Path, read: list[str]) -> None:
    first = FaceIndex.update(dataset)
    assert sorted(read) == list(first.names)
    read.clear()
    assert same(FaceIndex.update(dataset), first) and not read
    changed, gone, new = (dataset / first.names[number] for number in (1, 3, 5))
    clip = FaceClip(changed)
    clip.write_points(clip.points() + 1)
    clip.write_info(replace(clip.info(), speaker="zoe", sentence=""))
    shutil.rmtree(gone)
    shutil.copytree(new, dataset / "aaa")
    again = FaceIndex.update(dataset)
    assert sorted(read) == ["aaa", changed.name]
    assert list(again.names) == ["aaa", *(name for name in first.names if name != gone.name)]
    assert again.speakers == ("ann", "bob", "zoe") and again.sentences[2] == changed.name
    shutil.rmtree(dataset / FOLDER)
    assert same(FaceIndex.update(dataset), again)


@pytest.mark.slow
def test_other_processes_read_the_same(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = FaceIndex.update(dataset)
    shutil.rmtree(dataset / FOLDER)
    monkeypatch.setattr(index_module, "BATCH", 1)
    assert same(FaceIndex.update(dataset, workers=2), here)


@pytest.mark.parametrize("damage", ["text", "columns", "numbers", "ends"])
def test_a_broken_index_is_made_anew(
    dataset: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = FaceIndex.update(dataset)
    path, arrays = dataset / FOLDER / FILE, good.arrays()
    if damage == "text":
        path.write_text("no zip")
    else:
        arrays["frames_C"] = arrays["frames_C"][:-1] if damage == "columns" else -arrays["frames_C"]
        if damage == "ends":
            arrays = good.arrays() | {"names_ends": good.names.ends_C[::-1]}
        np.savez(path, **arrays)
    assert same(FaceIndex.update(dataset), good)
    assert f"{path}: " in capsys.readouterr().err
    assert same(FaceIndex.update(dataset), good) and "note" not in capsys.readouterr().err


def test_without_room_for_it_the_index_is_still_made(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / FOLDER).write_text("in the way")
    assert len(FaceIndex.update(dataset)) == len(CLIPS)
    assert "computed at each start" in capsys.readouterr().err


def test_results_are_kept_until_clips_or_settings_change(dataset: Path) -> None:
    made = 0

    def results(*settings: object, numbers: range = range(6)) -> float:
        def make() -> dict[str, np.ndarray]:
            nonlocal made
            made += 1
            return {"value": np.array([made], np.float32)}

        stored = FaceIndex.update(dataset).recordings(numbers, size=SIZE, cache_bytes=0)
        return float(stored.cached("value", settings, {"value": (1,)}, make)["value"][0])

    assert [results(1), results(1), results(2), results(1)] == [1, 1, 2, 1]
    assert results(1, numbers=range(5)) == 3
    os.utime(max(dataset.iterdir()) / "audio.wav", ns=(5, 5))
    assert [results(1), results(1, numbers=range(5))] == [4, 3]
    for number in range(6):
        results("more", number)
    assert len(list((dataset / FOLDER).glob("value_*.npz"))) == index_module.KEPT


@pytest.mark.parametrize("part", ["video.mp4", "landmarks.npz", "audio.wav"])
def test_a_missing_or_short_part_is_named(dataset: Path, part: str) -> None:
    FaceIndex.update(dataset)
    clip = FaceClip(dataset / CLIPS[2].name)
    if part == "audio.wav":
        write_audio(clip.audio, np.zeros(19 * SAMPLES_PER_FRAME, np.float32))
    else:
        (clip.folder / part).unlink()
    with pytest.raises(DataError, match=f"{CLIPS[2].name}/{part}: "):
        FaceIndex.update(dataset)


def test_no_clips_are_one_line(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="no face clips in it"):
            FaceIndex.update(folder)


def test_texts_are_kept_as_they_are() -> None:
    texts = ["", "one", "zwölf", "\udcff", "一", ""]
    kept = Texts.of(texts)
    assert (
        list(kept) == texts
        and kept[-2] == "一"
        and list(kept.take(np.array([2, 1]))) == ["zwölf", "one"]
    )
    assert list(Texts.from_arrays(kept.arrays("x"), "x")) == texts


def test_memory_of_an_index_is_a_hundred_bytes_a_clip(tmp_path: Path) -> None:
    count = 20_000
    names = [f"id{number % 600:05}_video_{number:07}" for number in range(count)]
    tracemalloc.start()
    summaries = (ClipSummary(name[:7], -1, name[8:], 100, SIZE, [slice(0, 100)]) for name in names)
    stamp_C = np.arange(count, dtype=np.uint64)
    index = FaceIndex.of(tmp_path, names, stamp_C, summaries)
    stored = index.recordings(range(count), size=SIZE, cache_bytes=0)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(stored) == count and len(stored.speakers) == 600
    assert size / count < 200
