"""Features of speech from pretrained encoders: wav2vec2, HuBERT, WavLM and Whisper's encoder.

`KIND:SOURCE[@LAYER]` names one, `wav2vec2:models/base@9`: a folder, or else the name of a model on
the Hugging Face hub, and the transformer layer whose outputs are taken (the last one without). The
package `transformers` loads it, from safetensors only, without code of the model's own.

Encoders give 50 steps a second; a frame is its two, one after the other. Their attention reaches
both ways, so audio is encoded in overlapping blocks on a fixed grid of samples: results do not
depend on how it is cut into chunks, memory is bounded, and a frame waits for its block. This module
imports torch only where an encoder is loaded, so that options can read names.
"""

import contextlib
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import ceil, prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from speech2video.util.audio.mel import check_audio
from speech2video.util.errors import DataError, note
from speech2video.util.files import read_json
from speech2video.util.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

STEP = 320  # samples of one output of an encoder
STEPS_PER_FRAME = SAMPLES_PER_FRAME // STEP  # 2
HOP = 8 * SAMPLE_RATE  # samples of a block that its features are kept of
AFTER = SAMPLE_RATE // 2  # samples past them that are encoded, too
BEFORE = 2 * SAMPLE_RATE  # samples ahead of them; free for Whisper, whose windows last 30 s
WHISPER_BEFORE = 21 * SAMPLE_RATE
WHISPER_STEPS = 1500  # of a window
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
EXTRACTOR = "preprocessor_config.json"
DOWNLOADED = (CONFIG, EXTRACTOR, WEIGHTS, INDEX, "model-*.safetensors")
HUB_NAME = r"[\w.-]{1,96}(/[\w.-]{1,96})?"
UNUSED = {"masked_spec_embed"}  # weights that matter in training alone


@dataclass(frozen=True)
class Architecture:
    """A kind of encoder.

    Attributes:
        prefix: of the names of its classes in `transformers`.
        before: samples ahead of a block that are encoded with it.
    """

    prefix: str
    before: int = BEFORE


ARCHITECTURES = {
    "wav2vec2": Architecture("Wav2Vec2"),
    "hubert": Architecture("Hubert"),
    "wavlm": Architecture("WavLM"),
    "whisper": Architecture("Whisper", WHISPER_BEFORE),
}


@dataclass(frozen=True)
class EncoderName:
    """What `KIND:SOURCE[@LAYER]` says: a key of `ARCHITECTURES`, where from, and which layer."""

    kind: str
    source: str
    layer: int | None = None

    @classmethod
    def parse(cls, text: str) -> "EncoderName | None":
        """Return the encoder that a text names; None if it is no encoder's name."""
        found = re.fullmatch(rf"({'|'.join(ARCHITECTURES)}):([^@].*?)(?:@(\d{{1,4}}))?", text)
        if not found:
            return None
        kind, source, layer = found.groups()
        return cls(kind, source, None if layer is None else int(layer))

    def __str__(self) -> str:
        return f"{self.kind}:{self.source}" + ("" if self.layer is None else f"@{self.layer}")


@dataclass(frozen=True)
class EncoderInfo:
    """What is known of an encoder before its weights are loaded.

    Attributes:
        name: of the encoder.
        folder: that it is loaded from.
        config: of `transformers`.
        layer: number of the layer whose outputs are taken, from 1.
        layers: number of all.
    """

    name: EncoderName
    folder: Path
    config: Any
    layer: int
    layers: int

    @property
    def size(self) -> int:
        """F, the values of a frame."""
        return STEPS_PER_FRAME * self.config.hidden_size

    @property
    def margins(self) -> tuple[int, int]:
        """Samples ahead of and past audio that center each step's window in its 320 samples."""
        if self.name.kind == "whisper":  # a window is centered on the first of the 320
            return STEP // 2, 0
        margin = (_receptive_field(self.config) - STEP) // 2
        return margin, margin

    @property
    def delay_frames(self) -> int:
        """Frames past a frame that its features need: of the first one of a block, the most."""
        return ceil((HOP + AFTER + self.margins[1]) / SAMPLES_PER_FRAME) - 1


@cache
def encoder_info(text: str) -> EncoderInfo:
    """Return what is known of an encoder from its config; download a model of the hub.

    Raises:
        DataError: no encoder's name, the package is missing, no such model, one of another
            architecture, no safetensors, or no such layer.
    """
    name = EncoderName.parse(text)
    if name is None:
        raise DataError(f"{text}: no encoder's name; KIND:FOLDER[@LAYER] is needed")
    transformers = _transformers(text)
    folder = _find_folder(name)
    path = folder / CONFIG
    if not path.is_file():
        raise DataError(f"{folder}: no {CONFIG} in it, so no model of the package transformers")
    values = read_json(path, what="a json object")
    found = values.get("model_type") if isinstance(values, dict) else None
    if found != name.kind:
        raise DataError(f"{path}: the model is of type {found!r}, not {name.kind!r}")
    _check_weights(folder)
    with _one_line_errors(path):
        config = getattr(transformers, f"{ARCHITECTURES[name.kind].prefix}Config").from_pretrained(
            folder, local_files_only=True
        )
    _check_config(path, name.kind, config)
    layers = config.encoder_layers if name.kind == "whisper" else config.num_hidden_layers
    layer = layers if name.layer is None else name.layer
    if not 1 <= layer <= layers:
        raise DataError(f"{text}: no layer {layer}; the encoder has layers 1 to {layers}")
    return EncoderInfo(name, folder, config, layer, layers)


