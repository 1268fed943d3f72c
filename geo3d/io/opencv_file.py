"""OpenCV's calibration files (YAML; XML and JSON are read), of one camera and of a stereo pair, and ROS's camera_info.

One camera has the keys of OpenCV's calibration sample: camera_matrix, distortion_coefficients, image_width,
image_height, fisheye_model. A pair has those of its stereo sample: M1, D1, M2, D2 and

    x_right = R x_left + T

in one file here, which goes for both `intrinsics.yml` and `extrinsics.yml`; the sample's two files are read as well.
ROS's camera_info has the keys of one camera and distortion_model. Pixel centres are at whole numbers in all of them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from geo3d.cameras import Camera, from_opencv, is_opencv_fisheye, to_opencv
from geo3d.geometry import SE3, closest_rotation
from geo3d.io.plain_file import counted, image_size, numbers, read_plain
from geo3d.scene import CameraRig

_MATRIX_KEYS = ("camera_matrix", "cameraMatrix", "K", "Camera_Matrix", "intrinsic_matrix")
_DISTORTION_KEYS = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "D", "Distortion_Coefficients")
_WIDTH_KEYS = ("image_width", "image_Width", "width")
_HEIGHT_KEYS = ("image_height", "image_Height", "height")
_COUNTS = (0, 4, 8, 12, 14)  # of distortion coefficients; 5 are FULL_OPENCV with zeros, which COLMAP has
_FISHEYE_COUNTS = (4,)
_FISHEYE = ("fisheye", "equidistant", "kannala_brandt")


def opencv_camera(content: dict[str, Any], size: tuple[int, int] | None, source: object) -> Camera:
    """The camera that a file of one camera holds.

    Raises
    ------
    ValueError
        If a key is missing or wrong, or nothing tells the size.
    """
    matrix = _first(content, _MATRIX_KEYS)
    if matrix is None:
        raise ValueError(
            f"{source}: expected the key {_MATRIX_KEYS[0]}, found {', '.join(map(str, content))[:200] or 'nothing'}"
        )
    return _camera(content, matrix, _first(content, _DISTORTION_KEYS), size, source)


def is_opencv_pair(content: dict[str, Any]) -> bool:
    """Whether it is a file of OpenCV's stereo sample."""
    return "M1" in content and "M2" in content


def opencv_pair(content: dict[str, Any], size: tuple[int, int] | None, path: Path) -> CameraRig:
    """The cameras "left" and "right" of a stereo file; R and T may stand in `extrinsics` beside `intrinsics`.

    Raises
    ------
    ValueError
        If a key is missing or wrong, or nothing tells the size.
    """
    cameras = opencv_pair_cameras(content, size, path)
    if "R" not in content or "T" not in content:
        beside = path.with_name(path.name.replace("intrinsic", "extrinsic"))
        if beside == path or not beside.is_file():
            raise ValueError(
                f"{path}: expected R and T, the pose of the second camera, in it or in a file extrinsics.yml beside "
                "intrinsics.yml"
            )
        content, path = read_plain(beside), beside
    R = np.reshape(counted(content.get("R"), 9, f"{path}, R"), (3, 3))
    pose = SE3(checked_rotation(R, f"{path}, R"), np.array(counted(content.get("T"), 3, f"{path}, T")))
    return CameraRig(("left", "right"), cameras, (SE3.identity(), pose))


def opencv_pair_cameras(
    content: dict[str, Any], size: tuple[int, int] | None, path: Path
) -> tuple[Camera, Camera]:
    """The two cameras of a stereo file.

    Raises
    ------
    ValueError
        As `opencv_pair`.
    """
    left, right = (
        _camera(content, content[f"M{i}"], content.get(f"D{i}"), size, f"{path}, M{i}") for i in (1, 2)
    )
    return left, right


def checked_rotation(matrix: np.ndarray, source: str) -> np.ndarray:
    """The rotation that a matrix (3, 3) of few digits means.

    Raises
    ------
    ValueError
        If it is farther from a rotation than rounding.
    """
    if abs(np.linalg.det(matrix)) < 0.5 or not np.allclose(closest_rotation(matrix), matrix, atol=1e-3):
        raise ValueError(f"{source}: expected a rotation matrix, found {matrix.tolist()}")
    return closest_rotation(matrix)


def opencv_text(camera: Camera) -> str:
    """OpenCV's YAML of one camera; the model has to be one of OpenCV's."""
    K, dist = to_opencv(camera)
    matrices = {"camera_matrix": K, "distortion_coefficients": dist[None] if len(dist) else np.zeros((1, 5))}
    return _yaml(camera, matrices)


