"""Rectification without a calibration: two homographies from matched points (Hartley, IJCV 1999).

H_right turns the right epipole onto the x axis about the image's centre and sends it to infinity; near the centre it
is a rigid motion, so that shapes stay. H_left is H_right M, M = [e'] F + e' 1^T, times the affine map of x alone that
brings matched points together: x_left - x_right is then a disparity up to a constant and a scale, and no depth.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import remap_image
from geo3d.estimation import EstimationError, RansacOptions, epipoles, estimate_fundamental
from geo3d.geometry import skew
from geo3d.stereo.epipolar_check import ENOUGH_MATCHES, PairGeometry

_MAX_ERROR_PX = 2.0
_MOST_STRETCH = 3.0  # of a pixel at the border


@dataclass(frozen=True, eq=False)
class UncalibratedRectification:
    """Homographies that make the rows of two photos match.

    Attributes
    ----------
    left, right : (3, 3) float64
        Rectified pixel from photo pixel, homogeneous.
    left_map, right_map : (H, W, 2) float32
        Place of each rectified pixel in the photo; NaN outside of it.
    left_valid, right_valid : (H, W) bool
        Where the photo has something.
    """

    left: np.ndarray
    right: np.ndarray
    left_map: np.ndarray
    right_map: np.ndarray
    left_valid: np.ndarray
    right_valid: np.ndarray

    def rectify_left(self, image: np.ndarray) -> np.ndarray:
        """The left photo, (H, W) or (H, W, C), rectified; black where there is nothing."""
        return remap_image(image, self.left_map)

    def rectify_right(self, image: np.ndarray) -> np.ndarray:
        """The right photo, (H, W) or (H, W, C), rectified; black where there is nothing."""
        return remap_image(image, self.right_map)


def rectify_uncalibrated(geometry: PairGeometry, size: tuple[int, int]) -> UncalibratedRectification:
    """Rectify a pair from matched points.

    Parameters
    ----------
    geometry : PairGeometry
        Of `measure_pair`.
    size : (int, int)
        Width and height of both photos, and of the rectified ones.

    Raises
    ------
    ValueError
        If there are too few matches, the scene or the motion does not determine the epipolar geometry, or an epipole
        lies within or near a photo.
    """
    if geometry.count < ENOUGH_MATCHES:
        raise ValueError(
            f"{geometry.count} points of the photos match: too few to rectify by; take photos with more in common, or "
            "give the calibration of the rig"
        )
    try:
        found = estimate_fundamental(geometry.left, geometry.right, RansacOptions(max_error_px=_MAX_ERROR_PX))
    except EstimationError as error:
        raise ValueError(f"the photos can't be rectified by their matches: {error}") from error
    if found.degeneracy is not None:
        raise ValueError(
            "the matched points lie on one plane, or the camera only turned: that leaves open how to rectify; give the "
            "calibration of the rig"
        )
    left, right = geometry.left[found.inliers], geometry.right[found.inliers]
    width, height = size
    turn = _epipole_to_infinity(epipoles(found.F)[1], width, height)
    epipole = epipoles(found.F)[1]
    epipole = epipole / np.linalg.norm(epipole)
    both = turn @ (skew(epipole) @ found.F + np.outer(epipole, np.ones(3)))
    x_left, x_right = _apply(both, left), _apply(turn, right)
    design = np.column_stack([x_left, np.ones(len(x_left))])
    across = np.linalg.lstsq(design, x_right[:, 0], rcond=None)[0]
    homographies = np.array([across, [0, 1, 0], [0, 0, 1]]) @ both, turn
    maps = [_map(matrix, width, height) for matrix in homographies]
    valid = [np.isfinite(places[..., 0]) for places in maps]
    if min(mask.mean() for mask in valid) < 0.2:
        raise ValueError(
            "rectified, the photos would hardly overlap: they were taken too far apart or one before the other; give "
            "the calibration of the rig"
        )
    return UncalibratedRectification(*homographies, *maps, *valid)


def _epipole_to_infinity(epipole: np.ndarray, width: int, height: int) -> np.ndarray:
    """H_right: about the centre of the image, turn the epipole onto the x axis, then send it to infinity."""
    centre = np.array([[1.0, 0.0, -0.5 * width], [0.0, 1.0, -0.5 * height], [0.0, 0.0, 1.0]])
    x, y, w = centre @ epipole
    angle = np.arctan2(y, x)
    if abs(angle) > 0.5 * np.pi:  # an axis has two ends: turn by the smaller angle
        angle -= np.pi * np.sign(angle)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    along = cos * x + sin * y
    send = np.eye(3)
    send[2, 0] = -w / along
    reach = 0.5 * np.hypot(width, height) * abs(send[2, 0])
    if reach > 1.0 - 1.0 / _MOST_STRETCH:
        raise ValueError(
            "the epipole lies in or near the photos: one camera stood before the other, and rows can't be made to "
            "match; expected photos that were taken side by side"
        )
    return np.linalg.inv(centre) @ send @ turn @ centre


def _apply(matrix: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    moved = np.column_stack([pixels, np.ones(len(pixels))]) @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def _map(matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, 2) float32 place in the photo of each rectified pixel; NaN outside."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(matrix).T
    with np.errstate(divide="ignore", invalid="ignore"):
        places = source[..., :2] / source[..., 2:]
    inside = (places >= 0).all(axis=-1) & (places[..., 0] <= width) & (places[..., 1] <= height)
    return np.where(inside[..., None], places, np.nan).astype(np.float32)
