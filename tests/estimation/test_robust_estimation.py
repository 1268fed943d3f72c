"""estimate_*: recovery at 50 % outliers within the noise, determinism, degeneracy, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.estimation import (
    EstimationError,
    RansacOptions,
    estimate_absolute_pose,
    estimate_absolute_pose_focal,
    estimate_essential,
    estimate_fundamental,
    estimate_homography,
    estimate_relative_pose,
    refine_absolute_pose,
    refine_relative_pose,
    sampson_error,
)
from geo3d.estimation.absolute_pose import AbsolutePoseEstimator
from geo3d.estimation.fundamental import FundamentalEstimator
from geo3d.estimation.homography import HomographyEstimator
from geo3d.estimation.pixel_rays import pixel_rays, sampson_data
from geo3d.estimation.relative_pose import RelativePoseEstimator, essential_rows
from geo3d.estimation.sampson import sampson_squared
from geo3d.geometry import SE3, SO3

from .two_view_scenes import fisheye, pinhole, pose_errors, two_views

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=15)


@few
@given(seeds, st.sampled_from(["magsac", "msac"]))
def test_relative_pose_among_half_outliers(seed, score):
    scene = two_views(seed)
    options = RansacOptions(max_error_px=2.0, score=score)
    found = estimate_relative_pose(scene.x1, scene.x2, scene.camera, scene.camera, options)
    turn, direction = pose_errors(found.cam2_from_cam1, scene.pose)
    assert turn < 0.5 and direction < 5
    assert found.inliers[150:].mean() > 0.9
    assert found.inliers[:150].mean() < 0.2
    assert found.degeneracy is None
    assert np.linalg.norm(found.cam2_from_cam1.translation) == pytest.approx(1)


@few
@given(seeds)
def test_relative_pose_is_exact_without_noise(seed):
    scene = two_views(seed, 100, noise=0.0)
    # Outliers that chance put next to their epipolar lines pull the pose a little, unless the threshold is small.
    options = RansacOptions(max_error_px=0.01)
    found = estimate_relative_pose(scene.x1, scene.x2, scene.camera, scene.camera, options)
    assert max(pose_errors(found.cam2_from_cam1, scene.pose)) < 1e-3
    assert found.inliers[50:].all()


def test_relative_pose_of_cameras_that_see_behind_them():
    camera = fisheye()
    rng = np.random.default_rng(5)
    pose = SE3(SO3.exp(np.array([0.1, 0.5, -0.1])).matrix, np.array([0.6, 0.0, 0.8]))
    ray = rng.normal(size=(2000, 3))
    points = 4 * ray / np.linalg.norm(ray, axis=1, keepdims=True) * rng.uniform(1, 2, (2000, 1))
    x1, x2 = camera.project(points), camera.project(pose.act(points))
    seen = np.isfinite(x1).all(axis=1) & np.isfinite(x2).all(axis=1)
    x1, x2, points = x1[seen], x2[seen], points[seen]
    assert (points[:, 2] < 0).any()
    x1 = x1 + 0.3 * rng.normal(size=x1.shape)
    x2 = x2 + 0.3 * rng.normal(size=x2.shape)
    x2[::2] = x2[::2][::-1]
    keep = np.isfinite(camera.unproject(x1)).all(axis=1) & np.isfinite(camera.unproject(x2)).all(axis=1)
    found = estimate_relative_pose(x1[keep], x2[keep], camera, camera, RansacOptions(max_error_px=2))
    turn, direction = pose_errors(found.cam2_from_cam1, pose)
    assert turn < 0.2 and direction < 0.5


def test_same_seed_is_identical_and_order_is_equivalent():
    scene = two_views(11, 600)
    one, two = (estimate_relative_pose(scene.x1, scene.x2, scene.camera, scene.camera) for _ in range(2))
    assert (
        np.array_equal(one.E, two.E) and one.score == two.score and np.array_equal(one.inliers, two.inliers)
    )
    order = np.random.default_rng(0).permutation(len(scene.x1))
    other = estimate_relative_pose(scene.x1[order], scene.x2[order], scene.camera, scene.camera)
    turn, direction = pose_errors(other.cam2_from_cam1, one.cam2_from_cam1)
    assert turn < 0.1 and direction < 1
    assert np.mean(other.inliers != one.inliers[order]) < 0.03
    assert abs(other.score / one.score - 1) < 0.01


def test_degenerate_motions_are_reported():
    camera = pinhole()
    turned = two_views(12, shape="rotation", outliers=0.3)
    assert estimate_relative_pose(turned.x1, turned.x2, camera, camera).degeneracy == "pure rotation"
    flat = two_views(13, shape="plane", outliers=0.3)
    assert estimate_essential(flat.x1, flat.x2, camera, camera).degeneracy == "plane"
    assert estimate_fundamental(flat.x1, flat.x2).degeneracy == "plane"


@few
@given(seeds)
def test_fundamental_among_half_outliers(seed):
    scene = two_views(seed)
    found = estimate_fundamental(scene.x1, scene.x2, RansacOptions(max_error_px=2.0))
    clean = two_views(seed, noise=0.0)
    assert np.sqrt(np.median(sampson_error(found.F, clean.x1[150:], clean.x2[150:]))) < 0.5
    assert found.inliers[150:].mean() > 0.85
    assert np.linalg.svd(found.F, compute_uv=False)[2] < 1e-12


def test_fundamental_where_a_plane_dominates():
    errors = []
    for seed in range(8):
        scene = two_views(seed, 300, outliers=0.0, noise=0.3, shape="mostly plane")
        bad = np.random.default_rng(seed).choice(300, 60, replace=False)
        scene.x2[bad] = np.random.default_rng(seed + 1).uniform(0, 800, (60, 2))
        found = estimate_fundamental(scene.x1, scene.x2, RansacOptions(max_error_px=1.5, min_iterations=20))
        clean = two_views(seed, 300, outliers=0.0, noise=0.0, shape="mostly plane")
        off = np.abs(clean.points[:, 2] - 10 - 0.4 * clean.points[:, 0]) > 0.5
        errors.append(np.sqrt(np.median(sampson_error(found.F, clean.x1[off], clean.x2[off]))))
    assert np.median(errors) < 0.5 and max(errors) < 1.5, errors


@few
@given(seeds)
def test_homography_among_half_outliers(seed):
    scene = two_views(seed, shape="plane")
    found = estimate_homography(scene.x1, scene.x2)
    clean = two_views(seed, shape="plane", noise=0.0)
    moved = np.c_[clean.x1, np.ones(300)][150:] @ found.H.T
    assert np.median(np.linalg.norm(moved[:, :2] / moved[:, 2:] - clean.x2[150:], axis=1)) < 0.5
    assert found.inliers[150:].mean() > 0.95 and found.degeneracy is None


@few
@given(seeds, st.sampled_from(["pinhole", "fisheye"]), st.floats(0, 1e6))
def test_absolute_pose_among_half_outliers(seed, kind, far):
    rng = np.random.default_rng(seed)
    camera = pinhole() if kind == "pinhole" else fisheye()
    rotation = SO3.exp(rng.normal(size=3)).matrix
    points = rng.uniform(-3, 3, size=(200, 3)) + np.array([0, 0, 8])
    pixels = camera.project(points) + 0.5 * rng.normal(size=(200, 2))
    pixels[:100] = rng.uniform(200, 600, size=(100, 2))
    centre = np.array([far, -far, 10.0])
    world = points @ rotation + centre  # x = R (X - centre)
    found = estimate_absolute_pose(world, pixels, camera)
    assert np.linalg.norm(found.cam_from_world.center() - centre) < 0.15 + 1e-8 * far
    assert found.inliers[100:].mean() > 0.95 and found.inliers[:100].mean() < 0.2
    assert found.degeneracy is None


@few
@given(seeds, st.booleans())
def test_absolute_pose_with_unknown_focal_length(seed, plane):
    rng = np.random.default_rng(seed)
    rotation = SO3.exp(rng.normal(size=3) * 0.2 + [0.4, 0, 0]).matrix
    world = rng.uniform(-3, 3, size=(200, 3))
    if plane:
        world[:, 2] = 0
    q = world @ rotation.T + [0, 0, 9]
    pixels = 1300 * q[:, :2] / q[:, 2:] + [500, 400] + 0.3 * rng.normal(size=(200, 2))
    pixels[:100] = rng.uniform(0, 1000, size=(100, 2))
    found = estimate_absolute_pose_focal(world, pixels, (500, 400))
    assert abs(found.focal / 1300 - 1) < 0.05
    assert found.inliers[100:].mean() > 0.95 and found.degeneracy is None


def estimators():
    scene = two_views(21, noise=1.0)
    flat = two_views(22, noise=1.0, shape="plane")
    rays1, rays2 = (pixel_rays("x", x, scene.camera) for x in (scene.x1, scene.x2))
    for score in ("magsac", "msac"):
        yield RelativePoseEstimator(rays1, rays2, score, 3.0)
        yield AbsolutePoseEstimator(scene.points, rays1, score, 3.0)
        yield FundamentalEstimator(scene.x1, scene.x2, score, 3.0)
        yield HomographyEstimator(flat.x1, flat.x2, score, 3.0)


def test_refinement_never_raises_the_cost_and_early_exit_keeps_the_best():
    rng = np.random.default_rng(0)
    for estimator in estimators():
        samples = np.array([150 + rng.choice(150, estimator.sample_size, replace=False) for _ in range(20)])
        models = estimator.solve(samples)
        full = np.array([estimator.costs(m[None], np.inf)[0] for m in models])
        for model, cost in zip(models[:20], full):
            refined = estimator.refine(model, 10)
            assert estimator.costs(refined[None], np.inf)[0] <= cost * (1 + 1e-9)
        quick = estimator.costs(models, np.inf)
        assert np.argmin(quick) == np.argmin(full)
        assert quick.min() == pytest.approx(full.min())
        assert np.all(estimator.costs(models, 0.5 * full.min()) > 0.5 * full.min())


def test_sampson_kernel_is_the_formula():
    scene = two_views(23)
    E = essential_rows(np.concatenate([scene.pose.rotation.ravel(), scene.pose.translation])[None])
    F = np.linalg.inv(scene.K).T @ E.reshape(3, 3) @ np.linalg.inv(scene.K)
    data = sampson_data(pixel_rays("x1", scene.x1, scene.camera), pixel_rays("x2", scene.x2, scene.camera))
    np.testing.assert_allclose(sampson_squared(E[0], data), sampson_error(F, scene.x1, scene.x2), rtol=1e-6)


def test_refinement_from_a_perturbed_pose():
    scene = two_views(24, noise=0.0, outliers=0.0)
    start = SE3(
        SO3.exp(np.array([3e-4, -2e-4, 1e-4])).matrix @ scene.pose.rotation, 5 * scene.pose.translation
    )
    found = refine_relative_pose(start, scene.x1, scene.x2, scene.camera, scene.camera, max_error_px=2.0)
    assert max(pose_errors(found, scene.pose)) < 1e-4
    found = refine_absolute_pose(SE3(start.rotation @ scene.pose.rotation.T, np.full(3, 0.01)), scene.points[60:],
                                 scene.x1[60:], scene.camera, max_error_px=20.0)  # fmt: skip
    np.testing.assert_allclose(found.rotation, np.eye(3), atol=1e-8)


def test_too_few_nan_and_hopeless_input():
    camera = pinhole()
    scene = two_views(25, 30)
    for estimate, least in (
        (lambda a, b: estimate_relative_pose(a, b, camera, camera), 5),
        (estimate_fundamental, 7),
        (estimate_homography, 4),
    ):
        with pytest.raises(ValueError, match=f"at least {least}"):
            estimate(scene.x1[: least - 1], scene.x2[: least - 1])
        broken = scene.x1.copy()
        broken[3] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            estimate(broken, scene.x2)
        same = np.tile(scene.x1[:1], (20, 1))
        with pytest.raises(EstimationError, match="no model found"):
            estimate(same, same)
    with pytest.raises(ValueError, match="at least 3"):
        estimate_absolute_pose(scene.points[:2], scene.x1[:2], camera)
    with pytest.raises(EstimationError, match="no model found"):
        estimate_absolute_pose(np.tile(scene.points[:1], (9, 1)), scene.x1[:9], camera)


def test_absolute_pose_from_points_in_line_is_not_trusted():
    camera = pinhole()
    points = np.linspace([-1, 0, 6], [1, 0.5, 8], 30)
    with pytest.raises(EstimationError):
        estimate_absolute_pose(points, camera.project(points), camera)
