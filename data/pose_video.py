"""Clips of picture and pose: where each body point is in each framed picture."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import numpy as np
import torch

from speech2video.data.clip import Clip, clips_of
from speech2video.data.framing import Framing
from speech2video.data.motion import FPS, Motion
from speech2video.data.motion_file import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.camera import Camera
from speech2video.util.errors import DataError
from speech2video.util.video_reader import VideoInfo, probe

LEAST_FRAMES = 2  # motion takes two
SLACK = 2  # frames by which a video and its pose may differ in length
CHUNK = 1000  # frames posed at a time
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
    clips = clips_of(dataset, names)
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
    if frames < LEAST_FRAMES:
        raise DataError(f"{clip.folder}: {frames} frames; at least {LEAST_FRAMES} are needed")
    return frames


@torch.inference_mode()
def _points(motion: Motion, body: Body, camera: Camera) -> np.ndarray:
    pose_TP = motion.pose_vector(body)
    points = [camera.project(body.points(chunk)) for chunk in pose_TP.split(CHUNK)]
    return torch.cat(points).float().numpy()
