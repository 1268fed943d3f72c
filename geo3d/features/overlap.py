"""A quick look whether two photos overlap, by their largest features alone."""

from __future__ import annotations

import numpy as np

from geo3d.features.matcher import MatchOptions, match

LARGEST = 1024
_FEW = 6
_OPTIONS = MatchOptions(ratio=0.85)


def may_overlap(d1: np.ndarray, d2: np.ndarray) -> bool:
    """False when the photos clearly do not overlap.

    Parameters
    ----------
    d1 : (N, 128) uint8
    d2 : (M, 128) uint8
        RootSIFT, the largest features first.
    """
    return len(match(d1[:LARGEST], d2[:LARGEST], _OPTIONS)) >= _FEW
