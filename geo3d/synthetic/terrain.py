"""The ground of the habitat: a fractal height field with a clearing, a trodden path and a pond.

World: x east, y north, z up, metres, the hut at the origin. The height field is 256 m wide with nodes every 0.5 m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.synthetic.noise import fbm2, noise2, smooth
from geo3d.synthetic.tracing import BLOCK
from geo3d.util.jit import njit

CELL = 0.5
CELLS = 512
ORIGIN = -128.0
WATER = -0.45  # level of the pond
POND_X, POND_Y, POND_A, POND_B = -9.5, -4.5, 5.2, 3.8  # centre and half axes


@dataclass(frozen=True)
class Terrain:
    """Heights (513, 513), slopes dz/dx and dz/dy (513, 513, 2), highest node of each block of cells (32, 32)."""

    heights: np.ndarray
    slopes: np.ndarray
    blocks: np.ndarray


def make_terrain(seed: int) -> Terrain:
    """The terrain of a seed."""
    heights = np.zeros((CELLS + 1, CELLS + 1), np.float32)
    _fill(heights, 1000 * seed)
    slopes = np.stack(np.gradient(heights, CELL)[::-1], axis=-1).astype(np.float32)
    count = CELLS // BLOCK
    starts = BLOCK * np.arange(count)
    rows = np.maximum(np.maximum.reduceat(heights[:-1], starts), heights[starts + BLOCK])
    blocks = np.maximum(np.maximum.reduceat(rows[:, :-1], starts, axis=1), rows[:, starts + BLOCK])
    return Terrain(heights, slopes, blocks.astype(np.float32))


@njit(nogil=True)
def pond_distance(x, y, layer):
    """About 1 on the shore of the pond, 0 in its centre."""
    px, py = (x - POND_X) / POND_A, (y - POND_Y) / POND_B
    return np.sqrt(px * px + py * py) + 0.28 * (noise2(0.45 * x, 0.45 * y, layer + 40) - 0.5)


@njit(nogil=True)
def path_distance(x, y):
    """Metres from the middle of the path, which winds from the door to the south."""
    bend = 0.9 + 2.2 * np.sin((y + 2.2) / 5.5) * smooth(0.0, 8.0, -2.2 - y) + 0.03 * (y + 2.2)
    distance = abs(x - bend)
    return distance if y < -2.2 else np.hypot(distance, y + 2.2)


@njit(nogil=True)
def _fill(heights, layer):
    for j in range(heights.shape[0]):
        for i in range(heights.shape[1]):
            x, y = ORIGIN + CELL * i, ORIGIN + CELL * j
            r = np.hypot(x, y)
            level = smooth(3.0, 9.0, r)
            rolling = 0.9 * fbm2(x, y, 0.09, 4, 0.5, layer, 0.0) * level
            hills = 9.0 * fbm2(x, y, 0.017, 5, 0.5, layer + 10, 0.0) * smooth(16.0, 70.0, r)
            rise = 13.0 * smooth(26.0, 128.0, r) * (0.75 + 0.5 * y / 128.0)
            pond = smooth(1.55, 0.55, pond_distance(x, y, layer))
            near = smooth(1.0, 0.25, path_distance(x, y) / 2.2)
            height = (rolling * (1.0 - 0.6 * near) + hills + rise) * (1.0 - pond) - 0.05 * near
            heights[j, i] = height - 1.5 * pond
