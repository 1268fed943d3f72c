"""How good disparities are beside the truth, as Middlebury counts: bad pixels, mean and RMS error, A50 and A90."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DisparityErrors:
    """Errors of a disparity map, over the pixels whose truth is known.

    Attributes
    ----------
    density : float
        Share of them with a disparity.
    bad_05, bad_1, bad_2, bad_4 : float
        Share, of those that have a disparity, whose error is above 0.5, 1, 2, 4 px.
    average_px, rms_px : float
        Mean and root mean square of the error.
    a50_px, a90_px : float
        Median and 90th percentile of the error.
    """

    density: float
    bad_05: float
    bad_1: float
    bad_2: float
    bad_4: float
    average_px: float
    rms_px: float
    a50_px: float
    a90_px: float


def disparity_errors(
    disparity: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None
) -> DisparityErrors:
    """Compare a disparity map with the truth.

    Parameters
    ----------
    disparity : (H, W)
        NaN where it is not known; those count for the density alone.
    truth : (H, W)
        NaN or infinite where it is not known.
    mask : (H, W) bool, optional
        Pixels that count, such as those that are not occluded.

    Raises
    ------
    ValueError
        If the shapes differ, or nothing can be compared.
    """
    if disparity.shape != truth.shape or (mask is not None and mask.shape != truth.shape):
        raise ValueError(
            f"disparity, truth, mask: expected one shape, got {disparity.shape} and {truth.shape}"
        )
    counts = np.isfinite(truth) if mask is None else np.isfinite(truth) & mask
    both = counts & np.isfinite(disparity)
    if not both.any():
        raise ValueError("disparity and truth: there is no pixel where both are known")
    errors = np.abs(disparity[both].astype(np.float64) - truth[both])
    bad_05, bad_1, bad_2, bad_4 = (float((errors > limit).mean()) for limit in (0.5, 1.0, 2.0, 4.0))
    return DisparityErrors(
        float(both.sum() / counts.sum()),
        bad_05,
        bad_1,
        bad_2,
        bad_4,
        float(errors.mean()),
        float(np.sqrt((errors**2).mean())),
        float(np.median(errors)),
        float(np.percentile(errors, 90)),
    )
