"""Motion of one clip in full SMPL-X parameters, and its conversion from and to pose vectors."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from speech2video.util.audio.audio_io import read_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import (
    POSE_SLICES,
    SmplxParameters,
    smplx_to_vector,
    vector_to_smplx,
)
from speech2video.util.body.rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    resample_axis_angle,
    resample_linear,
)
from speech2video.util.errors import DataError, note
from speech2video.util.rendering.camera import Camera
from speech2video.util.timing import FPS, frame_count

MAX_UNSAID = 3  # frames by which motion and audio may differ without a note
_PLACE, _FACING = POSE_SLICES["translation"], POSE_SLICES["root_orientation"]


@dataclass(frozen=True)
class Motion:
    """Motion of one clip in full SMPL-X parameters, y up.

    Attributes:
        smplx: rotations (T, 55, 3), translation (T, 3), expression (T, 10).
        fps: frames a second.
        betas: (10,) shape coefficients.
        body: body model of expression, shape and hand coefficients ("smplx" or "open").
        camera: the camera it was fitted with, or None.
        hand_coefficients: (T, 2, 12) left and right, where the file gives no finger rotations.
        hands_from_mean: finger rotations are added to the body model's mean hands.
    """

    smplx: SmplxParameters
    fps: float
    betas: Tensor
    body: str = "smplx"
    camera: Camera | None = None
    hand_coefficients: Tensor | None = None
    hands_from_mean: bool = False

    def __len__(self) -> int:
        return len(self.smplx.rotations)

    def pose_vector(self, body: Body) -> Tensor:
        """Return pose vectors (T, 106) for a body; its hands are the nearest that it can make."""
        return smplx_to_vector(self.smplx_parameters(body), body.hands)

    def smplx_parameters(self, body: Body) -> SmplxParameters:
        """Return full parameters for a body.

        Rotations mean the same in every body model. Expressions and hand coefficients of another
        one are set to zero.
        """
        smplx = self.smplx
        if self.body != body.name:
            smplx = replace(smplx, expression=torch.zeros_like(smplx.expression))
        if self.hand_coefficients is not None:
            coefficients = self.hand_coefficients * float(self.body == body.name)
            hands = [body.hands.decode(coefficients[:, side], side) for side in (0, 1)]
            rotations = torch.cat((smplx.rotations[:, :25], *hands), 1)
            smplx = replace(smplx, rotations=rotations)
        elif self.hands_from_mean:
            hands = smplx.rotations[:, 25:] + body.hands.mean.view(-1, 3)
            smplx = replace(smplx, rotations=torch.cat((smplx.rotations[:, :25], hands), 1))
        return smplx

    def with_finger_rotations(self, body: Body) -> "Motion":
        """Return the motion with all hands as rotations, as a body makes them and files hold them.

        Unlike in `smplx_parameters`, expressions stay those of the motion's own body.
        """
        smplx = replace(self.smplx_parameters(body), expression=self.smplx.expression)
        return replace(self, smplx=smplx, hand_coefficients=None, hands_from_mean=False)

    def unsupported_parts(self, body: Body) -> list[str]:
        """Return the names of the parts that are lost in `pose_vector`."""
        if self.body == body.name:
            return []
        hands = self.hand_coefficients is not None and self.hand_coefficients.any()
        parts = ["expressions"] if self.smplx.expression.any() else []
        return parts + (["hand coefficients"] if hands else [])

    def resample(self, fps: float = FPS) -> "Motion":
        """Return the motion at another frame rate: rotations by slerp, the rest linearly."""
        if fps == self.fps:
            return self
        count = max(1, round(len(self) * fps / self.fps))
        return self.at(torch.arange(count, dtype=torch.float64) * (self.fps / fps), fps)

    def at(self, times: Tensor, fps: float) -> "Motion":
        """Return the motion at fractional frame numbers (N,), which come at `fps`."""
        smplx = SmplxParameters(
            resample_axis_angle(self.smplx.rotations, times),
            resample_linear(self.smplx.translation, times),
            resample_linear(self.smplx.expression, times),
        )
        hands = self.hand_coefficients
        if hands is not None:
            hands = resample_linear(hands.flatten(1), times).unflatten(1, (2, -1))
        return replace(self, smplx=smplx, fps=fps, hand_coefficients=hands)


def motion_from_pose(pose_TP: Tensor, body: Body, *, camera: Camera | None = None) -> Motion:
    """Return the motion at 25 fps of pose vectors (T, 106) for a body."""
    smplx = vector_to_smplx(pose_TP, body.hands)
    return Motion(smplx, FPS, body.betas.cpu(), body.name, camera)


def overlap(motion: Path, frames: int, audio_frames: int) -> int:
    """Return how many frames both motion and audio have; a note says so if one is much longer.

    Args:
        motion: file of the motion, for messages.
        frames: of the motion.
        audio_frames: frames that the audio lasts.

    Raises:
        DataError: the audio is shorter than a frame.
    """
    if audio_frames == 0:
        raise DataError(f"{motion}: its audio is shorter than a frame; speech is needed")
    both = min(frames, audio_frames)
    if abs(frames - audio_frames) > MAX_UNSAID:
        lengths = f"{frames / FPS:.2f} s of motion, {audio_frames / FPS:.2f} s of audio"
        note(f"{motion}: {lengths}; the first {both / FPS:.2f} s are used")
    return both


def cut_to_audio(pose_TP: Tensor, motion: Path, audio: Path) -> Tensor:
    """Return the pose vectors (T, 106) at 25 fps that the audio of a file lasts for: `overlap`."""
    samples = sum(len(chunk) for chunk in read_audio(audio))
    return pose_TP[: overlap(motion, len(pose_TP), frame_count(samples))]


def align_placement(pose_TP: Tensor, like_P: Tensor) -> Tensor:
    """Return pose vectors (T, 106) rigidly shifted and turned about the vertical.

    The mean position and direction of the pelvis become those of `like_P` (106,). Relative motion
    is unchanged.
    """
    turn = _about_vertical(_yaw(like_P[None, _FACING]) - _yaw(pose_TP[:, _FACING]))
    place_T3 = pose_TP[:, _PLACE]
    result = pose_TP.clone()
    result[:, _PLACE] = (place_T3 - place_T3.mean(0)) @ turn.T + like_P[_PLACE]
    result[:, _FACING] = matrix_to_axis_angle(turn @ axis_angle_to_matrix(pose_TP[:, _FACING]))
    return result


def _yaw(facing_T3: Tensor) -> Tensor:
    """Return the mean angle of the pelvis about y, radians, from +z."""
    forward_3 = axis_angle_to_matrix(facing_T3)[..., 2].mean(0)
    return torch.atan2(forward_3[0], forward_3[2])


def _about_vertical(angle: Tensor) -> Tensor:
    sin, cos = angle.sin(), angle.cos()
    zero, one = torch.zeros_like(sin), torch.ones_like(sin)
    rows = ((cos, zero, sin), (zero, one, zero), (-sin, zero, cos))
    return torch.stack([torch.stack(row) for row in rows])
