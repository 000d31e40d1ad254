"""Labels from folders, tables and the names of published sets."""

from pathlib import Path

import pytest

from speech2video.data.speech2face.labels import SCHEMES, FaceLabels, parse_labels, read_labels
from speech2video.options.preprocessing import LABEL_SCHEMES
from speech2video.util.errors import DataError

ROOT = Path("people")
NAMES = [
    ("cremad", "1001_DFA_ANG_XX.flv", ("1001", "angry", "DFA")),
    ("cremad", "AudioVisual/1091_WSI_NEU_XX.flv", ("1091", "neutral", "WSI")),
    ("ravdess", "Actor_12/01-01-05-01-02-01-12.mp4", ("12", "angry", "02")),
    ("ravdess", "01-01-08-02-01-02-03.mp4", ("03", "surprised", "01")),
    ("ravdess", "01-01-02-01-01-01-24.mp4", ("24", "calm", "01")),
    ("grid", "s1/bbaf2n.mpg", ("s1", "", "bbaf2n")),
    ("grid", "s14/video/swiz3n.mpg", ("s14", "", "swiz3n")),
    ("grid", "lwbsza.mpg", ("lwbsza", "", "lwbsza")),
    ("mead", "M003/video/front/angry/level_1/001.mp4", ("M003", "angry", "001")),
    ("mead", "W011/video/front/fear/level_3/020.mp4", ("W011", "fearful", "020")),
    ("mead", "M030_sad_3_001.mp4", ("M030", "sad", "001")),
    ("mead", "M030_contempt_3_001.mp4", ("M030", "", "001")),
    ("voxceleb", "id10270/5r0dWxy17C8/00001.mp4", ("id10270", "", "5r0dWxy17C8_00001")),
    ("hdtf", "RD_Radio11.mp4", ("Radio11", "", "RD_Radio11")),
    ("hdtf", "clips/WDA_BarackObama1_3.mp4", ("BarackObama", "", "WDA_BarackObama1_3")),
    ("folders", "ann/happy/one.mp4", ("ann", "happy", "one")),
    ("folders", "ann/Disgust/one.mp4", ("ann", "disgusted", "one")),
    ("folders", "ann/monday/one.mp4", ("ann", "", "one")),
    ("folders", "ann/one.mp4", ("ann", "", "one")),
    ("folders", "talk.mp4", ("talk", "", "talk")),
]


@pytest.mark.parametrize(("scheme", "name", "expected"), NAMES, ids=[row[1] for row in NAMES])
def test_names_tell_who_and_how(scheme: str, name: str, expected: tuple[str, str, str]) -> None:
    for asked in (scheme, "auto"):
        assert parse_labels(ROOT / name, asked, root=ROOT) == FaceLabels(*expected)


@pytest.mark.parametrize("scheme", ["cremad", "ravdess", "grid", "mead", "voxceleb", "hdtf"])
def test_other_names_are_refused_by_name(scheme: str) -> None:
    with pytest.raises(DataError, match=rf"talk\.mp4: not a name of {scheme}"):
        parse_labels(ROOT / "talk.mp4", scheme, root=ROOT)


def test_none_tells_nothing_but_the_recordings_apart() -> None:
    names = "ann/happy/one.mp4", "bob/happy/one.mp4"
    first, second = (parse_labels(ROOT / name, "none", root=ROOT) for name in names)
    assert first == FaceLabels("", "", "ann_happy_one") and second.sentence != first.sentence


def test_what_can_be_asked_for_is_what_there_is() -> None:
    assert set(LABEL_SCHEMES) == set(SCHEMES)


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_names_files_by_path_or_name(tmp_path: Path) -> None:
    csv = table(
        tmp_path / "labels.csv",
        "file,speaker,emotion,sentence",
        "a/one.mp4,ann,anger,hello",
        "two.mp4,bob,,",
        "three,bob,Calm,",
    )
    labels = read_labels(csv)

    def of(name: str) -> FaceLabels:
        return parse_labels(ROOT / name, "csv", root=ROOT, table=labels)

    assert of("a/one.mp4") == FaceLabels("ann", "angry", "hello")
    assert of("b/two.mp4") == FaceLabels("bob")
    assert of("three.mp4") == FaceLabels("bob", "calm")
    with pytest.raises(DataError, match="not in the csv"):
        of("b/one.mp4")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("file,emotion", "a,sad"), "no column 'speaker'"),
        (("file,speaker", "a,"), "line 2: no speaker"),
        (("file,speaker", "a,b", "a,c"), "line 3: a once more"),
        (("file,speaker,emotion", "a,b,odd"), "line 2: emotion 'odd'"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_labels(table(tmp_path / "labels.csv", *lines))


def test_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="csv of labels is needed"):
        read_labels(tmp_path / "none.csv")
