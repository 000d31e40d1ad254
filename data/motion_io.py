"""Motion files: read SMPL-X motion of BEAT2, AMASS, SHOW and others; write our own.

Parameters by name, as npz, as tensors of PyTorch (pt) or as a folder with one npz for each frame:
  BEAT2, AMASS (SMPL-X)   poses (T, 165), trans, betas, expressions, mocap_frame_rate
  AMASS (SMPL-H), SMPL    poses (T, 156) or (T, 72), trans, betas, mocap_framerate
  AMASS (stage II)        root_orient, pose_body, pose_hand, pose_jaw, pose_eye, trans
  SHOW, SMPLify-X, GVHMR  global_orient, body_pose_axis or body_pose, left_hand_pose (12 or 45), …
Any rotation may be axis-angle, a matrix or 6D. Arrays without names: TalkSHOW's (T, 265),
Motion-X's (T, 322), and poses as above. Our own files have BEAT2's layout and two more keys, `body`
and `camera`. Pickles are never opened.
"""

import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech2video.data.motion import Motion
from speech2video.data.motion_bvh import is_bvh, read_bvh
from speech2video.util.body.body_model import NUM_BETAS
from speech2video.util.body.joint_limits import check_angles, limit_penalty
from speech2video.util.body.pose_vector import HAND_COMPONENTS, NUM_EXPRESSIONS, SmplxParameters
from speech2video.util.body.rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    roma,
)
from speech2video.util.body.skeleton import BODY_JOINTS, JOINTS
from speech2video.util.errors import DataError, note
from speech2video.util.files import check_file, read_npz, write_npz
from speech2video.util.rendering.camera import Camera

ENDINGS = (".npz", ".bvh", ".pt", ".npy")
SHOW_FPS = 30.0  # missing in SHOW's files
BEAT2_EXPRESSIONS, BEAT2_BETAS = 100, 300  # lengths that its tools expect
MIN_RATE, MAX_RATE = 1.0, 1000.0  # frames a second
MAX_FRAMES = 500_000  # in a file: an hour at 120 frames a second
MAX_SECONDS = 2 * 3600  # of motion
MAX_SHORT = 10  # frames by which expressions may be shorter or longer than the poses
MAX_COORDINATE = 1e6  # metres; beyond it the numbers are no positions
MAX_NUMBERS = 2**28  # of all tensors of a pt file
CLEARLY_BENT = 1e-4  # radians² outside the limits: more than noise, less than a person's arms
CHUNK = 4096  # frames converted at a time: bounds memory
_WHAT = "SMPL-X motion"
_BODY = len(BODY_JOINTS)
_FORWARD = re.compile(r"(\d+)(?:[_-](\d{1,2}))?$")  # the number of a frame, and of a person

# The names that a part goes by; of several in a file the first is read.
_NAMES = {
    "poses": "poses pose_world pred_rotmat fullpose full_pose smplx_poses pose",
    "root": "global_orient root_orient root_pose smplx_root_pose global_orientation",
    "joints": "body_pose_axis body_pose pose_body smplx_body_pose",
    "jaw": "jaw_pose pose_jaw smplx_jaw_pose",
    "eyes": "pose_eye eye_pose",
    "left_eye": "leye_pose left_eye_pose",
    "right_eye": "reye_pose right_eye_pose",
    "hands": "pose_hand hand_pose",
    "left_hand": "left_hand_pose lhand_pose smplx_lhand_pose",
    "right_hand": "right_hand_pose rhand_pose smplx_rhand_pose",
    "translation": "trans_world trans transl translation root_trans root_translation pred_trans",
    "expression": "expressions expression exp expr face_expr smplx_expr",
    "betas": "betas beta shape shapes smplx_shape pred_shape",
    "rate": "mocap_frame_rate mocap_framerate frame_rate framerate fps",
}
_POSE_NAMES = {name for part in ("poses", "root", "joints") for name in _NAMES[part].split()}
_ALL_NAMES = {name for names in _NAMES.values() for name in names.split()}
# The columns of arrays without names, by their number; "" is left out.
_COLUMNS = {
    265: {  # TalkSHOW
        "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "global_orient": 3, "body_pose": 63,
        "left_hand_pose": 45, "right_hand_pose": 45, "expression": 100,
    },
    322: {  # Motion-X
        "root_orient": 3, "pose_body": 63, "pose_hand": 90, "pose_jaw": 3, "expression": 50,
        "": 100, "trans": 3, "betas": 10,
    },
}  # fmt: skip
_TEXT_FORMATS = {".fbx", ".glb", ".gltf", ".c3d", ".blend", ".usd", ".usda", ".usdc", ".vmd"}
_PICKLES = {".pkl", ".pickle", ".p", ".joblib"}


