"""By how many pixels two calibrations differ over the image.

A pixel q of camera b looks along the ray v_b(q). What it sees lies in camera a at

    q + d(q) = project_a(R s v_b(q) + t)

where s is the distance of what is looked at. Neither camera's frame can be told from outside: a calibration that has
its axis turned, and its optical centre moved to match, takes the same photos. So the rotation R (and at a finite
distance the translation t) that brings d nearest to zero over a trusted region is found first, by robust least squares
in pixels of a; the map of d is what is left (Kogan, "mrcal: camera calibration and SFM", differencing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, closest_rotation, rotation_angle, skew
from geo3d.optim import DenseProblem, LMOptions, RobustLoss, levenberg_marquardt

_FIT_COLUMNS = 48  # of the grid that the fit goes by
_LOSS_MEDIANS, _LEAST_SCALE_PX = 3.0, 1e-3
_LEAST_PIXELS = 12  # of the grid, in the trusted region
_SAME_SHAPE_PX = 1.0  # images differ in shape by less, after resizing


@dataclass(frozen=True)
class CompareOptions:
    """How two calibrations are compared.

    Attributes
    ----------
    distance_m : float, optional
        Of what is looked at, metres; infinity when left out, and then the cameras are aligned by a rotation alone.
    trusted_radius : float
        Radius of the trusted region about the middle of the image, in halves of the image's shorter side.
    spacing_px : int
        Of the grid of pixels of the map.
    """

    distance_m: float | None = None
    trusted_radius: float = 1.0
    spacing_px: int = 10

    def __post_init__(self) -> None:
        if self.distance_m is not None and not 0 < self.distance_m < np.inf:
            raise ValueError(
                f"distance_m must be a positive length in metres, or None; got {self.distance_m}"
            )
        if not self.trusted_radius > 0:
            raise ValueError(f"trusted_radius must be positive, got {self.trusted_radius}")
        if self.spacing_px < 1:
            raise ValueError(f"spacing_px must be 1 or more, got {self.spacing_px}")


@dataclass(frozen=True, eq=False)
class Comparison:
    """How two calibrations differ.

    Attributes
    ----------
    a, b : Camera
        Both of the size of a.
    a_from_b : SE3
        What was taken out; the translation, metres, is zero at infinity.
    pixels : (H, W, 2) float64
        Grid of pixels of the map.
    shift_px : (H, W, 2) float64
        Where a sees what b sees at a pixel, less that pixel; NaN where one of them sees nothing.
    trusted : (H, W) bool
        Pixels of the region that the fit went by.
    rescaled : bool
        b was of another size, of the same shape.
    options : CompareOptions
    """

    a: Camera
    b: Camera
    a_from_b: SE3
    pixels: np.ndarray
    shift_px: np.ndarray
    trusted: np.ndarray
    rescaled: bool
    options: CompareOptions

    @property
    def difference_px(self) -> np.ndarray:
        """(H, W) length of the shift."""
        return np.linalg.norm(self.shift_px, axis=-1)

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation that was taken out, degrees."""
        return float(np.rad2deg(rotation_angle(self.a_from_b.rotation)))

    def describe(self) -> list[str]:
        """What to print: median and largest difference, in all of the image and in the trusted region."""
        far = self.difference_px
        where = "at infinity" if self.options.distance_m is None else f"at {self.options.distance_m:g} m"
        lines = [
            f"{self.a.model} and {self.b.model}, {self.a.width}x{self.a.height} pixels"
            + (", the second rescaled to it" if self.rescaled else ""),
            f"difference {where}: median {np.nanmedian(far):.3g} px, largest {np.nanmax(far):.3g} px over the image",
            f"in the trusted middle: median {np.nanmedian(far[self.trusted]):.3g} px, largest "
            f"{np.nanmax(far[self.trusted]):.3g} px",
            f"taken out: a rotation by {self.rotation_deg:.3g} degrees"
            + (
                ""
                if self.options.distance_m is None
                else f", a shift by {1000 * np.linalg.norm(self.a_from_b.translation):.3g} mm"
            ),
        ]
        unseen = float(np.mean(np.isnan(far)))
        if unseen:
            lines.append(f"{100 * unseen:.1f} % of the image is seen by one of them alone")
        return lines


