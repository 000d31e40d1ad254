"""Phones: the classes that phonetic features distinguish, and how other alphabets map to them.

A class is a target of the vocal tract, so diphthongs are two of them one after the other, as in
the viseme rules of the synthetic speaker. Symbols are IPA; CMU's ARPAbet maps to them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SILENCE = "sil"
PHONES = (
    SILENCE,
    *("p", "b", "m", "f", "v", "θ", "ð", "t", "d", "n", "l", "s", "z", "ʃ", "ʒ", "tʃ", "dʒ"),
    *("k", "ɡ", "ŋ", "h", "ɹ", "w", "j"),
    *("i", "ɪ", "e", "ɛ", "æ", "a", "ʌ", "ə", "ɜ", "ɔ", "o", "ʊ", "u"),
)
# Of phonetic features (util/audio/phonetic.py): steps of 20 ms in a frame; frames that it is late
STEPS_PER_FRAME, DELAY_FRAMES = 2, 3
PHONE_INDEX = {phone: index for index, phone in enumerate(PHONES)}
# Other symbols of espeak-ng and of aligners, by the class that the mouth makes alike.
_ALIKE = {
    **{"ɱ": "m", "ʋ": "v", "ɾ": "t", "ɫ": "l", "ʧ": "tʃ", "ʤ": "dʒ", "g": "ɡ", "ɣ": "ɡ", "c": "k"},
    **{"x": "h", "ç": "h", "ɬ": "l", "ʔ": "h", "ɦ": "h", "ħ": "h", "χ": "h", "q": "k", "ɟ": "ɡ"},
    **{"r": "ɹ", "ɻ": "ɹ", "ʁ": "ɹ", "ʀ": "ɹ", "ɽ": "ɹ", "ʍ": "w", "ɥ": "w", "ɰ": "ɡ", "ʎ": "l"},
    **{"ɲ": "n", "ɳ": "n", "ɴ": "ŋ", "ʈ": "t", "ɖ": "d", "ʂ": "ʃ", "ʐ": "ʒ", "ɕ": "ʃ", "ʑ": "ʒ"},
    **{"ɸ": "f", "β": "v", "y": "u", "ʏ": "ʊ", "ø": "o", "œ": "ɜ", "ᵻ": "ɪ", "ɨ": "ɪ", "ɐ": "ʌ"},
    **{"ɑ": "a", "ɒ": "a", "ɶ": "a", "ᵊ": "ə", "ɘ": "ə", "ɵ": "ə", "ɞ": "ɜ", "ɝ": "ɜ", "ɚ": "ɜ"},
    **{"ɤ": "ʌ", "ɯ": "ʊ", "ʉ": "u", "ɭ": "l", "ʝ": "j", "ʕ": "h", "ʙ": "b", "ɓ": "b", "ɗ": "d"},
    **{"ɠ": "ɡ", "ɺ": "l", "ɧ": "ʃ"},
}
ARPABET = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AX": "ə", "AXR": "ɚ", "AY": "aɪ"},
    **{"B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "DX": "ɾ", "EH": "ɛ", "EL": "əl", "EM": "əm"},
    **{"EN": "ən", "ER": "ɝ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h", "HV": "h", "IH": "ɪ"},
    **{"IX": "ɪ", "IY": "i", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ"},
    **{"OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ"},
    **{"UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
    # TIMIT's: closures before stops and more
    **{"BCL": "b", "DCL": "d", "GCL": "ɡ", "KCL": "k", "PCL": "p", "TCL": "t", "Q": "ʔ"},
    **{"AX-H": "ə", "ENG": "ŋ", "NX": "ɾ", "UX": "u"},
}


@dataclass(frozen=True)
class Phone:
    """A phone in IPA; `start` and `end` in seconds.

    `word` is the index of its word where that is known; `stress` is 0 none, 1 primary, 2 secondary;
    `confidence` from 0 to 1 that it is said there.
    """

    text: str
    start: float
    end: float
    word: int | None = None
    stress: int = 0
    confidence: float = 1.0


def from_arpabet(name: str) -> tuple[str, int] | None:
    """Return the IPA and the stress (0, 1, 2) of an ARPAbet name; None for silence and noise.

    An unstressed AH is a schwa. Case does not matter.
    """
    name = name.upper()
    stress = int(name[-1]) if name[-1:].isdigit() else None
    plain = name.rstrip("0123456789")
    if plain not in ARPABET:
        return None
    ipa = "ə" if plain == "AH" and stress == 0 else ARPABET[plain]
    return ipa, stress or 0


def phone_classes(ipa: str) -> list[int]:
    """Return the classes of a phone's IPA one after the other; unknown marks are left out."""
    classes, i = [], 0
    while i < len(ipa):
        symbol = ipa[i : i + 2] if ipa[i : i + 2] in PHONE_INDEX else ipa[i]
        known = _ALIKE.get(symbol, symbol)
        if known in PHONE_INDEX:
            classes.append(PHONE_INDEX[known])
        i += len(symbol)
    return classes


def phone_shares(phones: Iterable[Phone], frames: int, *, rate: float) -> np.ndarray:
    """Return each class' share (T, C) float32 of frames at a rate; silence where no phone is."""
    shares_TC = np.zeros((frames, len(PHONES)), np.float32)
    for phone in phones:
        classes = phone_classes(phone.text)
        edges = np.linspace(phone.start, phone.end, len(classes) + 1) * rate
        for index, start, end in zip(classes, edges[:-1], edges[1:], strict=True):
            first, last = max(int(start), 0), min(int(np.ceil(end)), frames)
            for t in range(first, last):
                shares_TC[t, index] += max(0.0, min(end, t + 1) - max(start, t))
    total_T1 = shares_TC.sum(1, keepdims=True)
    shares_TC /= np.maximum(total_T1, 1)
    shares_TC[:, 0] += 1 - np.minimum(total_T1[:, 0], 1)
    return shares_TC


def phone_confidence(phones: Iterable[Phone], frames: int, *, rate: float) -> np.ndarray:
    """Return how surely a frame's phones are known (T,) float32: 0 where no phone is."""
    confidence_T = np.zeros(frames, np.float32)
    for phone in phones:
        start, end = phone.start * rate, phone.end * rate
        for t in range(max(int(start), 0), min(int(np.ceil(end)), frames)):
            inside = max(0.0, min(end, t + 1) - max(start, t))
            confidence_T[t] += inside * phone.confidence
    return confidence_T.clip(max=1)
