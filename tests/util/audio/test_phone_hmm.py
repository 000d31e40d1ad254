import numpy as np
import pytest

from speech2video.util.audio import phone_hmm, senones
from speech2video.util.text.phones import PHONE_INDEX, PHONES

pytestmark = pytest.mark.skipif(
    not senones.is_available(), reason="the acoustic model is in the package pocketsphinx"
)
SENONES, PHONE_COUNT = 5126, 42


def random_logs(hops: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return -10 * rng.random((hops, SENONES), dtype=np.float32)


def logs_of(*names: str, hops: int) -> np.ndarray:
    """Return log likelihoods by which each phone in turn lasts for some windows."""
    model = senones.acoustic_model()
    parts = [np.where(model.of_phones(name), 0, -20.0) for name in names]
    return np.concatenate([np.tile(part, (hops, 1)) for part in parts]).astype(np.float32)


def test_probabilities_come_as_late_as_stated():
    hmm = phone_hmm.PhoneHMM()
    counts = [len(hmm.push(log_TN[None])) for log_TN in random_logs(40)]
    assert counts.index(1) + 1 == (phone_hmm.DELAY_STEPS + 1) * phone_hmm.HOPS_PER_STEP - 1
    assert sum(counts) == (40 + 1) // 2 - phone_hmm.DELAY_STEPS


def test_chunks_do_not_matter():
    log_TN = random_logs(300)
    whole_NC = phone_hmm.PhoneHMM().push(log_TN)
    np.testing.assert_allclose(whole_NC.sum(1), 1, atol=1e-5)
    for size in (1, 3, 8, 100):
        hmm = phone_hmm.PhoneHMM()
        parts = [hmm.push(log_TN[i : i + size]) for i in range(0, len(log_TN), size)]
        np.testing.assert_allclose(np.concatenate(parts), whole_NC, atol=1e-6)


def test_chances_of_states_sum_to_one():
    tables = phone_hmm._tables()
    np.testing.assert_allclose(tables.follow_PPP.sum(2), 1, atol=1e-5)
    shares = np.asarray(tables.mixing.sum(1)).reshape(3, PHONE_COUNT, PHONE_COUNT)
    spoken = [n for n, name in enumerate(senones.acoustic_model().phones) if name != "+SPN+"]
    np.testing.assert_allclose(shares[:, spoken][:, :, spoken], 1, atol=1e-4)


def test_a_step_back_is_the_adjoint_of_a_step():
    # so that forward times backward chances are the same evidence at every time
    rng = np.random.default_rng(0)
    shape = 3, PHONE_COUNT, PHONE_COUNT
    before, after, evidence = (rng.random(shape, dtype=np.float32) for _ in range(3))
    tables = phone_hmm._tables()
    back = {
        k: tables.step_back(b[None], evidence)[0]
        for k, b in (("all", np.ones_like(after)), ("some", after))
    }
    seen = float((before * back["all"]).sum())
    forward = float((tables.step(before, evidence) * after).sum()) * seen
    assert forward == pytest.approx(float((before * back["some"]).sum()), rel=1e-4)


def test_phones_are_found_where_they_are():
    # windows are rows late; the last phones' are not complete
    late = np.full((senones.DELAY_HOPS, SENONES), -5.0, np.float32)
    log_TN = np.concatenate([late, logs_of("SIL", "M", "AA", "S", "IY", "SIL", hops=20)])
    phones_NC = phone_hmm.PhoneHMM().push(log_TN)
    wanted = [PHONE_INDEX[phone] for phone in ("sil", "m", "a", "s", "i") for _ in range(10)]
    found = phones_NC.argmax(1)[: len(wanted)]
    assert (found == wanted).mean() > 0.85
    assert phones_NC.shape[1] == len(PHONES)


def test_later_steps_tell_of_earlier_ones():
    log_TN = random_logs(60)
    other_TN = log_TN.copy()
    other_TN[40:] = random_logs(20, seed=1)
    one_NC, other_NC = (phone_hmm.PhoneHMM().push(rows) for rows in (log_TN, other_TN))
    first = (40 - senones.DELAY_HOPS) // phone_hmm.HOPS_PER_STEP - phone_hmm.LAG
    np.testing.assert_array_equal(one_NC[:first], other_NC[:first])
    assert np.abs(one_NC[first] - other_NC[first]).max() > 1e-6
