"""Triangulation of many tracks from known poses, on bearings (any field of view).

First the linear point, least in the squared distances to the rays, `sum (I - d d^T)(R X + t) = 0`; then Gauss-Newton
on the gnomonic residual `q / (d . q) - d`, `q = R X + t`, which is the angle to the observed ray (its tangent).
The robust variant tries pairs of views of a track in a fixed order, keeps the pair whose point costs least (MSAC), and
refines on its inliers.

Tracks are flat: the observations of track i are rows `offsets[i]` to `offsets[i + 1]`.
"""

from typing import NamedTuple

import numpy as np

from geo3d.estimation.checks import check_array
from geo3d.estimation.small_linalg import solve3
from geo3d.util.jit import njit

_MAX_PAIRS = 64  # pairs of views tried a track


class TriangulatedTracks(NamedTuple):
    """Points of tracks; rows that are not `ok` hold NaN."""

    points: np.ndarray  # (T, 3)
    ok: np.ndarray  # (T,) bool, at least two views, in front of all of them
    max_angle: np.ndarray  # (T,) radians, the largest angle at the point between two of its rays


class RobustTracks(NamedTuple):
    """Points of tracks and the observations that agree; tracks without a point hold NaN and no inliers."""

    points: np.ndarray  # (T, 3)
    inliers: np.ndarray  # (O,) bool


@njit(nogil=True)
def _linear(rotations, translations, view, ray, rows, count, x):
    """The point x (3,) nearest to `count` rays; `rows` are their observations."""
    a, b = np.zeros(6), np.zeros(3)
    for k in range(count):
        v, o = view[rows[k]], rows[k]
        w0, w1, w2 = 0.0, 0.0, 0.0  # the ray in the world, R^T d, and the centre, -R^T t
        c0, c1, c2 = 0.0, 0.0, 0.0
        for i in range(3):
            w0 += rotations[v, i, 0] * ray[o, i]
            w1 += rotations[v, i, 1] * ray[o, i]
            w2 += rotations[v, i, 2] * ray[o, i]
            c0 -= rotations[v, i, 0] * translations[v, i]
            c1 -= rotations[v, i, 1] * translations[v, i]
            c2 -= rotations[v, i, 2] * translations[v, i]
        along = w0 * c0 + w1 * c1 + w2 * c2
        a[0] += 1.0 - w0 * w0
        a[1] -= w0 * w1
        a[2] -= w0 * w2
        a[3] += 1.0 - w1 * w1
        a[4] -= w1 * w2
        a[5] += 1.0 - w2 * w2
        b[0] += c0 - along * w0
        b[1] += c1 - along * w1
        b[2] += c2 - along * w2
    return solve3(a, b, x)


@njit(nogil=True)
def _squared_error(rotations, translations, v, d, x):
    """Squared tangent of the angle between d and R x + t; infinite at 90 degrees and beyond."""
    q0 = (
        rotations[v, 0, 0] * x[0] + rotations[v, 0, 1] * x[1] + rotations[v, 0, 2] * x[2] + translations[v, 0]
    )
    q1 = (
        rotations[v, 1, 0] * x[0] + rotations[v, 1, 1] * x[1] + rotations[v, 1, 2] * x[2] + translations[v, 1]
    )
    q2 = (
        rotations[v, 2, 0] * x[0] + rotations[v, 2, 1] * x[1] + rotations[v, 2, 2] * x[2] + translations[v, 2]
    )
    along = d[0] * q0 + d[1] * q1 + d[2] * q2
    if not along > 0.0:
        return np.inf
    e0, e1, e2 = q0 / along - d[0], q1 / along - d[1], q2 / along - d[2]
    return e0 * e0 + e1 * e1 + e2 * e2


