from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from speech2video.data.synthetic.speaker.arms import (
    POSTURES,
    RESTING,
    TALKING,
    Arms,
    Beat,
    arm_curves,
)
from speech2video.data.synthetic.speaker.gestures import (
    GESTURE_WORDS,
    GESTURES,
    HAND_SHAPES,
    SHORTEST_RAMP,
    GestureUse,
    HandPose,
    choose_gestures,
    hand_coefficients,
    shape_rotations,
)
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS, JOINTS, POINT_INDEX, finger_chain
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS
from tests.data.synthetic.speaker.fake_speech import fake_speech

SIDES = ("left", "right")
HAND_POINTS = {
    side: sorted({POINT_INDEX[p] for f in ("thumb", "index", "middle", "ring", "pinky")
                  for p in finger_chain(side, f)})
    for side in SIDES
}  # fmt: skip
TORSO = ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "jaw")


def key_hands() -> list[tuple[str, tuple[HandPose, HandPose]]]:
    """Return every pose of the table, as (name, (left, right)); a free hand rests."""
    poses = [("resting", (RESTING[0], RESTING[1]))]
    for lead, other in POSTURES:
        hands = TALKING[lead], TALKING[other]
        poses += [(f"talking {lead} {other}", hands), (f"talking {other} {lead}", hands[::-1])]
    for name, gesture in GESTURES.items():
        for key in gesture.keys:
            other = key.other or key.hand if gesture.hands == "both" else RESTING[1]
            poses.append((f"{name} {key.time:+.2f}", (key.hand, other)))
    return poses


POSES = key_hands()


@pytest.fixture(scope="module")
def poses(body: Body) -> torch.Tensor:
    """The pose vectors (N, 106) of all `POSES`."""
    arms = Arms(body)
    pose_NP = torch.zeros(len(POSES), POSE_SIZE)
    for row, (_, hands) in zip(pose_NP, POSES, strict=True):
        for side, name in enumerate(SIDES):
            numbers = arms.numbers(hands[side], side)[None]
            solved = arms.rotations(numbers, side)
            for joint in ("collar", "shoulder", "elbow", "wrist"):
                start = POSE_SLICES["body"].start + 3 * BODY_JOINTS.index(f"{name}_{joint}") - 3
                row[start : start + 3] = torch.from_numpy(getattr(solved, joint)[0])
            row[POSE_SLICES[f"{name}_hand"]] = torch.from_numpy(numbers[0, 9:]).float()
    return pose_NP


@pytest.fixture(scope="module")
def points(body: Body, poses: torch.Tensor) -> torch.Tensor:
    """The points (N, 144, 3) of all `POSES`, from the neck joint."""
    neck = body.points(torch.zeros(1, POSE_SIZE))[0, POINT_INDEX["neck"]]
    return body.points(poses) - neck


def test_every_word_has_a_gesture_and_every_gesture_a_word():
    assert {name for name, _ in GESTURE_WORDS.values()} == set(GESTURES)
    assert all(0 < chance <= 1 for _, chance in GESTURE_WORDS.values())


def test_wrists_reach_their_places(points: torch.Tensor):
    for pose_K3, (name, hands) in zip(points, POSES, strict=True):
        for side, sign in zip(SIDES, (1, -1), strict=True):
            x, y, z = hands[SIDES.index(side)].wrist
            reached = pose_K3[POINT_INDEX[f"{side}_wrist"]]
            off = (reached - torch.tensor([sign * x, y, z])).norm()
            assert off < 0.012, f"{name}: {side} wrist {1000 * off:.0f} mm off"


