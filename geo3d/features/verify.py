"""Geometric verification of a pair: which matches one rigid scene explains, and what kind of pair it is.

With cameras that are known (calibrated or from EXIF) the relative pose is estimated; where it explains much
less than a fundamental matrix does, the calibration is not believed. Otherwise a fundamental matrix and a
homography compete. The kinds are COLMAP's (`TwoViewConfig`).

Photos of perspective cameras are turned against each other by some angle, and their features with them, give or take
what perspective adds. Geometries are sought among the matches that are turned alike (`turned_alike`), which leaves few
of the wrong ones: a pair that has nothing in common costs little.

The threshold `max_error_px` holds for photos of 1600 to 3200 pixels on the longer side. It grows with larger
ones, whose features were found at reduced size, and shrinks with smaller ones, to one half at 800 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.estimation import (
    EstimationError,
    FundamentalResult,
    HomographyResult,
    RansacOptions,
    RelativePoseResult,
    estimate_fundamental,
    estimate_homography,
    estimate_relative_pose,
    sampson_error,
)
from geo3d.estimation.essential import in_front
from geo3d.estimation.pixel_rays import pixel_rays, sampson_data
from geo3d.estimation.ransac import samples_needed
from geo3d.estimation.sampson import sampson_squared
from geo3d.estimation.transfer import transfer_squared
from geo3d.features.false_alarms import log10_false_alarms
from geo3d.geometry import SE3, closest_rotation

_LEAST_CONFIDENCE = 0.99  # of finding a geometry that no more matches agree with than have to
_ALIKE = np.pi / 2  # angles within which matches are turned alike


class TwoViewConfig(IntEnum):
    """COLMAP's kinds of pairs."""

    UNDEFINED = 0  # not enough matches
    DEGENERATE = 1  # no geometry explains enough of them
    CALIBRATED = 2  # a relative pose
    UNCALIBRATED = 3  # a fundamental matrix
    PLANAR = 4  # a relative pose over a plane: one of two
    PANORAMIC = 5  # a rotation without translation
    PLANAR_OR_PANORAMIC = 6  # a homography of cameras that are not known


@dataclass(frozen=True)
class VerifyOptions:
    """How pairs are verified.

    Attributes
    ----------
    max_error_px : float
        Threshold for photos of 1600 to 3200 pixels; see the module.
    min_inliers : int
        Matches at different places that must agree.
    max_log10_false_alarms : float
        Pairs whose epipolar geometry chance would make more often than this are refused (`false_alarms`).
    min_calibrated_share : float
        Least ratio of the inliers of the relative pose to those of the fundamental matrix.
    max_homography_share : float
        Ratio of the inliers of the homography to those of the fundamental matrix from which on the pair is
        called planar or panoramic.
    confidence : float
        With which RANSAC finds the geometry that explains most.
    max_iterations : int
        Of RANSAC.
    seed : int
        With a hash of the pair's names added when a whole database is verified.
    """

    max_error_px: float = 4.0
    min_inliers: int = 15
    max_log10_false_alarms: float = -12.0
    min_calibrated_share: float = 0.9
    max_homography_share: float = 0.8
    confidence: float = 0.9999
    max_iterations: int = 10000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.max_error_px > 0:
            raise ValueError(f"max_error_px must be positive, got {self.max_error_px}")
        if self.min_inliers < 8:
            raise ValueError(f"min_inliers must be at least 8, got {self.min_inliers}")


@dataclass(frozen=True, eq=False)
class TwoViewGeometry:
    """What was found about a pair.

    Attributes
    ----------
    config : TwoViewConfig
    matches : (M, 2) uint32
        Inliers: rows of the keypoints of both photos.
    F, E, H : (3, 3) float64 or None
        `x2^T F x1 = 0` in pixels, `x2^T E x1 = 0` on the unit plane, `x2 ~ H x1` in pixels.
    cam2_from_cam1 : SE3 or None
        Relative pose with unit translation, or zero translation for PANORAMIC.
    """

    config: TwoViewConfig
    matches: np.ndarray
    F: np.ndarray | None = None
    E: np.ndarray | None = None
    H: np.ndarray | None = None
    cam2_from_cam1: SE3 | None = None


_NO_MATCHES = np.zeros((0, 2), np.uint32)


