"""`geo3d board KIND SIZE ... -o FILE`: a calibration target for the printer, at true scale."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    GridSize,
    OptionalLength,
    OptionalNumber,
    OptionalWord,
    Session,
    UsageError,
)

if TYPE_CHECKING:
    from geo3d.calibration import Target

# kind -> the flags that it needs and those that it may have
_FLAGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "checkerboard": (("square",), ()),
    "charuco": (("square",), ("marker", "dictionary", "legacy")),
    "aprilgrid": (("tag",), ("gap",)),
    "circles": (("spacing",), ("diameter",)),
    "asymmetric-circles": (("spacing",), ("diameter",)),
}
_EXAMPLE = {"square": "25mm", "tag": "25mm", "spacing": "20mm"}
_DICTIONARY = "DICT_5X5_250"
_MARKER = 0.75  # of a square
_GAP = 0.3  # of a tag: Kalibr's
_DISC = 0.6  # of the distance between neighbouring centres


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Write a calibration board for the printer, at true scale, with a ruler to check the printer by.

    geo3d board checkerboard 9x6 --square 25mm -o board.pdf

    geo3d board charuco 8x5 --square 30mm --paper A4 -o board.pdf

    geo3d board aprilgrid 6x6 --tag 25mm -o board.svg

    geo3d board asymmetric-circles 4x11 --spacing 20mm -o board.pdf
    """

    kind: Annotated[
        Literal["checkerboard", "charuco", "aprilgrid", "circles", "asymmetric-circles"],
        tyro.conf.Positional,
        arg(metavar="KIND"),
    ]
    """checkerboard, charuco, aprilgrid, circles or asymmetric-circles."""

    size: Annotated[GridSize, tyro.conf.Positional]
    """Columns and rows as 9x6: inner corners of a checkerboard, squares of a charuco board, tags, or discs."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """File to write, .pdf or .svg."""

    square: OptionalLength = None
    """Edge of a square, with its unit (checkerboard, charuco)."""

    marker: OptionalLength = None
    """Edge of a marker (charuco); by default 3/4 of a square."""

    dictionary: OptionalWord = None
    """OpenCV's dictionary of markers (charuco); by default DICT_5X5_250."""

    legacy: bool = False
    """The layout of OpenCV before 4.6 (charuco)."""

    tag: OptionalLength = None
    """Edge of a tag (aprilgrid)."""

    gap: OptionalNumber = None
    """Gap between two tags as a share of a tag, Kalibr's tagSpacing (aprilgrid); by default 0.3."""

    spacing: OptionalLength = None
    """Between centres (circles), or between rows (asymmetric-circles, as OpenCV has it)."""

    diameter: OptionalLength = None
    """Of a disc (circles, asymmetric-circles); by default 0.6 of the distance between neighbours."""

    paper: OptionalWord = None
    """A4, A3, letter or fit; by default fit, a page of the board's own size."""


def run(options: Options, session: Session) -> int:
    """Write the file."""
    _check_flags(options)
    from geo3d.calibration.printing import FIT, PAPERS, write_board

    paper = FIT if options.paper is None else _paper(options.paper, [*PAPERS, FIT])
    if options.out.suffix.lower() not in (".pdf", ".svg"):
        raise UsageError(f"-o {options.out} must end in .pdf or .svg")
    if options.out.is_dir():
        raise UsageError(f"-o {options.out} is a folder; give a file")
    target = _target(options)
    page = write_board(target, options.out, paper)
    width, height = (1000 * side for side in target.size_m)
    session.say(f"{options.out}: {target.label}")
    session.say(f"The board is {width:g} x {height:g} mm on a page of {page.width:g} x {page.height:g} mm.")
    session.say(
        "Print it at 100 % (not `fit to page`), measure the ruler, and glue the sheet on something flat and stiff."
    )
    session.result(
        out=str(options.out),
        target=target.label,
        board_mm=[round(width, 4), round(height, 4)],
        page_mm=[round(page.width, 4), round(page.height, 4)],
    )
    return 0


def _check_flags(options: Options) -> None:
    needed, possible = _FLAGS[options.kind]
    for name in needed:
        if getattr(options, name) is None:
            raise UsageError(f"{options.kind} needs --{name}, as --{name} {_EXAMPLE[name]}")
    flags = dict.fromkeys(name for lists in _FLAGS.values() for names in lists for name in names)
    for name in flags:
        if getattr(options, name) not in (None, False) and name not in needed + possible:
            kinds = [kind for kind, lists in _FLAGS.items() if name in lists[0] + lists[1]]
            raise UsageError(f"--{name} does not go with {options.kind}; it is for {' and '.join(kinds)}")


def _paper(word: str, names: list[str]) -> str:
    for name in names:
        if name.lower() == word.lower():
            return name
    raise UsageError(f"--paper: {word!r} is not one of {', '.join(names)}")


def _target(options: Options) -> Target:
    """The target, or a UsageError in the words of the command line."""
    from geo3d.calibration import AprilGrid, CharucoBoard, Checkerboard, CircleGrid

    columns, rows = options.size
    try:
        if options.square is not None:
            if options.kind == "checkerboard":
                return Checkerboard(columns, rows, options.square)
            marker = options.marker or _MARKER * options.square
            name = _dictionary(options.dictionary or _DICTIONARY)
            return CharucoBoard(columns, rows, options.square, marker, name, options.legacy)
        if options.tag is not None:
            return AprilGrid(columns, rows, options.tag, _GAP if options.gap is None else options.gap)
        assert options.spacing is not None
        asymmetric = options.kind == "asymmetric-circles"
        nearest = options.spacing * (2**0.5 if asymmetric else 1)
        diameter = options.diameter or round(_DISC * nearest, 4)
        return CircleGrid(columns, rows, options.spacing, diameter, asymmetric)
    except ValueError as error:
        raise UsageError(_in_flags(str(error))) from None


def _dictionary(word: str) -> str:
    from geo3d.calibration.targets import MARKERS

    names = {name.lower(): name for name in MARKERS}
    known = word.lower() if word.lower().startswith("dict_") else f"dict_{word.lower()}"
    if known in names:
        return names[known]
    close = get_close_matches(known, names, n=1)
    hint = f"did you mean {names[close[0]]}?" if close else f"it is one of {', '.join(MARKERS)}"
    raise UsageError(f"--dictionary {word}: OpenCV has none of that name; {hint}")


def _in_flags(message: str) -> str:
    """A message of the targets with the flags of the command line for their fields."""
    for field, flag in {
        "square_m": "--square",
        "marker_m": "--marker",
        "tag_m": "--tag",
        "spacing_m": "--spacing",
        "diameter_m": "--diameter",
        "spacing is": "--gap is",
    }.items():
        message = message.replace(field, flag)
    return message
