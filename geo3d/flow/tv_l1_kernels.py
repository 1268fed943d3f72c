"""The iterations of TV-L1 flow: a primal-dual method (Chambolle, Pock 2011, algorithm 1) on one linearisation.

    min_w  sum_p  lambda |rho_p + g_p . w_p| + |grad u_p| + |grad v_p|

With a dual vector of length at most 1 for each pixel and component, in turns

    q <- project(q + sigma grad wbar),    w' = prox(w + tau div q),    wbar = 2 w' - w,    w = w'

prox moves w' along g until rho + g . w' is zero, but by tau lambda |g| at most. grad is the forward difference, zero
beyond the border, and div minus its adjoint. sigma tau |grad|^2 <= 8 sigma tau < 1.
"""

import numba
import numpy as np

from geo3d.util.jit import njit

f4 = np.float32

STEP = 0.35  # tau and sigma
_FAST = {"fastmath": True, "error_model": "numpy"}


def primal_dual_reference(
    flow: np.ndarray,
    dual: np.ndarray,
    slopes: np.ndarray,
    rho: np.ndarray,
    attachment: float,
    iterations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Flow (2, H, W) and dual (2, 2, H, W) after some iterations, in NumPy; slopes (2, H, W), rho (H, W)."""
    flow, bar, dual = flow.astype(np.float64), flow.astype(np.float64), dual.astype(np.float64)
    tau = sigma = STEP
    for _ in range(iterations):
        ahead = np.zeros_like(dual)
        ahead[:, 0, :, :-1] = np.diff(bar, axis=2)
        ahead[:, 1, :-1] = np.diff(bar, axis=1)
        dual = dual + sigma * ahead
        dual /= np.maximum(1.0, np.sqrt((dual**2).sum(axis=1, keepdims=True)))
        dual[:, 0, :, -1] = dual[:, 1, -1] = 0.0
        divergence = np.diff(dual[:, 0], axis=2, prepend=0.0) + np.diff(dual[:, 1], axis=1, prepend=0.0)
        moved = flow + tau * divergence
        square = (slopes**2).sum(axis=0)
        miss = rho + (slopes * moved).sum(axis=0)
        along = np.clip(-miss / np.maximum(square, 1e-12), -tau * attachment, tau * attachment)
        moved = moved + along * slopes
        flow, bar = moved, 2.0 * moved - flow
    return flow, dual


@njit(**_FAST)
def _ascend_row(bar, dual, y, sigma):
    """The dual of a row, both components."""
    height, width = bar.shape[1], bar.shape[2]
    down = min(y + 1, height - 1)
    for c in range(2):
        for x in range(width - 1):
            a = dual[c, 0, y, x] + sigma * (bar[c, y, x + 1] - bar[c, y, x])
            b = dual[c, 1, y, x] + sigma * (bar[c, down, x] - bar[c, y, x])
            shrink = f4(1) / np.sqrt(max(f4(1), a * a + b * b))
            dual[c, 0, y, x], dual[c, 1, y, x] = a * shrink, b * shrink
        b = dual[c, 1, y, width - 1] + sigma * (bar[c, down, width - 1] - bar[c, y, width - 1])
        dual[c, 0, y, width - 1], dual[c, 1, y, width - 1] = f4(0), min(max(b, f4(-1)), f4(1))


@njit(**_FAST)
def _descend_row(flow, bar, dual, slopes, rho, y, tau, most):
    """The flow of a row, and the point beyond it."""
    above = y - 1 if y > 0 else flow.shape[1] - 1  # the last row's dual is zero downwards
    p, q = dual[0], dual[1]
    for x in range(flow.shape[2]):
        left = max(x - 1, 0)
        keep = f4(1) if x > 0 else f4(0)
        u, v = flow[0, y, x], flow[1, y, x]
        a = u + tau * (p[0, y, x] - keep * p[0, y, left] + p[1, y, x] - p[1, above, x])
        b = v + tau * (q[0, y, x] - keep * q[0, y, left] + q[1, y, x] - q[1, above, x])
        gx, gy = slopes[0, y, x], slopes[1, y, x]
        miss = rho[y, x] + gx * a + gy * b
        along = min(max(-miss / max(gx * gx + gy * gy, f4(1e-12)), -most), most)
        a, b = a + along * gx, b + along * gy
        flow[0, y, x], flow[1, y, x] = a, b
        bar[0, y, x], bar[1, y, x] = f4(2) * a - u, f4(2) * b - v


@njit(parallel=True, **_FAST)
def primal_dual(flow, bar, dual, slopes, rho, attachment, iterations):
    """Iterate in place on flow (2, H, W) and dual (2, 2, H, W), as `primal_dual_reference`; bar (2, H, W) is work.

    The last row of the dual has to be zero downwards.
    """
    height = flow.shape[1]
    tau = f4(STEP)
    bar[:] = flow
    for _ in range(iterations):
        for y in numba.prange(height):
            _ascend_row(bar, dual, y, tau)
        for y in numba.prange(height):
            _descend_row(flow, bar, dual, slopes, rho, y, tau, tau * attachment)
