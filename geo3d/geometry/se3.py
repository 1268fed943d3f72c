"""Rigid motions, SE(3): x' = R x + t. Tangent xi = (rho, phi), (..., 6): translation first, then rotation.

    exp(xi) = (exp(phi), J(phi) rho)           J: left Jacobian of SO(3)
    adjoint = [[R, skew(t) R], [0, R]]
    J_l(xi) = [[J, Q], [0, J]]                 Q(rho, phi): Barfoot 2017, eq. 7.86

Units of t and rho are those of the points; phi in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry.group import LieGroup, as_points, as_rotation, as_tangent, rotate
from geo3d.geometry.quaternions import quaternion_to_matrix
from geo3d.geometry.so3 import SO3, angle_minus_sin_ratio, series_or_formula, skew

_Q2_SERIES = np.array([(-1) ** k / math.factorial(2 * k + 4) for k in range(12)])
_Q3_SERIES = np.array([(-1) ** k * (k + 1) / math.factorial(2 * k + 5) for k in range(12)])


@dataclass(frozen=True, eq=False)
class SE3(LieGroup):
    """Rigid motions `x' = rotation @ x + translation`, such as the pose `cam_from_world`.

    Attributes
    ----------
    rotation : (..., 3, 3) float64
    translation : (..., 3) float64

    Raises
    ------
    ValueError
        If the shapes are others or the leading dimensions differ.

    Examples
    --------
    >>> import numpy as np
    >>> cam_from_world = SE3(np.eye(3), [-1, -2, 5])
    >>> cam_from_world.act([1, 2, 3]).tolist(), cam_from_world.center().tolist()
    ([0.0, 0.0, 8.0], [1.0, 2.0, -5.0])
    """

    rotation: np.ndarray
    translation: np.ndarray
    tangent_size = 6

    def __post_init__(self) -> None:
        r, t = as_rotation(self.rotation), as_points(self.translation, "translation")
        if r.shape[:-2] != t.shape[:-1]:
            raise ValueError(
                f"rotation and translation: expected the same leading dimensions, got {r.shape} and {t.shape}"
            )
        object.__setattr__(self, "rotation", r)
        object.__setattr__(self, "translation", t)

    @staticmethod
    def identity(shape: tuple[int, ...] = ()) -> SE3:
        """The motion that moves nothing, repeated over the leading dimensions `shape`."""
        return SE3(np.broadcast_to(np.eye(3), (*shape, 3, 3)).copy(), np.zeros((*shape, 3)))

    @staticmethod
    def from_quaternion_translation(wxyz: ArrayLike, translation: ArrayLike) -> SE3:
        """Motion of a quaternion `wxyz` (..., 4), normalised here, and a `translation` (..., 3).

        Raises
        ------
        ValueError
            If a shape is another, or a quaternion is zero or not finite.
        """
        return SE3(quaternion_to_matrix(wxyz), np.asarray(translation, np.float64))

    @staticmethod
    def from_matrix4(matrix: ArrayLike) -> SE3:
        """Motion of matrices [[R, t], [0, 1]] (..., 4, 4); a 3 x 4 one is refused.

        Raises
        ------
        ValueError
            If the shape is another or the last row is not 0, 0, 0, 1.
        """
        m = np.asarray(matrix, np.float64)
        if m.shape[-2:] != (4, 4) or not np.allclose(m[..., 3, :], [0, 0, 0, 1], rtol=0, atol=1e-9):
            raise ValueError(
                f"matrix: expected shape (..., 4, 4) with last row 0, 0, 0, 1; got shape {m.shape}"
            )
        return SE3(m[..., :3, :3].copy(), m[..., :3, 3].copy())

    def matrix4(self) -> np.ndarray:
        """(..., 4, 4) homogeneous matrix."""
        out = np.zeros((*self.translation.shape[:-1], 4, 4))
        out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = self.rotation, self.translation, 1.0
        return out

    def quaternion(self) -> np.ndarray:
        """(..., 4) the rotation as a unit quaternion wxyz with w >= 0."""
        return SO3(self.rotation).quaternion()

    def center(self) -> np.ndarray:
        """(..., 3) -R^T t, which is mapped to the origin: the camera's centre if this is `cam_from_world`."""
        return -rotate(np.swapaxes(self.rotation, -1, -2), self.translation)

    @staticmethod
    def exp(tangent: ArrayLike) -> SE3:
        """Motion of the tangent (..., 6) = [rho, phi]."""
        xi = as_tangent(tangent, 6)
        rho, phi = xi[..., :3], xi[..., 3:]
        return SE3(SO3.exp(phi).matrix, rotate(SO3.left_jacobian(phi), rho))

    def log(self) -> np.ndarray:
        """(..., 6) tangent [rho, phi] with |phi| in [0, pi]."""
        phi = SO3(self.rotation).log()
        return np.concatenate([rotate(SO3.left_jacobian_inverse(phi), self.translation), phi], -1)

    def inverse(self) -> SE3:
        """The motion back: (R^T, -R^T t)."""
        return SE3(np.swapaxes(self.rotation, -1, -2), self.center())

    def __matmul__(self, other: SE3) -> SE3:
        return SE3(self.rotation @ other.rotation, self.act(other.translation))

    def act(self, points: ArrayLike) -> np.ndarray:
        """(..., 3) moved points."""
        return rotate(self.rotation, as_points(points)) + self.translation

    def adjoint(self) -> np.ndarray:
        """(..., 6, 6), for tangents [rho, phi]."""
        out = np.zeros((*self.translation.shape[:-1], 6, 6))
        out[..., :3, :3] = out[..., 3:, 3:] = self.rotation
        out[..., :3, 3:] = skew(self.translation) @ self.rotation
        return out

    @staticmethod
    def left_jacobian(tangent: ArrayLike) -> np.ndarray:
        """(..., 6, 6) left Jacobian at the tangent (..., 6)."""
        xi = as_tangent(tangent, 6)
        out = np.zeros((*xi.shape, 6))
        out[..., :3, :3] = out[..., 3:, 3:] = SO3.left_jacobian(xi[..., 3:])
        out[..., :3, 3:] = _coupling(xi[..., :3], xi[..., 3:])
        return out

    @staticmethod
    def left_jacobian_inverse(tangent: ArrayLike) -> np.ndarray:
        """(..., 6, 6) inverse of the left Jacobian; infinite at the angle 2 pi, where there is none."""
        xi = as_tangent(tangent, 6)
        inverse = SO3.left_jacobian_inverse(xi[..., 3:])
        out = np.zeros((*xi.shape, 6))
        out[..., :3, :3] = out[..., 3:, 3:] = inverse
        out[..., :3, 3:] = -inverse @ _coupling(xi[..., :3], xi[..., 3:]) @ inverse
        return out


def _coupling(rho: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """(..., 3, 3) the block Q of the left Jacobian. Barfoot 2017, eq. 7.86."""
    a = np.linalg.norm(phi, axis=-1)[..., None, None]
    p, k = skew(rho), skew(phi)
    kp, pk = k @ p, p @ k
    kpk = kp @ k
    c1 = angle_minus_sin_ratio(a)
    c2 = series_or_formula(a, _Q2_SERIES, lambda x: (x * x + 2 * np.cos(x) - 2) / (2 * x**4))
    c3 = series_or_formula(a, _Q3_SERIES, lambda x: (2 * x - 3 * np.sin(x) + x * np.cos(x)) / (2 * x**5))
    return 0.5 * p + c1 * (kp + pk + kpk) + c2 * (k @ kp + pk @ k - 3 * kpk) + c3 * (kpk @ k + k @ kpk)
