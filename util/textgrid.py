"""Praat's TextGrid: intervals of time with a text, in tiers.

The long and the short text form hold the same values in the same order; Praat itself reads both by
taking free-standing numbers, quoted strings and flags, and skipping whatever else is written
(Praat manual, "TextGrid file formats"). So does this reader.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from speech2video.util.errors import DataError

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
