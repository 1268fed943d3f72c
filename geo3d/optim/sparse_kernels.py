"""Kernels of the sparse reduced system: which blocks there are, its product with a vector, its diagonal, its band.

A symmetric matrix is kept by its lower triangle in compressed rows: elements `indptr[i]:indptr[i + 1]` of `data` lie
in row i, columns `indices`, ascending. Elements above the diagonal may be stored, and are zero then.
"""

import numpy as np

from geo3d.util.jit import njit


@njit(nogil=True)
def block_pattern(entry_block, point_entries, entry_point, block_entries, block_offsets, cross_block):
    """Blocks j <= i that share points with block i, or residuals (`cross_block`): `(offsets (blocks + 1,), blocks)`."""
    blocks = len(block_offsets) - 1
    offsets = np.zeros(blocks + 1, np.int64)
    found, seen = np.empty(4 * blocks + 64, np.int64), np.full(blocks, -1)
    n = 0
    for b in range(blocks):
        start = n
        if n + b + 1 > len(found):
            larger = np.empty(2 * len(found) + b, np.int64)
            larger[:n] = found[:n]
            found = larger
        found[n] = b
        seen[b] = b
        n += 1
        if cross_block[b] >= 0:
            found[n] = cross_block[b]
            seen[cross_block[b]] = b
            n += 1
        for k in range(block_offsets[b], block_offsets[b + 1]):
            p = entry_point[block_entries[k]]
            for f in range(point_entries[p], point_entries[p + 1]):
                other = entry_block[f]
                if other > b:
                    break
                if seen[other] != b:
                    seen[other] = b
                    found[n] = other
                    n += 1
        found[start:n] = np.sort(found[start:n])
        offsets[b + 1] = n
    return offsets, found[:n].copy()


@njit(nogil=True)
def csr_indices(columns, offsets, blocks, indptr):
    """Column of each element of the rows that whole blocks fill: `indices`."""
    indices = np.empty(indptr[-1], np.int32)
    for b in range(len(columns) - 1):
        at = indptr[columns[b]]
        for _ in range(columns[b + 1] - columns[b]):
            for k in range(offsets[b], offsets[b + 1]):
                for j in range(columns[blocks[k]], columns[blocks[k] + 1]):
                    indices[at] = j
                    at += 1
    return indices


@njit(nogil=True, error_model="numpy")
def symmetric_product(indptr, indices, data, x, y):
    """`y = A x`."""
    for i in range(len(y)):
        y[i] = 0.0
    for i in range(len(y)):
        total = 0.0
        own = x[i]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < i:
                total += data[k] * x[j]
                y[j] += data[k] * own
            elif j == i:
                total += data[k] * own
        y[i] += total


@njit(nogil=True)
def add_diagonal(indptr, indices, data, values):
    """`A += diag(values)`."""
    for i in range(len(values)):
        for k in range(indptr[i], indptr[i + 1]):
            if indices[k] == i:
                data[k] += values[i]


@njit(nogil=True)
def diagonal_blocks(indptr, indices, data, columns, result):
    """The diagonal blocks (blocks, w, w) with bounds `columns`; what is beyond a block's width is the identity."""
    result[:] = 0.0
    for b in range(len(columns) - 1):
        first, last = columns[b], columns[b + 1]
        for i in range(first, last):
            for k in range(indptr[i], indptr[i + 1]):
                j = indices[k]
                if first <= j <= i:
                    result[b, i - first, j - first] = data[k]
                    result[b, j - first, i - first] = data[k]
        for i in range(last - first, result.shape[1]):
            result[b, i, i] = 1.0


@njit(nogil=True, error_model="numpy")
def multiply_blocks(matrices, columns, x, y):
    """`y = diag(matrices) x`, matrices (blocks, w, w) with bounds `columns`."""
    for b in range(len(columns) - 1):
        first, width = columns[b], columns[b + 1] - columns[b]
        for i in range(width):
            total = 0.0
            for j in range(width):
                total += matrices[b, i, j] * x[first + j]
            y[first + i] = total


@njit(nogil=True)
def fill_band(indptr, indices, data, position, band, border, corner):
    """Sort the elements into a band and its border.

    Unknown i goes to `position[i]`: within the band (n, width + 1), row by row up to the diagonal in its last column,
    or behind that, in `border` (n, m) and the lower triangle of `corner` (m, m). All are written over.
    """
    n, width = band.shape[0], band.shape[1] - 1
    band[:] = 0.0
    border[:] = 0.0
    corner[:] = 0.0
    for i in range(len(position)):
        for k in range(indptr[i], indptr[i + 1]):
            if indices[k] > i:
                continue
            p, q = position[i], position[indices[k]]
            row, column = max(p, q), min(p, q)
            if row < n:
                band[row, width - row + column] = data[k]
            elif column < n:
                border[column, row - n] = data[k]
            else:
                corner[row - n, column - n] = data[k]
