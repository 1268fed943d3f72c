"""`geo3d view SCENE`: a scene in the browser: cameras, points, splats, also while they are trained."""

from __future__ import annotations

import os
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, Session, UsageError, Whole, existing_path, with_flags

_LARGEST_PORT = 65_535


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """A scene in the browser: cameras with their photos, points, splats, also while they are trained.

    geo3d view scene/

    geo3d view splats.ply

    It runs until Ctrl-C. Pictures and camera paths are saved in SCENE/views.
    """

    scene: Annotated[Path, tyro.conf.Positional, arg(metavar="SCENE")]
    """Scene folder, folder of a COLMAP model, transforms.json, .ply of points, or splats (.ply, .spz, .splat, .glb)."""

    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets everybody in the network in."""

    port: Whole = 8080
    """Port to listen on; 0 for any that is free."""

    no_browser: bool = False
    """Print the address only, and open no browser."""


def run(options: Options, session: Session) -> int:
    """Serve until Ctrl-C, which ends it with the exit code of every command that is stopped."""
    existing_path(options.scene, "the scene")
    if not 0 <= options.port <= _LARGEST_PORT:
        raise UsageError(f"--port {options.port}: expected a number from 0 to {_LARGEST_PORT}")
    from geo3d.util.require import require

    require("viser")  # before a large scene is read for nothing
    from geo3d.viz.viewer import Viewer
    from geo3d.viz.viewer_scene import load_viewer_scene

    scene = load_viewer_scene(options.scene)
    for note in scene.notes:
        session.progress.warn(note)
    try:
        viewer = Viewer(scene, options.host, options.port)
    except OSError as error:
        raise OSError(with_flags(str(error), Options)) from None
    try:
        session.say(f"{options.scene} is at {viewer.address} (Ctrl-C ends it)")
        splats = 0 if scene.splats is None else len(scene.splats)
        session.result(
            address=viewer.address, cameras=len(scene.cameras), points=len(scene.points), splats=splats
        )
        if not options.no_browser and any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
            webbrowser.open(viewer.address)
        threading.Event().wait()
    finally:
        viewer.stop()
    return 0
