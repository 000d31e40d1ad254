from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from speech2video.util.audio import phonetic, senones
from speech2video.util.errors import DataError
from speech2video.util.text.phones import PHONE_INDEX, PHONES
from speech2video.util.text.transcript import Phone

pytestmark = pytest.mark.skipif(
    not senones.is_available(), reason="the acoustic model is in the package pocketsphinx"
)
load_network = phonetic.phonetic_network.__wrapped__


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> phonetic.PhoneticNetwork:
    torch.manual_seed(0)
    network = phonetic.PhoneticNetwork(hidden=16, layers=2).eval()
    monkeypatch.setattr(phonetic, "phonetic_network", lambda folder: network)
    return network


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level_S = 0.08 * np.abs(np.sin(np.arange(round(seconds * 16_000)) / 900))
    return (rng.normal(size=len(level_S)) * level_S).astype(np.float32)


def extract(chunks: list[np.ndarray]) -> np.ndarray:
    extractor = phonetic.PhoneticExtractor()
    return np.concatenate([*map(extractor.push, chunks), extractor.finish()])


@pytest.mark.parametrize("samples", [1, 640, 641, 6400, 16_000, 20_001])
def test_a_frame_for_each_640_samples(samples: int):
    features_TF = extract([noise(2)[:samples]])
    assert features_TF.shape == (-(-samples // 640), phonetic.SIZE)
    steps_NF = features_TF.reshape(-1, len(PHONES) + 1)
    np.testing.assert_allclose(steps_NF[:, :-1].sum(1), 1, atol=1e-5)


def test_no_audio_no_frames():
    assert extract([]).shape == (0, phonetic.SIZE)


def test_chunks_do_not_matter():
    audio_S = noise(2)
    whole_TF = extract([audio_S])
    for size in (160, 1000, 4999):
        parts = [audio_S[i : i + size] for i in range(0, len(audio_S), size)]
        np.testing.assert_allclose(extract(parts), whole_TF, atol=1e-4)


def test_an_extractor_starts_anew_after_finish():
    extractor, audio_S = phonetic.PhoneticExtractor(), noise(1)
    first, second = (
        np.concatenate([extractor.push(audio_S), extractor.finish()]) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_loading_takes_no_random_numbers():
    # a run of training seeds its weights; the first of a process must equal the later ones
    before = torch.get_rng_state()
    load_network()
    assert torch.equal(torch.get_rng_state(), before)


def test_inference_equals_the_network(small_network: phonetic.PhoneticNetwork):
    stream = phonetic.PhoneticInputStream(*small_network.voice_means())
    inputs = stream.push(noise(1))
    with torch.no_grad():
        arrays = (torch.from_numpy(a)[None] for a in (inputs.states_NS, inputs.bands_NB))
        expected_NC = small_network(*arrays)[0][0].numpy()
    logits_NC = phonetic.NetworkStream(small_network).push(inputs)
    np.testing.assert_allclose(logits_NC, expected_NC, atol=1e-5)


def test_frames_come_as_late_as_stated():
    extractor = phonetic.PhoneticExtractor()
    audio_S, count, came = noise(1), 0, []
    for i in range(0, len(audio_S), 160):
        new = len(extractor.push(audio_S[i : i + 160]))
        came += [i + 160] * new
        count += new
    late = [samples / 640 - (t + 1) for t, samples in enumerate(came)]
    assert max(late) <= phonetic.DELAY_FRAMES + 0.5


@pytest.mark.parametrize(
    ("certainty", "pause", "weight"),
    [(0.99, -3.0, phonetic.WEIGHTS[0]), (0.3, -3.0, phonetic.WEIGHTS[1]), (0.3, -0.5, 2.0)],
    ids=["known voice", "other voice", "other voice in noise"],
)
def test_the_network_counts_where_it_is_sure_or_loud_noise_is(
    certainty: float, pause: float, weight: float
):
    shares_C = np.full(len(PHONES), (1 - certainty) / (len(PHONES) - 1), np.float32)
    shares_C[PHONE_INDEX["a"]] = certainty
    energy_N = np.tile([0.0, 0.0, 0.0, pause], 200)
    log_NC = np.log(np.tile(shares_C, (len(energy_N), 1)))
    extractor = phonetic.PhoneticExtractor()
    whole_N1 = extractor._weight(log_NC, energy_N)
    assert whole_N1[-1, 0] == pytest.approx(weight)
    other = phonetic.PhoneticExtractor()
    parts = [other._weight(log_NC[i : i + 3], energy_N[i : i + 3]) for i in range(0, 800, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole_N1)


def test_later_audio_changes_no_earlier_frame():
    audio_S = noise(2)
    other_S = audio_S.copy()
    other_S[16_000:] = noise(1, seed=3)
    first, second = extract([audio_S]), extract([other_S])
    np.testing.assert_allclose(
        first[: 25 - phonetic.DELAY_FRAMES - 1], second[: 25 - phonetic.DELAY_FRAMES - 1], atol=1e-5
    )


def test_energy_is_in_time_with_its_audio():
    audio_S = np.zeros(32_000, np.float32)
    audio_S[16_000:16_640] = noise(1)[:640]
    energy_N = extract([audio_S]).reshape(-1, len(PHONES) + 1)[:, -1]
    assert energy_N.argmax() in (50, 51)


def test_known_phones_take_the_place_of_heard_ones():
    features_TF = extract([noise(2)])
    known = [Phone("m", 0.4, 0.6), Phone("s", 0.6, 0.8, confidence=0.5)]
    replaced_TF = phonetic.PhoneReplacer(known).push(features_TF)
    steps_NF, before_NF = (
        array.reshape(-1, len(PHONES) + 1) for array in (replaced_TF, features_TF)
    )
    assert (steps_NF[20:30, PHONE_INDEX["m"]] == 1).all()
    half = 0.5 + 0.5 * before_NF[30:40, PHONE_INDEX["s"]]
    np.testing.assert_allclose(steps_NF[30:40, PHONE_INDEX["s"]], half, atol=1e-5)
    np.testing.assert_array_equal(steps_NF[40:], before_NF[40:])
    np.testing.assert_array_equal(steps_NF[:, -1], before_NF[:, -1])


def test_known_phones_of_a_stream():
    features_TF = extract([noise(2)])
    known = [Phone("p", 0.333, 0.512), Phone("u", 0.512, 0.931)]
    whole_TF = phonetic.PhoneReplacer(known).push(features_TF)
    replacer = phonetic.PhoneReplacer(known)
    parts = [replacer.push(features_TF[i : i + 7]) for i in range(0, len(features_TF), 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole_TF, atol=1e-5)


def test_weights_are_read_back(tmp_path: Path, small_network: phonetic.PhoneticNetwork):
    weights = {f"phonetic.{k}": v.half() for k, v in small_network.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    loaded = load_network(tmp_path)
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, small_network.state_dict()[name].half().float())


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\0\0\0\0\0\0\0{}      "])
def test_other_files_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"model.safetensors"):
        load_network(tmp_path)
    with pytest.raises(DataError, match=r"missing"):
        load_network(tmp_path / "missing")
