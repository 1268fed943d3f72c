"""Global positioning: exact from rays alone, robust, any order; the kernels say what the formula says."""

import numpy as np
import pytest

from geo3d.geometry import SO3, umeyama
from geo3d.optim import RobustLoss
from geo3d.optim.parallel import Workers
from geo3d.sfm import PositioningOptions, position_views
from geo3d.sfm.global_positioning import PositioningSystem, positioning_residuals
from geo3d.synthetic import make_scene


def rays_of(scene, outlier_ratio=0.0, seed=0):
    """(rotations, centres, offsets, obs_view, bearings) of a scene from exact rays; a share of them is random."""
    recon = scene.reconstruction
    ids = sorted(recon.views)
    poses = [recon.views[i].cam_from_world for i in ids]
    points = recon.points
    view = np.searchsorted(ids, points.view_ids)
    at = np.repeat(points.xyz, np.diff(points.offsets), axis=0)
    rotations, centres = np.array([p.rotation for p in poses]), np.array([p.center() for p in poses])
    bearings = np.einsum("nij,nj->ni", rotations[view], at - centres[view])
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(bearings)) < outlier_ratio
    bearings[wrong] = rng.normal([0, 0, 2], 1, (int(wrong.sum()), 3))
    bearings /= np.linalg.norm(bearings, axis=1, keepdims=True)
    return rotations, centres, points.offsets, view, bearings


def distances(found, truth):
    """Of the centres after a similarity, in shares of their spread."""
    fit = umeyama(found, truth)
    return (
        np.linalg.norm(fit.act(found) - truth, axis=1) / np.linalg.norm(truth - truth.mean(0), axis=1).max()
    )


@pytest.mark.parametrize("kind", ["orbit", "grid", "walk", "forward"])
def test_exact_without_noise(kind):
    rotations, centres, offsets, view, bearings = rays_of(make_scene(kind, views=12, points=300, seed=1))
    found = position_views(
        rotations, offsets, view, bearings, PositioningOptions(threads=1, function_tolerance=1e-14)
    )
    assert distances(found.centres, centres).max() < 1e-4
    assert np.median(found.errors) < 1e-6


@pytest.mark.parametrize("kind", ["orbit", "grid", "walk"])
def test_wrong_rays_do_not_pull(kind):
    rotations, centres, offsets, view, bearings = rays_of(make_scene(kind, views=15, points=500, seed=2), 0.1)
    found = position_views(rotations, offsets, view, bearings, PositioningOptions(threads=1))
    assert distances(found.centres, centres).max() < 5e-3


def test_rotations_that_are_off_leave_the_layout():
    rotations, centres, offsets, view, bearings = rays_of(make_scene("orbit", views=15, points=500, seed=3))
    rng = np.random.default_rng(0)
    rotations = SO3.exp(np.radians(0.5) * rng.standard_normal((15, 3))).matrix @ rotations
    found = position_views(rotations, offsets, view, bearings, PositioningOptions(threads=1))
    assert distances(found.centres, centres).max() < 0.05


def test_threads_do_not_change_a_bit_and_unseen_views_are_nan():
    rotations, _, offsets, view, bearings = rays_of(make_scene("orbit", views=12, points=1500, seed=4))
    rotations = np.concatenate([rotations, np.eye(3)[None]])
    runs = [
        position_views(rotations, offsets, view, bearings, PositioningOptions(threads=threads))
        for threads in (1, 2)
    ]
    assert len(view) > 8192  # more than one chunk
    assert np.array_equal(runs[0].centres, runs[1].centres, equal_nan=True)
    assert np.isnan(runs[0].centres[-1]).all() and np.isfinite(runs[0].centres[:-1]).all()


@pytest.fixture
def system():
    """A system at a random state, with what the formula needs."""
    rng = np.random.default_rng(5)
    _, _, offsets, view, bearings = rays_of(make_scene("orbit", views=5, points=20, seed=5))
    point = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    with Workers(1) as workers:
        made = PositioningSystem(5, offsets, view, bearings, workers)
        made.loss = RobustLoss("cauchy", 0.7)
        made.centres, made.points = rng.standard_normal((5, 3)), rng.standard_normal((len(offsets) - 1, 3))
        made.scales = rng.uniform(0.5, 1.5, len(view))
        yield made, view, point, bearings


