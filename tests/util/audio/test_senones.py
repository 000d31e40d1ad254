import numpy as np
import pytest

from speech2video.util.audio import mel, senones
from speech2video.util.audio.normalisation import level_loudness

pytestmark = pytest.mark.skipif(
    not senones.is_available(), reason="the acoustic model is in the package pocketsphinx"
)
MEAN_C = np.array([50, 5, 1, 10, 10, -12, -10, 0, 0, 2, 0, 0, 0], float)
SILENCES = [0, 1, 32]  # of the model's 42 phones, two noises among them
HISSES = [9, 20, 30, 31, 40, 41]  # CH, JH, S, SH, Z, ZH


def spectra(audio_S: np.ndarray) -> np.ndarray:
    windows = mel.WindowStream()
    parts = [*windows.push(audio_S), *windows.finish()]
    return np.concatenate([mel.power_spectra(part) for part in parts])


def states(power_NF: np.ndarray, stream: senones.SenoneStream | None = None) -> np.ndarray:
    rows = (stream or senones.SenoneStream(MEAN_C)).push(power_NF)
    with senones.single_thread():
        return np.concatenate([senones.acoustic_model().states(log_TN) for log_TN in rows])


def test_states_are_probabilities():
    noise_S = np.random.default_rng(0).normal(scale=0.05, size=16_000).astype(np.float32)
    states_NS = states(spectra(noise_S))
    assert states_NS.shape == (100, senones.STATES)
    assert states_NS.dtype == np.float32
    np.testing.assert_allclose(states_NS.sum(1), 1, atol=1e-4)


def test_chunks_do_not_matter():
    power_NF = spectra(np.random.default_rng(1).normal(scale=0.05, size=16_000).astype(np.float32))
    whole_NS = states(power_NF)
    stream = senones.SenoneStream(MEAN_C)
    parts = [states(power_NF[i : i + 5], stream) for i in range(0, len(power_NF), 5)]
    np.testing.assert_allclose(np.concatenate(parts), whole_NS, atol=1e-4)


def test_digital_silence_is_silence():
    states_NS = states(spectra(np.zeros(16_000, np.float32)))
    assert np.isin(states_NS.reshape(-1, 42, 3).sum(2).argmax(1)[20:], SILENCES).all()


def test_the_past_alone_counts():
    rng = np.random.default_rng(2)
    power_NF = spectra(rng.normal(scale=0.05, size=16_000).astype(np.float32))
    other_NF = power_NF.copy()
    other_NF[60:] *= 3
    first, second = states(power_NF), states(other_NF)
    np.testing.assert_array_equal(first[:60], second[:60])
    assert np.abs(first[60:] - second[60:]).max() > 0


def test_each_senone_belongs_to_one_state_of_one_phone():
    model = senones.acoustic_model()
    senone, state = np.unique(
        np.stack([model.senones_N3, 3 * model.triphones[:, 1:2] + np.arange(3)], -1).reshape(-1, 2),
        axis=0,
    ).T
    np.testing.assert_array_equal(senone, np.arange(5126))
    np.testing.assert_array_equal(np.searchsorted(state, np.arange(126)), model.starts)


def test_the_language_model_prefers_what_english_says():
    chance_PPP = senones.phone_language_model(["S", "T", "R", "NG"])
    assert chance_PPP[0, 1, 2] > 10 * chance_PPP[0, 1, 3]


def test_vowels_and_hisses_of_a_voice_are_told_apart():
    pytest.importorskip("espeakng_loader", reason="espeak-ng speaks here")
    from speech2video.util.text.synthesis import synthesise

    speech = synthesise("See the sea, so says Sue, as she passes the same house.")
    states_NS = states(spectra(level_loudness(speech.audio_S)))
    phones_NP = states_NS.reshape(-1, 42, 3).sum(2)[senones.DELAY_HOPS :]
    shares = {True: [], False: []}
    for phone in speech.phones:
        middle = int((phone.start + phone.end) / 2 * 100)
        if middle < len(phones_NP):
            shares[phone.text in ("s", "ʃ", "z")].append(phones_NP[middle, HISSES].sum())
    assert np.mean(shares[True]) > 0.5 > 0.2 > np.mean(shares[False])
