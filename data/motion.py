"""One clip of motion in full SMPL-X parameters, between a file and the pose vector."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import SmplxParameters, smplx_to_vector, vector_to_smplx
from speech2video.util.body.rotations import resample_axis_angle, resample_linear
from speech2video.util.camera import Camera

FPS = 25


@dataclass(frozen=True)
class Motion:
    """One clip of motion in full SMPL-X parameters, y up.

    Attributes:
        smplx: rotations (T, 55, 3), translation (T, 3), expression (T, 10).
        fps: frames a second.
        betas: (10,) shape coefficients.
        body: the body whose expression, shape and hand directions are meant ("smplx" or "open").
        camera: the camera it was fitted with, or None.
        hand_coefficients: (T, 2, 12) left and right, where the file gives no finger rotations.
    """

    smplx: SmplxParameters
    fps: float
    betas: Tensor
    body: str = "smplx"
    camera: Camera | None = None
    hand_coefficients: Tensor | None = None

    def __len__(self) -> int:
        return len(self.smplx.rotations)

    def pose_vector(self, body: Body) -> Tensor:
        """Return pose vectors (T, 106) for a body.

        Rotations mean the same in every body. Expressions and hand coefficients do not: made for
        another body they are left out, face and fingers at rest.
        """
        smplx = self.smplx
        if self.body != body.name:
            smplx = replace(smplx, expression=torch.zeros_like(smplx.expression))
        if self.hand_coefficients is not None:
            coefficients = self.hand_coefficients * float(self.body == body.name)
            hands = [body.hands.decode(coefficients[:, side], side) for side in (0, 1)]
            rotations = torch.cat((smplx.rotations[:, :25], *hands), 1)
            smplx = replace(smplx, rotations=rotations)
        return smplx_to_vector(smplx, body.hands)

    def foreign_parts(self, body: Body) -> list[str]:
        """Return what of this motion another body cannot show, in words."""
        if self.body == body.name:
            return []
        parts = ["expressions"] if self.smplx.expression.any() else []
        return parts + (["hand coefficients"] if self.hand_coefficients is not None else [])

    def resampled(self, fps: float = FPS) -> "Motion":
        """Return the motion at another frame rate: rotations by slerp, the rest linearly."""
        if fps == self.fps:
            return self
        count = max(1, round(len(self) * fps / self.fps))
        times = torch.arange(count, dtype=torch.float64) * (self.fps / fps)
        smplx = SmplxParameters(
            resample_axis_angle(self.smplx.rotations, times),
            resample_linear(self.smplx.translation, times),
            resample_linear(self.smplx.expression, times),
        )
        hands = self.hand_coefficients
        if hands is not None:
            hands = resample_linear(hands.flatten(1), times).unflatten(1, (2, -1))
        return replace(self, smplx=smplx, fps=fps, hand_coefficients=hands)


def from_pose_vector(pose_TP: Tensor, body: Body, *, camera: Camera | None = None) -> Motion:
    """Return the motion at 25 fps of pose vectors (T, 106) for a body."""
    smplx = vector_to_smplx(pose_TP, body.hands)
    return Motion(smplx, FPS, body.betas.cpu(), body.name, camera)
