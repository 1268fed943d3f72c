"""Similarities, Sim(3): x' = s R x + t, s > 0. Tangent xi = (rho, phi, sigma = log s), (..., 7).

    exp(xi) = (e^sigma, exp(phi), V rho),       V = integral over u in [0, 1] of e^(u sigma) exp(u phi) du
    adjoint = [[s R, skew(t) R, -t], [0, R, 0], [0, 0, 1]]
    J_l(xi) = integral over u in [0, 1] of adjoint(exp(u xi)) du

The integrands are entire functions, so 24 Gauss-Legendre nodes give the integrals to the last digits for any
angle up to 2 pi and any scale between 1e-8 and 1e8, with no special case near zero: a closed form has four
(angle and log s each near zero or not). Eade: Lie groups for computer vision, 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry.group import LieGroup, as_points, as_rotation, as_tangent, rotate
from geo3d.geometry.so3 import SO3, one_minus_cos_ratio, skew

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


@dataclass(frozen=True, eq=False)
class Sim3(LieGroup):
    """Similarities `x' = scale * rotation @ x + translation`.

    Attributes
    ----------
    scale : (...) float64, positive
    rotation : (..., 3, 3) float64
    translation : (..., 3) float64

    Raises
    ------
    ValueError
        If the shapes are others, the leading dimensions differ or a scale is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> Sim3(2.0, np.eye(3), [1, 0, 0]).act([1, 1, 1]).tolist()
    [3.0, 2.0, 2.0]
    """

    scale: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    tangent_size = 7

    def __post_init__(self) -> None:
        s = np.asarray(self.scale, np.float64)
        r, t = as_rotation(self.rotation), as_points(self.translation, "translation")
        if not s.shape == r.shape[:-2] == t.shape[:-1]:
            raise ValueError(
                "scale, rotation and translation: expected the same leading dimensions, "
                f"got {s.shape}, {r.shape} and {t.shape}"
            )
        if not (s > 0).all():
            raise ValueError(f"scale: expected positive numbers, got {s}")
        object.__setattr__(self, "scale", s)
        object.__setattr__(self, "rotation", r)
        object.__setattr__(self, "translation", t)

    @staticmethod
    def identity(shape: tuple[int, ...] = ()) -> Sim3:
        """The similarity that changes nothing, repeated over the leading dimensions `shape`."""
        rotation = np.broadcast_to(np.eye(3), (*shape, 3, 3)).copy()
        return Sim3(np.ones(shape), rotation, np.zeros((*shape, 3)))

    def matrix4(self) -> np.ndarray:
        """(..., 4, 4) homogeneous matrix [[s R, t], [0, 1]]."""
        out = np.zeros((*self.scale.shape, 4, 4))
        out[..., :3, :3] = self.scale[..., None, None] * self.rotation
        out[..., :3, 3], out[..., 3, 3] = self.translation, 1.0
        return out

    @staticmethod
    def exp(tangent: ArrayLike) -> Sim3:
        """Similarity of the tangent (..., 7) = [rho, phi, sigma]."""
        xi = as_tangent(tangent, 7)
        rho, phi, sigma = xi[..., :3], xi[..., 3:6], xi[..., 6]
        return Sim3(np.exp(sigma), SO3.exp(phi).matrix, rotate(_translation_matrix(phi, sigma), rho))

    def log(self) -> np.ndarray:
        """(..., 7) tangent [rho, phi, sigma] with |phi| in [0, pi]."""
        phi, sigma = SO3(self.rotation).log(), np.log(self.scale)
        rho = np.linalg.solve(_translation_matrix(phi, sigma), self.translation[..., None])[..., 0]
        return np.concatenate([rho, phi, sigma[..., None]], -1)

    def inverse(self) -> Sim3:
        """The similarity back: (1/s, R^T, -R^T t / s)."""
        back = np.swapaxes(self.rotation, -1, -2)
        return Sim3(1 / self.scale, back, -rotate(back, self.translation) / self.scale[..., None])

    def __matmul__(self, other: Sim3) -> Sim3:
        return Sim3(self.scale * other.scale, self.rotation @ other.rotation, self.act(other.translation))

    def act(self, points: ArrayLike) -> np.ndarray:
        """(..., 3) transformed points."""
        return self.scale[..., None] * rotate(self.rotation, as_points(points)) + self.translation

    def adjoint(self) -> np.ndarray:
        """(..., 7, 7), for tangents [rho, phi, sigma]."""
        out = np.zeros((*self.scale.shape, 7, 7))
        out[..., :3, :3] = self.scale[..., None, None] * self.rotation
        out[..., :3, 3:6] = skew(self.translation) @ self.rotation
        out[..., :3, 6] = -self.translation
        out[..., 3:6, 3:6], out[..., 6, 6] = self.rotation, 1.0
        return out

    @staticmethod
    def left_jacobian(tangent: ArrayLike) -> np.ndarray:
        """(..., 7, 7) left Jacobian at the tangent (..., 7)."""
        xi = as_tangent(tangent, 7)
        return np.einsum("n,...nij->...ij", _WEIGHTS, Sim3.exp(_NODES[:, None] * xi[..., None, :]).adjoint())

    @staticmethod
    def left_jacobian_inverse(tangent: ArrayLike) -> np.ndarray:
        """(..., 7, 7) inverse of the left Jacobian; there is none at the angle 2 pi and scale 1."""
        return np.linalg.inv(Sim3.left_jacobian(tangent))


def _translation_matrix(phi: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """(..., 3, 3) V(phi, sigma), the integral of e^(u sigma) exp(u phi) over u in [0, 1]."""
    angle = np.linalg.norm(phi, axis=-1)[..., None] * _NODES
    growth = _WEIGHTS * np.exp(sigma[..., None] * _NODES)
    first = np.sum(growth * _NODES * np.sinc(angle / np.pi), -1)[..., None, None]
    second = np.sum(growth * _NODES**2 * one_minus_cos_ratio(angle), -1)[..., None, None]
    k = skew(phi)
    return np.sum(growth, -1)[..., None, None] * np.eye(3) + first * k + second * (k @ k)
