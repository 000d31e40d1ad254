"""Speech from a recording or a text, with the times of its words: given, aligned or recognised."""

import bisect
import contextlib
import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speech2video.util.audio.audio_io import load_audio, read_audio, write_audio
from speech2video.util.audio.tracks import choose_mix
from speech2video.util.errors import DataError, note
from speech2video.util.text.forced_alignment import align
from speech2video.util.text.languages import (
    ENGLISH,
    is_english,
    language_voice,
    nearest_arpabet,
    unread_letters,
    whisper_language,
)
from speech2video.util.text.phone_alignment import align_phones
from speech2video.util.text.phones import Phone
from speech2video.util.text.spoken_text import (
    clean_transcript,
    normalise_text,
    split_words,
    strip_punctuation,
)
from speech2video.util.text.synthesis import DEFAULT_VOICE, spoken_phones, synthesise
from speech2video.util.text.transcript import (
    Word,
    checked_words,
    find_words,
    read_phones,
    read_text,
    read_words,
)
from speech2video.util.text.word_formats import cue_lines, has_cues, is_textgrid
from speech2video.util.timing import SAMPLE_RATE

LONGEST_TEXT = 1000  # characters a second, remarks and tags included


@dataclass(frozen=True)
class Speech:
    """Speech for a video.

    Attributes:
        stem: name of the video.
        audio: its file; None for motion without audio.
        words: in the order of time; None where they are not known.
        phones: of the words, in the order of time; None where they are not known.
    """

    stem: str
    audio: Path | None = None
    words: list[Word] | None = None
    phones: list[Phone] | None = None


def recorded_speech(
    audio: Path,
    *,
    words: Path | None = None,
    transcript: str | None = None,
    recognise: bool = False,
    language: str | None = None,
) -> Speech:
    """Return a recording as speech.

    Phones come from the phone tier of a TextGrid with `words`; else they are aligned.

    Args:
        audio: any file with audio.
        words: their file, or a folder with a file of the audio's name (that may be missing).
        transcript: its text, to be aligned with the audio; or the name of a file that holds it.
        recognise: whether to recognise the words, by `recognise_words`.
        language: tag of the speech's language; by default English, or as recognised. Where another
            one cannot be aligned, a note says so, and the words are not known.

    Raises:
        DataError: words that cannot be read or lie past the end, a text that does not fit, no
            recogniser.
    """
    if words is not None and words.is_dir():
        plain = words / f"{audio.stem}.txt"
        found = find_words(audio, words) or (plain if plain.is_file() else None)
        if found is None:
            note(f"{words}: no words of {audio.name} in it; no gestures are inserted at words")
        words = found
    if words is not None:
        seconds = sum(map(len, read_audio(audio, whole=True))) / SAMPLE_RATE
        found = read_words(words, seconds=seconds, rate=choose_mix(audio).rate)
        phones = _tier_phones(words, found, seconds)
        if phones is None:
            audio_S = load_audio(audio, whole=True)
            phones = find_phones(audio_S, found, language=language or ENGLISH)
        return Speech(audio.stem, audio, found, phones)
    if transcript is None and not recognise:
        return Speech(audio.stem, audio)
    text = None if transcript is None else _file_or_text(transcript)
    audio_S = load_audio(audio, whole=True)
    try:
        if text is None:
            found, language = recognise_words(audio_S, language=language)
        else:
            found = align_transcript(audio_S, text, language=language or ENGLISH)
    except DataError as error:
        if text is None or language is None or is_english(language):
            raise DataError(f"{audio}: {error}") from None
        note(f"{audio}: {error}; the video is made without words")
        return Speech(audio.stem, audio)
    return Speech(
        audio.stem, audio, found, find_phones(audio_S, found, language=language or ENGLISH)
    )


def _tier_phones(path: Path, words: list[Word], seconds: float) -> list[Phone] | None:
    """Return the phones of a TextGrid that has a tier of them, those within the audio."""
    if not is_textgrid(path):
        return None
    try:
        phones = [phone for phone in read_phones(path) if phone.start < seconds]
    except DataError:
        return None
    starts, placed = [word.start for word in words], []
    for phone in phones:
        middle = (phone.start + phone.end) / 2
        number = bisect.bisect_right(starts, middle) - 1
        said = number >= 0 and middle < words[number].end
        placed.append(replace(phone, word=number if said else None))
    return placed


def find_phones(
    audio_S: np.ndarray, words: Sequence[Word], *, language: str = ENGLISH
) -> list[Phone] | None:
    """Return the words' phones; None, with a note, where there is no way to find them."""
    try:
        if is_english(language):
            return align_phones(audio_S, words)
        text = " ".join(word.text for word in words)
        _, pronunciations = _foreign_words(text, language)
        return align_phones(audio_S, words, pronunciations=pronunciations)
    except DataError as error:
        note(f"lips follow the audio alone, without the words' phones: {error}")
        return None


