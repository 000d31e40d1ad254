"""One recording of the demo speaker: what lies where, and how it is made from a seed."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from speech2video.data.demo_speaker.motion import Performance, perform
from speech2video.data.demo_speaker.rendering import demo_camera, render_speaker
from speech2video.data.demo_speaker.sentences import script, spoken_seconds
from speech2video.data.motion import FPS, from_pose_vector
from speech2video.data.motion_file import write_motion
from speech2video.util.audio import SPEECH_RATE, write_wave
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.files import replacing
from speech2video.util.speech_synthesis import PITCHES, VOICES, Speech, Voice, synthesise
from speech2video.util.transcript import Phone, write_words
from speech2video.util.video import write_video

PACE, TONE = 0.08, 7  # how far a voice's rate (a share) and pitch stray from recording to recording
QUIET = (0.5, 1.0)  # seconds before the first word and after the last: mouths must learn silence
USUAL_RATE = 160  # words a minute that `spoken_seconds` reckons with
PHONES_HEADER = ("phone", "start", "end", "word", "stress")


@dataclass(frozen=True)
class RecordingPlan:
    """What decides a recording, wholly: the same plan gives the same files.

    Attributes:
        number: which recording of its data set.
        seed: of the data set.
        seconds: about how long it is.
        size: height and width of its picture in pixels.
    """

    number: int
    seed: int
    seconds: float
    size: int

    @property
    def name(self) -> str:
        """The name its files have in common."""
        return f"{self.number:03d}"


@dataclass(frozen=True)
class RecordingFiles:
    """Where a recording and its truth lie in a data set's folder."""

    video: Path
    transcript: Path
    truth: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> "RecordingFiles":
        """Return the places of the recording of that name."""
        recordings = folder / "recordings"
        return cls(recordings / f"{name}.mp4", recordings / f"{name}.txt", folder / "truth" / name)

    def all(self) -> list[Path]:
        """Return every file of a recording; the video, which is written last, is the last."""
        truth = ("plan.json", "pose.npz", "words.csv", "phones.csv", "gestures.json")
        return [*(self.truth / name for name in truth), self.transcript, self.video]


def is_complete(folder: Path, plan: RecordingPlan) -> bool:
    """Return whether all of this recording is there.

    Raises `DataError` if what is there was made by another plan: half of one data set and half of
    another would be nobody's.
    """
    files = RecordingFiles.of(folder, plan.name)
    note = files.truth / "plan.json"
    if note.is_file():
        wanted, made = asdict(plan), _read_plan(note)
        differing = [key for key in wanted if wanted[key] != made.get(key)]
        if differing:
            seen, needed = (
                " and ".join(f"{k} {v.get(k)}" for k in differing) for v in (made, wanted)
            )
            raise DataError(f"{files.video}: made with {seen}, not {needed}; choose another folder")
    return all(path.is_file() for path in files.all())


def cast(plan: RecordingPlan) -> tuple[list[str], Voice]:
    """Return a recording's sentences and voice: the voices take turns, pace and pitch vary."""
    chance = np.random.default_rng((plan.seed, plan.number))
    turns = np.random.default_rng(plan.seed).permutation(len(VOICES))
    voice = VOICES[turns[plan.number % len(VOICES)]]
    rate = round(voice.rate_wpm * chance.uniform(1 - PACE, 1 + PACE))
    pitch = round(np.clip(voice.pitch + chance.uniform(-TONE, TONE), *PITCHES))
    return script(plan.seconds, seed=int(chance.integers(2**31))), Voice(voice.voice, rate, pitch)


def expected_frames(plan: RecordingPlan) -> int:
    """Return about how many frames a recording will have."""
    sentences, voice = cast(plan)
    spoken = sum(map(spoken_seconds, sentences)) * USUAL_RATE / voice.rate_wpm
    return round(FPS * (spoken + sum(QUIET)))


def make_recording(
    folder: Path, plan: RecordingPlan, body: Body, *, made: Callable[[int], None] = lambda _: None
) -> int:
    """Make a recording and its truth, and return the number of its frames.

    Each file is complete or absent, and the video comes last: where it is, everything is. `made`
    is called with 1 for every frame that is done.

    Raises:
        DataError: a file cannot be written, or espeak-ng is not installed.
        UserError: PyVista is not installed.
    """
    files = RecordingFiles.of(folder, plan.name)
    sentences, voice = cast(plan)
    speech = _within_silence(synthesise(" ".join(sentences), **voice._asdict()), plan)
    performance = perform(speech, seed=plan.seed * 10_007 + plan.number, body=body)
    camera = demo_camera(plan.size)
    write_motion(
        files.truth / "pose.npz", from_pose_vector(performance.pose_TP, body, camera=camera)
    )
    write_words(files.truth / "words.csv", speech.words)
    write_phones(files.truth / "phones.csv", speech.phones)
    _write_json(files.truth / "gestures.json", _gestures(performance))
    _write_json(files.truth / "plan.json", asdict(plan))
    _write_text(files.transcript, "".join(f"{sentence}\n" for sentence in sentences))
    frames = render_speaker(performance.pose_TP, camera, size=plan.size, body=body)
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "voice.wav"
        write_wave(sound, speech.wave_S)
        return write_video(
            files.video,
            _counted(frames, made),
            audio=sound,
            metadata={"title": f"speech2video demo speaker {plan.name}, seed {plan.seed}"},
        )


def _within_silence(speech: Speech, plan: RecordingPlan) -> Speech:
    """Return the speech with some silence before and after it."""
    before, after = np.random.default_rng((plan.seed, plan.number, 1)).uniform(*QUIET, size=2)
    samples = [round(seconds * SPEECH_RATE) for seconds in (before, after)]
    late = samples[0] / SPEECH_RATE
    words, phones = (
        [replace(item, start=item.start + late, end=item.end + late) for item in items]
        for items in (speech.words, speech.phones)
    )
    return Speech(np.pad(speech.wave_S, samples), words, phones)


def write_phones(path: Path, phones: Iterable[Phone]) -> None:
    """Write phones as csv: IPA, start and end in seconds, index of the word, stress 0, 1 or 2."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PHONES_HEADER)
        for phone in phones:
            times = (f"{phone.start:.4f}", f"{phone.end:.4f}")
            writer.writerow((phone.text, *times, phone.word, phone.stress))


def _gestures(performance: Performance) -> dict:
    uses = [asdict(use) for use in performance.gestures]
    return _rounded({"gestures": uses, "beats": performance.beats})


def _rounded(value: object) -> object:
    """Return a json value with all its seconds to 0.1 ms, as in the csv files."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(float(value), 4) if isinstance(value, float) else value


def _read_plan(path: Path) -> dict:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise DataError(f"{path}: not a recording's plan; delete {path.parent} to make it anew")
    return values


def _write_json(path: Path, values: dict) -> None:
    _write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def _counted(frames: Iterator[np.ndarray], made: Callable[[int], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        made(1)
