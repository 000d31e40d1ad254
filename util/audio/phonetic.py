"""Phonetic features: which phone is said, by a causal network learned across many voices.

An acoustic model of human speech (`senones`) gives probabilities of phone states, 100 times a
second. A GRU turns them, and the power of a few wide bands, into the probabilities of
`phones.PHONES`, 50 times a second. A frame holds those of both of its 20 ms, and the log energies.
So a person's own recordings need not teach what voices are like, and known phones can take the
place of recognised ones (`PhoneReplacer`).

The network sees hardly any of the spectrum itself: it was trained on synthetic voices by
scripts/train_phonetic.py, and one that saw log-mels learned those voices' and fewer human phones.
For the same reason its probabilities are multiplied with those that a hidden Markov model makes of
the acoustic model's alone (`phone_hmm`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.special import expit, log_softmax, ndtr, softmax
from torch import Tensor, nn
from torch.nn.functional import gelu

from speech2video.util.audio import mel, senones
from speech2video.util.audio.mel import HOPS_PER_FRAME
from speech2video.util.audio.phone_hmm import DELAY_STEPS, PhoneHMM
from speech2video.util.audio.senones import single_thread
from speech2video.util.checkpoint_folder import WEIGHTS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, one_line
from speech2video.util.text.phones import (
    DELAY_FRAMES,
    PHONE_INDEX,
    PHONES,
    SILENCE,
    STEPS_PER_FRAME,
    Phone,
    phone_confidence,
    phone_shares,
)

EDGES = (60.0, 400.0, 1000.0, 2500.0, 4500.0, 7600.0)  # Hz, of the bands
BANDS, FLOOR = len(EDGES) - 1, 1e-9  # -90 dB of full scale
HOPS_PER_STEP = HOPS_PER_FRAME // STEPS_PER_FRAME
RATE = 50  # steps a second
DELAY = DELAY_FRAMES * STEPS_PER_FRAME
SIZE = STEPS_PER_FRAME * (len(PHONES) + 1)
STATE_INPUTS, BAND_INPUTS = HOPS_PER_STEP * senones.STATES, HOPS_PER_STEP * BANDS  # of a step
SCALE = 2.0  # nepers, about the deviation of bands and energies in speech
USUAL_ENERGY = -23 / 10 * np.log(10)  # of speech at the usual loudness
SPEECH_ENERGY = -42 / 10 * np.log(10)
LOUDEST, QUIETEST = 2.0, -4.0  # of the energies
PRIOR_WINDOWS, MEMORY_WINDOWS = 100.0, 3000.0  # of the voice's mean: 1 s and 30 s of speech
MIN_PROBABILITY = 1e-4  # of a state, whose logarithm is the network's input
# The network is right more often in noise and about voices like those it was trained on, the hidden
# Markov model about other people's. So the network's log probabilities have a weight, which falls
# as their mean entropy over the voice so far rises (after Misra et al., "New entropy based
# combination rules in HMM/ANN multi-stream ASR", ICASSP 2003), in noise less far.
WEIGHTS, ENTROPIES = (2.0, 0.3), (0.9, 1.1)
CONTRASTS = 1.2, 2.2  # energies of speech over noise, from noisy to clean
PRIOR_VOICE = (0.95, 0.0)  # entropy and energy
PRIOR_STEPS, MEMORY_STEPS = 50.0, 500.0  # 1 s and 10 s of speech
NOISE_RISE = 0.04  # of the noise's energy in a step without any that is lower
MODEL_FLOOR = 1e-2  # added to the hidden Markov model's probabilities
FOLDER = Path(__file__).parent / "weights" / "phonetic"  # of the weights that ship
NETWORK = "phonetic"  # its name in a checkpoint


@dataclass(frozen=True, eq=False)
class PhoneticInputs:
    """What the network sees of N steps of 20 ms.

    Attributes:
        states_NS: (N, 252) float32, logarithms of both windows' probabilities, scaled to 0 to 1.
        bands_NB: (N, 10) float32, both windows' log powers less the voice's mean, over `SCALE`.
        energy_N: (N,) float32.
        human_NC: (N, C) float32, phones by human voices, `DELAY` steps late, see phone_hmm.py.
    """

    states_NS: np.ndarray
    bands_NB: np.ndarray
    energy_N: np.ndarray
    human_NC: np.ndarray


class PhoneticNetwork(nn.Module):
    """Inputs of N steps to the logits of their phones, `DELAY` steps late.

    Args:
        hidden: width of all layers.
        layers: of the GRU.
        dropout: share of units dropped between layers in training.
    """

    bands_mean: Tensor  # of the training voices' log powers
    cepstra_mean: Tensor  # of the training voices' cepstra, for the acoustic model

    def __init__(self, hidden: int = 256, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.states = nn.Linear(STATE_INPUTS, hidden)
        self.bands = nn.Linear(BAND_INPUTS, hidden)
        self.dropout = nn.Dropout(dropout)
        between = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True, dropout=between)
        self.head = nn.Linear(hidden, len(PHONES))
        self.register_buffer("bands_mean", torch.zeros(BANDS))
        self.register_buffer("cepstra_mean", torch.zeros(senones.CEPSTRA))

    def forward(
        self, states_NTS: Tensor, bands_NTB: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return logits (N, T, C) of inputs (N, T, 252) and (N, T, 10); the GRU's next memory."""
        hidden_NTH = gelu(self.states(states_NTS) + self.bands(bands_NTB))
        hidden_NTH, next_memory = self.gru(self.dropout(hidden_NTH), memory)
        return self.head(self.dropout(hidden_NTH)), next_memory

    def voice_means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the training voices' mean log powers (5,) and cepstra (13,)."""
        return self.bands_mean.cpu().numpy(), self.cepstra_mean.cpu().numpy()


