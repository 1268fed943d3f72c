"""Kernels of the Schur complement: points (three parameters each) eliminated from normal equations.

    [ U   W ] [dc]     [gc]      S = U - W V^-1 W^T,   S dc = -(gc - W V^-1 gp)
    [ W^T V ] [dp] = - [gp]      dp = -V^-1 (gp + W^T dc)

V is block diagonal, so that with its Cholesky factors `V_p = C_p C_p^T` and `B = W C^-T` each point adds the rank-3
product `B B^T` to the camera side. W is kept as entries: one (point, block of columns) each, three rows of `lanes`
doubles, `lanes` being the widest block rounded up to 8 so that inner loops have a fixed length and become vector
instructions; the surplus is zero. Entries are sorted by point, then block.

Each row of S is made by one call, from the entries in their order: threads share no sums, and the result does not
depend on their number. Rows are made in groups that fit the cache.
"""

import numpy as np

from geo3d.optim.least_squares import MAX_DIAGONAL, MIN_DIAGONAL
from geo3d.optim.simd import rank3_subtract
from geo3d.util.jit import njit

_SINGULAR = 1e-14  # a pivot below this fraction of its diagonal: the point does not move in that direction


@njit(nogil=True, inline="always")
def clip_diagonal(value):
    return min(max(value, MIN_DIAGONAL), MAX_DIAGONAL)


@njit(nogil=True, error_model="numpy")
def _factor_point(damping, v00, v10, v11, v20, v21, v22):
    """Cholesky factor 00, 10, 11, 20, 21, 22 of `V + damping D`; see `eliminate`."""
    v00 += damping * clip_diagonal(v00)
    v11 += damping * clip_diagonal(v11)
    v22 += damping * clip_diagonal(v22)
    i00 = 1.0 / np.sqrt(v00)
    c10 = v10 * i00
    c20 = v20 * i00
    d1 = v11 - c10 * c10
    i11 = 1.0 / np.sqrt(d1) if d1 > _SINGULAR * v11 else 0.0
    c21 = (v21 - c20 * c10) * i11
    d2 = v22 - c20 * c20 - c21 * c21
    i22 = 1.0 / np.sqrt(d2) if d2 > _SINGULAR * v22 else 0.0
    return i00, c10, i11, c20, c21, i22


@njit(nogil=True, error_model="numpy")
def solve_point(damping, v00, v10, v11, v20, v21, v22, g0, g1, g2):
    """`(-g.d, d0, d1, d2)` for the step d of one point by itself, from its V and gradient."""
    i00, c10, i11, c20, c21, i22 = _factor_point(damping, v00, v10, v11, v20, v21, v22)
    h0 = g0 * i00
    h1 = (g1 - c10 * h0) * i11
    h2 = (g2 - c20 * h0 - c21 * h1) * i22
    d2 = -h2 * i22
    d1 = (-h1 - c21 * d2) * i11
    d0 = (-h0 - c10 * d1 - c20 * d2) * i00
    return h0 * h0 + h1 * h1 + h2 * h2, d0, d1, d2


@njit(nogil=True, error_model="numpy")
def eliminate(first, last, damping, V, gp, W, point_entries, factor, h, B):
    """Factor `V_p + damping D_p` of points first..last; `B = W C^-T` (E, 3, lanes), `h = C^-1 gp` (P, 3).

    V (P, 6) and factor (P, 6) hold 00, 10, 11, 20, 21, 22 of symmetric and lower matrices; the factor's diagonal
    is inverted, and zero for directions that have no information.
    """
    lanes = W.shape[2]
    for p in range(first, last):
        i00, c10, i11, c20, c21, i22 = _factor_point(
            damping, V[p, 0], V[p, 1], V[p, 2], V[p, 3], V[p, 4], V[p, 5]
        )
        factor[p, 0], factor[p, 1], factor[p, 2] = i00, c10, i11
        factor[p, 3], factor[p, 4], factor[p, 5] = c20, c21, i22
        h0 = gp[p, 0] * i00
        h1 = (gp[p, 1] - c10 * h0) * i11
        h[p, 0], h[p, 1], h[p, 2] = h0, h1, (gp[p, 2] - c20 * h0 - c21 * h1) * i22
        for e in range(point_entries[p], point_entries[p + 1]):
            for j in range(lanes):
                b0 = W[e, 0, j] * i00
                b1 = (W[e, 1, j] - c10 * b0) * i11
                B[e, 0, j] = b0
                B[e, 1, j] = b1
                B[e, 2, j] = (W[e, 2, j] - c20 * b0 - c21 * b1) * i22