def opencv_pair_text(rig: CameraRig) -> str:
    """OpenCV's YAML of a stereo pair.

    Raises
    ------
    ValueError
        If these are not two cameras of one size, both fisheyes or neither.
    """
    left, right = check_pair(rig, "OpenCV's stereo file")
    (M1, D1), (M2, D2) = (to_opencv(camera) for camera in (left, right))
    pose = rig.cam_from_first()[1]
    D1, D2 = (d[None] if len(d) else np.zeros((1, 5)) for d in (D1, D2))
    matrices = {"M1": M1, "D1": D1, "M2": M2, "D2": D2, "R": pose.rotation, "T": pose.translation[:, None]}
    return _yaml(left, matrices)


def check_pair(rig: CameraRig, what: str) -> tuple[Camera, Camera]:
    """The two cameras of a rig for a format of stereo pairs.

    Raises
    ------
    ValueError
        If these are not two cameras of one size, both fisheyes or neither.
    """
    if len(rig.cameras) != 2:
        raise ValueError(
            f"rig: {what} holds two cameras, this rig has {len(rig.cameras)} ({', '.join(rig.names)}); write it as "
            "geo3d, kalibr, colmap or mrcal, or two of them at a time"
        )
    left, right = rig.cameras
    if (left.width, left.height) != (right.width, right.height):
        raise ValueError(
            f"rig: {what} holds two cameras of one size, these have {left.width}x{left.height} and "
            f"{right.width}x{right.height}; write it as geo3d, kalibr, colmap or mrcal"
        )
    if is_opencv_fisheye(left) != is_opencv_fisheye(right):
        raise ValueError(
            f"rig: {what} holds two fisheyes or none, these are {left.model} and {right.model}; write it as geo3d, "
            "kalibr or colmap"
        )
    return left, right


def _first(content: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((content[key] for key in keys if key in content), None)


def _camera(
    content: dict[str, Any], matrix: Any, distortion: Any, size: tuple[int, int] | None, source: object
) -> Camera:
    width, height = _first(content, _WIDTH_KEYS), _first(content, _HEIGHT_KEYS)
    if width is not None and height is not None:
        size = image_size([width, height], f"{source}, image_width and image_height")
    model, flag = str(content.get("distortion_model", "")).lower(), content.get("fisheye_model", "0")
    fisheye = model in _FISHEYE or any(numbers(flag, f"{source}, fisheye_model"))
    coefficients = [] if distortion is None else numbers(distortion, f"{source}, distortion")
    return matrix_camera(numbers(matrix, f"{source}, camera_matrix"), coefficients, size, fisheye, source)


def matrix_camera(
    matrix: list[float], dist: list[float], size: tuple[int, int] | None, fisheye: bool, source: object
) -> Camera:
    """Camera of OpenCV's matrix and coefficients. Zeros at the end are dropped, so that COLMAP's models do.

    Raises
    ------
    ValueError
        If the matrix is none, `from_opencv` refuses it, or there is no size.
    """
    if len(matrix) != 9 or not np.isfinite([*matrix, *dist]).all() or matrix[8] != 1:
        found = matrix if len(matrix) <= 12 else f"{len(matrix)} numbers"
        raise ValueError(
            f"{source}: expected a 3x3 camera matrix that ends in 1 and finite coefficients, found {found}"
        )
    if size is None:
        raise ValueError(f"{source} does not tell the size of the images; give it")
    trimmed = np.trim_zeros(np.array(dist, np.float64), "b")
    counts = [n for n in (_FISHEYE_COUNTS if fisheye else _COUNTS) if n >= len(trimmed)]
    padded = np.pad(trimmed, (0, counts[0] - len(trimmed))) if counts else trimmed
    try:
        return from_opencv(np.reshape(matrix, (3, 3)), padded, size[0], size[1], fisheye)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _yaml(camera: Camera, matrices: dict[str, np.ndarray]) -> str:
    lines = ["%YAML:1.0", "---", f"image_width: {camera.width}", f"image_height: {camera.height}"]
    for name, matrix in matrices.items():
        rows, columns = matrix.shape
        data = ", ".join(map(yaml_number, matrix.ravel().tolist()))
        lines += [f"{name}: !!opencv-matrix", f"   rows: {rows}", f"   cols: {columns}", "   dt: d"]
        lines += [f"   data: [ {data} ]"]
    return "\n".join([*lines, f"fisheye_model: {int(is_opencv_fisheye(camera))}", ""])


def yaml_number(value: float) -> str:
    """A float that YAML 1.1 takes for one (`1e-05` is text there), and that reads back the same."""
    text = repr(float(value))
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
