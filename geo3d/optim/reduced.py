"""The reduced system of the Schur complement, `S x = b`: how its lower triangle is stored and solved.

Three ways, chosen by what they cost (`make_reduced`):

- dense, by Cholesky's factorisation;
- sparse with a narrow band once its blocks are ordered (photographs along a path or over an area), by Cholesky's
  factorisation of that (`banded`);
- sparse otherwise, by preconditioned conjugate gradients (`conjugate_gradients`).

A dense factorisation took 5 ms for 900 unknowns (150 photos), 0.17 s for 3,000 and 1.3 s for 6,000, on one thread of a
machine of 2 cores at 111 GFLOP/s: so up to 900 nothing else is asked for, and beyond 6,000 (1,000 photos), where a step
would cost seconds and the matrix 0.3 GB, it is never taken; between, a band is, where it costs less than a third.

The unknowns may be images of fewer others, `x = P y` (`Basis`), as where several views move with one rig: then it is
`(P^T S P) y = P^T b` that is solved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo3d.optim import sparse_kernels as kernels
from geo3d.optim.banded import BandOrder, band_order, solve_banded
from geo3d.optim.conjugate_gradients import conjugate_gradients

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class ReducedOptions:
    """Where one way of solving ends and the next begins.

    Attributes
    ----------
    dense_columns : int
        Up to so many unknowns the system is dense, whatever its pattern.
    max_dense_columns : int
        Beyond, it never is.
    max_band_flops : float
        Beyond so many multiplications no band is factored.
    tolerance : float
        Of conjugate gradients; see there.
    """

    dense_columns: int = 900
    max_dense_columns: int = 6000
    max_band_flops: float = 3e10
    tolerance: float = 0.01


@dataclass(frozen=True)
class Pattern:
    """Blocks in the rows of a lower triangle, and where they lie.

    Element (i, j) of block k, rows and columns counted within it, is `data[start[k] + i * stride[k] + j]`.
    """

    offsets: np.ndarray  # (blocks + 1,) int64, rows of the arrays below
    blocks: np.ndarray  # ascending in each row, the diagonal one last
    start: np.ndarray
    stride: np.ndarray


@dataclass(frozen=True)
class Basis:
    """`x = P y`.

    Attributes
    ----------
    matrix : (n, m) sparse array
        P, in compressed rows.
    columns : (k + 1,) int
        Bounds of the blocks of y.
    """

    matrix: csr_array
    columns: np.ndarray


class DenseReduced:
    """A square matrix, of which the lower triangle is filled.

    Parameters
    ----------
    columns : (blocks + 1,) int
        Bounds of the blocks.

    Attributes
    ----------
    pattern : Pattern
    data : (n * n,) array
    """

    def __init__(self, columns: np.ndarray) -> None:
        self.size, count = int(columns[-1]), len(columns) - 1
        offsets = np.concatenate([[0], np.cumsum(np.arange(1, count + 1))])
        row = np.repeat(np.arange(count), np.arange(1, count + 1))
        blocks = np.arange(offsets[-1]) - offsets[row]
        start = columns[row] * self.size + columns[blocks]
        self.pattern = Pattern(offsets, blocks, start, np.full(len(row), self.size))
        self.data = np.empty(self.size**2)

    def matrix(self, basis: Basis | None) -> np.ndarray:
        """Lower triangle of S (n, n), or of `P^T S P` (m, m) of a `basis`; whatever above it."""
        S = self.data.reshape(self.size, self.size)
        if basis is None:
            return S
        whole = np.tril(S) + np.tril(S, -1).T
        return basis.matrix.T @ (basis.matrix.T @ whole).T

    def solve(
        self, rhs: np.ndarray, damping: np.ndarray | None, basis: Basis | None
    ) -> tuple[np.ndarray, float] | None:
        """Solve `(P^T S P + diag(damping)) y = rhs`, writing over S.

        Returns
        -------
        (m,) array, float or None
            y and `y . residual`, zero here; None when the matrix is not positive definite.
        """
        from scipy.linalg import get_lapack_funcs

        potrf, potrs = get_lapack_funcs(("potrf", "potrs"), dtype=np.float64)
        A = self.matrix(basis)
        if damping is not None:
            A[np.diag_indices(len(A))] += damping
        # The lower triangle in C order is LAPACK's upper one.
        factor, info = potrf(A.T, lower=0, overwrite_a=1, clean=0)
        if info != 0:
            return None
        return potrs(factor, rhs, lower=0)[0], 0.0


class SparseReduced:
    """Compressed rows; the diagonal blocks are whole, and zero above the diagonal.

    Parameters
    ----------
    columns : (blocks + 1,) int
        Bounds of the blocks.
    offsets, blocks : (blocks + 1,), (N,) int
        Blocks of each row of the lower triangle, ascending, the diagonal one included.
    order : BandOrder or None
        Of y: factor the band. None: iterate.
    tolerance : float
        Of conjugate gradients.

    Attributes
    ----------
    pattern : Pattern
    data : (N,) array
    """

    def __init__(
        self,
        columns: np.ndarray,
        offsets: np.ndarray,
        blocks: np.ndarray,
        order: BandOrder | None,
        tolerance: float,
    ) -> None:
        self.size = int(columns[-1])
        self._columns, self._order, self._tolerance = columns, order, tolerance
        widths = np.diff(columns)
        row = np.repeat(np.arange(len(widths)), np.diff(offsets))
        before = np.concatenate([[0], np.cumsum(widths[blocks])])
        row_width = before[offsets[1:]] - before[offsets[:-1]]
        self._indptr = np.concatenate([[0], np.cumsum(np.repeat(row_width, widths))])
        start = self._indptr[columns[row]] + before[:-1] - before[offsets[row]]
        self.pattern = Pattern(offsets, blocks, start, row_width[row])
        self.data = np.zeros(self._indptr[-1])
        self._indices = kernels.csr_indices(columns, offsets, blocks, self._indptr)

    def _triangle(self, basis: Basis | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of S, or of `P^T S P`: indptr, indices, data."""
        if basis is None:
            return self._indptr, self._indices, self.data
        from scipy.sparse import csr_array, tril

        lower = csr_array((self.data, self._indices, self._indptr), shape=(self.size, self.size))
        P, half = basis.matrix, lower.copy()
        half.setdiag(0.5 * lower.diagonal())
        product = P.T @ (half @ P)
        found = csr_array(tril(product + product.T, format="csr"))
        found.sort_indices()
        return found.indptr, found.indices, found.data

    def matrix(self, basis: Basis | None) -> np.ndarray:
        """Lower triangle of S (n, n), or of `P^T S P` (m, m) of a `basis`, dense."""
        from scipy.sparse import csr_array

        indptr, indices, data = self._triangle(basis)
        return csr_array((data, indices, indptr), shape=(len(indptr) - 1,) * 2).toarray()

    def solve(
        self, rhs: np.ndarray, damping: np.ndarray | None, basis: Basis | None
    ) -> tuple[np.ndarray, float] | None:
        """Solve `(P^T S P + diag(damping)) y = rhs`, writing over S.

        Returns
        -------
        (m,) array, float or None
            y and `y . residual`; None when the matrix is not positive definite.
        """
        triangle = self._triangle(basis)
        if damping is not None:
            kernels.add_diagonal(*triangle, damping)
        if self._order is not None:
            solved = solve_banded(self._order, *triangle, rhs)
            return None if solved is None else (solved, 0.0)
        columns = self._columns if basis is None else basis.columns
        found = conjugate_gradients(*triangle, columns, rhs, self._tolerance)
        return None if found is None else (found[0], float(found[0] @ found[1]))