def read_motion(path: Path, *, fps: float | None = None) -> Motion:
    """Return the motion of a file or a folder of frames, y up, at 25 fps.

    Args:
        path: npz, npy, pt, bvh or a folder with an npz for each frame, of one of the layouts above.
        fps: frame rate of a file without one (30, SHOW's, by default).

    Raises:
        DataError: unreadable, unknown layout, wrong shapes, NaN, no frames, or too many.
    """
    path = Path(path)
    motion = read_bvh(path, fps=fps) if is_bvh(path) else _read_parameters(path, fps)
    if len(motion) == 0:
        raise DataError(f"{path}: no frames; at least one is needed")
    try:
        check_angles(motion.smplx.rotations)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if not MIN_RATE <= motion.fps <= MAX_RATE:
        needed = f"one rate of {MIN_RATE:g} to {MAX_RATE:g} is needed"
        raise DataError(f"{path}: {motion.fps:g} frames a second; {needed}")
    if len(motion) > MAX_SECONDS * motion.fps:
        length = f"{len(motion) / motion.fps:.0f} s of motion"
        raise DataError(f"{path}: {length}; at most {MAX_SECONDS} s are read: cut it")
    return replace(motion, smplx=_upright(motion.smplx)).resample()


def write_motion(path: Path, motion: Motion) -> None:
    """Write a motion in BEAT2's layout, which AMASS's tools read too, atomically."""
    smplx = motion.smplx
    arrays = {
        "poses": smplx.rotations.flatten(1).numpy().astype(np.float32),
        "trans": smplx.translation.numpy().astype(np.float32),
        "expressions": _set_columns(smplx.expression, BEAT2_EXPRESSIONS).numpy().astype(np.float32),
        "betas": _set_columns(motion.betas[None], BEAT2_BETAS)[0].numpy().astype(np.float32),
        "gender": np.array("neutral"),
        "model": np.array("smplx2020"),
        "mocap_frame_rate": np.array(motion.fps),
        "mocap_framerate": np.array(motion.fps),
        "body": np.array(motion.body),
    }
    if motion.camera:
        arrays["camera"] = np.array(json.dumps(asdict(motion.camera)))
    write_npz(path, arrays)


