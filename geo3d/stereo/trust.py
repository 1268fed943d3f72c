"""Is a disparity that of the right surface? From how much worse the next best one is.

The margin of a pixel is 1 - smallest / second smallest sum of costs, of disparities farther than one apart. The table
was measured on made-up pairs with exact truth (`geo3d.synthetic.make_stereo_pair`: 14 of the seven kinds of
benchmarks/stereo.py), over the disparities that left and right agree on: the share within one pixel of the truth. It
hardly differs between the qualities.
"""

import numpy as np

_MARGIN = (0.0, 0.17, 0.40, 0.53, 0.62, 0.69, 0.76, 0.83, 0.91, 1.0)
_RIGHT = (0.80, 0.907, 0.960, 0.983, 0.990, 0.993, 0.995, 0.995, 0.995, 0.995)


def confidence_of(margin: np.ndarray) -> np.ndarray:
    """Chance that a disparity that left and right agree on is within one pixel of the truth, float32.

    Parameters
    ----------
    margin : (...)
        Of `Winners`.
    """
    return np.interp(margin, _MARGIN, _RIGHT).astype(np.float32)