def _file_or_text(transcript: str) -> str:
    """Return the content of a text file of this name, or else the text itself."""
    try:
        path = Path(transcript) if transcript.strip() and "\n" not in transcript else None
        if path is None or not path.is_file():
            return transcript
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return transcript
    note(f"--transcript: the text of the file {path}")
    return read_text(path)


@contextlib.contextmanager
def synthesised_speech(
    text: str, *, voice: str | None = None, language: str | None = None
) -> Iterator[Speech]:
    """Yield a text spoken by espeak-ng, its words with exact times; its file is deleted after.

    `voice` is by default that of the language, which is English. Raises `DataError` on no words, a
    script that is not the language's, and where there is no such voice or language or no espeak-ng.
    """
    voice = voice or (language_voice(language) if language else DEFAULT_VOICE)
    if unread := unread_letters(text, voice):
        note(f"--text: the voice {voice} does not read Chinese characters such as {unread[0]}")
    speech = synthesise(text, voice=voice)
    # all of the text is in the name: another text never takes this one's place
    digest = hashlib.blake2b(f"{voice}\n{text}".encode(errors="replace"), digest_size=6).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        audio = Path(folder) / "speech.wav"
        write_audio(audio, speech.audio_S)
        yield Speech(f"text_{digest}", audio, speech.words, speech.phones)


def read_audio_list(path: Path) -> list[Path]:
    """Return the paths of a file, one a line; empty lines are skipped.

    Raises `DataError` if it cannot be read, is empty, or has two audio files of one name.
    """
    paths = [Path(line.strip()) for line in read_text(path).splitlines() if line.strip()]
    if not paths:
        raise DataError(f"{path}: no paths in it; one a line is needed")
    double, count = Counter(audio.stem for audio in paths).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: two audio files are called {double}; videos are named after them")
    return paths


def align_transcript(audio_S: np.ndarray, text: str, *, language: str = ENGLISH) -> list[Word]:
    """Return the words of `text` with their times in 16 kHz audio (S,) in [-1, 1].

    Numbers and symbols come back as the words they are spoken as in English ("2": "two"). Words of
    other languages are those of espeak-ng, found by the English phones nearest to theirs. What was
    not said is left out: `spoken_text.clean_transcript` says what; subtitles are read as text.
    Raises `DataError` if the text does not fit the audio (`forced_alignment.align` says when).
    """
    seconds = len(audio_S) / SAMPLE_RATE
    if len(text) > LONGEST_TEXT * (seconds + 60):
        raise DataError(
            f"the transcript does not fit: {len(text)} characters for {seconds:.1f} s of audio"
        )
    text = "\n".join(cue_lines(text)) if has_cues(text) else text
    text = clean_transcript(text)
    if is_english(language):
        words, pronunciations = split_words(normalise_text(text)), None
    else:
        words, pronunciations = _foreign_words(text, language)
    if not words:
        raise DataError("the transcript has no words")
    spans = align(audio_S, words, pronunciations=pronunciations)
    return [Word(word, *span) for word, span in zip(words, spans, strict=True)]


def _foreign_words(text: str, language: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the words of a text and the English phones nearest to each one's."""
    if not any(letter.isalnum() for letter in text):
        return [], {}
    words: list[str] = []
    pronunciations: dict[str, list[str]] = {}
    for word, phones in spoken_phones(text, voice=language_voice(language)):
        if near := nearest_arpabet(phones):
            words.append(word)
            pronunciations.setdefault(word, near)
    return words, pronunciations


class RecognisedSpeech(NamedTuple):
    """Words in the order of time, and the tag of their language."""

    words: list[Word]
    language: str


def recognise_words(
    audio_S: np.ndarray, *, model: str = "small", language: str | None = None, device: str = "auto"
) -> RecognisedSpeech:
    """Return the words that faster-whisper recognises in `audio_S` (S,), 16 kHz, in [-1, 1].

    Its voice activity detection skips what is no speech, and each half minute is recognised by
    itself, so that no error spreads.

    Args:
        model: name or folder of a Whisper model; a name is downloaded at its first use.
        language: tag of the language; by default it is detected.
        device: "cpu", "cuda" or "auto".

    Raises:
        DataError: the package is missing, the model cannot be loaded, an unknown language.
    """
    try:
        from faster_whisper import WhisperModel  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise DataError(
            "recognising words needs the package faster-whisper (pip install faster-whisper); "
            "or give a transcript, or words with times"
        ) from None
    code = None if language is None else whisper_language(language)
    try:
        whisper = WhisperModel(model, device=device)
        segments, info = whisper.transcribe(
            audio_S.astype(np.float32),
            language=code,
            word_timestamps=True,
            vad_filter=True,
            condition_on_previous_text=False,
        )
        found = [word for segment in segments for word in segment.words or ()]
    except (OSError, RuntimeError, ValueError) as error:
        what = f"model {model!r}" + (f", language {language!r}" if language else "")
        raise DataError(f"faster-whisper fails with the {what}: {error}") from None
    words = (Word(strip_punctuation(w.word), float(w.start), float(w.end)) for w in found)
    return RecognisedSpeech(
        checked_words("faster-whisper", words, overlap=math.inf), str(info.language)
    )
