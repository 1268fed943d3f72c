"""Flows between two images both ways, and whether the images show the same place at all.

A pixel comes home if the flow back, v, undoes the flow there, w:  |w + v|^2 <= 0.01 (|w|^2 + |v|^2) + 0.5
(Sundaram, Brox, Keutzer: "Dense point trajectories", ECCV 2010). Of two images of one place most pixels do; of two
that have nothing in common hardly one in six.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from geo3d.flow.optical_flow import optical_flow
from geo3d.flow.warp import warp_backward

_CUT_SHARE = 0.35


@dataclass(frozen=True, eq=False)
class BothFlows:
    """Flows between two images.

    Attributes
    ----------
    forward, backward : (H, W, 2) float32
        From image0 to image1 and back.
    hidden0, hidden1 : (H, W) bool
        What of image0 is not seen in image1, and the other way.
    """

    forward: np.ndarray
    backward: np.ndarray
    hidden0: np.ndarray
    hidden1: np.ndarray

    @property
    def is_cut(self) -> bool:
        """Whether the images show different places: hardly a pixel comes home."""
        returned = warp_backward(self.backward, self.forward)
        return float(comes_home(self.forward, returned).mean()) < _CUT_SHARE


def comes_home(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(...) bool: whether the flows `there` and `back` from where it leads, both (..., 2), undo each other."""
    squared = (there**2).sum(axis=-1) + (back**2).sum(axis=-1)
    return ((there + back) ** 2).sum(axis=-1) <= 0.01 * squared + 0.5


def find_both_flows(
    image0: np.ndarray, image1: np.ndarray, method: str = "fast", options: Any = None
) -> BothFlows:
    """Flows between two images, both ways, and what is hidden.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3), uint8 or float in [0, 1]
        Of one size.
    method, options
        As `optical_flow` takes them.

    Returns
    -------
    BothFlows
    """
    forward = optical_flow(image0, image1, method, options)
    backward = optical_flow(image1, image0, method, options)
    return BothFlows(forward.flow, backward.flow, forward.occlusion, backward.occlusion)
