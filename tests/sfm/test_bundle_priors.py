"""Priors and weights of a bundle: the formulas against plain NumPy and finite differences, and what they do."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.geometry import SO3, skew
from geo3d.optim import LMOptions, RobustLoss, levenberg_marquardt
from geo3d.optim.parallel import Workers
from geo3d.optim.reduced import ReducedOptions
from geo3d.sfm.bundle_adjustment import BundleOptions, BundleProblem, BundleResult, solve_bundle
from geo3d.sfm.bundle_covariance import bundle_covariance, two_view_gauge
from geo3d.sfm.bundle_priors import BundlePriors
from geo3d.sfm.bundle_problem import free_parameters
from geo3d.sfm.bundle_system import BundleSystem
from geo3d.synthetic import make_scene
from tests.sfm.test_bundle_adjustment import problem_of
from tests.sfm.test_bundle_kernels import assembled, random_problem

EXACT = BundleOptions(max_iterations=100, function_tolerance=1e-14)
NO_LENS = replace(EXACT, refine_focal=False, refine_distortion=False)


def random_priors(p: BundleProblem, seed: int = 0) -> BundlePriors:
    """Of all kinds, each with gaps."""
    rng = np.random.default_rng(seed)
    views, points = len(p.rotations), len(p.points)
    centre_sigmas, point_sigmas = rng.uniform(0.1, 2, (views, 3)), rng.uniform(0.1, 2, (points, 3))
    centre_sigmas[rng.random((views, 3)) < 0.3] = np.inf
    point_sigmas[rng.random((points, 3)) < 0.3] = np.inf
    down = rng.normal(0, 1, (views, 3))
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    down[1] = np.nan
    sigmas = [rng.uniform(0.1, 10, len(c.params)) for c in p.cameras]
    sigmas[0][1] = np.inf
    return BundlePriors(
        centres=np.where(np.isinf(centre_sigmas), np.nan, centres(p) + rng.normal(0, 1, (views, 3))),
        centre_sigmas=centre_sigmas,
        centre_loss=RobustLoss("cauchy", 1.5),
        points=p.points + rng.normal(0, 1, (points, 3)),
        point_sigmas=point_sigmas,
        camera_params=[None if i == 1 else c.params + rng.normal(0, 1, len(c.params)) for i, c in enumerate(p.cameras)],
        camera_sigmas=[None if i == 1 else sigma for i, sigma in enumerate(sigmas)],
        distance_views=np.array([[0, 1], [2, 0], [0, 1]]),
        distances=rng.uniform(0.5, 3, 3),
        distance_sigmas=rng.uniform(0.1, 1, 3),
        down=down,
        down_sigmas=rng.uniform(0.1, 1, views),
    )  # fmt: skip


def centres(p: BundleProblem | BundleResult) -> np.ndarray:
    """Camera centres (V, 3)."""
    return -np.einsum("vji,vj->vi", p.rotations, p.translations)


def reference_cost(p: BundleProblem) -> float:
    """The cost of all priors as the formulas say."""
    q, total = p.priors, 0.0
    assert q is not None
    for v, (R, t) in enumerate(zip(p.rotations, p.translations)):
        squared = 0.0
        for k in range(3):
            if np.isfinite(q.centre_sigmas[v, k]):
                squared += (((-R.T @ t)[k] - q.centres[v, k]) / q.centre_sigmas[v, k]) ** 2
        total += float(q.centre_loss.rho(squared))
        if np.isfinite(q.down[v]).all():
            total += np.sum((R @ [0, 0, -1] - q.down[v]) ** 2) / q.down_sigmas[v] ** 2
    for (a, b), length, sigma in zip(q.distance_views, q.distances, q.distance_sigmas):
        total += ((np.linalg.norm(centres(p)[a] - centres(p)[b]) - length) / sigma) ** 2
    for camera, mean, sigma in zip(p.cameras, q.camera_params, q.camera_sigmas):
        if mean is not None:
            total += np.sum(((camera.params - mean) / sigma) ** 2)
    return 0.5 * float(total + np.sum(((p.points - q.points) / q.point_sigmas) ** 2))


def unit(n: int, k: int) -> np.ndarray:
    return np.eye(n)[k]


def moved(p: BundleProblem, d: np.ndarray) -> BundleProblem:
    """After a step: 16 a camera, 6 a view, 3 a point."""
    C, V = len(p.cameras), len(p.rotations)
    params, poses, points = np.split(d, [16 * C, 16 * C + 6 * V])
    params, poses = params.reshape(C, 16), poses.reshape(V, 6)
    return replace(
        p,
        rotations=SO3.exp(poses[:, :3]).matrix @ p.rotations,
        translations=p.translations + poses[:, 3:],
        cameras=[c.with_params(c.params + row[: len(c.params)]) for c, row in zip(p.cameras, params)],
        points=p.points + points.reshape(-1, 3),
    )


@pytest.mark.parametrize("models", [("RADIAL", "OPENCV", "PINHOLE"), ("SIMPLE_RADIAL",)])
def test_priors_enter_cost_gradient_and_normal_equations(models):
    p = random_problem(1, models)
    with_priors = replace(p, priors=random_priors(p))
    options = BundleOptions(refine_principal_point=True)
    before, after = assembled(p, RobustLoss()), assembled(with_priors, RobustLoss())
    cost, H, g = (b - a for a, b in zip(before, after))
    assert cost == pytest.approx(reference_cost(with_priors), rel=1e-10)
    pose, params, point = free_parameters(p, options)
    free = np.concatenate([params.ravel(), pose.ravel(), np.repeat(point, 3)])
    n, h = len(free), 1e-5
    assert not H[~free].any()
    numeric = np.zeros(n)
    for k in np.flatnonzero(free):
        sides = [reference_cost(moved(with_priors, s * h * unit(n, k))) for s in (1, -1)]
        numeric[k] = (sides[0] - sides[1]) / (2 * h)
    np.testing.assert_allclose(g, numeric, rtol=1e-6, atol=1e-6 * np.abs(numeric).max())
    # H = J^T W J: with residuals at zero it is the second derivative, and the weights of the loss are one.
    assert with_priors.priors is not None
    down = np.where(np.isnan(with_priors.priors.down), np.nan, -p.rotations[:, :, 2])
    met = replace(with_priors.priors, centres=centres(p), points=p.points, down=down)
    met = replace(
        met,
        camera_params=[c.params for c in p.cameras],
        camera_sigmas=[5.0 * np.ones(len(c.params)) for c in p.cameras],
        distances=np.linalg.norm(
            np.diff(centres(p)[with_priors.priors.distance_views], axis=1)[:, 0], axis=1
        ),
    )
    there = replace(p, priors=met)
    H = assembled(there, RobustLoss())[1] - before[1]
    h = 1e-4
    for k in range(16 * len(p.cameras), n, 7):
        row = np.zeros(n)
        for j in np.flatnonzero(free):
            corners = [
                sign * reference_cost(moved(there, h * (a * unit(n, k) + sign * a * unit(n, j))))
                for sign in (1, -1)
                for a in (1, -1)
            ]
            row[j] = sum(corners) / (4 * h * h)
        np.testing.assert_allclose(H[k], row, rtol=1e-5, atol=1e-6 * np.abs(H).max())


def test_the_cost_of_a_trial_is_the_cost_there():
    p = random_problem(2, ("RADIAL", "PINHOLE"))
    rng = np.random.default_rng(0)
    n = len(p.obs_view)
    p = replace(
        p, priors=random_priors(p), obs_sigma_px=rng.uniform(0.5, 2, n), obs_robust=rng.random(n) < 0.7
    )
    with Workers(1) as workers:
        system = BundleSystem(p, RobustLoss("cauchy", 1.5), *free_parameters(p, BundleOptions()), workers)
        system.linearize()
        system.solve(1.0)
        trial = system.trial_cost()
        system.accept()
        assert system.linearize() == pytest.approx(trial, rel=1e-12)
        whole = system.observation_cost(p, system.squared_errors(p)) + system.prior_cost()
        assert whole == pytest.approx(trial, rel=1e-12)


def test_weights_of_observations_are_repetitions():
    """An observation of standard deviation 1/2 px counts as four of 1 px; what is not robustified counts in full."""
    p = random_problem(3, ("SIMPLE_RADIAL",))
    n = len(p.obs_view)
    sharp = np.arange(n) % 3 == 0
    weighed = replace(p, obs_sigma_px=np.where(sharp, 0.5, 1.0))
    rows = np.concatenate([np.arange(n), *[np.flatnonzero(sharp)] * 3])
    repeated = replace(p, obs_view=p.obs_view[rows], obs_point=p.obs_point[rows], obs_xy=p.obs_xy[rows])
    for a, b in zip(assembled(weighed, RobustLoss()), assembled(repeated, RobustLoss())):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-9 * np.abs(b).max())
    loss = RobustLoss("cauchy", 0.5)
    parts = [
        replace(p, obs_view=p.obs_view[s], obs_point=p.obs_point[s], obs_xy=p.obs_xy[s])
        for s in (sharp, ~sharp)
    ]
    both = assembled(replace(p, obs_robust=~sharp), loss)
    each = [assembled(part, kind) for part, kind in zip(parts, (RobustLoss(), loss))]
    for whole, a, b in zip(both, *each):
        np.testing.assert_allclose(whole, a + b, rtol=1e-10, atol=1e-9 * np.abs(whole).max())


def gps_of(p: BundleProblem, sigma: float, **more) -> BundlePriors:
    return BundlePriors(centres=centres(p), centre_sigmas=np.full((len(p.rotations), 3), sigma), **more)


def transformed(p: BundleProblem) -> BundleProblem:
    """The same bundle in another world."""
    turn, shift, scale = SO3.exp(np.array([0.2, -0.1, 0.4])).matrix, np.array([1.0, -2, 3]), 1.2
    rotations = p.rotations @ turn.T
    translations = scale * p.translations - np.einsum("vij,j->vi", rotations, shift)
    return replace(
        p, rotations=rotations, translations=translations, points=scale * p.points @ turn.T + shift
    )


@pytest.mark.parametrize("known", ["centres", "points", "gravity and two centres"])
def test_priors_bring_a_bundle_into_the_world(known):
    truth = problem_of(make_scene("orbit", views=6, points=60, seed=1).reconstruction)
    priors = gps_of(truth, 0.1)
    if known == "points":
        sigmas = np.full((60, 3), np.inf)
        sigmas[:4] = 0.01
        priors = BundlePriors(points=truth.points, point_sigmas=sigmas)
    elif known == "gravity and two centres":
        sigmas = np.full((6, 3), np.inf)
        sigmas[[0, 3]] = 0.1
        down = -truth.rotations[:, :, 2]
        priors = replace(priors, centre_sigmas=sigmas, down=down, down_sigmas=np.full(6, 0.01))
    result = solve_bundle(replace(transformed(truth), priors=priors), NO_LENS)
    assert result.cost < 1e-6
    np.testing.assert_allclose(result.points, truth.points, atol=1e-3)
    np.testing.assert_allclose(centres(result), centres(truth), atol=1e-3)


@pytest.mark.parametrize("dense_columns", [900, 1])
def test_known_distances_set_the_scale(dense_columns):
    """Of two that differ the sharper one counts more; the system is solved dense and by its sparse pattern."""
    truth = problem_of(make_scene("walk", views=30, points=300, seed=4).reconstruction)
    gauge = np.zeros((30, 6), bool)
    gauge[0] = True
    at = 1.2 * centres(truth)
    larger = replace(
        truth,
        points=1.2 * truth.points,
        translations=-np.einsum("vij,vj->vi", truth.rotations, at),
        constant_pose=gauge,
    )
    pairs = np.array([[29, 0], [3, 9]])
    known = np.linalg.norm(centres(truth)[pairs[:, 0]] - centres(truth)[pairs[:, 1]], axis=1) * [1.0, 1.02]
    priors = BundlePriors(
        distance_views=pairs, distances=known, distance_sigmas=np.array([1e-3, 1.0]) * known
    )
    pose, params, point = free_parameters(replace(larger, priors=priors), NO_LENS)
    with Workers(1) as workers:
        reduced = ReducedOptions(dense_columns=dense_columns, max_dense_columns=dense_columns)
        system = BundleSystem(
            replace(larger, priors=priors), RobustLoss(), pose, params, point, workers, reduced
        )
        result = levenberg_marquardt(system, LMOptions(max_iterations=100, function_tolerance=1e-14))
    assert result.cost < 1e-3
    found = -np.einsum("vji,vj->vi", system.rotations, system.translations)
    lengths = np.linalg.norm(found[pairs[:, 0]] - found[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(lengths / known, [1.0, 1 / 1.02], rtol=1e-4)


def test_a_wrong_position_is_borne_by_its_loss():
    truth = problem_of(make_scene("orbit", views=8, points=80, noise_px=0.5, seed=2).reconstruction)
    gps = centres(truth) + np.random.default_rng(0).normal(0, 0.02, (8, 3))
    gps[4] += [5, 0, 0]
    worst = []
    for loss in (RobustLoss(), RobustLoss("cauchy", 3.0)):
        priors = replace(gps_of(truth, 0.02, centre_loss=loss), centres=gps)
        result = solve_bundle(replace(truth, priors=priors), NO_LENS)
        worst.append(np.abs(centres(result) - centres(truth)).max())
    assert worst[1] < 0.05
    assert worst[0] > 10 * worst[1]


def test_a_prior_holds_what_the_photos_leave_open():
    """Looking straight down on flat ground leaves focal length against height free; a prior on either decides."""
    truth = problem_of(make_scene("grid", views=9, points=100, noise_px=0.2, seed=3).reconstruction)
    focal = truth.cameras[0].params[0]
    bent = truth.cameras[0].with_params(truth.cameras[0].params * [1.05, 1, 1, 1])
    sigma = np.array([1.0, np.inf, np.inf, np.inf])
    priors = BundlePriors(camera_params=[truth.cameras[0].params], camera_sigmas=[sigma])
    result = solve_bundle(replace(truth, cameras=[bent], priors=priors), EXACT)
    assert abs(result.cameras[0].params[0] - focal) < 3.0
    gauge = two_view_gauge(truth, 0, 1)
    open_end = bundle_covariance(replace(truth, constant_pose=gauge), sigma_px=0.2)
    held = bundle_covariance(replace(truth, constant_pose=gauge, priors=priors), sigma_px=0.2)
    assert np.sqrt(held.cameras[0][0, 0]) <= 1.0 < np.sqrt(open_end.cameras[0][0, 0])


def test_covariance_is_the_inverse_of_the_whole_hessian():
    """Observations over sigma_px^2 plus priors as they are, inverted; and the priors hold the gauge."""
    p = random_problem(5, ("RADIAL", "PINHOLE"), points=20)
    priors = random_priors(p)
    assert priors.centre_sigmas is not None
    priors = replace(priors, centre_sigmas=np.where(np.isfinite(priors.centre_sigmas), priors.centre_sigmas, 1.0),
                     centres=centres(p), centre_loss=RobustLoss())  # fmt: skip
    p, sigma = replace(p, priors=priors), 0.4
    options = BundleOptions(refine_principal_point=True)
    _, observed, _ = assembled(replace(p, priors=None), RobustLoss())
    H = observed / sigma**2 + assembled(p, RobustLoss())[1] - observed
    pose, params, point = free_parameters(p, options)
    free = np.flatnonzero(np.concatenate([params.ravel(), pose.ravel(), np.repeat(point, 3)]))
    whole = np.zeros_like(H)
    whole[np.ix_(free, free)] = np.linalg.inv(H[np.ix_(free, free)])
    ours = bundle_covariance(p, options, sigma_px=sigma)
    for v in range(9):
        s = slice(32 + 6 * v, 38 + 6 * v)
        np.testing.assert_allclose(ours.poses[v], whole[s, s], rtol=1e-6, atol=1e-12)
    for i in range(20):
        s = slice(86 + 3 * i, 89 + 3 * i)
        np.testing.assert_allclose(ours.points[i], whole[s, s], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(ours.cameras[0], whole[:5, :5], rtol=1e-6, atol=1e-9)


def test_coarse_positions_hold_the_gauge_too():
    """Deviations larger than the scene: that of the whole, then, is theirs."""
    p = problem_of(make_scene("orbit", views=40, points=300, noise_px=0.5, seed=6).reconstruction)
    sigma = 20.0  # cameras stand 8 from the middle
    found = bundle_covariance(replace(p, priors=gps_of(p, sigma)), sigma_px=0.5, points=False)
    assert not len(found.points)
    J = np.zeros((40, 3, 6))  # of centres, by the tangent of poses
    for v, (R, t) in enumerate(zip(p.rotations, p.translations)):
        J[v, :, :3], J[v, :, 3:] = -R.T @ skew(t), -R.T
    centre = np.sqrt(np.einsum("vij,vjk,vik->vi", J, found.poses, J))
    assert (centre < sigma).all()
    assert (centre > sigma / np.sqrt(40)).all()  # not better than the mean of all


def test_sigma_is_that_of_the_observations():
    """Positions that are much better or worse than they claim leave the deviation of pixels as it is."""
    p = problem_of(make_scene("orbit", views=6, points=100, noise_px=0.5, seed=5).reconstruction)
    for sigma in (1e-3, 10.0):
        result = solve_bundle(replace(p, priors=gps_of(p, sigma)), EXACT)
        there = replace(p, rotations=result.rotations, translations=result.translations, points=result.points,
                        cameras=result.cameras, priors=gps_of(p, sigma))  # fmt: skip
        found = bundle_covariance(there)
        assert found.sigma_px == pytest.approx(0.5, rel=0.1)
        centre_sd = np.sqrt(np.diag(found.poses[0])[3:]).max()
        assert (centre_sd < 0.1) == (sigma < 1)


def distance(pairs, lengths) -> BundlePriors:
    lengths = np.array(lengths)
    return BundlePriors(
        distance_views=np.array(pairs), distances=lengths, distance_sigmas=np.ones(len(lengths))
    )


def test_bad_priors_are_named():
    p = problem_of(make_scene("orbit", views=4, points=20, seed=0).reconstruction)
    good, ones = centres(p), np.ones((4, 3))
    for priors, words in (
        (BundlePriors(centres=good), "centre_sigmas must be given together"),
        (BundlePriors(centres=good[:2], centre_sigmas=ones), "centres must have shape"),
        (BundlePriors(centres=good, centre_sigmas=0 * ones), "centre_sigmas must be positive"),
        (BundlePriors(centres=good * np.nan, centre_sigmas=ones), "centres must be finite"),
        (BundlePriors(points=good, point_sigmas=ones), "points must have shape"),
        (BundlePriors(camera_params=[], camera_sigmas=[]), "one entry a camera"),
        (
            BundlePriors(camera_params=[np.ones(3)], camera_sigmas=[np.ones(3)]),
            r"camera_params\[0\] must have",
        ),
        (BundlePriors(camera_params=[None]), "camera_params and camera_sigmas"),
        (BundlePriors(distances=np.ones(1)), "distances and distance_sigmas must be given together"),
        (distance([[0, 4]], [1.0]), "different rows of 0 to 3"),
        (distance([[1, 1]], [1.0]), "different rows"),
        (distance([[0, 1]], [0.0]), "distances must be positive"),
        (distance([[0, 1]], [1.0, 2.0]), "distances must have shape"),
        (BundlePriors(down=2 * ones, down_sigmas=np.ones(4)), "unit vectors"),
        (BundlePriors(down=ones, down_sigmas=ones), "down_sigmas must have shape"),
    ):
        with pytest.raises(ValueError, match=words):
            solve_bundle(replace(p, priors=priors))
    for field, value in (("obs_sigma_px", np.zeros(len(p.obs_view))), ("obs_robust", np.ones(3, bool))):
        with pytest.raises(ValueError, match=field):
            solve_bundle(replace(p, **{field: value}))