class Encoder:
    """A pretrained encoder with its weights: steps (N, H) of audio, 50 a second."""

    def __init__(self, info: EncoderInfo, device: str = "cpu") -> None:
        import torch

        transformers = _transformers(str(info.name))
        self._is_whisper, self._lock = info.name.kind == "whisper", Lock()
        self._device = torch.device(device)
        prefix, config = ARCHITECTURES[info.name.kind].prefix, copy.deepcopy(info.config)
        config.add_adapter = False  # of wav2vec2, which lowers the rate
        with _one_line_errors(info.folder), _quiet(transformers):
            model, report = getattr(transformers, f"{prefix}Model").from_pretrained(
                info.folder,
                config=config,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                attn_implementation="eager",  # every version has it for every kind
                ignore_mismatched_sizes=True,  # they are reported
                output_loading_info=True,
            )
            self._prepare = _waveform_extractor(transformers, info)
        _check_complete(info, report)
        self._model = model.encoder if self._is_whisper else model
        _keep_layers(self._model if self._is_whisper else model.encoder, info)
        self._model.requires_grad_(False).float().to(self._device).eval()
        self._margins = info.margins

    def encode(self, audio_S: np.ndarray) -> np.ndarray:
        """Return steps (N, H) float32 of 320 N samples with the `EncoderInfo.margins`."""
        import torch

        steps = (len(audio_S) - sum(self._margins)) // STEP
        given = self._prepare(audio_S, sampling_rate=SAMPLE_RATE, return_tensors="np")
        values = given["input_features" if self._is_whisper else "input_values"]
        values = torch.from_numpy(np.asarray(values, np.float32)).to(self._device)
        with self._lock, torch.inference_mode():
            states_NH = self._model(values).last_hidden_state[0].cpu().numpy()
        return states_NH[int(self._is_whisper) :][:steps]


@cache
def load_encoder(text: str) -> Encoder:
    """Return the encoder of a name, on the CPU, once for all that use it.

    Raises `DataError` as `encoder_info` does, and for weights that do not fit.
    """
    import torch

    with torch.random.fork_rng(devices=()):  # a training's random numbers stay as they are
        return Encoder(encoder_info(text))


class EncoderExtractor:
    """Features (T, F), T = ceil(S / 640), of audio that comes in chunks, in bounded memory.

    Block k has the features of samples [8 s k, 8 s (k + 1)), and comes out as soon as the half
    second past it is there; the last one's audio ends at a whole frame, filled with silence.
    """

    def __init__(self, text: str) -> None:
        self.info = encoder_info(text)
        self.size = self.info.size
        self._encoder = load_encoder(text)
        self._before = ARCHITECTURES[self.info.name.kind].before
        self._reset()

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return the frames (n, F) that are complete by now.

        Raises `DataError` on another shape than (S,), whole numbers, and NaN.
        """
        audio_S = check_audio(audio_S, first=self._end)
        frames = [np.zeros((0, self.size), np.float32)]
        for begin in range(0, len(audio_S), HOP):
            self._append(audio_S[begin : begin + HOP])
            while self._end >= self._block + HOP + AFTER + self.info.margins[1]:
                frames.append(self._encode(self._block + HOP + AFTER))
        return np.concatenate(frames)

    def finish(self) -> np.ndarray:
        """Return the frames (n, F) that silence up to a whole frame completes; start anew."""
        self._append(np.zeros(-self._end % SAMPLES_PER_FRAME, np.float32))
        end, frames = self._end, [np.zeros((0, self.size), np.float32)]
        self._append(np.zeros(self.info.margins[1], np.float32))
        while self._block < end:
            frames.append(self._encode(min(self._block + HOP + AFTER, end)))
        self._reset()
        return np.concatenate(frames)

    def _reset(self) -> None:
        ahead = self.info.margins[0]
        self._audio_S, self._begin = np.zeros(ahead, np.float32), -ahead  # its first sample's place
        self._block = 0  # the first sample whose features have not been given

    @property
    def _end(self) -> int:
        return self._begin + len(self._audio_S)

    def _append(self, audio_S: np.ndarray) -> None:
        self._audio_S = np.concatenate([self._audio_S, audio_S.astype(np.float32, copy=False)])

    def _encode(self, end: int) -> np.ndarray:
        """Return the next block's frames (n, F), encoded with the audio up to sample `end`."""
        ahead, past = self.info.margins
        begin = max(self._block - self._before, 0)
        block_S = self._audio_S[begin - ahead - self._begin : end + past - self._begin]
        steps_NH = self._encoder.encode(block_S)[(self._block - begin) // STEP :][: HOP // STEP]
        self._block += HOP
        first = max(self._block - self._before, 0) - ahead  # that the next block needs
        self._audio_S = self._audio_S[max(first - self._begin, 0) :].copy()
        self._begin = max(first, self._begin)
        return steps_NH.reshape(-1, self.size)


def _transformers(text: str) -> Any:
    try:
        return import_module("transformers")
    except ImportError:
        message = "needs the package transformers (pip install 'speech2video[encoders]')"
        raise DataError(f"--features {text}: {message}") from None


def _find_folder(name: EncoderName) -> Path:
    """Return a folder with the encoder: the one that is named, or a model of the hub."""
    folder = Path(name.source).expanduser()
    if folder.is_dir():
        return folder
    what = f"{name}: {name.source} is no folder here"
    if not re.fullmatch(HUB_NAME, name.source):
        raise DataError(f"{what}; a trained run needs the encoder that it was trained with there")
    hub = import_module("huggingface_hub")
    with contextlib.suppress(Exception):  # not downloaded yet
        kept = Path(hub.snapshot_download(name.source, local_files_only=True))
        if (kept / CONFIG).is_file() and _has_weights(kept):
            return kept
    note(f"{what}; its {CONFIG} and safetensors are downloaded from the Hugging Face hub")
    try:
        return Path(hub.snapshot_download(name.source, allow_patterns=list(DOWNLOADED)))
    except Exception as error:  # of the network, the hub, the disk
        raise DataError(f"{what}, and the hub does not give it: {_first_line(error)}") from None


def _has_weights(folder: Path) -> bool:
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX, what="a json object")
        parts = index.get("weight_map") if isinstance(index, dict) else None
        names = set(parts.values()) if isinstance(parts, dict) else {None}
        return all(isinstance(part, str) and (folder / part).is_file() for part in names)
    return (folder / WEIGHTS).is_file()


