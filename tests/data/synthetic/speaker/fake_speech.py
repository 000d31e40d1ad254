"""SynthesisedSpeech without a synthesiser: made-up words and phones at exact times."""

import numpy as np

from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.text.transcript import Phone, Word
from speech2video.util.timing import SAMPLE_RATE


def fake_speech(
    words: list[tuple[str, str]], *, phone: float = 0.09, pause: float = 0.25, silence: float = 1.0
) -> SynthesisedSpeech:
    """Return words given as (text, IPA phones with spaces between; ˈ marks the stressed one).

    Every phone lasts `phone` seconds; `pause` lies between words, `silence` before and after all.
    """
    time = silence
    spoken, phones = [], []
    for index, (text, symbols) in enumerate(words):
        start = time
        for symbol in symbols.split():
            stress = int(symbol.startswith("ˈ"))
            phones.append(Phone(symbol.lstrip("ˈ"), time, time + phone, index, stress))
            time += phone
        spoken.append(Word(text, start, time))
        time += pause
    samples = round((time - pause + silence) * SAMPLE_RATE)
    return SynthesisedSpeech(np.zeros(samples, np.float32), spoken, phones)


SENTENCE = [
    ("people", "p ˈiː p əl"),
    ("bring", "b ɹ ˈɪ ŋ"),
    ("more", "m ˈɔː ɹ"),
    ("fresh", "f ɹ ˈɛ ʃ"),
    ("bread", "b ɹ ˈɛ d"),
    ("and", "æ n d"),
    ("apples", "ˈæ p əl z"),
    ("to", "t ə"),
    ("market", "m ˈɑː ɹ k ɪ t"),
    ("maybe", "m ˈeɪ b iː"),
    ("two", "t ˈuː"),
    ("huge", "h j ˈuː dʒ"),
    ("boats", "b ˈoʊ t s"),
]
