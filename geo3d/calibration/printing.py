"""Targets on paper at true scale: a page is laid out in millimetres and written as SVG or PDF.

A page holds the target in its middle, a line that says what it is, and below that a ruler of 100 mm: what a tape
measure shows there is what the printer made of the scale. Page coordinates: millimetres, the origin at the top left,
y down.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from geo3d.calibration.artwork import artwork
from geo3d.calibration.targets import Target
from geo3d.util.files import atomic_path, write_text

PAPERS = {"A4": (210.0, 297.0), "A3": (297.0, 420.0), "letter": (215.9, 279.4)}
"""Width and height of papers, mm, upright."""

FIT = "fit"
MARGIN_MM = 8.0  # what printers leave white; on a page of the target's own size there is more
_FIT_MARGIN_MM = 15.0
_FOOTER_MM = 15.0
_RULER_MM = 100.0
_TEXT_MM = 2.6
_CIRCLE = (
    4 / 3 * math.tan(math.pi / 8)
)  # handles of a quarter circle as a cubic Bezier curve: 2.7e-4 of the radius


@dataclass(frozen=True)
class Text:
    """A line of text: x and y of the left end of its base line, mm."""

    x: float
    y: float
    words: str


@dataclass(frozen=True, eq=False)
class Page:
    """A page, millimetres.

    Attributes
    ----------
    width, height : float
    rectangles : (N, 4) float64
        Black: x and y of the top left corner, width, height.
    discs : (M, 3) float64
        Black: x and y of the centre, radius.
    texts : tuple of Text
    title : str
    """

    width: float
    height: float
    rectangles: np.ndarray
    discs: np.ndarray
    texts: tuple[Text, ...]
    title: str


def lay_out(target: Target, paper: str = FIT) -> Page:
    """Place a target on paper, upright or across, as it fits.

    Parameters
    ----------
    target : Target
    paper : str
        `A4`, `A3`, `letter`, or `fit` for a page as large as the target with a white margin round it.

    Returns
    -------
    Page

    Raises
    ------
    ValueError
        For an unknown paper, and where the target does not fit; it says what does.
    """
    art = artwork(target)
    width, height = art.extent[2:]
    if paper == FIT:
        page = max(width, _RULER_MM) + 2 * _FIT_MARGIN_MM, height + 2 * _FIT_MARGIN_MM + _FOOTER_MM
    elif paper in PAPERS:
        page = next((p for p in _both_ways(paper) if _scale(target, p) >= 1), None)
        if page is None:
            raise ValueError(_does_not_fit(target, paper))
    else:
        raise ValueError(f"paper {paper!r} is not one of {', '.join([*PAPERS, FIT])}")
    left, top = (page[0] - width) / 2, (page[1] - _FOOTER_MM - height) / 2
    shift = np.array([left, top]) - art.extent[:2]
    rectangles, discs = art.rectangles.copy(), art.discs.copy()
    rectangles[:, :2] += shift
    discs[:, :2] += shift
    margin = _FIT_MARGIN_MM if paper == FIT else MARGIN_MM
    ruler, texts = _footer(target, margin, page[1] - margin)
    return Page(*page, np.concatenate([rectangles, ruler]), discs, texts, target.label)


def write_board(target: Target, path: str | os.PathLike, paper: str = FIT) -> Page:
    """Write a target at true scale for printing.

    Parameters
    ----------
    target : Target
    path : path
        Ends in .pdf or .svg.
    paper : str
        As in `lay_out`.

    Returns
    -------
    Page
        What was written.

    Raises
    ------
    ValueError
        For another ending, an unknown paper, and where the target does not fit.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".pdf", ".svg"):
        raise ValueError(f"path must end in .pdf or .svg, got {path.name!r}")
    page = lay_out(target, paper)
    if kind == ".svg":
        write_text(path, svg(page))
    else:
        with atomic_path(path) as partial:
            _write_pdf(page, partial)
    return page


