"""Rays of the pixels of a camera: x(t) = origin + t direction, |direction| = 1, near <= t <= far, world frame.

t is the range, the length along the ray; the depth (z in the frame of the camera) is t (direction . forward), where
forward is the third row of the rotation of `cam_from_world`.

A pixel sees a cone. Its radius at t = 1 is 2 / sqrt(12) of the width of the pixel there, which gives the disc the
variance of the square pixel along x and y (mip-NeRF, Barron et al., ICCV 2021, section 3.1). A pixel covers the solid
angle 1 / |J_u x J_v|, with the rows J_u, J_v of the derivative of the pixel by the point at distance 1: they are
perpendicular to the ray, as moving a point along its ray moves no pixel. This holds for every lens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from geo3d.cameras import Camera
from geo3d.geometry import SE3


@dataclass(frozen=True)
class Rays:
    """R rays, NumPy float32 (float64 is kept) or torch tensors.

    Attributes
    ----------
    origins : (R, 3)
        World frame.
    directions : (R, 3)
        Unit vectors, world frame.
    near, far : (R,)
        First and last range that belong to the ray; a ray with far <= near is empty.
    radii : (R,)
        Radius of the cone at distance 1.
    rows : (R,) int32
        Which photo the ray is from, or -1.

    Raises
    ------
    ValueError
        If the arrays are not of one number of rays, or are no arrays.
    """

    origins: Any
    directions: Any
    near: Any
    far: Any
    radii: Any
    rows: Any

    def __post_init__(self) -> None:
        count = len(self.origins)
        for field in fields(self):
            shape = (count, 3) if field.name in ("origins", "directions") else (count,)
            array = getattr(self, field.name)
            if not hasattr(array, "shape"):
                kind = type(array).__name__
                raise ValueError(f"{field.name}: expected a NumPy array or a torch tensor, got a {kind}")
            if tuple(array.shape) != shape:
                raise ValueError(f"{field.name}: expected the shape {shape}, got {tuple(array.shape)}")

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, which: Any) -> Rays:
        """Some of the rays: a slice, a mask or indices."""
        return Rays(*(getattr(self, field.name)[which] for field in fields(self)))

    def torch(self, device: Any = None, dtype: Any = None) -> Rays:
        """The rays as torch tensors.

        Parameters
        ----------
        device : torch.device or str, optional
            The CPU if not given.
        dtype : torch.dtype, optional
            Of the floating-point arrays; as they are if not given.
        """
        from geo3d.util.require import require

        torch = require("torch")
        names = [field.name for field in fields(self)]
        tensors = (torch.as_tensor(getattr(self, name), device=device) for name in names)
        return Rays(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))


def camera_rays(
    camera: Camera,
    cam_from_world: SE3,
    pixels: ArrayLike | None = None,
    near: float | ArrayLike = 0.0,
    far: float | ArrayLike = np.inf,
    row: int = -1,
) -> Rays:
    """Rays through pixels of a camera of any model.

    A pixel that no direction reaches (beyond a fisheye's circle) gets an empty ray: along the optical axis, with
    far = near and radius 0, so that it shows the background.

    Parameters
    ----------
    camera : Camera
    cam_from_world : SE3
    pixels : (P, 2) array_like, optional
        x, y with the centre of the first pixel at (0.5, 0.5). Default: all pixel centres, row by row.
    near, far : float or (P,) array_like
        Range at which the rays begin and end.
    row : int
        The photo that the rays are from.

    Returns
    -------
    Rays
        NumPy float32.

    Raises
    ------
    ValueError
        If `pixels` are not pairs, `near` or `far` are not one number or one a pixel, or `near` is negative.

    Examples
    --------
    >>> rays = camera_rays(Camera("PINHOLE", 640, 480, [800, 800, 320, 240]), SE3.identity(), [[320, 240]])
    >>> rays.directions
    array([[0., 0., 1.]], dtype=float32)
    """
    at = pixel_centers(camera) if pixels is None else np.asarray(pixels, float)
    if at.ndim != 2 or at.shape[1] != 2:
        raise ValueError(f"pixels: expected the shape (P, 2), got {at.shape}")
    first, last = _ranges("near", near, len(at)), _ranges("far", far, len(at))
    if np.any(first < 0):
        raise ValueError(f"near: a ray starts at a range of 0 or more, got {first.min()}")
    bearings = camera.unproject(at)
    seen = ~np.isnan(bearings[:, 0])
    bearings[~seen] = [0.0, 0.0, 1.0]
    last[~seen] = first[~seen]
    center = np.asarray(cam_from_world.center(), np.float32)
    return Rays(
        np.broadcast_to(center, (len(at), 3)).copy(),
        np.ascontiguousarray(bearings @ cam_from_world.rotation, np.float32),
        first,
        last,
        np.where(seen, _cone_radii(camera, bearings), 0.0).astype(np.float32),
        np.full(len(at), row, np.int32),
    )


def pixel_centers(camera: Camera) -> np.ndarray:
    """(H * W, 2) centres of the pixels of a camera, row by row from the top left; float64."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return np.stack([x.ravel(), y.ravel()], 1)


def depth_factors(rays: Rays, cam_from_world: SE3) -> Any:
    """(R,) depth divided by range for the rays of a camera: direction . forward.

    Parameters
    ----------
    rays : Rays
    cam_from_world : SE3
        Pose of the camera.
    """
    x, y, z = (float(v) for v in cam_from_world.rotation[2])
    return rays.directions[:, 0] * x + rays.directions[:, 1] * y + rays.directions[:, 2] * z


def _ranges(name: str, values: ArrayLike, count: int) -> np.ndarray:
    """(count,) float32 from one number or as many."""
    found = np.asarray(values, np.float32)
    if found.shape not in ((), (count,)):
        raise ValueError(
            f"{name}: expected one number or one a pixel, ({count},), got the shape {found.shape}"
        )
    if np.isnan(found).any():
        raise ValueError(f"{name}: expected ranges, got NaN")
    return np.full(count, found, np.float32)


def _cone_radii(camera: Camera, bearings: np.ndarray) -> np.ndarray:
    """(P,) radius of the cone at distance 1; 0 where the lens has no derivative."""
    d_point = camera.project_with_jacobians(bearings).d_point
    pixels_per_steradian = np.linalg.norm(np.cross(d_point[:, 0], d_point[:, 1]), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(1.0 / np.sqrt(3.0 * pixels_per_steradian), nan=0.0, posinf=0.0)