def test_palms_face_where_they_should(points: torch.Tensor):
    """Within 50 degrees: a wrist that cannot turn that far goes as far as it may."""
    angles = []
    for pose_K3, (_, hands) in zip(points, POSES, strict=True):
        for side, sign in zip(SIDES, (1, -1), strict=True):
            wrist, index, pinky = (
                pose_K3[POINT_INDEX[f"{side}_{joint}"]] for joint in ("wrist", "index1", "pinky1")
            )
            normal = sign * torch.linalg.cross(pinky - wrist, index - wrist)
            hand = hands[SIDES.index(side)]
            palm, fingers = torch.tensor(hand.palm), torch.tensor(hand.fingers)
            palm = (palm - palm @ fingers * fingers / fingers.norm() ** 2) * torch.tensor(
                [sign, 1.0, 1.0]
            )
            cosine = torch.nn.functional.cosine_similarity(normal, palm, dim=0)
            angles.append(torch.rad2deg(torch.arccos(cosine)).item())
    assert max(angles) < 50
    assert np.median(angles) < 12


def test_no_pose_breaks_a_joint_limit(body: Body, poses: torch.Tensor):
    assert torch.equal(clamp_pose(poses, body.hands), poses)


def test_the_right_hand_is_the_lefts_mirror_image(body: Body, points: torch.Tensor):
    for pose_K3, (name, hands) in zip(points, POSES, strict=True):
        if hands[0] is hands[1]:
            left, right = (pose_K3[HAND_POINTS[side]] for side in SIDES)
            assert (left - right * torch.tensor([-1.0, 1.0, 1.0])).norm(dim=1).max() < 0.01, name


@pytest.mark.slow
def test_no_hand_is_inside_the_body(body: Body, poses: torch.Tensor, points: torch.Tensor):
    owner = body.model.lbs_weights.argmax(1)
    torso = torch.isin(owner, torch.tensor([JOINTS.index(name) for name in TORSO])).numpy()
    neck = body.points(torch.zeros(1, POSE_SIZE))[0, POINT_INDEX["neck"]]
    hand_points = HAND_POINTS["left"] + HAND_POINTS["right"]
    for pose_P, pose_K3, (name, _) in zip(poses, points, POSES, strict=True):
        vertices = (body.vertices(pose_P[None])[0] - neck).numpy()
        normals = vertex_normals(vertices, body.faces.numpy())[torso]
        skin, hand = vertices[torso], pose_K3[hand_points].numpy()
        nearest = cKDTree(skin).query(hand)[1]
        height = ((hand - skin[nearest]) * normals[nearest]).sum(1)
        assert height.min() > 0, f"{name}: a hand {-1000 * height.min():.0f} mm inside the body"


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)


def test_hands_do_not_pass_through_each_other(points: torch.Tensor):
    for pose_K3, (name, _) in zip(points, POSES, strict=True):
        nearest = torch.cdist(*(pose_K3[HAND_POINTS[side]] for side in SIDES)).min()
        assert nearest > 0.015, f"{name}: {1000 * nearest:.0f} mm between the hands' bones"


def test_hands_stay_in_an_image_from_the_hips_up(points: torch.Tensor):
    hips = points[0, POINT_INDEX["left_hip"], 1].item()
    for pose_K3, (name, _) in zip(points, POSES, strict=True):
        hands = pose_K3[HAND_POINTS["left"] + HAND_POINTS["right"]]
        assert hands[:, 0].abs().max() < 0.56, name
        assert hips < hands[:, 1].min() and hands[:, 1].max() < 0.38, name


def test_fingers_count(body: Body):
    """A finger counts as up where its tip is far from the wrist."""
    names = ("point", "two", "three", "four", "fist")
    shapes = hand_coefficients(body)
    pose_NP = torch.zeros(len(names), POSE_SIZE)
    for row, name in zip(pose_NP, names, strict=True):
        for side in (0, 1):
            row[POSE_SLICES[f"{SIDES[side]}_hand"]] = shapes[name][side]
    points = body.points(pose_NP)
    for side in SIDES:
        wrist = points[:, POINT_INDEX[f"{side}_wrist"]]
        up = sum(
            ((points[:, POINT_INDEX[f"{side}_{finger}_tip"]] - wrist).norm(dim=1) > 0.145).int()
            for finger in ("index", "middle", "ring")
        )
        assert up.tolist() == [1, 2, 3, 3, 0]


