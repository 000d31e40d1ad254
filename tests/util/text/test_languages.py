"""Text of any language keeps its letters; words and phones come in time with the audio."""

import itertools
import unicodedata

import pytest

from speech2video.data.synthetic.speaker.visemes import split_ipa
from speech2video.util.errors import DataError
from speech2video.util.text.languages import (
    clean_phone,
    cut_runs,
    is_english,
    language_voice,
    nearest_arpabet,
    spoken_unicode,
    unicode_word_spans,
    unread_letters,
)
from speech2video.util.text.phones import ARPABET, phone_classes
from speech2video.util.text.synthesis import spoken_phones, synthesise

# A language's tag, words in it as they are written, and as they come back.
SAID = {
    "ar": "مرحبا بالعالم",
    "cs": "Příliš žluťoučký kůň",
    "da": "Rødgrød med fløde",
    "de": "Übung macht den Meister",
    "el": "Καλημέρα κόσμε",
    "es": "El año que viene",
    "fa": "می‌آیند و می‌روند",
    "fi": "Hyvää yötä",
    "fr": "L'été à la mer",
    "he": "שלום עולם",
    "hi": "नमस्ते दुनिया",
    "hu": "Árvíztűrő tükörfúrógép",
    "id": "Selamat pagi dunia",
    "it": "Perché no così",
    "ko": "안녕하세요 세계",
    "nl": "Een mooie dag",
    "pl": "Zażółć gęślą jaźń",
    "pt-BR": "Não há pão amanhã",
    "ro": "Bună dimineața țară",
    "ru": "Привет мир",
    "sv": "Sju sjösjuka sjömän",
    "tr": "Güneş ışığı çok güzel",
    "uk": "Їжак їсть ґрунт",
    "vi": "Xin chào thế giới",
}


@pytest.mark.parametrize("language", SAID)
def test_words_and_phones_of_every_language_are_in_order(language: str) -> None:
    pytest.importorskip("espeakng_loader")
    text = SAID[language]
    speech = synthesise(f"{text} 😀.", voice=language_voice(language))
    assert [word.text for word in speech.words] == text.split()
    for items in (speech.words, speech.phones):
        assert all(0 <= item.start < item.end for item in items)
        assert all(one.end <= two.start + 1e-9 for one, two in itertools.pairwise(items))
    assert speech.words[-1].end < len(speech.audio_S) / 16_000
    assert {phone.word for phone in speech.phones} == set(range(len(speech.words)))
    for phone in speech.phones:
        assert phone_classes(phone.text) and split_ipa(phone.text), phone
        assert set(nearest_arpabet([phone.text])) <= set(ARPABET) and nearest_arpabet([phone.text])


@pytest.mark.parametrize(("language", "text"), [("zh", "你好世界,天气很好"), ("yue", "你好世界")])
def test_chinese_words_are_cut_where_they_are_spoken(language: str, text: str) -> None:
    pytest.importorskip("espeakng_loader")
    speech = synthesise(text, voice=language_voice(language))
    assert "".join(word.text for word in speech.words) == text.replace(",", "")
    assert len(speech.words) > 2
    assert all(word.start < word.end for word in speech.words)


def test_numbers_and_symbols_stay_one_word_each() -> None:
    pytest.importorskip("espeakng_loader")
    spoken = spoken_phones("Das kostet 21,50 € oder 5 %.", voice="de")
    assert [word for word, _ in spoken] == ["Das", "kostet", "21,50", "€", "oder", "5", "%"]
    assert len(dict(spoken)["21,50"]) > 10 and all(phones for _, phones in spoken)


def test_unicode_text_keeps_its_letters() -> None:
    for text in SAID.values():
        assert spoken_unicode(unicodedata.normalize("NFD", text)) == text
        assert [text[a:b] for a, b in unicode_word_spans(text)] == text.split()
    assert spoken_unicode("Übung\u200b 👩\u200d🚀😀👍🏽 año\x00\n 20 °C ½") == "Übung año 20 °C ½"
    with pytest.raises(DataError, match="a word of 5000 letters"):
        spoken_unicode("ж" * 5000)
    assert len(spoken_unicode("世" * 5000)) == 5000


def test_words_are_split_by_script() -> None:
    text = "¿Qué?—L’été: 3.5, 17:30 l'an; web-site 你好abc สวัสดี. $5"
    words = [text[start:end] for start, end in unicode_word_spans(text)]
    expected = [
        "Qué",
        "L’été",
        "3.5",
        "17:30",
        "l'an",
        "web",
        "site",
        "你好",
        "abc",
        "สวัสดี",
        "$",
        "5",
    ]
    assert words == expected
    start = text.index("你")
    assert cut_runs(text, [(start, start + 2), (1, 4)], [start + 1, 2]) == [
        *((start, start + 1), (start + 1, start + 2)),
        (1, 4),
    ]


@pytest.mark.parametrize(
    ("name", "ipa"),
    [
        ("ˈtɕh", "ˈtɕʰ"),
        ("s.", "ʂ"),
        ("(en)", None),
        ("ː", None),
        ("ʲ", "j"),
        ("ç", "ç"),
        ("t͡s", "ts"),
        ("a-", "a"),
        ("", ""),
    ],
)
def test_names_of_phonemes_become_ipa(name: str, ipa: str | None) -> None:
    assert clean_phone(name) == ipa


def test_foreign_phones_have_near_english_ones() -> None:
    assert nearest_arpabet(["ˈaɪ", "tʃ", "ts", "ɲ", "ɑ̃", "yː", "aɪə"]) == [
        *("AY", "CH", "T", "S", "N", "Y", "AA", "IY", "AY", "AH")
    ]


def test_tags_of_languages_name_voices() -> None:
    pytest.importorskip("espeakng_loader")
    tags = {"en": "en-us", "de-AT": "de", "pt_BR": "pt-br", "zh-Hant-TW": "cmn", "zh-HK": "yue"}
    tags |= {"no": "nb", "iw": "he", "German": "de", "en-GB": "en", "es-AR": "es-419"}
    for tag, voice in tags.items():
        assert language_voice(tag) == voice
    for tag, seen in [("xx", "known: af am"), ("Germn", "german"), ("kl", "known"), ("", "known")]:
        with pytest.raises(DataError, match=seen) as error:
            language_voice(tag)
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="no voice 'kl'"):  # espeak-ng would end the process
        synthesise("hello", voice="kl")
    assert is_english("en-us+f3") and is_english("EN_GB") and not is_english("eno")


def test_chinese_characters_that_a_voice_does_not_read_are_named() -> None:
    assert unread_letters("こんにちは世界", "ja") == "世界"
    assert not unread_letters("你好", "cmn+f2") and not unread_letters("Übung", "de")
