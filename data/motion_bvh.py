"""BVH motion of any skeleton, transferred to SMPL-X's joints.

Joints are found by their names, in the ways of Mixamo, CMU, Daz, Rokoko, Xsens, Biovision, 3ds Max,
Unreal, VRM, BEAT, ZEGGS, GENEA and SMPL-X; spine and neck by what lies between hips, shoulders and
head. Each joint gets the rotation in the world that its counterpart has, corrected for how the two
bodies differ in the pose without rotations:
  a standing person, in any T- or A-pose     by the directions of the limbs in it
  else (bones that all lie along one axis)   by the directions of bones and hinges in the motion
The libraries at hand (bvhio, bvh) make Python objects of every number and have no limits of size.
"""

import codecs
import io
import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from speech2video.data.motion import Motion
from speech2video.util.body.body_model import NUM_BETAS, Body
from speech2video.util.body.pose_vector import HAND_COMPONENTS, NUM_EXPRESSIONS, SmplxParameters
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, roma
from speech2video.util.body.skeleton import FINGERS, JOINTS, PARENTS
from speech2video.util.errors import DataError, note
from speech2video.util.files import check_file, read_json

MAX_BYTES = 2**29
MAX_FRAMES = 500_000
MAX_JOINTS = 1000
BLOCK = 2**22  # characters parsed at a time
CHUNK = 4096  # frames converted at a time: bounds memory
SAMPLES = 400  # frames that a skeleton is studied on
UNITS = (1.0, 0.1, 0.01, 0.001, 0.0254, 0.3048, 0.056444)  # metres; the last is CMU's
UNIT_TOLERANCE = 1.4  # people's sizes differ less
SAME_POSE = np.deg2rad(15)  # bones of SMPL bodies of different shape differ less
MIN_FINGERS = 8  # joints of fingers, with fewer of which hands are at rest
STRAIGHT = 0.1  # sine of an elbow's bend, below which its hinge cannot be seen
_SIDES = ("left", "right")
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_FINGER = re.compile(r"(?:hand|finger)?([a-z]+?)(?:finger)?([0-9]|proximal|intermediate|distal)")
_NAMES = read_json(Path(__file__).with_name("bvh_joints.json"), what="names of joints")


def is_bvh(path: Path) -> bool:
    """Return whether a file is BVH, by its ending or its first word."""
    if path.suffix.lower() == ".bvh" or not path.is_file():
        return path.suffix.lower() == ".bvh" and not path.is_dir()
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"HIERARCHY")


def read_bvh(path: Path, *, fps: float | None = None) -> Motion:
    """Return the motion of a BVH file in SMPL-X's joints, with y or z up, at the file's rate.

    Lengths are metres, centimetres, millimetres or inches: those of a person. Expressions are zero,
    and so are hands without joints of fingers, which are at rest.

    Args:
        path: an untrusted file.
        fps: frame rate of a file whose frame time is missing or zero.

    Raises:
        DataError: no BVH, damaged, too large, without frames, or of a skeleton without arms.
    """
    check_file(path, what="BVH motion")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise DataError(f"{path}: {size / 2**20:.0f} MiB; at most {MAX_BYTES >> 20} MiB are read")
    with path.open("rb") as raw:
        wide = raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        raw.seek(0)
        encoding = "utf-16" if wide else "utf-8-sig"
        with io.TextIOWrapper(raw, encoding=encoding, errors="replace") as file:
            skeleton = _read_hierarchy(path, file)
            values_TC, rate = _read_frames(path, file, skeleton.width, fps)
    return _Transfer(path, skeleton, values_TC).motion(rate)


