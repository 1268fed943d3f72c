"""The hut of the habitat: planked walls, shingle roof, door, window, chimney; a wood pile, a fence, a jetty."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from geo3d.synthetic.patches import GLASS, PARALLELOGRAM, ROCK, SHINGLE, WOOD, Patches, box, join, patches
from geo3d.synthetic.plants import log, tint

HALF_X, HALF_Y = 2.6, 2.0  # half of the outer length and width of the walls
EAVES, RIDGE = 2.35, 4.0  # height of the walls and of the ridge, which runs along x
FLOOR = 0.12
OVERHANG = 0.45  # of the roof at the gables
PLANK = np.array([0.25, 0.145, 0.075])


def hut_landmarks() -> np.ndarray:
    """(8, 3) points that photos show from everywhere: upper corners of the ridge beam, then of the chimney's cap."""
    x, y = HALF_X + OVERHANG, 0.14
    beam = [[-x, -y, RIDGE + 0.1], [x, -y, RIDGE + 0.1], [x, y, RIDGE + 0.1], [-x, y, RIDGE + 0.1]]
    cap = [[1.28, 0.28, 4.78], [2.12, 0.28, 4.78], [2.12, 1.03, 4.78], [1.28, 1.03, 4.78]]
    return np.array(beam + cap)


def make_hut(rng: np.random.Generator) -> Patches:
    """The hut, its door to the south (-y)."""
    base = box(
        [-HALF_X - 0.08, -HALF_Y - 0.08, -0.6],
        [2 * HALF_X + 0.16, 0, 0],
        [0, 2 * HALF_Y + 0.16, 0],
        [0, 0, 0.6 + FLOOR],
        [0.33, 0.31, 0.28],
        ROCK,
    )
    parts = [base, _walls(rng), _roof(rng), _front(rng), _chimney(rng)]
    return join(parts)


def _planks(corner, along, up, height, rng: np.random.Generator, outward) -> list[Patches]:
    """Upright planks from `corner` in direction `along`, as long as the wall; `height` of the wall at 0 to 1."""
    length = np.linalg.norm(along)
    count = round(length / 0.2)
    edges = np.linspace(0, 1, count + 1)
    planks = []
    for i in range(count):
        thick = 0.035 + 0.012 * rng.random()
        left, right = edges[i] + 0.006 / length, edges[i + 1] - 0.006 / length
        tall = min(height(left), height(right))
        foot = np.asarray(corner) + left * np.asarray(along)
        color = tint(PLANK * rng.choice([0.8, 1.0, 1.25]), 0.13, 1, rng)[0]
        planks.append(
            box(foot, (right - left) * np.asarray(along), -thick * np.asarray(outward), tall * up, color)
        )
        planks[-1] = planks[-1].moved(thick * np.asarray(outward))
    return planks


def _walls(rng: np.random.Generator) -> Patches:
    up = np.array([0, 0, 1.0])
    low, tall = FLOOR, EAVES - FLOOR
    x, y = HALF_X - 0.05, HALF_Y - 0.05

    def gable(s: float) -> float:
        return tall + (RIDGE - EAVES - 0.08) * (1 - abs(2 * s - 1))

    def flat(s: float) -> float:
        return tall

    parts = _planks([-x, -y, low], [2 * x, 0, 0], up, flat, rng, [0, -1, 0])
    parts += _planks([x, y, low], [-2 * x, 0, 0], up, flat, rng, [0, 1, 0])
    parts += _planks([x, -y, low], [0, 2 * y, 0], up, gable, rng, [1, 0, 0])
    parts += _planks([-x, y, low], [0, -2 * y, 0], up, gable, rng, [-1, 0, 0])
    core = box([-x, -y, low], [2 * x, 0, 0], [0, 2 * y, 0], [0, 0, tall], [0.05, 0.035, 0.025])
    parts.append(core)
    for cx in (-1, 1):  # corner posts
        for cy in (-1, 1):
            corner = [cx * HALF_X - 0.09 * (cx + 1), cy * HALF_Y - 0.09 * (cy + 1), low]
            parts.append(box(corner, [0.18, 0, 0], [0, 0.18, 0], [0, 0, tall], 0.75 * PLANK))
    return join(parts)


