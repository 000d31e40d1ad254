"""The same words are read from every format, whatever its encoding, header, units and marks."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from speech2video.util.errors import DataError
from speech2video.util.text.transcript import Word, find_words, read_words
from speech2video.util.text.word_formats import has_times, is_noise, time_value

WORDS = [
    Word("Come", 0.25, 0.5),
    Word("up", 0.5, 0.75),
    Word("there", 1.0, 1.5),
    Word("it", 1.5, 1.75),
    Word("is", 2.0, 2.25),
]
SECONDS = 2.5  # of the audio


def clock(seconds: float, mark: str = ".") -> str:
    return f"00:00:{seconds:06.3f}".replace(".", mark)


def rows(form: str, words: list[Word] = WORDS) -> str:
    return "".join(
        form.format(
            w=word.text,
            s=word.start,
            e=word.end,
            d=word.end - word.start,
            ms=round(word.start * 1000),
            me=round(word.end * 1000),
            cs=clock(word.start),
            ce=clock(word.end),
            ks=clock(word.start, ","),
            ke=clock(word.end, ","),
            n=number,
            gs=str(word.start).replace(".", ","),
            ge=str(word.end).replace(".", ","),
            dot="." if number == 5 else "",
            at=word.start * 44_100,
            to=word.end * 44_100,
        )
        for number, word in enumerate(words, 1)
    )


def items(*keys: str, unit: float = 1, space: str = "") -> list[dict]:
    text, start, end = keys
    return [{text: space + w.text, start: w.start * unit, end: w.end * unit} for w in WORDS]


def textgrid(*tiers: tuple[str, list[tuple[str, float, float]]], comment: str = "") -> str:
    text = f'File type = "ooTextFile"\nObject class = "TextGrid"\n{comment}\nxmin = 0\nxmax = 2.5\n'
    text += f"tiers? <exists>\nsize = {len(tiers)}\nitem []:\n"
    for name, intervals in tiers:
        text += f'class = "IntervalTier"\nname = "{name}"\nxmin = 0\nxmax = 2.5\n'
        text += f"intervals: size = {len(intervals)}\n"
        for word, start, end in intervals:
            text += f'xmin = {start}\nxmax = {end}\ntext = "{word}"\n'
    return text


SPOKEN = [(word.text, word.start, word.end) for word in WORDS]
PHONES = [
    ("HH", 0.25, 0.3),
    ("AH1", 0.3, 0.4),
    ("P", 0.4, 0.5),
    ("S", 0.5, 0.6),
    ("T", 0.6, 0.7),
] * 2
SILENT = [("<p:>", 0.0, 0.25), *SPOKEN[:2], ("", 0.75, 1.0), *SPOKEN[2:4], ("{LG}", 1.75, 2.0)]
SILENT += SPOKEN[4:] + [("<usb>", 2.25, 2.5)]
MFA = [
    ("a - phones", PHONES),
    ("a - words", SILENT[:2]),
    ("b - words", SILENT),
    ("b - phones", PHONES),
]
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" FORMAT="3.0"><HEADER TIME_UNITS="milliseconds"/><TIME_ORDER>
{slots}</TIME_ORDER><TIER TIER_ID="A@words" LINGUISTIC_TYPE_REF="x">{words}</TIER>
<TIER TIER_ID="notes"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="n1" TIME_SLOT_REF1="s1"
TIME_SLOT_REF2="e5"><ANNOTATION_VALUE>A good take</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>
</ANNOTATION></TIER></ANNOTATION_DOCUMENT>""".format(
    slots=rows(
        '<TIME_SLOT TIME_SLOT_ID="s{n}" TIME_VALUE="{ms}"/>'
        '<TIME_SLOT TIME_SLOT_ID="e{n}" TIME_VALUE="{me}"/>'
    ),
    words=rows(
        '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="s{n}" '
        'TIME_SLOT_REF2="e{n}"><ANNOTATION_VALUE>{w}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>'
        "</ANNOTATION>"
    ),
)
TIMED = items("word", "start", "end", space=" ")
WHISPER = [
    {"id": 0, "start": 0.0, "end": 1.5, "text": "Come up there", "words": TIMED[:3]},
    {"id": 1, "start": 1.5, "end": 2.5, "text": " it is.", "words": TIMED[3:]},
]

