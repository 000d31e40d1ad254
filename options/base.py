"""Options as frozen dataclasses: each is said once, and becomes an argument, a check and json.

@dataclass(frozen=True)
class DrawOptions(Options):
    size: int = option(512, "height and width of the picture", group="picture", minimum=64)

options = DrawOptions.parse()          # from the command line; bad values: one line, status 2
options.save(path)                     # options.json; DrawOptions.load(path) gives it back
"""

import argparse
import dataclasses
import json
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speech2video.util.errors import OptionError

REQUIRED = dataclasses.MISSING


def option(
    default: Any,
    help: str,
    *,
    group: str = "options",
    choices: Sequence[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    positional: bool = False,
) -> Any:
    """Return a dataclass field with help, group and range; `REQUIRED` means no default."""
    metadata = {
        "help": help,
        "group": group,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "positional": positional,
    }
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


class Options:
    """Base of all option classes. Values are checked when made and never change afterwards."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> "typing.Self":
        """Return a command line's options (`sys.argv` by default); exits with 2 on bad ones."""
        parser = cls.parser()
        parsed = vars(parser.parse_args(arguments))
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in parsed.items()}
        try:
            return cls(**values)
        except OptionError as error:
            parser.exit(2, f"error: {error}\n")

    @classmethod
    def parser(cls) -> argparse.ArgumentParser:
        """Return the argparse parser, its help grouped as the fields are."""
        parser = argparse.ArgumentParser(description=cls.__doc__, allow_abbrev=False)
        groups: dict[str, Any] = {}
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            name = field.metadata["group"]
            group = groups.setdefault(name, None) or parser.add_argument_group(name)
            groups[name] = group
            dashes = "" if field.metadata["positional"] else "--"
            group.add_argument(dashes + field.name, **_argument(field, hints[field.name]))
        return parser

    def save(self, path: Path) -> None:
        """Write the options as json."""
        values = {key: _plain(value) for key, value in dataclasses.asdict(self).items()}
        path.write_text(json.dumps(values, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "typing.Self":
        """Return the options of a json file; raises `OptionError` naming what does not fit."""
        try:
            values = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise OptionError(f"{path}: not json ({error})") from None
        if not isinstance(values, dict):
            raise OptionError(f"{path}: a json object of options is needed")
        hints = typing.get_type_hints(cls)
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise OptionError(f"{path}: unknown options {', '.join(unknown)}")
        try:
            return cls(**{key: _typed(hints[key], value) for key, value in values.items()})
        except (OptionError, TypeError, ValueError) as error:
            raise OptionError(f"{path}: {error}") from None


def _argument(field: dataclasses.Field, hint: Any) -> dict[str, Any]:
    help_text = field.metadata["help"]
    required = field.default is REQUIRED
    if not required and field.default is not None:
        help_text += f" (default: {field.default})"
    argument: dict[str, Any] = {"help": help_text.replace("%", "%%")}
    if required and not field.metadata["positional"]:
        argument["required"] = True
    elif not required:
        argument["default"] = field.default
    if hint is bool:
        return argument | {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
        argument["nargs"] = "+"
    kind = _inner_type(hint)
    return argument | {"type": kind, "metavar": kind.__name__.upper()} | _choices(field)


def _choices(field: dataclasses.Field) -> dict[str, Any]:
    choices = field.metadata["choices"]
    return {"choices": choices, "metavar": None} if choices else {}


def _inner_type(hint: Any) -> Any:
    """Return T of `T | None`, else the hint itself."""
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _typed(hint: Any, value: Any) -> Any:
    """Return a json value as its field's type."""
    if value is None:
        return None
    if typing.get_origin(hint) is tuple:
        return tuple(value)
    kind = _inner_type(hint)
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"true or false is needed, not {value!r}")
    return kind(value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _check(field: dataclasses.Field, value: Any) -> None:
    for item in value if isinstance(value, tuple | list) else (value,):
        if item is None:
            continue
        seen = f"--{field.name} {item}"
        choices, low, high = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
        if choices and item not in choices:
            raise OptionError(f"{seen}: one of {', '.join(map(str, choices))} is needed")
        # written so that NaN, which compares false with everything, is refused too
        if low is not None and not item >= low:
            raise OptionError(f"{seen}: at least {low} is needed")
        if high is not None and not item <= high:
            raise OptionError(f"{seen}: at most {high} is allowed")
