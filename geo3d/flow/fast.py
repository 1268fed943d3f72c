"""The fast method: inverse search on a pyramid, and a variational refinement of each level.

From coarse to fine, each level half the next one's size,

1. the flow of the level before is enlarged, and patches look for their place from it (`inverse_search`: DIS of Kroeger,
   Timofte, Dai, Van Gool 2016), except on the finest level, where the flow so far is close enough;
2. a few steps of a variational method with constancy of brightness and of gradient (`fast_kernels`: Brox et al. 2004)
   each end in a plain 5 x 5 median, which keeps motion boundaries sharp (Sun, Roth, Black 2010);
3. a weighted median (`weighted_median`) gives each pixel near a motion boundary the flow of what looks like it.

Refinement and search see grey, the weighted median CIE Lab.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.flow.fast_kernels import FEATURES, assemble_step, features
from geo3d.flow.images import FlowImages
from geo3d.flow.inverse_search import MARGIN, SIZE, STRIDE, densify, inverse_search
from geo3d.flow.pyramid import flow_on_level, pyramid_levels
from geo3d.flow.variational_kernels import buffer_layout, relax_bands, take_flow
from geo3d.flow.weighted_median import motion_boundaries, visibility, weighted_median
from geo3d.util.require import require

f4 = np.float32

_BLUR_PX = 0.5  # of each level, before it is differentiated
_CONTRAST = f4(5.0)  # smoothness falls by exp(-_CONTRAST |grad I|)
_ZETA, _EPSILON = f4(0.03), f4(0.001)
_OVER_RELAXATION = f4(1.8)
_OFFSETS = (0, 16)  # rows by which the bands of relaxation are moved, in turns
_SEARCH_STEPS = 8
_COST_FLOOR = f4(0.01)
_BOUNDARY_STEP_PX, _BOUNDARY_REACH_PX = f4(0.25), 3  # where the weighted median is taken
_MEDIAN_SIGMA_PX, _MEDIAN_SIGMA_LAB = f4(7.0), f4(0.05)  # of Lab / 100
_SEEN_CONVERGENCE, _SEEN_CONTRAST = f4(0.3), f4(20 / 255)


@dataclass(frozen=True)
class FastOptions:
    """Options of the fast method.

    Attributes
    ----------
    brightness, gradient : float
        Weights of the constancy of brightness and of its gradient.
    smoothness : float
        Weight of a smooth flow.
    steps : int
        Linearisations at each level.
    sweeps : int
        Of over-relaxation, for each of them.
    """

    brightness: float = 1.0
    gradient: float = 5.0
    smoothness: float = 3.0
    steps: int = 8
    sweeps: int = 16

    def __post_init__(self) -> None:
        if not (self.brightness >= 0 and self.gradient >= 0 and self.brightness + self.gradient > 0):
            raise ValueError(
                "brightness and gradient: expected weights of at least 0, one of them more, got "
                f"{self.brightness} and {self.gradient}"
            )
        if not self.smoothness > 0:
            raise ValueError(f"smoothness: expected more than 0, got {self.smoothness}")
        for name in ("steps", "sweeps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class _Level:
    """One level: blurred grey images (H, W), features of both (see `fast_kernels`), Lab of image 0 (3, H, W)."""

    gray0: np.ndarray
    gray1: np.ndarray
    first: np.ndarray
    second: np.ndarray
    lab: np.ndarray


def flow_fast(images: FlowImages, options: FastOptions) -> np.ndarray:
    """Find the flow by inverse search and variational refinement.

    Parameters
    ----------
    images : FlowImages
    options : FastOptions

    Returns
    -------
    (H, W, 2) float32
        Flow from image0 to image1, pixels.
    """
    cv2 = require("cv2")
    lab = cv2.cvtColor(images.image0, cv2.COLOR_RGB2Lab) * f4(0.01)
    pyramid = list(zip(*(pyramid_levels(image) for image in (images.gray0, images.gray1, lab))))
    flow = np.zeros((2, *pyramid[-1][0].shape), np.float32)
    for number in range(len(pyramid) - 1, -1, -1):
        level = _level(*pyramid[number])
        flow = flow_on_level(flow, level.gray0.shape)
        if number > 0:
            flow = _search(level, flow)
        flow = _refine(level, flow, options)
    return np.ascontiguousarray(np.moveaxis(flow, 0, -1))


def _level(gray0: np.ndarray, gray1: np.ndarray, lab: np.ndarray) -> _Level:
    cv2 = require("cv2")
    first = np.empty((6, *gray0.shape), np.float32)
    planes, second = np.empty_like(first), np.empty((*gray0.shape, FEATURES), np.float32)
    gray0, gray1 = (cv2.GaussianBlur(gray, (0, 0), _BLUR_PX) for gray in (gray0, gray1))
    features(gray0, first, second)
    features(gray1, planes, second)
    return _Level(gray0, gray1, first, second, np.ascontiguousarray(np.moveaxis(lab, -1, 0)))


def _search(level: _Level, flow: np.ndarray) -> np.ndarray:
    """(2, H, W) flow of the patches that look for their place from `flow`."""
    cv2 = require("cv2")
    padded0, padded1 = (
        cv2.copyMakeBorder(gray, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
        for gray in (level.gray0, level.gray1)
    )
    patches = [-(-(size - SIZE) // STRIDE) + 1 for size in level.gray0.shape]
    found, spread = np.empty((3, *patches), np.float32), np.empty((3, *patches), np.float32)
    inverse_search(padded0, padded1, level.first[1:3], flow, found, spread, _SEARCH_STEPS)
    dense = np.empty_like(flow)
    densify(found, _COST_FLOOR, dense)
    return dense


def _refine(level: _Level, flow: np.ndarray, options: FastOptions) -> np.ndarray:
    """(2, H, W) flow after all steps of a level."""
    cv2 = require("cv2")
    height, width = level.gray0.shape
    contrast = np.exp(-_CONTRAST * cv2.magnitude(level.first[1], level.first[2]))
    weights = (f4(options.brightness), f4(options.gradient), f4(options.smoothness))
    data, edges = np.empty((7, height, width), np.float32), np.empty((2, height, width), np.float32)
    buffer, layout = buffer_layout(height, width)
    found = np.empty_like(flow)
    for _ in range(options.steps):
        found[:] = flow
        assemble_step(
            level.first, level.second, contrast, found, weights, _ZETA, _EPSILON, data, edges, buffer, layout
        )
        for turn, offset in enumerate(_OFFSETS):
            sweeps = (options.sweeps + 1 - turn) // 2
            relax_bands(buffer, layout, height, width, offset, sweeps, _OVER_RELAXATION)
        take_flow(buffer, layout, found)
        flow = np.stack([cv2.medianBlur(part, 5) for part in found])
    where = np.empty((height, width), np.uint8)
    motion_boundaries(found, flow, _BOUNDARY_STEP_PX, where)
    where = cv2.dilate(where, np.ones((2 * _BOUNDARY_REACH_PX + 1,) * 2, np.uint8))
    seen, smoothed = np.empty((height, width), np.float32), np.empty_like(flow)
    visibility(level.gray0[None], data[5:6], data[6], flow, _SEEN_CONVERGENCE, _SEEN_CONTRAST, seen)
    weighted_median(found, flow, level.lab, seen, where, _MEDIAN_SIGMA_PX, _MEDIAN_SIGMA_LAB, smoothed)
    return smoothed
