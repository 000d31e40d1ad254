"""Draw SMPL-X motion as a video with audio: the skeleton, or the shaded body.

python scripts/draw_pose.py --pose motion.npz --audio speech.wav --output results/motion.mp4
"""

from collections.abc import Iterator

import _checkout  # noqa: F401
import numpy as np
import torch
from torch import Tensor

from speech2video.data.clip import find_motion_and_audio
from speech2video.data.motion import Motion, cut_to_audio
from speech2video.data.motion_io import read_motion
from speech2video.options.tools import DrawPoseOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose, limit_report
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.errors import run_command
from speech2video.util.iteration import progress_bar
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.rendering.skeleton_maps import draw_map
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video


def main() -> None:
    options = DrawPoseOptions.parse()
    motion_path, clip_audio = find_motion_and_audio(options.pose)
    motion = read_motion(motion_path, fps=options.fps)
    body = Body.load(options.body)
    for part in motion.unsupported_parts(body):
        print(f"{part}: made for another body than the {body.name} one; left at rest")
    pose_TP = motion.pose_vector(body)
    print(limit_report(vector_to_smplx(pose_TP, body.hands).rotations))
    if options.audio:
        pose_TP = cut_to_audio(pose_TP, options.pose, options.audio)
    if options.clamp:
        pose_TP = clamp_pose(pose_TP, body.hands)
    frames = draw_frames(pose_TP, motion, body, options)
    frames = progress_bar(frames, total=len(pose_TP), name=options.output.name)
    count = write_video(options.output, frames, fps=FPS, audio=options.audio or clip_audio)
    print(f"{options.output}: {count} frames, {count / FPS:.2f} s")


@torch.inference_mode()
def draw_frames(
    pose_TP: Tensor, motion: Motion, body: Body, options: DrawPoseOptions
) -> Iterator[np.ndarray]:
    """Yield the frames (3, H, W) uint8 RGB of pose vectors (T, 106)."""
    points_TK3 = body.points(pose_TP)
    camera = motion.camera or Camera.framing(points_TK3, width=options.size, height=options.size)
    camera = camera.scaled_to(options.size)
    size = {"width": camera.width, "height": camera.height}
    if options.mesh:
        with MeshRenderer(body, camera) as renderer:
            yield from renderer.frames(pose_TP)
        return
    for points_K2 in camera.project(points_TK3).numpy():
        yield draw_map(points_K2, map_style=options.map_style, **size)


if __name__ == "__main__":
    run_command(main)