@dataclass
class _Skeleton:
    """Joints in the order of a file, parents first; lengths in its own unit."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[tuple[str, int, int]]] = field(default_factory=list)  # kind, axis, column
    ends: dict[int, list[float]] = field(default_factory=dict)  # of a joint: its bone's end
    width: int = 0  # numbers of a frame

    def ancestors(self, joint: int) -> list[int]:
        """Return a joint and what it hangs on, up to the root."""
        line = [joint]
        while self.parents[line[-1]] >= 0:
            line.append(self.parents[line[-1]])
        return line

    def branch(self, one: int, other: int) -> int | None:
        """Return the joint that two hang on, or None."""
        line = self.ancestors(other)
        return next((joint for joint in self.ancestors(one) if joint in line), None)


def _read_hierarchy(path: Path, lines: TextIO) -> _Skeleton:
    skeleton, stack, opened = _Skeleton(), [], None
    for number, line in enumerate(lines, 1):
        for part in re.sub(r"([{}])", r"\n\1\n", line[:100_000]).split("\n"):
            words = part.split()
            if not words:
                continue
            kind, rest = words[0].upper(), words[1:]
            if kind == "MOTION" and skeleton.names and not stack:
                return skeleton
            try:
                if kind in ("ROOT", "JOINT"):
                    parent = stack[-1] if kind == "JOINT" else -1
                    skeleton.names.append(" ".join(rest) or f"joint {len(skeleton.names)}")
                    skeleton.parents.append(parent)
                    skeleton.offsets.append([0.0] * 3)
                    skeleton.channels.append([])
                    opened = len(skeleton.names) - 1
                elif kind == "END":
                    opened = -1 - stack[-1]
                elif kind == "{" and opened is not None:
                    stack.append(opened)
                    opened = None
                elif kind == "}":
                    stack.pop()
                elif kind == "OFFSET" and stack:
                    offset = [float(word.replace(",", ".")) for word in rest[:3]]
                    if len(offset) != 3 or not np.isfinite(offset).all():
                        raise ValueError("three numbers are needed")
                    if stack[-1] < 0:
                        skeleton.ends[-1 - stack[-1]] = offset
                    else:
                        skeleton.offsets[stack[-1]] = offset
                elif kind == "CHANNELS" and stack and stack[-1] >= 0:
                    _add_channels(skeleton, stack[-1], rest)
                elif kind != "HIERARCHY":
                    raise ValueError("not a line of a hierarchy")
                if stack and stack[-1] < -len(skeleton.names):
                    raise ValueError("an end in an end")
            except (ValueError, IndexError) as error:
                problem = f"line {number}, {' '.join(words)[:40]!r}: {error}"
                raise DataError(f"{path}: {problem}; BVH is needed") from None
            if len(skeleton.names) > MAX_JOINTS:
                raise DataError(f"{path}: more than {MAX_JOINTS} joints")
    reason = "no line HIERARCHY" if not skeleton.names else "cut off before MOTION"
    raise DataError(f"{path}: {reason}; BVH is needed")


def _add_channels(skeleton: _Skeleton, joint: int, words: list[str]) -> None:
    if int(words[0]) != len(words) - 1:
        raise ValueError(f"{words[0]} channels, and {len(words) - 1} names of them")
    for word in words[1:]:
        name = word.lower()
        if name[0] in "xyz":  # another, such as a scale, is passed over
            skeleton.channels[joint].append((name[1:], "xyz".index(name[0]), skeleton.width))
        skeleton.width += 1


def _read_frames(
    path: Path, file: TextIO, width: int, given: float | None
) -> tuple[np.ndarray, float]:
    """Return the numbers (T, C) of the frames, and their rate a second."""
    declared, seconds = None, None
    for line in file:
        key, _, value = line.strip().lower().partition(":")
        key = " ".join(key.split())
        try:
            if key == "frames":
                declared = int(value)
            elif key == "frame time":
                seconds = float(value.replace(",", "."))
                break
            elif key:
                raise ValueError
        except ValueError:
            needed = "'Frames: N' and 'Frame Time: seconds' are needed"
            raise DataError(f"{path}: {line.strip()[:60]!r} after MOTION; {needed}") from None
    if seconds is None or not 0 < seconds < np.inf:
        if given is None:
            wrong = "no frame time" if seconds is None else f"a frame time of {seconds:g}"
            raise DataError(f"{path}: {wrong}; seconds above 0 are needed, or --fps")
        seconds = 1 / given
    rate = 1 / seconds
    rate = float(round(rate)) if abs(rate - round(rate)) < 1e-4 * rate else rate
    if width == 0:
        raise DataError(f"{path}: no channels; rotations of joints are needed")
    values = np.concatenate([np.zeros(0, np.float32), *_number_blocks(path, file, width)])
    count, rest = divmod(len(values), width)
    if rest or (declared is not None and declared != count):
        left = f", and {rest} of {width} numbers of one more" if rest else ""
        note(f"{path}: {declared} frames declared, {count} read{left}")
    values_TC = values[: count * width].reshape(count, width)
    if not np.isfinite(values_TC).all():
        frame = np.argwhere(~np.isfinite(values_TC))[0][0]
        raise DataError(f"{path}: NaN or infinity in frame {frame}; finite numbers are needed")
    return values_TC, rate


def _number_blocks(path: Path, file: TextIO, width: int) -> Iterator[np.ndarray]:
    total, left = 0, ""
    while text := file.read(BLOCK):
        text = left + text
        end = len(text) if len(text) < BLOCK else max(text.rfind(" "), text.rfind("\n"), 0)
        text, left = text[:end], text[end:]
        if "," in text:  # of decimals, where there are no points
            text = text.replace(",", " " if "." in text else ".")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                block = np.fromstring(text, np.float32, sep=" ") if text.strip() else np.zeros(0)
            except (ValueError, DeprecationWarning):
                raise DataError(f"{path}: text among the numbers of the frames") from None
            except RuntimeWarning:  # beyond float32
                raise DataError(f"{path}: numbers beyond 1e38; degrees are needed") from None
        total += len(block)
        if total > MAX_FRAMES * width:
            raise DataError(f"{path}: more than {MAX_FRAMES} frames; cut it")
        yield block
    if left.strip():
        yield from _number_blocks(path, io.StringIO(f"{left}\n"), width)


def find_joints(skeleton: _Skeleton) -> dict[str, int]:
    """Return the numbers of a skeleton's joints by SMPL-X's names, but for spine and neck."""
    names = [name.rsplit(":", 1)[-1] for name in skeleton.names]
    same = itertools.takewhile(lambda letters: len({*letters}) == 1, zip(*names, strict=False))
    prefix = len([*same]) if len(names) > 1 else 0
    parts: dict[tuple[str, str], int] = {}
    for number, name in enumerate(names):
        parts.setdefault(_side_and_part(name[prefix:]), number)
    found = {}
    for joint, words in _NAMES["central"].items():
        if hits := [parts["", word] for word in words if ("", word) in parts]:
            found[joint] = hits[0]
    for side in _SIDES:
        used = set()
        for joint, words in _NAMES["sided"].items():
            hits = [parts[side, word] for word in words if (side, word) in parts]
            if hits := [hit for hit in hits if hit not in used]:
                found[f"{side}_{joint}"] = hits[0]
                used.add(hits[0])
        thumb_has_base = (side, "thumbmetacarpal") in parts
        for (other, part), number in parts.items():
            if other != side or not (match := _FINGER.fullmatch(part)):
                continue
            knuckle = _NAMES["knuckles"].get(match[2])
            finger = _NAMES["fingers"].get(match[1])
            if finger and knuckle:
                knuckle += finger == "thumb" and thumb_has_base and match[2] == "proximal"
                found.setdefault(f"{side}_{finger}{knuckle}", number)
        if thumb_has_base:
            found[f"{side}_thumb1"] = parts[side, "thumbmetacarpal"]
    return found


def _side_and_part(name: str) -> tuple[str, str]:
    """Return "left", "right" or "", and the rest of a joint's name without prefixes."""
    words = [word.lower().lstrip("0") or "0" for word in _WORDS.findall(name)]
    while len(words) > 1 and words[0] in _NAMES["prefixes"]:
        words = words[1:]
    while len(words) > 1 and words[-1] in ("m", "0"):  # m is the middle, as against l and r
        words = words[:-1]
    for side in _SIDES:
        if hits := [word for word in words if word in (side, side[0])]:
            words.remove(hits[0])
            return side, "".join(words)
    part = "".join(words)
    for side in _SIDES:
        if part.startswith(side):
            return side, part.removeprefix(side)
        if part.endswith(side):
            return side, part.removesuffix(side)
    known = {word for words in _NAMES["sided"].values() for word in words}
    for side in _SIDES:
        rest = part[1:]
        if part[:1] == side[0] and (rest in known or _is_finger(rest)):
            return side, rest
    return "", part


