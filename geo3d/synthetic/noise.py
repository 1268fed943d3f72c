"""Value noise on an integer lattice, and sums of octaves that fade before they alias.

`noise(p)` interpolates hashed lattice values in [0, 1] with the quintic 6t^5 - 15t^4 + 10t^3 (Perlin 2002), so that
the same place looks the same from everywhere. An octave of frequency f (1/m) is faded out where one pixel covers
about a cell of its lattice: what a mip map does for an image.
"""

import math

from geo3d.util.jit import njit


@njit(nogil=True)
def lattice(ix, iy, iz):
    """Hash of a lattice point to [0, 1)."""
    h = ix * 374761393 + iy * 668265263 + iz * 1440662683
    h = (h ^ (h >> 13)) * 1274126177
    h = (h ^ (h >> 16)) * 2246822519
    h = h ^ (h >> 15)
    return (h & 0xFFFFFF) / 16777216.0


@njit(nogil=True)
def smooth(low, high, x):
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(nogil=True)
def noise2(x, y, layer):
    """Value noise of the plane, in [0, 1]; `layer` is an integer that chooses the pattern."""
    fx, fy = math.floor(x), math.floor(y)
    ix, iy = int(fx), int(fy)
    u, v = x - fx, y - fy
    u = u * u * u * (u * (u * 6.0 - 15.0) + 10.0)
    v = v * v * v * (v * (v * 6.0 - 15.0) + 10.0)
    a, b = lattice(ix, iy, layer), lattice(ix + 1, iy, layer)
    c, d = lattice(ix, iy + 1, layer), lattice(ix + 1, iy + 1, layer)
    return (a + (b - a) * u) * (1.0 - v) + (c + (d - c) * u) * v


@njit(nogil=True)
def noise3(x, y, z):
    """Value noise of space, in [0, 1]."""
    fz = math.floor(z)
    iz = int(fz)
    w = z - fz
    w = w * w * w * (w * (w * 6.0 - 15.0) + 10.0)
    a = noise2(x, y, iz)
    return a + (noise2(x, y, iz + 1) - a) * w


@njit(nogil=True)
def visibility(frequency, footprint):
    """What is left of an octave when a pixel covers `footprint` metres: 1 when fine, 0 when it would alias."""
    return 1.0 - smooth(0.35, 0.9, frequency * footprint)


@njit(nogil=True)
def fbm2(x, y, frequency, octaves, gain, layer, footprint):
    """Sum of octaves of `noise2` about zero, in about [-1, 1]; each is turned against the one before."""
    total = 0.0
    amplitude = 1.0
    for octave in range(octaves):
        weight = visibility(frequency, footprint)
        if weight <= 0.0:
            break
        total += amplitude * weight * (2.0 * noise2(x * frequency, y * frequency, layer + octave) - 1.0)
        amplitude *= gain
        frequency *= 2.03
        x, y = 0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y
    return total * (1.0 - gain)


@njit(nogil=True)
def fbm3(x, y, z, frequency, octaves, gain, footprint):
    """Sum of octaves of `noise3` about zero, in about [-1, 1]."""
    total = 0.0
    amplitude = 1.0
    for _octave in range(octaves):
        weight = visibility(frequency, footprint)
        if weight <= 0.0:
            break
        total += amplitude * weight * (2.0 * noise3(x * frequency, y * frequency, z * frequency) - 1.0)
        amplitude *= gain
        frequency *= 2.03
        x, y = 0.8 * x - 0.6 * y + 7.1, 0.6 * x + 0.8 * y
    return total * (1.0 - gain)
