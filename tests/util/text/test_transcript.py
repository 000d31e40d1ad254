"""Words with times are read as written, and each mistake is one line."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from speech2video.util.errors import DataError
from speech2video.util.text.phones import ARPABET, Phone
from speech2video.util.text.transcript import (
    Word,
    read_phones,
    read_words,
    write_phones,
    write_words,
)
from tests.shared import DATA, cases

WORDS = [Word("Hello", 0.25, 0.5), Word('say "no"', 0.5, 0.75), Word("don't, stop", 1.0, 1.3125)]
LONG_FORM = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "{tier}"
        xmin = 0
        xmax = 1.5
        intervals: size = 5
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = "sil"
        intervals [2]:
            xmin = 0.25
            xmax = 0.5
            text = "Hello"
        intervals [3]:
            xmin = 0.5
            xmax = 0.75
            text = "say ""no"""
        intervals [4]:
            xmin = 0.75
            xmax = 1.0
            text = ""
        intervals [5]:
            xmin = 1.0
            xmax = 1.3125
            text = "don't, stop"
    item [2]:
        class = "TextTier"
        name = "events"
        xmin = 0
        xmax = 1.5
        points: size = 1
        points [1]:
            number = 0.7
            mark = "click"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 2
        intervals [1]:
            xmin = 0.25
            xmax = 0.3
            text = "HH"
        intervals [2]:
            xmin = 0.3
            xmax = 0.5
            text = "AH1"
'''
SHORT_FORM = '''File type = "ooTextFile"
Object class = "TextGrid"

