"""Flow to depth, for a camera that moved and whose motion is known.

With b the ray of a pixel p of image 0, scaled to b_z = 1, and rho the inverse of its depth z,

    p + flow(p) = pi_1(R b + rho t) + noise,     g = d pi_1 / d rho
    rho:    least squares of both components, Gauss-Newton from the linear solution of b_1 x (R b + rho t) = 0
    sigma_rho = sigma_flow / |g|,    sigma_z = z^2 sigma_rho

The inverse depth is what the flow is nearly linear in: 0 at infinity, where nothing special happens. Depth is z in the
frame of camera 0, in the unit of t. What is left of the flow across its epipolar line is no depth: it shows how large
the errors of the flow are, and what moved by itself.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.flow.checks import as_flow, same_size
from geo3d.geometry import SE3
from geo3d.util.require import require

_ROUNDS = 3
_WINDOW = 15  # pixels a side, in which the errors of the flow are taken as alike
_LEAST_SIGMA_PX = 0.02
_ON_LINES_PX = 1e-3
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class FlowDepthOptions:
    """Which depths are believed.

    Attributes
    ----------
    min_depth_by_sigma : float
        Depths below this many standard deviations are refused: the parallax is too small, as far away and near the
        point that the camera moves to.
    max_across_sigmas : float
        Flow farther off its epipolar line than this many of its standard deviations is refused: it moved by itself,
        or is wrong.
    """

    min_depth_by_sigma: float = 4.0
    max_across_sigmas: float = 4.0


@dataclass(frozen=True, eq=False)
class FlowDepth:
    """Depths of the pixels of image 0.

    Attributes
    ----------
    depth : (H, W) float32
        z in the frame of camera 0, in the unit of the translation; NaN where it is not known.
    sigma : (H, W) float32
        Standard deviation of the depth; NaN where it is not known.
    across_px : (H, W) float32
        What is left of the flow across the epipolar line, signed, pixels; NaN where there is no flow.
    flow_sigma_px : (H, W) float32
        Standard deviation of each component of the flow that `sigma` is taken from.
    """

    depth: np.ndarray
    sigma: np.ndarray
    across_px: np.ndarray
    flow_sigma_px: np.ndarray


def flow_to_depth(
    flow: np.ndarray,
    camera0: Camera,
    camera1: Camera,
    cam1_from_cam0: SE3,
    sigma_px: float | np.ndarray | None = None,
    options: FlowDepthOptions | None = None,
) -> FlowDepth:
    """Triangulate each pixel along its flow.

    Parameters
    ----------
    flow : (H, W, 2)
        From image 0 to image 1, pixels; NaN where it is not known (set it so where it is occluded).
    camera0, camera1 : Camera
        Of any model; camera0 has the size of the flow.
    cam1_from_cam0 : SE3
        Motion of the camera; its unit of length is that of the depth.
    sigma_px : float or (H, W), optional
        Standard deviation of each component of the flow. Where left out it is measured by what the flow is off the
        epipolar lines around each pixel.
    options : FlowDepthOptions, optional

    Returns
    -------
    FlowDepth
        NaN where the point would be behind either camera, beyond the field of view of perspective depth (90 degrees
        from the axis), or is refused by the options.

    Raises
    ------
    ValueError
        If the camera only turned (there is no parallax), the sizes differ, a deviation is not positive, or it is to be
        measured of a flow that lies on the epipolar lines, as `guided_flow` gives it.
    """
    flow, options = as_flow(flow), options or FlowDepthOptions()
    height, width = flow.shape[:2]
    if (camera0.height, camera0.width) != (height, width):
        raise ValueError(
            f"camera0: expected {width}x{height} pixels as the flow has, got {camera0.width}x{camera0.height}; "
            "see Camera.rescaled"
        )
    if cam1_from_cam0.rotation.shape != (3, 3) or not np.linalg.norm(cam1_from_cam0.translation) > 1e-12:
        raise ValueError(
            "cam1_from_cam0: expected one motion with a translation; a camera that only turned sees no depth"
        )
    rows, columns = np.nonzero(np.isfinite(flow).all(axis=2))
    pixels = np.stack([columns, rows], axis=1) + 0.5
    rho, slope, across = _inverse_depths(
        pixels, pixels + flow[rows, columns], camera0, camera1, cam1_from_cam0
    )
    maps = [np.full((height, width), np.nan) for _ in range(3)]
    for values, into in zip((rho, slope, across), maps):
        into[rows, columns] = values
    rho_map, slope_map, across_map = maps
    sigma = _given_sigma(sigma_px, (height, width))
    limit = options.max_across_sigmas * (_overall_sigma(across_map) if sigma is None else sigma)
    with np.errstate(invalid="ignore", divide="ignore"):
        fits = np.abs(across_map) <= limit
        if sigma is None:
            sigma = _local_sigma(across_map, fits)
        deviation = sigma / slope_map
        good = fits & (rho_map > options.min_depth_by_sigma * deviation)
        depth = np.where(good, 1.0 / rho_map, np.nan)
        deviation = depth**2 * deviation
    return FlowDepth(*(a.astype(np.float32) for a in (depth, deviation, across_map, sigma)))


def _inverse_depths(
    pixels0: np.ndarray, pixels1: np.ndarray, camera0: Camera, camera1: Camera, motion: SE3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rho, |g| and the residual across the line, (N,) each, NaN where there is none, of pixels (N, 2)."""
    rays = camera0.unproject(pixels0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rays = np.where(rays[:, 2:] > 1e-3, rays / rays[:, 2:], np.nan) @ motion.rotation.T
        cross = np.cross(camera1.unproject(pixels1), motion.translation)
        turned = np.cross(camera1.unproject(pixels1), rays)
        rho = -np.sum(cross * turned, axis=1) / np.sum(cross**2, axis=1)
    slope, across = np.full(len(rho), np.nan), np.full(len(rho), np.nan)
    for turn in range(_ROUNDS):
        known = np.isfinite(rho)
        found = camera1.project_with_jacobians(rays[known] + rho[known, None] * motion.translation)
        rest = pixels1[known] - found.pixels
        g = found.d_point @ motion.translation
        length = np.linalg.norm(g, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope[known] = length
            across[known] = (g[:, 0] * rest[:, 1] - g[:, 1] * rest[:, 0]) / length
            if turn < _ROUNDS - 1:
                rho[known] += np.sum(g * rest, axis=1) / length**2
    return rho, slope, across


def _given_sigma(sigma_px: float | np.ndarray | None, shape: tuple[int, int]) -> np.ndarray | None:
    if sigma_px is None:
        return None
    sigma = np.asarray(sigma_px, np.float64)
    if sigma.ndim:
        same_size(sigma_px=sigma, flow=np.empty(shape))
    if (sigma <= 0.0).any():
        raise ValueError(f"sigma_px: expected positive pixels, got {float(np.nanmin(sigma)):g}")
    return np.broadcast_to(sigma, shape)


def _overall_sigma(across: np.ndarray) -> float:
    """Standard deviation of the flow's errors (H, W), robust against what moved."""
    known = np.abs(across[np.isfinite(across)])
    if known.size and np.median(known) < _ON_LINES_PX:
        raise ValueError(
            "sigma_px: the flow lies on the epipolar lines, as one does that was sought there, so that its errors "
            "can not be measured by them; give their standard deviation (0.15 pixels is about right for guided_flow)"
        )
    return max(_MAD_TO_SIGMA * float(np.median(known)), _LEAST_SIGMA_PX) if known.size else np.inf


def _local_sigma(across: np.ndarray, fits: np.ndarray) -> np.ndarray:
    """(H, W): root mean square of what fits around each pixel, half of it at least that of the whole image."""
    cv2 = require("cv2")
    squared = np.where(fits, across**2, 0.0)
    total, count = (cv2.blur(a, (_WINDOW, _WINDOW)) for a in (squared, fits.astype(np.float64)))
    overall = float(squared.sum() / max(fits.sum(), 1))
    pull = 0.1  # weight of the whole image beside that of the window
    mixed = (total + pull * overall) / (count + pull)
    return np.maximum(np.sqrt(np.maximum(mixed, 0.25 * overall)), _LEAST_SIGMA_PX)