def _roof(rng: np.random.Generator) -> Patches:
    parts = []
    over_x, over_y = OVERHANG, 0.55
    slope = (RIDGE - EAVES) / HALF_Y
    for side in (-1, 1):
        rows = 13
        run = HALF_Y + over_y
        for k in range(rows):
            y0, y1 = run * (1 - k / rows), run * (1 - (k + 1.25) / rows)
            edges = np.arange(-HALF_X - over_x, HALF_X + over_x, 0.26) + rng.uniform(-0.1, 0.1)
            edges = np.clip(np.append(edges, HALF_X + over_x), -HALF_X - over_x, HALF_X + over_x)
            for x0, x1 in pairwise(edges):
                if x1 - x0 < 0.03:
                    continue
                lift = 0.05 + 0.02 * rng.random()
                out = y0 + rng.uniform(-0.03, 0.03)
                low = np.array([x0 + 0.008, side * out, RIDGE - slope * out + lift + 0.03])
                high = np.array([x0 + 0.008, side * y1, RIDGE - slope * y1 + lift])
                base = np.array([0.20, 0.165, 0.145]) if rng.random() < 0.85 else np.array([0.15, 0.17, 0.10])
                color = tint(base, 0.28, 1, rng)[0]
                wide = np.array([x1 - x0 - 0.016, 0, 0])
                parts.append(
                    patches(low, wide, high - low, color, PARALLELOGRAM, SHINGLE, [0, side * slope, 1.0])
                )
                thick = np.array([0, 0, -0.035])
                parts.append(patches(low, wide, thick, 0.7 * color, PARALLELOGRAM, SHINGLE, [0, side, 0.0]))
        edge = np.array([-HALF_X - over_x, side * run, RIDGE - slope * run])
        top = np.array([-HALF_X - over_x, 0, RIDGE])
        length = np.array([2 * (HALF_X + over_x), 0, 0])
        parts.append(
            patches(edge, length, top - edge, [0.12, 0.08, 0.05], PARALLELOGRAM, WOOD, [0, -side * 0.6, -1])
        )
        for end in (-1, 1):  # barge boards
            corner = np.array([end * (HALF_X + over_x) - 0.02, side * run, RIDGE - slope * run - 0.12])
            rise = np.array([0, -side * run, slope * run])
            parts.append(box(corner, [0.04, 0, 0], rise, [0, 0, 0.17], [0.33, 0.22, 0.13]))
    ridge = box(
        [-HALF_X - over_x, -0.14, RIDGE + 0.03],
        [2 * (HALF_X + over_x), 0, 0],
        [0, 0.28, 0],
        [0, 0, 0.07],
        [0.2, 0.14, 0.1],
    )
    return join([*parts, ridge])


def _frame(x0: float, x1: float, z0: float, z1: float, width: float, depth: float, color) -> list[Patches]:
    """A frame around a rectangle of the south wall."""
    y = -HALF_Y - depth
    d = [0, depth, 0]
    return [
        box([x0 - width, y, z0 - width], [width, 0, 0], d, [0, 0, z1 - z0 + 2 * width], color),
        box([x1, y, z0 - width], [width, 0, 0], d, [0, 0, z1 - z0 + 2 * width], color),
        box([x0, y, z1], [x1 - x0, 0, 0], d, [0, 0, width], color),
        box([x0, y, z0 - width], [x1 - x0, 0, 0], d, [0, 0, width], color),
    ]


def _window(x0: float, x1: float, z0: float, z1: float) -> list[Patches]:
    white = [0.62, 0.60, 0.55]
    y = -HALF_Y - 0.02
    glass = patches([x0, y, z0], [x1 - x0, 0, 0], [0, 0, z1 - z0], [0.02, 0.025, 0.03], PARALLELOGRAM, GLASS)
    middle = (x0 + x1) / 2
    bars = [
        box([middle - 0.025, y - 0.03, z0], [0.05, 0, 0], [0, 0.03, 0], [0, 0, z1 - z0], white),
        box([x0, y - 0.03, (z0 + z1) / 2 - 0.025], [x1 - x0, 0, 0], [0, 0.03, 0], [0, 0, 0.05], white),
    ]
    shutter = [0.10, 0.19, 0.13]
    wide = (x1 - x0) / 2
    doors = [
        box([x, y - 0.06, z0 - 0.06], [wide, 0, 0], [0, 0.05, 0], [0, 0, z1 - z0 + 0.12], shutter)
        for x in (x0 - wide - 0.1, x1 + 0.1)
    ]
    return [glass, *bars, *doors, *_frame(x0, x1, z0, z1, 0.08, 0.07, white)]


