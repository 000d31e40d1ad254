"""Normalise English text for speech: numbers, symbols and abbreviations become words."""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from speech2video.util.errors import DataError
from speech2video.util.files import read_json

_RULES = read_json(Path(__file__).with_name("spoken_text.json"), what="a table of words")
_UNITS, _TENS, _SCALES, _ORDINALS = (_RULES[k] for k in ("units", "tens", "scales", "ordinals"))
_TYPOGRAPHY = str.maketrans(_RULES["typography"])
_LARGEST = 10**15 - 1  # longer runs of digits are read digit by digit
_NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"
_DECIMALS = rf"(?:{_NUMBER})(?:\.\d+)?|\.\d+"
_FREE = r"(?<![\w.,/:-])"  # in front of a number that is part of no other
_UNTIL = r"(?:-|\s?–\s?)"  # between the ends of a range
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
    text = _ascii(_spell_out_english(text).translate(_TYPOGRAPHY))
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
        needed = "English in Latin letters is needed, or --language"
        language = _RULES["scripts"].get(name.split()[0], "TAG")
        raise DataError(f"text has {strange!r} ({name}); {needed} {language}")
    return plain


def _spell_out_english(text: str) -> str:
    """Return text with all but plain numbers, years, clocks and ordinals in words.

    The rules act in turn, those of longer and rarer forms first.
    """
    text = re.sub(r"[\u00a0\u2007\u2009\u202f]", " ", text).replace("−", "-")
    text = re.sub("[\u00bc-\u00be\u2150-\u215e]", _vulgar_fraction, text)
    for pattern, replacement in _GRAMMAR:
        text = pattern.sub(replacement, text)
    return text


def _vulgar_fraction(match: re.Match) -> str:
    before = match.string[match.start() - 1 : match.start()]
    fraction = unicodedata.normalize("NFKD", match[0]).replace("⁄", "/")
    return f" {fraction}" if before.isdigit() else fraction


