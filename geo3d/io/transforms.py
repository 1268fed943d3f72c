"""transforms.json of NeRF, instant-ngp and nerfstudio.

Their cameras look along -z with y up (OpenGL), and `transform_matrix` is world_from_camera:

    world_from_cam = transform_matrix @ diag(1, -1, -1, 1)

The world is left as it is. Intrinsics stand at the top, or in a frame, which then go first. The centre of the
top-left pixel is (0.5, 0.5).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, closest_rotation
from geo3d.io.json_file import finite_number, read_json_object, whole_number
from geo3d.scene import Reconstruction, View
from geo3d.util.files import path_inside, write_text

_EXTENSIONS = ("", ".png", ".jpg", ".jpeg", ".JPG", ".PNG", ".JPEG", ".webp", ".tif", ".tiff")
_FLIP = np.array([1.0, -1.0, -1.0])  # OpenGL's camera axes in ours
_NAME_LENGTH = 80  # of a name in a message
_PERSPECTIVE_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
_FISHEYE_MODELS = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")


@dataclass(frozen=True)
class TransformsScene:
    """What a transforms.json holds.

    Attributes
    ----------
    reconstruction : Reconstruction
        Cameras and registered views; no points.
    images : Path
        Folder that the names of the views are relative to.
    missing : tuple of str
        Frames that are listed and have no file; they are left out.
    damaged : tuple of str
        Frames whose size is told by the photo alone, which cannot be read; they are left out too.
    """

    reconstruction: Reconstruction
    images: Path
    missing: tuple[str, ...]
    damaged: tuple[str, ...] = ()


class _UnreadablePhoto(ValueError):
    """The size of a photo is nowhere to be had."""


def read_transforms(path: str | os.PathLike, images: str | os.PathLike | None = None) -> TransformsScene:
    """Read a transforms.json and look for the photos that it names.

    Parameters
    ----------
    path : path-like
        The file. Photos are looked for relative to its folder, with the usual extensions where a name has none.
    images : path-like, optional
        Folder of the photos, where they are not below the file's: a listed path that leads into it is taken as it
        is, any other as a name in it, with or without `images/` before it.

    Raises
    ------
    ValueError
        If the file is corrupt, a photo's name leads out of the folder, a pose is no rotation and translation, or
        the distortion is none that geo3d knows.
    FileNotFoundError
        If there are frames, and none of them has a file.
    """
    path = Path(path)
    root = path.parent if images is None else Path(images)
    content = read_json_object(path)
    frames = content.get("frames")
    if not isinstance(frames, list) or not all(isinstance(f, dict) for f in frames):
        raise ValueError(f"{path}: expected a list of frames, each an object")
    missing: list[str] = []
    damaged: list[str] = []
    unreadable: _UnreadablePhoto | None = None
    found: dict[str, tuple[Camera, SE3]] = {}
    for number, frame in enumerate(frames):
        where = f"{path}, frame {number}"
        listed = frame.get("file_path")
        if not isinstance(listed, str):
            raise ValueError(f"{where}: expected file_path, found {str(listed)[:60]!r}")
        name = _existing(root, listed if images is None else _below(root, path.parent, listed), where)
        if name is None:
            missing.append(listed)
            continue
        if name in found:
            raise ValueError(f"{where}: {quoted(listed)} is listed twice")
        where = f"{where} ({quoted(listed)})"
        pose = _pose(frame, where)
        try:
            found[name] = (_camera(content | frame, root / name, where), pose)
        except _UnreadablePhoto as error:
            unreadable = error
            damaged.append(listed)
    if unreadable is not None and not found:
        raise unreadable
    if missing and not found:
        raise FileNotFoundError(
            f"{path}: none of the {len(missing)} photos that it lists is in {root}, e.g. {quoted(missing[0])}; put "
            "them (or a link to them) there, or say where they are: images=FOLDER, on the command line --images FOLDER "
            "of the commands that have it"
        )
    inner = images is None and found and all(name.startswith("images/") for name in found)
    scene = _scene(found, root, "images/" if inner else "")
    return replace(scene, missing=tuple(missing), damaged=tuple(damaged))


def quoted(name: str) -> str:
    """A name from an untrusted file for a message: escaped, and cut where it is long."""
    return repr(name[:_NAME_LENGTH]) + ("..." if len(name) > _NAME_LENGTH else "")


def _scene(found: dict[str, tuple[Camera, SE3]], folder: Path, prefix: str) -> TransformsScene:
    cameras: dict[int, Camera] = {}
    views = {}
    for view_id, name in enumerate(sorted(found), start=1):
        camera, pose = found[name]
        camera_id = next((i for i, c in cameras.items() if c == camera), len(cameras) + 1)
        cameras[camera_id] = camera
        views[view_id] = View(name.removeprefix(prefix), camera_id, pose)
    return TransformsScene(Reconstruction(cameras, views), folder / prefix, ())


def _below(images: Path, folder: Path, listed: str) -> str:
    """The name below `images` of a photo that is listed relative to `folder`."""
    target = folder / listed
    try:
        target = target.parent.resolve() / target.name
    except (OSError, ValueError):  # longer than a name can be, or with a null: whoever looks for it says so
        return listed
    inside = images.resolve()
    if target.is_relative_to(inside):
        return target.relative_to(inside).as_posix()
    return os.path.normpath(listed).removeprefix("images/")


def _existing(folder: Path, listed: str, where: str) -> str | None:
    """Name of the photo relative to `folder`, None where there is no such file."""
    for extension in _EXTENSIONS:
        try:
            if path_inside(folder, listed + extension).is_file():
                return PurePosixPath(os.path.normpath(listed + extension)).as_posix()
        except OSError:  # longer than a name can be
            return None
        except ValueError:
            raise ValueError(
                f"{where}: file_path {quoted(listed)} is outside of {folder}; refused. If the photos are meant to be "
                "elsewhere, say where: images=FOLDER, on the command line --images FOLDER"
            ) from None
    return None


def _pose(frame: Mapping[str, Any], where: str) -> SE3:
    rows = frame.get("transform_matrix")
    if (
        not isinstance(rows, list)
        or len(rows) not in (3, 4)
        or any(not isinstance(r, list) or len(r) != 4 for r in rows)
    ):
        raise ValueError(f"{where}: expected transform_matrix as 4 rows of 4 numbers")
    matrix = np.array([[finite_number(v, f"{where}, transform_matrix") for v in row] for row in rows])
    rotation = closest_rotation(matrix[:3, :3])
    if np.abs(rotation - matrix[:3, :3]).max() > 1e-3:
        raise ValueError(f"{where}: expected a rotation in transform_matrix, found {matrix[:3, :3].tolist()}")
    return SE3(rotation * _FLIP, matrix[:3, 3]).inverse()


def _camera(values: Mapping[str, Any], photo: Path, where: str) -> Camera:
    def number(key: str, default: float | None = None) -> float | None:
        return finite_number(values[key], f"{where}, {key}") if values.get(key) is not None else default

    width, height = _size(values, photo, where)
    fx, fy = number("fl_x"), number("fl_y")
    for angle, side, axis in (("camera_angle_x", width, "x"), ("camera_angle_y", height, "y")):
        value = number(angle)
        if value is not None and (fx if axis == "x" else fy) is None:
            if not 0 < value < np.pi:
                raise ValueError(f"{where}, {angle}: expected radians between 0 and pi, found {value}")
            focal = side / 2 / np.tan(value / 2)
            fx, fy = (focal, fy) if axis == "x" else (fx, focal)
    if fx is None:
        raise ValueError(f"{where}: expected fl_x or camera_angle_x, found neither")
    fy = fx if fy is None else fy
    base = [fx, fy, number("cx", width / 2), number("cy", height / 2)]
    k1, k2, k3, k4, p1, p2 = (number(key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    fisheye = values.get("camera_model") == "OPENCV_FISHEYE" or values.get("is_fisheye") is True
    if fisheye:
        model, params = "OPENCV_FISHEYE", [*base, k1, k2, k3, k4]
    elif k4:
        raise ValueError(
            f"{where}: k4 = {k4} of a lens that is no fisheye is not known to geo3d; undistort first"
        )
    elif k3:
        model, params = "FULL_OPENCV", [*base, k1, k2, p1, p2, k3, 0, 0, 0]
    elif k1 or k2 or p1 or p2:
        model, params = "OPENCV", [*base, k1, k2, p1, p2]
    else:
        model, params = "PINHOLE", base
    try:
        return Camera(model, width, height, params)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _size(values: Mapping[str, Any], photo: Path, where: str) -> tuple[int, int]:
    if values.get("w") is not None and values.get("h") is not None:
        return whole_number(values["w"], f"{where}, w"), whole_number(values["h"], f"{where}, h")
    from PIL import Image

    try:
        with Image.open(photo) as image:  # reads the header only
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise _UnreadablePhoto(f"{where}: tells no w and h, and {photo} cannot be read: {error}") from error


def write_transforms(reconstruction: Reconstruction, path: str | os.PathLike, images: str = "images") -> None:
    """Write the registered views as a transforms.json, atomically.

    Parameters
    ----------
    reconstruction : Reconstruction
        Its world is written as it is. Points are not written.
    path : path-like
        The file.
    images : str
        Folder of the photos, relative to the file's, put before each name. `read_transforms` has to be told of one
        outside of the file's folder.

    Raises
    ------
    ValueError
        If a camera has a lens that the format lacks.
    """
    used = sorted({reconstruction.views[i].camera_id for i in reconstruction.registered()})
    intrinsics = {i: _intrinsics(reconstruction.cameras[i], f"camera {i}") for i in used}
    shared = intrinsics[used[0]] if len(used) == 1 else {}
    frames = []
    for view in sorted((reconstruction.views[i] for i in reconstruction.registered()), key=lambda v: v.name):
        assert view.cam_from_world is not None
        world_from_cam = view.cam_from_world.inverse()
        matrix = np.eye(4)
        matrix[:3, :3] = world_from_cam.rotation * _FLIP
        matrix[:3, 3] = world_from_cam.translation
        frame = {"file_path": (PurePosixPath(images) / view.name).as_posix()}
        own = {} if shared else intrinsics[view.camera_id]
        frames.append(frame | own | {"transform_matrix": matrix.tolist()})
    write_text(path, json.dumps(shared | {"frames": frames}, indent=1, ensure_ascii=False) + "\n")


def _intrinsics(camera: Camera, where: str) -> dict[str, Any]:
    """The keys of the format for a camera."""
    names = dict(zip(camera.param_names, map(float, camera.params), strict=True))
    rational = camera.model == "FULL_OPENCV" and any(names[key] for key in ("k4", "k5", "k6"))
    if camera.model not in (*_PERSPECTIVE_MODELS, *_FISHEYE_MODELS) or rational:
        raise ValueError(
            f"{where} has the model {camera.model}{' with k4, k5, k6' if rational else ''}, which transforms.json "
            f"lacks. It has {', '.join((*_PERSPECTIVE_MODELS, *_FISHEYE_MODELS))}; of FULL_OPENCV only that with "
            "k4 = k5 = k6 = 0. Undistort the photos first (geo3d undistort)"
        )
    fx, fy = map(float, camera.focal)
    cx, cy = map(float, camera.principal_point)
    fisheye = camera.model in _FISHEYE_MODELS
    content = {
        "camera_model": "OPENCV_FISHEYE"
        if fisheye
        else "PINHOLE"
        if camera.model.endswith("PINHOLE")
        else "OPENCV",
        "w": camera.width,
        "h": camera.height,
        "fl_x": fx,
        "fl_y": fy,
        "cx": cx,
        "cy": cy,
        "camera_angle_x": 2 * float(np.arctan(camera.width / 2 / fx)),
        "camera_angle_y": 2 * float(np.arctan(camera.height / 2 / fy)),
    }
    keys = ("k1", "k2", "k3", "k4", "p1", "p2") if fisheye else ("k1", "k2", "p1", "p2", "k3")
    radial = names | ({"k1": names["k"]} if "k" in names else {})
    content |= {key: radial.get(key, 0.0) for key in keys if key in radial or key in ("k1", "k2", "p1", "p2")}
    return content | ({"is_fisheye": True} if fisheye else {})
