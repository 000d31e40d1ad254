"""Options as frozen dataclasses: one definition is the argument, its check and its json.

@dataclass(frozen=True)
class DrawOptions(Options):
    output: Path = grouped.files(REQUIRED, "png to write", output=FILE)
    size: int = option(512, "height and width of the image", group="image", min=64)

options = DrawOptions.parse()          # from the command line; bad values: one line, status 2
options.save(path)                     # options.json; DrawOptions.load(path) gives it back
"""

import argparse
import dataclasses
import json
import types
import typing
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from speech2video.util.errors import DataError, OptionError, UserError, one_line
from speech2video.util.files import NamedPath, check_paths, read_json, write_text

if typing.TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

ARCHITECTURE = "architecture"  # the group that belongs to the weights: a resumed run keeps it
MACHINE = "machine"  # the group that a resumed run does not take from its past
REQUIRED = dataclasses.MISSING
CERTIFICATE_HELP = (
    "sign mp4 and mov with a C2PA manifest that says they are generated: the signer's certificate "
    "and those of its issuers, PEM"
)
KEY_HELP = "private key of --c2pa_certificate, PEM without password"
MOTION_ENDINGS = (".npz", ".bvh", ".glb", ".gltf", ".csv")  # of files that motion is written to
FILE, FOLDER = "file", "folder"  # kinds of outputs
Config = typing.TypeVar("Config")  # a dataclass
BODY_HELP = "SMPLX_NEUTRAL.npz of your own; the open body if left out"
TRUST_HELP = "load networks that are TorchScript, which can run any code; ONNX needs no trust"
MOTION_HELP = (
    "motion: npz of BEAT2, AMASS, SHOW, this project or others, BVH, pt of GVHMR, npy of TalkSHOW, "
    "SMPLer-X's folder, or a clip's folder"
)


def option(
    default: Any,
    help: str,
    *,
    group: str = "options",
    choices: Sequence[Any] | None = None,
    min: float | None = None,
    max: float | None = None,
    odd: bool = False,
    positional: bool = False,
    output: str = "",
) -> Any:
    """Return a dataclass field with help, group and range; `REQUIRED` means no default.

    A path that is written to is marked by `output`, `FILE` or `FOLDER`; all others are read.
    """
    metadata = {key: value for key, value in locals().items() if key != "default"}
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


class grouped:
    """`option` for each group of options: `grouped.files(REQUIRED, "png to write")`."""

    files = partial(option, group="files")
    architecture = partial(option, group=ARCHITECTURE)
    training = partial(option, group="training")
    losses = partial(option, group="losses")
    data = partial(option, group="data")
    checkpoints = partial(option, group="checkpoints")
    machine = partial(option, group=MACHINE)
    teachers = partial(option, group="teachers")
    speaker = partial(option, group="speaker")
    speech = partial(option, group="speech")
    motion = partial(option, group="motion")
    face = partial(option, group="face")
    fit = partial(option, group="fit")
    frames = partial(option, group="frames")
    words = partial(option, group="words")
    result = partial(option, group="result")


def inherit(base: type, name: str, default: Any) -> Any:
    """Return the field `name` of a base class with another default."""
    field = base.__dataclass_fields__[name]
    return dataclasses.field(default=default, metadata=field.metadata, kw_only=True)


def check_name(name: str, option: str = "name") -> None:
    """Raise `OptionError` for an option, --name, that is no plain file or folder name."""
    if Path(name).name != name or name.startswith(".") or not name:
        raise OptionError(f"--{option} {name}: a plain name is needed, not a path")


def check_ending(option: str, path: Path, endings: Sequence[str]) -> None:
    """Raise `OptionError` for an option, --option, with a file name of another ending."""
    if path.suffix.lower() not in endings:
        raise OptionError(f"--{option} {path}: a name that ends in {', '.join(endings)} is needed")


def check_credentials(certificate: Path | None, key: Path | None) -> None:
    """Raise `OptionError` for a certificate without a key, or the other way round."""
    if (certificate is None) != (key is None):
        raise OptionError("--c2pa_certificate and --c2pa_key: both are needed, or none")


def check_pairs(options: "Options", *names: str) -> None:
    """Raise `OptionError` for options whose items are not all NAME=VALUE."""
    for name in names:
        for pair in getattr(options, name):
            if "=" not in pair:
                raise OptionError(f"--{name} {pair}: NAME=VALUE is needed")


