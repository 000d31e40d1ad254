"""Recordings of the demo speaker: sentences, voice, motion and video of each, drawn by a seed."""

import random
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.synthetic.common import Progress, check_plan, pad_speech, report_frames
from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.files import write_json, write_text
from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.camera import FOCAL_RATIO, Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.text.synthesis import PITCHES, VOICES, SynthesisedSpeech, Voice, synthesise
from speech2video.util.text.transcript import write_phones, write_words
from speech2video.util.timing import FPS, SAMPLE_RATE
from speech2video.util.video.writer import write_video

# A lively presenter's talk, full of words that call for a gesture. Written for this project: plain
# ASCII, every English phoneme, no names of people.
SENTENCES = tuple((Path(__file__).parent / "sentences.txt").read_text("ascii").splitlines())
LETTER_SECONDS = 0.052  # of espeak-ng at the usual rate
SENTENCE_SECONDS = 1.25  # more for each sentence: its slower end, and the pause after it
USUAL_RATE = 160  # words a minute
PACE, TONE = 0.08, 7  # deviation of a voice's rate (a share) and pitch between recordings
QUIET = (0.5, 1.0)  # seconds before the first word and after the last: mouths must learn silence
GROUND_TRUTH = ("plan.json", "pose.npz", "words.csv", "phones.csv", "gestures.json")

DISTANCE = 1.65  # metres from the camera to the hips
HEIGHT = 0.06  # metres above the body's origin: resting and high-held hands stay in the image


@dataclass(frozen=True)
class RecordingPlan:
    """What determines a recording: the same plan gives the same files.

    Attributes:
        number: which recording of its data set.
        seed: of the data set.
        seconds: about how long it is.
        size: height and width of its image in pixels.
    """

    number: int
    seed: int
    seconds: float
    size: int

    @property
    def name(self) -> str:
        """The name its files have in common."""
        return f"{self.number:03d}"

    def video(self, folder: Path) -> Path:
        """Return the recording's video in its data set's folder; its transcript lies next to it."""
        return folder / "recordings" / f"{self.name}.mp4"

    def ground_truth(self, folder: Path) -> Path:
        """Return the folder of the recording's ground truth."""
        return folder / "ground_truth" / self.name

    def sentences_and_voice(self) -> tuple[list[str], Voice]:
        """Return the sentences and the voice: voices take turns, pace and pitch vary."""
        rng = np.random.default_rng((self.seed, self.number))
        turns = np.random.default_rng(self.seed).permutation(len(VOICES))
        voice = VOICES[turns[self.number % len(VOICES)]]
        rate = round(voice.rate_wpm * rng.uniform(1 - PACE, 1 + PACE))
        pitch = round(np.clip(voice.pitch + rng.uniform(-TONE, TONE), *PITCHES))
        sentences = draw_sentences(self.seconds, seed=int(rng.integers(2**31)))
        return sentences, Voice(voice.voice, rate, pitch)

    def speech(self) -> SynthesisedSpeech:
        """Return the spoken sentences, within some silence."""
        sentences, voice = self.sentences_and_voice()
        quiet = np.random.default_rng((self.seed, self.number, 1)).uniform(*QUIET, size=2)
        before, after = (round(seconds * SAMPLE_RATE) for seconds in quiet)
        return pad_speech(synthesise(" ".join(sentences), **voice._asdict()), before, after)

    @property
    def frames(self) -> int:
        """About how many frames the recording will have."""
        sentences, voice = self.sentences_and_voice()
        spoken = sum(map(spoken_seconds, sentences)) * USUAL_RATE / voice.rate_wpm
        return round(FPS * (spoken + sum(QUIET)))


def is_complete(folder: Path, plan: RecordingPlan) -> bool:
    """Return whether all files of this recording exist.

    Raises:
        DataError: they were made by another plan.
    """
    video, ground_truth = plan.video(folder), plan.ground_truth(folder)
    check_plan(ground_truth / "plan.json", plan, video)
    files = [video, video.with_suffix(".txt"), *(ground_truth / name for name in GROUND_TRUTH)]
    return all(path.is_file() for path in files)


