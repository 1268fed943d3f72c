"""Depth maps of many pairs to one cloud: a point stays if another pair saw the same place at the same depth.

Points of one map are projected into the others; they agree where the depths differ by at most 3 of their standard
deviations together, or 1 % of the depth. What is left is averaged in cells of the size of the pixels, and so are the
normals, which come from the slopes of each depth map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3

_SIGMAS = 3.0
_SHARE = 0.01
_SLOPE_PX = 2  # how far to each side a normal looks
_STEP = 0.05  # of the depth, from which two pixels are not of one surface
_CELL_PX = 1.5


@dataclass(frozen=True, eq=False)
class PosedDepth:
    """A depth map with its camera, pose and colours.

    Attributes
    ----------
    depth, sigma : (H, W) float32
        z and its standard deviation; NaN where not known. Infinite depths and those of 0 or less are not known,
        either.
    color : (H, W, 3) uint8
    camera : Camera
        PINHOLE, of the map's size.
    cam_from_world : SE3
    """

    depth: np.ndarray
    sigma: np.ndarray
    color: np.ndarray
    camera: Camera
    cam_from_world: SE3


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points with colours and normals.

    Attributes
    ----------
    points : (N, 3) float64
        World.
    colors : (N, 3) uint8
    normals : (N, 3) float32
        Unit, towards the cameras that saw them.
    """

    points: np.ndarray
    colors: np.ndarray
    normals: np.ndarray

    def __len__(self) -> int:
        return len(self.points)


def fuse_depths(maps: Sequence[PosedDepth], least_agreeing: int = 1) -> PointCloud:
    """One cloud of all that several maps agree on.

    Parameters
    ----------
    maps : sequence of PosedDepth
    least_agreeing : int
        Other maps that have to agree; 0 keeps everything.

    Raises
    ------
    ValueError
        If there are no maps.
    """
    if not maps:
        raise ValueError("maps: expected one depth map or more, got none")
    parts, sizes = [], []
    for i, own in enumerate(maps):
        points, normals, colors, sigma, depth = _points_of(own)
        agreeing = np.zeros(len(points), np.int64)
        for j, other in enumerate(maps):
            if j != i:
                agreeing += _agrees(points, sigma, other)
        keep = agreeing >= least_agreeing
        parts.append((points[keep], colors[keep], normals[keep]))
        sizes.append(depth[keep] / own.camera.params[0])
    points, colors, normals = (np.concatenate(columns) for columns in zip(*parts))
    if not len(points):
        return PointCloud(points, colors, normals.astype(np.float32))
    return _averaged(points, colors, normals, _CELL_PX * float(np.median(np.concatenate(sizes))))


def _points_of(own: PosedDepth) -> tuple[np.ndarray, ...]:
    """World points, normals, colours, deviation and depth of the pixels that have all of them."""
    height, width = own.depth.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = own.camera.unproject(np.stack([x, y], axis=-1))
    with np.errstate(invalid="ignore"):
        there = np.isfinite(own.depth) & (own.depth > 0.0)
    local = rays / rays[..., 2:] * np.where(there, own.depth, np.float32(np.nan))[..., None]
    normals = _normals(local)
    known = np.isfinite(normals).all(axis=-1) & np.isfinite(own.sigma)
    known[1::2], known[:, 1::2] = (
        False,
        False,
    )  # several maps show the same surface: a quarter of each is enough
    world_from_cam = own.cam_from_world.inverse()
    return (
        world_from_cam.act(local[known]),
        normals[known] @ world_from_cam.rotation.T,
        own.color[known],
        own.sigma[known].astype(np.float64),
        own.depth[known].astype(np.float64),
    )


def _normals(local: np.ndarray) -> np.ndarray:
    """(H, W, 3) unit normals of camera-frame points, towards the camera; NaN at steps, holes and the border."""
    k = _SLOPE_PX
    result = np.full(local.shape, np.nan)
    across = local[k:-k, 2 * k :] - local[k:-k, : -2 * k]
    down = local[2 * k :, k:-k] - local[: -2 * k, k:-k]
    middle = local[k:-k, k:-k]
    normal = np.cross(across, down)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        normal *= -np.sign(np.einsum("...i,...i", normal, middle))[..., None]
        steep = np.maximum(np.abs(across[..., 2]), np.abs(down[..., 2])) > _STEP * middle[..., 2]
    normal[steep] = np.nan
    result[k:-k, k:-k] = normal
    return result


def _agrees(points: np.ndarray, sigma: np.ndarray, other: PosedDepth) -> np.ndarray:
    """(N,) bool, whether the other map has the point at its depth."""
    local = other.cam_from_world.act(points)
    fx, fy, cx, cy = other.camera.params
    ahead = local[:, 2] > 0.0
    z = np.where(ahead, local[:, 2], 1.0)
    column, row = np.floor(fx * local[:, 0] / z + cx), np.floor(fy * local[:, 1] / z + cy)
    height, width = other.depth.shape
    inside = ahead & (column >= 0) & (row >= 0) & (column < width) & (row < height)
    result = np.zeros(len(points), bool)
    x, y = column[inside].astype(np.int64), row[inside].astype(np.int64)
    z, depth, deviation = local[inside, 2], other.depth[y, x], other.sigma[y, x]
    with np.errstate(invalid="ignore"):
        limit = np.maximum(_SIGMAS * np.hypot(sigma[inside], deviation), _SHARE * z)
        result[inside] = np.abs(z - depth) <= limit
    return result


def _averaged(points: np.ndarray, colors: np.ndarray, normals: np.ndarray, cell: float) -> PointCloud:
    """Means over the cells of a grid, in the order of the cells."""
    keys = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)
    count = np.bincount(group).astype(np.float64)[:, None]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(group, values[:, i]) for i in range(3)], axis=1) / count

    normal = mean(normals)
    length = np.linalg.norm(normal, axis=1)
    sure = length > 0.3  # elsewhere they contradict each other: a thin sheet seen from both sides
    return PointCloud(
        mean(points)[sure],
        np.round(mean(colors.astype(np.float64))[sure]).astype(np.uint8),
        (normal[sure] / length[sure, None]).astype(np.float32),
    )
