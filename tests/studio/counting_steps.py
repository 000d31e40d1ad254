"""Trainings whose commands count: a line for each number, so that resuming can be checked."""

import io
import sys
from pathlib import Path

from speech2video.studio import trainings as trainings_module
from speech2video.studio.trainings import Place, Step, Training, Trainings

COUNT = 40
# counts on from what a file has, a line each time, until it ends or is stopped
COUNTER = """
import os, sys, time
assert "SPEECH2VIDEO_TOKEN" not in os.environ
path, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
print(f"note: {path}", file=sys.stderr)
with open(path, "a+") as file:
    file.seek(0)
    done = len(file.read().split())
    for number in range(done, count):
        file.write(f"{number} {os.getpid()}\\n".replace(" ", "/"))
        file.flush()
        sys.stderr.write(f"\\rname: 1%|#  | {number + 1}/{count} [00:01<00:02, 3step/s]")
        sys.stderr.flush()
        time.sleep(pause)
"""
FAIL = "import sys; print('error: recordings/recording_001.mp4: ' + sys.argv[1]); sys.exit(2)"


def counting_steps(training: Training, place: Place) -> list[Step]:
    """Return steps that count; names of speakers say what fails."""
    python = sys.executable
    numbers = str(place.folder / "numbers.txt")
    pause = "0.05" if training.steps == COUNT else "0"

    def clips() -> list[list[str]]:
        assert all(path.is_file() for path in place.recordings.iterdir())
        place.dataset.mkdir(exist_ok=True)
        (place.dataset / "report.html").write_text(f"<h1>{training.name}</h1>")
        return [[python, "-c", FAIL, "not a video"]] if "noted" in training.name else []

    def motion() -> list[list[str]]:
        fails = [[python, "-c", FAIL, "broken"]] if "fails" in training.name else []
        return [*fails, [python, "-c", COUNTER, numbers, str(COUNT), pause]]

    def install() -> None:
        (place.checkpoints / training.name / "audio2pose").mkdir(parents=True)

    return [
        Step("clips", "Preprocessing", clips, passable=lambda _: True),
        Step("motion", "Speech to pose", motion),
        Step("speaker", "Export", lambda: [], finish=install),
    ]


def counting_trainings(folder: Path) -> Trainings:
    """Return trainings with commands that count, in a process of their own."""
    trainings_module.training_steps = counting_steps
    trainings_module.training_problem = lambda: None
    return Trainings(folder / "trainings", checkpoints=folder / "checkpoints")


def recording() -> list[tuple[str, io.BytesIO]]:
    """Return an upload."""
    return [("talk.mp4", io.BytesIO(b"1"))]
