"""`geo3d board KIND SIZE ... -o FILE`: a calibration target for the printer, at true scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, GridSize, OptionalWord, Session, UsageError
from geo3d.cli.targets import Kind, TargetFlags, check_flags, make_target


@dataclass(frozen=True, kw_only=True)
class Options(TargetFlags, Common):
    """Write a calibration board for the printer, at true scale, with a ruler to check the printer by.

    geo3d board checkerboard 9x6 --square 25mm -o board.pdf

    geo3d board charuco 8x5 --square 30mm --paper A4 -o board.pdf

    geo3d board aprilgrid 6x6 --tag 25mm -o board.svg

    geo3d board asymmetric-circles 4x11 --spacing 20mm -o board.pdf
    """

    kind: Annotated[Kind, tyro.conf.Positional, arg(metavar="KIND")]
    """checkerboard, charuco, aprilgrid, circles or asymmetric-circles."""

    size: Annotated[GridSize, tyro.conf.Positional]
    """Columns and rows as 9x6: inner corners of a checkerboard, squares of a charuco board, tags, or discs."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """File to write, .pdf or .svg."""

    paper: OptionalWord = None
    """A4, A3, letter or fit; by default fit, a page of the board's own size."""


def run(options: Options, session: Session) -> int:
    """Write the file."""
    check_flags(options, options.kind)
    from geo3d.calibration.printing import FIT, PAPERS, write_board

    paper = FIT if options.paper is None else _paper(options.paper, [*PAPERS, FIT])
    if options.out.suffix.lower() not in (".pdf", ".svg"):
        raise UsageError(f"-o {options.out} must end in .pdf or .svg")
    if options.out.is_dir():
        raise UsageError(f"-o {options.out} is a folder; give a file")
    target = make_target(options, options.kind, options.size)
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


def _paper(word: str, names: list[str]) -> str:
    for name in names:
        if name.lower() == word.lower():
            return name
    raise UsageError(f"--paper: {word!r} is not one of {', '.join(names)}")
