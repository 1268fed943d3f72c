"""SIFT keypoints with RootSIFT descriptors.

Extrema of differences of Gaussians (Lowe 2004), found and described on one scale space, the coarsest octave first: what
is finer than wanted is never looked at twice. The kernels count pixel centres as integers; half a pixel is added once,
here, so that the centre of the top-left pixel is (0.5, 0.5). Keypoints are those of OpenCV's SIFT with its precise
upscale. Descriptors are RootSIFT (Arandjelovic and Zisserman 2012) in COLMAP's quantisation:
`d = sqrt(sift / |sift|_1)`, which has unit L2 norm, times 512, rounded and clipped to uint8. The dot product of two
descriptors over 512^2 is the cosine of their angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.features.scale_space import LAYERS, SIGMA, octaves
from geo3d.features.sift_kernels import describe, find_extrema, orient
from geo3d.util.require import require

DESCRIPTOR_LENGTH = 128
QUANTUM = 512.0
_WORTH_HALVING = 1000  # pixels of the longer side of the half size


@dataclass(frozen=True)
class SiftOptions:
    """How features are extracted.

    Attributes
    ----------
    max_features : int
        The largest are kept: they are found again from further away, while the finest ones of grass, leaves
        and waves are not.
    max_size : int
        Photos are reduced to at most this many pixels on the longer side before detection.
    contrast_threshold, edge_threshold : float
        Least contrast of an extremum (divided by the layers per octave inside, as OpenCV does), and largest ratio
        of principal curvatures.
    """

    max_features: int = 8192
    max_size: int = 3200
    contrast_threshold: float = 0.02
    edge_threshold: float = 10.0

    def __post_init__(self) -> None:
        if self.max_features < 1:
            raise ValueError(f"max_features must be at least 1, got {self.max_features}")
        if self.max_size < 16:
            raise ValueError(f"max_size must be at least 16 pixels, got {self.max_size}")
        if not self.contrast_threshold >= 0:
            raise ValueError(f"contrast_threshold must not be negative, got {self.contrast_threshold}")
        if not self.edge_threshold > 0:
            raise ValueError(f"edge_threshold must be positive, got {self.edge_threshold}")


@dataclass(frozen=True, eq=False)
class Features:
    """Keypoints and descriptors of one photo, the largest first.

    Attributes
    ----------
    keypoints : (N, 2) float32
        Pixels x, y; the centre of the top-left pixel is (0.5, 0.5).
    scales : (N,) float32
        Standard deviation of the blob in pixels.
    angles : (N,) float32
        Radians from x towards y, in [0, 2 pi).
    descriptors : (N, 128) uint8
        RootSIFT times 512.
    """

    keypoints: np.ndarray
    scales: np.ndarray
    angles: np.ndarray
    descriptors: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)


def extract(
    gray: np.ndarray,
    options: SiftOptions | None = None,
    mask: np.ndarray | None = None,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Features:
    """Detect and describe the features of a grey photo.

    Runs on the calling thread alone if OpenCV was told so (`cv2.setNumThreads(1)`), and releases the GIL.

    Parameters
    ----------
    gray : (H, W) uint8
    options : SiftOptions, optional
        `max_size` is not applied here but where the photo is read.
    mask : (H, W) bool, optional
        Features are kept where it is true.
    scale : (float, float)
        Size of `gray` over the size of the photo (`Photo.scale`); keypoints come back in the photo's pixels.

    Raises
    ------
    ValueError
        If `gray` is not (H, W) uint8 or the mask has another shape.
    """
    options = options or SiftOptions()
    if gray.ndim != 2 or gray.dtype != np.uint8:
        raise ValueError(
            f"gray must be (H, W) uint8, got {gray.shape} {gray.dtype}; read it with mode='gray'"
        )
    if mask is not None and mask.shape != gray.shape:
        raise ValueError(f"mask must have the photo's shape {gray.shape}, got {mask.shape}")
    if max(gray.shape) >= 2 * _WORTH_HALVING:
        # What the full size adds to the half size is finer, and not wanted when there are enough coarser ones.
        cv2 = require("cv2")
        size = (gray.shape[1] // 2, gray.shape[0] // 2)
        half = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        half_mask = None
        if mask is not None:
            half_mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        half_scale = (scale[0] * size[0] / gray.shape[1], scale[1] * size[1] / gray.shape[0])
        found = _extract(half, half_mask, options, half_scale)
        if len(found) == options.max_features:
            return found
    return _extract(gray, mask, options, scale)


def _extract(
    gray: np.ndarray, mask: np.ndarray | None, options: SiftOptions, scale: tuple[float, float]
) -> Features:
    """The largest features, octave by octave from the coarsest, as many as are wanted."""
    space = list(octaves(gray))
    wanted = options.max_features
    keypoints, raw = [np.zeros((0, 5))], [np.zeros((0, DESCRIPTOR_LENGTH), np.float32)]
    for octave, levels in reversed(list(enumerate(space))):
        extrema = _extrema(levels, options)
        if mask is not None:
            at = np.rint(extrema[:, :2] * 2.0**octave / 2).astype(np.int64)
            extrema = extrema[
                mask[np.minimum(at[:, 1], len(mask) - 1), np.minimum(at[:, 0], mask.shape[1] - 1)]
            ]
        oriented = np.empty((2 * len(extrema) + 8, 3))
        count = orient(levels, extrema, SIGMA, wanted, oriented)
        rows, blur, turns = oriented[:count].T
        found = extrema[rows.astype(np.int64)]
        histograms = np.empty((count, DESCRIPTOR_LENGTH), np.float32)
        x, y = np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1])
        describe(levels, x, y, found[:, 2].astype(np.int64), blur.copy(), turns.copy(), histograms)
        to_photo = 2.0**octave / 2  # the finest octave is of the doubled photo
        keypoints.append(np.column_stack([x * to_photo, y * to_photo, blur * to_photo, turns, found[:, 4]]))
        raw.append(histograms)
        wanted -= count
        if wanted <= 0:
            break
    every, histograms = np.concatenate(keypoints), np.concatenate(raw)
    # Equal sizes by contrast and place, so that the order is the same on every machine.
    order = np.lexsort((every[:, 0], every[:, 1], every[:, 3], -every[:, 4], -every[:, 2]))
    order = order[: options.max_features]
    every = every[order]
    return Features(
        keypoints=((every[:, :2] + 0.5) / np.asarray(scale)).astype(np.float32),
        scales=(every[:, 2] / np.sqrt(scale[0] * scale[1])).astype(np.float32),
        angles=(2 * np.pi * every[:, 3]).astype(np.float32),
        descriptors=root_sift(histograms[order]),
    )


def _extrema(levels: np.ndarray, options: SiftOptions) -> np.ndarray:
    """Rows of `find_extrema`, each once, the largest first."""
    contrast = options.contrast_threshold / LAYERS
    found = np.empty((levels.shape[1] * levels.shape[2] // 64 + 64, 5))
    count = find_extrema(levels, contrast, options.edge_threshold, found)
    if count > len(found):
        found = np.empty((count, 5))
        find_extrema(levels, contrast, options.edge_threshold, found)
    found = found[:count]
    found = found[np.lexsort((found[:, 0], found[:, 1], -found[:, 4], -found[:, 3]))]
    again = (found[1:] == found[:-1]).all(axis=1)  # two pixels may lead to one extremum
    return found[np.concatenate([np.ones(min(count, 1), bool), ~again])]


def root_sift(raw: np.ndarray) -> np.ndarray:
    """RootSIFT of raw SIFT histograms, (N, 128) not negative -> (N, 128) uint8."""
    raw = np.asarray(raw, np.float32)
    total = np.maximum(raw.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.minimum(np.rint(np.sqrt(raw / total) * np.float32(QUANTUM)), 255).astype(np.uint8)
