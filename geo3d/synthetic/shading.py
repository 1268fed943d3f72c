"""What colour a ray of the habitat sees: sun with shadows on the materials, sky and its light, haze, water.

All colours are linear light. They depend on the world point alone, not on the view, except for haze and for the
mirror of the pond and the panes.
"""

from __future__ import annotations

import math

import numpy as np

from geo3d.synthetic.materials import SUN_X, SUN_Y, SUN_Z, dots, ground_color, mix, patch_color
from geo3d.synthetic.noise import fbm2, noise2, smooth, visibility
from geo3d.synthetic.patches import BARK, GLASS, LEAF
from geo3d.synthetic.terrain import CELL, ORIGIN, WATER, pond_distance
from geo3d.synthetic.tracing import FAR, STACK, hit_ground, hit_patches
from geo3d.util.jit import njit

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
def pond_color(scene, x, y, footprint, stack, rgb):
    """Light from below the surface of the pond and from the leaves on it; returns how much a leaf covers."""
    layer = scene[7]
    deep = smooth(1.1, 0.5, pond_distance(x, y, layer))
    rgb[0], rgb[1], rgb[2] = 0.10 - 0.075 * deep, 0.105 - 0.06 * deep, 0.065 - 0.02 * deep
    weeds = smooth(0.1, 0.45, fbm2(x, y, 0.6, 5, 0.6, layer + 95, footprint)) * (1.0 - 0.6 * deep)
    mix(rgb, 0.055, 0.085, 0.02, 0.8 * weeds)
    chance = 0.55 * smooth(0.45, 0.7, noise2(0.5 * x, 0.5 * y, layer + 96))
    cover, kind, _shade = dots(x, y, 0.55, chance, layer + 97, footprint)
    mix(rgb, 0.10 + 0.1 * kind, 0.26 - 0.05 * kind, 0.06, cover)
    lit = 0.35 + 0.65 * sunlit(scene, x, y, WATER + 0.01, stack)
    for k in range(3):
        rgb[k] *= 1.9 * lit
    return cover


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
        cover = pond_color(scene, x, y, t * pixel_angle, stack, rgb)
        mirror = (0.05 + 0.95 * (1.0 + dz) ** 5) * (1.0 - 0.9 * cover)
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
