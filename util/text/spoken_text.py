"""Normalise English text for speech: numbers, symbols and abbreviations become words."""

import html
import re
import unicodedata
from collections import Counter
from pathlib import Path

from speech2video.util.errors import DataError
from speech2video.util.files import read_json

_RULES = read_json(Path(__file__).with_name("spoken_text.json"), what="a table of words")
_UNITS, _TENS, _SCALES, _ORDINALS = (_RULES[k] for k in ("units", "tens", "scales", "ordinals"))
_TYPOGRAPHY = str.maketrans(_RULES["typography"])
_LARGEST = 10**15 - 1  # longer runs of digits are read digit by digit
_NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"
_MONEY = re.compile(rf"([$£€])\s?({_NUMBER})(?:\.(\d+))?(?:\s(thousand|million|billion|trillion))?")
_ORDINAL = re.compile(rf"\b({_NUMBER})(?:st|nd|rd|th)\b", re.IGNORECASE)
_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})\b")
_YEAR = re.compile(r"(?<![\d.,])(1[1-9]|20)(\d{2})(s)?\b(?![.,]\d)")
_DECIMAL = re.compile(rf"(?<!\w)(-)?({_NUMBER})(?:\.(\d+)|(s)\b)?")
_LETTER_NEXT_TO_DIGIT = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z]{2}|[A-RT-Za-rt-z])")
_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}")
_STAGE = re.compile(
    # what a remark in parentheses is about, if it is no speech; or a line of its own
    r"\([^()]{0,40}\b(?:laugh|chuckl|giggl|applau|clap|cheer|music|singing|sings\b|cough|sigh|gasp"
    r"|sob|cry|groan|moan|scream|shout|whisper|sniff|breath|inhal|exhal|yawn|clears|clearing|mutter"
    r"|inaudible|unintelligible|indistinct|crosstalk|overlapping|paus|silen|noise|beep|ring|bell"
    r"|phone|door|knock|speaks|speaking|foreign|background|audience|off[ -]?camera)[^()]{0,60}\)"
    r"|^[ \t]*\([^()\n]{1,80}\)[ \t]*$"
    r"|\*(?:laugh|chuckl|sigh|cough|gasp|clap|paus|sniff|sob)\w{0,9}[^*\n]{0,40}\*",
    re.IGNORECASE | re.MULTILINE,
)
_BRACKETS = re.compile(r"\*\*[^*\n]{1,40}:\*\*|\[[^\[\]]{0,300}\]|\{[^{}]{0,300}\}|[♪♫]|\*{2,}|>>+")
_TAG = re.compile(r"<!--.{0,2000}?-->|</?[A-Za-z][^<>]{0,300}>|<[\d:.]{5,16}>", re.DOTALL)
_STAMP = re.compile(  # a time with hours or decimals anywhere, minutes and seconds around a line
    r"\(?\b\d{1,3}:\d{2}:\d{2}(?:[.,:]\d{1,3})?\b\)?|\(?\b\d{1,3}:\d{2}[.,]\d{1,3}\b\)?"
    r"|^[ \t]*[-*•]?[ \t]*\(?\d{1,3}:\d{2}\)?(?=[\s:-]|$)(?!\s{0,3}(?:[ap]\.?m|o'?clock)\b)"
    r"|\(\d{1,3}:\d{2}\)",
    re.MULTILINE | re.IGNORECASE,
)
_ROLE = "(?i:speaker|interviewe[er]|host|guest|narrator|moderator|participant|presenter)"
_SPEAKER = re.compile(  # SPEAKER 1:, speaker_01:, JOHN:, DR. SMITH (V.O.):, Q:
    r"(?:^[ \t]*(?:-[ \t]*)?|(?<=[.!?…]\s))"
    rf"(?:{_ROLE}[ _#]?\w{{0,4}}|[A-Z][A-Z.'_ -]{{0,40}}\d{{0,3}})"
    r"(?:[ ]?\([^()\n]{1,20}\))?[ ]?:(?=\s|$)|\b(?i:speaker)[ _#]?(?:\d{1,3}|[A-Z])[ ]?:(?=\s|$)",
    re.MULTILINE,
)
_NAME = re.compile(
    r"^[ \t]*([A-Z][\w.'’-]{0,30}(?:[ \t][A-Z][\w.'’-]{0,30}){0,3}):(?=\s|$)", re.MULTILINE
)
_NAME_AND_TIME = re.compile(  # a line of its own: "Speaker 1  0:12"
    r"^[ \t]*(?:(?:[A-Z][\w.'’-]{0,30}|\d{1,2})[ \t]{1,9}){1,4}"
    r"\(?\d{1,2}:\d{2}(?::\d{2})?\)?[ \t]*$",
    re.MULTILINE,
)
_LONGEST_NUMBER = 100  # digits; a longer one is no speech
_LONGEST_WORD = 100  # letters
_CLIPPED = r"'(?:bout|cause|em|n|round|til|tis|twas)\b"  # words that start with an apostrophe
_WORD = re.compile(rf"(?<![A-Za-z])(?i:{_CLIPPED})|[A-Za-z]+(?:'[A-Za-z]+)*")