@njit(nogil=True)
def _refine(rotations, translations, view, ray, rows, count, x, steps):
    """Gauss-Newton steps on the sum of squared errors, each kept only when it lowers the sum; return the sum."""
    a, b, move, trial = np.empty(6), np.empty(3), np.empty(3), np.empty(3)
    cost = 0.0
    for k in range(count):
        cost += _squared_error(rotations, translations, view[rows[k]], ray[rows[k]], x)
    for _ in range(steps):
        if not cost < np.inf:
            break
        a[:] = 0.0
        b[:] = 0.0
        for k in range(count):
            v, d = view[rows[k]], ray[rows[k]]
            r = rotations[v]
            q0 = r[0, 0] * x[0] + r[0, 1] * x[1] + r[0, 2] * x[2] + translations[v, 0]
            q1 = r[1, 0] * x[0] + r[1, 1] * x[1] + r[1, 2] * x[2] + translations[v, 1]
            q2 = r[2, 0] * x[0] + r[2, 1] * x[1] + r[2, 2] * x[2] + translations[v, 2]
            inverse = 1.0 / (d[0] * q0 + d[1] * q1 + d[2] * q2)
            w0 = r[0, 0] * d[0] + r[1, 0] * d[1] + r[2, 0] * d[2]  # R^T d
            w1 = r[0, 1] * d[0] + r[1, 1] * d[1] + r[2, 1] * d[2]
            w2 = r[0, 2] * d[0] + r[1, 2] * d[1] + r[2, 2] * d[2]
            for i in range(3):
                q = (q0 if i == 0 else (q1 if i == 1 else q2)) * inverse
                e = q - d[i]
                j0 = (r[i, 0] - q * w0) * inverse
                j1 = (r[i, 1] - q * w1) * inverse
                j2 = (r[i, 2] - q * w2) * inverse
                a[0] += j0 * j0
                a[1] += j0 * j1
                a[2] += j0 * j2
                a[3] += j1 * j1
                a[4] += j1 * j2
                a[5] += j2 * j2
                b[0] -= j0 * e
                b[1] -= j1 * e
                b[2] -= j2 * e
        if not solve3(a, b, move):
            break
        for i in range(3):
            trial[i] = x[i] + move[i]
        trial_cost = 0.0
        for k in range(count):
            trial_cost += _squared_error(rotations, translations, view[rows[k]], ray[rows[k]], trial)
        if not trial_cost < cost:
            break
        gain = cost - trial_cost
        cost = trial_cost
        for i in range(3):
            x[i] = trial[i]
        if gain < 1e-9 * cost:
            break
    return cost


@njit(nogil=True)
def _to_camera(rotations, translations, v, x, out):
    """Unit vector, in the world, from x to the centre of view v. False when they coincide."""
    norm = 0.0
    for i in range(3):
        centre = 0.0
        for k in range(3):
            centre -= rotations[v, k, i] * translations[v, k]
        out[i] = centre - x[i]
        norm += out[i] * out[i]
    if not norm > 0.0:
        return False
    norm = 1.0 / np.sqrt(norm)
    for i in range(3):
        out[i] *= norm
    return True


@njit(nogil=True)
def _max_angle(rotations, translations, view, rows, count, x, directions):
    """Largest angle at x between the directions to two of the views."""
    for k in range(count):
        if not _to_camera(rotations, translations, view[rows[k]], x, directions[k]):
            return 0.0
    largest = 0.0  # of the squared chord, which is exact for small angles where the cosine is not
    for k in range(count):
        for l in range(k):
            chord = 0.0
            for i in range(3):
                chord += (directions[k, i] - directions[l, i]) ** 2
            largest = max(largest, chord)
    return 2.0 * np.arcsin(min(1.0, 0.5 * np.sqrt(largest)))


@njit(nogil=True)
def _triangulate_all(rotations, translations, offsets, view, ray, steps, points, ok, angles):
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    rows, directions = np.empty(longest, np.int64), np.empty((longest, 3))
    for i in range(len(offsets) - 1):
        count = offsets[i + 1] - offsets[i]
        for k in range(count):
            rows[k] = offsets[i] + k
        x = points[i]
        ok[i] = count >= 2 and _linear(rotations, translations, view, ray, rows, count, x)
        if ok[i]:
            ok[i] = _refine(rotations, translations, view, ray, rows, count, x, steps) < np.inf
        if ok[i]:
            angles[i] = _max_angle(rotations, translations, view, rows, count, x, directions)
        else:
            x[:] = np.nan


@njit(nogil=True)
def _robust_cost(rotations, translations, view, ray, limit, begin, end, x, bound):
    cost = 0.0
    for o in range(begin, end):
        error = _squared_error(rotations, translations, view[o], ray[o], x) / (limit[o] * limit[o])
        cost += error if error < 1.0 else 1.0  # NaN costs 1 too
        if cost >= bound:
            break
    return cost


@njit(nogil=True)
def _triangulate_robust(rotations, translations, offsets, view, ray, limit, min_angle, points, inliers):
    longest = 2
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    rows, directions = np.empty(longest, np.int64), np.empty((longest, 3))
    x, pair = np.empty(3), np.empty(2, np.int64)
    for i in range(len(offsets) - 1):
        begin, end = offsets[i], offsets[i + 1]
        n = end - begin
        best, best_cost = points[i], float(n)
        best[:] = np.nan
        tried = 0
        # Pairs by falling distance in the track, which tends to be by falling baseline, until one explains all.
        for gap in range(n - 1, 0, -1):
            for first in range(begin, end - gap):
                pair[0], pair[1] = first, first + gap
                if tried >= _MAX_PAIRS or view[pair[0]] == view[pair[1]]:
                    continue
                tried += 1
                if not _linear(rotations, translations, view, ray, pair, 2, x):
                    continue
                cost = _robust_cost(rotations, translations, view, ray, limit, begin, end, x, best_cost)
                if (
                    cost < best_cost
                    and _max_angle(rotations, translations, view, pair, 2, x, directions) >= min_angle
                ):
                    best_cost = cost
                    best[:] = x
        if np.isnan(best[0]):
            continue
        x[:] = best
        count = 0
        for _ in range(3):  # inliers, refinement, inliers ... until they stay
            before = count
            count = 0
            for o in range(begin, end):
                if _squared_error(rotations, translations, view[o], ray[o], x) < limit[o] * limit[o]:
                    rows[count] = o
                    count += 1
            if count < 2 or count == before:
                break
            _refine(rotations, translations, view, ray, rows, count, x, 10)
        count = 0
        for o in range(begin, end):
            if _squared_error(rotations, translations, view[o], ray[o], x) < limit[o] * limit[o]:
                rows[count] = o
                count += 1
        if count < 2 or _max_angle(rotations, translations, view, rows, count, x, directions) < min_angle:
            best[:] = np.nan
            continue
        best[:] = x
        for k in range(count):
            inliers[rows[k]] = True


