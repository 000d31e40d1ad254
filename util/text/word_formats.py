"""The formats of words with times: TextGrid, tables, subtitles, json of recognisers, CTM, ELAN.

The format is known by the content, so that a csv file may be called .txt. Nothing in a file is
trusted: no entity of an xml file is expanded, and depth, size and numbers are bounded.
"""

import codecs
import csv
import io
import itertools
import json
import math
import re
import stat
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from speech2video.util.errors import DataError, note
from speech2video.util.text.spoken_text import clean_transcript, remove_invisible, strip_punctuation

MAX_BYTES = 64 * 2**20  # of a text file; a day of speech takes 10 MB
MAX_DEPTH = 20  # of lists and objects in json
GRID_RATE = 25_000  # units a second in the GRID corpus' .align files: 1000 a video frame
GUESSED = 0.25  # seconds of a word without times that has no neighbour on one side
TAB_OR_MARK = "\t;|,"  # delimiters of tables, the least ambiguous first

# Names of tiers with words, in lower case, the best first: of MFA, Praat, WebMAUS, ELAN, others.
WORD_TIERS = (
    *("words", "word", "ort-mau", "ort", "wrd", "tokens", "token", "orthography", "orthographic"),
    *("kan-mau", "kan", "text", "transcript", "transcription", "utterances", "utterance"),
)
WORD_TIERS_WITH_PHRASES = WORD_TIERS[WORD_TIERS.index("text") :]
OTHER_TIERS = (
    "phone",
    "phones",
    "phoneme",
    "phonemes",
    "segments",
    "mau",
    "syllables",
    "mas",
    "trn",
)

# Names of tiers with phones, the best first: of MFA and other aligners, Praat, TIMIT's converters.
PHONE_TIERS = ("phones", "phone", "phonemes", "phoneme", "segments", "phn")

_NOISE = re.compile(
    r"[<\[{+~%].*[>\]}+~%]|[<!&].*"  # <sil>, [noise], {LG}, ++uh++, <usb, !SIL
    r"|sil|sp|spn|nsn|pau|h#|[\W_]*",
    re.IGNORECASE | re.DOTALL,
)
_TEXTGRID_VALUE = re.compile(
    r'"(?:[^"]|"")*"'  # a string; a quote inside it is doubled
    r"|(?<!\S)![^\r\n]*"  # a comment
    r"|(?<!\S)<\w+>"  # a flag
    r"|(?<!\S)[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)(?!\S)"
)
_SHOW_LINE = re.compile(r"\s*(\S+)\s*\|\s*(\S+)\s*\|\s*(.*?)\s*\|[^|]*$")
_GRID_LINE = re.compile(r"\s*(\S+)\s+(\S+)\s+(\S+)\s*$")
_TIME = r"(?:(?:\d{1,9}:)?\d{1,4}:\d{1,2}|\d{1,9})(?:[.,]\d{1,9})?"
_CUE = re.compile(rf"\s*({_TIME})\s*-+>\s*({_TIME})(?:\s.*)?$")
_CUE_TAG = re.compile(rf"<({_TIME})>")
_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d*)?)")

# What the columns of a table are called: the words of their names, in lower case.
_ROLES = {
    "start": {"start", "begin", "onset", "from", "tmin", "xmin", "starttime", "begintime", "t0"},
    "end": {"end", "stop", "offset", "to", "tmax", "xmax", "finish", "endtime", "t1"},
    "duration": {"duration", "dur", "length"},
    "word": {"word", "words", "token"},
    "text": {"text", "label", "transcript", "transcription", "annotation", "content", "utterance"},
    "type": {"type"},
    "tier": {"tier"},
}
_MILLISECONDS = {"ms", "msec", "msecs", "millis", "milliseconds", "millisecond"}
_JSON_TEXT = ("word", "text", "punctuated_word", "content", "label", "lines")
_JSON_START = ("start", "begin", "start_time", "startTime", "from")
_JSON_END = ("end", "end_time", "endTime", "to")
_JSON_SPANS = ("timestamp", "timestamps")  # [start, end] or {"from": …, "to": …}
_JSON_LISTS = (
    *("word_segments", "segments", "words", "chunks", "transcription", "result", "results"),
    *("channels", "alternatives", "items", "fragments", "monologues", "elements", "utterances"),
)


