"""Reflectance of the habitat's materials, linear: meadow, soil, stone, wood, leaves.

It depends on the world point alone, not on the view, except that detail finer than a pixel is faded out (see
`noise`); `footprint` is what a pixel covers, metres. Colours are written into `rgb` (3,).
"""

from __future__ import annotations

import math

from geo3d.synthetic.noise import fbm2, fbm3, lattice, noise2, noise3, smooth, visibility
from geo3d.synthetic.patches import BARK, GLASS, LEAF, ROCK, SHINGLE
from geo3d.synthetic.terrain import WATER, path_distance, pond_distance
from geo3d.util.jit import njit

SUN_X, SUN_Y, SUN_Z = -0.5241, -0.5601, 0.6416  # to the sun: south-west, 40 degrees high


@njit(nogil=True)
def dots(x, y, size, chance, layer, footprint):
    """(cover, random, shade): scattered discs, one in a share `chance` of cells of edge `size`."""
    fx, fy = math.floor(x / size), math.floor(y / size)
    ix, iy = int(fx), int(fy)
    pick = lattice(ix, iy, layer)
    if pick > chance:
        return 0.0, 0.0, 1.0
    radius = size * (0.16 + 0.2 * lattice(ix, iy, layer + 1))
    cx = (fx + 0.5 + 0.28 * (2 * lattice(ix, iy, layer + 2) - 1)) * size
    cy = (fy + 0.5 + 0.28 * (2 * lattice(ix, iy, layer + 3) - 1)) * size
    ex, ey = (x - cx) / radius, (y - cy) / radius
    wide = 0.8 + 0.5 * lattice(ix, iy, layer + 4)
    r = math.sqrt(ex * ex * wide + ey * ey / wide)
    blur = 0.12 + footprint / radius
    cover = smooth(1.0 + blur, 1.0 - blur, r) * min(1.0, 1.5 * radius / (footprint + 1e-9))
    return cover, lattice(ix, iy, layer + 5), 1.0 + 0.45 * min(max(SUN_X * ex + SUN_Y * ey, -1.0), 1.0)


@njit(nogil=True)
def mix(rgb, r, g, b, weight):
    """Move the colour towards r, g, b by `weight`."""
    rgb[0] += (r - rgb[0]) * weight
    rgb[1] += (g - rgb[1]) * weight
    rgb[2] += (b - rgb[2]) * weight


@njit(nogil=True)
def grass(x, y, layer, footprint, rgb):
    """Meadow: patches of lush and dry, clumps, blades, flowers in drifts."""
    broad = fbm2(x, y, 0.11, 3, 0.55, layer + 100, footprint)
    clump = fbm2(x, y, 0.9, 3, 0.6, layer + 110, footprint)
    fine = fbm2(x, y, 6.3, 6, 0.84, layer + 120, footprint)
    light = math.exp(0.6 * clump + 4.2 * fine - 0.1)
    dry = smooth(-0.25, 0.42, broad + 0.5 * clump + 0.5 * fine)
    rgb[0] = (0.068 + 0.097 * dry) * light
    rgb[1] = (0.122 + 0.038 * dry) * light
    rgb[2] = (0.026 + 0.026 * dry) * light
    drift = smooth(0.48, 0.75, noise2(0.13 * x, 0.13 * y, layer + 130))
    cover, kind, shade = dots(x, y, 0.23, 0.16 * drift + 0.012, layer + 140, footprint)
    if cover > 0.0:
        shade *= 1.0 + 0.2 * fine
        if kind < 0.45:
            mix(rgb, 0.72 * shade, 0.70 * shade, 0.60 * shade, cover)
        elif kind < 0.8:
            mix(rgb, 0.72 * shade, 0.50 * shade, 0.05 * shade, cover)
        else:
            mix(rgb, 0.40 * shade, 0.16 * shade, 0.46 * shade, cover)


@njit(nogil=True)
def soil(x, y, layer, footprint, wet, rgb):
    """Trodden earth with pebbles of three sizes; darker where wet."""
    tone = fbm2(x, y, 0.8, 7, 0.66, layer + 200, footprint)
    light = math.exp(0.8 * tone) * (1.0 - 0.45 * wet)
    rgb[0], rgb[1], rgb[2] = 0.235 * light, 0.172 * light, 0.115 * light
    for k in range(3):
        size = 0.42 / (1.0 + 1.3 * k)
        cover, kind, shade = dots(x, y, size, 0.22 + 0.1 * k, layer + 210 + 10 * k, footprint)
        if cover > 0.0:
            gray = (0.16 + 0.24 * kind) * shade * (1.0 + 0.3 * tone) * (1.0 - 0.3 * wet)
            mix(rgb, 1.04 * gray, 0.98 * gray, 0.90 * gray, 0.95 * cover)


