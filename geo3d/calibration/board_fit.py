"""Cameras and a board in many photos, as one least-squares problem.

    minimise  1/2 sum rho(|project(params_c, Q_c (R_v X' + t_v) + q_c) - x_cvi|^2),   X' = X_i + z_i e3,   z = T b

over the parameters of each camera c, its pose in the rig (Q, q; that of the first camera is the identity), the pose of
the board at each moment v (R, t) and the coefficients `b` of its shape (`board_shape`). One camera alone is a rig of
one. Poses step as `R <- exp(w) R, t <- t + d` in the frame that they lead to. Every moment has a pose of its own and
all share the rest: an arrow of blocks (`geo3d.optim.ArrowProblem`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from geo3d.calibration.board_shape import shape_terms
from geo3d.cameras import MODELS, Camera
from geo3d.geometry import SE3, SO3, skew
from geo3d.optim import ArrowProblem, ArrowSystem, LMOptions, LMResult, RobustLoss, levenberg_marquardt
from geo3d.util.threads import single_threaded_blas


@dataclass(frozen=True, eq=False)
class Observations:
    """Corners of one board at V moments, moment by moment: of one camera a moment is a photo.

    Attributes
    ----------
    points : (N, 3) float64
        Of the target, board frame, metres.
    view : (M,) int64
        Moment of each corner, ascending.
    ids : (M,) int64
        Row of `points`.
    pixels : (M, 2) float64
    views : int
        V.
    camera : (M,) int64, optional
        Which camera of a rig saw it; the first where left out.
    """

    points: np.ndarray
    view: np.ndarray
    ids: np.ndarray
    pixels: np.ndarray
    views: int
    camera: np.ndarray | None = None

    def select(self, views: np.ndarray) -> Observations:
        """Those of some moments, numbered anew in the order given.

        Parameters
        ----------
        views : (W,) int
        """
        number = np.full(self.views, -1)
        number[views] = np.arange(len(views))
        rows = np.flatnonzero(number[self.view] >= 0)
        rows = rows[np.argsort(number[self.view[rows]], kind="stable")]
        return replace(self.keep(rows), view=number[self.view[rows]], views=len(views))

    def keep(self, rows: np.ndarray) -> Observations:
        """Without some corners.

        Parameters
        ----------
        rows : (M,) bool, or (K,) int in the order of the moments
        """
        camera = None if self.camera is None else self.camera[rows]
        return replace(
            self, view=self.view[rows], ids=self.ids[rows], pixels=self.pixels[rows], camera=camera
        )

    def rows_of(self, camera: int) -> np.ndarray:
        """(K,) rows that a camera of the rig saw, ascending."""
        seen = np.zeros(len(self.ids), np.int64) if self.camera is None else self.camera
        return np.flatnonzero(seen == camera)


@dataclass(frozen=True, eq=False)
class Mounted:
    """A further camera of a rig.

    Attributes
    ----------
    camera : Camera
    cam_from_first : SE3
        Metres.
    """

    camera: Camera
    cam_from_first: SE3


@dataclass(frozen=True, eq=False)
class BoardState:
    """What is estimated.

    Attributes
    ----------
    camera : Camera
        The first, or the only one.
    rotations, translations : (V, 3, 3), (V, 3) float64
        `cam_from_board` of the first camera at each moment, metres.
    shape : (B,) float64
        Coefficients of the board's shape, metres.
    mounted : tuple of Mounted
        The other cameras of a rig.
    """

    camera: Camera
    rotations: np.ndarray
    translations: np.ndarray
    shape: np.ndarray
    mounted: tuple[Mounted, ...] = ()

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """All of them."""
        return self.camera, *(m.camera for m in self.mounted)


@dataclass(frozen=True, eq=False)
class Pull:
    """What is known of the cameras' parameters p beforehand: adds `1/2 (p - rest)^T stiffness (p - rest)` to the cost.

    Attributes
    ----------
    rest : (P,) float64
        Camera after camera.
    stiffness : (P, P) float64
        Square pixels over the units of the parameters.
    """

    rest: np.ndarray
    stiffness: np.ndarray


@dataclass(frozen=True)
class Free:
    """What may change besides the poses.

    Attributes
    ----------
    params : (P,) bool
        Of the camera; of a rig, camera after camera.
    shape : bool
    pull : Pull, optional
        What holds parameters of which corners may tell nothing.
    """

    params: np.ndarray
    shape: bool = True
    pull: Pull | None = None


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
        Normal equations there. The shared parameters are the free ones of the cameras, those of the shape, and six for
        each mounted camera's pose (rotation, translation).
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
    seen = np.empty_like(observations.pixels)
    _, points, _ = _in_first(observations, state)
    for c, camera in enumerate(state.cameras):
        rows = observations.rows_of(c)
        at = points[rows] if c == 0 else state.mounted[c - 1].cam_from_first.act(points[rows])
        seen[rows] = camera.project(at)
    return seen - observations.pixels


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
    if not np.isfinite(residuals_of(observations, start)).all():
        models = ", ".join(camera.model for camera in start.cameras)
        raise ValueError(f"a lens of the model {models} does not see all corners from where its fit begins")
    loss = loss or RobustLoss()
    problem = ArrowProblem(
        lambda state: linearize(observations, state, free, loss),
        lambda state: _cost(observations, state, free, loss),
        lambda state, shared, poses: _retract(state, free, shared, poses),
        start,
    )
    with single_threaded_blas():
        summary = levenberg_marquardt(
            problem, options or LMOptions(max_iterations=100, function_tolerance=1e-9)
        )
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
    r, d_shared, d_pose, visible = _jacobians(observations, state, free)
    squared = np.einsum("mk,mk->m", r, r)
    cost = 0.5 * float(loss.rho(squared).sum()) if visible else np.inf
    root = np.sqrt(loss.weight(squared))[:, None]
    r, d_shared, d_pose = root * r, root[..., None] * d_shared, root[..., None] * d_pose
    starts = np.searchsorted(observations.view, np.arange(observations.views))

    def per_view(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts, axis=0)

    flat = d_shared.reshape(2 * len(r), d_shared.shape[2])
    flat_pose = d_pose.reshape(2 * len(r), 6)
    views = [slice(2 * a, 2 * b) for a, b in pairwise([*starts, len(r)])]
    shared, gradient = flat.T @ flat, flat.T @ r.ravel()
    pulled, force, stiffness = _pull(state, free)
    gradient[: len(force)] += force
    shared[: len(force), : len(force)] += stiffness
    return ArrowSystem(
        cost + pulled,
        shared,
        per_view(np.einsum("mka,mkb->mab", d_pose, d_pose)),
        np.stack([flat[view].T @ flat_pose[view] for view in views]),
        gradient,
        per_view(np.einsum("mka,mk->ma", d_pose, r)),
    )


def _jacobians(
    observations: Observations, state: BoardState, free: Free
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Residuals (M, 2), their derivatives by the shared parameters and by the pose, and whether all points are seen."""
    turned, points, terms = _in_first(observations, state)
    count, bends = len(points), len(state.shape) if free.shape else 0
    ends = list(accumulate(len(camera.params) for camera in state.cameras))
    column = np.cumsum(free.params) - 1  # of a parameter among the free ones
    shape_at = int(free.params.sum())
    residuals, d_pose = np.empty((count, 2)), np.empty((count, 2, 6))
    d_shared = np.zeros((count, 2, shape_at + bends + 6 * len(state.mounted)))
    visible = True
    for c, camera in enumerate(state.cameras):
        rows = observations.rows_of(c)
        pose = SE3.identity() if c == 0 else state.mounted[c - 1].cam_from_first
        turned_here = points[rows] @ pose.rotation.T
        seen = camera.project_with_jacobians(turned_here + pose.translation)
        visible = visible and bool(seen.valid.all())
        residuals[rows] = seen.pixels - observations.pixels[rows]
        chosen = np.flatnonzero(free.params[ends[c] - len(camera.params) : ends[c]])
        columns = column[ends[c] - len(camera.params) + chosen]
        d_shared[np.ix_(rows, np.arange(2), columns)] = seen.d_params[:, :, chosen]
        if c > 0:
            at = shape_at + bends + 6 * (c - 1)
            d_shared[rows, :, at : at + 3] = -seen.d_point @ skew(turned_here)
            d_shared[rows, :, at + 3 : at + 6] = seen.d_point
        d_first = seen.d_point @ pose.rotation
        if bends:
            along = d_first @ state.rotations[observations.view[rows]][:, :, 2, None]
            d_shared[rows, :, shape_at : shape_at + bends] = along * terms[rows][:, None, :]
        d_pose[rows] = np.concatenate([-d_first @ skew(turned[rows]), d_first], axis=2)
    return residuals, d_shared, d_pose, visible


