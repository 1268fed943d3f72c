"""Poses of a robot as a table, for hand-eye calibration.

    photo,x,y,z,qw,qx,qy,qz
    0001.jpg,0.412,-0.105,0.530,0.7071,0,0.7071,0

One line a photo: its name, and `base_from_gripper` as the controller reports it, metres and a unit quaternion. The
first line names the columns, in any order. Empty lines, and lines that begin with #, are passed over.
"""

from __future__ import annotations

import csv
import os

import numpy as np

from geo3d.geometry import SE3
from geo3d.io.text_file import TextFile

_COLUMNS = ("photo", "x", "y", "z", "qw", "qx", "qy", "qz")
_LENGTH_ERROR = 1e-2  # of a quaternion, as of one written with two digits


def read_robot_poses(path: str | os.PathLike) -> dict[str, SE3]:
    """Read the poses of a robot from a CSV file.

    Parameters
    ----------
    path : path
        With the columns photo, x, y, z, qw, qx, qy, qz.

    Returns
    -------
    dict of str to SE3
        `base_from_gripper` by name of the photo, metres.

    Raises
    ------
    ValueError
        If the file is no such table: columns missing, a line of another length, no numbers, a quaternion that is not of
        unit length, a photo named twice.
    OSError
        If it cannot be read.
    """
    file = TextFile(path)
    lines = file.content()
    names = [name.strip() for name in _fields(file, next(lines, ""))]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise file.error(
            f"expected the columns {', '.join(_COLUMNS)}, missing {', '.join(missing)}; the first line names them"
        )
    poses: dict[str, SE3] = {}
    for line in lines:
        fields = _fields(file, line)
        if len(fields) != len(names):
            raise file.error(f"expected {len(names)} values as the first line has, found {len(fields)}")
        values = dict(zip(names, (field.strip() for field in fields), strict=True))
        numbers = np.array(file.floats([values[name] for name in _COLUMNS[1:]], "the pose"))
        length = float(np.linalg.norm(numbers[3:]))
        if not np.isfinite(numbers).all() or not abs(length - 1) <= _LENGTH_ERROR:
            raise file.error(
                f"expected finite numbers and a quaternion qw, qx, qy, qz of length 1, found one of length {length:.4g}"
            )
        photo = values["photo"]
        if not photo or photo in poses:
            raise file.error(
                f"expected one line a photo, found {photo!r} {'again' if photo else 'as its name'}"
            )
        poses[photo] = SE3.from_quaternion_translation(numbers[3:], numbers[:3])
    if not poses:
        raise ValueError(
            f"{file.path}: expected a line for each photo after the names of the columns, found none"
        )
    return poses


def _fields(file: TextFile, line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise file.error(f"expected values between commas, found a {error}") from None
