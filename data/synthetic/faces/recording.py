"""Clips of the demo faces: person, sentence, emotion, motion and video of each, drawn by a seed.

Motion follows rules. Lips follow the demo speaker's visemes; the emotion is added to them and gives
way where lips must close.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.speech2face.clip import EMOTIONS, FaceClip, FaceInfo, alignment_transform
from speech2video.data.synthetic.common import Progress, check_plan, report_frames, smooth_noise
from speech2video.data.synthetic.faces import emotions
from speech2video.data.synthetic.faces.head import ACTIONS, Head, person_outfit
from speech2video.data.synthetic.faces.people import DemoPerson, draw_person
from speech2video.data.synthetic.speaker import motion
from speech2video.data.synthetic.speaker.visemes import JAW_FULL, mouth_curves
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.files import write_json, write_npz
from speech2video.util.rendering.camera import FACING, Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME, frame_count, frame_times
from speech2video.util.video.writer import write_video

# Short everyday sentences that fit any emotion. Written for this project: plain ASCII, every
# English phoneme, no names of people. The last sixteen are for testing: none of them is spoken in
# the training part of the data set.
SENTENCES = tuple((Path(__file__).parent / "sentences.txt").read_text("ascii").splitlines())
NUM_TEST_SENTENCES = 16
TEST_SENTENCE_EVERY = 5  # a person's every fifth sentence is one of these
QUIET = ((0.12, 0.3), (0.16, 0.34))  # seconds before the first word and after the last
DISTANCE = 1.5  # metres from the camera to the head: no wide angle
EYES = 0.3  # metres above the body's origin
LETTER_SECONDS, EXTRA_SECONDS = 0.062, 0.55  # of a letter, and of a clip beyond its letters
QUALITY = 14  # x264's rate factor: high, because clips are training data
UPPER_LIP, LOWER_LIP = slice(61, 64), slice(65, 68)  # iBUG's inner lips

# Motion of the face.
BROWS, SMILE = (0.08, 0.05), (0.1, 0.035)  # at rest, and how much they vary
SWELL, SWELL_HERTZ = 0.14, (0.2, 1.2)  # variation of an emotion's strength
NOD_CHANCE, NOD_SIZE = 0.5, (0.5, 1.2)
SHIFT = 0.35  # share of the demo speaker's translation, which suits a wider view
YIELDS = ("upper_lip_up", "lower_lip_down", "mouth_stretch", "mouth_funnel", "mouth_smile")
YIELDING = 0.85  # share of these that gives way where lips close
MIN_EXPRESSION, MAX_EXPRESSION = -0.7, 1.3  # of any expression
LIPS_MEET = 0.02  # radians of jaw below which lips are shut without closing


@dataclass(frozen=True)
class FacePlan:
    """What determines a clip: the same plan gives the same files.

    Attributes:
        person, number: the speaker, and which of the speaker's sentences it is, from 0.
        seed: of the data set.
        seconds: at most.
        size: of the image in pixels.
    """

    person: int
    number: int
    seed: int
    seconds: float
    size: int

    @property
    def name(self) -> str:
        """The name of the clip."""
        return f"p{self.person:02d}_{self.number:02d}_{self.emotion}"

    @property
    def emotion(self) -> str:
        """The emotion shown; training and test sentences of a person each cycle through all."""
        tests = self.number // TEST_SENTENCE_EVERY
        turn = tests * 3 + 1 if is_test_sentence(self.number) else self.number - tests
        return EMOTIONS[(self.person + turn) % len(EMOTIONS)]

    @property
    def sentence(self) -> int:
        """Which of `SENTENCES` is spoken: each person goes on where others end."""
        random = np.random.default_rng((self.seed, 77))
        training = random.permutation(len(SENTENCES) - NUM_TEST_SENTENCES)
        test = random.permutation(NUM_TEST_SENTENCES)
        tests = self.number // TEST_SENTENCE_EVERY
        if is_test_sentence(self.number):
            return len(training) + int(test[(3 * self.person + tests) % len(test)])
        return int(training[(9 * self.person + self.number - tests) % len(training)])

    @property
    def frames(self) -> int:
        """About how many frames the clip will have."""
        pace = emotions.EMOTION_PROFILES[self.emotion].delivery.pace
        seconds = LETTER_SECONDS * len(SENTENCES[self.sentence]) / pace + EXTRA_SECONDS
        return round(FPS * min(seconds, self.seconds))

    def ground_truth(self, folder: Path) -> Path:
        """Return the npz of the clip's ground truth in its data set's folder."""
        return folder / "ground_truth" / f"{self.name}.npz"

    def speech(self, person: DemoPerson) -> SynthesisedSpeech:
        """Return the spoken sentence."""
        random = np.random.default_rng((self.seed, self.person, self.number, 1))
        before, after = (float(random.uniform(*bounds)) for bounds in QUIET)
        return emotions.synthesise_sentence(
            SENTENCES[self.sentence].rstrip("."),
            person.voice_profile,
            emotions.EMOTION_PROFILES[self.emotion].delivery,
            seconds=self.seconds,
            quiet=(before, after),
            random=random,
        )


def is_test_sentence(number: int) -> bool:
    """Return whether a person's sentence, counted from 0, is one of those for testing."""
    return number % TEST_SENTENCE_EVERY == TEST_SENTENCE_EVERY - 1


