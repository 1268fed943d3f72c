"""The sections of a calibration's report that are drawings: maps over the image (`calibration_maps`) and photos
(`calibration_pictures`), each with an explanation for a reader who sees the like for the first time.
"""

from __future__ import annotations

import numpy as np

from geo3d.calibration.advice_rules import has_pattern
from geo3d.calibration.board_shape import depths
from geo3d.calibration.coverage import SIDES, residual_cells
from geo3d.viz import calibration_maps as maps
from geo3d.viz.calibration_pictures import straightened
from geo3d.viz.calibration_sections import CameraView
from geo3d.viz.charts import error_histogram
from geo3d.viz.page import escaped, figure, pairs_section

_SHAPE_CELLS = 28  # along the board
_STRONGEST_PERCENTILE = 98.0  # of the uncertainty: a few pixels in a corner would pale all others


def coverage(view: CameraView) -> str:
    """Where in the image the board was, and how it was tilted.

    Parameters
    ----------
    view : CameraView
    """
    counts = ", ".join(f"{side} {count}" for side, count in zip(SIDES, view.coverage.tilted_to.sum(axis=0)))
    return pairs_section(
        "Where the board was",
        figure(
            "Over the image",
            maps.coverage_map(view.evidence, view.coverage),
            "Every point of the board in every photo, and how many lie in each ninth of the image. The lens is "
            "measured where points are; where there are none (red), it is extrapolated.",
        ),
        figure(
            "Tilts",
            maps.tilt_plot(view.evidence, view.coverage),
            "Each dot is a photo: its direction says which edge of the board is nearer, its distance from the "
            "middle by how much the board is tilted. Dots should lie on all sides, beyond the dashed circle of "
            f"20 degrees. Beyond it are: {counts}.",
        ),
    )


def errors(view: CameraView) -> str:
    """Errors over the image, their histogram, and what is uncertain.

    Parameters
    ----------
    view : CameraView
    """
    evidence = view.evidence
    cells = residual_cells(evidence)
    arrows, larger = maps.residual_arrows(evidence)
    means, larger_means = maps.residual_map(evidence, cells)
    size, chance = cells.pattern
    if has_pattern(cells):
        said = "the lens model does not quite follow the lens, or the board changed its shape"
    else:
        said = "no more than chance, so there is no pattern"
    seen = evidence.errors_px[np.isfinite(evidence.errors_px)]
    return pairs_section(
        "How well it fits",
        figure(
            "Error of every point",
            arrows,
            f"From where a point was found to where the camera puts it, {larger:g} times enlarged. Lines that "
            "point all ways are noise; neighbours that point the same way are something that the lens model "
            "misses.",
        ),
        figure(
            "Mean error in parts of the image",
            means,
            f"Noise averages out; what is left, {larger_means:g} times enlarged and from the dot outwards, is "
            f"systematic. Typically it is {size:.2f} pixels, where chance makes {chance:.2f}: {said}.",
        ),
        figure(
            "All errors",
            error_histogram(seen),
            f"Pixels between found and projected, for all {len(seen):,} points. A good calibration has its "
            "peak at a tenth to three tenths of a pixel and a short tail.",
        ),
        _uncertainty(view),
    )


def _uncertainty(view: CameraView) -> str:
    grid, camera = view.evidence.shown_uncertainty_px, view.evidence.camera
    if grid is None:
        return ""
    far = view.entry.uncertainty_distance_m
    drawing = maps.value_map(
        grid, camera.width, camera.height, "px", "uncertainty of the projection", _STRONGEST_PERCENTILE
    )
    return figure(
        f"Uncertainty of a point {'far away' if far is None else f'{far:g} m away'}",
        drawing,
        "By how many pixels the image of a point would typically change if all photos were taken again, with "
        "other noise. It grows where no board was. What the lens model cannot follow is not in it: see the "
        "mean errors above.",
    )


def undistorted(view: CameraView) -> str:
    """A photo before and after its distortion was taken out.

    Parameters
    ----------
    view : CameraView
    """
    made = straightened(view.evidence, view.entry.photos)
    if made is None:
        return ""
    return pairs_section(
        "Without distortion",
        figure(
            "As the camera took it",
            made.before,
            f"{made.name}. The lines are straight, from end to end of each row of points; the rows bend away "
            f"from them by up to {made.bend_px:.1f} pixels.",
        ),
        figure(
            "As a lens without distortion would have",
            made.after,
            f"What is straight in the world is straight: the rows stay within {made.left_px:.1f} pixels of the "
            "lines. geo3d undistort does this to photos.",
        ),
    )


def board(view: CameraView) -> str:
    """What the board is, and its shape.

    Parameters
    ----------
    view : CameraView
    """
    evidence = view.evidence
    if evidence.metric:
        label, lengths = (
            evidence.target.label,
            "Its lengths are as given: the camera does not depend on them, distances do.",
        )
    else:
        label, lengths = (
            evidence.target.label.split(",")[0],
            (
                "Its lengths are not given. That makes no difference to the camera, but no distance is known "
                "in metres."
            ),
        )
    words = f"<div><h3>What it is</h3><p>{escaped(label)}</p><p class=lead>{escaped(lengths)}</p></div>"
    return pairs_section("The board", _shape(view), words)


def _shape(view: CameraView) -> str:
    evidence = view.evidence
    if not len(evidence.shape):
        return ""
    low, high = evidence.target.points[:, :2].min(axis=0), evidence.target.points[:, :2].max(axis=0)
    width, height = high - low
    rows = max(2, round(_SHAPE_CELLS * height / width))
    x, y = np.meshgrid(np.linspace(low[0], high[0], _SHAPE_CELLS), np.linspace(low[1], high[1], rows))
    grid = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    depth = depths(grid, evidence.shape).reshape(x.shape)
    scale, unit = (
        (1000.0, "mm") if evidence.metric else (100 / max(evidence.target.size_m), "% of its length")
    )
    return figure(
        "How far its face is from flat",
        maps.value_map(scale * (depth - depth.min()), width, height, unit, "shape of the board"),
        "As the photos show it: the stronger the colour, the farther back from someone who faces it. It was "
        "found together with the lens, and does no harm if it was the same in all photos.",
    )
