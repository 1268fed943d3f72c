"""What a radiance field has to offer to be put into a video, a panorama or a mesh: a function of camera and pose."""

from __future__ import annotations

from typing import Any, Protocol

from geo3d.cameras import Camera
from geo3d.geometry import SE3


class RenderedView(Protocol):
    """Images of a camera of H rows and W columns, NumPy float32.

    Attributes
    ----------
    color : (H, W, 3)
        RGB over the background, in [0, 1] but for what overshoots, sRGB-encoded.
    alpha : (H, W)
        How much of the background is covered.
    depth : (H, W) or None
        Expected z, camera frame; 0 where nothing is seen.
    median_depth : (H, W) or None
        z at which half of the light is gone; 0 where it never is.
    normals : (H, W, 3) or None
        Unit normals in the camera frame; 0 where nothing is seen.
    """

    @property
    def color(self) -> Any: ...
    @property
    def alpha(self) -> Any: ...
    @property
    def depth(self) -> Any: ...
    @property
    def median_depth(self) -> Any: ...
    @property
    def normals(self) -> Any: ...


class RenderView(Protocol):
    """`render_view(camera, cam_from_world)` renders one view; the camera is PINHOLE."""

    def __call__(self, camera: Camera, cam_from_world: SE3, /) -> RenderedView: ...
