"""Where things stand in the habitat: the hut, its surroundings, single trees, the forest around the clearing."""

from __future__ import annotations

import numpy as np

from geo3d.synthetic.hut import make_fence, make_hut, make_jetty, make_wood_pile
from geo3d.synthetic.patches import Patches, join
from geo3d.synthetic.plants import broadleaf, bush, spruce, stone, tufts
from geo3d.synthetic.terrain import (
    CELL,
    ORIGIN,
    POND_A,
    POND_B,
    POND_X,
    POND_Y,
    WATER,
    Terrain,
    path_distance,
    pond_distance,
)
from geo3d.synthetic.tracing import ground_height

GREEN_NEEDLES = np.array([0.050, 0.088, 0.040])
FOLIAGE = np.array([[0.13, 0.21, 0.045], [0.10, 0.18, 0.04], [0.24, 0.22, 0.045], [0.36, 0.20, 0.04]])
GRAY = np.array([0.30, 0.29, 0.27])
NEAR = (
    ("s", 11.0),
    ("s", 8.0),
    ("b", 9.0),
    ("b", 8.0),
    ("s", 13.0),
    ("y", 8.0),
)  # kind and height of forest trees
AWAY = (("s", 12.0), ("s", 10.0), ("b", 9.0), ("s", 14.0), ("b", 10.0))

# x, y, height and kind (s: spruce, b: broadleaf, y: birch) of the trees in the clearing
SINGLE_TREES = (
    (6.4, 5.0, 7.6, "s"),
    (8.6, 6.6, 5.6, "s"),
    (4.6, 7.6, 6.4, "s"),
    (-6.0, 5.6, 6.0, "b"),
    (-9.6, 8.0, 5.4, "b"),
    (9.6, -3.2, 5.0, "y"),
    (-15.4, -11.6, 5.2, "y"),
    (-20.5, 1.5, 7.4, "b"),
    (15.8, -13.6, 7.0, "s"),
    (19.5, 3.0, 8.0, "b"),
    (1.0, 19.5, 9.0, "s"),
    (-5.4, -18.5, 2.6, "s"),
    (9.4, -17.4, 3.0, "s"),
)


def furnish(terrain: Terrain, seed: int) -> Patches:
    """Everything that stands on the terrain."""
    rng = np.random.default_rng([seed, 17])
    parts = [make_hut(rng), make_wood_pile(rng), *_surroundings(terrain, rng)]
    for x, y, height, kind in SINGLE_TREES:
        tree = _tree(kind, height * rng.uniform(0.95, 1.05), 1.0, rng)
        parts.append(tree.moved(_on(terrain, x, y), rng.uniform(0, 6)))
    parts += _forest(terrain, rng) + _small_plants(terrain, seed, rng)
    return join(parts)


def _on(terrain: Terrain, x: float, y: float) -> np.ndarray:
    return np.array([x, y, ground_height(terrain.heights, ORIGIN, CELL, x, y)])


def _tree(kind: str, height: float, detail: float, rng: np.random.Generator) -> Patches:
    if kind == "s":
        return spruce(height, GREEN_NEEDLES * rng.uniform(0.8, 1.25), rng, detail)
    if kind == "y":
        return broadleaf(height, [0.30, 0.25, 0.045], rng, detail, bark=(0.55, 0.53, 0.48))
    return broadleaf(height, FOLIAGE[rng.choice(4, p=[0.45, 0.35, 0.12, 0.08])], rng, detail)


def _surroundings(terrain: Terrain, rng: np.random.Generator) -> list[Patches]:
    parts = []
    line = np.array(
        [[3.4, -4.6], [5.3, -5.0], [7.2, -5.6], [9.0, -6.6], [10.6, -7.9], [11.9, -9.5], [12.8, -11.4]]
    )
    parts.append(make_fence(np.array([_on(terrain, x, y) for x, y in line]), rng))
    shore = np.array([POND_X + POND_A + 0.9, POND_Y + 0.2, WATER + 0.28])
    parts.append(make_jetty(shore, np.array([-1.0, 0, 0]), rng))
    for _ in range(26):  # boulders, most of them around the pond
        turn = rng.uniform(0, 2 * np.pi)
        far = rng.uniform(1.02, 1.3)
        x, y = POND_X + POND_A * far * np.cos(turn), POND_Y + POND_B * far * np.sin(turn)
        if abs(y - shore[1]) > 1.2 or x < POND_X:
            parts.append(_stone(terrain, x, y, rng.uniform(0.16, 0.5), rng))
    for x, y, size in (
        (4.6, 2.9, 1.0),
        (5.5, 1.6, 0.6),
        (-4.9, 3.4, 0.8),
        (11.0, 0.6, 1.25),
        (-2.6, -8.0, 0.75),
    ):
        parts.append(_stone(terrain, x, y, size, rng))
    for _ in range(22):
        x, y = rng.uniform(-20, 20, 2)
        if max(abs(x) / 4.5, abs(y) / 4.0) > 1 and path_distance(x, y) > 1.3 and pond_distance(x, y, 0) > 1.6:
            parts.append(_stone(terrain, x, y, rng.uniform(0.15, 0.55), rng))
    return parts


