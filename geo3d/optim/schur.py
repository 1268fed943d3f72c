"""Normal equations of many points and few dense unknowns, solved by the Schur complement."""

from __future__ import annotations

import numpy as np

from geo3d.optim import schur_kernels as kernels
from geo3d.optim.covariance import covariance
from geo3d.optim.least_squares import MAX_DIAGONAL, MIN_DIAGONAL
from geo3d.optim.parallel import Workers, balanced_bounds
from geo3d.optim.simd import LANE


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

    Attributes
    ----------
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
    ) -> None:
        blocks, points, entries = len(widths), len(point_entries) - 1, len(entry_block)
        self.columns = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        self.size = int(self.columns[-1])
        self.lanes = lane_count(widths)
        self.cross_block = cross_block
        self.entry_block, self.point_entries = entry_block, point_entries
        self.block_offsets, self.block_entries, self.entry_point, pairs = kernels.order_by_block(
            entry_block, point_entries, blocks
        )
        self._workers = workers
        self.point_bounds = balanced_bounds(point_entries + np.arange(points + 1), chunks)
        self._row_bounds = balanced_bounds(pairs, min(chunks, max(blocks, 1)))
        lanes = self.lanes
        self.U = np.zeros((blocks, lanes, lanes))
        self.cross = np.zeros((blocks, lanes, lanes))
        self.gc = np.zeros((blocks, lanes))
        self.V, self.gp = np.zeros((points, 6)), np.zeros((points, 3))
        self.W = np.zeros((entries, 3, lanes))
        self._B = np.empty_like(self.W)
        self._factor, self._h = np.empty((points, 6)), np.empty((points, 3))
        self._S, self._rhs = np.empty((self.size, self.size)), np.empty(self.size)
        self._lane_index = np.flatnonzero(np.arange(lanes) < np.asarray(widths).reshape(-1, 1))
        self.dense_step, self.point_step = np.zeros(self.size + lanes), np.zeros((points, 3))

    def gradient_norm(self) -> float:
        """Largest absolute element of the gradient."""
        return float(max(np.abs(self.gc).max(initial=0.0), np.abs(self.gp).max(initial=0.0)))

    def reduce(self, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower triangle of the reduced system (n, n), whatever above it, and its right-hand side (n,)."""

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
                first, last, damping, self.columns, self.U, self.cross_block, self.cross, self.gc, self._B, self._h,
                self.point_entries, self.entry_point, self.entry_block, self.block_entries, self.block_offsets,
                self._S, self._rhs,
            )  # fmt: skip

        self._workers.run(eliminate, self.point_bounds)
        if self.size:
            self._workers.run(rows, self._row_bounds)
        return self._S, self._rhs

    def solve(self, damping: float) -> tuple[float, float] | None:
        """Solve for `dense_step` and `point_step`.

        Returns
        -------
        (float, float) or None
            Predicted decrease of the cost and squared norm of the step; None if not positive definite.
        """
        from scipy.linalg import get_lapack_funcs

        potrf, potrs = get_lapack_funcs(("potrf", "potrs"), dtype=np.float64)
        S, rhs = self.reduce(damping)
        model = squared = 0.0
        if self.size:
            # The lower triangle in C order is LAPACK's upper one.
            factor, info = potrf(S.T, lower=0, overwrite_a=1, clean=0)
            if info != 0:
                return None
            step, _ = potrs(factor, rhs, lower=0)
            if not np.isfinite(step).all():
                return None
            self.dense_step[: self.size] = step
            scale = np.clip(self._packed(np.einsum("bii->bi", self.U)), MIN_DIAGONAL, MAX_DIAGONAL)
            model = float(damping * (scale * step) @ step - self._packed(self.gc) @ step)
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

    def covariances(self, variance: float) -> tuple[np.ndarray, np.ndarray]:
        """Covariance (n, n) of the dense side and covariances (P, 3, 3) of the points; see `covariance`.

        NaN for points that their observations do not determine.
        """
        dense = covariance(self.reduce(0.0)[0], 1.0)
        points = np.empty((len(self.V), 3, 3))
        kernels.point_covariances(
            self._factor, self._B, self.point_entries, self.entry_block, self.columns, dense, points
        )
        pivots = self._factor[:, [0, 2, 5]]
        points[~((pivots > 0) & np.isfinite(pivots)).all(1)] = np.nan
        return variance * dense, variance * points

    def _packed(self, lanes: np.ndarray) -> np.ndarray:
        """(blocks, lanes) without the surplus: (n,)."""
        return lanes.reshape(-1)[self._lane_index]


def lane_count(widths: np.ndarray) -> int:
    """Doubles that hold a block's columns: the widest, rounded up to whole vectors."""
    return -(-max(int(np.max(widths, initial=1)), 1) // LANE) * LANE
