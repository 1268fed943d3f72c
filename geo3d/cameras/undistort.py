"""Points and images without their distortion, or seen by another camera from the same place.

A map says for every pixel of the target image where in the source image it comes from: the target's ray, turned by
R^T, projected by the source camera (x_target = R x_source; R rectifies a stereo pair, or is the identity).
"""

from typing import Any

import numpy as np

from geo3d.cameras.camera import Camera
from geo3d.util.require import require

# A perspective image grows with the tangent: farther from the axis than this it is stretched beyond use.
_WIDEST = np.radians(70.0)
_EDGE_SAMPLES = 257
_BLOCK = 1 << 18  # pixels a pass, to bound the memory


def undistort_points(camera: Camera, pixels: Any) -> np.ndarray:
    """Points on the plane z = 1 that project to the pixels.

    Parameters
    ----------
    camera : Camera
    pixels : (..., 2) array_like

    Returns
    -------
    (..., 2) float64
        x / z, y / z; NaN for a pixel without a ray, or whose ray does not look forward.
    """
    rays = camera.unproject(pixels)
    forward = rays[..., 2:] > 0.0
    return np.where(forward, rays[..., :2] / np.where(forward, rays[..., 2:], 1.0), np.nan)


def undistort_map(camera: Camera, target_camera: Camera, R: Any = None) -> np.ndarray:
    """Where each pixel of the target camera's image lies in the image of `camera`.

    Parameters
    ----------
    camera, target_camera : Camera
        At the same place.
    R : (3, 3) array_like, optional
        Rotation target_from_camera; the identity when left out.

    Returns
    -------
    (H, W, 2) float32
        Pixels x, y of `camera` (centre of the top-left pixel (0.5, 0.5)); NaN where it does not see the direction.

    Raises
    ------
    ValueError
        When R is not a rotation matrix.
    """
    rotation = np.eye(3) if R is None else np.asarray(R, np.float64)
    if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6):
        raise ValueError(f"R: expected a rotation matrix (3, 3), got {rotation.tolist()}")
    width, height = target_camera.width, target_camera.height
    result = np.empty((height, width, 2), np.float32)
    step = max(1, _BLOCK // width)
    columns = np.arange(width) + 0.5
    for top in range(0, height, step):
        rows = np.arange(top, min(top + step, height)) + 0.5
        pixels = np.stack(np.meshgrid(columns, rows), axis=-1)
        # Rows times matrix is the transposed matrix times column: camera_from_target.
        result[top : top + step] = camera.project(target_camera.unproject(pixels) @ rotation)
    return result


def undistort_image(image: np.ndarray, camera: Camera, target: Camera | None = None) -> np.ndarray:
    """The image as the target camera sees it, bilinear; black where the source image has nothing.

    Parameters
    ----------
    image : (H, W) or (H, W, C) uint8, uint16 or float
        Taken by `camera`.
    camera : Camera
    target : Camera, optional
        `pinhole_for(camera)` when left out.

    Raises
    ------
    ValueError
        When the image is not of the camera's size.
    """
    if image.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f"image: expected {camera.width} x {camera.height} as the camera has, got "
            f"{image.shape[1]} x {image.shape[0]}; use camera.rescaled(...)"
        )
    cv2 = require("cv2")
    source = undistort_map(camera, pinhole_for(camera) if target is None else target)
    with np.errstate(invalid="ignore"):
        inside = np.all((source >= 0.0) & (source <= [camera.width, camera.height]), axis=-1)
    # OpenCV puts the centre of the first pixel at 0; what lies in the outer half of a border pixel has its value.
    at = np.where(inside[..., None], source - np.float32(0.5), np.float32(0.0))
    result = cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    result[~inside] = 0
    return result


def pinhole_for(camera: Camera, blank: float = 0.0) -> Camera:
    """A PINHOLE camera for the undistorted image, with the source's resolution at its centre.

    Parameters
    ----------
    camera : Camera
    blank : float
        0: every pixel of the new image is seen by the source; 1: every pixel of the source is in the new image;
        between, the edges are interpolated. In either case at most 70 degrees to each side.

    Raises
    ------
    ValueError
        When `blank` is not in [0, 1], or no part of the image looks forward.
    """
    if not 0.0 <= blank <= 1.0:
        raise ValueError(
            f"blank: expected a number from 0 (no blank pixels) to 1 (all pixels kept), got {blank}"
        )
    widest = np.tan(min(_WIDEST, camera.max_angle))
    inner, outer = _edges(camera, widest)
    if inner[0] >= inner[1] or inner[2] >= inner[3]:
        raise ValueError(f"camera: no part of the image of {camera.model} {camera.params} looks forward")
    if camera.max_angle < 0.5 * np.pi:
        # Its corners, too, have to lie where the model is one to one.
        corner = np.hypot(np.abs(inner[:2]).max(), np.abs(inner[2:]).max())
        inner = inner * min(1.0, np.tan(camera.max_angle) / corner)
    left, right, top, bottom = (1.0 - blank) * inner + blank * outer
    scale = camera.project_with_jacobians([0.0, 0.0, 1.0]).d_point
    fx, fy = scale[0, 0], scale[1, 1]
    width, height = max(1, round(fx * (right - left))), max(1, round(fy * (bottom - top)))
    return Camera("PINHOLE", width, height, [fx, fy, -fx * left, -fy * top], camera.prior_focal)


def _edges(camera: Camera, widest: float) -> tuple[np.ndarray, np.ndarray]:
    """Left, right, top, bottom on the plane z = 1 of the largest rectangle within the edges, and around them."""
    w, h = float(camera.width), float(camera.height)
    along = np.linspace(0.0, 1.0, _EDGE_SAMPLES)
    zero, one = np.zeros_like(along), np.ones_like(along)
    x = np.array([zero, one, along, along]) * w
    y = np.array([along, along, zero, one]) * h
    plane = undistort_points(camera, np.stack([x, y], axis=-1))
    # A left edge that has no ray forward lies farther to the left than anything that is kept, and so on.
    positions = np.stack([plane[0, :, 0], plane[1, :, 0], plane[2, :, 1], plane[3, :, 1]])
    far = np.array([-widest, widest, -widest, widest])[:, None]
    positions = np.clip(np.where(np.isnan(positions), far, positions), -widest, widest)
    low, high = positions.min(axis=1), positions.max(axis=1)
    return np.array([high[0], low[1], high[2], low[3]]), np.array([low[0], high[1], low[2], high[3]])
