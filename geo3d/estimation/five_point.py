"""Five-point essential matrix. Solves `d2^T E d1 = 0` with `2 E E^T E = trace(E E^T) E` and `det E = 0`.

`d1`, `d2` (5, 3) are bearings (any field of view); `E = [t]x R` for `x2 = R x1 + t`. Up to ten solutions.

Nister, "An efficient solution to the five-point relative pose problem", PAMI 2004: the null space of the five linear
equations is `E = x X + y Y + z Z + W`; Gauss-Jordan elimination of the ten cubic constraints leaves a 3x3 matrix of
polynomials in z, whose determinant has degree ten. Its real roots come from a Sturm chain.

`five_point` is the compiled kernel of one sample, `five_point_poses` the batch that RANSAC calls (with cheirality in
the sample), `five_point_reference` the same in NumPy, through an eigenvalue problem.
"""

import itertools

import numpy as np

from geo3d.estimation.checks import check_bearings
from geo3d.estimation.essential import pose_in_front
from geo3d.estimation.polynomials import MAX_DEGREE, real_roots
from geo3d.estimation.small_linalg import null_space9
from geo3d.util.jit import njit

# Products of monomials in (x, y, z, 1). Quadratics are xx xy xz x yy yz y zz z 1, cubics in Nister's order.
_QUADRATIC = [tuple(sorted(p)) for p in itertools.combinations_with_replacement(range(4), 2)]
_CUBIC_ORDER = "xxx yyy xxy xyy xxz xx1 yyz yy1 xyz xy1 xzz xz1 x11 yzz yz1 y11 zzz zz1 z11 111"
_CUBIC = [tuple(sorted("xyz1".index(letter) for letter in m)) for m in _CUBIC_ORDER.split()]
_LINEAR_TIMES_LINEAR = np.array(
    [[_QUADRATIC.index(tuple(sorted((a, b)))) for b in range(4)] for a in range(4)]
)
_QUADRATIC_TIMES_LINEAR = np.array(
    [[_CUBIC.index(tuple(sorted((*q, b)))) for b in range(4)] for q in _QUADRATIC]
)
_TRANSPOSE_PAIR = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])  # of a symmetric 3x3 matrix kept as six entries


@njit(nogil=True)
def _constraints(basis, square, cubic, m):
    """The ten cubics (10, 20): det E and the nine entries of (E E^T - trace(E E^T)/2) E."""
    for i in range(3):
        for j in range(i, 3):
            e = _TRANSPOSE_PAIR[i, j]
            for q in range(10):
                square[e, q] = 0.0
            for k in range(3):
                for a in range(4):
                    for b in range(4):
                        square[e, _LINEAR_TIMES_LINEAR[a, b]] += basis[a, 3 * i + k] * basis[b, 3 * j + k]
    for q in range(10):
        half = 0.5 * (square[0, q] + square[3, q] + square[5, q])
        square[0, q] -= half
        square[3, q] -= half
        square[5, q] -= half
    for i in range(3):
        for j in range(3):
            row = 3 * i + j
            for c in range(20):
                m[row, c] = 0.0
            for k in range(3):
                e = _TRANSPOSE_PAIR[i, k]
                for q in range(10):
                    for b in range(4):
                        m[row, _QUADRATIC_TIMES_LINEAR[q, b]] += square[e, q] * basis[b, 3 * k + j]
    for c in range(20):
        m[9, c] = 0.0
    for j in range(3):
        p, q = (j + 1) % 3, (j + 2) % 3
        for c in range(10):
            cubic[c] = 0.0
        for a in range(4):
            for b in range(4):
                minor = basis[a, 3 + p] * basis[b, 6 + q] - basis[a, 3 + q] * basis[b, 6 + p]
                cubic[_LINEAR_TIMES_LINEAR[a, b]] += minor
        for c in range(10):
            for b in range(4):
                m[9, _QUADRATIC_TIMES_LINEAR[c, b]] += cubic[c] * basis[b, j]


@njit(nogil=True)
def _eliminate(m):
    """Gauss-Jordan with row pivots; afterwards rows 4 to 9 are reduced: [0 I] in the columns 4 to 9."""
    for k in range(10):
        pivot = k
        for r in range(k + 1, 10):
            if abs(m[r, k]) > abs(m[pivot, k]):
                pivot = r
        if not abs(m[pivot, k]) > 1e-14:
            return False
        if pivot != k:
            for c in range(k, 20):
                m[k, c], m[pivot, c] = m[pivot, c], m[k, c]
        inverse = 1.0 / m[k, k]
        for c in range(k + 1, 20):
            m[k, c] *= inverse
        for r in range(k + 1 if k < 4 else 4, 10):
            if r != k:
                factor = m[r, k]
                for c in range(k + 1, 20):
                    m[r, c] -= factor * m[k, c]
    return True


