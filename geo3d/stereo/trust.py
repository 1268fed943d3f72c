"""Is a disparity that of the right surface? From how much worse the next best one is.

The margin of a pixel is 1 - smallest / second smallest sum of costs, of disparities farther than one apart. The table
was measured on made-up pairs with exact truth (`geo3d.synthetic.make_stereo_pair`: 14 of the seven kinds of
benchmarks/stereo.py), over the disparities that left and right agree on: the share within one pixel of the truth,
in the mean of "fast" (up to 0.05 less, where the margin is small) and "balanced" (as much more).
"""

import numpy as np

_MARGIN = (0.0, 0.05, 0.17, 0.35, 0.50, 0.60, 0.69, 0.76, 1.0)
_RIGHT = (0.72, 0.746, 0.80, 0.90, 0.959, 0.979, 0.988, 0.992, 0.993)


def confidence_of(margin: np.ndarray) -> np.ndarray:
    """Chance that a disparity that left and right agree on is within one pixel of the truth, float32.

    Parameters
    ----------
    margin : (...)
        Of `Winners`.
    """
    return np.interp(margin, _MARGIN, _RIGHT).astype(np.float32)
