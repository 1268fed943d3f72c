"""Find a grid of discs: dark blobs that make a lattice, the centre of each is then the centroid of its darkness.

What a photo shows of a disc is nearly an ellipse, and its centroid is not the image of the disc's centre: the two lie
apart by about f (r / z)^2 tan(tilt) pixels, more with distortion (Heikkila 2000). A `Detection` holds the centroids;
`disc_centroids` says where a camera shows them, and `disc_centres` corrects a detection by that.
"""

from __future__ import annotations

import math

import numpy as np

from geo3d.calibration.blob_lattice import follow_lattice, match_grid
from geo3d.calibration.board_map import BoardMap, fit_board_map
from geo3d.calibration.detection import Detection, check_image, detection
from geo3d.calibration.targets import CircleGrid
from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.util.require import require

_DETECT_AT_PX = 1600  # larger photos are made smaller for the search
_LEAST_AREA_PX = 12.0
_LEAST_CONTRAST = 12.0  # grey levels
_MOST_MISFIT = 0.06  # of the distance between neighbours: another order of the discs does not fit the grid
_LEAST_SHARE, _LEAST_DISCS = 0.7, 12  # of the discs; a smaller grid has to be whole
_MOST_SQUARE = 0.08
_OUTLINE = 64


def find_circles(image: np.ndarray, target: CircleGrid) -> Detection | None:
    """Find the discs of a grid; a few may be hidden, but none of its outer rows and columns wholly.

    Parameters
    ----------
    image : (H, W) uint8
    target : CircleGrid

    Returns
    -------
    Detection or None
        Centroids of the discs, at least 70 % of them and at least 12 or all. Of the orders that look the same, the one
        whose first disc is nearest to the top left.

    Raises
    ------
    ValueError
        If the image is not (H, W) uint8.
    """
    check_image(image)
    blobs, _ = dark_blobs(image, len(target.points))
    orders = match_grid(follow_lattice(blobs), lattice_coordinates(target))
    pixels, near = _chosen(blobs, orders, target, image.shape)
    if near is None:
        return None
    for _ in range(3):
        pixels = _centroids(image, target, pixels, near.affine(target.points[:, :2]))
    least = max(math.ceil(_LEAST_SHARE * len(pixels)), min(len(pixels), _LEAST_DISCS))
    return detection(pixels, least)


def disc_centroids(camera: Camera, cam_from_board: SE3, points: np.ndarray, diameter_m: float) -> np.ndarray:
    """Centroids of what a camera shows of discs, by Green's theorem over the images of their outlines.

    Parameters
    ----------
    camera : Camera
    cam_from_board : SE3
        Metres.
    points : (N, 3) float
        Centres in the board frame, metres; the discs lie in planes of constant z.
    diameter_m : float

    Returns
    -------
    (N, 2) float64
        Pixels; less `camera.project` of the centres, it is what a detected centroid is off the image of the centre.
    """
    angle = 2 * np.pi * np.arange(_OUTLINE) / _OUTLINE
    radius = (
        diameter_m / 2 * np.sqrt(2 * np.pi / _OUTLINE / np.sin(2 * np.pi / _OUTLINE))
    )  # of the disc's area
    rim = radius * np.column_stack([np.cos(angle), np.sin(angle), np.zeros(_OUTLINE)])
    outline = camera.project(cam_from_board.act(points[:, None] + rim))
    middle = outline.mean(axis=1, keepdims=True)
    a = outline - middle
    b = np.roll(a, -1, axis=1)
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return middle[:, 0] + np.sum((a + b) * cross[..., None], axis=1) / (3 * cross.sum(axis=1)[:, None])


def disc_centres(found: Detection, target: CircleGrid, camera: Camera, cam_from_board: SE3) -> Detection:
    """The images of the discs' centres instead of the centroids that were found, once the camera is known roughly.

    A calibration from the result gives a better camera, from which to correct the centroids again.

    Parameters
    ----------
    found : Detection
        Of `find_circles`.
    target : CircleGrid
    camera : Camera
    cam_from_board : SE3
        Metres.

    Returns
    -------
    Detection
    """
    points = target.points[found.ids]
    off = disc_centroids(camera, cam_from_board, points, target.diameter_m)
    off -= camera.project(cam_from_board.act(points))
    return Detection(found.ids, found.pixels - off)


