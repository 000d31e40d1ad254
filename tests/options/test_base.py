import importlib
import json
import os
import pkgutil
import re
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from pathlib import Path

import pytest

from speech2video import options as options_package
from speech2video.options.base import FILE, FOLDER, REQUIRED, Options, option
from speech2video.util.errors import OptionError


@dataclass(frozen=True)
class SampleOptions(Options):
    """Options of every kind."""

    name: str = option(REQUIRED, "a name", group="files")
    path: Path | None = option(None, "a path", group="files")
    size: int = option(256, "100 % of a size", min=64, max=1024)
    rate: float = option(0.5, "a rate", min=0, max=1)
    kind: str = option("fast", "a kind", choices=("fast", "slow"))
    flag: bool = option(False, "a flag")
    steps: tuple[int, ...] = option((1, 2), "some steps", min=1)


def test_json_round_trip_gives_equal_options(tmp_path: Path) -> None:
    line = "--name a --path x/y --size 128 --rate 0.25 --kind slow --flag --steps 3 4"
    options = SampleOptions.parse(line.split())
    assert options.steps == (3, 4) and options.path == Path("x/y") and options.flag
    options.save(tmp_path / "options.json")
    assert SampleOptions.load(tmp_path / "options.json") == options


def test_options_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        SampleOptions(name="a").size = 3


@pytest.mark.parametrize(
    "arguments",
    ["", "--name a --size 63", "--name a --rate nan", "--name a --kind odd", "--name a --steps 0"],
)
def test_bad_values_exit_with_2_and_one_line(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        SampleOptions.parse(arguments.split())
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"nane": 1}',
        '{"name": "a", "size": "big"}',
        '{"size": 128}',
        '{"name": null}',
        '{"name": "a", "size": null}',
        '{"name": "a", "size": 1e400}',
        '{"name": "a", "size": 128.5}',
        '{"name": "a", "size": true}',
        f'{{"name": "a", "size": 1{"0" * 5000}}}',
        f'{{"name": "a", "rate": 1{"0" * 400}}}',
        '{"name": "a", "steps": 5}',
        '{"name": "a", "steps": "12"}',
        '{"name": "a", "steps": [[1]]}',
        '{"name": "a", "steps": [null]}',
        '{"name": {}}',
        '{"name": "a", "path": 1}',
        "[" * 100_000,
        '{"name":' * 100_000,
    ],
)
def test_bad_json_is_one_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "options.json"
    path.write_text(content)
    with pytest.raises(OptionError, match=r"options\.json"):
        SampleOptions.load(path)


def test_saved_json_is_plain(tmp_path: Path) -> None:
    SampleOptions(name="a", path=Path("b")).save(tmp_path / "o.json")
    assert json.loads((tmp_path / "o.json").read_text())["path"] == "b"


def test_help_shows_groups_and_defaults() -> None:
    text = SampleOptions.parser().format_help()
    assert "files" in text and "(default: 256)" in text and "100 % of a size" in text


@dataclass(frozen=True)
class CopyOptions(Options):
    """Options that read and write."""

    source: Path = option(REQUIRED, "to read")
    more: tuple[Path, ...] = option((), "to read")
    output: Path = option(REQUIRED, "to write", output=FILE)
    copy: Path | None = option(None, "to write", output=FILE)
    folder: Path | None = option(None, "to write to", output=FOLDER)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder: an input under several names, a folder that is read."""
    monkeypatch.chdir(tmp_path)
    Path("a.wav").write_text("precious")
    Path("link.wav").symlink_to("a.wav")
    os.link("a.wav", "hard.wav")
    Path("clip").mkdir()
    for name in ("video.mp4", "audio.wav", "result.mp4"):
        (Path("clip") / name).write_text("precious")
    Path("way").symlink_to("clip")
    os.mkfifo("pipe")
    Path("empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--source a.wav --output a.wav", "--source is read from it"),
        ("--source a.wav --output clip/../a.wav", "--source is read from it"),
        ("--source a.wav --output link.wav", "--source is read from it"),
        ("--source link.wav --output a.wav", "--source is read from it"),
        ("--source a.wav --output hard.wav", "--source is read from it"),
        ("--source b.wav --more c.wav a.wav --output b.mp4 --copy a.wav", "--more is read"),
        ("--source none.wav --output ./none.wav", "--source is read from it"),
        ("--source a.wav --output b.mp4 --copy ./b.mp4", "--output is written to it"),
        ("--source a.wav --output b.mp4 --copy b.mp4/c.npz", "cannot be in --output"),
        ("--source clip --output clip/audio.wav", "--source is read from its folder"),
        ("--source way --output clip/video.mp4", "--source is read from its folder"),
        ("--source a.wav --output clip", "a folder"),
        ("--source a.wav --output pipe", "a pipe"),
        ("--source a.wav --output /dev/null", "a device"),
        ("--source a\0.wav --output b.mp4", "no file can have this name"),
        ("--source a.wav --output a.wav/b.mp4", "cannot be in|no folder"),
        ("--source clip --output b.mp4 --folder way", "another folder is needed"),
        ("--source a.wav --output b.mp4 --folder a.wav", "no folder"),
    ],
)
def test_outputs_that_would_destroy_something_are_refused(
    here: Path, line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        CopyOptions.parse(line.split())
    assert stop.value.code == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert re.search(words, error)
    assert sorted(here.rglob("*")) == before
    assert Path("a.wav").read_text() == "precious"


@pytest.mark.parametrize(
    "line",
    [
        "--source a.wav --output new/b.mp4 --copy new/b.npz --folder new",
        "--source clip --output clip/result.mp4",  # of the same command before
        "--source clip --output clip/new.npz --folder clip/results",
        "--source clip --output empty",  # images go there
    ],
)
def test_other_outputs_are_allowed(here: Path, line: str) -> None:
    CopyOptions.parse(line.split())
    assert not Path("new").exists()


def all_options() -> dict[str, type[Options]]:
    """Return the option classes of all commands."""
    found: dict[str, type[Options]] = {}
    for module in pkgutil.iter_modules(options_package.__path__, options_package.__name__ + "."):
        members = vars(importlib.import_module(module.name)).values()
        found |= {
            member.__name__: member
            for member in members
            if isinstance(member, type) and issubclass(member, Options) and is_dataclass(member)
            if not member.__name__.startswith("_")  # bases
        }
    return found


@pytest.mark.parametrize("name", all_options())
def test_paths_that_are_written_are_marked(name: str) -> None:
    for field in fields(all_options()[name]):  # type: ignore[arg-type]
        is_path = "Path" in str(field.type)
        writes = field.name in ("output", "json", "strips", "classifiers")
        writes |= field.name.startswith("save_") or "to write" in field.metadata["help"]
        marked = field.metadata["output"]
        assert marked in ("", FILE, FOLDER)
        if is_path:
            assert bool(marked) == writes, f"{name}.{field.name}"
        assert is_path or not marked
