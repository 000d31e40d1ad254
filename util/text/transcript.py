"""Words with their times: read and written, aligned to the sound, or recognised in it."""

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write
from speech2video.util.text.forced_alignment import align
from speech2video.util.text.spoken_text import normalise_text, split_words
from speech2video.util.timing import SAMPLE_RATE

# Praat's TextGrid: intervals of time with a text, in tiers.
#
# The long and the short text form hold the same values in the same order; Praat itself reads both by
# taking free-standing numbers, quoted strings and flags, and skipping whatever else is written
# (Praat manual, "TextGrid file formats"). So does this reader.

_VALUE = re.compile(
    r'"(?:[^"]|"")*"'  # a string; a quote inside it is doubled
    r"|(?<!\S)<\w+>"  # a flag
    r"|(?<!\S)[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)(?!\S)"
)


class Interval(NamedTuple):
    """A stretch of time in seconds and what is written there."""

    start: float
    end: float
    text: str


def read_textgrid(path: Path) -> dict[str, list[Interval]]:
    """Return the interval tiers of a TextGrid by name, silence included; point tiers are left out.

    Two tiers of one name: the first counts. UTF-8 and UTF-16 are read. Raises `DataError` on what
    is no TextGrid or ends in the middle.
    """
    values = _Values(path)
    if values.string() != "TextGrid":
        raise DataError(f"{path}: no TextGrid in Praat's text form")
    values.number(), values.number()  # the recording's start and end
    if values.flag() != "<exists>":
        return {}
    tiers: dict[str, list[Interval]] = {}
    for _ in range(values.count()):
        kind, name = values.string(), values.string()
        if kind not in ("IntervalTier", "TextTier"):
            raise DataError(f"{path}: a tier of class {kind!r}; IntervalTier or TextTier is needed")
        values.number(), values.number()
        items = _tier(values, points=kind == "TextTier")
        if kind == "IntervalTier":
            tiers.setdefault(name, items)
    return tiers


def _tier(values: "_Values", *, points: bool) -> list[Interval]:
    items = []
    for _ in range(values.count()):
        start = values.number()
        end = start if points else values.number()
        items.append(Interval(start, end, values.string()))
    return items


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


class _Values:
    """The numbers, strings and flags of a TextGrid, one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = read_text(path)
        self._matches: Iterator[re.Match] = _VALUE.finditer(self._text)
        header = self._next("a file type")
        if not header.startswith('"ooTextFile'):
            raise DataError(f"{path}: no TextGrid in Praat's text form")

    def string(self) -> str:
        value = self._next("a quoted text")
        if value[0] != '"':
            raise self._error("a quoted text", value)
        return value[1:-1].replace('""', '"')

    def number(self) -> float:
        value = self._next("a number")
        try:
            return float(value)
        except ValueError:
            raise self._error("a number", value) from None

    def count(self) -> int:
        value = self.number()
        if not (value >= 0 and value.is_integer()):
            raise self._error("a count", str(value))
        return int(value)

    def flag(self) -> str:
        return self._next("a flag")

    def _next(self, needed: str) -> str:
        match = next(self._matches, None)
        if match is None:
            raise DataError(f"{self.path}: the TextGrid ends where {needed} is needed")
        self._line_end = match.end()
        return match[0]

    def _error(self, needed: str, seen: str) -> DataError:
        line = self._text.count("\n", 0, self._line_end) + 1
        return DataError(f"{self.path}, line {line}: {seen} where {needed} is needed")


# Files of timed words: Praat TextGrid, csv, and the layouts of the SHOW and GRID data sets.

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


def strip_punctuation(text: str) -> str:
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
        yield Interval(start, end, strip_punctuation(match[3]))


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


SILENCE = ("", "sil", "sp", "<eps>", "<sil>", "<p:>")  # how aligners mark it, in any case
OVERLAP = 0.0105  # seconds that rounded times of neighbours may overlap; they are trimmed

_ARPABET = re.compile(r"([A-Z]{1,2})([012])$")


@dataclass(frozen=True)
class Word:
    """A spoken word; `start` and `end` in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Phone:
    """A speech sound in the alphabet of its source; `start` and `end` in seconds.

    `word` is the index of its word where that is known; `stress` is 0 none, 1 primary, 2 secondary.
    """

    text: str
    start: float
    end: float
    word: int | None = None
    stress: int = 0


