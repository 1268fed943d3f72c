"""COLMAP's text model files: cameras.txt, images.txt, points3D.txt, rigs.txt, frames.txt.

One record a line (an image has two), lines with # are comments. Numbers are written so that reading them
gives the same float64.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.io.colmap_model import (
    MODEL_NAMES,
    NO_POINT,
    ColmapImage,
    ColmapModel,
    make_camera,
    make_pose,
    pose_values,
)
from geo3d.io.text_file import TextFile
from geo3d.scene import Frame, Points, Rig

_SENSOR = "CAMERA"
_NO_POINT = str(NO_POINT)


def read_model(folder: Path) -> ColmapModel:
    """The model whose .txt files lie in `folder`; rigs and frames where both files are there."""
    model = ColmapModel(
        read_cameras(folder / "cameras.txt"),
        read_images(folder / "images.txt"),
        read_points(folder / "points3D.txt"),
    )
    if (folder / "rigs.txt").exists() and (folder / "frames.txt").exists():
        model.rigs = read_rigs(folder / "rigs.txt")
        model.frames = read_frames(folder / "frames.txt")
    return model


def write_model(model: ColmapModel, folder: Path) -> None:
    """The five .txt files, into an existing folder.

    Raises
    ------
    ValueError
        If a keypoint or a name cannot be written as text.
    """
    (folder / "cameras.txt").write_bytes(cameras_text(model.cameras).encode())
    _write(
        folder / "images.txt",
        "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of POINTS2D[] as (X Y POINT3D_ID)",
        _image_lines(model.images),
    )
    _write(
        folder / "points3D.txt",
        "POINT3D_ID X Y Z R G B ERROR TRACK[] as (IMAGE_ID POINT2D_IDX)",
        _point_lines(model.points),
    )
    _write(
        folder / "rigs.txt",
        "RIG_ID NUM_SENSORS REF_SENSOR_TYPE REF_SENSOR_ID SENSORS[] as "
        "(SENSOR_TYPE SENSOR_ID HAS_POSE [QW QX QY QZ TX TY TZ])",
        _rig_lines(model.rigs),
    )
    _write(
        folder / "frames.txt",
        "FRAME_ID RIG_ID QW QX QY QZ TX TY TZ NUM_DATA DATA[] as (SENSOR_TYPE SENSOR_ID IMAGE_ID)",
        _frame_lines(model),
    )


def cameras_text(cameras: dict[int, Camera]) -> str:
    """What cameras.txt holds; the models have to be COLMAP's."""
    return _text("CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]", _camera_lines(cameras))


def _write(path: Path, header: str, lines: Iterable[str]) -> None:
    path.write_bytes(_text(header, lines).encode())