def make_reduced(
    columns: np.ndarray,
    pattern: tuple[np.ndarray, np.ndarray] | None,
    basis: Basis | None,
    options: ReducedOptions,
) -> DenseReduced | SparseReduced:
    """The cheapest storage.

    Parameters
    ----------
    columns : (blocks + 1,) int
        Bounds of the blocks.
    pattern : ((blocks + 1,), (N,)) int or None
        Blocks of each row of the lower triangle, ascending, the diagonal one included. None where it does not
        matter: the system is small.
    basis : Basis, optional
        Of which the pattern counts, not the values.
    options : ReducedOptions
    """
    n = int(columns[-1])
    if pattern is None:
        return DenseReduced(columns)
    order = band_order(columns, *pattern) if basis is None else band_order(*_image(columns, pattern, basis))
    cheap = order.flops <= options.max_band_flops
    if n <= options.max_dense_columns and not (cheap and order.flops < n**3 / 9):
        return DenseReduced(columns)
    return SparseReduced(columns, *pattern, order if cheap else None, options.tolerance)


def _image(columns: np.ndarray, pattern: tuple[np.ndarray, np.ndarray], basis: Basis) -> tuple:
    """Bounds and pattern of the blocks of `P^T S P`."""
    from scipy.sparse import csr_array, tril

    offsets, blocks = pattern
    count, images = len(columns) - 1, len(basis.columns) - 1
    lower = csr_array((np.ones(len(blocks)), blocks, offsets), shape=(count, count))
    rows, found = basis.matrix.nonzero()
    block = np.searchsorted(columns, rows, side="right") - 1
    image = np.searchsorted(basis.columns, found, side="right") - 1
    P = csr_array((np.ones(len(rows)), (block, image)), shape=(count, images))
    product = P.T @ (lower @ P)
    whole = csr_array(tril(product + product.T, format="csr"))
    whole.sort_indices()
    return basis.columns, whole.indptr.astype(np.int64), whole.indices.astype(np.int64)
