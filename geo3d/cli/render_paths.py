"""The cameras and poses that `geo3d render` renders: about the scene that is there, or from files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.cli.render import FPS, LONGEST_SIDE, MOST_PIXELS, PATHS, SECONDS, Options
from geo3d.geometry import SE3
from geo3d.io import read_scene
from geo3d.render import (
    CameraPath,
    SceneShape,
    dolly_path,
    orbit_path,
    path_camera,
    read_camera_path,
    read_pose,
    scene_shape,
    spiral_path,
    views_path,
    world_up,
)
from geo3d.render.key_frames import MOST_FRAMES

_PANORAMA_HEIGHT = 1024  # pixels


@dataclass(frozen=True, eq=False)
class KnownPoses:
    """What a scene tells of its photos, which need not be there any more: poses sorted by their names."""

    camera: Camera
    poses: list[SE3]
    points: np.ndarray  # (P, 3)
    up: np.ndarray | None

    def shape(self) -> SceneShape:
        """What they look at."""
        return scene_shape(self.poses, self.up, self.points)


def read_poses(scene: Path) -> KnownPoses:
    """The poses of a scene.

    Raises
    ------
    ValueError
        If it has none.
    """
    model = read_scene(scene)
    views = sorted((model.views[i] for i in model.registered()), key=lambda view: view.name)
    if not views:
        raise ValueError(f"{scene}: no photo with a pose; reconstruct the scene first (geo3d reconstruct)")
    poses = [view.cam_from_world for view in views if view.cam_from_world is not None]
    return KnownPoses(model.cameras[views[0].camera_id], poses, model.points.xyz, world_up(scene))


def pose_of(options: Options, known: KnownPoses | None) -> tuple[Camera, SE3]:
    """Camera and pose of --pose."""
    assert options.pose is not None
    found = read_pose(options.pose)
    camera = found.camera or _frame_camera(options, known)
    if camera is None:
        raise ValueError(
            f'{options.pose} tells no camera, and {options.source} has none: add "camera": {{"model": "PINHOLE", '
            '"width": ..., "height": ..., "params": {"fx": ..., "fy": ..., "cx": ..., "cy": ...}}'
        )
    return _fitted(camera, options), found.cam_from_world


def path_of(options: Options, known: KnownPoses | None) -> CameraPath:
    """The path of --path."""
    kind = options.path or "orbit"
    camera = _frame_camera(options, known)
    if kind not in PATHS:
        found = read_camera_path(kind, camera, options.fps)
        return replace(found, cameras=tuple(_fitted(one, options) for one in found.cameras))
    if known is None or camera is None:
        raise ValueError(
            f"{options.source} has no cameras that --path {kind} could follow: give the scene folder, a JSON file with "
            "key frames, or --pose"
        )
    fps = options.fps or FPS
    seconds = options.seconds or SECONDS
    frames = max(1, round(seconds * fps))
    if frames > MOST_FRAMES:
        raise ValueError(
            f"--seconds {seconds:g} at --fps {fps:g} are {frames:,} frames, expected up to {MOST_FRAMES:,}"
        )
    if kind == "views":
        return views_path(known.poses, camera, frames, fps)
    shape = known.shape()
    if kind == "dolly":
        return dolly_path(known.poses[0], camera, shape.focus, frames, fps)
    return (orbit_path if kind == "orbit" else spiral_path)(shape, camera, frames, fps)


def _frame_camera(options: Options, known: KnownPoses | None) -> Camera | None:
    """The camera of frames whose file tells none; None without a scene."""
    if known is None:
        return None
    if options.size is not None or options.panorama:
        return path_camera(known.camera, options.size or (2 * _PANORAMA_HEIGHT, _PANORAMA_HEIGHT))
    camera = path_camera(known.camera)
    shrink = min(1.0, LONGEST_SIDE / max(camera.width, camera.height))
    return camera.rescaled(max(1, round(camera.width * shrink)), max(1, round(camera.height * shrink)))


def _fitted(camera: Camera, options: Options) -> Camera:
    """The camera of a file, of the size that is asked for.

    Raises
    ------
    ValueError
        If it has more pixels than an image may have.
    """
    if options.size is None and camera.width * camera.height > MOST_PIXELS:
        raise ValueError(
            f"the camera of {options.pose or options.path} has {camera.width}x{camera.height} pixels, expected up to "
            f"{MOST_PIXELS // 10**6} megapixels; give a --size"
        )
    if camera.model == "EQUIRECTANGULAR":
        return camera if options.size is None else camera.rescaled(*options.size)
    return path_camera(camera, options.size)
