"""Learn visual words from images that nobody took: `python -m geo3d.features.learn_words geo3d/features/words.npy`.

The images are dead leaves: shapes of random size, form and grey that cover one another, the sizes distributed as
1 / r^3, which gives them the statistics of photographs at all scales; with texture of random strength whose spectrum
falls as a power of the frequency. Their descriptors cluster as those of photos do: matching finds as much with these
words as with words learnt from the photos at hand, at about a fifth more time.

Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 2001. The clustering is k-means of directions
(Dhillon and Modha 2001).
"""

import sys
from pathlib import Path

import numpy as np

from geo3d.features.sift import DESCRIPTOR_LENGTH, QUANTUM, SiftOptions, extract
from geo3d.util.files import atomic_path
from geo3d.util.require import require

WORDS = 256
_IMAGES, _SIDE, _LEAVES, _FEATURES = 24, 1024, 6000, 3000
_SMALLEST_PX, _LARGEST_PX = 4.0, 250.0


def learn_words(descriptors: np.ndarray, count: int = WORDS, seed: int = 0, rounds: int = 12) -> np.ndarray:
    """Cluster the directions of descriptors.

    Parameters
    ----------
    descriptors : (N, 128) uint8
        RootSIFT, as `Features.descriptors`.
    count : int
        Number of words, a multiple of 16.
    seed : int
        Of the descriptors to begin with.
    rounds : int
        Of k-means.

    Returns
    -------
    (count, 128) uint8
        Mean directions, of norm 512.

    Raises
    ------
    ValueError
        If there are fewer descriptors than words, or `count` is no multiple of 16.
    """
    if count % 16 or not 0 < count <= len(descriptors):
        raise ValueError(
            f"count must be a multiple of 16, at most the {len(descriptors)} descriptors, got {count}"
        )
    values = descriptors.astype(np.float32)  # products of integers below 2^24 are exact, whatever the BLAS
    words = values[np.random.default_rng(seed).choice(len(values), count, replace=False)]
    for _ in range(rounds):
        nearest = (values @ words.T).argmax(axis=1)
        order = np.argsort(nearest, kind="stable")
        used, start = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(values[order].astype(np.int64), start).astype(np.float64)
        words[used] = np.rint(sums * (QUANTUM / np.linalg.norm(sums, axis=1, keepdims=True)))
    return np.minimum(words, 255).astype(np.uint8)


def dead_leaves(rng: np.random.Generator, side: int = _SIDE, leaves: int = _LEAVES) -> np.ndarray:
    """(side, side) uint8 image of random shapes that cover one another, with texture."""
    cv2 = require("cv2")
    image = np.zeros((side, side), np.float32)
    for _ in range(leaves):
        radius = _SMALLEST_PX / np.sqrt(1 - rng.uniform() * (1 - (_SMALLEST_PX / _LARGEST_PX) ** 2))
        form, corners, grey = rng.integers(0, 3), rng.integers(3, 8), float(rng.uniform(0, 255))
        centre = rng.uniform(-50, side + 50, 2)
        turn, flatness = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1)
        if form == 0:
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        elif form == 1:
            angles, flatness = np.sort(rng.uniform(0, 2 * np.pi, corners)), 1.0
        else:
            angles = np.arange(4) * np.pi / 2 + np.pi / 4
        outline = radius * np.stack([np.cos(angles), flatness * np.sin(angles)])
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        pixels = np.rint(((rotation @ outline).T + centre) * 8).astype(np.int32)
        cv2.fillPoly(image, [pixels], grey, cv2.LINE_AA, 3)
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.2))
    return np.clip(np.rint(blurred + rng.uniform(5, 40) * _texture(rng, side)), 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """(side, side) noise of unit deviation whose amplitude falls as a power of the frequency."""
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(frequency[:, None], frequency)
    radius[0, 0] = 1
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) / radius ** rng.uniform(0.8, 1.6)
    noise = np.fft.ifft2(spectrum).real
    return noise / noise.std()


def main(path: str) -> None:
    """Learn the words of geo3d and write them to `path`."""
    require("cv2").setNumThreads(1)
    options = SiftOptions(max_features=_FEATURES)
    images = (dead_leaves(np.random.default_rng(seed)) for seed in range(_IMAGES))
    words = learn_words(np.concatenate([extract(image, options).descriptors for image in images]))
    assert words.shape == (WORDS, DESCRIPTOR_LENGTH)
    with atomic_path(Path(path)) as file:
        np.save(file, words)


if __name__ == "__main__":
    main(*sys.argv[1:])
