"""The steadiest path of a crop window through a shaken shot: least L1 norms of its speed, its change and the next.

Frame i is shown through a window B_i, a similarity from the output to the frame, `z -> g_i z + d_i` with pixels as
complex numbers. What stands still moves in the output by

    r_i = F_i B_i+1 - B_i,    F_i from frame i + 1 to frame i

which is linear in (g, d). Minimised is  10 |r| + |r_i+1 - r_i| + 100 |r_i+2 - 2 r_i+1 + r_i|  over all frames, so that
the path is made of pieces that stand still, glide evenly or speed up evenly, as a cameraman with a tripod and a dolly
would have it; the corners of the window stay within the frame, which is linear too: a linear programme. A small weight
on (g - 1, d) keeps the window in the middle and upright where nothing else decides.

Grundmann, Kwatra, Essa: "Auto-directed video stabilization with robust L1 optimal camera paths", CVPR 2011.
"""

from typing import Any

import numpy as np

_WEIGHTS = (10.0, 1.0, 100.0)  # of the first, second and third differences
_CHUNK, _OVERLAP, _TIED = (
    300,
    60,
    3,
)  # frames solved at once, solved again in the next part, held from the last one
_CENTRED = 0.01  # weight of the distance from the upright window in the middle
_ZOOM, _TURN = (1.0, 1.05), 0.15  # sizes that a window may have, and turn (radians, about)


def smooth_path(
    steps: np.ndarray, size: tuple[float, float], window: float, margins: np.ndarray
) -> np.ndarray:
    """Windows of the frames of a shot.

    Parameters
    ----------
    steps : (N - 1, 3, 3)
        Similarity from each frame to the next, of pixels from the middle of the frame.
    size : (width, height)
        Of the frames, pixels.
    window : float
        Share of the width and height that the window has, below 1.
    margins : (N,)
        Pixels along the border of each frame that the window keeps away from; less than `window` leaves.

    Returns
    -------
    (N, 4) float64
        Real and imaginary part of g and d, d in pixels from the middle.
    """
    unit = 0.5 * float(np.hypot(*size))
    inverse = np.linalg.inv(steps) if len(steps) else np.zeros((0, 3, 3))
    alpha = inverse[:, 0, 0] + 1j * inverse[:, 1, 0]
    beta = (inverse[:, 0, 2] + 1j * inverse[:, 1, 2]) / unit
    half = np.array(size) / (2.0 * unit)
    count = len(margins)
    windows = np.zeros((count, 4))
    start, tied = 0, 0
    while True:
        end = min(start + _CHUNK, count)
        part = slice(start, end)
        limits = half - margins[part, None] / unit
        windows[part] = _solve(
            alpha[start : end - 1],
            beta[start : end - 1],
            limits,
            window * half,
            windows[start : start + tied],
        )
        if end == count:
            break
        start, tied = end - _OVERLAP, _TIED
    windows[:, 2:] *= unit
    return windows


def _solve(
    alpha: np.ndarray, beta: np.ndarray, limits: np.ndarray, half: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """(n, 4): the linear programme; the first windows are held at `known`."""
    from scipy import sparse
    from scipy.optimize import linprog

    count = len(limits)
    residual, offset = _residuals(alpha, beta)
    upright = np.tile([1.0, 0.0, 0.0, 0.0], count)
    blocks, constants, costs = [sparse.identity(4 * count)], [-upright], [np.full(4 * count, _CENTRED)]
    for weight in _WEIGHTS:
        if not residual.shape[0]:
            break
        blocks.append(residual)
        constants.append(offset)
        costs.append(np.full(len(offset), weight))
        residual, offset = residual[4:] - residual[:-4], offset[4:] - offset[:-4]
    rows = sum(len(constant) for constant in constants)
    equal = sparse.hstack(
        [sparse.vstack(blocks), -sparse.identity(rows), sparse.identity(rows)], format="csc"
    )
    inside, bound = _containment(limits, half)
    inside = sparse.hstack([inside, sparse.csc_matrix((inside.shape[0], 2 * rows))], format="csc")
    low = np.tile([_ZOOM[0], -_TURN, -1.0, -1.0], (count, 1))
    high = np.tile([_ZOOM[1], _TURN, 1.0, 1.0], (count, 1))
    low[: len(known)] = known - 1e-9
    high[: len(known)] = known + 1e-9
    weights = np.concatenate(costs)
    found = linprog(
        np.concatenate([np.zeros(4 * count), weights, weights]),
        A_ub=inside,
        b_ub=bound + 1e-6,
        A_eq=equal,
        b_eq=-np.concatenate(constants),
        bounds=np.concatenate(
            [np.stack([low.ravel(), high.ravel()], 1), np.tile([0.0, np.inf], (2 * rows, 1))]
        ),
        method="highs",
    )
    assert found.x is not None, found.message  # the upright window in the middle is always allowed
    return found.x[: 4 * count].reshape(count, 4)


def _residuals(alpha: np.ndarray, beta: np.ndarray) -> tuple[Any, np.ndarray]:
    """Matrix (4 (n - 1), 4 n) and constant of r_i = alpha_i g_i+1 - g_i, alpha_i d_i+1 + beta_i - d_i."""
    from scipy import sparse

    count = len(alpha)
    re, im = np.real(alpha), np.imag(alpha)
    turned = np.zeros((count, 4, 4))
    turned[:, 0, 0] = turned[:, 1, 1] = turned[:, 2, 2] = turned[:, 3, 3] = re
    turned[:, 0, 1] = turned[:, 2, 3] = -im
    turned[:, 1, 0] = turned[:, 3, 2] = im
    i, r, c = np.meshgrid(np.arange(count), np.arange(4), np.arange(4), indexing="ij")
    shape = (4 * count, 4 * (count + 1))
    after = sparse.csc_matrix((turned.ravel(), ((4 * i + r).ravel(), (4 * i + 4 + c).ravel())), shape)
    here = sparse.csc_matrix((np.ones(4 * count), (np.arange(4 * count), np.arange(4 * count))), shape)
    offset = np.zeros((count, 4))
    offset[:, 2], offset[:, 3] = np.real(beta), np.imag(beta)
    return (after - here).tocsr(), offset.ravel()


def _containment(limits: np.ndarray, half: np.ndarray) -> tuple[Any, np.ndarray]:
    """Matrix and bound of: every corner of the window is within the limits of its frame."""
    from scipy import sparse

    rows = []
    for x, y in ((-half[0], -half[1]), (half[0], -half[1]), (-half[0], half[1]), (half[0], half[1])):
        rows += [[x, -y, 1.0, 0.0], [y, x, 0.0, 1.0]]
    corner = np.array(rows)  # (8, 4): x and y of each corner
    both = np.concatenate([corner, -corner])
    matrix = sparse.kron(sparse.identity(len(limits)), both, format="csc")
    return matrix, np.tile(limits, (1, 8)).ravel()
