"""Rectified stereo pairs with exact disparity and occlusion: slanted surfaces before each other, photographed twice.

A surface has the disparity d(x, y) = d0 + a (x - x0) + b (y - y0) at the place (x, y) of the left image, a shape and
a texture there. Its point (x, y) is at (x - d, y) in the right image, so a place (u, y) of the right image shows
x = x0 + (u - x0 + d0 + b (y - y0)) / (1 - a). What has the larger disparity is nearer and hides the rest. Both
images are averaged from samples within each pixel; the disparity is that of the pixel's centre.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geo3d.synthetic.textures import noise_texture, patch_texture, repeating_texture


@dataclass(frozen=True)
class StereoPairOptions:
    """What a made-up stereo pair shows.

    Attributes
    ----------
    width, height : int
        Pixels.
    min_disparity_px, max_disparity_px : float
        Between which the surfaces lie (slanted ones may end a little outside).
    surfaces : int
        Slanted surfaces before the background.
    slant : float
        Largest change of disparity with x or y, pixels per pixel.
    thin : int
        Thin bars, 2 to 6 px wide.
    repetition : float
        Share of the surfaces that have a pattern which repeats itself, 0 to 1.
    plain : float
        Share of the surfaces with hardly any texture, 0 to 1.
    patches : float
        Share of the surfaces, the background too, that are painted with patches of one colour each, 0 to 1.
    noise : float
        Standard deviation of the noise of each image, grey levels of 255.
    gain, offset : float
        Exposure change: the right image is multiplied by `gain`, and `offset` grey levels are added.
    samples : int
        A side, within each pixel.
    """

    width: int = 480
    height: int = 360
    min_disparity_px: float = 6.0
    max_disparity_px: float = 56.0
    surfaces: int = 10
    slant: float = 0.15
    thin: int = 5
    repetition: float = 0.15
    plain: float = 0.15
    patches: float = 0.0
    noise: float = 1.5
    gain: float = 1.0
    offset: float = 0.0
    samples: int = 3


@dataclass(frozen=True, eq=False)
class StereoPair:
    """A rectified pair and its truth.

    Attributes
    ----------
    left, right : (H, W, 3) uint8
    disparity : (H, W) float32
        Of each pixel's centre of the left image, exact: its point is at x - disparity in the right image.
    occluded : (H, W) bool
        Whether that point is hidden in the right image, or outside of it.
    """

    left: np.ndarray
    right: np.ndarray
    disparity: np.ndarray
    occluded: np.ndarray


@dataclass(frozen=True, eq=False)
class _Surface:
    at: tuple[float, float]
    plane: tuple[float, float, float]  # d0, a, b
    covers: Callable[[np.ndarray, np.ndarray], np.ndarray]
    texture: np.ndarray  # (h, w, 3) float32, repeated
    scale: float  # texture pixels per pixel of the left image

    def disparity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        d0, a, b = self.plane
        return d0 + a * (x - self.at[0]) + b * (y - self.at[1])

    def left_x(self, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Where the surface's point that the right image shows at (u, y) lies in the left."""
        d0, a, b = self.plane
        return self.at[0] + (u - self.at[0] + d0 + b * (y - self.at[1])) / (1.0 - a)

    def color(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Bilinear in the texture, which goes on periodically."""
        height, width = self.texture.shape[:2]
        tx, ty = x * self.scale, y * self.scale
        x0, y0 = np.floor(tx).astype(np.int64), np.floor(ty).astype(np.int64)
        fx, fy = (tx - x0)[:, None], (ty - y0)[:, None]
        x0, x1, y0, y1 = x0 % width, (x0 + 1) % width, y0 % height, (y0 + 1) % height
        t = self.texture
        upper = t[y0, x0] * (1 - fx) + t[y0, x1] * fx
        return upper * (1 - fy) + (t[y1, x0] * (1 - fx) + t[y1, x1] * fx) * fy


def make_stereo_pair(options: StereoPairOptions | None = None, seed: int = 0) -> StereoPair:
    """A rectified pair of a made-up scene.

    Parameters
    ----------
    options : StereoPairOptions, optional
    seed : int
        The same gives the same pair.
    """
    options = options or StereoPairOptions()
    rng = np.random.default_rng(seed)
    surfaces = _surfaces(options, rng)
    left = _photograph(surfaces, options, is_left=True)
    right = _photograph(surfaces, options, is_left=False) * options.gain + options.offset
    images = [
        np.clip(np.round(image + rng.normal(0.0, options.noise, image.shape)), 0, 255).astype(np.uint8)
        for image in (left, right)
    ]
    y, x = np.mgrid[: options.height, : options.width] + 0.5
    disparity, _ = _nearest(surfaces, x.ravel(), y.ravel(), is_left=True)
    u = x.ravel() - disparity
    seen, _ = _nearest(surfaces, u, y.ravel(), is_left=False)
    hidden = (seen > disparity + 1e-6) | (u < 0.0) | (u > options.width)
    shape = options.height, options.width
    return StereoPair(
        *images, disparity=disparity.reshape(shape).astype(np.float32), occluded=hidden.reshape(shape)
    )


def _nearest(
    surfaces: list[_Surface], x: np.ndarray, y: np.ndarray, is_left: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Largest disparity at each place (N,) of an image, and the number of its surface."""
    disparity, number = np.full(len(x), -np.inf), np.zeros(len(x), np.int64)
    for i, surface in enumerate(surfaces):
        place = x if is_left else surface.left_x(x, y)
        own = np.where(surface.covers(place, y), surface.disparity(place, y), -np.inf)
        number[own > disparity] = i
        disparity = np.maximum(disparity, own)
    return disparity, number


def _photograph(surfaces: list[_Surface], options: StereoPairOptions, is_left: bool) -> np.ndarray:
    """(H, W, 3) float64, the mean over the samples of each pixel."""
    height, width, samples = options.height, options.width, options.samples
    total = np.zeros((height, width, 3))
    for j in range(samples):
        for i in range(samples):
            y, x = np.mgrid[:height, :width].astype(np.float64)
            x, y = (x + (i + 0.5) / samples).ravel(), (y + (j + 0.5) / samples).ravel()
            _, number = _nearest(surfaces, x, y, is_left)
            color = np.zeros((height * width, 3))
            for k, surface in enumerate(surfaces):
                mine = np.flatnonzero(number == k)
                place = x[mine] if is_left else surface.left_x(x[mine], y[mine])
                color[mine] = surface.color(place, y[mine])
            total += color.reshape(height, width, 3)
    return total / samples**2


def _surfaces(options: StereoPairOptions, rng: np.random.Generator) -> list[_Surface]:
    """The background, slanted blobs and polygons before it, and thin bars."""
    width, height = options.width, options.height
    low, high = options.min_disparity_px, options.max_disparity_px
    span = high - low
    background = min(options.slant, 0.3 * span / height)
    plane = (
        low + 0.2 * span,
        rng.uniform(-1, 1) * min(options.slant, 0.1 * span / width),
        rng.uniform(0, background),
    )
    everywhere = _Surface(
        (width / 2, height / 2), plane, lambda x, y: np.ones(len(x), bool), _texture(options, rng, True), 1.0
    )
    found = [everywhere]
    for _ in range(options.surfaces):
        at = rng.uniform(0, width), rng.uniform(0, height)
        size = rng.uniform(0.08, 0.3) * min(width, height)
        slant = rng.uniform(-options.slant, options.slant, 2)
        plane = (rng.uniform(low + 0.3 * span, high - 0.1 * span), *slant)
        found.append(_Surface(at, plane, _blob(at, size, rng), _texture(options, rng), rng.uniform(0.6, 1.5)))
    for _ in range(options.thin):
        at = rng.uniform(0, width), rng.uniform(0, height)
        slant = rng.uniform(-0.3 * options.slant, 0.3 * options.slant, 2)
        plane = (rng.uniform(low + 0.4 * span, high - 0.1 * span), *slant)
        bar = _bar(at, rng.uniform(0, np.pi), rng.uniform(1.0, 3.0), rng.uniform(0.2, 0.5) * height)
        found.append(_Surface(at, plane, bar, _texture(options, rng), 1.0))
    return found


def _blob(at: tuple[float, float], size: float, rng: np.random.Generator) -> Callable:
    """A star-shaped outline: a few waves around a circle, or a square when they have corners."""
    waves = rng.uniform(-0.25, 0.25, 3) / np.arange(1, 4)
    phases = rng.uniform(0, 2 * np.pi, 3)
    square = rng.random() < 0.5
    turn = rng.uniform(0, np.pi)

    def covers(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        dx, dy = x - at[0], y - at[1]
        if square:
            u, v = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
            return np.maximum(np.abs(u), np.abs(v) * (1.0 + waves[0])) < size
        angle = np.arctan2(dy, dx)
        radius = 1.0 + sum(w * np.cos((k + 2) * angle + p) for k, (w, p) in enumerate(zip(waves, phases)))
        return np.hypot(dx, dy) < size * radius

    return covers


def _bar(at: tuple[float, float], angle: float, half_width: float, half_length: float) -> Callable:
    def covers(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        dx, dy = x - at[0], y - at[1]
        along, across = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
        return (np.abs(along) < half_length) & (np.abs(across) < half_width)

    return covers


def _texture(options: StereoPairOptions, rng: np.random.Generator, is_background: bool = False) -> np.ndarray:
    """(256, 256, 3) float32, periodic: noise of all scales, a pattern that repeats, or nearly nothing."""
    kind = rng.random()
    base = rng.uniform(50, 205, 3)
    if not is_background and kind < options.repetition:
        return repeating_texture(base, rng)
    if 1.0 - kind < options.patches:
        return patch_texture(base, rng)
    plain = kind < options.repetition + options.plain
    contrast = rng.uniform(1, 4) if plain else rng.uniform(12, 40)
    return noise_texture(base, contrast, rng)
