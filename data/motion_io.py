"""Motion files: read SMPL-X motion of BEAT2, AMASS, SHOW and our own; write our own.

Supported layouts:
  BEAT2, AMASS (SMPL-X)   poses (T, 165), trans, betas, expressions, mocap_frame_rate
  AMASS (SMPL-H)          poses (T, 156), trans, betas, mocap_framerate
  AMASS (stage II)        root_orient, pose_body, pose_hand, pose_jaw, pose_eye, trans
  SHOW, SMPLify-X         global_orient, body_pose_axis or body_pose, left_hand_pose (12 or 45), ...
Our own files have BEAT2's layout and two more keys, `body` and `camera`.
"""

import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.motion import Motion
from speech2video.util.body.body_model import NUM_BETAS
from speech2video.util.body.joint_limits import check_angles
from speech2video.util.body.pose_vector import HAND_COMPONENTS, NUM_EXPRESSIONS, SmplxParameters
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from speech2video.util.body.skeleton import JOINTS
from speech2video.util.errors import DataError
from speech2video.util.files import write_npz
from speech2video.util.rendering.camera import Camera

SHOW_FPS = 30.0  # missing in SHOW's files
BEAT2_EXPRESSIONS, BEAT2_BETAS = 100, 300  # lengths that its tools expect
_NPZ_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile)


