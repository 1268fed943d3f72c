"""Semi-global matching of a range of disparities: costs, sums over paths, the smallest, the check against the right.

Once, or at the images' size and at twice that: what the larger pair knows is taken where the smaller one does not
contradict it by more than a pixel.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from geo3d.stereo.cleaning import left_right_check, remove_speckles
from geo3d.stereo.costs import cost_volume, to_gray
from geo3d.stereo.one_pass import match_in_one_pass
from geo3d.stereo.options import ONE_PASS, SemiGlobalOptions
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
    margin : (H, W) float32
        Of `Winners`.
    """

    left: np.ndarray
    checked: np.ndarray
    margin: np.ndarray


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
    if options.paths == ONE_PASS:
        found = match_in_one_pass(left, right, low, count, options)
    else:
        costs = cost_volume(left, right, low, count, options)
        large = penalties(options.p1, options.p2, options.edge_levels)
        sums = aggregate(costs, to_gray(left), options.p1, large, options.paths)
        found = winners(sums, low, count, right.shape[1])
    smooth = cv2.medianBlur(found.left, 3)
    checked = np.empty_like(smooth)
    seen = np.where(np.isnan(found.right), np.float32(-1e6), found.right)
    left_right_check(smooth, cv2.medianBlur(seen, 3), np.float32(options.tolerance_px), checked)
    checked[found.margin < options.uniqueness] = np.nan
    return Matched(smooth, checked, found.margin)


_SPECKLE_STEP_PX = 2.0
_DOUBLED_SPECKLE_PX = 200


def match_clean(
    left: np.ndarray, right: np.ndarray, low: int, count: int, options: SemiGlobalOptions
) -> Matched:
    """Match, without speckles, at twice the size too if the options say so.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        Rectified; the widths may differ.
    low, count : int
        The range.
    options : SemiGlobalOptions
    """
    found = match_range(left, right, low, count, options)
    remove_speckles(found.checked, options.speckle_px, _SPECKLE_STEP_PX)
    if not options.doubled:
        return found
    cv2 = require("cv2")
    larger = [cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for image in (left, right)]
    fine = match_range(larger[0], larger[1], 2 * low, 2 * count, options)
    remove_speckles(fine.checked, _DOUBLED_SPECKLE_PX, _SPECKLE_STEP_PX)
    blocks = fine.checked.reshape(left.shape[0], 2, left.shape[1], 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of blocks that know nothing
        halved = np.float32(0.5) * np.nanmedian(blocks, axis=(1, 3))
        checked = np.where(np.isfinite(halved), halved, found.checked)
        checked[np.abs(halved - found.checked) > 1.0] = np.nan
    return Matched(found.left, checked.astype(np.float32), found.margin)
