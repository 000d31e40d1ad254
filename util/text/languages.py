"""Languages of espeak-ng: their tags and voices, words in any script, phones of English alike.

English text is spelled out by `spoken_text.normalise_text`; text in every other language is left
to espeak-ng, which reads its numbers and symbols itself.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from speech2video.util.errors import DataError
from speech2video.util.text.phones import ARPABET, PHONES, phone_classes
from speech2video.util.text.spoken_text import refuse_unspeakable, remove_invisible

ENGLISH = "en"
# Tags that espeak-ng does not know, by the one it knows; "zh" and "no" are in its own files.
_ALIASES = {
    **{"en": "en-us", "zh-hk": "yue", "zh-mo": "yue", "nn": "nb", "iw": "he", "in": "id"},
    **{"mo": "ro", "sh": "hr", "es-mx": "es-419", "es-us": "es-419", "es-ar": "es-419"},
}
_CRASHES = {"kl"}  # espeak-ng 1.52 ends the process when it reads Greenlandic
# Scripts written without blanks, by the first word of their characters' names.
_UNBROKEN = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}
_READ_CHINESE = {"cmn", "yue", "hak"}
_JOINERS = "'’ʼ·\u200c\u200d"  # between letters of one word
_NUMBER_JOINERS = ".,:/"  # between digits of one
_SYMBOLS = "%‰°§#&@+=<>№"  # spoken as words

# espeak-ng's names of phonemes that are no IPA yet, at the places where it gives them.
_NAMES = str.maketrans(
    {"S": "ʃ", "Z": "ʒ", "N": "ŋ", "X": "χ", "A": "a", "ε": "ɛ", "ʦ": "ts", "?": "ʔ", "´": None}
    | dict.fromkeys('-#^`[]"0123456789_;|', None)
)
_ASPIRATED = re.compile(r"(?<=[ptkʈcsʂɕʃ])h$")  # Mandarin's "tɕh"
_RETROFLEX = {"s.": "ʂ", "z.": "ʐ", "i.": "ɨ", "r.": "ɽ", "l.": "ɭ", "nɡ": "ŋ"}

_NOT_IN_MODEL = {"AX", "AXR", "DX", "EL", "EM", "EN", "HV", "IX", "NX", "Q", "UX", "ENG"}
_ARPABET_CLASSES = {
    ipa: name
    for name, ipa in ARPABET.items()
    if ipa in PHONES and name not in _NOT_IN_MODEL and not name.endswith("CL")
} | {
    **{"a": "AA", "ɜ": "ER", "e": "EY", "o": "OW", "ə": "AH", "ʌ": "AH"},
    **{"ɪ": "IH", "h": "HH", "ɹ": "R", "t": "T"},
}
_DIPHTHONGS = {
    **{("AA", "IH"): "AY", ("AA", "IY"): "AY", ("AA", "UH"): "AW", ("AA", "UW"): "AW"},
    **{("AO", "IH"): "OY", ("AO", "IY"): "OY", ("AO", "ER"): "OY", ("OW", "IY"): "OY"},
    **{("EY", "IH"): "EY", ("EY", "IY"): "EY", ("EH", "IH"): "EY", ("OW", "UH"): "OW"},
    **{("OW", "UW"): "OW", ("AH", "R"): "ER"},
}
# Where the acoustic model's nearest phone is not that of the class that moves the lips alike.
_NEAREST = {
    **{"y": "IY", "ʏ": "IH", "ø": "ER", "œ": "ER", "ɯ": "UH", "ɨ": "IH", "ɾ": "D", "ɽ": "D"},
    **{"ɲ": "N Y", "ʎ": "L Y", "ɑ": "AA", "ɥ": "Y", "ç": "SH", "ɟ": "JH", "c": "CH"},
}


def is_english(language: str) -> bool:
    """Return whether a language's tag or an espeak-ng voice ("en-gb-x-rp+f3") is English."""
    return re.match(r"en(?![a-z0-9])", language.lower().replace("_", "-")) is not None


