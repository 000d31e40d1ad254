import math

import numpy as np
import pytest
import torch

from speech2video.data.synthetic.speaker import motion
from speech2video.data.synthetic.speaker.motion import (
    BLINKS_PER_MINUTE,
    EXPRESSION_NAMES,
    SpeakerMotion,
    animate_speaker,
    blink_times,
    phrases,
)
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose, limit_excess
from speech2video.util.body.pose_vector import POSE_SLICES, split_pose, vector_to_smplx
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import FPS
from tests.data.synthetic.speaker.fake_speech import SENTENCE, fake_speech

SPEECH = fake_speech(SENTENCE, pause=0.08)
SEEDS = (0, 1, 2)

# The fastest that living people gesture: metres a second, metres a second squared.
WRIST_SPEED, WRIST_ACCELERATION = 2.6, 45.0
TIP_ACCELERATION, NOSE_ACCELERATION = 90.0, 15.0


@pytest.fixture(scope="module")
def performances(body: Body) -> list[SpeakerMotion]:
    return [animate_speaker(SPEECH, seed=seed, body=body) for seed in SEEDS]


def test_frames_are_as_many_as_the_audio_has(body: Body):
    for samples in (1, 640, 641, 16_000, 40_001):
        speech = SynthesisedSpeech(np.zeros(samples, np.float32), [], [])
        assert animate_speaker(speech, seed=0, body=body).pose_TP.shape == (
            math.ceil(samples / 640),
            106,
        )


def test_no_frame_breaks_a_limit(body: Body, performances: list[SpeakerMotion]):
    for performance in performances:
        rotations = vector_to_smplx(performance.pose_TP, body.hands).rotations
        assert limit_excess(rotations).max() < 1e-4


def test_the_clamp_has_nothing_to_do(body: Body, monkeypatch: pytest.MonkeyPatch):
    """What the rules make is inside the limits by itself: a clamp would leave kinks."""
    monkeypatch.setattr(motion, "clamp_pose", lambda pose, hands: pose)
    for seed in range(6):
        pose_TP = animate_speaker(SPEECH, seed=seed, body=body).pose_TP
        assert torch.equal(clamp_pose(pose_TP, body.hands), pose_TP)


def test_the_same_seed_gives_the_same_motion(body: Body, performances: list[SpeakerMotion]):
    again = animate_speaker(SPEECH, seed=SEEDS[0], body=body)
    assert torch.equal(again.pose_TP, performances[0].pose_TP)
    assert again.gestures == performances[0].gestures
    assert not torch.equal(performances[0].pose_TP, performances[1].pose_TP)


def test_motion_is_smooth(body: Body, performances: list[SpeakerMotion]):
    for performance in performances:
        points = body.points(performance.pose_TP)

        def fastest(names: list[str], order: int, points: torch.Tensor = points) -> float:
            path = points[:, [POINT_INDEX[name] for name in names]]
            return (path.diff(n=order, dim=0).norm(dim=-1).max() * FPS**order).item()

        wrists = ["left_wrist", "right_wrist"]
        assert fastest(wrists, 1) < WRIST_SPEED
        assert fastest(wrists, 2) < WRIST_ACCELERATION
        assert fastest(["left_index_tip", "right_thumb_tip"], 2) < TIP_ACCELERATION
        assert fastest(["nose"], 2) < NOSE_ACCELERATION


def test_it_always_moves_and_stays_in_place(body: Body, performances: list[SpeakerMotion]):
    for performance in performances:
        parts = split_pose(performance.pose_TP)
        assert parts["translation"].norm(dim=1).max() < 0.06
        moved = performance.pose_TP.diff(dim=0).abs()
        for part in ("body", "left_hand", "right_hand", "translation"):
            assert moved[:, POSE_SLICES[part]].amax(1).min() > 0


def test_left_and_right_are_not_mirror_images(body: Body, performances: list[SpeakerMotion]):
    for performance in performances:
        points = body.points(performance.pose_TP)
        left, right = (points[:, POINT_INDEX[f"{side}_wrist"]] for side in ("left", "right"))
        apart = (left - right * torch.tensor([-1.0, 1.0, 1.0])).norm(dim=1)
        assert apart.median() > 0.02


def test_gestures_lie_in_their_words_within_two_frames(performances: list[SpeakerMotion]):
    made = [use for performance in performances for use in performance.gestures]
    assert made
    for use in made:
        assert use.word.start - 2 / FPS < use.apex < use.word.end + 2 / FPS
        assert use.start < use.arrival <= use.hold_end < use.end


def test_hands_strike_at_the_beats(body: Body, performances: list[SpeakerMotion]):
    """The lower hand is on its way down before a beat and no longer after it."""
    falls, rises = [], []
    for performance in performances:
        points = body.points(performance.pose_TP)
        wrists = [POINT_INDEX["left_wrist"], POINT_INDEX["right_wrist"]]
        height_T2 = (points[:, wrists, 1] - points[:, [POINT_INDEX["neck"]], 1]).numpy()
        for apex in performance.beats:
            frame = round(apex * FPS - 0.5)
            side = height_T2[frame - 4].argmax()
            lead = np.ptp(height_T2[frame - 4 : frame + 1], axis=0).argmax()
            falls.append(height_T2[frame, lead] - height_T2[frame - 4, lead])
            rises.append(height_T2[frame + 8, side] - height_T2[frame, side])
    assert len(falls) >= 3
    assert np.mean(np.array(falls) < 0) > 0.8 and np.mean(falls) < -0.02
    assert np.mean(rises) > np.mean(falls) + 0.02


def test_hands_rest_low_in_silence_and_rise_to_talk(body: Body):
    speech = fake_speech([("people", "p ˈiː p əl")] * 12, pause=0.05, silence=3.0)
    points = body.points(animate_speaker(speech, seed=0, body=body).pose_TP)
    wrists = [POINT_INDEX["left_wrist"], POINT_INDEX["right_wrist"]]
    height_T = (points[:, wrists, 1] - points[:, [POINT_INDEX["pelvis"]], 1]).mean(1).numpy()
    talking = slice(round(4.2 * FPS), round((3.0 + 12 * 0.41 - 1) * FPS))
    assert height_T[: 2 * FPS].max() < height_T[talking].mean() - 0.03
    assert height_T[-FPS // 2 :].max() < height_T[talking].mean() - 0.03


def test_eyes_blink_at_their_rate():
    random = np.random.default_rng(0)
    times = blink_times(3600.0, random)
    assert len(times) / 60 == pytest.approx(BLINKS_PER_MINUTE, abs=1.5)
    assert np.diff(times).min() >= 1.0


def test_a_blink_shuts_the_eyes_and_opens_them_within_ten_frames(body: Body):
    speech = SynthesisedSpeech(np.zeros(60 * 16_000, np.float32), [], [])
    pose_TP = animate_speaker(speech, seed=0, body=body).pose_TP
    blink_T = pose_TP[:, POSE_SLICES["expression"].start + EXPRESSION_NAMES.index("blink")]
    shut = (blink_T > 0.05).int()
    starts = (shut.diff() == 1).nonzero().flatten().tolist()
    assert 10 < len(starts) < 26
    for start in starts[:-1]:
        assert blink_T[start : start + 6].max() > 0.85
        assert blink_T[start + 1 : start + 11].min() < 0.05


def test_phrases_end_at_long_pauses():
    words = [*fake_speech([("a", "ə")] * 3, pause=0.3).words]
    late = fake_speech([("b", "b iː")], silence=4.0).words
    spans = phrases([*words, *late])
    assert spans == [(words[0].start, words[-1].end), (late[0].start, late[0].end)]
