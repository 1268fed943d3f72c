"""What two correspondence fields, there and back, agree on: the rest is hidden, or wrong.

error(p) = |there(p) + back(p + there(p))|
"""

import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.flow.occlusion import consistency
from geo3d.flow.result import FlowResult


def drop_inconsistent(
    there: np.ndarray,
    back: np.ndarray,
    confidence: np.ndarray,
    images: FlowImages,
    method: str,
    max_error_px: float,
    min_area_px: int,
) -> FlowResult:
    """The result of a dense matching: NaN and occluded where the fields disagree, and on small islands.

    Parameters
    ----------
    there, back : (H, W, 2) float32
        NaN where nothing was found.
    confidence : (H, W) float32
        In [0, 1], of what is kept.
    images : FlowImages
    method : str
    max_error_px : float
        Farthest from where it started that a pixel may come out, there and back.
    min_area_px : int
        Smallest area of neighbours with a like flow.
    """
    with np.errstate(invalid="ignore"):
        good = consistency(there, back).error_px <= max_error_px
    if images.invalid is not None:
        good &= ~images.invalid
    good &= _areas(there, good, 2.0) >= min_area_px
    flow = np.where(good[..., None], there, np.float32(np.nan))
    return FlowResult(flow, ~good, np.where(good, confidence, np.float32(0.0)).astype(np.float32), method)


def _areas(flow: np.ndarray, good: np.ndarray, like_px: float) -> np.ndarray:
    """(H, W) int: how many pixels are joined to each by neighbours whose flow differs by at most `like_px`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = np.arange(good.size).reshape(good.shape)
    ends = []
    for one, two in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None),), (slice(None, -1),)),
    ):
        with np.errstate(invalid="ignore"):
            joined = good[one] & good[two] & (np.abs(flow[one] - flow[two]).max(axis=2) <= like_px)
        ends.append(np.stack([number[one][joined], number[two][joined]]))
    edges = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(edges.shape[1], bool), (edges[0], edges[1])), shape=(good.size, good.size))
    count, label = connected_components(graph, directed=False)
    area = np.bincount(label, minlength=count)[label].reshape(good.shape)
    return np.where(good, area, 0)