def _text(header: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {header}", *lines, ""])


def _join(values: Iterable[float | int | str]) -> str:
    return " ".join(map(str, values))  # str of a Python float is the shortest that reads back the same


def read_cameras(path: Path) -> dict[int, Camera]:
    file = TextFile(path)
    cameras: dict[int, Camera] = {}
    for line in file.content():
        tokens = line.split()
        file.at_least(tokens, 4, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]")
        camera_id, width, height = file.integers([tokens[0], *tokens[2:4]], "camera id, width, height")
        name = tokens[1]
        if name not in MODEL_NAMES.values():
            raise file.error(
                f"expected one of COLMAP's camera models ({', '.join(MODEL_NAMES.values())}), found {name!r}"
            )
        params = file.floats(tokens[4:], "the parameters of a camera")
        if camera_id in cameras:
            raise file.error(f"camera {camera_id} is there twice")
        cameras[camera_id] = make_camera(name, width, height, params, f"{path}, line {file.row}")
    return cameras


def _camera_lines(cameras: dict[int, Camera]) -> Iterable[str]:
    for camera_id, camera in cameras.items():
        params = np.asarray(camera.params, np.float64).tolist()
        yield _join([camera_id, camera.model, camera.width, camera.height, *params])


def read_images(path: Path) -> dict[int, ColmapImage]:
    file = TextFile(path)
    images: dict[int, ColmapImage] = {}
    for line in file.content():
        tokens = line.split(maxsplit=9)  # the name is the rest, with its spaces
        file.at_least(tokens, 10, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        image_id, camera_id = file.integers([tokens[0], tokens[8]], "image id, camera id")
        pose = file.floats(tokens[1:8], "the pose of an image")
        if image_id in images:
            raise file.error(f"image {image_id} is there twice")
        seen = file.next_line().split()
        if len(seen) % 3:
            raise file.error(f"expected X Y POINT3D_ID for each keypoint, found {len(seen)} items")
        xy = np.array([file.floats(seen[0::3], "x"), file.floats(seen[1::3], "y")]).T
        ids = [_NO_POINT if t == "-1" else t for t in seen[2::3]]
        point_ids = np.array(file.integers(ids, "point ids", NO_POINT), np.uint64)
        images[image_id] = ColmapImage(
            tokens[9], camera_id, np.array(pose[:4]), np.array(pose[4:]), xy.reshape(-1, 2), point_ids
        )
    return images


def _image_lines(images: dict[int, ColmapImage]) -> Iterable[str]:
    for image_id, image in images.items():
        if image.name != image.name.strip():
            raise ValueError(
                f"the name {image.name!r} begins or ends with a space; COLMAP's text cannot hold that"
            )
        pose = [*image.quaternion.tolist(), *image.translation.tolist()]
        yield _join([image_id, *pose, image.camera_id, image.name])
        ids = [-1 if i == NO_POINT else i for i in image.point_ids.tolist()]
        xy = np.asarray(image.keypoints, np.float64).tolist()
        yield " ".join(f"{x} {y} {i}" for (x, y), i in zip(xy, ids, strict=True))


def read_points(path: Path) -> Points:
    """Points in ascending order of their ids; an error of -1 (not known) becomes NaN."""
    file = TextFile(path)
    heads: list[list[float]] = []
    ids: list[int] = []
    colors: list[list[int]] = []
    tracks: list[list[int]] = []
    for line in file.content():
        tokens = line.split()
        file.at_least(tokens, 8, "POINT3D_ID X Y Z R G B ERROR TRACK[]")
        if len(tokens) % 2:
            raise file.error(
                f"expected IMAGE_ID POINT2D_IDX pairs after 8 items, found {len(tokens) - 8} items"
            )
        ids += file.integers(tokens[:1], "a point id", NO_POINT)
        heads.append(file.floats([*tokens[1:4], tokens[7]], "a point"))
        colors.append(file.integers(tokens[4:7], "a colour", 255))
        tracks.append(file.integers(tokens[8:], "a track"))
    order = np.argsort(np.array(ids, np.uint64), kind="stable")
    if len(set(ids)) != len(ids):
        raise ValueError(f"{path}: a point's id is there twice")
    ordered = [tracks[i] for i in order]
    seen = np.array([value for track in ordered for value in track], np.int64).reshape(-1, 2)
    head = np.array(heads, np.float64).reshape(-1, 4)[order]
    error = np.where(head[:, 3] < 0, np.nan, head[:, 3])
    offsets = np.concatenate([[0], np.cumsum([len(t) // 2 for t in ordered])]).astype(np.int64)
    color = np.array(colors, np.uint8).reshape(-1, 3)[order]
    return Points(head[:, :3].copy(), color, error, offsets, seen[:, 0].copy(), seen[:, 1].copy())


def _point_lines(points: Points) -> Iterable[str]:
    error = np.where(np.isnan(points.error_px), -1, points.error_px).tolist()
    seen = np.stack([points.view_ids, points.keypoints], axis=1).reshape(-1).tolist()
    ends = (2 * points.offsets).tolist()
    rows = zip(points.xyz.tolist(), points.color.tolist(), error, ends[:-1], ends[1:], strict=True)
    for row, (xyz, rgb, e, a, b) in enumerate(rows, start=1):
        yield _join([row, *xyz, *rgb, e, *seen[a:b]])


def read_rigs(path: Path) -> dict[int, Rig]:
    file = TextFile(path)
    rigs: dict[int, Rig] = {}
    for line in file.content():
        tokens = line.split()
        file.at_least(tokens, 4, "RIG_ID NUM_SENSORS REF_SENSOR_TYPE REF_SENSOR_ID SENSORS[]")
        rig_id, count = file.integers(tokens[:2], "rig id, number of sensors")
        reference = _camera_sensor(file, tokens[2:4])
        sensors = {}
        rest = tokens[4:]
        for _ in range(count - 1):
            file.at_least(rest, 3, "SENSOR_TYPE SENSOR_ID HAS_POSE")
            camera_id = _camera_sensor(file, rest[:2])
            sensors[camera_id] = None
            if rest[2] == "1":
                file.at_least(rest, 10, "the pose of a sensor")
                pose = file.floats(rest[3:10], "the pose of a sensor")
                sensors[camera_id] = make_pose(pose, f"{path}, line {file.row}")
            rest = rest[10 if rest[2] == "1" else 3 :]
        if count == 0 or rest or rig_id in rigs:
            raise file.error(f"rig {rig_id} is there twice, or its number of sensors is not {count}")
        rigs[rig_id] = Rig(reference, sensors)
    return rigs


def _camera_sensor(file: TextFile, tokens: list[str]) -> int:
    if tokens[0] != _SENSOR:
        raise file.error(
            f"expected a sensor of type {_SENSOR}, found {tokens[0]!r}; geo3d reads cameras only"
        )
    return file.integers(tokens[1:2], "a sensor id")[0]


def _rig_lines(rigs: dict[int, Rig]) -> Iterable[str]:
    for rig_id, rig in rigs.items():
        parts = [rig_id, 1 + len(rig.sensor_from_rig), _SENSOR, rig.ref_camera_id]
        for camera_id, pose in sorted(rig.sensor_from_rig.items()):
            parts += [_SENSOR, camera_id, *([0] if pose is None else [1, *pose_values(pose).tolist()])]
        yield _join(parts)


def read_frames(path: Path) -> dict[int, Frame]:
    file = TextFile(path)
    frames: dict[int, Frame] = {}
    for line in file.content():
        tokens = line.split()
        file.at_least(tokens, 10, "FRAME_ID RIG_ID QW QX QY QZ TX TY TZ NUM_DATA DATA[]")
        frame_id, rig_id, count = file.integers([*tokens[:2], tokens[9]], "frame id, rig id, number of data")
        pose = make_pose(file.floats(tokens[2:9], "the pose of a frame"), f"{path}, line {file.row}")
        data = tokens[10:]
        if len(data) != 3 * count or frame_id in frames:
            raise file.error(f"frame {frame_id} is there twice, or its number of data is not {count}")
        for i in range(0, len(data), 3):
            _camera_sensor(file, data[i : i + 2])
        frames[frame_id] = Frame(rig_id, tuple(file.integers(data[2::3], "image ids")), pose)
    return frames


def _frame_lines(model: ColmapModel) -> Iterable[str]:
    for frame_id, frame in model.frames.items():
        assert frame.rig_from_world is not None
        parts = [frame_id, frame.rig_id, *pose_values(frame.rig_from_world).tolist(), len(frame.view_ids)]
        for view_id in frame.view_ids:
            parts += [_SENSOR, model.images[view_id].camera_id, view_id]
        yield _join(parts)