def _check_weights(folder: Path) -> None:
    if _has_weights(folder):
        return
    if any(folder.glob("*.bin")):
        raise DataError(
            f"{folder}: pickled weights, which can run code; convert them where you trust them: "
            "transformers.AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    raise DataError(f"{folder}: no {WEIGHTS} in it, or not all of its parts")


def _check_config(path: Path, kind: str, config: Any) -> None:
    """Raise `DataError` for an encoder that does not give 50 steps a second."""
    if kind == "whisper":
        if config.max_source_positions != WHISPER_STEPS:
            given = config.max_source_positions
            raise DataError(f"{path}: {given} positions; {WHISPER_STEPS}, of 30 s, are needed")
    elif prod(config.conv_stride) != STEP or _receptive_field(config) % 2:
        raise DataError(
            f"{path}: one step in {prod(config.conv_stride)} samples; {STEP} are needed"
        )


def _receptive_field(config: Any) -> int:
    """Return the samples that one step's convolutions cover."""
    field, stride = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        field, stride = field + (kernel - 1) * stride, stride * step
    return field


def _check_complete(info: EncoderInfo, report: Any) -> None:
    """Raise `DataError` where weights were not in the file, or not of the config's shapes."""
    part = "encoder." if info.name.kind == "whisper" else ""
    other = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    for keys, what in ((report["missing_keys"], "lack"), (other, "have another shape of")):
        keys = {key.removeprefix("model.") for key in keys} - UNUSED
        if bad := sorted(key for key in keys if key.startswith(part)):
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise DataError(f"{info.folder}: the weights {what} {bad[0]}{more}")


def _keep_layers(transformer: Any, info: EncoderInfo) -> None:
    """Drop the layers past the one whose outputs are taken, and the norm after the last one."""
    from torch import nn

    if info.layer < info.layers:
        transformer.layers = transformer.layers[: info.layer]
        if info.name.kind == "whisper" or info.config.do_stable_layer_norm:
            transformer.layer_norm = nn.Identity()


def _waveform_extractor(transformers: Any, info: EncoderInfo) -> Callable[..., Any]:
    """Return what turns audio into a model's input: normalised samples, or Whisper's log-mels."""
    is_whisper = info.name.kind == "whisper"
    kind = (
        transformers.WhisperFeatureExtractor
        if is_whisper
        else transformers.Wav2Vec2FeatureExtractor
    )
    if not (info.folder / EXTRACTOR).is_file():
        return kind(feature_size=info.config.num_mel_bins) if is_whisper else kind()
    made = kind.from_pretrained(info.folder, local_files_only=True)
    if made.sampling_rate != SAMPLE_RATE:
        raise ValueError(f"{EXTRACTOR}: {made.sampling_rate} samples a second, not {SAMPLE_RATE}")
    if is_whisper and (made.nb_max_frames, made.feature_size) != (
        2 * WHISPER_STEPS,
        info.config.num_mel_bins,
    ):
        raise ValueError(f"{EXTRACTOR}: of other log-mels than the model's")
    return made


@contextlib.contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Raise `DataError` for whatever goes wrong in `transformers` with the files of a path."""
    try:
        yield
    except Exception as error:
        raise DataError(f"{path}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence notes of weights that are not used, and progress bars."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
