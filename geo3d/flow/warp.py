"""Backward warping: each pixel takes the value that the other image has where the flow leads.

    warped(p) = image(p + flow(p))

between the pixels bilinear, or bicubic (Keys 1981, a = -1/2, which reproduces quadratic polynomials); beyond the
border the value of the nearest pixel of the image.
"""

from typing import Literal

import numba
import numpy as np

from geo3d.flow.checks import as_flow
from geo3d.flow.sampling import held, keys_weights
from geo3d.util.jit import njit

_FAR = 1e6  # beyond any image, so that an index always fits into an integer


def warp_backward(
    image: np.ndarray, flow: np.ndarray, interpolation: Literal["bilinear", "bicubic"] = "bilinear"
) -> np.ndarray:
    """Fetch an image along a flow: image1 warped by the flow from image0 to image1 looks like image0.

    Parameters
    ----------
    image : (H1, W1) or (H1, W1, C), uint8 or float
    flow : (H, W, 2)
        x and y, pixels.
    interpolation : {"bilinear", "bicubic"}
        Bicubic keeps fine texture sharper, and may go slightly beyond the values of the image.

    Returns
    -------
    (H, W) or (H, W, C)
        uint8 of uint8, else float32. Where the flow is NaN or infinite, NaN (uint8: 0).

    Raises
    ------
    ValueError
        If a shape or the interpolation is another.

    Examples
    --------
    >>> import numpy as np
    >>> row = np.arange(5, dtype=np.float32)[None]
    >>> warp_backward(row, np.full((1, 5, 2), [1.5, 0.0])).tolist()
    [[1.5, 2.5, 3.5, 4.0, 4.0]]
    """
    image, flow = np.asarray(image), as_flow(flow)
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in "fiu":
        raise ValueError(
            f"image: expected (H, W) or (H, W, C) numbers, got shape {image.shape} {image.dtype}"
        )
    if interpolation not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolation: expected bilinear or bicubic, got {interpolation!r}")
    values = np.ascontiguousarray(image, np.float32).reshape(image.shape[0], image.shape[1], -1)
    out = np.empty((*flow.shape[:2], values.shape[2]), np.float32)
    (_bicubic if interpolation == "bicubic" else _bilinear)(values, flow, out)
    out = out.reshape(flow.shape[:2] + image.shape[2:])
    if image.dtype != np.uint8:
        return out
    return np.clip(np.round(np.nan_to_num(out, nan=0.0)), 0, 255).astype(np.uint8)


def warp_backward_reference(image: np.ndarray, flow: np.ndarray, interpolation: str) -> np.ndarray:
    """(H, W, C) float64 of (H1, W1, C): the sum over the pixels around, as the formulas say."""
    height, width = image.shape[:2]
    row, column = np.mgrid[: flow.shape[0], : flow.shape[1]]
    x, y = column + flow[..., 0].astype(np.float64), row + flow[..., 1].astype(np.float64)
    if interpolation == "bilinear":
        kernel, reach = lambda t: np.maximum(1.0 - np.abs(t), 0.0), range(2)
    else:
        kernel, reach = keys_kernel, range(-1, 3)
    out = np.zeros((*flow.shape[:2], image.shape[2]))
    for j in reach:
        for i in reach:
            at_x, at_y = np.floor(x) + i, np.floor(y) + j
            weight = kernel(x - at_x) * kernel(y - at_y)
            rows = np.clip(at_y, 0, height - 1).astype(int)
            out += weight[..., None] * image[rows, np.clip(at_x, 0, width - 1).astype(int)]
    return out


def keys_kernel(t: np.ndarray) -> np.ndarray:
    """Weight of a pixel at the distance `t`: Keys' cubic convolution with a = -1/2."""
    t = np.abs(t)
    near = (1.5 * t - 2.5) * t**2 + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0))


def leaves_image(flow: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Where the flow leads out of the other image, beyond the centres of its border pixels by more than half a pixel.

    Parameters
    ----------
    flow : (H, W, 2)
    size : (width, height), optional
        Of the other image; that of the flow where left out.

    Returns
    -------
    (H, W) bool
        True also where the flow is NaN.
    """
    flow = as_flow(flow)
    width, height = size or (flow.shape[1], flow.shape[0])
    x = flow[..., 0] + np.arange(flow.shape[1], dtype=np.float32)
    y = flow[..., 1] + np.arange(flow.shape[0], dtype=np.float32)[:, None]
    return ~((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5))


@njit(parallel=True, error_model="numpy")
def _bilinear(image, flow, out):
    height, width, channels = image.shape
    for row in numba.prange(out.shape[0]):
        for column in range(out.shape[1]):
            x = np.float32(column) + flow[row, column, 0]
            y = np.float32(row) + flow[row, column, 1]
            if not (abs(x) < _FAR and abs(y) < _FAR):
                for c in range(channels):
                    out[row, column, c] = np.nan
                continue
            x = min(max(x, np.float32(0.0)), np.float32(width - 1))
            y = min(max(y, np.float32(0.0)), np.float32(height - 1))
            x0, y0 = np.int64(x), np.int64(y)
            x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
            fx, fy = x - np.float32(x0), y - np.float32(y0)
            for c in range(channels):
                above = image[y0, x0, c] + fx * (image[y0, x1, c] - image[y0, x0, c])
                below = image[y1, x0, c] + fx * (image[y1, x1, c] - image[y1, x0, c])
                out[row, column, c] = above + fy * (below - above)


@njit(parallel=True, error_model="numpy")
def _bicubic(image, flow, out):
    height, width, channels = image.shape
    for row in numba.prange(out.shape[0]):
        for column in range(out.shape[1]):
            x = np.float32(column) + flow[row, column, 0]
            y = np.float32(row) + flow[row, column, 1]
            if not (abs(x) < _FAR and abs(y) < _FAR):
                for c in range(channels):
                    out[row, column, c] = np.nan
                continue
            left, top = np.floor(x), np.floor(y)
            a, b, d, e = keys_weights(x - left)
            fa, fb, fd, fe = keys_weights(y - top)
            x1, y1 = np.int64(left), np.int64(top)
            x0, x2, x3 = held(x1 - 1, width), held(x1 + 1, width), held(x1 + 2, width)
            y0, y2, y3 = held(y1 - 1, height), held(y1 + 1, height), held(y1 + 2, height)
            x1, y1 = held(x1, width), held(y1, height)
            for c in range(channels):
                r0 = a * image[y0, x0, c] + b * image[y0, x1, c] + d * image[y0, x2, c] + e * image[y0, x3, c]
                r1 = a * image[y1, x0, c] + b * image[y1, x1, c] + d * image[y1, x2, c] + e * image[y1, x3, c]
                r2 = a * image[y2, x0, c] + b * image[y2, x1, c] + d * image[y2, x2, c] + e * image[y2, x3, c]
                r3 = a * image[y3, x0, c] + b * image[y3, x1, c] + d * image[y3, x2, c] + e * image[y3, x3, c]
                out[row, column, c] = fa * r0 + fb * r1 + fd * r2 + fe * r3
