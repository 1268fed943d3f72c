"""Gaussian scale space: an image blurred in steps of a third of an octave, octave by octave at half the size.

Level k of an octave has the standard deviation `1.6 * 2^(k / 3)` of its own pixels, k = 0 to 5; the differences of
levels that follow each other are the five in which SIFT seeks extrema. Level 3 of an octave, every second pixel, is
level 0 of the next. The photo itself is taken to have a blur of 0.5 pixels. Octave 0 has the photo's pixels. Octave -1
has twice as many each way: its pixel (2 x, 2 y) is the photo's (x, y), those between are means. Lowe 2004.

Pixels are counted by integers at their centres here. The levels of an octave lie one behind the other in one flat
float32 array, whose rows are a little longer than the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.features.sift_vectors import BLOCK, smooth
from geo3d.util.jit import njit

LEVELS, STEPS = 6, 3  # levels of an octave, and how many of them until the blur is doubled
SIGMA = 1.6  # of level 0
_PHOTO_SIGMA = 0.5
_MARGIN = BLOCK  # on both sides of a row that is being smoothed
_BAND = 32  # rows smoothed at once: they fit a cache


@dataclass(eq=False)
class Octave:
    """One octave; levels 4 and 5 may not be made yet.

    Attributes
    ----------
    levels : flat float32
        Level k, row r, column c is `levels[(k * height + r) * stride + c]`.
    height, width, stride : int
    pixel : float
        Size of its pixels in pixels of the photo.
    """

    levels: np.ndarray
    height: int
    width: int
    stride: int
    pixel: float

    def level(self, k: int) -> np.ndarray:
        """(height, width) float32, a view of level k."""
        plane = self.height * self.stride
        return self.levels[k * plane : (k + 1) * plane].reshape(self.height, self.stride)[:, : self.width]

    @property
    def shape(self) -> tuple[np.ndarray, int, int, int]:
        """What kernels take: levels, height, width, stride."""
        return self.levels, self.height, self.width, self.stride

    def blur(self, source: int, target: int, sigma: float) -> None:
        """Make level `target` of level `source`, blurred by `sigma` pixels more."""
        blur_level(self.levels, source, target, self.height, self.width, self.stride, gaussian_weights(sigma))

    def blur_up_to(self, last: int, first: int = 1) -> None:
        """Make the levels `first` to `last`, each of the one before."""
        for k in range(first, last + 1):
            before, after = SIGMA * 2 ** ((k - 1) / STEPS), SIGMA * 2 ** (k / STEPS)
            self.blur(k - 1, k, np.sqrt(after**2 - before**2))


def photo_octave(gray: np.ndarray) -> Octave:
    """Octave 0 of a photo (H, W) uint8, with level 0."""
    height, width = gray.shape
    octave = _empty(height, width, 1.0)
    octave.level(LEVELS - 1)[:] = gray
    octave.blur(LEVELS - 1, 0, np.sqrt(SIGMA**2 - _PHOTO_SIGMA**2))
    return octave


def doubled_octave(gray: np.ndarray) -> Octave:
    """Octave -1 of a photo (H, W) uint8, with level 0."""
    height, width = gray.shape
    octave = _empty(2 * height, 2 * width, 0.5)
    double(gray, octave.level(LEVELS - 1))
    octave.blur(LEVELS - 1, 0, np.sqrt(SIGMA**2 - (2 * _PHOTO_SIGMA) ** 2))
    return octave


def pyramid(octave: Octave, smallest: int) -> list[Octave]:
    """An octave and those after it, with levels 0 to 3.

    Parameters
    ----------
    octave : Octave
        With level 0.
    smallest : int
        Octaves of fewer rows or columns are left out.
    """
    octaves = []
    while min(octave.height, octave.width) >= smallest:
        octave.blur_up_to(STEPS)
        octaves.append(octave)
        height, width = octave.height // 2, octave.width // 2
        half = octave.level(STEPS)[: 2 * height : 2, : 2 * width : 2]
        octave = _empty(height, width, 2 * octave.pixel)
        octave.level(0)[:] = half
    return octaves


def gaussian_weights(sigma: float) -> np.ndarray:
    """(R + 1,) float32 weights of a Gaussian cut off at four standard deviations, the first in the middle."""
    x = np.arange(round(4 * sigma) + 1)
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return (weights / (2 * weights.sum() - 1)).astype(np.float32)


def _empty(height: int, width: int, pixel: float) -> Octave:
    # Rows end on a vector, and do not begin a multiple of 4 KiB apart, which would fight for the same lines of a cache.
    stride = -(-width // BLOCK) * BLOCK + BLOCK // 4
    return Octave(np.empty(LEVELS * height * stride + BLOCK, np.float32), height, width, stride, pixel)


@njit(nogil=True)
def double(
    gray: np.ndarray,  # (H, W) uint8
    out: np.ndarray,  # (2H, 2W) float32
) -> None:
    height, width = gray.shape
    for r in range(height):
        below = min(r + 1, height - 1)
        upper, lower = out[2 * r], out[2 * r + 1]
        for c in range(width):
            right = min(c + 1, width - 1)
            a, b = np.float32(gray[r, c]), np.float32(gray[r, right])
            d, e = np.float32(gray[below, c]), np.float32(gray[below, right])
            upper[2 * c] = a
            upper[2 * c + 1] = np.float32(0.5) * (a + b)
            lower[2 * c] = np.float32(0.5) * (a + d)
            lower[2 * c + 1] = np.float32(0.25) * (a + b + d + e)


@njit(nogil=True)
def blur_level(
    levels: np.ndarray,  # flat float32, changed in place
    source: int,
    target: int,
    height: int,
    width: int,
    stride: int,
    weights: np.ndarray,  # (R + 1,) float32
) -> None:
    """Rows, then columns; both ends are mirrored about the last pixel."""
    radius = len(weights) - 1
    source, target = source * height * stride, target * height * stride
    line = np.zeros(stride + 2 * _MARGIN + BLOCK, np.float32)
    band = np.zeros((_BAND + 2 * radius) * stride + BLOCK, np.float32)
    for start in range(0, height, _BAND):
        rows = min(_BAND, height - start)
        known = 0
        if start > 0:
            known = 2 * radius
            band[: known * stride] = band[_BAND * stride : (_BAND + known) * stride]
        for k in range(known, rows + 2 * radius):
            at = source + _mirrored(start + k - radius, height) * stride
            line[_MARGIN : _MARGIN + width] = levels[at : at + width]
            for t in range(1, radius + 1):
                line[_MARGIN - t] = levels[at + _mirrored(-t, width)]
                line[_MARGIN + width - 1 + t] = levels[at + _mirrored(width - 1 + t, width)]
            smooth(line, _MARGIN, 1, weights, band, k * stride, width)
        for k in range(rows):
            smooth(band, (k + radius) * stride, stride, weights, levels, target + (start + k) * stride, width)


@njit(nogil=True)
def _mirrored(i: int, count: int) -> int:
    while i < 0 or i >= count:
        i = -i if i < 0 else 2 * (count - 1) - i
    return i
