"""Words and phones with their times, and the files that hold words.

Read are Praat TextGrid, csv, and the layouts of the SHOW data set and the GRID corpus.
"""

import codecs
import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write

SILENCE = ("", "sil", "sp", "<eps>", "<sil>", "<p:>")  # how aligners mark it, in any case
OVERLAP = 0.0105  # seconds that rounded times of neighbours may overlap; they are trimmed
HEADER = ("word", "start", "end")  # of a csv file
WORD_TIERS = ("words", "word")  # names of a TextGrid's tier, in lower case
GRID_RATE = 25_000  # units a second in the GRID corpus' .align files: 1000 a video frame

_SHOW_LINE = re.compile(r"\s*(\S+)\s*\|\s*(\S+)\s*\|\s*(.*?)\s*\|[^|]*$")
_GRID_LINE = re.compile(r"\s*(\S+)\s+(\S+)\s+(\S+)\s*$")
_TEXTGRID_VALUE = re.compile(
    r'"(?:[^"]|"")*"'  # a string; a quote inside it is doubled
    r"|(?<!\S)<\w+>"  # a flag
    r"|(?<!\S)[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)(?!\S)"
)


@dataclass(frozen=True)
class Word:
    """A spoken word; `start` and `end` in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Phone:
    """A phone in the alphabet of its source; `start` and `end` in seconds.

    `word` is the index of its word where that is known; `stress` is 0 none, 1 primary, 2 secondary.
    """

    text: str
    start: float
    end: float
    word: int | None = None
    stress: int = 0


def read_words(path: Path) -> list[Word]:
    """Return the words of a file in order, silence left out.

    Read are: Praat TextGrid (interval tier "words", also "speaker - words" as the Montreal Forced
    Aligner writes it), csv (`word,start,end`), the `start | end | word | confidence` text of the
    SHOW data set, and `.align` of the GRID corpus. Raises `DataError` on any other file, malformed
    lines, and times that are not finite, negative, reversed, out of order, or overlap by more than
    their rounding.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".textgrid":
            words: Iterable[Word] = _words_tier(path)
        case ".csv":
            words = _read_csv(path)
        case ".txt":
            words = _read_lines(path, _SHOW_LINE, "start | end | word | confidence is")
        case ".align":
            words = _read_lines(path, _GRID_LINE, "start, end and word are", rate=GRID_RATE)
        case _:
            raise DataError(f"{path}: words are read from .TextGrid, .csv, .txt (SHOW) and .align")
    return checked_words(path, list(words))


