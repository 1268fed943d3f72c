"""Plants and stones of the habitat as patches: leaves are ellipses, trunks tapered limbs, stones bent spheres."""

from __future__ import annotations

import numpy as np

from geo3d.synthetic.patches import (
    BARK,
    ELLIPSE,
    LEAF,
    ROCK,
    TRIANGLE,
    Patches,
    icosphere,
    join,
    limb,
    patches,
)


def leaves(
    centre, outward, size, color, rng: np.random.Generator, stretch=1.0, lie=0.6, along=None
) -> Patches:
    """Elliptic leaves around `centre` (N, 3), facing `outward` (N, 3) more or less.

    `size` (N,) is the diameter, `stretch` the ratio of the axes, `lie` how strictly a leaf faces outward (0 to 1)
    and `along` (N, 3) the direction of the longer axis where that matters.
    """
    count = len(centre)
    facing = lie * outward + (1 - lie) * rng.standard_normal((count, 3))
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    along = rng.standard_normal((count, 3)) if along is None else along
    a = along - np.sum(along * facing, axis=1, keepdims=True) * facing
    a *= size[:, None] / np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(facing, a) / stretch
    normal = 0.75 * outward + 0.25 * facing
    return patches(centre - (a + b) / 2, a, b, color, ELLIPSE, LEAF, normal)


