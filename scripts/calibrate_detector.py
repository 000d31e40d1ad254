"""Measure MediaPipe's systematic errors on rendered speakers, whose points are known.

python scripts/calibrate_detector.py --strips datasets/calibration \\
    --output data/preprocessing/fitting/mediapipe_offsets.json

Shape, appearance and sentences of each speaker depend on a seed. Existing speakers are not rendered
again. Evaluate the table on recordings of other seeds: `make_demo_speaker.py`, `preprocess.py`,
`evaluate.py preprocess`.
"""

import json
from pathlib import Path

import _checkout  # noqa: F401
import numpy as np
import torch

from speech2video.data.keypoints import Keypoints, fill_gaps
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.preprocessing.detection.mediapipe_keypoints import detect_keypoints
from speech2video.data.preprocessing.fitting.calibration import CalibrationClip, calibrate
from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.data.synthetic.speaker.recording import (
    RecordingPlan,
    demo_camera,
    render_speaker,
)
from speech2video.options.tools import CalibrateDetectorOptions
from speech2video.util.body.body_model import NUM_BETAS, Body
from speech2video.util.errors import run_command
from speech2video.util.files import write_text
from speech2video.util.iteration import progress_bar
from speech2video.util.rendering.appearance import Appearance, scale_colour
from speech2video.util.text.synthesis import synthesise
from speech2video.util.timing import FPS

SKIPPED_FRAMES = 10  # at the beginning of a motion, all at rest
MAX_BETA = 1.5  # larger shape coefficients are clipped
SKIN_TONES, HAIR_TONES, TOP_COLOURS = (0.35, 1.0), (0.2, 1.6), (0.1, 0.8)


def main() -> None:
    options = CalibrateDetectorOptions.parse()
    seeds = range(options.seed, options.seed + options.speakers)
    bar = progress_bar(seeds, total=len(seeds), name="speakers")
    table = calibrate([calibration_clip(options, seed) for seed in bar])
    write_text(options.output, as_json(table))
    for name, measured in table["points"].items():
        print(f"{name:18} {measured['sigma_mm']:5.1f} mm remain  {measured['offset_mm']}")
    print(f"{options.output}: {len(table['points'])} points of {len(seeds)} speakers")


def calibration_clip(options: CalibrateDetectorOptions, seed: int) -> CalibrationClip:
    """Return one speaker's keypoints with their ground truth, rendered unless they exist."""
    folder = options.strips / f"{seed:04d}"
    if not (folder / "pose.npz").is_file():  # it is written last
        render(options, seed, folder)
    return CalibrationClip.of(
        Keypoints.load(folder / "keypoints.npz"), read_motion(folder / "pose.npz")
    )


def render(options: CalibrateDetectorOptions, seed: int, folder: Path) -> None:
    """Render a speaker and write the detected keypoints and the true motion."""
    random = np.random.default_rng(seed)
    shape = random.normal(0, options.shape_spread, NUM_BETAS).clip(-MAX_BETA, MAX_BETA)
    body = Body.load(betas=torch.from_numpy(shape))
    seconds = (options.frames + SKIPPED_FRAMES) / FPS + 1
    plan = RecordingPlan(seed % 100, seed, seconds, options.size)
    sentences, voice = plan.sentences_and_voice()
    speech = synthesise(" ".join(sentences), **voice._asdict())
    pose_TP = animate_speaker(speech, seed=seed, body=body).pose_TP[SKIPPED_FRAMES:]
    pose_TP, camera = pose_TP[: options.frames], demo_camera(options.size)
    appearance = random_appearance(random)
    frames = render_speaker(pose_TP, camera, size=options.size, appearance=appearance, body=body)
    size = {"width": options.size, "height": options.size, "fps": FPS}
    fill_gaps(detect_keypoints(frames, **size)).save(folder / "keypoints.npz")
    write_motion(folder / "pose.npz", motion_from_pose(pose_TP, body, camera=camera))


def random_appearance(random: np.random.Generator) -> Appearance:
    """Return random colours of skin, hair and clothes."""
    default, tone = Appearance(), random.uniform(*SKIN_TONES)
    return Appearance(
        skin=scale_colour(default.skin, tone),
        lips=scale_colour(default.lips, 0.4 + 0.6 * tone),
        hair=tuple(np.clip(scale_colour(default.hair, random.uniform(*HAIR_TONES)), 0, 1)),
        top=tuple(random.uniform(*TOP_COLOURS, 3)),
    )


def as_json(table: dict) -> str:
    """Return the table as json, with a line for each point and bone."""
    groups = []
    for group, rows in table.items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        groups.append(f" {json.dumps(group)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(groups) + "\n}\n"


if __name__ == "__main__":
    run_command(main)
