"""Words and phones with their times: read in any format, checked, written as csv."""

import csv
import io
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from speech2video.util.errors import DataError, note
from speech2video.util.files import atomic_write, write_text
from speech2video.util.text.phones import Phone, from_arpabet, phone_classes
from speech2video.util.text.spoken_text import strip_punctuation
from speech2video.util.text.word_formats import (
    TimedText,
    fill_times,
    has_times,
    is_noise,
    is_textgrid,
    read_phone_tier,
    read_text,
    read_timed_texts,
    split_phrases,
)
from speech2video.util.timing import SAMPLE_RATE

OVERLAP = 0.0105  # seconds that rounded times of neighbours may overlap; they are trimmed
MAX_OVERLAP = 0.25  # seconds of overlap that are trimmed with a note; more is an error
HEADER = ("word", "start", "end")  # of a csv file
PHONE_HEADER = ("phone", "start", "end", "word", "stress")
# Endings of files with words next to a recording, in the order they are searched for.
WORD_SUFFIXES = (
    *(".TextGrid", ".words.csv", ".words.txt", ".words.json", ".csv", ".tsv", ".align", ".ctm"),
    *(".eaf", ".json", ".vtt", ".srt", ".txt"),
)
AMBIGUOUS_SUFFIXES = (".json", ".txt")  # may hold anything: only files with times count
USUAL_WORD = 0.28  # seconds
WORD_SECONDS = (0.02, 5.0)  # shortest and longest likely median length of words
HTK_RATE = 10_000_000  # units a second in HTK's label files
# Marks of tiers of phones that are no phones, beyond those of words.
PHONE_NOISE = frozenset(("silence", "ssil", "epi", "noise", "br", "brth", "breath", "laugh"))
CAPTION_PAUSE, CAPTION_SECONDS, CAPTION_LETTERS = 0.6, 5.0, 42  # that end a line of captions
STRESS_MARKS = {"ˈ": 1, "ˌ": 2}


@dataclass(frozen=True)
class Word:
    """A spoken word; `start` and `end` in seconds."""

    text: str
    start: float
    end: float


_Timed = TypeVar("_Timed", Word, Phone)


def read_words(
    path: Path,
    *,
    seconds: float | None = None,
    rate: int | None = None,
    notes: list[str] | None = None,
) -> list[Word]:
    """Return the words of a file in order; silence and noise marks are left out.

    Read are: Praat TextGrid of any aligner, csv and tsv with or without a header, SubRip, WebVTT,
    json of Whisper's relatives and gentle, CTM, Audacity labels, ELAN, the text of the SHOW data
    set and `.align` of the GRID corpus (docs/formats.md). Times of a phrase are shared out to its
    words by their length.

    Args:
        seconds: length of the audio. Times in milliseconds or samples are recognised by it, and
            words that start after it are left out.
        rate: of the audio's file, Hz, for times in samples.
        notes: where to append what was odd; by default it is printed as one note.

    Raises:
        DataError: any other file, malformed lines, times that are not finite, negative, reversed,
            out of order, or overlap by more than `MAX_OVERLAP`; no word within the audio.
    """
    path = Path(path)
    found = read_timed_texts(path)
    remarks = found.notes
    rows = split_phrases(found.rows) if found.phrases else found.rows
    rows = [row for row in rows if not is_noise(row.text) or not _has_valid_times(row)]
    per_second = found.per_second
    if per_second is None:
        per_second, name = _time_rate(rows, seconds, rate)
        remarks += [f"times taken as {name}"] if name else []
    rows = [
        TimedText(text, *(None if time is None else time / per_second for time in times))
        for text, *times in rows
    ]
    if missing := sum(row.start is None for row in rows):
        remarks.append(f"{missing} words without times put between their neighbours")
    words = [_word(row, bare=found.phrases) for row in fill_times(rows)]
    if found.sorts:
        words = _without_overlaps(path, words)
    else:
        late = sum(b.start < a.end - OVERLAP for a, b in itertools.pairwise(words))
        remarks += [f"{late} words start before the one before ends; trimmed"] if late else []
    words = checked_words(path, words, overlap=MAX_OVERLAP)
    if seconds is not None:
        words = _within(path, words, seconds, remarks)
    remarks += [] if words else ["no words in it"]
    if notes is not None:
        notes += remarks
    elif remarks:
        note(f"{path}: {'; '.join(remarks)}")
    return words


