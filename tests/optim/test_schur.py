"""Eliminating points or groups gives the solution of the whole system; the vector products are what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.optim import (
    ArrowProblem,
    ArrowSystem,
    DenseProblem,
    LMOptions,
    covariance,
    levenberg_marquardt,
    schur,
)
from geo3d.optim.parallel import Workers, balanced_bounds
from geo3d.optim.schur import SchurSystem
from geo3d.optim.simd import LANE, rank2_add, rank3_subtract, rank_update_reference
from geo3d.util.jit import njit


@njit()
def _rank2(out, stride, rows, left, left_stride, right, right_stride):
    rank2_add(out, 0, stride, rows, right_stride, left, 0, left_stride, right, 0, right_stride)


@njit()
def _rank3(out, stride, rows, left, left_stride, right, right_stride):
    rank3_subtract(out, 0, stride, rows, right_stride, left, 0, left_stride, right, 0, right_stride)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_rank_updates(seed, rows, vectors):
    rng = np.random.default_rng(seed)
    lanes = LANE * vectors
    for kernel, rank, sign in ((_rank2, 2, 1.0), (_rank3, 3, -1.0)):
        out, left, right = rng.random((rows + 1, lanes)), rng.random((rank, 11)), rng.random((rank, lanes))
        expected = rank_update_reference(out, left, right, rows, sign)
        kernel(out.reshape(-1), lanes, rows, left.reshape(-1), 11, right.reshape(-1), lanes)
        np.testing.assert_allclose(out, expected, rtol=1e-13)


def _random_system(rng, blocks, points):
    """A SchurSystem and its whole matrix H and gradient g, dense unknowns first."""
    widths = rng.integers(1, 10, blocks)
    cross = np.where(np.arange(blocks) >= blocks // 2, rng.integers(-1, max(blocks // 2, 1), blocks), -1)
    cross[0] = -1
    seen = rng.random((points, blocks)) < 0.6
    entry_point, entry_block = np.nonzero(seen)
    offsets = np.concatenate([[0], np.cumsum(seen.sum(1))])
    starts = np.concatenate([[0], np.cumsum(widths)])
    n = starts[-1]
    J = rng.standard_normal((4 * (n + 3 * points), n + 3 * points))
    H = J.T @ J
    for a in range(blocks):  # erase what the structure does not hold
        for b in range(a):
            if cross[a] != b:
                H[starts[a] : starts[a + 1], starts[b] : starts[b + 1]] = 0
    H[n:, n:] *= np.kron(np.eye(points), np.ones((3, 3)))
    H[n:, :n] *= np.repeat(np.repeat(seen, widths, axis=1), 3, axis=0)
    H = np.tril(H) + np.tril(H, -1).T
    H += np.diag(np.abs(H).sum(1))  # positive definite again
    g = rng.standard_normal(len(H))
    system = SchurSystem(widths, cross, entry_block, offsets, Workers(1), 3)
    for b in range(blocks):
        s = slice(starts[b], starts[b + 1])
        system.U[b, : widths[b], : widths[b]] = H[s, s]
        system.gc[b, : widths[b]] = g[s]
        if cross[b] >= 0:
            other = slice(starts[cross[b]], starts[cross[b] + 1])
            system.cross[b, : widths[b], : widths[cross[b]]] = H[s, other]
    for p in range(points):
        part = H[n + 3 * p : n + 3 * p + 3, n + 3 * p : n + 3 * p + 3]
        system.V[p] = part[[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]]
    system.gp[:] = g[n:].reshape(-1, 3)
    for e, (p, b) in enumerate(zip(entry_point, entry_block)):
        system.W[e, :, : widths[b]] = H[n + 3 * p : n + 3 * p + 3, starts[b] : starts[b + 1]]
    return system, H, g


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 12), st.sampled_from([1e-8, 1e-2, 10.0]))
@settings(deadline=None, max_examples=40)
def test_schur_solution_is_the_dense_one(seed, blocks, points, damping):
    system, H, g = _random_system(np.random.default_rng(seed), blocks, points)
    damped = H + damping * np.diag(np.diag(H))
    expected = -np.linalg.solve(damped, g)
    decrease, squared = system.solve(damping)
    step = np.concatenate([system.dense_step[: system.size], system.point_step.ravel()])
    np.testing.assert_allclose(step, expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(decrease, -g @ expected - 0.5 * expected @ H @ expected, rtol=1e-8)
    np.testing.assert_allclose(squared, expected @ expected, rtol=1e-9)


def test_covariances_are_blocks_of_the_inverse():
    system, H, _ = _random_system(np.random.default_rng(3), 4, 7)
    dense, _ = system.covariances()
    points = system.point_covariances(dense)
    whole = np.linalg.inv(H)
    n = system.size
    np.testing.assert_allclose(dense, whole[:n, :n], rtol=1e-9, atol=1e-16)
    for p in range(7):
        s = slice(n + 3 * p, n + 3 * p + 3)
        np.testing.assert_allclose(points[p], whole[s, s], rtol=1e-9, atol=1e-16)


def test_indefinite_system_is_answered_with_none():
    system, _, _ = _random_system(np.random.default_rng(0), 3, 4)
    system.U[0, 0, 0] = -1e6
    assert system.solve(1e-4) is None


def test_covariance():
    rng = np.random.default_rng(0)
    J = rng.standard_normal((20, 5)) * [1e-6, 1, 1, 1e3, 1e6]
    np.testing.assert_allclose(covariance(J.T @ J, 3.0), 3 * np.linalg.inv(J.T @ J), rtol=1e-6)
    assert covariance(np.zeros((0, 0))).shape == (0, 0)
    J[:, 0] = J[:, 1] + J[:, 2]
    with pytest.raises(ValueError, match="gauge"):
        covariance(J.T @ J)
    with pytest.raises(ValueError, match="not observed"):
        covariance(np.diag([1.0, 0.0]))


def test_bounds_cover_all_rows_once():
    offsets = np.cumsum([0, 5, 0, 0, 100, 1, 1, 1, 30])
    for chunks in (1, 2, 5, 20):
        bounds = balanced_bounds(offsets, chunks)
        assert len(bounds) == chunks + 1
        assert bounds[0] == 0
        assert bounds[-1] == 8
        assert (np.diff(bounds) >= 0).all()
    assert balanced_bounds(np.zeros(4, int), 3)[-1] == 3
    assert list(balanced_bounds(np.zeros(1, int), 2)) == [0, 0, 0]


def test_groups_of_rows_change_nothing(monkeypatch):
    """However few rows of the reduced system are made together."""
    steps = []
    for size in (1, 3000, 1 << 22):
        monkeypatch.setattr(schur, "_CACHE_BYTES", size)
        system, _, _ = _random_system(np.random.default_rng(7), 9, 30)
        system.solve(1e-3)
        steps.append(system.dense_step.copy())
    np.testing.assert_array_equal(steps[0], steps[1])
    np.testing.assert_array_equal(steps[0], steps[2])


def test_arrow_equals_dense():
    """Curves a_i exp(b t) with a shared rate: eliminated groups or one vector, the same steps."""
    t, rates = np.linspace(0, 1, 9), np.array([0.7])
    y = np.array([1.0, -2.0, 0.5, 3.0])[:, None] * np.exp(rates * t) + 0.01 * np.cos(40 * t)

    def parts(b, a):
        return a[:, None] * np.exp(b * t) - y, (a[:, None] * t * np.exp(b * t)), np.exp(b * t) + 0 * y

    def dense(x):
        r, rate, height = parts(x[0], x[1:])
        J = np.zeros((4, 9, 5))
        J[..., 0] = rate
        for i in range(4):
            J[i, :, 1 + i] = height[i]
        return r.ravel(), J.reshape(-1, 5)

    def linearize(x):
        r, rate, height = parts(x[0], x[1:])
        return ArrowSystem(
            cost=0.5 * float((r**2).sum()),
            shared=np.array([[(rate**2).sum()]]),
            groups=(height**2).sum(1)[:, None, None],
            coupling=(rate * height).sum(1)[:, None, None],
            shared_gradient=np.array([(rate * r).sum()]),
            group_gradient=(height * r).sum(1)[:, None],
        )

    arrow = ArrowProblem(
        linearize,
        lambda x: 0.5 * float((parts(x[0], x[1:])[0] ** 2).sum()),
        lambda x, shared, groups: x + np.concatenate([shared, groups[:, 0]]),
        np.ones(5) * 0.3,
    )
    whole = DenseProblem(dense, np.ones(5) * 0.3)
    options = LMOptions(parameter_tolerance=0)
    a, b = levenberg_marquardt(arrow, options), levenberg_marquardt(whole, options)
    np.testing.assert_allclose([t.cost for t in a.trace], [t.cost for t in b.trace], rtol=1e-9)
    np.testing.assert_allclose(arrow.state, whole.x, rtol=1e-9)
    assert a.converged
