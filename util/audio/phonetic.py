"""Phonetic features: which phone is said, by a causal network learned across many voices.

Two views of the audio, 50 times a second: log-mel bands less the voice's running mean, through two
convolutions, and the phone states of an acoustic model of human speech (`senones`). A GRU turns
them into the probabilities of `phones.PHONES`. A frame holds those of both of its 20 ms, and the
log energies. So a person's own recordings need not teach what voices are like, and known phones
can take the place of recognised ones (`PhoneReplacer`).

scripts/train_phonetic.py trained the weights that ship, on synthetic voices.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu

from speech2video.util.audio import mel, senones
from speech2video.util.audio.mel import HOPS_PER_FRAME
from speech2video.util.checkpoint_folder import WEIGHTS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, note, one_line
from speech2video.util.text.phones import PHONES, phone_confidence, phone_shares
from speech2video.util.text.transcript import Phone

BANDS = 40
LOWEST, HIGHEST, FLOOR = 60.0, 7600.0, 1e-9  # Hz, Hz, and -90 dB of full scale
STEPS_PER_FRAME = 2  # of 20 ms
RATE = 50  # steps a second
DELAY_FRAMES = 3  # frames of 40 ms past the present one that the network has seen
DELAY = DELAY_FRAMES * STEPS_PER_FRAME
SIZE = STEPS_PER_FRAME * (len(PHONES) + 1)
SCALE = 2.0  # nepers, about the deviation of bands and energies in speech
USUAL_ENERGY = -23 / 10 * np.log(10)  # of speech at the usual loudness
SPEECH_ENERGY = -42 / 10 * np.log(10)
LOUDEST, QUIETEST = 2.0, -4.0  # of the energies
PRIOR_WINDOWS, MEMORY_WINDOWS = 100.0, 3000.0  # of the voice's mean: 1 s and 30 s of speech
MIN_PROBABILITY = 1e-4  # of a state, whose logarithm is the network's input
KERNELS, STRIDES = (5, 4), (1, 2)  # of the convolutions; the second halves the rate
FOLDER = Path(__file__).parent / "weights" / "phonetic"  # of the weights that ship
NETWORK = "phonetic"  # its name in a checkpoint

State = tuple[Tensor, Tensor, Tensor]  # past inputs of both convolutions, and the GRU's


@dataclass(frozen=True, eq=False)
class PhoneticInputs:
    """What the network sees of N steps of 20 ms.

    Attributes:
        mel_NB: (2 N, 40) float32, bands less the voice's mean, in units of `SCALE`.
        states_NS: (N, 126) float32, logarithms between 0 and 1, 40 ms late; zeros without an
            acoustic model.
        energy_N: (N,) float32.
    """

    mel_NB: np.ndarray
    states_NS: np.ndarray
    energy_N: np.ndarray


class PhoneticNetwork(nn.Module):
    """Inputs of N steps to the logits of their phones, `DELAY` steps late.

    Args:
        hidden: width of all layers.
        layers: of the GRU.
        dropout: share of units dropped between layers in training.
    """

    voice_mean: Tensor  # of the training voices' log-mels

    def __init__(self, hidden: int = 256, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, hidden, KERNELS[0], STRIDES[0])
        self.second = nn.Conv1d(hidden, hidden, KERNELS[1], STRIDES[1])
        self.states = nn.Linear(senones.STATES, hidden)
        self.dropout = nn.Dropout(dropout)
        between = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True, dropout=between)
        self.head = nn.Linear(hidden, len(PHONES))
        self.register_buffer("voice_mean", torch.zeros(BANDS))

    def forward(
        self, mel_NTB: Tensor, states_NTS: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Return logits (N, T, C) of log-mels (N, 2 T, 40) and states (N, T, 126); next state."""
        if state is None:
            state = self.initial_state(mel_NTB)
        past_NBT, past_NHT, memory = state
        inputs_NBT = torch.cat([past_NBT, mel_NTB.transpose(1, 2)], 2)
        inputs_NHT = torch.cat([past_NHT, gelu(self.first(inputs_NBT))], 2)
        hidden_NTH = gelu(self.second(inputs_NHT).transpose(1, 2) + self.states(states_NTS))
        hidden_NTH, memory = self.gru(self.dropout(hidden_NTH), memory)
        past_NBT = inputs_NBT[..., inputs_NBT.shape[2] - past_NBT.shape[2] :]
        past_NHT = inputs_NHT[..., inputs_NHT.shape[2] - past_NHT.shape[2] :]
        return self.head(self.dropout(hidden_NTH)), (past_NBT, past_NHT, memory)

    def initial_state(self, like: Tensor) -> State:
        """Return the state before the first step."""
        count, hidden = len(like), self.gru.hidden_size
        past_NBT = like.new_zeros(count, BANDS, KERNELS[0] - STRIDES[0])
        past_NHT = like.new_zeros(count, hidden, KERNELS[1] - STRIDES[1])
        return past_NBT, past_NHT, like.new_zeros(self.gru.num_layers, count, hidden)