0
1.5
<exists>
1
"IntervalTier"
"words"
0
1.5
5
0
0.25
"sp"
0.25
0.5
"Hello"
0.5
0.75
"say ""no"""
0.75
1.0
"<eps>"
1.0
1.3125
"don't, stop"
'''


def written(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("tier", ["words", "Words", "WORDS", "speaker 1 - words"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_long_textgrid(tmp_path: Path, tier: str, encoding: str) -> None:
    path = written(tmp_path / "a.TextGrid", LONG_FORM.format(tier=tier), encoding=encoding)
    assert read_words(path) == WORDS


def test_short_textgrid_equals_the_long_one(tmp_path: Path) -> None:
    assert read_words(written(tmp_path / "a.textgrid", SHORT_FORM)) == WORDS


def test_show_and_grid_layouts(tmp_path: Path) -> None:
    show = "Transcript: Hello, you.\n  0.100 |   0.500 | Hello, | 97% \n 0.5 | 0.5 | you. | 9%\n\n"
    expected = [Word("Hello", 0.1, 0.5), Word("you", 0.5, 0.5)]
    assert read_words(written(tmp_path / "a.words.txt", show)) == expected
    grid = "0 23750 sil\n23750 29500 bin\n29500 34000 blue\n34000 74500 sil\n"
    expected = [Word("bin", 0.95, 1.18), Word("blue", 1.18, 1.36)]
    assert read_words(written(tmp_path / "a.align", grid)) == expected


def test_csv_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "words.csv"
    write_words(path, WORDS)
    assert read_words(path) == WORDS
    write_words(path, [])
    assert read_words(path) == []
    assert path.read_text() == "word,start,end\n"


def test_rounded_neighbours_are_trimmed_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "start,end,word,by\n0.1,0.51,a,x\n0.50,0.9,b,x\n")
    assert read_words(path) == [Word("a", 0.1, 0.51), Word("b", 0.51, 0.9)]


@pytest.mark.parametrize(
    ("rows", "seen"),
    [
        ("a,-0.1,0.2", "0 <= start <= end"),
        ("a,0.5,0.2", "0 <= start <= end"),
        ("a,0,inf", "finite"),
        ("a,nan,1", "finite"),
        ("a,0,1\nb,0.5,2", "lasts until 1"),
        ("b,2,3\na,0,1", "lasts until 3"),
        ("a,zero,1", "line 2: 'zero'"),
        ("a,0", "line 2: None"),
    ],
)
def test_wrong_times_are_one_line(tmp_path: Path, rows: str, seen: str) -> None:
    path = written(tmp_path / "a.csv", f"word,start,end\n{rows}\n")
    with pytest.raises(DataError, match=seen) as error:
        read_words(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("a.doc", "", "csv with the header"),
        ("a.txt", "Some plain text, without any times.\n", "csv with the header"),
        ("a.csv", "", "header word,start,end"),
        ("a.csv", "text,by,note\n", "header word,start,end"),
        ("a.csv", "word,start,end\nup,0,25,0,5\n", "5 values for 3 columns"),
        ("a.srt", "1\n00:00:00,500 --> 00:00:00,250\nup\n", "0 <= start <= end"),
        ("a.srt", "00:00:00,1 --> 00:00:01,0\nup\n\n00:00:010 --> 0:0\non\n", "line 4: '00:00:010"),
        ("a.json", "{", "not json"),
        ("a.json", "[" * 100_000, "not json"),
        ("a.json", "[" * 900 + "]" * 900, "no words with times"),
        ("a.json", '{"words": [{"word": "up"}]}', "no words with times"),
        ("a.json", '[{"word": "up", "start": 1' + "0" * 400 + ', "end": 1}]', "finite"),
        ("a.json", '[{"word": "up", "start": NaN, "end": 1}]', "finite"),
        ("a.eaf", "<ANNOTATION_DOCUMENT>", "not xml"),
        ("a.eaf", '<!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT/>', "refused"),
        ("a.ctm", "a 1 soon 0.2 up\n", "file, channel, start"),
        ("a.txt", "hello\n", "line 1"),
        ("a.align", "0 1\n", "line 1"),
        ("a.TextGrid", "", "ends where"),
        ("a.TextGrid", '"Praat chronological TextGrid text file"', "no TextGrid"),
        ("a.TextGrid", LONG_FORM.format(tier="words")[:700], "ends where"),
        ("a.TextGrid", LONG_FORM.format(tier="MAU"), "'words' is needed, seen: 'MAU', 'phones'"),
        (
            "a.TextGrid",
            LONG_FORM.format(tier="words").replace("xmax = 0.3\n", "\n"),
            r"line \d+: \"HH\" where a number",
        ),
        ("a.TextGrid", LONG_FORM.format(tier="words").replace("size = 5", "size = 5.5"), "a count"),
    ],
)
def test_malformed_files_are_one_line(tmp_path: Path, name: str, text: str, seen: str) -> None:
    path = written(tmp_path / name, text)
    with pytest.raises(DataError, match=seen) as error:
        read_words(path)
    assert str(path) in str(error.value)


def test_binary_and_absent_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    with pytest.raises(DataError, match="cannot be read"):
        read_words(path)
    path.write_bytes(b"ooBinaryFile\x08TextGrid\xff\xfe\x80")
    with pytest.raises(DataError, match="not text"):
        read_words(path)


@pytest.mark.parametrize("path", cases(DATA, "**/*.TextGrid", "show/*.words.txt", "grid/*.align"))
def test_real_files_are_read(path: Path, tmp_path: Path) -> None:
    words = read_words(path)
    assert len(words) > 4
    assert all(word.text == word.text.strip() != "" for word in words)
    assert all(one.end <= two.start for one, two in itertools.pairwise(words))
    write_words(tmp_path / "words.csv", words)
    again = read_words(tmp_path / "words.csv")
    times = np.array([[word.start, word.end] for word in words])
    np.testing.assert_allclose([[word.start, word.end] for word in again], times, atol=6e-5)


def phone_grid(*labels: str, tier: str = "phones") -> str:
    """Return a TextGrid of a point tier and phones of a tenth of a second each."""
    intervals = "".join(f'{i / 10} {(i + 1) / 10} "{label}"\n' for i, label in enumerate(labels))
    end = len(labels) / 10
    head = f'File type = "ooTextFile"\nObject class = "TextGrid"\n0 {end} <exists> 2\n'
    events = f'"TextTier" "events" 0 {end} 1 0.05 "click"\n'
    return f'{head}{events}"IntervalTier" "{tier}" 0 {end} {len(labels)}\n{intervals}'


@pytest.mark.parametrize("tier", ["phones", "Phone", "phonemes", "speaker 1 - phones"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_phones_of_a_textgrid_are_ipa(tmp_path: Path, tier: str, encoding: str) -> None:
    labels = ("sil", "HH", "AH0", "L", "OW1", "", "spn", "aw2", "noise")
    path = written(tmp_path / "a.TextGrid", phone_grid(*labels, tier=tier), encoding=encoding)
    assert read_phones(path) == [
        Phone("h", 0.1, 0.2),
        Phone("ə", 0.2, 0.3),
        Phone("l", 0.3, 0.4),
        Phone("oʊ", 0.4, 0.5, stress=1),
        Phone("aʊ", 0.7, 0.8, stress=2),
    ]
    long = written(tmp_path / "b.TextGrid", LONG_FORM.format(tier="words"), encoding=encoding)
    assert read_phones(long) == [Phone("h", 0.25, 0.3), Phone("ʌ", 0.3, 0.5, stress=1)]


def test_every_arpabet_name_is_its_ipa_and_ipa_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "a.TextGrid", phone_grid(*ARPABET))
    assert [phone.text for phone in read_phones(path)] == list(ARPABET.values())
    ipa = ("tʃ", "iː", "y", "aw", "er", "ʔ")  # "aw" and "y" are names of ARPAbet, too
    path = written(tmp_path / "b.TextGrid", phone_grid("ˈa", "<p:>", *ipa, "ˌɔʏ"))
    phones = read_phones(path)
    assert [phone.text for phone in phones] == ["a", *ipa, "ɔʏ"]
    assert [phone.stress for phone in phones] == [1, *[0] * len(ipa), 2]


def test_phones_are_read_as_they_were_written(tmp_path: Path) -> None:
    phones = [Phone("h", 0.25, 0.3, 0), Phone("aʊ", 0.3, 0.5125, 0, 1), Phone("y", 1, 2, None, 2)]
    write_phones(tmp_path / "phones.csv", phones)
    assert read_phones(tmp_path / "phones.csv") == phones
    written(tmp_path / "b.csv", "phone,start,end\nh,0.25,0.3\n")
    assert read_phones(tmp_path / "b.csv") == [Phone("h", 0.25, 0.3)]


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("a.TextGrid", phone_grid("HH", tier="words"), "'phones' is needed, seen: 'words'"),
        ("a.TextGrid", phone_grid("sil", "", "[noise]"), "no phones in it"),
        ("a.TextGrid", phone_grid("HH").replace("0.1", "nan"), "finite times"),
        ("a.TextGrid", phone_grid("HH", "AH").replace("0.1 0.2", "-3 0.2"), "0 <= start <= end"),
        ("a.TextGrid", phone_grid("HH")[:-12], "ends where"),
        ("phones.csv", "phone,start,end\nh,0.5,x\n", "line 2"),
        ("phones.csv", "phone,start,end,word\nh,0.5,1,one\n", "line 2"),
        ("phones.csv", "phone,start,end\nh,0.5,1\na,0,1\n", "lasts until 1 s"),
        ("phones.csv", "word,start,end\nh,0,1\n", "the header phone,start,end is needed"),
    ],
)
def test_wrong_phones_are_one_line(tmp_path: Path, name: str, text: str, seen: str) -> None:
    with pytest.raises(DataError) as error:
        read_phones(written(tmp_path / name, text))
    assert seen in str(error.value) and "\n" not in str(error.value)
