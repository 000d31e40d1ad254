"""Commands and code of README and docs: all are parsed by the real commands, quick ones are run."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import speech2video
from speech2video.options.base import Options
from speech2video.util.audio.audio_io import write_audio
from tests.shared import ROOT, run_here
from tests.tiny_speaker import NAME, voice

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PARSED = [page for page in PAGES if page.name != "extending.md"]  # tests/test_extending.py runs it
INSTALLING = ("scripts/demo.py", "scripts/install.py")  # have no options: tests/test_packaging.py
RUN_HERE = ("README.md", "speech2face.md", "pose2video.md", "preprocessing.md")
STUB = """
record() { "$RECORDER" -c 'import json, os, sys
more = {k: os.environ[k] for k in ("PREPROCESS", "POSE", "VIDEO") if k in os.environ}
print(json.dumps([sys.argv[1:], more]))' "$@"; }
python() { record python "$@"; }
bash() { record bash "$@"; }
torchrun() { record torchrun "$@"; }
pip() { :; }
"""


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Return each command of a page's shell blocks as the shell splits it, with its variables."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    done = subprocess.run(
        [
            shutil.which("bash") or "bash",
            "-c",
            STUB + "\n".join(line for line in lines if not line.startswith(".venv/")),
        ],
        env={"PATH": os.environ["PATH"], "RECORDER": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


COMMANDS = [
    pytest.param(line, variables, id=f"{page.stem}-{' '.join(line)[:90]}")
    for page in PARSED
    for line, variables in commands(page)
]


class Parsed(Exception):
    """The options were accepted."""


def script_main(path: Path) -> Any:
    """Return the `main` of a command's file."""
    spec = importlib.util.spec_from_file_location(f"command_{path.stem}", path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """End commands as soon as their options are parsed and checked."""
    parse = Options.parse.__func__

    def stop(cls: type[Options], arguments: Any = None) -> None:
        parse(cls, arguments)
        raise Parsed

    monkeypatch.setattr(Options, "parse", classmethod(stop))


def assert_accepted(monkeypatch: pytest.MonkeyPatch, script: str, arguments: list[str]) -> None:
    path = ROOT / script
    assert path.is_file(), f"{script}: no such command"
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(Parsed):
        script_main(path)()


@pytest.mark.parametrize(("line", "variables"), COMMANDS)
@pytest.mark.usefixtures("parse_only")
def test_options_of_every_command_are_accepted(
    line: list[str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *arguments = line
    if program == "torchrun":
        arguments = arguments[arguments.index("--nproc_per_node") + 2 :]
    if program == "bash":
        script = (ROOT / arguments[0]).read_text()
        trainers = {"POSE": "train_audio2pose.py", "VIDEO": "train_pose2video.py"}
        for variable, options in variables.items():
            assert variable in script
            if variable in trainers:
                given = ["--dataset", "d", "--name", "n", *shlex.split(options)]
                assert_accepted(monkeypatch, trainers[variable], given)
    elif arguments[0] in INSTALLING:
        assert (ROOT / arguments[0]).is_file()
    elif arguments[0].endswith(".py"):
        assert_accepted(monkeypatch, arguments[0], arguments[1:])
    else:
        assert arguments[0] == "-c"


@pytest.fixture(scope="module")
def workplace(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name; the tiny speaker plays the shipped one."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "checkpoints").mkdir()
    for name in ("demo", "anna"):
        (folder / "checkpoints" / name).symlink_to(checkpoints / NAME)
    (folder / "checkpoints" / "demo_face").symlink_to(ROOT / "checkpoints" / "demo_face")
    (folder / "examples").symlink_to(ROOT / "examples")
    write_audio(folder / "speech.wav", voice(1.0))
    (folder / "speeches.txt").write_text("speech.wav\n")
    return folder


QUICK = [
    pytest.param(line, id=" ".join(line)[:90])
    for page in PAGES
    if page.name in RUN_HERE
    for line, _ in commands(page)
    if line[:2] == ["python", "test.py"] and not {"NAME", "KEYPOINTS_DIR"} & set(line)
]


@pytest.mark.parametrize("line", QUICK)
def test_commands_for_the_demo_speaker_run(
    line: list[str], workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--text" in line or "--transcript" in line:
        pytest.importorskip("espeakng_loader")
        pytest.importorskip("pocketsphinx")
    monkeypatch.chdir(workplace)
    if "--pose" in line:
        first = ("--name", "demo", "--audio", "speech.wav", "--save_pose", "motion.npz")
        assert run_here(monkeypatch, script_main(ROOT / "test.py"), *first) == 0
    if "--background" in line:  # the tiny speaker's renderer has no alpha
        shutil.copyfile(ROOT / "docs/images/demo_face.jpg", "office.jpg")
        line = [*line, "--checkpoints", str(ROOT / "checkpoints")]
    if "--transcript" in line:  # the words have to be those of the recording
        line = [*line, "--audio", "examples/speech.wav"]
        line[line.index("--transcript") + 1] = (ROOT / "examples/speech.txt").read_text()
    status = run_here(
        monkeypatch, script_main(ROOT / "test.py"), *line[2:], "--device", "cpu", "--threads", "1"
    )
    assert status == 0


def test_python_of_the_readme_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    chunks = np.array_split(voice(1.0), 7)
    names: dict[str, Any] = {"audio_chunks": chunks}
    for block in blocks(ROOT / "README.md", "python"):
        exec(block, names)
    assert Path("speech.mp4").stat().st_size > 1000
    assert names["frame"].shape[-1] == 3 and names["frame"].dtype == np.uint8
    assert speech2video.__version__


def test_every_row_of_the_formats_names_a_test() -> None:
    rows = [
        line
        for line in (ROOT / "docs/formats.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| Input", "| Output", "| Case"))
    ]
    assert len(rows) > 80
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split(" | ")[-1])
        assert named, row
        for path, test in named:
            assert f"\ndef {test}(" in (ROOT / path).read_text(), f"{path}::{test}"
