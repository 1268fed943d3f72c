"""Small charts as inline SVG. Colours come from the page's style, so that they follow light and dark."""

from __future__ import annotations

import html
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_MAX_CELLS = 100  # of a side of the heat map: more, and neighbours share a cell


@dataclass(frozen=True)
class Marker:
    """A vertical line in a histogram."""

    position: float  # in bars from the left
    text: str


def histogram(
    counts: np.ndarray, names: list[str], ticks: list[tuple[float, str]], marker: Marker | None = None
) -> str:
    """Bars of `counts` (N,), `names` shown when pointed at, `ticks` (position in bars, text) under them."""
    width, height, top, bottom = 560, 190, 24, 26
    count = max(len(counts), 1)
    step = width / count
    peak = max(int(counts.max()), 1) if len(counts) else 1
    parts = []
    for i, value in enumerate(counts):
        h = (height - top - bottom) * float(value) / peak
        parts.append(
            f'<rect class="bar" x="{i * step + step * 0.08:.1f}" y="{height - bottom - h:.1f}" '
            f'width="{step * 0.84:.1f}" height="{h:.1f}" rx="1.5">'
            f"<title>{html.escape(names[i])}: {int(value):,}</title></rect>"
        )
    for position, text in ticks:
        parts.append(
            f'<text class="tick" x="{position * step:.1f}" y="{height - 8}" text-anchor="middle">'
            f"{html.escape(text)}</text>"
        )
    parts.append(f'<line class="axis" x1="0" x2="{width}" y1="{height - bottom}" y2="{height - bottom}"/>')
    if marker is not None:
        x = min(max(marker.position, 0), count) * step
        anchor, dx = ("start", 6) if x < width * 0.6 else ("end", -6)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{height - bottom}"/>')
        parts.append(
            f'<text class="marktext" x="{x + dx:.1f}" y="16" text-anchor="{anchor}">'
            f"{html.escape(marker.text)}</text>"
        )
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def error_histogram(values: np.ndarray) -> str:
    """Histogram of errors (N,), pixels, with their mean; the last half per cent stands in the last bar."""
    top = max(float(np.percentile(values, 99.5)), 1e-3)
    counts, edges = np.histogram(np.minimum(values, top), bins=32, range=(0, top))
    names = [f"{low:.2f} to {high:.2f} px" for low, high in pairwise(edges)]
    names[-1] = f"{edges[-2]:.2f} px and more"
    step = float(f"{top / 8:.0e}")  # one digit: 0.2, 0.5, ...
    ticks = [(k * step / top * 32, f"{k * step:g}") for k in range(1, int(top / step) + 1)]
    mean = float(values.mean())
    return histogram(counts, names, ticks, Marker(mean / top * 32, f"mean {mean:.2f} px"))


def bar_rows(rows: list[tuple[str, float, str]]) -> str:
    """Horizontal bars: (name, value >= 0, text behind the bar)."""
    peak = max([value for _, value, _ in rows], default=0) or 1
    lines = [
        f'<div class="row"><span class="name" title="{html.escape(name)}">{html.escape(name)}</span>'
        f'<span class="track"><span class="fill" style="width:{100 * value / peak:.1f}%"></span></span>'
        f'<span class="value">{html.escape(text)}</span></div>'
        for name, value, text in rows
    ]
    return f'<div class="rows">{"".join(lines)}</div>'