def espeak_files() -> tuple[Path, Path]:
    """Return espeak-ng's library and its data; raises `DataError` where it is not installed."""
    try:
        import espeakng_loader
    except ImportError:
        raise DataError(
            "text to speech needs the package espeakng-loader (pip install espeakng-loader); "
            "it brings espeak-ng, which is GPL-3"
        ) from None
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def language_voice(language: str) -> str:
    """Return the name of espeak-ng's voice for a language.

    `language` is a BCP-47 tag ("de", "pt-BR", "zh-Hans") or an English name ("German"); the parts
    that espeak-ng does not distinguish are dropped. Raises `DataError` if there is none.
    """
    voices, names = _voices(espeak_files()[1])
    wanted = language.strip().lower().replace("_", "-")
    tag = wanted
    while tag:
        for known in (_ALIASES.get(tag, tag), names.get(tag, "")):
            if known in voices:
                return voices[known].lower()
        tag = tag.rpartition("-")[0]
    near = difflib.get_close_matches(wanted, [*voices, *names], n=3)
    known = ", ".join(near) or " ".join(sorted(tag for tag in voices if "-" not in tag))
    raise DataError(
        f"espeak-ng does not speak the language {language!r:.40}; "
        f"{'similar names' if near else 'known'}: {known}"
    )


def known_languages() -> dict[str, str]:
    """Return the tags of all languages that are spoken -> their English names, by name.

    It is empty where espeak-ng is not installed.
    """
    try:
        data = espeak_files()[1]
    except DataError:
        return {}
    voices, found = _voices(data)[0], {}
    for one in sorted(_voice_files(data), key=lambda one: one.name):
        tags = (one.file.lower(), *one.tags)
        own = [tag for tag in tags if voices.get(_ALIASES.get(tag, tag)) == one.file]
        found |= dict.fromkeys(own[:1], one.name)
    return found


def whisper_language(language: str) -> str:
    """Return Whisper's code of a language's tag: without region, Chinese as one."""
    tag = language.strip().lower().replace("_", "-").partition("-")[0]
    return {"cmn": "zh", "nb": "no", "iw": "he", "in": "id"}.get(tag, tag)


def is_broken(voice: str) -> bool:
    """Return whether espeak-ng has a voice but not its dictionary, or crashes with it."""
    return voice.lower() in _broken(espeak_files()[1])


