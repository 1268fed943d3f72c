"""The picture of how two calibrations differ: a map of pixels over the image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from geo3d.calibration.compare import Comparison
from geo3d.util.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = 10.0
_LEAST_PX = 1e-6  # of a difference that is one
_ARROWS = 16  # along the image


def write_comparison_png(path: str | os.PathLike, comparison: Comparison) -> None:
    """Write the map of a comparison: colour and contours say by how many pixels, arrows where to.

    Parameters
    ----------
    path : path
        Of the PNG.
    comparison : Comparison

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    camera = comparison.a
    width, height = camera.width, camera.height
    far = np.ma.masked_invalid(comparison.difference_px)
    top = max(float(far.max()), _LEAST_PX)
    bottom = max(min(float(np.percentile(far.compressed(), 5)), top / 10), _LEAST_PX / 10)
    figure = Figure(figsize=(_INCHES, (_INCHES - 1.6) * height / width + 1.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_facecolor("lightgrey")
    picture = axes.imshow(
        far, extent=(0, width, height, 0), cmap="viridis", norm=LogNorm(bottom, top), interpolation="bilinear"
    )
    levels = [level for level in _round_levels(bottom, top) if far.min() < level < far.max()]
    if levels:
        x, y = comparison.pixels[0, :, 0], comparison.pixels[:, 0, 1]
        contours = axes.contour(x, y, far, levels, colors="white", linewidths=0.8)
        axes.clabel(contours, fmt="%g px", fontsize=8)
    radius = comparison.options.trusted_radius * min(width, height) / 2
    middle = (width / 2, height / 2)
    axes.add_patch(Circle(middle, radius, fill=False, linestyle="--", edgecolor="white", linewidth=0.8))
    _draw_arrows(axes, comparison)
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel="x, pixels", ylabel="y, pixels")
    figure.colorbar(picture, ax=axes, label="difference, pixels", format="%g")
    lines = comparison.describe()
    axes.set_title(
        f"{lines[0]}\n{lines[1]}\n{lines[3]} (fitted within the dashed circle). Arrows show where to, not how far.",
        fontsize=9,
        loc="left",
    )
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=130, format="png")


def _draw_arrows(axes: Axes, comparison: Comparison) -> None:
    """Directions of the shift, of one length: what is a thousand times larger elsewhere would hide all others."""
    step = max(1, round(comparison.pixels.shape[1] / _ARROWS))
    rows = np.s_[step // 2 :: step, step // 2 :: step]
    at, shift = comparison.pixels[rows].reshape(-1, 2), comparison.shift_px[rows].reshape(-1, 2)
    size = np.linalg.norm(shift, axis=1, keepdims=True)
    seen = np.isfinite(size[:, 0]) & (size[:, 0] > _LEAST_PX)
    length = 0.5 * comparison.a.width / _ARROWS
    along = length * shift[seen] / size[seen]
    axes.quiver(
        *at[seen].T, *along.T, angles="xy", scale_units="xy", scale=1, color="white", alpha=0.6, width=0.002
    )


def _round_levels(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two numbers."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [k * 10.0**power for power in powers for k in (1, 2, 5) if low < k * 10.0**power < high]
