"""Where a recording's words and their times come from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.transcript import Word, align_transcript, read_words, recognise, write_words

TIMED = (".TextGrid", ".csv", ".words.txt", ".align")  # words with times, as they are
PLAIN = ".txt"  # a text, to be aligned to the sound


@dataclass(frozen=True)
class TimedWords:
    """Words that can be written beside a clip."""

    words: list[Word]

    def write(self, path: Path) -> None:
        """Write them as csv."""
        write_words(path, self.words)


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

    def of(self, recording: Path, wave_S: np.ndarray) -> tuple[TimedWords | None, str]:
        """Return a recording's words, None where nobody knows them, and where they are from.

        Raises:
            DataError: a transcript that is broken or does not fit the sound.
        """
        path = self._file(recording)
        if path is None:
            if not self.recognise:
                return None, ""
            return TimedWords(recognise(wave_S)), "recognised"
        if path.name.endswith(TIMED):
            return TimedWords(read_words(path)), "given"
        try:
            return TimedWords(align_transcript(wave_S, path.read_text())), "aligned"
        except (DataError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: {error}") from None

    def _file(self, recording: Path) -> Path | None:
        if self.transcripts is not None and self.transcripts.is_file():
            return self.transcripts
        folder = self.transcripts or recording.parent
        names = [recording.stem + suffix for suffix in (*TIMED, PLAIN)]
        return next((folder / name for name in names if (folder / name).is_file()), None)