class TimedText(NamedTuple):
    """A text and its times in the file's unit; None where the file has no time for it."""

    text: str
    start: float | None
    end: float | None


@dataclass
class TimedTexts:
    """What a file of words holds.

    Attributes:
        rows: in the order of the file.
        per_second: what its times count of in a second; None where the format does not say it.
        phrases: whether a row may hold several words, with punctuation.
        sorts: whether rows may overlap, as subtitles do; else their order is the words' order.
        notes: what was chosen, for the user.
    """

    rows: list[TimedText]
    per_second: float | None = None
    phrases: bool = False
    sorts: bool = False
    notes: list[str] = field(default_factory=list)


def read_timed_texts(path: Path) -> TimedTexts:
    """Return the texts and times of a file in any known format.

    Raises `DataError` on an unreadable file, an unknown format, and malformed content.
    """
    text = _textgrid_text(path)
    start, suffix = text.lstrip()[:400], path.suffix.lower()
    if suffix == ".textgrid" or "ooTextFile" in start.split("\n")[0]:
        return _read_textgrid_words(path, text)
    if suffix == ".align":
        return _read_lines(path, text, _GRID_LINE, "start, end and word are", per_second=GRID_RATE)
    if suffix == ".json" or (start[:1] in ("{", "[") and _is_json(text)):
        return _read_json_words(path, text)
    if "<ANNOTATION_DOCUMENT" in text[:4000] or suffix in (".eaf", ".xml"):
        return _read_elan(path, text)
    if start.startswith("WEBVTT") or any(map(_CUE.match, text.splitlines())):
        return TimedTexts(_cue_words(path, text), per_second=1.0, phrases=True, sorts=True)
    lines = _filled_lines(text)
    if start.startswith("Transcript:") or (lines and all(map(_is_show, lines[:5]))):
        return _read_lines(
            path, text, _SHOW_LINE, "start | end | word | confidence is", per_second=1.0
        )
    if suffix == ".ctm" or (lines and all(map(_ctm_row, lines[:20]))):
        return _read_ctm(path, lines)
    return _read_table(path, text)


def is_textgrid(path: Path) -> bool:
    """Return whether a file is a TextGrid, by its name or its content in any encoding."""
    head = read_head(path).replace(b"\0", b"")
    return path.suffix.lower() == ".textgrid" or b"ooTextFile" in head or b"ooBinaryFile" in head


def read_phone_tier(path: Path) -> list[TimedText]:
    """Return the intervals of a TextGrid's tier of phones, as written, silence included.

    Raises `DataError` on an unreadable or malformed file, and where no tier has a name of
    `PHONE_TIERS`.
    """
    tiers = _textgrid_tiers(path, _textgrid_text(path))
    found = _chosen_tier(path, tiers, "interval tier", names=PHONE_TIERS)
    for remark in found.notes:
        note(f"{path}: {remark}")
    return found.rows


def has_times(path: Path) -> bool:
    """Return whether a file holds words with times, rather than plain text or anything else."""
    try:
        return bool(read_timed_texts(path).rows)
    except DataError:
        return False


def is_noise(text: str) -> bool:
    """Return whether a word's text marks silence, noise or an unknown word instead of a word."""
    return bool(_NOISE.fullmatch(text.strip()))


