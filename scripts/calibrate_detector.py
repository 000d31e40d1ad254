"""Measure where MediaPipe sees the body's points beside where they are, on rendered speakers.

python scripts/calibrate_detector.py --strips datasets/calibration \\
    --output data/preprocessing/mediapipe_offsets.json

Each speaker has a shape, a look and sentences of their own, drawn by a seed, and goes through the
same detection as any recording. Speakers that are there already are not made again. Judge the table
on recordings of other seeds: `make_demo_speaker.py`, `preprocess.py`, `evaluate.py preprocess`.
"""

import json
from pathlib import Path

import _checkout  # noqa: F401
import numpy as np
import torch

from speech2video.data.keypoints import Keypoints, fill_gaps
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.preprocessing.detection.calibration import CalibrationClip, calibrate
from speech2video.data.preprocessing.detection.mediapipe_keypoints import detect_keypoints
from speech2video.data.synthetic.speaker.motion import animate_speaker
from speech2video.data.synthetic.speaker.recording import (
    RecordingPlan,
    demo_camera,
    render_speaker,
    script_and_voice,
)
from speech2video.options.tools import CalibrateDetectorOptions
from speech2video.util.body.body_model import NUM_BETAS, Body
from speech2video.util.errors import run_command
from speech2video.util.files import atomic_write
from speech2video.util.iteration import progress_bar
from speech2video.util.rendering.appearance import Appearance, scale_colour
from speech2video.util.text.synthesis import synthesise
from speech2video.util.timing import FPS

SKIPPED = 10  # frames at a motion's beginning, all at rest
LARGEST_SHAPE = 1.5  # coefficients beyond are cut
SKIN_TONES, HAIR_TONES, TOP_COLOURS = (0.35, 1.0), (0.2, 1.6), (0.1, 0.8)


def main() -> None:
    options = CalibrateDetectorOptions.parse()
    seeds = range(options.seed, options.seed + options.speakers)
    strips = [
        speaker(options, seed) for seed in progress_bar(seeds, total=len(seeds), name="speakers")
    ]
    table = calibrate(strips)
    with atomic_write(options.output) as partial:
        partial.write_text(as_json(table), encoding="utf-8")
    for name, measured in table["points"].items():
        print(f"{name:18} {measured['sigma_mm']:5.1f} mm left  {measured['offset_mm']}")
    print(f"{options.output}: {len(table['points'])} points of {len(strips)} speakers")


def speaker(options: CalibrateDetectorOptions, seed: int) -> CalibrationClip:
    """Return what is seen of one speaker beside the truth, made or found in the strips' folder."""
    folder = options.strips / f"{seed:04d}"
    if not (folder / "pose.npz").is_file():  # it is written last
        film(options, seed, folder)
    return CalibrationClip.of(
        Keypoints.load(folder / "keypoints.npz"), read_motion(folder / "pose.npz")
    )


def film(options: CalibrateDetectorOptions, seed: int, folder: Path) -> None:
    """Render a speaker and write what is seen of them, and the truth."""
    chance = np.random.default_rng(seed)
    shape = chance.normal(0, options.shape_spread, NUM_BETAS).clip(-LARGEST_SHAPE, LARGEST_SHAPE)
    body = Body.load(betas=torch.from_numpy(shape))
    seconds = (options.frames + SKIPPED) / FPS + 1
    sentences, voice = script_and_voice(RecordingPlan(seed % 100, seed, seconds, options.size))
    speech = synthesise(" ".join(sentences), **voice._asdict())
    motion = animate_speaker(speech, seed=seed, body=body).pose_TP[
        SKIPPED : SKIPPED + options.frames
    ]
    camera = demo_camera(options.size)
    frames = render_speaker(
        motion, camera, size=options.size, appearance=some_look(chance), body=body
    )
    size = {"width": options.size, "height": options.size, "fps": FPS}
    fill_gaps(detect_keypoints(frames, **size)).save(folder / "keypoints.npz")
    write_motion(folder / "pose.npz", motion_from_pose(motion, body, camera=camera))


def some_look(chance: np.random.Generator) -> Appearance:
    """Return skin, hair and clothes of some colours."""
    usual, tone = Appearance(), chance.uniform(*SKIN_TONES)
    return Appearance(
        skin=scale_colour(usual.skin, tone),
        lips=scale_colour(usual.lips, 0.4 + 0.6 * tone),
        hair=tuple(np.clip(scale_colour(usual.hair, chance.uniform(*HAIR_TONES)), 0, 1)),
        top=tuple(chance.uniform(*TOP_COLOURS, 3)),
    )


def as_json(table: dict) -> str:
    """Return the table as json, a line for each point and bone."""
    groups = []
    for group, rows in table.items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        groups.append(f" {json.dumps(group)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(groups) + "\n}\n"


if __name__ == "__main__":
    run_command(main)