def svg(page: Page) -> str:
    """A page as an SVG document."""
    shapes = "".join(f"M{x:.10g} {y:.10g}h{w:.10g}v{h:.10g}h{-w:.10g}z" for x, y, w, h in page.rectangles)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page.width:.10g}mm" height="{page.height:.10g}mm" '
        f'viewBox="0 0 {page.width:.10g} {page.height:.10g}">',
        f"<title>{escape(page.title)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="{shapes}"/>',  # one path: no hair lines where two rectangles touch
        *(f'<circle cx="{x:.10g}" cy="{y:.10g}" r="{r:.10g}"/>' for x, y, r in page.discs),
        f'<g font-family="sans-serif" font-size="{_TEXT_MM}">',
        *(f'<text x="{t.x:.10g}" y="{t.y:.10g}">{escape(t.words)}</text>' for t in page.texts),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _write_pdf(page: Page, path: Path) -> None:
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    figure = Figure(figsize=(page.width / 25.4, page.height / 25.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, page.width)
    axes.set_ylim(page.height, 0)
    points, codes = _outlines(page)
    axes.add_patch(PathPatch(Outline(points, codes), facecolor="black", edgecolor="none", linewidth=0))
    for text in page.texts:
        axes.text(text.x, text.y, text.words, fontsize=_TEXT_MM / 25.4 * 72, verticalalignment="baseline")
    meta = {"Title": page.title, "CreationDate": None}  # the same target gives the same file
    FigureCanvasPdf(figure).print_pdf(path, metadata=meta)


def _outlines(page: Page) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 2) and matplotlib's codes (N,) of all black shapes as one path."""
    x, y, w, h = page.rectangles.T
    corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h, x, y], axis=1).reshape(-1, 2)
    codes = np.tile([1, 2, 2, 2, 79], len(x))
    k = _CIRCLE
    arcs = [
        (1, k),
        (k, 1),
        (0, 1),
        (-k, 1),
        (-1, k),
        (-1, 0),
        (-1, -k),
        (-k, -1),
        (0, -1),
        (k, -1),
        (1, -k),
        (1, 0),
    ]
    unit = np.array([(1, 0), *arcs, (1, 0)], np.float64)
    rounds = page.discs[:, None, :2] + page.discs[:, None, 2:] * unit
    disc_codes = np.tile([1, *[4] * 12, 79], len(page.discs))
    return np.concatenate([corners, rounds.reshape(-1, 2)]), np.concatenate([codes, disc_codes])


def _footer(target: Target, left: float, bottom: float) -> tuple[np.ndarray, tuple[Text, ...]]:
    """Ruler and texts above the bottom margin."""
    ticks = np.arange(0, _RULER_MM + 1, 10)
    length = np.where(ticks % 50 == 0, 3.0, 2.0)
    thin = 0.2
    marks = np.column_stack([left + ticks - thin / 2, bottom - length, np.full(len(ticks), thin), length])
    # the line between the marks, without lying over them
    lines = np.column_stack(
        [left + ticks[:-1] + thin / 2, np.full(10, bottom - thin), np.full((10, 2), (10 - thin, thin))]
    )
    words = f"{target.label}. Print at 100 %"
    hint = f"This ruler is {_RULER_MM:g} mm long."
    texts = (Text(left, bottom - 7.5, words), Text(left, bottom - 4, hint))
    return np.concatenate([marks, lines]), texts


def _both_ways(paper: str) -> tuple[tuple[float, float], tuple[float, float]]:
    width, height = PAPERS[paper]
    return (width, height), (height, width)


def _scale(target: Target, page: tuple[float, float]) -> float:
    """By how much the target could grow on a page."""
    width, height = (1000 * side for side in target.size_m)
    room = page[0] - 2 * MARGIN_MM, page[1] - 2 * MARGIN_MM - _FOOTER_MM
    return min(room[0] / width, room[1] / height) + 1e-9


def _does_not_fit(target: Target, paper: str) -> str:
    width, height = (1000 * side for side in target.size_m)
    scale = max(_scale(target, page) for page in _both_ways(paper))
    larger = [name for name in PAPERS if max(_scale(target, page) for page in _both_ways(name)) >= 1]
    papers = ", ".join([*larger, f"{FIT} (a page of its own size)"])
    return (
        f"{target.label}: {width:g} x {height:g} mm does not fit on paper {paper}. On {paper} fits "
        f"{_shrunk(target, scale).label}; the papers that hold this one: {papers}"
    )


def _shrunk(target: Target, scale: float) -> Target:
    """The target at a smaller scale, its first length a whole number of half millimetres where that leaves any."""
    lengths = {f.name: getattr(target, f.name) for f in dataclasses.fields(target) if f.name.endswith("_m")}
    first = next(iter(lengths.values()))
    halves = math.floor(2000 * first * scale)
    if halves:
        scale = halves / 2000 / first
    return dataclasses.replace(target, **{name: round(length * scale, 7) for name, length in lengths.items()})
