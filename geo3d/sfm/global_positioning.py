"""Positions of all views and points at once, from rotations and rays alone.

Minimises `sum rho(|v_ik - s_ik (X_k - c_i)|^2)` over the centres c_i, the points X_k and one inverse distance s_ik > 0
an observation, v_ik being the unit ray in the world (Pan, Barath, Pollefeys and Schonberger: Global
Structure-from-Motion Revisited, ECCV 2024). At its minimum over s a residual is the sine of the angle between the ray
and the direction of the point, but with s free the problem is bilinear and converges from far away.

It starts from s = 1 with everything at the origin: there a scale has no derivative, and the first step is the linear
layout in which every point is at distance one from all that see it. No random start is needed. Scales are eliminated
within their observation, points by the Schur complement. A second pass with Cauchy's loss at the size of the errors
that are left sheds the wrong matches that Huber's loss let pull.

GPS is not where it starts: measured on the flights that `rotation_averaging` names, with GPS good to 2 m the models
were as without or fell into more pieces, since rays from there miss by more than the errors that tell wrong matches
from right ones. Pieces that do not hold each other are joined by GPS afterwards (`georeference_join`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.optim.least_squares import LMOptions, Step, levenberg_marquardt
from geo3d.optim.losses import RobustLoss
from geo3d.optim.parallel import Workers
from geo3d.optim.schur import SchurSystem
from geo3d.sfm import positioning_kernels as kernels
from geo3d.util.threads import cpu_count, single_threaded_blas

_CHUNK, _MAX_CHUNKS = 8192, 16
_SMALLEST = 1e-5  # inverse distance; the layout's are about 1
_LEAST_ERROR = 1e-3  # radians, below which errors are not told from noise


@dataclass(frozen=True)
class PositioningOptions:
    """How positions are sought.

    Attributes
    ----------
    max_angle_error : float
        Sine of the angle beyond which observations count less, in the first pass.
    max_iterations : int
        Of each pass.
    function_tolerance : float
        See `geo3d.optim.LMOptions`.
    threads : int or None
        Default: all cores.
    """

    max_angle_error: float = 0.1
    max_iterations: int = 100
    function_tolerance: float = 1e-4
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.max_angle_error > 0:
            raise ValueError(f"max_angle_error must be positive, got {self.max_angle_error}")
        LMOptions(self.max_iterations, self.function_tolerance)
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, or None for all cores; got {self.threads}")


@dataclass(frozen=True, eq=False)
class Positions:
    """Centres and points in a frame of their own origin and scale.

    Attributes
    ----------
    centres : (V, 3) float64
        NaN for views without observations.
    points : (P, 3) float64
    errors : (O,) float64
        Sine of the angle between ray and point; 1 at right angles and beyond.
    iterations : int
        Steps tried, both passes.
    """

    centres: np.ndarray
    points: np.ndarray
    errors: np.ndarray
    iterations: int


def position_views(
    rotations: np.ndarray,
    offsets: np.ndarray,
    obs_view: np.ndarray,
    bearings: np.ndarray,
    options: PositioningOptions | None = None,
) -> Positions:
    """Centres of the views and positions of the points that they see.

    Parameters
    ----------
    rotations : (V, 3, 3)
        `cam_from_world` of the views.
    offsets : (P + 1,) int
        Observations of point k are rows `offsets[k]` to `offsets[k + 1]`, ordered by view.
    obs_view : (O,) int
        Row of the view.
    bearings : (O, 3)
        Unit rays in the camera.
    options : PositioningOptions, optional

    Returns
    -------
    Positions

    Raises
    ------
    ValueError
        If the shapes or rows do not fit together, or a ray is not finite.
    """
    options = options or PositioningOptions()
    offsets, obs_view = np.asarray(offsets, np.int64), np.asarray(obs_view, np.int64)
    rotations, bearings = np.asarray(rotations, np.float64), np.asarray(bearings, np.float64)
    _check(rotations, offsets, obs_view, bearings)
    seen, obs_row = np.unique(obs_view, return_inverse=True)
    rays = np.einsum("nji,nj->ni", rotations[obs_view], bearings)
    centres = np.full((len(rotations), 3), np.nan)
    if not len(obs_view):
        return Positions(centres, np.zeros((len(offsets) - 1, 3)), np.zeros(0), 0)
    minimizer = LMOptions(options.max_iterations, options.function_tolerance)
    with single_threaded_blas(), Workers(options.threads or cpu_count()) as workers:
        system = PositioningSystem(len(seen), offsets, obs_row, rays, workers)
        system.loss = RobustLoss("huber", options.max_angle_error)
        iterations = levenberg_marquardt(system, minimizer).iterations
        errors = system.errors()
        system.loss = RobustLoss("cauchy", max(2.5 * float(np.median(errors)), _LEAST_ERROR))
        iterations += levenberg_marquardt(system, minimizer).iterations
    centres[seen] = system.centres
    return Positions(centres, system.points, system.errors(), iterations)


def _check(rotations: np.ndarray, offsets: np.ndarray, obs_view: np.ndarray, bearings: np.ndarray) -> None:
    if rotations.shape[1:] != (3, 3):
        raise ValueError(f"rotations must have shape (V, 3, 3); got {rotations.shape}")
    if bearings.shape != (len(obs_view), 3):
        raise ValueError(f"bearings must have shape ({len(obs_view)}, 3); got {bearings.shape}")
    if offsets[0] != 0 or offsets[-1] != len(obs_view) or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets must rise from 0 to {len(obs_view)}, the number of observations")
    if len(obs_view) and not 0 <= obs_view.min() <= obs_view.max() < len(rotations):
        raise ValueError(
            f"obs_view must be rows of the {len(rotations)} rotations; got {obs_view.min()} to {obs_view.max()}"
        )
    if not np.isfinite(bearings).all():
        raise ValueError("bearings must be finite: leave out pixels without a ray")


def positioning_residuals(
    centres: np.ndarray,
    points: np.ndarray,
    scales: np.ndarray,
    obs_view: np.ndarray,
    obs_point: np.ndarray,
    rays: np.ndarray,
) -> np.ndarray:
    """Residuals `v - s (X - c)`, as the formula; the kernels compute the same.

    Parameters
    ----------
    centres, points : (V, 3), (P, 3)
    scales : (O,)
        Inverse distances s.
    obs_view, obs_point : (O,) int
    rays : (O, 3)
        Unit rays v in the world.

    Returns
    -------
    (O, 3) array
    """
    return rays - scales[:, None] * (points[obs_point] - centres[obs_view])


class PositioningSystem:
    """A `LeastSquaresProblem` over centres, points and the scales of observations.

    Parameters
    ----------
    views : int
    offsets : (P + 1,) int64
    obs_view : (O,) int64
    rays : (O, 3)
        In the world.
    workers : Workers

    Attributes
    ----------
    centres, points, scales : arrays
        Current values.
    loss : RobustLoss
        Of the residuals.
    """

    def __init__(
        self, views: int, offsets: np.ndarray, obs_view: np.ndarray, rays: np.ndarray, workers: Workers
    ) -> None:
        self.loss = RobustLoss("trivial")
        self._workers = workers
        self.centres, self.points = np.zeros((views, 3)), np.zeros((len(offsets) - 1, 3))
        self.scales, self._new_scales = np.ones(len(obs_view)), np.ones(len(obs_view))
        self._observed = offsets, obs_view, np.ascontiguousarray(rays)
        chunks = min(_MAX_CHUNKS, 1 + len(obs_view) // _CHUNK)
        self.normal = n = SchurSystem(
            np.full(views, 3), np.full(views, -1), obs_view, offsets, workers, chunks
        )
        self._partial = [(n.U, n.gc)]
        self._partial += [(np.empty_like(n.U), np.empty_like(n.gc)) for _ in range(chunks - 1)]

    def linearize(self) -> float:
        self._build(0.0)
        return self._cost(self.centres, self.points, self.scales)

    def gradient_norm(self) -> float:
        return self.normal.gradient_norm()

    def solve(self, damping: float) -> Step | None:
        self._build(damping)  # the scales are eliminated with their damping
        n = self.normal
        solved = n.solve(damping)
        if solved is None:
            return None
        self._centre_step = n.dense_step[: n.size].reshape(-1, 3).copy()

        def chunk(_: int, first: int, last: int) -> tuple[float, float, float]:
            return kernels.move_scales(
                first, last, damping, self.centres, self.points, self.scales, self._centre_step, n.point_step,
                *self._observed, self.loss.id, self.loss.scale, _SMALLEST, self._new_scales,
            )  # fmt: skip

        parts = np.array(self._workers.run(chunk, n.point_bounds)).sum(axis=0)
        state = parts[2] + float(np.vdot(self.centres, self.centres) + np.vdot(self.points, self.points))
        return Step(float(parts[0]), float(np.sqrt(parts[1] + solved[1])), float(np.sqrt(state)))

    def trial_cost(self) -> float:
        self._trial = self.centres + self._centre_step, self.points + self.normal.point_step
        return self._cost(*self._trial, self._new_scales)

    def accept(self) -> None:
        self.centres, self.points = self._trial
        self.scales, self._new_scales = self._new_scales, self.scales

    def errors(self) -> np.ndarray:
        """(O,) sine of the angle between each ray and the direction of its point; 1 at right angles and beyond."""
        offsets, obs_view, rays = self._observed
        obs_point = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        towards = self.points[obs_point] - self.centres[obs_view]
        along = np.einsum("ni,ni->n", rays, towards)
        across = np.linalg.norm(towards - along[:, None] * rays, axis=1)
        return np.where(along > 0, across / np.maximum(np.hypot(across, along), 1e-300), 1.0)

    def _build(self, damping: float) -> None:
        n = self.normal

        def chunk(i: int, first: int, last: int) -> None:
            U, gc = self._partial[i]
            U.fill(0.0)
            gc.fill(0.0)
            kernels.linearize(
                first, last, damping, self.centres, self.points, self.scales, *self._observed, self.loss.id,
                self.loss.scale, U, gc, n.V, n.gp, n.W,
            )  # fmt: skip

        self._workers.run(chunk, n.point_bounds)
        for U, gc in self._partial[1:]:
            n.U += U
            n.gc += gc

    def _cost(self, centres: np.ndarray, points: np.ndarray, scales: np.ndarray) -> float:
        def chunk(_: int, first: int, last: int) -> float:
            return kernels.cost(
                first, last, centres, points, scales, *self._observed, self.loss.id, self.loss.scale
            )

        return float(sum(self._workers.run(chunk, self.normal.point_bounds)))
