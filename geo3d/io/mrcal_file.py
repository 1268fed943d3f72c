"""mrcal's .cameramodel: one camera with its pose, a Python dictionary as text.

    {'lensmodel': 'LENSMODEL_OPENCV8', 'intrinsics': [fx, fy, cx, cy, k1, k2, p1, p2, k3, ...],
     'extrinsics': [r, t] of cam_from_ref, 'imagersize': [width, height]}

r is a rotation vector (radians), t a translation (metres here): x_cam = R(r) x_ref + t, and the reference is the rig's
frame. LENSMODEL_PINHOLE and LENSMODEL_OPENCV4, 5, 8, 12 have OpenCV's formula and order. Pixel centres are at whole
numbers. Text is read as literals only, never run.

https://mrcal.secretsauce.net/cameramodels.html
"""

import ast
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.cameras import Camera, to_opencv
from geo3d.geometry import SE3, SO3
from geo3d.io.opencv_file import matrix_camera
from geo3d.io.plain_file import counted, image_size, read_text

SUFFIX = ".cameramodel"
_COUNTS = {"PINHOLE": 0, "OPENCV4": 4, "OPENCV5": 5, "OPENCV8": 8, "OPENCV12": 12}


def read_cameramodel(path: Path) -> tuple[Camera, SE3]:
    """The camera of a .cameramodel, and its pose cam_from_ref.

    Raises
    ------
    ValueError
        If the file is none, or its lens model is one that geo3d lacks.
    """
    content = _literal(read_text(path), path)
    lens = str(content.get("lensmodel", content.get("lens_model", content.get("distortion_model"))))
    name = lens.removeprefix("LENSMODEL_").removeprefix("DISTORTION_")
    if name not in _COUNTS:
        known = ", ".join(f"LENSMODEL_{known}" for known in _COUNTS)
        raise ValueError(
            f"{path}: expected a lensmodel out of {known}, found {lens[:80]!r}; `mrcal-convert-lensmodel` fits one of "
            "these"
        )
    values = counted(content.get("intrinsics"), 4 + _COUNTS[name], f"{path}, intrinsics of {lens}")
    size = image_size(content.get("imagersize"), f"{path}, imagersize")
    pose = np.array(counted(content.get("extrinsics"), 6, f"{path}, extrinsics"))
    fx, fy, cx, cy, *coefficients = values
    camera = matrix_camera([fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0], coefficients, size, False, path)
    return camera, SE3(SO3.exp(pose[:3]).matrix, pose[3:])


def cameramodel_text(camera: Camera, cam_from_ref: SE3, name: str) -> str:
    """The .cameramodel of a camera whose model mrcal has."""
    K, dist = to_opencv(camera)
    lens = f"OPENCV{len(dist)}" if len(dist) else "PINHOLE"
    intrinsics = [*np.diag(K)[:2].tolist(), *K[:2, 2].tolist(), *dist.tolist()]
    extrinsics = [*SO3(cam_from_ref.rotation).log().tolist(), *cam_from_ref.translation.tolist()]
    return "\n".join(
        [
            f"# {' '.join(name.split())}, written by geo3d",
            "{",
            f"    'lensmodel': 'LENSMODEL_{lens}',",
            "    # intrinsics are fx,fy,cx,cy,distortion0,distortion1,....",
            f"    'intrinsics': {intrinsics},",
            "    # extrinsics are rt_cam_ref",
            f"    'extrinsics': {extrinsics},",
            f"    'imagersize': [{camera.width}, {camera.height}],",
            "}",
            "",
        ]
    )


def _literal(text: str, path: Path) -> dict[str, Any]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        reason = str(error).partition(" at 0x")[0][:120] or type(error).__name__
        raise ValueError(
            f"{path}: expected a Python dictionary of numbers and text, as mrcal writes it, found {reason}"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a dictionary, found {type(found).__name__}")
    return found
