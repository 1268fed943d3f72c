"""Normal equations of many points and few dense unknowns, solved by the Schur complement."""

from __future__ import annotations

import numpy as np

from geo3d.optim import schur_kernels as kernels
from geo3d.optim import sparse_kernels
from geo3d.optim.covariance import covariance
from geo3d.optim.least_squares import MAX_DIAGONAL, MIN_DIAGONAL
from geo3d.optim.parallel import Workers, balanced_bounds
from geo3d.optim.reduced import Basis, ReducedOptions, make_reduced
from geo3d.optim.simd import LANE

_CACHE_BYTES = 1 << 22  # of rows of the reduced system that are made together
_LEAST_GROUPS = 4  # of them, to share between threads


class SchurSystem:
    """Normal equations in which points (three parameters each) are eliminated; see `schur_kernels` for the algebra.

    The dense side is cut into blocks of columns (a view's pose, a camera's intrinsics). Fill `U`, `cross`, `gc`,
    `V`, `gp`, `W`, then `solve`.

    Parameters
    ----------
    widths : (blocks,) int
        Columns of each block.
    cross_block : (blocks,) int
        The earlier block with which a block shares residuals, or -1.
    entry_block : (E,) int
        Block of each entry, entries sorted by point, then block.
    point_entries : (P + 1,) int
        Entries of point p are `point_entries[p]:point_entries[p + 1]`.
    workers : Workers
    chunks : int
        Into how many parts the work is cut.
    options : ReducedOptions, optional
    basis : Basis, optional
        The dense side's unknowns are images of others, which are solved for.
    pairs : (K, 2) int, optional
        Blocks that share further residuals, the later one first.

    Attributes
    ----------
    pairs : (K, 2) int
    coupling : (K, lanes, lanes) array
        Coupling of the blocks of each of `pairs`, the later one's rows. A pair may be there more than once.
    basis : Basis or None
        Its values may be replaced, with the same pattern.
    U : (blocks, lanes, lanes) array
        Block diagonal of the dense side; columns beyond a block's width are zero.
    cross : (blocks, lanes, lanes) array
        Coupling of block b (rows) with `cross_block[b]` (columns).
    gc : (blocks, lanes) array
        Gradient of the dense side.
    V : (P, 6) array
        Points' blocks: 00, 10, 11, 20, 21, 22.
    gp : (P, 3) array
        Gradient of the points.
    W : (E, 3, lanes) array
        Coupling of points (rows) with blocks (columns).
    dense_step : (n + lanes,) array
        Step of the dense side, zero beyond n.
    basis_step : (m,) array
        Step of the unknowns that the dense side is an image of; its own without a basis.
    point_step : (P, 3) array
    """

    def __init__(
        self,
        widths: np.ndarray,
        cross_block: np.ndarray,
        entry_block: np.ndarray,
        point_entries: np.ndarray,
        workers: Workers,
        chunks: int,
        options: ReducedOptions | None = None,
        basis: Basis | None = None,
        pairs: np.ndarray | None = None,
    ) -> None:
        blocks, points, entries = len(widths), len(point_entries) - 1, len(entry_block)
        self.columns = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        self.size = int(self.columns[-1])
        self.lanes = lane_count(widths)
        self.cross_block = cross_block
        self.entry_block, self.point_entries = entry_block, point_entries
        self._workers = workers
        self.point_bounds = balanced_bounds(point_entries + np.arange(points + 1), chunks)
        lanes = self.lanes
        self.U = np.zeros((blocks, lanes, lanes))
        self.cross = np.zeros((blocks, lanes, lanes))
        self.gc = np.zeros((blocks, lanes))
        self.V, self.gp = np.zeros((points, 6)), np.zeros((points, 3))
        self.W = np.zeros((entries, 3, lanes))
        self._B = np.empty_like(self.W)
        self._factor, self._h = np.empty((points, 6)), np.empty((points, 3))
        self._rhs = np.empty(self.size)
        self.pairs = np.zeros((0, 2), np.int64) if pairs is None else np.asarray(pairs, np.int64)
        self.coupling = np.zeros((len(self.pairs), lanes, lanes))
        self.basis, options = basis, options or ReducedOptions()
        pattern = None
        if self.size > options.dense_columns:
            each = kernels.order_by_group(entry_block, point_entries, np.arange(blocks + 1))
            pattern = sparse_kernels.block_pattern(
                entry_block, point_entries, each[2], each[1], each[0], cross_block
            )
            pattern = _with_pairs(pattern, self.pairs)
        self._reduced = make_reduced(self.columns, pattern, basis, options)
        self._groups = _groups(self._reduced.pattern.offsets, 8 * lanes * int(np.max(widths, initial=1)))
        self._group_offsets, self._group_entries, self._entry_point, pairs = kernels.order_by_group(
            entry_block, point_entries, self._groups
        )
        self._row_bounds = balanced_bounds(pairs, min(chunks, max(len(self._groups) - 1, 1)))
        self._lane_index = np.flatnonzero(np.arange(lanes) < np.asarray(widths).reshape(-1, 1))
        self.dense_step, self.point_step = np.zeros(self.size + lanes), np.zeros((points, 3))
        self.basis_step = np.zeros(self.size if basis is None else int(basis.columns[-1]))

    def gradient_norm(self) -> float:
        """Largest absolute element of the gradient."""
        dense = self.gc if self.basis is None else self.basis.matrix.T @ self._packed(self.gc)
        return float(max(np.abs(dense).max(initial=0.0), np.abs(self.gp).max(initial=0.0)))

    def _reduce(self, damping: float, dense_damping: float) -> None:
        """Fill the reduced system and its right-hand side, with the points damped, and the dense side."""
        where = self._reduced.pattern

        def eliminate(_: int, first: int, last: int) -> None:
            kernels.eliminate(
                first,
                last,
                damping,
                self.V,
                self.gp,
                self.W,
                self.point_entries,
                self._factor,
                self._h,
                self._B,
            )

        def rows(_: int, first: int, last: int) -> None:
            kernels.reduce_rows(
                first, last, dense_damping, self.columns, self.U, self.cross_block, self.cross, self.gc, self._B,
                self._h, self.point_entries, self._entry_point, self.entry_block, self._groups, self._group_offsets,
                self._group_entries, where.offsets, where.blocks, where.start, where.stride, self._reduced.data,
                self._rhs,
            )  # fmt: skip

        self._workers.run(eliminate, self.point_bounds)
        if self.size:
            self._workers.run(rows, self._row_bounds)
        for (later, earlier), values in zip(self.pairs, self.coupling):
            row = slice(where.offsets[later], where.offsets[later + 1])
            k = row.start + np.searchsorted(where.blocks[row], earlier)
            i, j = np.ogrid[: np.diff(self.columns)[later], : np.diff(self.columns)[earlier]]
            self._reduced.data[where.start[k] + i * where.stride[k] + j] += values[: len(i), : j.size]

    def solve(self, damping: float) -> tuple[float, float] | None:
        """Solve for `dense_step` and `point_step`.

        Returns
        -------
        (float, float) or None
            Predicted decrease of the cost and squared norm of the step; None if not positive definite.
        """
        basis = self.basis
        self._reduce(damping, damping if basis is None else 0.0)
        model = squared = 0.0
        if self.size:
            rhs, gradient, added = self._rhs, self._packed(self.gc), None
            scale = np.clip(self._diagonal(), MIN_DIAGONAL, MAX_DIAGONAL)
            if basis is not None:
                rhs, gradient, added = basis.matrix.T @ rhs, basis.matrix.T @ gradient, damping * scale
            solved = self._reduced.solve(rhs, added, basis)
            if solved is None or not np.isfinite(solved[0]).all():
                return None
            step, gap = solved
            self.basis_step = step
            self.dense_step[: self.size] = step if basis is None else basis.matrix @ step
            model = float(damping * (scale * step) @ step - gradient @ step) + gap
            squared = float(step @ step)

        def substitute(_: int, first: int, last: int) -> tuple[float, float]:
            return kernels.back_substitute(
                first, last, damping, self.V, self.gp, self._factor, self._h, self._B, self.point_entries,
                self.entry_block, self.columns, self.dense_step, self.point_step,
            )  # fmt: skip

        for part in self._workers.run(substitute, self.point_bounds):
            model += part[0]
            squared += part[1]
        return 0.5 * model, squared

    def _diagonal(self) -> np.ndarray:
        """Diagonal of the dense side's matrix, in the unknowns of the basis."""
        if self.basis is None:
            return self._packed(np.einsum("bii->bi", self.U))
        from scipy.sparse import bsr_array, csr_array

        blocks, lanes, _ = self.U.shape
        P, width = self.basis.matrix.tocoo(), int(self.basis.columns[-1])
        spread = csr_array((P.data, (self._lane_index[P.row], P.col)), shape=(blocks * lanes, width))
        crossed = np.flatnonzero(self.cross_block >= 0)
        rows = np.concatenate([crossed, np.arange(blocks)])
        order = np.argsort(rows, kind="stable")
        parts = np.concatenate([2 * self.cross[crossed], self.U])[order]
        columns = np.concatenate([self.cross_block[crossed], np.arange(blocks)])[order]
        bounds = np.searchsorted(rows[order], np.arange(blocks + 1))
        half = bsr_array((parts, columns, bounds), shape=(blocks * lanes,) * 2)  # v.half.v = v.H.v
        return np.asarray(spread.multiply(half @ spread).sum(0)).ravel()

    def covariances(self) -> tuple[np.ndarray, np.ndarray]:
        """Inverses of the normal equations: of the dense side (n, n), and in the unknowns of the basis (m, m).

        Raises
        ------
        ValueError
            If they are singular; see `covariance`.
        """
        self._reduce(0.0, 0.0)
        unknowns = covariance(self._reduced.matrix(self.basis))
        if self.basis is None:
            return unknowns, unknowns
        P = self.basis.matrix
        return np.asarray(P @ (P @ unknowns).T), unknowns

    def point_covariances(self, dense: np.ndarray) -> np.ndarray:
        """Blocks (P, 3, 3) of the inverse for the points, after `covariances`, of which `dense` (n, n) is one.

        NaN for points that their observations do not determine.
        """
        points = np.empty((len(self.V), 3, 3))

        def chunk(_: int, first: int, last: int) -> None:
            kernels.point_covariances(
                first, last, self._factor, self._B, self.point_entries, self.entry_block, self.columns, dense, points
            )  # fmt: skip

        self._workers.run(chunk, self.point_bounds)
        pivots = self._factor[:, [0, 2, 5]]
        points[~((pivots > 0) & np.isfinite(pivots)).all(1)] = np.nan
        return points

    def _packed(self, lanes: np.ndarray) -> np.ndarray:
        """(blocks, lanes) without the surplus: (n,)."""
        return lanes.reshape(-1)[self._lane_index]


