"""RANSAC, written once. It knows no geometry: an estimator gives it the verbs of `Estimator`.

Models are drawn and scored in batches, so that Python costs little beside the compiled verbs:

    draw samples (B, m) -> solve -> costs (stopping early above the best so far) -> locally optimise the best
    -> stop when a better one has become improbable.

Costs are sums of `rho((r / max_error)^2)` over all data (see `scores`), in [0, N]; lower is better. Everything is
decided by `seed`. The adaptive stop asks that one all-inlier sample be drawn with probability `confidence`
(Fischler and Bolles 1981); the local optimisation is that of Chum, Matas and Kittler 2003, with iteratively
reweighted least squares as its inner step; the order of PROSAC is Chum and Matas, CVPR 2005.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, log1p
from typing import Literal, Protocol

import numpy as np

from geo3d.estimation.checks import EstimationError
from geo3d.estimation.scores import SCORES

_FIRST_BATCH, _LARGEST_BATCH = 32, 256
_TIGHT = 3.0  # thresholds in standard deviations of the inliers' residuals, for the last refinement


@dataclass(frozen=True)
class RansacOptions:
    """How to look for a model among outliers.

    Attributes
    ----------
    max_error_px : float
        Residual in pixels at which a correspondence is an outlier. With the MAGSAC++ score this is where its weight
        vanishes (3.6 times the largest noise considered).
    confidence : float
        Probability of having drawn an all-inlier sample at the adaptive stop.
    min_iterations, max_iterations : int
        Bounds on the number of samples drawn.
    score : {"magsac", "msac"}
    local_optimization : bool
        Refine each new best model on all data; without it only the final one is refined.
    prosac : bool
        The correspondences are sorted, best first (as by match distance): draw from the first ones first.
    seed : int
        Not negative; the same seed gives the same result.
    """

    max_error_px: float = 4.0
    confidence: float = 0.9999
    min_iterations: int = 100
    max_iterations: int = 10000
    score: Literal["magsac", "msac"] = "magsac"
    local_optimization: bool = True
    prosac: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.max_error_px > 0 and np.isfinite(self.max_error_px)):
            raise ValueError(f"max_error_px: expected a positive number of pixels, got {self.max_error_px}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence: expected a probability between 0 and 1, got {self.confidence}")
        if not 0 <= self.min_iterations <= self.max_iterations or self.max_iterations < 1:
            raise ValueError(
                "min_iterations, max_iterations: expected 0 <= min <= max and max >= 1, got "
                f"{self.min_iterations} and {self.max_iterations}"
            )
        if self.score not in SCORES:
            raise ValueError(f"score: expected one of {sorted(SCORES)}, got {self.score!r}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a whole number that is not negative, got {self.seed}")


class Estimator(Protocol):
    """The verbs of a problem. Models are rows of an array; `data` of N rows is held by the estimator."""

    sample_size: int
    size: int  # N

    def solve(self, samples: np.ndarray) -> np.ndarray:
        """Models (K, P) of the minimal samples (B, sample_size)."""
        ...

    def costs(self, models: np.ndarray, bound: float) -> np.ndarray:
        """Costs (K,) of the models; any number above `bound` for those known to be worse than it."""
        ...

    def squared_residuals(self, model: np.ndarray) -> np.ndarray:
        """(N,) squared residuals in units of the threshold: below 1 is an inlier."""
        ...

    def refine(self, model: np.ndarray, iterations: int, tightness: float = 1.0) -> np.ndarray:
        """The model after reweighted least squares on all data, with the threshold times `tightness`; its cost at
        that threshold is never higher."""
        ...

    def escapes(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Further models (K, P) to try where this best one may rest on degenerate data; none for most problems."""
        ...


@dataclass(frozen=True)
class RansacResult:
    """The best model found, its cost, and the samples drawn."""

    model: np.ndarray  # (P,)
    cost: float
    inliers: np.ndarray  # (N,) bool
    iterations: int


