"""Maps over the image for the report of a calibration, as inline SVG: points, arrows, cells.

All are drawn in units of a thousandth of the image's width, y down. Colours come from the page's style.
"""

from __future__ import annotations

import html

import numpy as np

from geo3d.calibration.advice_rules import NINTHS
from geo3d.calibration.coverage import Coverage, ResidualCells
from geo3d.calibration.evidence import CameraEvidence

_WIDTH = 1000.0
_MOST_POINTS = 4000  # drawn; more are thinned out evenly
_ARROW = 34.0  # length of a long arrow, in the units of the drawing
_MOST_CELLS = 40  # along a side of a map


def coverage_map(evidence: CameraEvidence, coverage: Coverage) -> str:
    """All points of the board over the image, with their count in each ninth.

    Parameters
    ----------
    evidence : CameraEvidence
    coverage : Coverage
    """
    scale, height = _scale(evidence)
    dots = "".join(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3"/>' for x, y in _thinned(evidence.pixels * scale))
    w, h = _WIDTH / 3, height / 3
    cells, words = [], []
    for k, (count, name) in enumerate(zip(coverage.ninths.ravel(), NINTHS)):
        row, column = divmod(k, 3)
        tip = f"<title>{name}: {count:,} points</title>"
        kind = "empty" if count == 0 and coverage.visible.flat[k] else "ninth"
        cells.append(
            f'<rect class="{kind}" x="{column * w:.1f}" y="{row * h:.1f}" width="{w:.1f}" height="{h:.1f}">{tip}</rect>'
        )
        words.append(f'<text class="count" x="{column * w + 14:.1f}" y="{row * h + 40:.1f}">{count:,}</text>')
    return _drawing(
        height, f"{''.join(cells)}<g class=dots>{dots}</g>{''.join(words)}", "all points of the board"
    )


def residual_arrows(evidence: CameraEvidence) -> tuple[str, float]:
    """An arrow for each point, from where it was found to where the camera puts it, and how much it is enlarged.

    Parameters
    ----------
    evidence : CameraEvidence
    """
    scale, height = _scale(evidence)
    seen = np.isfinite(evidence.errors_px)
    steps = np.concatenate(evidence.residuals)[seen]
    larger = _round_down(_ARROW / (scale * max(float(np.percentile(evidence.errors_px[seen], 95)), 1e-9)))
    rows = np.column_stack([evidence.pixels[seen] * scale, steps * scale * larger])
    lines = "".join(f'<path d="M{x:.0f} {y:.0f}l{dx:.1f} {dy:.1f}"/>' for x, y, dx, dy in _thinned(rows))
    body = f'<g class="residuals">{lines}</g>{_bar(scale * larger, height)}'
    return _drawing(height, body, "error of every point", foot=52), larger


def residual_map(evidence: CameraEvidence, cells: ResidualCells) -> tuple[str, float]:
    """Mean residuals over cells, as colour and as arrows, and how much those are enlarged.

    Parameters
    ----------
    evidence : CameraEvidence
    cells : ResidualCells
    """
    scale, height = _scale(evidence)
    told = np.isfinite(cells.chance_px)
    size = np.where(told, np.linalg.norm(cells.mean_px, axis=-1), np.nan)
    rows, columns = size.shape
    longest = float(np.nanmax(size)) if told.any() else 1.0
    larger = _round_down(0.8 * _WIDTH / columns / (scale * max(longest, 1e-9)))
    tips = [[""] * columns for _ in range(rows)]
    arrows = []
    for i, j in zip(*np.nonzero(told)):
        dx, dy = cells.mean_px[i, j]
        tips[i][j] = (
            f"{size[i, j]:.2f} px in {cells.photos[i, j]} photos; chance makes {cells.chance_px[i, j]:.2f}"
        )
        x, y = (j + 0.5) * _WIDTH / columns, (i + 0.5) * height / rows
        dx, dy = dx * scale * larger, dy * scale * larger
        arrows.append(f'<path d="M{x - dx / 2:.1f} {y - dy / 2:.1f}l{dx:.1f} {dy:.1f}"/>')
        arrows.append(f'<circle cx="{x - dx / 2:.1f}" cy="{y - dy / 2:.1f}" r="3"/>')
    body = cell_rects(size, height, tips, (0.0, longest)) + f'<g class="means">{"".join(arrows)}</g>'
    return _drawing(
        height, body + _bar(scale * larger, height), "mean error in parts of the image", foot=52
    ), larger


def tilt_plot(evidence: CameraEvidence, coverage: Coverage) -> str:
    """A dot for each photo: which edge of the board is nearer, and by how much the board is tilted.

    Parameters
    ----------
    evidence : CameraEvidence
    coverage : Coverage
    """
    tilts = np.rad2deg(coverage.tilts_rad)
    most = max(45.0, float(tilts.max()))
    scale = 330 / most
    rings = "".join(
        f'<circle class="{"limit" if ring == 20 else "ring"}" r="{ring * scale:.0f}"/>'
        f'<text x="{ring * scale * 0.71 + 4:.0f}" y="{ring * scale * 0.71 + 22:.0f}">{ring}&deg;</text>'
        for ring in range(20, int(most) + 1, 20)
    )
    dots = "".join(
        f'<circle class="camera" cx="{x:.0f}" cy="{y:.0f}" r="9"><title>{html.escape(photo.name)}: {tilt:.0f} degrees'
        "</title></circle>"
        for photo, tilt, (x, y) in zip(evidence.views, tilts, tilts[:, None] * scale * coverage.directions)
    )
    words = (
        '<text x="-490" y="8">left edge nearer</text><text x="490" y="8" text-anchor="end">right edge nearer</text>'
        '<text y="-350" text-anchor="middle">top edge nearer</text>'
        '<text y="372" text-anchor="middle">bottom edge nearer</text>'
    )
    return f'<svg class="imagemap tilts" viewBox="-500 -380 1000 760" role="img">{rings}{dots}{words}</svg>'


def value_map(
    values: np.ndarray, width: float, height: float, unit: str, label: str, percentile: float = 100.0
) -> str:
    """Colours for a grid of values over a rectangle, with their scale.

    Parameters
    ----------
    values : (R, C) float
        Rows down; NaN is left blank.
    width, height : float
        Of the rectangle, in any unit.
    unit : str
    label : str
        What the map is of.
    percentile : float
        Of the values, from which on they share the strongest colour.
    """
    values = _blocks(np.asarray(values, np.float64))
    tall = _WIDTH * height / width
    known = values[np.isfinite(values)]
    if not len(known):
        return ""
    low, high = float(known.min()), float(np.percentile(known, percentile))
    tips = [[f"{v:.3g} {unit}" for v in row] for row in values]
    body = cell_rects(values, tall, tips, (low, high))
    more = " and more" if known.max() > high * 1.001 else ""
    legend = (
        f'<div class="ramp"><span>{low:.2g} {html.escape(unit)}</span><i></i>'
        f"<span>{high:.2g} {html.escape(unit)}{more}</span></div>"
    )
    return _drawing(tall, body, label) + legend


def cell_rects(values: np.ndarray, height: float, tips: list[list[str]], limits: tuple[float, float]) -> str:
    """A rectangle for each value that is a number, the more opaque the larger it is.

    Parameters
    ----------
    values : (R, C) float
    height : float
        Of the drawing.
    tips : list of lists of str
        Shown when a cell is pointed at.
    limits : (float, float)
        Values of the palest and of the strongest colour.
    """
    rows, columns = values.shape
    low, high = limits
    x = (np.arange(columns + 1) * (_WIDTH / columns)).round(1)  # edges, so that neighbours leave no gap
    y = (np.arange(rows + 1) * (height / rows)).round(1)
    rects = []
    for i, j in zip(*np.nonzero(np.isfinite(values))):
        share = np.clip((values[i, j] - low) / max(high - low, 1e-12), 0, 1)
        rects.append(
            f'<rect x="{x[j]:.1f}" y="{y[i]:.1f}" width="{x[j + 1] - x[j]:.1f}" height="{y[i + 1] - y[i]:.1f}" '
            f'fill-opacity="{0.06 + 0.94 * share:.2f}"><title>{html.escape(tips[i][j])}</title></rect>'
        )
    return f'<g class="cells">{"".join(rects)}</g>'


def _scale(evidence: CameraEvidence) -> tuple[float, float]:
    """Units of the drawing a pixel, and its height."""
    scale = _WIDTH / evidence.camera.width
    return scale, evidence.camera.height * scale


def _drawing(height: float, body: str, label: str, foot: float = 0.0) -> str:
    return (
        f'<svg class="imagemap" viewBox="-2 -2 {_WIDTH + 4:.0f} {height + 4 + foot:.0f}" role="img" '
        f'aria-label="{html.escape(label)}"><rect class="frame" width="{_WIDTH:.0f}" height="{height:.1f}"/>'
        f"{body}</svg>"
    )


def _bar(units_per_px: float, height: float) -> str:
    """A bar of a round number of pixels below the drawing."""
    length = _round_down(180 / units_per_px)
    foot = height + 34
    return (
        f'<line class="scalebar" x1="2" x2="{2 + length * units_per_px:.1f}" y1="{foot:.1f}" y2="{foot:.1f}"/>'
        f'<text x="{length * units_per_px + 14:.1f}" y="{foot + 9:.1f}">{length:g} px</text>'
    )


def _round_down(value: float) -> float:
    """1, 2 or 5 times a power of ten."""
    base = 10.0 ** np.floor(np.log10(value))
    return float(f"{base * max(k for k in (1, 2, 5) if k * base <= value * (1 + 1e-9)):.1g}")


def _thinned(rows: np.ndarray) -> np.ndarray:
    return rows[:: -(-len(rows) // _MOST_POINTS)]


def _blocks(values: np.ndarray) -> np.ndarray:
    """Every so manieth row and column, so that a map has at most forty along a side."""
    steps = [-(-n // _MOST_CELLS) for n in values.shape]
    return values[steps[0] // 2 :: steps[0], steps[1] // 2 :: steps[1]]
