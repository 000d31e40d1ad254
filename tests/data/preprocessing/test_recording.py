"""WordSource of a recording: which file they come from, and whether they fit its sound."""

from pathlib import Path

import numpy as np
import pytest

from speech2video.data.preprocessing.recording import WordSource
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE

WAVE = np.zeros(3 * SAMPLE_RATE, np.float32)
CSV = "word,start,end\none,0.5,0.9\ntwo,1.0,1.4\nlate,3.1,3.5\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "talk.csv").write_text(CSV)
    return tmp_path / "talk.mp4"


def test_without_a_transcript_there_are_no_words(tmp_path: Path) -> None:
    words = WordSource().of(tmp_path / "talk.mp4", WAVE)
    assert (words.words, words.source, words.notes) == ((), "", ())


def test_what_lies_beside_is_found_and_times_go_before_text(recording: Path) -> None:
    recording.with_suffix(".txt").write_text("a text that nobody says")
    words = WordSource().of(recording, WAVE)
    assert words.source == "given" and [word.text for word in words.words] == ["one", "two"]


def test_a_folder_or_a_file_of_transcripts_goes_before_what_lies_beside(
    recording: Path, tmp_path: Path
) -> None:
    other = tmp_path / "transcripts"
    other.mkdir()
    assert WordSource(other).of(recording, WAVE).source == ""
    (other / "talk.csv").write_text("word,start,end\nthree,0,1\n")
    for given in (other, other / "talk.csv"):
        assert [word.text for word in WordSource(given).of(recording, WAVE).words] == ["three"]


def test_words_after_the_end_are_left_out_and_that_is_said(recording: Path) -> None:
    assert WordSource().of(recording, WAVE).notes == (
        "words after the end of the sound left out: 1",
    )
    assert WordSource().of(recording, np.tile(WAVE, 2)).notes == ()


def test_words_of_another_recording_are_refused(recording: Path) -> None:
    with pytest.raises(DataError, match=r"talk.csv.*until 3.5 s, the sound lasts 0.5 s"):
        WordSource().of(recording, WAVE[: SAMPLE_RATE // 2])


def test_a_text_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"talk.txt: not UTF-8 text"):
        WordSource().of(tmp_path / "talk.mp4", WAVE)