@njit(nogil=True, error_model="numpy")
def reduce_rows(
    first, last, damping, columns, U, cross_block, cross, gc, B, h, point_entries, entry_point, entry_block,
    group_blocks, group_offsets, group_entries, pattern_offsets, pattern_blocks, pattern_start, pattern_stride,
    S, rhs,
):  # fmt: skip
    """Rows of the groups of blocks first..last of the reduced system: lower triangle of S (see `Pattern`), and rhs.

    U (blocks, lanes, lanes) is the camera side's block diagonal; block b couples directly with block
    `cross_block[b]` < b (or -1) by `cross[b]`, rows of b. gc (blocks, lanes). Group g has the blocks from
    `group_blocks[g]` to the next, and their entries, point by point, from `group_offsets[g]` of `group_entries`.
    """
    lanes = U.shape[1]
    B_flat = B.reshape(-1)
    size = lanes * np.max(np.diff(columns))
    for g in range(first, last):
        # The group's rows of blocks side by side, in whole vectors. They stay in the cache while the points pass.
        b0, b1 = group_blocks[g], group_blocks[g + 1]
        start = pattern_offsets[b0]
        panel = np.zeros(size * (pattern_offsets[b1] - start))
        place = np.empty((b1 - b0, len(columns) - 1), np.int32)
        sums = np.zeros((b1 - b0, lanes))
        for b in range(b0, b1):
            for k in range(pattern_offsets[b], pattern_offsets[b + 1]):
                place[b - b0, pattern_blocks[k]] = k - start
            for j in range(lanes):
                sums[b - b0, j] = gc[b, j]
        for k in range(group_offsets[g], group_offsets[g + 1]):
            e = group_entries[k]
            p, b = entry_point[e], entry_block[e]
            width = columns[b + 1] - columns[b]
            h0, h1, h2 = h[p, 0], h[p, 1], h[p, 2]
            for j in range(lanes):
                sums[b - b0, j] -= B[e, 0, j] * h0 + B[e, 1, j] * h1 + B[e, 2, j] * h2
            left = 3 * lanes * e
            for f in range(point_entries[p], e + 1):
                at = size * place[b - b0, entry_block[f]]
                rank3_subtract(
                    panel, at, lanes, width, lanes, B_flat, left, lanes, B_flat, 3 * lanes * f, lanes
                )
        for b in range(b0, b1):
            width = columns[b + 1] - columns[b]
            if cross_block[b] >= 0:
                at = size * place[b - b0, cross_block[b]]
                for i in range(lanes * width):
                    panel[at + i] += cross[b, i // lanes, i % lanes]
            diagonal = pattern_offsets[b + 1] - 1
            for k in range(pattern_offsets[b], diagonal):
                block_width = columns[pattern_blocks[k] + 1] - columns[pattern_blocks[k]]
                for i in range(width):
                    at, source = pattern_start[k] + i * pattern_stride[k], size * (k - start) + lanes * i
                    for j in range(block_width):
                        S[at + j] = panel[source + j]
            for i in range(width):
                at = pattern_start[diagonal] + i * pattern_stride[diagonal]
                source = size * (diagonal - start) + lanes * i
                for j in range(i + 1):
                    S[at + j] = panel[source + j] + U[b, i, j]
                S[at + i] += damping * clip_diagonal(U[b, i, i])
                rhs[columns[b] + i] = -sums[b - b0, i]


@njit(nogil=True, error_model="numpy")
def back_substitute(
    first, last, damping, V, gp, factor, h, B, point_entries, entry_block, columns, dc, dp,
):  # fmt: skip
    """Steps dp (P, 3) of points first..last given dc (n + lanes,), zero beyond n.

    Returns the points' part of `damping d.D.d - g.d` and of `|d|^2`.
    """
    lanes = B.shape[2]
    model = 0.0
    squared = 0.0
    for p in range(first, last):
        y0, y1, y2 = -h[p, 0], -h[p, 1], -h[p, 2]
        for e in range(point_entries[p], point_entries[p + 1]):
            column = columns[entry_block[e]]
            for j in range(lanes):
                d = dc[column + j]
                y0 -= B[e, 0, j] * d
                y1 -= B[e, 1, j] * d
                y2 -= B[e, 2, j] * d
        d2 = y2 * factor[p, 5]
        d1 = (y1 - factor[p, 4] * d2) * factor[p, 2]
        d0 = (y0 - factor[p, 1] * d1 - factor[p, 3] * d2) * factor[p, 0]
        dp[p, 0], dp[p, 1], dp[p, 2] = d0, d1, d2
        a0, a1, a2 = (
            damping * clip_diagonal(V[p, 0]),
            damping * clip_diagonal(V[p, 2]),
            damping * clip_diagonal(V[p, 5]),
        )
        model += a0 * d0 * d0 + a1 * d1 * d1 + a2 * d2 * d2 - gp[p, 0] * d0 - gp[p, 1] * d1 - gp[p, 2] * d2
        squared += d0 * d0 + d1 * d1 + d2 * d2
    return model, squared


@njit(nogil=True, error_model="numpy")
def point_covariances(first, last, factor, B, point_entries, entry_block, columns, dense, result):
    """Covariances (P, 3, 3) of points first..last, `C^-T (I + B^T dense B) C^-1`, `dense` being that of the others."""
    inverse, M, product = np.zeros((3, 3)), np.empty((3, 3)), np.empty((3, B.shape[2]))
    for p in range(first, last):
        for a in range(3):
            for b in range(3):
                M[a, b] = 1.0 if a == b else 0.0
        for e in range(point_entries[p], point_entries[p + 1]):
            row, rows = columns[entry_block[e]], columns[entry_block[e] + 1] - columns[entry_block[e]]
            for f in range(point_entries[p], e + 1):
                column, width = columns[entry_block[f]], columns[entry_block[f] + 1] - columns[entry_block[f]]
                for a in range(3):
                    for j in range(width):
                        product[a, j] = 0.0
                for i in range(rows):
                    b0, b1, b2 = B[e, 0, i], B[e, 1, i], B[e, 2, i]
                    for j in range(width):
                        value = dense[row + i, column + j]
                        product[0, j] += b0 * value
                        product[1, j] += b1 * value
                        product[2, j] += b2 * value
                for a in range(3):
                    for b in range(3):
                        total = 0.0
                        for j in range(width):
                            total += product[a, j] * B[f, b, j]
                        M[a, b] += total
                        if f < e:
                            M[b, a] += total
        # C^-1, lower
        inverse[0, 0], inverse[1, 1], inverse[2, 2] = factor[p, 0], factor[p, 2], factor[p, 5]
        inverse[1, 0] = -factor[p, 1] * factor[p, 0] * factor[p, 2]
        inverse[2, 1] = -factor[p, 4] * factor[p, 2] * factor[p, 5]
        inverse[2, 0] = -(factor[p, 3] * inverse[0, 0] + factor[p, 4] * inverse[1, 0]) * factor[p, 5]
        for a in range(3):
            for b in range(3):
                result[p, a, b] = 0.0
                for i in range(3):
                    for j in range(3):
                        result[p, a, b] += inverse[i, a] * M[i, j] * inverse[j, b]


@njit(nogil=True)
def order_by_group(entry_block, point_entries, group_blocks):
    """Index of the entries by group of blocks: `(offsets (groups + 1,), entries (E,), entry_point (E,), pairs)`.

    `pairs` (groups + 1,) is the cumulative number of block products that the rows of each group take.
    """
    groups = len(group_blocks) - 1
    of_block = np.empty(group_blocks[-1], np.int64)
    for g in range(groups):
        of_block[group_blocks[g] : group_blocks[g + 1]] = g
    offsets = np.zeros(groups + 1, np.int64)
    pairs = np.zeros(groups + 1, np.int64)
    entry_point = np.empty(len(entry_block), np.int64)
    for p in range(len(point_entries) - 1):
        for e in range(point_entries[p], point_entries[p + 1]):
            entry_point[e] = p
            g = of_block[entry_block[e]]
            offsets[g + 1] += 1
            pairs[g + 1] += e - point_entries[p] + 1
    offsets = np.cumsum(offsets)
    following = offsets[:-1].copy()
    entries = np.empty(len(entry_block), np.int64)
    for e in range(len(entry_block)):
        g = of_block[entry_block[e]]
        entries[following[g]] = e
        following[g] += 1
    return offsets, entries, entry_point, np.cumsum(pairs)
