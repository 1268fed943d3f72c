"""What a residual costs in RANSAC and in its refinement: `rho(s)`, `s = (r / max_error)^2`, constant beyond s = 1.

MSAC is `rho = s` (Torr and Zisserman 2000). MAGSAC++ marginalises over the noise scale (Barath et al., CVPR 2020, for
residuals of four degrees of freedom): `rho = gamma(5/2, x)/2 + x/2 (Gamma(3/2, x) - Gamma(3/2, x_max))` with
`x = x_max s` and `x_max` half the 0.99 quantile of chi squared, scaled to rho(1) = 1.

Both are given to the kernels as coefficients of one polynomial in s without constant term, so that one compiled loop
serves both, vectorises, and has its derivative (the weight of the reweighted refinement) at hand. For MAGSAC++ that is
a fit of degree seven, monotone, flat at s = 1, within 0.002 of the formula.
"""

import numpy as np

from geo3d.util.jit import njit

DEGREE = 7
_MSAC = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_MAGSAC = (4.657125, -7.119066, -3.101832, 26.43959, -38.643792, 25.028721, -6.260746)
SCORES = {"msac": _MSAC, "magsac": _MAGSAC}


def score_coefficients(name: str) -> np.ndarray:
    """Coefficients (DEGREE,) of s, s^2, ... of the score.

    Raises
    ------
    ValueError
        If the score has another name than "msac" and "magsac".
    """
    if name not in SCORES:
        raise ValueError(f"score: expected one of {sorted(SCORES)}, got {name!r}")
    return np.array(SCORES[name])


@njit(nogil=True)
def rho(c, s):
    """Cost of a squared residual s in units of the squared threshold."""
    s = min(s, 1.0)
    return s * (c[0] + s * (c[1] + s * (c[2] + s * (c[3] + s * (c[4] + s * (c[5] + s * c[6]))))))


@njit(nogil=True)
def rho_weight(c, s):
    """d rho / d s: the weight of the reweighted least squares. Zero beyond the threshold."""
    if s >= 1.0:
        return 0.0
    value = 7.0 * c[6]
    for k in range(5, -1, -1):
        value = value * s + (k + 1) * c[k]
    return max(value, 0.0)


def polynomial_weights(c: np.ndarray, s: np.ndarray) -> np.ndarray:
    """`rho_weight` of an array, in NumPy."""
    value = np.polynomial.polynomial.polyval(s, np.arange(1, DEGREE + 1) * c)
    return np.where(s < 1.0, np.maximum(value, 0.0), 0.0)
