"""Short clips whose motion is known exactly: a camera that shakes before a textured wall, with or without a mover."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

SIZE = (320, 240)


@dataclass(frozen=True)
class Clip:
    """Frames, and where what stands still goes from each to the next, (N - 1, 3, 3), pixels (0.5, 0.5)."""

    frames: list[np.ndarray]
    steps: np.ndarray


def wallpaper(side, rng, contrast=22.0):
    """(side, side, 3) uint8 with detail of all sizes."""
    layers = [
        k**0.5 * cv2.resize(rng.standard_normal((side // k + 2, side // k + 2, 3)), (side, side))
        for k in (4, 8, 16, 32)
    ]
    return np.clip(128 + contrast * sum(layers), 0, 255).astype(np.uint8)


def turn(angles, size=SIZE):
    """Homography of a camera of about 60 degrees that turns by angles about x, y and z, radians."""
    focal = 0.9 * size[0]
    k = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
    return k @ cv2.Rodrigues(np.asarray(angles, np.float64))[0] @ np.linalg.inv(k)


def shaken_clip(count=40, shake_deg=0.5, pan_deg=0.15, mover=0.0, seed=0):
    """A camera that pans evenly and shakes; a square of `mover` of the frame's height walks across before it."""
    rng = np.random.default_rng(seed)
    wall = wallpaper(900, rng)
    side = int(mover * SIZE[1])
    coat = wallpaper(max(side, 8), rng, 35.0)
    frames, places = [], []
    for i in range(count):
        shake = rng.normal(0, np.radians(shake_deg), 3)
        shake[1] += np.radians(pan_deg) * i
        place = turn(shake)  # frame from wall, whose middle is in the middle
        shift = np.array([[1, 0, SIZE[0] / 2 - 450.0], [0, 1, SIZE[1] / 2 - 450.0], [0, 0, 1]])
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        frame = cv2.warpPerspective(
            wall, np.linalg.inv(half) @ place @ shift @ half, SIZE, flags=cv2.INTER_CUBIC
        )
        if side:
            left = int(4.0 * i - 0.5 * side)
            top = SIZE[1] - side
            x0, x1 = max(left, 0), min(left + side, SIZE[0])
            frame[top:, x0:x1] = coat[:side, x0 - left : x1 - left]
        frames.append(frame)
        places.append(place)
    steps = np.array([b @ np.linalg.inv(a) for a, b in pairwise(places)]).reshape(-1, 3, 3)
    return Clip(frames, steps / steps[:, 2:, 2:])
