"""A wheel and a plain checkout, with and without symbolic links, hold one import name."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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
