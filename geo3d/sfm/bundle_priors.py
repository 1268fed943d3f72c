"""What is known of a bundle before its photographs: positions, control points, camera parameters, gravity.

Each adds residuals to the cost, in standard deviations, beside those of the observations (in pixels, or in standard
deviations where the problem gives `obs_sigma_px`):

    camera centre      rho(|(C - c) / sigma|^2),  C = -R^T t         dC/dw = -R^T [t]_x,  dC/dv = -R^T
    distance           ((|C_a - C_b| - l) / sigma)^2
    gravity            |(p - d) / sigma|^2,  p = R (0, 0, -1)        dp/dw = -[p]_x
    camera parameter   ((k - mean) / sigma)^2
    point              |(X - x) / sigma|^2

for the tangent (w, v) of a pose, `R <- exp(w) R`, `t <- t + v`. Gravity is the world's -z (up is +z, as in ENU);
|p - d| is the angle between both directions as long as that is small, and grows up to the opposite one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from geo3d.cameras.kernels import MAX_PARAMS
from geo3d.geometry.so3 import skew
from geo3d.optim.losses import RobustLoss


@dataclass(frozen=True)
class BundlePriors:
    """Measured or assumed values with their standard deviations. What has none is left out.

    A prior on a view that sees nothing, or on a camera of no view, moves nothing. Priors can hold the gauge: three
    camera centres or three points that are not on a line, or two and gravity.

    Attributes
    ----------
    centres, centre_sigmas : (V, 3) array, optional
        Camera centres in the world and standard deviations of each coordinate in world units; inf for none, and
        then the centre may be NaN.
    centre_loss : RobustLoss
        Of the length of a centre's residual in standard deviations. A few GPS fixes are far out: `cauchy`.
    points, point_sigmas : (P, 3) array, optional
        The same of points: ground control points are points of the problem with such a prior.
    camera_params, camera_sigmas : list of (n_params,) array or None, optional
        One entry a camera: values of its parameters and their standard deviations, inf for none.
    distance_views : (D, 2) int, optional
        Pairs of views between whose centres a distance is known.
    distances, distance_sigmas : (D,) array, optional
        In world units.
    down, down_sigmas : (V, 3), (V,) array, optional
        Direction of gravity in the frame of each camera, unit length, and its standard deviation in radians; NaN
        directions for none.
    """

    centres: np.ndarray | None = None
    centre_sigmas: np.ndarray | None = None
    centre_loss: RobustLoss = field(default_factory=RobustLoss)
    points: np.ndarray | None = None
    point_sigmas: np.ndarray | None = None
    camera_params: Sequence[np.ndarray | None] | None = None
    camera_sigmas: Sequence[np.ndarray | None] | None = None
    distance_views: np.ndarray | None = None
    distances: np.ndarray | None = None
    distance_sigmas: np.ndarray | None = None
    down: np.ndarray | None = None
    down_sigmas: np.ndarray | None = None

    def check(self, views: int, points: int, params: list[int]) -> None:
        """Raise ValueError naming the first field that is wrong.

        Parameters
        ----------
        views, points : int
            Of the problem.
        params : list of int
            Number of parameters of each camera.
        """
        for value, sigma, count in (("centres", "centre_sigmas", views), ("points", "point_sigmas", points)):
            _check_pair(value, getattr(self, value), sigma, getattr(self, sigma), (count, 3))
        means, sigmas = self.camera_params, self.camera_sigmas
        if (means is None) != (sigmas is None):
            raise ValueError("camera_params and camera_sigmas must be given together")
        if means is not None and sigmas is not None:
            if not len(means) == len(sigmas) == len(params):
                raise ValueError(
                    f"camera_params and camera_sigmas must have one entry a camera ({len(params)}); "
                    f"got {len(means)} and {len(sigmas)}"
                )
            for c, count in enumerate(params):
                _check_pair(f"camera_params[{c}]", means[c], f"camera_sigmas[{c}]", sigmas[c], (count,))
        self._check_distances(views)
        _check_pair("down", self.down, "down_sigmas", self.down_sigmas, (views, 3))
        if self.down is not None:
            length = np.linalg.norm(self.down, axis=1)
            if (np.abs(length - 1) > 1e-6).any():  # NaN is not
                raise ValueError(
                    f"down must be unit vectors, or NaN for none; got lengths up to {np.nanmax(length)}"
                )

    def _check_distances(self, views: int) -> None:
        known = [x is not None for x in (self.distance_views, self.distances, self.distance_sigmas)]
        if any(known) and not all(known):
            raise ValueError("distance_views, distances and distance_sigmas must be given together")
        if self.distance_views is None or self.distances is None:
            return
        pairs = np.asarray(self.distance_views)
        if pairs.ndim != 2 or pairs.shape[1:] != (2,) or not np.issubdtype(pairs.dtype, np.integer):
            raise ValueError(f"distance_views must be (D, 2) integers; got {pairs.shape} {pairs.dtype}")
        if pairs.size and (pairs.min() < 0 or pairs.max() >= views or (pairs[:, 0] == pairs[:, 1]).any()):
            raise ValueError(
                f"distance_views must be pairs of different rows of 0 to {views - 1}; got {pairs}"
            )
        _check_pair("distances", self.distances, "distance_sigmas", self.distance_sigmas, (len(pairs),))
        if not (np.asarray(self.distances) > 0).all():
            raise ValueError(f"distances must be positive; got {np.min(self.distances)}")


def _check_pair(
    name: str, value: np.ndarray | None, sigma_name: str, sigma: np.ndarray | None, shape: tuple[int, ...]
) -> None:
    """Values with their standard deviations: both or none, of the shape, positive deviations."""
    if value is None and sigma is None:
        return
    if value is None or sigma is None:
        raise ValueError(f"{name} and {sigma_name} must be given together")
    sigma_shape = shape[:1] if name == "down" else shape
    for what, array, expected in ((name, value, shape), (sigma_name, sigma, sigma_shape)):
        if np.shape(array) != expected:
            raise ValueError(f"{what} must have shape {expected}; got {np.shape(array)}")
    if not (np.asarray(sigma) > 0).all():
        raise ValueError(f"{sigma_name} must be positive, inf for none; got {np.min(sigma)}")
    if name != "down" and not np.isfinite(np.asarray(value)[np.isfinite(sigma)]).all():
        raise ValueError(f"{name} must be finite where {sigma_name} is; give inf for what is not known")


def _known(value: np.ndarray | None, sigma: np.ndarray | None, shape: tuple[int, ...]) -> tuple:
    """`(value, 1 / sigma)` of the shape, both zero where there is none."""
    if value is None or sigma is None:
        return np.zeros(shape), np.zeros(shape)
    inverse = np.broadcast_to(1 / np.asarray(sigma, np.float64), shape).copy()
    return np.where(inverse > 0, np.asarray(value, np.float64), 0.0), inverse


class PriorTerms:
    """Cost and normal equations of the priors of views and cameras; those of points are added by the kernels.

    Parameters
    ----------
    priors : BundlePriors
        Checked.
    views, points : int
    cameras : int

    Attributes
    ----------
    points, point_weights : (P, 3) array
        Known points and `1 / sigma^2`; (0, 3) where there are none.
    pairs : (D, 2) int
        Views between whose centres a distance is known.
    """

    def __init__(self, priors: BundlePriors, views: int, points: int, cameras: int) -> None:
        self._weight, self._loss = 1.0, priors.centre_loss
        self._centres, self._centre_scale = _known(priors.centres, priors.centre_sigmas, (views, 3))
        self.points, scale = _known(
            priors.points, priors.point_sigmas, (0 if priors.points is None else points, 3)
        )
        self.point_weights = scale**2
        none = priors.distance_views is None
        self.pairs = np.asarray(np.zeros((0, 2), np.int64) if none else priors.distance_views, np.int64)
        self._lengths, self._length_scale = _known(
            priors.distances, priors.distance_sigmas, (len(self.pairs),)
        )
        down, sigmas = priors.down, priors.down_sigmas
        if down is not None and sigmas is not None:
            sigmas = np.where(np.isfinite(down).all(1), sigmas, np.inf)[:, None]
        self._down, self._down_scale = _known(down, sigmas, (views, 3))
        self._params, self._params_scale = np.zeros((cameras, MAX_PARAMS)), np.zeros((cameras, MAX_PARAMS))
        for c, (mean, sigma) in enumerate(zip(priors.camera_params or (), priors.camera_sigmas or ())):
            if mean is not None:
                known = _known(mean, sigma, np.shape(mean))
                self._params[c, : len(mean)], self._params_scale[c, : len(mean)] = known

    def multiply(self, factor: float) -> None:
        """Let all priors cost `factor` times as much."""
        self._weight *= factor
        self.point_weights *= factor

    def _residuals(
        self, rotations: np.ndarray, translations: np.ndarray, params: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """In standard deviations: of centres (V, 3), of gravity (V, 3), of parameters (C, MAX_PARAMS)."""
        centres = -np.einsum("vji,vj->vi", rotations, translations)
        return (
            self._centre_scale * (centres - self._centres),
            self._down_scale * (-rotations[:, :, 2] - self._down),
            self._params_scale * (params - self._params),
        )

    def cost(self, rotations: np.ndarray, translations: np.ndarray, params: np.ndarray) -> float:
        """`1/2 sum rho` of views and cameras.

        At `rotations` (V, 3, 3), `translations` (V, 3), `params` (C, MAX_PARAMS).
        """
        centre, down, param = self._residuals(rotations, translations, params)
        total = self._loss.rho((centre**2).sum(1)).sum() + (down**2).sum() + (param**2).sum()
        total += (self._stretch(rotations, translations)[0] ** 2).sum()
        return 0.5 * self._weight * float(total)

    def _stretch(self, rotations: np.ndarray, translations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals of distances in standard deviations (D,), and unit vectors from second to first (D, 3)."""
        centres = -np.einsum("vji,vj->vi", rotations, translations)
        gap = centres[self.pairs[:, 0]] - centres[self.pairs[:, 1]]
        length = np.maximum(np.linalg.norm(gap, axis=1), 1e-300)
        return self._length_scale * (length - self._lengths), gap / length[:, None]

    def distance_equations(
        self, rotations: np.ndarray, translations: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (D,) of distances and their Jacobians (D, 2, 6) by both poses of each of `pairs`, weighted.

        At `rotations` (V, 3, 3), `translations` (V, 3).
        """
        residual, unit = self._stretch(rotations, translations)
        inverse = rotations[self.pairs].swapaxes(-1, -2)  # (D, 2, 3, 3)
        toward = np.stack([unit, -unit], axis=1)[:, :, None] * self._length_scale[:, None, None, None]
        J = np.concatenate([-toward @ inverse @ skew(translations[self.pairs]), -toward @ inverse], axis=-1)[
            :, :, 0
        ]
        root = np.sqrt(self._weight)
        return root * residual, root * J

    def point_cost(self, points: np.ndarray) -> float:
        """`1/2 sum` of the priors of `points` (P, 3)."""
        if not len(self.points):
            return 0.0
        return 0.5 * float((self.point_weights * (points - self.points) ** 2).sum())

    def normal_equations(
        self, rotations: np.ndarray, translations: np.ndarray, params: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of views the blocks of the Hessian (V, 6, 6) and gradients (V, 6); of cameras diagonals and gradients.

        The latter are (C, MAX_PARAMS). At `rotations` (V, 3, 3), `translations` (V, 3), `params` (C, MAX_PARAMS).
        """
        centre, down, param = self._residuals(rotations, translations, params)
        J = np.zeros((len(rotations), 6, 6))  # three rows of the centre, three of gravity
        inverse = rotations.transpose(0, 2, 1)
        J[:, :3, :3] = -inverse @ skew(translations)
        J[:, :3, 3:] = -inverse
        J[:, :3] *= self._centre_scale[:, :, None]
        J[:, 3:, :3] = skew(rotations[:, :, 2]) * self._down_scale[:, :, None]
        weights = np.full((len(rotations), 6), self._weight)
        weights[:, :3] *= self._loss.weight((centre**2).sum(1))[:, None]
        weighted = J.transpose(0, 2, 1) * weights[:, None, :]
        residuals = np.concatenate([centre, down], axis=1)
        scale = self._weight * self._params_scale
        H, g = weighted @ J, (weighted @ residuals[:, :, None])[:, :, 0]
        stretch, slopes = self.distance_equations(rotations, translations)
        for side in (0, 1):
            np.add.at(H, self.pairs[:, side], slopes[:, side, :, None] * slopes[:, side, None, :])
            np.add.at(g, self.pairs[:, side], slopes[:, side] * stretch[:, None])
        return (
            H,
            g,
            scale * self._params_scale,
            scale * param,
        )
