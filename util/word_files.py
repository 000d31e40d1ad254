"""Files of timed words: Praat TextGrid, csv, and the layouts of the SHOW and GRID data sets."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from speech2video.util.errors import DataError
from speech2video.util.textgrid import Interval, read_text, read_textgrid

HEADER = ("word", "start", "end")  # of a csv file
GRID_RATE = 25_000  # units a second in the GRID corpus' .align files: 1000 a video frame

_SHOW_LINE = re.compile(r"\s*(\S+)\s*\|\s*(\S+)\s*\|\s*(.*?)\s*\|[^|]*$")


def read_intervals(path: Path, *, tier: Iterable[str]) -> list[Interval]:
    """Return what a file says, and when, as it stands there, silence marks included.

    `tier` are the names that a TextGrid's tier may have, in lower case; a speaker's name and " - "
    may come before them. Raises `DataError` on an unknown kind of file and on malformed ones.
    """
    suffix = path.suffix.lower()
    if suffix == ".textgrid":
        return _textgrid(path, tuple(tier))
    readers = {".csv": _csv, ".txt": _show, ".align": _grid}
    if suffix not in readers:
        raise DataError(f"{path}: words are read from .TextGrid, .csv, .txt (SHOW) and .align")
    return list(readers[suffix](path))


def bare(text: str) -> str:
    """Return a word without the punctuation around it."""
    return text.strip(' \t.,;:!?"()[]…“”')


def _textgrid(path: Path, names: tuple[str, ...]) -> list[Interval]:
    tiers = read_textgrid(path)
    found = [tier for tier in tiers if tier.split(" - ")[-1].strip().casefold() in names]
    if len(found) == 1:
        return tiers[found[0]]
    seen = ", ".join(map(repr, found or tiers)) or "none"
    raise DataError(f"{path}: one interval tier {names[0]!r} is needed, seen: {seen}")


def _csv(path: Path) -> Iterator[Interval]:
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        fields = [field.strip().lower() for field in reader.fieldnames or ()]
        if not set(HEADER) <= set(fields):
            seen = ",".join(fields) or "nothing"
            raise DataError(f"{path}: the header {','.join(HEADER)} is needed, seen: {seen}")
        reader.fieldnames = fields
        for row in reader:
            start, end = (_number(path, reader.line_num, row[key]) for key in ("start", "end"))
            yield Interval(start, end, row["word"] or "")
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None


def _show(path: Path) -> Iterator[Interval]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("Transcript:"):
            continue
        match = _SHOW_LINE.match(line)
        if not match:
            raise DataError(f"{path}, line {number}: start | end | word | confidence is needed")
        start, end = (_number(path, number, value) for value in match.groups()[:2])
        yield Interval(start, end, bare(match[3]))


def _grid(path: Path) -> Iterator[Interval]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 3:
            raise DataError(f"{path}, line {number}: start, end and word are needed")
        start, end = (_number(path, number, value) / GRID_RATE for value in parts[:2])
        yield Interval(start, end, parts[2])


def _number(path: Path, line: int, value: str | None) -> float:
    try:
        return float(value or "")
    except ValueError:
        raise DataError(f"{path}, line {line}: {value!r} where a time is needed") from None
