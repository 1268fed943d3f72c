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
_MOST_BLOCKS = 256  # a side, in which the largest valid rectangle is looked for


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
    return remap_image(image, undistort_map(camera, pinhole_for(camera) if target is None else target))


def remap_image(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The image at other places, bilinear; black where a place is outside of it or NaN.

    Parameters
    ----------
    image : (H, W) or (H, W, C) uint8, uint16 or float
    places : (h, w, 2) float32
        For each pixel of the result the place in `image`, as `undistort_map` gives it: one map serves all photos of a
        camera.

    Returns
    -------
    (h, w) or (h, w, C), of the type of `image`
    """
    cv2 = require("cv2")
    inside = _inside(places, image.shape[1], image.shape[0])
    # OpenCV puts the centre of the first pixel at 0; what lies in the outer half of a border pixel has its value.
    at = np.where(inside[..., None], places - np.float32(0.5), np.float32(0.0))
    result = cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    result[~inside] = 0
    return result


def _inside(places: np.ndarray, width: int, height: int) -> np.ndarray:
    """(h, w) bool, whether the place is in an image of that size."""
    x, y = places[..., 0], places[..., 1]
    with np.errstate(invalid="ignore"):
        return (x >= 0.0) & (x <= width) & (y >= 0.0) & (y <= height)


def valid_rectangle(places: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a rectangle of pixels that all lie within the source image: the largest.

    Where the map has more than 256 pixels a side it is the largest of whole blocks of pixels, grown as far as it goes.

    Parameters
    ----------
    places : (h, w, 2)
        Of `undistort_map`.
    width, height : int
        Size of the source image, pixels.

    Raises
    ------
    ValueError
        When no pixel is inside.
    """
    inside = _inside(places, width, height)
    block = -(-max(inside.shape) // _MOST_BLOCKS)
    top, bottom, left, right = _largest_of_blocks(inside, block)
    while top == bottom and block > 1:
        block //= 2
        top, bottom, left, right = _largest_of_blocks(inside, block)
    if top == bottom:
        raise ValueError("places: no pixel of the new image is seen by the source")
    growing = True
    while growing:
        growing = False
        if top > 0 and inside[top - 1, left:right].all():
            top, growing = top - 1, True
        if bottom < inside.shape[0] and inside[bottom, left:right].all():
            bottom, growing = bottom + 1, True
        if left > 0 and inside[top:bottom, left - 1].all():
            left, growing = left - 1, True
        if right < inside.shape[1] and inside[top:bottom, right].all():
            right, growing = right + 1, True
    return left, top, right - left, bottom - top


def _largest_of_blocks(mask: np.ndarray, block: int) -> tuple[int, int, int, int]:
    """`_largest_rectangle`, of blocks of pixels that are true as a whole."""
    rows, columns = mask.shape[0] // block, mask.shape[1] // block
    blocks = mask[: rows * block, : columns * block].reshape(rows, block, columns, block)
    top, bottom, left, right = _largest_rectangle(np.all(blocks, axis=(1, 3)))
    return block * top, block * bottom, block * left, block * right


def _largest_rectangle(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right (the ends excluded) of the largest rectangle of true cells; all 0 without any.

    Over the pairs of top and bottom row: the longest run of columns that are true in between.
    """
    best, area = (0, 0, 0, 0), 0
    for top in range(len(mask)):
        column = np.ones(mask.shape[1], bool)
        for bottom in range(top + 1, len(mask) + 1):
            column = column & mask[bottom - 1]
            if (len(mask) - top) * np.count_nonzero(column) <= area:
                break  # not even with all rows below
            ends = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]])))
            runs = ends[1::2] - ends[0::2]
            longest = int(runs.argmax())
            if (bottom - top) * runs[longest] > area:
                area = (bottom - top) * int(runs[longest])
                best = (top, bottom, int(ends[2 * longest]), int(ends[2 * longest + 1]))
    return best


def pinhole_like(camera: Camera) -> Camera:
    """A PINHOLE camera of the same size, principal point and resolution at the centre: the K of a perspective camera.

    Of a wide lens it shows the middle only, as much as fits.

    Parameters
    ----------
    camera : Camera
    """
    fx, fy = _central_focal(camera)
    params = [fx, fy, *camera.principal_point]
    return Camera("PINHOLE", camera.width, camera.height, params, camera.prior_focal)


def _central_focal(camera: Camera) -> tuple[float, float]:
    """Pixels per unit of x / z and y / z on the axis."""
    scale = camera.project_with_jacobians([0.0, 0.0, 1.0]).d_point
    return float(scale[0, 0]), float(scale[1, 1])


def pinhole_for(camera: Camera, blank: float = 0.0, size: tuple[int, int] | None = None) -> Camera:
    """A PINHOLE camera for the undistorted image, with the source's resolution at its centre unless a size is given.

    Parameters
    ----------
    camera : Camera
    blank : float
        0: every pixel of the new image is seen by the source; 1: every pixel of the source is in the new image;
        between, the edges are interpolated. In either case at most 70 degrees to each side.
    size : (width, height), optional
        Of the new image, pixels. What it shows is cut (`blank` 0) or extended (1, beyond the 70 degrees if need be) to
        these proportions; the shape of the pixels stays.

    Raises
    ------
    ValueError
        When `blank` is not in [0, 1], a size is not positive, or no part of the image looks forward.
    """
    if not 0.0 <= blank <= 1.0:
        raise ValueError(
            f"blank: expected a number from 0 (no blank pixels) to 1 (all pixels kept), got {blank}"
        )
    if size is not None and min(size) < 1:
        raise ValueError(f"size: expected a positive width and height, got {size}")
    widest = np.tan(min(_WIDEST, camera.max_angle))
    inner, outer = _edges(camera, widest)
    if inner[0] >= inner[1] or inner[2] >= inner[3]:
        raise ValueError(f"camera: no part of the image of {camera.model} {camera.params} looks forward")
    if camera.max_angle < 0.5 * np.pi:
        # Its corners, too, have to lie where the model is one to one.
        corner = np.hypot(np.abs(inner[:2]).max(), np.abs(inner[2:]).max())
        inner = inner * min(1.0, np.tan(camera.max_angle) / corner)
    fx, fy = _central_focal(camera)
    if size is not None:
        inner, outer = (
            _of_shape(edges, size[0] * fy / (size[1] * fx), cut)
            for edges, cut in ((inner, True), (outer, False))
        )
    left, right, top, bottom = (1.0 - blank) * inner + blank * outer
    if size is not None:
        zoom = size[0] / (fx * (right - left))
        fx, fy, (width, height) = zoom * fx, zoom * fy, size
    else:
        width, height = max(1, round(fx * (right - left))), max(1, round(fy * (bottom - top)))
    return Camera("PINHOLE", width, height, [fx, fy, -fx * left, -fy * top], camera.prior_focal)


def _of_shape(edges: np.ndarray, ratio: float, cut: bool) -> np.ndarray:
    """The rectangle (left, right, top, bottom) cut or extended about its centre to a ratio of width to height."""
    left, right, top, bottom = edges
    width, height = right - left, bottom - top
    if (width > ratio * height) == cut:
        width = ratio * height
    else:
        height = width / ratio
    x, y = 0.5 * (left + right), 0.5 * (top + bottom)
    return np.array([x - 0.5 * width, x + 0.5 * width, y - 0.5 * height, y + 0.5 * height])


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
