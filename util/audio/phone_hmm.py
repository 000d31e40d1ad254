"""Phones of human voices: a hidden Markov model over the acoustic model's senones.

A phone has three states in a row. The first two depend on the phone before and the last on the
phone after, so that a state belongs to a pair of phones; what else senones depend on is averaged.
The chance of a phone after two others is the phonetic language model's of pocketsphinx. The
forward-backward algorithm gives each step's phones from all audio before and a few steps after it
(fixed-lag smoothing: Rabiner, "A tutorial on hidden Markov models", 1989).
"""

from functools import cache

import numpy as np
from scipy.sparse import csr_matrix

from speech2video.util.audio import senones
from speech2video.util.text.phones import PHONE_INDEX, PHONES, from_arpabet, phone_classes

HOPS_PER_STEP = 2
LAG = 4  # steps after a step that its phones depend on
DELAY_STEPS = LAG + 2  # by which phones are late: the senones' delay, too
SCALE = 0.7  # of log likelihoods: windows that follow one another are much the same
MIN_SILENCE = 0.02  # chance of silence after a phone
NOISE_SHARES = (
    0.02,
    0.0,
)  # chance of the two noises in place of silence; the second is any odd voice
LONG_SILENCE = 0.1  # factor of the chances of silence after silence, which has states that last
POSITIONS = (0.4, 0.3, 0.25, 0.05)  # shares of phones inside, at the begin and end of words, alone
UNSTRESSED = 0.65  # share of the phone AH that is a schwa
BLOCK = 64  # steps that are smoothed at once


