"""A wheel and a plain checkout hold one import name; lock files and installation."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import demo as demo_command
import install
import pytest

from speech2video.options.studio import TOKEN_VARIABLE, StudioOptions

ROOT = Path(__file__).parent.parent
LINKS = ("options", "util", "data", "models")
PACKAGED = (".py", ".csv", ".json", ".npz", ".txt")
IGNORED = ("venv", "build", "results", "site", "datasets", "__pycache__")


@pytest.fixture(params=[True, False], ids=["links", "no-links"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the checkout; Windows writes small files in the place of links."""
    ignore = shutil.ignore_patterns(".git", ".venv*", "*.egg-info", *IGNORED)
    copy = Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=ignore, symlinks=True))
    if not request.param:
        for name in LINKS:
            (copy / "speech2video" / name).unlink()
            (copy / "speech2video" / name).write_text(f"../{name}")
    return copy


@pytest.mark.slow
def test_wheel_has_one_top_level_name_and_works(checkout: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"speech2video"}
    for layer in LINKS:
        found = (ROOT / layer).rglob("*.*")
        sources = {str(path.relative_to(ROOT)) for path in found if path.suffix in PACKAGED}
        assert {f"speech2video/{path}" for path in sources} <= set(names)
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r});"
        "import speech2video.util.body.body_model as m;"
        f"assert m.__file__.startswith({str(site)!r}), m.__file__; m.Body.load();"
        "import speech2video.options.tools, speech2video.data.motion"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_plain_checkout_runs_scripts_without_installing(checkout: Path, tmp_path: Path) -> None:
    # -S would hide the dependencies too; a copy at another place shows which tree is imported
    command = [sys.executable, str(checkout / "scripts" / "draw_pose.py"), "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--pose" in result.stdout
    code = "import _checkout, speech2video.util.errors as m; print(m.__file__)"
    run = [sys.executable, "-c", code]
    cwd = checkout / "scripts"
    found = subprocess.run(run, cwd=cwd, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(checkout))


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, speech2video; sys.exit(bool({'torch', 'numpy', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


REPORT_OPENMP = """
import os, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"))
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(("folder", "module"), [(".", "test"), ("scripts", "benchmark")])
def test_commands_set_openmp_before_torch_is_imported(folder: str, module: str) -> None:
    command = [sys.executable, "-c", f"{REPORT_OPENMP}import {module}"]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    run = {"cwd": ROOT / folder, "capture_output": True, "text": True, "check": True}
    done = subprocess.run(command, env=environment, **run)
    assert done.stdout.split()[0] == "passive"


LOCKS = sorted((ROOT / "requirements").glob("py3*.txt"))
LOCK = """numpy==2.0 \\
    --hash=sha256:00
nvidia-nccl-cu13==2.1 ; sys_platform == 'linux' \\
    --hash=sha256:01
torch==2.14 \\
    --hash=sha256:02 \\
    --hash=sha256:03
torchmetrics==1.9 \\
    --hash=sha256:04
torchvision==0.29 \\
    --hash=sha256:05
triton==3.8 ; sys_platform == 'linux' \\
    --hash=sha256:06
"""


def test_every_supported_python_is_named_everywhere() -> None:
    minors = range(install.OLDEST[1], install.NEWEST[1] + 1)
    assert [path.stem for path in LOCKS] == [f"py3{minor}" for minor in minors]
    project, workflow = (ROOT / "pyproject.toml").read_text(), ROOT / ".github/workflows/ci.yml"
    assert f'requires-python = ">=3.{minors[0]}"' in project
    for minor in minors:
        assert f'"Programming Language :: Python :: 3.{minor}"' in project
        assert f"  3.{minor}\n" in workflow.read_text()
        assert f" 3.{minor}" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_lock_files_hold_hashes_and_one_opencv(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text())
    assert all(re.match(r"\S+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    names = {entry.split("==")[0] for entry in entries}
    # opencv-python and opencv-contrib-python, with and without -headless, own the same files
    assert {name for name in names if name.startswith("opencv")} == {"opencv-contrib-python"}
    minor = int(lock.stem.removeprefix("py3"))
    assert ("mediapipe" in names) == (minor < 13) and ("pocketsphinx" in names) == (minor < 14)


def test_another_torch_leaves_all_else_as_locked(tmp_path: Path) -> None:
    lock = tmp_path / "py311.txt"
    lock.write_text(LOCK)
    usual = install.commands(Path("python"), lock, backend="", scratch=tmp_path)
    assert all("--torch-backend" not in command for command in usual)
    assert [*usual[1][-2:], "--require-hashes" in usual[1]] == ["-r", str(lock), True]
    _, torch, others, _ = install.commands(Path("python"), lock, backend="cpu", scratch=tmp_path)
    assert torch[-2:] == ["torch==2.14", "torchvision==0.29"] and "--require-hashes" not in torch
    assert torch[torch.index("--torch-backend") + 1] == "cpu"
    left = tmp_path / "requirements.txt"
    assert str(left) in torch and str(left) in others and "--require-hashes" in others
    kept = [line for line in left.read_text().splitlines() if not line.startswith(" ")]
    assert kept == ["numpy==2.0 \\", "torchmetrics==1.9 \\"]
    assert LOCK.startswith(left.read_text()[: len("numpy==2.0 \\\n    --hash=sha256:00\n")])


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with this interpreter, that holds nothing of this project."""
    monkeypatch.setenv("VENV", str(tmp_path / "venv"))
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)
    monkeypatch.setattr(install, "make_environment", lambda venv: Path(sys.executable))
    (tmp_path / "venv").mkdir()
    return tmp_path / "venv"


def test_what_is_up_to_date_is_not_installed_again(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: called.append(command) or 0)
    for backend, expected in (("", 3), ("", 0), ("cpu", 4), ("cpu", 0), ("", 3)):
        monkeypatch.setenv("UV_TORCH_BACKEND", backend)
        called.clear()
        assert install.install() == Path(sys.executable)
        assert len(called) == expected


def test_a_failed_installation_is_one_line_and_begins_again(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.setattr(subprocess, "call", lambda command: 0)
    install.install()
    (empty / "installed.txt").write_text("another lock file")
    monkeypatch.setattr(subprocess, "call", lambda command: 1)
    with pytest.raises(SystemExit) as stop:
        install.main()
    assert stop.value.code == 2 and not (empty / "installed.txt").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ") and "the same command tries again" in line


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 15, 0)])
def test_another_python_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as stop:
        install.make_environment(tmp_path / "venv")
    assert stop.value.code == 2 and not (tmp_path / "venv").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert "Python 3.10 to 3.14 is needed" in line


@pytest.mark.slow
def test_an_environment_that_lost_its_pip_gets_it_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = install.make_environment(tmp_path / "venv")
    assert subprocess.call([python, "-c", "import pip"]) == 0
    assert install.make_environment(tmp_path / "venv") == python


def docker_steps() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments."""
    text = re.sub(r"^#.*\n|\\\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    return [
        (word, rest.strip())
        for word, _, rest in (s.partition(" ") for s in text.splitlines())
        if word
    ]


def docker_environment() -> dict[str, str]:
    """Return the variables that the Dockerfile sets."""
    pairs = [pair for word, rest in docker_steps() if word == "ENV" for pair in rest.split()]
    return dict(pair.split("=") for pair in pairs)


def ignored_by_docker(path: str) -> bool:
    """Return whether .dockerignore leaves a file out; the last line that fits decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        starts = range(len(parts)) if "**/" in line else [0]
        length = pattern.count("/") + 1
        if any(fnmatch.fnmatch("/".join(parts[k : k + length]), pattern) for k in starts):
            ignored = not line.startswith("!")
    return ignored


def test_the_container_is_installed_by_the_script_of_ci() -> None:
    steps = docker_steps()
    runs = [rest for word, rest in steps if word == "RUN"]
    assert "python scripts/install.py" in runs
    chain = {".ci/run": "scripts/run_tests.sh", "scripts/run_tests.sh": "scripts/install.sh"}
    chain |= {"scripts/install.sh": "install.py"}
    assert all(called in (ROOT / caller).read_text() for caller, called in chain.items())
    (base,) = [rest for word, rest in steps if word == "FROM"]
    minor = int(re.match(r"python:3\.(\d+)-slim", base)[1])  # type: ignore[index]
    assert install.OLDEST[1] <= minor <= install.NEWEST[1]
    environment = docker_environment()
    python = f"{environment['VENV']}/bin/python"
    assert install.ROOT / environment["VENV"] == Path(environment["VENV"])
    words = [word for word, _ in steps]
    assert words.index("USER") < words.index("ENTRYPOINT") and ("USER", "root") not in steps
    (entry,) = [json.loads(rest) for word, rest in steps if word == "ENTRYPOINT"]
    assert entry[0] == python and entry[1] == "scripts/studio.py"


def test_the_container_s_command_and_files_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = docker_steps()
    environment = docker_environment()
    (entry,) = [json.loads(rest) for word, rest in steps if word == "ENTRYPOINT"]
    monkeypatch.setenv(TOKEN_VARIABLE, environment[TOKEN_VARIABLE])
    monkeypatch.chdir(ROOT)
    options = StudioOptions.parse(entry[2:])
    assert (options.host, options.token) == ("0.0.0.0", "auto")
    assert ("EXPOSE", str(options.port)) in steps
    (volumes,) = [json.loads(rest) for word, rest in steps if word == "VOLUME"]
    (home,) = [Path(rest) for word, rest in steps if word == "WORKDIR"]
    for folder in (options.checkpoints, options.output):
        assert any((home / folder).is_relative_to(volume) for volume in volumes)
    needed = ["scripts/install.py", "pyproject.toml", "setup.py", "README.md", "LICENSE"]
    needed += ["requirements/uv.txt", "checkpoints/demo/pose2video/engine.xml", entry[1]]
    needed += ["speech2video/__init__.py", "studio/static/index.html", "data/synthetic/__init__.py"]
    assert not [path for path in needed if ignored_by_docker(path)]
    assert all((ROOT / path).is_file() for path in needed)
    left_out = [".git/config", ".venv/bin/python", "results/a.mp4", "datasets/a/b", "tests/demo.py"]
    left_out += ["checkpoints/anna/pose2video/model.safetensors", "util/__pycache__/x.pyc"]
    assert all(map(ignored_by_docker, left_out))


@pytest.mark.parametrize("given", [[], ["my speech.wav", "--seed", "1"]])
def test_the_demo_speaks_the_example_or_the_given_audio(
    monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["demo.py", *given])
    monkeypatch.setattr(demo_command, "install", lambda: Path("venv/python"))
    monkeypatch.setattr(subprocess, "call", lambda command, cwd: called.append(command) or 3)
    with pytest.raises(SystemExit) as stop:
        demo_command.main()
    assert stop.value.code == 3
    start = [str(Path("venv/python")), "test.py", "--name", "demo", "--audio"]
    assert called == [[*start, *(given or demo_command.EXAMPLE)]]
    assert all((ROOT / part).is_file() for part in demo_command.EXAMPLE if "/" in part)


def test_what_takes_long_to_import_is_not_imported_for_a_video() -> None:
    slow = {"torch._dynamo", "scipy.signal", "scipy.optimize"}
    code = (
        "import sys, speech2video; speech2video.load_speaker('demo'); "
        f"print(*{slow} & set(sys.modules))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout == "\n"


def test_torch_compiler_is_whole_after_the_import_of_roma() -> None:
    code = (
        "import speech2video.util.body.rotations, torch; "
        "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item())"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout == "2.0\n"
