"""Bundle adjustment: poses, camera parameters and points that best explain the observed pixels.

Minimises `1/2 sum rho(|project(camera, R X + t) - xy|^2)` over all observations, in pixels, by Levenberg-Marquardt
with the points eliminated (Schur complement; Triggs et al. 2000). A gauge that is not fixed by constants is held by
the damping. Results do not depend on the number of threads. After each common step every point takes up to two
steps of its own, which costs little and halves the iterations (embedded point iterations, Jeong et al. 2012).

An observation whose point does not project (behind its camera, outside of the model's domain) counts zero, as in
COLMAP; it comes back when the point does. Which observations count is settled whenever the equations are built, and
a step is judged over these only: a point that its step would take out of sight goes a part of the way, and where
that does not help the observation is judged at its old cost. So no step is ever taken for losing sight of a point,
and none is refused for seeing one again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.cameras.kernels import MAX_PARAMS
from geo3d.geometry import SE3
from geo3d.optim.least_squares import LMOptions, LMTrace, Termination, levenberg_marquardt
from geo3d.optim.losses import LossKind, RobustLoss
from geo3d.optim.parallel import Workers, single_threaded_lapack
from geo3d.sfm.bundle_system import BundleSystem
from geo3d.util.threads import cpu_count

if TYPE_CHECKING:
    from geo3d.scene import Reconstruction


@dataclass(frozen=True)
class BundleOptions:
    """What moves, how residuals count, when to stop.

    Attributes
    ----------
    loss : str
        `trivial`, `huber`, `soft_l1`, `cauchy`, `tukey` or `truncated`; see `geo3d.optim.RobustLoss`.
    loss_scale_px : float
        Residual in pixels beyond which observations count less.
    max_iterations, function_tolerance, gradient_tolerance, parameter_tolerance, initial_damping
        See `geo3d.optim.LMOptions`.
    threads : int or None
        Default: all cores.
    refine_focal, refine_principal_point, refine_distortion : bool
        Which parameters of the cameras move.
    refine_poses, refine_points : bool
        Whether views and points move.
    """

    loss: LossKind = "trivial"
    loss_scale_px: float = 1.0
    max_iterations: int = 50
    function_tolerance: float = 1e-6
    gradient_tolerance: float = 1e-10
    parameter_tolerance: float = 1e-8
    initial_damping: float = 1e-4
    threads: int | None = None
    refine_focal: bool = True
    refine_principal_point: bool = False
    refine_distortion: bool = True
    refine_poses: bool = True
    refine_points: bool = True

    def __post_init__(self) -> None:
        RobustLoss(self.loss, self.loss_scale_px)
        self.minimizer()
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, or None for all cores; got {self.threads}")

    def minimizer(self) -> LMOptions:
        """The options of the minimiser."""
        return LMOptions(
            self.max_iterations,
            self.function_tolerance,
            self.gradient_tolerance,
            self.parameter_tolerance,
            self.initial_damping,
        )


@dataclass
class BundleProblem:
    """Poses, cameras, points and what was observed of them. Arrays are not changed by the solver.

    Attributes
    ----------
    rotations, translations : (V, 3, 3), (V, 3) array
        `cam_from_world` of each view.
    view_camera : (V,) int
        Row of `cameras`; several views may share one.
    cameras : list of Camera
    points : (P, 3) array
        World coordinates.
    obs_view, obs_point : (O,) int
        Rows of the view and of the point of each observation, in any order.
    obs_xy : (O, 2) array
        Observed pixels.
    constant_view : (V,) bool, optional
    constant_point : (P,) bool, optional
    constant_camera : (C,) bool, optional
    constant_pose : (V, 6) bool, optional
        Single elements of poses that stay: rotation about camera x, y, z, then translation x, y, z.
    free_params : list of (n_params,) bool or None, optional
        One mask a camera: which parameters move, in place of the flags of the options. None for those flags.
    """

    rotations: np.ndarray
    translations: np.ndarray
    view_camera: np.ndarray
    cameras: list[Camera]
    points: np.ndarray
    obs_view: np.ndarray
    obs_point: np.ndarray
    obs_xy: np.ndarray
    constant_view: np.ndarray | None = None
    constant_point: np.ndarray | None = None
    constant_camera: np.ndarray | None = None
    constant_pose: np.ndarray | None = None
    free_params: list[np.ndarray | None] | None = None

    def check(self) -> None:
        """Raise ValueError naming the first field of the wrong shape or with rows out of range."""
        views, points, observations = len(self.translations), len(self.points), len(self.obs_view)
        cameras = len(self.cameras)
        shapes = {
            "rotations": (views, 3, 3),
            "translations": (views, 3),
            "view_camera": (views,),
            "points": (points, 3),
            "obs_view": (observations,),
            "obs_point": (observations,),
            "obs_xy": (observations, 2),
            "constant_view": (views,),
            "constant_point": (points,),
            "constant_camera": (cameras,),
            "constant_pose": (views, 6),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name} must have shape {shape}; got {np.shape(value)}")
        for name, count in (("view_camera", cameras), ("obs_view", views), ("obs_point", points)):
            rows = np.asarray(getattr(self, name))
            if not np.issubdtype(rows.dtype, np.integer):
                raise ValueError(f"{name} must hold integers; got {rows.dtype}")
            if rows.size and (rows.min() < 0 or rows.max() >= count):
                raise ValueError(f"{name} must be rows of 0 to {count - 1}; got {rows.min()} to {rows.max()}")
        for name in ("rotations", "translations", "points", "obs_xy"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite; leave out what is not known")
        if self.free_params is not None and len(self.free_params) != cameras:
            raise ValueError(
                f"free_params must have one mask a camera ({cameras}); got {len(self.free_params)}"
            )


@dataclass
class BundleResult:
    """Adjusted values, in the problem's order; constants are bit-identical.

    Attributes
    ----------
    rotations, translations, cameras, points
        As in the problem.
    errors_px : (O,) array
        Reprojection error of each observation; NaN where the point does not project.
    cost_initial, cost : float
        `1/2 sum rho` in px^2 over the observations that project, before and after.
    iterations, termination, seconds, trace
        See `geo3d.optim.LMResult`; seconds include the preparation.
    """

    rotations: np.ndarray
    translations: np.ndarray
    cameras: list[Camera]
    points: np.ndarray
    errors_px: np.ndarray
    cost_initial: float
    cost: float
    iterations: int
    termination: Termination
    seconds: float
    trace: list[LMTrace] = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether a tolerance was met."""
        return self.termination in ("function", "gradient", "parameter")


