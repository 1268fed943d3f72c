"""The one place where cameras meet OpenCV: its coefficients, and its pixel centres at whole numbers.

OpenCV puts the centre of the top-left pixel at (0, 0), geo3d at (0.5, 0.5): its principal point is ours less 0.5.
"""

from typing import Any

import numpy as np

from geo3d.cameras.camera import Camera

# Our columns of the distortion in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4; -1: zero.
_PERSPECTIVE: dict[str, tuple[int, ...]] = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": (3, -1, -1, -1),
    "RADIAL": (3, 4, -1, -1),
    "OPENCV": tuple(range(4, 8)),
    "BROWN_CONRADY_5": tuple(range(4, 9)),
    "FULL_OPENCV": tuple(range(4, 12)),
    "BROWN_CONRADY_12": tuple(range(4, 16)),
}
# In the order k1 k2 k3 k4 of cv2.fisheye.
_FISHEYE: dict[str, tuple[int, ...]] = {
    "SIMPLE_FISHEYE": (-1, -1, -1, -1),
    "FISHEYE": (-1, -1, -1, -1),
    "SIMPLE_RADIAL_FISHEYE": (3, -1, -1, -1),
    "RADIAL_FISHEYE": (3, 4, -1, -1),
    "OPENCV_FISHEYE": (4, 5, 6, 7),
}
_BY_COUNT = {0: "PINHOLE", 4: "OPENCV", 5: "BROWN_CONRADY_5", 8: "FULL_OPENCV", 12: "BROWN_CONRADY_12"}


def has_opencv(camera: Camera) -> bool:
    """Whether OpenCV has the camera's model."""
    return camera.model in _PERSPECTIVE or camera.model in _FISHEYE


def is_opencv_fisheye(camera: Camera) -> bool:
    """Whether the camera is one for `cv2.fisheye`."""
    return camera.model in _FISHEYE


def to_opencv(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV's camera matrix and distortion coefficients.

    Parameters
    ----------
    camera : Camera
        Of a perspective model (for `cv2.projectPoints` and its kin) or a fisheye model (for `cv2.fisheye`).

    Returns
    -------
    K : (3, 3) float64
        With pixel centres at whole numbers.
    dist : (0,), (4,), (5,), (8,) or (12,) float64

    Raises
    ------
    ValueError
        For a model that OpenCV lacks.
    """
    columns = (_PERSPECTIVE | _FISHEYE).get(camera.model)
    if columns is None:
        raise ValueError(
            f"camera: OpenCV has no model for {camera.model}; it has {', '.join(_PERSPECTIVE | _FISHEYE)}"
        )
    K = camera.K
    K[:2, 2] -= 0.5
    return K, np.array([0.0 if i < 0 else camera.params[i] for i in columns], np.float64)


def from_opencv(K: Any, dist: Any, width: int, height: int, fisheye: bool = False) -> Camera:
    """Camera from OpenCV's camera matrix and distortion coefficients.

    Parameters
    ----------
    K : (3, 3) array_like
        With pixel centres at whole numbers.
    dist : array_like or None
        0, 4, 5, 8, 12 or 14 coefficients (the last two, a tilted sensor, zero); 4 for `fisheye`.
    width, height : int
        Image size, pixels.
    fisheye : bool
        The coefficients are those of `cv2.fisheye`.

    Returns
    -------
    Camera
        PINHOLE, OPENCV, BROWN_CONRADY_5, FULL_OPENCV, BROWN_CONRADY_12 or OPENCV_FISHEYE, by their number.

    Raises
    ------
    ValueError
        For skew, a tilted sensor or another number of coefficients.
    """
    K = np.asarray(K, np.float64)
    if K.shape != (3, 3) or abs(K[0, 1]) > 1e-9 * abs(K[0, 0]) or np.any(K[[1, 2, 2], [0, 0, 1]] != 0.0):
        raise ValueError(f"K: expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew, got {K.tolist()}")
    coefficients = np.zeros(0) if dist is None else np.asarray(dist, np.float64).ravel()
    if len(coefficients) == 14 and not fisheye:
        if np.any(coefficients[12:] != 0.0):
            raise ValueError(
                f"dist: a tilted sensor (tau) is not supported, got {coefficients[12:].tolist()}"
            )
        coefficients = coefficients[:12]
    if fisheye and len(coefficients) == 0:
        coefficients = np.zeros(4)
    known = {4: "OPENCV_FISHEYE"} if fisheye else _BY_COUNT
    if len(coefficients) not in known:
        raise ValueError(f"dist: expected {', '.join(map(str, known))} coefficients, got {len(coefficients)}")
    params = [K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5, *coefficients]
    return Camera(known[len(coefficients)], width, height, params)