@dataclass(frozen=True)
class _Search:
    """How geometries of one pair are sought."""

    options: VerifyOptions
    threshold: float  # pixels
    alike: np.ndarray  # (N,) bool: of the matches, those that are turned alike

    def ransac(self, count: int, sample_size: int) -> RansacOptions:
        """No more samples than it takes to find the least number of inliers that would be accepted."""
        options = self.options
        enough = samples_needed(min(1.0, options.min_inliers / count), sample_size, _LEAST_CONFIDENCE)
        most = min(options.max_iterations, max(enough, 32))
        return RansacOptions(
            max_error_px=self.threshold,
            confidence=options.confidence,
            min_iterations=min(64, most),
            max_iterations=most,
            seed=options.seed,
        )


def verify_pair(
    keypoints1: np.ndarray,
    keypoints2: np.ndarray,
    matches: np.ndarray,
    camera1: Camera,
    camera2: Camera,
    options: VerifyOptions | None = None,
) -> TwoViewGeometry:
    """Find the geometry of a pair and the matches that agree with it.

    Parameters
    ----------
    keypoints1, keypoints2 : (N, 2 or more)
        Pixels x, y in the first two columns; the centre of the top-left pixel is (0.5, 0.5). Where there are four, the
        last is the orientation in radians.
    matches : (M, 2) integers
        Rows of the keypoints.
    camera1, camera2 : Camera
        Used as known where both have `prior_focal`; otherwise only their sizes are.
    options : VerifyOptions, optional

    Returns
    -------
    TwoViewGeometry
        With no matches and UNDEFINED or DEGENERATE where the pair fails.

    Raises
    ------
    ValueError
        If a match names a keypoint that is not there, or a shape is wrong.
    """
    options = options or VerifyOptions()
    matches = _check_matches(matches, len(keypoints1), len(keypoints2))
    k1, k2 = np.asarray(keypoints1)[matches[:, 0]], np.asarray(keypoints2)[matches[:, 1]]
    x1, x2 = k1[:, :2].astype(np.float64), k2[:, :2].astype(np.float64)
    alike = np.ones(len(matches), bool)
    if k1.shape[1] == k2.shape[1] == 4 and all(c.model in _PERSPECTIVE for c in (camera1, camera2)):
        alike = turned_alike(k2[:, 3] - k1[:, 3])
    if _distinct(x1, x2, alike) < options.min_inliers:
        return TwoViewGeometry(TwoViewConfig.UNDEFINED, _NO_MATCHES)
    threshold = options.max_error_px * max(_threshold_scale(camera1), _threshold_scale(camera2))
    search = _Search(options, threshold, alike)
    found = None
    fundamental: FundamentalResult | None = None
    if camera1.prior_focal and camera2.prior_focal:
        pose = _relative_pose(x1, x2, camera1, camera2, search)
        count = 0 if pose is None else np.count_nonzero(pose.inliers)
        if count < options.min_calibrated_share * len(matches):  # else no F can beat it by enough
            fundamental = _fundamental(x1, x2, search)
        rival = 0 if fundamental is None else np.count_nonzero(fundamental.inliers)
        if pose is not None and count >= options.min_calibrated_share * rival:
            found = _calibrated(x1, x2, camera1, camera2, pose, search)
    else:
        fundamental = _fundamental(x1, x2, search)
    if found is None:
        found = _uncalibrated(x1, x2, fundamental, search)
    geometry, inliers = found
    if _distinct(x1, x2, inliers) < options.min_inliers or (
        _false_alarms(geometry, x1, x2, camera1, camera2, threshold) > options.max_log10_false_alarms
    ):
        return TwoViewGeometry(TwoViewConfig.DEGENERATE, _NO_MATCHES)
    return replace(geometry, matches=matches[inliers])


def turned_alike(turns: np.ndarray) -> np.ndarray:
    """The matches within the quarter of a turn that holds most of them.

    Parameters
    ----------
    turns : (N,)
        Orientation of the second keypoint less that of the first, radians.

    Returns
    -------
    (N,) bool
    """
    turns = np.asarray(turns, np.float64) % (2 * np.pi)
    ordered = np.sort(turns)
    ends = np.searchsorted(np.concatenate([ordered, ordered + 2 * np.pi]), ordered + _ALIKE, side="right")
    if not len(turns):
        return np.zeros(0, bool)
    first = ordered[int(np.argmax(ends - np.arange(len(turns))))]
    return (turns - first) % (2 * np.pi) <= _ALIKE