@njit(nogil=True)
def _hidden_variable(m, b):
    """B(z) (3, 3, 5), ascending in z, with B(z) (x, y, 1)^T = 0: rows 4 - z 5, 6 - z 7 and 8 - z 9 of `m`."""
    for i in range(3):
        upper, lower = 4 + 2 * i, 5 + 2 * i
        for j in range(3):
            first, degree = 10 + 3 * j, 2 if j < 2 else 3
            for k in range(5):
                b[i, j, k] = 0.0
            for k in range(degree + 1):  # the columns descend in powers of z
                b[i, j, k] += m[upper, first + degree - k]
                b[i, j, k + 1] -= m[lower, first + degree - k]


@njit(nogil=True)
def _determinant(b, p):
    """det B(z) in `p` (11,)."""
    minor = np.empty(7)
    for k in range(11):
        p[k] = 0.0
    for i in range(3):
        u, v = (i + 1) % 3, (i + 2) % 3
        for k in range(7):
            minor[k] = 0.0
        for k in range(4):
            for l in range(4):
                minor[k + l] += b[u, 0, k] * b[v, 1, l] - b[v, 0, k] * b[u, 1, l]
        for k in range(7):
            for l in range(5):
                p[k + l] += minor[k] * b[i, 2, l]


@njit(nogil=True)
def _solve_xy(b, z, row):
    """x and y of the null vector of B(z): the largest of the cross products of two rows. False when at infinity."""
    for i in range(3):
        for j in range(3):
            value = b[i, j, 4]
            for k in range(3, -1, -1):
                value = value * z + b[i, j, k]
            row[i, j] = value
    best, x, y = 0.0, 0.0, 0.0
    for i in range(3):
        u, v = (i + 1) % 3, (i + 2) % 3
        cx = row[u, 1] * row[v, 2] - row[u, 2] * row[v, 1]
        cy = row[u, 2] * row[v, 0] - row[u, 0] * row[v, 2]
        cz = row[u, 0] * row[v, 1] - row[u, 1] * row[v, 0]
        if abs(cz) > best:
            best, x, y = abs(cz), cx / cz, cy / cz
    return best > 0.0, x, y


@njit(nogil=True)
def _workspace():
    return (
        np.empty((9, 5)),
        np.empty((4, 9)),
        np.empty((6, 10)),
        np.empty(10),
        np.empty((10, 20)),
        np.empty((3, 3, 5)),
        np.empty(11),
        np.empty(12),
        np.empty((3, 3)),
        np.empty((MAX_DEGREE + 1, MAX_DEGREE + 1)),
        np.empty(MAX_DEGREE + 1, np.int64),
    )


@njit(nogil=True)
def five_point(d1, d2, matrices, work):
    """Write the essential matrices of five correspondences (5, 3) to `matrices` (10, 9); return how many."""
    a, basis, square, cubic, m, b, p, roots, row, chain, degrees = work
    for k in range(5):
        for i in range(3):
            for j in range(3):
                a[3 * i + j, k] = d2[k, i] * d1[k, j]
    if not null_space9(a, 5, basis):  # duplicate points
        return 0
    _constraints(basis, square, cubic, m)
    if not _eliminate(m):
        return 0
    _hidden_variable(m, b)
    _determinant(b, p)
    count = 0
    for r in range(real_roots(p, 10, roots, chain, degrees)):
        z = roots[r]
        good, x, y = _solve_xy(b, z, row)
        if not good:
            continue
        norm = np.sqrt(x * x + y * y + z * z + 1.0)
        for i in range(9):
            entry = x * basis[0, i] + y * basis[1, i] + z * basis[2, i] + basis[3, i]
            matrices[count, i] = entry * np.sqrt(2.0) / norm  # singular values 1, 1, 0
        count += 1
    return count


@njit(nogil=True)
def five_point_poses(bearings1, bearings2, samples):
    """Poses (K, 12) (R row by row, then t, unit) of the samples (B, 5), rows of the unit bearings (N, 3).

    Only poses with all five points in front of both cameras, along their rays.
    """
    work = _workspace()
    d1, d2 = np.empty((5, 3)), np.empty((5, 3))
    matrices = np.empty((10, 9))
    poses = np.empty((10 * len(samples), 12))
    count = 0
    for s in range(len(samples)):
        for p in range(5):
            for i in range(3):
                d1[p, i] = bearings1[samples[s, p], i]
                d2[p, i] = bearings2[samples[s, p], i]
        for k in range(five_point(d1, d2, matrices, work)):
            if pose_in_front(matrices[k], d1, d2, poses[count]):
                count += 1
    return poses[:count]


@njit(nogil=True)
def _five_point_once(d1, d2):
    matrices = np.empty((10, 9))
    return matrices[: five_point(d1, d2, matrices, _workspace())]


