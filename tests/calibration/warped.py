"""Pictures of a checkerboard by a homography of its artwork: quick, for tests of what goes into a calibration."""

import cv2
import numpy as np

SIZE = (480, 360)
FOCAL = 430.0
SQUARE = 40  # of the artwork, pixels


def artwork(columns, rows):
    """The board with a white rim of a square, (H, W) uint8."""
    y, x = np.indices(((rows + 3) * SQUARE, (columns + 3) * SQUARE)) // SQUARE
    inside = (x > 0) & (y > 0) & (x < columns + 2) & (y < rows + 2)
    return np.where(inside & ((x + y) % 2 == 0), 30, 220).astype(np.uint8)


def picture(turn_deg, shift, depth, columns=7, rows=5, size=SIZE, seed=0):
    """A board turned about z, then tilted, its middle at `shift` x, y and `depth`, in squares; (H, W) uint8."""
    scale = size[0] / SIZE[0]
    K = np.array([[scale * FOCAL, 0, size[0] / 2 - 0.5], [0, scale * FOCAL, size[1] / 2 - 0.5], [0, 0, 1.0]])
    middle = (np.array([columns + 3, rows + 3]) * SQUARE - 1) / 2 / SQUARE
    to_squares = np.array([[1 / SQUARE, 0, -middle[0]], [0, 1 / SQUARE, -middle[1]], [0, 0, 1]])
    pose = np.column_stack([rotation(turn_deg)[:, :2], [*shift, depth]])
    art = cv2.GaussianBlur(artwork(columns, rows), (0, 0), max(0.5, 0.4 * SQUARE * depth / K[0, 0]))
    image = cv2.warpPerspective(art, K @ pose @ to_squares, size, flags=cv2.INTER_LINEAR, borderValue=110.0)
    noise = np.random.default_rng(seed).normal(0, 1.5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def corners(turn_deg, shift, depth, columns=7, rows=5, size=SIZE):
    """(N, 2) true inner corners of `picture`, the centre of the top-left pixel at (0.5, 0.5)."""
    y, x = np.divmod(np.arange(columns * rows), columns)
    board = np.column_stack([x - (columns - 1) / 2, y - (rows - 1) / 2, np.zeros(len(x))])
    at = board @ rotation(turn_deg).T + [*shift, depth]
    return size[0] / SIZE[0] * FOCAL * at[:, :2] / at[:, 2:] + np.array(size) / 2


def rotation(turn_deg):
    x, y, z = np.deg2rad(turn_deg)
    return cv2.Rodrigues(np.array([x, y, 0.0]))[0] @ cv2.Rodrigues(np.array([0, 0, z]))[0]


VIEWS = [
    ((25, 5, 5), (-1, 0), 13),
    ((-25, 10, -8), (1, 0.5), 14),
    ((5, 30, 0), (0, -1), 13),
    ((8, -30, 12), (-1, 1), 15),
    ((20, 20, -5), (1.5, -0.5), 16),
    ((-15, -20, 3), (0, 0), 12),
    ((30, -10, 20), (0.5, 0.5), 14),
    ((0, 3, 90), (0, 0), 15),
]
