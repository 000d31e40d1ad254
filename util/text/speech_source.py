"""Where a speech comes from: a recording, perhaps with its words, or a text that is spoken."""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.text.synthesis import synthesise
from speech2video.util.text.transcript import Word, align_transcript, read_words

WORD_FILES = (".TextGrid", ".textgrid", ".csv", ".txt", ".align")  # looked for in this order


@dataclass(frozen=True)
class Speech:
    """A speech to be shown.

    Attributes:
        stem: what the video is called.
        sound: its file; None for motion without a sound.
        words: in the order of time; None where they are not known.
    """

    stem: str
    audio: Path | None = None
    words: list[Word] | None = None


def recorded_speech(
    audio: Path, *, words: Path | None = None, transcript: str | None = None
) -> Speech:
    """Return a recording as a speech.

    Args:
        sound: any file with sound.
        words: their file, or a folder with a file of the sound's name (that may be missing).
        transcript: its text, to be found in the sound.

    Raises:
        DataError: words that cannot be read, or a text that does not fit the sound.
    """
    if words is not None and words.is_dir():
        found = (words / f"{audio.stem}{suffix}" for suffix in WORD_FILES)
        words = next((path for path in found if path.is_file()), None)
    if words is not None:
        return Speech(audio.stem, audio, _read(words))
    if transcript is not None:
        try:
            return Speech(audio.stem, audio, align_transcript(load_audio(audio), transcript))
        except DataError as error:
            named = str(error).startswith(str(audio))
            raise DataError(str(error) if named else f"{audio}: {error}") from None
    return Speech(audio.stem, audio)


@contextlib.contextmanager
def synthesised_speech(text: str, *, voice: str = "en-us") -> Iterator[Speech]:
    """Give a text spoken by espeak-ng, its words with exact times; its sound's file goes after.

    Raises:
        DataError: no words, a script other than Latin, no such voice, or espeak-ng is missing.
    """
    speech = synthesise(text, voice=voice)
    # all of the text is in the name: another text never takes this one's place
    digest = hashlib.blake2b(f"{voice}\n{text}".encode(), digest_size=6).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        audio = Path(folder) / "speech.wav"
        write_audio(audio, speech.audio_S)
        yield Speech(f"text_{digest}", audio, speech.words)


def read_audio_list(path: Path) -> list[Path]:
    """Return the paths of a file, one a line; empty lines are passed over.

    Raises:
        DataError: it cannot be read, is empty, or two sounds of it have one name.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise DataError(f"{path}: cannot be read as a list of paths ({reason})") from None
    sounds = [Path(line.strip()) for line in lines if line.strip()]
    if not sounds:
        raise DataError(f"{path}: no paths in it; one a line is needed")
    stems = [audio.stem for audio in sounds]
    double = next((stem for stem in stems if stems.count(stem) > 1), None)
    if double is not None:
        raise DataError(f"{path}: two sounds are called {double}; videos are named after them")
    return sounds


def _read(path: Path) -> list[Word]:
    try:
        return read_words(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
