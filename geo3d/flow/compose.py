"""Flows one after the other, and back.

compose   f02(p) = f01(p) + f12(p + f01(p))
invert    f10(q) = -f01(q + f10(q)),  solved by iterating it from what lands on q
"""

import numba
import numpy as np

from geo3d.flow.checks import as_flow, same_size
from geo3d.flow.claims import claim_targets
from geo3d.flow.warp import leaves_image, warp_backward
from geo3d.util.jit import njit

_ITERATIONS = 10
_CONVERGED_PX = np.float32(1e-3)
_STRAYED_PX = np.float32(1.5)  # from what landed on a pixel: the iteration went to another surface


def compose_flows(flow01: np.ndarray, flow12: np.ndarray) -> np.ndarray:
    """Flow from image 0 to image 2, of those from 0 to 1 and from 1 to 2.

    Parameters
    ----------
    flow01, flow12 : (H, W, 2)
        Pixels.

    Returns
    -------
    (H, W, 2) float32
        NaN where either is not known, and where the first leads out of image 1.

    Raises
    ------
    ValueError
        If a shape is another.

    Examples
    --------
    >>> import numpy as np
    >>> right, down = np.zeros((2, 4, 2), np.float32), np.zeros((2, 4, 2), np.float32)
    >>> right[..., 0], down[..., 1] = 1, 2
    >>> compose_flows(right, down)[0].tolist()
    [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [nan, nan]]
    """
    flow01, flow12 = as_flow(flow01, "flow01"), as_flow(flow12, "flow12")
    same_size(flow01=flow01, flow12=flow12)
    both = flow01 + warp_backward(flow12, flow01)
    both[leaves_image(flow01)] = np.nan
    return both


def invert_flow(flow01: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Flow from image 1 to image 0, of that from 0 to 1.

    Parameters
    ----------
    flow01 : (H, W, 2)
        Pixels.
    weights : (H, W), optional
        Where several pixels land on one, that of the largest weight is taken: give `~occlusion`, or the confidence.
        Pixels of weight 0 or NaN are left out.

    Returns
    -------
    (H, W, 2) float32
        NaN where nothing lands: what of image 1 was hidden in image 0 or outside of it.

    Raises
    ------
    ValueError
        If a shape is another.
    """
    flow01 = as_flow(flow01, "flow01")
    if weights is None:
        cost = np.zeros(flow01.shape[:2], np.float32)
    else:
        weights = np.asarray(weights, np.float32)
        same_size(flow01=flow01, weights=weights)
        cost = np.where(weights > 0.0, -weights, np.float32(np.inf))
    landed, _ = claim_targets(flow01, cost)
    inverse = -landed
    _solve(flow01, inverse)
    return inverse


@njit(parallel=True, error_model="numpy")
def _solve(flow, inverse):
    """Iterate g = -f(q + g) from each start in `inverse`; a start is kept where it does not converge nearby."""
    height, width, _ = flow.shape
    for y in numba.prange(height):
        for x in range(width):
            u, v = inverse[y, x, 0], inverse[y, x, 1]
            if not (abs(u) < np.float32(1e6) and abs(v) < np.float32(1e6)):
                continue
            for _ in range(_ITERATIONS):
                at_x = min(max(np.float32(x) + u, np.float32(0.0)), np.float32(width - 1))
                at_y = min(max(np.float32(y) + v, np.float32(0.0)), np.float32(height - 1))
                x0, y0 = np.int64(at_x), np.int64(at_y)
                x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
                fx, fy = at_x - np.float32(x0), at_y - np.float32(y0)
                gx, gy = np.float32(1.0) - fx, np.float32(1.0) - fy
                a, b, c, d = gx * gy, fx * gy, gx * fy, fx * fy
                nu = -(a * flow[y0, x0, 0] + b * flow[y0, x1, 0] + c * flow[y1, x0, 0] + d * flow[y1, x1, 0])
                nv = -(a * flow[y0, x0, 1] + b * flow[y0, x1, 1] + c * flow[y1, x0, 1] + d * flow[y1, x1, 1])
                moved = max(abs(nu - u), abs(nv - v))
                u, v = nu, nv
                if not moved > _CONVERGED_PX:
                    break
            if (
                moved <= _CONVERGED_PX
                and max(abs(u - inverse[y, x, 0]), abs(v - inverse[y, x, 1])) < _STRAYED_PX
            ):
                inverse[y, x, 0], inverse[y, x, 1] = u, v
