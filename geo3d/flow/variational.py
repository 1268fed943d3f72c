"""Variational refinement of a flow on one level: warp, linearise, solve; some times over.

    E(w) = sum psi(colour constancy) + psi(gradient constancy) + a |grad w|, robust throughout

of `geo3d.flow.variational_kernels`. Each warp linearises the constancy about the flow so far; each pass within
it freezes the robust weights and relaxes the linear system that remains (Brox et al., "High accuracy optical
flow estimation based on a theory for warping", 2004).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from geo3d.flow import variational_kernels as kernels

_OVER_RELAXATION = np.float32(1.9)
_SWEEPS_TOGETHER = 5


@dataclass(frozen=True)
class VariationalOptions:
    """Weights of the energy; distances in pixels of the level, colours in levels of 255.

    Attributes
    ----------
    smoothness : float
        Weight of the smoothness, against the data terms.
    color_weight, gradient_weight : float
        Weights of the constancy of the colours and of their derivatives.
    noise_level : float
        Slopes of the image below this say little of the flow, colour levels per pixel.
    contrast : float
        Steps of the colour by this much make a step of the flow e times cheaper.
    contrast_floor : float
        Smallest factor that this comes to.
    data_epsilon_px, smooth_epsilon_px : float
        Where the penalties turn from quadratic to linear.
    warps, passes, sweeps : int
        Linearisations; updates of the robust weights in each; sweeps of relaxation in each of those.
    """

    smoothness: float = 1.5
    color_weight: float = 1.0
    gradient_weight: float = 1.0
    noise_level: float = 1.0
    contrast: float = 10.0
    contrast_floor: float = 0.1
    data_epsilon_px: float = 0.1
    smooth_epsilon_px: float = 0.01
    warps: int = 4
    passes: int = 2
    sweeps: int = 30

    def __post_init__(self) -> None:
        if not (
            self.color_weight >= 0
            and self.gradient_weight >= 0
            and self.color_weight + self.gradient_weight > 0
        ):
            raise ValueError(
                "color_weight and gradient_weight: expected weights of at least 0, one of them more, got "
                f"{self.color_weight} and {self.gradient_weight}"
            )
        for name in (
            "smoothness",
            "noise_level",
            "contrast",
            "contrast_floor",
            "data_epsilon_px",
            "smooth_epsilon_px",
        ):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)}")
        for name in ("warps", "passes", "sweeps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Level:
    """The two images of one level, as the kernels take them.

    Attributes
    ----------
    first : (C, H, W) float32
        Colours of image 0, in levels of 255.
    second : (C, H, W) float32
        Coefficients of the cubic spline through image 1.
    """

    first: np.ndarray
    second: np.ndarray


def make_level(image0: np.ndarray, image1: np.ndarray) -> Level:
    """Level from two images (H, W, C), float32 in levels of 255."""
    second = [
        ndimage.spline_filter(channel, 3, output=np.float32, mode="nearest")  # pyright: ignore[reportArgumentType]
        for channel in np.moveaxis(image1, 2, 0)
    ]
    return Level(np.ascontiguousarray(np.moveaxis(image0, 2, 0), np.float32), np.stack(second))


def warp_level(level: Level, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image 1 fetched along the flow, (C, H, W), and where that is inside of it, (H, W) of 1 and 0."""
    warped = np.empty_like(level.first)
    inside = np.empty(flow.shape[1:], np.float32)
    kernels.warp_spline(level.second, flow, warped, inside)
    return warped, inside


def refine_flow(
    level: Level,
    flow: np.ndarray,
    options: VariationalOptions,
    after_warp: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Lower the energy from a flow near its minimum.

    Parameters
    ----------
    level : Level
    flow : (2, H, W) float32
        Where to start.
    options : VariationalOptions
    after_warp : callable, optional
        What is done to the flow after each warp, as a median.

    Returns
    -------
    (2, H, W) float32
    """
    f32 = np.float32
    flow = flow.copy()
    edges = np.empty_like(flow)
    kernels.contrast_weights(level.first, f32(options.contrast), f32(options.contrast_floor), edges)
    mean_x, mean_y, change = (np.empty_like(level.first) for _ in range(3))
    tensors = np.empty((2, 6, *flow.shape[1:]), f32)
    for _ in range(options.warps):
        warped, inside = warp_level(level, flow)
        kernels.image_slopes(level.first, warped, mean_x, mean_y, change)
        kernels.motion_tensors(mean_x, mean_y, change, inside, f32(options.noise_level), tensors)
        flow = solve_linearised(tensors, flow, edges, options)
        if after_warp is not None:
            flow = after_warp(flow)
    return flow


def solve_linearised(
    tensors: np.ndarray, base: np.ndarray, edges: np.ndarray, options: VariationalOptions
) -> np.ndarray:
    """The flow (2, H, W) of least energy, its data term linearised at `base`, by reweighted least squares.

    Parameters
    ----------
    tensors : (2, 6, H, W) float32
        Motion tensors of colour and of gradient constancy at `base`.
    base : (2, H, W) float32
    edges : (2, H, W) float32
        Weights of the edges to the right and below.
    options : VariationalOptions
    """
    f32 = np.float32
    height, width = base.shape[1:]
    shares = np.array([options.color_weight, options.gradient_weight], f32)
    buffer, layout = kernels.buffer_layout(height, width)
    flow, weights = base.copy(), np.empty_like(base)
    for _ in range(options.passes):
        kernels.smoothness(flow, edges, f32(options.smoothness), f32(options.smooth_epsilon_px), weights)
        kernels.assemble(tensors, shares, f32(options.data_epsilon_px), base, flow, weights, buffer, layout)
        for start in range(0, options.sweeps, _SWEEPS_TOGETHER):
            sweeps = min(_SWEEPS_TOGETHER, options.sweeps - start)
            offset = kernels.BAND_ROWS // 2 if start // _SWEEPS_TOGETHER % 2 else 0
            kernels.relax_bands(buffer, layout, height, width, offset, sweeps, _OVER_RELAXATION)
        kernels.take_flow(buffer, layout, flow)
    return flow
