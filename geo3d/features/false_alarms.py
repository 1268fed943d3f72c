"""Could chance alone have made these inliers? The expected number of false alarms of an epipolar geometry.

A wrong match lies within e pixels of its epipolar line with probability at most `p(e) = 2 e D / A`, for a
photo of diagonal D and area A. A model through m of n matches that has k matches within e is expected by
chance

    NFA(k, e) = (n - m) C(n, k) C(k, m) p(e)^(k - m)

times, and the least over e is what counts: many matches at loose lines can mean less than few at tight ones.
Moisan and Stival, "A probabilistic criterion to detect rigid point matches between two images", IJCV 2004.
"""

import numpy as np

_LEAST_ERROR_PX = 0.5  # no keypoint is known better than this to the criterion


def log10_false_alarms(
    errors_px: np.ndarray, sample_size: int, size: tuple[int, int], max_error_px: float
) -> float:
    """Logarithm of the least NFA over all thresholds up to `max_error_px`; large and negative is sure.

    Parameters
    ----------
    errors_px : (N,)
        Distances from the epipolar geometry of all matches, inliers and outliers.
    sample_size : int
        Matches that determine the model: 7 for F, 5 for E.
    size : (int, int)
        Width and height of the photo.
    max_error_px : float
    """
    count, (width, height) = len(errors_px), size
    inliers = np.sort(errors_px[errors_px < max_error_px])
    if len(inliers) <= sample_size:
        return float(np.log10(max(count, 1)))
    k = np.arange(sample_size + 1, len(inliers) + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    error = np.maximum(inliers[sample_size:], _LEAST_ERROR_PX)
    p = np.minimum(1.0, 2 * error * np.hypot(width, height) / (width * height))
    # log C(n, k) + log C(k, m)
    combinations = log_factorial[count] - log_factorial[count - k] - log_factorial[sample_size]
    combinations = combinations - log_factorial[k - sample_size]
    nfa = np.log(count - sample_size) + combinations + (k - sample_size) * np.log(p)
    return float(nfa.min() / np.log(10))
