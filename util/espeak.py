"""espeak-ng by ctypes: text to samples and to the times of words and phonemes.

espeak-ng is GPL-3. It is an optional, separate package (`espeakng-loader` brings the library and
its data), loaded only when called, and nothing of it is part of this project. The interface is the
one of its `speak_lib.h`.
"""

import _ctypes
import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from speech2video.util.errors import DataError

ESPEAK_RATE = 22_050  # Hz

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _IPA, _DONT_EXIT = 0x1, 0x2, 0x8000
_UTF8, _END_PAUSE = 0x1, 0x1000
_RATE, _PITCH = 1, 3  # numbers of espeak's parameters
_LIST_END, _WORD, _PHONEME = 0, 1, 7  # kinds of events
_SEPARATOR = "_"
_VOICE = re.compile(r"([a-z0-9-]+)(?:\+(\w+))?", re.IGNORECASE)

# Each call loads the library anew (1 ms): its oscillators and random numbers run on from sentence
# to sentence, and the same text must give the same samples. Hence also one caller at a time.
_lock = threading.Lock()


class Event(NamedTuple):
    """A word or a phoneme that begins.

    `sample` at 22,050 Hz; `position` counts characters from 0; `phoneme` is IPA with its stress
    mark, empty in a pause, and None where a word begins.
    """

    sample: int
    position: int
    phoneme: str | None


class _Id(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_void_p),
        ("phoneme", ctypes.c_ubyte * 8),  # UTF-8; the final NUL is missing if all 8 are used
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def speak(text: str, *, voice: str, rate_wpm: int, pitch: int) -> tuple[np.ndarray, list[Event]]:
    """Return samples (S,) int16 at 22,050 Hz, and the words and phonemes in the order spoken.

    `text` is ASCII. Raises `DataError` if `espeakng-loader` is not installed or lacks the voice.
    """
    blocks: list[np.ndarray] = []
    events: list[Event] = []

    @_Callback
    def receive(wave: "ctypes._Pointer", count: int, found: "ctypes._Pointer") -> int:
        if wave and count > 0:
            blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        events.extend(_events(found))
        return 0

    with _library() as library:
        _choose_voice(library, voice)
        library.espeak_SetSynthCallback(receive)
        library.espeak_SetParameter(_RATE, rate_wpm, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        content = text.encode("ascii") + b"\0"
        flags = _UTF8 | _END_PAUSE
        failed = library.espeak_Synth(content, len(content), 0, 0, 0, flags, None, None)
    if failed or not blocks:
        raise DataError(f"espeak-ng gave no sound for {text[:40]!r} (status {failed})")
    return np.concatenate(blocks), events


def phoneme_counts(words: list[str], *, voice: str) -> list[int]:
    """Return how many phonemes each word has when it is said alone, at least 1."""
    with _library() as library:
        _choose_voice(library, voice)
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        return [_phoneme_count(library, word) for word in words]


def _phoneme_count(library: ctypes.CDLL, word: str) -> int:
    buffer = ctypes.create_string_buffer(word.encode("ascii"))
    text = ctypes.c_void_p(ctypes.addressof(buffer))
    mode = _IPA | ord(_SEPARATOR) << 8
    phonemes = library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, mode) or b""
    return max(len([part for part in phonemes.decode("utf-8").split(_SEPARATOR) if part]), 1)


def _loader() -> ModuleType:
    try:
        import espeakng_loader
    except ImportError:
        raise DataError(
            "text to speech needs the package espeakng-loader (pip install espeakng-loader); "
            "it brings espeak-ng, which is GPL-3"
        ) from None
    return espeakng_loader


@contextmanager
def _library() -> Iterator[ctypes.CDLL]:
    loader = _loader()
    data = str(loader.get_data_path())
    with _lock:
        library = ctypes.CDLL(str(loader.get_library_path()))
        try:
            options = _PHONEME_EVENTS | _IPA | _DONT_EXIT
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), options)
            if rate != ESPEAK_RATE:
                raise DataError(f"espeak-ng does not start with its data in {data} (status {rate})")
            library.espeak_ng_SetRandSeed(1)  # it starts from the process number otherwise
            yield library
        finally:
            library.espeak_Terminate()
            _unload(library)


def _unload(library: ctypes.CDLL) -> None:
    if hasattr(_ctypes, "dlclose"):
        _ctypes.dlclose(library._handle)
    else:
        _ctypes.FreeLibrary(library._handle)


def _choose_voice(library: ctypes.CDLL, voice: str) -> None:
    match = _VOICE.fullmatch(voice)
    variants = Path(_loader().get_data_path()) / "voices" / "!v"
    # an unknown variant is silently none to espeak-ng
    known = match and (not match[2] or (variants / match[2]).is_file())
    if not known or library.espeak_SetVoiceByName(voice.encode()):
        raise DataError(f"espeak-ng has no voice {voice!r}; one like en-us or en-us+f3 is needed")


def _events(found: "ctypes._Pointer") -> Iterator[Event]:
    index = 0
    while found and found[index].kind != _LIST_END:
        event = found[index]
        if event.kind == _WORD:
            yield Event(event.sample, event.text_position - 1, None)
        elif event.kind == _PHONEME:
            name = bytes(event.id.phoneme).split(b"\0")[0].decode("utf-8", errors="ignore")
            yield Event(event.sample, event.text_position - 1, name)
        index += 1