def is_complete(folder: Path, plan: FacePlan) -> bool:
    """Return whether all files of this clip exist.

    Raises:
        DataError: they were made by another plan.
    """
    path = plan.ground_truth(folder)
    check_plan(path.with_suffix(".json"), plan, folder / plan.name)
    return FaceClip(folder / plan.name).is_complete and path.is_file()


def make_demo_face_clip(
    folder: Path, plan: FacePlan, body: Body, progress: Progress = lambda _: None
) -> int:
    """Make a clip and its ground truth, and return the number of its frames.

    The clip's folder comes last and appears whole: where it is, everything is. `progress` is called
    with the number of frames done.

    Raises:
        DataError: a file cannot be written, or espeak-ng is not installed.
        UserError: PyVista is not installed.
    """
    person = draw_person(plan.person, seed=plan.seed)
    speech = plan.speech(person)
    seed = (plan.seed, plan.person, plan.number, 2)
    face = animate_face(speech, emotions.EMOTION_PROFILES[plan.emotion], person, seed=seed)
    count = len(face.pose_TP)
    head = Head(body, person.betas, person_outfit(person, body))
    with torch.inference_mode():
        vertices_TV3 = head.vertices(face.pose_TP, face.actions_TA)
        landmarks_TK3 = head.landmarks(face.pose_TP, vertices_TV3)
        camera = aligned_camera(landmarks_TK3, plan.size)
        points_TK2 = camera.project(landmarks_TK3).numpy()
    _write_ground_truth(folder, plan, face, landmarks_TK3.numpy(), speech)
    with FaceClip.create(folder / plan.name) as clip:
        appearance, outfit = person.appearance, head.outfit
        with MeshRenderer(body, camera, appearance=appearance, outfit=outfit) as renderer:
            frames = (renderer.frame(vertices_V3) for vertices_V3 in vertices_TV3.numpy())
            metadata = {"title": f"speech2video demo face {plan.name}, seed {plan.seed}"}
            frames = report_frames(frames, progress)
            write_video(clip.video, frames, quality=QUALITY, metadata=metadata)
        missing = SAMPLES_PER_FRAME * count - len(speech.audio_S)
        write_audio(clip.audio, np.pad(speech.audio_S, (0, missing)))
        clip.write_points(points_TK2)
        clip.write_info(
            FaceInfo(
                source="synthetic: made by speech2video",
                frames=count,
                size=plan.size,
                speaker=person.name,
                emotion=plan.emotion,
                sentence=f"{plan.sentence:03d}",
            )
        )
    return count


@dataclass(frozen=True)
class FaceMotion:
    """A face over T frames.

    Attributes:
        pose_TP: (T, 106) pose vectors; only head, neck, jaw and expression move, and the trunk
            a little.
        actions_TA: (T, A) of `head.ACTIONS`.
        strength_T: (T,) of the emotion, about 1.
    """

    pose_TP: Tensor
    actions_TA: Tensor
    strength_T: np.ndarray


def animate_face(
    speech: SynthesisedSpeech,
    emotion: emotions.EmotionProfile,
    person: DemoPerson,
    *,
    seed: tuple[int, ...],
) -> FaceMotion:
    """Return a face's motion to a sentence; frame t is the moment (t + 0.5) / 25 s."""
    count = frame_count(len(speech.audio_S))
    times_T, duration = frame_times(count), count / FPS
    # One generator for each part: more blinks must not change the nods.
    rngs = [np.random.default_rng((*seed, part)) for part in range(5)]
    stresses = motion.stressed_times(speech.words, speech.phones)
    swell_T = smooth_noise(times_T, rngs[0], SWELL_HERTZ, 1)[:, 0]
    strength_T = person.liveliness * (1 + SWELL * swell_T.clip(-2, 1.5))

    jaw_T, mouth = mouth_curves(speech.phones, times_T, duration)
    rest = {"brows": BROWS, "smile": SMILE}
    face = motion.face_curves(times_T, duration, stresses, (), rngs[1], **rest)
    face["blink"] = motion.blink_curve(times_T, duration, rngs[2], emotion.blinks)
    jaw_T, values = _add_emotion(jaw_T, mouth, face, emotion, strength_T, person.articulation)

    nods = motion.choose_nods(stresses, rngs[3], NOD_CHANCE, NOD_SIZE)
    nods = [(time, emotion.nods * size) for time, size in nods]
    breath_T = motion.breath(times_T, rngs[3])
    translation_T3, rotations = motion.torso_curves(times_T, breath_T, nods, (), rngs[4])
    rotations = {joint: emotion.motion * rotation for joint, rotation in rotations.items()}
    rotations["head"] = rotations["head"] + strength_T[:, None] * np.radians(emotion.head)
    pose_TP = motion.assemble_pose(SHIFT * translation_T3, rotations, jaw_T, values)
    actions_TA = np.stack([values[name] for name in ACTIONS], 1)
    return FaceMotion(
        torch.from_numpy(pose_TP).float(), torch.from_numpy(actions_TA).float(), strength_T
    )