def _stone(terrain: Terrain, x: float, y: float, size: float, rng: np.random.Generator) -> Patches:
    half = size * rng.uniform(0.7, 1.25, 3) * [1, 1, 0.75]
    color = GRAY * rng.uniform(0.75, 1.15)
    place = _on(terrain, x, y)
    place[2] += 0.25 * half[2]
    return stone(half, color, rng, 4 if size > 0.7 else 3 if size > 0.25 else 2).moved(place)


def _forest(terrain: Terrain, rng: np.random.Generator) -> list[Patches]:
    """A ring of trees from 24 m outward, drawn from a few models, thinner far away."""
    near = [_tree(k, h, 0.4 if k == "s" else 0.12, rng) for k, h in NEAR]
    away = [_tree(k, h, 0.1 if k == "s" else 0.03, rng) for k, h in AWAY]
    parts, places = [], []
    for _ in range(900):
        turn, far = rng.uniform(0, 2 * np.pi), 23 + 75 * rng.random() ** 0.8
        x, y = far * np.cos(turn), far * np.sin(turn)
        apart = 3.2 + 0.03 * far
        if any((x - a) ** 2 + (y - b) ** 2 < apart**2 for a, b in places) or path_distance(x, y) < 3.0:
            continue
        places.append((x, y))
        models = near if far < 40 else away
        model = models[rng.integers(len(models))]
        size = rng.uniform(0.7, 1.15) * min(1.0, 0.55 + (far - 23) / 25)
        parts.append(model.moved(_on(terrain, x, y), rng.uniform(0, 6), size))
    return parts


def _small_plants(terrain: Terrain, seed: int, rng: np.random.Generator) -> list[Patches]:
    parts = []
    for x, y in (
        (3.3, 2.4),
        (-3.3, -2.3),
        (-3.5, 1.2),
        (2.9, -2.7),
        (8.0, 3.4),
        (-7.3, 3.6),
        (-14.9, 2.2),
        (13.0, -5.0),
    ):
        color = FOLIAGE[rng.integers(3)] * rng.uniform(0.6, 0.9)
        parts.append(bush(rng.uniform(0.45, 0.9), color, rng).moved(_on(terrain, x, y)))
    for _ in range(45):
        turn, far = rng.uniform(0, 2 * np.pi), rng.uniform(13, 30)
        x, y = far * np.cos(turn), far * np.sin(turn)
        if path_distance(x, y) > 2.0 and pond_distance(x, y, 1000 * seed) > 1.7:
            color = FOLIAGE[rng.choice(4, p=[0.4, 0.4, 0.1, 0.1])] * rng.uniform(0.55, 0.95)
            parts.append(bush(rng.uniform(0.35, 0.85), color, rng).moved(_on(terrain, x, y)))
    feet = []
    for _ in range(5200):
        x, y = rng.normal(0, 10, 2)
        pond = pond_distance(x, y, 1000 * seed)
        wall = max(abs(x) / 2.75, abs(y) / 2.15)
        if wall > 1 and path_distance(x, y) > 1.1 and pond > 1.35 and (wall > 1.5 or rng.random() < 0.5):
            feet.append(_on(terrain, x, y))
    parts.append(tufts(np.array(feet), [0.15, 0.20, 0.055], rng))
    reeds = []
    for _ in range(260):
        turn = rng.uniform(0.6, 5.4)
        far = rng.uniform(0.88, 1.12)
        x, y = POND_X + POND_A * far * np.cos(turn), POND_Y + POND_B * far * np.sin(turn)
        if noise_of(turn) > 0.1:
            reeds.append(_on(terrain, x, y))
    parts.append(tufts(np.array(reeds), [0.16, 0.19, 0.06], rng, height=0.95, blades=6))
    return parts


def noise_of(turn: float) -> float:
    """Reeds grow in stands: a wave along the shore."""
    return np.sin(5 * turn) + 0.6 * np.sin(11 * turn + 1)