def test_hand_shapes_can_be_said_in_twelve_numbers(body: Body):
    """No limit draws them back, and no knuckle is more than 15 degrees off what was meant."""
    shapes = hand_coefficients(body)
    pose_NP = torch.zeros(len(HAND_SHAPES), POSE_SIZE)
    for row, (name, shape) in zip(pose_NP, HAND_SHAPES.items(), strict=True):
        row[POSE_SLICES["left_hand"]], row[POSE_SLICES["right_hand"]] = shapes[name]
        meant = shape_rotations(shape, body.hands.mean[0].view(15, 3)[-3:])
        said = body.hands.decode(shapes[name][0], 0)
        assert torch.rad2deg(said - meant).norm(dim=1).max() < 15, name
    assert torch.equal(clamp_pose(pose_NP, body.hands), pose_NP)


@pytest.mark.parametrize("word", ["huge", "me", "i", "two", "maybe"])
def test_a_word_is_gestured_as_often_as_it_says(word: str):
    speech = fake_speech([("so", "s oʊ"), (word, "h ˈuː dʒ")])
    seeds = 400
    made = sum(
        len(choose_gestures(speech.words, speech.phones, np.random.default_rng(seed)))
        for seed in range(seeds)
    )
    chance = GESTURE_WORDS[word][1]
    assert abs(made / seeds - chance) < 4 * np.sqrt(chance * (1 - chance) / seeds)


def test_gestures_do_not_collide():
    words = [(word, "b ˈiː") for word in GESTURE_WORDS] * 2
    for pause in (0.1, 0.4, 1.2):
        speech = fake_speech(words, pause=pause)
        uses = choose_gestures(speech.words, speech.phones, np.random.default_rng(0))
        assert len(uses) > 10
        for before, after in pairwise(uses):
            assert before.hold_end <= after.start + 1e-9 and before.apex < after.apex
        assert all(use.arrival - use.start > SHORTEST_RAMP - 1e-9 for use in uses)


def test_the_apex_lies_in_the_stressed_vowel():
    speech = fake_speech([("x", "ə"), ("gigantic", "dʒ aɪ ɡ ˈæ n t ɪ k")] * 3, pause=1.0)
    uses = choose_gestures(speech.words, speech.phones, np.random.default_rng(3))
    assert uses
    for use in uses:
        vowel = next(p for p in speech.phones if p.stress and p.start >= use.word.start)
        assert vowel.start < use.apex < vowel.end


@pytest.mark.parametrize("name", GESTURES)
def test_hands_have_arrived_at_the_apex(body: Body, name: str):
    """Within two frames of the apex, a gesture's hand is where its key pose says."""
    gesture, apex = GESTURES[name], 2.0
    key = min(gesture.keys, key=lambda key: abs(key.time))
    arrival, hold_end = apex + gesture.keys[0].time, apex + gesture.keys[-1].time + gesture.hold
    side = SIDES.index(gesture.hands) if gesture.hands in SIDES else 1
    use = GestureUse(
        Word("x", 1.9, 2.1), name, arrival - 0.4, arrival, apex, hold_end, hold_end + 0.6, side
    )
    times_T = (np.arange(5 * FPS) + 0.5) / FPS
    curves = arm_curves(Arms(body), times_T, [], [], [use], np.random.default_rng(0))
    off = np.linalg.norm(curves[side][:, :3] - key.hand.wrist, axis=1)
    assert off[np.abs(times_T - apex - key.time) <= 2 / FPS].min() < 0.045
    assert off[0] > 0.05


def test_a_beat_is_lowest_at_its_apex_in_its_own_hand(body: Body):
    times_T = (np.arange(4 * FPS) + 0.5) / FPS
    arms = Arms(body)
    for seed in range(5):
        idle, beating = (
            arm_curves(arms, times_T, [], beats, [], np.random.default_rng(seed))
            for beats in ([], [Beat(2.0, (1.0, 0.0))])
        )
        height_T = beating[0][:, 1] - np.median(idle[0][:, 1])
        arrived = times_T[height_T < height_T.min() + 0.008][0]
        assert abs(arrived - 2.0) <= 2.5 / FPS
        assert height_T.min() < -0.01 < 0.02 < height_T.max()
        assert np.ptp(beating[1][:, 1]) < 0.05
