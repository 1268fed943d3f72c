"""Periodic textures of made-up surfaces, (256, 256, 3) float32 in grey levels of 255: noise, patches, repetition."""

import numpy as np

SIZE = 256
"""Texels a side."""


def noise_texture(base: np.ndarray, contrast: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of all scales, its spectrum falling as the frequency to a power of 0.7 to 1.3.

    Parameters
    ----------
    base : (3,)
        Mean colour.
    contrast : float
        Standard deviation, grey levels.
    rng : Generator
    """
    steep = rng.uniform(0.7, 1.3)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None])
    frequency[0, 0] = 1.0
    shared = rng.normal(size=(SIZE, SIZE))
    channels = []
    for _ in range(3):
        white = np.fft.fft2(0.8 * shared + 0.6 * rng.normal(size=(SIZE, SIZE)))
        white[0, 0] = 0.0
        noise = np.fft.ifft2(white / frequency**steep).real
        channels.append(noise / noise.std())
    return np.clip(base + contrast * np.stack(channels, axis=-1), 0, 255).astype(np.float32)


def patch_texture(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Squares of one colour over each other, many small ones and few large.

    Parameters
    ----------
    base : (3,)
        Mean colour.
    rng : Generator
    """
    texture = np.empty((SIZE, SIZE, 3), np.float32)
    texture[:] = base
    for size in 8.0 * rng.uniform(0.08, 1.0, 250) ** -0.8:
        side = np.arange(int(size))
        rows, columns = (side + rng.integers(SIZE)) % SIZE, (side + rng.integers(SIZE)) % SIZE
        texture[np.ix_(rows, columns)] = np.clip(base + rng.normal(0.0, 35.0, 3), 0, 255)
    return texture


def repeating_texture(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pattern of 4 x 4 squares that repeats itself every 8 or 16 texels.

    Parameters
    ----------
    base : (3,)
        Mean colour.
    rng : Generator
    """
    period = int(rng.choice([8, 16]))
    tile = np.kron(rng.uniform(-60, 60, (4, 4, 3)), np.ones((period // 4, period // 4, 1)))
    return np.clip(base + np.tile(tile, (SIZE // period, SIZE // period, 1)), 0, 255).astype(np.float32)
