"""Uncertainty of least-squares estimates from their normal equations.

Near the minimum the estimate's covariance is `sigma^2 H^-1` (Hartley and Zisserman 2004, 5.2), sigma being the standard
deviation of one residual coordinate. H must be regular: what the measurements leave free (the gauge of a
reconstruction: where it is, how it is turned, how large it is) has to be held by constants first, and the covariance
holds for that choice only.
"""

from __future__ import annotations

import numpy as np

# Reciprocal condition of the scaled matrix. A free gauge leaves 1e-16; positions from GPS whose deviations are three
# times the distance to the scene, 1e-12, and the inverse is then still good to four digits.
_SINGULAR = 1e-13


def covariance(hessian: np.ndarray, variance: float = 1.0) -> np.ndarray:
    """`variance * inverse(hessian)`.

    Parameters
    ----------
    hessian : (n, n) array
        Symmetric; only the lower triangle is read.
    variance : float
        Of one residual coordinate, in its unit squared.

    Returns
    -------
    (n, n) array

    Raises
    ------
    ValueError
        If the matrix is not positive definite to working precision: a gauge is free or a parameter unobserved.
    """
    from scipy.linalg import get_lapack_funcs

    potrf, pocon, potri = get_lapack_funcs(("potrf", "pocon", "potri"), dtype=np.float64)
    lower = np.tril(np.asarray(hessian, np.float64))
    n = len(lower)
    diagonal = np.diag(lower)
    if not (np.isfinite(lower).all() and (diagonal > 0).all()):
        raise ValueError(
            "the normal equations are not finite with a positive diagonal: a parameter is not observed"
        )
    if n == 0:
        return lower
    # Scaled to a unit diagonal, so that units do not decide what is singular.
    scale = 1 / np.sqrt(diagonal)
    scaled = scale[:, None] * lower * scale
    norm = (np.abs(scaled).sum(0) + np.abs(scaled).sum(1)).max() - 1
    factor, info = potrf(scaled, lower=1, clean=1)
    if info == 0:
        reciprocal, info = pocon(factor, norm, uplo="L")
        info = int(reciprocal < _SINGULAR)
    if info != 0:
        raise ValueError(
            "the normal equations are singular: hold the gauge (of a reconstruction by two views, see two_view_gauge) "
            "and whatever else the measurements do not determine"
        )
    inverse, _ = potri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    return variance * np.outer(scale, scale) * inverse