def _in_first(observations: Observations, state: BoardState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points turned into the first camera's axes (M, 3), points in its frame (M, 3), terms of the shape (M, B)."""
    terms = shape_terms(observations.points, len(state.shape))
    points = observations.points.copy()
    points[:, 2] += terms @ state.shape
    turned = np.einsum(
        "mij,mj->mi", state.rotations[observations.view], points[observations.ids], optimize=True
    )
    return turned, turned + state.translations[observations.view], terms[observations.ids]


def _cost(observations: Observations, state: BoardState, free: Free, loss: RobustLoss) -> float:
    r = residuals_of(observations, state)
    return 0.5 * float(loss.rho(np.einsum("mk,mk->m", r, r)).sum()) + _pull(state, free)[0]


def _pull(state: BoardState, free: Free) -> tuple[float, np.ndarray, np.ndarray]:
    """Cost of `Free.pull`, its gradient and Hessian by the free parameters of the cameras."""
    count = int(free.params.sum())
    if free.pull is None:
        return 0.0, np.zeros(count), np.zeros((count, count))
    away = np.concatenate([camera.params for camera in state.cameras]) - free.pull.rest
    force = free.pull.stiffness @ away
    hessian = free.pull.stiffness[np.ix_(free.params, free.params)]
    return 0.5 * float(away @ force), force[free.params], hessian


def _retract(state: BoardState, free: Free, shared: np.ndarray, poses: np.ndarray) -> BoardState:
    step = np.zeros(len(free.params))
    count = int(free.params.sum())
    step[free.params] = shared[:count]
    bends = len(state.shape) if free.shape else 0
    cameras, begin = [], 0
    for camera in state.cameras:
        cameras.append(_moved(camera, step[begin : begin + len(camera.params)]))
        begin += len(camera.params)
    translations = state.translations + poses[:, 3:]
    if any(
        camera is None for camera in cameras
    ):  # no camera sees a point that is nowhere: the step is refused
        cameras, translations = list(state.cameras), np.full_like(translations, np.nan)
    mounted = []
    for m, camera, d in zip(state.mounted, cameras[1:], shared[count + bends :].reshape(-1, 6)):
        old = m.cam_from_first
        moved = SE3(SO3.exp(d[:3]).matrix @ old.rotation, old.translation + d[3:])
        mounted.append(Mounted(camera, moved))
    return BoardState(
        cameras[0],
        SO3.exp(poses[:, :3]).matrix @ state.rotations,
        translations,
        state.shape + shared[count : count + bends] if bends else state.shape,
        tuple(mounted),
    )


def _moved(camera: Camera, step: np.ndarray) -> Camera | None:
    """The camera with other parameters; None where they are those of none."""
    params = camera.params + step
    if not (np.isfinite(params).all() and (params[list(MODELS[camera.model].focal_params)] > 0).all()):
        return None
    return Camera(camera.model, camera.width, camera.height, params, camera.prior_focal)
