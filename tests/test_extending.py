"""The worked examples of docs/extending.md, applied to a copy of the code and run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from tests.shared import ROOT
from tests.speech_clips import write_speech_clips
from tests.tiny_speaker import voice
from tests.video_clips import write_moving_clip

PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
BLOCKS = [match.groups() for match in BLOCK.finditer(PAGE)]
COMMANDS = [
    line for kind, _, text in BLOCKS if kind == "bash" for line in text.splitlines() if line
]
TRAINER = ("--steps", "2", "--batch_size", "2", "--device", "cpu", "--workers", "0")
SMALL = {  # what makes a documented command short
    "train_pose2video.py": (
        *("--width", "64", "--height", "64", "--seq_len", "2", "--max_seq_len", "2"),
        *("--discriminators", "none", "--held_out", "b", "--validate_frames", "2", *TRAINER),
    ),
    "train_audio2pose.py": (
        *("--hidden_size", "8", "--layers", "1", "--seq_len", "16", "--held_out", "001"),
        *("--num_augmentations", "1", *TRAINER),
    ),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    """A copy of the code with all examples applied, and the data that they name."""
    folder = tmp_path_factory.mktemp("extending") / "checkout"
    ignore = shutil.ignore_patterns(".*", "*.egg-info", "checkpoints", "datasets", "results")
    shutil.copytree(ROOT, folder, ignore=ignore, symlinks=True)
    for kind, title, text in BLOCKS:
        if kind == "diff":
            apply = ["git", "apply", "--recount", "-"]
            subprocess.run(apply, input=text, text=True, cwd=folder, check=True)
        elif kind == "python":
            (folder / title).write_text(text)
    for seed, name in enumerate("ab"):
        write_moving_clip(folder / "video_clips" / name, body, frames=16, seed=seed)
    angles = np.random.default_rng(0).normal(0, 2, (60, 165))
    table = np.concatenate([angles, np.tile([0.0, 100.0, 0.0], (60, 1))], 1)
    np.savetxt(folder / "motion.csv", table, delimiter=",")
    write_audio(folder / "motion.wav", voice(2.0))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_examples_run(line: str, checkout: Path, body: Body) -> None:
    _, script, *arguments = shlex.split(line)
    if script == "train_audio2pose.py":
        pytest.importorskip("espeakng_loader")
        if not (checkout / "speech_clips").is_dir():
            write_speech_clips(checkout / "speech_clips", body)
    if script in SMALL:
        clips = "speech_clips" if "audio2pose" in script else "video_clips"
        arguments[arguments.index("datasets/NAME")] = clips
        arguments[arguments.index("NAME")] = f"run_{COMMANDS.index(line)}"
        arguments += SMALL[script]
    environment = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "HOME": str(checkout)}
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_example_has_a_command() -> None:
    scripts = {shlex.split(line)[1] for line in COMMANDS}
    assert scripts == {*SMALL, "import_csv.py", "scripts/import_motion.py"}
