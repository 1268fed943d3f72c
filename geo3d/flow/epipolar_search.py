"""Where a pixel can be in another image: on its epipolar line, numbered by the parallax to a plane.

    x1 ~ H x0 + rho e

H is the homography of a plane (of cameras: K1 R K0^-1, the plane at infinity), e the epipole in image 1 (K1 t). Of
cameras rho is the inverse depth 1 / z in camera 0; where only the fundamental matrix F = [e]x H is known it is a
parallax up to a projective map. rho is affine in x0 on any plane of the scene: rho = v . x0, with x0 = (x, y, 1).
(Plane and parallax: Hartley and Zisserman, section 13.3.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation import epipoles
from geo3d.geometry import SE3, skew

_PINHOLE = ("PINHOLE", "SIMPLE_PINHOLE")


@dataclass(frozen=True, eq=False)
class EpipolarGeometry:
    """The lines on which the pixels of image 0 are in image 1: `x1 ~ homography @ x0 + rho * epipole`.

    Attributes
    ----------
    homography : (3, 3)
    epipole : (3,)
        Homogeneous, in image 1.
    """

    homography: np.ndarray
    epipole: np.ndarray

    @staticmethod
    def from_cameras(camera0: Camera, camera1: Camera, cam1_from_cam0: SE3) -> EpipolarGeometry:
        """Of two cameras without distortion.

        Parameters
        ----------
        camera0, camera1 : Camera
            PINHOLE or SIMPLE_PINHOLE.
        cam1_from_cam0 : SE3

        Raises
        ------
        ValueError
            If a camera has distortion, or the camera only turned.
        """
        for name, camera in (("camera0", camera0), ("camera1", camera1)):
            if camera.model not in _PINHOLE:
                raise ValueError(
                    f"{name}: epipolar lines are straight without distortion only, got {camera.model}; undistort the "
                    "photos first (undistort_image, or `geo3d undistort`)"
                )
        if not np.linalg.norm(cam1_from_cam0.translation) > 1e-12:
            raise ValueError(
                "cam1_from_cam0: expected a translation; there are no epipolar lines without one"
            )
        k0, k1 = _matrix(camera0), _matrix(camera1)
        homography = k1 @ cam1_from_cam0.rotation @ np.linalg.inv(k0)
        return EpipolarGeometry(homography, k1 @ cam1_from_cam0.translation)

    @staticmethod
    def from_fundamental(F: np.ndarray) -> EpipolarGeometry:
        """Of a fundamental matrix (3, 3), `x1^T F x0 = 0`.

        Raises
        ------
        ValueError
            If F is not a finite (3, 3) matrix of rank two.
        """
        _, epipole = epipoles(F)
        singular = np.linalg.svd(np.asarray(F, np.float64), compute_uv=False)
        if not singular[1] > 1e-12 * singular[0] > 0.0:
            raise ValueError(f"F: expected a matrix of rank two, got singular values {singular}")
        return EpipolarGeometry(skew(epipole) @ np.asarray(F, np.float64) / singular[0], epipole)

    def fundamental(self) -> np.ndarray:
        """(3, 3), Frobenius norm one, `x1^T F x0 = 0`."""
        F = skew(self.epipole) @ self.homography
        return F / np.linalg.norm(F)

    def parallax(self, x0: np.ndarray, x1: np.ndarray) -> np.ndarray:
        """rho (N,) of corresponding pixels, by least squares of `x1 x (H x0 + rho e) = 0`; infinite on the epipole.

        Parameters
        ----------
        x0, x1 : (N, 2)
        """
        p, q = _homogeneous(x0), _homogeneous(x1)
        to_epipole, to_plane = np.cross(q, self.epipole), np.cross(q, p @ self.homography.T)
        with np.errstate(divide="ignore", invalid="ignore"):
            return -np.sum(to_epipole * to_plane, axis=1) / np.sum(to_epipole**2, axis=1)

    def about(self, plane: np.ndarray) -> EpipolarGeometry:
        """The same lines with the parallax counted from the plane `rho = plane . (x, y, 1)`, (3,)."""
        return EpipolarGeometry(self.homography + np.outer(self.epipole, plane), self.epipole)

    def positive(self, shape: tuple[int, int]) -> EpipolarGeometry:
        """The same of such a scale that `homography` gives the middle of an image of `shape` (H, W) the weight 1."""
        weight = float(self.homography[2] @ [0.5 * shape[1], 0.5 * shape[0], 1.0])
        return EpipolarGeometry(self.homography / weight, self.epipole / weight)

    def reversed(self) -> EpipolarGeometry:
        """The lines in image 0 of the pixels of image 1.

        Raises
        ------
        ValueError
            If the homography can not be inverted: count the parallax `about` another plane first.
        """
        if np.linalg.cond(self.homography) > 1e12:
            raise ValueError("the homography is singular: its plane goes through the centre of a camera")
        back = np.linalg.inv(self.homography)
        return EpipolarGeometry(back, -back @ self.epipole)


def fit_plane(x0: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """v (3,) of `rho = v . (x, y, 1)`, the least sum of absolute differences, nearly (reweighted least squares).

    Parameters
    ----------
    x0 : (N, 2)
        Pixels, N >= 3.
    rho : (N,)
        Finite.
    """
    size = float(np.abs(x0).max()) or 1.0
    rows = _homogeneous(x0 / size)
    weights, found = np.ones(len(rows)), np.zeros(3)
    for _ in range(15):
        found = np.linalg.lstsq(rows * weights[:, None], rho * weights, rcond=1e-9)[0]
        apart = np.abs(rows @ found - rho)
        weights = 1.0 / np.sqrt(np.maximum(apart, 1e-3 * np.median(apart) + 1e-15))
        weights /= weights.max()
    return found / [size, size, 1.0]


def _matrix(camera: Camera) -> np.ndarray:
    (fx, fy), (cx, cy) = camera.focal, camera.principal_point
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _homogeneous(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)