def _front(rng: np.random.Generator) -> Patches:
    parts = _window(-1.7, -0.6, 0.95, 1.85)
    x0, x1, z0, z1 = 0.45, 1.35, FLOOR, 2.05
    boards = np.linspace(x0, x1, 6)
    for left, right in pairwise(boards):
        color = tint([0.34, 0.10, 0.06], 0.1, 1, rng)[0]
        parts.append(
            box(
                [left + 0.005, -HALF_Y - 0.05, z0],
                [right - left - 0.01, 0, 0],
                [0, 0.05, 0],
                [0, 0, z1 - z0],
                color,
            )
        )
    for z in (0.5, 1.6):
        parts.append(
            box([x0, -HALF_Y - 0.07, z], [x1 - x0, 0, 0], [0, 0.02, 0], [0, 0, 0.1], [0.25, 0.07, 0.045])
        )
    parts.append(
        box([1.2, -HALF_Y - 0.1, 1.05], [0.05, 0, 0], [0, 0.05, 0], [0, 0, 0.14], [0.05, 0.05, 0.05])
    )
    parts += _frame(x0, x1, z0 + 0.1, z1, 0.1, 0.08, [0.45, 0.32, 0.2])
    for step in range(2):
        y = -HALF_Y - 0.75 + 0.33 * step
        parts.append(
            box(
                [0.2, y, -0.3],
                [1.4, 0, 0],
                [0, 0.4, 0],
                [0, 0, 0.3 + 0.02 + 0.09 * step],
                [0.36, 0.34, 0.31],
                ROCK,
            )
        )
    return join(parts)


def _chimney(rng: np.random.Generator) -> Patches:
    parts = []
    for k in range(9):  # courses of stones
        z = 2.9 + 0.2 * k
        for i in range(3):
            for j in range(3):
                corner = np.array([1.35 + 0.235 * i, 0.35 + 0.205 * j, z]) + rng.uniform(-0.015, 0.015, 3)
                if i != 1 or j != 1:
                    color = tint([0.36, 0.33, 0.29], 0.2, 1, rng)[0]
                    parts.append(box(corner, [0.23, 0, 0], [0, 0.2, 0], [0, 0, 0.19], color, ROCK))
    parts.append(box([1.28, 0.28, 4.7], [0.84, 0, 0], [0, 0.75, 0], [0, 0, 0.08], [0.3, 0.28, 0.26], ROCK))
    return join(parts)


def make_wood_pile(rng: np.random.Generator) -> Patches:
    """Split logs stacked along the east wall."""
    parts = []
    for row in range(6):
        for k in range(9 - (row % 2)):
            radius = 0.085 + 0.02 * rng.random()
            y = -1.5 + 0.2 * k + 0.1 * (row % 2)
            z = 0.1 + 0.175 * row
            x = HALF_X + 0.15 + rng.uniform(-0.05, 0.05)
            parts.append(log([x, y, z], [x + 0.75, y, z], radius, rng))
    return join(parts)


def make_fence(posts: np.ndarray, rng: np.random.Generator) -> Patches:
    """A rail fence through feet (N, 3)."""
    parts = []
    up = np.array([0, 0, 1.0])
    for foot in posts:
        tall = 1.05 + 0.1 * rng.random()
        color = tint([0.27, 0.22, 0.17], 0.15, 1, rng)[0]
        lean = np.array([*rng.normal(0, 0.03, 2), tall + 0.3])
        parts.append(box(foot - [0.06, 0.06, 0.3], [0.12, 0, 0], [0, 0.12, 0], lean, color))
    for a, b in pairwise(posts):
        for height in (0.42, 0.85):
            along = b - a
            side = np.cross(up, along)
            side *= 0.045 / np.linalg.norm(side)
            color = tint([0.30, 0.25, 0.19], 0.15, 1, rng)[0]
            shift = up * (height + rng.uniform(-0.05, 0.05))
            parts.append(box(a + shift - 0.05 * along - side, 1.1 * along, side, 0.11 * up, color))
    return join(parts)


def make_jetty(start: np.ndarray, direction: np.ndarray, rng: np.random.Generator) -> Patches:
    """A walkway of planks from `start` (3,) along a level unit `direction` (3,)."""
    side = np.cross([0, 0, 1.0], direction)
    parts = []
    for k in range(17):
        color = tint([0.33, 0.26, 0.19], 0.18, 1, rng)[0]
        corner = start + 0.2 * k * direction - 0.65 * side + [0, 0, rng.uniform(-0.008, 0.008)]
        parts.append(box(corner, 0.18 * direction, 1.3 * side * rng.uniform(0.96, 1.04), [0, 0, 0.05], color))
    for k in (2, 9, 16):
        for s in (-0.62, 0.5):
            corner = start + 0.2 * k * direction + s * side - [0, 0, 1.2]
            parts.append(
                box(corner, 0.12 * direction, 0.12 * side, [0, 0, 1.5 if k == 16 else 1.2], [0.2, 0.15, 0.1])
            )
    return join(parts)
