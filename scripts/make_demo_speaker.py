"""Record the demo speaker, a synthetic person: every pose, word and gesture is known.

python scripts/make_demo_speaker.py --output datasets/demo --minutes 4

datasets/demo/recordings/000.mp4, 000.txt    input of `preprocess`, like any person's recordings
datasets/demo/ground_truth/000/              a clip, as `preprocess` makes them, with exact
                                             pose.npz, words.csv and phones.csv; gestures.json,
                                             plan.json

A run that was stopped continues where it stopped, recording by recording.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import _checkout  # noqa: F401
import cv2
import torch
from tqdm import tqdm

from speech2video.data.synthetic.speaker.recording import (
    RecordingPlan,
    is_complete,
    make_recording,
)
from speech2video.options.tools import MakeDemoSpeakerOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import UserError, run_command
from speech2video.util.files import folder_lock
from speech2video.util.process_pool import Progress, run_tasks

EXTRAS = {"pyvista": "PyVista", "espeakng_loader": "espeak-ng"}
Make = Callable[..., int]  # make(folder, plan, body, progress), as `make_recording`


def main() -> None:
    options = MakeDemoSpeakerOptions.parse()
    check_extras("the demo speaker")
    plans = plan_recordings(options)
    with folder_lock(options.output):
        (options.output / "recordings").mkdir(exist_ok=True)
        make_missing(plans, options.output, make_recording, is_complete, options.jobs, "recordings")
    print(f"{options.output}: {len(plans)} recordings with their ground truth")


def check_extras(what: str) -> None:
    """Raise `UserError` where packages that only this command needs are not installed."""
    missing = [name for module, name in EXTRAS.items() if not importlib.util.find_spec(module)]
    if missing:
        names = " and ".join(missing)
        raise UserError(f"{what} needs {names}: pip install 'speech2video[demo]'")


def plan_recordings(options: MakeDemoSpeakerOptions) -> list[RecordingPlan]:
    """Return the recordings to make. More minutes make more of them, and the first stay the same.

    Together they last the given minutes, to within half a recording.
    """
    total = 60 * options.minutes
    seconds = min(options.seconds, total)
    count = max(1, round(total / seconds))
    same = options.seed, seconds, options.size, options.presenter
    return [RecordingPlan(number, *same) for number in range(count)]


def make_missing(
    plans: Sequence[Any],
    folder: Path,
    make: Make,
    is_complete: Callable[[Path, Any], bool],
    jobs: int,
    name: str,
) -> None:
    """Make what the plans describe and the folder lacks, `jobs` at a time, with a progress bar.

    One process renders one plan at a time on one core, so that the images do not depend on the
    number of jobs. If one fails, the others stop at their next frame and leave no partial files.
    """
    todo = [plan for plan in plans if not is_complete(folder, plan)]
    if len(todo) < len(plans):
        print(f"{folder}: {len(plans) - len(todo)} of {len(plans)} {name} are there")
    total = sum(plan.frames for plan in todo)
    with tqdm(total=total, desc=str(folder), unit="frame", dynamic_ncols=True) as bar:
        run_tasks(
            partial(start_worker, make, folder),
            todo,
            jobs=jobs,
            # The total is an estimate, which the bar keeps to.
            on_progress=lambda frames: bar.update(min(frames, total) - bar.n),
        )
        bar.update(total - bar.n)


def start_worker(make: Make, folder: Path) -> Callable[[Any, Progress], int]:
    """Prepare a worker process: one thread and a body; return the function that makes a plan."""
    os.environ["LP_NUM_THREADS"] = "1"  # of Mesa's software renderer
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    body = Body.load()
    return lambda plan, progress: make(folder, plan, body, progress)


if __name__ == "__main__":
    run_command(main)