def _value_words(digits: str) -> str:
    """Return "one thousand point five" for 1,000.5."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    words = [cardinal_words(int(whole))] if whole else []
    return " ".join([*words, *(["point", _digit_words(decimals)] if decimals else [])])


def _digit_words(digits: str, zero: str = "zero") -> str:
    return " ".join(_UNITS[int(digit)] if digit != "0" else zero for digit in digits)


def _year(number: int) -> str:
    if number < 1000 or 2000 <= number < 2010 or not 1100 <= number < 2100:
        return cardinal_words(number)
    return _pair_words(number // 100, number % 100, "hundred")


def _address_words(match: re.Match) -> str:
    """Return a web or mail address as it is said; punctuation after it stays."""
    address = match[0].rstrip(".,;:!?)'\"")
    said = re.sub(r"^https?://", "", address).rstrip("/")
    said = re.sub(r"^www\.", "w w w dot ", said)
    for symbol, word in _RULES["addresses"].items():
        said = said.replace(symbol, f" {word} ")
    return f" {said} {match[0][len(address) :]}"


def _phone_words(match: re.Match) -> str:
    groups = re.findall(r"\d+", match[0])
    said = ["eight hundred" if group == "800" else _digit_words(group, "oh") for group in groups]
    return ("plus " if match[0].startswith("+") else "") + ", ".join(said)


def _date_words(match: re.Match) -> str:
    """Return a date in digits: year first, or month first unless only the other way is possible."""
    one, two, three = re.findall(r"\d+", match[0])
    if len(one) == 4:
        year, month, day = one, two, three
    elif "." in match[0] or int(one) > 12:
        day, month, year = one, two, three
    else:
        month, day, year = one, two, three
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    number = int(year)
    if len(year) == 2:
        number += 2000 if number < 50 else 1900
    return f"{_MONTHS[int(month) - 1]} {ordinal_words(int(day))}, {_year(number)}"


def _month(name: str) -> str:
    return next((month for month in _MONTHS if month.startswith(name[:3].capitalize())), name)


def _month_day_words(match: re.Match) -> str:
    month, day, last, year = match.groups()
    if not 1 <= int(day) <= 31:
        return match[0]
    said = f"{_month(month)} {ordinal_words(int(day))}"
    said += f" to {ordinal_words(int(last))}" if last else ""
    return said + (f", {_year(int(year))}" if year else "")


def _day_month_words(match: re.Match) -> str:
    day, month, year = match.groups()
    if not 1 <= int(day) <= 31:
        return match[0]
    said = f"the {ordinal_words(int(day))} of {_month(month)}"
    return said + (f", {_year(int(year))}" if year else "")


def _short_date_words(match: re.Match) -> str:
    return f"{_MONTHS[int(match[1]) - 1]} {ordinal_words(int(match[2]))}"


def _time_words(match: re.Match) -> str:
    hour, minutes, half = match.groups()
    said = cardinal_words(int(hour))
    if minutes and int(minutes):
        said = _pair_words(int(hour), int(minutes), "")
    return f"{said} {half.lower()} m"


def _year_range_words(match: re.Match) -> str:
    first, last = match.groups()
    if len(last) == 2:
        until = f"oh {_UNITS[int(last)]}" if last[0] == "0" else cardinal_words(int(last))
    else:
        until = _year(int(last))
    return f"{_year(int(first))} to {until}"


def _money_words(match: re.Match) -> str:
    sign, symbol, amount, last, scale = match.groups()
    unit, single = _RULES["currencies"][symbol]
    scale = _RULES["money_scales"].get((scale or "").strip().lower(), "")
    said = "minus " if sign else ""
    if last:
        return f"{said}{_value_words(amount)} to {_value_words(last)} {scale} {unit}"
    whole, _, cents = amount.replace(",", "").partition(".")
    if scale or len(cents) == 1 or len(cents) > 2:
        return f"{said}{_value_words(amount)} {scale} {unit}"
    if not int(whole or 0) and cents and symbol in _RULES["cents"]:
        return said + _counted(cents, *_RULES["cents"][symbol])
    said += f"{cardinal_words(int(whole or 0))} {single if int(whole or 0) == 1 else unit}"
    return said + (f" {_pair_cents(cents)}" if cents and int(cents) else "")


def _pair_cents(cents: str) -> str:
    return f"oh {_UNITS[int(cents)]}" if cents[0] == "0" else cardinal_words(int(cents))


def _counted(amount: str, plural: str, single: str) -> str:
    return f"{_value_words(amount)} {single if amount in ('1', '01') else plural}"


def _measure_words(match: re.Match) -> str:
    sign, amount, unit, per = match.groups()
    plural, single = _RULES["units_of_measure"][unit]
    said = ("minus " if sign else "") + _counted(amount, plural, single)
    return said + (f" per {_RULES['units_of_measure'][per][1]}" if per else "")


def _fraction_words(match: re.Match) -> str:
    whole, top, bottom = match.groups()
    above, below = int(top), int(bottom)
    if not whole and (above >= below or (below > 20 and below not in (32, 64, 100))):
        return f"{_value_words(top)} over {_value_words(bottom)}"
    if not above or not below:
        return match[0]
    part = {2: "half", 4: "quarter"}.get(below) or ordinal_words(below)
    if above > 1:
        part = "halves" if below == 2 else f"{part}s"
    if not whole:
        return f"{cardinal_words(above)} {part}"
    count = ("an" if below in (8, 11, 18) else "a") if above == 1 else cardinal_words(above)
    return f"{cardinal_words(int(whole))} and {count} {part}"


def _size_words(match: re.Match) -> str:
    """Return "nineteen twenty by ten eighty" for 1920x1080."""
    numbers = [int(number) for number in match.groups()]
    return " by ".join(
        _pair_words(*divmod(number, 100), "hundred") if number >= 1000 else cardinal_words(number)
        for number in numbers
    )


def _roman(numeral: str) -> int:
    """Return the value of a Roman numeral, 0 if it is none or above 89."""
    match = re.fullmatch(r"(L?X{0,3}|XL)(IX|IV|V?I{0,3})", numeral)
    if not match or not numeral:
        return 0
    values = [{"I": 1, "V": 5, "X": 10, "L": 50}[letter] for letter in numeral]
    signs = [a < b for a, b in zip(values, [*values[1:], 0], strict=True)]
    return sum(-value if minus else value for value, minus in zip(values, signs, strict=True))


def _roman_part(match: re.Match) -> str:
    number = _roman(match[2])
    return f"{match[1]} {cardinal_words(number)}" if number else match[0]


def _roman_ruler(match: re.Match) -> str:
    number = _roman(match[2])
    return f"{match[1]} the {ordinal_words(number)}" if number else match[0]


def _roman_century(match: re.Match) -> str:
    return f"{ordinal_words(_roman(match[1]))} {match[2]}" if _roman(match[1]) else match[0]


def _initialism(match: re.Match) -> str:
    """Return the letters of "USA", but words of a text in capitals as they are."""
    words = re.findall(r"[A-Za-z]{2,}", match.string)
    in_capitals = sum(word.isupper() for word in words) > max(2, len(words) / 2)
    return match[0] if in_capitals else " ".join(match[0])


def _version_words(match: re.Match) -> str:
    numbers = [cardinal_words(int(number)) for number in re.findall(r"\d+", match[0])]
    return ("version " if match[0][0] in "vV" else "") + " point ".join(numbers)


_MONTHS: list[str] = _RULES["months"]
_MONTH = (
    r"(January|February|March|April|May|June|July|August|September|October|November|December|"
    r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
_CURRENCY = "|".join(sorted(map(re.escape, _RULES["currencies"]), key=len, reverse=True))
_UNIT = "|".join(sorted(map(re.escape, _RULES["units_of_measure"]), key=len, reverse=True))
_SCALE = r"(\s?(?:thousand|million|billion|trillion)\b|(?:[kKmMbB]|bn|tn|mn)\b)?"
_ROMAN = r"([IVXL]{2,8}|[IVX])\b"
_TITLED = "King|Queen|Pope|Emperor|Tsar|Czar|Prince|Sultan|Kaiser"
_GRAMMAR: list[tuple[re.Pattern, Callable[[re.Match], str] | str]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+", _address_words),
        (r"\b(?:https?://|www\.)[^\s<>\"]+", _address_words),
        (rf"\b(?:[\w-]+\.)+(?:{_RULES['domains']})\b(?:/[^\s<>\"]*)?", _address_words),
        (r"(?<!\w)'(\d0s|\d\d)\b", r"\1"),
        (r"(?<=\d) - (?=\d)", " minus "),
        (r"(?<=\d[%°])[-–](?=\d)", " to "),
        (r"(?<![\w.])(?:24/7)(?!\w)", "twenty four seven"),
        (r"(?<![\w./])9/11(?![\w/])", "nine eleven"),
        (r"(?<![\w./])50/50(?![\w/])", "fifty fifty"),
        (r"(?<=\b[Cc]all )911\b|(?<=\b[Dd]ial )911\b", "nine one one"),
        (
            r"(?<![\w.])\+\d{1,3}[ .-]?(?:\(\d{1,4}\)|\d{2,4})(?:[ .-]\d{2,4}){1,3}(?!\w)",
            _phone_words,
        ),
        (r"(?<![\w.])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?!\w)", _phone_words),
        (r"(?<![\w.-])\d{3}-\d{4}(?![\w-])", _phone_words),
        (r"\b\d{4}-\d{2}-\d{2}\b", _date_words),
        (r"\b\d{4}/\d{1,2}/\d{1,2}\b", _date_words),
        (r"(?<![\w/])\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})(?![\w/])", _date_words),
        (r"(?<![\w.])\d{1,2}\.\d{1,2}\.\d{4}\b", _date_words),
        (
            rf"\b{_MONTH}\s(\d{{1,2}})(?:st|nd|rd|th)?(?:{_UNTIL}(\d{{1,2}})(?:st|nd|rd|th)?)?"
            r"(?![\w:%]|[.,]\d|\s(?:percent|people|years|miles|times|million|of)\b)"
            r"(?:,?\s(\d{4})\b)?",
            _month_day_words,
        ),
        (
            rf"(?:\b[Tt]he\s)?(?<![\w.,:/-])(\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH}"
            r"(?!\w)(?:,?\s(\d{4})\b)?",
            _day_month_words,
        ),
        (rf"\b{_MONTH}(?=\s\d{{4}}\b)|\b(?!May)(?:{_MONTH[1:-1]})(?<=\.)", lambda m: _month(m[0])),
        (
            rf"{_FREE}(1[1-9]\d{{2}}|20\d{{2}}){_UNTIL}(\d{{4}}|\d{{2}})(?![\w-]|[.,]\d)",
            _year_range_words,
        ),
        (r"(?<=\d[ap]m)\s?[-–]\s?(?=\d)|(?<=\d [ap]m)\s?[-–]\s?(?=\d)", " to "),
        (r"(?<=:\d\d)\s?[-–]\s?(?=\d{1,2}:\d\d)", " to "),
        (
            rf"{_FREE}(\d{{1,2}})(?::(\d{{2}}))?\s?([apAP])\.?[mM]\b(?:\.(?!\s[A-Z]|\s*$))?",
            _time_words,
        ),
        (r"\b(1[3-9]|2[0-3]):00\b", lambda m: f"{cardinal_words(int(m[1]))} hundred"),
        (r"(?<![\w:.])(\d{1,3}):(\d)(?![\w:])", r"\1 to \2"),
        (
            rf"(?<!\w)(-)?({_CURRENCY})\s?({_DECIMALS})(?:{_UNTIL}(?:{_CURRENCY})?({_DECIMALS}))?"
            rf"{_SCALE}(?!\w)",
            _money_words,
        ),
        (
            rf"{_FREE}(-)?({_DECIMALS})\s?(¢|[$£€¥₹]|USD|EUR|GBP|JPY|CHF)(?![\w])",
            lambda m: ("minus " if m[1] else "") + _counted(m[2], *_RULES["currencies"][m[3]]),
        ),
        (r"(?<=[a-z])/(?=(?:second|minute|hour|day|week|month|year|person|piece)\b)", " per "),
        (rf"{_FREE}({_DECIMALS}){_UNTIL}({_DECIMALS})(?!\w*[-–/:]|\d|[.,]\d)", r"\1 to \2"),
        (r"(?<![\w)])[–](?=\d)", "-"),
        (r"(?<![\w.])(\d+)\s?[x×]\s?(\d+)\b", _size_words),
        (r"(?<=[A-Za-z])-(?=\d)", " "),
        (r"(?<![\w.])(\d+)[x×](?!\w)", r"\1 times"),
        (
            r"(?<![\w.])(\d)'\s?(\d{1,2})(?:\"|''|”)",
            lambda m: f"{cardinal_words(int(m[1]))} foot {cardinal_words(int(m[2]))}",
        ),
        (rf"(?<![\w.,/:])(-)?({_DECIMALS})\s?({_UNIT})(?:/({_UNIT}))?(?![\w²³])", _measure_words),
        (r"(?<=\w)²", " squared"),
        (r"(?<=\w)³", " cubed"),
        (
            r"(?<![\w./])(0?[1-9]|1[0-2])/(1[3-9]|2\d|3[01])(?![\w/.])(?!\s(?:of|inch))",
            _short_date_words,
        ),
        (
            r"(?<![\w./,])(?:(\d+)[\s-])?(\d{1,3})/(\d{1,3})(?:ths?|rds?|nds?)?(?![\w/])",
            _fraction_words,
        ),
        (r"\b[vV]?\d+(?:\.\d+){2,}\b|\b[vV]\d+(?:\.\d+)?\b", _version_words),
        (r"(?<![\w.,:])0\d+(?![\w:]|[.,]\d)", lambda m: _digit_words(m[0])),
        (r"(?<![\w.])\.(\d+)\b", lambda m: f"point {_digit_words(m[1])}"),
        (r"(?<!\w)(?:[Nn]os?\.|№)\s?(?=\d)", "number "),
        (r"(?<!\w)pp\.\s?(?=\d)", "pages "),
        (r"(?<!\w)p\.\s?(?=\d)", "page "),
        (r"(?<!\w)[Vv]ols?\.\s?(?=[\dIVX])", "Volume "),
        (r"(?<!\w)[Cc]h\.\s?(?=[\dIVX])", "Chapter "),
        (r"(?<!\w)[Ff]igs?\.\s?(?=\d)", "figure "),
        (r"§\s?(?=\d)", "section "),
        (r"(?<!\w)#(?=[A-Za-z])", "hashtag "),
        (r"(?<!\w)w/o(?=\s)", "without"),
        (r"(?<!\w)w/(?=\s)", "with"),
        (rf"\b({_RULES['parts']}) {_ROMAN}", _roman_part),
        (rf"\b((?:{_TITLED}) [A-Z][a-z]+|{_RULES['rulers']}) (?!I\b){_ROMAN}", _roman_ruler),
        (rf"\b((?:{_TITLED}) [A-Z][a-z]+) (I)\b(?! [a-z])", _roman_ruler),
        (r"\b([IVX]{2,7}|[VX]) ([Cc]entury)\b", _roman_century),
        (r"\b([A-Z][a-z]+) ([IVX]{2,6})\b", _roman_part),
        (
            r"(?<=[a-z] )St\.(?=\s*(?:$|[,;.!?)]|[a-z]))|(?<=\d(?:st|nd|rd|th) )St\.?(?!\w)",
            "Street",
        ),
        (r"\bSt\.?(?=\s[A-Z][a-z])", "Saint"),
        (r"\bSt\.(?=\s|$)", "Street"),
        (r"(?<=[a-z] )Dr\.(?=\s*(?:$|[,;]|[a-z]))", "Drive"),
        (r"\b(Mr|Mrs|Ms|Dr)(?=\s[A-Z])", r"\1."),
        (r"(?<!\w)vs(?![\w.])", "versus"),
        (r"(?<!\w)etc(?![\w.])", "et cetera"),
        (rf"\b(?:{_RULES['initialisms']})\b", _initialism),
    )
]


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
