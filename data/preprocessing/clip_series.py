"""A clip's parts side by side: seen points, fitted points, jaw and sound, frame by frame."""

import zipfile
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from speech2video.data.clip import Clip
from speech2video.data.keypoints import PARTS, Keypoints
from speech2video.data.motion import FPS, Motion
from speech2video.data.motion_file import read_motion
from speech2video.util.audio import SPEECH_RATE, load_wave
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import split_pose
from speech2video.util.body.skeleton import IBUG68, POINTS, indices
from speech2video.util.errors import DataError

SAMPLES = SPEECH_RATE // FPS  # of sound for each frame

MEASURED = {
    "body": indices(
        tuple(f"{side}_{at}" for at in ("shoulder", "elbow", "wrist") for side in ("left", "right"))
    ),
    "face": list(IBUG68),
    "hands": PARTS["left_hand"] + PARTS["right_hand"],
}
EYES = IBUG68[36], IBUG68[45]  # their outer corners
INNER_LIPS = IBUG68[62], IBUG68[66]  # the middles of the upper and the lower one


@dataclass(frozen=True, eq=False)
class ClipSeries:
    """What a clip's figures are computed from.

    Attributes:
        seen_TK3: (T, 144, 3) pixels and confidence, NaN where not found.
        fitted_TK2: (T, 144, 2) pixels, NaN where the motion has no camera.
        jaw_T: opening of the fitted jaw, degrees.
        wave_S: the sound, 640 samples a frame.
        detected: whether a detector looked at all.
    """

    seen_TK3: np.ndarray
    fitted_TK2: np.ndarray
    jaw_T: np.ndarray
    wave_S: np.ndarray
    detected: bool

    @classmethod
    def read(cls, clip: Clip, body: Body, *, pixels_TK2: np.ndarray | None = None) -> "ClipSeries":
        """Return a clip's series; see `clip_figures`."""
        motion = read_motion(clip.pose)
        count, detected = len(motion), clip.keypoints.is_file()
        seen_TK3 = np.full((count, len(POINTS), 3), np.nan, np.float32)
        if detected:
            keypoints = Keypoints.load(clip.keypoints)
            _check_length(clip, "frames of keypoints", len(keypoints), count)
            seen_TK3 = np.where(keypoints.found_TK[..., None], keypoints.points_TK3, np.nan)
        if pixels_TK2 is None:
            pixels_TK2 = _fitted_pixels(clip, motion, body)
        _check_length(clip, "frames of fitted points", len(pixels_TK2), count)
        jaw_T = split_pose(motion.pose_vector(body))["jaw"][:, 0].rad2deg().numpy()
        return cls(seen_TK3, pixels_TK2, jaw_T, load_wave(clip.audio), detected)

    @cached_property
    def eyes_T(self) -> np.ndarray:
        """Seen distance of the eyes' outer corners (T,), pixels."""
        return _distance(self.seen_TK3[..., :2], *EYES)

    @cached_property
    def loudness_T(self) -> np.ndarray:
        """Root mean square of each frame's sound (T,); 0 after its end."""
        wave_S = np.zeros(len(self.jaw_T) * SAMPLES)
        length = min(len(wave_S), len(self.wave_S))
        wave_S[:length] = self.wave_S[:length]
        return np.sqrt(np.square(wave_S).reshape(-1, SAMPLES).mean(1))

    def errors_TN(self, part: str) -> np.ndarray:
        """Return the distances (T, N) of a part's seen and fitted points, pixels, NaN if unseen."""
        which = MEASURED[part]
        return np.linalg.norm(self.seen_TK3[:, which, :2] - self.fitted_TK2[:, which], axis=2)


def lip_opening(points_TK2: np.ndarray) -> np.ndarray:
    """Return the distance (T,) of the inner lips' middles, as a share of the eye distance."""
    eyes_T = _distance(points_TK2, *EYES)
    return _distance(points_TK2, *INNER_LIPS) / np.where(eyes_T > 0, eyes_T, np.nan)


def _fitted_pixels(clip: Clip, motion: Motion, body: Body) -> np.ndarray:
    """Return (T, 144, 2) of the clip's projected.npz or else of the body in the picture."""
    path = clip.folder / "projected.npz"
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                pixels_TK2 = file["projected"]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: no fitted points can be read from it ({error})") from None
        if pixels_TK2.shape[1:] != (len(POINTS), 2):
            needed = f"(frames, {len(POINTS)}, 2)"
            raise DataError(f"{path}: 'projected' is {pixels_TK2.shape}; {needed} is needed")
        return pixels_TK2
    if motion.camera is None:
        return np.full((len(motion), len(POINTS), 2), np.nan, np.float32)
    betas = motion.betas if motion.body == body.name else None
    with torch.inference_mode():
        points_TK3 = body.points(motion.pose_vector(body), betas=betas)
        return motion.camera.project(points_TK3).numpy()


def _check_length(clip: Clip, what: str, count: int, needed: int) -> None:
    if count != needed:
        raise DataError(f"{clip.folder}: {count} {what}; {needed}, as its motion has, are needed")


def _distance(points_TK2: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(points_TK2[:, a] - points_TK2[:, b], axis=1)