def read_motion(path: Path, *, fps: float | None = None) -> Motion:
    """Return the motion of an npz file, y up, at 25 fps.

    Args:
        path: an npz file of one of the layouts above; it is never unpickled.
        fps: frame rate of a file without one (30, SHOW's, by default).

    Raises:
        DataError: unreadable, unknown layout, wrong shapes, NaN, or no frames.
    """
    file = _MotionFile(path)
    smplx, hands = _read_split(file) if "global_orient" in file else _read_poses(file)
    if len(smplx.rotations) == 0:
        raise DataError(f"{path}: no frames; at least one is needed")
    try:
        check_angles(smplx.rotations)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    rate, body = _frame_rate(file, fps), file.text("body", "smplx")
    motion = Motion(_upright(smplx), rate, _betas(file), body, _camera(file), hands)
    return motion.resample()


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
    """An npz file whose arrays are checked on access."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            file = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except _NPZ_ERRORS as error:
            raise DataError(f"{path}: not an npz file ({error}); SMPL-X motion is needed") from None
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: a single array; an npz file of named arrays is needed")
        self._file = file

    def __contains__(self, key: str) -> bool:
        return key in self._file.files

    def raw(self, key: str) -> np.ndarray:
        """Return an unchecked array; raises `DataError` if it is missing, broken or pickled."""
        if key not in self:
            found = ", ".join(sorted(self._file.files)) or "nothing"
            raise DataError(f"{self.path}: no {key!r}; found: {found}")
        try:
            return self._file[key]
        except _NPZ_ERRORS as error:
            problem = f"{key!r} cannot be read as plain numbers ({error})"
            raise DataError(f"{self.path}: {problem}") from None

    def array(self, key: str, shape: tuple[int, ...], *, flat: bool = False) -> Tensor:
        """Return finite float32 of a shape; −1 is any length, `flat` reshapes any axes."""
        raw = self.raw(key)
        if raw.dtype.kind not in "fiu":
            raise DataError(f"{self.path}: {key!r} holds {raw.dtype}; numbers are needed")
        if flat:
            raw = raw.reshape(shape)
        elif raw.ndim == len(shape) + 1 and raw.shape[1] == 1:
            raw = raw[:, 0]  # SHOW's global_orient is (T, 1, 3)
        pairs = list(zip(shape, raw.shape, strict=False))
        if raw.ndim != len(shape) or not all(size in (-1, actual) for size, actual in pairs):
            needed = ", ".join("any" if n == -1 else str(n) for n in shape)
            raise DataError(f"{self.path}: {key!r} has shape {raw.shape}; ({needed}) is needed")
        if not np.isfinite(raw).all():
            problem = f"{key!r} holds NaN or infinity; finite numbers are needed"
            raise DataError(f"{self.path}: {problem}")
        return torch.from_numpy(np.ascontiguousarray(raw, np.float32))

    def text(self, key: str, default: str) -> str:
        return str(self.raw(key)) if key in self else default


def _read_poses(file: _MotionFile) -> tuple[SmplxParameters, None]:
    """Read the layouts of AMASS and BEAT2."""
    if "root_orient" in file and "poses" not in file:
        root = file.array("root_orient", (-1, 3))
        sizes = {"pose_body": 63, "pose_jaw": 3, "pose_eye": 6, "pose_hand": 90}
        rest = [_optional(file, key, len(root), size) for key, size in sizes.items()]
        flat = torch.cat((root, *rest), 1)
    else:
        poses = file.raw("poses")
        width = poses.shape[1] if poses.ndim == 2 else 0
        if width not in (165, 156):
            needed = "(frames, 165) of SMPL-X or (frames, 156) of SMPL-H are needed"
            raise DataError(f"{file.path}: 'poses' has shape {poses.shape}; {needed}")
        flat = file.array("poses", (-1, width))
        if width == 156:  # SMPL-H has no jaw and no eyes
            flat = torch.cat((flat[:, :66], flat.new_zeros(len(flat), 9), flat[:, 66:]), 1)
    count = len(flat)
    expression = _set_columns(_optional(file, "expressions", count, -1), NUM_EXPRESSIONS)
    translation = file.array("trans", (count, 3))
    return SmplxParameters(flat.view(-1, len(JOINTS), 3), translation, expression), None


def _read_split(file: _MotionFile) -> tuple[SmplxParameters, Tensor | None]:
    """Read the layout of SHOW and SMPLify-X, a key for each part; also hand coefficients."""
    root = file.array("global_orient", (-1, 3))
    count = len(root)
    body_key = "body_pose_axis" if "body_pose_axis" in file else "body_pose"
    parts = [root, file.array(body_key, (count, 63))]
    parts += [_optional(file, key, count, 3) for key in ("jaw_pose", "leye_pose", "reye_pose")]
    hands = [_optional(file, f"{side}_hand_pose", count, -1) for side in ("left", "right")]
    coefficients = None
    if hands[0].shape[1] == hands[1].shape[1] == 45:
        parts += hands
    elif hands[0].shape[1] == hands[1].shape[1] <= HAND_COMPONENTS:
        coefficients = torch.stack([_set_columns(hand, HAND_COMPONENTS) for hand in hands], 1)
        parts.append(root.new_zeros(count, 90))
    else:
        shapes = " and ".join(str(tuple(hand.shape)) for hand in hands)
        needed = "(frames, 45) angles or up to 12 components are needed"
        raise DataError(f"{file.path}: hand poses of shape {shapes}; {needed}")
    rotations = torch.cat(parts, 1).view(count, len(JOINTS), 3)
    translation = _optional(file, "transl", count, 3)
    expression = _set_columns(_optional(file, "expression", count, -1), NUM_EXPRESSIONS)
    return SmplxParameters(rotations, translation, expression), coefficients


def _optional(file: _MotionFile, key: str, count: int, size: int) -> Tensor:
    """Return (count, size) of a key, zeros where the file has none."""
    return file.array(key, (count, size)) if key in file else torch.zeros(count, max(size, 0))


def _frame_rate(file: _MotionFile, given: float | None) -> float:
    for key in ("mocap_frame_rate", "mocap_framerate", "fps"):
        if key in file:
            rate = file.array(key, (-1,), flat=True)
            if len(rate) != 1 or rate.item() <= 0:
                raise DataError(f"{file.path}: {key!r} is {rate.tolist()}; one rate is needed")
            return rate.item()
    return given or SHOW_FPS


def _camera(file: _MotionFile) -> Camera | None:
    if "camera" not in file:
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


def _betas(file: _MotionFile) -> Tensor:
    if "betas" not in file:
        return torch.zeros(NUM_BETAS)
    return _set_columns(file.array("betas", (1, -1), flat=True), NUM_BETAS)[0]


def _set_columns(values_TN: Tensor, count: int) -> Tensor:
    """Return (T, count), cut or padded with zeros."""
    missing = max(0, count - values_TN.shape[1])
    return torch.nn.functional.pad(values_TN[:, :count], (0, missing))
