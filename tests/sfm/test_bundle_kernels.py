"""The kernels of bundle adjustment against plain NumPy and finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.cameras import MODELS, Camera
from geo3d.geometry import SO3
from geo3d.optim import RobustLoss
from geo3d.optim.parallel import Workers
from geo3d.sfm import bundle_kernels as kernels
from geo3d.sfm.bundle_adjustment import BundleOptions, BundleProblem, free_parameters
from geo3d.sfm.bundle_system import BundleSystem

MODELS_TRIED = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
)
ALL = BundleOptions(refine_principal_point=True)


def random_problem(seed: int = 0, models=MODELS_TRIED, views: int = 9, points: int = 12) -> BundleProblem:
    """Cameras around the origin, the first two sharing one; a point is seen by about two thirds of the views."""
    rng = np.random.default_rng(seed)
    cameras = []
    for model in models:
        camera = Camera.from_focal(model, 800, 600, 700.0)
        bent = np.array(camera.params)
        distortion = list(MODELS[model].distortion_params)
        bent[distortion] = rng.uniform(-0.02, 0.02, len(distortion))
        cameras.append(camera.with_params(bent))
    rotations = SO3.exp(rng.normal(0, 0.2, (views, 3))).matrix
    translations = rng.normal([0, 0, 6], 0.3, (views, 3))
    xyz = rng.uniform(-1, 1, (points, 3))
    view_camera = np.maximum(np.arange(views) - 1, 0) % len(cameras)
    seen = rng.random((views, points)) < 0.67
    obs_view, obs_point = np.nonzero(seen)
    order = rng.permutation(len(obs_view))
    obs_view, obs_point = obs_view[order], obs_point[order]
    problem = BundleProblem(
        rotations, translations, view_camera, cameras, xyz, obs_view, obs_point, np.zeros((len(order), 2))
    )
    return replace(problem, obs_xy=project(problem) + rng.normal(0, 1.0, (len(order), 2)))


def project(p: BundleProblem) -> np.ndarray:
    """Pixels (O, 2) by the definition."""
    pixels = np.empty((len(p.obs_view), 2))
    for o, (v, i) in enumerate(zip(p.obs_view, p.obs_point)):
        pixels[o] = p.cameras[p.view_camera[v]].project(p.rotations[v] @ p.points[i] + p.translations[v])
    return pixels


def reference(
    p: BundleProblem, loss: RobustLoss, options: BundleOptions = ALL
) -> tuple[float, np.ndarray, np.ndarray]:
    """Cost, H and g in NumPy; unknowns are all cameras' parameters (16 each), poses, points; what is constant is 0."""
    pose, params, point = free_parameters(p, options)
    C, V, P = len(p.cameras), len(p.rotations), len(p.points)
    n = 16 * C + 6 * V + 3 * P
    H, g, cost = np.zeros((n, n)), np.zeros(n), 0.0
    for v, i, xy in zip(p.obs_view, p.obs_point, p.obs_xy):
        c = p.view_camera[v]
        turned = p.rotations[v] @ p.points[i]
        projection = p.cameras[c].project_with_jacobians(turned + p.translations[v])
        if not projection.valid:
            continue
        r, A = projection.pixels - xy, projection.d_point
        x, y, z = turned
        J = np.zeros((2, n))
        J[:, 16 * c : 16 * c + projection.d_params.shape[1]] = projection.d_params
        at = 16 * C + 6 * v
        J[:, at : at + 3] = -A @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        J[:, at + 3 : at + 6] = A
        at = 16 * C + 6 * V + 3 * i
        J[:, at : at + 3] = A @ p.rotations[v]
        J[:, ~np.concatenate([params.ravel(), pose.ravel(), np.repeat(point, 3)])] = 0
        weight = loss.weight(r @ r)
        cost += 0.5 * loss.rho(r @ r)
        H += weight * J.T @ J
        g += weight * J.T @ r
    return cost, H, g


def assembled(
    p: BundleProblem, loss: RobustLoss, options: BundleOptions = ALL
) -> tuple[float, np.ndarray, np.ndarray]:
    """The same from the kernels."""
    pose, params, point = free_parameters(p, options)
    C, V, P = len(p.cameras), len(p.rotations), len(p.points)
    n = 16 * C + 6 * V + 3 * P
    H, g = np.zeros((n, n)), np.zeros(n)
    with Workers(1) as workers:
        system = BundleSystem(p, loss, pose, params, point, workers)
        cost = system.linearize()
    b, s = system.blocks, system.normal
    unknown = []  # of each column of each block
    for k, width in enumerate(b.widths):
        columns = b.columns[k, :width]
        unknown.append(
            np.where(columns < 6, 16 * C + 6 * b.view[k] + columns, 16 * b.camera[k] + columns - 6)
        )
        H[np.ix_(unknown[k], unknown[k])] = s.U[k, :width, :width]
        g[unknown[k]] = s.gc[k, :width]
        other = b.cross_block[k]
        if other >= 0:
            H[np.ix_(unknown[k], unknown[other])] = s.cross[k, :width, : b.widths[other]]
            H[np.ix_(unknown[other], unknown[k])] = s.cross[k, :width, : b.widths[other]].T
    for (later, earlier), values in zip(s.pairs, s.coupling):
        part = values[: b.widths[later], : b.widths[earlier]]
        H[np.ix_(unknown[later], unknown[earlier])] += part
        H[np.ix_(unknown[earlier], unknown[later])] += part.T
    for i in range(P):
        rows = 16 * C + 6 * V + 3 * i + np.arange(3)
        H[np.ix_(rows, rows)] = s.V[i][[0, 1, 3, 1, 2, 4, 3, 4, 5]].reshape(3, 3)
        g[rows] = s.gp[i]
        for e in range(s.point_entries[i], s.point_entries[i + 1]):
            columns = unknown[s.entry_block[e]]
            H[np.ix_(rows, columns)] += s.W[e, :, : len(columns)]
            H[np.ix_(columns, rows)] += s.W[e, :, : len(columns)].T
    return cost, H, g


