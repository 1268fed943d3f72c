"""The viewer's scene tree: points, a frustum for each photo with its thumbnail, splats; and what changes them.

All of it is in the display frame of `viewer_scene`; names are `/points`, `/cameras/0`, `/cameras/1`, ..., `/splats`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.geometry import matrix_to_quaternion
from geo3d.viz.thumbnails import small_photo
from geo3d.viz.viewer_scene import REACH, ViewerScene
from geo3d.viz.viewer_splats import MAGNIFIED, ShownSplats

if TYPE_CHECKING:
    import viser

_POINT_SIZE = 0.004 * REACH  # at first, of a few thousand points; smaller where there are many
_FEW = 20_000
_COLOR = (30, 110, 200)  # of frusta
_LINE = 0.04  # thickness of its lines, of the depth of a frustum
_MANY = 200  # cameras from which on thumbnails are smaller
_THUMBNAIL_PX, _SMALL_THUMBNAIL_PX = 192, 64


class SceneNodes:
    """What is shown of a scene, on a server.

    Parameters
    ----------
    server : viser.ViserServer
    scene : ViewerScene
    on_camera : callable
        Called with the row of a camera and viser's event when its frustum is clicked.
    """

    def __init__(
        self, server: viser.ViserServer, scene: ViewerScene, on_camera: Callable[[int, Any], None]
    ) -> None:
        self.scene = scene
        self.points = scene.display_from_world.act(scene.points).astype(np.float32)
        self.splats: ShownSplats | None = None
        self._server = server
        self._splat_node: viser.GaussianSplatHandle | None = None
        self._splats_visible = True
        self._point_size = _POINT_SIZE * float(np.clip(np.sqrt(_FEW / max(1, len(self.points))), 0.25, 1.5))
        self._point_node = None
        if len(self.points):
            self._point_node = server.scene.add_point_cloud(
                "/points", self.points, scene.colors, point_size=self._point_size, precision="float32",
                point_shape="circle", point_shading="flat",
            )  # fmt: skip
        self._camera_root = server.scene.add_frame("/cameras", show_axes=False)
        self.camera_nodes = [self._add_camera(row, on_camera) for row in range(len(scene.cameras))]
        self.camera_scale(1.0)

    def _add_camera(self, row: int, on_camera: Callable[[int, Any], None]) -> viser.CameraFrustumHandle:
        camera = self.scene.cameras[row]
        rotation, centre = self.scene.display_pose(camera.world_from_cam)
        node = self._server.scene.add_camera_frustum(
            f"/cameras/{row}",
            camera.fov_y_rad,
            camera.aspect,
            color=_COLOR,
            variant="wireframe" if camera.photo else "filled",
            wxyz=matrix_to_quaternion(rotation),
            position=centre,
            format="jpeg",
            cast_shadow=False,
            receive_shadow=False,
        )
        node.on_click(lambda event: on_camera(row, event))
        return node

    def camera_scale(self, factor: float) -> None:
        """Draw frusta `factor` times as deep as is fit for their distances from each other."""
        depth = factor * fit_depth(
            self.scene.display_from_world.act([c.world_from_cam.translation for c in self.scene.cameras])
            if self.scene.cameras
            else np.zeros((0, 3))
        )
        for camera, node in zip(self.scene.cameras, self.camera_nodes):
            # viser draws a pyramid of a given volume; this is the scale that makes it so deep.
            y = np.tan(camera.fov_y_rad / 2)
            node.scale = float(depth * np.cbrt(y * y * camera.aspect / 3))
            node.thickness = _LINE * depth

    def point_size(self, factor: float) -> None:
        """Draw points `factor` times as large as at first."""
        if self._point_node is not None:
            self._point_node.point_size = factor * self._point_size

    def show_points(self, visible: bool) -> None:
        """Show or hide the points."""
        if self._point_node is not None:
            self._point_node.visible = visible

    def show_cameras(self, visible: bool) -> None:
        """Show or hide the frusta."""
        self._camera_root.visible = visible

    def show_splats(self, visible: bool) -> None:
        """Show or hide the splats, also those that come later."""
        self._splats_visible = visible
        if self._splat_node is not None:
            self._splat_node.visible = visible

    def set_splats(self, splats: ShownSplats) -> None:
        """Show these `splats` in place of those that are there."""
        self.splats = splats
        self._splat_node = self._server.scene.add_gaussian_splats(
            "/splats",
            centers=splats.centers,
            covariances=splats.covariances,
            rgbs=splats.colors,
            opacities=splats.opacities[:, None],
            scale=1 / MAGNIFIED,
            visible=self._splats_visible,
        )

    def measurable(self) -> np.ndarray:
        """(N, 3) points of what is visible now, display frame."""
        parts = [np.zeros((0, 3), np.float32)]
        if self._point_node is not None and self._point_node.visible:
            parts.append(self.points)
        if self.splats is not None and self._splats_visible:
            parts.append(self.splats.solid())
        return np.concatenate(parts)

    def load_thumbnails(self, stop: threading.Event) -> Iterator[int]:
        """Put the photos into their frusta, one after the other until `stop`; yields how many are done."""
        side = _THUMBNAIL_PX if len(self.camera_nodes) <= _MANY else _SMALL_THUMBNAIL_PX
        with_photo = [(c.photo, n) for c, n in zip(self.scene.cameras, self.camera_nodes) if c.photo]
        for done, (photo, node) in enumerate(with_photo, 1):
            if stop.is_set():
                return
            small = small_photo(photo, side, upright=False)
            if small is not None:
                node.image = np.asarray(small)
            yield done


def fit_depth(centres: np.ndarray) -> float:
    """How deep frusta are drawn, display units: half the usual distance to the nearest other camera.

    Parameters
    ----------
    centres : (V, 3)
        Of the cameras, display frame.
    """
    from scipy.spatial import KDTree

    if len(centres) < 2:
        return 0.06 * REACH
    nearest = KDTree(centres).query(centres, k=2)[0][:, 1]
    return float(np.clip(np.median(nearest) / 2, 0.015 * REACH, 0.06 * REACH))