class _MotionFile:
    """Named arrays of a file, which are checked on access."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self._arrays = {key.lower(): (key, array) for key, array in arrays.items()}
        self._people: tuple[tuple[int, ...], int] | None = None  # leading shape, axis of people
        self._six_d = ""  # order of the six numbers, once seen

    def key(self, part: str) -> str | None:
        """Return the key of a part, or None if the file has none."""
        names = _NAMES.get(part, part).split()
        return next((self._arrays[name][0] for name in names if name in self._arrays), None)

    def raw(self, part: str) -> tuple[str, np.ndarray]:
        """Return the key and the unchecked array of a part; raises `DataError` if it is missing."""
        key = self.key(part)
        if key is None:
            found = ", ".join(sorted(key for key, _ in self._arrays.values())) or "nothing"
            wanted = (
                "'poses' or 'global_orient'" if part == "poses" else repr(_NAMES[part].split()[0])
            )
            raise DataError(f"{self.path}: no {wanted} of plain numbers; found: {found:.200}")
        return self._arrays[key.lower()]

    def text(self, part: str, default: str) -> str:
        return str(self.raw(part)[1]) if self.key(part) else default

    def rotations(self, part: str, *joints: int) -> Tensor:
        """Return axis-angle (T, J, 3) of a part that has one of these numbers of joints."""
        key, raw = self.raw(part)
        raw = self._numbers(key, raw)
        if 1 in joints and raw.shape[1:] == (3, 3) and _are_rotations(raw):
            return self._axis_angle(key, raw.reshape(-1, 1, 9))  # not of three people
        for count in joints:
            for size in (3, 6, 9):
                if (flat := self._frames(raw, _tails(count, size))) is not None:
                    return self._axis_angle(key, flat.reshape(len(flat), count, size))
        needed = " or ".join(f"(frames, {3 * count})" for count in joints)
        raise DataError(f"{self.path}: {key!r} has shape {raw.shape}; {needed} is needed")

    def vectors(self, part: str, count: int, size: int) -> Tensor:
        """Return (count, size) float32 of a part, −1 for any size; zeros where there is none."""
        if not self.key(part):
            return torch.zeros(count, max(size, 0))
        key, raw = self.raw(part)
        raw = self._one_person(self._numbers(key, raw))
        if raw.ndim == 3 and 1 in raw.shape[:2]:
            raw = raw[:, 0] if raw.shape[1] == 1 else raw[0]
        if raw.ndim == 1 and count == 1:
            raw = raw[None]
        short = abs(len(raw) - count) if raw.ndim == 2 else 0
        if part == "expression" and 0 < short <= MAX_SHORT and len(raw):
            what = "the last is repeated" if len(raw) < count else "the rest is left out"
            note(f"{self.path}: {len(raw)} frames of {key!r} and {count} of poses; {what}")
            raw = raw[np.minimum(np.arange(count), len(raw) - 1)]
        if raw.ndim != 2 or len(raw) != count or size not in (-1, raw.shape[1]):
            needed = f"({count}, {'any' if size < 0 else size})"
            raise DataError(f"{self.path}: {key!r} has shape {raw.shape}; {needed} is needed")
        return self._finite(key, raw)

    def hand(self, part: str, count: int) -> Tensor:
        """Return a hand's axis-angle (T, 15, 3) or coefficients (T, 12), which are 0 if missing."""
        if self.key(part):
            raw = self._one_person(self.raw(part)[1])
            if math.prod(raw.shape[1:]) > HAND_COMPONENTS or raw.shape == (15, 3):
                return self.rotations(part, 15)
        return _set_columns(self.vectors(part, count, -1), HAND_COMPONENTS)

    def betas(self) -> Tensor:
        """Return the shape coefficients (10,), the median over frames; zeros if there are none."""
        if not self.key("betas"):
            return torch.zeros(NUM_BETAS)
        key, raw = self.raw("betas")
        raw = self._one_person(self._numbers(key, raw))
        if raw.size == 0:
            raise DataError(f"{self.path}: {key!r} is empty; coefficients of the shape are needed")
        rows = self._finite(key, raw.reshape(-1, raw.shape[-1] if raw.ndim else 1))
        median = np.median(rows.numpy(), axis=0, keepdims=True) if len(rows) > 1 else rows.numpy()
        return _set_columns(torch.from_numpy(median), NUM_BETAS)[0]

    def rate(self) -> float | None:
        """Return the frames a second, a number or a text such as 30000/1001; None if unknown."""
        if not self.key("rate"):
            return None
        key, raw = self.raw("rate")
        try:
            (value,) = raw.reshape(-1).tolist()
            value = value.decode() if isinstance(value, bytes) else value
            text = str(value).strip().lower().removesuffix("fps").strip().replace(",", ".")
            number = float(Fraction(text[:40])) if "/" in text else float(text)
            if MIN_RATE <= number <= MAX_RATE:
                return number
        except (ValueError, ArithmeticError):
            pass
        needed = f"one rate of {MIN_RATE:g} to {MAX_RATE:g} frames a second is needed"
        raise DataError(f"{self.path}: {key!r} is {raw.tolist()!s:.60}; {needed}")

    def _numbers(self, key: str, raw: np.ndarray) -> np.ndarray:
        if raw.dtype.kind not in "fiu":
            raise DataError(f"{self.path}: {key!r} holds {raw.dtype}; numbers are needed")
        return raw

    def _finite(self, key: str, raw: np.ndarray) -> Tensor:
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(raw, np.float32)
        if not np.isfinite(values).all():
            frame = np.argwhere(~np.isfinite(values))[0][0]
            problem = f"{key!r} holds NaN or infinity in frame {frame}; finite numbers are needed"
            raise DataError(f"{self.path}: {problem}")
        return torch.from_numpy(values if values.flags.writeable else values.copy())

    def _frames(self, raw: np.ndarray, tails: tuple[tuple[int, ...], ...]) -> np.ndarray | None:
        """Return (T, …) of one person if the axes behind frames and people are one of `tails`."""
        for tail in tails:
            if raw.shape[1:] == tail and not (self._people and raw.shape[:2] == self._people[0]):
                break
            if raw.ndim > 2 and raw.shape[2:] == tail:
                if self._people is None:
                    self._choose_person(raw.shape[:2])
                elif raw.shape[:2] != self._people[0]:
                    return None
                raw = self._one_person(raw)
                break
            if raw.shape == tail and len(tail) > 1 and tail[0] > 1:  # one frame without its axis
                raw = raw[None]
                break
        else:
            return None
        if len(raw) > MAX_FRAMES:
            raise DataError(f"{self.path}: {len(raw)} frames; at most {MAX_FRAMES} are read")
        return raw

    def _choose_person(self, lead: tuple[int, ...]) -> None:
        axis = 0 if lead[0] <= lead[1] else 1
        self._people = lead, axis
        if lead[axis] > 1:
            note(f"{self.path}: {lead[axis]} people; the first is taken")

    def _one_person(self, raw: np.ndarray) -> np.ndarray:
        if self._people is None:
            return raw
        lead, axis = self._people
        if raw.shape[:2] == lead and 0 not in lead:
            return raw.take(0, axis)
        return raw[:1] if raw.ndim == 2 and len(raw) == lead[axis] else raw  # betas of each

    def _axis_angle(self, key: str, values_TJN: np.ndarray) -> Tensor:
        values = self._finite(key, values_TJN)
        if values.shape[-1] == 3:
            return values
        if values.shape[-1] == 6:
            if not self._six_d:
                self._six_d = _order_of_6d(values)
                if values.shape[1] > 1:
                    note(f"{self.path}: 6D rotations are read as {_ORDERS[self._six_d]}")
            parts = [_from_6d(part, self._six_d) for part in values.split(CHUNK)]
        else:
            parts = [self._from_matrices(key, part) for part in values.split(CHUNK)]
        result = torch.cat(parts) if parts else values[..., :3]
        if not torch.isfinite(result).all():
            raise DataError(f"{self.path}: {key!r} holds zeros where rotations are needed")
        return result

    def _from_matrices(self, key: str, values_TJ9: Tensor) -> Tensor:
        matrices = values_TJ9.unflatten(-1, (3, 3)).double()
        error = matrices @ matrices.mT - torch.eye(3, dtype=torch.float64)
        if len(matrices) and (error.abs().max() > 0.1 or torch.linalg.det(matrices).min() < 0):
            raise DataError(f"{self.path}: {key!r} has its shape, but holds no rotation matrices")
        return matrix_to_axis_angle(roma.special_gramschmidt(matrices[..., :2])).float()