def normalise_text(text: str) -> str:
    """Return `text` as plain ASCII with numbers and symbols spelled out; punctuation stays.

    Accents are dropped (café, cafe). Raises `DataError` on any other script, and on numbers and
    words that are too long to be spoken.
    """
    text = remove_invisible(text)
    refuse_unspeakable(text)
    text = _ascii(_MONEY.sub(_money_words, text.translate(_TYPOGRAPHY)))
    for short, long in _RULES["abbreviations"].items():
        text = re.sub(rf"(?<!\w){re.escape(short)}", long, text, flags=re.IGNORECASE)
    text = _INITIALS.sub(lambda match: " ".join(match[0].replace(".", " ").split()), text)
    text = _ORDINAL.sub(lambda match: ordinal_words(int(match[1].replace(",", ""))), text)
    text = _CLOCK.sub(lambda match: _pair_words(int(match[1]), int(match[2]), "o'clock"), text)
    text = _LETTER_NEXT_TO_DIGIT.sub(" ", text)
    text = _YEAR.sub(_year_words, text)
    text = _DECIMAL.sub(_decimal_words, text)
    for symbol, word in _RULES["symbols"].items():
        text = text.replace(symbol, f" {word} ")
    text = re.sub(r"(?<=[A-Za-z])-(?=[A-Za-z])", " ", text)
    text = re.sub(r"[^A-Za-z'\s.,;:!?()\"-]", " ", text)
    return " ".join(text.split())


def refuse_unspeakable(text: str) -> None:
    """Raise `DataError` on numbers and words that are too long to be spoken."""
    for pattern, longest, what in (
        (r"\d[\d,]*", _LONGEST_NUMBER, "a number of {} digits"),
        (r"[^\W\d_]+", _LONGEST_WORD, "a word of {} letters"),
    ):
        length = max((len(match[0]) for match in re.finditer(pattern, text)), default=0)
        if length > longest:
            raise DataError(f"the text has {what.format(length)}; at most {longest} can be spoken")


def clean_transcript(text: str) -> str:
    """Return a transcript without what was not said.

    Left out are tags, [stage directions] and (laughs), times, names of speakers before a colon,
    music signs and invisible characters. A name in capital letters counts anywhere, one in
    ordinary letters if half of the lines, and at least two, start with names.
    """
    if re.fullmatch(r"[A-Za-z',.?! -]*", text):
        return text.strip()
    text = _TAG.sub(" ", html.unescape(text)) if "<" in text or "&" in text else text
    text = remove_invisible(text)
    text = _STAGE.sub(" ", _BRACKETS.sub(" ", text))
    text = _SPEAKER.sub(" ", _STAMP.sub(" ", _NAME_AND_TIME.sub(" ", text)))
    lines = [line for line in text.splitlines() if line.strip()]
    names = Counter(match[1].strip() for match in _NAME.finditer(text))
    if names.total() >= max(2, len(lines) / 2):
        text = _NAME.sub(" ", text)
    return "\n".join(line for line in (" ".join(row.split()) for row in text.splitlines()) if line)


def remove_invisible(text: str) -> str:
    """Return text without controls, direction marks, soft hyphens and lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", text.replace("\r\n", "\n").replace("\r", "\n"))
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn")
    return "".join(
        letter
        for letter in text
        if letter in "\n\t" or letter.isspace() or unicodedata.category(letter) not in hidden
    )


def strip_punctuation(text: str) -> str:
    """Return a word without the punctuation around it."""
    return text.strip(' \t.,;:!?"()[]…“”')


def split_words(text: str) -> list[str]:
    """Return the words of normalised text, without punctuation, in their own case."""
    return [match[0] for match in _WORD.finditer(text)]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) character positions of the same words as `split_words`."""
    return [(match.start(), match.end()) for match in _WORD.finditer(text)]


def cardinal_words(number: int) -> str:
    """Return "three hundred five" for 305; numbers from 10^15 on are read digit by digit."""
    if number > _LARGEST:
        return " ".join(_UNITS[int(digit)] for digit in str(number))
    if number < 20:
        return _UNITS[number]
    if number < 100:
        return _TENS[number // 10] + (f" {_UNITS[number % 10]}" if number % 10 else "")
    scale, name = next(pair for pair in _SCALES if number >= pair[0])
    count, rest = divmod(number, scale)
    return f"{cardinal_words(count)} {name}" + (f" {cardinal_words(rest)}" if rest else "")


def ordinal_words(number: int) -> str:
    """Return "twenty first" for 21."""
    *head, last = cardinal_words(number).split()
    last = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return " ".join([*head, last])


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    strange = next((letter for letter in plain if ord(letter) > 127 and letter.isalpha()), None)
    if strange is not None:
        name = unicodedata.name(strange, "unnamed")
        raise DataError(
            f"text has {strange!r} ({name}); English in Latin letters is needed, or its --language"
        )
    return plain


def _money_words(match: re.Match) -> str:
    symbol, digits, cents, scale = match.groups()
    unit = _RULES["currencies"][symbol]
    if scale:
        return f"{digits}{'.' + cents if cents else ''} {scale} {unit}"
    unit = unit[:-1] if digits == "1" and not cents else unit
    return f"{digits} {unit}" + (f" {cents}" if cents and int(cents) else "")


def _pair_words(first: int, second: int, round_name: str) -> str:
    """Return "nineteen oh five" for 19, 5; `round_name` stands for a second number of 0."""
    rest = f"{'oh ' if second < 10 else ''}{cardinal_words(second)}" if second else round_name
    return f"{cardinal_words(first)} {rest}"


def _year_words(match: re.Match) -> str:
    century, year = int(match[1]), int(match[2])
    early = century == 20 and year < 10
    words = cardinal_words(2000 + year) if early else _pair_words(century, year, "hundred")
    return _plural(words) if match[3] else words


def _decimal_words(match: re.Match) -> str:
    sign, digits, decimals, plural = match.groups()
    words = ("minus " if sign else "") + cardinal_words(int(digits.replace(",", "")))
    if decimals:
        words += " point " + " ".join(_UNITS[int(digit)] for digit in decimals)
    return f" {_plural(words) if plural else words} "


def _plural(words: str) -> str:
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")
