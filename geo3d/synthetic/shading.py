"""What colour a ray of the habitat sees: materials of ground and patches, sun with shadows, sky light, haze, water.

All colours are linear light. Everything depends on the world point alone, not on the view, except haze and the
mirror of the pond and the panes; detail finer than a pixel is faded out (see `noise`).
"""

from __future__ import annotations

import math

import numpy as np

from geo3d.synthetic.noise import fbm2, fbm3, lattice, noise2, noise3, smooth, visibility
from geo3d.synthetic.patches import BARK, GLASS, LEAF, ROCK, SHINGLE
from geo3d.synthetic.terrain import CELL, ORIGIN, WATER, path_distance, pond_distance
from geo3d.synthetic.tracing import FAR, STACK, hit_ground, hit_patches
from geo3d.util.jit import njit

SUN_X, SUN_Y, SUN_Z = -0.5241, -0.5601, 0.6416  # to the sun: south-west, 40 degrees high
SKY, GROUND, POND = -1, -2, -3  # what a ray hits, where it is not the row of a patch
HAZE = 600.0  # metres at which 1 - 1/e of the light is haze


@njit(nogil=True)
def trace(scene, ox, oy, oz, dx, dy, dz, stack):
    """(t, what, u, v): distance along the unit ray and the row of a patch, or SKY, GROUND, POND."""
    frames, kinds, nodes, heights, blocks, layer = scene[0], scene[1], scene[2], scene[3], scene[5], scene[7]
    t = hit_ground(heights, blocks, ORIGIN, CELL, ox, oy, oz, dx, dy, dz)
    what = SKY if t >= FAR else GROUND
    if dz < 0.0 and what == GROUND:
        z = oz + t * dz
        if z < WATER:
            level = (WATER - oz) / dz
            if pond_distance(ox + level * dx, oy + level * dy, layer) < 1.5:
                t, what = level, POND
    near, row, u, v = hit_patches(frames, kinds, nodes, ox, oy, oz, dx, dy, dz, t, False, stack)
    if row >= 0:
        return near, row, u, v
    return t, what, 0.0, 0.0


@njit(nogil=True)
def sunlit(scene, x, y, z, stack):
    """1.0 where the sun is seen from the point, else 0.0. Slopes are too gentle to shade each other."""
    row = hit_patches(scene[0], scene[1], scene[2], x, y, z, SUN_X, SUN_Y, SUN_Z, FAR, True, stack)[1]
    return 1.0 if row < 0 else 0.0


@njit(nogil=True)
def sky_color(dx, dy, dz, layer, rgb):
    """The sky towards a direction: blue, hazy below, with clouds, and ridges along the horizon."""
    up = max(dz, 0.0)
    deep = 1.0 - (1.0 - min(up * 1.25, 1.0)) ** 2
    rgb[0] = 0.62 + (0.075 - 0.62) * deep
    rgb[1] = 0.72 + (0.22 - 0.72) * deep
    rgb[2] = 0.85 + (0.66 - 0.85) * deep
    if up > 0.01:
        px, py = dx / (up + 0.12), dy / (up + 0.12)
        cloud = fbm2(px, py, 1.1, 5, 0.52, layer + 60, 0.01) + 0.35 * (
            noise2(0.5 * px, 0.5 * py, layer + 66) - 0.5
        )
        thick = smooth(0.02, 0.34, cloud) * smooth(0.01, 0.15, up)
        lit = 0.98 - 0.30 * smooth(0.12, 0.5, cloud)
        rgb[0] += (1.02 * lit - rgb[0]) * 0.92 * thick
        rgb[1] += (1.02 * lit - rgb[1]) * 0.92 * thick
        rgb[2] += (1.04 * lit - rgb[2]) * 0.92 * thick
    level = math.sqrt(dx * dx + dy * dy) + 1e-9
    cx, cy = dx / level, dy / level
    slope = dz / level
    for ridge in range(2):  # the far one first
        f = 2.2 + 1.7 * ridge
        top = (
            0.20
            - 0.085 * ridge
            + (0.15 - 0.05 * ridge) * fbm2(cx * f + 9.0 * ridge, cy * f, 1.0, 6, 0.47, layer + 70, 0.0)
        )
        cover = smooth(top + 0.002, top - 0.002, slope)
        if cover > 0.0:
            snow = smooth(
                0.16, 0.24, slope + 0.05 * fbm2(cx * 40, cy * 40 + 25 * slope, 1.0, 3, 0.5, layer + 80, 0.0)
            )
            far = 1.0 - ridge
            r = 0.20 + 0.13 * far + 0.30 * snow * far
            g = 0.29 + 0.14 * far + 0.25 * snow * far
            b = 0.35 + 0.20 * far + 0.20 * snow * far
            mist = smooth(0.12, -0.02, slope) * 0.6
            rgb[0] += (r + (0.62 - r) * mist - rgb[0]) * cover
            rgb[1] += (g + (0.72 - g) * mist - rgb[1]) * cover
            rgb[2] += (b + (0.80 - b) * mist - rgb[2]) * cover


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


