"""Layers, import cycles, docstrings and vocabulary of the whole code base."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {"options": 1, "util": 1, "data": 2, "models": 3, "studio": 4, "scripts": 5}
PRODUCT = sorted(
    [path for layer in (*LAYERS, "speech2video") for path in (ROOT / layer).rglob("*.py")]
    + list(ROOT.glob("*.py"))
)
SOURCES = PRODUCT + sorted((ROOT / "tests").rglob("*.py"))
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("util/*/*.md")])

# Words that the field does not use, or that had several meanings here (docs/architecture.md).
RETIRED = re.compile(
    r"\b(paint\w*|hear|hears|heard|hearing|feel|feels|felt|feelings?|look|looks|looked|looking|"
    r"judge\w*|judging|opinions?|adversary|adversaries|figures|(?<!ground )truths?|pictures?|"
    r"pictured|sounds?|still|stills|movers?|throats?|tells?|told|telling|begin with|bench|recipes?|"
    r"besides?|somebody|nobody|anybody|everybody|whoever|whom|onlookers?|wish|wishes|adornments?|"
    r"moods?|descent|houses?|floors|(?<!os )(?<!ast )walks?|walked)\b",
    re.IGNORECASE,
)
ALLOWED = re.compile(r"look[ -]?ahead|eye ?look|gradient descent", re.IGNORECASE)


def module_name(path: Path) -> str:
    """Return the name that a product file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    if parts[0] == "scripts":
        return ".".join(parts[1:])
    prefix = ("speech2video",) if parts[0] in LAYERS else ()
    return ".".join(prefix + parts)


def imported(tree: ast.AST) -> set[str]:
    """Return the full names of the modules and names that statements import."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_and_have_one_name(path: Path) -> None:
    top = path.relative_to(ROOT).parts[0]
    layer = LAYERS.get(top, max(LAYERS.values()))
    for name in imported(ast.parse(path.read_text())):
        assert not name.startswith("."), f"{name}: relative imports hide the layer"
        first, *rest = name.split(".")
        assert first not in LAYERS or top == "tests", f"bare import of {name}"
        if first == "speech2video" and rest and rest[0] in LAYERS and top != "speech2video":
            assert LAYERS[rest[0]] <= layer, f"{top} (layer {layer}) imports {name}"


def test_no_import_cycles() -> None:
    modules = {module_name(path): path for path in PRODUCT}
    edges = {
        name: (imported(ast.parse(path.read_text())) & modules.keys()) - {name}
        for name, path in modules.items()
    }
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in finished:
            for target in sorted(edges[name]):
                visit(target, (*path, name))
            finished.add(name)

    for name in sorted(modules):
        visit(name, ())


def test_options_import_no_torch() -> None:
    modules = [f"speech2video.options.{path.stem}" for path in (ROOT / "options").glob("*.py")]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_public_functions_and_classes_have_docstrings() -> None:
    for path in PRODUCT:
        if path.relative_to(ROOT).parts[0] in (*list(LAYERS)[:5], "speech2video"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                    assert ast.get_docstring(node), f"{path.relative_to(ROOT)}: {node.name}"


@pytest.mark.parametrize("path", PRODUCT + DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_retired_words_do_not_return(path: Path) -> None:
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", line).replace("_", " ").replace(".", " ")
        found += [f"{number}: {hit[0]}" for hit in RETIRED.finditer(ALLOWED.sub("", words))]
    assert not found, f"{path.relative_to(ROOT)}: {found}"
