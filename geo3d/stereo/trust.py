"""How far a disparity can be believed: from how much worse the next best one is.

The margin of a pixel is 1 - smallest / second smallest sum of costs, of disparities farther than one apart. Both tables
were measured on made-up pairs with exact truth (`geo3d.synthetic.make_stereo_pair`: 14 of the seven kinds of
benchmarks/stereo.py), over the disparities that left and right agree on: the share within one pixel of the truth, and
of those the standard deviation of the error. They hardly differ between the qualities. To the deviation comes that of
what a photo has and a made-up one has not: rows that match to a tenth of a pixel, and lenses.
"""

import numpy as np

_MARGIN = (0.0, 0.17, 0.40, 0.53, 0.62, 0.69, 0.76, 0.83, 0.91, 1.0)
_RIGHT = (0.80, 0.907, 0.960, 0.983, 0.990, 0.993, 0.995, 0.995, 0.995, 0.995)
_SIGMA_PX = (0.42, 0.32, 0.23, 0.17, 0.14, 0.12, 0.10, 0.082, 0.064, 0.05)
_FLOOR_PX = 0.1


def confidence_of(margin: np.ndarray) -> np.ndarray:
    """Chance that a disparity that left and right agree on is within one pixel of the truth, float32.

    Parameters
    ----------
    margin : (...)
        Of `Winners`.
    """
    return np.interp(margin, _MARGIN, _RIGHT).astype(np.float32)


def deviation_of(margin: np.ndarray) -> np.ndarray:
    """Standard deviation of a disparity that is within one pixel of the truth, px, float32.

    Parameters
    ----------
    margin : (...)
        Of `Winners`.
    """
    return np.hypot(np.interp(margin, _MARGIN, _SIGMA_PX), _FLOOR_PX).astype(np.float32)
