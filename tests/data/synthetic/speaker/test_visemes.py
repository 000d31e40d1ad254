from itertools import pairwise

import numpy as np
import pytest
import torch

from speech2video.data.synthetic.speaker.motion import EXPRESSION_NAMES
from speech2video.data.synthetic.speaker.visemes import (
    JAW_FULL,
    mouth_curves,
    mouth_segments,
    split_ipa,
)
from speech2video.util.body.body_model import OPEN_BODY, Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import FPS, frame_count, frame_times
from tests.data.synthetic.speaker.fake_speech import SENTENCE, fake_speech

CLOSED = 0.8  # millimetres of lip gap over the gap at rest that is invisible
PHONES = (0.05, 0.09, 0.13)  # seconds: hurried, usual, slow


def frames(speech: SynthesisedSpeech) -> np.ndarray:
    return frame_times(frame_count(len(speech.audio_S)))


def mouth(speech: SynthesisedSpeech) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    times_T = frames(speech)
    return mouth_curves(speech.phones, times_T, len(times_T) / FPS)


def lip_points(body: Body, speech: SynthesisedSpeech) -> torch.Tensor:
    jaw_T, expressions = mouth(speech)
    pose_TP = torch.zeros(len(jaw_T) + 1, POSE_SIZE)  # the last frame is the rest pose
    pose_TP[:-1, POSE_SLICES["jaw"].start] = torch.from_numpy(jaw_T)
    first = POSE_SLICES["expression"].start
    for name, values in expressions.items():
        pose_TP[:-1, first + EXPRESSION_NAMES.index(name)] = torch.from_numpy(values)
    return body.points(pose_TP)


def over_rest(points: torch.Tensor, first: str, second: str) -> np.ndarray:
    """Return a distance between landmarks, in millimetres over the same at rest."""
    distance = (points[:, POINT_INDEX[first]] - points[:, POINT_INDEX[second]]).norm(dim=-1)
    return 1000 * (distance[:-1] - distance[-1]).numpy()


def lip_gap(body: Body, speech: SynthesisedSpeech) -> np.ndarray:
    return over_rest(lip_points(body, speech), "face_62", "face_66")


def test_expressions_are_the_bodys_in_its_order():
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        assert tuple(file["expression_names"]) == EXPRESSION_NAMES


@pytest.mark.parametrize("phone", PHONES)
def test_lips_are_shut_in_a_frame_of_every_p_b_and_m(body: Body, phone: float):
    speech = fake_speech(SENTENCE, phone=phone, pause=0.02)
    gap_T, times_T = lip_gap(body, speech), frames(speech)
    for spoken in speech.phones:
        if spoken.text in "pbm":
            nearest = np.abs(times_T - (spoken.start + spoken.end) / 2).argmin()
            assert gap_T[nearest] < CLOSED, (spoken, gap_T[nearest])


@pytest.mark.parametrize("phone", PHONES)
def test_silence_is_a_closed_mouth(body: Body, phone: float):
    speech = fake_speech(SENTENCE, phone=phone, pause=0.4)
    gap_T, times_T = lip_gap(body, speech), frames(speech)
    edges = [(word.start, word.end) for word in speech.words]
    silent = [not any(start - 0.16 < t < end + 0.16 for start, end in edges) for t in times_T]
    assert np.abs(gap_T[silent]).max() < CLOSED


def test_vowels_open_the_mouth_and_open_ones_most(body: Body):
    def widest(ipa: str) -> float:
        return lip_gap(body, fake_speech([("x", f"h ˈ{ipa} h")])).max()

    assert widest("ɑː") > widest("ɛ") > widest("iː") > 2
    assert widest("ɑː") > 8


def test_rounded_phones_narrow_the_lips_and_spread_ones_widen_them(body: Body):
    def width(ipa: str) -> float:
        speech = fake_speech([("x", f"ˈ{ipa} {ipa}")])
        return over_rest(lip_points(body, speech), "face_48", "face_54")[frames(speech) > 1].mean()

    assert width("uː") < width("ɑː") < width("iː")
    assert width("w") < -1


def test_rounding_begins_before_its_phone():
    speech = fake_speech([("stew", "s t ˈuː")], phone=0.1)
    _, expressions = mouth(speech)
    pucker_T = expressions["mouth_pucker"]
    onset = frames(speech)[pucker_T > 0.1 * pucker_T.max()][0]
    assert onset < speech.phones[-1].start - 0.04


def test_the_mouth_opens_before_the_first_phone():
    speech = fake_speech([("ah", "ˈɑː")])
    jaw_T, _ = mouth(speech)
    opening = frames(speech)[jaw_T > 0.1 * jaw_T.max()][0]
    assert 0.02 < speech.words[0].start - opening < 0.2


def test_teeth_touch_the_lip_in_f_and_v(body: Body):
    for ipa in "fv":
        speech = fake_speech([("x", f"ˈɑː {ipa} ɑː")], phone=0.12)
        middle = np.abs(frames(speech) - (speech.phones[1].start + speech.phones[1].end) / 2)
        assert lip_gap(body, speech)[middle.argmin()] < 4.5


def test_closing_scales_with_the_jaw():
    jaw_T, expressions = mouth(fake_speech(SENTENCE))
    assert (expressions["mouth_close"] <= jaw_T / JAW_FULL + 1e-9).all()
    assert all((values >= -1e-9).all() and (values <= 1).all() for values in expressions.values())


def test_every_phone_has_a_mouth_and_diphthongs_two():
    assert split_ipa("aɪ") == ["a", "ɪ"]
    assert split_ipa("tʃ") == ["tʃ"]
    assert split_ipa("ɑːɹ") == ["ɑ", "ɹ"]
    assert split_ipa("ː") == []


def test_segments_fill_the_time_but_short_gaps():
    speech = fake_speech(SENTENCE)
    segments = mouth_segments(speech.phones, 20.0)
    assert segments[0].start < 0 and segments[-1].end > 20.0
    gaps = [after.start - before.end for before, after in pairwise(segments)]
    assert max(gaps) < 0.1 and min(gaps) > -1e-9


def test_the_mouth_does_not_jump():
    """The jaw keeps below 5 rad/s; expressions do not cross their range within a frame."""
    for phone in PHONES:
        jaw_T, expressions = mouth(fake_speech(SENTENCE, phone=phone))
        assert np.abs(np.diff(jaw_T)).max() * FPS < 5.0
        assert all(np.abs(np.diff(values)).max() < 0.7 for values in expressions.values())