def _calibrated(
    x1: np.ndarray,
    x2: np.ndarray,
    camera1: Camera,
    camera2: Camera,
    pose: RelativePoseResult,
    search: _Search,
) -> tuple[TwoViewGeometry, np.ndarray]:
    """The kind of a pair with a relative pose, and its inliers (N,)."""
    inliers, cam2_from_cam1, H = pose.inliers, pose.cam2_from_cam1, None
    F = _fundamental_of(pose.E, camera1, camera2)
    if pose.degeneracy == "pure rotation":
        cam2_from_cam1, inliers = _rotation(x1, x2, camera1, camera2, inliers, search.threshold)
        H = _homography_of(cam2_from_cam1.rotation, camera1, camera2)
        return TwoViewGeometry(TwoViewConfig.PANORAMIC, _NO_MATCHES, None, None, H, cam2_from_cam1), inliers
    if pose.degeneracy == "plane":
        agreeing = replace(search, alike=np.ones(np.count_nonzero(inliers), bool))
        plane = _homography(x1[inliers], x2[inliers], agreeing)
        H = None if plane is None else plane.H
        return TwoViewGeometry(TwoViewConfig.PLANAR, _NO_MATCHES, F, pose.E, H, cam2_from_cam1), inliers
    return TwoViewGeometry(TwoViewConfig.CALIBRATED, _NO_MATCHES, F, pose.E, None, cam2_from_cam1), inliers


def _uncalibrated(
    x1: np.ndarray,
    x2: np.ndarray,
    fundamental: FundamentalResult | None,
    search: _Search,
) -> tuple[TwoViewGeometry, np.ndarray]:
    """The kind of a pair whose cameras are not known, and its inliers (N,)."""
    plane = _homography(x1, x2, search)
    in_plane = 0 if plane is None else np.count_nonzero(plane.inliers)
    rival = 0 if fundamental is None else np.count_nonzero(fundamental.inliers)
    if plane is not None and in_plane >= search.options.max_homography_share * rival:
        config = TwoViewConfig.PLANAR_OR_PANORAMIC
        F, inliers = None, plane.inliers
        if fundamental is not None and rival > in_plane:
            F, inliers = fundamental.F, fundamental.inliers
        return TwoViewGeometry(config, _NO_MATCHES, F, None, plane.H), inliers
    if fundamental is None:
        return TwoViewGeometry(TwoViewConfig.DEGENERATE, _NO_MATCHES), np.zeros(len(x1), bool)
    return TwoViewGeometry(TwoViewConfig.UNCALIBRATED, _NO_MATCHES, fundamental.F), fundamental.inliers


def _false_alarms(
    geometry: TwoViewGeometry,
    x1: np.ndarray,
    x2: np.ndarray,
    camera1: Camera,
    camera2: Camera,
    threshold: float,
) -> float:
    """Of an epipolar geometry; point transfers (homography, rotation) are too precise to arise by chance."""
    if geometry.config in (TwoViewConfig.PANORAMIC, TwoViewConfig.PLANAR_OR_PANORAMIC):
        return -np.inf
    errors = np.full(len(x1), np.inf)
    if geometry.E is not None:
        seen = _has_rays(x1, x2, camera1, camera2)
        data = sampson_data(pixel_rays("x1", x1[seen], camera1), pixel_rays("x2", x2[seen], camera2))
        errors[seen] = np.sqrt(sampson_squared(geometry.E.ravel(), data))
    elif geometry.F is not None:
        errors = np.sqrt(sampson_error(geometry.F, x1, x2))
    sample_size = 7 if geometry.E is None else 5
    return log10_false_alarms(errors, sample_size, (camera2.width, camera2.height), threshold)


def _has_rays(x1: np.ndarray, x2: np.ndarray, camera1: Camera, camera2: Camera) -> np.ndarray:
    """(N,) bool: wide cameras have pixels without a ray."""
    bearings = np.concatenate([camera1.unproject(x1), camera2.unproject(x2)], axis=1)
    return np.asarray(np.isfinite(bearings).all(axis=1))


def _relative_pose(
    x1: np.ndarray, x2: np.ndarray, camera1: Camera, camera2: Camera, search: _Search
) -> RelativePoseResult | None:
    """Of the matches that are turned alike; inliers are all that agree. None when there is none.

    Pixels without a ray are outliers.
    """
    seen = _has_rays(x1, x2, camera1, camera2)
    tried = seen & search.alike
    count = int(np.count_nonzero(tried))
    if count < search.options.min_inliers:
        return None
    try:
        pose = estimate_relative_pose(x1[tried], x2[tried], camera1, camera2, search.ransac(count, 5))
    except EstimationError:
        return None
    inliers = np.zeros(len(x1), bool)
    inliers[tried] = pose.inliers
    others = np.flatnonzero(seen & ~tried)
    if len(others):
        rays1, rays2 = pixel_rays("x1", x1[others], camera1), pixel_rays("x2", x2[others], camera2)
        inliers[others] = sampson_squared(pose.E.ravel(), sampson_data(rays1, rays2)) < search.threshold**2
        if pose.degeneracy != "pure rotation":  # there the side of a point is noise
            state = np.append(pose.cam2_from_cam1.rotation, pose.cam2_from_cam1.translation)
            inliers[others] &= in_front(state, rays1.bearings, rays2.bearings)
    return replace(pose, inliers=inliers)