_ORDERS = {
    "columns": "the matrices' first two columns",
    "rows": "the matrices' first two rows (as PyTorch3D has it)",
    "interleaved": "the matrices' first two columns, number by number",
}


def _are_rotations(values_T33: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        products = values_T33 @ values_T33.swapaxes(1, 2)
    return len(values_T33) > 0 and bool((np.abs(products - np.eye(3)) < 0.1).all())


def _order_of_6d(values_TJ6: Tensor) -> str:
    """Return how 6D rotations are ordered, by what gives unit vectors at right angles.

    Columns and rows are each other's inverse: joints bend the right way in only one of them.
    """
    some = values_TJ6[:: max(1, len(values_TJ6) // 200)]

    def skew(pairs: Tensor) -> Tensor:
        lengths = (pairs.norm(dim=-1) - 1).abs().mean()
        return lengths + (pairs[..., 0, :] * pairs[..., 1, :]).sum(-1).abs().mean()

    if 2 * skew(some.unflatten(-1, (3, 2)).mT) < skew(some.unflatten(-1, (2, 3))):
        return "interleaved"
    if some.shape[1] == 1:
        return "columns"
    penalties = []
    for order in ("columns", "rows"):
        rotations = some.new_zeros(len(some), len(JOINTS), 3)
        first = 0 if some.shape[1] > 21 and some.shape[1] != 23 else 1  # with or without the root
        count = min(some.shape[1], _BODY - first)
        rotations[:, first : first + count] = _from_6d(some[:, :count], order)
        penalties.append(limit_penalty(rotations).item())
    return "rows" if 10 * penalties[1] + CLEARLY_BENT < penalties[0] else "columns"


def _from_6d(values: Tensor, order: str) -> Tensor:
    """Return axis-angle (..., 3) of 6D (..., 6)."""
    pair = values.double()
    pair = pair.unflatten(-1, (3, 2)) if order == "interleaved" else pair.unflatten(-1, (2, 3)).mT
    matrix = roma.special_gramschmidt(pair)
    return matrix_to_axis_angle(matrix.mT if order == "rows" else matrix).float()


def _tails(joints: int, size: int) -> tuple[tuple[int, ...], ...]:
    """Return the shapes that the rotations of one frame may have, `size` numbers each."""
    matrices = ((joints, 3, 3), (3, 3)) if joints == 1 else ((joints, 3, 3),)
    return ((joints * size,), (joints, size), *(matrices if size == 9 else ()))


def _read_parameters(path: Path, fps: float | None) -> Motion:
    """Read parameters by name, of an npz, npy or pt file or a folder of frames."""
    times = None
    if path.is_dir():
        arrays, times = _read_frame_files(path)
    else:
        arrays = _name_columns(path, _read_arrays(path))
    file = _MotionFile(path, arrays)
    rotations, hands = _read_poses(file)
    count = len(rotations)
    if not file.key("translation") and not file.key("global_orient"):
        note(f"{path}: no translation in it; the pelvis stays in place")
    translation = file.vectors("translation", count, 3)
    if count and translation.abs().max() > MAX_COORDINATE:
        raise DataError(
            f"{path}: a translation of {translation.abs().max():.3g}; metres are needed"
        )
    expression = _set_columns(file.vectors("expression", count, -1), NUM_EXPRESSIONS)
    rate = file.rate()
    if rate is None and fps is None and not file.key("body_pose_axis"):
        note(f"{path}: no frame rate in it; {SHOW_FPS:g} frames a second are assumed")
    motion = Motion(
        SmplxParameters(rotations, translation, expression),
        rate or fps or SHOW_FPS,
        file.betas(),
        file.text("body", "smplx"),
        _camera(file),
        hands,
        hands_from_mean=file.text("flat_hand_mean", "True").strip("[]") in ("False", "0"),
    )
    return motion if times is None else motion.at(times, motion.fps)


def _read_poses(file: _MotionFile) -> tuple[Tensor, Tensor | None]:
    """Return the rotations (T, 55, 3) of a file, and its hands' coefficients (T, 2, 12) or None."""
    if file.key("global_orient") or (file.key("root") and not file.key("poses")):
        return _read_parts(file)
    poses = file.rotations("poses", 55, 52, 24, 22)
    joints, body = poses.shape[1], poses[:, :_BODY]
    if joints == len(JOINTS):
        return poses, None
    if joints == 52:  # SMPL-H has no jaw and no eyes
        return torch.cat((body, _no_joints(body, 3), poses[:, _BODY:]), 1), None
    return torch.cat((body, _no_joints(body, 33)), 1), body.new_zeros(len(body), 2, HAND_COMPONENTS)


def _read_parts(file: _MotionFile) -> tuple[Tensor, Tensor | None]:
    """Read the layouts with a key for each part: as `_read_poses`."""
    body = file.rotations("joints", 21, 23)[:, :21]  # SMPL's joints 22 and 23 are stiff hands
    root = file.rotations("root", 1)
    parts = [root, body]
    eyes = ("eyes",) if file.key("eyes") else ("left_eye", "right_eye")
    for part, joints in (("jaw", 1), *((eye, 2 // len(eyes)) for eye in eyes)):
        parts.append(file.rotations(part, joints) if file.key(part) else _no_joints(root, joints))
    coefficients = None
    if file.key("hands"):
        parts.append(file.rotations("hands", 30))
    else:
        hands = [file.hand(side, len(root)) for side in ("left_hand", "right_hand")]
        if hands[0].ndim != hands[1].ndim:
            shapes = " and ".join(str(tuple(hand.shape)) for hand in hands)
            needed = "(frames, 45) angles or up to 12 components are needed for both"
            raise DataError(f"{file.path}: hand poses of shape {shapes}; {needed}")
        if hands[0].ndim == 2:
            coefficients = torch.stack(hands, 1)
            hands = [_no_joints(root, 15)] * 2
        parts += hands
    lengths = sorted({len(part) for part in parts})
    if len(lengths) > 1:
        problem = f"parts of {' and '.join(map(str, lengths))} frames"
        raise DataError(f"{file.path}: {problem}; one number of frames is needed")
    return torch.cat(parts, 1), coefficients


def _no_joints(like: Tensor, count: int) -> Tensor:
    return like.new_zeros(len(like), count, 3)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the plain arrays of an npz, npy or pt file by name; nothing is unpickled."""
    if not path.exists():
        raise DataError(f"{path}: no such file; {_WHAT} is needed")
    check_file(path, what=_WHAT)
    if path.suffix.lower() in _TEXT_FORMATS:
        kind = path.suffix.lower().removeprefix(".").upper()
        raise DataError(f"{path}: {kind} is not read; export the motion as BVH, as Blender does")
    with path.open("rb") as file:
        head = file.read(8)
    if path.suffix.lower() in _PICKLES or re.match(rb"\x80[\x02-\x05]", head):
        raise DataError(f"{path}: {_conversion(path)}")
    if head.startswith(b"\x93NUMPY"):
        try:  # a map of the file: its size is checked, and nothing is read yet
            return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        except Exception as error:  # a damaged head may raise anything
            if "Array can't be memory-mapped" in str(error) or "pickle" in str(error).lower():
                raise DataError(f"{path}: {_conversion(path)}") from None
            reason = f"{' '.join(str(error).split()):.200}"
            raise DataError(f"{path}: damaged ({reason}); {_WHAT} is needed") from None
    if head.startswith(b"PK") and _is_torch(path):
        return _read_torch(path)
    return read_npz(path, what=_WHAT, skip_pickled=True)


def _name_columns(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays by name, where a file has only one without a known name."""
    keys = [key for key in arrays if key.lower() in _POSE_NAMES]
    if not keys:
        unnamed = [key for key in arrays if key.lower() not in _ALL_NAMES]
        keys = [key for key in unnamed if arrays[key].ndim > 1]
    if len(keys) != 1 or arrays[keys[0]].ndim < 2:
        return arrays
    array = arrays[keys[0]]
    columns = _COLUMNS.get(array.shape[-1])
    if columns is None:
        return arrays if keys[0].lower() in _POSE_NAMES else {**arrays, "poses": array}
    array = array[0] if array.ndim == 3 and len(array) == 1 else array
    if array.ndim != 2:
        raise DataError(f"{path}: an array of shape {array.shape}; (frames, columns) is needed")
    parts = np.split(array, np.cumsum([*columns.values()])[:-1], axis=1)
    named = {name: part for name, part in zip(columns, parts, strict=True) if name}
    if "global_orient" in columns:  # TalkSHOW's hands are added to SMPL-X's mean ones
        named["flat_hand_mean"] = np.array(False)
    return {key: value for key, value in arrays.items() if key != keys[0]} | named


def _read_frame_files(folder: Path) -> tuple[dict[str, np.ndarray], Tensor]:
    """Return the arrays of a folder with an npz for each frame, and the times of all frames.

    SMPLer-X, SMPLest-X and OSX write `smplx/00001_0.npz`: frame 1, person 0. Of several people the
    one in most frames is taken. Times (N,) are fractional numbers of the frames that are there.
    """
    inner = folder / "smplx"
    folder = inner if inner.is_dir() else folder
    found: dict[int, dict[int, Path]] = {}
    for path in sorted(folder.glob("*.npz")):
        if match := _FORWARD.search(path.stem):
            found.setdefault(int(match[2] or 0), {})[int(match[1])] = path
    if not found:
        raise DataError(f"{folder}: no npz files numbered by frame, as 00001_0.npz, in it")
    counts = Counter({person: len(files) for person, files in found.items()})
    person = min(counts, key=lambda person: (-counts[person], person))
    if len(found) > 1:
        note(f"{folder}: {len(found)} people; number {person}, in most frames, is taken")
    files = dict(sorted(found[person].items()))
    everyone = {number for one in found.values() for number in one}
    first, last = min(everyone), max(everyone)  # of the video
    if (total := last - first + 1) > MAX_FRAMES:
        raise DataError(f"{folder}: frames {first} to {last}; {MAX_FRAMES} are read")
    if missing := total - len(files):
        note(f"{folder}: {missing} of {total} frames are missing; filled from those around them")
    frames = [_flat_parts(path) for path in files.values()]
    keys = set.intersection(*(set(frame) for frame in frames))
    for key in keys:
        if len({frame[key].size for frame in frames}) > 1:
            raise DataError(f"{folder}: {key!r} has another size in some files than in others")
    arrays = {key: np.stack([frame[key] for frame in frames]) for key in keys}
    if arrays.get("left_hand_pose", np.empty(0)).shape[1:] == (45,):
        arrays["flat_hand_mean"] = np.array(False)  # added to SMPL-X's mean hands
    times = np.interp(np.arange(first, last + 1), [*files], np.arange(len(files)))
    return arrays, torch.from_numpy(times)


def _flat_parts(path: Path) -> dict[str, np.ndarray]:
    """Return the parts (N,) of one frame's npz file."""
    arrays = read_npz(path, what="SMPL-X parameters of one frame", skip_pickled=True)
    parts = {key.lower(): value.reshape(-1) for key, value in arrays.items()}
    parts = {key: value for key, value in parts.items() if key in _ALL_NAMES}
    if parts.get("global_orient", np.empty(3)).size > 9:
        raise DataError(f"{path}: several frames; in a folder each file has one. Name one file")
    return parts


def _is_torch(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    """Return the SMPL-X parameters in a file of `torch.save`, as GVHMR writes; only tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > 8 * MAX_NUMBERS:
            raise DataError(f"{path}: {size / 2**30:,.1f} GiB; at most {MAX_NUMBERS / 2**27:g} fit")
        value = torch.load(path, map_location="cpu", weights_only=True)
        sets = list(_parameter_sets(value, path.stem, 0))
    except DataError:
        raise
    except Exception:  # anything that is damaged, or holds more than tensors
        raise DataError(f"{path}: {_conversion(path)}") from None
    if not sets:
        keys = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise DataError(f"{path}: no SMPL-X parameters in it; found: {keys:.200}")
    world = [item for item in sets if "global" in item[0] or "world" in item[0]]
    name, arrays = max(world or sets, key=lambda item: max(map(np.size, item[1].values())))
    if len(sets) > 1:
        note(f"{path}: {len(sets)} sets of parameters; {name} is taken")
    return arrays


def _parameter_sets(value: Any, name: str, depth: int) -> Iterator[tuple[str, dict]]:
    """Yield the dicts of tensors that are SMPL-X parameters, with their names, at any depth."""
    if torch.is_tensor(value) and depth == 0:
        yield name, {"": _plain(value)}
    if isinstance(value, list | tuple):
        value = dict(enumerate(value[:1000]))
    if not isinstance(value, dict) or depth > 4:
        return
    plain = {str(key): item for key, item in value.items() if torch.is_tensor(item)}
    if any(key.lower() in _POSE_NAMES for key in plain):
        numbers = {
            str(k): np.array(v) for k, v in value.items() if isinstance(v, float | int | str)
        }
        yield name, {key: _plain(item) for key, item in plain.items()} | numbers
    for key, item in value.items():
        yield from _parameter_sets(item, str(key), depth + 1)


def _plain(tensor: Tensor) -> np.ndarray:
    if tensor.numel() > MAX_NUMBERS:
        raise ValueError("a tensor that is larger than its file")
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _conversion(path: Path) -> str:
    """Return why a pickle is refused, and a short command that makes an npz of it."""
    # a shell would run what other names hold, and the end of a long line is left out
    shown = Path(path.name if re.fullmatch(r"[\w .+-]{1,60}", path.name) else "FILE.pkl")
    name, target = repr(shown.name), repr(f"{shown.stem}.npz")
    load = {".pt": "torch.load({},'cpu',weights_only=False)"}
    load |= {".pth": load[".pt"], ".npy": "n.load({},allow_pickle=True).item()"}
    read = load.get(path.suffix.lower(), "joblib.load({})").format(name)
    with path.open("rb") as file:
        data = file.read(2**28)
    save = f"n.savez({target},**{{k:n.asarray(v) for k,v in {read}.items()}})"
    if b"pose_world" in data:  # WHAM: a dict of people
        save = f"p=max({read}.values(),key=lambda p:len(p['pose_world']));"
        save += f"n.savez({target},poses=p['pose_world'],trans=p['trans_world'],fps=30)"
    elif b"tracked_ids" in data:  # 4D-Humans: a dict of frames with a list of people
        save = f"s=[v['smpl'][0] for v in {read}.values() if v['smpl']];n.savez({target},fps=30,"
        save += "**{k:n.stack([p[k] for p in s]) for k in ('global_orient','body_pose')})"
    modules = "numpy as n" if read.startswith("n.") else f"numpy as n,{read.split('.')[0]}"
    reason = "a pickle, or damaged; never opened, as it can run code. If you trust it"
    return f'{reason}: python -c "import {modules};{save}"'


def _camera(file: _MotionFile) -> Camera | None:
    if not file.key("camera"):
        return None
    try:
        values = json.loads(file.text("camera", ""))
        values |= {key: tuple(values[key]) for key in ("center", "translation")}
        values["rotation"] = tuple(map(tuple, values["rotation"]))
        return Camera(**values)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{file.path}: 'camera' is not in our format ({error})") from None


def _upright(smplx: SmplxParameters) -> SmplxParameters:
    """Return the motion in a world with y up.

    AMASS's world has z up and SHOW's is the camera's, y down; the mean up axis of the pelvis gives
    the convention.
    """
    root = axis_angle_to_matrix(smplx.rotations[:, 0])
    _, y, z = root[:, :, 1].mean(0).tolist()
    upside_down, z_up = y < 0, z > 0
    quarter_turns = 2 * upside_down if abs(y) >= abs(z) else 1 - 2 * z_up
    if quarter_turns == 0:
        return smplx
    turn = axis_angle_to_matrix(torch.tensor([quarter_turns * torch.pi / 2, 0.0, 0.0]))
    rotations = smplx.rotations.clone()
    rotations[:, 0] = matrix_to_axis_angle(turn @ root)
    return replace(smplx, rotations=rotations, translation=smplx.translation @ turn.T)


def _set_columns(values_TN: Tensor, count: int) -> Tensor:
    """Return (T, count), cut or padded with zeros."""
    missing = max(0, count - values_TN.shape[1])
    return torch.nn.functional.pad(values_TN[:, :count], (0, missing))
