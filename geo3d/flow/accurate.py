"""The accurate method: variational flow from coarse to fine, with a weighted median after each warp.

On each level of a pyramid, from the smallest, the flow of the level before is refined (`geo3d.flow.variational`):
robust constancy of colours and their derivatives, smoothness that follows the edges of the image. After each warp
a median takes out what stands alone, and near motion boundaries a weighted one gives each pixel the flow of the
surface that it belongs to by its colour (`geo3d.flow.weighted_median`), which is what makes the boundaries sharp and
the flow right where it is hidden in the other image.

Sources: Brox et al. 2004 (warping); Zimmer et al. 2011 (normalised constraints); Sun, Roth, Black, "A quantitative
analysis of current practices in optical flow estimation and the principles behind them", 2014 (the rest).
"""

from dataclasses import dataclass, field

import numpy as np

from geo3d.flow import weighted_median as medians
from geo3d.flow.images import FlowImages
from geo3d.flow.pyramid import flow_on_level
from geo3d.flow.seeds import SeedOptions, find_seeds
from geo3d.flow.variational import Level, VariationalOptions, make_level, refine_flow, warp_level
from geo3d.util.require import require


@dataclass(frozen=True)
class MedianOptions:
    """The weighted median of the flow near motion boundaries.

    Attributes
    ----------
    sigma_space_px, sigma_color : float
        How fast weights fall with the distance, and with that of the colours (CIE Lab).
    sigma_divergence, sigma_residual : float
        How fast they fall where the flow runs together, and where the images do not fit, in colour levels of 255.
    boundary_step_px : float
        A step of the flow from pixel to pixel that makes a motion boundary.
    boundary_width_px : int
        How far from one the median is weighted.
    """

    sigma_space_px: float = 7.0
    sigma_color: float = 7.0
    sigma_divergence: float = 0.3
    sigma_residual: float = 20.0
    boundary_step_px: float = 0.2
    boundary_width_px: int = 2


@dataclass(frozen=True)
class AccurateOptions:
    """Options of the accurate method.

    Attributes
    ----------
    variational : VariationalOptions
    median : MedianOptions
    seeds : SeedOptions
    coarsest_px : int
        The shorter side of the smallest level is at least this.
    """

    variational: VariationalOptions = field(default_factory=VariationalOptions)
    median: MedianOptions = field(default_factory=MedianOptions)
    seeds: SeedOptions = field(default_factory=SeedOptions)
    coarsest_px: int = 16

    def __post_init__(self) -> None:
        if self.coarsest_px < 8:
            raise ValueError(f"coarsest_px: expected at least 8, got {self.coarsest_px}")


def flow_accurate(images: FlowImages, options: AccurateOptions) -> np.ndarray:
    """Flow from image 0 to image 1, (H, W, 2) float32.

    Parameters
    ----------
    images : FlowImages
    options : AccurateOptions
    """
    scale = np.float32(255.0)
    pyramid = [(images.image0 * scale, images.image1 * scale)]
    while (min(pyramid[-1][0].shape[:2]) + 1) // 2 >= options.coarsest_px:
        pyramid.append((halve(pyramid[-1][0]), halve(pyramid[-1][1])))
    seeded = next(
        (k for k, (image, _) in enumerate(pyramid) if min(image.shape[:2]) <= options.seeds.largest_side_px),
        -1,
    )
    flow = np.zeros((2, *pyramid[-1][0].shape[:2]), np.float32)
    for k in range(len(pyramid) - 1, -1, -1):
        flow = refine_level(*pyramid[k], flow_on_level(flow, pyramid[k][0].shape[:2]), options, k == seeded)
    return np.ascontiguousarray(np.moveaxis(flow, 0, 2))


def refine_level(
    image0: np.ndarray, image1: np.ndarray, flow: np.ndarray, options: AccurateOptions, seeded: bool
) -> np.ndarray:
    """The flow of one level, (2, H, W), from a rough one.

    Parameters
    ----------
    image0, image1 : (H, W, 3) float32
        In levels of 255.
    flow : (2, H, W) float32
    options : AccurateOptions
    seeded : bool
        Whether to look for motions that the flow misses.
    """
    level, guide = make_level(image0, image1), color_guide(image0)

    def smooth(flow: np.ndarray) -> np.ndarray:
        return smooth_flow(flow, level, guide, options.median)

    flow = refine_flow(level, flow, options.variational, smooth)
    if seeded:
        seeds = find_seeds(image0, image1, flow, options.seeds)
        if seeds.found.any():
            flow = refine_flow(level, smooth(seeds.flow), options.variational, smooth)
    return flow


def halve(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) at half its size, rounded up, smoothed before."""
    cv2 = require("cv2")
    height, width = image.shape[:2]
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(smooth, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_LINEAR)


def color_guide(image: np.ndarray) -> np.ndarray:
    """CIE Lab, (3, H, W), of an image (H, W, 3) in levels of 255: distances in it are what the eye sees."""
    cv2 = require("cv2")
    lab = cv2.cvtColor(image * np.float32(1.0 / 255.0), cv2.COLOR_RGB2Lab)
    return np.ascontiguousarray(np.moveaxis(lab, 2, 0))


def smooth_flow(flow: np.ndarray, level: Level, guide: np.ndarray, options: MedianOptions) -> np.ndarray:
    """The median of the flow, (2, H, W): of 5 x 5, and near motion boundaries weighted, of 15 x 15.

    Parameters
    ----------
    flow : (2, H, W) float32
    level : Level
        Its images say what is hidden: that has no weight.
    guide : (3, H, W) float32
        Colours of image 0.
    options : MedianOptions
    """
    cv2 = require("cv2")
    f32 = np.float32
    plain = np.stack([cv2.medianBlur(component, 5) for component in flow])
    near = np.empty(flow.shape[1:], np.uint8)
    medians.motion_boundaries(flow, plain, f32(options.boundary_step_px), near)
    if not near.any():
        return plain
    side = 2 * options.boundary_width_px + 1
    near = cv2.dilate(near, np.ones((side, side), np.uint8))
    warped, inside = warp_level(level, flow)
    seen = np.empty(flow.shape[1:], f32)
    medians.visibility(
        level.first, warped, inside, flow, f32(options.sigma_divergence), f32(options.sigma_residual), seen
    )
    out = np.empty_like(flow)
    medians.weighted_median(
        flow, plain, guide, seen, near, f32(options.sigma_space_px), f32(options.sigma_color), out
    )
    return out
