"""The Gaussian scale space in which SIFT looks for blobs (Lowe 2004, section 3).

The photo is doubled first, so that the pixel at x of the photo is at 2 x (pixel centres at integers in both), and
taken to be blurred by half a pixel already. Octave o has L + 3 levels with a blur of `SIGMA 2^(i / L)` of its own
pixels, which are 2^o of the doubled photo's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from geo3d.util.require import require

LAYERS = 3
"""Layers searched for extrema in each octave."""

SIGMA = 1.6
"""Blur of an octave's first level in its pixels."""

_CAMERA_BLUR = 0.5
_SMALLEST = 16  # pixels of an octave's shorter side


def octaves(gray: np.ndarray) -> Iterator[np.ndarray]:
    """Levels (L + 3, H, W) float32 of each octave, the finest, of the doubled photo, first.

    Parameters
    ----------
    gray : (H, W) uint8
    """
    cv2 = require("cv2")
    height, width = gray.shape
    double = np.array([[2.0, 0, 0], [0, 2, 0]])
    base = cv2.warpAffine(
        gray.astype(np.float32), double, (2 * width, 2 * height), borderMode=cv2.BORDER_REFLECT
    )
    blur = np.sqrt(SIGMA**2 - (2 * _CAMERA_BLUR) ** 2)
    base = cv2.GaussianBlur(base, (0, 0), blur)
    steps = [SIGMA * np.sqrt(4 ** (i / LAYERS) - 4 ** ((i - 1) / LAYERS)) for i in range(1, LAYERS + 3)]
    while min(base.shape) >= _SMALLEST:
        levels = np.empty((LAYERS + 3, *base.shape), np.float32)
        levels[0] = base
        for i, step in enumerate(steps):
            cv2.GaussianBlur(levels[i], (0, 0), step, dst=levels[i + 1])
        yield levels
        base = np.ascontiguousarray(levels[LAYERS, ::2, ::2])
