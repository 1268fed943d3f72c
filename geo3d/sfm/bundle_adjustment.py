"""Bundle adjustment: poses, camera parameters and points that best explain the observed pixels.

Minimises `1/2 sum rho(|project(camera, R X + t) - xy|^2)` over all observations, in pixels or in their standard
deviations, plus the cost of what is known beforehand (`BundlePriors`), by Levenberg-Marquardt with the points
eliminated (Schur complement; Triggs et al. 2000). A gauge that neither constants nor priors fix is held by the
damping. Results do not depend on the number of threads. After each common step every point takes up to two steps of
its own, which costs little and halves the iterations (embedded point iterations, Jeong et al. 2012).

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

from geo3d.geometry import SE3
from geo3d.optim.least_squares import LMTrace, levenberg_marquardt
from geo3d.optim.losses import RobustLoss
from geo3d.optim.parallel import Workers
from geo3d.sfm.bundle_problem import BundleOptions, BundleProblem, BundleResult, free_parameters, hold_rigs
from geo3d.sfm.bundle_system import BundleSystem
from geo3d.sfm.rig_model import apply_rigs, bundle_rigs
from geo3d.util.threads import cpu_count, single_threaded_blas

if TYPE_CHECKING:
    from geo3d.scene import Reconstruction


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
    problem = hold_rigs(problem, options)
    loss = RobustLoss(options.loss, options.loss_scale_px)
    with single_threaded_blas(), Workers(options.threads or cpu_count()) as workers:
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
        rigs=system.rigs,
        cost_initial=result.cost_initial,
        cost=system.observation_cost(problem, squared) + system.prior_cost(),
        iterations=result.iterations,
        termination=result.termination,
        seconds=time.perf_counter() - start,
        trace=trace,
    )


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
    projects). Views of rigs with several sensors keep the poses that these have to each other, and those are adjusted
    too unless `options.refine_rigs` is false; frames' poses and `sensor_from_rig` are written as well. The world has
    the scale of the rigs then, which is for whoever made the model to see to.

    Parameters
    ----------
    reconstruction : Reconstruction
    options : BundleOptions, optional
    constant_views, constant_cameras : iterable of int
        Ids that stay as they are. A frame with a view that stays does so as a whole; where the rig is refined its
        views beside the reference still follow their sensors.
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
    problem = bundle_problem(reconstruction, constant_views, constant_cameras, constant_points)
    return apply_bundle(reconstruction, problem, solve_bundle(problem, options))


def apply_bundle(
    reconstruction: Reconstruction, problem: BundleProblem, result: BundleResult
) -> BundleReport:
    """Write the `result` of adjusting `problem`, made by `bundle_problem` of it, into the `reconstruction`.

    Points and observations that the problem has beyond those of the reconstruction (control points) are left out.
    """
    view_ids, camera_ids = reconstruction.registered(), sorted(reconstruction.cameras)
    for row, i in enumerate(view_ids):
        rotation, translation = result.rotations[row], result.translations[row]
        before = reconstruction.views[i].cam_from_world
        assert before is not None
        if not (
            np.array_equal(before.rotation, rotation) and np.array_equal(before.translation, translation)
        ):
            reconstruction.views[i].cam_from_world = SE3(rotation.copy(), translation.copy())
    apply_rigs(reconstruction, result.rigs)
    for row, i in enumerate(camera_ids):
        reconstruction.cameras[i] = result.cameras[row]
    points = reconstruction.points
    count = len(points)
    points.xyz = result.points[:count]
    own = problem.obs_point < count
    projects = np.isfinite(result.errors_px) & own
    rows = problem.obs_point[projects]
    seen = np.bincount(rows, minlength=count)
    total = np.bincount(rows, result.errors_px[projects], minlength=count)
    points.error_px = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    error = float(result.errors_px[projects].mean()) if projects.any() else float("nan")
    return BundleReport(int(own.sum()), error, result)


def bundle_problem(
    reconstruction: Reconstruction,
    constant_views: Iterable[int] = (),
    constant_cameras: Iterable[int] = (),
    constant_points: np.ndarray | None = None,
) -> BundleProblem:
    """The arrays of a reconstruction, views and cameras in ascending order of their ids.

    Parameters
    ----------
    reconstruction : Reconstruction
    constant_views, constant_cameras, constant_points
        As in `bundle_adjust`.

    Returns
    -------
    BundleProblem
        Observations of registered views, in the order of the points.

    Raises
    ------
    ValueError
        If an id is not in the reconstruction.
    """
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
    rotations = np.array([pose.rotation for pose in poses if pose is not None]).reshape(-1, 3, 3)
    translations = np.array([pose.translation for pose in poses if pose is not None]).reshape(-1, 3)
    constant = np.array([i in views for i in view_ids], bool)
    rigs = bundle_rigs(reconstruction, views)
    if rigs is not None:
        rotations[rigs.views], translations[rigs.views] = rigs.view_poses()
        constant[rigs.views] = False
    return BundleProblem(
        rotations=rotations,
        translations=translations,
        view_camera=np.array(
            [camera_ids.index(reconstruction.views[i].camera_id) for i in view_ids], np.int64
        ),
        cameras=[reconstruction.cameras[i] for i in camera_ids],
        points=points.xyz,
        obs_view=obs_view,
        obs_point=obs_point,
        obs_xy=obs_xy,
        constant_view=constant,
        constant_camera=np.array([i in cameras for i in camera_ids], bool),
        constant_point=constant_points,
        rigs=rigs,
    )