class Options:
    """Base of all option classes. Values are checked when made and never change afterwards."""

    BEFORE: ClassVar[dict[str, Any]] = {}  # options that older files lack, and what held then

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            _check(field, getattr(self, field.name))

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> "Self":
        """Return a command line's options (`sys.argv` by default); exits with 2 on bad ones."""
        parser = cls.parser()
        parsed = vars(parser.parse_args(arguments))
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in parsed.items()}
        try:
            options = cls(**values)
            options.check_paths()
        except UserError as error:
            parser.exit(2, f"error: {one_line(str(error))}\n")
        return options

    @classmethod
    def parser(cls) -> argparse.ArgumentParser:
        """Return the argparse parser, its help grouped by the fields' groups."""
        parser = argparse.ArgumentParser(description=cls.__doc__, allow_abbrev=False)
        groups: dict[str, Any] = {}
        for field, hint in _fields(cls):
            name = field.metadata["group"]
            if name not in groups:
                groups[name] = parser.add_argument_group(name)
            dashes = "" if field.metadata["positional"] else "--"
            groups[name].add_argument(dashes + field.name, **_argument(field, hint))
        return parser

    def fill(self, config: type[Config], **others: Any) -> Config:
        """Return a config: `others`, and for its remaining fields the options of their names."""
        names = [field.name for field in dataclasses.fields(config)]  # pyright: ignore[reportArgumentType]
        return config(
            **{name: getattr(self, name) for name in names if name not in others}, **others
        )

    def check_paths(self) -> None:
        """Raise `DataError` for outputs that are inputs or one another, or cannot be written."""
        check_paths(self.paths(), self.paths(FILE), self.paths(FOLDER))

    def paths(self, output: str = "") -> list[NamedPath]:
        """Return the names and paths that are read, or those of a kind of output."""
        found = []
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            items = value if isinstance(value, tuple) else (value,)
            is_asked = field.metadata["output"] == output and field.name != "checkpoints"
            if is_asked:  # nothing is read from the folder of all runs itself
                found += [(field.name, item) for item in items if isinstance(item, Path)]
        return found

    def save(self, path: Path) -> None:
        """Write the options as json; raises `DataError` if it cannot be written."""
        values = dataclasses.asdict(self)  # pyright: ignore[reportArgumentType]
        write_text(path, json.dumps(values, indent=2, default=str) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Self":
        """Return the options of a json file; raises `OptionError` naming what does not fit."""
        try:
            values = read_json(path, what="a json object of options")
        except DataError as error:
            raise OptionError(str(error)) from None
        if not isinstance(values, dict):
            raise OptionError(f"{path}: a json object of options is needed")
        hints = {field.name: hint for field, hint in _fields(cls)}
        if unknown := sorted(set(values) - set(hints)):
            raise OptionError(f"{path}: unknown options {', '.join(unknown)}")
        try:
            given = {}
            for name, value in (cls.BEFORE | values).items():
                try:
                    given[name] = _from_json(hints[name], value)
                except (ValueError, OverflowError) as error:
                    raise OptionError(f"{name}: {error}") from None
            return cls(**given)
        except (OptionError, TypeError, ValueError, OverflowError) as error:
            raise OptionError(f"{path}: {error}") from None


def _fields(options: type) -> list[tuple[dataclasses.Field, Any]]:
    """Return the fields of an option class, each with its type."""
    hints = typing.get_type_hints(options)
    return [(field, hints[field.name]) for field in dataclasses.fields(options)]


def _argument(field: dataclasses.Field, hint: Any) -> dict[str, Any]:
    help_text = field.metadata["help"]
    required = field.default is REQUIRED
    if not required and field.default is not None:
        help_text += f" (default: {field.default})"
    argument: dict[str, Any] = {"help": help_text.replace("%", "%%")}
    if not required:
        argument["default"] = field.default
    elif not field.metadata["positional"]:
        argument["required"] = True
    if hint is bool:
        return argument | {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
        argument["nargs"] = "+"
    kind, choices = _inner_type(hint), field.metadata["choices"]
    metavar = None if choices else kind.__name__.upper()
    return argument | {"type": kind, "metavar": metavar, "choices": choices}


def _inner_type(hint: Any) -> Any:
    """Return T of `T | None`, else the hint itself."""
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _from_json(hint: Any, value: Any) -> Any:
    """Return a json value as its field's type."""
    if value is None:
        if not isinstance(hint, types.UnionType):
            raise ValueError("a value is needed, not null")
        return None
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"a list is needed, not {value!r:.60}")
        return tuple(_from_json(typing.get_args(hint)[0], item) for item in value)
    kind = _inner_type(hint)
    allowed = {bool: bool, int: int, float: int | float, str: str}.get(kind, str)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"a value of type {kind.__name__} is needed, not {value!r:.60}")
    return kind(value)


def _check(field: dataclasses.Field, value: Any) -> None:
    for item in value if isinstance(value, tuple | list) else (value,):
        if item is None:
            continue
        given = f"--{field.name} {item}"
        choices, low, high = (field.metadata[key] for key in ("choices", "min", "max"))
        if choices and item not in choices:
            raise OptionError(f"{given}: one of {', '.join(map(str, choices))} is needed")
        # written so that NaN, which compares false with everything, is refused too
        if low is not None and not item >= low:
            raise OptionError(f"{given}: at least {low} is needed")
        if high is not None and not item <= high:
            raise OptionError(f"{given}: at most {high} is allowed")
        if field.metadata["odd"] and item % 2 == 0:
            raise OptionError(f"{given}: an odd number is needed")
