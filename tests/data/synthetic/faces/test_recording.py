"""Faces that speak with an emotion: lips meet in each, lids never pass each other."""

import numpy as np
import pytest
import torch

from speech2video.data.speech2face.clip import EYE_DISTANCE, EYES_AT, eye_centres
from speech2video.data.synthetic.faces.emotions import EMOTION_PROFILES
from speech2video.data.synthetic.faces.head import ACTIONS, Head, person_outfit
from speech2video.data.synthetic.faces.people import draw_person
from speech2video.data.synthetic.faces.recording import FaceMotion, aligned_camera, animate_face
from speech2video.data.synthetic.speaker.motion import EXPRESSION_NAMES
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.body.skeleton import IBUG68
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.text.transcript import Phone, Word
from speech2video.util.timing import SAMPLES_PER_FRAME

FRAMES, SIZE = 40, 128
VOWEL, CLOSED = (0.3, 0.6), (0.7, 0.82)  # seconds
SHUT = 0.0018  # metres between lips that meet


@pytest.fixture(scope="module")
def speech() -> SynthesisedSpeech:
    """A long "a", a "p", and an "a" again."""
    phones = [Phone("a", *VOWEL, 0, 1), Phone("p", *CLOSED, 0, 0), Phone("a", 0.9, 1.2, 0, 1)]
    audio_S = np.zeros(FRAMES * SAMPLES_PER_FRAME, np.float32)
    return SynthesisedSpeech(audio_S, [Word("apa", VOWEL[0], 1.2)], phones)


@pytest.fixture(scope="module")
def heads(body: Body) -> dict[int, Head]:
    people = {number: draw_person(number, seed=0) for number in (0, 1, 4)}
    return {
        number: Head(body, one.betas, person_outfit(one, body)) for number, one in people.items()
    }


def moved(speech: SynthesisedSpeech, emotion: str, *, person: int = 0) -> FaceMotion:
    return animate_face(speech, EMOTION_PROFILES[emotion], draw_person(person, seed=0), seed=(0, 1))


def landmarks(head: Head, motion: FaceMotion) -> torch.Tensor:
    with torch.inference_mode():
        return head.landmarks(motion.pose_TP, head.vertices(motion.pose_TP, motion.actions_TA))


@pytest.mark.parametrize("emotion", EMOTION_PROFILES)
def test_lips_meet_and_open_with_every_emotion(
    speech: SynthesisedSpeech, heads: dict[int, Head], emotion: str
) -> None:
    points_TK3 = landmarks(heads[0], moved(speech, emotion))
    gap_T = (points_TK3[:, 62] - points_TK3[:, 66]).norm(dim=1).numpy()
    frame = round((CLOSED[0] + CLOSED[1]) / 2 * 25 - 0.5)
    assert gap_T[frame] < max(SHUT, 0.35 * gap_T.max())
    assert gap_T[frame - 6] > 2 * gap_T[frame]


@pytest.mark.parametrize("emotion", EMOTION_PROFILES)
def test_motion_is_whole_and_within_bounds(speech: SynthesisedSpeech, emotion: str) -> None:
    motion = moved(speech, emotion)
    assert motion.pose_TP.shape == (FRAMES, 106)
    assert motion.actions_TA.shape == (FRAMES, len(ACTIONS))
    blink_T = motion.pose_TP[:, POSE_SLICES["expression"]][:, EXPRESSION_NAMES.index("blink")]
    assert blink_T.max() <= 1 and motion.pose_TP.isfinite().all()
    again = moved(speech, emotion)
    assert torch.equal(motion.pose_TP, again.pose_TP)


def test_emotions_differ_and_people_too(speech: SynthesisedSpeech, heads: dict[int, Head]) -> None:
    shapes = {}
    for emotion in EMOTION_PROFILES:
        motion = moved(speech, emotion)
        motion.pose_TP[:, : POSE_SLICES["body"].stop] = 0
        shapes[emotion] = landmarks(heads[0], motion)[:8].mean(0)
    names = list(shapes)
    for index, name in enumerate(names):
        for other in names[:index]:
            assert (shapes[name] - shapes[other]).norm(dim=1).max() > 0.0025, (name, other)


def test_the_head_is_the_bodys(
    heads: dict[int, Head], body: Body, speech: SynthesisedSpeech
) -> None:
    pose_TP = moved(speech, "happy").pose_TP[:3]
    still_TA = torch.zeros(3, len(ACTIONS))
    with torch.inference_mode():
        vertices = heads[1].vertices(pose_TP, still_TA)
        found = heads[1].landmarks(pose_TP, vertices)
        betas = torch.tensor(draw_person(1, seed=0).betas)
        wanted = body.points(pose_TP, betas=betas)[:, list(IBUG68)]
    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0)


def test_extra_actions_move_the_skin_on_both_sides_alike(heads: dict[int, Head]) -> None:
    pose_TP = torch.zeros(len(ACTIONS), 106)
    with torch.inference_mode():
        vertices = heads[0].vertices(pose_TP, torch.eye(len(ACTIONS)))
        rest = heads[0].vertices(pose_TP, torch.zeros(len(ACTIONS), len(ACTIONS)))
        brow = list(ACTIONS).index("inner_brows_up")
        moved_K3 = heads[0].landmarks(pose_TP, vertices) - heads[0].landmarks(pose_TP, rest)
    assert 0.004 < (vertices - rest).norm(dim=-1).max() < 0.02
    right, left = moved_K3[brow, 21], moved_K3[brow, 22]
    assert right[1] > 0.003 and right[1] == pytest.approx(left[1].item(), abs=5e-4)


@pytest.mark.parametrize("person", [0, 1, 4])
def test_surfaces_fit_their_points(heads: dict[int, Head], person: int) -> None:
    outfit = heads[person].outfit
    for surface in outfit.surfaces:
        assert surface.faces_F3.min() >= 0 and surface.faces_F3.max() < outfit.mix.shape[0]
        used = surface.faces_F3.max()
        assert len(surface.uv_N2 if surface.colours_N3 is None else surface.colours_N3) > used


def test_the_camera_aligns(speech: SynthesisedSpeech, heads: dict[int, Head]) -> None:
    points_TK3 = landmarks(heads[1], moved(speech, "sad", person=1))
    points_TK2 = aligned_camera(points_TK3, SIZE).project(points_TK3).numpy()
    right_2, left_2 = (np.median(eye, 0) for eye in eye_centres(points_TK2))
    np.testing.assert_allclose((right_2 + left_2) / 2, np.array(EYES_AT) * SIZE, atol=0.7)
    np.testing.assert_allclose(left_2 - right_2, (EYE_DISTANCE * SIZE, 0), atol=0.7)
