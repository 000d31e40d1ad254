import json
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest

from speech2video.options.base import REQUIRED, Options, option
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
    "content", ["[]", "{", '{"nane": 1}', '{"name": "a", "size": "big"}', '{"size": 128}']
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