def read_head(path: Path, size: int = 400) -> bytes:
    """Return the first bytes of a regular file; raises `DataError` where it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: cannot be read (no regular file)")
        with path.open("rb") as file:
            return file.read(size)
    except (OSError, ValueError) as error:  # a NUL in its name is a ValueError
        raise DataError(f"{path}: cannot be read ({_reason(error)})") from None


def read_text(path: Path) -> str:
    """Return a text file's content: UTF-8, UTF-16 with or without its mark, else Windows-1252.

    A note says so in the last case. Raises `DataError` on anything else, on files above
    `MAX_BYTES`, and where there is no such file.
    """
    path = Path(path)
    content = read_head(path, MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: too large for a text, more than {MAX_BYTES // 2**20} MB")
    encoding = _encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace") if encoding == "utf-8-sig" else "\x00"
        if _is_text(text):
            note(f"{path}: not UTF-8; read as Latin letters (Windows-1252)")
    if not _is_text(text):
        raise DataError(f"{path}: not text in UTF-8 or UTF-16")
    return text.lstrip("\ufeff")


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # most characters of any format here are ASCII: in UTF-16 every second byte is 0
    head = content[: 2 * (min(len(content), 2000) // 2)]
    zeros = head[0::2].count(0), head[1::2].count(0)
    if len(head) >= 4 and max(zeros) > 0.3 * len(head) / 2 and min(zeros) < 0.1 * max(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8-sig"


def _is_text(text: str) -> bool:
    return not re.search(r"[\x00-\x08\x0e-\x19\x1c-\x1f]", text)


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _filled_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def time_value(value: object) -> float:
    """Return a time as a number: 0.25, "0,25", "0.25 s", "250ms", "00:00:00,250".

    Raises `ValueError` on anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite_float(value)
    if not isinstance(value, str):
        raise ValueError
    text = value.strip().lower()
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = match.groups()
        return _finite_float(hours or 0) * 3600 + int(minutes) * 60 + _decimal(seconds)
    if text.endswith("ms"):
        return _decimal(text[:-2]) / 1000
    return _decimal(text.removesuffix("sec").removesuffix("s"))


def _decimal(text: str) -> float:
    return _finite_float(text.replace(",", ".") if "." not in text else text)


def _finite_float(value: float | str) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_time(value: object) -> bool:
    try:
        time_value(value)
    except ValueError:
        return False
    return True


def _has_unit(value: object) -> bool:
    return isinstance(value, str) and (":" in value or value.strip().lower().endswith("s"))


def fill_times(
    rows: Sequence[TimedText], begin: float | None = None, end: float | None = None
) -> list[TimedText]:
    """Return the rows with times for those that have none: between their neighbours, by length.

    `begin` and `end` bound all of them, where known.
    """
    filled: list[TimedText] = []
    place = 0
    while place < len(rows):
        last = place
        while last < len(rows) and (rows[last].start is None or rows[last].end is None):
            last += 1
        missing = rows[place:last]
        if missing:
            after = rows[last].start if last < len(rows) else end
            before = filled[-1].end if filled else begin
            if before is None:
                before = max(0.0, (after or 0.0) - GUESSED * len(missing))
            after = before + GUESSED * len(missing) if after is None else max(before, after)
            filled += _share(missing, before, after)
        filled += rows[last : last + 1]
        place = last + 1
    return filled


def _share(rows: Sequence[TimedText], begin: float, end: float) -> list[TimedText]:
    """Return the rows one after another from `begin` to `end`, in proportion to their length."""
    total = sum(len(row.text) + 1 for row in rows)
    shared, done = [], 0
    for row in rows:
        start = begin + (end - begin) * done / total
        done += len(row.text) + 1
        shared.append(TimedText(row.text, start, begin + (end - begin) * done / total))
    return shared


def split_phrases(rows: Iterable[TimedText]) -> list[TimedText]:
    """Return the words of rows that hold several, a row's time shared out by their length."""
    words: list[TimedText] = []
    for text, start, end in rows:
        parts = [TimedText(part, None, None) for part in text.split() if not is_noise(part)]
        if start is None or end is None:
            words += parts
        else:
            words += _share(parts, start, end)
    return words


