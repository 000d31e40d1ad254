"""Speech with its words: recorded, aligned, recognised, synthesised, listed in a file."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.text.speech_source import (
    align_transcript,
    read_audio_list,
    recognise_words,
    recorded_speech,
    synthesised_speech,
)
from speech2video.util.text.synthesis import synthesise
from speech2video.util.text.transcript import Word, write_words
from tests.tiny_speaker import voice

TEXT = "Both of you, up there."
speaks = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)


@speaks
def test_a_text_is_synthesised_into_a_temporary_file() -> None:
    with synthesised_speech(TEXT) as speech:
        path = speech.audio
        assert len(load_audio(path)) == len(synthesise(TEXT).audio_S)
        assert [word.text for word in speech.words] == ["Both", "of", "you", "up", "there"]
    assert not path.exists()


@speaks
def test_another_text_has_another_name() -> None:
    stems = set()
    for text in (TEXT, TEXT, TEXT + " Now."):
        with synthesised_speech(text) as speech:
            stems.add(speech.stem)
    assert len(stems) == 2


@speaks
def test_a_transcript_is_aligned_with_its_audio(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra `preprocess` is not installed")
    made = synthesise("We put big blue boats on the water.")
    write_audio(tmp_path / "a.wav", made.audio_S)
    found = recorded_speech(
        tmp_path / "a.wav", transcript="We put big blue boats on the water."
    ).words
    assert [word.text for word in found] == [word.text for word in made.words]
    assert all(abs(a.start - b.start) < 0.15 for a, b in zip(found, made.words, strict=True))


@speaks
def test_words_bring_their_phones(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra `preprocess` is not installed")
    with synthesised_speech(TEXT) as speech:
        assert speech.phones == synthesise(TEXT).phones
        audio = tmp_path / "a.wav"
        write_audio(audio, load_audio(speech.audio))
    transcribed = recorded_speech(audio, transcript=TEXT)
    write_words(tmp_path / "a.csv", speech.words)
    timed = recorded_speech(audio, words=tmp_path / "a.csv")
    for found in (transcribed, timed):
        assert {phone.word for phone in found.phones} == set(range(5))
        assert found.phones[0].text == "b"


def test_a_tier_of_phones_is_taken_as_it_is(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", voice(2.0))
    tiers = {
        "words": [(0.2, 0.6, "me")],
        "phones": [(0.2, 0.3, "M"), (0.3, 0.6, "IY1"), (0.9, 1.0, "AH0")],
    }
    lines = ['"ooTextFile"', '"TextGrid"', "0 2 <exists> 2"]
    for name, rows in tiers.items():
        lines += [f'"IntervalTier" "{name}" 0 2 {len(rows)}']
        lines += [f'{start} {end} "{text}"' for start, end, text in rows]
    (tmp_path / "a.TextGrid").write_text("\n".join(lines))
    found = recorded_speech(tmp_path / "a.wav", words=tmp_path / "a.TextGrid")
    assert [(p.text, p.word, p.stress) for p in found.phones] == [
        ("m", 0, 0),
        ("i", 0, 1),
        ("ə", None, 0),
    ]


def test_without_an_aligner_there_are_no_phones_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    write_audio(tmp_path / "a.wav", voice(2.0))
    write_words(tmp_path / "a.csv", [Word("me", 0.2, 0.6)])
    found = recorded_speech(tmp_path / "a.wav", words=tmp_path / "a.csv")
    assert found.phones is None
    assert capsys.readouterr().err.count("lips follow the audio alone") == 1


def test_missing_words_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_audio(tmp_path / "a.wav", voice(1.0))
    (tmp_path / "words").mkdir()
    assert recorded_speech(tmp_path / "a.wav", words=tmp_path / "words").words is None
    (tmp_path / "words/a.csv").write_text("word,start,end\n")
    assert recorded_speech(tmp_path / "a.wav", words=tmp_path / "words").words == []
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("note: ") and "no words of a.wav in it" in first
    assert second.startswith("note: ") and "a.csv: no words in it" in second


@speaks
def test_a_text_that_is_not_unicode_is_synthesised() -> None:
    with synthesised_speech("caf\udce9 hello") as speech:
        assert speech.words[-1].text == "hello"


@speaks
def test_a_transcript_may_be_a_file_or_subtitles(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra `preprocess` is not installed")
    write_audio(tmp_path / "a.wav", synthesise("We put big blue boats on it.").audio_S)
    subtitles = "1\n00:00:00,000 --> 00:00:09,000\nMARY: We put [sighs] big\n\n"
    subtitles += "2\n00:00:09,000 --> 00:00:12,000\n<i>blue boats</i> on it.\n"
    (tmp_path / "a.srt").write_text(subtitles, encoding="utf-16")
    expected = ["We", "put", "big", "blue", "boats", "on", "it"]
    for transcript in (subtitles, str(tmp_path / "a.srt")):
        found = recorded_speech(tmp_path / "a.wav", transcript=transcript).words
        assert [word.text for word in found or ()] == expected
    assert capsys.readouterr().err.count("note:") == 1


@pytest.mark.parametrize("text", ["up " * 100_000, "up " * 500, "[sighs]", "(laughs) 00:01"])
def test_a_text_far_too_long_or_without_words_is_one_line(text: str) -> None:
    with pytest.raises(DataError, match=r"does not fit|no words"):
        align_transcript(voice(2.0), text)


def test_words_past_the_end_of_a_recording_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_audio(tmp_path / "a.wav", voice(2.0))
    (tmp_path / "a.csv").write_text("word,start,end\nup,0.1,0.4\non,2.1,2.3\n")
    speech = recorded_speech(tmp_path / "a.wav", words=tmp_path / "a.csv")
    assert [word.text for word in speech.words or ()] == ["up"]
    assert capsys.readouterr().err.count("1 of 2 words left out") == 1
    (tmp_path / "a.csv").write_text("word,start,end\nup,100,400\non,500,800\n")
    speech = recorded_speech(tmp_path / "a.wav", words=tmp_path / "a.csv")
    assert speech.words == [Word("up", 0.1, 0.4), Word("on", 0.5, 0.8)]
    (tmp_path / "a.csv").write_text("word,start,end\nup,4,4.4\n")
    with pytest.raises(DataError, match="past the end of the audio"):
        recorded_speech(tmp_path / "a.wav", words=tmp_path / "a.csv")


def test_words_are_found_by_the_name_of_the_audio(tmp_path: Path) -> None:
    for name in ("a.b", "c"):
        write_audio(tmp_path / f"{name}.wav", voice(0.1))
    (tmp_path / "a.b.csv").write_text("word,start,end\nup,0.01,0.02\n")
    assert [w.text for w in recorded_speech(tmp_path / "a.b.wav", words=tmp_path).words] == ["up"]
    assert recorded_speech(tmp_path / "c.wav", words=tmp_path).words is None


def test_a_list_keeps_its_order_and_refuses_what_would_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("b.wav\n\n  a c.mp3 \n", encoding="utf-8")
    assert read_audio_list(path) == [Path("b.wav"), Path("a c.mp3")]
    path.write_text("x/a.wav\ny/a.mp3\n", encoding="utf-8")
    with pytest.raises(DataError, match="called a;"):
        read_audio_list(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not text in UTF-8"):
        read_audio_list(path)


def test_recognition_names_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(DataError, match="pip install faster-whisper"):
        recognise_words(np.zeros(16_000, np.float32))


def fake_whisper(monkeypatch: pytest.MonkeyPatch, asked: dict) -> None:
    class WhisperModel:
        def __init__(self, model: str, device: str) -> None:
            asked.update(model=model, device=device)
            if model == "absent":
                raise ValueError("Invalid model size")

        def transcribe(self, audio_S: np.ndarray, **options: object) -> tuple:
            asked.update(options)
            said = [(" Hello,", 0.1, 0.6), (" wörld.", 0.5, 0.9)]
            words = [SimpleNamespace(word=word, start=a, end=b) for word, a, b in said]
            segments = iter([SimpleNamespace(words=words), SimpleNamespace(words=None)])
            return segments, SimpleNamespace(language=options["language"] or "de")

    module = ModuleType("faster_whisper")
    module.WhisperModel = WhisperModel
    monkeypatch.setitem(sys.modules, "faster_whisper", module)


def test_recognised_words_are_bare_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict = {}
    fake_whisper(monkeypatch, asked)
    expected = [Word("Hello", 0.1, 0.6), Word("wörld", 0.6, 0.9)]
    found = recognise_words(np.zeros(16_000, np.float32))
    assert (found.words, found.language) == (expected, "de")
    assert asked == {
        **{"model": "small", "device": "auto", "language": None, "word_timestamps": True},
        **{"vad_filter": True, "condition_on_previous_text": False},
    }


def test_recognition_takes_any_tag_and_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict = {}
    fake_whisper(monkeypatch, asked)
    for tag, code in [("pt-BR", "pt"), ("cmn", "zh"), ("zh-Hant", "zh"), ("nb", "no")]:
        audio_S = np.zeros(160, np.float32)
        found = recognise_words(audio_S, model=str(tmp_path), language=tag)
        assert found.language == asked["language"] == code
    assert asked["model"] == str(tmp_path)
    with pytest.raises(DataError, match="fails with the model 'absent'"):
        recognise_words(np.zeros(160, np.float32), model="absent")


@speaks
def test_text_and_transcripts_of_other_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra `preprocess` is not installed")
    for language, text in [
        ("de", "Guten Morgen, meine Damen. Heute möchte ich von einer Übung erzählen."),
        ("es", "Buenos días a todos. Hoy quiero hablar del año que viene."),
        ("zh", "大家好，今天天气很好，我们一起去公园吃饭。"),
    ]:
        with synthesised_speech(text, language=language) as made:
            assert made.audio is not None and made.words
            found = recorded_speech(made.audio, transcript=text, language=language).words or ()
        assert [word.text for word in found] == [word.text for word in made.words]
        late = [abs(a.start - b.start) for a, b in zip(found, made.words, strict=True)]
        assert np.median(late) < 0.06
    assert not capsys.readouterr().err
    write_audio(tmp_path / "a.wav", voice(2.0))
    for tag, seen in [("de", "does not fit"), ("xx", "does not speak the language 'xx'")]:
        speech = recorded_speech(tmp_path / "a.wav", transcript="Guten Morgen. " * 20, language=tag)
        assert speech.words is None
        (line,) = capsys.readouterr().err.splitlines()
        assert seen in line and line.endswith("the video is made without words")


@speaks
def test_letters_that_a_voice_does_not_read_are_noted(capsys: pytest.CaptureFixture) -> None:
    with synthesised_speech("こんにちは世界", language="ja") as speech:
        assert speech.words
    (line,) = capsys.readouterr().err.splitlines()
    assert "voice ja does not read Chinese characters such as 世" in line
    with (
        pytest.raises(DataError, match="--language ru"),
        synthesised_speech("Привет"),
    ):
        pass
