"""The house stands: imports point down, options need no torch, nothing has a bare name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"options": 1, "util": 1, "data": 2, "models": 3, "scripts": 4}
SOURCES = sorted(
    path
    for room in (*FLOORS, "speech2video", "tests")
    for path in (ROOT / room).rglob("*.py")
    if "__pycache__" not in path.parts
) + sorted(ROOT.glob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the full names of the modules a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_and_have_one_name(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    floor = FLOORS.get(room, max(FLOORS.values()))
    for name in imported(path):
        assert not name.startswith("."), f"{name}: relative imports hide the room"
        first, *rest = name.split(".")
        assert first not in FLOORS or room == "tests", f"bare import of {name}"
        if first == "speech2video" and rest and rest[0] in FLOORS:
            assert FLOORS[rest[0]] <= floor, f"{room} (floor {floor}) imports {name}"


def test_options_import_no_torch() -> None:
    modules = [f"speech2video.options.{path.stem}" for path in (ROOT / "options").glob("*.py")]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_public_function_of_the_rooms_has_a_docstring() -> None:
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] not in ("options", "util", "data", "models"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                assert ast.get_docstring(node), f"{path.relative_to(ROOT)}: {node.name}"