def _textgrid_tiers(path: Path, text: str) -> dict[str, list[TimedText]]:
    """Return the interval tiers by name, silence included; point tiers are left out.

    The long and the short text form hold the same values in the same order; as Praat does, this
    reads free-standing numbers, quoted strings and flags, and skips all else (Praat manual,
    "TextGrid file formats"). Two tiers of one name: the later one gets a number.
    """
    values = _TextGridValues(path, text)
    _ = values.number(), values.number()  # the recording's start and end
    if values.next("a flag") != "<exists>":
        return {}
    tiers: dict[str, list[TimedText]] = {}
    for number in range(1, values.count() + 1):
        kind, name = values.string(), values.string()
        if kind not in ("IntervalTier", "TextTier"):
            raise DataError(
                f"{path}: a tier of class {kind!r:.60}; IntervalTier or TextTier is needed"
            )
        _ = values.number(), values.number()
        items = []
        for _ in range(values.count()):
            start = values.number()
            end = values.number() if kind == "IntervalTier" else start
            items.append(TimedText(values.string(), start, end))
        if kind == "IntervalTier":
            tiers[name if name not in tiers else f"{number} - {name}"] = items
    return tiers


class _TextGridValues:
    """The numbers, strings and flags of a TextGrid, one after another."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text
        matches = _TEXTGRID_VALUE.finditer(self._text)
        self._matches: Iterator[re.Match] = (match for match in matches if match[0][0] != "!")
        header = self.next("a file type")
        if not header.startswith('"ooTextFile') or self.string() != "TextGrid":
            raise DataError(f"{path}: no TextGrid in Praat's text form")

    def string(self) -> str:
        return self.next("a quoted text", lambda text: text[0] == '"')[1:-1].replace('""', '"')

    def number(self) -> float:
        return float(self.next("a number", lambda text: text[0] not in '"<'))

    def count(self) -> int:
        return int(float(self.next("a count", re.compile(r"\+?\d{1,9}(\.0*)?$").match)))

    def next(self, needed: str, fits: Callable[[str], object] = bool) -> str:
        match = next(self._matches, None)
        if match is None:
            raise DataError(f"{self.path}: the TextGrid ends where {needed} is needed")
        if not fits(match[0]):
            line = self._text.count("\n", 0, match.end()) + 1
            raise DataError(f"{self.path}, line {line}: {match[0]:.60} where {needed} is needed")
        return match[0]


def _textgrid_text(path: Path) -> str:
    if read_head(path).startswith(b"ooBinaryFile"):
        raise DataError(f"{path}: not text, but a binary TextGrid; save it as a text file in Praat")
    return read_text(path)


def _read_textgrid_words(path: Path, text: str) -> TimedTexts:
    return _chosen_tier(path, _textgrid_tiers(path, text), "interval tier")


def _chosen_tier(
    path: Path,
    tiers: dict[str, list[TimedText]],
    kind: str,
    names: Sequence[str] = WORD_TIERS,
) -> TimedTexts:
    """Return the tier of a known name; of several speakers' the file name's, or the fullest.

    Raises `DataError` where no tier has one; words may be the only other tier.
    """
    words = names is WORD_TIERS

    def rank(name: str) -> int:
        known = {name.strip().casefold(), *re.split(r"\s+-\s+|[@/:]", name.casefold().strip())}
        return min((names.index(part) for part in known if part in names), default=-1)

    def fullness(name: str) -> tuple[bool, int]:
        speaker = re.split(r"\s+-\s+|[@/:]", name.casefold().strip())[0]
        named = len(speaker) > 2 and rank(speaker) < 0 and speaker in path.stem.casefold()
        return named, sum(not is_noise(row.text) for row in tiers[name])

    ranks = {name: rank(name) for name in tiers}
    best = min((value for value in ranks.values() if value >= 0), default=-1)
    found = [name for name, value in ranks.items() if value == best]
    phrases = words and (best < 0 or WORD_TIERS[best] in WORD_TIERS_WITH_PHRASES)
    if best < 0:
        found = [name for name in tiers if words and name.strip().casefold() not in OTHER_TIERS]
        found = [name for name in found if fullness(name)[1]] if len(found) > 1 else found
        if len(found) != 1:
            seen = ", ".join(f"{name!r:.60}" for name in [*tiers][:20]) or "none"
            raise DataError(f"{path}: one {kind} {names[0]!r} is needed, seen: {seen}")
    chosen = max(found, key=fullness)
    notes = []
    if best < 0:
        notes.append(f"words of the {kind} {chosen!r}")
    others = [name for name in found if name != chosen and fullness(name)[1]]
    if others:
        left_out = ", ".join(f"{name!r:.60}" for name in others[:5])
        notes.append(
            f"{'words' if words else 'phones'} of the {kind} {chosen!r}; left out: {left_out}"
        )
    return TimedTexts(tiers[chosen], phrases=phrases, notes=notes)


def _read_lines(
    path: Path, text: str, form: re.Pattern, needed: str, *, per_second: float = 1
) -> TimedTexts:
    """Return the words of lines of a form (start, end, word)."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("Transcript:"):
            continue
        match = form.match(line)
        if not match:
            raise DataError(f"{path}, line {number}: {needed} needed")
        start, end = (_cell_time(path, number, value) for value in match.groups()[:2])
        rows.append(TimedText(strip_punctuation(match[3]), start, end))
    return TimedTexts(rows, per_second=per_second)


