"""Dense matching of a rectified pair: the disparity of every pixel, and how far to believe it.

    found = match(left, right, StereoOptions(max_disparity=63))
    found.disparity      # NaN where left and right do not agree
    found.filled         # every pixel

A disparity is x_left - x_right, pixels; a point at infinity has 0.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geo3d.stereo.cleaning import (
    fill_holes,
    left_right_check,
    remove_speckles,
    smooth_surfaces,
    weighted_median,
)
from geo3d.stereo.coarse_to_fine import match_any_size
from geo3d.stereo.deviation import deviation_features, deviation_of
from geo3d.stereo.options import QUALITIES, SemiGlobalOptions, StereoOptions
from geo3d.stereo.pair_images import PairImages, prepare_pair
from geo3d.stereo.patch_match import refine_planes
from geo3d.stereo.peers import match_opencv
from geo3d.stereo.semi_global_matching import Matched
from geo3d.stereo.trust import confidence_of

_FEW = 0.2  # share of known pixels, up to which something is likely wrong
_END_SHARE = 0.02  # of the pixels at one end of the range, from which the range is said to cut the scene off


@dataclass(frozen=True, eq=False)
class DisparityMap:
    """Disparities of the left image.

    Attributes
    ----------
    disparity : (H, W) float32
        x_left - x_right, px; NaN where it is not known: hidden in the right image, contradicted by it, or a speckle.
    filled : (H, W) float32
        The same with every pixel guessed that is not known.
    margin : (H, W) float32
        How much worse than the disparity found the next best one is, 0 to 1.
    images : PairImages
        As they were matched.
    at_start, at_end : float
        Share of the known pixels that sit at the lowest and the highest disparity of the range.
    notes : tuple of str
        What is unusual about the images or the result, in words.
    """

    disparity: np.ndarray
    filled: np.ndarray
    margin: np.ndarray
    images: PairImages
    at_start: float
    at_end: float
    notes: tuple[str, ...]

    @property
    def density(self) -> float:
        """Share of the pixels that are known."""
        return float(np.isfinite(self.disparity).mean())

    @property
    def confidence(self) -> np.ndarray:
        """(H, W) float32: chance that a known disparity is within one pixel of the truth; 0 where it is not known."""
        return np.where(np.isfinite(self.disparity), confidence_of(self.margin), np.float32(0.0))

    @cached_property
    def sigma_px(self) -> np.ndarray:
        """(H, W) float32: standard deviation of a known disparity of the right surface, px; NaN where not known."""
        return np.where(
            np.isfinite(self.disparity), deviation_of(self.deviation_features), np.float32(np.nan)
        )

    @property
    def deviation_features(self) -> np.ndarray:
        """(7, H, W) float32: what the deviation is taken from, of `geo3d.stereo.deviation`."""
        return deviation_features(
            self.disparity, self.filled, self.margin, self.images.left, self.images.right
        )


def match(left: np.ndarray, right: np.ndarray, options: StereoOptions | None = None) -> DisparityMap:
    """Match a rectified pair.

    Parameters
    ----------
    left, right : (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1]
        In which a point has the same row, and lies farther to the left in the right image.
    options : StereoOptions, optional

    Returns
    -------
    DisparityMap

    Raises
    ------
    ValueError
        If the images do not fit each other or show nothing that could be matched.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).integers(0, 255, (40, 100), np.uint8)
    >>> found = match(scene[:, :90], scene[:, 10:], StereoOptions(max_disparity=31))
    >>> round(float(np.nanmedian(found.disparity)), 1)
    10.0
    """
    options = options or StereoOptions()
    images = prepare_pair(left, right)
    settings = options.semi_global or QUALITIES[options.quality]
    if options.method in ("opencv", "block"):
        found = match_opencv(images.left, images.right, options)
        remove_speckles(found.checked, settings.speckle_px, 2.0)
    else:
        found = match_any_size(
            images.left, images.right, options.min_disparity, options.max_disparity, settings
        )
    if options.method == "patchmatch":
        found = _by_planes(found, images, options, settings)
    return _finish(found, images, options, settings)


def _by_planes(
    seed: Matched, images: PairImages, options: StereoOptions, settings: SemiGlobalOptions
) -> Matched:
    """PatchMatch from the semi-global disparities of both images; those of the right one from the mirrored pair."""
    low, high = options.min_disparity, options.max_disparity
    mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in (images.right, images.left)]
    other = match_any_size(mirrored[0], mirrored[1], low, high, settings)
    if not (np.isfinite(seed.checked).any() and np.isfinite(other.checked).any()):
        return seed
    start = (
        _filled(seed.checked, images.left, settings),
        np.ascontiguousarray(_filled(other.checked, mirrored[0], settings)[:, ::-1]),
    )
    left, right = refine_planes(images.left, images.right, start, low, high)
    checked = np.empty_like(left)
    left_right_check(left, right, np.float32(settings.tolerance_px), checked)
    remove_speckles(checked, 2 * settings.speckle_px, 2.0)
    return Matched(left, checked, seed.margin)


def _filled(sparse: np.ndarray, left: np.ndarray, settings: SemiGlobalOptions) -> np.ndarray:
    """Every pixel: holes filled, edges moved to those of the picture, surfaces smoothed."""
    known = np.isfinite(sparse)
    filled = fill_holes(sparse)
    if settings.fill_radius:
        filled = weighted_median(filled, left, known, False, settings.fill_radius, settings.median_levels)
    if settings.median_radius:
        filled = weighted_median(filled, left, known, True, settings.median_radius, settings.median_levels)
    if settings.smooth_radius:
        filled = smooth_surfaces(filled, left, settings.smooth_radius, settings.smooth_levels)
    return filled


def _finish(
    found: Matched,
    images: PairImages,
    options: StereoOptions,
    settings: SemiGlobalOptions,
) -> DisparityMap:
    """Clean, fill, and say what is to be said."""
    sparse = found.checked
    known = np.isfinite(sparse)
    if not known.any():
        raise ValueError(
            "left and right do not agree anywhere: is the pair rectified, in this order, and is the range of "
            f"disparities ({options.min_disparity} to {options.max_disparity} px) that of the scene?"
        )
    filled = _filled(sparse, images.left, settings)
    count = np.count_nonzero(known)
    with np.errstate(invalid="ignore"):
        at_start = np.count_nonzero(sparse < options.min_disparity + 1.0) / count
        at_end = np.count_nonzero(sparse > options.max_disparity - 1.0) / count
    return DisparityMap(
        np.where(known, filled, np.float32(np.nan)),
        filled,
        found.margin,
        images,
        at_start,
        at_end,
        images.notes + _density_notes(count / sparse.size) + _range_notes(at_start, at_end, options),
    )


def _density_notes(density: float) -> tuple[str, ...]:
    if density > _FEW:
        return ()
    return (
        f"left and right agree on {100 * density:.0f} % of the pixels only: are they of one scene, rectified, in this "
        "order, and is the range of disparities that of the scene?",
    )


def _range_notes(at_start: float, at_end: float, options: StereoOptions) -> tuple[str, ...]:
    notes = []
    if at_end > _END_SHARE:
        more = options.max_disparity + (options.max_disparity - options.min_disparity + 1)
        notes.append(
            f"{100 * at_end:.0f} % of pixels sit at the end of the range of disparities: what is nearer is cut off; "
            f"use --max-disparity {more}"
        )
    if at_start > _END_SHARE and options.min_disparity != 0:  # at 0 it may well be the horizon
        length = options.max_disparity - options.min_disparity + 1
        less = 0 if options.min_disparity > 0 else options.min_disparity - length
        notes.append(
            f"{100 * at_start:.0f} % of pixels sit at the start of the range of disparities: what is farther is cut "
            f"off; use --min-disparity {less}"
        )
    return tuple(notes)