def solve_bundle(problem: BundleProblem, options: BundleOptions | None = None) -> BundleResult:
    """Adjust a bundle.

    Parameters
    ----------
    problem : BundleProblem
    options : BundleOptions, optional

    Returns
    -------
    BundleResult

    Raises
    ------
    ValueError
        If a field of the problem has the wrong shape, rows out of range, or values that are not finite.
    """
    start = time.perf_counter()
    options = options or BundleOptions()
    problem.check()
    loss = RobustLoss(options.loss, options.loss_scale_px)
    with single_threaded_lapack(), Workers(options.threads or cpu_count()) as workers:
        system = BundleSystem(problem, loss, *free_parameters(problem, options), workers)
        ready = time.perf_counter() - start
        result = levenberg_marquardt(system, options.minimizer())
    squared = system.squared_errors(problem)
    cameras = [
        camera if np.array_equal(camera.params, row) else camera.with_params(row)
        for camera, row in zip(
            problem.cameras, (row[: len(c.params)] for c, row in zip(problem.cameras, system.params))
        )
    ]
    trace = [LMTrace(t.iteration, t.cost, t.damping, t.accepted, t.seconds + ready) for t in result.trace]
    return BundleResult(
        rotations=system.rotations,
        translations=system.translations,
        cameras=cameras,
        points=system.points,
        errors_px=np.sqrt(squared),
        cost_initial=result.cost_initial,
        cost=0.5 * float(np.nansum(loss.rho(squared))),
        iterations=result.iterations,
        termination=result.termination,
        seconds=time.perf_counter() - start,
        trace=trace,
    )