def _cell_time(path: Path, line: int, value: str | None) -> float:
    try:
        return time_value(value)
    except ValueError:
        raise DataError(f"{path}, line {line}: {value!r:.60} where a time is needed") from None


def _is_show(line: str) -> bool:
    match = _SHOW_LINE.match(line)
    return match is not None and all(map(_is_time, match.groups()[:2]))


def _ctm_row(line: str) -> list[str] | None:
    """Return the values of a line of NIST's CTM: file, channel, start, duration, word, or None."""
    if line.lstrip().startswith(";;"):
        return []
    parts = line.split()
    try:
        _ = float(parts[2]), float(parts[3])
    except (ValueError, IndexError):
        return None
    return parts if len(parts) >= 5 and re.fullmatch(r"\w{1,2}", parts[1]) else None


def _read_ctm(path: Path, lines: Sequence[str]) -> TimedTexts:
    channels: dict[str, list[TimedText]] = {}
    for line in lines:
        row = _ctm_row(line)
        if row is None:
            needed = "file, channel, start, duration and word are needed"
            raise DataError(f"{path}: {line.strip()!r:.60}; {needed}")
        if row:
            start, duration = _finite_float(row[2]), _finite_float(row[3])
            word = TimedText(strip_punctuation(row[4]), start, start + duration)
            channels.setdefault(f"{row[0]} {row[1]}", []).append(word)
    # a file may list a whole corpus: the recording of this file's name is meant
    own = {name: rows for name, rows in channels.items() if name.split()[0] == path.stem}
    channels = own or channels
    chosen = max(channels, key=lambda name: len(channels[name]), default="")
    left_out = len(channels) - 1
    notes = [f"words of {chosen!r:.60}; left out: {left_out} others"] if left_out > 0 else []
    return TimedTexts(channels.get(chosen, []), per_second=1.0, sorts=True, notes=notes)


def _cue_words(path: Path, text: str) -> list[TimedText]:
    """Return the texts and times of SubRip or WebVTT subtitles, each word's where it has a tag.

    Lines that are shown again with the next ones, as YouTube's captions are, count once.
    """
    cues: list[tuple[float, float, list[str]]] = []
    lines: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if match := _CUE.match(line):
            if lines and lines[-1].strip().isdigit():  # the number of this cue
                lines.pop()
            lines = []
            cues.append((time_value(match[1]), time_value(match[2]), lines))
        elif "-->" in line and not line.lstrip().startswith(("NOTE", "<!--")):
            seen = f"{path}, line {number}: {line.strip()!r:.60}"
            raise DataError(f"{seen}; two times with --> between them are needed")
        elif line.strip():
            lines.append(line)
        else:
            lines = []  # whatever follows, up to the next times, is no text of a cue
    rows: list[TimedText] = []
    shown: list[str] = []  # by the cue before
    for number, (start, end, lines) in enumerate(cues):
        plain = [clean_transcript(line) for line in lines]
        rolled = len(plain) > 1 or end - start < 0.05
        new = [i for i, line in enumerate(plain) if not (rolled and line and line in shown[-1:])]
        shown = [line for line in plain if line] or shown
        following = cues[number + 1][0] if number + 1 < len(cues) else math.inf
        end = following if start < following < end else end
        kept = "\n".join(lines[i] for i in new)
        if not _CUE_TAG.search(kept):
            rows += split_phrases([TimedText(clean_transcript(kept), start, end)])
            continue
        times = [start, *(time_value(value) for value in _CUE_TAG.findall(kept)), end]
        parts = (clean_transcript(part) for part in _CUE_TAG.split(kept)[::2])
        spans = zip(parts, times[:-1], times[1:], strict=True)
        rows += split_phrases(TimedText(part, one, max(one, two)) for part, one, two in spans)
    return rows


