"""What of image0 is hidden in image1: without a flow back, by who else lands there, and with one, by whether it agrees.

Without: a pixel that lands where others land too, of which one with another flow fits better, is hidden (mapping
uniqueness; Xu et al., "Motion detail preserving optical flow estimation", 2012). So is one whose colours are not
those that it lands on, and one that leaves the image.

With: |f01(p) + f10(p + f01(p))|^2 < 0.01 (|f01|^2 + |f10|^2) + 0.5 where a pixel is seen in both (Sundaram et al.,
"Dense point trajectories by GPU-accelerated large displacement optical flow", 2010).
"""

from dataclasses import dataclass

import numba
import numpy as np

from geo3d.flow.checks import as_flow, same_size
from geo3d.flow.claims import claim_targets
from geo3d.flow.residual import Residual
from geo3d.flow.splat import splat_forward
from geo3d.flow.warp import leaves_image, warp_backward
from geo3d.util.jit import njit

_CROWDED = np.float32(1.3)  # pixels that land on one
_OTHER_PX = np.float32(1.0)  # difference of flow, from which it is another surface
_OTHER_COLORS = 25.0 / 255.0
_NOISE_TIMES = 3.0


@dataclass(frozen=True, eq=False)
class Consistency:
    """How well a flow and the one back agree.

    Attributes
    ----------
    occlusion : (H, W) bool
        Where they do not, or the flow leaves the image or is not known.
    error_px : (H, W) float32
        |f01(p) + f10(p + f01(p))|, pixels; NaN where the flow leaves the image or is not known.
    """

    occlusion: np.ndarray
    error_px: np.ndarray


def consistency(
    flow01: np.ndarray, flow10: np.ndarray, relative: float = 0.01, least_px2: float = 0.5
) -> Consistency:
    """Follow a flow and the one back, and see how far from home that leads.

    Parameters
    ----------
    flow01, flow10 : (H, W, 2)
        From image 0 to image 1, and back; pixels.
    relative, least_px2 : float
        The squared error allowed: `relative` (|f01|^2 + |f10|^2) + `least_px2`, square pixels.

    Returns
    -------
    Consistency

    Raises
    ------
    ValueError
        If a shape is another.
    """
    flow01, flow10 = as_flow(flow01, "flow01"), as_flow(flow10, "flow10")
    same_size(flow01=flow01, flow10=flow10)
    back = warp_backward(flow10, flow01)
    back[leaves_image(flow01)] = np.nan
    squared = ((flow01 + back) ** 2).sum(axis=2)
    allowed = relative * ((flow01**2).sum(axis=2) + (back**2).sum(axis=2)) + least_px2
    return Consistency(~(squared <= allowed), np.sqrt(squared))


def estimate_occlusion(flow: np.ndarray, residual: Residual) -> np.ndarray:
    """What of image0 is hidden in image1 or leaves it, without a flow back.

    Parameters
    ----------
    flow : (H, W, 2) float32
        From image0 to image1, finite.
    residual : Residual
        Of `warp_residual`.

    Returns
    -------
    (H, W) bool
    """
    landed, least = claim_targets(flow, residual.near)
    landings = splat_forward(residual.near, flow).weight
    limit = max(_OTHER_COLORS, _NOISE_TIMES * residual.typical)
    hidden = np.empty(flow.shape[:2], np.bool_)
    _hidden(flow, residual.near, landed, least, landings, np.float32(limit), hidden)
    return hidden


@njit(parallel=True, error_model="numpy")
def _hidden(flow, residual, landed, least, landings, limit, hidden):
    height, width = residual.shape
    for y in numba.prange(height):
        for x in range(width):
            u, v = flow[y, x, 0], flow[y, x, 1]
            at_x, at_y = np.float32(x) + u, np.float32(y) + v
            inside = np.float32(-0.5) <= at_x <= np.float32(width) - np.float32(0.5)
            inside = inside and np.float32(-0.5) <= at_y <= np.float32(height) - np.float32(0.5)
            if not inside or residual[y, x] > limit:
                hidden[y, x] = True
                continue
            at_x = min(max(at_x, np.float32(0.0)), np.float32(width - 1))
            at_y = min(max(at_y, np.float32(0.0)), np.float32(height - 1))
            x0, y0 = np.int64(at_x), np.int64(at_y)
            x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
            fx, fy = at_x - np.float32(x0), at_y - np.float32(y0)
            above = landings[y0, x0] + fx * (landings[y0, x1] - landings[y0, x0])
            below = landings[y1, x0] + fx * (landings[y1, x1] - landings[y1, x0])
            column = x1 if fx >= np.float32(0.5) else x0
            row = y1 if fy >= np.float32(0.5) else y0
            du, dv = landed[row, column, 0] - u, landed[row, column, 1] - v
            other = du * du + dv * dv > _OTHER_PX * _OTHER_PX and least[row, column] < residual[y, x]
            hidden[y, x] = other and above + fy * (below - above) > _CROWDED