def compare(a: Camera, b: Camera, options: CompareOptions | None = None) -> Comparison:
    """Difference of two calibrations of a camera, of any two lens models.

    Parameters
    ----------
    a, b : Camera
        Of images of the same shape: b is rescaled to the size of a.
    options : CompareOptions, optional

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the images are of different shapes, or the cameras have too little of the trusted region in common.
    """
    options = options or CompareOptions()
    b, rescaled = _same_size(a, b)
    size = np.array([a.width, a.height])
    grid = _grid(size, max(float(a.width) / _FIT_COLUMNS, 1.0))
    pose = _align(a, b, grid[_trusted(grid, size, options)], options.distance_m)
    pixels = _grid(size, float(options.spacing_px))
    seen = a.project(pose.act(_looked_at(b, pixels, options.distance_m)))
    return Comparison(a, b, pose, pixels, seen - pixels, _trusted(pixels, size, options), rescaled, options)


def _same_size(a: Camera, b: Camera) -> tuple[Camera, bool]:
    if (a.width, a.height) == (b.width, b.height):
        return b, False
    scale = a.width / b.width
    if abs(b.height * scale - a.height) > _SAME_SHAPE_PX:
        raise ValueError(
            f"the cameras have images of {a.width}x{a.height} and {b.width}x{b.height} pixels, which are of different "
            "shape: one is cropped, and can't be compared by rescaling. Give calibrations of the same photos"
        )
    return b.rescaled(a.width, a.height), True


def _grid(size: np.ndarray, spacing: float) -> np.ndarray:
    """(H, W, 2) pixels about so far apart, all over the image."""
    count = np.maximum((size / spacing).round().astype(int), 1)
    x, y = ((np.arange(n) + 0.5) * s / n for n, s in zip(count, size))
    return np.stack(np.meshgrid(x, y), axis=-1)


def _trusted(pixels: np.ndarray, size: np.ndarray, options: CompareOptions) -> np.ndarray:
    return np.linalg.norm(pixels - size / 2, axis=-1) <= options.trusted_radius * size.min() / 2


def _looked_at(camera: Camera, pixels: np.ndarray, distance_m: float | None) -> np.ndarray:
    return camera.unproject(pixels) * (1.0 if distance_m is None else distance_m)


def _align(a: Camera, b: Camera, pixels: np.ndarray, distance_m: float | None) -> SE3:
    """The pose a_from_b that brings what b sees at the pixels nearest to where a sees it."""
    points = _looked_at(b, pixels, distance_m)
    rays = a.unproject(pixels)
    both = np.isfinite(rays).all(axis=1) & np.isfinite(points).all(axis=1)
    rays, points, pixels = rays[both], points[both], pixels[both]
    start = (
        SE3(closest_rotation(rays.T @ points), np.zeros(3)) if len(rays) >= _LEAST_PIXELS else SE3.identity()
    )
    seen = np.isfinite(a.project(start.act(points))).all(axis=-1)
    if seen.sum() < _LEAST_PIXELS:
        raise ValueError(
            f"only {seen.sum()} of {both.size} pixels of the trusted region are seen by both cameras: they are no "
            "calibrations of one camera, or trusted_radius is too large or too small"
        )
    points, pixels = points[seen], pixels[seen]

    def misfit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pose = _pose(x)
        turned = points @ pose.rotation.T
        found = a.project_with_jacobians(turned + pose.translation)
        d_pose = [-found.d_point @ skew(turned)]
        if distance_m is not None:
            d_pose.append(found.d_point)
        return found.pixels - pixels, np.concatenate(d_pose, axis=2)

    x = np.concatenate([start.rotation.ravel(), start.translation])
    scale = 1.0
    for _ in range(2):  # the scale of the loss follows what is left
        problem = DenseProblem(misfit, x, RobustLoss("soft_l1", scale), _step)
        levenberg_marquardt(problem, LMOptions(max_iterations=100, function_tolerance=1e-12))
        x = problem.x
        far = np.linalg.norm(misfit(x)[0], axis=1)
        scale = max(_LOSS_MEDIANS * float(np.median(far)), _LEAST_SCALE_PX)
    return _pose(x)


def _pose(x: np.ndarray) -> SE3:
    return SE3(x[:9].reshape(3, 3), x[9:])


def _step(x: np.ndarray, step: np.ndarray) -> np.ndarray:
    turned = SO3.exp(step[:3]).matrix @ x[:9].reshape(3, 3)
    return np.concatenate([turned.ravel(), x[9:] + (step[3:] if len(step) > 3 else 0.0)])
