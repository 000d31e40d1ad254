"""Words with their times: read and written, aligned to the sound, or recognised in it."""

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from speech2video.util.audio import SPEECH_RATE
from speech2video.util.errors import DataError
from speech2video.util.files import replacing
from speech2video.util.forced_alignment import align
from speech2video.util.spoken_text import speakable, words_of
from speech2video.util.word_files import HEADER, bare, read_intervals

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
    with replacing(Path(path)) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((word.text, f"{word.start:.4f}", f"{word.end:.4f}") for word in words)


def align_transcript(wave_S: np.ndarray, text: str, rate: int = SPEECH_RATE) -> list[Word]:
    """Return the words of `text` with the times at which `wave_S` (S,) in [-1, 1] says them.

    Numbers and symbols come back as the words they are spoken as ("2": "two"). English only.
    Raises `DataError` if the text does not fit the sound (`forced_alignment.align` says when).
    """
    words = words_of(speakable(text))
    if not words:
        raise DataError("the transcript has no words")
    spans = align(wave_S, words, rate=rate)
    return [Word(word, *span) for word, span in zip(words, spans, strict=True)]


def recognise(wave_S: np.ndarray, *, model: str = "small.en", device: str = "auto") -> list[Word]:
    """Return the words that faster-whisper hears in `wave_S` (S,), 16 kHz, in [-1, 1].

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
    segments, _ = whisper.transcribe(wave_S.astype(np.float32), word_timestamps=True)
    heard = (word for segment in segments for word in segment.words or ())
    words = [Word(bare(word.word), float(word.start), float(word.end)) for word in heard]
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
