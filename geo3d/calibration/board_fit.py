"""One camera and a board in many photos, as one least-squares problem.

    minimise  1/2 sum rho(|project(params, R_v (X_i + z_i e3) + t_v) - x_vi|^2),   z = T b

over the camera's parameters, the pose of the board in each photo (`cam_from_board`) and the coefficients `b` of its
shape (`board_shape`). Poses step as `R <- exp(w) R, t <- t + d` in the camera's frame. Every photo has a pose of its
own and all share the rest: an arrow of blocks (`geo3d.optim.ArrowProblem`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geo3d.calibration.board_shape import shape_terms
from geo3d.cameras import MODELS, Camera
from geo3d.geometry import SO3, skew
from geo3d.optim import ArrowProblem, ArrowSystem, LMOptions, LMResult, RobustLoss, levenberg_marquardt


@dataclass(frozen=True, eq=False)
class Observations:
    """Corners of one board in V photos, photo by photo.

    Attributes
    ----------
    points : (N, 3) float64
        Of the target, board frame, metres.
    view : (M,) int64
        Photo of each corner, ascending.
    ids : (M,) int64
        Row of `points`.
    pixels : (M, 2) float64
    views : int
        V.
    """

    points: np.ndarray
    view: np.ndarray
    ids: np.ndarray
    pixels: np.ndarray
    views: int

    def select(self, views: np.ndarray) -> Observations:
        """Those of some photos, numbered anew in the order given.

        Parameters
        ----------
        views : (W,) int
        """
        number = np.full(self.views, -1)
        number[views] = np.arange(len(views))
        rows = np.flatnonzero(number[self.view] >= 0)
        rows = rows[np.argsort(number[self.view[rows]], kind="stable")]
        return Observations(
            self.points, number[self.view[rows]], self.ids[rows], self.pixels[rows], len(views)
        )

    def keep(self, rows: np.ndarray) -> Observations:
        """Without some corners.

        Parameters
        ----------
        rows : (M,) bool
        """
        return replace(self, view=self.view[rows], ids=self.ids[rows], pixels=self.pixels[rows])


@dataclass(frozen=True, eq=False)
class BoardState:
    """What is estimated.

    Attributes
    ----------
    camera : Camera
    rotations, translations : (V, 3, 3), (V, 3) float64
        `cam_from_board` of each photo, metres.
    shape : (B,) float64
        Coefficients of the board's shape, metres.
    """

    camera: Camera
    rotations: np.ndarray
    translations: np.ndarray
    shape: np.ndarray


@dataclass(frozen=True)
class Free:
    """What may change besides the poses.

    Attributes
    ----------
    params : (P,) bool
        Of the camera.
    shape : bool
    """

    params: np.ndarray
    shape: bool = True


@dataclass(frozen=True, eq=False)
class BoardFit:
    """A state at its minimum.

    Attributes
    ----------
    state : BoardState
    residuals : (M, 2) float64
        Projected less observed, pixels; NaN where the camera cannot see the point.
    summary : LMResult
    system : ArrowSystem
        Normal equations there, in the order of the free parameters and then the shape's.
    """

    state: BoardState
    residuals: np.ndarray
    summary: LMResult
    system: ArrowSystem


def residuals_of(observations: Observations, state: BoardState) -> np.ndarray:
    """(M, 2) projected less observed, pixels.

    Parameters
    ----------
    observations : Observations
    state : BoardState
    """
    return state.camera.project(_in_camera(observations, state)[1]) - observations.pixels


def fit_board(
    observations: Observations,
    start: BoardState,
    free: Free,
    loss: RobustLoss | None = None,
    options: LMOptions | None = None,
) -> BoardFit:
    """Minimise from a start.

    Parameters
    ----------
    observations : Observations
    start : BoardState
    free : Free
    loss : RobustLoss, optional
        Of the distance in pixels.
    options : LMOptions, optional

    Returns
    -------
    BoardFit

    Raises
    ------
    ValueError
        If the camera cannot see a point at the start.
    """
    loss = loss or RobustLoss()
    problem = ArrowProblem(
        lambda state: linearize(observations, state, free, loss),
        lambda state: _cost(observations, state, loss),
        lambda state, shared, poses: _retract(state, free, shared, poses),
        start,
    )
    summary = levenberg_marquardt(problem, options or LMOptions(max_iterations=100, function_tolerance=1e-9))
    state = problem.state
    return BoardFit(
        state, residuals_of(observations, state), summary, linearize(observations, state, free, loss)
    )


def linearize(observations: Observations, state: BoardState, free: Free, loss: RobustLoss) -> ArrowSystem:
    """Normal equations at a state.

    Parameters
    ----------
    observations : Observations
    state : BoardState
    free : Free
    loss : RobustLoss

    Returns
    -------
    ArrowSystem
        Its cost is infinite where the camera cannot see a point.
    """
    turned, points, terms = _in_camera(observations, state)
    seen = state.camera.project_with_jacobians(points)
    r = seen.pixels - observations.pixels
    shared = [seen.d_params[:, :, free.params]]
    if free.shape:
        shared.append((seen.d_point @ state.rotations[observations.view][:, :, 2, None]) * terms[:, None, :])
    d_shared = np.concatenate(shared, axis=2)
    d_pose = np.concatenate([-seen.d_point @ skew(turned), seen.d_point], axis=2)
    squared = np.einsum("mk,mk->m", r, r)
    cost = 0.5 * float(loss.rho(squared).sum()) if seen.valid.all() else np.inf
    root = np.sqrt(loss.weight(squared))[:, None]
    r, d_shared, d_pose = root * r, root[..., None] * d_shared, root[..., None] * d_pose
    starts = np.searchsorted(observations.view, np.arange(observations.views))

    def per_view(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts, axis=0)

    flat = d_shared.reshape(2 * len(r), -1) if d_shared.size else np.zeros((2 * len(r), 0))
    return ArrowSystem(
        cost,
        flat.T @ flat,
        per_view(np.einsum("mka,mkb->mab", d_pose, d_pose)),
        per_view(np.einsum("mka,mkb->mab", d_shared, d_pose)),
        flat.T @ r.ravel(),
        per_view(np.einsum("mka,mk->ma", d_pose, r)),
    )


def _in_camera(observations: Observations, state: BoardState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points turned into the camera's axes (M, 3), points in its frame (M, 3), terms of the shape (M, B)."""
    terms = shape_terms(observations.points, len(state.shape))
    points = observations.points.copy()
    points[:, 2] += terms @ state.shape
    turned = np.einsum(
        "mij,mj->mi", state.rotations[observations.view], points[observations.ids], optimize=True
    )
    return turned, turned + state.translations[observations.view], terms[observations.ids]


def _cost(observations: Observations, state: BoardState, loss: RobustLoss) -> float:
    r = residuals_of(observations, state)
    return 0.5 * float(loss.rho(np.einsum("mk,mk->m", r, r)).sum())


def _retract(state: BoardState, free: Free, shared: np.ndarray, poses: np.ndarray) -> BoardState:
    params = state.camera.params.copy()
    count = int(free.params.sum())
    params[free.params] += shared[:count]
    camera, translations = state.camera, state.translations + poses[:, 3:]
    if np.isfinite(params).all() and (params[list(MODELS[camera.model].focal_params)] > 0).all():
        camera = Camera(camera.model, camera.width, camera.height, params, camera.prior_focal)
    else:  # no camera sees a point that is nowhere: the step is refused
        translations = np.full_like(translations, np.nan)
    return BoardState(
        camera,
        SO3.exp(poses[:, :3]).matrix @ state.rotations,
        translations,
        state.shape + shared[count:] if free.shape else state.shape,
    )