FILES: dict[str, tuple[str, str]] = {
    "own csv": ("a.csv", "word,start,end\n" + rows("{w},{s},{e}\n")),
    "csv named txt": ("a.txt", "word,start,end\n" + rows("{w},{s},{e}\n")),
    "csv without header": ("a.csv", rows("{w},{s},{e}\n")),
    "csv, times first": ("a.csv", rows('{s},{e},"{w}"\n')),
    "csv of Excel": ("a.csv", "sep=;\r\nWort;Anfang;Ende\r\n" + rows("{w};{gs};{ge}\r\n")),
    "semicolons": ("a.csv", "Word;Start;End\n" + rows("{w};{gs};{ge}\n")),
    "quoted decimal commas": ("a.csv", "word,start,end\n" + rows('{w},"{gs}","{ge}"\n')),
    "tabs": ("a.tsv", "word\tstart\tend\n" + rows("{w}\t{s}\t{e}\n")),
    "clock": ("a.csv", "word,start,end\n" + rows("{w},{cs},{ce}\n")),
    "clock with commas": ("a.csv", "word;begin;end\n" + rows("{w};{ks};{ke}\n")),
    "units": ("a.csv", "word,start,end\n" + rows("{w},{s}s,{e} s\n")),
    "duration": ("a.csv", "word,onset,duration\n" + rows("{w},{s},{d}\n")),
    "milliseconds by name": ("a.csv", "word,start_ms,end_ms\n" + rows("{w},{ms},{me}\n")),
    "milliseconds": ("a.csv", "word,start,end\n" + rows("{w},{ms},{me}\n")),
    "samples": ("a.csv", "word,start,end\n" + rows("{w},{at},{to}\n")),
    "spaces": ("a.txt", rows("{s} {e} {w}\n")),
    "Praat table": (
        "a.csv",
        "tmin,tier,text,tmax\n" + "0.25,phones,K,0.3\n" * 9 + rows("{s},words,{w},{e}\n"),
    ),
    "MFA csv": (
        "a.csv",
        "Begin,End,Label,Type,Speaker\n" + rows("{s},{e},{w},words,a\n{s},{e},K,phones,a\n"),
    ),
    "gentle csv": ("a.csv", rows("{w},{w},{s},{e}\n")),
    "gentle csv with header": (
        "a.csv",
        "word,aligned_word,start,end\n" + rows("{w},<unk>,{s},{e}\n"),
    ),
    "ELAN table": ("a.txt", rows("words\t\t{cs}\t{ce}\t{w}\n")),
    "Whisper tsv": ("a.tsv", "start\tend\ttext\n" + rows("{ms}\t{me}\t{w}{dot}\n")),
    "Audacity": ("a.txt", rows("{s:.6f}\t{e:.6f}\t{w}\n\\\t100.0\t200.0\n")),
    "SHOW": ("a.words.txt", "Transcript: Come up\n" + rows(" {s} | {e} | {w} | 97% \n")),
    "SRT": ("a.srt", rows("{n}\n{ks} --> {ke}\n<i>{w}{dot}</i>\n\n")),
    "SRT named txt": ("a.txt", rows("{n}\r\n{ks} --> {ke}\r\n{w}\r\n\r\n")),
    "VTT": (
        "a.vtt",
        "WEBVTT\n\nNOTE by hand\n\nSTYLE\n::cue {color: red}\n\n"
        + rows("c{n}\n{cs} --> {ce} align:start\n<v Mary>{w}</v>\n\n"),
    ),
    "VTT with tags": (
        "a.vtt",
        "WEBVTT\nKind: captions\n\n00:00:00.250 --> 00:00:00.750\nCome<00:00:00.500><c> up</c>\n\n"
        "00:00:01.000 --> 00:00:01.750\nCome up\nthere<00:00:01.500><c> it</c>\n\n"
        "00:00:01.750 --> 00:00:01.760\nthere it\n \n\n"
        "00:00:02.000 --> 00:00:02.250\nthere it\nis\n",
    ),
    "Whisper json": (
        "a.json",
        json.dumps({"text": "Come up", "segments": WHISPER, "language": "en"}),
    ),
    "faster-whisper json": ("a.json", json.dumps(WHISPER)),
    "whisperX json": ("a.json", json.dumps({"segments": WHISPER, "word_segments": TIMED})),
    "whisper.cpp json": (
        "a.json",
        json.dumps(
            {
                "result": {"language": "en"},
                "transcription": [
                    {
                        "timestamps": {"from": clock(w.start, ","), "to": clock(w.end, ",")},
                        "text": f" {w.text}",
                    }
                    for w in WORDS
                ],
            }
        ),
    ),
    "transformers json": (
        "a.json",
        json.dumps(
            {"text": "", "chunks": [{"text": w.text, "timestamp": [w.start, w.end]} for w in WORDS]}
        ),
    ),
    "gentle json": ("a.json", json.dumps({"transcript": "Come up", "words": TIMED})),
    "Deepgram json": (
        "a.json",
        json.dumps({"results": {"channels": [{"alternatives": [{"words": TIMED}]}]}}),
    ),
    "AWS json": (
        "a.json",
        json.dumps(
            {
                "results": {
                    "items": [
                        {
                            "start_time": str(w.start),
                            "end_time": str(w.end),
                            "alternatives": [{"content": w.text}],
                        }
                        for w in WORDS
                    ]
                }
            }
        ),
    ),
    "AssemblyAI json": ("a.json", json.dumps({"words": items("text", "start", "end", unit=1000)})),
    "CTM": ("a.ctm", ";; comment\n" + rows("a 1 {s} {d} {w} 0.9\n") + "other 1 0.1 0.2 no 0.5\n"),
    "ELAN": ("a.eaf", EAF),
    "TextGrid": ("a.TextGrid", textgrid(("words", SILENT), ("phones", PHONES))),
    "TextGrid with comments": ("a.TextGrid", textgrid(("Word", SILENT), comment='! 3 tiers, "no"')),
    "TextGrid of MAUS": (
        "a.TextGrid",
        textgrid(("ORT-MAU", SILENT), ("KAN-MAU", [("kVm", 0.25, 2.0)] * 9), ("MAU", PHONES)),
    ),
    "TextGrid of one tier": ("a.TextGrid", textgrid(("Mary", SILENT), ("phones", PHONES))),
    "TextGrid of MFA, two speakers": ("x.TextGrid", textgrid(*MFA)),
    "TextGrid without a suffix": ("words", textgrid(("words", SILENT))),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_words_in_every_format(tmp_path: Path, name: str) -> None:
    file, text = FILES[name]
    (tmp_path / file).write_bytes(text.encode())
    assert read_words(tmp_path / file, seconds=SECONDS, rate=44_100) == WORDS
    assert has_times(tmp_path / file)


@pytest.mark.parametrize("bom", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("name", ["own csv", "TextGrid", "SRT", "Whisper json", "ELAN", "Audacity"])
def test_every_encoding_is_read(tmp_path: Path, name: str, encoding: str, bom: bool) -> None:
    file, text = FILES[name]
    text = text.replace("there", "café")
    content = (("\ufeff" if bom and encoding != "latin-1" else "") + text).encode(encoding)
    (tmp_path / file).write_bytes(content)
    assert [word.text for word in read_words(tmp_path / file)] == ["Come", "up", "café", "it", "is"]


def read(folder: Path, name: str, text: str, **options: Any) -> tuple[list[Word], str]:
    notes: list[str] = []
    (folder / name).write_text(text, encoding="utf-8")
    return read_words(folder / name, notes=notes, **options), "; ".join(notes)


def test_a_phrase_is_shared_out_by_length(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n- MARY: [sighs] Big blue boats\n(laughs) ♪\n"
    words, _ = read(tmp_path, "a.srt", text)
    assert [word.text for word in words] == ["Big", "blue", "boats"]
    starts = [word.start for word in words]
    assert starts == pytest.approx([1.0, 1 + 4 / 15, 1 + 9 / 15]) and words[-1].end == 2.0
    twice = "1\n00:00:00,000 --> 00:00:09,000\nUp\n2\n00:00:01,000 --> 00:00:02,000\nno\n"
    assert read(tmp_path, "b.srt", twice)[0] == [Word("Up", 0, 1), Word("no", 1, 2)]


def test_words_without_times_lie_between_their_neighbours(tmp_path: Path) -> None:
    words = items("word", "start", "end")
    words[1] = {"word": "up", "case": "not-found-in-audio"}
    words[4] = {"word": "is"}
    found, notes = read(tmp_path, "a.json", json.dumps({"words": words}))
    assert [word.text for word in found] == [word.text for word in WORDS]
    assert (found[1].start, found[1].end) == (0.5, 1.0)
    assert found[4].start == 1.75 < found[4].end
    assert "2 words without times" in notes
    segment = {"start": 0.25, "end": 2.25, "text": "", "words": words}
    assert read(tmp_path, "b.json", json.dumps({"segments": [segment]}))[0][4].end == 2.25
    assert read(tmp_path, "a.csv", "up,up,0.5,0.75\nno,,,\non,on,1,1.5\n")[0][1].start == 0.75


def test_words_past_the_end_are_left_out_with_a_note(tmp_path: Path) -> None:
    text = FILES["own csv"][1]
    words, notes = read(tmp_path, "a.csv", text, seconds=1.2)
    assert words == WORDS[:3] and "2 of 5 words left out" in notes
    assert read(tmp_path, "a.csv", text, seconds=3.0) == (WORDS, "")
    with pytest.raises(DataError, match="past the end of the audio"):
        read_words(tmp_path / "a.csv", seconds=0.2)


def test_milliseconds_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_text(FILES["milliseconds"][1])
    assert read_words(path) == WORDS  # no word lasts minutes
    assert read_words(path, seconds=3600.0) == WORDS
    printed = capsys.readouterr().err
    assert printed.count("taken as milliseconds") == printed.count("note:") == 2


def test_of_several_tiers_one_is_chosen_and_noted(tmp_path: Path) -> None:
    text = textgrid(*MFA)
    words, notes = read(tmp_path, "x.TextGrid", text)
    assert words == WORDS and "'b - words'; left out: 'a - words'" in notes
    named = text.replace("a - words", "Anna - words")
    assert read(tmp_path, "03_anna.TextGrid", named)[0] == WORDS[:1]
    twice = textgrid(("words", SILENT[:2]), ("words", SILENT))
    assert read(tmp_path, "x.TextGrid", twice)[0] == WORDS
    phrase = textgrid(("utterance", [("Big boats, on (um) it", 1.0, 2.0)]))
    assert [w.text for w in read(tmp_path, "x.TextGrid", phrase)[0]][:3] == ["Big", "boats", "on"]


def test_small_overlaps_are_trimmed_with_a_note(tmp_path: Path) -> None:
    overlapping = textgrid(("words", [("up", 0.5, 1.1), ("on", 1.0, 1.5)]))
    words, notes = read(tmp_path, "a.TextGrid", overlapping)
    assert words == [Word("up", 0.5, 1.1), Word("on", 1.1, 1.5)] and "trimmed" in notes


def test_words_of_a_phrase_in_elan_share_its_time(tmp_path: Path) -> None:
    text = EAF.replace('TIER_ID="A@words"', 'TIER_ID="A"')
    tier = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="r{n}" ANNOTATION_REF="n1"><ANNOTATION_VALUE>'
        f"{word}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
        for n, word in enumerate(["no", "go"])
    )
    text = text.replace("</ANNOTATION_DOCUMENT>", f'<TIER TIER_ID="Words">{tier}</TIER>\\g')
    words, _ = read(tmp_path, "a.eaf", text.replace("\\g", "</ANNOTATION_DOCUMENT>"))
    assert words == [Word("no", 0.25, 1.25), Word("go", 1.25, 2.25)]


@pytest.mark.parametrize(
    "mark",
    [
        "<sil>",
        "sp",
        "SIL",
        "<unk>",
        "[noise]",
        "<p:>",
        "##",
        "{LG}",
        "<usb>",
        "<usb",
        "[BLANK_AUDIO]",
        "spn",
        "!SIL",
        "♪",
        "-",
        "…",
    ],
)
def test_marks_of_noise_are_no_words(mark: str) -> None:
    assert is_noise(mark)
    assert not any(map(is_noise, ("silence", "noise", "I", "don't", "2", "été", "space")))


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "one", "--1", "0x10", None, True, [1]])
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        time_value(text)
    times = ("1.5", "1,5", "1500ms", "1.5 s", "00:01,5", "0:00:01.500", 1.5)
    assert {time_value(value) for value in times} == {1.5}


def test_words_are_found_next_to_a_recording(tmp_path: Path) -> None:
    audio = tmp_path / "talk.1.mp4"
    for name in ("talk.1.mp4", "talk.2.srt", "talk.srt", "talk.1.json", "talk.1.txt"):
        (tmp_path / name).write_text('{"hello": 1}')
    assert find_words(audio) is None
    for name in ("talk.1.txt", "talk.1.en.vtt", "Talk.1.JSON", "talk.1.textgrid"):
        (tmp_path / name).write_text(rows("{s} {e} {w}\n"))
        if name.endswith("JSON"):
            (tmp_path / name).write_text(FILES["Whisper json"][1])
        assert find_words(audio) == tmp_path / name
    assert find_words(audio, tmp_path / "absent") is None


def test_only_plain_files_of_some_size_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match="no regular file"):
        read_words(tmp_path / "a.csv")
    monkeypatch.setattr("speech2video.util.text.word_formats.MAX_BYTES", 20)
    with pytest.raises(DataError, match="too large"):
        read(tmp_path, "b.csv", FILES["own csv"][1])
