"""Pictures of disparity and depth: turbo colours with a legend, and what is wrong beside the truth."""

import numpy as np

from geo3d.util.require import require

_LEGEND_PX = 64
_UNKNOWN = (30, 30, 30)
_TICKS = 5


def color_map(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(H, W, 3) uint8 RGB in Google's turbo colours: `low` blue, `high` red, NaN dark.

    Parameters
    ----------
    values : (H, W)
    low, high : float
        Ends of the colours; what lies outside has the colour of the end.
    """
    cv2 = require("cv2")
    known = np.isfinite(values)
    scaled = np.clip((np.where(known, values, low) - low) / max(high - low, 1e-12), 0.0, 1.0)
    colors = cv2.applyColorMap(np.round(255 * scaled).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
    colors[~known] = _UNKNOWN
    return colors


def value_figure(
    values: np.ndarray, label: str, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """A map in colours with a legend at its right, (H, W + legend, 3) uint8 RGB.

    Parameters
    ----------
    values : (H, W)
        NaN where not known.
    label : str
        What it is, with its unit; stands on the legend.
    low, high : float, optional
        Ends of the colours; the 1st and 99th percentile where left out.
    """
    cv2 = require("cv2")
    known = values[np.isfinite(values)]
    if low is None:
        low = float(np.percentile(known, 1)) if len(known) else 0.0
    if high is None:
        high = float(np.percentile(known, 99)) if len(known) else 1.0
    height = values.shape[0]
    scale = max(height / 500.0, 0.4)
    width = round(_LEGEND_PX * scale * 1.4)
    legend = np.full((height, width, 3), 255, np.uint8)
    top, bottom = round(34 * scale), height - round(14 * scale)
    bar = np.linspace(high, low, max(bottom - top, 1))[:, None]
    legend[top : top + len(bar), round(6 * scale) : round(24 * scale)] = color_map(bar, low, high)
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(scale))
    for k in range(_TICKS):
        share = k / (_TICKS - 1)
        y = round(top + share * (bottom - top) + 4 * scale)
        text = f"{high + share * (low - high):.3g}"
        cv2.putText(
            legend, text, (round(28 * scale), y), font, 0.42 * scale, (0, 0, 0), thickness, cv2.LINE_AA
        )
    cv2.putText(
        legend,
        label,
        (round(4 * scale), round(18 * scale)),
        font,
        0.42 * scale,
        (0, 0, 0),
        thickness,
        cv2.LINE_AA,
    )
    return np.concatenate([color_map(values, low, high), legend], axis=1)


def error_figure(disparity: np.ndarray, truth: np.ndarray, limit_px: float = 2.0) -> np.ndarray:
    """|disparity - truth| in colours from 0 to twice the limit; black: no disparity, white: no truth.

    Parameters
    ----------
    disparity, truth : (H, W)
    limit_px : float
        Error that counts as bad: the middle of the colours.
    """
    colors = color_map(np.abs(disparity - truth), 0.0, 2.0 * limit_px)
    colors[~np.isfinite(disparity)] = 0
    colors[~np.isfinite(truth)] = 255
    return colors
