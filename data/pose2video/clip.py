"""Clips of picture and pose: where each body point is in each framed picture."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import cv2
import numpy as np
import torch

from speech2video.data.clip import Clip, list_clips
from speech2video.data.motion import Motion
from speech2video.data.motion_io import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera
from speech2video.util.timing import FPS
from speech2video.util.video.reader import VideoInfo, probe

# A picture cut and scaled to another size, and the camera and points that go with it.

MULTIPLE = 4  # pixels; the networks ask for more, and say so themselves


@dataclass(frozen=True)
class Framing:
    """The largest centred box of the wanted shape, scaled to the wanted size.

    The box has whole pixels, so its shape is met to within one of them.

    Attributes:
        source_width, source_height: of the picture that comes in, pixels.
        width, height: of the picture that goes out, pixels.

    Raises:
        DataError: a source without pixels; a size that is not a positive multiple of 4.
    """

    source_width: int
    source_height: int
    width: int
    height: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.source_width, self.source_height) < 1:
            seen = f"{self.source_width}x{self.source_height}"
            raise DataError(f"a picture of {seen} pixels; at least one each way is needed")
        if (
            min(self.width, self.height) < MULTIPLE
            or self.width % MULTIPLE | self.height % MULTIPLE
        ):
            seen = f"{self.width}x{self.height}"
            raise DataError(f"pictures of {seen}; positive multiples of {MULTIPLE} are needed")

    @property
    def box(self) -> tuple[int, int, int, int]:
        """What is kept of the source: x, y, width, height in pixels."""
        scale = min(self.source_width / self.width, self.source_height / self.height)
        width, height = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        return (self.source_width - width) // 2, (self.source_height - height) // 2, width, height

    def image(self, rgb_HW3: np.ndarray) -> np.ndarray:
        """Return a source picture (H, W, 3) uint8 as (height, width, 3); raises `DataError`.

        Pictures that shrink are averaged over areas, pictures that grow are interpolated cubically.
        """
        if rgb_HW3.shape != (self.source_height, self.source_width, 3):
            needed = (self.source_height, self.source_width, 3)
            raise DataError(f"a picture of shape {rgb_HW3.shape}; {needed} is needed")
        x, y, width, height = self.box
        kept = rgb_HW3[y : y + height, x : x + width]
        if (width, height) == (self.width, self.height):
            return np.ascontiguousarray(kept)
        way = cv2.INTER_AREA if width > self.width else cv2.INTER_CUBIC
        return cv2.resize(kept, (self.width, self.height), interpolation=way)

    def points(self, points_TK2: np.ndarray) -> np.ndarray:
        """Return where pixels (..., 2) of the source are in the framed picture."""
        x, y, width, height = self.box
        scale = np.array((self.width / width, self.height / height), points_TK2.dtype)
        return (points_TK2 - np.array((x, y), points_TK2.dtype)) * scale

    def camera(self, camera: Camera) -> Camera:
        """Return a source camera as one that takes the framed picture.

        A camera's pixels are square: where the box is not quite of the wanted shape, its points
        and those of `points` differ by up to half a source pixel at the border.
        """
        x, y, width, height = self.box
        across, down = self.width / width, self.height / height
        return replace(
            camera,
            focal=camera.focal * (across + down) / 2,
            center=((camera.center[0] - x) * across, (camera.center[1] - y) * down),
            width=self.width,
            height=self.height,
        )


MIN_FRAMES = 2  # motion takes two
SLACK = 2  # frames by which a video and its pose may differ in length
POSE_CHUNK = 1000  # frames posed at a time
DISTANCE, REACH = 1.0, 0.25  # metres before a camera, and beside its middle, where it is compared
APART = 0.05  # share of the picture's larger side; cameras that differ more make one speak up


@dataclass(frozen=True, eq=False)
class PoseVideo:
    """One clip, or a stretch of one.

    Attributes:
        name: of the clip.
        video: the file.
        frames: how many, T, at 25 a second.
        points_TK2: (T, 144, 2) float32, the fitted body's points in pixels of the framed picture,
            NaN where missing.
        framing: how the video's pictures are cut and scaled.
        camera: that of the framed picture.
        begin: which of the file's frames is the first.
    """

    name: str
    video: Path
    frames: int
    points_TK2: np.ndarray
    framing: Framing
    camera: Camera
    begin: int = 0

    def __len__(self) -> int:
        return self.frames

    def part(self, begin: int, end: int) -> "PoseVideo":
        """Return frames [begin, end) as a clip of its own."""
        return replace(
            self,
            name=f"{self.name}[{begin}:{end}]",
            frames=end - begin,
            points_TK2=self.points_TK2[begin:end],
            begin=self.begin + begin,
        )


def load_pose_videos(
    dataset: Path, body: Body, *, width: int, height: int, names: Collection[str] = ()
) -> list[PoseVideo]:
    """Return a data set's clips in name order, or those of the names given, framed to a size.

    Raises:
        DataError: no clips, or none of a name; a clip without video, pose or camera, of another
            body, too short, or whose video and pose are not of one length and size; a size that
            cannot be.
    """
    clips = list_clips(dataset, names)
    return [load_pose_video(clip, body, width=width, height=height) for clip in clips]


def load_pose_video(clip: Clip, body: Body, *, width: int, height: int) -> PoseVideo:
    """Return one clip, framed to a size; raises `DataError` as `load_pose_videos` does."""
    for path in (clip.video, clip.pose):
        if not path.is_file():
            raise DataError(f"{clip.folder}: no {path.name} in it; picture and pose are needed")
    motion, info = read_motion(clip.pose), probe(clip.video)
    camera = _camera(clip, motion, info)
    if motion.body != body.name:
        seen = f"motion of the body {motion.body!r}"
        raise DataError(f"{clip.pose}: {seen}; --body with the file of that body is needed")
    frames = _frames(clip, len(motion), info)
    framing = Framing(info.width, info.height, width, height)
    camera = framing.camera(camera)
    points_TK2 = _points(motion, body, camera)[:frames]
    return PoseVideo(clip.folder.name, clip.video, frames, points_TK2, framing, camera)


def shared_camera(videos: Sequence[PoseVideo]) -> Camera:
    """Return the clip's camera that is nearest to the median of all, by where each sees a person.

    Writes one line on standard error where one differs much, since a person then stands elsewhere
    in pictures made with the shared camera than in that clip's own.
    """
    cameras = [video.camera for video in videos]
    seen_VK2 = np.stack([_seen(camera, cameras[0]) for camera in cameras])
    middle = int(_apart(seen_VK2, np.nanmedian(seen_VK2, 0)).argmin())
    apart_V = _apart(seen_VK2, seen_VK2[middle]) / max(cameras[0].width, cameras[0].height)
    if apart_V.max() > APART:
        share = f"{100 * apart_V.max():.0f} % of the picture"
        names = f"{videos[int(apart_V.argmax())].name} and {videos[middle].name}"
        print(f"cameras differ by {share}: {names}; the latter's is taken", file=sys.stderr)
    return cameras[middle]


def _seen(camera: Camera, first: Camera) -> np.ndarray:
    """Return where a camera sees (K, 2) the corners of a square that a first one has before it."""
    corners_K3 = torch.tensor([(x, y, DISTANCE) for x in (-REACH, REACH) for y in (-REACH, REACH)])
    world_K3 = (corners_K3 - torch.tensor(first.translation)) @ torch.tensor(first.rotation)
    return camera.project(world_K3).numpy()


def _apart(seen_VK2: np.ndarray, other_K2: np.ndarray) -> np.ndarray:
    """Return the most (V,) by which points seen differ, pixels; very much where one is not seen."""
    apart_VK = np.linalg.norm(seen_VK2 - other_K2, axis=-1)
    return np.nan_to_num(apart_VK, nan=1e6).max(1)


def _camera(clip: Clip, motion: Motion, info: VideoInfo) -> Camera:
    camera = motion.camera
    if camera is None:
        raise DataError(f"{clip.pose}: no camera in it; that of the video is needed")
    if (camera.width, camera.height) != (info.width, info.height):
        seen = f"a camera of {camera.width}x{camera.height}"
        raise DataError(
            f"{clip.pose}: {seen}, a video of {info.width}x{info.height}; one is needed"
        )
    return camera


def _frames(clip: Clip, poses: int, info: VideoInfo) -> int:
    pictures = poses if isnan(info.duration) else round(info.duration * FPS)
    if abs(pictures - poses) > SLACK:
        raise DataError(f"{clip.folder}: {pictures} pictures, {poses} poses; as many are needed")
    frames = min(pictures, poses)
    if frames < MIN_FRAMES:
        raise DataError(f"{clip.folder}: {frames} frames; at least {MIN_FRAMES} are needed")
    return frames


@torch.inference_mode()
def _points(motion: Motion, body: Body, camera: Camera) -> np.ndarray:
    pose_TP = motion.pose_vector(body)
    points = [camera.project(body.points(chunk)) for chunk in pose_TP.split(POSE_CHUNK)]
    return torch.cat(points).float().numpy()
