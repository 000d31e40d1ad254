"""Speaker, emotion and sentence of a recording, from its path or from a csv.

Schemes: "folders" (SPEAKER/EMOTION/name or SPEAKER/name), "csv" (a table, see `read_labels`), and
the file names of published sets:

cremad    1001_DFA_ANG_XX.flv              actor, sentence, emotion, level
ravdess   01-01-05-01-02-01-12.mp4         modality … emotion, level, statement, repetition, actor
grid      s1/bbaf2n.mpg                    folder of the speaker, sentence letter by letter
mead      M003/video/front/angry/level_1/001.mp4, or M003_angry_1_001.mp4
voxceleb  id10270/5r0dWxy17C8/00001.mp4    speaker, video, utterance
hdtf      WDA_BarackObama1.mp4             part of the set, speaker, number of the speaker's video;
                                           RD_Radio11 is a speaker of its own

"none" leaves speaker and emotion unknown. A file outside any speaker's folder counts as a speaker
of its own.
"""

import csv
import io
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speech2video.data.speech2face.clip import EMOTIONS
from speech2video.util.errors import DataError
from speech2video.util.files import check_file
from speech2video.util.text.word_formats import read_text

COLUMNS = ("file", "speaker", "emotion", "sentence")
SYNONYMS = {  # of `EMOTIONS`; of "": an emotion that they do not cover
    "neutral": ("neu",),
    "happy": ("happiness", "joy", "hap"),
    "sad": ("sadness",),
    "angry": ("anger", "ang"),
    "fearful": ("fear", "fea", "scared"),
    "disgusted": ("disgust", "dis"),
    "surprised": ("surprise",),
    "": ("contempt",),
}


@dataclass(frozen=True, slots=True)
class FaceLabels:
    """Labels of a recording, "" where unknown; `emotion` is one of `EMOTIONS`."""

    speaker: str
    emotion: str = ""
    sentence: str = ""


def parse_labels(
    path: Path,
    scheme: str = "auto",
    *,
    root: Path | None = None,
    table: Mapping[str, FaceLabels] | None = None,
) -> FaceLabels:
    """Return a recording's labels.

    Args:
        path: of the recording; its last folders count.
        scheme: one of `SCHEMES`; "auto" tries the published sets, then folders.
        root: folder that contains the speakers' folders; by default two above the recording.
        table: of `read_labels`, for "csv".

    Raises:
        DataError: a name that does not fit the scheme, or that the table lacks.
    """
    relative = _relative(path, root)
    if scheme == "csv":
        for key in label_keys(path, root):
            if table and key in table:
                return table[key]
        raise DataError(f"{path}: not in the csv of labels")
    # "folders" takes any path
    parsers = [*_PARSERS.values()] if scheme == "auto" else [_PARSERS[scheme]]
    for parse in parsers:
        if labels := parse(relative):
            return labels
    raise DataError(f"{path}: not a name of {scheme}; --label_scheme folders or csv takes any")


def label_keys(path: Path, root: Path | None) -> tuple[str, ...]:
    """Return the names that a recording may have in a csv, the first of which counts."""
    return _relative(path, root).as_posix(), path.name, path.stem


def _relative(path: Path, root: Path | None) -> Path:
    return path.relative_to(root) if root else Path(*path.parts[-3:])


def read_labels(path: Path) -> dict[str, FaceLabels]:
    """Return the labels of a csv with the columns file, speaker, emotion, sentence, by file.

    Emotion and sentence may be left out or empty.

    Raises:
        DataError: missing columns, a row without file or speaker, an unknown emotion, or a file
            listed twice.
    """
    check_file(path, what="a csv of labels")
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    table: dict[str, FaceLabels] = {}
    try:
        header = reader.fieldnames or ()
        if missing := [name for name in COLUMNS[:2] if name not in header]:
            needed = "file and speaker, and emotion and sentence if known, are needed"
            raise DataError(f"{path}: no column {missing[0]!r}; {needed}")
        for number, row in enumerate(reader, start=2):
            name, labels = _labelled_file(row, f"{path}, line {number}")
            if name in table:
                raise DataError(f"{path}, line {number}: {name} once more")
            table[name] = labels
    except csv.Error as error:
        raise DataError(f"{path}: not a csv ({error})") from None
    return table


