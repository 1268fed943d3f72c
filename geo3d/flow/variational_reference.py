"""The kernels of variational flow in plain NumPy, as the formulas stand; float64, shapes as there."""

import numpy as np


def warp_spline_reference(coefficients: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Cubic spline (C, H, W) at the places where the flow (2, H, W) leads; beyond the border its coefficients stay."""
    _, height, width = coefficients.shape
    row, column = np.mgrid[:height, :width]
    x = np.clip(column + flow[0].astype(np.float64), -2.0, width + 1.0)
    y = np.clip(row + flow[1].astype(np.float64), -2.0, height + 1.0)
    out = np.zeros(coefficients.shape)
    for j in range(-1, 3):
        for i in range(-1, 3):
            at_x, at_y = np.floor(x) + i, np.floor(y) + j
            weight = cubic_b_spline(x - at_x) * cubic_b_spline(y - at_y)
            rows = np.clip(at_y, 0, height - 1).astype(int)
            out += weight * coefficients[:, rows, np.clip(at_x, 0, width - 1).astype(int)]
    return out


def cubic_b_spline(t: np.ndarray) -> np.ndarray:
    """B(t), of support -2 to 2."""
    t = np.abs(t)
    return np.where(t < 1.0, 2.0 / 3.0 - t**2 + t**3 / 2.0, np.maximum(2.0 - t, 0.0) ** 3 / 6.0)


def slopes_reference(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives (..., H, W) along x and y, (1, -8, 0, 8, -1) / 12, the border repeated."""
    found = []
    for axis in (-1, -2):
        size = plane.shape[axis]
        place = np.arange(size)
        before2, before, after, after2 = (
            np.take(plane, np.clip(place + k, 0, size - 1), axis) for k in (-2, -1, 1, 2)
        )
        found.append((before2 - after2 + 8.0 * (after - before)) / 12.0)
    return found[0], found[1]


def motion_tensors_reference(
    first: np.ndarray, warped: np.ndarray, inside: np.ndarray, zeta: float
) -> np.ndarray:
    """Motion tensors (2, 6, H, W) of colour and of gradient constancy."""
    mean, change = 0.5 * (first.astype(np.float64) + warped), warped.astype(np.float64) - first
    mean_x, mean_y = slopes_reference(mean)
    color = [(mean_x, mean_y, change)]
    change_x, change_y = slopes_reference(change)
    gradient = [(*slopes_reference(mean_x), change_x), (*slopes_reference(mean_y), change_y)]
    tensors = np.zeros((2, 6, *inside.shape))
    for tensor, constraints in zip(tensors, (color, gradient)):
        for a, b, d in constraints:
            theta = inside / (a**2 + b**2 + zeta**2)
            tensor += np.stack(
                [(theta * p * q).sum(axis=0) for p, q in [(a, a), (a, b), (b, b), (a, d), (b, d), (d, d)]]
            )
    return tensors


def energy_reference(
    tensors: np.ndarray,
    shares: np.ndarray,
    edges: np.ndarray,
    base: np.ndarray,
    flow: np.ndarray,
    alpha: float,
    data_epsilon: float,
    smooth_epsilon: float,
) -> float:
    """E(w) with the data term linearised at `base`, from its motion tensors (2, 6, H, W)."""
    du, dv = (flow - base).astype(np.float64)
    t11, t12, t22, t13, t23, t33 = np.moveaxis(tensors, 1, 0)
    squares = t11 * du**2 + 2 * t12 * du * dv + t22 * dv**2 + 2 * t13 * du + 2 * t23 * dv + t33
    data = (np.asarray(shares)[:, None, None] * np.sqrt(np.maximum(squares, 0.0) + data_epsilon**2)).sum()
    across, down = np.diff(flow, axis=2), np.diff(flow, axis=1)
    smooth = (edges[0, :, :-1] * np.sqrt((across**2).sum(axis=0) + smooth_epsilon**2)).sum()
    smooth += (edges[1, :-1] * np.sqrt((down**2).sum(axis=0) + smooth_epsilon**2)).sum()
    return float(data + alpha * smooth)