@pytest.mark.parametrize("kind", ["trivial", "cauchy", "truncated"])
@pytest.mark.parametrize("models", [MODELS_TRIED, ("SIMPLE_RADIAL",), ("RADIAL", "OPENCV")])
def test_normal_equations_equal_the_reference(models, kind):
    problem, loss = random_problem(1, models), RobustLoss(kind, 1.5)
    for a, b in zip(assembled(problem, loss), reference(problem, loss)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


def test_constants_have_no_columns():
    problem = random_problem(2, ("RADIAL", "OPENCV", "PINHOLE"))
    rng = np.random.default_rng(0)
    problem = replace(
        problem,
        constant_view=rng.random(9) < 0.3,
        constant_point=rng.random(12) < 0.3,
        constant_camera=np.array([False, True, False]),
        constant_pose=rng.random((9, 6)) < 0.2,
        free_params=[None, None, np.array([False, True, False, True])],
    )
    loss = RobustLoss()
    for a, b in zip(assembled(problem, loss), reference(problem, loss)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


def test_gradient_is_the_derivative_of_the_cost():
    problem, loss = random_problem(3, ("RADIAL", "OPENCV_FISHEYE")), RobustLoss("cauchy", 2.0)
    _, _, g = reference(problem, loss)

    def cost(moved: BundleProblem) -> float:
        return 0.5 * float(loss.rho(((project(moved) - moved.obs_xy) ** 2).sum(1)).sum())

    h = 1e-6
    for v in (0, 4):
        for k in range(6):
            d = np.zeros(6)
            costs = []
            for d[k] in (h, -h):
                R, t = problem.rotations.copy(), problem.translations.copy()
                R[v], t[v] = SO3.exp(d[:3]).matrix @ R[v], t[v] + d[3:]
                costs.append(cost(replace(problem, rotations=R, translations=t)))
            assert (costs[0] - costs[1]) / (2 * h) == pytest.approx(g[2 * 16 + 6 * v + k], rel=1e-4, abs=1e-2)
    for k in range(3):
        costs = []
        for d in (h, -h):
            points = problem.points.copy()
            points[5, k] += d
            costs.append(cost(replace(problem, points=points)))
        assert (costs[0] - costs[1]) / (2 * h) == pytest.approx(
            g[2 * 16 + 6 * 9 + 15 + k], rel=1e-4, abs=1e-2
        )


def test_what_is_behind_counts_nothing():
    problem = random_problem(4, ("SIMPLE_RADIAL",))
    behind = problem.translations.copy()
    behind[3, 2] = -6
    problem = replace(problem, translations=behind)
    cost, H, g = assembled(problem, RobustLoss())
    expected = reference(problem, RobustLoss())
    np.testing.assert_allclose(cost, expected[0], rtol=1e-10)
    np.testing.assert_allclose(g, expected[2], rtol=1e-9, atol=1e-7)
    assert not g[16 + 18 : 16 + 24].any()
    assert not H[16 + 18 : 16 + 24].any()


def test_sorting_is_stable_and_keeps_duplicates():
    rng = np.random.default_rng(0)
    point, view = rng.integers(0, 7, 60), rng.integers(0, 4, 60)
    offsets, order = kernels.sort_observations(point, view, 8)
    np.testing.assert_array_equal(order, np.lexsort((np.arange(60), view, point)))
    np.testing.assert_array_equal(np.diff(offsets), np.bincount(point, minlength=8))


def test_a_view_may_see_a_point_twice():
    problem, loss = random_problem(5, ("SIMPLE_RADIAL", "RADIAL")), RobustLoss()
    twice = np.concatenate([np.arange(len(problem.obs_view)), [0, 3, 3]])
    problem = replace(
        problem,
        obs_view=problem.obs_view[twice],
        obs_point=problem.obs_point[twice],
        obs_xy=problem.obs_xy[twice] + np.arange(len(twice))[:, None] * 0.01,
    )
    for a, b in zip(assembled(problem, loss), reference(problem, loss)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())
