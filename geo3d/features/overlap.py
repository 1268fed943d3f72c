"""A quick look whether two photos overlap, by their strongest features alone."""

from __future__ import annotations

import numpy as np

from geo3d.features.matcher import MatchOptions, match

STRONGEST = 1024
_FEW = 6
_OPTIONS = MatchOptions(ratio=0.85)


def may_overlap(d1: np.ndarray, d2: np.ndarray) -> bool:
    """False when the photos clearly do not overlap.

    Parameters
    ----------
    d1 : (N, 128) uint8
    d2 : (M, 128) uint8
        RootSIFT, the strongest features first.
    """
    return len(match(d1[:STRONGEST], d2[:STRONGEST], _OPTIONS)) >= _FEW
