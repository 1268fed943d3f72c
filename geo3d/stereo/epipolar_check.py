"""Is a pair rectified, which image is left, and between which disparities does the scene lie: from matched features."""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation import EstimationError, RansacOptions, estimate_fundamental
from geo3d.features import SiftOptions, extract, index_descriptors, match_indexed
from geo3d.stereo.costs import to_gray
from geo3d.util.require import require

ENOUGH_MATCHES = 24
"""Below this nothing can be said of a pair."""

_MAX_FEATURES = 4000
_LONGEST_SIDE = 1600
_MAX_ERROR_PX = 3.0
_LIMIT_PX = 1.5  # median difference of rows, up to which a pair can be matched along them
_SWAPPED_SHARE = 0.9
_NEIGHBOURS, _LIKE_SHARE = (
    8,
    0.04,
)  # matches around one, and how much of the width their disparities may differ by


@dataclass(frozen=True, eq=False)
class PairGeometry:
    """How the two images of a pair lie to each other.

    Attributes
    ----------
    left, right : (N, 2) float64
        Matched features that one epipolar geometry explains, pixels x, y.
    """

    left: np.ndarray
    right: np.ndarray

    @property
    def count(self) -> int:
        """Number of the matches."""
        return len(self.left)

    @property
    def vertical_px(self) -> float:
        """Median of |y_left - y_right|: what the rows differ by. NaN without matches."""
        return float(np.median(np.abs(self.left[:, 1] - self.right[:, 1]))) if self.count else float("nan")

    @property
    def vertical_95_px(self) -> float:
        """95 % of the matches have rows that differ by at most this. NaN without matches."""
        rows = np.abs(self.left[:, 1] - self.right[:, 1])
        return float(np.percentile(rows, 95)) if self.count else float("nan")

    @property
    def disparities_px(self) -> np.ndarray:
        """(N,) x_left - x_right."""
        return self.left[:, 0] - self.right[:, 0]


def measure_pair(left: np.ndarray, right: np.ndarray) -> PairGeometry:
    """Match features of two images and keep those that one epipolar geometry explains.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
    """
    x = _matches(left, right)
    if len(x[0]) < ENOUGH_MATCHES:
        return PairGeometry(*(np.empty((0, 2)) for _ in range(2)))
    try:
        inliers = estimate_fundamental(*x, RansacOptions(max_error_px=_MAX_ERROR_PX)).inliers
    except EstimationError:
        inliers = np.zeros(len(x[0]), bool)
    return PairGeometry(x[0][inliers], x[1][inliers])


def _matches(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cv2 = require("cv2")
    found = []
    for image in (left, right):
        gray = to_gray(image)
        height, width = gray.shape
        shrink = min(1.0, _LONGEST_SIDE / max(gray.shape))
        size = round(shrink * width), round(shrink * height)
        if shrink < 1.0:
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        scale = size[0] / width, size[1] / height
        found.append(extract(gray, SiftOptions(max_features=_MAX_FEATURES), scale=scale))
    pairs = match_indexed(index_descriptors(found[0].descriptors), index_descriptors(found[1].descriptors))
    one, two = (features.keypoints[pairs[:, i]].astype(np.float64) for i, features in enumerate(found))
    return one, two


def check_rectified(geometry: PairGeometry) -> None:
    """Refuse a pair whose rows do not match, or that is swapped. Says nothing where there are too few matches.

    Parameters
    ----------
    geometry : PairGeometry
        Of `measure_pair`.

    Raises
    ------
    ValueError
        With the figure that was measured, and what to do.
    """
    if geometry.count < ENOUGH_MATCHES:
        return
    rows, columns = geometry.vertical_px, float(np.median(np.abs(geometry.disparities_px)))
    if rows > _LIMIT_PX:
        turned = " (they lie above each other: a vertical pair)" if columns < 0.25 * rows else ""
        raise ValueError(
            f"the pair is not rectified: the rows of {geometry.count} matched points differ by {rows:.1f} px in the "
            f"median{turned}; at most {_LIMIT_PX:g} can be matched. Rectify it with the calibration of the rig, "
            "--calib rig.json, or without one by --uncalibrated"
        )
    check_order(geometry)


def check_order(geometry: PairGeometry) -> None:
    """Refuse a rectified pair that is swapped. Says nothing where there are too few matches.

    Parameters
    ----------
    geometry : PairGeometry
        Of `measure_pair`.

    Raises
    ------
    ValueError
        With the share of the matches that lie farther right in the right image.
    """
    if geometry.count < ENOUGH_MATCHES:
        return
    wrong = float((geometry.disparities_px < 0.0).mean())
    if wrong > _SWAPPED_SHARE:
        raise ValueError(
            f"left and right are swapped, it seems: {100 * wrong:.0f} % of {geometry.count} matched points lie farther "
            "right in the right image; give the images the other way round"
        )


def disparity_range(geometry: PairGeometry, width: int) -> tuple[int, int]:
    """Lowest and highest disparity to search: what the matches span and a margin; an eighth of the width without them.

    Parameters
    ----------
    geometry : PairGeometry
    width : int
        Of the images, pixels.
    """
    if geometry.count < ENOUGH_MATCHES:
        return 0, max(63, width // 8)
    low, high = np.percentile(_supported(geometry, width), [0.5, 99.5])
    margin = 0.15 * (high - low) + 8.0
    first = min(0, int(np.floor(low - margin))) if low < 2.0 else max(0, int(np.floor(low - margin)))
    last = min(int(np.ceil(high + margin)), width - 1)
    return first, first + max(16, -(-(last - first + 1) // 16) * 16) - 1


def _supported(geometry: PairGeometry, width: int) -> np.ndarray:
    """The disparities that are like those of the matches around: wrong matches along a row fit its geometry, too."""
    from scipy.spatial import KDTree

    disparities = geometry.disparities_px
    near = np.asarray(KDTree(geometry.left).query(geometry.left, k=_NEIGHBOURS + 1)[1])
    apart = np.abs(disparities - np.median(disparities[near[:, 1:]], axis=1))
    kept = disparities[apart <= _LIKE_SHARE * width]
    return kept if len(kept) >= ENOUGH_MATCHES else disparities
