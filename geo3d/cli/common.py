"""What every command shares: the global flags, how words become values, and what a run is given."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec

from geo3d.options import STAGES
from geo3d.util.json_line import json_line
from geo3d.util.lengths import parse_grid, parse_length
from geo3d.util.progress import Progress

USAGE_ERROR = 2
FAILURE = 1
INTERRUPTED = 130


class UsageError(Exception):
    """The command line cannot be understood; answered in one line with exit code 2."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """Flags of every command."""

    json: bool = False
    """Print one JSON object a line instead of text."""

    quiet: bool = False
    """Print errors only."""

    debug: bool = False
    """Show the traceback of an error (also GEO3D_DEBUG=1)."""


@dataclass(frozen=True)
class Session:
    """What a command is given to show its work with."""

    progress: Progress
    json: bool
    quiet: bool

    def say(self, text: str = "") -> None:
        """A line for people; nothing with --json or --quiet."""
        if not self.json and not self.quiet:
            print(text, flush=True)

    def result(self, **fields: Any) -> None:
        """The outcome as one JSON line; nothing without --json."""
        if self.json:
            print(json_line({"event": "result", **fields}), flush=True)


def existing_folder(path: Path, what: str) -> Path:
    """`path` if it is a folder; otherwise a UsageError that names what is there instead."""
    if path.is_dir():
        return path
    if path.exists():
        raise UsageError(f"{what} {path} is a file; give the folder")
    raise UsageError(f"{what} {path} does not exist{_similar_path(path)}")


def existing_path(path: Path, what: str) -> Path:
    """`path` if there is something; otherwise a UsageError."""
    if not path.exists():
        raise UsageError(f"{what} {path} does not exist{_similar_path(path)}")
    return path


def existing_file(path: Path, flag: str, what: str) -> Path:
    """`path` if it is a file; otherwise a UsageError that says what the flag takes."""
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder; expected {what}")
    return existing_path(path, f"the file of {flag}")


_RESPELT = {
    "from_stage": "--from",
    "until_stage": "--until",
    "marker_size_m": "--marker-size",
    "hold_out_every": "--hold-out",
}


def flag_names(options: type) -> dict[str, str]:
    """Attribute to flag of a command's options; a few are spelt shorter on the command line."""
    fields = [field.name for field in dataclasses.fields(options)]
    return {name: _RESPELT.get(name, f"--{name.replace('_', '-')}") for name in fields}


def with_flags(message: str, options: type) -> str:
    """A message of the library that names its options, with the flags of the command line in their place."""
    flags = flag_names(options)
    names = "|".join(flags)
    return re.sub(rf"(?<![\w'/.-])({names})(?![\w'/.-])", lambda found: flags[found[0]], message)


def _similar_path(path: Path) -> str:
    parent = path.absolute().parent
    while not parent.is_dir():
        path, parent = parent, parent.parent
    names = get_close_matches(path.name, [p.name for p in parent.iterdir()], n=1, cutoff=0.6)
    if names:
        return f"; did you mean {parent / names[0]}?"
    return f" ({parent} does, without {path.name!r})"


def _spec(
    convert: Callable[[str], Any], metavar: str, choices: tuple[str, ...] | None = None
) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: convert(words[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [str(value)],
        choices=choices,
    )


def _numbers(word: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in word.split(","))
    except ValueError:
        raise ValueError(f"expected numbers with commas between and no spaces, got {word!r}") from None


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"expected a whole number, got {word!r}") from None


Numbers = Annotated[tuple[float, ...] | None, _spec(_numbers, "FX,FY,CX,CY,...")]


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"expected a number, got {word!r}") from None


def _size(word: str) -> tuple[int, int]:
    try:
        return parse_grid(word)
    except ValueError:
        raise ValueError(f"expected width and height in pixels as 1920x1080, got {word!r}") from None


def _count(word: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", word.replace(",", "").lower())
    if found is None:
        raise ValueError(f"expected a number as 300000, 300k or 1.5M, got {word!r}")
    return round(float(found[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[found[2]])


_PAIR: PrimitiveConstructorSpec[Any] = PrimitiveConstructorSpec(
    nargs=2,
    metavar="FILE FILE",
    instance_from_str=lambda words: (Path(words[0]), Path(words[1])),
    is_instance=lambda value: True,
    str_from_instance=lambda value: [str(part) for part in value or (None, None)],
)
Whole = Annotated[int, _spec(_whole, "N")]
Count = Annotated[int, _spec(_count, "N")]  # with its unit: 300k
OptionalWhole = Annotated[int | None, _spec(_whole, "N")]
OptionalNumber = Annotated[float | None, _spec(_number, "X")]
OptionalPath = Annotated[Path | None, _spec(Path, "FILE")]
OptionalPair = Annotated[tuple[Path, Path] | None, _PAIR]
OptionalStage = Annotated[str | None, _spec(str, "{" + ",".join(STAGES) + "}", STAGES)]
OptionalLength = Annotated[float | None, _spec(parse_length, "LENGTH")]  # metres; with its unit: 25mm
GridSize = Annotated[tuple[int, int], _spec(parse_grid, "COLSxROWS")]
OptionalGridSize = Annotated[tuple[int, int] | None, _spec(parse_grid, "COLSxROWS")]
OptionalSize = Annotated[tuple[int, int] | None, _spec(_size, "WxH")]
OptionalWord = Annotated[str | None, _spec(str, "NAME")]


def debug_wanted(arguments: list[str]) -> bool:
    """Whether --debug or GEO3D_DEBUG asks for tracebacks."""
    return "--debug" in arguments or os.environ.get("GEO3D_DEBUG", "0") not in ("", "0")


def error_line(text: str, as_json: bool) -> None:
    """The one line that answers an error."""
    line = " ".join(text.split())
    if as_json:
        print(json_line({"event": "error", "message": line}), flush=True)
    else:
        print(f"geo3d: {line}", file=sys.stderr, flush=True)
