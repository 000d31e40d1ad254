"""Recordings of the demo speaker: sentences, voice, motion and video of each, drawn by a seed."""

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.synthetic.common import Progress, check_plan, pad_speech, report_frames
from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import NUM_BETAS, Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.files import link_or_copy, write_json, write_text
from speech2video.util.rendering.appearance import Appearance, HairStyle
from speech2video.util.rendering.camera import FOCAL_RATIO, Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.text.synthesis import PITCHES, VOICES, SynthesisedSpeech, Voice, synthesise
from speech2video.util.text.transcript import write_phones, write_words
from speech2video.util.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
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

DISTANCE = 1.25  # metres from the camera to the body's origin, level
AIM_HEIGHT = 0.04  # metres, height that it aims at: resting and raised hands stay in view
LENS_HEIGHT = 0.22  # metres, of the camera: near the eyes
PLACE_SCATTER = (0.03, 0.01, 0.04)  # metres that a recording's speaker stands elsewhere


@dataclass(frozen=True)
class Presenter:
    """Who speaks in the recordings.

    Attributes:
        betas: (10,) the open body's shape.
        place: where it stands, metres from the origin.
        appearance: its appearance.
    """

    betas: tuple[float, ...] = (0.0,) * NUM_BETAS
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    appearance: Appearance = Appearance()


PRESENTERS = {
    "woman": Presenter(),
    "man": Presenter(
        betas=(1.2, *(0.0,) * (NUM_BETAS - 1)),
        place=(0.0, -0.05, -0.1),
        appearance=Appearance(
            skin=(0.87, 0.66, 0.52),
            lips=(0.73, 0.47, 0.42),
            hair=(0.17, 0.12, 0.09),
            iris=(0.25, 0.33, 0.38),
            style=HairStyle(
                fringe=0.62, length=-0.012, temple=(0.75, 1.3), thickness=0.012, locks=0.003
            ),
            top=(0.33, 0.19, 0.22),
            trim=(0.62, 0.55, 0.50),
        ),
    ),
}


@dataclass(frozen=True)
class RecordingPlan:
    """What determines a recording: the same plan gives the same files.

    Attributes:
        number: which recording of its data set.
        seed: of the data set.
        seconds: about how long it is.
        size: height and width of its image in pixels.
        presenter: one of `PRESENTERS`.
    """

    number: int
    seed: int
    seconds: float
    size: int
    presenter: str = "woman"

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

    def place(self) -> np.ndarray:
        """Return where (3,) the speaker stands, metres."""
        rng = np.random.default_rng((self.seed, self.number, 2))
        return PRESENTERS[self.presenter].place + rng.normal(0, PLACE_SCATTER)

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
    return Clip(ground_truth).is_complete and all(path.is_file() for path in files)


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

    It shows the speaker from the waist up, with room for wide gestures, and is nearly as high as
    the eyes.
    """
    drop = LENS_HEIGHT - AIM_HEIGHT
    distance = math.hypot(DISTANCE, drop)
    sin, cos = drop / distance, DISTANCE / distance
    # the world's height and depth in camera axes; the point it aims at is in the middle
    rotation = ((1.0, 0.0, 0.0), (0.0, -cos, sin), (0.0, -sin, -cos))
    translation = (0.0, cos * AIM_HEIGHT, distance + sin * AIM_HEIGHT)
    middle = (size / 2, size / 2)
    return Camera(FOCAL_RATIO * size, middle, size, size, rotation, translation)


def render_speaker(
    pose_TP: Tensor,
    camera: Camera,
    *,
    size: int,
    appearance: Appearance | None = None,
    body: Body | None = None,
) -> Iterator[np.ndarray]:
    """Yield the images (3, H, W) uint8 RGB of pose vectors (T, 106), the larger side `size`.

    Frames are rendered one by one on demand. The eyes are turned to the camera. `body` is the open
    body by default, and only that one has clothes and hair.

    Raises:
        UserError: PyVista is not installed.
    """
    camera = camera.scaled_to(size)
    with MeshRenderer(body or Body.load(), camera, appearance=appearance) as renderer:
        rotation, translation = np.array(camera.rotation), np.array(camera.translation)
        viewer = tuple((-rotation.T @ translation).tolist())
        yield from renderer.frames(pose_TP, viewer)


def make_recording(
    folder: Path, plan: RecordingPlan, body: Body, progress: Progress = lambda _: None
) -> int:
    """Make a recording and its ground truth, and return the number of its frames.

    Each file is complete or absent, and the clip's description comes last.
    The ground truth is a clip, as `scripts/preprocess.py` makes them, with the exact pose.
    `progress` is called with the number of frames done.

    Raises:
        DataError: a file cannot be written, or espeak-ng is not installed.
        UserError: PyVista is not installed.
    """
    video, ground_truth = plan.video(folder), plan.ground_truth(folder)
    presenter = PRESENTERS[plan.presenter]
    body = body.with_shape(presenter.betas)
    sentences, voice = plan.sentences_and_voice()
    speech = plan.speech()
    motion = animate_speaker(speech, seed=plan.seed * 10_007 + plan.number, body=body)
    motion.pose_TP[:, POSE_SLICES["translation"]] += torch.from_numpy(plan.place()).float()
    camera = demo_camera(plan.size)
    pose = motion_from_pose(motion.pose_TP, body, camera=camera)
    gestures = {"gestures": [asdict(use) for use in motion.gestures], "beats": motion.beats}
    write_motion(ground_truth / "pose.npz", pose)
    write_words(ground_truth / "words.csv", speech.words)
    write_phones(ground_truth / "phones.csv", speech.phones)
    write_json(ground_truth / "gestures.json", _rounded(gestures), indent=1)
    write_json(ground_truth / "plan.json", asdict(plan), indent=1)
    write_text(video.with_suffix(".txt"), "".join(f"{sentence}\n" for sentence in sentences))
    frames = render_speaker(
        motion.pose_TP, camera, size=plan.size, appearance=presenter.appearance, body=body
    )
    clip = Clip(ground_truth)
    write_audio(clip.audio, np.pad(speech.audio_S, (0, -len(speech.audio_S) % SAMPLES_PER_FRAME)))
    count = write_video(
        video,
        report_frames(frames, progress),
        audio=clip.audio,
        metadata={"title": f"speech2video demo speaker {plan.name}, seed {plan.seed}"},
    )
    link_or_copy(video, clip.video)
    clip.write_info(
        ClipInfo(voice.voice, count, plan.size, plan.size, "", body.name, words="given")
    )
    return count


def _rounded(value: object) -> object:
    """Return a json value with all its seconds to 0.1 ms, as in the csv files."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(float(value), 4) if isinstance(value, float) else value