_Timed = TypeVar("_Timed", Word, Phone)


def read_words(path: Path) -> list[Word]:
    """Return the words of a file in order, silence left out.

    Read are: Praat TextGrid (interval tier "words", also "speaker - words" as the Montreal Forced
    Aligner writes it), csv (`word,start,end`), the `start | end | word | confidence` text of the
    SHOW data set, and `.align` of the GRID corpus. Raises `DataError` on any other file, malformed
    lines, and times that are not finite, negative, reversed, out of order, or overlap by more than
    their rounding.
    """
    items = read_intervals(Path(path), tier=("words", "word"))
    return _checked(path, (Word(text, start, end) for start, end, text in items))


def read_phones(path: Path) -> list[Phone]:
    """Return the phones of a TextGrid (interval tier "phones"), silence left out.

    The stress digit of ARPABET (AH0) moves to `stress`, in ARPABET's own meaning. Raises
    `DataError` as `read_words` does.
    """
    items = read_intervals(Path(path), tier=("phones", "phone", "phonemes"))
    return _checked(path, (_phone(*item) for item in items))


def write_words(path: Path, words: Iterable[Word]) -> None:
    """Write words as csv (`word,start,end`), times to 0.1 ms; what `read_words` reads back."""
    words = _checked(path, words)
    with (
        atomic_write(Path(path)) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((word.text, f"{word.start:.4f}", f"{word.end:.4f}") for word in words)


def align_transcript(audio_S: np.ndarray, text: str, rate: int = SAMPLE_RATE) -> list[Word]:
    """Return the words of `text` with the times at which `audio_S` (S,) in [-1, 1] says them.

    Numbers and symbols come back as the words they are spoken as ("2": "two"). English only.
    Raises `DataError` if the text does not fit the sound (`forced_alignment.align` says when).
    """
    words = split_words(normalise_text(text))
    if not words:
        raise DataError("the transcript has no words")
    spans = align(audio_S, words, rate=rate)
    return [Word(word, *span) for word, span in zip(words, spans, strict=True)]


def recognise_words(
    audio_S: np.ndarray, *, model: str = "small.en", device: str = "auto"
) -> list[Word]:
    """Return the words that faster-whisper hears in `audio_S` (S,), 16 kHz, in [-1, 1].

    `model` is the name or folder of a Whisper model; a name is downloaded at its first use. Raises
    `DataError` if the package is missing or the model cannot be had.
    """
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        raise DataError(
            "recognising words needs the package faster-whisper (pip install faster-whisper); "
            "or give a transcript, or words with times"
        ) from None
    try:
        whisper = WhisperModel(model, device=device)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"faster-whisper cannot load the model {model!r}: {error}") from None
    segments, _ = whisper.transcribe(audio_S.astype(np.float32), word_timestamps=True)
    heard = (word for segment in segments for word in segment.words or ())
    words = [
        Word(strip_punctuation(word.word), float(word.start), float(word.end)) for word in heard
    ]
    return _checked("faster-whisper", words, overlap=math.inf)


def _phone(start: float, end: float, text: str) -> Phone:
    match = _ARPABET.match(text)
    return Phone(match[1], start, end, None, int(match[2])) if match else Phone(text, start, end)


def _checked(
    where: Path | str, items: Iterable[_Timed], *, overlap: float = OVERLAP
) -> list[_Timed]:
    """Return the items without silence, each starting no earlier than the one before ends."""
    checked: list[_Timed] = []
    for item in items:
        seen = f"{where}: {item.text!r} from {item.start:g} to {item.end:g} s"
        if not (math.isfinite(item.start) and math.isfinite(item.end)):
            raise DataError(f"{seen}; finite times are needed")
        if not 0 <= item.start <= item.end:
            raise DataError(f"{seen}; 0 <= start <= end is needed")
        if item.text.strip().casefold() in SILENCE:
            continue
        before = checked[-1].end if checked else 0.0
        if item.start < before - overlap:
            raise DataError(f"{seen}, but the one before it lasts until {before:g} s")
        start = max(item.start, before)
        checked.append(replace(item, start=start, end=max(item.end, start)))
    return checked