def cue_lines(text: str) -> list[str]:
    """Return the lines of subtitles without their times, numbers and tags."""
    return [row.text for row in _cue_words(Path("subtitles"), text)]


def has_cues(text: str) -> bool:
    """Return whether a text is subtitles: SubRip or WebVTT."""
    return any(map(_CUE.match, text.splitlines()))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _read_json_words(path: Path, text: str) -> TimedTexts:
    """Return the words of Whisper's, faster-whisper's, whisperX', gentle's and others' json."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not json ({error}); words with times are needed") from None
    rows = list(_json_rows(value, 0))
    if all(row.start is None for row in rows):
        raise DataError(f"{path}: no words with times in this json")
    return TimedTexts(rows, phrases=True, sorts=True)


def _json_rows(value: Any, depth: int) -> Iterator[TimedText]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _json_rows(item, depth + 1)
    if not isinstance(value, dict):
        return
    own = _json_item(value)
    for name in _JSON_LISTS:
        items = value.get(name)
        if not isinstance(items, list | dict) or not items:
            continue
        if name == "alternatives" and isinstance(items, list):
            items = items[:1]
        rows = list(_json_rows(items, depth + 1))
        if own is not None and own.start is not None:
            if any(row.start is not None for row in rows):
                yield from fill_times(rows, own.start, own.end)
                return
        elif name == "alternatives" and own is None and len(rows) == 1:  # AWS: times are outside
            start, end = _json_times(value)
            yield rows[0]._replace(start=start, end=end) if rows[0].start is None else rows[0]
            return
        elif rows:
            yield from rows
            return
    if own is not None:
        yield own


def _json_item(value: dict) -> TimedText | None:
    text = next((value[key] for key in _JSON_TEXT if key in value), None)
    if isinstance(text, list):
        text = " ".join(part for part in text if isinstance(part, str))
    if not isinstance(text, str):
        return None
    return TimedText(clean_transcript(text), *_json_times(value))


def _json_times(value: dict) -> tuple[float | None, float | None]:
    spans = [value[key] for key in _JSON_SPANS if isinstance(value.get(key), list | dict)]
    if spans and isinstance(spans[0], dict):
        value = spans[0]
    start = next((value[key] for key in _JSON_START if value.get(key) is not None), None)
    end = next((value[key] for key in _JSON_END if value.get(key) is not None), None)
    if spans and isinstance(spans[0], list) and len(spans[0]) == 2:
        start, end = spans[0]
    try:
        return (time_value(start), time_value(end))
    except ValueError:
        return None, None


def _read_elan(path: Path, text: str) -> TimedTexts:
    """Return the words of an ELAN file; words without times of their own share their phrase's."""
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text):
        raise DataError(f"{path}: an xml file that declares entities or a document type is refused")
    try:
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path}: not xml ({error}); words with times are needed") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DataError(f"{path}: xml of a {root.tag!r:.60}; words are read from ELAN's .eaf")
    slots = _slot_times(path, root)
    spans: dict[str, tuple[float, float]] = {}  # of annotations
    parents: dict[str, str] = {}
    tiers: dict[str, list[TimedText]] = {}
    for tier in root.iter("TIER"):
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            start, end = (slots.get(one.get(f"TIME_SLOT_REF{i}", "")) for i in (1, 2))
            if start is not None and end is not None:
                spans[one.get("ANNOTATION_ID", "")] = (start, end)
        for one in tier.iter("REF_ANNOTATION"):
            parents[one.get("ANNOTATION_ID", "")] = one.get("ANNOTATION_REF", "")
    for tier in root.iter("TIER"):
        phrases: dict[tuple[float, float], list[str]] = {}
        for one in tier.iter():
            if one.tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
                name = one.get("ANNOTATION_ID", "")
                for _ in range(MAX_DEPTH):
                    name = name if name in spans else parents.get(name, "")
                if name in spans:
                    phrases.setdefault(spans[name], []).append(one.findtext("ANNOTATION_VALUE", ""))
        rows = [TimedText(" ".join(texts), *span) for span, texts in phrases.items()]
        tiers[tier.get("TIER_ID", "")] = sorted(rows, key=lambda row: row[1:])
    found = _chosen_tier(path, tiers, "tier")
    found.per_second, found.sorts, found.phrases = 1000, True, True
    return found