class PhoneticInputStream:
    """Inputs of audio at the usual loudness, in whole frames, as it arrives in chunks.

    Args:
        voice_mean_B: of the training voices' log-mels (40,).
        with_states: whether to evaluate the acoustic model; zeros are given otherwise.
    """

    def __init__(self, voice_mean_B: np.ndarray, *, with_states: bool = True) -> None:
        self._windows = mel.WindowStream()
        self._voice = mel.RunningMean(voice_mean_B, prior=PRIOR_WINDOWS, memory=MEMORY_WINDOWS)
        self._states = senones.SenoneStream() if with_states else None
        self._power_NF = np.zeros((0, mel.FFT // 2 + 1))

    def push(self, audio_S: np.ndarray) -> PhoneticInputs:
        """Take the next samples (S,) and return the steps of the frames that are complete."""
        return self._add(self._windows.push(audio_S))

    def finish(self) -> PhoneticInputs:
        """Return the last frames' steps, and `DELAY` more as if the last went on."""
        return self._add(self._windows.finish(), beyond=DELAY_FRAMES * HOPS_PER_FRAME)

    def _add(self, windows: Iterable[np.ndarray], *, beyond: int = 0) -> PhoneticInputs:
        power_NF = np.concatenate([self._power_NF, *map(mel.power_spectra, windows)])
        if beyond and len(power_NF):
            power_NF = np.concatenate([power_NF, power_NF[-1:].repeat(beyond, axis=0)])
        whole = len(power_NF) // HOPS_PER_FRAME * HOPS_PER_FRAME
        self._power_NF, power_NF = power_NF[whole:], power_NF[:whole]
        log_NB = mel.log_power(power_NF @ _filters().T, FLOOR)
        energy_N = np.log(np.exp(log_NB).sum(1))
        mel_NB = (log_NB - self._voice.push(log_NB, energy_N > SPEECH_ENERGY)) / SCALE
        count = whole // 2
        states_NS = np.zeros((count, senones.STATES), np.float32)
        if self._states is not None and count:
            probability_NS = self._states.push(power_NF).clip(min=MIN_PROBABILITY)
            states_NS = 1 - np.log(probability_NS) / np.log(MIN_PROBABILITY)
        steps_N = (energy_N.reshape(-1, 2).mean(1) - USUAL_ENERGY) / SCALE
        return PhoneticInputs(
            mel_NB.astype(np.float32),
            states_NS.astype(np.float32),
            steps_N.clip(QUIETEST, LOUDEST).astype(np.float32),
        )


class PhoneticExtractor:
    """Features (n, `SIZE`) of audio at the usual loudness that comes in chunks of any size.

    A frame comes out `DELAY_FRAMES` after its own audio. Without the package pocketsphinx the
    network does without its phone states, and recognises fewer phones.

    Args:
        folder: of the network's checkpoint.
    """

    size = SIZE

    def __init__(self, folder: Path = FOLDER) -> None:
        self._network = phonetic_network(folder)
        self._with_states = senones.is_available()
        if not self._with_states:
            _note_missing()
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
        mean_B = self._network.voice_mean.numpy()
        self._stream = PhoneticInputStream(mean_B, with_states=self._with_states)
        self._state: State | None = None
        self._energy_N = np.zeros(0, np.float32)
        self._skip = DELAY  # first outputs, which belong to no audio

    @torch.no_grad()
    def _run(self, inputs: PhoneticInputs) -> np.ndarray:
        if not len(inputs.energy_N):
            return np.zeros((0, SIZE), np.float32)
        mel_1TB, states_1TS = (
            torch.from_numpy(array)[None] for array in (inputs.mel_NB, inputs.states_NS)
        )
        logits_1TC, self._state = self._network(mel_1TB, states_1TS, self._state)
        probability_NC = logits_1TC[0].softmax(-1).numpy()[self._skip :]
        self._skip = max(self._skip - len(inputs.energy_N), 0)
        energy_N = np.concatenate([self._energy_N, inputs.energy_N])
        self._energy_N = energy_N[len(probability_NC) :]
        steps_NF = np.concatenate([probability_NC, energy_N[: len(probability_NC), None]], 1)
        return steps_NF.reshape(-1, SIZE)


def mean_log_mels(audio_S: np.ndarray) -> np.ndarray:
    """Return the mean log-mels (40,) of the speech in audio (S,) at the usual loudness."""
    windows = mel.WindowStream()
    spectra = map(mel.power_spectra, [*windows.push(audio_S), *windows.finish()])
    log_NB = mel.log_power(np.concatenate([*spectra]) @ _filters().T, FLOOR)
    speech_N = np.log(np.exp(log_NB).sum(1)) > SPEECH_ENERGY
    return log_NB[speech_N].mean(0) if speech_N.any() else np.zeros(BANDS)


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
        network = PhoneticNetwork(hidden, layers)
        network.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, IndexError, RuntimeError) as error:
        raise DataError(
            f"{path}: no weights of a phonetic network: {one_line(str(error))}"
        ) from None
    return network.eval()


@cache
def _note_missing() -> None:
    note(
        "pocketsphinx is not installed: lips follow speech less closely (pip install pocketsphinx)"
    )


@cache
def _filters() -> np.ndarray:
    return mel.mel_filters(BANDS, lowest=LOWEST, highest=HIGHEST, equal_area=False)