def _is_finger(part: str) -> bool:
    match = _FINGER.fullmatch(part)
    return bool(match and match[1] in _NAMES["fingers"])


@cache
def _rest_joints() -> Tensor:
    """Return the joints (55, 3) of the open body's T-pose, metres."""
    model = Body.load().model
    return (model.J_regressor @ model.v_template).double()


class _Transfer:
    """The transfer of one file's rotations to SMPL-X's joints.

    A joint's rotation in the world is A · R · K: R is its counterpart's, A turns the file's world
    so that y is up and the person faces z, and K is constant: the correction.
    """

    def __init__(self, path: Path, skeleton: _Skeleton, values_TC: np.ndarray) -> None:
        self.path, self.skeleton, self.values = path, skeleton, torch.from_numpy(values_TC)
        self.found = find_joints(skeleton)
        self.target = dict(zip(JOINTS, _rest_joints(), strict=True))
        self.rest = torch.tensor(skeleton.offsets, dtype=torch.float64)
        for joint, parent in enumerate(skeleton.parents):
            self.rest[joint] += self.rest[parent] if parent >= 0 else 0
        self._find_trunk()
        self.unit = self._unit()
        self.world = torch.eye(3, dtype=torch.float64)
        self.corrections: dict[str, Tensor] = {}
        if not self._correct_by_rest():
            self._correct_by_motion()

    def motion(self, rate: float) -> Motion:
        """Return the motion in SMPL-X's joints."""
        count = len(self.values)
        parts = [self._convert(chunk) for chunk in self.values.split(CHUNK)] if count else []
        empty = torch.zeros(0, len(JOINTS), 3), torch.zeros(0, 3)
        rotations, places = map(torch.cat, zip(empty, *parts, strict=True))
        smplx = SmplxParameters(rotations, places, torch.zeros(count, NUM_EXPRESSIONS))
        fingers = sum(name[:-1].endswith(FINGERS) for name in self.found)
        hands = None if fingers >= MIN_FINGERS else torch.zeros(count, 2, HAND_COMPONENTS)
        return Motion(smplx, rate, torch.zeros(NUM_BETAS), hand_coefficients=hands)

    def _find_trunk(self) -> None:
        """Find pelvis, chest, spine and neck by what lies between the limbs and the head."""
        skeleton, found = self.skeleton, self.found
        shoulders = [found.get(f"{side}_shoulder") for side in _SIDES]
        if shoulders[0] is None or shoulders[1] is None:
            names = ", ".join(skeleton.names)
            needed = "LeftArm and RightArm, or names as of Mixamo, CMU, BEAT or SMPL-X, are needed"
            raise DataError(f"{self.path}: no arms among the joints {names:.200}; {needed}")
        chest = skeleton.branch(shoulders[0], shoulders[1])
        hips = [found.get(f"{side}_hip") for side in _SIDES]
        pelvis = found.get("pelvis", skeleton.ancestors(shoulders[0])[-1])
        if hips[0] is not None and hips[1] is not None:
            between = skeleton.branch(hips[0], hips[1])
            pelvis = pelvis if between is None else between
        base = None if chest is None else skeleton.branch(pelvis, chest)
        if chest is None or base is None:
            raise DataError(
                f"{self.path}: arms and hips have no joint in common; one body is needed"
            )
        line = skeleton.ancestors(chest)
        spine = line[: line.index(base)][::-1]
        found |= {"pelvis": pelvis, "spine3": chest}
        self.trunk, self.neck = [pelvis, *spine], [chest]
        if (head := found.get("head")) is not None:
            line = skeleton.ancestors(head)
            if chest in line and head != chest:
                self.neck = line[: line.index(chest) + 1][::-1]
                found["neck"] = self.neck[len(self.neck) // 2]
            else:
                del found["head"]
        used = {*found.values(), *self.trunk, *self.neck}
        self.needed = sorted({joint for one in used for joint in skeleton.ancestors(one)})
        others = [
            name
            for joint, name in enumerate(skeleton.names)
            if skeleton.channels[joint] and joint not in self.needed
        ]
        if others:
            note(f"{self.path}: {len(others)} joints that SMPL-X lacks: {', '.join(others):.100}")

    def _unit(self) -> float:
        """Return the metres of the file's unit of length, by the length of the limbs."""
        ours, theirs = 0.0, 0.0
        for one, other in self._limbs():
            ours += (self.target[one] - self.target[other]).norm().item()
            theirs += self._bone(one, other).norm().item()
        if theirs == 0:
            return 0.01
        unit = min(UNITS, key=lambda unit: abs(np.log(ours / theirs / unit)))
        near = 1 / UNIT_TOLERANCE < ours / theirs / unit < UNIT_TOLERANCE
        return unit if near else ours / theirs

    def _limbs(self) -> list[tuple[str, str]]:
        """Return the pairs of joints at the ends of the bones of arms and legs that are there."""
        chain = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")
        pairs = [
            (f"{side}_{one}", f"{side}_{other}")
            for side in _SIDES
            for names in chain
            for one, other in itertools.pairwise(names)
        ]
        return [pair for pair in pairs if pair[0] in self.found and pair[1] in self.found]

    def _bone(self, one: str, other: str) -> Tensor:
        """Return the vector (3,) between two joints in the pose without rotations."""
        return self.rest[self.found[other]] - self.rest[self.found[one]]

    def _correct_by_rest(self) -> bool:
        """Set the corrections by a pose without rotations in which a person stands, else False."""
        found, rest = self.found, self.rest
        sides = "hip" if {"left_hip", "right_hip"} <= found.keys() else "shoulder"
        top = self.neck[-1] if len(self.neck) > 1 else found["left_shoulder"]
        up, left = rest[top] - rest[found["pelvis"]], self._bone(f"right_{sides}", f"left_{sides}")
        if not self.rest.any():  # a skeleton without lengths
            self.corrections = dict.fromkeys(found, self.world)
            return True
        y_axis, x_axis = _axis(up), _axis(left)
        if y_axis is None or x_axis is None or (y_axis * x_axis).any():
            return False
        world = torch.stack((x_axis, y_axis, torch.linalg.cross(x_axis, y_axis)))
        for one, other in self._limbs():
            bone = normalize(world @ self._bone(one, other), dim=0)
            outward = 1 if one.startswith("left") else -1
            if ("hip" in one and bone[1] > -0.7) or (
                "shoulder" in one and outward * bone[0] < -0.3
            ):
                return False
        self.world = world
        turns = {joint: torch.eye(3, dtype=torch.float64) for joint in found}
        if not self._is_smpl():
            self._turn_limbs(turns)
        self.corrections = {joint: world.T @ turn for joint, turn in turns.items()}
        return True

    def _is_smpl(self) -> bool:
        """Return whether the joints have SMPL-X's names, and the limbs its T-pose's directions."""
        names = {re.sub(r"[ .-]", "_", self.skeleton.names[i]).lower() for i in self.found.values()}
        return len(names - {*JOINTS}) <= 2 and all(
            _angle(self.target[other] - self.target[one], self.world @ self._bone(one, other))
            < SAME_POSE
            for one, other in self._limbs()
        )

    def _turn_limbs(self, turns: dict[str, Tensor]) -> None:
        """Set by which rotation each limb of the T-pose gets the direction of the file's."""
        for one, other in self._limbs():
            vector, bone = (
                self.target[other] - self.target[one],
                self.world @ self._bone(one, other),
            )
            if one.endswith("shoulder"):  # arms are lowered sideways
                angle = torch.atan2(bone[1], bone[0]) - torch.atan2(vector[1], vector[0])
                turns[one] = axis_angle_to_matrix(angle * torch.eye(3, dtype=torch.float64)[2])
            turns[one] = _turn_onto(turns[one], vector, bone)
            if not other.endswith("ankle"):
                turns[other] = turns[one]
        for side in _SIDES:
            wrist = f"{side}_wrist"
            palm = [f"{side}_{finger}1" for finger in ("middle", "index", "pinky")]
            if wrist not in self.found:
                continue
            if all(joint in self.found for joint in palm):
                middle, index, pinky = palm
                ours = _frame(self.target[middle] - self.target[wrist],
                              self.target[index] - self.target[pinky])  # fmt: skip
                theirs = _frame(self.world @ self._bone(wrist, middle),
                                self.world @ self._bone(pinky, index))  # fmt: skip
                if ours is not None and theirs is not None:
                    turns[wrist] = theirs @ ours.T
            for finger in FINGERS:
                before = turns[wrist]
                for joint, vector, bone in self._knuckles(side, finger):
                    before = _turn_onto(before, vector, self.world @ bone)
                    turns[joint] = before

    def _knuckles(self, side: str, finger: str) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield a finger's joints with the vectors of their bones in SMPL-X and in the file."""
        vector = torch.zeros(3, dtype=torch.float64)
        for knuckle in (1, 2, 3):
            joint, after = (f"{side}_{finger}{number}" for number in (knuckle, knuckle + 1))
            if joint not in self.found:
                continue
            number = self.found[joint]
            vector = self.target[after] - self.target[joint] if after in self.target else vector
            parents = self.skeleton.parents
            end = torch.tensor(self.skeleton.ends.get(number, [0.0] * 3), dtype=torch.float64)
            if after in self.found:
                end = self._bone(joint, after)
            elif number in parents:
                end = self.rest[parents.index(number)] - self.rest[number]
            yield joint, vector, end

    def _correct_by_motion(self) -> None:
        """Set the corrections by bones and hinges, where the pose without rotations is no pose.

        The bones' directions and, of elbows and knees, the axes that they bend about are constant
        in their own joints. Where only one direction is known, the rotation about it is that with
        which the joint follows the one before it best.
        """
        step = max(1, len(self.values) // SAMPLES)
        turns, places = self._forward(self.values[::step])
        found = self.found
        if not len(self.values):
            return

        def place(name: str) -> Tensor:
            return places[found[name]]

        def middle(name: str) -> Tensor:
            names = [f"{side}_{name}" for side in _SIDES if f"{side}_{name}" in found]
            return torch.stack([place(name) for name in names or ["pelvis"]]).mean(0)

        up = _axis((middle("shoulder") - place("pelvis")).mean(0))
        y_axis = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        self.world = _turn_onto(
            torch.eye(3, dtype=torch.float64), y_axis if up is None else up, y_axis
        )

        def local(joint: str, vectors_T3: Tensor) -> Tensor:
            """Return the mean (3,) of vectors in a joint's own axes."""
            return (turns[found[joint]].mT @ vectors_T3.unsqueeze(-1)).mean(0).squeeze(-1)

        known: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}  # file's two, then ours
        rise = middle("shoulder") - middle("hip")
        shoulders = self.target["left_shoulder"] + self.target["right_shoulder"]
        our_rise = (shoulders - self.target["left_hip"] - self.target["right_hip"]) / 2
        for joint, name in (("pelvis", "hip"), ("spine3", "shoulder")):
            if f"left_{name}" in found and f"right_{name}" in found:
                across = local(joint, place(f"left_{name}") - place(f"right_{name}"))
                ours = self.target[f"left_{name}"] - self.target[f"right_{name}"]
                known[joint] = across, local(joint, rise), ours, our_rise
        axes = {"left_elbow": (0, -1, 0), "right_elbow": (0, 1, 0)}
        axes |= {"left_knee": (1, 0, 0), "right_knee": (1, 0, 0)}
        before = {"elbow": ("shoulder", "wrist"), "knee": ("hip", "ankle")}
        for hinge, axis in axes.items():
            side, name = hinge.split("_")
            upper, lower = (f"{side}_{other}" for other in before[name])
            if not {hinge, upper, lower} <= found.keys():
                continue
            bones = [
                normalize(place(end) - place(start), dim=-1)
                for start, end in ((upper, hinge), (hinge, lower))
            ]
            axis_T3 = torch.linalg.cross(bones[0], bones[1])
            angle = torch.atan2(axis_T3.norm(dim=-1), (bones[0] * bones[1]).sum(-1)).mean()
            bend = axis_angle_to_matrix(angle * torch.tensor(axis, dtype=torch.float64))
            ours = [
                self.target[hinge] - self.target[upper],
                self.target[lower] - self.target[hinge],
            ]
            bent = torch.linalg.cross(ours[0], bend @ ours[1])
            for number, joint in enumerate((upper, hinge)):
                seen = local(joint, axis_T3)
                if seen.norm() > STRAIGHT:
                    axis_3 = bend.T @ bent if number else bent
                    known[joint] = local(joint, bones[number]), seen, ours[number], axis_3
        for side in _SIDES:
            wrist, middle1, index1, pinky1 = (
                f"{side}_{name}" for name in ("wrist", "middle1", "index1", "pinky1")
            )
            if {wrist, middle1, index1, pinky1} <= found.keys():
                known[wrist] = (
                    local(wrist, place(middle1) - place(wrist)),
                    local(wrist, place(index1) - place(pinky1)),
                    self.target[middle1] - self.target[wrist],
                    self.target[index1] - self.target[pinky1],
                )
        ends = dict(self._limbs())
        for side in _SIDES:
            ends |= {f"{side}_collar": f"{side}_shoulder", f"{side}_ankle": f"{side}_foot"}
        ends["neck"] = "head"
        fingers = {
            joint: (vector, bone)
            for side in _SIDES
            for finger in FINGERS
            for joint, vector, bone in self._knuckles(side, finger)
        }
        result: dict[str, Tensor] = {}
        for index, joint in enumerate(JOINTS):
            follow = result[JOINTS[PARENTS[index]]] if index else self.world @ turns[found[joint]]
            if joint not in found or (joint == "neck" and found[joint] in self.trunk):
                result[joint] = follow
                continue
            own = self.world @ turns[found[joint]]
            frames = None
            if joint in known:
                theirs, ours = _frame(*known[joint][:2]), _frame(*known[joint][2:])
                frames = None if theirs is None or ours is None else theirs @ ours.T
            if frames is None:
                frames = _nearest_rotation((own.mT @ follow).mean(0))
                vector, bone = fingers.get(joint, (torch.zeros(3).double(),) * 2)
                if (end := ends.get(joint)) in found and end is not None:
                    vector = self.target[end] - self.target[joint]
                    bone = local(joint, place(end) - place(joint))
                frames = _turn_onto(frames, vector, bone)
            self.corrections[joint] = frames
            result[joint] = own @ frames
        self.trunk, self.neck = [self.trunk[0], self.trunk[-1]], [self.neck[0], self.neck[-1]]

    def _forward(self, values_TC: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Return rotations (T, 3, 3) and places (T, 3) in the world of the joints needed."""
        turns, places, skeleton = {}, {}, self.skeleton
        for joint in self.needed:
            place = torch.tensor(skeleton.offsets[joint], dtype=torch.float64)
            place = place.repeat(len(values_TC), 1)
            turn = torch.eye(3, dtype=torch.float64).expand(len(values_TC), 3, 3)
            for kind, axis, column in skeleton.channels[joint]:
                value = values_TC[:, column].double()
                if kind == "position":
                    place[:, axis] = value
                elif kind == "rotation":
                    turn = _turn_about(turn, axis, torch.deg2rad(value))
            if (parent := skeleton.parents[joint]) >= 0:
                place = places[parent] + (turns[parent] @ place.unsqueeze(-1)).squeeze(-1)
                turn = turns[parent] @ turn
            turns[joint], places[joint] = turn, place
        return turns, places

    def _convert(self, values_TC: Tensor) -> tuple[Tensor, Tensor]:
        """Return axis-angle (T, 55, 3) and translations (T, 3) of some frames."""
        turns, places = self._forward(values_TC)

        def corrected(joint: str, number: int) -> Tensor:
            return self.world @ turns[number] @ self.corrections[joint]

        trunk = [corrected("pelvis", self.trunk[0])]
        trunk += [corrected("spine3", number) for number in self.trunk[1:]]
        world = {"pelvis": trunk[0]}
        for third in (1, 2, 3):
            world[f"spine{third}"] = _between(trunk, third * (len(trunk) - 1) / 3)
        if "head" in self.found:
            neck = [world["spine3"], *(corrected("head", number) for number in self.neck[1:])]
            world["neck"], world["head"] = _between(neck, (len(neck) - 1) / 2), neck[-1]
        rotations = []
        for index, joint in enumerate(JOINTS):
            if joint not in world:
                given = joint in self.found and joint in self.corrections
                parent = world[JOINTS[PARENTS[index]]]
                world[joint] = corrected(joint, self.found[joint]) if given else parent
            before = world[JOINTS[PARENTS[index]]].mT if index else torch.eye(3).double()
            rotations.append(matrix_to_axis_angle(before @ world[joint]))
        place = self.unit * places[self.found["pelvis"]] @ self.world.T - self._pelvis()
        return torch.stack(rotations, 1).float(), place.float()

    def _pelvis(self) -> Tensor:
        """Return where the pelvis (3,) of the T-pose is, metres: in a file of ours, its offset."""
        offset = torch.tensor(self.skeleton.offsets[self.found["pelvis"]], dtype=torch.float64)
        return self.unit * offset if offset.any() and self._is_smpl() else self.target["pelvis"]


def _axis(vector_3: Tensor) -> Tensor | None:
    """Return the axis (3,) of the world that a vector is nearly along, or None."""
    axis = torch.zeros_like(vector_3)
    largest = int(vector_3.abs().argmax())
    axis[largest] = vector_3[largest].sign()
    return axis if vector_3[largest].abs() > 0.8 * vector_3.norm() else None


def _angle(one_3: Tensor, other_3: Tensor) -> float:
    """Return the angle between two vectors in radians, 0 where one has no length."""
    return torch.atan2(torch.linalg.cross(one_3, other_3).norm(), one_3 @ other_3).item()


def _turn_about(turns_T33: Tensor, axis: int, angles_T: Tensor) -> Tensor:
    """Return rotations (T, 3, 3) times a rotation about one of the axes."""
    columns = [*turns_T33.unbind(-1)]
    one, other = columns[axis - 2], columns[axis - 1]
    cosine, sine = angles_T.cos().unsqueeze(-1), angles_T.sin().unsqueeze(-1)
    columns[axis - 2], columns[axis - 1] = cosine * one + sine * other, cosine * other - sine * one
    return torch.stack(columns, -1)


def _turn_onto(turn: Tensor, vector_3: Tensor, bone_3: Tensor) -> Tensor:
    """Return a rotation (3, 3) changed the shortest way so that it turns a vector onto a bone."""
    vector_3 = turn @ vector_3
    angle = _angle(vector_3, bone_3)
    axis = torch.linalg.cross(vector_3, bone_3)
    if axis.norm() < 1e-9 * vector_3.norm() * bone_3.norm():  # half a turn, about any normal
        axis = torch.linalg.cross(vector_3, torch.eye(3).double()[int(vector_3.abs().argmin())])
    return axis_angle_to_matrix(angle * normalize(axis, dim=0)) @ turn


def _frame(first_3: Tensor, second_3: Tensor) -> Tensor | None:
    """Return axes (3, 3) in columns: along the first vector, normal to both; None if parallel."""
    normal = torch.linalg.cross(first_3, second_3)
    if normal.norm() <= 1e-6 * first_3.norm() * second_3.norm():
        return None
    x, z = normalize(first_3, dim=0), normalize(normal, dim=0)
    return torch.stack((x, torch.linalg.cross(z, x), z), 1)


def _nearest_rotation(matrix: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrix)
    signs = torch.tensor([1.0, 1.0, 1.0], dtype=matrix.dtype)
    signs[2] = torch.linalg.det(left @ right)
    return left @ torch.diag(signs) @ right


def _between(turns: list[Tensor], position: float) -> Tensor:
    """Return the rotation (T, 3, 3) at a fractional place in a list."""
    before = min(int(position + 1e-9), len(turns) - 1)
    share = position - before
    if share < 1e-9:
        return turns[before]
    return roma.rotmat_slerp(turns[before], turns[before + 1], torch.tensor(share).double())