class PhoneHMM:
    """Probabilities of phones by human voices, `DELAY_STEPS` late, as senones arrive.

    Raises `DataError` if the package pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        self._tables = _tables()
        silence, size = self._tables.silence, len(self._tables.follow_PPP)
        self._rows = np.zeros((0, self._tables.senones), np.float32)
        self._skip = senones.DELAY_HOPS
        # of the steps whose phones are not yet known, (n, 3, P, P): evidence and forward chances
        self._seen = np.zeros((0, 3, size, size), np.float32)
        self._forward = np.zeros((0, 3, size, size), np.float32)
        self._last = np.zeros((3, size, size), np.float32)
        self._last[:, silence, silence] = 1 / 3

    def push(self, log_TN: np.ndarray) -> np.ndarray:
        """Take log likelihoods (T, 5126) of T windows; return phones (n, C) of the next steps.

        They belong to the steps that begin at the first window's audio.
        """
        rows = np.concatenate([self._rows, log_TN[self._skip :]])
        self._skip = max(self._skip - len(log_TN), 0)
        whole = len(rows) // HOPS_PER_STEP * HOPS_PER_STEP
        self._rows = rows[whole:]
        phones = [np.zeros((0, len(PHONES)), np.float32)]
        for begin in range(0, whole, HOPS_PER_STEP * BLOCK):
            phones.append(self._run(rows[begin : min(begin + HOPS_PER_STEP * BLOCK, whole)]))
        return np.concatenate(phones)

    def _run(self, rows: np.ndarray) -> np.ndarray:
        tables = self._tables
        mean_SN = (rows[::HOPS_PER_STEP] + rows[1::HOPS_PER_STEP]) / HOPS_PER_STEP
        seen_KS = tables.mixing @ np.exp(SCALE * mean_SN).T
        seen = np.ascontiguousarray(seen_KS.T).reshape(-1, *self._last.shape)
        forward = np.empty_like(seen)
        for s, evidence in enumerate(seen):
            forward[s] = self._last = tables.step(self._last, evidence)
        self._seen = np.concatenate([self._seen, seen])
        self._forward = np.concatenate([self._forward, forward])
        count = max(len(self._seen) - LAG, 0)
        chance = np.ones((count, *self._last.shape), np.float32)
        for later in range(LAG, 0, -1):
            chance = tables.step_back(chance, self._seen[later : later + count])
        chance *= self._forward[:count]
        self._seen, self._forward = self._seen[count:], self._forward[count:]
        return tables.phones(chance)


class _Tables:
    """Chances of the states, as arrays (3, P, P) over first, second and last state.

    The first two are of pairs of the phone before and the phone; the last of the phone and the one
    after.
    """

    def __init__(self) -> None:
        model = senones.acoustic_model()
        known = [from_arpabet(name) for name in model.phones]
        self.silence = model.phones.index(senones.SILENCE)
        self._noises = np.array([phone is None for phone in known])
        self.follow_PPP = self._follow(model.phones)
        # the same for each phone in the middle: from the one before to the one after it, and back
        self._after_before = np.ascontiguousarray(self.follow_PPP.transpose(1, 0, 2))
        self._before_after = np.ascontiguousarray(self.follow_PPP.transpose(1, 2, 0))
        self.senones = model.senones_N3.max() + 1
        self.mixing = self._mixing(model)
        stay_P3 = (model.stay_P3**HOPS_PER_STEP).astype(np.float32)
        size = len(known)
        self._stay = np.empty((3, size, size), np.float32)
        self._stay[:2], self._stay[2] = stay_P3.T[:2, None], stay_P3[:, 2, None]
        self._leave = 1 - stay_P3.T
        self._classes_3PC = np.zeros((3, size, len(PHONES)), np.float32)
        for number, phone in enumerate(known):
            self._classes_3PC[:, number] = _classes(phone)

    def _follow(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the chance (P, P, P) of the third phone after the first two."""
        chance_PPP = senones.phone_language_model(
            [
                senones.SILENCE if noise else name
                for name, noise in zip(names, self._noises, strict=True)
            ]
        )
        chance_PPP[..., self.silence] = np.maximum(chance_PPP[..., self.silence], MIN_SILENCE)
        for name, share in zip(senones.NOISES, NOISE_SHARES, strict=True):
            chance_PPP[..., names.index(name)] *= share
        chance_PPP[:, self._noises[:, None] & self._noises] *= LONG_SILENCE
        return (chance_PPP / chance_PPP.sum(2, keepdims=True)).astype(np.float32)

    def _mixing(self, model: senones.AcousticModel) -> csr_matrix:
        """Return each state's shares (3 P P, 5126) of the senones, over the contexts it lacks."""
        size, count = len(model.phones), self.senones
        pair_PP = np.full((size, size), 1 / size**2)  # how often phones follow each other
        for _ in range(64):
            pair_PP = np.einsum("lp,lpr->pr", pair_PP, self.follow_PPP)
        after_PP, before_PP = (
            pair_PP / np.maximum(pair_PP.sum(k, keepdims=True), 1e-30) for k in (1, 0)
        )
        pairs = np.arange(size)
        before, phone, after = np.meshgrid(pairs, pairs, pairs, indexing="ij")
        shares = [after_PP[phone, after]] * 2 + [before_PP[before, phone]]
        states = [before * size + phone] * 2 + [phone * size + after]
        mixing = csr_matrix((3 * size * size, count), dtype=np.float64)
        for position, weight in enumerate(POSITIONS):
            table = self._triphones(model, position)
            for state in range(3):
                rows = state * size * size + states[state].ravel()
                entries = weight * shares[state].ravel(), (rows, table[..., state].ravel())
                mixing = mixing + csr_matrix(entries, mixing.shape)
        return csr_matrix(mixing, dtype=np.float32)

    def _triphones(self, model: senones.AcousticModel, position: int) -> np.ndarray:
        """Return the senones (P, P, P, 3) of phones before, phones, and phones after."""
        size = len(model.phones)
        alone = model.senones_N3[:size]
        table = np.broadcast_to(alone[:, None], (size, size, size, 3)).copy()
        own = np.flatnonzero(model.triphones[size:, 0] == position) + size
        phone, before, after = model.triphones[own, 1:].T
        table[before, phone, after] = model.senones_N3[own]
        noises = np.flatnonzero(self._noises)
        table[noises], table[:, :, noises] = table[self.silence], table[:, :, [self.silence]]
        table[:, noises] = alone[noises, None]
        return table

    def step(self, before: np.ndarray, evidence: np.ndarray) -> np.ndarray:
        """Return the forward chances (3, P, P) of a step by those of the step before."""
        first, second, last = self._leave
        now = before * self._stay
        now[0] += before[2] * last[:, None]
        now[1] += before[0] * first
        now[2] += np.matmul((before[1] * second).T[:, None], self._after_before)[:, 0]
        now *= evidence
        now /= now.sum()
        return now

    def step_back(self, after: np.ndarray, evidence: np.ndarray) -> np.ndarray:
        """Return the backward chances (n, 3, P, P) of steps by those of the steps after them."""
        first, second, last = self._leave
        after = after * evidence
        now = after * self._stay
        now[:, 0] += after[:, 1] * first
        by_phone = np.matmul(after[:, 2].swapaxes(0, 1), self._before_after)  # (P, n, P)
        now[:, 1] += by_phone.transpose(1, 2, 0) * second
        now[:, 2] += after[:, 0] * last[:, None]
        return now

    def phones(self, chance: np.ndarray) -> np.ndarray:
        """Return the phones' probabilities (n, C) by the chances of states (n, 3, P, P)."""
        states_N3P = np.stack([chance[:, 0].sum(1), chance[:, 1].sum(1), chance[:, 2].sum(2)], 1)
        phones_NC = np.einsum("nsp,spc->nc", states_N3P, self._classes_3PC)
        return phones_NC / np.maximum(phones_NC.sum(1, keepdims=True), 1e-30)


@cache
def _tables() -> _Tables:
    return _Tables()


def _classes(known: tuple[str, int] | None) -> np.ndarray:
    """Return the shares (3, C) of phone classes in a phone's states."""
    shares_3C = np.zeros((3, len(PHONES)), np.float32)
    if known is None:
        shares_3C[:, 0] = 1
    elif known[0] == "ʌ":
        shares_3C[:, PHONE_INDEX["ə"]], shares_3C[:, PHONE_INDEX["ʌ"]] = UNSTRESSED, 1 - UNSTRESSED
    else:
        classes = phone_classes(known[0])
        for state, index in ((0, 0), (1, 0), (1, -1), (2, -1)):
            shares_3C[state, classes[index]] += 0.5 if state == 1 else 1
    return shares_3C
