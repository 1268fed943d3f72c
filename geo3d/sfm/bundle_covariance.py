"""How certain the result of a bundle adjustment is: covariances of poses, camera parameters and points.

`sigma^2 H^-1` at the given values, with the points eliminated: `sigma_px` is the standard deviation of observations
(of one whose `obs_sigma_px` is 1 where the problem gives that), while priors count with the deviations that they come
with, which hold in world units whatever the pixels say. It holds for the gauge that the problem's constants or priors
hold (a reconstruction can be moved, turned and scaled at no cost, so a coordinate has no uncertainty by itself, only
relative to what is held). A pose's tangent is the rotation about the camera's axes, then the translation:
`R <- exp(w) R`, `t <- t + v`, radians and world units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.optim.losses import RobustLoss
from geo3d.optim.parallel import Workers
from geo3d.sfm.bundle_adjustment import BundleOptions, BundleProblem, free_parameters, hold_rigs
from geo3d.sfm.bundle_system import BundleSystem
from geo3d.util.threads import cpu_count, single_threaded_blas


@dataclass(frozen=True)
class BundleCovariance:
    """Covariances; rows and columns of what is constant are zero.

    Attributes
    ----------
    poses : (V, 6, 6) array
        Rotation (w), translation (v) of each view.
    cameras : list of (n_params, n_params) array
    points : (P, 3, 3) array
        World coordinates. NaN where the observations do not determine the point. No rows where not asked for.
    frames, sensors : (F, 6, 6), (S, 6, 6) array
        Of the poses of rigs' frames and sensors, in the same way. No rows without rigs.
    sigma_px : float
        Standard deviation of one pixel coordinate, as given or estimated; with `obs_sigma_px` the factor of these.
        With a loss that of full weight, somewhat less than the noise of the keypoints.
    """

    poses: np.ndarray
    cameras: list[np.ndarray]
    points: np.ndarray
    frames: np.ndarray
    sensors: np.ndarray
    sigma_px: float


def two_view_gauge(problem: BundleProblem, first: int, second: int) -> np.ndarray:
    """Constants that hold the gauge of a `problem`: the pose of `first`, and one translation element of `second`.

    The element is the largest of the baseline in the second camera's frame, as COLMAP's TWO_CAMS_FROM_WORLD.

    Returns
    -------
    (V, 6) bool
        For `BundleProblem.constant_pose`.
    """
    R, t = np.asarray(problem.rotations), np.asarray(problem.translations)
    baseline = t[second] - R[second] @ R[first].T @ t[first]
    constant = np.zeros((len(t), 6), bool)
    constant[first] = True
    constant[second, 3 + np.argmax(np.abs(baseline))] = True
    return constant


def bundle_covariance(
    problem: BundleProblem,
    options: BundleOptions | None = None,
    sigma_px: float | None = None,
    points: bool = True,
) -> BundleCovariance:
    """Covariances at the values of an adjusted problem.

    Parameters
    ----------
    problem : BundleProblem
        With the adjusted values, and constants (`two_view_gauge`) or priors that hold the gauge.
    options : BundleOptions, optional
        What is free; the loss weighs the observations.
    sigma_px : float, optional
        Standard deviation of one pixel coordinate (with `obs_sigma_px`: the factor of these). By default estimated
        from the residuals and the redundancy of the observations alone; where a loss weighs them, such that the
        covariances are those of its estimates (Huber, Robust Statistics, 1981, 7.6).
    points : bool
        Whether those of the points are wanted too, which takes longer than all others.

    Returns
    -------
    BundleCovariance

    Raises
    ------
    ValueError
        If the gauge is not held, or something free is not determined by the observations.
    """
    options = options or BundleOptions()
    problem.check()
    problem = hold_rigs(problem, options)
    free = pose, params, point = free_parameters(problem, options)
    loss = RobustLoss(options.loss, options.loss_scale_px)
    with single_threaded_blas(), Workers(options.threads or cpu_count()) as workers:
        system = BundleSystem(problem, loss, *free, workers)
        if sigma_px is None:
            squared = system.squared_errors(problem)
            rows = 2 * np.isfinite(squared).sum()
            unknowns = len(system.normal.basis_step) + 3 * int(np.count_nonzero(point))
            if rows <= unknowns:
                raise ValueError(f"sigma_px cannot be estimated: redundancy {rows - unknowns}; give it")
            variance = system.observation_variance(problem, squared, unknowns)
            if not np.isfinite(variance):
                raise ValueError("sigma_px cannot be estimated: hardly any observation fits; give it")
            sigma_px = float(np.sqrt(variance))
        system.priors.multiply(sigma_px**2)  # all is divided by it in the end, and only pixels have that unit
        system.linearize()
        dense, unknowns = system.normal.covariances()
        of_points = np.zeros((0, 3, 3))
        if points:
            of_points = system.normal.point_covariances(dense)
            of_points[~point] = 0.0
    poses, cameras = np.zeros((*pose.shape, 6)), np.zeros((*params.shape, params.shape[1]))
    blocks, starts = system.blocks, system.normal.columns
    for b, width in enumerate(blocks.widths.tolist()):
        block = dense[starts[b] : starts[b] + width, starts[b] : starts[b] + width]
        columns = blocks.columns[b, :width]
        moves, bends = columns < 6, columns >= 6
        if blocks.view[b] >= 0:
            poses[blocks.view[b]][np.ix_(columns[moves], columns[moves])] = block[np.ix_(moves, moves)]
        if blocks.camera[b] >= 0:
            cameras[blocks.camera[b]][np.ix_(columns[bends] - 6, columns[bends] - 6)] = block[
                np.ix_(bends, bends)
            ]
    trimmed = [cameras[c, : len(m.params), : len(m.params)] for c, m in enumerate(problem.cameras)]
    frames, sensors = np.zeros((0, 6, 6)), np.zeros((0, 6, 6))
    if system.rig_columns is not None:
        frames, sensors = (_blocks(unknowns, columns) for columns in system.rig_columns)
    variance = sigma_px**2
    return BundleCovariance(
        poses=variance * poses,
        cameras=[variance * camera for camera in trimmed],
        points=variance * of_points,
        frames=variance * frames,
        sensors=variance * sensors,
        sigma_px=sigma_px,
    )


def _blocks(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(N, 6, 6) of rows and `columns` (N, 6) of a matrix, zero where these are -1."""
    padded = np.pad(matrix, ((0, 1), (0, 1)))
    return padded[columns[:, :, None], columns[:, None, :]]
