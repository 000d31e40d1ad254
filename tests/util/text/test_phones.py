import numpy as np
import pytest

from speech2video.util.text.phones import (
    ARPABET,
    PHONE_INDEX,
    PHONES,
    from_arpabet,
    phone_classes,
    phone_confidence,
    phone_shares,
)
from speech2video.util.text.transcript import Phone


def test_every_arpabet_name_has_classes():
    for name, ipa in ARPABET.items():
        assert phone_classes(ipa), name
        assert from_arpabet(f"{name.lower()}1") == (ipa, 1)


@pytest.mark.parametrize("name", ["", "SIL", "pau", "spn", "7", "<unk>"])
def test_silence_and_noise_are_no_phones(name: str):
    assert from_arpabet(name) is None


def test_unstressed_ah_is_a_schwa():
    assert from_arpabet("AH0") == ("ə", 0)
    assert from_arpabet("AH1") == ("ʌ", 1)


def test_diphthongs_and_affricates():
    assert [PHONES[i] for i in phone_classes("aɪ")] == ["a", "ɪ"]
    assert [PHONES[i] for i in phone_classes("tʃ")] == ["tʃ"]
    assert phone_classes("ː") == []


def test_shares_sum_to_one_and_follow_the_times():
    phones = [Phone("m", 0.1, 0.2), Phone("aɪ", 0.2, 0.4), Phone("s", 0.55, 0.61)]
    shares_TC = phone_shares(phones, 40, rate=50)
    np.testing.assert_allclose(shares_TC.sum(1), 1, atol=1e-6)
    for name, first, last in (("m", 5, 9), ("a", 10, 14), ("ɪ", 15, 19), ("sil", 21, 26)):
        assert (shares_TC[first : last + 1].argmax(1) == PHONE_INDEX[name]).all(), name
    assert shares_TC[30, PHONE_INDEX["s"]] == pytest.approx(0.5, abs=1e-3)


def test_shares_of_a_part_equal_a_part_of_the_shares():
    phones = [Phone("p", 0.113, 0.187), Phone("u", 0.187, 0.391)]
    whole_TC = phone_shares(phones, 40, rate=50)
    late = [Phone(p.text, p.start - 0.2, p.end - 0.2) for p in phones]
    np.testing.assert_allclose(phone_shares(late, 20, rate=50), whole_TC[10:30], atol=1e-5)


def test_confidence_is_none_between_phones():
    confidence_T = phone_confidence([Phone("m", 0.1, 0.2), Phone("s", 0.3, 0.4)], 30, rate=50)
    assert (confidence_T[5:10] == 1).all()
    assert (confidence_T[10:15] == 0).all()
