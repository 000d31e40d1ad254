"""Clips of video and pose: image crops, and where the body's points lie in them."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import cv2
import numpy as np
import torch

from speech2video.data.clip import Clip, list_clips
from speech2video.data.motion_io import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera
from speech2video.util.timing import FPS
from speech2video.util.video.reader import VideoInfo, probe

SIZE_MULTIPLE = 4  # pixels; generators need larger multiples and check those themselves
MIN_FRAMES = 2
MAX_LENGTH_DIFFERENCE = 2  # frames between a video and its pose
POSE_CHUNK = 1000  # frames posed at once
COMPARED_DEPTH, COMPARED_EXTENT = 1.0, 0.25  # metres: the square on which cameras are compared
MAX_CAMERA_DIFFERENCE = 0.05  # share of the larger image side, above which a warning is printed

Box = tuple[int, int, int, int]  # x, y, width, height in pixels


@dataclass(frozen=True)
class Framing:
    """A centred crop of the target's aspect ratio, as large as possible, resized to the target.

    The crop has whole pixels, so its aspect ratio is met to within one of them.

    Raises:
        DataError: a size that is not a positive multiple of 4.
    """

    source_width: int  # pixels of the input image
    source_height: int
    width: int  # pixels of the output image
    height: int

    def __post_init__(self) -> None:
        """Check the size."""
        width, height = self.width, self.height
        if min(width, height) < 1 or width % SIZE_MULTIPLE or height % SIZE_MULTIPLE:
            needed = f"positive multiples of {SIZE_MULTIPLE} are needed"
            raise DataError(f"images of {width}x{height}; {needed}")

    @property
    def box(self) -> Box:
        """The crop of the source: x, y, width, height in pixels."""
        scale = min(self.source_width / self.width, self.source_height / self.height)
        width, height = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        return (self.source_width - width) // 2, (self.source_height - height) // 2, width, height

    def image(self, rgb_HW3: np.ndarray) -> np.ndarray:
        """Return a source image (H, W, 3) uint8 as (height, width, 3).

        Downscaling averages over areas, upscaling interpolates cubically.
        """
        x, y, width, height = self.box
        cropped = rgb_HW3[y : y + height, x : x + width]
        if (width, height) == (self.width, self.height):
            return np.ascontiguousarray(cropped)
        method = cv2.INTER_AREA if width > self.width else cv2.INTER_CUBIC
        return cv2.resize(cropped, (self.width, self.height), interpolation=method)

    def camera(self, camera: Camera) -> Camera:
        """Return the camera of the output image, given that of the source.

        A camera's pixels are square. Where the crop is not quite of the target's aspect ratio, its
        points are up to half a source pixel off at the border.
        """
        x, y, width, height = self.box
        scale_x, scale_y = self.width / width, self.height / height
        return replace(
            camera,
            focal=camera.focal * (scale_x + scale_y) / 2,
            center=((camera.center[0] - x) * scale_x, (camera.center[1] - y) * scale_y),
            width=self.width,
            height=self.height,
        )


def points_in_box(points_TK2: np.ndarray, box: Box, *, width: int, height: int) -> np.ndarray:
    """Return pixels (..., 2) of an image in pixels of its `box`, resized to width and height."""
    x, y, box_width, box_height = box
    scale = np.array((width / box_width, height / box_height), points_TK2.dtype)
    return (points_TK2 - np.array((x, y), points_TK2.dtype)) * scale


@dataclass(frozen=True, eq=False)
class PoseVideo:
    """A clip, or a part of one, with the body's points in each of T cropped frames."""

    name: str  # of the clip
    video: Path  # the file
    points_TK2: np.ndarray  # (T, 144, 2) float32, pixels of the cropped frame, NaN where missing
    framing: Framing  # how the video's frames are cropped and resized
    camera: Camera  # of the cropped frame
    begin: int = 0  # index of the first frame in the file
    betas: tuple[float, ...] = ()  # the person's shape, of which the points are
    bad_T: np.ndarray | None = None  # (T,) bool, frames unfit for training; None where none is

    def __len__(self) -> int:
        return len(self.points_TK2)

    def part(self, begin: int, end: int) -> "PoseVideo":
        """Return frames [begin, end) as a clip."""
        return replace(
            self,
            name=f"{self.name}[{begin}:{end}]",
            points_TK2=self.points_TK2[begin:end],
            begin=self.begin + begin,
            bad_T=None if self.bad_T is None else self.bad_T[begin:end],
        )


