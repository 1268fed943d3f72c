"""Kalibr's camchain.yaml, which basalt, OpenVINS and others read too: one camera or a chain of them.

    cam0:
      camera_model, intrinsics:  pinhole [fu, fv, pu, pv]              with radtan, equidistant, fov or none
                                 omni    [xi, fu, fv, pu, pv]          with radtan or none
                                 eucm    [alpha, beta, fu, fv, pu, pv] with none
                                 ds      [xi, alpha, fu, fv, pu, pv]   with none
      distortion_model, distortion_coeffs:  radtan [k1, k2, p1, p2], equidistant [k1, k2, k3, k4], fov [w], none []
      resolution: [width, height]
    cam1:
      T_cn_cnm1: 4 x 4, takes points of the camera before to this one

eucm and ds are geo3d's EUCM and DOUBLE_SPHERE, formula and parameters. omni is Mei's, (x, y) / (xi d + z) with
d = |(x, y, z)|: without distortion that is EUCM of alpha = xi / (1 + xi) and beta = 1, with focal lengths over 1 + xi.
Pixel centres are at whole numbers.

Furgale 2013; https://github.com/ethz-asl/kalibr/wiki/yaml-formats
"""

import re
from typing import Any

import numpy as np

from geo3d.cameras import MODELS, Camera, is_opencv_fisheye, to_opencv
from geo3d.geometry import SE3
from geo3d.io.opencv_file import checked_rotation, yaml_number
from geo3d.io.plain_file import counted, image_size
from geo3d.scene import CameraRig

_INTRINSICS = {"pinhole": 4, "omni": 5, "eucm": 6, "ds": 6}
_COEFFICIENTS = {"radtan": 4, "equidistant": 4, "fov": 1, "none": 0}
_PINHOLE_MODELS = {"radtan": "OPENCV", "equidistant": "OPENCV_FISHEYE", "fov": "FOV", "none": "PINHOLE"}


OWN_MODELS = ("FOV", "EUCM", "DOUBLE_SPHERE")  # those that Kalibr has and OpenCV lacks


def is_camchain(content: dict[str, Any]) -> bool:
    """Whether it is a camchain.yaml."""
    return isinstance(content.get("cam0"), dict)


def camchain_rig(content: dict[str, Any], source: object) -> CameraRig:
    """The cameras of a chain with their poses; the rig's frame is that of cam0.

    Raises
    ------
    ValueError
        If a key is missing or wrong, or a camera after the first has no `T_cn_cnm1`.
    """
    cameras = camchain_cameras(content, source)
    poses = [SE3.identity()]
    for name in list(cameras)[1:]:
        where = f"{source}, {name}, T_cn_cnm1"
        if "T_cn_cnm1" not in content[name]:
            raise ValueError(
                f"{where}: expected the pose that takes the camera before it to {name}, found none"
            )
        matrix = np.reshape(counted(content[name]["T_cn_cnm1"], 16, where), (4, 4))
        if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-9):
            raise ValueError(f"{where}: expected a last row 0, 0, 0, 1, found {matrix[3].tolist()}")
        poses.append(SE3(checked_rotation(matrix[:3, :3], where), matrix[:3, 3]) @ poses[-1])
    return CameraRig(tuple(cameras), tuple(cameras.values()), tuple(poses))


def camchain_cameras(content: dict[str, Any], source: object) -> dict[str, Camera]:
    """cam0, cam1, ... with their cameras.

    Raises
    ------
    ValueError
        If a number is missing from the chain, or a camera is wrong.
    """
    names = [name for name in content if re.fullmatch(r"cam\d+", str(name))]
    expected = [f"cam{i}" for i in range(len(names))]
    if set(names) != set(expected):
        raise ValueError(f"{source}: expected cam0, cam1 and so on without a gap, found {', '.join(names)}")
    return {name: _camera(content[name], f"{source}, {name}") for name in expected}


def _camera(entry: Any, source: str) -> Camera:
    if not isinstance(entry, dict):
        raise ValueError(f"{source}: expected the keys of a camera, found {str(entry)[:60]!r}")
    model = str(entry.get("camera_model"))
    distortion = str(entry.get("distortion_model", "none"))
    for found, known in ((model, _INTRINSICS), (distortion, _COEFFICIENTS)):
        if found not in known:
            raise ValueError(f"{source}: expected one of {', '.join(known)}, found {found[:60]!r}")
    values = counted(entry.get("intrinsics"), _INTRINSICS[model], f"{source}, intrinsics of {model}")
    where = f"{source}, distortion_coeffs of {distortion}"
    coefficients = counted(entry.get("distortion_coeffs", []), _COEFFICIENTS[distortion], where)
    width, height = image_size(entry.get("resolution"), f"{source}, resolution")
    if model != "pinhole" and any(coefficients):
        raise ValueError(
            f"{source}: geo3d has no model for {model} with {distortion}; calibrate with pinhole, eucm or ds"
        )
    fx, fy, cx, cy = values[-4:]
    name, rest = _PINHOLE_MODELS[distortion], coefficients
    if model == "omni":
        xi = values[0]
        if xi < 0:
            raise ValueError(f"{source}: expected xi of omni from 0 on, found {xi}")
        fx, fy, name, rest = fx / (1 + xi), fy / (1 + xi), "EUCM", [xi / (1 + xi), 1.0]
    elif model != "pinhole":
        name, rest = {"eucm": "EUCM", "ds": "DOUBLE_SPHERE"}[model], values[:2]
    try:
        return Camera(name, width, height, [fx, fy, cx + 0.5, cy + 0.5, *rest])
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def camchain_text(rig: CameraRig) -> str:
    """camchain.yaml of a rig whose models Kalibr has, each camera linked to the one before it."""
    lines = []
    for i, (name, camera) in enumerate(zip(rig.names, rig.cameras)):
        lines.append(f"cam{i}:")
        if i:
            pose = rig.cam_from_rig[i] @ rig.cam_from_rig[i - 1].inverse()
            lines += ["  T_cn_cnm1:", *(f"  - {_list(row)}" for row in pose.matrix4().tolist())]
        model, intrinsics, distortion, coefficients = _entry(camera)
        overlaps = [other for other in range(len(rig.names)) if other != i]
        lines += [
            f"  cam_overlaps: {overlaps}",
            f"  camera_model: {model}",
            f"  distortion_coeffs: {_list(coefficients)}",
            f"  distortion_model: {distortion}",
            f"  intrinsics: {_list(intrinsics)}",
            f"  resolution: [{camera.width}, {camera.height}]",
            f"  rostopic: /{re.sub(r'[^A-Za-z0-9_/]', '_', name)}/image_raw",
        ]
    return "\n".join([*lines, ""])


def _entry(camera: Camera) -> tuple[str, list[float], str, list[float]]:
    """camera_model, intrinsics, distortion_model and distortion_coeffs."""
    cx, cy = camera.principal_point - 0.5
    core = [*camera.focal.tolist(), float(cx), float(cy)]
    rest = camera.params[list(MODELS[camera.model].distortion_params)].tolist()
    if camera.model in ("EUCM", "DOUBLE_SPHERE"):
        return {"EUCM": "eucm", "DOUBLE_SPHERE": "ds"}[camera.model], [*rest, *core], "none", []
    if camera.model == "FOV":
        return "pinhole", core, "fov", rest
    dist = np.zeros(4)
    found = to_opencv(camera)[1][:4]
    dist[: len(found)] = found
    return "pinhole", core, "equidistant" if is_opencv_fisheye(camera) else "radtan", dist.tolist()


def _list(values: list[float]) -> str:
    return f"[{', '.join(map(yaml_number, values))}]"
