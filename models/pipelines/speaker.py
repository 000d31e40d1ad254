"""A speaker: all that checkpoints/NAME holds of one person, loaded for use.

checkpoints/NAME/audio2pose     how they move when they speak
checkpoints/NAME/gestures       at which words they gesture, and how
checkpoints/NAME/pose2video     what they look like
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from speech2video.data.gestures.dictionary import JSON_NAME, MOTIONS_NAME
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.pose2video.renderer import (
    Pose2VideoRenderer,
    load_renderer,
    read_renderer_options,
)
from speech2video.options.inference import OFF, InferenceOptions
from speech2video.options.pose2video import Vid2VidOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera

AUDIO2POSE, GESTURES, POSE2VIDEO = "audio2pose", "gestures", "pose2video"
AUTHORS = "vid2vid_authors"  # the style of maps that OpenPose's points can be drawn in
DIGITS = 12  # of a hash: enough to tell checkpoints apart
_STANCE = [
    *range(POSE_SIZE)[POSE_SLICES["translation"]],
    *range(POSE_SIZE)[POSE_SLICES["root_orientation"]],
]
_READ = 1 << 20  # bytes at a time


@dataclass(frozen=True, eq=False)
class Speaker:
    """One person, ready to speak; what a command does not need is None.

    Attributes:
        name: the folder's.
        made_of: which checkpoints these are, to be written into videos.
        body: the body that poses are for.
        audio2pose: speech to pose.
        gestures: puts the person's gestures in.
        pose2video: the painter.
        size: width and height of the picture.
    """

    name: str
    provenance: str
    body: Body
    audio2pose: PosePredictor | None
    gestures: GestureInserter | None
    pose2video: Pose2VideoRenderer | None
    size: tuple[int, int]

    @property
    def map_style(self) -> str:
        """How maps are drawn."""
        return self.pose2video.map_style if self.pose2video else "speech2video"

    def camera(self) -> Camera:
        """Return the camera that the painter was trained with, else one that faces the person.

        Raises:
            DataError: neither is known.
        """
        if self.pose2video is not None and self.pose2video.camera is not None:
            return self.pose2video.camera
        if self.audio2pose is None:
            raise DataError(f"{self.name}: no camera, and no {AUDIO2POSE} to know a stance from")
        mean_P = self.audio2pose.network.pose_mean.cpu()
        made = self.gestures.dictionary.entries if self.gestures else ()
        pose_TP = torch.cat([mean_P[None], *(entry.motion_NP for entry in made)])
        pose_TP[:, _STANCE] = mean_P[_STANCE]
        return Camera.framing(self.body.points(pose_TP), width=self.size[0], height=self.size[1])


def load(options: InferenceOptions, device: torch.device) -> Speaker:
    """Return the speaker that a command asks for, with as much of them as it needs.

    Raises:
        DataError: no such speaker, or a part is missing, broken or of another version.
    """
    folder = options.checkpoints / options.name
    if not folder.is_dir():
        found = sorted(path.parent.name for path in options.checkpoints.glob(f"*/{AUDIO2POSE}"))
        raise DataError(f"{folder}: no such speaker; there are: {', '.join(found) or 'none'}")
    mover = _mover(folder / AUDIO2POSE, options)
    body = mover.body if mover else Body.load(options.body)
    dictionary = _dictionary(folder / GESTURES, options)
    painter = _painter(folder / POSE2VIDEO, options, device)
    parts = []
    if mover:
        parts.append(f"{AUDIO2POSE} {weights_id(folder / AUDIO2POSE)}")
    if dictionary:
        parts.append(f"{GESTURES} {_hash((dictionary / JSON_NAME, dictionary / MOTIONS_NAME))}")
    if painter:
        parts.append(f"{POSE2VIDEO} {weights_id(folder / POSE2VIDEO)}")
    return Speaker(
        options.name,
        f"{options.name}: {', '.join(parts)}",
        body,
        mover,
        GestureInserter.load(dictionary, body) if dictionary else None,
        painter,
        (painter.width, painter.height) if painter and painter.width else options.size,
    )


def weights_id(folder: Path) -> str:
    """Return which weights a checkpoint's folder holds: their step, where one is said, and hash."""
    checkpoint = resolve_checkpoint(folder)
    step = f"{checkpoint.name} " if checkpoint != folder else ""
    return step + _hash(sorted(checkpoint.glob("*.safetensors")))


def _hash(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_READ):
                digest.update(block)
    return digest.hexdigest()[:DIGITS]


def _mover(folder: Path, options: InferenceOptions) -> PosePredictor | None:
    """Return speech to pose; for motion that is given it only tells where the speaker stands."""
    if options.openpose or (options.pose and not folder.is_dir()):
        return None
    return PosePredictor.load(
        folder, body=options.body, face_motion_scale=options.face_motion_scale
    )


def _dictionary(own: Path, options: InferenceOptions) -> Path | None:
    if options.gestures == OFF or options.openpose:
        return None
    if options.gestures is not None:
        return Path(options.gestures)
    if options.timeline or options.save_timeline or (options.has_words and not options.pose):
        return own if own.is_dir() else None
    return None


def _painter(
    folder: Path, options: InferenceOptions, device: torch.device
) -> Pose2VideoRenderer | None:
    if not folder.is_dir():
        if options.skeleton:
            return None
        raise DataError(
            f"{folder.parent}: no {POSE2VIDEO} in it; train one with train_pose2video.py, "
            "or draw the skeleton only with --skeleton"
        )
    painter = load_renderer(folder, device=device, dtype=_dtype(folder, options, device))
    if options.openpose and painter.map_style != AUTHORS:
        seen = f"maps of the style {painter.map_style}"
        raise DataError(f"{folder}: {seen}; for --openpose {AUTHORS} is needed")
    return painter


def _dtype(folder: Path, options: InferenceOptions, device: torch.device) -> torch.dtype:
    half = options.precision == "bf16"
    if options.precision == "auto":
        said = read_renderer_options(resolve_checkpoint(folder) / OPTIONS_FILE)
        # vid2vid's own are exact in 32 bits only
        half = not isinstance(said, Vid2VidOptions) and _has_bf16_units(device)
    return torch.bfloat16 if half else torch.float32


def _has_bf16_units(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(known.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
