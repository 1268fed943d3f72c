"""Tracks of points over the frames of a video: a dot where each is, and a trail of where it was.

The colour is the direction and length of the trail, by the wheel of `geo3d.viz.flow`: what moves together has one
colour, what stands still is white.
"""

from collections import deque

import numpy as np

from geo3d.util.require import require
from geo3d.viz.flow import flow_colors

_SUBPIXEL_BITS = 4  # of the places that OpenCV draws at
_MOST = 600  # points of the first frame that are drawn; of more, every second, third, ...
_LONGEST = 0.07  # of a trail, shares of the longer side


class Trails:
    """The last places of the points, and the picture of a frame with them.

    Parameters
    ----------
    frames : int
        That a trail reaches back at most; less where the motion is large.
    """

    def __init__(self, frames: int = 12) -> None:
        self._past: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=frames)
        self._every = 0

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
        self._every = self._every or -(-len(ids) // _MOST)
        if self._every > 1:
            drawn = ids % self._every == 0
            ids, points = ids[drawn], points[drawn]
        self._past.append((ids, points))
        picture = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
        picture = (picture * 0.6).astype(np.uint8)
        longest = _LONGEST * max(picture.shape[:2])
        trails = [self._trail(place, point, longest) for place, point in zip(ids.tolist(), points)]
        if not trails:
            return picture
        moved = np.stack([trail[0] - trail[-1] for trail in trails])
        colors = flow_colors(moved[None], max(longest, 1.0))[0].tolist()
        thick = max(1, round(min(picture.shape[:2]) / 500))
        for trail, color in zip(trails, colors):
            fixed = np.round((trail - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            cv2.polylines(picture, [fixed[:, None]], False, color, thick, cv2.LINE_AA, _SUBPIXEL_BITS)
            radius = (thick + 1) << (_SUBPIXEL_BITS - 1)
            cv2.circle(picture, fixed[0].tolist(), radius, color, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        return picture

    def _trail(self, point_id: int, point: np.ndarray, longest: float) -> np.ndarray:
        """(L, 2): where a point is, where it was in the frame before, and so on."""
        places, length = [point], 0.0
        for ids, points in list(self._past)[-2::-1]:
            row = int(np.searchsorted(ids, point_id))
            if row == len(ids) or ids[row] != point_id or length > longest:
                break
            length += float(np.hypot(*(points[row] - places[-1])))
            places.append(points[row])
        return np.stack(places)
