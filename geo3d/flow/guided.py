"""Guided dense matching: two photos of one place, each pixel looked for on its epipolar line.

    1. Image 1 is warped by the homography of the plane that fits the matched features best (`epipolar_search`).
    2. Semi-global matching over the parallax to that plane (`guided_kernels`), to about a pixel.
    3. The correlation of windows, slanted as the surface is, brings it to a fraction of a pixel.
    4. The same from image 1 to image 0: what does not come back to where it started is hidden or wrong.

It finds what optical flow does not: large motion between photos from different places, and repeated patterns, of which
only those on the line are in question. Nothing may have moved but the camera.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation import sampson_error
from geo3d.features import SiftOptions, extract, index_descriptors, match_indexed
from geo3d.flow import guided_kernels as kernels
from geo3d.flow.consistent import drop_inconsistent
from geo3d.flow.epipolar_search import EpipolarGeometry, fit_plane
from geo3d.flow.images import FlowImages, prepare_pair
from geo3d.flow.result import FlowResult
from geo3d.util.require import require

_FEWEST_MATCHES = 20
_NEAR_LINE_PX = 2.0
_MARGIN = 0.15  # by which the range of the matched features is widened at both ends, as a share of it
_SMALL, _LARGE = 6.0, 40.0  # P1 and P2
_EDGE = 8.0 / 255.0  # difference of grey at which P2 is halved
_RADIUS = 3
_GIB = 2.0**30


@dataclass(frozen=True)
class GuidedOptions:
    """How far and how finely each line is searched.

    Attributes
    ----------
    parallax_range : (2,) tuple, optional
        Lowest and highest parallax rho, of cameras the inverse depth 1 / z; what matched features span where left out.
    step_px : float
        Between the places that are tried, pixels of image 0 (refined afterwards).
    max_steps : int
        No more places on a line than this: the steps become larger.
    max_error_px : float
        Farther than this from where it started, there and back, a pixel is not believed.
    min_area_px : int
        Smaller islands are dropped.
    memory_gib : float
        Photos that would need more are refused.
    """

    parallax_range: tuple[float, float] | None = None
    step_px: float = 1.0
    max_steps: int = 256
    max_error_px: float = 1.5
    min_area_px: int = 60
    memory_gib: float = 3.0


def guided_flow(
    image0: np.ndarray,
    image1: np.ndarray,
    geometry: EpipolarGeometry,
    options: GuidedOptions | None = None,
) -> FlowResult:
    """Match two photos of one place along their epipolar lines.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1]
        Of one size.
    geometry : EpipolarGeometry
        Of cameras or of a fundamental matrix.
    options : GuidedOptions, optional

    Returns
    -------
    FlowResult
        The flow is NaN, and occlusion True, where no partner was found or there and back disagree. Confidence is the
        correlation of both windows.

    Raises
    ------
    ValueError
        If the images do not fit each other, too few features match to tell the range, or the memory does not suffice.
    """
    options = options or GuidedOptions()
    images = prepare_pair(image0, image1)
    plane, low, high = _range(images, geometry, options)
    about = geometry.about(plane).positive(images.gray0.shape)
    there, score = _one_way(images.gray0, images.gray1, about, low, high, options)
    ends = _ends_back(about, low, high, images.gray0.shape)
    back, _ = _one_way(images.gray1, images.gray0, about.reversed(), *ends, options)
    return drop_inconsistent(there, back, score, images, "guided", options.max_error_px, options.min_area_px)


def _range(
    images: FlowImages, geometry: EpipolarGeometry, options: GuidedOptions
) -> tuple[np.ndarray, float, float]:
    """The plane (3,) to count the parallax from, and its lowest and highest value."""
    if options.parallax_range is not None:
        low, high = options.parallax_range
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(
                f"parallax_range: expected a low and a higher number, got {options.parallax_range}"
            )
        middle = 0.5 * (low + high)
        return np.array([0.0, 0.0, middle]), low - middle, high - middle
    x0, x1 = _features(images)
    near = (
        np.sqrt(sampson_error(geometry.fundamental(), x0, x1)) < _NEAR_LINE_PX
        if len(x0)
        else np.zeros(0, bool)
    )
    rho = geometry.parallax(x0[near], x1[near])
    x0 = x0[near][np.isfinite(rho)]
    rho = rho[np.isfinite(rho)]
    if len(rho) < _FEWEST_MATCHES:
        raise ValueError(
            f"image0 and image1: {len(rho)} features match along the epipolar lines, {_FEWEST_MATCHES} are needed to "
            "tell how far to look; give parallax_range (of cameras: 1 / farthest, 1 / nearest), or check the poses"
        )
    plane = fit_plane(x0, rho)
    rest = rho - np.c_[x0, np.ones(len(x0))] @ plane
    low, high = np.percentile(rest, [1.0, 99.0])
    return plane, low - _MARGIN * (high - low), high + _MARGIN * (high - low)


def _features(images: FlowImages) -> tuple[np.ndarray, np.ndarray]:
    """Matched features, pixels (N, 2) of each image."""
    found = [
        extract((255.0 * gray + 0.5).astype(np.uint8), SiftOptions(max_features=4000))
        for gray in (images.gray0, images.gray1)
    ]
    if min(len(features.keypoints) for features in found) == 0:
        return np.zeros((0, 2)), np.zeros((0, 2))
    indices = [index_descriptors(features.descriptors) for features in found]
    pairs = match_indexed(indices[0], indices[1])
    one, two = (features.keypoints[pairs[:, i], :2].astype(np.float64) for i, features in enumerate(found))
    return one, two


def _one_way(
    gray0: np.ndarray,
    gray1: np.ndarray,
    geometry: EpipolarGeometry,
    low: float,
    high: float,
    options: GuidedOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Flow (H, W, 2) float32, NaN outside of image 1, and the correlation (H, W) in [0, 1]."""
    cv2 = require("cv2")
    height, width = gray0.shape
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    indices = np.linalg.inv(half) @ geometry.homography @ half
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(
        gray1, indices, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    valid = cv2.warpPerspective(np.ones_like(gray1), indices, (width, height), flags=flags) > 0.99
    epipole = np.linalg.solve(geometry.homography, geometry.epipole)
    y, x = np.mgrid[:height, :width] + 0.5
    speed = np.hypot(epipole[0] - epipole[2] * x, epipole[1] - epipole[2] * y)
    step = options.step_px / float(np.percentile(speed, 90))
    count = int(np.clip(np.ceil((high - low) / step) + 1, 4, options.max_steps))
    step = (high - low) / (count - 1)
    if (needed := 3.0 * count * gray0.size / _GIB) > options.memory_gib:
        raise ValueError(
            f"{width}x{height} pixels with {count} places on each line need {needed:.1f} GiB, memory_gib is "
            f"{options.memory_gib:g}; reduce the photos (1000 pixels are a good width), or raise step_px"
        )
    parallax, score = _search(gray0, warped, valid, epipole.astype(np.float32), (low, step, count))
    w = geometry.homography[2, 0] * x + geometry.homography[2, 1] * y + geometry.homography[2, 2]
    w = w + parallax * geometry.epipole[2]
    ends = [
        (
            geometry.homography[i, 0] * x
            + geometry.homography[i, 1] * y
            + geometry.homography[i, 2]
            + parallax * geometry.epipole[i]
        )
        / w
        for i in range(2)
    ]
    flow = np.stack([ends[0] - x, ends[1] - y], axis=-1).astype(np.float32)
    flow[score <= 0.0] = np.nan
    return flow, np.maximum(score, 0.0)


def _search(
    gray0: np.ndarray,
    gray1: np.ndarray,
    valid1: np.ndarray,
    epipole: np.ndarray,
    places: tuple[float, float, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Parallax and correlation, (H, W) float32, of image 0 and the warped image 1."""
    cv2 = require("cv2")
    low, step, count = places
    shape = gray0.shape
    costs = np.empty((*shape, count), np.uint8)
    bits = kernels.census(gray0), kernels.census(gray1)
    kernels.fill_costs(*bits, valid1, epipole, np.float32(low), np.float32(step), costs)
    total = np.zeros(costs.shape, np.uint16)
    jumps = _jumps(gray0)
    p1 = np.float32(_SMALL)
    for direction in (1, -1):
        kernels.sum_along_rows(costs, jumps, p1, direction, total)
        for shift in (-1, 0, 1):
            kernels.sum_across_rows(costs, jumps, p1, direction, shift, total)
    best = np.empty(shape, np.int32)
    kernels.pick(total, best)
    parallax = (low + step * best).astype(np.float32)
    smooth = cv2.blur(cv2.medianBlur(parallax, 5), (5, 5))
    slopes = np.stack([cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0)], axis=-1)
    slopes = np.clip(slopes, -step, step).astype(np.float32)
    score = np.empty(shape, np.float32)
    kernels.refine(gray0, gray1, epipole, slopes, np.float32(0.5 * step), _RADIUS, parallax, score)
    return parallax, score


def _jumps(gray: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32, whole: P2 between a pixel and its left and upper neighbour, smaller where the grey changes."""
    jumps = np.empty((*gray.shape, 2), np.float32)
    for i, axis in enumerate((1, 0)):
        change = np.abs(np.diff(gray, axis=axis, prepend=gray[:, :1] if axis else gray[:1]))
        jumps[..., i] = np.round(_SMALL + (_LARGE - _SMALL) / (1.0 + change / _EDGE))
    return jumps


def _ends_back(
    geometry: EpipolarGeometry, low: float, high: float, shape: tuple[int, int]
) -> tuple[float, float]:
    """Lowest and highest parallax in the other direction of what is between `low` and `high` in this one."""
    height, width = shape
    x0 = np.stack(np.meshgrid(np.linspace(0.0, width, 9), np.linspace(0.0, height, 9)), axis=-1).reshape(
        -1, 2
    )
    found = []
    for end in (low, high):
        x1 = np.c_[x0, np.ones(len(x0))] @ geometry.homography.T + end * geometry.epipole
        seen = x1[:, 2] > 0.0
        x1 = x1[seen, :2] / x1[seen, 2:]
        inside = ((x1 > -0.1 * width) & (x1 < [1.1 * width, 1.1 * height])).all(axis=1)
        found.append(geometry.reversed().parallax(x1[inside], x0[seen][inside]))
    values = np.concatenate(found)
    return float(values.min()), float(values.max())
