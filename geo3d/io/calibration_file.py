"""The calibration of a camera from a file: geo3d's camera.json, COLMAP's cameras.txt, a 3x3 matrix, OpenCV's YAML,
JSON and XML.

A plain matrix (K.txt) and OpenCV's files put the centre of the top-left pixel at (0, 0): 0.5 is added to cx and cy.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.cameras import Camera, from_opencv
from geo3d.io.camera_json import read_camera_json
from geo3d.io.colmap_binary import read_cameras as read_cameras_binary
from geo3d.io.colmap_text import read_cameras as read_cameras_text
from geo3d.io.json_file import read_json_object
from geo3d.util.require import require

_MATRIX_KEYS = ("camera_matrix", "cameraMatrix", "K", "Camera_Matrix", "intrinsic_matrix")
_DISTORTION_KEYS = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "D", "Distortion_Coefficients")
_WIDTH_KEYS = ("image_width", "image_Width", "width")
_HEIGHT_KEYS = ("image_height", "image_Height", "height")
_COUNTS = (0, 4, 8, 12, 14)  # of distortion coefficients; 5 are FULL_OPENCV with zeros, which COLMAP has
_FISHEYE_COUNTS = (4,)
_FISHEYE = ("fisheye", "equidistant", "kannala_brandt")


def read_calibration(path: str | os.PathLike, size: tuple[int, int] | None = None) -> Camera:
    """Read the camera that a calibration file holds.

    Which kind of file it is follows from its name and content: `.json` with a "model" is geo3d's; `cameras.txt` and
    `cameras.bin` are COLMAP's; other `.txt` is a 3x3 matrix K in OpenCV's pixel convention; `.yml`, `.yaml`, `.xml`
    and other `.json` are OpenCV's (`camera_matrix`, `distortion_coefficients`, `image_width`, `image_height`).

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
        If the file is none of these, is corrupt, or tells no size where none is given.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no calibration file at {path}")
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return _choose(read_cameras_binary(path), size, path)
    if suffix == ".json" and "model" in read_json_object(path):
        return read_camera_json(path).camera
    if suffix in (".yml", ".yaml", ".json", ".xml"):
        return _read_opencv(path, size)
    if suffix != ".txt":
        raise ValueError(
            f"{path}: expected a calibration as .json, .txt, .bin, .yml, .yaml or .xml, found {suffix!r}"
        )
    try:
        matrix = np.array(
            [line.split() for line in path.read_text().splitlines() if line.strip()], np.float64
        )
    except ValueError:
        return _choose(read_cameras_text(path), size, path)
    return _from_opencv(matrix, np.zeros(0), size, False, path)


def _choose(cameras: dict[int, Camera], size: tuple[int, int] | None, path: Path) -> Camera:
    fitting = [c for c in cameras.values() if size is None or (c.width, c.height) == size]
    candidates = fitting or list(cameras.values())
    if len(candidates) != 1:
        raise ValueError(
            f"{path}: expected one camera{'' if size is None else f' of {size[0]}x{size[1]}'}, found "
            f"{len(candidates)}; keep the one that is meant"
        )
    return candidates[0]


def _read_opencv(path: Path, size: tuple[int, int] | None) -> Camera:
    cv2 = require("cv2")
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        root = storage.root()
        found = {key: root.getNode(key) for key in root.keys()} if root.isMap() else {}  # noqa: SIM118
        matrix = _first_matrix(found, _MATRIX_KEYS)
        distortion = _first_matrix(found, _DISTORTION_KEYS)
        width, height = _first_number(found, _WIDTH_KEYS), _first_number(found, _HEIGHT_KEYS)
        model = found["distortion_model"].string().lower() if "distortion_model" in found else ""
        storage.release()
    except (cv2.error, SystemError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a file of OpenCV's FileStorage, found {error}") from error
    if matrix is None:
        raise ValueError(f"{path}: expected the key {_MATRIX_KEYS[0]}, found {', '.join(found) or 'nothing'}")
    if width is not None and height is not None:
        size = (int(width), int(height))
    distortion = np.zeros(0) if distortion is None else distortion.reshape(-1)
    return _from_opencv(matrix, distortion, size, model in _FISHEYE, path)


def _first_matrix(found: dict[str, Any], keys: tuple[str, ...]) -> np.ndarray | None:
    for key in keys:
        node = found.get(key)
        if node is None:
            continue
        if (
            node.isMap() and not node.getNode("data").empty() and node.getNode("dt").empty()
        ):  # as ROS writes it
            data = node.getNode("data")
            return np.array([data.at(i).real() for i in range(data.size())])
        if node.isSeq():
            return np.array([v for i in range(node.size()) for v in _numbers(node.at(i))])
        return node.mat()
    return None


def _numbers(node: Any) -> list[float]:
    return [node.at(i).real() for i in range(node.size())] if node.isSeq() else [node.real()]


def _first_number(found: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        if key in found and (found[key].isInt() or found[key].isReal()):
            return found[key].real()
    return None


def _from_opencv(
    matrix: np.ndarray, distortion: np.ndarray, size: tuple[int, int] | None, fisheye: bool, path: Path
) -> Camera:
    """Camera of OpenCV's matrix and coefficients. Zeros at the end are dropped, so that COLMAP's models do."""
    whole = matrix.size == 9 and np.isfinite(matrix).all() and matrix.flat[8] == 1
    if not whole or not np.isfinite(distortion).all():
        found = matrix.tolist() if matrix.size <= 12 else f"shape {matrix.shape}"
        raise ValueError(
            f"{path}: expected a 3x3 camera matrix that ends in 1 and finite coefficients, found {found}"
        )
    if size is None:
        raise ValueError(f"{path} does not tell the size of the images; give it")
    trimmed = np.trim_zeros(distortion.astype(np.float64), "b")
    counts = [n for n in (_FISHEYE_COUNTS if fisheye else _COUNTS) if n >= len(trimmed)]
    padded = np.pad(trimmed, (0, counts[0] - len(trimmed))) if counts else trimmed
    try:
        return from_opencv(matrix.reshape(3, 3), padded, size[0], size[1], fisheye)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
