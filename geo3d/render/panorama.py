"""The whole sphere around a point as one image, that of an EQUIRECTANGULAR camera: from six views, the faces of a cube.

Each pixel takes its colour from the face that its ray leaves the cube through, bilinear. The faces are a little wider
than 90 degrees, so that at their edges nothing is extrapolated, and as fine as the panorama is at its middle.
"""

from __future__ import annotations

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render.rendering import RenderView
from geo3d.util.require import require

_COLUMNS = 1024
_MARGIN = 2  # pixels of a face beyond 90 degrees, on each side
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
    inner = int(np.ceil(2 * height / np.pi))
    side = inner + 2 * _MARGIN
    face = Camera("PINHOLE", side, side, [inner / 2, inner / 2, side / 2, side / 2])
    x, y = np.meshgrid(np.arange(2 * height) + 0.5, np.arange(height) + 0.5)
    rays = sphere.unproject(np.stack([x, y], axis=-1))
    along = rays @ _FACES[:, 2].T  # (H, W, 6)
    nearest = np.argmax(along, axis=-1)
    result = np.zeros((height, 2 * height, 3), np.float32)
    for number, turn in enumerate(_FACES):
        color = np.asarray(render_view(face, SE3(turn, np.zeros(3)) @ cam_from_world).color, np.float32)
        mine = nearest == number
        result[mine] = _sampled(color, face.project(rays[mine] @ turn.T))
    return result


def _sampled(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(N, 3) colours at pixels (N, 2), bilinear."""
    cv2 = require("cv2")
    # OpenCV puts the centre of the first pixel at 0, and takes no map of more than 32766 columns.
    at = np.zeros((-(-len(pixels) // _COLUMNS) * _COLUMNS, 2), np.float32)
    at[: len(pixels)] = pixels - 0.5
    at = at.reshape(-1, _COLUMNS, 2)
    found = cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(pixels)]
