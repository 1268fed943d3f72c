"""The whole sphere around a point as one image, that of an EQUIRECTANGULAR camera: from six views, the faces of a cube.

The faces are wider than 90 degrees. Where two or three of them show a direction their colours are blended, each with

    w = max(0, t - max(|x|, |y|) / z),    t = tan(half a face's field of view)

of the ray (x, y, z) in its frame: 0 at its border. A field may look a little different from face to face (the ellipses
of splats are exact in the middle of an image only, and sorted along its axis), and a border at once would be seen.
Faces are as fine as the panorama is at its middle, and sampled bilinearly.
"""

from __future__ import annotations

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render.rendering import RenderView
from geo3d.util.require import require

_COLUMNS = 1024
_OVERLAP = np.radians(5.0)  # of a face beyond 90 degrees, on each side
# Rows: x, y, z of the face's camera in the frame of the panorama's. Front, right, back, left, below, above.
_FACES = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    ],
    np.float64,
)


def render_panorama(render_view: RenderView, cam_from_world: SE3, height: int) -> np.ndarray:
    """Render a 360 degree panorama.

    Parameters
    ----------
    render_view : RenderView
        Called six times.
    cam_from_world : SE3
        The middle of the panorama looks along z; its top is towards -y.
    height : int
        Pixels; it is twice as wide.

    Returns
    -------
    (height, 2 height, 3) float32
        Pixels as those of `Camera("EQUIRECTANGULAR", 2 * height, height, [2 * height, height])`.
    """
    if height < 2:
        raise ValueError(f"height: expected at least 2 pixels, got {height}")
    sphere = Camera("EQUIRECTANGULAR", 2 * height, height, [2 * height, height])
    focal, reach = float(np.ceil(2 * height / np.pi)) / 2, float(np.tan(np.pi / 4 + _OVERLAP))
    side = 2 * int(np.ceil(focal * reach)) + 2  # and the pixel beyond, which bilinear sampling asks for
    face = Camera("PINHOLE", side, side, [focal, focal, side / 2, side / 2])
    x, y = np.meshgrid(np.arange(2 * height) + 0.5, np.arange(height) + 0.5)
    rays = sphere.unproject(np.stack([x, y], axis=-1))
    result, total = np.zeros((height, 2 * height, 3), np.float32), np.zeros((height, 2 * height), np.float32)
    for turn in _FACES:
        color = np.asarray(render_view(face, SE3(turn, np.zeros(3)) @ cam_from_world).color, np.float32)
        local = rays @ turn.T
        weight = reach * local[..., 2] - np.abs(local[..., :2]).max(axis=-1)  # z w: 0 behind the camera too
        mine = weight > 0
        share = (weight[mine] / local[mine, 2]).astype(np.float32)
        result[mine] += share[:, None] * _sampled(color, face.project(local[mine]))
        total[mine] += share
    return result / total[..., None]


def _sampled(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(N, 3) colours at pixels (N, 2), bilinear."""
    cv2 = require("cv2")
    # OpenCV puts the centre of the first pixel at 0, and takes no map of more than 32766 columns.
    at = np.zeros((-(-len(pixels) // _COLUMNS) * _COLUMNS, 2), np.float32)
    at[: len(pixels)] = pixels - 0.5
    at = at.reshape(-1, _COLUMNS, 2)
    found = cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(pixels)]
