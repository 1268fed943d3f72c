"""What a person does in the viewer besides looking: measure a distance, save a picture.

Each tool builds its own controls on a viser server and answers them. What is saved goes to `views/` of the scene.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.util.files import atomic_path
from geo3d.viz.viewer_measure import distance_text, pick
from geo3d.viz.viewer_nodes import SceneNodes

if TYPE_CHECKING:
    import viser

_MARK = (240, 60, 20)
_RENDER_TIMEOUT_S = 60.0


class MeasureTool:
    """Two clicks on points, and how far they are from each other.

    Parameters
    ----------
    server : viser.ViserServer
    nodes : SceneNodes
    """

    def __init__(self, server: viser.ViserServer, nodes: SceneNodes) -> None:
        self._server, self._nodes = server, nodes
        self._picked: list[np.ndarray] = []  # display frame
        self._marks: list[Any] = []
        self._switch = server.gui.add_checkbox(
            "Measure", False, hint="Then click two points of the scene, one after the other."
        )
        self._answer = server.gui.add_html("")
        self._switch.on_update(lambda _: self._switched())

    @property
    def active(self) -> bool:
        """Clicks are for this tool."""
        return self._switch.value

    @property
    def answer(self) -> str:
        """What it says now, as HTML."""
        return self._answer.content

    def _switched(self) -> None:
        self._clear()
        if self.active:
            self._server.scene.on_click()(self.click)
            self._say("Click a point.")
        else:
            self._server.scene.remove_click_callback(self.click)
            self._say("")

    def click(self, event: viser.SceneClickEvent) -> None:
        """Take the point under a click."""
        points = self._nodes.measurable()
        camera = event.client.camera
        row = pick(
            points,
            np.array(event.ray_origin),
            np.array(event.ray_direction),
            camera.image_height,
            camera.fov,
        )
        if row is None:
            self._say("There is no point; click on one.")
            return
        if len(self._picked) == 2:
            self._clear()
        self._picked.append(points[row].astype(np.float64))
        self._mark(points[row], float(np.linalg.norm(points[row] - camera.position)))
        if len(self._picked) == 1:
            self._say("Click the second point.")
            return
        world = [self._nodes.scene.display_from_world.inverse().act(p) for p in self._picked]
        text = distance_text(self._nodes.scene, *world)
        self._draw(text)
        self._say(text)

    def _mark(self, place: np.ndarray, distance: float) -> None:
        self._marks.append(
            self._server.scene.add_icosphere(
                f"/measure/{len(self._picked)}", 0.006 * distance, _MARK, position=place, cast_shadow=False
            )
        )

    def _draw(self, text: str) -> None:
        """The line between the two, with the distance at its middle."""
        ends = np.array(self._picked, np.float32)
        add = self._server.scene
        line = add.add_line_segments(
            "/measure/line", ends[None], np.array(_MARK), thickness=3.0, thickness_units="screen"
        )
        label = add.add_label("/measure/label", text.partition(";")[0], position=ends.mean(axis=0))
        self._marks += [line, label]

    def _clear(self) -> None:
        for mark in self._marks:
            mark.remove()
        self._marks, self._picked = [], []

    def _say(self, text: str) -> None:
        self._answer.content = paragraph(text)


class ScreenshotTool:
    """A button that saves what the browser shows, without the controls, as PNG.

    Parameters
    ----------
    server : viser.ViserServer
    folder : Path
        Made when it is needed.
    """

    def __init__(self, server: viser.ViserServer, folder: Path) -> None:
        self._folder = folder
        button = server.gui.add_button("Save picture", hint=f"PNG, to {folder}")
        button.on_click(lambda event: answered(event.client, "Picture", self.save))

    def save(self, client: viser.ClientHandle) -> Path:
        """Save what the browser of `client` shows; returns the file.

        Raises
        ------
        OSError
            If it cannot be written, or the browser does not answer.
        """
        from PIL import Image

        camera = client.camera
        try:
            shown = client.get_render(
                camera.image_height, camera.image_width, transport_format="png", timeout=_RENDER_TIMEOUT_S
            )
        except (RuntimeError, TimeoutError) as error:
            raise OSError(f"the browser gave no picture: {error}") from None
        target = free_name(self._folder, "picture", ".png")
        picture = Image.fromarray(np.asarray(shown)).convert("RGBA")
        paper = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        with atomic_path(target) as path:
            Image.alpha_composite(paper, picture).convert("RGB").save(path)
        return target


def answered(
    client: viser.ClientHandle | None, title: str, action: Callable[[viser.ClientHandle], object]
) -> None:
    """Do what the person at a browser asked for, and tell them what came of it, or why it failed.

    Parameters
    ----------
    client : ClientHandle or None
        None when the browser has gone; nothing is done then.
    title : str
        Of the message.
    action : callable
        Its result is shown, as the path of a file that was saved.
    """
    if client is None:
        return
    try:
        client.add_notification(title, f"saved: {action(client)}", color="green", auto_close_seconds=10.0)
    except (OSError, ValueError) as error:
        client.add_notification(title, str(error), color="red")


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """The first of `stem-001`, `stem-002`, ... with that `suffix` that is not in the folder yet."""
    number = 1
    while (path := folder / f"{stem}-{number:03d}{suffix}").exists():
        number += 1
    return path


def paragraph(*lines: str) -> str:
    """Lines of plain text as HTML for the panel; nothing without text."""
    shown = "<br>".join(html.escape(line) for line in lines if line)
    return f'<div style="padding: 0 0.75em 0.5em; font-size: 0.875em">{shown}</div>' if shown else ""
