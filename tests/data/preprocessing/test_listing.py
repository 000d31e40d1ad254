"""Recordings of faces in the folders and lists of public data sets, one at a time."""

import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from speech2video.data.preprocessing.listing import FaceFiles
from speech2video.data.speech2face.labels import FaceLabels, parse_labels
from speech2video.util.errors import DataError

SETS = {  # files of a public data set, and the labels of some
    "voxceleb": (
        [
            "id00012/21Uxsk56VDQ/00001.mp4",
            "id00012/21Uxsk56VDQ/00002.mp4",
            "id00015/0fijm/00003.mp4",
        ],
        FaceLabels("id00012", "", "21Uxsk56VDQ_00001"),
    ),
    "mead": (
        ["M003/video/front/angry/level_1/001.mp4", "M003/video/front/happy/level_3/002.mp4"],
        FaceLabels("M003", "angry", "001"),
    ),
    "cremad": (
        ["VideoFlash/1001_DFA_ANG_XX.flv", "VideoFlash/1002_IEO_HAP_HI.flv"],
        FaceLabels("1001", "angry", "DFA"),
    ),
    "ravdess": (
        ["Actor_01/01-01-05-01-02-01-01.mp4", "Actor_02/02-01-01-01-01-01-02.mp4"],
        FaceLabels("01", "angry", "02"),
    ),
    "grid": (["s1/bbaf2n.mpg", "s2/video/swiz3n.mpg"], FaceLabels("s1", "", "bbaf2n")),
    "hdtf": (
        ["RD_Radio11.mp4", "WDA_BarackObama1.mp4"],
        FaceLabels("Radio11", "", "RD_Radio11"),
    ),
}


def tree(folder: Path, files: Iterable[str]) -> Path:
    """Make empty files; return their folder."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


@pytest.mark.parametrize("name", SETS)
def test_folders_of_public_sets(tmp_path: Path, name: str) -> None:
    files, labels = SETS[name]
    found = FaceFiles.of(tree(tmp_path, files))
    assert found.check() == len(files)
    assert [str(one.path.relative_to(tmp_path)) for one in found] == sorted(files)
    names = ["_".join(Path(file).with_suffix("").parts) for file in sorted(files)]
    assert [one.name for one in found] == names
    for scheme in (name, "auto"):
        assert parse_labels(tmp_path / files[0], scheme, root=tmp_path) == labels


def test_order_is_that_of_sorted_paths(tmp_path: Path) -> None:
    files = ["a/b.mp4", "a.mp4", "a/B.mp4", "a-b/c.mp4", "b/1/2/3.avi", "b/1/2.MP4", "é/x.mov"]
    found = [one.path for one in FaceFiles.of(tree(tmp_path, files))]
    assert found == sorted(tmp_path / file for file in files)


def test_other_files_are_named_and_results_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["ann/one.mp4", "ann/one.wav", "ann/two.txt", ".x/three.mp4", "ann/Thumbs.db", "a.csv"]
    frames = ["bob/1.png", "bob/2.png", "bob.wav", "eve/1.png", "eve/2.png"]
    made = ["out/ann_one/video.mp4", "out/ann_one/face.json"]
    tree(tmp_path, [*files, *frames, *made])
    found = FaceFiles.of(tmp_path, others=[tmp_path / "out", tmp_path / "a.csv", None])
    assert found.check() == 2
    assert [one.name for one in found] == ["ann_one", "bob"]
    unread = "ann/two.txt, eve/1.png, eve/2.png"
    assert capsys.readouterr().err == f"note: {tmp_path}: not read: {unread}\n"


def test_one_recording_or_folder_of_frames(tmp_path: Path) -> None:
    tree(tmp_path, ["a/one.mp4", "b/1.png", "b/2.png", "c/x.txt"])
    assert [tuple(one) for one in FaceFiles.of(tmp_path / "a/one.mp4")] == [
        (tmp_path / "a/one.mp4", "one", None)
    ]
    assert [one.name for one in FaceFiles.of(tmp_path / "b")] == ["b"]
    for folder, words in (("c", "no recordings in it"), ("none", "no such file or folder")):
        with pytest.raises(DataError, match=words):
            FaceFiles.of(tmp_path / folder).check()


def test_two_clips_of_one_name_are_refused_before_any_is_made(tmp_path: Path) -> None:
    tree(tmp_path, ["a_b/c.mp4", "a/b_c.mp4"])
    both = rf"a/b_c\.mp4 and {tmp_path}/a_b/c\.mp4: both would become a_b_c"
    with pytest.raises(DataError, match=both):
        FaceFiles.of(tmp_path).check()


def test_lists_name_recordings_and_their_times(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(
        "\ufeff# HDTF\nRadio11.mp4 00:30-01:15 02:11-02:33.5\n\n"
        "id1/my talk.mp4\nx.mp4\t1:00:00-1:00:09\n"
    )
    found = FaceFiles.of(tmp_path, listed=listed)
    assert found.check() == 4
    assert [(str(one.path.relative_to(tmp_path)), one.name, one.span) for one in found] == [
        ("Radio11.mp4", "Radio11_30-75", (30, 75)),
        ("Radio11.mp4", "Radio11_131-153.5", (131, 153.5)),
        ("id1/my talk.mp4", "id1_my talk", None),
        ("x.mp4", "x_3600-3609", (3600, 3609)),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("../secret.mp4", "line 2: .*a path within"),
        ("/etc/x.mp4", "line 2: .*a path within"),
        ("a.mp4 00:30-00:20", "line 2: 00:30-00:20 is no time"),
        ("b.mp4 0-99:99:99", "is no time in a recording"),
        ("x" * 100_001, "line 2: longer than"),
        ("one.mp4", "both would become one"),
    ],
)
def test_a_wrong_list_is_refused_by_its_line(tmp_path: Path, line: str, words: str) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"one.mp4\n{line}\n")
    with pytest.raises(DataError, match=words):
        FaceFiles.of(tmp_path, listed=listed).check()


def test_a_list_needs_a_folder_and_recordings(tmp_path: Path) -> None:
    tree(tmp_path, ["one.mp4", "empty.txt"])
    for path, listed, words in (
        ("one.mp4", "empty.txt", "no folder"),
        (".", "none.txt", "a list of recordings is needed"),
        (".", "empty.txt", "empty.txt: no recordings in it"),
    ):
        with pytest.raises(DataError, match=words):
            FaceFiles.of(tmp_path / path, listed=tmp_path / listed).check()


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    tree(tmp_path / "set", ["a/one.mp4"])
    os.symlink(tmp_path, tmp_path / "set" / "loop")
    os.symlink(tmp_path / "set" / "a" / "one.mp4", tmp_path / "set" / "two.mp4")
    assert [one.name for one in FaceFiles.of(tmp_path / "set")] == ["a_one", "two"]


def test_memory_is_that_of_one_folder(tmp_path: Path) -> None:
    def peak(people: int) -> int:
        folder = tmp_path / str(people)
        tree(folder, (f"id{n:05}/v/{k}.mp4" for n in range(people) for k in range(20)))
        tracemalloc.start()
        assert sum(1 for _ in FaceFiles.of(folder)) == 20 * people
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    few, many = peak(5), peak(60)
    assert many < few + 200 * 55  # bytes; the names of the folders
