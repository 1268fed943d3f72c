"""Geometric verification of a pair: which matches one rigid scene explains, and what kind of pair it is.

With cameras that are known (calibrated or from EXIF) the relative pose is estimated; where it explains much
less than a fundamental matrix does, the calibration is not believed. Otherwise a fundamental matrix and a
homography compete. The kinds are COLMAP's (`TwoViewConfig`).

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
from geo3d.estimation.pixel_rays import pixel_rays, sampson_data
from geo3d.estimation.ransac import samples_needed
from geo3d.estimation.sampson import sampson_squared
from geo3d.features.false_alarms import log10_false_alarms
from geo3d.geometry import SE3, closest_rotation


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
        Pixels x, y in the first two columns; the centre of the top-left pixel is (0.5, 0.5).
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
    x1 = np.asarray(keypoints1, np.float64)[matches[:, 0], :2]
    x2 = np.asarray(keypoints2, np.float64)[matches[:, 1], :2]
    if _distinct(x1, x2, np.ones(len(matches), bool)) < options.min_inliers:
        return TwoViewGeometry(TwoViewConfig.UNDEFINED, _NO_MATCHES)
    threshold = options.max_error_px * max(_threshold_scale(camera1), _threshold_scale(camera2))
    found = None
    fundamental: FundamentalResult | None = None
    if camera1.prior_focal and camera2.prior_focal:
        pose = _relative_pose(x1, x2, camera1, camera2, threshold, options)
        count = 0 if pose is None else np.count_nonzero(pose.inliers)
        if count < options.min_calibrated_share * len(matches):  # else no F can beat it by enough
            fundamental = _fundamental(x1, x2, threshold, options)
        rival = 0 if fundamental is None else np.count_nonzero(fundamental.inliers)
        if pose is not None and count >= options.min_calibrated_share * rival:
            found = _calibrated(x1, x2, camera1, camera2, pose, threshold, options)
    else:
        fundamental = _fundamental(x1, x2, threshold, options)
    if found is None:
        found = _uncalibrated(x1, x2, fundamental, threshold, options)
    geometry, inliers = found
    if _distinct(x1, x2, inliers) < options.min_inliers or (
        _false_alarms(geometry, x1, x2, camera1, camera2, threshold) > options.max_log10_false_alarms
    ):
        return TwoViewGeometry(TwoViewConfig.DEGENERATE, _NO_MATCHES)
    return replace(geometry, matches=matches[inliers])


def _calibrated(
    x1: np.ndarray,
    x2: np.ndarray,
    camera1: Camera,
    camera2: Camera,
    pose: RelativePoseResult,
    threshold: float,
    options: VerifyOptions,
) -> tuple[TwoViewGeometry, np.ndarray]:
    """The kind of a pair with a relative pose, and its inliers (N,)."""
    inliers, cam2_from_cam1, H = pose.inliers, pose.cam2_from_cam1, None
    F = _fundamental_of(pose.E, camera1, camera2)
    if pose.degeneracy == "pure rotation":
        cam2_from_cam1, inliers = _rotation(x1, x2, camera1, camera2, inliers, threshold)
        H = _homography_of(cam2_from_cam1.rotation, camera1, camera2)
        return TwoViewGeometry(TwoViewConfig.PANORAMIC, _NO_MATCHES, None, None, H, cam2_from_cam1), inliers
    if pose.degeneracy == "plane":
        plane = _homography(x1[inliers], x2[inliers], threshold, options)
        H = None if plane is None else plane.H
        return TwoViewGeometry(TwoViewConfig.PLANAR, _NO_MATCHES, F, pose.E, H, cam2_from_cam1), inliers
    return TwoViewGeometry(TwoViewConfig.CALIBRATED, _NO_MATCHES, F, pose.E, None, cam2_from_cam1), inliers


def _uncalibrated(
    x1: np.ndarray,
    x2: np.ndarray,
    fundamental: FundamentalResult | None,
    threshold: float,
    options: VerifyOptions,
) -> tuple[TwoViewGeometry, np.ndarray]:
    """The kind of a pair whose cameras are not known, and its inliers (N,)."""
    plane = _homography(x1, x2, threshold, options)
    in_plane = 0 if plane is None else np.count_nonzero(plane.inliers)
    rival = 0 if fundamental is None else np.count_nonzero(fundamental.inliers)
    if plane is not None and in_plane >= options.max_homography_share * rival:
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


def _ransac(count: int, sample_size: int, threshold: float, options: VerifyOptions) -> RansacOptions:
    """No more samples than it takes to find the least number of inliers that would be accepted."""
    enough = samples_needed(min(1.0, options.min_inliers / count), sample_size, options.confidence)
    most = min(options.max_iterations, max(enough, 32))
    return RansacOptions(
        max_error_px=threshold,
        confidence=options.confidence,
        min_iterations=min(100, most),
        max_iterations=most,
        seed=options.seed,
    )


def _relative_pose(
    x1: np.ndarray, x2: np.ndarray, camera1: Camera, camera2: Camera, threshold: float, options: VerifyOptions
) -> RelativePoseResult | None:
    """None when there is none; pixels without a ray are outliers."""
    seen = _has_rays(x1, x2, camera1, camera2)
    count = int(np.count_nonzero(seen))
    if count < options.min_inliers:
        return None
    try:
        pose = estimate_relative_pose(
            x1[seen], x2[seen], camera1, camera2, _ransac(count, 5, threshold, options)
        )
    except EstimationError:
        return None
    inliers = np.zeros(len(x1), bool)
    inliers[seen] = pose.inliers
    return replace(pose, inliers=inliers)


def _fundamental(
    x1: np.ndarray, x2: np.ndarray, threshold: float, options: VerifyOptions
) -> FundamentalResult | None:
    try:
        return estimate_fundamental(x1, x2, _ransac(len(x1), 7, threshold, options))
    except EstimationError:
        return None


def _homography(
    x1: np.ndarray, x2: np.ndarray, threshold: float, options: VerifyOptions
) -> HomographyResult | None:
    try:
        return estimate_homography(x1, x2, _ransac(len(x1), 4, threshold, options))
    except EstimationError:
        return None


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
    return min(len(np.unique(x @ [1, 1j])) for x in (x1[chosen], x2[chosen]))


def _check_matches(matches: np.ndarray, count1: int, count2: int) -> np.ndarray:
    matches = np.asarray(matches)
    if matches.size == 0:
        return _NO_MATCHES
    if matches.ndim != 2 or matches.shape[1] != 2 or matches.dtype.kind not in "iu":
        raise ValueError(f"matches must be (M, 2) integers, got {matches.shape} {matches.dtype}")
    if matches.min() < 0 or matches[:, 0].max() >= count1 or matches[:, 1].max() >= count2:
        raise ValueError(f"matches name keypoints that are not there: the photos have {count1} and {count2}")
    return matches.astype(np.uint32)
