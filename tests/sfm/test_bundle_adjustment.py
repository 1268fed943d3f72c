"""Bundle adjustment: what it recovers, what stays, that threads change nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SO3, umeyama
from geo3d.optim.least_squares import levenberg_marquardt
from geo3d.optim.losses import RobustLoss
from geo3d.optim.parallel import Workers
from geo3d.optim.reduced import ReducedOptions
from geo3d.scene import Reconstruction
from geo3d.sfm.bundle_adjustment import bundle_adjust, solve_bundle
from geo3d.sfm.bundle_covariance import two_view_gauge
from geo3d.sfm.bundle_problem import BundleOptions, BundleProblem, BundleResult, free_parameters
from geo3d.sfm.bundle_system import BundleSystem
from geo3d.synthetic import make_scene, perturbed

EXACT = BundleOptions(max_iterations=100, function_tolerance=1e-14)


def problem_of(reconstruction: Reconstruction) -> BundleProblem:
    """The arrays of a reconstruction."""
    ids, points = reconstruction.registered(), reconstruction.points
    poses = [reconstruction.views[i].cam_from_world for i in ids]
    camera_ids = sorted(reconstruction.cameras)
    return BundleProblem(
        rotations=np.array([p.rotation for p in poses if p is not None]),
        translations=np.array([p.translation for p in poses if p is not None]),
        view_camera=np.array([camera_ids.index(reconstruction.views[i].camera_id) for i in ids]),
        cameras=[reconstruction.cameras[i] for i in camera_ids],
        points=points.xyz,
        obs_view=np.searchsorted(ids, points.view_ids),
        obs_point=points.point_rows,
        obs_xy=np.array(
            [reconstruction.views[v].keypoints[k] for v, k in zip(points.view_ids, points.keypoints)]
        ),
    )


def alignment_error(points: np.ndarray, truth: np.ndarray) -> float:
    """Largest distance after the best similarity, relative to the extent."""
    moved = umeyama(points, truth).act(points)
    return float(np.linalg.norm(moved - truth, axis=1).max() / np.ptp(truth))


def shaken(reconstruction: Reconstruction, seed: int = 0, focal: float = 1.02) -> Reconstruction:
    """Poses, points and cameras moved away from the truth."""
    result = perturbed(reconstruction, rotation_deg=0.5, translation=0.05, point_sigma=0.05, seed=seed)
    for i, camera in result.cameras.items():
        params = camera.params.copy()
        params[0] *= focal
        params[-1] += 0.01 * (camera.model != "SIMPLE_PINHOLE")
        result.cameras[i] = camera.with_params(params)
    return result


@pytest.mark.parametrize("kind", ["orbit", "grid"])
@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=5)
def test_recovers_a_shaken_scene_exactly(kind, seed):
    truth = make_scene(kind, views=6, points=60, seed=seed).reconstruction
    model = shaken(truth, seed)
    free_camera = kind == "orbit"  # looking straight down leaves focal length and height one freedom
    options = EXACT if free_camera else replace(EXACT, refine_focal=False, refine_distortion=False)
    if not free_camera:
        model.cameras = dict(truth.cameras)
    report = bundle_adjust(model, options)
    assert report.result.converged
    assert report.error_px < 1e-5
    assert report.observations == len(truth.points.view_ids)
    assert np.nanmax(model.points.error_px) < 1e-4
    assert alignment_error(model.points.xyz, truth.points.xyz) < 1e-5
    if free_camera:
        np.testing.assert_allclose(model.cameras[1].params, truth.cameras[1].params, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "model", ["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"]
)
def test_camera_models_shared_and_one_each(model):
    camera = Camera.from_focal(model, 1000, 750, 900.0)
    one = make_scene("orbit", views=8, points=100, camera=camera, seed=3).reconstruction
    each = make_scene("orbit", views=8, points=100, camera=[camera] * 8, seed=3).reconstruction
    for truth in (one, each):
        start = shaken(truth, focal=1.01)
        bundle_adjust(start, EXACT)
        for fitted in start.cameras.values():
            np.testing.assert_allclose(fitted.params, camera.params, rtol=1e-4, atol=1e-4)


def test_noise_stays_within_the_statistical_bound():
    """Twice the cost is sigma^2 times chi-square of the redundancy."""
    sigma = 0.5
    scene = make_scene("orbit", views=8, points=300, noise_px=sigma, seed=1).reconstruction
    model = shaken(scene)
    report = bundle_adjust(model, EXACT)
    redundancy = 2 * report.observations - (6 * 8 + 2 + 3 * 300 - 7)
    assert abs(2 * report.result.cost / sigma**2 - redundancy) < 4 * np.sqrt(2 * redundancy)
    assert alignment_error(model.points.xyz, scene.points.xyz) < 5e-3
    assert abs(model.cameras[1].params[0] / 900 - 1) < 5e-3


@pytest.mark.parametrize("loss", ["cauchy", "huber", "soft_l1"])
def test_robust_loss_stands_outliers(loss):
    truth = make_scene("orbit", views=10, points=150, outlier_ratio=0.05, seed=2).reconstruction
    plain, robust = shaken(truth), shaken(truth)
    bundle_adjust(plain, EXACT)
    bundle_adjust(robust, replace(EXACT, loss=loss, loss_scale_px=0.5))
    error = []
    for model in (plain, robust):
        aligned = umeyama(model.points.xyz, truth.points.xyz).act(model.points.xyz)
        error.append(np.median(np.linalg.norm(aligned - truth.points.xyz, axis=1)))
    assert error[1] < 0.02
    assert error[1] < 0.2 * error[0]


def test_one_minimum_from_any_gauge():
    """Moved, turned and scaled starts end at the same cost."""
    scene = make_scene("orbit", views=6, points=80, noise_px=0.3, seed=4).reconstruction
    problem = problem_of(shaken(scene))
    cost = solve_bundle(problem, EXACT).cost
    turn, shift, scale = SO3.exp(np.array([0.3, -1.0, 2.0])).matrix, np.array([10.0, -5, 3]), 0.1
    rotations = problem.rotations @ turn.T
    points = scale * problem.points @ turn.T + shift
    translations = scale * problem.translations - np.einsum("vij,j->vi", rotations, shift)
    moved = replace(problem, rotations=rotations, translations=translations, points=points)
    assert solve_bundle(moved, EXACT).cost == pytest.approx(cost, rel=1e-6)


def same(a: BundleResult, b: BundleResult) -> None:
    """Bit for bit."""
    for name in ("rotations", "translations", "points", "errors_px"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert all(x == y for x, y in zip(a.cameras, b.cameras))
    assert [t.cost for t in a.trace] == [t.cost for t in b.trace]


def test_threads_and_order_change_nothing():
    scene = make_scene(
        "orbit", views=20, points=1500, noise_px=0.5, outlier_ratio=0.02, seed=5
    ).reconstruction
    problem = problem_of(shaken(scene))
    assert len(problem.obs_view) > 2 * 8192  # several chunks
    options = BundleOptions(loss="cauchy", max_iterations=8, threads=1)
    one = solve_bundle(problem, options)
    for threads in (2, 3, 5):
        same(one, solve_bundle(problem, replace(options, threads=threads)))
    order = np.random.default_rng(0).permutation(len(problem.obs_view))
    mixed = replace(
        problem,
        obs_view=problem.obs_view[order],
        obs_point=problem.obs_point[order],
        obs_xy=problem.obs_xy[order],
    )
    other = solve_bundle(mixed, options)
    same(one, replace(other, errors_px=other.errors_px[np.argsort(order)]))


@pytest.mark.parametrize("flops", [np.inf, -1.0], ids=["band", "conjugate gradients"])
def test_sparse_ways_find_the_same_minimum(flops):
    """A long walk with a shared camera, as thousands of views are solved; any number of threads, the same bits."""
    scene = make_scene("walk", views=60, points=1200, noise_px=0.3, seed=3).reconstruction
    problem = problem_of(perturbed(scene, rotation_deg=0.1, translation=0.01, point_sigma=0.01, seed=1))
    problem = replace(problem, constant_pose=two_view_gauge(problem, 0, 1))
    free, loss = free_parameters(problem, BundleOptions()), RobustLoss("cauchy", 1.0)
    sparse = ReducedOptions(dense_columns=0, max_dense_columns=0, max_band_flops=flops)
    found = []
    for threads, how in ((1, None), (1, sparse), (3, sparse)):
        with Workers(threads) as workers:
            system = BundleSystem(problem, loss, *free, workers, how)
            result = levenberg_marquardt(system, EXACT.minimizer())
            found.append((result.cost, system))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-9)
    np.testing.assert_allclose(found[1][1].points, found[0][1].points, atol=1e-3)
    np.testing.assert_array_equal(found[1][1].points, found[2][1].points)
    np.testing.assert_array_equal(found[1][1].translations, found[2][1].translations)


def test_constants_are_bit_identical_and_the_rest_moves():
    scene = make_scene("orbit", views=8, points=80, camera=None, noise_px=0.5, seed=6).reconstruction
    problem = problem_of(shaken(scene))
    rng = np.random.default_rng(1)
    view, point, pose = rng.random(8) < 0.4, rng.random(80) < 0.4, rng.random((8, 6)) < 0.2
    mask = np.array([True, False, False, False])
    problem = replace(
        problem, constant_view=view, constant_point=point, constant_pose=pose, free_params=[mask]
    )
    before = [a.copy() for a in (problem.rotations, problem.translations, problem.points)]
    result = solve_bundle(problem)
    for a, b in zip(before, (problem.rotations, problem.translations, problem.points)):
        np.testing.assert_array_equal(a, b)  # the problem itself is not touched
    np.testing.assert_array_equal(result.rotations[view], problem.rotations[view])
    np.testing.assert_array_equal(result.translations[view], problem.translations[view])
    np.testing.assert_array_equal(result.points[point], problem.points[point])
    np.testing.assert_array_equal(result.translations[pose[:, 3:]], problem.translations[pose[:, 3:]])
    np.testing.assert_array_equal(result.cameras[0].params[1:], problem.cameras[0].params[1:])
    assert (result.points[~point] != problem.points[~point]).any(1).all()
    assert (result.rotations[~view] != problem.rotations[~view]).any((1, 2)).all()
    assert result.cameras[0].params[0] != problem.cameras[0].params[0]
    fixed = replace(problem, free_params=None, constant_camera=np.array([True]))
    assert solve_bundle(fixed).cameras[0] is problem.cameras[0]


@pytest.mark.parametrize("held", ["poses", "points", "views and cameras"])
def test_parts_alone(held):
    """Triangulation alone, resection alone, and points seen by constant views only."""
    truth = make_scene("orbit", views=5, points=50, seed=7).reconstruction
    problem = problem_of(truth)
    rng = np.random.default_rng(0)
    options = replace(EXACT, refine_focal=False, refine_distortion=False)
    if held == "points":
        start = replace(problem, translations=problem.translations + 0.02 * rng.standard_normal((5, 3)))
        result = solve_bundle(start, replace(options, refine_points=False))
        np.testing.assert_array_equal(result.points, problem.points)
        np.testing.assert_allclose(result.translations, problem.translations, atol=1e-7)
        return
    start = replace(problem, points=problem.points + 0.02 * rng.standard_normal((50, 3)))
    if held == "poses":
        result = solve_bundle(start, replace(options, refine_poses=False))
    else:
        start = replace(start, constant_view=np.ones(5, bool), constant_camera=np.array([True]))
        result = solve_bundle(start, EXACT)
    np.testing.assert_array_equal(result.rotations, problem.rotations)
    np.testing.assert_allclose(result.points, problem.points, atol=1e-7)


def test_points_behind_do_not_count_and_are_not_made():
    scene = make_scene("orbit", views=6, points=60, noise_px=0.3, seed=8).reconstruction
    problem = problem_of(scene)
    points = problem.points.copy()
    points[:5] *= 100  # far behind some cameras, in front of others
    result = solve_bundle(replace(problem, points=points), replace(EXACT, loss="cauchy"))
    assert np.isfinite(result.points).all()
    assert result.cost <= result.cost_initial
    assert np.isfinite(result.errors_px[problem.obs_point >= 5]).all()
    # One point alone, far off and barely before two cameras: a full step would put it behind them.
    pair = BundleProblem(
        np.tile(np.eye(3), (2, 1, 1)),
        np.array([[0.0, 0, 0], [-1, 0, 0]]),
        np.zeros(2, int),
        [Camera("SIMPLE_PINHOLE", 1000, 750, [900.0, 500.0, 375.0])],
        np.array([[0.0, 0.0, 50.0]]),
        np.array([0, 1]),
        np.array([0, 0]),
        np.array([[500.0, 375.0], [500.0 - 900 / 3, 375.0]]),
        constant_view=np.ones(2, bool),
        constant_camera=np.ones(1, bool),
    )
    result = solve_bundle(pair, replace(EXACT, initial_damping=1e-12))
    np.testing.assert_allclose(result.points[0], [0, 0, 3], atol=1e-6)


def test_bundle_adjust_writes_what_moved():
    truth = make_scene("orbit", views=6, points=60, noise_px=0.2, seed=9).reconstruction
    model = shaken(truth)
    held = model.views[2].cam_from_world
    model.views[5].cam_from_world = None
    xyz = model.points.xyz[:3].copy()
    fixed = np.arange(60) < 3
    report = bundle_adjust(model, constant_views=[2], constant_cameras=[1], constant_points=fixed)
    assert model.views[2].cam_from_world is held
    assert model.views[5].cam_from_world is None
    np.testing.assert_array_equal(model.points.xyz[:3], xyz)
    assert report.observations == (truth.points.view_ids != 5).sum()
    per_point = np.full(60, np.nan)
    for row in range(60):
        track = model.points[row]
        errors = []
        for v, k in zip(track.view_ids, track.keypoints):
            pose = model.views[int(v)].cam_from_world
            if pose is not None:
                pixel = model.cameras[1].project(pose.rotation @ track.xyz + pose.translation)
                errors.append(np.linalg.norm(pixel - model.views[int(v)].keypoints[k]))
        per_point[row] = np.mean(errors)
    np.testing.assert_allclose(model.points.error_px, per_point, rtol=1e-9)
    with pytest.raises(ValueError, match="constant_views"):
        bundle_adjust(model, constant_views=[77])


def test_nothing_to_do():
    empty = BundleProblem(
        np.zeros((0, 3, 3)), np.zeros((0, 3)), np.zeros(0, int), [], np.zeros((0, 3)), np.zeros(0, int),
        np.zeros(0, int), np.zeros((0, 2)),
    )  # fmt: skip
    result = solve_bundle(empty)
    assert (result.cost, result.termination) == (0.0, "gradient")
    scene = problem_of(make_scene("orbit", views=4, points=20, noise_px=1, seed=0).reconstruction)
    frozen = BundleOptions(
        refine_poses=False, refine_points=False, refine_focal=False, refine_distortion=False
    )
    assert solve_bundle(scene, frozen).iterations == 0
    assert solve_bundle(scene, BundleOptions(max_iterations=0)).termination == "iterations"


def test_bad_input_is_named():
    problem = problem_of(make_scene("orbit", views=4, points=20, seed=0).reconstruction)
    for field, value, words in (
        ("points", problem.points[:, :2], "points must have shape"),
        ("obs_view", problem.obs_view + 1, "obs_view must be rows"),
        ("obs_point", problem.obs_point.astype(float), "obs_point must hold integers"),
        ("obs_xy", np.full_like(problem.obs_xy, np.nan), "obs_xy must be finite"),
        ("constant_view", np.ones(3, bool), "constant_view must have shape"),
        ("free_params", [np.ones(2, bool)], r"free_params\[0\]"),
        ("free_params", [], "free_params must have one mask"),
    ):
        with pytest.raises(ValueError, match=words):
            solve_bundle(replace(problem, **{field: value}))
    with pytest.raises(ValueError, match="threads"):
        BundleOptions(threads=0)
    with pytest.raises(ValueError, match="scale"):
        BundleOptions(loss_scale_px=-1)