def _fundamental(x1: np.ndarray, x2: np.ndarray, search: _Search) -> FundamentalResult | None:
    """As `_relative_pose`."""
    alike = search.alike
    try:
        found = estimate_fundamental(x1[alike], x2[alike], search.ransac(int(alike.sum()), 7))
    except EstimationError:
        return None
    inliers = sampson_error(found.F, x1, x2) < search.threshold**2
    inliers[alike] = found.inliers
    return replace(found, inliers=inliers)


def _homography(x1: np.ndarray, x2: np.ndarray, search: _Search) -> HomographyResult | None:
    """As `_relative_pose`."""
    alike = search.alike
    try:
        found = estimate_homography(x1[alike], x2[alike], search.ransac(int(alike.sum()), 4))
    except EstimationError:
        return None
    inliers = (
        transfer_squared(found.H.ravel(), np.ascontiguousarray(np.hstack([x1, x2]).T)) < search.threshold**2
    )
    inliers[alike] = found.inliers
    return replace(found, inliers=inliers)


def _rotation(
    x1: np.ndarray, x2: np.ndarray, camera1: Camera, camera2: Camera, inliers: np.ndarray, threshold: float
) -> tuple[SE3, np.ndarray]:
    """The rotation of most of the inliers, and which of all matches it takes to within the threshold.

    The epipolar inliers may hold matches that lie on the right line at a wrong place: they are left out step
    by step (least squares over the best half, then over all within the threshold).
    """
    bearings1, bearings2 = camera1.unproject(x1), camera2.unproject(x2)
    chosen = inliers
    rotation, error = np.eye(3), np.zeros(len(x1))
    for _ in range(4):
        rotation = closest_rotation(bearings2[chosen].T @ bearings1[chosen])
        error = np.linalg.norm(camera2.project(bearings1 @ rotation.T) - x2, axis=1)
        error[~np.isfinite(error)] = np.inf
        near = inliers & (error < threshold)
        chosen = near if near.sum() > inliers.sum() / 2 else inliers & (error <= np.median(error[inliers]))
    return SE3(rotation, np.zeros(3)), inliers & (error < threshold)


def _fundamental_of(E: np.ndarray, camera1: Camera, camera2: Camera) -> np.ndarray | None:
    """F of E, for cameras without distortion."""
    if not (_is_linear(camera1) and _is_linear(camera2)):
        return None
    F = np.linalg.inv(camera2.K).T @ E @ np.linalg.inv(camera1.K)
    return F / np.linalg.norm(F)


def _homography_of(rotation: np.ndarray, camera1: Camera, camera2: Camera) -> np.ndarray | None:
    """H of a rotation, for cameras without distortion."""
    if not (_is_linear(camera1) and _is_linear(camera2)):
        return None
    H = camera2.K @ rotation @ np.linalg.inv(camera1.K)
    return H / np.linalg.norm(H)


_PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")


def _is_linear(camera: Camera) -> bool:
    distortion = list(MODELS[camera.model].distortion_params)
    return camera.model in _PERSPECTIVE and not np.any(np.asarray(camera.params)[distortion])


def _threshold_scale(camera: Camera) -> float:
    longer = max(camera.width, camera.height)
    return max(longer / 3200, 1.0) if longer > 1600 else max(longer / 1600, 0.5)


def _distinct(x1: np.ndarray, x2: np.ndarray, chosen: np.ndarray) -> int:
    """Number of different places: a blob with two orientations is two keypoints at one place."""
    if not chosen.any():
        return 0
    places = (np.ascontiguousarray(x[chosen], np.float32).view(np.uint64) for x in (x1, x2))
    return min(len(np.unique(place)) for place in places)


def _check_matches(matches: np.ndarray, count1: int, count2: int) -> np.ndarray:
    matches = np.asarray(matches)
    if matches.size == 0:
        return _NO_MATCHES
    if matches.ndim != 2 or matches.shape[1] != 2 or matches.dtype.kind not in "iu":
        raise ValueError(f"matches must be (M, 2) integers, got {matches.shape} {matches.dtype}")
    if matches.min() < 0 or matches[:, 0].max() >= count1 or matches[:, 1].max() >= count2:
        raise ValueError(f"matches name keypoints that are not there: the photos have {count1} and {count2}")
    return matches.astype(np.uint32)
