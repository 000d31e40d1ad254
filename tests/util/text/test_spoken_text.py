"""English text is normalised to spoken words, and words get phones."""

import re
import time
from pathlib import Path

import pytest

from speech2video.util.errors import DataError
from speech2video.util.text.forced_alignment import pronounce, spell_phones
from speech2video.util.text.spoken_text import (
    cardinal_words,
    clean_transcript,
    normalise_text,
    ordinal_words,
    split_words,
    word_spans,
)

KNOWN = {"skate": "S K EY T", "board": "B AO R D", "huge": "HH Y UW JH", "stop": "S T AA P"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello, world!", "Hello, world!"),
        ("$3.50", "three dollars fifty"),
        ("$5 million", "five million dollars"),
        ("£1", "one pound"),
        ("in 1999 or 2004", "in nineteen ninety nine or two thousand four"),
        ("the 1980s", "the nineteen eighties"),
        ("3,000 at 10:05", "three thousand at ten oh five"),
        ("the 21st", "the twenty first"),
        ("-2.5", "minus two point five"),
        ("50% & more", "fifty percent and more"),
        ("R2D2 and mp3", "R two D two and mp three"),
        ("Mr. U.S., e.g. café", "mister U S, for example cafe"),
        ("“don’t” — twenty-one…", '"don\'t" - twenty one...'),
    ],
)
def test_numbers_and_symbols_are_spelled_out(written: str, said: str) -> None:
    assert normalise_text(written) == said
    assert normalise_text(said) == said


def test_english_is_spelled_out_as_people_say_it() -> None:
    rows = Path(__file__).with_name("spoken_english.txt").read_text(encoding="utf-8").splitlines()
    assert len(rows) >= 120
    for written, said in (row.split("|") for row in rows):
        assert normalise_text(written) == said, written
        assert normalise_text(said) == said
        assert not re.search(r"\d", normalise_text(f"So, {written}, and then {written}."))


@pytest.mark.parametrize("part", ["1-", "1/", "a.b", "$1,", "I ", "A1 "])
def test_no_text_takes_long_to_spell_out(part: str) -> None:
    start = time.process_time()
    normalise_text(part * 4000)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[Music] Hello. (laughs) I (really) do. *sighs*", "Hello I really do"),
        ("SPEAKER 1: One, two: three\nspeaker_02: hi", "One two three hi"),
        ("JOHN: Hi.\nDR. SMITH (V.O.): There\n(quietly)\nno", "Hi There no"),
        ("John: Hi.\nMary: Up there.\nJohn: Bye: now", "Hi Up there Bye now"),
        ("Remember: I like TV: it is good", "Remember I like TV it is good"),
        ("00:01 Hi at 10:05\n[00:00:05.000] go (1:30)", "Hi at ten oh five go"),
        ("Speaker 1  0:12\nHi there", "Hi there"),
        ("<v Mary>Hi</v> <b>you</b> &amp; me < him", "Hi you and me him"),
        ("\ufeffHi \u200fth\u00adere\u200b\x00 \x1b[31myou 😀👍🏽 ♪", "Hi there you"),
        ("- Hi\r\n>> MARY: you\r\nQ: me?", "Hi you me"),
        ("Søren's Straße", "Soren's Strasse"),
    ],
)
def test_what_was_not_said_is_no_part_of_a_transcript(written: str, said: str) -> None:
    assert split_words(normalise_text(clean_transcript(written))) == said.split()


@pytest.mark.parametrize(
    "text", ["9" * 5000, "1" + ",000" * 99, "0." + "1" * 5000, "$" + "9" * 101]
)
def test_what_is_too_long_to_be_said_is_one_line(text: str) -> None:
    with pytest.raises(DataError, match=r"a number of \d+ digits"):
        normalise_text(f"He said {text} times.")
    with pytest.raises(DataError, match="a word of 5000 letters"):
        normalise_text("o" * 5000)
    assert len(normalise_text("9" * 100).split()) == 100


def test_words_and_their_places_agree() -> None:
    text = normalise_text("'Don't stop the dogs' game,' she said - 2 times.")
    words = split_words(text)
    assert words == ["Don't", "stop", "the", "dogs", "game", "she", "said", "two", "times"]
    for word, (start, end) in zip(words, word_spans(text), strict=True):
        assert text[start:end] == word
    assert split_words("rock 'n' roll, 'cause 'what's' ours") == [
        *("rock", "'n", "roll", "'cause", "what's", "ours")
    ]


def test_numbers_differ_in_words() -> None:
    numbers = [*range(1200), 10**6, 10**6 + 1, 10**9, 10**15, 12**20]
    for name in (cardinal_words, ordinal_words):
        assert len({name(number) for number in numbers}) == len(numbers)
    assert cardinal_words(1_234_567).endswith("thirty four thousand five hundred sixty seven")
    assert [ordinal_words(number) for number in (1, 12, 20, 103)] == [
        *("first", "twelfth", "twentieth", "one hundred third")
    ]


def test_other_scripts_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="CYRILLIC SMALL LETTER PE"):
        normalise_text("say привет")


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("skateboards", "S K EY T B AO R D Z"),
        ("stopped", "S T AA P T"),
        ("huge's", "HH Y UW JH IH Z"),
        ("skating", "S K EY T IH NG"),
        ("bbc", "B IY B IY S IY"),
        ("thake", "TH EY K"),
    ],
)
def test_unknown_words_are_pronounced_by_known_parts_first(word: str, phones: str) -> None:
    assert pronounce(word, KNOWN.get) == phones.split()


def test_every_word_of_letters_has_phones() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for one in letters:
        for two in letters:
            assert spell_phones(one + two) and pronounce(two + one + one, KNOWN.get)
    with pytest.raises(DataError, match="no letters"):
        pronounce("'", KNOWN.get)
