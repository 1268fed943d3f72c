"""Semi-global matching of a range of disparities: costs, sums over paths, the smallest, the check against the right."""

from dataclasses import dataclass

import numpy as np

from geo3d.stereo.cleaning import left_right_check
from geo3d.stereo.costs import cost_volume, to_gray
from geo3d.stereo.options import SemiGlobalOptions
from geo3d.stereo.semi_global import aggregate, penalties
from geo3d.stereo.winner import winners
from geo3d.util.require import require


@dataclass(frozen=True, eq=False)
class Matched:
    """What matching alone says, before anything is cleaned or filled.

    Attributes
    ----------
    left : (H, W) float32
        Disparity of every pixel, px.
    checked : (H, W) float32
        The same where the right image agrees, NaN elsewhere.
    margin, sharpness : (H, W) float32
        Of `Winners`; the sharpness a path and a unit of the census weight.
    """

    left: np.ndarray
    checked: np.ndarray
    margin: np.ndarray
    sharpness: np.ndarray


def match_range(
    left: np.ndarray, right: np.ndarray, low: int, count: int, options: SemiGlobalOptions
) -> Matched:
    """Match the disparities low, low + 1, ..., low + count - 1.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        Rectified; the widths may differ.
    low, count : int
        The range.
    options : SemiGlobalOptions
    """
    cv2 = require("cv2")
    costs = cost_volume(left, right, low, count, options)
    large = penalties(options.p1, options.p2, options.edge_levels)
    sums = aggregate(costs, to_gray(left), options.p1, large, options.paths)
    found = winners(sums, low, count, right.shape[1])
    smooth = cv2.medianBlur(found.left, 3)
    checked = np.empty_like(smooth)
    seen = np.where(np.isnan(found.right), np.float32(-1e6), found.right)
    left_right_check(smooth, cv2.medianBlur(seen, 3), np.float32(options.tolerance_px), checked)
    return Matched(smooth, checked, found.margin, found.sharpness / (options.paths * options.census_weight))
