"""Best and second-best neighbour of every descriptor in both directions, in one sweep over the similarity
matrix.

`S = A @ B.T` is made in blocks that stay in the cache (float32 sgemm; the products of uint8 descriptors are
integers below 2^24, so every sum is exact and the result does not depend on the BLAS). Each block is scanned
once, for its rows and for its columns. Equal similarities: the lowest index wins.
"""

import numpy as np

from geo3d.util.jit import njit

_ROWS, _COLUMNS, _LANE = 256, 1024, 32


@njit(nogil=True, fastmath=True)
def top_two_both(
    a: np.ndarray,  # (N, 128) float32
    b: np.ndarray,  # (M, 128) float32
    row_best: np.ndarray,  # (N,) float32, best similarity of each row of a; -1 where b is empty
    row_second: np.ndarray,  # (N,) float32
    row_index: np.ndarray,  # (N,) int32, the row of b that gives it; -1 where b is empty
    column_best: np.ndarray,  # (M,) the same for the rows of b
    column_second: np.ndarray,
    column_index: np.ndarray,
) -> None:
    row_best[:] = -1
    row_second[:] = -1
    row_index[:] = -1
    column_best[:] = -1
    column_second[:] = -1
    column_index[:] = -1
    for i0 in range(0, len(a), _ROWS):
        i1 = min(i0 + _ROWS, len(a))
        for j0 in range(0, len(b), _COLUMNS):
            j1 = min(j0 + _COLUMNS, len(b))
            block = np.dot(a[i0:i1], b[j0:j1].T)
            for i in range(i0, i1):
                s = block[i - i0]
                best, second, index = row_best[i], row_second[i], row_index[i]
                for k0 in range(0, j1 - j0, _LANE):
                    k1 = min(k0 + _LANE, j1 - j0)
                    largest = np.float32(-1)
                    for k in range(k0, k1):
                        largest = max(largest, s[k])
                        t = s[k]
                        j = j0 + k
                        c = column_best[j]
                        column_second[j] = max(column_second[j], min(c, t))
                        column_index[j] = i if t > c else column_index[j]
                        column_best[j] = max(c, t)
                    if largest > second:
                        for k in range(k0, k1):
                            t = s[k]
                            if t > best:
                                second, best, index = best, t, j0 + k
                            elif t > second:
                                second = t
                row_best[i], row_second[i], row_index[i] = best, second, index