def draw_sentences(seconds: float, *, seed: int) -> list[str]:
    """Return sentences that take about `seconds` to speak, in an order drawn by `seed`.

    None returns before all have been spoken. There is at least one.
    """
    generator = random.Random(seed)
    chosen: list[str] = []
    pool: list[str] = []
    left = seconds
    while left > 0 or not chosen:
        if not pool:
            pool = generator.sample(SENTENCES, len(SENTENCES))
        chosen.append(pool.pop())
        left -= spoken_seconds(chosen[-1])
    return chosen


def spoken_seconds(sentence: str) -> float:
    """Return about how long a sentence and the pause after it take at the usual rate."""
    return SENTENCE_SECONDS + LETTER_SECONDS * sum(map(str.isalpha, sentence))


def demo_camera(size: int) -> Camera:
    """Return the studio's camera, for square images of `size` pixels.

    It points straight at the speaker, from the hips up, with room for wide gestures.
    """
    middle = (size / 2, size / 2)
    return Camera(FOCAL_RATIO * size, middle, size, size, translation=(0.0, HEIGHT, DISTANCE))


def render_speaker(
    pose_TP: Tensor,
    camera: Camera,
    *,
    size: int,
    appearance: Appearance | None = None,
    body: Body | None = None,
) -> Iterator[np.ndarray]:
    """Yield the images (3, H, W) uint8 RGB of pose vectors (T, 106), the larger side `size`.

    Frames are rendered one by one on demand. `body` is the open body by default, and only that one
    has clothes and hair.

    Raises:
        UserError: PyVista is not installed.
    """
    camera = camera.scaled_to(size)
    with MeshRenderer(body or Body.load(), camera, appearance=appearance) as renderer:
        yield from renderer.frames(pose_TP)


def make_recording(
    folder: Path, plan: RecordingPlan, body: Body, progress: Progress = lambda _: None
) -> int:
    """Make a recording and its ground truth, and return the number of its frames.

    Each file is complete or absent, and the video comes last: where it is, everything is.
    `progress` is called with the number of frames done.

    Raises:
        DataError: a file cannot be written, or espeak-ng is not installed.
        UserError: PyVista is not installed.
    """
    video, ground_truth = plan.video(folder), plan.ground_truth(folder)
    sentences, _ = plan.sentences_and_voice()
    speech = plan.speech()
    motion = animate_speaker(speech, seed=plan.seed * 10_007 + plan.number, body=body)
    camera = demo_camera(plan.size)
    pose = motion_from_pose(motion.pose_TP, body, camera=camera)
    gestures = {"gestures": [asdict(use) for use in motion.gestures], "beats": motion.beats}
    write_motion(ground_truth / "pose.npz", pose)
    write_words(ground_truth / "words.csv", speech.words)
    write_phones(ground_truth / "phones.csv", speech.phones)
    write_json(ground_truth / "gestures.json", _rounded(gestures), indent=1)
    write_json(ground_truth / "plan.json", asdict(plan), indent=1)
    write_text(video.with_suffix(".txt"), "".join(f"{sentence}\n" for sentence in sentences))
    frames = render_speaker(motion.pose_TP, camera, size=plan.size, body=body)
    with tempfile.TemporaryDirectory() as scratch:
        audio = Path(scratch) / "voice.wav"
        write_audio(audio, speech.audio_S)
        return write_video(
            video,
            report_frames(frames, progress),
            audio=audio,
            metadata={"title": f"speech2video demo speaker {plan.name}, seed {plan.seed}"},
        )


def _rounded(value: object) -> object:
    """Return a json value with all its seconds to 0.1 ms, as in the csv files."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(float(value), 4) if isinstance(value, float) else value
