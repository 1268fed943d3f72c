"""At which size photos are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geo3d.render.views import PosedView

LONGEST_SIDE_PX = 800
"""Photos are reduced to at most this unless told otherwise: what a CPU learns in minutes is not finer."""

LEAST_SIDE_PX = 16
"""Photos keep at least so many pixels a side: SSIM has a window of 11."""


def chosen_downscale(views: Sequence[PosedView], asked: float | None = None) -> float:
    """Factor by which the photos are reduced: the one asked for, or the least power of two that is small enough.

    Parameters
    ----------
    views : sequence of PosedView
        All, also those held out.
    asked : float, optional
        The factor that the user wants.

    Raises
    ------
    ValueError
        If a photo is too small to be measured, or the factor asked for makes it so.
    """
    small = min(views, key=lambda view: min(view.camera.width, view.camera.height))
    side = min(small.camera.width, small.camera.height)
    if side < LEAST_SIDE_PX:
        raise ValueError(
            f"{small.name} has {small.camera.width}x{small.camera.height} pixels; expected at least {LEAST_SIDE_PX} a "
            "side: leave it out of the scene"
        )
    most = side / LEAST_SIDE_PX
    if asked is not None:
        if asked > most:
            raise ValueError(
                f"downscale is {asked:g}, which leaves {side / asked:.0f} of the {side} pixels "
                f"of {small.name}; at most {np.floor(10 * most) / 10:g} leaves enough"
            )
        return asked
    longest = max(max(view.camera.width, view.camera.height) for view in views)
    factor = 1.0
    while longest / factor > LONGEST_SIDE_PX and 2 * factor <= most:
        factor *= 2
    return factor
