"""The viewer: a scene in the browser, served by viser. `geo3d view` starts it; from Python:

viewer = Viewer(load_viewer_scene(Path("scene")))
print(viewer.address)
...
viewer.stop()
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import numpy as np

from geo3d.scene import Gaussians
from geo3d.viz.viewer_live import LiveFiles, TrainingState, watch
from geo3d.viz.viewer_look import look_from, start_view
from geo3d.viz.viewer_nodes import SceneNodes
from geo3d.viz.viewer_path import PathTool
from geo3d.viz.viewer_scene import REACH, ViewerScene
from geo3d.viz.viewer_server import start_server, stop_server
from geo3d.viz.viewer_splats import shown_splats
from geo3d.viz.viewer_tools import MeasureTool, ScreenshotTool, paragraph

if TYPE_CHECKING:
    import viser

PORT = 8080
"""Where the viewer listens unless told otherwise."""

_log = logging.getLogger(__name__)


class Viewer:
    """A scene on a web server, which runs until `stop`.

    Parameters
    ----------
    scene : ViewerScene
    host : str
        Address to listen on; 127.0.0.1 lets only this machine's browsers in.
    port : int
        0 for any that is free.

    Raises
    ------
    ImportError
        If viser is not installed.
    OSError
        If the port is taken or the address none of this machine's.
    """

    def __init__(self, scene: ViewerScene, host: str = "127.0.0.1", port: int = PORT) -> None:
        self.scene = scene
        self.server = start_server(host, port, f"geo3d: {scene.title}")
        self._host = host
        self._stopping = threading.Event()
        self._looked_through: int | None = None
        self._arrived = False
        self._splat_count = ""
        self.server.gui.configure_theme(show_logo=False, show_share_button=False, dark_mode=False)
        start_view(self.server)
        self.nodes = SceneNodes(self.server, scene, self._frustum_clicked)
        self.server.on_client_connect(lambda client: client.camera.on_update(self.eye_moved) and None)
        self._about = self.server.gui.add_html("")
        self._training = self.server.gui.add_html("")
        self._build_controls()
        if scene.splats is not None:
            self.show_splats(scene.splats)
        self._tell()
        self._threads = [threading.Thread(target=self._thumbnails, daemon=True)]
        if scene.splat_file is not None and scene.metrics_file is not None:
            files = LiveFiles(scene.splat_file, scene.metrics_file, loaded=scene.splats is not None)
            arguments = (files, self._stopping, self.show_splats, self._show_state, self._show_trouble)
            self._threads.append(threading.Thread(target=watch, args=arguments, daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> str:
        """What to open in a browser of this machine."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server.get_port()}"

    @property
    def about(self) -> str:
        """What it says of the scene, as HTML."""
        return self._about.content

    @property
    def training(self) -> str:
        """What it says of a training, as HTML."""
        return self._training.content

    def stop(self) -> None:
        """End the server and what runs beside it."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        stop_server(self.server)

    def show_splats(self, gaussians: Gaussians) -> None:
        """Show these `gaussians` (world, NumPy) in place of those shown before; the first hide the points."""
        if self.nodes.splats is None:
            self._splats_box.visible = True
            self._points_box.value = False
            self.nodes.show_points(False)
        splats = shown_splats(gaussians, self.scene.display_from_world)
        self.nodes.set_splats(splats)
        count = f"{len(splats.centers):,}"
        self._splat_count = f"{count} of {splats.total:,}" if len(splats.centers) < splats.total else count
        self._tell()

    def _build_controls(self) -> None:
        gui, nodes, scene = self.server.gui, self.nodes, self.scene
        with gui.add_folder("Show"):
            self._points_box = gui.add_checkbox("Points", True, visible=len(scene.points) > 0)
            self._points_box.on_update(lambda event: nodes.show_points(event.target.value))
            cameras = gui.add_checkbox("Cameras", True, visible=len(scene.cameras) > 0)
            cameras.on_update(lambda event: nodes.show_cameras(event.target.value))
            self._splats_box = gui.add_checkbox("Splats", True, visible=False)
            self._splats_box.on_update(lambda event: nodes.show_splats(event.target.value))
            size = gui.add_slider("Point size", 0.1, 5.0, 0.1, 1.0, visible=self._points_box.visible)
            size.on_update(lambda event: nodes.point_size(event.target.value))
            size = gui.add_slider("Camera size", 0.1, 5.0, 0.1, 1.0, visible=cameras.visible)
            size.on_update(lambda event: nodes.camera_scale(event.target.value))
        with gui.add_folder("Tools"):
            self.measure = MeasureTool(self.server, nodes)
            self.screenshot = ScreenshotTool(self.server, scene.folder / "views")
        with gui.add_folder("Camera path"):
            self.path = PathTool(self.server, nodes, scene.folder / "views", self._stopping)

    def _tell(self) -> None:
        """What is shown, in figures, and what is not."""
        scene = self.scene
        counts = {"cameras": f"{len(scene.cameras):,}", "points": f"{len(scene.points):,}"}
        if self._splat_count:
            counts["splats"] = self._splat_count
        figures = ", ".join(f"{count} {what}" for what, count in counts.items() if count != "0")
        unit = "in metres" if scene.metres else "scale arbitrary"
        self._about.content = paragraph(f"{figures}; {unit}", *scene.notes)

    def _show_state(self, state: TrainingState) -> None:
        self._training.content = paragraph(state.text() and f"Training: {state.text()}")

    def _show_trouble(self, text: str) -> None:
        _log.warning("%s", text)
        self._training.content = paragraph(text)

    def _thumbnails(self) -> None:
        for _ in self.nodes.load_thumbnails(self._stopping):
            pass

    def _frustum_clicked(self, row: int, event: viser.SceneNodePointerEvent) -> None:
        if not self.measure.active:
            self.look_through(row, event.client)

    def look_through(self, row: int, client: viser.ClientHandle) -> None:
        """Put the eye of a browser where a photo was taken.

        Parameters
        ----------
        row : int
            Of the camera.
        client : viser.ClientHandle
        """
        camera = self.scene.cameras[row]
        self._show_frustum_again()
        self._looked_through, self._arrived = row, False
        self.nodes.camera_nodes[row].visible = False  # its photo would cover the view
        look_from(client, *self.scene.display_pose(camera.world_from_cam), camera.fov_y_rad)
        client.add_notification("Photo", camera.name, auto_close_seconds=5.0)

    def eye_moved(self, eye: viser.CameraHandle) -> None:
        """Show the frustum again that was looked through, once the `eye` of a browser has been there and left."""
        row = self._looked_through
        if row is None:
            return
        _, centre = self.scene.display_pose(self.scene.cameras[row].world_from_cam)
        near = np.linalg.norm(eye.position - centre) < 0.01 * REACH
        if self._arrived and not near:
            self._show_frustum_again()
        # A browser that is slow still tells where it was before.
        self._arrived = self._arrived or bool(near)

    def _show_frustum_again(self) -> None:
        if self._looked_through is not None:
            self.nodes.camera_nodes[self._looked_through].visible = True
            self._looked_through = None
