"""SIFT keypoints with RootSIFT descriptors.

Extrema of differences of Gaussians (Lowe 2004), found and described on one scale space, the coarsest octave first: what
is finer than wanted is never looked at. The kernels count pixel centres as integers; half a pixel is added once, here,
so that the centre of the top-left pixel is (0.5, 0.5). Keypoints are those of OpenCV's SIFT. Descriptors are RootSIFT
(Arandjelovic and Zisserman 2012) in COLMAP's quantisation: `d = sqrt(sift / |sift|_1)`, which has unit L2 norm, times
512, rounded and clipped to uint8. The dot product of two descriptors over 512^2 is the cosine of their angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.features.scale_space import LEVELS, STEPS, Octave, doubled_octave, photo_octave, pyramid
from geo3d.features.sift_kernels import BORDER, describe, find_extrema, orient

DESCRIPTOR_LENGTH = 128
QUANTUM = 512.0
_SMALLEST = 2 * BORDER + 3  # pixels a side of an octave in which there can be an extremum
_LARGE = 2000  # pixels of the longer side, from which on a photo is doubled only if there are too few features without
_DIRECTIONS = 4  # of a keypoint, far more than there are on average
_ROWS = 800  # of a large photo that are doubled at once
_HALO = 40  # rows on either side of these: as far as blur (46 pixels of the octave) and descriptors (24 + 40) reach


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

    Runs on the calling thread and releases the GIL.

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
    if min(gray.shape) < _SMALLEST:
        return _features([], scale)
    large = max(gray.shape) >= _LARGE
    octaves = pyramid(photo_octave(gray) if large else doubled_octave(gray), _SMALLEST)
    found: list[_Found] = []
    wanted = options.max_features
    while octaves and wanted > 0:
        found.append(_search(octaves.pop(), mask, options, wanted))
        wanted -= len(found[-1].angles)
    if large and wanted > 0:
        found.append(_search_doubled(gray, mask, options, wanted))
    return _features(found, scale)


def extraction_bytes(width: int, height: int) -> int:
    """About the most memory that `extract` takes for a photo.

    Parameters
    ----------
    width, height : int
        Of the photo that is searched, pixels.
    """
    pyramid_of = 4 / 3 * 4 * LEVELS  # bytes a pixel of the first octave
    if max(width, height) < _LARGE:
        return int(pyramid_of * 4 * width * height)
    rows = min(_ROWS + 2 * _HALO, height)
    return int(max(pyramid_of * height, 4 * LEVELS * 4 * rows) * width)


@dataclass(frozen=True, eq=False)
class _Found:
    """Features of one octave, the largest first."""

    keypoints: np.ndarray  # (N, 3): x, y, scale in pixels of the octave
    angles: np.ndarray  # (N,) float32, turns
    histograms: np.ndarray  # (N, 128) float32
    pixel: float  # of the octave, in pixels of the photo


def _search_doubled(gray: np.ndarray, mask: np.ndarray | None, options: SiftOptions, wanted: int) -> _Found:
    """The largest features of octave -1, at most `wanted`, from bands of rows: whole, it takes four times a photo's."""
    bands = -(-len(gray) // _ROWS)
    rows = -(-len(gray) // bands)
    best: _Found | None = None
    for start in range(0, len(gray), rows):
        top, end = max(0, start - _HALO), start + rows + _HALO
        octave = doubled_octave(gray[top:end])
        octave.blur_up_to(STEPS)
        mine = slice(2 * (start - top), 2 * (start - top + rows))
        least = best.keypoints[-1, 2] if best is not None and len(best.angles) == wanted else 0.0
        part = mask if mask is None else mask[top:end]
        found = _search(octave, part, options, wanted, mine, least)
        del octave  # before the next is made
        found.keypoints[:, 1] += 2 * top
        best = found if best is None else _largest(best, found, wanted)
    assert best is not None
    return best


def _largest(first: _Found, second: _Found, wanted: int) -> _Found:
    """The largest of two parts of an octave."""
    keypoints = np.concatenate([first.keypoints, second.keypoints])
    order = np.argsort(-keypoints[:, 2], kind="stable")[:wanted]
    angles, histograms = (
        np.concatenate([getattr(first, name), getattr(second, name)])[order]
        for name in ("angles", "histograms")
    )
    return _Found(keypoints[order], angles, histograms, first.pixel)


def _search(
    octave: Octave,
    mask: np.ndarray | None,
    options: SiftOptions,
    wanted: int,
    rows: slice | None = None,
    least: float = 0.0,
) -> _Found:
    """The largest features of an octave with levels 0 to 3, at most `wanted`, in some rows, and not below a scale."""
    octave.blur_up_to(LEVELS - 1, STEPS + 1)
    places, keypoints = _extrema(octave, options)
    if rows is not None:
        kept = (places[:, 1] >= rows.start) & (places[:, 1] < rows.stop) & (keypoints[:, 2] >= least)
        places, keypoints = places[kept], keypoints[kept]
    if mask is not None:
        column, row = np.rint(keypoints[:, :2].T * octave.pixel).astype(np.int64)
        kept = mask[np.minimum(row, len(mask) - 1), np.minimum(column, mask.shape[1] - 1)]
        places, keypoints = places[kept], keypoints[kept]
    places, keypoints = places[:wanted], keypoints[:wanted]
    room = _DIRECTIONS * len(places)
    owner, angles = np.empty(room, np.int64), np.empty(room, np.float32)
    count = orient(*octave.shape, places, np.ascontiguousarray(keypoints[:, 2]), owner, angles)
    # Equal sizes by contrast and place, so that the order is the same on every machine.
    x, y, size, contrast = keypoints[owner[:count]].T
    order = np.lexsort((x, y, angles[:count], -contrast, -size))[:wanted]
    owner, angles = owner[order], angles[order]
    chosen = np.ascontiguousarray(keypoints[owner, :3])
    histograms = np.empty((len(owner), DESCRIPTOR_LENGTH), np.float32)
    describe(*octave.shape, places[owner, 0], chosen, angles, histograms)
    return _Found(chosen, angles, histograms, octave.pixel)


def _extrema(octave: Octave, options: SiftOptions) -> tuple[np.ndarray, np.ndarray]:
    """Level, row, column (N, 3) int64 and x, y, scale, contrast (N, 4) of extrema, each once, the largest first."""
    thresholds = options.contrast_threshold / STEPS, options.edge_threshold
    found = np.empty((octave.height * octave.width // 64 + 64, 7))
    count = find_extrema(*octave.shape, *thresholds, found)
    if count > len(found):
        found = np.empty((count, 7))
        find_extrema(*octave.shape, *thresholds, found)
    found = found[:count]
    found = found[np.lexsort((found[:, 3], found[:, 4], -found[:, 6], -found[:, 5]))]
    again = (found[1:, 3:] == found[:-1, 3:]).all(axis=1)  # two pixels may lead to one extremum
    found = found[np.concatenate([np.ones(min(count, 1), bool), ~again])]
    return found[:, :3].astype(np.int64), found[:, 3:]


def _features(found: list[_Found], scale: tuple[float, float]) -> Features:
    """Features of all octaves, in pixels of a photo of which the searched image is `scale` times the size."""
    mean_scale = np.sqrt(scale[0] * scale[1])
    none = np.zeros((0, DESCRIPTOR_LENGTH), np.float32)
    pixels = [(f.keypoints[:, :2] * f.pixel + 0.5) / np.asarray(scale) for f in found]
    sizes = [f.keypoints[:, 2] * (f.pixel / mean_scale) for f in found]
    return Features(
        keypoints=np.concatenate([none[:, :2], *pixels]).astype(np.float32),
        scales=np.concatenate([none[:, 0], *sizes]).astype(np.float32),
        angles=np.float32(2 * np.pi) * np.concatenate([none[:, 0], *(f.angles for f in found)]),
        descriptors=root_sift(np.concatenate([none, *(f.histograms for f in found)])),
    )


def root_sift(raw: np.ndarray) -> np.ndarray:
    """RootSIFT of raw SIFT histograms, (N, 128) not negative -> (N, 128) uint8."""
    raw = np.asarray(raw, np.float32)
    total = np.maximum(raw.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.minimum(np.rint(np.sqrt(raw / total) * np.float32(QUANTUM)), 255).astype(np.uint8)
