"""Similarity that takes one set of points to another: the least sum of w_i |s R x_i + t - y_i|^2, s > 0.

With centred points, `sum w y x^T = U D V^T` gives `R = U S V^T`, `S = diag(1, 1, det(U V^T))`, and
`s = trace(D S) / sum w |x|^2`. Umeyama: Least-squares estimation of transformation parameters between two
point patterns, 1991. Robust: RANSAC over samples of three with a truncated quadratic score (MSAC), then
Umeyama on the inliers until they stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry.sim3 import Sim3

_COLLINEAR = 1e-9  # second singular value of the centred points over the first
_SAMPLE_COLLINEAR = 1e-3  # the same for a minimal sample, whose noise it would amplify
_CONFIDENCE = 1 - 1e-6
_MAX_SAMPLES = 10_000
_BATCH = 64
_MAX_REFINEMENTS = 20


@dataclass(frozen=True)
class SimilarityFit:
    """Result of `umeyama_robust`."""

    transform: Sim3  # target = transform.act(source)
    inliers: np.ndarray  # (N,) bool, residual at most max_error
    residuals: np.ndarray  # (N,) float64, distances in the units of the target


def umeyama(
    source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None, with_scale: bool = True
) -> Sim3:
    """Least-squares similarity (or rigid motion) with `target = transform.act(source)`.

    Parameters
    ----------
    source, target : (N, 3)
        Corresponding points, N >= 3, neither set on one line.
    weights : (N,), optional
        Of the squared distances; not negative; one each by default.
    with_scale : bool
        Estimate the scale too; else it is 1.

    Returns
    -------
    Sim3
        Always a rotation, never a reflection: of mirrored sets, the best that a rotation can do.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite, there are fewer than three points (with a weight above
        0) or they lie on one line, so that the rotation is not determined.

    References
    ----------
    Umeyama. IEEE Transactions on Pattern Analysis and Machine Intelligence 13 (4), 1991.

    Examples
    --------
    >>> import numpy as np
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    >>> fit = umeyama(corners, 2 * corners + [5, 0, 0])
    >>> round(float(fit.scale), 9), np.round(fit.translation, 9).tolist()
    (2.0, [5.0, 0.0, 0.0])
    """
    x, y = _pairs(source, target)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(x),) or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError(f"weights: expected {len(x)} finite numbers, none negative, got shape {w.shape}")
    x, y, w = x[w > 0], y[w > 0], w[w > 0]
    if len(x) < 3:
        raise ValueError(f"source and target: expected at least 3 points with a weight above 0, got {len(x)}")
    for name, points in (("source", x), ("target", y)):
        if _thickness(points) <= _COLLINEAR + _rounding(points):
            raise ValueError(
                f"{name}: the points lie on one line or in one place; the rotation is not determined"
            )
    scale, rotation, translation = _fit(x[None], y[None], w / w.sum(), with_scale)
    return Sim3(scale[0], rotation[0], translation[0])


def umeyama_robust(
    source: ArrayLike, target: ArrayLike, max_error: float, seed: int = 0, with_scale: bool = True
) -> SimilarityFit:
    """Similarity with `target = transform.act(source)` for pairs of which some are wrong.

    Parameters
    ----------
    source, target : (N, 3)
        Corresponding points, N >= 3.
    max_error : float
        Largest distance of an inlier, in the units of the target; positive.
    seed : int
        Of the samples; the same seed gives the same result.
    with_scale : bool
        Estimate the scale too; else it is 1.

    Returns
    -------
    SimilarityFit
        Transform, inliers and residuals.

    Raises
    ------
    ValueError
        As `umeyama`; also if `max_error` is not positive, or no sample of three points that agree was found.

    References
    ----------
    Torr, Zisserman: MLESAC. Computer Vision and Image Understanding 78, 2000 (the MSAC score).
    """
    x, y = _pairs(source, target)
    if not max_error > 0:
        raise ValueError(f"max_error: expected a positive distance in the units of target, got {max_error}")
    rng = np.random.default_rng(seed)
    best_cost, best, drawn, needed = np.inf, None, 0, _MAX_SAMPLES
    while drawn < needed:
        sample = _draw_triples(rng, len(x))
        drawn += _BATCH
        spread = np.minimum(_thickness(x[sample]), _thickness(y[sample]))
        sample = sample[spread > _SAMPLE_COLLINEAR]
        if len(sample) == 0:
            continue
        models = _fit(x[sample], y[sample], np.full(3, 1 / 3), with_scale)
        squared = _squared_residuals(models, x, y)
        costs = np.minimum(squared, max_error**2).sum(-1)
        winner = int(np.argmin(costs))
        if costs[winner] < best_cost:
            best_cost, best = costs[winner], tuple(part[winner] for part in models)
            ratio = np.mean(squared[winner] <= max_error**2)
            needed = min(_MAX_SAMPLES, _samples_needed(float(ratio)))
    if best is None:
        raise ValueError(
            f"source and target: among the {len(x)} pairs no three points off one line were found; "
            "the rotation is not determined"
        )
    return _refine(Sim3(*best), x, y, max_error, with_scale)


def _refine(
    transform: Sim3, x: np.ndarray, y: np.ndarray, max_error: float, with_scale: bool
) -> SimilarityFit:
    """Umeyama on the inliers until they stay the same."""
    residuals = np.linalg.norm(transform.act(x) - y, axis=-1)
    inliers = residuals <= max_error
    if inliers.sum() < 3:
        raise ValueError(
            f"source and target: no three of the {len(x)} pairs agree within max_error = {max_error:g}; "
            "raise it, or check the order of the points and the units"
        )
    for _ in range(_MAX_REFINEMENTS):
        transform = umeyama(x[inliers], y[inliers], with_scale=with_scale)
        residuals = np.linalg.norm(transform.act(x) - y, axis=-1)
        before, inliers = inliers, residuals <= max_error
        if (inliers == before).all() or inliers.sum() < 3:
            break
    return SimilarityFit(transform, inliers, residuals)


def _fit(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, with_scale: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scales, rotations, translations of B problems at once: points (B, N, 3), weights (N,) of sum 1."""
    mean_x, mean_y = np.einsum("n,bni->bi", w, x), np.einsum("n,bni->bi", w, y)
    dx, dy = x - mean_x[:, None], y - mean_y[:, None]
    u, d, vt = np.linalg.svd(np.einsum("n,bni,bnj->bij", w, dy, dx))
    sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    u[:, :, 2] *= sign[:, None]
    rotation = u @ vt
    scale = np.ones(len(x))
    if with_scale:
        scale = (d[:, 0] + d[:, 1] + sign * d[:, 2]) / np.einsum("n,bni,bni->b", w, dx, dx)
    return scale, rotation, mean_y - scale[:, None] * np.einsum("bij,bj->bi", rotation, mean_x)


