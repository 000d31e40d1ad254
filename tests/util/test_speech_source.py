"""Speeches: recorded with their words, spoken from a text, listed in a file."""

import importlib.util
from pathlib import Path

import pytest

from speech2video.util.audio import load_wave, write_wave
from speech2video.util.errors import DataError
from speech2video.util.speech_source import read_list, recorded, spoken
from speech2video.util.speech_synthesis import synthesise
from tests.tiny_speaker import voice

TEXT = "Both of you, up there."
speaks = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)


@speaks
def test_a_text_is_spoken_into_a_file_that_goes_away() -> None:
    with spoken(TEXT) as speech:
        path = speech.sound
        assert len(load_wave(path)) == len(synthesise(TEXT).wave_S)
        assert [word.text for word in speech.words] == ["Both", "of", "you", "up", "there"]
    assert not path.exists()


@speaks
def test_another_text_has_another_name() -> None:
    stems = set()
    for text in (TEXT, TEXT, TEXT + " Now."):
        with spoken(text) as speech:
            stems.add(speech.stem)
    assert len(stems) == 2


@speaks
def test_a_transcript_is_found_in_its_sound(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra `preprocess` is not installed")
    made = synthesise("We put big blue boats on the water.")
    write_wave(tmp_path / "a.wav", made.wave_S)
    found = recorded(tmp_path / "a.wav", transcript="We put big blue boats on the water.").words
    assert [word.text for word in found] == [word.text for word in made.words]
    assert all(abs(a.start - b.start) < 0.15 for a, b in zip(found, made.words, strict=True))


def test_words_are_looked_for_by_the_sounds_name(tmp_path: Path) -> None:
    for name in ("a.b", "c"):
        write_wave(tmp_path / f"{name}.wav", voice(0.1))
    (tmp_path / "a.b.csv").write_text("word,start,end\nup,0.01,0.02\n")
    assert [w.text for w in recorded(tmp_path / "a.b.wav", words=tmp_path).words] == ["up"]
    assert recorded(tmp_path / "c.wav", words=tmp_path).words is None


def test_a_list_keeps_its_order_and_refuses_what_would_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("b.wav\n\n  a c.mp3 \n", encoding="utf-8")
    assert read_list(path) == [Path("b.wav"), Path("a c.mp3")]
    path.write_text("x/a.wav\ny/a.mp3\n", encoding="utf-8")
    with pytest.raises(DataError, match="called a;"):
        read_list(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_list(path)