@cache
def _voices(data: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return tags -> names of espeak-ng's voices, and languages' English names -> tags."""
    voices: dict[str, str] = {}
    names: dict[str, str] = {}
    for file, tags, name, _ in _voice_files(data):
        if file.lower() in _broken(data):
            continue
        voices[file.lower()] = file
        for tag in tags:
            voices.setdefault(tag, file)
        names.setdefault(name.lower(), file.lower())
        names.setdefault(name.lower().partition(" (")[0], file.lower())
    for alias, tag in _ALIASES.items():
        if tag in voices:
            voices.setdefault(alias, voices[tag])
    return voices, names


@cache
def _broken(data: Path) -> set[str]:
    lost = {voice.file.lower() for voice in _voice_files(data) if not voice.dictionary.is_file()}
    return lost | _CRASHES


class _VoiceFile(NamedTuple):
    file: str
    tags: list[str]
    name: str  # in English
    dictionary: Path


@cache
def _voice_files(data: Path) -> list[_VoiceFile]:
    found = []
    for path in sorted(path for path in (data / "lang").rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")
        entries = re.findall(r"^(language|name|dictionary)\s+(\S.*?)(?:\s+\d+)?\s*$", text, re.M)
        tags = [value.lower() for key, value in entries if key == "language"] or [path.name.lower()]
        own = dict(reversed(entries))
        dictionary = own.get("dictionary", tags[0].partition("-")[0])
        name = own.get("name", path.name)
        found.append(_VoiceFile(path.name, tags, name, data / f"{dictionary}_dict"))
    return found


def unread_letters(text: str, voice: str) -> str:
    """Return the Chinese characters of a text that an espeak-ng voice does not read."""
    if voice.lower().partition("-")[0].partition("+")[0] in _READ_CHINESE:
        return ""
    return "".join(c for c in text if unicodedata.name(c, "").startswith("CJK UNIFIED"))


def spoken_unicode(text: str) -> str:
    """Return text of any script without invisible signs and emoji, on one line.

    Raises `DataError` on numbers and words that are too long to be spoken.
    """
    # the joiners of Persian and Hindi are invisible but change the letters around them
    text = re.sub("[^\u200c\u200d]+", lambda match: remove_invisible(match[0]), text)
    text = unicodedata.normalize("NFC", text)
    text = "".join(letter if _is_spoken(letter) else " " for letter in text)
    text = re.sub(r"(?<!\w)[\u200c\u200d]+|[\u200c\u200d]+(?![^\W\d_])", "", text)
    refuse_unspeakable(re.sub(r"[^\W\d_]", _bare_letter, text))
    return " ".join(text.split())


def _bare_letter(match: re.Match) -> str:
    return " " if is_unbroken(match[0]) else match[0]


def _is_spoken(letter: str) -> bool:
    kind = unicodedata.category(letter)
    if kind in ("So", "Sk", "Cs", "Co", "Cn") or "\ufe00" <= letter <= "\ufe0f":
        return letter in _SYMBOLS
    return True


def unicode_word_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) positions of the words of any script, in characters.

    A word is a run of letters, marks and digits, with an apostrophe in between, a number with its
    separators, or a symbol that is spoken. Scripts without blanks give one word a run.
    """
    spans: list[tuple[int, int]] = []
    start: int | None = None
    for i, letter in enumerate(f"{text} "):
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        inside = (
            _is_letter(letter)
            or (letter in _JOINERS and _is_letter(before) and _is_letter(after))
            or (letter in _NUMBER_JOINERS and before.isdigit() and after.isdigit())
        )
        joined = start is not None and inside
        if joined and letter.isalnum() and text[i - 1].isalnum():
            joined = is_unbroken(letter) == is_unbroken(before)
        if start is not None and not joined:
            spans.append((start, i))
            start = None
        if inside and start is None:
            start = i
        if not inside and (letter in _SYMBOLS or unicodedata.category(letter) == "Sc"):
            spans.append((i, i + 1))
    return spans


def cut_runs(text: str, spans: Sequence[tuple[int, int]], cuts: Iterable[int]) -> list:
    """Return spans with those in scripts without blanks cut where espeak-ng's words start."""
    pieces: list[tuple[int, int]] = []
    marks = sorted(set(cuts))
    for start, end in spans:
        inner = [
            cut
            for cut in marks
            if start < cut < end
            and is_unbroken(text[cut])
            and not unicodedata.category(text[cut]).startswith("M")
        ]
        pieces += zip([start, *inner], [*inner, end], strict=True)
    return pieces


def is_unbroken(letter: str) -> bool:
    """Return whether a letter's script is written without blanks between words."""
    return ord(letter) > 0xE00 and unicodedata.name(letter, "-").split()[0] in _UNBROKEN


def _is_letter(letter: str) -> bool:
    return bool(letter) and unicodedata.category(letter)[0] in "LMN"


def clean_phone(name: str) -> str | None:
    """Return a phoneme of espeak-ng in IPA; None where it is a mark of the one before it.

    Such are a change of language ("(en)"), and a length or a nasal that has an event of its own.
    The marks of stress in front stay.
    """
    if not name:
        return name
    if name.startswith("("):
        return None
    stress = name[: len(name) - len(name.lstrip("ˈˌ"))]
    ipa = name[len(stress) :]
    for written, meant in _RETROFLEX.items():
        ipa = ipa.replace(written, meant)
    ipa = _ASPIRATED.sub("ʰ", ipa.translate(_NAMES))
    decomposed = (c if c == "ç" else unicodedata.normalize("NFD", c) for c in ipa)
    ipa = "".join(decomposed).replace("͡", "")
    ipa = "j" if ipa == "ʲ" else ipa
    return stress + ipa if any(c.isalpha() and c not in "ːʰʲ" for c in ipa) else None


def nearest_arpabet(phones: Iterable[str]) -> list[str]:
    """Return the phones of the English acoustic model that are nearest to IPA of any language."""
    found: list[str] = []
    for phone in phones:
        names: list[str] = []
        for i, symbol in enumerate(_symbols(phone)):
            near = _NEAREST.get(symbol)
            if near is None:
                near = " ".join(_ARPABET_CLASSES[PHONES[c]] for c in phone_classes(symbol))
            names += near.split()
            if i and tuple(names[-2:]) in _DIPHTHONGS:
                names[-2:] = [_DIPHTHONGS[names[-2], names[-1]]]
        found += names
    return found


def _symbols(phone: str) -> list[str]:
    """Return a phone's symbols, affricates whole."""
    return re.findall(r"tʃ|dʒ|.", phone)