def _squared_residuals(
    models: tuple[np.ndarray, np.ndarray, np.ndarray], x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """(B, N) squared distances of B models at N pairs."""
    scale, rotation, translation = models
    moved = x @ np.swapaxes(scale[:, None, None] * rotation, 1, 2) + translation[:, None]
    return np.sum((moved - y) ** 2, -1)


def _draw_triples(rng: np.random.Generator, count: int) -> np.ndarray:
    """(B, 3) rows, three different ones each, every triple as likely."""
    first = rng.integers(count, size=_BATCH)
    second = rng.integers(count - 1, size=_BATCH)
    second += second >= first
    third = rng.integers(count - 2, size=_BATCH)
    third += third >= np.minimum(first, second)
    third += third >= np.maximum(first, second)
    return np.stack([first, second, third], -1)


def _samples_needed(inlier_ratio: float) -> int:
    """Samples after which three inliers have been drawn with the wanted confidence."""
    good = inlier_ratio**3
    if good >= 1:
        return 0
    return int(np.ceil(np.log(1 - _CONFIDENCE) / np.log1p(-good))) if good > 0 else _MAX_SAMPLES


def _thickness(points: np.ndarray) -> np.ndarray:
    """(...) second singular value over the first of centred points (..., N, 3); 0 for points in one place."""
    singular = np.linalg.svd(points - points.mean(-2, keepdims=True), compute_uv=False)
    return singular[..., 1] / np.where(singular[..., 0] > 0, singular[..., 0], 1.0)


def _rounding(points: np.ndarray) -> float:
    """Thickness that float64 rounding alone can give to a line so far from the origin."""
    spread = np.abs(points - points.mean(0)).max()
    return 8 * np.finfo(np.float64).eps * np.abs(points).max() / spread if spread > 0 else 0.0


def _pairs(source: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if x.ndim != 2 or x.shape[-1] != 3 or x.shape != y.shape:
        raise ValueError(f"source and target: expected the same shape (N, 3), got {x.shape} and {y.shape}")
    if len(x) < 3:
        raise ValueError(f"source and target: expected at least 3 points, got {len(x)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("source and target: expected finite numbers, got NaN or infinity")
    return x, y
