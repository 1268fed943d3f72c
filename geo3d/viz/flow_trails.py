"""Tracks of points over the frames of a video: a dot where each is, and a trail of where it was.

The colour is the direction and length of the trail, by the wheel of `geo3d.viz.flow`: what moves together has one
colour, what stands still is white.
"""

from collections import deque

import numpy as np

from geo3d.util.require import require
from geo3d.viz.flow import flow_colors

_SUBPIXEL_BITS = 4  # of the places that OpenCV draws at


class Trails:
    """The last places of the points, and the picture of a frame with them.

    Parameters
    ----------
    frames : int
        That a trail reaches back.
    """

    def __init__(self, frames: int = 12) -> None:
        self._past: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=frames)

    def draw(self, pixels: np.ndarray, ids: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the next frame with its points and their trails.

        Parameters
        ----------
        pixels : (H, W) or (H, W, 3) uint8
        ids : (P,) int64
            Ascending.
        points : (P, 2)
            x and y, the centre of the top-left pixel at 0.5, 0.5.
        """
        cv2 = require("cv2")
        self._past.append((ids, points))
        picture = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
        picture = (picture * 0.6).astype(np.uint8)
        reach = 0.04 * max(picture.shape[:2])
        oldest = self._oldest(ids, points)
        colors = flow_colors((points - oldest)[None], max(reach, 1.0))[0] if len(points) else np.zeros((0, 3))
        thick = max(1, round(min(picture.shape[:2]) / 500))
        line: dict = {"thickness": thick, "lineType": cv2.LINE_AA, "shift": _SUBPIXEL_BITS}
        for (ids0, points0), (ids1, points1) in zip(self._past, list(self._past)[1:]):
            _, at0, at1 = np.intersect1d(ids0, ids1, assume_unique=True, return_indices=True)
            kept = np.isin(ids1[at1], ids, assume_unique=True)
            rows = np.searchsorted(ids, ids1[at1[kept]])
            for start, end, row in zip(_fixed(points0[at0[kept]]), _fixed(points1[at1[kept]]), rows):
                cv2.line(picture, start, end, colors[row].tolist(), **line)
        for place, color in zip(_fixed(points), colors):
            cv2.circle(
                picture,
                place,
                (thick + 1) << (_SUBPIXEL_BITS - 1),
                color.tolist(),
                -1,
                cv2.LINE_AA,
                _SUBPIXEL_BITS,
            )
        return picture

    def _oldest(self, ids: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(P, 2): the first of the kept places of each point."""
        found = points.copy()
        for past, places in reversed(self._past):
            both, at_now, at_past = np.intersect1d(ids, past, assume_unique=True, return_indices=True)
            if not len(both):
                break
            found[at_now] = places[at_past]
        return found


def _fixed(points: np.ndarray) -> list[tuple[int, int]]:
    """Places as OpenCV draws them: integers of fractions of a pixel, the centre of the top-left one at 0."""
    fixed = np.round((points - 0.5) * (1 << _SUBPIXEL_BITS)).astype(int)
    return [(int(x), int(y)) for x, y in fixed]
