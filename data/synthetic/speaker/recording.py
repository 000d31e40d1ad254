"""One recording of the demo speaker: what lies where, and how it is made from a seed."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.synthetic.speaker.motion import SpeakerMotion, animate_speaker
from speech2video.data.synthetic.speaker.sentences import script, spoken_seconds
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write
from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.camera import FOCAL_RATIO, Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.text.synthesis import PITCHES, VOICES, SynthesisedSpeech, Voice, synthesise
from speech2video.util.text.transcript import Phone, write_words
from speech2video.util.timing import FPS, SAMPLE_RATE
from speech2video.util.video.writer import write_video

# The demo speaker's picture: her camera, and her pose vectors rendered frame by frame.

DISTANCE = 1.65  # metres from the camera to the hips
HEIGHT = 0.06  # metres above the body's origin: hands at rest are seen, and hands held high


def demo_camera(size: int) -> Camera:
    """Return the studio's camera, for square pictures of `size` pixels.

    It looks straight at the speaker, from the hips up, with room for wide gestures.
    """
    return Camera(
        focal=FOCAL_RATIO * size,
        center=(size / 2, size / 2),
        width=size,
        height=size,
        translation=(0.0, HEIGHT, DISTANCE),
    )


def render_speaker(
    pose_TP: Tensor,
    camera: Camera,
    *,
    size: int,
    appearance: Appearance | None = None,
    body: Body | None = None,
) -> Iterator[np.ndarray]:
    """Yield the pictures (3, H, W) uint8 RGB of pose vectors (T, 106), the larger side `size`.

    Frames are made one by one as they are taken. `body` is the open body by default, and only that
    one has clothes and hair. Raises `UserError` where PyVista is not installed.
    """
    scale = size / max(camera.width, camera.height)
    camera = camera.resized(round(camera.width * scale), round(camera.height * scale))
    with MeshRenderer(body or Body.load(), camera, appearance=appearance) as renderer:
        yield from renderer.frames(pose_TP)


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


def script_and_voice(plan: RecordingPlan) -> tuple[list[str], Voice]:
    """Return a recording's sentences and voice: the voices take turns, pace and pitch vary."""
    chance = np.random.default_rng((plan.seed, plan.number))
    turns = np.random.default_rng(plan.seed).permutation(len(VOICES))
    voice = VOICES[turns[plan.number % len(VOICES)]]
    rate = round(voice.rate_wpm * chance.uniform(1 - PACE, 1 + PACE))
    pitch = round(np.clip(voice.pitch + chance.uniform(-TONE, TONE), *PITCHES))
    return script(plan.seconds, seed=int(chance.integers(2**31))), Voice(voice.voice, rate, pitch)


def expected_frames(plan: RecordingPlan) -> int:
    """Return about how many frames a recording will have."""
    sentences, voice = script_and_voice(plan)
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
    sentences, voice = script_and_voice(plan)
    speech = _within_silence(synthesise(" ".join(sentences), **voice._asdict()), plan)
    performance = animate_speaker(speech, seed=plan.seed * 10_007 + plan.number, body=body)
    camera = demo_camera(plan.size)
    write_motion(
        files.truth / "pose.npz", motion_from_pose(performance.pose_TP, body, camera=camera)
    )
    write_words(files.truth / "words.csv", speech.words)
    write_phones(files.truth / "phones.csv", speech.phones)
    _write_json(files.truth / "gestures.json", _gestures(performance))
    _write_json(files.truth / "plan.json", asdict(plan))
    _write_text(files.transcript, "".join(f"{sentence}\n" for sentence in sentences))
    frames = render_speaker(performance.pose_TP, camera, size=plan.size, body=body)
    with tempfile.TemporaryDirectory() as scratch:
        audio = Path(scratch) / "voice.wav"
        write_audio(audio, speech.audio_S)
        return write_video(
            files.video,
            _counted(frames, made),
            audio=audio,
            metadata={"title": f"speech2video demo speaker {plan.name}, seed {plan.seed}"},
        )


def _within_silence(speech: SynthesisedSpeech, plan: RecordingPlan) -> SynthesisedSpeech:
    """Return the speech with some silence before and after it."""
    before, after = np.random.default_rng((plan.seed, plan.number, 1)).uniform(*QUIET, size=2)
    samples = [round(seconds * SAMPLE_RATE) for seconds in (before, after)]
    late = samples[0] / SAMPLE_RATE
    words, phones = (
        [replace(item, start=item.start + late, end=item.end + late) for item in items]
        for items in (speech.words, speech.phones)
    )
    return SynthesisedSpeech(np.pad(speech.audio_S, samples), words, phones)


def write_phones(path: Path, phones: Iterable[Phone]) -> None:
    """Write phones as csv: IPA, start and end in seconds, index of the word, stress 0, 1 or 2."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PHONES_HEADER)
        for phone in phones:
            times = (f"{phone.start:.4f}", f"{phone.end:.4f}")
            writer.writerow((phone.text, *times, phone.word, phone.stress))


def _gestures(performance: SpeakerMotion) -> dict:
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
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def _counted(frames: Iterator[np.ndarray], made: Callable[[int], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        made(1)