@njit(nogil=True)
def light_surface(albedo, nx, ny, nz, sun, sky, wrap, glow):
    """Turn reflectance into light: sun (softened by `wrap`), blue sky from above, warm light from the ground."""
    facing = nx * SUN_X + ny * SUN_Y + nz * SUN_Z
    direct = max((facing + wrap) / (1.0 + wrap), 0.0) * sun
    above = sky * (0.5 + 0.5 * nz)
    below = sky * (0.5 - 0.5 * nz)
    through = glow * sun * max(-facing, 0.0)
    albedo[0] *= 3.05 * (direct + 0.9 * through) + 0.60 * above + 0.30 * below
    albedo[1] *= 2.78 * (direct + 1.0 * through) + 0.76 * above + 0.30 * below
    albedo[2] *= 2.30 * (direct + 0.3 * through) + 1.02 * above + 0.20 * below


@njit(nogil=True)
def shade(scene, what, t, u, v, ox, oy, oz, dx, dy, dz, footprint, stack, rgb):
    """Light from what the ray has hit (not the pond) towards its origin, without haze."""
    kinds, slopes, light, layer, looks = scene[1], scene[4], scene[6], scene[7], scene[8]
    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
    if what == SKY:
        sky_color(dx, dy, dz, layer, rgb)
    elif what == GROUND:
        n = light.shape[0] - 1
        gx, gy = min(max((x - ORIGIN) / CELL, 0.0), n - 1e-6), min(max((y - ORIGIN) / CELL, 0.0), n - 1e-6)
        i, j = int(gx), int(gy)
        fx, fy = gx - i, gy - j
        w00, w10, w01, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
        sx = (
            w00 * slopes[j, i, 0]
            + w10 * slopes[j, i + 1, 0]
            + w01 * slopes[j + 1, i, 0]
            + w11 * slopes[j + 1, i + 1, 0]
        )
        sy = (
            w00 * slopes[j, i, 1]
            + w10 * slopes[j, i + 1, 1]
            + w01 * slopes[j + 1, i, 1]
            + w11 * slopes[j + 1, i + 1, 1]
        )
        sky = w00 * light[j, i] + w10 * light[j, i + 1] + w01 * light[j + 1, i] + w11 * light[j + 1, i + 1]
        scale = 1.0 / math.sqrt(1.0 + sx * sx + sy * sy)
        nx, ny, nz = -sx * scale, -sy * scale, scale
        grazing = max(-(dx * nx + dy * ny + dz * nz), 0.12)
        ground_color(x, y, z, math.sqrt(sx * sx + sy * sy), sky, layer, footprint / math.sqrt(grazing), rgb)
        sun = sunlit(scene, x, y, z + 0.01, stack)
        light_surface(rgb, nx, ny, nz, sun, sky, 0.0, 0.0)
    else:
        nx, ny, nz = looks[what, 0], looks[what, 1], looks[what, 2]
        material = kinds[what, 1]
        facing = dx * nx + dy * ny + dz * nz
        if facing > 0.0 and material != LEAF:
            nx, ny, nz, facing = -nx, -ny, -nz, -facing
        patch_color(scene, what, u, v, x, y, z, nz, footprint, rgb)
        sun = looks[what, 6]
        if material > BARK:
            sun = sunlit(scene, x + 0.004 * nx, y + 0.004 * ny, z + 0.004 * nz, stack)
        if material == LEAF:
            light_surface(rgb, nx, ny, nz, sun, looks[what, 7], 0.35, 0.55)
        else:
            light_surface(rgb, nx, ny, nz, sun, looks[what, 7], 0.0, 0.0)


