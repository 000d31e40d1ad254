"""Convert a motion file for other programs, by the ending of the output.

python scripts/convert_motion.py --motion motion.npz --output motion.glb

  .npz         SMPL-X parameters        .bvh    skeleton, for any animation program
  .glb .gltf   the skinned open body    .csv    ARKit's face coefficients
"""

import _checkout  # noqa: F401

from speech2video.data.clip import find_motion_and_audio
from speech2video.data.motion_export import check_motion_path, write_motion_as
from speech2video.data.motion_io import read_motion
from speech2video.options.tools import ConvertMotionOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import note, run_command
from speech2video.util.timing import FPS


def main() -> None:
    options = ConvertMotionOptions.parse()
    path, _ = find_motion_and_audio(options.motion)
    body = Body.load(options.body)
    check_motion_path(options.output, body)
    motion = read_motion(path, fps=options.fps)
    for part in write_motion_as(options.output, motion, body):
        note(f"{path}: {part} of another body than the {body.name} one; left at rest")
    print(f"{options.output}: {len(motion)} frames, {len(motion) / FPS:.2f} s")


if __name__ == "__main__":
    run_command(main)
