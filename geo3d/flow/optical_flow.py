"""Optical flow between two images, by any of the methods.

    found = optical_flow(image0, image1, method="accurate")
    found.flow           # (H, W, 2): image0(p) ~ image1(p + flow(p))
    found.occlusion      # what is hidden in image1
    found.confidence

Each method has a file of its own, and gives a flow; occlusion and confidence are found from it in one way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from geo3d.flow.accurate import AccurateOptions, flow_accurate
from geo3d.flow.confidence import estimate_confidence
from geo3d.flow.fast import FastOptions, flow_fast
from geo3d.flow.images import FlowImages, prepare_pair
from geo3d.flow.lucas_kanade import LucasKanadeOptions, flow_lucas_kanade
from geo3d.flow.occlusion import estimate_occlusion
from geo3d.flow.peers import DisOptions, FarnebackOptions, flow_dis, flow_farneback
from geo3d.flow.residual import warp_residual
from geo3d.flow.result import FlowResult
from geo3d.flow.tv_l1 import TvL1Options, flow_tv_l1


@dataclass(frozen=True)
class FlowMethod:
    """A method of optical flow.

    Attributes
    ----------
    find : callable
        `find(images, options)` gives the flow, (H, W, 2) float32.
    options : type
        Of its options, a dataclass whose defaults are good.
    """

    find: Callable[[FlowImages, Any], np.ndarray]
    options: type


METHODS: dict[str, FlowMethod] = {
    "fast": FlowMethod(flow_fast, FastOptions),
    "accurate": FlowMethod(flow_accurate, AccurateOptions),
    "tv-l1": FlowMethod(flow_tv_l1, TvL1Options),
    "lucas-kanade": FlowMethod(flow_lucas_kanade, LucasKanadeOptions),
    "farneback": FlowMethod(flow_farneback, FarnebackOptions),
    "dis": FlowMethod(flow_dis, DisOptions),
}
"""The methods by name."""


def optical_flow(
    image0: np.ndarray, image1: np.ndarray, method: str = "accurate", options: Any = None
) -> FlowResult:
    """Find where each pixel of an image is in another one.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1]
        Of one size. NaN pixels are filled from their surroundings, and have no confidence.
    method : str
        A name of `METHODS`.
    options : dataclass, optional
        Of the method, as `FastOptions` of "fast".

    Returns
    -------
    FlowResult
        Constant images give no flow and no confidence.

    Raises
    ------
    ValueError
        If the images do not fit each other, or there is no such method.
    TypeError
        If the options are of another method.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).integers(0, 255, (6, 7), np.uint8).repeat(12, 0).repeat(12, 1)
    >>> found = optical_flow(scene[:, :80], scene[:, 2:82], method="dis")
    >>> np.round(np.median(found.flow, axis=(0, 1))).tolist()
    [-2.0, 0.0]
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    kind = METHODS[method].options
    if options is None:
        options = kind()
    if not isinstance(options, kind):
        raise TypeError(f"options: method {method!r} takes {kind.__name__}, got {type(options).__name__}")
    images = prepare_pair(image0, image1)
    if images.is_constant:
        shape = images.gray0.shape
        return FlowResult(
            np.zeros((*shape, 2), np.float32), np.zeros(shape, bool), np.zeros(shape, np.float32), method
        )
    flow = METHODS[method].find(images, options)
    assert flow.dtype == np.float32
    assert np.isfinite(flow).all()
    residual = warp_residual(images, flow)
    occlusion = estimate_occlusion(flow, residual)
    return FlowResult(flow, occlusion, estimate_confidence(images, flow, residual, occlusion), method)
