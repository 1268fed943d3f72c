"""Depth and normals as pictures.

Depth is shown on a logarithmic scale in the colours of Turbo (Mikhailov, 2019), near red, far blue; black where nothing
is. Normals (camera frame: x right, y down, z forward) are shown as (1 + (x, -y, -z)) / 2: what is turned to the camera
is blue, upwards green, to the right red, as in normal maps of graphics programs.
"""

from __future__ import annotations

import numpy as np

from geo3d.util.require import require

_SHOWN = (2.0, 98.0)  # percentiles of the depths that a picture by itself spans
_AXES = np.array([1.0, -1.0, -1.0], np.float32)


def depth_picture(depth: np.ndarray, span: tuple[float, float] | None = None) -> np.ndarray:
    """Depth in colours.

    Parameters
    ----------
    depth : (H, W)
        z; what is not positive is not known.
    span : (near, far), optional
        Depths of the ends of the colours, the same for all frames of a video; by default those of the picture.

    Returns
    -------
    (H, W, 3) uint8
    """
    cv2 = require("cv2")
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    near, far = span or (float(v) for v in np.percentile(depth[known], _SHOWN))
    logs = np.log(np.where(known, depth, near)) - np.log(near)
    share = 1.0 - np.clip(logs / max(np.log(far) - np.log(near), 1e-6), 0.0, 1.0)
    colors = cv2.applyColorMap((255 * share + 0.5).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(known[..., None], colors, 0).astype(np.uint8)


def normal_picture(normals: np.ndarray) -> np.ndarray:
    """Normals as 16-bit colours.

    Parameters
    ----------
    normals : (H, W, 3)
        Unit vectors in the camera frame, 0 where not known.

    Returns
    -------
    (H, W, 3) uint16
        0 where not known.
    """
    known = np.any(normals != 0, axis=-1, keepdims=True)
    shown = np.clip((normals * _AXES + 1) / 2, 0, 1) * 65534 + 1
    return np.where(known, shown + 0.5, 0).astype(np.uint16)
