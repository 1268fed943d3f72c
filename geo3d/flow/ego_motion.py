"""What of a flow is the camera's own motion, and what moved by itself.

The camera's motion is a fundamental matrix, or a homography where it only turned, stood still, or sees a plane. Both
are fitted to a sample of the flow, and the one with the lower criterion is taken (GRIC; Torr, "An assessment of
information criteria for motion model selection", CVPR 1997):

    sum_i min(e_i^2 / sigma^2, 2 (4 - d)) + n d log 4 + k log(4 n)

with n correspondences and their errors e: Sampson's for F (d = 3, k = 7), transfer for H (d = 2, k = 8); sigma is the
noise that the better of both shows. Then the distance of every pixel from the model is compared with that noise. What
moves along its epipolar line, as a car ahead that drives the same way, can not be told from something still in another
depth: it is seen only against a homography.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from geo3d.estimation import (
    EstimationError,
    FundamentalResult,
    HomographyResult,
    RansacOptions,
    estimate_fundamental,
    estimate_homography,
    sampson_error,
)
from geo3d.flow.checks import as_flow, same_size
from geo3d.flow.result import FlowResult
from geo3d.util.require import require

_LEAST_SIGMA_PX = 0.05
_MAD_TO_SIGMA = 1.4826
_TIGHT_SIGMAS = 5.0
_FEWEST = 100  # pixels to fit a model to

_Model = TypeVar("_Model", FundamentalResult, HomographyResult)


@dataclass(frozen=True)
class EgoMotionOptions:
    """How the camera's motion is found, and what is said to move.

    Attributes
    ----------
    samples : int
        Pixels that the models are fitted to.
    min_confidence : float
        Pixels of less confidence are not used, and do not move by themselves unless they are surrounded.
    max_error_px : float
        Distance from the model at which a pixel is an outlier to the fit, pixels.
    threshold_sigmas, threshold_px : float
        What is farther from the model than both moves: standard deviations of the flow's noise, and pixels.
    min_area_px : int
        Smaller spots that seem to move are taken for errors of the flow.
    seed : int
        Of the sample; not negative.
    """

    samples: int = 4000
    min_confidence: float = 0.1
    max_error_px: float = 2.0
    threshold_sigmas: float = 5.0
    threshold_px: float = 0.7
    min_area_px: int = 100
    seed: int = 0


@dataclass(frozen=True, eq=False)
class EgoMotion:
    """The camera's motion, and what moves besides.

    Attributes
    ----------
    model : {"homography", "fundamental"}
    matrix : (3, 3)
        H with x1 ~ H x0, or F with x1^T F x0 = 0, of pixels; Frobenius norm one.
    distance_px : (H, W) float32
        How far each pixel's flow is from the model, pixels; NaN where it is not known.
    moving : (H, W) bool
        What moves by itself.
    sigma_px : float
        Standard deviation of the flow's noise, as the pixels show it that follow the model.
    inlier_share : float
        Of the sample.
    """

    model: Literal["homography", "fundamental"]
    matrix: np.ndarray
    distance_px: np.ndarray
    moving: np.ndarray
    sigma_px: float
    inlier_share: float


def fundamental_from_flow(found: FlowResult, options: EgoMotionOptions | None = None) -> FundamentalResult:
    """The epipolar geometry that a flow shows.

    Parameters
    ----------
    found : FlowResult
    options : EgoMotionOptions, optional

    Returns
    -------
    FundamentalResult
        `inliers` and `score` are of the sample. "plane" as its degeneracy: F is one of many.

    Raises
    ------
    EstimationError
        If too few pixels are known, nothing moves, or no matrix was found.
    """
    options = options or EgoMotionOptions()
    x0, x1 = _sample(found, options)
    moved = float(np.median(np.linalg.norm(x1 - x0, axis=1)))
    if moved < 2.0 * _LEAST_SIGMA_PX:
        raise EstimationError(
            f"the flow is {moved:.2f} pixels in the median: the camera did not move, and any epipolar geometry fits"
        )
    return _fitted(estimate_fundamental, x0, x1, options)


def separate_motion(found: FlowResult, options: EgoMotionOptions | None = None) -> EgoMotion:
    """Tell what moves by itself from what the camera's motion moves.

    Parameters
    ----------
    found : FlowResult
        Of any method; most of the image has to be still.
    options : EgoMotionOptions, optional

    Returns
    -------
    EgoMotion
        A camera that stood still has the homography of no motion.

    Raises
    ------
    EstimationError
        If too few pixels are known, or no model was found.

    Examples
    --------
    A square that moves down while the camera turns to the left:

    >>> import numpy as np
    >>> flow = np.full((120, 160, 2), [3.0, 0.0], np.float32)
    >>> flow[40:80, 60:100] = [3.0, 4.0]
    >>> found = FlowResult(flow, np.zeros((120, 160), bool), np.ones((120, 160), np.float32), "made up")
    >>> motion = separate_motion(found)
    >>> motion.model, round(float(motion.moving.sum() / 40**2), 1)
    ('homography', 1.0)
    """
    options = options or EgoMotionOptions()
    x0, x1 = _sample(found, options)
    candidates: list[FundamentalResult | HomographyResult] = [_fitted(estimate_homography, x0, x1, options)]
    with suppress(EstimationError):  # all points coincide with their partners: a homography explains that
        candidates.append(_fitted(estimate_fundamental, x0, x1, options))
    errors = [_distance(model, x0, x1) for model in candidates]
    sigma = min(_noise(error, model) for error, model in zip(errors, candidates))
    best = int(np.argmin([_criterion(error, sigma, model) for error, model in zip(errors, candidates)]))
    chosen = candidates[best]
    sigma = _noise(errors[best], chosen)
    distance = _distance_map(found, chosen)
    threshold = max(options.threshold_sigmas * sigma, options.threshold_px)
    return EgoMotion(
        "fundamental" if isinstance(chosen, FundamentalResult) else "homography",
        _matrix(chosen),
        distance,
        _cleaned(distance, _usable(found, options), threshold, options.min_area_px),
        sigma,
        float(chosen.inliers.mean()),
    )


def _usable(found: FlowResult, options: EgoMotionOptions) -> np.ndarray:
    flow = as_flow(found.flow)
    same_size(flow=flow, occlusion=found.occlusion, confidence=found.confidence)
    return np.isfinite(flow).all(axis=2) & ~found.occlusion & (found.confidence >= options.min_confidence)


def _sample(found: FlowResult, options: EgoMotionOptions) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) of image 0 and where their flow leads, spread over the image."""
    rows, columns = np.nonzero(_usable(found, options))
    if len(rows) < _FEWEST:
        raise EstimationError(
            f"{len(rows)} of {found.occlusion.size} pixels have a flow that can be believed (min_confidence "
            f"{options.min_confidence:g}); at least {_FEWEST} are needed"
        )
    if len(rows) > options.samples:
        chosen = np.random.default_rng(options.seed).choice(len(rows), options.samples, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    x0 = np.stack([columns, rows], axis=1) + 0.5
    return x0, x0 + found.flow[rows, columns]


def _fitted(
    estimate: Callable[[np.ndarray, np.ndarray, RansacOptions], _Model],
    x0: np.ndarray,
    x1: np.ndarray,
    options: EgoMotionOptions,
) -> _Model:
    """A model, fitted again with a bound that suits the noise: below a generous one, a compromise between what is
    still and what moves a little would win."""
    found = estimate(x0, x1, RansacOptions(max_error_px=options.max_error_px, seed=options.seed))
    for _ in range(2):
        tight = min(_TIGHT_SIGMAS * _noise(_distance(found, x0, x1), found), options.max_error_px)
        found = estimate(x0, x1, RansacOptions(max_error_px=tight, seed=options.seed))
    return found


def _matrix(found: FundamentalResult | HomographyResult) -> np.ndarray:
    return found.F if isinstance(found, FundamentalResult) else found.H


def _distance(model: FundamentalResult | HomographyResult, x0: np.ndarray, x1: np.ndarray) -> np.ndarray:
    """(N,) distances of correspondences from a model, pixels."""
    if isinstance(model, FundamentalResult):
        # Sampson's distance is shared by both images, and only the place in image 1 errs
        return np.sqrt(2.0 * sampson_error(model.F, x0, x1))
    mapped = np.concatenate([x0, np.ones((len(x0), 1))], axis=1) @ model.H.T
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.linalg.norm(mapped[:, :2] / mapped[:, 2:] - x1, axis=1)
    return np.where(mapped[:, 2] > 0.0, apart, np.inf)


def _noise(error: np.ndarray, model: FundamentalResult | HomographyResult) -> float:
    """Standard deviation of each component of the flow."""
    # median of the length of one or of two normal components
    scale = _MAD_TO_SIGMA if isinstance(model, FundamentalResult) else 1.0 / np.sqrt(2.0 * np.log(2.0))
    return max(scale * float(np.median(error)), _LEAST_SIGMA_PX)


def _criterion(error: np.ndarray, sigma: float, model: FundamentalResult | HomographyResult) -> float:
    dimension, freedom = (3, 7) if isinstance(model, FundamentalResult) else (2, 8)
    n = len(error)
    cost = np.minimum((error / sigma) ** 2, 2.0 * (4 - dimension)).sum()
    return float(cost + n * dimension * np.log(4.0) + freedom * np.log(4.0 * n))


def _distance_map(found: FlowResult, model: FundamentalResult | HomographyResult) -> np.ndarray:
    """(H, W) float32, NaN where there is no flow."""
    known = np.isfinite(found.flow).all(axis=2)
    rows, columns = np.nonzero(known)
    x0 = np.stack([columns, rows], axis=1) + 0.5
    distance = np.full(known.shape, np.nan, np.float32)
    distance[known] = _distance(model, x0, x0 + found.flow[known])
    return distance


def _cleaned(distance: np.ndarray, usable: np.ndarray, threshold: float, min_area_px: int) -> np.ndarray:
    """(H, W) bool: connected spots beyond the threshold, large enough and in part far beyond it, without holes."""
    cv2 = require("cv2")
    from scipy.ndimage import binary_fill_holes

    values = np.where(usable, distance, 0.0).astype(np.float32)
    values = cv2.medianBlur(np.ascontiguousarray(np.minimum(values, np.float32(1e6))), 5)
    beyond = (values > threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(beyond, connectivity=4)
    far = np.bincount(labels.ravel(), (values > 1.5 * threshold).ravel(), minlength=count)
    area = stats[:, cv2.CC_STAT_AREA]
    keep = (area >= min_area_px) & (far > 0.25 * area)
    keep[0] = False
    return np.asarray(binary_fill_holes(keep[labels]), bool)
