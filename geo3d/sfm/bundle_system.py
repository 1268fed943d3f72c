"""The normal equations of a bundle adjustment, as `levenberg_marquardt` wants them.

Columns: a camera's free parameters, one block a camera; then six a view that moves, one block a view. A camera that
one moving view alone uses has its parameters in that view's block, which halves the number of couplings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo3d.cameras import MODELS
from geo3d.cameras.kernels import MAX_PARAMS
from geo3d.optim.least_squares import Step
from geo3d.optim.losses import RobustLoss
from geo3d.optim.parallel import Workers
from geo3d.optim.reduced import ReducedOptions
from geo3d.optim.schur import SchurSystem, lane_count
from geo3d.sfm import bundle_kernels as kernels
from geo3d.sfm.bundle_priors import BundlePriors, PriorTerms
from geo3d.sfm.bundle_rigs import BundleRigs, RigMap

if TYPE_CHECKING:
    from geo3d.sfm.bundle_adjustment import BundleProblem

_CHUNK = 8192  # observations a chunk
_MAX_CHUNKS = 16


@dataclass(frozen=True)
class Blocks:
    """Which parameters move, as blocks of columns."""

    widths: np.ndarray  # (B,) int64
    columns: (
        np.ndarray
    )  # (B, lanes) int64, of an observation's full row; surplus points to its last, zero column
    cross_block: np.ndarray  # (B,) int64, the camera block that a view's observations share, or -1
    view: np.ndarray  # (B,) int64, view that the block moves, or -1
    camera: np.ndarray  # (B,) int64, camera that the block moves, or -1
    of_view: np.ndarray  # (V,) int64, block of a view, or -1
    of_camera: np.ndarray  # (C,) int64, block of a camera that is not part of a view's block, or -1


def make_blocks(
    free_pose: np.ndarray, free_params: np.ndarray, view_camera: np.ndarray, used_view: np.ndarray
) -> Blocks:
    """Blocks of what moves and is observed.

    Parameters
    ----------
    free_pose : (V, 6) bool
        Rotation, translation.
    free_params : (C, MAX_PARAMS) bool
    view_camera : (V,) int
    used_view : (V,) bool
        Views with observations.
    """
    moving = used_view & free_pose.any(1)
    users = np.bincount(view_camera[used_view], minlength=len(free_params))
    movers = np.bincount(view_camera[moving], minlength=len(free_params))
    free_camera = free_params.any(1) & (users > 0)
    merged = free_camera & (users == 1) & (movers == 1)
    cameras, views = np.flatnonzero(free_camera & ~merged), np.flatnonzero(moving)
    full = np.zeros((len(cameras) + len(views), kernels.FULL), bool)
    full[: len(cameras), 6:] = free_params[cameras]
    full[len(cameras) :, :6] = free_pose[views]
    camera_of_view = view_camera[views]
    full[len(cameras) :, 6:] = free_params[camera_of_view] & merged[camera_of_view, None]
    widths = full.sum(1)
    rows, columns = np.nonzero(full)
    starts = np.cumsum(widths) - widths
    table = np.full((len(full), lane_count(widths)), kernels.FULL)
    table[rows, np.arange(len(rows)) - starts[rows]] = columns
    of_view, of_camera = np.full(len(view_camera), -1), np.full(len(free_params), -1)
    of_camera[cameras] = np.arange(len(cameras))
    of_view[views] = np.arange(len(cameras), len(full))
    none = np.full(len(cameras), -1)
    return Blocks(
        widths=widths,
        columns=table,
        cross_block=np.concatenate([none, of_camera[camera_of_view]]),
        view=np.concatenate([none, views]),
        camera=np.concatenate([cameras, np.where(merged[camera_of_view], camera_of_view, -1)]),
        of_view=of_view,
        of_camera=of_camera,
    )


def observation_weights(problem: BundleProblem, loss: RobustLoss) -> tuple[np.ndarray, np.ndarray]:
    """Of each observation the inverse of its standard deviation and the id of its loss, (O,) each."""
    scale, kind = np.ones(len(problem.obs_view)), np.full(len(problem.obs_view), loss.id, np.int8)
    if problem.obs_sigma_px is not None:
        scale = 1 / np.asarray(problem.obs_sigma_px, np.float64)
    if problem.obs_robust is not None:
        kind[~np.asarray(problem.obs_robust, bool)] = RobustLoss().id
    return scale, kind


class BundleSystem:
    """A `LeastSquaresProblem` over poses, camera parameters and points.

    Parameters
    ----------
    problem : BundleProblem
    loss : RobustLoss
    free_pose : (V, 6) bool
    free_params : (C, MAX_PARAMS) bool
    free_point : (P,) bool
    workers : Workers
    reduced : ReducedOptions, optional
        How the system of views and cameras is solved.

    Attributes
    ----------
    rotations, translations, params, points : arrays
        Current values; params (C, MAX_PARAMS).
    blocks : Blocks
    normal : SchurSystem
    priors : PriorTerms
    """

    def __init__(
        self,
        problem: BundleProblem,
        loss: RobustLoss,
        free_pose: np.ndarray,
        free_params: np.ndarray,
        free_point: np.ndarray,
        workers: Workers,
        reduced: ReducedOptions | None = None,
    ) -> None:
        self._loss, self._workers, self._free_point = loss, workers, free_point
        self._view_camera = np.ascontiguousarray(problem.view_camera, np.int64)
        obs_view = np.asarray(problem.obs_view, np.int64)
        obs_point = np.asarray(problem.obs_point, np.int64)
        self._point_obs, order = kernels.sort_observations(obs_point, obs_view, len(problem.points))
        self._obs_view = obs_view[order]
        self._obs_xy = np.asarray(problem.obs_xy, np.float64)[order]
        self._obs_cost = np.empty(len(order))
        scale, kind = observation_weights(problem, loss)
        self._obs_scale, self._obs_loss = scale[order], kind[order]
        used = np.zeros(len(self._view_camera), bool)
        used[obs_view] = True
        priors = problem.priors or BundlePriors()
        self.priors = PriorTerms(priors, len(used), len(problem.points), len(problem.cameras))
        self._has_priors = problem.priors is not None
        self.blocks = make_blocks(free_pose, free_params, self._view_camera, used)
        point_entries, entry_block, self._view_entry, self._camera_entry = kernels.list_entries(
            self._point_obs,
            self._obs_view,
            self._view_camera,
            free_point,
            self.blocks.of_view,
            self.blocks.of_camera,
        )
        chunks = min(_MAX_CHUNKS, 1 + len(order) // _CHUNK)
        self._rig_map = None
        if problem.rigs is not None:
            starts = np.concatenate([[0], np.cumsum(self.blocks.widths)])
            self._rig_map = RigMap(problem.rigs, self.blocks, starts)
        pairs = self.blocks.of_view[self.priors.pairs]
        self._coupled = np.flatnonzero((pairs >= 0).all(axis=1))
        self.normal = SchurSystem(
            self.blocks.widths, self.blocks.cross_block, entry_block, point_entries, workers, chunks, reduced,
            None if self._rig_map is None else self._rig_map.basis(), np.sort(pairs[self._coupled], axis=1)[:, ::-1],
        )  # fmt: skip
        n = self.normal
        self._partial = [(n.U, n.cross, n.gc)]
        self._partial += [tuple(np.empty_like(a) for a in (n.U, n.cross, n.gc)) for _ in range(chunks - 1)]
        self._model_ids = np.array([MODELS[camera.model].id for camera in problem.cameras], np.int64)
        self.params = np.zeros((len(problem.cameras), MAX_PARAMS))
        focal = []
        for c, camera in enumerate(problem.cameras):
            self.params[c, : len(camera.params)] = camera.params
            focal += [(c, j) for j in MODELS[camera.model].focal_params]
        self._focal = tuple(np.array(focal, np.int64).reshape(-1, 2).T)
        self.rotations = np.array(problem.rotations, np.float64, order="C")
        self.translations = np.array(problem.translations, np.float64, order="C")
        self.points = np.array(problem.points, np.float64, order="C")
        if problem.rigs is not None:
            members = problem.rigs.views
            self.rotations[members], self.translations[members] = problem.rigs.view_poses()
        self._trial = (
            self.rotations.copy(),
            self.translations.copy(),
            self.params.copy(),
            self.points.copy(),
        )

    def linearize(self) -> float:
        n, b = self.normal, self.blocks

        def chunk(i: int, first: int, last: int) -> float:
            U, cross, gc = self._partial[i]
            U.fill(0.0)
            cross.fill(0.0)
            gc.fill(0.0)
            return kernels.linearize(
                first, last, self.rotations, self.translations, self.params, self.points, self._view_camera,
                self._model_ids, self._point_obs, self._obs_view, self._obs_xy, self._obs_scale, self._obs_loss,
                self._loss.scale, self.priors.points, self.priors.point_weights, self._free_point, b.of_view,
                b.of_camera, b.columns, b.widths, n.point_entries, self._view_entry, self._camera_entry, U, cross,
                gc, n.V, n.gp, n.W, self._obs_cost,
            )  # fmt: skip

        cost = sum(self._workers.run(chunk, n.point_bounds))
        for U, cross, gc in self._partial[1:]:
            n.U += U
            n.cross += cross
            n.gc += gc
        if self._has_priors:
            self._add_priors()
            cost += self.priors.cost(self.rotations, self.translations, self.params)
        if self._rig_map is not None:
            n.basis = self._rig_map.basis()
        return float(cost)

    def _add_priors(self) -> None:
        """Those of views and cameras, into the blocks that hold their columns."""
        b, n = self.blocks, self.normal
        H, g, diagonal, slope = self.priors.normal_equations(self.rotations, self.translations, self.params)
        # As of an observation's full row, with one more column that surplus columns of blocks point to.
        full = np.zeros((len(b.widths), kernels.FULL + 1, kernels.FULL + 1))
        gradient = np.zeros((len(b.widths), kernels.FULL + 1))
        moves, bends = b.view >= 0, b.camera >= 0
        full[moves, :6, :6], gradient[moves, :6] = H[b.view[moves]], g[b.view[moves]]
        params = np.arange(6, kernels.FULL)
        full[np.flatnonzero(bends)[:, None], params, params] = diagonal[b.camera[bends]]
        gradient[bends, 6 : kernels.FULL] = slope[b.camera[bends]]
        rows = np.arange(len(full))[:, None]
        n.U += full[rows[:, :, None], b.columns[:, :, None], b.columns[:, None, :]]
        n.gc += gradient[rows, b.columns]
        _, slopes = self.priors.distance_equations(self.rotations, self.translations)
        order = np.argsort(-b.of_view[self.priors.pairs[self._coupled]], axis=1)
        later, earlier = np.take_along_axis(slopes[self._coupled], order[:, :, None], axis=1).swapaxes(0, 1)
        full = np.zeros((len(later), kernels.FULL + 1, kernels.FULL + 1))
        full[:, :6, :6] = later[:, :, None] * earlier[:, None, :]
        row, column = (b.columns[blocks] for blocks in n.pairs.T)
        n.coupling[:] = full[np.arange(len(full))[:, None, None], row[:, :, None], column[:, None, :]]

    def gradient_norm(self) -> float:
        return self.normal.gradient_norm()

    def solve(self, damping: float) -> Step | None:
        self._damping = damping
        solved = self.normal.solve(damping)
        if solved is None:
            return None
        decrease, squared = solved
        state = sum(float(np.vdot(a, a)) for a in (self.translations, self.params, self.points))
        return Step(decrease, float(np.sqrt(squared)), float(np.sqrt(state)))

    def trial_cost(self) -> float:
        n, b = self.normal, self.blocks
        rotations, translations, params, points = self._trial
        kernels.move_views(
            self.rotations, self.translations, self.params, n.dense_step, n.columns, b.columns, b.widths, b.view,
            b.camera, rotations, translations, params,
        )  # fmt: skip
        if self._rig_map is not None:
            members = self._rig_map.rigs.views
            rotations[members], translations[members] = self._rig_map.move(n.basis_step)
        if (params[self._focal] <= 0).any():
            return np.inf

        def chunk(_: int, first: int, last: int) -> float:
            return kernels.trial_cost(
                first, last, self._damping, rotations, translations, params, self.points, n.point_step,
                self._free_point, self._view_camera, self._model_ids, self._point_obs, self._obs_view,
                self._obs_xy, self._obs_scale, self._obs_loss, self._loss.scale, self.priors.points,
                self.priors.point_weights, self._obs_cost, points,
            )  # fmt: skip

        cost = sum(self._workers.run(chunk, n.point_bounds))
        return float(cost + self.priors.cost(rotations, translations, params) if self._has_priors else cost)

    def accept(self) -> None:
        trial = self._trial
        self._trial = (self.rotations, self.translations, self.params, self.points)
        self.rotations, self.translations, self.params, self.points = trial
        if self._rig_map is not None:
            self._rig_map.accept()

    @property
    def rig_columns(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Unknowns of frames (F, 6) and sensors (S, 6), -1 for what stays; None without rigs."""
        return None if self._rig_map is None else (self._rig_map.frame_columns, self._rig_map.sensor_columns)

    @property
    def rigs(self) -> BundleRigs | None:
        """The problem's, at the current values."""
        return None if self._rig_map is None else self._rig_map.rigs

    def observation_cost(self, problem: BundleProblem, squared: np.ndarray) -> float:
        """The cost of all observations that project, at the current values.

        Parameters
        ----------
        problem : BundleProblem
        squared : (O,) array
            `squared_errors(problem)`.
        """
        scale, kind = observation_weights(problem, self._loss)
        whitened = scale**2 * squared
        rho = np.where(kind == self._loss.id, self._loss.rho(whitened), whitened)
        return 0.5 * float(np.nansum(rho))

    def observation_variance(self, problem: BundleProblem, squared: np.ndarray, unknowns: int) -> float:
        """The s^2 for which `s^2 H^-1` is the covariance of the estimates, H being without priors.

        For plain squares the variance of one coordinate of an observation. With a loss, what makes it the covariance
        of an M-estimate (Huber, Robust Statistics, 1981, 7.6): with n coordinates, p unknowns, the weights
        `w = rho'(e^2)` that H has, and `psi = w r`, `d = dpsi/dr` of a coordinate,

            s^2 = K^2 sum psi^2 / (n - p) mean(w) / mean(d)^2,    K = 1 + p/n var(d) / mean(d)^2.

        Infinite where nothing fits.

        Parameters
        ----------
        problem : BundleProblem
        squared : (O,) array
            `squared_errors(problem)`.
        unknowns : int
            p, less than n.
        """
        seen = np.isfinite(squared)
        scale, kind = observation_weights(problem, self._loss)
        s, robust = (scale**2 * squared)[seen], (kind == self._loss.id)[seen]
        weight = np.where(robust, self._loss.weight(s), 1.0)
        slope = weight + np.where(robust, self._loss.weight_slope(s), 0.0) * s
        mean, n = float(np.mean(slope)), 2 * len(s)
        if mean <= 0:
            return np.inf
        K = 1 + unknowns / n * float(np.var(slope)) / mean**2
        return K**2 * float((weight**2 * s).sum()) / (n - unknowns) * float(np.mean(weight)) / mean**2

    def prior_cost(self) -> float:
        """The cost of all priors at the current values."""
        views = self.priors.cost(self.rotations, self.translations, self.params)
        return views + self.priors.point_cost(self.points)

    def squared_errors(self, problem: BundleProblem) -> np.ndarray:
        """Squared reprojection errors (O,) in px^2 in the problem's order; NaN where a point does not project."""
        squared = np.empty(len(problem.obs_view))
        kernels.errors(
            self.rotations, self.translations, self.params, self.points, self._view_camera, self._model_ids,
            np.asarray(problem.obs_point, np.int64), np.asarray(problem.obs_view, np.int64),
            np.ascontiguousarray(problem.obs_xy, np.float64), squared,
        )  # fmt: skip
        return squared