def load_pose_videos(
    dataset: Path, body: Body, *, width: int, height: int, names: Collection[str] = ()
) -> list[PoseVideo]:
    """Return a dataset's clips in name order, all or those named, cropped to a size.

    Raises:
        DataError: no clips, or none of a name; a clip without video, pose or camera, of another
            body, too short, or whose video and pose differ in length or size; an invalid size.
    """
    clips = list_clips(dataset, names)
    return [load_pose_video(clip, body, width=width, height=height) for clip in clips]


def load_pose_video(clip: Clip, body: Body, *, width: int, height: int) -> PoseVideo:
    """Return one clip, cropped to a size; raises `DataError` as `load_pose_videos` does."""
    for path in (clip.video, clip.pose):
        if not path.is_file():
            raise DataError(f"{clip.folder}: no {path.name} in it; video and pose are needed")
    motion, info = read_motion(clip.pose), probe(clip.video)
    camera = motion.camera
    if camera is None:
        raise DataError(f"{clip.pose}: no camera in it; that of the video is needed")
    if (camera.width, camera.height) != (info.width, info.height):
        sizes = f"{camera.width}x{camera.height}, a video of {info.width}x{info.height}"
        raise DataError(f"{clip.pose}: a camera of {sizes}; the same size is needed")
    if motion.body != body.name:
        found = f"motion of the body {motion.body!r}"
        raise DataError(f"{clip.pose}: {found}; --body with the file of that body is needed")
    frames = _count_frames(clip, len(motion), info)
    framing = Framing(info.width, info.height, width, height)
    camera = framing.camera(camera)
    with torch.inference_mode():
        shaped = body.with_shape(motion.betas.tolist())
        chunks = motion.pose_vector(body).split(POSE_CHUNK)
        points_TK2 = torch.cat([camera.project(shaped.points(chunk)) for chunk in chunks])
    points_TK2 = points_TK2.float().numpy()[:frames]
    bad_T = clip.bad_mask(frames)
    betas = tuple(shaped.betas.tolist())
    found = clip.folder.name, clip.video, points_TK2, framing, camera
    return PoseVideo(*found, bad_T=bad_T, betas=betas)


def shared_shape(videos: Sequence[PoseVideo]) -> tuple[float, ...]:
    """Return the mean shape of the person over all clips, each of which was fitted by itself."""
    return tuple(np.mean([video.betas for video in videos], 0).round(4).tolist())


def shared_camera(videos: Sequence[PoseVideo]) -> Camera:
    """Return the clip's camera that is nearest to the median of all clips' cameras.

    Cameras are compared by the pixels of a square before the first one. A warning on stderr names
    a clip whose camera differs much: its speaker stands elsewhere in the shared camera's image.
    """
    cameras = [video.camera for video in videos]
    first = cameras[0]
    extent = (-COMPARED_EXTENT, COMPARED_EXTENT)
    square_K3 = torch.tensor([(x, y, COMPARED_DEPTH) for x in extent for y in extent])
    world_K3 = (square_K3 - torch.tensor(first.translation)) @ torch.tensor(first.rotation)
    corners_VK2 = np.stack([camera.project(world_K3).numpy() for camera in cameras])
    central = int(_largest_distance(corners_VK2, np.nanmedian(corners_VK2, 0)).argmin())
    larger_side = max(first.width, first.height)
    distance_V = _largest_distance(corners_VK2, corners_VK2[central]) / larger_side
    if distance_V.max() > MAX_CAMERA_DIFFERENCE:
        share = f"{100 * distance_V.max():.0f} % of the image"
        names = f"{videos[int(distance_V.argmax())].name} and {videos[central].name}"
        print(f"cameras differ by {share}: {names}; the latter's is taken", file=sys.stderr)
    return cameras[central]


def _largest_distance(corners_VK2: np.ndarray, other_K2: np.ndarray) -> np.ndarray:
    """Return the largest distance (V,) of corresponding points, pixels; 1e6 where one is NaN."""
    distance_VK = np.linalg.norm(corners_VK2 - other_K2, axis=-1)
    return np.nan_to_num(distance_VK, nan=1e6).max(1)


def _count_frames(clip: Clip, poses: int, info: VideoInfo) -> int:
    frames = poses if isnan(info.duration) else round(info.duration * FPS)
    if abs(frames - poses) > MAX_LENGTH_DIFFERENCE:
        raise DataError(f"{clip.folder}: {frames} frames, {poses} poses; as many are needed")
    if (count := min(frames, poses)) < MIN_FRAMES:
        raise DataError(f"{clip.folder}: {count} frames; at least {MIN_FRAMES} are needed")
    return count