def cost_of(system, centres, points, scales):
    made, view, point, rays = system
    residuals = positioning_residuals(centres, points, scales, view, point, rays)
    return 0.5 * made.loss.rho((residuals**2).sum(1)).sum()


def test_cost_is_that_of_the_formula(system):
    made = system[0]
    assert np.isclose(made.linearize(), cost_of(system, made.centres, made.points, made.scales), rtol=1e-13)


def test_step_solves_the_damped_equations_of_the_formula(system):
    made, view, point, rays = system
    made.linearize()
    damping = 0.3
    step = made.solve(damping)
    centres, points, scales, n = made.centres, made.points, made.scales, len(view)
    residuals = positioning_residuals(centres, points, scales, view, point, rays)
    weight = np.repeat(made.loss.weight((residuals**2).sum(1)), 3)
    columns = 3 * len(centres) + 3 * len(points)
    J = np.zeros((3 * n, columns + n))
    for o in range(n):
        rows = slice(3 * o, 3 * o + 3)
        J[rows, 3 * view[o] : 3 * view[o] + 3] = scales[o] * np.eye(3)
        at = 3 * len(centres) + 3 * point[o]
        J[rows, at : at + 3] = -scales[o] * np.eye(3)
        J[rows, columns + o] = centres[view[o]] - points[point[o]]
    H, g = J.T @ (weight[:, None] * J), J.T @ (weight * residuals.ravel())
    # Scales are damped by their diagonal of H, the others by what is left on theirs once the scales are gone.
    inner = H[columns:, columns:] + damping * np.diag(np.diag(H)[columns:])
    coupling = H[:columns, columns:]
    reduced = H[:columns, :columns] - coupling @ np.linalg.solve(inner, coupling.T)
    right = -(g[:columns] - coupling @ np.linalg.solve(inner, g[columns:]))
    outer = np.linalg.solve(reduced + damping * np.diag(np.diag(reduced)), right)
    inside = -np.linalg.solve(inner, g[columns:] + coupling.T @ outer)
    assert np.allclose(made._centre_step.ravel(), outer[: 3 * len(centres)], rtol=1e-8, atol=1e-10)
    assert np.allclose(made.normal.point_step.ravel(), outer[3 * len(centres) :], rtol=1e-8, atol=1e-10)
    assert np.allclose(made._new_scales, np.maximum(scales + inside, 1e-5), rtol=1e-8, atol=1e-10)
    if (scales + inside > 1e-5).all():
        whole = np.concatenate([outer, inside])
        assert np.isclose(step.decrease, -g @ whole - 0.5 * whole @ H @ whole, rtol=1e-8)


def test_gradient_is_that_of_the_formula(system):
    made = system[0]
    made.linearize()
    h = 1e-6
    # The gradient on the dense side is that of the cost after the scales have taken their own best step: at damping
    # zero it equals the plain one where the scales are at their optimum.
    view, point, rays = system[1:]
    towards = made.points[point] - made.centres[view]
    made.scales = np.einsum("ni,ni->n", rays, towards) / (towards**2).sum(1)
    made.linearize()
    for i, axis in ((0, 0), (3, 2)):
        moved = []
        for sign in (1, -1):
            centres = made.centres.copy()
            centres[i, axis] += sign * h
            moved.append(cost_of(system, centres, made.points, made.scales))
        assert np.isclose(made.normal.gc[i, axis], (moved[0] - moved[1]) / (2 * h), rtol=1e-5, atol=1e-8)


def test_wrong_input_is_refused():
    ones = np.tile([0.0, 0.0, 1.0], (2, 1))
    eye = np.tile(np.eye(3), (2, 1, 1))
    with pytest.raises(ValueError, match="offsets must rise"):
        position_views(eye, [0, 3], [0, 1], ones)
    with pytest.raises(ValueError, match="rows of the 2 rotations"):
        position_views(eye, [0, 2], [0, 2], ones)
    with pytest.raises(ValueError, match="finite"):
        position_views(eye, [0, 2], [0, 1], ones * np.nan)
    with pytest.raises(ValueError, match="max_angle_error"):
        PositioningOptions(max_angle_error=0)
