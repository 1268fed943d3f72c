"""Pairs of any size: what does not fit into memory at once is matched small first, then tile by tile.

The reduced pair says between which disparities each tile lies, so a tile's volume is its size times its own range:
memory does not grow with the image, and most tiles search a fraction of the whole range. Tiles overlap by what a path
needs to settle.
"""

import numpy as np

from geo3d.stereo.cleaning import fill_holes
from geo3d.stereo.options import ONE_PASS, SemiGlobalOptions
from geo3d.stereo.semi_global_matching import Matched, match_clean
from geo3d.util.require import require

_BYTES_A_CELL = 3  # a byte of cost, two of the sum
_MOST_BYTES = 300_000_000  # of a volume that is made at once
_TILE = (256, 512)  # rows, columns
_OVERLAP = 32
_SLACK_PX = 6  # of the reduced pair, beyond the disparities that it found in a tile


def match_any_size(
    left: np.ndarray,
    right: np.ndarray,
    low: int,
    high: int,
    options: SemiGlobalOptions,
    most_bytes: int = _MOST_BYTES,
) -> Matched:
    """Match at once if the volume of costs and sums takes at most `most_bytes`, else coarse to fine.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        Rectified, of one size.
    low, high : int
        Lowest and highest disparity.
    options : SemiGlobalOptions
    most_bytes : int
    """
    count = high - low + 1
    factor = 1
    doubled = 8 if options.doubled else 1
    if options.paths == ONE_PASS:  # makes no volume
        return match_clean(left, right, low, count, options)
    while _BYTES_A_CELL * left[..., 0].size * count * doubled / factor**3 > most_bytes:
        factor *= 2
    if factor == 1:
        return match_clean(left, right, low, count, options)
    return _by_tiles(left, right, low, high, options, factor)


def _by_tiles(
    left: np.ndarray, right: np.ndarray, low: int, high: int, options: SemiGlobalOptions, factor: int
) -> Matched:
    """Match tiles between the disparities that the pair reduced by `factor` found in each."""
    cv2 = require("cv2")
    height, width = left.shape[:2]
    size = width // factor, height // factor
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (left, right)]
    first, last = int(np.floor(low / factor)), int(np.ceil(high / factor))
    coarse = match_clean(small[0], small[1], first, max(last - first + 1, 5), options)
    guess = fill_holes(coarse.checked)
    guess = np.where(np.isnan(guess), coarse.left, guess)
    result = Matched(*(np.full((height, width), np.nan, np.float32) for _ in range(3)))
    for top in range(0, height, _TILE[0]):
        for start in range(0, width, _TILE[1]):
            inner = (top, min(top + _TILE[0], height), start, min(start + _TILE[1], width))
            outer = (
                max(inner[0] - _OVERLAP, 0),
                min(inner[1] + _OVERLAP, height),
                max(inner[2] - _OVERLAP, 0),
                min(inner[3] + _OVERLAP, width),
            )
            part = guess[
                outer[0] // factor : -(-outer[1] // factor), outer[2] // factor : -(-outer[3] // factor)
            ]
            near = max(int(factor * (part.min() - _SLACK_PX)), low)
            far = min(int(factor * (part.max() + _SLACK_PX)) + 1, high)
            _match_tile(left, right, outer, inner, near, max(far, near + 4), options, result)
    return result


def _match_tile(
    left: np.ndarray,
    right: np.ndarray,
    outer: tuple[int, int, int, int],
    inner: tuple[int, int, int, int],
    low: int,
    high: int,
    options: SemiGlobalOptions,
    result: Matched,
) -> None:
    """Match rows and columns `outer` (top, bottom, left, right) and keep `inner` of it."""
    width = right.shape[1]
    columns = outer[3] - outer[2]
    start = min(max(outer[2] - high, 0), width - columns)
    stop = max(min(outer[3] - low, width), start + columns)
    shift = outer[2] - start  # what the two parts begin apart
    found = match_clean(
        np.ascontiguousarray(left[outer[0] : outer[1], outer[2] : outer[3]]),
        np.ascontiguousarray(right[outer[0] : outer[1], start:stop]),
        low - shift,
        high - low + 1,
        options,
    )
    rows = slice(inner[0] - outer[0], inner[1] - outer[0])
    inside = slice(inner[2] - outer[2], inner[3] - outer[2])
    place = slice(inner[0], inner[1]), slice(inner[2], inner[3])
    result.left[place] = found.left[rows, inside] + shift
    result.checked[place] = found.checked[rows, inside] + shift
    result.margin[place] = found.margin[rows, inside]