def _labelled_file(row: Mapping[str, str | None], where: str) -> tuple[str, FaceLabels]:
    name, speaker, word, sentence = ((row.get(key) or "").strip() for key in COLUMNS)
    if not name or not speaker:
        raise DataError(f"{where}: no {'speaker' if name else 'file'}")
    emotion = parse_emotion(word)
    if emotion is None:
        raise DataError(f"{where}: emotion {word!r}; known are {', '.join(EMOTIONS)}")
    # interned, as millions of rows have the same few
    return name, FaceLabels(*map(sys.intern, (speaker, emotion, sentence)))


def parse_emotion(word: str) -> str | None:
    """Return the one of `EMOTIONS` that a word means, "" for none of them, None if unknown."""
    word = word.lower()
    if word in ("", *EMOTIONS):
        return word
    return next((emotion for emotion, words in SYNONYMS.items() if word in words), None)


def _folders(relative: Path) -> FaceLabels:
    *folders, _ = relative.parts
    emotion = (parse_emotion(folders[1]) or "") if len(folders) > 1 else ""
    return FaceLabels(folders[0] if folders else relative.stem, emotion, relative.stem)


def _cremad(relative: Path) -> FaceLabels | None:
    match = re.fullmatch(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{2})", relative.stem)
    emotion = match and parse_emotion(match[3])
    return FaceLabels(match[1], emotion, match[2]) if match and emotion else None


def _ravdess(relative: Path) -> FaceLabels | None:
    match = re.fullmatch(r"\d\d-\d\d-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)", relative.stem)
    known = match and 1 <= int(match[1]) <= len(EMOTIONS)  # in the order of EMOTIONS
    return FaceLabels(match[5], EMOTIONS[int(match[1]) - 1], match[3]) if match and known else None


def _grid(relative: Path) -> FaceLabels | None:
    if not re.fullmatch(r"[blps][bgrw][abiw][a-vx-z][z1-9][anps]", relative.stem):
        return None
    speakers = _matching_folders(relative, r"s\d+")
    return FaceLabels(speakers[-1] if speakers else relative.stem, "", relative.stem)


def _mead(relative: Path) -> FaceLabels | None:
    if match := re.fullmatch(r"([MW]\d{3})_([a-z]+)_(\d)_(\d+)", relative.stem):
        emotion = parse_emotion(match[2])
        return None if emotion is None else FaceLabels(match[1], emotion, match[4])
    speakers = _matching_folders(relative, r"[MW]\d{3}")
    emotions = [e for part in relative.parts[:-1] if (e := parse_emotion(part)) is not None]
    return FaceLabels(speakers[0], emotions[0], relative.stem) if speakers and emotions else None


def _voxceleb(relative: Path) -> FaceLabels | None:
    speakers = _matching_folders(relative, r"id\d{5}")
    if not speakers:
        return None
    after = relative.parts[relative.parts.index(speakers[0]) + 1 : -1]
    return FaceLabels(speakers[0], "", "_".join((*after, relative.stem)))


def _hdtf(relative: Path) -> FaceLabels | None:
    match = re.fullmatch(r"(RD|WDA|WRA)_([A-Za-z.-]+?)(\d*)(_\d+)*", relative.stem)
    if match is None:
        return None
    number = match[3] if match[1] == "RD" else ""
    return FaceLabels(match[2] + number, "", relative.stem)


def _none(relative: Path) -> FaceLabels:
    return FaceLabels("", "", "_".join(relative.with_suffix("").parts))


def _matching_folders(relative: Path, pattern: str) -> list[str]:
    return [part for part in relative.parts[:-1] if re.fullmatch(pattern, part)]


_PARSERS = {
    "cremad": _cremad,
    "ravdess": _ravdess,
    "grid": _grid,
    "mead": _mead,
    "voxceleb": _voxceleb,
    "hdtf": _hdtf,
    "folders": _folders,
    "none": _none,
}
SCHEMES = ("auto", *_PARSERS, "csv")