def solve_five_point(bearings1: np.ndarray, bearings2: np.ndarray) -> np.ndarray:
    """Essential matrices of five correspondences.

    Parameters
    ----------
    bearings1, bearings2 : (5, 3)
        Corresponding rays in the two cameras, of any length.

    Returns
    -------
    (K, 3, 3)
        K <= 10 matrices with singular values 1, 1, 0 and `bearings2^T E bearings1 = 0`. None where the equations
        depend on each other (duplicate points).
    """
    d1, d2 = check_bearings(bearings1, bearings2, 5, exactly=True)
    E = _five_point_once(d1, d2).reshape(-1, 3, 3)
    basis = np.linalg.svd(np.einsum("pi,pj->pij", d2, d1).reshape(5, 9))[2][5:].reshape(4, 3, 3)
    for _ in range(3):
        E = _polished(E, basis)
    return E


def _polished(E: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """A Gauss-Newton step of matrices (K, 3, 3) within the null space (4, 3, 3) towards the cubic constraints.

    The elimination loses digits where two solutions are close; in RANSAC, which refines, they do not matter.
    """
    if not len(E):
        return E
    e, b = E[:, None], basis[None]
    et, bt = e.swapaxes(2, 3), b.swapaxes(2, 3)
    trace, inner = np.sum(e * e, axis=(2, 3), keepdims=True), np.sum(e * b, axis=(2, 3), keepdims=True)
    value = (2 * e @ et @ e - trace * e).reshape(len(E), 9)
    slope = 2 * (b @ et @ e + e @ bt @ e + e @ et @ b) - 2 * inner * e - trace * b
    # The scale is free: hold it with one more row.
    rows = np.concatenate([slope.reshape(len(E), 4, 9), inner[:, :, 0]], axis=2).swapaxes(1, 2)
    step = -np.linalg.pinv(rows) @ np.concatenate([value, np.zeros((len(E), 1))], axis=1)[:, :, None]
    moved = E + np.einsum("ka,aij->kij", step[:, :, 0], basis)
    moved *= (np.sqrt(2) / np.linalg.norm(moved, axis=(1, 2)))[:, None, None]
    return np.where((np.linalg.norm(step[:, :, 0], axis=1) < 0.1)[:, None, None], moved, E)


def five_point_reference(bearings1: np.ndarray, bearings2: np.ndarray) -> np.ndarray:
    """The same as `solve_five_point`, for reading: Groebner basis by elimination, roots by an action matrix.

    Stewenius, Engels and Nister, "Recent developments on direct relative orientation", 2006.
    """
    equations = np.einsum("pi,pj->pij", bearings2, bearings1).reshape(5, 9)
    basis = np.linalg.svd(equations)[2][5:].reshape(4, 3, 3)
    # Each constraint is cubic in (x, y, z, 1): interpolate its 20 coefficients from values at 40 points.
    at = np.random.default_rng(0).normal(size=(40, 3))
    lifted = np.concatenate([at, np.ones((40, 1))], axis=1)
    monomials = np.stack([np.prod(lifted[:, m], axis=1) for m in _ACTION_ORDER], axis=1)  # (40, 20)
    E = np.einsum("na,aij->nij", lifted, basis)
    gram = E @ E.transpose(0, 2, 1)
    trace = np.trace(gram, axis1=1, axis2=2)[:, None, None]
    values = np.concatenate([(2 * gram @ E - trace * E).reshape(40, 9), np.linalg.det(E)[:, None]], axis=1)
    constraints = np.linalg.lstsq(monomials, values, rcond=None)[0].T  # (10, 20)
    rest = -np.linalg.solve(
        constraints[:, :10], constraints[:, 10:]
    )  # cubics as sums of xx xy xz yy yz zz x y z 1
    # Multiplication by x maps the ten basis monomials to: six cubics, then xx, xy, xz and x.
    action = np.zeros((10, 10))
    action[:6] = rest[:6]
    action[6, 0] = action[7, 1] = action[8, 2] = action[9, 6] = 1.0
    roots, vectors = np.linalg.eig(action)
    real = np.abs(np.imag(roots)) < 1e-9 * (1 + np.abs(roots))
    xyz1 = (vectors[6:] / vectors[9])[:, real].real
    E = np.einsum("ak,aij->kij", xyz1, basis)
    return E * (np.sqrt(2) / np.linalg.norm(E, axis=(1, 2)))[:, None, None]


# Cubics with x first (x times the six quadratics, in their order), the other cubics, then the basis of the quotient.
_ACTION_NAMES = "xxx xxy xxz xyy xyz xzz yyy yyz yzz zzz xx1 xy1 xz1 yy1 yz1 zz1 x11 y11 z11 111"
_ACTION_ORDER = [["xyz1".index(letter) for letter in m] for m in _ACTION_NAMES.split()]
