"""An orthographic camera, for orthophotos: parallel rays along z.

u = scale_px x + cx,  v = scale_px y + cy            (x, y, z): camera frame, any z
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geo3d.cameras import Projection


@dataclass(frozen=True)
class OrthographicCamera:
    """A camera without perspective.

    Attributes
    ----------
    width, height : int
        Size of the image, pixels.
    scale_px : float
        Pixels per world unit.
    principal_point : tuple of 2 float or None
        Pixel of the camera's axis; None for the middle.

    Raises
    ------
    ValueError
        If the size or the scale is not positive.

    Examples
    --------
    >>> camera = OrthographicCamera(200, 100, scale_px=10.0)
    >>> camera.project([1.0, 2.0, 30.0])
    array([110.,  70.])
    """

    width: int
    height: int
    scale_px: float
    principal_point: tuple[float, float] | None = None
    model = "ORTHOGRAPHIC"

    def __post_init__(self) -> None:
        for name in ("width", "height", "scale_px"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)!r}")

    def _middle(self) -> np.ndarray:
        return np.array(self.principal_point or (0.5 * self.width, 0.5 * self.height), np.float64)

    def project(self, points: Any) -> np.ndarray:
        """(..., 2) pixels of points (..., 3) of the camera frame."""
        return self.scale_px * np.asarray(points, np.float64)[..., :2] + self._middle()

    def project_with_jacobians(self, points: Any) -> Projection:
        """`project` with the derivatives by the points (..., 3), and none by parameters."""
        pixels = self.project(points)
        d_point = np.zeros((*pixels.shape[:-1], 2, 3))
        d_point[..., 0, 0] = d_point[..., 1, 1] = self.scale_px
        return Projection(
            pixels, np.asarray(np.isfinite(pixels).all(-1)), d_point, np.zeros((*pixels.shape[:-1], 2, 0))
        )
