"""Ways to solve the reduced system: each gives the solution of the dense one, with a basis and without."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from geo3d.optim import sparse_kernels
from geo3d.optim.banded import band_order, solve_banded
from geo3d.optim.conjugate_gradients import conjugate_gradients
from geo3d.optim.parallel import Workers
from geo3d.optim.reduced import Basis, ReducedOptions
from geo3d.optim.schur import SchurSystem
from tests.optim.test_schur import _random_system

BAND = ReducedOptions(dense_columns=0, max_dense_columns=0, max_band_flops=np.inf)
ITERATED = ReducedOptions(dense_columns=0, max_dense_columns=0, max_band_flops=-1.0, tolerance=0.0)


def chain(rng, blocks: int, hubs: int):
    """Widths and pattern (dense bool, lower) of blocks along a line, in random order, after `hubs` that touch all."""
    order = np.concatenate([np.zeros(hubs), 1 + rng.permutation(blocks - hubs)])
    near = np.abs(order[:, None] - order[None]) <= 2
    near[:hubs] = near[:, :hubs] = True
    return rng.integers(1, 5, blocks), np.tril(near)


def matrix_of(rng, widths, near):
    """Positive definite, with that pattern: whole, and its lower triangle in compressed rows."""
    whole = np.repeat(np.repeat(near | near.T, widths, axis=0), widths, axis=1)
    A = rng.standard_normal(whole.shape) * whole
    A = A + A.T + np.diag(np.abs(A).sum(1) + np.abs(A).sum(0))
    lower = csr_array(np.tril(A))
    return A, (lower.indptr, lower.indices, lower.data)


def pattern_of(near):
    return np.concatenate([[0], np.cumsum(near.sum(1))]), np.nonzero(near)[1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(0, 2))
@settings(deadline=None, max_examples=25)
def test_band_and_iteration_solve_the_system(seed, blocks, hubs):
    rng = np.random.default_rng(seed)
    widths, near = chain(rng, blocks + hubs, hubs)
    A, rows = matrix_of(rng, widths, near)
    columns, b = np.concatenate([[0], np.cumsum(widths)]), rng.standard_normal(len(A))
    expected = np.linalg.solve(A, b)
    order = band_order(columns, *pattern_of(near))
    assert sorted(order.position) == list(range(len(A)))
    np.testing.assert_allclose(solve_banded(order, *rows, b), expected, rtol=1e-10, atol=1e-13)
    x, residual = conjugate_gradients(*rows, columns, b, 0.0)
    np.testing.assert_allclose(x, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(residual, b - A @ x, atol=1e-12)
    x, residual = conjugate_gradients(*rows, columns, b, 0.3)
    np.testing.assert_allclose(residual, b - A @ x, atol=1e-12)
    assert abs(x @ residual) < 1e-12  # so that the decrease that is promised is that of this step


def test_the_order_finds_a_chain_and_its_hubs():
    rng = np.random.default_rng(0)
    widths, near = chain(rng, 102, 2)
    order = band_order(np.concatenate([[0], np.cumsum(widths)]), *pattern_of(near))
    assert order.inside == widths[2:].sum()
    assert order.width <= 4 * 4 * 2


def test_indefinite_is_answered_with_none():
    rng = np.random.default_rng(1)
    widths, near = chain(rng, 8, 1)
    A, (indptr, indices, data) = matrix_of(rng, widths, near)
    columns, b = np.concatenate([[0], np.cumsum(widths)]), rng.standard_normal(len(A))
    order = band_order(columns, *pattern_of(near))
    for row in (0, len(A) - 1):
        worse = data.copy()
        sparse_kernels.add_diagonal(indptr, indices, worse, -3 * A[row, row] * np.eye(len(A))[row])
        assert solve_banded(order, indptr, indices, worse, b) is None
        assert conjugate_gradients(indptr, indices, worse, columns, b, 0.0) is None


def copied(system: SchurSystem, options: ReducedOptions, basis: Basis | None) -> SchurSystem:
    """The same equations in another system."""
    result = SchurSystem(
        np.diff(system.columns), system.cross_block, system.entry_block, system.point_entries, Workers(1), 3,
        options, basis,
    )  # fmt: skip
    for name in ("U", "cross", "gc", "V", "gp", "W"):
        getattr(result, name)[:] = getattr(system, name)
    return result


def random_basis(rng, columns: np.ndarray) -> Basis:
    """Pairs of blocks moved by one; the last of them a block of its own."""
    blocks, bounds, P = len(columns) - 1, [0], np.zeros((columns[-1], 0))
    for first in range(0, blocks, 2):
        rows = slice(columns[first], columns[min(first + 2, blocks)])
        width = int(rng.integers(1, 4))
        part = np.zeros((columns[-1], width))
        part[rows] = rng.standard_normal((rows.stop - rows.start, width))
        P = np.hstack([P, part])
        bounds.append(bounds[-1] + width)
    return Basis(csr_array(P), np.array(bounds))


@pytest.mark.parametrize("with_basis", [False, True])
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 12))
@settings(deadline=None, max_examples=15)
def test_all_ways_give_the_dense_solution(with_basis, seed, blocks, points):
    rng = np.random.default_rng(seed)
    system, H, g = _random_system(rng, blocks, points)
    n, damping = system.size, 1e-2
    basis = random_basis(rng, system.columns) if with_basis else None
    P = np.eye(len(H))
    if basis is not None:
        P = np.block([[basis.matrix.toarray(), np.zeros((n, 3 * points))],
                      [np.zeros((3 * points, basis.matrix.shape[1])), np.eye(3 * points)]])  # fmt: skip
    H, g = P.T @ H @ P, P.T @ g
    y = -np.linalg.solve(H + damping * np.diag(np.diag(H)), g)
    if np.linalg.cond(H) > 1e8:  # P is not of full rank
        return
    for options in (ReducedOptions(), BAND, ITERATED):
        other = copied(system, options, basis)
        decrease, squared = other.solve(damping)
        step = np.concatenate([other.dense_step[:n], other.point_step.ravel()])
        np.testing.assert_allclose(step, P @ y, rtol=1e-6, atol=1e-9 * np.abs(P @ y).max())
        np.testing.assert_allclose(decrease, -g @ y - 0.5 * y @ H @ y, rtol=1e-7)
        np.testing.assert_allclose(squared, y @ y, rtol=1e-7)
        dense, unknowns = other.covariances()
        each = other.point_covariances(dense)
        whole = P @ np.linalg.inv(H) @ P.T
        m = len(unknowns)
        np.testing.assert_allclose(
            unknowns, np.linalg.inv(H)[:m, :m], rtol=1e-6, atol=1e-9 * np.abs(whole).max()
        )
        np.testing.assert_allclose(dense, whole[:n, :n], rtol=1e-6, atol=1e-9 * np.abs(whole).max())
        for p in range(points):
            s = slice(n + 3 * p, n + 3 * p + 3)
            np.testing.assert_allclose(each[p], whole[s, s], rtol=1e-6, atol=1e-9 * np.abs(whole).max())