class PhoneticInputStream:
    """Inputs of audio at the usual loudness, in whole frames, as it arrives in chunks.

    Args:
        bands_mean_B, cepstra_mean_C: of the training voices.
    """

    def __init__(self, bands_mean_B: np.ndarray, cepstra_mean_C: np.ndarray) -> None:
        self._windows = mel.WindowStream()
        self._voice = mel.RunningMean(bands_mean_B, prior=PRIOR_WINDOWS, memory=MEMORY_WINDOWS)
        self._model, self._hmm = senones.acoustic_model(), PhoneHMM()
        self._senones = senones.SenoneStream(cepstra_mean_C)
        # phones that are there: at first those of no audio, by which they are late
        self._early_NC = np.full((DELAY_STEPS, len(PHONES)), 1 / len(PHONES), np.float32)
        self._power_NF = np.zeros((0, mel.FFT // 2 + 1))

    def push(self, audio_S: np.ndarray) -> PhoneticInputs:
        """Take the next samples (S,) and return the steps of the frames that are complete."""
        return self._add(self._windows.push(audio_S))

    def finish(self) -> PhoneticInputs:
        """Return the last frames' steps, and `DELAY` more as if the last went on."""
        return self._add(self._windows.finish(), beyond=DELAY_FRAMES * HOPS_PER_FRAME)

    def _add(self, windows: Iterable[np.ndarray], *, beyond: int = 0) -> PhoneticInputs:
        with single_thread():  # the number of threads changes last bits
            return self._inputs(windows, beyond)

    def _inputs(self, windows: Iterable[np.ndarray], beyond: int) -> PhoneticInputs:
        power_NF = np.concatenate([self._power_NF, *map(mel.power_spectra, windows)])
        if beyond and len(power_NF):
            power_NF = np.concatenate([power_NF, power_NF[-1:].repeat(beyond, axis=0)])
        whole = len(power_NF) // HOPS_PER_FRAME * HOPS_PER_FRAME
        self._power_NF, power_NF = power_NF[whole:], power_NF[:whole]
        count = whole // HOPS_PER_STEP
        log_NB, energy_N = _log_bands(power_NF)
        mean_NB = self._voice.push(log_NB, energy_N > SPEECH_ENERGY)
        states, phones = [np.zeros((0, senones.STATES), np.float32)], [self._early_NC]
        for log_TN in self._senones.push(power_NF):
            states.append(self._model.states(log_TN))
            phones.append(self._hmm.push(log_TN))
        human_NC = np.concatenate(phones)
        human_NC, self._early_NC = human_NC[:count], human_NC[count:]
        probability_NS = np.concatenate(states).clip(min=MIN_PROBABILITY)
        states_NS = 1 - np.log(probability_NS) / np.log(MIN_PROBABILITY)
        steps_N = (energy_N.reshape(count, HOPS_PER_STEP).mean(1) - USUAL_ENERGY) / SCALE
        return PhoneticInputs(
            states_NS.astype(np.float32).reshape(count, STATE_INPUTS),
            ((log_NB - mean_NB) / SCALE).astype(np.float32).reshape(count, BAND_INPUTS),
            steps_N.clip(QUIETEST, LOUDEST).astype(np.float32),
            human_NC,
        )


def mean_voice(audio_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean log powers (5,) and cepstra (13,) of speech (S,) at the usual loudness."""
    windows = mel.WindowStream()
    spectra = map(mel.power_spectra, [*windows.push(audio_S), *windows.finish()])
    power_NF = np.concatenate([np.zeros((0, mel.FFT // 2 + 1)), *spectra])
    log_NB, energy_N = _log_bands(power_NF)
    cepstra_NC, is_speech_N = senones.CepstraStream().push(power_NF)
    loud_N = energy_N > SPEECH_ENERGY
    if not loud_N.any() or not is_speech_N.any():
        raise DataError("no speech in the audio")
    return log_NB[loud_N].mean(0), cepstra_NC[is_speech_N].mean(0)


class NetworkStream:
    """A `PhoneticNetwork` in inference, step by step in NumPy.

    A step is too small for torch's threads, which on a busy machine wait for each other. And this
    way chunks make no difference.
    """

    def __init__(self, network: PhoneticNetwork) -> None:
        weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        self._inputs = [
            (weights[f"{k}.weight"].T, weights[f"{k}.bias"]) for k in ("states", "bands")
        ]
        self._head = weights["head.weight"].T, weights["head.bias"]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        layers = range(network.gru.num_layers)
        self._layers = [[weights[f"gru.{name}_l{layer}"] for name in names] for layer in layers]
        self.reset()

    def reset(self) -> None:
        """Forget all steps."""
        size = self._head[0].shape[0]
        self._memory = [np.zeros(size, np.float32) for _ in self._layers]

    def push(self, inputs: PhoneticInputs) -> np.ndarray:
        """Return the logits (N, C) of the next N steps."""
        (states_SH, states_H), (bands_BH, bands_H) = self._inputs
        head_HC, head_C = self._head
        logits_NC = np.empty((len(inputs.states_NS), len(head_C)), np.float32)
        pairs = zip(inputs.states_NS, inputs.bands_NB, strict=True)
        for n, (states_S, bands_B) in enumerate(pairs):
            hidden_H = _gelu(states_S @ states_SH + states_H + bands_B @ bands_BH + bands_H)
            for k, layer in enumerate(self._layers):
                hidden_H = self._memory[k] = _gru(hidden_H, self._memory[k], *layer)
            logits_NC[n] = hidden_H @ head_HC + head_C
        return logits_NC


def _gru(
    inputs_H: np.ndarray,
    memory_H: np.ndarray,
    inputs_weight: np.ndarray,
    memory_weight: np.ndarray,
    inputs_bias: np.ndarray,
    memory_bias: np.ndarray,
) -> np.ndarray:
    """Return the next memory (H,) of a GRU as torch defines it."""
    size = len(memory_H)
    new = inputs_weight @ inputs_H + inputs_bias
    old = memory_weight @ memory_H + memory_bias
    gates = expit(new[: 2 * size] + old[: 2 * size])
    reset_H, update_H = gates[:size], gates[size:]
    candidate_H = np.tanh(new[2 * size :] + reset_H * old[2 * size :])
    return candidate_H + update_H * (memory_H - candidate_H)


def _gelu(inputs_H: np.ndarray) -> np.ndarray:
    return inputs_H * ndtr(inputs_H)


class PhoneticExtractor:
    """Features (n, `SIZE`) of audio at the usual loudness that comes in chunks of any size.

    A frame comes out `DELAY_FRAMES` after its own audio.

    Args:
        folder: of the network's checkpoint.

    Raises:
        DataError: no such checkpoint, or the package pocketsphinx is not installed.
    """

    size = SIZE

    def __init__(self, folder: Path = FOLDER) -> None:
        network = phonetic_network(folder)
        self._means, self._network = network.voice_means(), NetworkStream(network)
        self._reset()

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return the frames (n, F) that are known by now."""
        return self._run(self._stream.push(audio_S))

    def finish(self) -> np.ndarray:
        """Return the last frames (n, F); start anew."""
        features_TF = self._run(self._stream.finish())
        self._reset()
        return features_TF

    def _reset(self) -> None:
        self._stream = PhoneticInputStream(*self._means)
        self._network.reset()
        self._voice = mel.RunningMean(np.array(PRIOR_VOICE), prior=PRIOR_STEPS, memory=MEMORY_STEPS)
        self._noise = QUIETEST
        self._energy_N = np.zeros(0, np.float32)
        self._skip = DELAY  # first outputs, which belong to no audio

    def _run(self, inputs: PhoneticInputs) -> np.ndarray:
        if not len(inputs.energy_N):
            return np.zeros((0, SIZE), np.float32)
        with single_thread():
            logits_NC = self._network.push(inputs)[self._skip :]
        energy_N = np.concatenate([self._energy_N, inputs.energy_N])
        energy_N, self._energy_N = energy_N[: len(logits_NC)], energy_N[len(logits_NC) :]
        network_NC = log_softmax(logits_NC, axis=1)
        human_NC = np.log(inputs.human_NC[self._skip :] + np.float32(MODEL_FLOOR))
        log_NC = self._weight(network_NC, energy_N) * network_NC + human_NC
        self._skip = max(self._skip - len(inputs.energy_N), 0)
        steps_NF = np.concatenate([softmax(log_NC, axis=1), energy_N[:, None]], 1)
        return steps_NF.reshape(-1, SIZE)

    def _weight(self, log_NC: np.ndarray, energy_N: np.ndarray) -> np.ndarray:
        """Return the weight (N, 1) of the network's next log probabilities (N, C)."""
        probability_NC = np.exp(log_NC)
        entropy_N = -(probability_NC * log_NC).sum(1)
        is_speech_N = probability_NC[:, PHONE_INDEX[SILENCE]] < 0.5
        voice_N2 = self._voice.push(np.stack([entropy_N, energy_N], 1), is_speech_N)
        noise_N = np.empty(len(energy_N))
        for n, energy in enumerate(energy_N):
            noise_N[n] = self._noise = min(self._noise + NOISE_RISE, energy)
        least_N = np.interp(voice_N2[:, 1] - noise_N, CONTRASTS, WEIGHTS)
        weight_N = np.maximum(np.interp(voice_N2[:, 0], ENTROPIES, WEIGHTS), least_N)
        return weight_N[:, None].astype(np.float32)


class PhoneReplacer:
    """Put known phones in place of recognised ones in phonetic features, where they are sure.

    Between phones, and as far as confidence is lacking, recognised ones stay.
    """

    def __init__(self, phones: Iterable[Phone]) -> None:
        self._phones = sorted(phones, key=lambda phone: phone.start)
        self._steps = 0  # of the features so far

    def push(self, features_TF: np.ndarray) -> np.ndarray:
        """Take the next features (n, F) of a stream and return them with the known phones."""
        count = STEPS_PER_FRAME * len(features_TF)
        early = self._steps / RATE
        end = early + count / RATE
        near = [p for p in self._phones if p.end > early and p.start < end]
        near = [replace(p, start=p.start - early, end=p.end - early) for p in near]
        self._steps += count
        return replace_phones(
            features_TF,
            phone_shares(near, count, rate=RATE),
            phone_confidence(near, count, rate=RATE),
        )


def replace_phones(
    features_TF: np.ndarray, shares_NC: np.ndarray, confidence_N: np.ndarray
) -> np.ndarray:
    """Return phonetic features (T, F) with known phones in place of recognised ones.

    Args:
        shares_NC: (2 T, C), see `phones.phone_shares` at `RATE`.
        confidence_N: (2 T,), 1 to take the known phones, 0 to keep the recognised ones.
    """
    steps_NF = features_TF.reshape(-1, len(PHONES) + 1).copy()
    weight_N1 = confidence_N[:, None].astype(np.float32)
    steps_NF[:, :-1] += weight_N1 * (shares_NC - steps_NF[:, :-1])
    return steps_NF.reshape(features_TF.shape)


@cache
def phonetic_network(folder: Path = FOLDER) -> PhoneticNetwork:
    """Return the network of a checkpoint, in evaluation mode, on the CPU.

    Raises `DataError` if there is none.
    """
    path = resolve_checkpoint(folder) / WEIGHTS_FILE
    try:
        weights = {k.removeprefix(f"{NETWORK}."): v.float() for k, v in load_file(path).items()}
        hidden = weights["head.weight"].shape[1]
        layers = sum(name.startswith("gru.weight_ih") for name in weights)
        with torch.device("meta"):  # random weights would take numbers from a training's seed
            network = PhoneticNetwork(hidden, layers)
        network.load_state_dict(weights, assign=True)
    except (OSError, SafetensorError, KeyError, IndexError, RuntimeError) as error:
        raise DataError(
            f"{path}: no weights of a phonetic network: {one_line(str(error))}"
        ) from None
    return network.eval()


def _log_bands(power_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log powers (N, 5) of spectra (N, 257), and the log energies (N,)."""
    power_NB = power_NF @ _filters().T
    return mel.log_power(power_NB, FLOOR), mel.log_power(power_NB.sum(1), FLOOR)


@cache
def _filters() -> np.ndarray:
    """Return which frequencies are in each band (5, 257)."""
    hertz = mel.frequencies()
    return np.array([(hertz >= low) & (hertz < high) for low, high in pairwise(EDGES)], float)