def tint(base, spread: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) colours around `base`: brighter or darker, and a little to yellow."""
    light = np.exp(spread * rng.standard_normal((count, 1)))
    warm = 1 + 0.12 * rng.standard_normal((count, 1)) * np.array([1.0, 0.2, -0.6])
    return np.clip(np.asarray(base) * light * warm, 0.004, 0.9)


def spruce(height: float, color, rng: np.random.Generator, detail: float = 1.0) -> Patches:
    """A conifer: whorls of drooping branches, shorter to the top, with sprays of needles on both sides."""
    parts = [limb([0, 0, -0.5], [0, 0, 0.97 * height], 0.022 * height, 0.02, [0.13, 0.085, 0.055])]
    whorls = int(3.6 * height * np.sqrt(detail)) + 3
    for k in range(whorls):
        up = (k + rng.uniform(-0.3, 0.3)) / whorls
        z = height * (0.08 + 0.92 * up)
        reach = 0.27 * height * (1 - up) ** 0.8 * rng.uniform(0.8, 1.15) + 0.1
        count = max(int((8 + 7 * (1 - up)) * np.sqrt(detail)), 4)
        turn = (
            rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
        )
        sprays = max(int(np.ceil(reach / (0.22 / np.sqrt(detail)))), 2)
        s = (np.arange(sprays) + 0.6) / sprays
        out = np.stack([np.cos(turn), np.sin(turn), np.zeros(count)], axis=1)[:, None]  # (count, 1, 3)
        length = reach * rng.uniform(0.75, 1.1, count)[:, None, None] * s[None, :, None]
        droop = -0.30 * reach * s**1.3 + 0.12 * reach * s**4
        centre = out * length + np.array([0, 0, 1]) * (z + droop[None, :, None])
        centre = (centre + rng.normal(0, 0.05, centre.shape)).reshape(-1, 3)
        outward = np.broadcast_to(out, (count, sprays, 3)).reshape(-1, 3)
        size = (
            min(0.42, 0.055 * height)
            * (1 - 0.45 * np.tile(s, count))
            / np.sqrt(detail)
            * rng.uniform(0.8, 1.25, len(centre))
        )
        shade = (0.45 + 0.75 * np.tile(s, count))[:, None]
        side = np.cross(outward, [0, 0, 1.0]) * rng.choice([-1.0, 1.0], len(centre))[:, None]
        along = outward * 0.9 + side * 0.55 + [0, 0, -0.35]
        needles = leaves(
            centre,
            0.6 * outward + [0, 0, 0.8],
            size,
            tint(color, 0.16, len(centre), rng) * shade,
            rng,
            2.4,
            0.75,
            along,
        )
        parts.append(needles)
    return join(parts)


def broadleaf(
    height: float, color, rng: np.random.Generator, detail: float = 1.0, bark=(0.16, 0.12, 0.085)
) -> Patches:
    """A deciduous tree: a forked trunk and leaves on overlapping blobs, darker inside and below."""
    fork = 0.38 * height
    lean = rng.normal(0, 0.03, 2) * height
    top = np.array([lean[0], lean[1], fork])
    parts = [limb([0, 0, -0.5], top, 0.030 * height, 0.02 * height, bark)]
    blobs = rng.integers(9, 13)
    turn = 2.4 * np.arange(blobs) + rng.uniform(0, 6)
    rise = np.linspace(0.0, 1.0, blobs)
    spread = 0.25 * height * np.sqrt(np.clip(1 - (1.5 * rise - 0.45) ** 2, 0.05, 1))
    centres = np.stack([spread * np.cos(turn), spread * np.sin(turn), height * (0.47 + 0.38 * rise)], axis=1)
    centres[:, :2] += lean * (1 + rise[:, None])
    radii = height * rng.uniform(0.13, 0.19, blobs) * (1.05 - 0.25 * rise)
    for centre, radius in zip(centres, radii):
        parts.append(limb(top, centre, 0.011 * height, 0.004 * height, bark, sides=5))
        count = int(120 * detail * (radius / 0.3) ** 2)
        outward = rng.standard_normal((count, 3))
        outward[:, 2] = np.abs(outward[:, 2]) * rng.choice([1.0, 1.0, 1.0, -1.0], count)
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        depth = rng.random(count) ** 0.4  # most of the leaves are near the surface
        place = centre + outward * (radius * (0.45 + 0.6 * depth))[:, None] * [1, 1, 0.78]
        shade = (0.35 + 0.65 * depth) * (0.72 + 0.28 * outward[:, 2])
        size = 0.145 / np.sqrt(detail) * rng.uniform(0.7, 1.3, count)
        parts.append(
            leaves(place, outward, size, tint(color, 0.2, count, rng) * shade[:, None], rng, 1.5, 0.55)
        )
    return join(parts)


def bush(radius: float, color, rng: np.random.Generator) -> Patches:
    """A round shrub."""
    count = int(420 * radius**2) + 60
    outward = rng.standard_normal((count, 3))
    outward[:, 2] = np.abs(outward[:, 2])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    lump = 1 + 0.25 * np.sin(4 * outward[:, 0] + 2 * outward[:, 1] + rng.uniform(0, 6))
    depth = rng.random(count) ** 0.4
    place = outward * (radius * (0.5 + 0.5 * depth) * lump)[:, None] * [1, 1, 0.85]
    shade = (0.3 + 0.7 * depth) * (0.65 + 0.35 * outward[:, 2])
    size = 0.15 * rng.uniform(0.7, 1.4, count)
    return leaves(place, outward, size, tint(color, 0.22, count, rng) * shade[:, None], rng, 1.6, 0.5)


def tufts(feet: np.ndarray, color, rng: np.random.Generator, height: float = 0.3, blades: int = 9) -> Patches:
    """Grass tufts with their feet at (N, 3): slender triangles that bend outward."""
    foot = np.repeat(feet, blades, axis=0)
    count = len(foot)
    turn = rng.uniform(0, 2 * np.pi, count)
    out = np.stack([np.cos(turn), np.sin(turn), np.zeros(count)], axis=1)
    tall = height * rng.uniform(0.6, 1.3, (count, 1))
    tip = out * tall * rng.uniform(0.2, 0.8, (count, 1)) + np.array([0, 0, 1.0]) * tall
    width = 0.03 * np.cross(out, [0, 0, 1.0]) * rng.uniform(0.6, 1.3, (count, 1))
    start = foot + 0.05 * out * rng.random((count, 1)) - [0, 0, 0.03]
    return patches(
        start, width, tip + width / 2, tint(color, 0.25, count, rng), TRIANGLE, LEAF, 0.4 * out + [0, 0, 1]
    )


def stone(size, color, rng: np.random.Generator, level: int = 3) -> Patches:
    """A boulder: a sphere of half axes `size` (3,), cut by planes and roughened."""
    vertices, faces = icosphere(level)
    radius = np.ones(len(vertices))
    for _ in range(9):  # cuts give it faces
        normal = rng.standard_normal(3)
        normal /= np.linalg.norm(normal)
        along = vertices @ normal
        radius = np.where(
            along > 0.2, np.minimum(radius, rng.uniform(0.62, 0.95) / np.maximum(along, 0.2)), radius
        )
    for frequency, amplitude in ((2.0, 0.08), (5.0, 0.035), (11.0, 0.015)):
        wave = sum(
            np.sin(frequency * vertices @ rng.standard_normal(3) + rng.uniform(0, 6)) for _ in range(4)
        )
        radius = radius * (1 + amplitude * wave / 2)
    place = vertices * radius[:, None] * np.asarray(size)
    a, b, c = (place[faces[:, k]] for k in range(3))
    return patches(a, b - a, c - a, color, TRIANGLE, ROCK)


def log(start, end, radius: float, rng: np.random.Generator) -> Patches:
    """A sawn log with bark and two light faces."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (end - start) / np.linalg.norm(end - start)
    side = np.cross(axis, [0.1, 0.2, 1.0])
    side *= 2 * radius / np.linalg.norm(side)
    other = np.cross(axis, side)
    face = tint([0.48, 0.33, 0.19], 0.15, 2, rng)
    ends = patches(
        np.array([start, end]) - (side + other) / 2, side, other, face, ELLIPSE, BARK, np.array([-axis, axis])
    )
    return join([limb(start, end, radius, radius, tint([0.17, 0.12, 0.085], 0.2, 1, rng)[0], sides=10), ends])