def read_phones(path: Path) -> list[Phone]:
    """Return the phones of a TextGrid, or of a csv of `write_phones`, in IPA and in order.

    A TextGrid's tier is one of `PHONE_TIERS`; ARPAbet with or without stress digits becomes IPA.
    Marks of silence and noise are left out.

    Raises:
        DataError: any other file, malformed content, times that are not finite, negative,
            reversed, out of order, or overlap by more than `MAX_OVERLAP`; no phones.
    """
    path = Path(path)
    if is_textgrid(path):
        rows = [row for row in read_phone_tier(path) if not _is_phone_noise(row.text)]
        # IPA has letters beyond ASCII, ARPAbet none; "aw" and "y" are phones of both
        ipa = any(not row.text.isascii() for row in rows)
        found = [_phone(row, ipa=ipa) for row in rows]
        phones = [phone for phone in found if phone_classes(phone.text)]
    else:
        phones = [_phone_of_row(path, *row) for row in read_rows(path, PHONE_HEADER[:3])]
    phones = checked_words(path, phones, overlap=MAX_OVERLAP)
    if not phones:
        raise DataError(f"{path}: no phones in it")
    return phones


def write_phones(path: Path, phones: Iterable[Phone]) -> None:
    """Write phones as csv: IPA, start and end in seconds, index of the word, stress 0, 1 or 2."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PHONE_HEADER)
        for phone in phones:
            times = (f"{phone.start:.4f}", f"{phone.end:.4f}")
            writer.writerow((phone.text, *times, phone.word, phone.stress))


def _is_phone_noise(label: str) -> bool:
    return is_noise(label) or label.strip().casefold() in PHONE_NOISE


def _phone(row: TimedText, *, ipa: bool) -> Phone:
    assert row.start is not None and row.end is not None
    label = row.text.strip()
    known = None if ipa else from_arpabet(label)
    if known is None:
        stress = next((STRESS_MARKS[mark] for mark in label if mark in STRESS_MARKS), 0)
        known = "".join(mark for mark in label if mark not in STRESS_MARKS), stress
    return Phone(known[0], row.start, row.end, stress=known[1])


def _phone_of_row(path: Path, line: int, row: dict[str, str]) -> Phone:
    text, start, end, word, stress = ((row.get(name) or "").strip() for name in PHONE_HEADER)
    try:
        times = float(start), float(end)
        return Phone(text, *times, int(word) if word else None, int(stress or 0))
    except ValueError:
        seen = f"{path}, line {line}: {','.join((text, start, end, word, stress))!r:.80}"
        raise DataError(f"{seen}; {','.join(PHONE_HEADER)} are needed") from None


def find_words(audio: Path, folder: Path | None = None) -> Path | None:
    """Return the file of words with times that has a recording's name, or None.

    It is searched for in a folder, by default the recording's, by `WORD_SUFFIXES` in any case, a
    language in between ("a.en.srt") allowed. Plain text and json without words do not count.
    """
    folder = audio.parent if folder is None else folder
    stem = audio.stem.casefold()
    try:
        names = [path for path in folder.iterdir() if path.name.casefold().startswith(f"{stem}.")]
    except OSError:
        return None
    rest = {path: path.name.casefold()[len(stem) :] for path in sorted(names)}
    for suffix in map(str.casefold, WORD_SUFFIXES):
        for path, ending in sorted(rest.items(), key=lambda item: len(item[1])):
            language = ending.removesuffix(suffix)
            named = ending.endswith(suffix) and (not language or _is_language(language))
            if not named or not path.is_file() or path == audio:
                continue
            if not suffix.endswith(AMBIGUOUS_SUFFIXES) or has_times(path):
                return path
    return None


def _is_language(ending: str) -> bool:
    code, _, region = ending.removeprefix(".").partition("-")
    return ending.startswith(".") and code.isalpha() and 2 <= len(code) <= 3 and len(region) <= 6


def _has_valid_times(row: TimedText) -> bool:
    if row.start is None or row.end is None:
        return True
    return 0 <= row.start <= row.end < math.inf


def _word(row: TimedText, *, bare: bool) -> Word:
    assert row.start is not None and row.end is not None
    return Word(strip_punctuation(row.text) if bare else row.text, row.start, row.end)


def _time_rate(
    rows: Sequence[TimedText], seconds: float | None, rate: int | None
) -> tuple[float, str]:
    """Return how many units of the times make a second, and their name unless they are seconds."""
    times = [(row.start, row.end) for row in rows if row.start is not None and row.end is not None]
    if not times or not all(0 <= start <= end < math.inf for start, end in times):
        return 1.0, ""
    usual = statistics.median(end - start for start, end in times)
    shortest, longest = WORD_SECONDS
    if seconds is None:
        is_ms = len(times) >= 2 and usual >= 4 * longest
        return (1000, "milliseconds") if is_ms else (1.0, "")
    if usual <= longest and times[0][0] < seconds:
        return 1.0, ""
    names = {1000: "milliseconds", SAMPLE_RATE: f"samples at {SAMPLE_RATE} Hz"}
    names |= {rate: f"samples at {rate} Hz"} if rate else {}
    names |= {HTK_RATE: "HTK's units of 100 ns"}
    # most words must lie within the audio and have the length of words
    fitting = [
        number
        for number in names
        if sum(start / number < seconds for start, _ in times) > 0.5 * len(times)
        and (usual == 0 or shortest <= usual / number <= longest)
    ]
    if not fitting:
        return 1.0, ""
    if usual == 0:
        best = fitting[0]
    else:
        best = min(fitting, key=lambda number: abs(math.log(usual / number / USUAL_WORD)))
    return best, names[best]


def _without_overlaps(path: Path, words: Sequence[Word]) -> list[Word]:
    """Return words in the order of time, each cut where the next one starts."""
    words = sorted(checked_words(path, words, overlap=math.inf, trim=False), key=lambda w: w.start)
    following = [*(word.start for word in words[1:]), math.inf]
    return [
        replace(word, end=max(word.start, min(word.end, start)))
        for word, start in zip(words, following, strict=False)
    ]


def _within(path: Path, words: list[Word], seconds: float, remarks: list[str]) -> list[Word]:
    kept = [word for word in words if word.start < seconds]
    if words and not kept:
        span = f"from {words[0].start:g} to {words[-1].end:g} s"
        raise DataError(
            f"{path}: the words, {span}, are past the end of the audio, {seconds:.2f} s"
        )
    if len(kept) < len(words):
        left_out = f"{len(words) - len(kept)} of {len(words)} words left out"
        remarks.append(f"{left_out}: past the end of the audio, {seconds:.2f} s")
    return kept


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


def write_captions(path: Path, words: Iterable[Word]) -> None:
    """Write words as SubRip captions: lines that end at pauses, or are full."""
    lines: list[list[Word]] = []
    for word in words:
        line = lines[-1] if lines else None
        if (
            line is None
            or word.start - line[-1].end > CAPTION_PAUSE
            or word.end - line[0].start > CAPTION_SECONDS
            or len(" ".join(one.text for one in [*line, word])) > CAPTION_LETTERS
        ):
            lines.append([])
        lines[-1].append(word)
    cues = [
        f"{number}\n{_clock(line[0].start)} --> {_clock(line[-1].end)}\n"
        f"{' '.join(word.text for word in line)}\n"
        for number, line in enumerate(lines, 1)
    ]
    write_text(path, "\n".join(cues))


def _clock(seconds: float) -> str:
    """Return a time as SubRip writes it, 00:01:02,345."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


def checked_words(
    where: Path | str, words: Iterable[_Timed], *, overlap: float = OVERLAP, trim: bool = True
) -> list[_Timed]:
    """Return words or phones without silence, each starting no earlier than the one before ends.

    Without `trim` they may overlap, and only their times are checked.

    Raises `DataError` on times that are not finite, negative, reversed or out of order, and on
    neighbours that overlap by more than `overlap` seconds.
    """
    checked: list[_Timed] = []
    for word in words:
        seen = f"{where}: {word.text!r:.60} from {word.start:g} to {word.end:g} s"
        if not 0 <= word.start <= word.end < math.inf:
            raise DataError(f"{seen}; finite times, 0 <= start <= end, are needed")
        if is_noise(word.text):
            continue
        if not trim:
            checked.append(word)
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


def cut_phones(phones: Iterable[Phone], begin: float, end: float) -> list[Phone]:
    """Return the phones, or their parts, between two times in seconds, from the first on."""
    return [
        replace(phone, start=max(phone.start, begin) - begin, end=min(phone.end, end) - begin)
        for phone in phones
        if phone.end > begin and phone.start < end
    ]


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
