"""Cholesky's factorisation of a sparse system whose blocks, well ordered, lie close to the diagonal.

Photographs along a path or over an area share points with their neighbours only. The reverse Cuthill-McKee order
(George 1971) turns that into a band K; blocks that couple with almost everything (a camera that all views share) go
behind it as a border E with a corner C:

    [ K   E ] [x]   [r]        K [X_r X_E] = [r E],   (C - E^T X_E) y = s - E^T X_r,   x = X_r - X_E y
    [ E^T C ] [y] = [s]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.optim import sparse_kernels as kernels

_HUB = 4  # times the median number of neighbours: a block of the border


@dataclass(frozen=True)
class BandOrder:
    """Where each unknown goes.

    Attributes
    ----------
    position : (n,) int
    inside : int
        Unknowns of the band; the border follows.
    width : int
        Elements of a row of the band besides the diagonal, on one side.
    """

    position: np.ndarray
    inside: int
    width: int

    @property
    def flops(self) -> float:
        """Multiplications that `solve_banded` takes, about."""
        border = len(self.position) - self.inside
        return self.inside * (float(self.width) ** 2 + 4.0 * self.width * border + border**2) + border**3 / 3


def band_order(columns: np.ndarray, offsets: np.ndarray, blocks: np.ndarray) -> BandOrder:
    """The order for a pattern of blocks.

    Parameters
    ----------
    columns : (B + 1,) int
        Bounds of the blocks.
    offsets, blocks : (B + 1,), (N,) int
        Blocks of each row of the lower triangle, the diagonal one included.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    count, widths = len(columns) - 1, np.diff(columns)
    row = np.repeat(np.arange(count), np.diff(offsets))
    degree = np.bincount(row, minlength=count) + np.bincount(blocks, minlength=count) - 1
    hub = degree > _HUB * np.median(degree)
    inner = np.flatnonzero(~hub)
    new = np.full(count, -1)
    new[inner] = np.arange(len(inner))
    kept = ~hub[row] & ~hub[blocks]
    i, j = new[row[kept]], new[blocks[kept]]
    graph = csr_array((np.ones(2 * len(i), np.int8), (np.r_[i, j], np.r_[j, i])), shape=(len(inner),) * 2)
    order = np.concatenate([inner[reverse_cuthill_mckee(graph, symmetric_mode=True)], np.flatnonzero(hub)])
    start = np.empty(count, np.int64)
    start[order] = np.cumsum(widths[order]) - widths[order]
    a, b = row[kept], blocks[kept]
    later, earlier = np.where(start[a] >= start[b], a, b), np.where(start[a] >= start[b], b, a)
    band = int((start[later] + widths[later] - 1 - start[earlier]).max(initial=0))
    within = np.arange(columns[-1]) - np.repeat(columns[:-1], widths)
    return BandOrder(np.repeat(start, widths) + within, int(widths[inner].sum()), band)


def solve_banded(
    order: BandOrder, indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, rhs: np.ndarray
) -> np.ndarray | None:
    """Solution (n,) of `A x = rhs`; None when A is not positive definite.

    Parameters
    ----------
    order : BandOrder
    indptr, indices, data : (n + 1,), (N,), (N,) array
        Lower triangle of A in compressed rows; see `sparse_kernels`.
    rhs : (n,) array
    """
    from scipy.linalg import get_lapack_funcs

    pbtrf, pbtrs, potrf, potrs = get_lapack_funcs(("pbtrf", "pbtrs", "potrf", "potrs"), dtype=np.float64)
    n, m = order.inside, len(rhs) - order.inside
    # In C order a row of the lower triangle, diagonal last, is a column of LAPACK's upper band.
    band, border, corner = np.empty((n, order.width + 1)), np.empty((n, m)), np.empty((m, m))
    kernels.fill_band(indptr, indices, data, order.position, band, border, corner)
    sorted_rhs = np.empty(n + m)
    sorted_rhs[order.position] = rhs
    factor, info = pbtrf(band.T, lower=0, overwrite_ab=1) if n else (band.T, 0)
    if info != 0:
        return None
    if n:
        X = pbtrs(factor, np.column_stack([sorted_rhs[:n], border]), lower=0)[0]
    else:
        X = np.zeros((0, 1 + m))
    x, across = X[:, 0], X[:, 1:]
    if m:
        corner_factor, info = potrf((corner - np.tril(border.T @ across)).T, lower=0, clean=0)
        if info != 0:
            return None
        y = potrs(corner_factor, sorted_rhs[n:] - border.T @ x, lower=0)[0]
        x = x - across @ y
        return np.concatenate([x, y])[order.position]
    return x[order.position]