def ransac(estimator: Estimator, options: RansacOptions) -> RansacResult:
    """The model of least cost.

    Raises
    ------
    EstimationError
        If no sample gave a model that more data agree with than its own sample.
    """
    rng = np.random.default_rng(options.seed)
    best_model, best_cost, best_sampled = None, float(estimator.size), float(estimator.size)
    drawn, needed = 0, options.max_iterations
    for pools in _batches(estimator, options):
        models = estimator.solve(draw_samples(rng, pools, estimator.sample_size))
        drawn += len(pools)
        if len(models):
            costs = estimator.costs(models, best_sampled)
            k = int(np.argmin(costs))
            if costs[k] < best_sampled:
                best_sampled = float(costs[k])
                model, cost = models[k], best_sampled
                if options.local_optimization:
                    model, cost = _refined(estimator, model, 5)
                    others = estimator.escapes(model, rng)
                    if len(others):
                        costs = estimator.costs(others, cost)
                        if costs.min() < cost:
                            model, cost = _refined(estimator, others[int(np.argmin(costs))], 5)
                if cost < best_cost:
                    best_model, best_cost = model, cost
                    inliers = int(np.count_nonzero(estimator.squared_residuals(model) < 1))
                    needed = samples_needed(
                        inliers / estimator.size, estimator.sample_size, options.confidence
                    )
        if drawn >= max(needed, options.min_iterations):
            break
    if best_model is None:
        raise EstimationError(
            f"no model found in {drawn} samples of {estimator.size} correspondences: all samples were degenerate "
            "(as with duplicate points) or none agreed with any other correspondence"
        )
    model, _ = _refined(estimator, best_model, 25)
    model = _tightened(estimator, model)
    cost = float(estimator.costs(model[None], np.inf)[0])
    inliers = estimator.squared_residuals(model) < 1
    if np.count_nonzero(inliers) < estimator.sample_size:
        raise EstimationError(
            f"no model found: the best of {drawn} samples has {np.count_nonzero(inliers)} inliers among "
            f"{estimator.size} correspondences; raise max_error_px ({options.max_error_px}) or check the matches"
        )
    return RansacResult(model, cost, inliers, drawn)


def _refined(estimator: Estimator, model: np.ndarray, iterations: int) -> tuple[np.ndarray, float]:
    refined = estimator.refine(model, iterations)
    return refined, float(estimator.costs(refined[None], np.inf)[0])


def _tightened(estimator: Estimator, model: np.ndarray) -> np.ndarray:
    """The model refined at the noise that its inliers show, where that is below the threshold.

    The threshold bounds the noise and is chosen before it is known; outliers that chance brought below a generous one
    would pull the model.
    """
    for _ in range(3):
        squared = estimator.squared_residuals(model)
        inside = squared[squared < 1]
        if len(inside) < 2 * estimator.sample_size:
            break
        tightness = max(_TIGHT * 1.4826 * float(np.sqrt(np.median(inside))), 1e-3)
        if tightness >= 1:
            break
        model = estimator.refine(model, 10, tightness)
    return model


def samples_needed(inlier_ratio: float, sample_size: int, confidence: float) -> int:
    """Samples after which one of only inliers has been drawn with that confidence."""
    good = inlier_ratio**sample_size
    if good >= 1.0 - 1e-12:
        return 1
    if good < 1e-12:
        return 2**62
    return int(np.ceil(log(1.0 - confidence) / log1p(-good)))


def _batches(estimator: Estimator, options: RansacOptions) -> Iterator[np.ndarray]:
    """For each batch the number of first rows (B,) that each of its samples may be drawn from; negative for PROSAC's
    samples, which hold the last of these rows."""
    if estimator.size < estimator.sample_size:
        return
    start, batch = 0, _FIRST_BATCH
    growth = prosac_growth(estimator.size, estimator.sample_size) if options.prosac else None
    while start < options.max_iterations:
        end = min(start + batch, options.max_iterations)
        if growth is None:
            yield np.full(end - start, estimator.size)
        else:
            pools = np.searchsorted(growth, np.arange(start + 1, end + 1)) + estimator.sample_size
            yield np.where(pools < estimator.size, -pools, estimator.size)
        start, batch = end, min(2 * batch, _LARGEST_BATCH)


def prosac_growth(size: int, sample_size: int, total: int = 200_000) -> np.ndarray:
    """For n = sample_size ... size: the number of samples after which PROSAC goes on to the first n + 1 rows.

    Equation 3 of Chum and Matas 2005, with T_N = `total` samples after which PROSAC equals uniform drawing.
    """
    n = np.arange(sample_size, size)
    average = float(total) * np.prod([(sample_size - i) / (size - i) for i in range(sample_size)])
    growth = average * np.concatenate([[1.0], np.cumprod((n + 1) / (n + 1 - sample_size))])
    steps = np.ceil(np.diff(growth))
    return np.concatenate([[1.0], 1.0 + np.cumsum(steps)])


def draw_samples(rng: np.random.Generator, pools: np.ndarray, size: int) -> np.ndarray:
    """Samples (B, size) of distinct rows, uniform among the first `pools[b]` (Floyd's algorithm).

    Where `pools[b]` is negative the sample holds row `-pools[b] - 1` and rows before it.
    """
    samples = np.empty((len(pools), size), np.int64)
    count = np.where(pools < 0, -pools - 1, pools)
    free = np.where(pools < 0, size - 1, size)
    for i in range(size):
        top = count - free + i
        drawn = rng.integers(0, np.maximum(top, 0) + 1)
        taken = (samples[:, :i] == drawn[:, None]).any(axis=1)
        samples[:, i] = np.where(taken, top, drawn)
    samples[:, -1] = np.where(pools < 0, -pools - 1, samples[:, -1])
    return samples
