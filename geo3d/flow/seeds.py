"""Large motions of small things: matches that replace the flow on a small level, where it does not fit.

What is smaller than its motion vanishes on the levels where that motion is small, and a flow refined from coarse to
fine misses it. So on one level, where the flow explains the image badly, all motions are tried; what is found spreads
along things of one colour; and it is believed if it fits much better, leads back from the other image, and covers
more than a speck. (Brox, Malik 2011, and Xu, Jia, Matsushita, "Motion detail preserving optical flow estimation", 2012,
bring such motions in from matches of descriptors.)
"""

from dataclasses import dataclass

import numpy as np

from geo3d.flow import seed_kernels as kernels
from geo3d.util.require import require

_ROUNDS_APART = (1, 4, 2, 8, 1, 3)  # pixels, of the neighbours asked in each round of propagation


@dataclass(frozen=True)
class SeedOptions:
    """The search for motions that the coarse levels have lost; pixels are those of its level.

    Attributes
    ----------
    largest_side_px : int
        It is done on the largest level whose shorter side is at most this.
    reach : float
        Largest motion that is looked for, as a share of the longer side.
    misfit, misfit_offset : float
        Pixels that cost more than `misfit` times the median cost plus `misfit_offset` are looked at.
    gain : float
        A motion has to cost less than this share of what the flow costs.
    highest_cost : float
        And less than this.
    smallest_px : int
        Area that such motions have to cover together.
    back_px : float
        The search from the other image has to lead back to within this.
    """

    largest_side_px: int = 160
    reach: float = 0.125
    misfit: float = 2.0
    misfit_offset: float = 1.5
    gain: float = 0.7
    highest_cost: float = 15.0
    smallest_px: int = 15
    back_px: float = 1.0


@dataclass(frozen=True, eq=False)
class Seeds:
    """Motions found.

    Attributes
    ----------
    flow : (2, H, W) float32
        The flow with them in it.
    found : (H, W) bool
        Where they are.
    """

    flow: np.ndarray
    found: np.ndarray


def match_features(image: np.ndarray) -> np.ndarray:
    """Features (H, W, 5) of an image (H, W, 3) in levels of 255: CIE Lab times 0.4, and the slopes of L."""
    cv2 = require("cv2")
    lab = cv2.cvtColor(image * np.float32(1.0 / 255.0), cv2.COLOR_RGB2Lab)
    light = np.ascontiguousarray(lab[..., 0])
    slopes = [cv2.Scharr(light, cv2.CV_32F, *axis, scale=1.0 / 32.0) for axis in ((1, 0), (0, 1))]
    return np.ascontiguousarray(np.dstack([lab * np.float32(0.4), *slopes]))


def find_seeds(image0: np.ndarray, image1: np.ndarray, flow: np.ndarray, options: SeedOptions) -> Seeds:
    """Look for better motions where the flow does not fit.

    Parameters
    ----------
    image0, image1 : (H, W, 3) float32
        Of one level, in levels of 255.
    flow : (2, H, W) float32
    options : SeedOptions
    """
    cv2 = require("cv2")
    first, second = match_features(image0), match_features(image1)
    before = np.empty(flow.shape[1:], np.float32)
    kernels.motion_costs(first, second, flow, before)
    misfit = before > options.misfit * np.median(before) + options.misfit_offset
    where = cv2.dilate(misfit.astype(np.uint8), np.ones((5, 5), np.uint8))
    new, costs = _search(first, second, where, flow, before, options)
    found = (costs < np.minimum(options.gain * before - 0.5, options.highest_cost)) & (where != 0)
    found &= _leads_back(first, second, new, found, options)
    _count, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    found &= stats[labels, cv2.CC_STAT_AREA] >= options.smallest_px
    return Seeds(np.where(found, new, flow), found)


def _search(
    first: np.ndarray,
    second: np.ndarray,
    where: np.ndarray,
    flow: np.ndarray,
    costs: np.ndarray,
    options: SeedOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Flow and costs after trying everything at some pixels of `where`, and spreading what was found."""
    flow, costs = flow.copy(), costs.copy()
    reach = round(options.reach * max(costs.shape))
    kernels.search_everywhere(first, second, where, reach, flow, costs)
    other_flow, other_costs = np.empty_like(flow), np.empty_like(costs)
    for apart in _ROUNDS_APART:
        kernels.propagate(
            first, second, where, flow, costs, apart, np.float32(2.0), 2, other_flow, other_costs
        )
        flow, other_flow, costs, other_costs = other_flow, flow, other_costs, costs
    return flow, costs


def _leads_back(
    first: np.ndarray, second: np.ndarray, flow: np.ndarray, found: np.ndarray, options: SeedOptions
) -> np.ndarray:
    """Where a search from image 1, from where `found` motions lead, finds the way back: (H, W) bool."""
    cv2 = require("cv2")
    height, width = found.shape
    y, x = np.nonzero(found)
    u, v = flow[:, y, x]
    to_x = np.clip(np.rint(x + u).astype(int), 0, width - 1)
    to_y = np.clip(np.rint(y + v).astype(int), 0, height - 1)
    where = np.zeros((height, width), np.uint8)
    where[to_y, to_x] = 1
    where = cv2.dilate(where, np.ones((3, 3), np.uint8))
    costs = np.full((height, width), np.inf, np.float32)
    back, _ = _search(second, first, where, np.zeros_like(flow), costs, options)
    good = np.zeros_like(found)
    good[y, x] = np.hypot(back[0, to_y, to_x] + u, back[1, to_y, to_x] + v) < options.back_px
    return good
