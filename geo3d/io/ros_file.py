"""ROS's camera_info YAML (sensor_msgs/CameraInfo, as camera_calibration writes it), of one camera and of a stereo pair.

    distortion_model: plumb_bob (k1 k2 p1 p2 k3), rational_polynomial (with k4 k5 k6 too), equidistant (k1 k2 k3 k4)

The rectified image has the size of the raw one, and its camera is `projection_matrix` P, with rays turned by
`rectification_matrix`. camera_info holds no pose, but that of a pair follows from its rectification: with
t = (P2[0, 3] / P2[0, 0], P2[1, 3] / P2[1, 1], 0),

    x_right = R2^T (R1 x_left + t)

Pixel centres are at whole numbers. `opencv_file` reads one camera.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera, is_opencv_fisheye, pinhole_for, to_opencv
from geo3d.geometry import SE3
from geo3d.io.opencv_file import check_pair, checked_rotation, opencv_camera, yaml_number
from geo3d.io.plain_file import counted, read_plain
from geo3d.scene import CameraRig
from geo3d.util.require import require


def ros_text(camera: Camera, name: str) -> str:
    """camera_info of one camera, rectified to an image without blank pixels; the model has to be one of ROS's."""
    new = pinhole_for(camera).rescaled(camera.width, camera.height)
    return _text(camera, name, np.eye(3), np.column_stack([to_opencv(new)[0], np.zeros(3)]))


def ros_pair_texts(rig: CameraRig) -> list[str]:
    """camera_info of the two cameras of a stereo pair, rectified to each other by OpenCV.

    Raises
    ------
    ValueError
        If these are not two cameras of one size, both fisheyes or neither, at different places.
    """
    left, right = check_pair(rig, "ROS's stereo camera_info")
    pose = rig.cam_from_first()[1]
    if not np.any(pose.translation):
        raise ValueError("rig: ROS's stereo camera_info needs two cameras at different places")
    cv2 = require("cv2")
    (K1, D1), (K2, D2) = (to_opencv(camera) for camera in (left, right))
    size, R, t = (left.width, left.height), pose.rotation, pose.translation[:, None]
    if is_opencv_fisheye(left):
        R1, R2, P1, P2, _ = cv2.fisheye.stereoRectify(K1, D1, K2, D2, size, R, t, cv2.CALIB_ZERO_DISPARITY)
    else:
        R1, R2, P1, P2, *_ = cv2.stereoRectify(K1, D1, K2, D2, size, R, t, alpha=0)
    parts = zip(rig.cameras, rig.names, (R1, R2), (P1, P2))
    return [_text(camera, name, rotation, P) for camera, name, rotation, P in parts]


def read_ros_pair(paths: Sequence[Path]) -> CameraRig:
    """The stereo pair of two camera_info files; the one without a baseline comes first.

    Raises
    ------
    ValueError
        If they are not rectified to each other.
    """
    found = sorted((_read_info(path) for path in paths), key=lambda info: bool(np.any(info[3][:2, 3])))
    (left, first, R1, P1), (right, second, R2, P2) = found
    if not np.any(P2[:2, 3]) or np.any(P1[:2, 3]) or P2[0, 0] <= 0 or P2[1, 1] <= 0:
        raise ValueError(
            f"{left} and {right}: expected a stereo pair, whose second camera has its baseline in the last column of "
            f"projection_matrix, found {P1[:, 3].tolist()} and {P2[:, 3].tolist()}"
        )
    baseline = np.array([P2[0, 3] / P2[0, 0], P2[1, 3] / P2[1, 1], 0.0])
    pose = SE3(R2.T @ R1, R2.T @ baseline)
    return CameraRig((left.stem, right.stem), (first, second), (SE3.identity(), pose))


def _read_info(path: Path) -> tuple[Path, Camera, np.ndarray, np.ndarray]:
    """The path again, the camera, R and P."""
    content = read_plain(path)
    camera = opencv_camera(content, None, path)
    where = f"{path}, rectification_matrix"
    R = np.reshape(counted(content.get("rectification_matrix"), 9, where), (3, 3))
    P = counted(content.get("projection_matrix"), 12, f"{path}, projection_matrix")
    return path, camera, checked_rotation(R, where), np.reshape(P, (3, 4))


def _text(camera: Camera, name: str, R: np.ndarray, P: np.ndarray) -> str:
    K, dist = to_opencv(camera)
    if is_opencv_fisheye(camera):
        model, count = "equidistant", 4
    else:
        model, count = ("plumb_bob", 5) if len(np.trim_zeros(dist, "b")) <= 5 else ("rational_polynomial", 8)
    D = np.zeros((1, count))
    D[0, : len(dist)] = dist[:count]
    lines = [f"image_width: {camera.width}", f"image_height: {camera.height}", f"camera_name: {name}"]
    lines += _matrix("camera_matrix", K)
    lines += [f"distortion_model: {model}", *_matrix("distortion_coefficients", D)]
    return "\n".join([*lines, *_matrix("rectification_matrix", R), *_matrix("projection_matrix", P), ""])


def _matrix(name: str, matrix: np.ndarray) -> list[str]:
    rows, columns = matrix.shape
    data = ", ".join(map(yaml_number, matrix.ravel().tolist()))
    return [f"{name}:", f"  rows: {rows}", f"  cols: {columns}", f"  data: [{data}]"]