def write_words(path: Path, words: Iterable[Word]) -> None:
    """Write words as csv (`word,start,end`), times to 0.1 ms, as `read_words` reads them."""
    words = checked_words(path, words)
    with (
        atomic_write(Path(path)) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((word.text, f"{word.start:.4f}", f"{word.end:.4f}") for word in words)


def checked_words(
    where: Path | str, words: Iterable[Word], *, overlap: float = OVERLAP
) -> list[Word]:
    """Return the words without silence, each starting no earlier than the one before ends.

    Raises `DataError` on times that are not finite, negative, reversed or out of order, and on
    neighbours that overlap by more than `overlap` seconds.
    """
    checked: list[Word] = []
    for word in words:
        seen = f"{where}: {word.text!r} from {word.start:g} to {word.end:g} s"
        if not 0 <= word.start <= word.end < math.inf:
            raise DataError(f"{seen}; finite times, 0 <= start <= end, are needed")
        if word.text.strip().casefold() in SILENCE:
            continue
        before = checked[-1].end if checked else 0.0
        if word.start < before - overlap:
            raise DataError(f"{seen}, but the one before it lasts until {before:g} s")
        start = max(word.start, before)
        checked.append(replace(word, start=start, end=max(word.end, start)))
    return checked


def cut_words(words: Iterable[Word], begin: float, end: float) -> list[Word]:
    """Return the words that lie between two times in seconds, with times from the first on."""
    return [
        replace(word, start=word.start - begin, end=word.end - begin)
        for word in words
        if begin <= word.start and word.end <= end
    ]


def strip_punctuation(text: str) -> str:
    """Return a word without the punctuation around it."""
    return text.strip(' \t.,;:!?"()[]…“”')


def read_textgrid(path: Path) -> dict[str, list[Word]]:
    """Return the interval tiers of a TextGrid by name, silence included; point tiers are left out.

    The long and the short text form hold the same values in the same order; as Praat does, this
    reads free-standing numbers, quoted strings and flags, and skips all else (Praat manual,
    "TextGrid file formats"). Two tiers of one name: the first counts. UTF-8 and UTF-16 are read.
    Raises `DataError` on other files and truncated ones.
    """
    values = _TextGridValues(path)
    _ = values.number(), values.number()  # the recording's start and end
    if values.next("a flag") != "<exists>":
        return {}
    tiers: dict[str, list[Word]] = {}
    for _ in range(values.count()):
        kind, name = values.string(), values.string()
        if kind not in ("IntervalTier", "TextTier"):
            raise DataError(f"{path}: a tier of class {kind!r}; IntervalTier or TextTier is needed")
        _ = values.number(), values.number()
        items = []
        for _ in range(values.count()):
            start = values.number()
            end = values.number() if kind == "IntervalTier" else start
            items.append(Word(values.string(), start, end))
        if kind == "IntervalTier":
            tiers.setdefault(name, items)
    return tiers


def read_text(path: Path) -> str:
    """Return a text file's content: UTF-8, or UTF-16 with its byte order mark.

    Raises `DataError` on anything else, and where there is no such file.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not text in UTF-8 or UTF-16") from None


def _words_tier(path: Path) -> list[Word]:
    tiers = read_textgrid(path)
    found = [tier for tier in tiers if tier.split(" - ")[-1].strip().casefold() in WORD_TIERS]
    if len(found) == 1:
        return tiers[found[0]]
    seen = ", ".join(map(repr, found or tiers)) or "none"
    raise DataError(f"{path}: one interval tier {WORD_TIERS[0]!r} is needed, seen: {seen}")


class _TextGridValues:
    """The numbers, strings and flags of a TextGrid, one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = read_text(path)
        self._matches: Iterator[re.Match] = _TEXTGRID_VALUE.finditer(self._text)
        header = self.next("a file type")
        if not header.startswith('"ooTextFile') or self.string() != "TextGrid":
            raise DataError(f"{path}: no TextGrid in Praat's text form")

    def string(self) -> str:
        return self.next("a quoted text", lambda text: text[0] == '"')[1:-1].replace('""', '"')

    def number(self) -> float:
        return float(self.next("a number", lambda text: text[0] not in '"<'))

    def count(self) -> int:
        return int(float(self.next("a count", re.compile(r"\+?\d+(\.0*)?$").match)))

    def next(self, needed: str, fits: Callable[[str], object] = bool) -> str:
        match = next(self._matches, None)
        if match is None:
            raise DataError(f"{self.path}: the TextGrid ends where {needed} is needed")
        if not fits(match[0]):
            line = self._text.count("\n", 0, match.end()) + 1
            raise DataError(f"{self.path}, line {line}: {match[0]} where {needed} is needed")
        return match[0]


def read_rows(path: Path, header: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the values of each row of a csv file with these columns.

    Raises `DataError` for an unreadable file and missing columns.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        fields = [field.strip().lower() for field in reader.fieldnames or ()]
        if not set(header) <= set(fields):
            seen = ",".join(fields) or "nothing"
            raise DataError(f"{path}: the header {','.join(header)} is needed, seen: {seen}")
        reader.fieldnames = fields
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None


def _read_csv(path: Path) -> Iterator[Word]:
    for line, row in read_rows(path, HEADER):
        start, end = (_number(path, line, row[key]) for key in ("start", "end"))
        yield Word(row["word"] or "", start, end)


def _read_lines(path: Path, form: re.Pattern, needed: str, *, rate: float = 1.0) -> Iterator[Word]:
    """Yield the words of lines of a form (start, end, word), times in units of 1 / `rate` s."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("Transcript:"):
            continue
        match = form.match(line)
        if not match:
            raise DataError(f"{path}, line {number}: {needed} needed")
        start, end = (_number(path, number, value) / rate for value in match.groups()[:2])
        yield Word(strip_punctuation(match[3]), start, end)


def _number(path: Path, line: int, value: str | None) -> float:
    try:
        return float(value or "")
    except ValueError:
        raise DataError(f"{path}, line {line}: {value!r} where a time is needed") from None
