"""One clip of the demo faces: who says what in which mood, made from a seed, with the truth."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from speech2video.data.speech2face.clip import (
    EMOTIONS,
    FaceClip,
    FaceInfo,
    alignment_transform,
)
from speech2video.data.synthetic.faces.accessories import person_outfit
from speech2video.data.synthetic.faces.emotions import EMOTION_PROFILES
from speech2video.data.synthetic.faces.head import ACTIONS, Head
from speech2video.data.synthetic.faces.motion import FaceMotion, animate_face
from speech2video.data.synthetic.faces.people import DemoPerson, person
from speech2video.data.synthetic.faces.sentences import (
    NUM_TEST_SENTENCES,
    SENTENCES,
    is_test_sentence,
    sentence_number,
    test_sentences_before,
)
from speech2video.data.synthetic.faces.voices import synthesise_sentence
from speech2video.data.synthetic.speaker.motion import EXPRESSION_NAMES
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, read_json, write_errors
from speech2video.util.rendering.camera import FACING, Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME
from speech2video.util.video.writer import write_video

QUIET = ((0.12, 0.3), (0.16, 0.34))  # seconds before the first word and after the last
DISTANCE = 1.5  # metres from the camera to the head: no wide angle
EYES = 0.3  # metres above the body's origin
LETTER, AROUND = 0.062, 0.55  # seconds a letter takes, and a clip more than its letters
QUALITY = 14  # x264's rate factor: a clip is to be learned from
UPPER_LIP, LOWER_LIP = slice(61, 64), slice(65, 68)  # iBUG's inner lips


@dataclass(frozen=True)
class FacePlan:
    """What decides a clip, wholly: the same plan gives the same files.

    Attributes:
        person, number: who speaks, and which of this person's sentences it is, from 0.
        seed: of the data set.
        seconds: at most.
        size: of the picture in pixels.
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
        """The emotion shown; those of a person's sentences to train on go round by themselves."""
        kept = test_sentences_before(self.number)
        turn = kept * 3 + 1 if is_test_sentence(self.number) else self.number - kept
        return EMOTIONS[(self.person + turn) % len(EMOTIONS)]

    @property
    def sentence(self) -> int:
        """Which of `SENTENCES` is said."""
        orders = np.random.default_rng((self.seed, 77))
        order = orders.permutation(len(SENTENCES) - NUM_TEST_SENTENCES).tolist()
        return sentence_number(
            self.person, self.number, order, orders.permutation(NUM_TEST_SENTENCES).tolist()
        )

    @property
    def frames(self) -> int:
        """About how many frames the clip will have."""
        letters = (
            LETTER * len(SENTENCES[self.sentence]) / EMOTION_PROFILES[self.emotion].delivery.pace
        )
        return round(FPS * min(letters + AROUND, self.seconds))


def ground_truth_path(folder: Path, plan: FacePlan) -> Path:
    """Return where a clip's truth lies in its data set's folder."""
    return folder / "truth" / f"{plan.name}.npz"


def is_complete(folder: Path, plan: FacePlan) -> bool:
    """Return whether all of this clip is there.

    Raises `DataError` if what is there was made by another plan.
    """
    note = ground_truth_path(folder, plan).with_suffix(".json")
    if note.is_file():
        made = read_json(note, what="a clip's plan")
        wanted = asdict(plan)
        made = made if isinstance(made, dict) else {}
        differing = [key for key in wanted if wanted[key] != made.get(key)]
        if differing:
            seen, needed = (
                " and ".join(f"{k} {v.get(k)}" for k in differing) for v in (made, wanted)
            )
            clip = folder / plan.name
            raise DataError(f"{clip}: made with {seen}, not {needed}; choose another folder")
    return FaceClip(folder / plan.name).is_complete and ground_truth_path(folder, plan).is_file()