@njit(nogil=True)
def color(scene, ox, oy, oz, dx, dy, dz, pixel_angle, stack, rgb):
    """Light along a unit ray, (3,) linear; `pixel_angle` is what a pixel subtends, radians."""
    t, what, u, v = trace(scene, ox, oy, oz, dx, dy, dz, stack)
    mirror_x, mirror_y, mirror_z, mirror = dx, dy, dz, 0.0
    layer = scene[7]
    if what == POND:
        x, y = ox + t * dx, oy + t * dy
        ripple = 0.03 * visibility(5.0, t * pixel_angle)
        nx = ripple * (noise2(5.0 * x, 5.0 * y, layer + 90) - 0.5)
        ny = ripple * (noise2(5.0 * x, 5.0 * y, layer + 91) - 0.5)
        mirror_x, mirror_y, mirror_z = dx + 2.0 * nx * dz, dy + 2.0 * ny * dz, -dz
        mirror = 0.05 + 0.95 * (1.0 + dz) ** 5
        deep = smooth(1.1, 0.5, pond_distance(x, y, layer))
        rgb[0], rgb[1], rgb[2] = 0.10 - 0.075 * deep, 0.105 - 0.06 * deep, 0.065 - 0.02 * deep
        weeds = smooth(0.1, 0.45, fbm2(x, y, 0.6, 5, 0.6, layer + 95, t * pixel_angle)) * (1.0 - 0.6 * deep)
        mix(rgb, 0.055, 0.085, 0.02, 0.8 * weeds)
        cover, kind, _shade = dots(
            x,
            y,
            0.55,
            0.55 * smooth(0.45, 0.7, noise2(0.5 * x, 0.5 * y, layer + 96)),
            layer + 97,
            t * pixel_angle,
        )
        lit = 0.35 + 0.65 * sunlit(scene, x, y, WATER + 0.01, stack)
        mix(rgb, 0.10 + 0.1 * kind, 0.26 - 0.05 * kind, 0.06, cover)
        for k in range(3):
            rgb[k] *= 1.9 * lit
        mirror *= 1.0 - 0.9 * cover
    else:
        shade(scene, what, t, u, v, ox, oy, oz, dx, dy, dz, t * pixel_angle, stack, rgb)
        if what >= 0 and scene[1][what, 1] == GLASS:
            mirror_y, mirror = -dy, 0.35
    if mirror > 0.0:
        r, g, b = rgb[0], rgb[1], rgb[2]
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        if what >= 0:  # panes face south
            y -= 0.01
        far, second, u2, v2 = trace(scene, x, y, z + 1e-4, mirror_x, mirror_y, mirror_z, stack)
        if second == POND:
            second = GROUND
        shade(
            scene,
            second,
            far,
            u2,
            v2,
            x,
            y,
            z,
            mirror_x,
            mirror_y,
            mirror_z,
            (t + far) * pixel_angle,
            stack,
            rgb,
        )
        mix(rgb, r, g, b, 1.0 - mirror)
    if what != SKY:
        haze = 1.0 - math.exp(-t / HAZE)
        mix(rgb, 0.60, 0.70, 0.80, haze)


@njit(nogil=True)
def photograph(scene, rays, pose, pixel_angle, samples, image):
    """Mean linear colour of rows of pixels. `rays` (H, W * samples, 3) in the camera, `pose` (3, 4) world_from_cam.

    Where the first half of the samples of a pixel agree, the others are not taken.
    """
    stack = np.empty(STACK, np.int64)
    rgb, total, low, high = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    ox, oy, oz = pose[0, 3], pose[1, 3], pose[2, 3]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            total[:], low[:], high[:] = 0.0, FAR, 0.0
            taken = 0
            for s in range(samples):
                if 2 * s == samples and alike(low, high):
                    break
                taken += 1
                rx, ry, rz = rays[row, column * samples + s]
                if rx != rx:  # no ray: outside of the lens
                    continue
                dx = pose[0, 0] * rx + pose[0, 1] * ry + pose[0, 2] * rz
                dy = pose[1, 0] * rx + pose[1, 1] * ry + pose[1, 2] * rz
                dz = pose[2, 0] * rx + pose[2, 1] * ry + pose[2, 2] * rz
                color(scene, ox, oy, oz, dx, dy, dz, pixel_angle, stack, rgb)
                for k in range(3):
                    light = min(rgb[k], 1.6)
                    total[k] += light
                    low[k], high[k] = min(low[k], light), max(high[k], light)
            for k in range(3):
                image[row, column, k] = total[k] / taken


@njit(nogil=True)
def alike(low, high):
    """Whether two colours are so near that their mean will do."""
    same = True
    for k in range(3):
        same = same and high[k] - low[k] < 0.02 + 0.2 * low[k]
    return same
