"""Variational flow: kernels against their plain forms, and a solution that is the minimum of its energy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from geo3d.flow import variational_kernels as kernels
from geo3d.flow.relaxation_step import LANES, PLANES, relax, relax_reference
from geo3d.flow.variational import (
    VariationalOptions,
    make_level,
    refine_flow,
    solve_linearised,
    warp_level,
)
from geo3d.flow.variational_reference import (
    energy_reference,
    motion_tensors_reference,
    slopes_reference,
    warp_spline_reference,
)
from geo3d.util.jit import njit

F = np.float32


def smooth_image(shape, seed, channels=3, sigma=2.0):
    """(H, W, C) of levels about 0 to 255."""
    noise = np.random.default_rng(seed).standard_normal((*shape, channels))
    image = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
    return (128.0 + 45.0 * image / image.std()).astype(F)


def some_tensors(shape=(19, 23), seed=0):
    first, second = smooth_image(shape, seed), smooth_image(shape, seed)
    second = np.roll(second, 1, axis=1) + F(2.0)
    level = make_level(first, second)
    flow = (0.3 * np.random.default_rng(seed + 1).standard_normal((2, *shape))).astype(F)
    warped, inside = warp_level(level, flow)
    slopes = [np.empty_like(level.first) for _ in range(3)]
    kernels.image_slopes(level.first, warped, *slopes)
    tensors = np.empty((2, 6, *shape), F)
    kernels.motion_tensors(*slopes, inside, F(1.0), tensors)
    return level, flow, warped, inside, slopes, tensors


def test_spline_goes_through_the_pixels_and_warping_is_its_sum():
    image = smooth_image((21, 30), 3)
    level = make_level(image, image)
    still, inside = warp_level(level, np.zeros((2, 21, 30), F))
    assert np.abs(still - np.moveaxis(image, 2, 0)).max() < 2e-3
    assert inside.all()
    flow = (4.0 * np.random.default_rng(1).standard_normal((2, 21, 30))).astype(F)
    warped, inside = warp_level(level, flow)
    assert np.abs(warped - warp_spline_reference(level.second, flow)).max() < 2e-3
    row, column = np.mgrid[:21, :30]
    x, y = column + flow[0], row + flow[1]
    assert np.array_equal(inside != 0, (x >= 0) & (x <= 29) & (y >= 0) & (y <= 20))


def test_slopes_and_tensors_as_the_formulas_say():
    level, _, warped, inside, slopes, tensors = some_tensors()
    mean_x, mean_y = slopes_reference(0.5 * (level.first.astype(np.float64) + warped))
    assert np.abs(slopes[0] - mean_x).max() < 1e-4
    assert np.abs(slopes[1] - mean_y).max() < 1e-4
    expected = motion_tensors_reference(level.first, warped, inside, 1.0)
    assert np.abs(tensors - expected).max() < 1e-3 * np.abs(expected).max()
    assert np.all(tensors[:, :, inside == 0] == 0)


def test_slopes_are_exact_for_cubic_polynomials():
    x = np.arange(12, dtype=F)
    plane = np.repeat((0.1 * x**3 - x**2 + x)[None, None], 9, axis=1)
    slopes = [np.empty((1, 9, 12), F) for _ in range(3)]
    kernels.image_slopes(plane, plane, *slopes)
    assert np.allclose(slopes[0][0, :, 2:-2], (0.3 * x**2 - 2 * x + 1)[2:-2], atol=1e-3)
    assert np.all(slopes[1] == 0)


def test_relaxation_of_sixteen_pixels():
    stride = 200
    buffer = np.random.default_rng(2).standard_normal(PLANES * stride).astype(F)
    expected = buffer.copy()

    @njit()
    def step(buffer):
        relax(buffer, 40, 100, 80, 120, 1, stride, np.float32(1.7))

    step(buffer)
    relax_reference(expected, 40, 100, 80, 120, 1, stride, 1.7)
    assert np.abs(buffer - expected).max() < 1e-4
    changed = np.flatnonzero(buffer != np.random.default_rng(2).standard_normal(PLANES * stride).astype(F))
    assert set(changed) <= set(range(40, 40 + LANES)) | set(range(stride + 40, stride + 40 + LANES))


@pytest.mark.parametrize("shape", [(19, 23), (70, 18)])
def test_relaxation_solves_the_linear_system(shape):
    _, base, _, _, _, tensors = some_tensors(shape)
    height, width = shape
    edges, weights = np.ones((2, *shape), F), np.empty((2, *shape), F)
    kernels.smoothness(base, edges, F(0.5), F(0.1), weights)
    buffer, layout = kernels.buffer_layout(height, width)
    kernels.assemble(tensors, np.array([1.0, 0.7], F), F(0.1), base, base, weights, buffer, layout)
    for k in range(120):
        kernels.relax_bands(buffer, layout, height, width, 16 * (k % 2), 5, F(1.8))
    found = np.empty_like(base)
    kernels.take_flow(buffer, layout, found)
    assert np.abs(found - direct_solution(tensors, (1.0, 0.7), 0.1, base, weights)).max() < 2e-3


def direct_solution(tensors, shares, epsilon, base, weights):
    """Solve the same 2 H W equations at once."""
    height, width = base.shape[1:]
    size = height * width
    number = np.arange(size).reshape(height, width)
    matrix, right = np.zeros((2 * size, 2 * size)), np.zeros(2 * size)
    u0, v0 = base[0].ravel(), base[1].ravel()
    for g, share in enumerate(shares):
        t11, t12, t22, t13, t23, t33 = tensors[g].reshape(6, -1).astype(np.float64)
        w = share / np.sqrt(t33 + epsilon**2)
        n = np.arange(size)
        matrix[n, n] += w * t11
        matrix[n, n + size] += w * t12
        matrix[n + size, n] += w * t12
        matrix[n + size, n + size] += w * t22
        right[:size] += w * (t11 * u0 + t12 * v0 - t13)
        right[size:] += w * (t12 * u0 + t22 * v0 - t23)
    for w, a, b in (
        (weights[0, :, :-1], number[:, :-1], number[:, 1:]),
        (weights[1, :-1], number[:-1], number[1:]),
    ):
        for p, q, value in zip(a.ravel(), b.ravel(), w.ravel()):
            for shift in (0, size):
                matrix[p + shift, p + shift] += value
                matrix[q + shift, q + shift] += value
                matrix[p + shift, q + shift] -= value
                matrix[q + shift, p + shift] -= value
    return np.linalg.solve(matrix, right).reshape(2, height, width)


def test_solution_is_the_minimum_of_the_energy():
    _, base, _, _, _, tensors = some_tensors((17, 18))
    options = VariationalOptions(smoothness=0.5, smooth_epsilon_px=0.1, passes=60, sweeps=60)
    edges = np.random.default_rng(4).uniform(0.2, 1.0, base.shape).astype(F)
    found = solve_linearised(tensors, base, edges, options)

    def energy(flow):
        shares = (options.color_weight, options.gradient_weight)
        return energy_reference(tensors, shares, edges, base, flow, 0.5, options.data_epsilon_px, 0.1)

    least = energy(found.astype(np.float64))
    assert least < energy(base)
    rng = np.random.default_rng(5)
    for size in (1e-2, 1e-1):
        for _ in range(10):
            other = found + size * ndimage.gaussian_filter(rng.standard_normal(base.shape), (0, 1, 1))
            assert energy(other) > least - 1e-4 * abs(least)
    step = 1e-3
    for c, y, x in rng.integers(0, (2, 17, 18), (30, 3)):
        change = np.zeros(base.shape)
        change[c, y, x] = step
        slope = (energy(found + change) - energy(found - change)) / (2 * step)
        assert abs(slope) < 0.02


def test_refinement_finds_a_shift():
    image = smooth_image((60, 80), 7, sigma=2.5)
    shifted = np.stack(
        [ndimage.shift(c, (0.4, -1.3), order=5, mode="mirror") for c in np.moveaxis(image, 2, 0)], 2
    )
    flow = refine_flow(make_level(image, shifted.astype(F)), np.zeros((2, 60, 80), F), VariationalOptions())
    inner = flow[:, 8:-8, 8:-8]
    assert np.abs(inner[0] + 1.3).max() < 0.03
    assert np.abs(inner[1] - 0.4).max() < 0.03


def test_edges_are_cheap_where_colours_step():
    image = np.zeros((3, 16, 20), F)
    image[:, :, 10:] = 100.0
    weights = np.empty((2, 16, 20), F)
    kernels.contrast_weights(image, F(10.0), F(0.1), weights)
    assert np.all(weights[1] == 1.0)
    assert np.allclose(weights[0, :, 9], 0.1, atol=1e-4)
    assert np.all(np.delete(weights[0], 9, axis=1) == 1.0)


def test_no_smoothness_beyond_the_border():
    flow = np.random.default_rng(0).standard_normal((2, 16, 20)).astype(F)
    weights = np.empty_like(flow)
    kernels.smoothness(flow, np.ones_like(flow), F(2.0), F(0.01), weights)
    expected = 2.0 / np.sqrt((np.diff(flow.astype(np.float64), axis=2) ** 2).sum(axis=0) + 1e-4)
    assert np.allclose(weights[0, :, :-1], expected, rtol=1e-4)
    assert np.all(weights[0, :, -1] == 0)
    assert np.all(weights[1, -1] == 0)


def test_more_smoothness_makes_a_smoother_flow():
    level = make_level(smooth_image((40, 48), 1), smooth_image((40, 48), 2))
    start = np.zeros((2, 40, 48), F)
    rough, smooth = (
        np.abs(np.diff(refine_flow(level, start, replace(VariationalOptions(), smoothness=a)), axis=2)).mean()
        for a in (0.3, 10.0)
    )
    assert smooth < 0.5 * rough
