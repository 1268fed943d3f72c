"""geo3d's own rig.json: calibrated cameras that are fixed to each other, of any of geo3d's models.

    {"cameras": [{"name": "left", "camera": {"model": ..., "width": ..., "height": ..., "params": {...}},
                  "cam_from_rig": {"rotation_wxyz": [1, 0, 0, 0], "translation_m": [0, 0, 0]}}, ...]}

x_cam = R @ x_rig + t. `camera` is what a camera.json holds; the centre of the top-left pixel is (0.5, 0.5).
"""

import json
import os
from pathlib import Path
from typing import Any

from geo3d.geometry import SE3
from geo3d.io.camera_json import camera_content, named_camera
from geo3d.io.colmap_model import make_pose
from geo3d.io.json_file import read_json_object
from geo3d.io.plain_file import counted
from geo3d.scene import CameraRig
from geo3d.util.files import write_text


def write_rig_json(path: str | os.PathLike, rig: CameraRig) -> None:
    """Write a rig of any models, atomically.

    Parameters
    ----------
    path : path
        The JSON file; replaced if it is there.
    rig : CameraRig

    Raises
    ------
    OSError
        If it cannot be written.
    """
    entries = [
        {
            "name": name,
            "camera": camera_content(camera),
            "cam_from_rig": {
                "rotation_wxyz": pose.quaternion().tolist(),
                "translation_m": pose.translation.tolist(),
            },
        }
        for name, camera, pose in zip(rig.names, rig.cameras, rig.cam_from_rig)
    ]
    write_text(path, json.dumps({"cameras": entries}, indent=2) + "\n")


def read_rig_json(path: str | os.PathLike) -> CameraRig:
    """Read a rig.json.

    Raises
    ------
    ValueError
        If the file is not one, or a camera or pose is not valid.
    """
    path = Path(path)
    return rig_from_content(read_json_object(path), path)


def rig_from_content(content: dict[str, Any], path: Path) -> CameraRig:
    """The rig that the content of a rig.json stands for.

    Raises
    ------
    ValueError
        As `read_rig_json`.
    """
    entries = content.get("cameras")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: expected a geo3d rig, which has a list of cameras")
    names, cameras, poses = [], [], []
    for number, entry in enumerate(entries):
        where = f"{path}, camera {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("camera"), dict):
            raise ValueError(f"{where}: expected name, camera and cam_from_rig, found {str(entry)[:60]!r}")
        if not isinstance(entry.get("name"), str):
            raise ValueError(f"{where}: expected a name, found {str(entry.get('name'))[:60]!r}")
        names.append(entry["name"])
        cameras.append(named_camera(entry["camera"], where).camera)
        poses.append(_pose(entry.get("cam_from_rig"), f"{where}, cam_from_rig"))
    try:
        return CameraRig(tuple(names), tuple(cameras), tuple(poses))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _pose(value: Any, where: str) -> SE3:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected rotation_wxyz and translation_m, found {str(value)[:60]!r}")
    rotation = counted(value.get("rotation_wxyz"), 4, f"{where}, rotation_wxyz")
    return make_pose([*rotation, *counted(value.get("translation_m"), 3, f"{where}, translation_m")], where)
