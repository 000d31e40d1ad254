"""Words of a recording: the file they come from, and whether they fit its audio."""

from pathlib import Path

import numpy as np
import pytest

from speech2video.data.preprocessing.recording import WordSource
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE

AUDIO_S = np.zeros(3 * SAMPLE_RATE, np.float32)
CSV = "word,start,end\none,0.5,0.9\ntwo,1.0,1.4\nlate,3.1,3.5\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "talk.csv").write_text(CSV)
    return tmp_path / "talk.mp4"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("talk.srt", "1\n00:00:00,500 --> 00:00:01,500\none two\n"),
        ("talk.en.vtt", "WEBVTT\n\n00:00.500 --> 00:01.500\none two\n"),
        ("talk.tsv", "start\tend\ttext\n500\t1500\tone two\n"),
        (
            "talk.json",
            '{"words": [{"word": "one", "start": 0.5, "end": 0.9}, '
            '{"word": "two", "start": 1.0, "end": 1.5}]}',
        ),
        ("talk.ctm", "talk 1 0.5 0.4 one\ntalk 1 1.0 0.5 two\n"),
        ("talk.csv", "word;start;end\none;0,5;0,9\ntwo;1,0;1,5\n"),
        ("TALK.TextGrid", None),
    ],
)
def test_words_of_any_format_are_found_next_to_a_recording(
    tmp_path: Path, name: str, content: str | None
) -> None:
    if content is None:
        content = (
            'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n3\n<exists>\n1\n'
            '"IntervalTier"\n"words"\n0\n3\n2\n0.5\n0.9\n"one"\n0.9\n1.5\n"two"\n'
        )
    (tmp_path / name).write_text(content)
    (tmp_path / "talk.txt").write_text("a text that is not spoken")
    words = WordSource().read(tmp_path / "talk.mp4", AUDIO_S)
    assert [word.text for word in words.words] == ["one", "two"] and words.source == "given"
    assert words.words[0].start == pytest.approx(0.5)


def test_without_a_transcript_there_are_no_words(tmp_path: Path) -> None:
    words = WordSource().read(tmp_path / "talk.mp4", AUDIO_S)
    assert (words.words, words.source, words.notes) == ((), "", ())


def test_a_timed_transcript_precedes_a_text(
    recording: Path,
) -> None:
    recording.with_suffix(".txt").write_text("a text that is not spoken")
    words = WordSource().read(recording, AUDIO_S)
    assert words.source == "given" and [word.text for word in words.words] == ["one", "two"]


def test_given_transcripts_precede_those_next_to_the_recording(
    recording: Path, tmp_path: Path
) -> None:
    other = tmp_path / "transcripts"
    other.mkdir()
    assert WordSource(other).read(recording, AUDIO_S).source == ""
    (other / "talk.csv").write_text("word,start,end\nthree,0,1\n")
    for given in (other, other / "talk.csv"):
        assert [word.text for word in WordSource(given).read(recording, AUDIO_S).words] == ["three"]


def test_words_after_the_end_are_left_out_with_a_note(recording: Path) -> None:
    assert WordSource().read(recording, AUDIO_S).notes == (
        "words after the end of the audio left out: 1",
    )
    assert WordSource().read(recording, np.tile(AUDIO_S, 2)).notes == ()


def test_words_of_another_recording_are_refused(recording: Path) -> None:
    with pytest.raises(DataError, match=r"talk.csv.*until 3.5 s, the audio lasts 0.5 s"):
        WordSource().read(recording, AUDIO_S[: SAMPLE_RATE // 2])


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"talk.txt: not text"):
        WordSource().read(tmp_path / "talk.mp4", AUDIO_S)
