"""TV-L1 flow: absolute differences of brightness, and total variation of the flow.

    E(u, v) = sum_p  lambda |I1(p + w_p) - I0(p)| + |grad u_p| + |grad v_p|

From coarse to fine, the data term is linearised anew after each warp, the convex rest solved by primal-dual iterations
(`tv_l1_kernels`), and what stands alone taken out by a median (Zach, Pock, Bischof 2007; Wedel et al. 2009). Images
lose half of what a wide Gaussian sees, so that slow changes of light matter less.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.flow.pyramid import flow_on_level, pyramid_levels
from geo3d.flow.tv_l1_kernels import primal_dual
from geo3d.flow.warp import warp_backward
from geo3d.util.require import require

f4 = np.float32

_BLUR_PX = 0.5  # of each level, before it is differentiated
_STRUCTURE_PX, _STRUCTURE_SHARE = 16.0, f4(0.5)  # the Gaussian, and how much of it is taken away


@dataclass(frozen=True)
class TvL1Options:
    """Options of TV-L1.

    Attributes
    ----------
    attachment : float
        lambda, for images in [0, 1]: the higher, the less smooth.
    warps : int
        At each level.
    iterations : int
        For each warp.
    """

    attachment: float = 50.0
    warps: int = 6
    iterations: int = 25

    def __post_init__(self) -> None:
        if not self.attachment > 0:
            raise ValueError(f"attachment: expected more than 0, got {self.attachment}")
        for name in ("warps", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")


def flow_tv_l1(images: FlowImages, options: TvL1Options) -> np.ndarray:
    """Find the flow of least total variation and absolute differences.

    Parameters
    ----------
    images : FlowImages
    options : TvL1Options

    Returns
    -------
    (H, W, 2) float32
        Flow from image0 to image1, pixels.
    """
    pyramid = list(zip(*(pyramid_levels(gray) for gray in (images.gray0, images.gray1))))
    flow = np.zeros((2, *pyramid[-1][0].shape), np.float32)
    for gray0, gray1 in reversed(pyramid):
        flow = flow_on_level(flow, gray0.shape)
        flow = _refine(_fine_structure(gray0), _fine_structure(gray1), flow, options)
    return np.ascontiguousarray(np.moveaxis(flow, 0, -1))


def _fine_structure(gray: np.ndarray) -> np.ndarray:
    cv2 = require("cv2")
    gray = cv2.GaussianBlur(gray, (0, 0), _BLUR_PX)
    return gray - _STRUCTURE_SHARE * cv2.GaussianBlur(gray, (0, 0), _STRUCTURE_PX)


def _refine(first: np.ndarray, second: np.ndarray, flow: np.ndarray, options: TvL1Options) -> np.ndarray:
    """(2, H, W) flow after all warps of a level."""
    cv2 = require("cv2")
    bar, dual = np.empty_like(flow), np.zeros((2, *flow.shape), np.float32)
    derivatives = np.dstack([second, *_slopes(second)])
    own = _slopes(first)
    row, column = np.mgrid[: flow.shape[1], : flow.shape[2]].astype(np.float32)
    for _ in range(options.warps):
        warped = warp_backward(derivatives, np.moveaxis(flow, 0, -1), "bicubic")
        slopes = np.stack([f4(0.5) * (warped[..., 1 + c] + own[c]) for c in range(2)])
        to_x, to_y = column + flow[0], row + flow[1]
        inside = (to_x >= 0) & (to_x <= flow.shape[2] - 1) & (to_y >= 0) & (to_y <= flow.shape[1] - 1)
        slopes *= inside
        rho = (warped[..., 0] - first) * inside - slopes[0] * flow[0] - slopes[1] * flow[1]
        primal_dual(flow, bar, dual, slopes, rho, f4(options.attachment), options.iterations)
        flow = np.stack([cv2.medianBlur(part, 5) for part in flow])
    return flow


def _slopes(image: np.ndarray) -> list[np.ndarray]:
    """Derivatives by x and y over five pixels."""
    cv2 = require("cv2")
    kernel, one = np.array([1, -8, 0, 8, -1], np.float32) / f4(12), np.ones(1, np.float32)
    return [
        cv2.sepFilter2D(image, cv2.CV_32F, *k, borderType=cv2.BORDER_REPLICATE)
        for k in ((kernel, one), (one, kernel))
    ]