def _add_emotion(
    jaw_T: np.ndarray,
    mouth: dict[str, np.ndarray],
    face: dict[str, np.ndarray],
    emotion: emotions.EmotionProfile,
    strength_T: np.ndarray,
    articulation: float,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the jaw (T,) and all expressions and actions with the emotion added."""
    closed_T = (mouth["mouth_close"] * JAW_FULL / np.maximum(jaw_T, LIPS_MEET)).clip(0, 1)
    jaw_T = articulation * jaw_T + emotion.jaw * strength_T * (1 - closed_T)
    values = {}
    for name in (*motion.EXPRESSION_NAMES, *ACTIONS):
        own_T = mouth.get(name, 0.0) + face.get(name, 0.0)
        added_T = emotion.face.get(name, 0.0) * strength_T
        if name in YIELDS:
            added_T = added_T * (1 - YIELDING * closed_T)
        if name == "blink":  # lids meet at 1, whatever the emotion
            values[name] = np.minimum(own_T + added_T * (1 - own_T), 1.0)
        else:
            values[name] = (own_T + added_T).clip(MIN_EXPRESSION, MAX_EXPRESSION)
    values["mouth_close"] = closed_T * jaw_T / JAW_FULL
    return jaw_T, values


def aligned_camera(landmarks_TK3: Tensor, size: int) -> Camera:
    """Return the camera that shows a clip's landmarks (T, 68, 3), metres, as in aligned clips.

    The clip's alignment is folded into it, so that nothing has to be resampled.
    """
    first = Camera(1000.0, (0.0, 0.0), size, size, FACING, (0.0, EYES, DISTANCE))
    transform_23 = alignment_transform(first.project(landmarks_TK3).numpy(), size)
    scale = float(np.hypot(*transform_23[:, 0]))
    turn_33 = np.eye(3)
    turn_33[:2, :2] = transform_23[:, :2] / scale
    return replace(
        first,
        focal=first.focal * scale,
        center=(float(transform_23[0, 2]), float(transform_23[1, 2])),
        rotation=tuple(map(tuple, (turn_33 @ np.array(first.rotation)).tolist())),
        translation=tuple((turn_33 @ np.array(first.translation)).tolist()),
    )


def _write_ground_truth(
    folder: Path,
    plan: FacePlan,
    face: FaceMotion,
    landmarks_TK3: np.ndarray,
    speech: SynthesisedSpeech,
) -> None:
    """Write what the clip was made of, and its plan."""
    path = plan.ground_truth(folder)
    opening_T = np.linalg.norm(
        landmarks_TK3[:, UPPER_LIP].mean(1) - landmarks_TK3[:, LOWER_LIP].mean(1), axis=1
    )
    pose_TP = face.pose_TP.numpy()
    arrays = {
        "expression_TE": pose_TP[:, POSE_SLICES["expression"]],
        "expression_names": np.array(motion.EXPRESSION_NAMES),
        "action_TA": face.actions_TA.numpy(),
        "action_names": np.array(tuple(ACTIONS)),
        "jaw_T": pose_TP[:, POSE_SLICES["jaw"].start],
        "lip_opening_T": opening_T.astype(np.float32),
        "strength_T": face.strength_T.astype(np.float32),
        "pose_TP": pose_TP,
        "landmarks_TK3": landmarks_TK3.astype(np.float32),
        "phones": np.array([phone.text for phone in speech.phones]),
        "phone_times_N2": np.array([(phone.start, phone.end) for phone in speech.phones]),
    }
    write_npz(path, arrays)
    values = asdict(plan) | {"emotion": plan.emotion, "text": SENTENCES[plan.sentence]}
    write_json(path.with_suffix(".json"), values, indent=1)
