"""The fast method's kernels as plain formulas, to be held against: see `fast_kernels` and `inverse_search`."""

import numpy as np

from geo3d.flow.warp import warp_backward_reference

_BOUNDARY = 0.4


def features_reference(image: np.ndarray) -> np.ndarray:
    """(6, H, W) float64 of an image (H, W): value, and derivatives by x, y, xx, xy, yy."""
    image = image.astype(np.float64)
    x, y = _slope(image, 1), _slope(image, 0)
    return np.stack([image, x, y, _slope(x, 1), _slope(x, 0), _slope(y, 0)])


def _slope(image: np.ndarray, axis: int) -> np.ndarray:
    padded = np.pad(image, [(2, 2) if a == axis else (0, 0) for a in range(2)], mode="edge")
    a, b, _, c, d = (np.take(padded, np.arange(image.shape[axis]) + k, axis) for k in range(5))
    return (a - 8.0 * b + 8.0 * c - d) / 12.0


def data_terms_reference(
    image0: np.ndarray,
    image1: np.ndarray,
    flow: np.ndarray,
    brightness: float,
    gradient: float,
    zeta: float,
    eps: float,
) -> np.ndarray:
    """(5, H, W): A11, A12, A22, b1, b2 of the data terms of a step at flow (2, H, W): A w = b minimises them."""
    height, width = image0.shape
    first = features_reference(image0)
    places = np.moveaxis(flow, 0, -1)
    there = warp_backward_reference(np.moveaxis(features_reference(image1), 0, -1), places, "bicubic")
    there = np.moveaxis(there, -1, 0)
    row, column = np.mgrid[:height, :width]
    x, y = column + flow[0], row + flow[1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)

    padded = np.pad(flow.astype(np.float64), ((0, 0), (1, 1), (1, 1)), mode="edge")
    along_x = 0.5 * (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2])
    along_y = 0.5 * (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1])
    follow = np.abs(along_x).sum(axis=0) + np.abs(along_y).sum(axis=0) < _BOUNDARY
    turned = [there[1 + k] + follow * (d * there[1:3]).sum(axis=0) for k, d in enumerate((along_x, along_y))]
    there[1:3] = turned

    mean, change = 0.5 * (first + there), there - first
    zeta2, eps2 = zeta**2, eps**2
    constraints = [  # gradient by (u, v), what is missing
        (mean[1], mean[2], change[0]),
        (mean[3], mean[4], change[1]),
        (mean[4], mean[5], change[2]),
    ]
    norms = [1.0 / (gx**2 + gy**2 + zeta2) for gx, gy, _ in constraints]
    squares = [n * t**2 for n, (_, _, t) in zip(norms, constraints)]
    robust = [brightness / np.sqrt(squares[0] + eps2)] + [
        gradient / np.sqrt(squares[1] + squares[2] + eps2)
    ] * 2
    out = np.zeros((5, height, width))
    for n, weight, (gx, gy, t) in zip(norms, robust, constraints):
        share = n * weight * inside
        out[:3] += share * np.stack([gx * gx, gx * gy, gy * gy])
        miss = t - gx * flow[0] - gy * flow[1]
        out[3:] -= share * np.stack([gx * miss, gy * miss])
    return out


def edges_reference(flow: np.ndarray, contrast: np.ndarray, smoothness: float, eps: float) -> np.ndarray:
    """(2, H, W): weights of smoothness to the right and below, of flow (2, H, W); 0 beyond the border."""
    _, height, width = flow.shape
    out = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            ya, yb, xa, xb = max(y - 1, 0), min(y + 1, height - 1), max(x - 1, 0), min(x + 1, width - 1)
            if x < width - 1:
                along = flow[:, y, x + 1] - flow[:, y, x]
                across = 0.25 * (flow[:, yb, x] + flow[:, yb, x + 1] - flow[:, ya, x] - flow[:, ya, x + 1])
                size = np.sqrt((along**2 + across**2).sum() + eps**2)
                out[0, y, x] = smoothness * 0.5 * (contrast[y, x] + contrast[y, x + 1]) / size
            if y < height - 1:
                along = flow[:, y + 1, x] - flow[:, y, x]
                across = 0.25 * (flow[:, y, xb] + flow[:, y + 1, xb] - flow[:, y, xa] - flow[:, y + 1, xa])
                if x in (0, width - 1):
                    across = 0.0 * across
                size = np.sqrt((along**2 + across**2).sum() + eps**2)
                out[1, y, x] = smoothness * 0.5 * (contrast[y, x] + contrast[y + 1, x]) / size
    return out


def patch_cost_reference(image0: np.ndarray, image1: np.ndarray, x: int, y: int, w: np.ndarray) -> float:
    """C(w) of the patch of 8 x 8 pixels of image 0 at column x and row y, both images (H, W)."""
    own = image0[y : y + 8, x : x + 8].astype(np.float64)
    flow = np.broadcast_to(np.asarray(w, np.float64) + np.array([x, y]), (8, 8, 2))
    other = warp_backward_reference(image1[..., None].astype(np.float64), flow, "bilinear")[..., 0]
    change = other - other.mean() - own + own.mean()
    return float((change**2).sum())
