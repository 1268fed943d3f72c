"""Calibrations from files, of one camera and of several that are fixed to each other, in whatever format they are.

geo3d's camera.json and rig.json, COLMAP's models and cameras, Kalibr's camchain.yaml, ROS's camera_info, OpenCV's YAML,
JSON and XML, mrcal's .cameramodel, a 3x3 matrix. All but geo3d's and COLMAP's put the centre of the top-left pixel at
(0, 0): 0.5 is added to cx and cy.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.io.camera_json import named_camera
from geo3d.io.colmap import colmap_format, read_colmap
from geo3d.io.colmap_binary import read_cameras as read_cameras_binary
from geo3d.io.colmap_text import read_cameras as read_cameras_text
from geo3d.io.kalibr_file import camchain_cameras, camchain_rig, is_camchain
from geo3d.io.mrcal_file import SUFFIX as MRCAL_SUFFIX
from geo3d.io.mrcal_file import read_cameramodel
from geo3d.io.opencv_file import (
    is_opencv_pair,
    matrix_camera,
    opencv_camera,
    opencv_pair,
    opencv_pair_cameras,
)
from geo3d.io.plain_file import read_plain, read_text
from geo3d.io.rig_json import rig_from_content
from geo3d.io.ros_file import read_ros_pair
from geo3d.scene import CameraRig

_YAML = (".yml", ".yaml")
_PLAIN = (*_YAML, ".json", ".xml")


def read_calibration(path: str | os.PathLike, size: tuple[int, int] | None = None) -> Camera:
    """Read the camera that a calibration file holds.

    Which kind of file it is follows from its name and content: `.json` with a "model" is geo3d's camera, with
    "cameras" geo3d's rig; `cameras.txt` and `cameras.bin` are COLMAP's; other `.txt` is a 3x3 matrix K in OpenCV's
    pixel convention; `.yaml` with "cam0" is Kalibr's; other `.yml`, `.yaml`, `.json` and `.xml` are OpenCV's or ROS's
    (`camera_matrix`, `distortion_coefficients`, `image_width`, `image_height`); `.cameramodel` is mrcal's.

    Parameters
    ----------
    path : path-like
        Calibration file.
    size : (width, height), optional
        Of the photos. Needed where the file has none (K.txt), and chooses where it has several cameras.

    Returns
    -------
    Camera
        Of the size that the file tells; `Camera.rescaled` brings it to another.

    Raises
    ------
    FileNotFoundError
        If it is missing.
    ValueError
        If the file is none of these, is corrupt, tells no size where none is given, or holds several cameras of which
        not just one has the size.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no calibration file at {path}")
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return _choose(read_cameras_binary(path), size, path)
    if suffix == MRCAL_SUFFIX:
        return read_cameramodel(path)[0]
    if suffix in _PLAIN:
        return _plain_camera(path, size)
    if suffix != ".txt":
        raise ValueError(
            f"{path}: expected a calibration as .json, .txt, .bin, .yml, .yaml, .xml or {MRCAL_SUFFIX}, found "
            f"{suffix!r}"
        )
    try:
        matrix = np.array([line.split() for line in read_text(path).splitlines() if line.strip()], np.float64)
    except ValueError:
        return _choose(read_cameras_text(path), size, path)
    return matrix_camera(matrix.ravel().tolist(), [], size, False, path)


def _plain_camera(path: Path, size: tuple[int, int] | None) -> Camera:
    content = read_plain(path)
    if path.suffix.lower() == ".json" and "model" in content:
        return named_camera(content, path).camera
    if path.suffix.lower() == ".json" and "cameras" in content:
        rig = rig_from_content(content, path)
        return _choose(dict(zip(rig.names, rig.cameras)), size, path)
    if is_camchain(content):
        return _choose(camchain_cameras(content, path), size, path)
    if is_opencv_pair(content):
        return _choose(dict(zip(("left", "right"), opencv_pair_cameras(content, size, path))), size, path)
    return opencv_camera(content, size, path)


