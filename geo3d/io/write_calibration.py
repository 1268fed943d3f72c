"""Calibrations to files of other programs: each format holds some lens models, and refuses the others.

What is written projects as the camera does. A model that a format lacks is a ValueError that names the formats which
hold it, and the nearest model of this one with its largest error.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from geo3d.cameras import MODELS, Camera, has_opencv, is_opencv_fisheye, nearest_model, to_opencv
from geo3d.geometry import SE3
from geo3d.io.camera_json import write_camera_json
from geo3d.io.colmap import write_colmap
from geo3d.io.colmap_text import cameras_text
from geo3d.io.kalibr_file import OWN_MODELS, camchain_text
from geo3d.io.mrcal_file import SUFFIX as MRCAL_SUFFIX
from geo3d.io.mrcal_file import cameramodel_text
from geo3d.io.opencv_file import opencv_pair_text, opencv_text
from geo3d.io.rig_json import write_rig_json
from geo3d.io.ros_file import ros_pair_texts, ros_text
from geo3d.scene import CameraRig, Reconstruction, Rig
from geo3d.util.files import atomic_path, write_text
from geo3d.util.names import check_photo_name

CalibrationFormat = Literal["geo3d", "opencv", "colmap", "ros", "kalibr", "mrcal"]
FORMATS: tuple[CalibrationFormat, ...] = get_args(CalibrationFormat)

# What a format has for a lens that it lacks, from the simplest on.
_NEAREST: dict[str, Sequence[str]] = {
    "opencv": ("FULL_OPENCV", "BROWN_CONRADY_12", "OPENCV_FISHEYE"),
    "colmap": ("FULL_OPENCV", "EUCM", "OPENCV_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE"),
    "ros": ("FULL_OPENCV", "OPENCV_FISHEYE"),
    "kalibr": ("OPENCV", "EUCM", "DOUBLE_SPHERE", "OPENCV_FISHEYE"),
    "mrcal": ("FULL_OPENCV", "BROWN_CONRADY_12"),
}
_MOST_COEFFICIENTS = {"opencv": 12, "ros": 8, "kalibr": 4, "mrcal": 12}  # of a perspective lens
_USELESS = 0.02  # of the image: a fit that is farther off is not worth a word


def write_calibration(
    path: str | os.PathLike,
    calibration: Camera | CameraRig,
    format: CalibrationFormat,
    name: str = "camera",
) -> None:
    """Write a camera, or cameras that are fixed to each other, for another program; atomically.

    Parameters
    ----------
    path : path-like
        File to write; replaced if it is there. Of a rig in the formats "colmap", "ros" and "mrcal" the folder to make,
        which must be new or empty.
    calibration : Camera or CameraRig
        All formats but "geo3d" lose the names of a rig's cameras or the place of the rig's frame: "opencv", "colmap",
        "ros" and "kalibr" have it at the first camera.
    format : str
        One of `FORMATS`. "geo3d": camera.json or rig.json. "opencv": YAML of one camera or of a stereo pair. "colmap":
        cameras.txt, or a text model with rigs.txt and no images. "ros": camera_info YAML, of a rig one for each camera
        of a stereo pair, rectified. "kalibr": camchain.yaml. "mrcal": .cameramodel, of a rig one for each camera.
    name : str
        Of a single camera, where the format keeps one (geo3d, ros, mrcal, kalibr's rostopic).

    Raises
    ------
    ValueError
        If the format has no such model, or cannot hold such a rig; it says which can.
    OSError
        If it cannot be written.
    """
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if isinstance(calibration, CameraRig):
        for camera, its_name in zip(calibration.cameras, calibration.names):
            _check_model(camera, format, f"rig, {its_name}")
        _write_rig(Path(path), calibration, format)
    else:
        _check_model(calibration, format, "camera")
        _write_camera(Path(path), calibration, format, name)


def holds(format: str, camera: Camera) -> bool:
    """Whether a format of `FORMATS` has the camera's model, or one that is the same for its coefficients.

    Parameters
    ----------
    format : str
    camera : Camera
    """
    if format in ("geo3d", "colmap"):
        return format == "geo3d" or MODELS[camera.model].in_colmap
    if not has_opencv(camera):
        return format == "kalibr" and camera.model in OWN_MODELS
    if is_opencv_fisheye(camera):
        return format != "mrcal"
    return len(np.trim_zeros(to_opencv(camera)[1], "b")) <= _MOST_COEFFICIENTS[format]


def format_holds(format: str, model: str) -> bool:
    """Whether a format of `FORMATS` holds cameras of a model, whatever its coefficients.

    Parameters
    ----------
    format : str
    model : str
        A key of `geo3d.cameras.MODELS`.
    """
    camera = Camera.from_focal(model, 640, 480, 500.0)
    params = camera.params.copy()
    params[list(MODELS[model].distortion_params)] += 1e-3
    return holds(format, camera.with_params(params))


def _check_model(camera: Camera, format: str, source: str) -> None:
    """Raise where a format lacks the model, with what to do."""
    if holds(format, camera):
        return
    able = ", ".join(other for other in FORMATS if holds(other, camera))
    message = f"{source}: the format {format} has no model for this {camera.model} camera; {able} can hold it"
    fit = nearest_model(camera, _NEAREST[format])
    if fit is not None and fit.max_error_px < _USELESS * max(camera.width, camera.height):
        message += (
            f". The nearest that {format} has is {fit.camera.model}, off by up to {fit.max_error_px:.2g} px: "
            f"geo3d.cameras.nearest_model(camera, {list(_NEAREST[format])}).camera"
        )
    raise ValueError(message)


def _write_camera(path: Path, camera: Camera, format: str, name: str) -> None:
    if format == "geo3d":
        write_camera_json(path, camera, name)
    elif format == "colmap":
        write_text(path, cameras_text({1: camera}))
    elif format == "opencv":
        write_text(path, opencv_text(camera))
    elif format == "ros":
        write_text(path, ros_text(camera, name))
    elif format == "kalibr":
        write_text(path, camchain_text(CameraRig((name,), (camera,), (SE3.identity(),))))
    else:
        write_text(path, cameramodel_text(camera, SE3.identity(), name))


def _write_rig(path: Path, rig: CameraRig, format: str) -> None:
    if format == "geo3d":
        write_rig_json(path, rig)
    elif format == "colmap":
        sensors: dict[int, SE3 | None] = dict(enumerate(rig.cam_from_first()[1:], start=2))
        scene = Reconstruction(dict(enumerate(rig.cameras, start=1)), rigs={1: Rig(1, sensors)})
        write_colmap(scene, path, "txt")
    elif format == "opencv":
        write_text(path, opencv_pair_text(rig))
    elif format == "kalibr":
        write_text(path, camchain_text(rig))
    elif format == "ros":
        _write_files(path, dict(zip(rig.names, ros_pair_texts(rig))), ".yaml")
    else:
        entries = zip(rig.names, rig.cameras, rig.cam_from_rig)
        texts = {name: cameramodel_text(camera, pose, name) for name, camera, pose in entries}
        _write_files(path, texts, MRCAL_SUFFIX)


def _write_files(folder: Path, texts: dict[str, str], suffix: str) -> None:
    """A file for each camera; the folder is there whole or not at all."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"{folder} is there and not an empty folder; give a new one, for a file for each camera"
        )
    for name in texts:
        if "/" in check_photo_name(name, "rig").replace("\\", "/"):
            raise ValueError(f"rig: expected names that can be those of files, found {name!r}")
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        for name, text in texts.items():
            (scratch / f"{name}{suffix}").write_bytes(text.encode())