def _checked(rotations, translations, offsets, obs_view, obs_bearing):
    rotations = np.ascontiguousarray(rotations, dtype=np.float64)
    translations = check_array("translations", translations, 3)
    if rotations.shape != (len(translations), 3, 3):
        raise ValueError(f"rotations: expected shape ({len(translations)}, 3, 3), got {rotations.shape}")
    bearings = np.ascontiguousarray(obs_bearing, dtype=np.float64)
    if bearings.ndim != 2 or bearings.shape[1] != 3:
        raise ValueError(f"obs_bearing: expected shape (O, 3), got {bearings.shape}")
    view = np.ascontiguousarray(obs_view, dtype=np.int64)
    if view.shape != (len(bearings),):
        raise ValueError(f"obs_view: expected shape ({len(bearings)},), got {view.shape}")
    if len(view) and not 0 <= view.min() <= view.max() < len(translations):
        raise ValueError(
            f"obs_view: expected rows of the {len(translations)} poses, got {view.min()} to {view.max()}"
        )
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(view):
        raise ValueError(f"offsets: expected (T + 1,) from 0 to {len(view)}, the number of observations")
    if np.any(np.diff(offsets) < 0):
        raise ValueError("offsets: expected numbers that never fall")
    return rotations, translations, offsets, view, bearings


def triangulate_tracks(
    rotations: np.ndarray,
    translations: np.ndarray,
    offsets: np.ndarray,
    obs_view: np.ndarray,
    obs_bearing: np.ndarray,
    steps: int = 5,
) -> TriangulatedTracks:
    """One point a track from all its observations, by one compiled loop.

    Parameters
    ----------
    rotations, translations : (V, 3, 3), (V, 3)
        `cam_from_world` of the views.
    offsets : (T + 1,) int
        The observations of track i are rows `offsets[i]` to `offsets[i + 1]`.
    obs_view : (O,) int
        Row of the pose.
    obs_bearing : (O, 3)
        Unit ray in the camera. A NaN makes its track not ok.
    steps : int
        Gauss-Newton steps on the angular error after the linear solution; 0 leaves it.

    Raises
    ------
    ValueError
        If the shapes or indices do not fit together.
    """
    rotations, translations, offsets, view, ray = _checked(
        rotations, translations, offsets, obs_view, obs_bearing
    )
    count = len(offsets) - 1
    points, ok, angles = np.empty((count, 3)), np.zeros(count, bool), np.zeros(count)
    _triangulate_all(rotations, translations, offsets, view, ray, steps, points, ok, angles)
    return TriangulatedTracks(points, ok, angles)


def triangulate_tracks_robust(
    rotations: np.ndarray,
    translations: np.ndarray,
    offsets: np.ndarray,
    obs_view: np.ndarray,
    obs_bearing: np.ndarray,
    max_error: float | np.ndarray,
    min_angle: float = 0.0,
) -> RobustTracks:
    """One point a track from the observations that agree, and which these are. Deterministic.

    Parameters
    ----------
    rotations, translations, offsets, obs_view, obs_bearing
        As for `triangulate_tracks`; an observation with NaN is an outlier.
    max_error : float or (O,)
        Radians at which an observation is an outlier.
    min_angle : float
        Radians; tracks whose inlier rays meet at less have no point.

    Raises
    ------
    ValueError
        If the shapes or indices do not fit together, or `max_error` is not positive.
    """
    rotations, translations, offsets, view, ray = _checked(
        rotations, translations, offsets, obs_view, obs_bearing
    )
    limit = np.ascontiguousarray(np.broadcast_to(np.asarray(max_error, dtype=np.float64), view.shape))
    if not np.all(limit > 0):
        raise ValueError("max_error: expected positive radians")
    points, inliers = np.empty((len(offsets) - 1, 3)), np.zeros(len(view), bool)
    _triangulate_robust(
        rotations, translations, offsets, view, ray, np.tan(limit), float(min_angle), points, inliers
    )
    return RobustTracks(points, inliers)