def _choose(
    cameras: Mapping[int, Camera] | Mapping[str, Camera], size: tuple[int, int] | None, path: Path
) -> Camera:
    fitting = [c for c in cameras.values() if size is None or (c.width, c.height) == size]
    candidates = fitting or list(cameras.values())
    if len(candidates) != 1:
        listed = ", ".join(f"{name} of {c.width}x{c.height}" for name, c in list(cameras.items())[:6])
        raise ValueError(
            f"{path}: expected one camera{'' if size is None else f' of {size[0]}x{size[1]}'}, found "
            f"{len(candidates)}{f' ({listed})' if listed else ''}; keep the one that is meant. From Python: "
            "geo3d.io.read_rig(...).cameras[0], and write_camera_json"
        )
    return candidates[0]


def read_rig(path: str | os.PathLike, size: tuple[int, int] | None = None) -> CameraRig:
    """Read cameras that are fixed to each other, with their poses.

    Parameters
    ----------
    path : path-like
        File: geo3d's rig.json, Kalibr's camchain.yaml, OpenCV's stereo YAML (M1, D1, M2, D2 with R, T in it or in
        `extrinsics.yml` beside `intrinsics.yml`). Folder: a COLMAP model of one rig, mrcal's .cameramodel files, or two
        camera_info files of a rectified ROS pair.
    size : (width, height), optional
        Of the photos. Needed where an OpenCV file does not tell it.

    Returns
    -------
    CameraRig
        With the names of the file: "cam0", "left", COLMAP's ids, the names of the files in a folder.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        If it is none of these, or corrupt.
    """
    path = Path(path)
    if path.is_dir():
        return _rig_of_folder(path)
    if not path.is_file():
        raise FileNotFoundError(f"no calibration file at {path}")
    if path.suffix.lower() in _PLAIN:
        content = read_plain(path)
        if path.suffix.lower() == ".json" and "cameras" in content:
            return rig_from_content(content, path)
        if is_camchain(content):
            return camchain_rig(content, path)
        if is_opencv_pair(content):
            return opencv_pair(content, size, path)
    raise ValueError(
        f"{path}: expected a rig: geo3d's rig.json, Kalibr's camchain.yaml, OpenCV's stereo YAML (M1, D1, M2, D2, R, "
        "T), or a folder of a COLMAP model, of mrcal's .cameramodel files, or of a ROS pair"
    )


def _rig_of_folder(folder: Path) -> CameraRig:
    if colmap_format(folder):
        return _colmap_rig(folder)
    models = sorted(folder.glob(f"*{MRCAL_SUFFIX}"))
    if models:
        pairs = [read_cameramodel(path) for path in models]
        return CameraRig(
            tuple(path.stem for path in models), tuple(c for c, _ in pairs), tuple(pose for _, pose in pairs)
        )
    infos = sorted(path for path in folder.iterdir() if path.suffix.lower() in _YAML)
    if len(infos) == 2:
        return read_ros_pair(infos)
    raise ValueError(
        f"{folder}: expected a COLMAP model, mrcal's .cameramodel files, or the two camera_info files of a ROS pair, "
        f"found {', '.join(sorted(p.name for p in folder.iterdir())[:8]) or 'nothing'}"
    )


def _colmap_rig(folder: Path) -> CameraRig:
    scene = read_colmap(folder)
    rigs = [rig for rig in scene.rigs.values() if rig.sensor_from_rig]
    if len(rigs) != 1:
        raise ValueError(f"{folder}: expected one rig of several cameras, found {len(rigs)}")
    poses = {rigs[0].ref_camera_id: SE3.identity(), **rigs[0].sensor_from_rig}
    unknown = [i for i, pose in poses.items() if pose is None]
    if unknown:
        raise ValueError(f"{folder}: the place of camera {unknown[0]} in its rig is not known")
    ids = sorted(poses)
    found = tuple(pose for i in ids if (pose := poses[i]) is not None)
    return CameraRig(tuple(str(i) for i in ids), tuple(scene.cameras[i] for i in ids), found)
