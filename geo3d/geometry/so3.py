"""Rotations, SO(3): matrices R with R^T R = I and det R = 1; tangent phi = angle * unit axis, radians.

    exp(phi) = I + sin(a)/a K + (1 - cos(a))/a^2 K^2,                 K = skew(phi), a = |phi|     (Rodrigues)
    J_l(phi) = I + (1 - cos(a))/a^2 K + (a - sin(a))/a^3 K^2
    J_l(phi)^-1 = I - K/2 + (1 - (a/2) cot(a/2))/a^2 K^2

The coefficients are evaluated without cancellation near a = 0, and the logarithm goes through the quaternion,
whose largest component is found first, so that it keeps its digits near a = pi. Barfoot 2017, chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry.group import LieGroup, as_points, as_rotation, as_tangent, rotate
from geo3d.geometry.quaternions import matrix_to_quaternion, quaternion_to_matrix

# (1 - x cot x) / (4 x^2) in powers of x^2, x = a / 2
_COT_SERIES = np.array([1 / 3, 1 / 45, 2 / 945, 1 / 4725, 2 / 93555, 1382 / 638512875, 4 / 18243225]) / 4


@dataclass(frozen=True, eq=False)
class SO3(LieGroup):
    """Rotations, as matrices.

    Attributes
    ----------
    matrix : (..., 3, 3) float64
        Taken as given, for speed, and looked at by `log` and `quaternion`, which refuse what is no rotation;
        `closest_rotation` makes one of a matrix that is not quite one.

    Raises
    ------
    ValueError
        If the shape is another.

    Examples
    --------
    >>> import numpy as np
    >>> quarter = SO3.exp([0, 0, np.pi / 2])
    >>> np.round(quarter.act([1, 0, 0]), 12).tolist()
    [0.0, 1.0, 0.0]
    """

    matrix: np.ndarray
    tangent_size = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", as_rotation(self.matrix, "matrix"))

    @staticmethod
    def identity(shape: tuple[int, ...] = ()) -> SO3:
        """The rotation by nothing, repeated over the leading dimensions `shape`."""
        return SO3(np.broadcast_to(np.eye(3), (*shape, 3, 3)).copy())

    @staticmethod
    def exp(tangent: ArrayLike) -> SO3:
        """Rotation by the angle |tangent| (radians) about the axis tangent (..., 3).

        Raises
        ------
        ValueError
            If the shape is another or a number is not finite.
        """
        phi = as_tangent(tangent, 3)
        angle = np.linalg.norm(phi, axis=-1)[..., None, None]
        k = skew(phi)
        return SO3(np.eye(3) + np.sinc(angle / np.pi) * k + one_minus_cos_ratio(angle) * (k @ k))

    @staticmethod
    def from_quaternion(wxyz: ArrayLike) -> SO3:
        """Rotation of a quaternion (..., 4), w first; normalised here. ValueError where it is zero."""
        return SO3(quaternion_to_matrix(wxyz))

    def quaternion(self) -> np.ndarray:
        """(..., 4) unit quaternion wxyz with w >= 0.

        Raises
        ------
        ValueError
            If a matrix is no rotation, as `matrix_to_quaternion`.
        """
        return matrix_to_quaternion(self.matrix)

    def log(self) -> np.ndarray:
        """(..., 3) axis times angle, the angle in [0, pi]; at pi either sign of the axis is right.

        Raises
        ------
        ValueError
            If a matrix is no rotation, as `matrix_to_quaternion`.
        """
        q = self.quaternion()
        w, v = q[..., :1], q[..., 1:]
        sine = np.linalg.norm(v, axis=-1, keepdims=True)
        safe = np.where(sine > 0, sine, 1.0)
        return v * np.where(sine > 0, 2 * np.arctan2(safe, w) / safe, 2.0)

    def inverse(self) -> SO3:
        """The rotation back."""
        return SO3(np.swapaxes(self.matrix, -1, -2))

    def __matmul__(self, other: SO3) -> SO3:
        return SO3(self.matrix @ other.matrix)

    def act(self, points: ArrayLike) -> np.ndarray:
        """(..., 3) rotated points."""
        return rotate(self.matrix, as_points(points))

    def adjoint(self) -> np.ndarray:
        """(..., 3, 3), which for rotations is the matrix itself."""
        return self.matrix

    @staticmethod
    def left_jacobian(tangent: ArrayLike) -> np.ndarray:
        """(..., 3, 3) left Jacobian at the tangent (..., 3)."""
        phi = as_tangent(tangent, 3)
        angle = np.linalg.norm(phi, axis=-1)[..., None, None]
        k = skew(phi)
        return np.eye(3) + one_minus_cos_ratio(angle) * k + angle_minus_sin_ratio(angle) * (k @ k)

    @staticmethod
    def left_jacobian_inverse(tangent: ArrayLike) -> np.ndarray:
        """(..., 3, 3) inverse of the left Jacobian; infinite at the angle 2 pi, where there is none."""
        phi = as_tangent(tangent, 3)
        angle = np.linalg.norm(phi, axis=-1)[..., None, None]
        k = skew(phi)
        return np.eye(3) - 0.5 * k + _cotangent_ratio(angle) * (k @ k)


def skew(vector: ArrayLike) -> np.ndarray:
    """(..., 3, 3) cross-product matrix: `skew(v) @ w == cross(v, w)` for v (..., 3)."""
    v = as_points(vector, "vector")
    out = np.zeros((*v.shape, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return out


def rotation_angle(matrix: ArrayLike) -> np.ndarray:
    """(...) angles in [0, pi] of rotation matrices (..., 3, 3), radians.

    From sine and cosine together: the trace alone loses half of its digits near 0 and pi.
    """
    r = as_rotation(matrix, "matrix")
    twice_sine = np.sqrt(
        (r[..., 2, 1] - r[..., 1, 2]) ** 2
        + (r[..., 0, 2] - r[..., 2, 0]) ** 2
        + (r[..., 1, 0] - r[..., 0, 1]) ** 2
    )
    return np.arctan2(twice_sine, np.trace(r, axis1=-2, axis2=-1) - 1)


def closest_rotation(matrix: ArrayLike) -> np.ndarray:
    """(..., 3, 3) rotation R nearest to `matrix` M (..., 3, 3): the least |R - M| in the Frobenius norm.

    Kabsch 1976. Where det M < 0 the direction of the least singular value is turned round.

    Raises
    ------
    ValueError
        If the shape is another or a number is not finite.
    """
    m = as_rotation(matrix, "matrix")
    if not np.isfinite(m).all():
        raise ValueError("matrix: expected finite numbers, got NaN or infinity")
    u, _, vt = np.linalg.svd(m)
    sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    u[..., :, 2] *= sign[..., None]
    return u @ vt


def one_minus_cos_ratio(angle: np.ndarray) -> np.ndarray:
    """(1 - cos a) / a^2, as half the square of sin(a/2) / (a/2)."""
    return 0.5 * np.sinc(angle / (2 * np.pi)) ** 2


def angle_minus_sin_ratio(angle: np.ndarray) -> np.ndarray:
    """(a - sin a) / a^3, in powers of a^2 below a = 2."""
    return series_or_formula(angle, _SINE_SERIES, lambda a: (a - np.sin(a)) / a**3)


def _cotangent_ratio(angle: np.ndarray) -> np.ndarray:
    """(1 - (a/2) cot(a/2)) / a^2, in powers of a^2 below a = 1/2."""
    small = angle < 0.5
    a = np.where(small, 1.0, angle)
    with np.errstate(divide="ignore"):
        formula = (1 - 0.5 * a / np.tan(0.5 * a)) / a**2
    series = np.polynomial.polynomial.polyval(np.where(small, angle / 2, 0.0) ** 2, _COT_SERIES)
    return np.where(small, series, formula)


def series_or_formula(angle: np.ndarray, series: np.ndarray, formula) -> np.ndarray:
    """The power series in a^2 for a < 2 (twelve terms end below 1e-17), the formula elsewhere."""
    small = angle < 2
    value = np.polynomial.polynomial.polyval(np.where(small, angle, 0.0) ** 2, series)
    return np.where(small, value, formula(np.where(small, 2.0, angle)))


_SINE_SERIES = np.array([(-1) ** k / math.factorial(2 * k + 3) for k in range(12)])