@njit(nogil=True)
def stone_color(x, y, z, footprint, up, rgb):
    """Grey rock with veins, lichen and moss on top; multiplies `rgb`."""
    rough = fbm3(x, y, z, 1.6, 6, 0.66, footprint)
    vein = abs(fbm3(x + 3.0, y, z, 1.1, 4, 0.55, footprint))
    light = math.exp(1.1 * rough) * (0.55 + 0.45 * smooth(0.0, 0.05, vein))
    for k in range(3):
        rgb[k] *= light
    lichen = smooth(0.60, 0.68, noise3(4.3 * x, 4.3 * y, 4.3 * z) + 0.3 * rough) * visibility(4.3, footprint)
    mix(rgb, 0.42, 0.41, 0.28, 0.75 * lichen)
    spots = smooth(0.74, 0.8, noise3(9.0 * x, 9.0 * y, 9.0 * z + 5.0)) * visibility(9.0, footprint)
    mix(rgb, 0.44, 0.24, 0.05, 0.7 * spots)
    moss = smooth(0.15, 0.55, 0.6 * up + 0.9 * fbm3(x, y, z + 9.0, 0.9, 4, 0.6, footprint) - 0.12)
    mix(rgb, 0.075 * light, 0.105 * light, 0.022 * light, 0.8 * moss)


@njit(nogil=True)
def ground_color(x, y, z, steep, shade, layer, footprint, rgb):
    """Reflectance of the ground: meadow, path, shore, forest floor and rock where it is steep."""
    edge = 0.5 * (noise2(1.7 * x, 1.7 * y, layer + 50) - 0.5) + 0.35 * (
        noise2(6.0 * x, 6.0 * y, layer + 51) - 0.5
    )
    path = smooth(0.95, 0.62, path_distance(x, y) + edge)
    around = max(abs(x) / 2.6, abs(y) / 2.0)
    path = max(path, 0.9 * smooth(1.42, 1.18, around + 0.35 * edge))
    pond = pond_distance(x, y, layer)
    shore = smooth(WATER + 0.32, WATER + 0.12, z + 0.25 * edge) * smooth(1.6, 1.45, pond)
    floor = smooth(0.62, 0.35, shade + 0.3 * edge) * smooth(9.0, 14.0, math.sqrt(x * x + y * y))
    bare = max(path, max(shore, 0.75 * floor))
    rock = smooth(0.42, 0.55, steep + 0.25 * edge + 0.15 * fbm2(x, y, 0.5, 3, 0.5, layer + 52, footprint))
    if bare < 1.0:
        grass(x, y, layer, footprint, rgb)
    if bare > 0.0:
        r, g, b = rgb[0], rgb[1], rgb[2]
        soil(x, y, layer, footprint, shore, rgb)
        if floor > 0.5 * bare:
            rgb[0], rgb[1], rgb[2] = 0.72 * rgb[0], 0.58 * rgb[1], 0.48 * rgb[2]
        mix(rgb, r, g, b, 1.0 - bare)
    if rock > 0.0:
        r, g, b = rgb[0], rgb[1], rgb[2]
        rgb[0], rgb[1], rgb[2] = 0.30, 0.285, 0.265
        stone_color(x, y, z, footprint, 0.5, rgb)
        mix(rgb, r, g, b, 1.0 - rock)


@njit(nogil=True)
def wood_grain(along, across, row, footprint, rgb):
    """Streaks along the board, knots, nails' rust; multiplies `rgb`. Arguments in metres."""
    shift = 13.7 * row
    streak = fbm2(1.2 * along + shift, 11.0 * across, 1.6, 5, 0.7, 300, footprint * 4.0)
    wear = fbm2(along + shift, across, 2.3, 4, 0.6, 310, footprint)
    cover, kind, _shade = dots(along + shift, across + 0.3 * row, 0.31, 0.14, 320, footprint)
    light = math.exp(0.95 * streak + 0.6 * wear) * (1.0 - 0.6 * cover * (0.4 + 0.6 * kind))
    for k in range(3):
        rgb[k] *= light
    gray = smooth(0.05, 0.5, wear)
    mix(rgb, 0.22 * light, 0.205 * light, 0.185 * light, 0.55 * gray)


@njit(nogil=True)
def patch_color(scene, row, u, v, x, y, z, nz, footprint, rgb):
    """Reflectance of a patch at a point."""
    frames, kinds, looks = scene[0], scene[1], scene[8]
    rgb[0], rgb[1], rgb[2] = looks[row, 3], looks[row, 4], looks[row, 5]
    material = kinds[row, 1]
    if material == LEAF:
        rib = 0.86 + 0.28 * abs(2.0 * v - 1.0)
        light = rib * math.exp(0.5 * fbm3(x, y, z, 7.0, 3, 0.6, footprint))
        for k in range(3):
            rgb[k] *= light
    elif material == ROCK:
        stone_color(x, y, z, footprint, nz, rgb)
    elif material == BARK:
        light = math.exp(1.1 * fbm3(3.0 * x, 3.0 * y, 0.8 * z, 2.0, 5, 0.66, 3.0 * footprint))
        for k in range(3):
            rgb[k] *= light
    elif material != GLASS:
        long_a = frames[row, 3] ** 2 + frames[row, 4] ** 2 + frames[row, 5] ** 2
        long_b = frames[row, 6] ** 2 + frames[row, 7] ** 2 + frames[row, 8] ** 2
        a, b = u * math.sqrt(long_a), v * math.sqrt(long_b)
        if long_a > long_b:
            wood_grain(a, b, row, footprint, rgb)
        else:
            wood_grain(b, a, row, footprint, rgb)
        if material == SHINGLE:
            light = 0.75 + 0.35 * smooth(0.0, 0.35, v)
            moss = smooth(0.12, 0.42, fbm3(x, y, z, 0.8, 5, 0.62, footprint) + 0.04)
            for k in range(3):
                rgb[k] *= light
            mix(rgb, 0.085, 0.10, 0.03, 0.75 * moss)