def dark_blobs(image: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) centres and (N,) diameters of dark blobs, of which `count` fit into the image."""
    cv2 = require("cv2")
    scale = min(1.0, _DETECT_AT_PX / max(image.shape))
    small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    parameters = cv2.SimpleBlobDetector_Params()
    parameters.minThreshold, parameters.maxThreshold, parameters.thresholdStep = 10, 240, 10
    parameters.minArea = _LEAST_AREA_PX
    parameters.maxArea = small.size / count
    parameters.minDistBetweenBlobs = 4
    parameters.minConvexity = 0.85
    found = cv2.SimpleBlobDetector_create(parameters).detect(small)
    centres = np.array([blob.pt for blob in found], np.float64).reshape(-1, 2)
    return (centres + 0.5) / scale - 0.5, np.array([blob.size for blob in found]) / scale


def lattice_coordinates(target: CircleGrid) -> np.ndarray:
    """(N, 2) integers: of an asymmetric grid along its diagonals, on which neighbours lie."""
    grid = np.rint(target.points[:, :2] / target.spacing_m).astype(int)
    if not target.asymmetric:
        return grid
    return np.column_stack([grid.sum(axis=1) // 2, (grid[:, 1] - grid[:, 0]) // 2])


def _chosen(
    blobs: np.ndarray, orders: list[np.ndarray], target: CircleGrid, shape: tuple[int, ...]
) -> tuple[np.ndarray, BoardMap | None]:
    """(N, 2) the discs, predicted where their blobs were not found, and their map.

    Of the orders that fit the grid without mirroring it, the one that begins nearest to the top left.
    """
    places = target.points[:, :2]
    sides = [places[:, axis] == end(places[:, axis]) for axis in (0, 1) for end in (np.min, np.max)]
    best, least, fitted = places, np.inf, None
    for order in orders:
        there = order >= 0
        near = fit_board_map(places[there], blobs[order[there]], shape)
        if near is None or not all(there[side].any() for side in sides):
            continue
        off = np.linalg.norm(near.predict(places[there], without_own=True) - blobs[order[there]], axis=1)
        step = target.nearest_m * np.median(near.least_scale(places))
        predicted = near.predict(places)
        begins = float(predicted[0].sum())
        mirrored = np.median(np.linalg.det(near.affine(places))) < 0
        if not mirrored and np.median(off) < _MOST_MISFIT * step and begins < least:
            best, least, fitted = np.where(there[:, None], blobs[order], predicted), begins, near
    return best, fitted


def _centroids(image: np.ndarray, target: CircleGrid, pixels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(N, 2) centroids of darkness within half of the way to the neighbours, NaN where no disc is seen."""
    cv2 = require("cv2")
    disc, reach = target.diameter_m / 2, target.nearest_m / 2
    found = np.full_like(pixels, np.nan)
    height, width = image.shape
    for k in np.flatnonzero(np.isfinite(pixels[:, 0])):
        count = int(np.clip(4 * reach * np.linalg.norm(affine[k], 2), 24, 96))
        side = reach * ((2 * np.arange(count) + 1) / count - 1)
        u = np.stack(np.meshgrid(side, side), axis=-1)
        places = (pixels[k] + u @ affine[k].T).astype(np.float32)
        grey = cv2.remap(image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(float)
        away = np.hypot(u[..., 0], u[..., 1])
        if not np.all((places[away < reach] >= 0) & (places[away < reach] <= [width - 1, height - 1])):
            continue  # cut by the edge of the photo
        ring, inside = (away > (disc + reach) / 2) & (away < reach), away < reach
        plane = np.column_stack([np.ones(ring.sum()), u[ring] / reach])
        tilt = np.linalg.lstsq(plane, grey[ring], rcond=None)[0]
        white = tilt[0] + u @ tilt[1:] / reach
        black = np.median(grey[away < 0.6 * disc])
        if tilt[0] - black < _LEAST_CONTRAST:
            continue
        dark = np.where(inside, (white - grey) / np.maximum(white - black, 1.0), 0.0)
        area = dark.sum() * (2 * reach / count) ** 2 / (np.pi * disc**2)
        if 0.4 < area < 2.5 and _squareness(u, dark, disc * np.sqrt(area)) < _MOST_SQUARE:
            found[k] = pixels[k] + affine[k] @ (np.sum(u * dark[..., None], axis=(0, 1)) / dark.sum())
    return found


def _squareness(u: np.ndarray, dark: np.ndarray, radius: float) -> float:
    """How much the rim of a dark spot goes by quarter turns: 0 for an ellipse."""
    away, angle = np.hypot(u[..., 0], u[..., 1]), np.arctan2(u[..., 1], u[..., 0])
    rim = (away > 0.8 * radius) & (away < 1.25 * radius)
    return float(abs(np.sum(dark[rim] * np.exp(4j * angle[rim]))) / max(np.sum(dark[rim]), 1e-9))