def _slot_times(path: Path, root: ElementTree.Element) -> dict[str, float | None]:
    """Return the times of ELAN's time slots; those without one lie evenly between the others."""
    names, times = [], []
    for slot in root.iter("TIME_SLOT"):
        names.append(slot.get("TIME_SLOT_ID", ""))
        value = slot.get("TIME_VALUE")
        times.append(None if value is None else _cell_time(path, len(names), value))
    rows = [TimedText("", time, time) for time in times]
    known = [place for place, time in enumerate(times) if time is not None]
    for one, two in itertools.pairwise(known):
        for place in range(one + 1, two):
            start, end = times[one], times[two]
            assert start is not None and end is not None
            time = start + (end - start) * (place - one) / (two - one)
            rows[place] = TimedText("", time, time)
    return {name: row.start for name, row in zip(names, rows, strict=True)}


@dataclass
class _Columns:
    """Which columns of a table hold what, and how many rows stand above its values."""

    start: int
    end: int
    text: int
    header: int = 0
    duration: bool = False  # whether `end` is a duration
    per_second: float | None = None
    phrases: bool = False
    kind: int = -1  # column of "words" or "phones"
    tier: int = -1


def _read_table(path: Path, text: str) -> TimedTexts:
    """Return the words of a table: csv or tsv, with or without a header."""
    text = re.sub(r"\A(?:\s*(?:#|//)[^\n]*\n)+", "", text)
    sniffed = re.match(r"sep=(.)\r?\n", text)
    text = text[sniffed.end() :] if sniffed else text
    for delimiter in (sniffed[1],) if sniffed else (*TAB_OR_MARK, " "):
        rows = _split_rows(path, text, delimiter)
        columns = _columns(rows)
        if columns is not None:
            return _table_words(path, rows, columns)
    seen = (_filled_lines(text) or ["nothing"])[0]
    raise DataError(
        f"{path}, line 1: {seen.strip()!r:.60}; words with times are needed, as csv with the "
        "header word,start,end, TextGrid, SRT, WebVTT, json, CTM, Audacity labels or ELAN"
    )


def _split_rows(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the numbers and cells of a table's lines; empty ones are left out."""
    if delimiter == " ":
        lines = enumerate(text.splitlines(), 1)
        found = [(number, line.split(None, 2)) for number, line in lines if line.strip()]
        times_first = all(all(map(_is_time, cells[:2])) for _, cells in found[:20])
        return [(n, cells if times_first else " ".join(cells).split()) for n, cells in found]
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, skipinitialspace=True)
    rows = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if delimiter == "\t":
                cells = [re.sub(r'^"(.*)"$', r"\1", cell).replace('""', '"') for cell in cells]
            if any(cells) and cells[0] != "\\":  # Audacity's frequencies of a label
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    return rows


def _columns(rows: Sequence[tuple[int, list[str]]]) -> _Columns | None:
    if not rows:
        return None
    return _named_columns(rows[0][1]) or _guessed_columns([cells for _, cells in rows])


