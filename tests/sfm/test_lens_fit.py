"""Deviations of lenses are honest where photos hardly determine them."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SO3
from geo3d.sfm import BundleOptions, BundleProblem, solve_bundle
from geo3d.sfm.bundle_covariance import two_view_gauge
from geo3d.sfm.lens_fit import adjusted_problem, formal_deviations, jackknife_deviations

CAMERA = Camera("SIMPLE_RADIAL", 1000, 750, [900.0, 500.0, 375.0, -0.03])


def flight(seed, tilt_deg):
    """An adjusted block of 16 photos that look down, nearly straight, onto ground with little relief."""
    rng = np.random.default_rng(seed)
    column, row = np.divmod(np.arange(16), 4)
    centres = np.column_stack([2.5 * column, 2.0 * row, np.full(16, 10.0)]) + rng.normal(0, 0.05, (16, 3))
    rotations = SO3.exp(np.radians(tilt_deg) * rng.standard_normal((16, 3))).matrix @ np.diag([1.0, -1, -1])
    points = rng.uniform([-5, -5, 0], [13, 11, 0.4], (700, 3))
    pixels = np.stack([CAMERA.project((points - c) @ R.T) for R, c in zip(rotations, centres)])
    inside = ((pixels > 0) & (pixels < [1000, 750])).all(axis=2)
    point, view = np.nonzero((inside & (inside.sum(axis=0) >= 3)).T)
    kept, obs_point = np.unique(point, return_inverse=True)
    xy = pixels[view, point] + rng.normal(0, 0.5, (len(view), 2))
    problem = BundleProblem(
        rotations=rotations,
        translations=-np.einsum("vij,vj->vi", rotations, centres),
        view_camera=np.zeros(16, np.int64),
        cameras=[CAMERA],
        points=points[kept],
        obs_view=view,
        obs_point=obs_point,
        obs_xy=xy,
    )
    problem = replace(problem, constant_pose=two_view_gauge(problem, 0, 15))
    bundle = BundleOptions(max_iterations=300, function_tolerance=1e-12, threads=1)
    return adjusted_problem(problem, solve_bundle(problem, bundle))


@pytest.mark.parametrize("tilt_deg", [0.1, 5.0])
def test_the_jackknife_goes_all_the_way_where_photos_look_straight_down(tilt_deg):
    """Errors are independent here, so that it must find what the normal equations say."""
    bundle, ratio = BundleOptions(threads=1), []
    for seed in range(4):
        problem = flight(seed, tilt_deg)
        formal, found = formal_deviations(problem, bundle)[0], jackknife_deviations(problem, bundle)[0]
        ratio.append(found[[0, 3]] / formal[[0, 3]])
    mean = np.exp(np.mean(np.log(ratio), axis=0))
    assert (mean > 0.7).all() and (mean < 1.5).all()