def heat_map(values: np.ndarray, names: list[str]) -> str:
    """Symmetric matrix (V, V) of counts; a cell's opacity grows with the logarithm of its count.

    Where there are too many to see, a cell shows the largest of a block of neighbours.
    """
    values, names = _blocks(values, names)
    size = len(values)
    peak = np.log1p(max(int(values.max()), 1)) if size else 1.0
    cells = []
    for i in range(size):
        for j in np.flatnonzero(values[i]):
            opacity = 0.12 + 0.88 * np.log1p(values[i, j]) / peak
            tip = f"{names[i]} and {names[j]}: {int(values[i, j]):,} matches"
            cells.append(
                f'<rect x="{j}" y="{i}" width="1" height="1" fill-opacity="{opacity:.2f}">'
                f"<title>{html.escape(tip)}</title></rect>"
            )
    edge = f'<rect class="frame" x="0" y="0" width="{size}" height="{size}"/>'
    return (
        f'<svg class="heat" viewBox="0 0 {size} {size}" role="img" shape-rendering="crispEdges">'
        f"{edge}{''.join(cells)}</svg>"
    )


def _blocks(values: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    block = -(-len(values) // _MAX_CELLS)
    if block <= 1:
        return values, names
    starts = np.arange(0, len(values), block)
    merged = np.maximum.reduceat(np.maximum.reduceat(values, starts, axis=0), starts, axis=1)
    last = [min(start + block, len(names)) - 1 for start in starts]
    return merged, [f"{names[a]} ... {names[b]}" for a, b in zip(starts, last)]


def arrows(starts: np.ndarray, steps: np.ndarray, names: list[str]) -> str:
    """Plan of dots at `starts` (N, 2), right and up, each with a line along its step of `steps` (N, 2).

    A bar below shows a round length in the unit of both; `names` are shown when a dot is pointed at.
    """
    ends = starts + steps
    low, high = np.minimum(starts, ends).min(axis=0), np.maximum(starts, ends).max(axis=0)
    scale = 1000 / float((high - low).max())
    width, height = ((high - low) * scale).round(1)
    a, b = (starts - low) * scale, (ends - low) * scale
    lines = "".join(
        f'<line class="step" x1="{x:.1f}" y1="{height - y:.1f}" x2="{u:.1f}" y2="{height - v:.1f}"/>'
        for (x, y), (u, v) in zip(a, b)
    )
    dots = "".join(
        f'<circle class="camera" cx="{x:.1f}" cy="{height - y:.1f}" r="9"><title>{html.escape(n)}</title></circle>'
        for (x, y), n in zip(a, names)
    )
    length = float(f"{250 / scale:.0e}")
    foot = height + 40
    bar = (
        f'<line class="scalebar" x1="0" x2="{length * scale:.1f}" y1="{foot:.1f}" y2="{foot:.1f}"/>'
        f'<text x="{length * scale + 12:.1f}" y="{foot + 9:.1f}">{length:g} m</text>'
    )
    return (
        f'<svg class="plan" viewBox="-12 -12 {width + 24} {height + 72}" role="img">{lines}{dots}{bar}</svg>'
    )


def top_view(
    points: np.ndarray, colors: np.ndarray, cameras: np.ndarray, names: list[str], limits: np.ndarray
) -> str:
    """Plan of the scene: `points` and `cameras` (N, 2) as right and up, `limits` (2, 2) low and high corner.

    At most a few thousand points are wanted here; the caller thins them out.
    """
    span = limits[1] - limits[0]
    scale = 1000 / float(span.max())
    width, height = (span * scale).round(1)
    xy = (points - limits[0]) * scale
    dots = [
        f'<circle cx="{x:.0f}" cy="{height - y:.0f}" r="3" fill="#{r:02x}{g:02x}{b:02x}"/>'
        for (x, y), (r, g, b) in zip(xy, colors)
        if 0 <= x <= width and 0 <= y <= height
    ]
    places = [
        f'<circle class="camera" cx="{x:.1f}" cy="{height - y:.1f}" r="13">'
        f"<title>{html.escape(n)}</title></circle>"
        for (x, y), n in zip((cameras - limits[0]) * scale, names)
    ]
    return (
        f'<svg class="plan" viewBox="-12 -12 {width + 24} {height + 24}" role="img">'
        f"<g>{''.join(dots)}</g><g>{''.join(places)}</g></svg>"
    )