def make_demo_face_clip(
    folder: Path, plan: FacePlan, body: Body, *, made: Callable[[int], None] = lambda _: None
) -> int:
    """Make a clip and its truth, and return the number of its frames.

    The clip's folder comes last and appears whole: where it is, everything is. `made` is called
    with 1 for every frame that is done.

    Raises:
        DataError: a file cannot be written, or espeak-ng is not installed.
        UserError: PyVista is not installed.
    """
    who, emotion_profile = person(plan.person, seed=plan.seed), EMOTION_PROFILES[plan.emotion]
    speech = _speech(plan, who)
    seed = (plan.seed, plan.person, plan.number)
    motion = animate_face(speech, emotion_profile, who, seed=(*seed, 2))
    count = len(motion.pose_TP)
    head = Head(body, who.betas, person_outfit(who, body))
    with torch.inference_mode():
        vertices_TV3 = head.vertices(motion.pose_TP, motion.actions_TA)
        landmarks_TK3 = head.landmarks(motion.pose_TP, vertices_TV3)
        camera = aligned_camera(landmarks_TK3, plan.size)
        points_TK2 = camera.project(landmarks_TK3).numpy()
    _write_truth(folder, plan, motion, landmarks_TK3.numpy(), speech)
    with FaceClip.create(folder / plan.name) as clip:
        with MeshRenderer(body, camera, appearance=who.appearance, outfit=head.outfit) as renderer:
            frames = (renderer.frame(vertices_V3) for vertices_V3 in vertices_TV3.numpy())
            title = f"speech2video demo face {plan.name}, seed {plan.seed}"
            metadata = {"title": title}
            write_video(clip.video, _counted(frames, made), quality=QUALITY, metadata=metadata)
        audio_S = np.pad(speech.audio_S, (0, SAMPLES_PER_FRAME * count - len(speech.audio_S)))
        write_audio(clip.audio, audio_S)
        clip.write_points(points_TK2)
        clip.write_info(
            FaceInfo(
                source="synthetic: made by speech2video",
                frames=count,
                size=plan.size,
                speaker=who.name,
                emotion=plan.emotion,
                sentence=f"{plan.sentence:03d}",
            )
        )
    return count


def aligned_camera(landmarks_TK3: torch.Tensor, size: int) -> Camera:
    """Return the camera that sees a clip's landmarks (T, 68, 3), metres, as aligned clips show it.

    The clip's steady similarity is folded into it, so that nothing has to be resampled.
    """
    first = Camera(
        focal=1000.0,
        center=(0.0, 0.0),
        width=size,
        height=size,
        rotation=FACING,
        translation=(0.0, EYES, DISTANCE),
    )
    transform_23 = alignment_transform(first.project(landmarks_TK3).numpy(), size)
    scale = float(np.hypot(*transform_23[:, 0]))
    turn_33 = np.eye(3)
    turn_33[:2, :2] = transform_23[:, :2] / scale
    rotation = turn_33 @ np.array(first.rotation)
    translation = turn_33 @ np.array(first.translation)
    return replace(
        first,
        focal=first.focal * scale,
        center=(float(transform_23[0, 2]), float(transform_23[1, 2])),
        rotation=tuple(map(tuple, rotation.tolist())),
        translation=tuple(translation.tolist()),
    )


def _speech(plan: FacePlan, who: DemoPerson) -> SynthesisedSpeech:
    random = np.random.default_rng((plan.seed, plan.person, plan.number, 1))
    quiet = tuple(float(random.uniform(*bounds)) for bounds in QUIET)
    text = SENTENCES[plan.sentence].rstrip(".")
    delivery = EMOTION_PROFILES[plan.emotion].delivery
    return synthesise_sentence(
        text, who.voice_profile, delivery, seconds=plan.seconds, quiet=quiet, random=random
    )


def _write_truth(
    folder: Path,
    plan: FacePlan,
    motion: FaceMotion,
    landmarks_TK3: np.ndarray,
    speech: SynthesisedSpeech,
) -> None:
    """Write what the clip was made of, and its plan."""
    path = ground_truth_path(folder, plan)
    opening_T = np.linalg.norm(
        landmarks_TK3[:, UPPER_LIP].mean(1) - landmarks_TK3[:, LOWER_LIP].mean(1), axis=1
    )
    pose_TP = motion.pose_TP.numpy()
    with atomic_write(path) as partial, write_errors(path):
        np.savez_compressed(
            partial,
            expression_TE=pose_TP[:, POSE_SLICES["expression"]],
            expression_names=np.array(EXPRESSION_NAMES),
            action_TA=motion.actions_TA.numpy(),
            action_names=np.array(tuple(ACTIONS)),
            jaw_T=pose_TP[:, POSE_SLICES["jaw"].start],
            lip_opening_T=opening_T.astype(np.float32),
            strength_T=motion.strength_T.astype(np.float32),
            pose_TP=pose_TP,
            landmarks_TK3=landmarks_TK3.astype(np.float32),
            phones=np.array([phone.text for phone in speech.phones]),
            phone_times_N2=np.array([(phone.start, phone.end) for phone in speech.phones]),
        )
    note = path.with_suffix(".json")
    values = asdict(plan) | {"emotion": plan.emotion, "text": SENTENCES[plan.sentence]}
    with atomic_write(note) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _counted(frames: Iterator[np.ndarray], made: Callable[[int], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        made(1)
