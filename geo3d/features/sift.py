"""SIFT keypoints with RootSIFT descriptors.

Detection is OpenCV's (Lowe 2004) with its precise upscale, whose keypoints count pixel centres as integers;
half a pixel is added once, here, so that the centre of the top-left pixel is (0.5, 0.5). Descriptors are
RootSIFT (Arandjelovic and Zisserman 2012) in COLMAP's quantisation: `d = sqrt(sift / |sift|_1)`, which has
unit L2 norm, times 512, rounded and clipped to uint8. The dot product of two descriptors over 512^2 is the
cosine of their angle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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
        OpenCV's: least contrast of an extremum (divided by the layers per octave inside), and largest ratio
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
    if min(gray.shape) < 8:
        return _features([], np.zeros((0, DESCRIPTOR_LENGTH), np.float32), scale)
    keep = None if mask is None else np.ascontiguousarray(mask, np.uint8)
    if max(gray.shape) >= 2 * _WORTH_HALVING:
        # What the full size adds to the half size is finer, and not wanted when there are enough coarser ones.
        cv2 = require("cv2")
        size = (gray.shape[1] // 2, gray.shape[0] // 2)
        half = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        half_keep = None if keep is None else cv2.resize(keep, size, interpolation=cv2.INTER_NEAREST)
        found = _detect(half, half_keep, options)
        if len(found[0]) == options.max_features:
            return _features(*found, (scale[0] * size[0] / gray.shape[1], scale[1] * size[1] / gray.shape[0]))
    return _features(*_detect(gray, keep, options), scale)


def _detect(gray: np.ndarray, keep: np.ndarray | None, options: SiftOptions) -> tuple[list[Any], np.ndarray]:
    """OpenCV's keypoints, the largest first, and their raw descriptors (N, 128)."""
    cv2 = require("cv2")
    sift = cv2.SIFT_create(
        contrastThreshold=options.contrast_threshold,
        edgeThreshold=options.edge_threshold,
        enable_precise_upscale=True,
    )
    gray = np.ascontiguousarray(gray)
    keypoints = sift.detect(gray, keep)
    chosen = [keypoints[i] for i in _largest(keypoints, options.max_features)]
    if not chosen:
        return [], np.zeros((0, DESCRIPTOR_LENGTH), np.float32)
    kept, raw = sift.compute(gray, chosen)
    return list(kept), raw


def root_sift(raw: np.ndarray) -> np.ndarray:
    """RootSIFT of raw SIFT histograms, (N, 128) not negative -> (N, 128) uint8."""
    raw = np.asarray(raw, np.float32)
    total = np.maximum(raw.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.minimum(np.rint(np.sqrt(raw / total) * np.float32(QUANTUM)), 255).astype(np.uint8)


def _largest(keypoints: Any, limit: int) -> np.ndarray:
    """Rows by falling size, ties by contrast and place, so that the order is the same on every machine."""
    if not keypoints:
        return np.zeros(0, np.int64)
    rows = np.array([(*k.pt, k.angle, -k.response, -k.size) for k in keypoints])
    return np.lexsort(rows.T)[:limit]


def _features(keypoints: list[Any], raw: np.ndarray, scale: tuple[float, float]) -> Features:
    count = len(keypoints)
    pixels = np.array([k.pt for k in keypoints], np.float64).reshape(count, 2) + 0.5
    mean_scale = np.sqrt(scale[0] * scale[1])
    return Features(
        keypoints=(pixels / np.asarray(scale)).astype(np.float32),
        scales=(np.array([k.size for k in keypoints], np.float64) / 2 / mean_scale).astype(np.float32),
        angles=np.deg2rad(np.array([k.angle for k in keypoints], np.float64) % 360).astype(np.float32),
        descriptors=root_sift(raw),
    )
