"""Camera paths as JSON: geo3d's key frames, and the camera path that nerfstudio's viewer writes.

Key frames of geo3d, through which the path is a spline (`geo3d.render.path_spline`) in pose, focal length and
principal point; a change of the focal length zooms, together with a move it is a dolly zoom:

    {"fps": 30, "loop": false, "camera": {"model": "PINHOLE", "width": 1280, "height": 720, "params": {...}},
     "keyframes": [{"time_s": 0.0, "cam_from_world": [[...], [...], [...], [0, 0, 0, 1]]}, ...]}

A camera stands at the top, or in a key frame, which then goes first. `"loop": true` leads from the last key frame back
to the first within the mean time between two. A pose by itself is the object of one key frame; it needs no time.

nerfstudio's file lists a pose for every frame (`camera_path`): `camera_to_world` as 16 numbers row by row, with the
axes of OpenGL (x right, y up, z backward), and `fov`, the vertical field of view in degrees. Its world is that of the
nerfstudio model, which may have been turned, moved and scaled; it is left as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, closest_rotation
from geo3d.io.camera_json import camera_content, named_camera
from geo3d.io.json_file import finite_number, read_json_object, whole_number
from geo3d.render.camera_path import CameraPath
from geo3d.render.path_spline import spline_path, spline_values
from geo3d.util.files import write_text

MOST_FRAMES = 200_000
"""Of a path: hours of video. A file that asks for more is refused."""

_FLIP = np.array([1.0, -1.0, -1.0])  # OpenGL's camera axes in ours


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """A pose that a path passes.

    Attributes
    ----------
    cam_from_world : SE3
    time_s : float
        When, in seconds from any moment.
    camera : Camera or None
        PINHOLE; None for that of the path.
    """

    cam_from_world: SE3
    time_s: float = 0.0
    camera: Camera | None = None


def key_frame_path(
    frames: Sequence[KeyFrame], camera: Camera | None = None, fps: float = 30.0, loop: bool = False
) -> CameraPath:
    """The smooth path through key frames.

    Parameters
    ----------
    frames : sequence of KeyFrame
        Their times ascend.
    camera : Camera, optional
        Of the key frames that have none.
    fps : float
        Frames a second.
    loop : bool
        Go back to the first in the mean time between two; the video ends one frame before it begins again.

    Raises
    ------
    ValueError
        If there is no key frame, one has no camera, the cameras differ in size or cannot be interpolated, the times
        do not ascend, or there would be more than `MOST_FRAMES` frames.
    """
    if not fps > 0:
        raise ValueError(f"fps: expected a positive number of frames a second, got {fps}")
    cameras = [frame.camera or camera for frame in frames]
    known = [c for c in cameras if c is not None]
    if not frames or len(known) < len(frames):
        raise ValueError(
            "keyframes: expected one or more"
            if not frames
            else "keyframes: one has no camera, nor has the path"
        )
    poses, times = [f.cam_from_world for f in frames], np.array([f.time_s for f in frames])
    if len(frames) == 1:
        return CameraPath((known[0],), (poses[0],), fps)
    if np.any(np.diff(times) <= 0):
        raise ValueError(f"keyframes: expected times that ascend, got {times[:6].tolist()}")
    if loop:
        pause = (times[-1] - times[0]) / (len(times) - 1)
        end = times[-1] + pause
        # The neighbours beyond both ends make the velocity there that of the closed curve.
        order = [len(frames) - 1, *range(len(frames)), 0, 1]
        poses, known = [poses[i] for i in order], [known[i] for i in order]
        first, last = times[0], times[1] - times[0]
        times = np.concatenate([[first - pause], times, [end, end + last]])
        count = round((end - first) * fps)
    else:
        first, count = times[0], round((times[-1] - times[0]) * fps) + 1
    if not 1 <= count <= MOST_FRAMES:
        raise ValueError(f"keyframes: the path would have {count} frames, expected 1 to {MOST_FRAMES}")
    at = first + np.arange(count) / fps
    return CameraPath(_spline_cameras(known, times, at), spline_path(poses, times, at), fps)


def _spline_cameras(cameras: Sequence[Camera], times: np.ndarray, at: np.ndarray) -> tuple[Camera, ...]:
    """The cameras in between: splines in the logarithm of the focal lengths and in the principal point."""
    if all(camera == cameras[0] for camera in cameras):
        return (cameras[0],) * len(at)
    sizes = {(camera.width, camera.height) for camera in cameras}
    if len(sizes) > 1 or any(camera.model != "PINHOLE" for camera in cameras):
        raise ValueError(
            "keyframes: cameras that differ can be joined if they are PINHOLE and of one size, got "
            f"{', '.join(sorted({f'{c.model} {c.width}x{c.height}' for c in cameras}))}"
        )
    values = np.array([[*np.log(camera.focal), *camera.principal_point] for camera in cameras])
    rows = spline_values(values, times, at)
    rows[:, :2] = np.exp(rows[:, :2])
    return tuple(cameras[0].with_params(row) for row in rows)


def read_camera_path(
    path: str | os.PathLike, camera: Camera | None = None, fps: float | None = None
) -> CameraPath:
    """Read geo3d's key frames or nerfstudio's camera path.

    Parameters
    ----------
    path : path-like
    camera : Camera, optional
        For geo3d's key frames where the file tells none.
    fps : float, optional
        Frames a second in place of what the file says. Key frames keep their times; nerfstudio's file keeps its frames.

    Raises
    ------
    ValueError
        If the file is neither, or damaged, or a pose is no rotation and translation.
    OSError
        If it cannot be read.
    """
    content = read_json_object(path)
    if "camera_path" in content:
        found = _nerfstudio_path(content, str(path))
        return found if fps is None else replace(found, fps=fps)
    listed = content.get("keyframes")
    if not isinstance(listed, list) or not listed:
        raise ValueError(
            f"{path}: expected key frames of geo3d (`keyframes`) or a camera path of nerfstudio (`camera_path`)"
        )
    shared = _camera(content, str(path)) or camera
    frames = [_key_frame(frame, f"{path}, keyframe {n}") for n, frame in enumerate(listed)]
    told = finite_number(content.get("fps", 30.0), f"{path}, fps")
    try:
        return key_frame_path(frames, shared, fps or told, content.get("loop") is True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_pose(path: str | os.PathLike) -> KeyFrame:
    """Read one pose, with its camera where the file tells it.

    Raises
    ------
    ValueError
        If the file is damaged, or the pose is no rotation and translation.
    OSError
        If it cannot be read.
    """
    content = read_json_object(path)
    if "keyframes" in content or "camera_path" in content:
        raise ValueError(f"{path}: a path, not one pose; give it as --path")
    return _key_frame(content, str(path))


def write_key_frames(
    path: str | os.PathLike,
    frames: Sequence[KeyFrame],
    camera: Camera | None = None,
    fps: float = 30.0,
    loop: bool = False,
) -> None:
    """Write geo3d's key frames, atomically.

    Parameters
    ----------
    path : path-like
    frames : sequence of KeyFrame
    camera : Camera, optional
        Of the key frames that have none.
    fps : float
    loop : bool
    """
    content: dict[str, Any] = {"fps": fps, "loop": loop}
    if camera is not None:
        content["camera"] = camera_content(camera)
    content["keyframes"] = [{"time_s": frame.time_s, **_pose_content(frame)} for frame in frames]
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_pose(path: str | os.PathLike, cam_from_world: SE3, camera: Camera | None = None) -> None:
    """Write one pose, atomically.

    Parameters
    ----------
    path : path-like
    cam_from_world : SE3
    camera : Camera, optional
    """
    write_text(path, json.dumps(_pose_content(KeyFrame(cam_from_world, camera=camera)), indent=1) + "\n")


def write_nerfstudio_path(path: str | os.PathLike, camera_path: CameraPath) -> None:
    """Write a path as nerfstudio's viewer does, a pose a frame, atomically.

    Parameters
    ----------
    path : path-like
    camera_path : CameraPath
        Of PINHOLE cameras; the format has square pixels and the principal point in the middle, and fy is what it keeps.

    Raises
    ------
    ValueError
        If a camera is not PINHOLE.
    """
    first = camera_path.cameras[0]
    listed = []
    for camera, pose in zip(camera_path.cameras, camera_path.poses):
        if camera.model != "PINHOLE":
            raise ValueError(f"camera_path: expected PINHOLE cameras, got {camera.model}")
        matrix = pose.inverse().matrix4()
        matrix[:3, :3] *= _FLIP
        fov = np.degrees(2 * np.arctan(camera.height / 2 / camera.focal[1]))
        aspect = camera.width / camera.height
        listed.append({"camera_to_world": matrix.ravel().tolist(), "fov": float(fov), "aspect": aspect})
    content = {
        "camera_type": "perspective",
        "render_width": first.width,
        "render_height": first.height,
        "fps": camera_path.fps,
        "seconds": len(camera_path) / camera_path.fps,
        "smoothness_value": 0.5,
        "is_cycle": False,
        "crop": None,
        "keyframes": [],
        "camera_path": listed,
    }
    write_text(path, json.dumps(content) + "\n")


def _pose_content(frame: KeyFrame) -> dict[str, Any]:
    content: dict[str, Any] = {"cam_from_world": frame.cam_from_world.matrix4().tolist()}
    return content | ({} if frame.camera is None else {"camera": camera_content(frame.camera)})


def _key_frame(content: Any, where: str) -> KeyFrame:
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected an object, found {str(content)[:60]!r}")
    time_s = finite_number(content.get("time_s", 0.0), f"{where}, time_s")
    rows = content.get("cam_from_world")
    if not isinstance(rows, list) or len(rows) not in (3, 4) or not all(isinstance(r, list) for r in rows):
        raise ValueError(f"{where}: expected cam_from_world as 4 rows of 4 numbers")
    pose = _pose([value for row in rows for value in row], f"{where}, cam_from_world")
    return KeyFrame(pose, time_s, _camera(content, where))


def _camera(content: dict[str, Any], where: str) -> Camera | None:
    found = content.get("camera")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"{where}, camera: expected an object, found {str(found)[:60]!r}")
    return named_camera(found, f"{where}, camera").camera


def _pose(values: Any, where: str) -> SE3:
    """The rigid motion of 12 or 16 numbers, row by row."""
    if not isinstance(values, list) or len(values) not in (12, 16):
        raise ValueError(f"{where}: expected 4 rows of 4 numbers")
    matrix = np.array([finite_number(v, where) for v in values]).reshape(-1, 4)
    if len(matrix) == 4 and np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise ValueError(
            f"{where}: expected 0, 0, 0, 1 as the last row, found {matrix[3].tolist()}; rows and columns may be swapped"
        )
    rotation = closest_rotation(matrix[:3, :3])
    if np.abs(rotation - matrix[:3, :3]).max() > 1e-3:
        raise ValueError(f"{where}: expected a rotation, found {matrix[:3, :3].tolist()}")
    return SE3(rotation, matrix[:3, 3])


def _nerfstudio_path(content: dict[str, Any], where: str) -> CameraPath:
    kind = content.get("camera_type", "perspective")
    if kind not in ("perspective", "equirectangular"):
        raise ValueError(
            f"{where}, camera_type: expected perspective or equirectangular, found {str(kind)[:40]!r}"
        )
    listed = content["camera_path"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_FRAMES:
        raise ValueError(f"{where}, camera_path: expected a list of 1 to {MOST_FRAMES} frames")
    width, height = (
        whole_number(content.get(f"render_{k}"), f"{where}, render_{k}") for k in ("width", "height")
    )
    if min(width, height) < 1:
        raise ValueError(
            f"{where}: expected a render_width and render_height above 0, found {width} and {height}"
        )
    cameras, poses = [], []
    for number, frame in enumerate(listed):
        place = f"{where}, frame {number} of camera_path"
        if not isinstance(frame, dict):
            raise ValueError(f"{place}: expected an object, found {str(frame)[:60]!r}")
        world_from_gl = _pose(frame.get("camera_to_world"), f"{place}, camera_to_world")
        poses.append(SE3(world_from_gl.rotation * _FLIP, world_from_gl.translation).inverse())
        if kind == "equirectangular":
            camera = Camera("EQUIRECTANGULAR", width, height, [width, height])
        else:
            fov = finite_number(frame.get("fov"), f"{place}, fov")
            if not 0.001 < fov < 179.999:
                raise ValueError(f"{place}, fov: expected degrees between 0 and 180, found {fov}")
            focal = height / 2 / np.tan(np.radians(fov) / 2)
            camera = Camera("PINHOLE", width, height, [focal, focal, width / 2, height / 2])
        cameras.append(camera)
    fps = finite_number(content.get("fps", 24.0), f"{where}, fps")
    return CameraPath(tuple(cameras), tuple(poses), fps)