def free_parameters(
    problem: BundleProblem, options: BundleOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of what moves: poses (V, 6), camera parameters (C, MAX_PARAMS), points (P,)."""
    pose = np.full((len(problem.translations), 6), options.refine_poses)
    if problem.constant_view is not None:
        pose[np.asarray(problem.constant_view, bool)] = False
    if problem.constant_pose is not None:
        pose &= ~np.asarray(problem.constant_pose, bool)
    point = np.full(len(problem.points), options.refine_points)
    if problem.constant_point is not None:
        point &= ~np.asarray(problem.constant_point, bool)
    params = np.zeros((len(problem.cameras), MAX_PARAMS), bool)
    for c, camera in enumerate(problem.cameras):
        mask = problem.free_params[c] if problem.free_params is not None else None
        if mask is not None:
            if len(mask) != len(camera.params):
                raise ValueError(
                    f"free_params[{c}] must have {len(camera.params)} elements ({camera.model}); got {len(mask)}"
                )
            params[c, : len(mask)] = mask
            continue
        model = MODELS[camera.model]
        params[c, list(model.focal_params)] = options.refine_focal
        params[c, list(model.principal_params)] = options.refine_principal_point
        params[c, list(model.distortion_params)] = options.refine_distortion
    if problem.constant_camera is not None:
        params[np.asarray(problem.constant_camera, bool)] = False
    return pose, params, point


@dataclass
class BundleReport:
    """What `bundle_adjust` did.

    Attributes
    ----------
    observations : int
        Observations of registered views.
    error_px : float
        Mean reprojection error afterwards, over the observations that project.
    result : BundleResult
        Cost, iterations, termination and trace; rows in ascending order of view and camera ids.
    """

    observations: int
    error_px: float
    result: BundleResult = field(repr=False)


def bundle_adjust(
    reconstruction: Reconstruction,
    options: BundleOptions | None = None,
    constant_views: Iterable[int] = (),
    constant_cameras: Iterable[int] = (),
    constant_points: np.ndarray | None = None,
) -> BundleReport:
    """Adjust the registered views, their cameras and all points of a reconstruction in place.

    Writes poses, camera parameters, `points.xyz` and `points.error_px` (mean over the track; NaN where nothing
    projects). Rig constraints are not held; views move one by one.

    Parameters
    ----------
    reconstruction : Reconstruction
    options : BundleOptions, optional
    constant_views, constant_cameras : iterable of int
        Ids that stay as they are.
    constant_points : (P,) bool, optional
        Rows of points that stay.

    Returns
    -------
    BundleReport

    Raises
    ------
    ValueError
        If an id is not in the reconstruction or a value is not finite.
    """
    problem = _problem_of(reconstruction, constant_views, constant_cameras, constant_points)
    result = solve_bundle(problem, options)
    view_ids, camera_ids = reconstruction.registered(), sorted(reconstruction.cameras)
    for row, i in enumerate(view_ids):
        before = (problem.rotations[row], problem.translations[row])
        after = (result.rotations[row], result.translations[row])
        if not all(np.array_equal(a, b) for a, b in zip(before, after)):
            reconstruction.views[i].cam_from_world = SE3(after[0].copy(), after[1].copy())
    for row, i in enumerate(camera_ids):
        reconstruction.cameras[i] = result.cameras[row]
    points = reconstruction.points
    points.xyz = result.points
    projects = np.isfinite(result.errors_px)
    rows, count = problem.obs_point[projects], len(points)
    seen = np.bincount(rows, minlength=count)
    total = np.bincount(rows, result.errors_px[projects], minlength=count)
    points.error_px = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    error = float(result.errors_px[projects].mean()) if projects.any() else float("nan")
    return BundleReport(len(projects), error, result)


def _problem_of(
    reconstruction: Reconstruction,
    constant_views: Iterable[int],
    constant_cameras: Iterable[int],
    constant_points: np.ndarray | None,
) -> BundleProblem:
    """The arrays of a reconstruction, views and cameras in ascending order of their ids."""
    view_ids, camera_ids = reconstruction.registered(), sorted(reconstruction.cameras)
    views, cameras = set(constant_views), set(constant_cameras)
    for name, ids, known in (
        ("constant_views", views, view_ids),
        ("constant_cameras", cameras, camera_ids),
    ):
        if not ids <= set(known):
            raise ValueError(f"{name}: no such ids in the reconstruction: {sorted(ids - set(known))[:10]}")
    points = reconstruction.points
    poses = [reconstruction.views[i].cam_from_world for i in view_ids]
    rows = np.full(max(reconstruction.views, default=0) + 1, -1)
    rows[view_ids] = np.arange(len(view_ids))
    obs_view = rows[points.view_ids]
    used = obs_view >= 0
    obs_view, obs_point, keypoints = obs_view[used], points.point_rows[used], points.keypoints[used]
    obs_xy = np.empty((len(obs_view), 2))
    order = np.argsort(obs_view, kind="stable")
    bounds = np.searchsorted(obs_view[order], np.arange(len(view_ids) + 1))
    for row, i in enumerate(view_ids):
        part = order[bounds[row] : bounds[row + 1]]
        obs_xy[part] = reconstruction.views[i].keypoints[keypoints[part]]
    return BundleProblem(
        rotations=np.array([pose.rotation for pose in poses if pose is not None]).reshape(-1, 3, 3),
        translations=np.array([pose.translation for pose in poses if pose is not None]).reshape(-1, 3),
        view_camera=np.array(
            [camera_ids.index(reconstruction.views[i].camera_id) for i in view_ids], np.int64
        ),
        cameras=[reconstruction.cameras[i] for i in camera_ids],
        points=points.xyz,
        obs_view=obs_view,
        obs_point=obs_point,
        obs_xy=obs_xy,
        constant_view=np.array([i in views for i in view_ids], bool),
        constant_camera=np.array([i in cameras for i in camera_ids], bool),
        constant_point=constant_points,
    )
