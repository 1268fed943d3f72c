"""Recording a camera path in the viewer: key frames where the eye stands, played and saved for `geo3d render --path`.

The path is the spline of `geo3d.render.key_frames`, so that what is played is what is rendered. All key frames have the
size of the window at the first; of the others the vertical field of view is kept.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import matrix_to_quaternion
from geo3d.render.camera_path import CameraPath
from geo3d.render.key_frames import KeyFrame, key_frame_path, write_key_frames
from geo3d.viz.viewer_look import eye_of, look_from
from geo3d.viz.viewer_nodes import SceneNodes
from geo3d.viz.viewer_scene import REACH
from geo3d.viz.viewer_tools import answered, free_name, paragraph

if TYPE_CHECKING:
    import viser

FPS = 30.0
"""Of the path that is saved and played."""

_COLOR = (230, 120, 20)
_DRAWN_PER_S = 8.0  # points of the line
_DEPTH = 0.03 * REACH  # of the frustum at a key frame
_WIDER = 1.15  # it is than the view there, which would have its lines for a border


class PathTool:
    """Key frames, and the controls that add, play and save them.

    Parameters
    ----------
    server : viser.ViserServer
    nodes : SceneNodes
    folder : Path
        For saved paths; made when it is needed.
    stop : Event
        Ends what is being played.
    """

    def __init__(
        self, server: viser.ViserServer, nodes: SceneNodes, folder: Path, stop: threading.Event
    ) -> None:
        self._server, self._scene, self._folder, self._stop = server, nodes.scene, folder, stop
        self._eyes: list[tuple[Any, float]] = []  # cam_from_world, vertical field of view
        self._size = (0, 0)
        self._drawn: list[Any] = []
        self._playing = threading.Event()
        gui = server.gui
        self._seconds = gui.add_slider("Seconds", 0.5, 10.0, 0.5, 2.0, hint="From one key frame to the next.")
        self._seconds.on_update(lambda _: self._tell())
        add = gui.add_button("Add key frame", hint="Where the view is now.")
        add.on_click(lambda event: event.client and self.add(event.client))
        remove = gui.add_button("Remove last key frame")
        remove.on_click(lambda _: self.remove_last())
        self._play_button = gui.add_button("Play", hint="Click again to stop.")
        self._play_button.on_click(lambda event: event.client and self.play_or_stop(event.client))
        save = gui.add_button("Save path", hint=f"For `geo3d render --path`, to {folder}")
        save.on_click(lambda event: answered(event.client, "Camera path", lambda _: self.save()))
        self._about = gui.add_html("")
        self._tell()

    @property
    def about(self) -> str:
        """What it says of the path, as HTML."""
        return self._about.content

    def key_frames(self) -> list[KeyFrame]:
        """The key frames, world frame."""
        width, height = self._size
        found = []
        for number, (pose, fov) in enumerate(self._eyes):
            focal = height / 2 / np.tan(fov / 2)
            camera = Camera("PINHOLE", width, height, [focal, focal, width / 2, height / 2])
            found.append(KeyFrame(pose, number * float(self._seconds.value), camera))
        return found

    def add(self, client: viser.ClientHandle) -> None:
        """Add a key frame where the eye of a browser stands."""
        rotation, centre, fov = eye_of(client)
        if not self._eyes:  # even sides, which encoders of video want
            camera = client.camera
            self._size = (max(2, camera.image_width // 2 * 2), max(2, camera.image_height // 2 * 2))
        self._eyes.append((self._scene.world_pose(rotation, centre).inverse(), fov))
        self._draw()
        self._tell()

    def remove_last(self) -> None:
        """Remove the last key frame; nothing where there is none."""
        del self._eyes[-1:]
        self._draw()
        self._tell()

    def save(self) -> Path:
        """Write the key frames; returns the file.

        Raises
        ------
        ValueError
            If there is none.
        OSError
            If it cannot be written.
        """
        if not self._eyes:
            raise ValueError("there is no key frame yet; add some where the path shall lead through")
        target = free_name(self._folder, "path", ".json")
        write_key_frames(target, self.key_frames(), fps=FPS)
        return target

    def play_or_stop(self, client: viser.ClientHandle) -> None:
        """Move the eye of a browser along the path, at its pace; stop it where it moves already."""
        if self._playing.is_set():
            self._playing.clear()
            return
        if len(self._eyes) < 2:
            client.add_notification("Camera path", "It takes two key frames or more.", color="red")
            return
        path = key_frame_path(self.key_frames(), fps=FPS)
        self._playing.set()
        self._play_button.label = "Stop"
        self._show_drawn(False)
        try:
            self._play(client, path)
        finally:
            self._playing.clear()
            self._play_button.label = "Play"
            self._show_drawn(True)

    def _play(self, client: viser.ClientHandle, path: CameraPath) -> None:
        start = time.monotonic()
        row = 0
        while row < len(path) and self._playing.is_set() and not self._stop.is_set():
            pose, camera = path.poses[row].inverse(), path.cameras[row]
            fov = 2 * float(np.arctan(camera.height / 2 / camera.focal[1]))
            look_from(client, *self._scene.display_pose(pose), fov)
            if client.client_id not in self._server.get_clients():
                return
            self._stop.wait(1 / path.fps)
            # Frames are left out where the browser is slow, the last one never.
            due = round((time.monotonic() - start) * path.fps)
            row = len(path) if row == len(path) - 1 else min(max(row + 1, due), len(path) - 1)

    def _tell(self) -> None:
        count = len(self._eyes)
        seconds = max(0, count - 1) * float(self._seconds.value)
        frames = "1 key frame" if count == 1 else f"{count} key frames"
        self._about.content = paragraph(f"{frames}, {seconds:g} s" if count else "No key frames yet.")

    def _draw(self) -> None:
        """A small frustum at each key frame, and the line through them."""
        for node in self._drawn:
            node.remove()
        self._drawn = []
        scene, frames = self._server.scene, self.key_frames()
        for number, frame in enumerate(frames):
            assert frame.camera is not None
            rotation, centre = self._scene.display_pose(frame.cam_from_world.inverse())
            y = _WIDER * frame.camera.height / 2 / frame.camera.focal[1]
            aspect = frame.camera.width / frame.camera.height
            self._drawn.append(
                scene.add_camera_frustum(
                    f"/path/{number}", 2 * float(np.arctan(y)), aspect, color=_COLOR, thickness=0.05 * _DEPTH,
                    scale=float(_DEPTH * np.cbrt(y * y * aspect / 3)), wxyz=matrix_to_quaternion(rotation),
                    position=centre, cast_shadow=False, receive_shadow=False,
                )
            )  # fmt: skip
        if len(frames) > 1:
            path = key_frame_path(frames, fps=_DRAWN_PER_S)
            world = np.array([pose.center() for pose in path.poses])
            along = self._scene.display_from_world.act(world).astype(np.float32)
            ends = np.stack([along[:-1], along[1:]], axis=1)
            self._drawn.append(
                scene.add_line_segments(
                    "/path/line", ends, np.array(_COLOR), thickness=2.0, thickness_units="screen"
                )
            )

    def _show_drawn(self, visible: bool) -> None:
        for node in self._drawn:
            node.visible = visible
