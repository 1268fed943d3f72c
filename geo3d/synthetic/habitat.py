"""The habitat as a scene that rays can be traced in: terrain, patches, hierarchy and light that was worked out before.

World: x east, y north, z up, metres, the hut at the origin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from geo3d.geometry import SE3
from geo3d.synthetic.patches import BARK, LEAF
from geo3d.synthetic.planting import furnish
from geo3d.synthetic.shading import photograph, sunlit, trace
from geo3d.synthetic.terrain import CELL, ORIGIN, make_terrain
from geo3d.synthetic.tracing import FAR, STACK, build_hierarchy, hit_patches
from geo3d.util.jit import njit
from geo3d.util.threads import map_threads

ROWS = 32  # of a chunk of work; fixed, so that results do not depend on the number of threads
AMBIENT_REACH = 6.0  # metres within which things hide the sky from each other


@dataclass(frozen=True)
class Habitat:
    """What the kernels take.

    `scene` is frames, kinds, nodes (see `tracing`), heights, slopes and blocks (see `Terrain`), the sky light of the
    ground's nodes, the layer of noise that the seed chooses, and looks (N, 8): normal, color, sun and sky light.
    """

    scene: tuple


@lru_cache(maxsize=2)
def make_habitat(seed: int = 0) -> Habitat:
    """The habitat of a seed: same place, other plants and stones. Kept, because the photos of a set share it."""
    terrain = make_terrain(seed)
    things = furnish(terrain, seed).rounded()
    nodes, order = build_hierarchy(*things.bounds())
    light = np.ones((len(things), 2))
    frames = np.concatenate([things.p, things.a, things.b], axis=1)[order].astype(np.float32)
    looks = np.concatenate([things.normal, things.color, light], axis=1)[order].astype(np.float32)
    kinds = np.stack([things.shape, things.material], axis=1)[order].astype(np.int32)
    ground = np.ones_like(terrain.heights)
    scene = (
        frames,
        kinds,
        nodes,
        terrain.heights,
        terrain.slopes,
        terrain.blocks,
        ground,
        1000 * seed,
        looks,
    )
    directions = _hemisphere(10)
    for _ in map_threads(lambda c: _light_prims(scene, directions, *c), list(_chunks(len(frames), 4096))):
        pass
    for _ in map_threads(lambda c: _light_ground(scene, directions, *c), list(_chunks(len(ground), ROWS))):
        pass
    return Habitat(scene)


def render_linear(
    habitat: Habitat, rays: np.ndarray, samples: int, pose: SE3, pixel_angle: float
) -> np.ndarray:
    """(H, W, 3) linear light. `rays` (H, W * samples, 3) unit in the camera frame, the samples of a pixel in a row."""
    image = np.empty((rays.shape[0], rays.shape[1] // samples, 3))
    world = _world_from_cam(pose)

    def work(chunk: tuple[int, int]) -> None:
        first, last = chunk
        photograph(habitat.scene, rays[first:last], world, pixel_angle, samples, image[first:last])

    for _ in map_threads(work, list(_chunks(len(image), ROWS))):
        pass
    return image


def render_depth(habitat: Habitat, rays: np.ndarray, pose: SE3) -> np.ndarray:
    """(H, W) depth z of what the rays (H, W, 3) hit; infinite for the sky, NaN where there is no ray."""
    depth = np.empty(rays.shape[:2])
    world = _world_from_cam(pose)
    for _ in map_threads(
        lambda c: _depths(habitat.scene, rays[c[0] : c[1]], world, depth[c[0] : c[1]]),
        list(_chunks(len(depth), ROWS)),
    ):
        pass
    return depth


def _world_from_cam(pose: SE3) -> np.ndarray:
    rotation = pose.rotation.T
    return np.column_stack([rotation, -rotation @ pose.translation])


def _chunks(count: int, size: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + size, count)) for first in range(0, count, size))


def _hemisphere(count: int) -> np.ndarray:
    """(count, 3) directions around z, cosine-weighted, on a Fibonacci spiral."""
    k = np.arange(count) + 0.5
    radius, turn = np.sqrt(k / count), 2.399963 * k
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - k / count)], axis=1)


@njit(nogil=True)
def _open_sky(scene, directions, x, y, z, nx, ny, nz, stack):
    """Share of the directions around a normal in which nothing is near."""
    # a frame around the normal (Duff et al. 2017)
    sign = 1.0 if nz >= 0.0 else -1.0
    a = -1.0 / (sign + nz)
    b = nx * ny * a
    free = 0.0
    for k in range(directions.shape[0]):
        u, v, w = directions[k]
        dx = u * (1.0 + sign * nx * nx * a) + v * b + w * nx
        dy = u * sign * b + v * (sign + ny * ny * a) + w * ny
        dz = -u * sign * nx - v * ny + w * nz
        t = hit_patches(scene[0], scene[1], scene[2], x, y, z, dx, dy, dz, AMBIENT_REACH, False, stack)[0]
        free += t / AMBIENT_REACH
    return free / directions.shape[0]


@njit(nogil=True)
def _light_prims(scene, directions, first, last):
    frames, kinds, looks = scene[0], scene[1], scene[8]
    stack = np.empty(STACK, np.int64)
    for row in range(first, last):
        nx, ny, nz = looks[row, 0], looks[row, 1], looks[row, 2]
        sun = 0.0
        for k in range(3):
            u, v = 0.3 + 0.2 * k, 0.3 + 0.35 * (k % 2)
            x = frames[row, 0] + u * frames[row, 3] + v * frames[row, 6] + 0.01 * nx
            y = frames[row, 1] + u * frames[row, 4] + v * frames[row, 7] + 0.01 * ny
            z = frames[row, 2] + u * frames[row, 5] + v * frames[row, 8] + 0.01 * nz
            if k == 0 and kinds[row, 1] != LEAF:  # leaves are already darker inside their crown
                looks[row, 7] = _open_sky(scene, directions, x, y, z, nx, ny, nz, stack)
            if kinds[row, 1] <= BARK:
                sun += sunlit(scene, x, y, z, stack) / 3.0
        looks[row, 6] = sun


@njit(nogil=True)
def _light_ground(scene, directions, first, last):
    heights, light = scene[3], scene[6]
    stack = np.empty(STACK, np.int64)
    for j in range(first, last):
        for i in range(light.shape[1]):
            x, y = ORIGIN + CELL * i, ORIGIN + CELL * j
            light[j, i] = _open_sky(scene, directions, x, y, heights[j, i] + 0.05, 0.0, 0.0, 1.0, stack)


@njit(nogil=True)
def _depths(scene, rays, pose, depth):
    stack = np.empty(STACK, np.int64)
    for row in range(rays.shape[0]):
        for column in range(rays.shape[1]):
            rx, ry, rz = rays[row, column]
            dx = pose[0, 0] * rx + pose[0, 1] * ry + pose[0, 2] * rz
            dy = pose[1, 0] * rx + pose[1, 1] * ry + pose[1, 2] * rz
            dz = pose[2, 0] * rx + pose[2, 1] * ry + pose[2, 2] * rz
            t = trace(scene, pose[0, 3], pose[1, 3], pose[2, 3], dx, dy, dz, stack)[0]
            depth[row, column] = t * rz if t < FAR else np.inf
            if rx != rx:
                depth[row, column] = np.nan
