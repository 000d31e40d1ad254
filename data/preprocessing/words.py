"""Where a recording's words and their times come from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech2video.util.audio import SPEECH_RATE
from speech2video.util.errors import DataError
from speech2video.util.transcript import Word, align_transcript, read_words, recognise

TIMED = (".TextGrid", ".csv", ".words.txt", ".align")  # words with times, as they are
PLAIN = ".txt"  # a text, to be aligned to the sound
FITTING = 0.5  # share of timed words that the sound has to reach, or they are another recording's


@dataclass(frozen=True)
class TimedWords:
    """A recording's words.

    Attributes:
        words: in order; none where nobody knows them.
        source: "given", "aligned" or "recognised", "" where nobody knows them.
        notes: what a person should know.
    """

    words: tuple[Word, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Words:
    """The rule by which each recording gets its words.

    Attributes:
        transcripts: a folder of files named as the recordings, or one file; None looks beside the
            recording.
        recognise: whether to recognise the speech of those that have none.
    """

    transcripts: Path | None = None
    recognise: bool = False

    def of(self, recording: Path, wave_S: np.ndarray) -> TimedWords:
        """Return a recording's words.

        Raises:
            DataError: a transcript that cannot be read, is broken or does not fit the sound.
        """
        path = self._file(recording)
        if path is None:
            if not self.recognise:
                return TimedWords()
            return TimedWords(tuple(recognise(wave_S)), "recognised")
        if path.name.endswith(TIMED):
            return _given(path, read_words(path), len(wave_S) / SPEECH_RATE)
        try:
            return TimedWords(tuple(align_transcript(wave_S, _text(path))), "aligned")
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def _file(self, recording: Path) -> Path | None:
        if self.transcripts is not None and self.transcripts.is_file():
            return self.transcripts
        folder = self.transcripts or recording.parent
        names = [recording.stem + suffix for suffix in (*TIMED, PLAIN)]
        return next((folder / name for name in names if (folder / name).is_file()), None)


def _given(path: Path, words: list[Word], seconds: float) -> TimedWords:
    """Return timed words without those after the sound's end, which a damaged recording lacks."""
    heard = tuple(word for word in words if word.start < seconds)
    if len(heard) < FITTING * len(words):
        end = f"{words[-1].end:.1f} s, the sound lasts {seconds:.1f} s"
        raise DataError(f"{path}: the words do not fit the sound: they go on until {end}")
    left = len(words) - len(heard)
    notes = (f"words after the end of the sound left out: {left}",) if left else ()
    return TimedWords(heard, "given", notes)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError("not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from None