def _named_columns(header: Sequence[str]) -> _Columns | None:
    """Return the columns by the names in a header, or None where it is none."""
    places: dict[str, int] = {}
    units: dict[str, float | None] = {}
    for place, cell in enumerate(header):
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cell)
        parts = re.findall(r"[a-z]+|t[01]", spaced.lower())
        for role, names in _ROLES.items():
            if role not in places and names & set(parts):
                places[role] = place
                is_ms = parts[-1] in _MILLISECONDS and not {"ss", "hh"} & set(parts)
                units[role] = 1000 if is_ms else None
                break
    text = places.get("word", places.get("text"))
    end = places.get("end", places.get("duration"))
    if text is None or end is None or "start" not in places:
        return None
    return _Columns(
        places["start"],
        end,
        text,
        header=1,
        duration="end" not in places,
        per_second=units["start"],
        phrases="word" not in places,
        kind=places.get("type", -1),
        tier=places.get("tier", -1),
    )


def _guessed_columns(rows: Sequence[Sequence[str]]) -> _Columns | None:
    """Return the columns of a table without a known header by their values, or None."""

    header = int(len(rows) > 1 and not any(map(_is_time, rows[0])))
    sample = rows[header : header + 200]
    width = max(map(len, sample))

    def column(place: int) -> list[str]:
        return [row[place] for row in sample if place < len(row) and row[place]]

    times = [
        bool(cells) and sum(map(_is_time, cells)) >= 0.8 * len(cells)
        for cells in map(column, range(min(width, 50)))
    ]
    start = next((i for i in range(len(times) - 1) if times[i] and times[i + 1]), None)
    if start is None or width < 3:
        return None
    end = start + 1
    later = [place for place in range(end + 1, len(times)) if not times[place]]
    if start == 0:
        text = later[0] if later else end + 1
        if text >= width:
            return None
    else:
        text = 0
        varies = len(set(column(0))) > 1 or len(sample) < 3
        if later and not varies:  # a tier's or speaker's name first, the text last
            text = later[-1]
    pairs = [(row[start], row[end]) for row in sample if end < len(row)]
    pairs = [pair for pair in pairs if all(map(_is_time, pair))]
    falling = sum(time_value(two) < time_value(one) for one, two in pairs)
    duration = falling > 0.5 * len(pairs)
    return _Columns(start, end, text, header=header, duration=duration, phrases=start == 0)


def _table_words(
    path: Path, rows: Sequence[tuple[int, list[str]]], columns: _Columns
) -> TimedTexts:
    width = max(len(rows[0][1]), columns.text + 1, columns.end + 1)
    kinds = {cells[columns.kind].lower() for _, cells in rows if len(cells) > columns.kind >= 0}
    tiers: dict[str, list[TimedText]] = {}
    per_second = columns.per_second
    if _is_whisper_table(rows):
        per_second = 1000
    for line, cells in rows[columns.header :]:
        if columns.header and any(cells[width:]):
            needed = f"{len(cells)} values for {width} columns; a text with the delimiter in it "
            raise DataError(f"{path}, line {line}: {needed}needs quotes, as decimal commas do")
        cells = cells + [""] * (width - len(cells))
        if {"words", "word"} & kinds and cells[columns.kind].lower() not in ("words", "word"):
            continue
        text = remove_invisible(cells[columns.text])
        start, end = cells[columns.start], cells[columns.end]
        tier = tiers.setdefault(cells[columns.tier] if columns.tier >= 0 else "words", [])
        if not start and not end:
            tier.append(TimedText(text, None, None))
            continue
        per_second = 1 if _has_unit(start) else per_second
        begin, stop = (_cell_time(path, line, value or None) for value in (start, end))
        tier.append(TimedText(text, begin, begin + stop if columns.duration else stop))
    found = _chosen_tier(path, tiers or {"words": []}, "tier")
    found.per_second, found.phrases = (
        per_second,
        columns.phrases or (found.phrases and columns.tier >= 0),
    )
    return found


def _is_whisper_table(rows: Sequence[tuple[int, list[str]]]) -> bool:
    """Return whether a table is Whisper's: start, end and text, in whole milliseconds."""
    times = [cell for _, cells in rows[1:] for cell in cells[:2]]
    header = [cell.lower() for cell in rows[0][1]]
    return header == ["start", "end", "text"] and all(map(str.isdecimal, times))
