"""Real spherical harmonics of degree 0 to 3, and how their coefficients turn with the world.

In the order and with the signs of Kerbl et al. (SIGGRAPH 2023), as all files of Gaussians have them: within a degree l
from order -l to l, with the Condon-Shortley phase,

    Y_0 = 1/2 sqrt(1/pi),      Y_1..3 = sqrt(3/(4 pi)) (-y, z, -x),      Y_4 = 1/2 sqrt(15/pi) x y, ...

A colour f(d) = sum_k c_k Y_k(d) of a thing that is turned by R is f'(d) = f(R^T d), whose coefficients are c' = D c,

    D_jk = integral over the sphere of Y_j(d) Y_k(R^T d),

the real Wigner matrix, a block a degree. The integrand is a polynomial of degree 6, which 4 x 7 nodes
(Gauss-Legendre in z, even in azimuth) integrate exactly.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry.group import as_rotation

SH_C0 = 0.28209479177387814
"""Y_0, the same in all directions."""


def sh_basis(directions: ArrayLike, degree: int) -> np.ndarray:
    """(..., (degree + 1)^2) float64, the harmonics Y_k of unit `directions` (..., 3), up to `degree` 0 to 3.

    Examples
    --------
    >>> sh_basis([0, 0, 1], 1).round(4).tolist()
    [0.2821, -0.0, 0.4886, -0.0]
    """
    if degree not in (0, 1, 2, 3):
        raise ValueError(f"degree: expected 0, 1, 2 or 3, got {degree}")
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    return np.stack(sh_terms(x, y, z)[: (degree + 1) ** 2], -1)


def sh_terms(x: Any, y: Any, z: Any) -> list[Any]:
    """The 16 harmonics up to degree 3 of unit vectors `x`, `y`, `z`, elementwise, of NumPy or of torch."""
    xx, yy, zz = x * x, y * y, z * z
    c1, c2, c3 = (sqrt(n / pi) for n in (3 / 4, 15 / 4, 35 / 32))
    c20, c30, c31, c32 = (sqrt(n / pi) for n in (5 / 16, 7 / 16, 21 / 32, 105 / 4))
    return [
        SH_C0 + 0 * x,
        -c1 * y,
        c1 * z,
        -c1 * x,
        c2 * x * y,
        -c2 * y * z,
        c20 * (2 * zz - xx - yy),
        -c2 * x * z,
        c2 / 2 * (xx - yy),
        -c3 * y * (3 * xx - yy),
        c32 * x * y * z,
        -c31 * y * (4 * zz - xx - yy),
        c30 * z * (2 * zz - 3 * xx - 3 * yy),
        -c31 * x * (4 * zz - xx - yy),
        c32 / 2 * z * (xx - yy),
        -c3 * x * (xx - 3 * yy),
    ]


def sh_rotation(rotation: ArrayLike, degree: int) -> np.ndarray:
    """(K, K) float64, K = (degree + 1)^2: takes coefficients of a colour to those of the colour turned by `rotation`.

    `sh_basis(R @ d) @ (sh_rotation(R) @ c) == sh_basis(d) @ c` for every direction d.

    Parameters
    ----------
    rotation : (3, 3)
    degree : 0 to 3

    Raises
    ------
    ValueError
        If the shape or the degree is another. That the matrix is orthogonal is the caller's business.
    """
    r = as_rotation(rotation)
    if r.shape != (3, 3):
        raise ValueError(f"rotation: expected the shape (3, 3), got {r.shape}")
    heights, weights = np.polynomial.legendre.leggauss(4)
    azimuths = np.arange(7) * (2 * np.pi / 7)
    level = np.sqrt(1 - heights**2)[:, None]
    nodes = np.stack(
        [level * np.cos(azimuths), level * np.sin(azimuths), np.broadcast_to(heights[:, None], (4, 7))], -1
    ).reshape(-1, 3)
    weight = np.repeat(weights, 7) * (2 * np.pi / 7)
    return sh_basis(nodes, degree).T @ (weight[:, None] * sh_basis(nodes @ r, degree))