def _with_pairs(pattern: tuple[np.ndarray, np.ndarray], pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The blocks of each row, with those of further pairs."""
    offsets, blocks = pattern
    count = len(offsets) - 1
    known = np.repeat(np.arange(count), np.diff(offsets)) * count + blocks
    rows, found = np.divmod(np.union1d(known, pairs[:, 0] * count + pairs[:, 1]), count)
    return np.searchsorted(rows, np.arange(count + 1)), found


def _groups(offsets: np.ndarray, block_bytes: int) -> np.ndarray:
    """Bounds of groups of rows of blocks, each as many as fit the cache, one at least.

    Parameters
    ----------
    offsets : (blocks + 1,) int
        Cumulative number of blocks in the rows.
    block_bytes : int
    """
    most = max(min(_CACHE_BYTES // block_bytes, offsets[-1] // _LEAST_GROUPS), 1)
    bounds = [0]
    while bounds[-1] < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[bounds[-1]] + most, side="right")) - 1
        bounds.append(max(end, bounds[-1] + 1))
    return np.array(bounds, np.int64)


def lane_count(widths: np.ndarray) -> int:
    """Doubles that hold a block's columns: the widest, rounded up to whole vectors."""
    return -(-max(int(np.max(widths, initial=1)), 1) // LANE) * LANE
