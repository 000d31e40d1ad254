"""A small gesture dictionary, motion within the joint limits, and clips with a gesture."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.gestures.dictionary import PARTS, GestureDictionary, GestureEntry
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.rotations import minimum_jerk
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.text.transcript import Word, write_words
from speech2video.util.timing import FPS

RIGHT = ("right_arm", "right_hand")


def legal_motion(frames: int, body: Body, *, seed: int = 0) -> Tensor:
    """Return pose vectors (T, 106), smooth, moving everywhere, inside the limits."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / FPS
    waves = np.sin(2 * np.pi * random.uniform(0.1, 1, POSE_SIZE) * time + random.uniform(0, 6))
    pose_TP = torch.from_numpy(0.25 * waves).float()
    return clamp_pose(pose_TP, body.hands)


def joint(name: str) -> slice:
    """Return a body joint's columns in the pose vector."""
    start = POSE_SLICES["body"].start + 3 * (BODY_JOINTS.index(name) - 1)
    return slice(start, start + 3)


def pose(**joints: tuple[float, float, float]) -> Tensor:
    """Return one pose vector (1, 106) with these joints' axis-angles, else at rest."""
    pose_1P = torch.zeros(1, POSE_SIZE)
    for name, rotation in joints.items():
        pose_1P[0, joint(name)] = torch.tensor(rotation)
    return pose_1P


def small_dictionary(body: Body) -> GestureDictionary:
    """Return a key pose of one arm and a motion of all parts."""
    up = pose(right_shoulder=(0.0, 0.9, 0.3), right_elbow=(0.0, 1.6, 0.0))
    up[0, POSE_SLICES["right_hand"]] = 0.4
    up[0, POSE_SLICES["jaw"]] = 0.2
    wave = clamp_pose(0.8 * legal_motion(20, body, seed=9) + 0.1, body.hands)
    return GestureDictionary(
        (
            GestureEntry("up", ("up", "Above"), 0.7, RIGHT, up, key_in_word=0.4),
            GestureEntry("all", ("all",), 0.5, PARTS, wave, key=8, lead=0.2, hold=0.4, made=3),
        ),
        body.name,
    )


def speech(count: int, *, apart: float = 3.0, text: str = "up") -> list[Word]:
    """Return a word repeated `count` times."""
    return [Word(text, 1 + apart * k, 1.4 + apart * k) for k in range(count)]


def gesturing_clips(folder: Path, body: Body, *, clips: int = 3, share: float = 0.75) -> list[Word]:
    """Write clips of random motion with an arm lifted at "up"; return the words with the gesture.

    The hand arrives at 40 % of the word, by a minimum-jerk reach of 0.4 s, and holds for 0.4 s.
    """
    random = np.random.default_rng(3)
    made = []
    for number in range(clips):
        clip = Clip(folder / f"{number:02d}")
        clip.folder.mkdir(parents=True)
        words = [
            Word(f"w{random.integers(25)}" if k % 4 else "up", 1 + 0.9 * k, 1.35 + 0.9 * k)
            for k in range(48)
        ]
        pose_TP = _rest(1200, random)
        for word in words:
            if word.text == "up" and random.random() < share:
                made.append(word)
                _lift(pose_TP, word.start + 0.4 * (word.end - word.start))
        write_motion(clip.pose, motion_from_pose(clamp_pose(pose_TP, body.hands), body))
        write_words(clip.words, words)
        clip.write_info(ClipInfo("a.mp4", len(pose_TP), 64, 64, "", body.name, words="given"))
    return made


def _rest(frames: int, random: np.random.Generator) -> Tensor:
    """Return motion of both arms between random poses."""
    places = random.uniform(-0.35, 0.35, (frames // 30 + 2, 4, 3))
    share = (np.arange(frames) / 30) % 1
    share = (share**2 * (3 - 2 * share))[:, None, None]
    at = np.arange(frames) // 30
    angles = torch.from_numpy(places[at] * (1 - share) + places[at + 1] * share).float()
    pose_TP = torch.zeros(frames, POSE_SIZE)
    for k, side in enumerate(("left", "right")):
        sign = 2 * k - 1
        pose_TP[:, joint(f"{side}_shoulder")] = 0.6 * angles[:, 2 * k]
        pose_TP[:, joint(f"{side}_shoulder")][:, 2] += sign * 1.0
        pose_TP[:, joint(f"{side}_elbow")] = 0.6 * angles[:, 2 * k + 1]
        pose_TP[:, joint(f"{side}_elbow")][:, 1] += sign * 1.0
    return pose_TP


def _lift(pose_TP: Tensor, key: float) -> None:
    time = (torch.arange(len(pose_TP)) + 0.5) / FPS
    rise = minimum_jerk((time - key + 0.4) / 0.4)
    weight = (rise * (1 - minimum_jerk((time - key - 0.4) / 0.5)))[:, None]
    up = pose(right_shoulder=(0.0, 0.3, 0.6), right_elbow=(0.0, 2.1, 0.0))[0]
    for name in ("right_shoulder", "right_elbow"):
        pose_TP[:, joint(name)] += weight * (up[joint(name)] - pose_TP[:, joint(name)])
