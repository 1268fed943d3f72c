"""What every matrix Lie group shares: the operations that follow from exp, log, compose, inverse and adjoint.

A group element `a` stands for the transform `x_a = a(x_b)`. A tangent is a vector xi in the Lie algebra; the
geodesic from a to b is `a exp(t log(a^-1 b))`. With the left Jacobian J_l,

    exp(xi + d) = exp(J_l(xi) d) exp(xi) = exp(xi) exp(J_r(xi) d)  to first order in d,  J_r(xi) = J_l(-xi).

Sola, Deray, Atchuthan: A micro Lie theory for state estimation in robotics, 2018.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike


class LieGroup(ABC):
    """Base of `SO3`, `SE3` and `Sim3`. Everything is batched over leading dimensions, which broadcast."""

    tangent_size: int

    @staticmethod
    @abstractmethod
    def exp(tangent: ArrayLike) -> LieGroup:
        """Element of a tangent vector (..., d); ValueError where it is not finite."""

    @abstractmethod
    def log(self) -> np.ndarray:
        """(..., d) the shortest tangent vector whose exponential is this element; ValueError where it is none."""

    @abstractmethod
    def inverse(self) -> Self:
        """The element that undoes this one."""

    @abstractmethod
    def __matmul__(self, other: Self) -> Self:
        """Composition: `(a @ b).act(x) == a.act(b.act(x))`."""

    @abstractmethod
    def act(self, points: ArrayLike) -> np.ndarray:
        """(..., 3) the transformed points."""

    @abstractmethod
    def adjoint(self) -> np.ndarray:
        """(..., d, d) the matrix with `a exp(xi) a^-1 = exp(adjoint(a) xi)`."""

    @staticmethod
    @abstractmethod
    def left_jacobian(tangent: ArrayLike) -> np.ndarray:
        """(..., d, d) left Jacobian at a tangent vector."""

    @staticmethod
    @abstractmethod
    def left_jacobian_inverse(tangent: ArrayLike) -> np.ndarray:
        """(..., d, d) inverse of the left Jacobian; at an angle of 2 pi there is none."""

    @classmethod
    def right_jacobian(cls, tangent: ArrayLike) -> np.ndarray:
        """(..., d, d) right Jacobian at a tangent vector (..., d)."""
        return cls.left_jacobian(-np.asarray(tangent, np.float64))

    @classmethod
    def right_jacobian_inverse(cls, tangent: ArrayLike) -> np.ndarray:
        """(..., d, d) inverse of the right Jacobian at a tangent vector (..., d)."""
        return cls.left_jacobian_inverse(-np.asarray(tangent, np.float64))

    def interpolate(self, other: Self, t: ArrayLike) -> Self:
        """The element at `t` (...) on the geodesic from this one (t = 0) to `other` (t = 1)."""
        step = (self.inverse() @ other).log()
        return self @ type(self).exp(np.asarray(t, np.float64)[..., None] * step)


def as_tangent(tangent: ArrayLike, size: int) -> np.ndarray:
    """The tangent as float64 (..., size), finite, or ValueError."""
    xi = np.asarray(tangent, np.float64)
    if xi.ndim == 0 or xi.shape[-1] != size:
        raise ValueError(f"tangent: expected shape (..., {size}), got {xi.shape}")
    if not np.isfinite(xi).all():
        raise ValueError("tangent: expected finite numbers, got NaN or infinity")
    return xi


def as_points(points: ArrayLike, name: str = "points") -> np.ndarray:
    """The points as float64 (..., 3), or ValueError."""
    x = np.asarray(points, np.float64)
    if x.ndim == 0 or x.shape[-1] != 3:
        raise ValueError(f"{name}: expected shape (..., 3), got {x.shape}")
    return x


def as_rotation(matrix: ArrayLike, name: str = "rotation") -> np.ndarray:
    """The matrix as float64 (..., 3, 3), or ValueError. That it is orthogonal is the caller's business."""
    m = np.asarray(matrix, np.float64)
    if m.shape[-2:] != (3, 3):
        raise ValueError(f"{name}: expected shape (..., 3, 3), got {m.shape}")
    return m


def rotate(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., 3) `matrix @ points` with leading dimensions that broadcast."""
    if matrix.ndim == 2:
        return points @ matrix.T  # one product instead of one for each point
    return np.matmul(matrix, points[..., None])[..., 0]
