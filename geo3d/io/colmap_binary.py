"""COLMAP's binary model files: cameras.bin, images.bin, points3D.bin, rigs.bin, frames.bin, little-endian.

Records of points have different lengths (their tracks). Their starts are found one after the other;
everything else is gathered and scattered by NumPy, in chunks.
"""

import struct
from pathlib import Path

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.io.binary_file import BinaryFile
from geo3d.io.colmap_model import (
    CAMERA_SENSOR,
    MODEL_NAMES,
    ColmapImage,
    ColmapModel,
    make_camera,
    make_pose,
    pose_values,
)
from geo3d.scene import Frame, Points, Rig

_U64 = struct.Struct("<Q")
_CAMERA = struct.Struct("<IiQQ")  # id, model, width, height
_IMAGE = struct.Struct("<I7dI")  # id, qw qx qy qz tx ty tz, camera
_RIG = struct.Struct("<II")  # id, number of sensors
_SENSOR = struct.Struct("<iI")  # type, id
_POSE = struct.Struct("<7d")
_FRAME = struct.Struct("<II7dI")  # id, rig, pose, number of data
_DATA = struct.Struct("<iIQ")  # sensor type, sensor id, image id

_KEYPOINT = np.dtype([("xy", "<f8", 2), ("point", "<u8")])
_POINT = np.dtype(
    [
        ("id", "<u8"),
        ("xyz", "<f8", 3),
        ("rgb", "u1", 3),
        ("error", "<f8"),
        ("length", "<u8"),
    ]  # 51 bytes, packed
)
_OBSERVATION = np.dtype([("image", "<u4"), ("keypoint", "<u4")])
_CHUNK = 65536


def read_model(folder: Path) -> ColmapModel:
    """The model whose .bin files lie in `folder`; rigs and frames where both files are there."""
    model = ColmapModel(
        read_cameras(folder / "cameras.bin"),
        read_images(folder / "images.bin"),
        read_points(folder / "points3D.bin"),
    )
    if (folder / "rigs.bin").exists() and (folder / "frames.bin").exists():
        model.rigs = read_rigs(folder / "rigs.bin")
        model.frames = read_frames(folder / "frames.bin")
    return model


def write_model(model: ColmapModel, folder: Path) -> None:
    """The five .bin files, into an existing folder."""
    (folder / "cameras.bin").write_bytes(pack_cameras(model.cameras))
    (folder / "images.bin").write_bytes(pack_images(model.images))
    (folder / "points3D.bin").write_bytes(pack_points(model.points))
    (folder / "rigs.bin").write_bytes(pack_rigs(model.rigs))
    (folder / "frames.bin").write_bytes(pack_frames(model))


def read_cameras(path: Path) -> dict[int, Camera]:
    file = BinaryFile(path)
    cameras: dict[int, Camera] = {}
    for _ in range(file.count(_U64, _CAMERA.size, "cameras")):
        camera_id, model, width, height = file.unpack(_CAMERA, "a camera")
        if model not in MODEL_NAMES:
            raise file.error(
                f"expected a camera model from 0 to {max(MODEL_NAMES)}, camera {camera_id} has {model}"
            )
        name = MODEL_NAMES[model]
        params = file.array(
            "<f8", len(MODELS[name].param_names), f"parameters of camera {camera_id} ({name})"
        )
        if camera_id in cameras:
            raise file.error(f"camera {camera_id} is there twice")
        cameras[camera_id] = make_camera(name, width, height, params, f"{path}: camera {camera_id}")
    file.finish()
    return cameras


def pack_cameras(cameras: dict[int, Camera]) -> bytes:
    parts = [_U64.pack(len(cameras))]
    for camera_id, camera in cameras.items():
        parts.append(_CAMERA.pack(camera_id, MODELS[camera.model].id, camera.width, camera.height))
        parts.append(np.asarray(camera.params, "<f8").tobytes())
    return b"".join(parts)


def read_images(path: Path) -> dict[int, ColmapImage]:
    file = BinaryFile(path)
    images: dict[int, ColmapImage] = {}
    for _ in range(file.count(_U64, _IMAGE.size + 9, "images")):
        image_id, *pose, camera_id = file.unpack(_IMAGE, "an image")
        name = file.text(f"the name of image {image_id}")
        count = file.count(_U64, _KEYPOINT.itemsize, f"keypoints of image {image_id} ({name!r})")
        seen = file.array(_KEYPOINT, count, "keypoints")
        if image_id in images:
            raise file.error(f"image {image_id} is there twice")
        images[image_id] = ColmapImage(
            name,
            camera_id,
            np.array(pose[:4]),
            np.array(pose[4:]),
            seen["xy"].astype(np.float64),
            seen["point"].astype(np.uint64),
        )
    file.finish()
    return images


def pack_images(images: dict[int, ColmapImage]) -> bytes:
    parts = [_U64.pack(len(images))]
    for image_id, image in images.items():
        seen = np.empty(len(image.keypoints), _KEYPOINT)
        seen["xy"] = image.keypoints
        seen["point"] = image.point_ids
        parts += [
            _IMAGE.pack(image_id, *image.quaternion, *image.translation, image.camera_id),
            image.name.encode() + b"\0",
            _U64.pack(len(seen)),
            seen.tobytes(),
        ]
    return b"".join(parts)


def read_points(path: Path) -> Points:
    """Points in ascending order of their ids; an error of -1 (not known) becomes NaN."""
    file = BinaryFile(path)
    count = file.count(_U64, _POINT.itemsize, "points")
    starts = _point_starts(file, count)
    data = np.frombuffer(file.data, np.uint8)
    heads = np.empty(count, _POINT)
    for a in range(0, count, _CHUNK):
        rows = starts[a : a + _CHUNK, None] + np.arange(_POINT.itemsize)
        heads[a : a + _CHUNK] = data[rows].view(_POINT)[:, 0]
    ids = heads["id"]
    order = np.argsort(ids, kind="stable")
    if len(np.unique(ids)) != count:
        raise ValueError(f"{path}: a point's id is there twice")
    lengths = heads["length"].astype(np.int64)
    seen = _gather(data, starts + _POINT.itemsize, lengths, order)
    heads = heads[order]
    error = heads["error"].copy()
    error[error < 0] = np.nan
    return Points(
        heads["xyz"].astype(np.float64),
        heads["rgb"].copy(),
        error,
        np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64),
        seen["image"].astype(np.int64),
        seen["keypoint"].astype(np.int64),
    )


def _point_starts(file: BinaryFile, count: int) -> np.ndarray:
    """(P,) first byte of each record: the one loop over points, as a start depends on the length before."""
    starts = np.empty(count, np.int64)
    at, end, data, unpack = file.offset, len(file.data), file.data, _U64.unpack_from
    head, element = _POINT.itemsize, _OBSERVATION.itemsize
    for row in range(count):
        starts[row] = at
        file.offset = at
        if at + head > end:
            file.need(head, f"point {row} of {count}")
        length = unpack(data, at + head - 8)[0]
        at += head + element * length
        if at > end:
            raise file.error(
                f"point {row} of {count} claims a track of {length}, but {file.remaining - head} "
                "bytes are left; "
                "the file is truncated or corrupt"
            )
    file.offset = at
    file.finish()
    return starts


def _gather(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(O,) observations of the points in `order`."""
    parts = [np.zeros(0, _OBSERVATION)]
    for a in range(0, len(order), _CHUNK):
        rows = order[a : a + _CHUNK]
        first = np.repeat(starts[rows], lengths[rows])
        parts.append(data[_element_bytes(first, lengths[rows])].view(_OBSERVATION)[:, 0])
    return np.concatenate(parts)


def _element_bytes(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(O, 8) bytes of track elements, from the first element's place repeated `lengths` times."""
    number = np.arange(len(first)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return (first + number * _OBSERVATION.itemsize)[:, None] + np.arange(_OBSERVATION.itemsize)


def pack_points(points: Points) -> bytes:
    parts = [_U64.pack(len(points))]
    lengths = points.track_lengths
    for a in range(0, len(points), _CHUNK):
        rows = slice(a, a + _CHUNK)
        head = np.empty(len(lengths[rows]), _POINT)
        head["id"] = np.arange(a + 1, a + 1 + len(head))
        head["xyz"], head["rgb"] = points.xyz[rows], points.color[rows]
        head["error"] = np.where(np.isnan(points.error_px[rows]), -1, points.error_px[rows])
        head["length"] = lengths[rows]
        observed = slice(points.offsets[a], points.offsets[a + len(head)])
        seen = np.empty(observed.stop - observed.start, _OBSERVATION)
        seen["image"], seen["keypoint"] = points.view_ids[observed], points.keypoints[observed]
        sizes = _POINT.itemsize + lengths[rows] * _OBSERVATION.itemsize
        starts = np.cumsum(sizes) - sizes
        out = np.empty(sizes.sum(), np.uint8)
        out[starts[:, None] + np.arange(_POINT.itemsize)] = head.view(np.uint8).reshape(-1, _POINT.itemsize)
        place = _element_bytes(np.repeat(starts + _POINT.itemsize, lengths[rows]), lengths[rows])
        out[place] = seen.view(np.uint8).reshape(-1, _OBSERVATION.itemsize)
        parts.append(out.tobytes())
    return b"".join(parts)


def read_rigs(path: Path) -> dict[int, Rig]:
    file = BinaryFile(path)
    rigs: dict[int, Rig] = {}
    for _ in range(file.count(_U64, _RIG.size, "rigs")):
        rig_id, count = file.unpack(_RIG, "a rig")
        if count == 0 or rig_id in rigs:
            raise file.error(f"rig {rig_id} {'has no sensor' if count == 0 else 'is there twice'}")
        reference = _camera_sensor(file, *file.unpack(_SENSOR, "a sensor"))
        sensors = {}
        for _ in range(count - 1):
            camera_id = _camera_sensor(file, *file.unpack(_SENSOR, "a sensor"))
            sensors[camera_id] = None
            if file.array("u1", 1, "a sensor")[0]:
                where = f"{path}: rig {rig_id}, camera {camera_id}"
                sensors[camera_id] = make_pose(file.unpack(_POSE, "the pose of a sensor"), where)
        rigs[rig_id] = Rig(reference, sensors)
    file.finish()
    return rigs


def _camera_sensor(file: BinaryFile, kind: int, sensor_id: int) -> int:
    if kind != CAMERA_SENSOR:
        raise file.error(
            f"expected a sensor that is a camera (0), found kind {kind}; geo3d reads cameras only"
        )
    return sensor_id


def pack_rigs(rigs: dict[int, Rig]) -> bytes:
    parts = [_U64.pack(len(rigs))]
    for rig_id, rig in rigs.items():
        parts.append(_RIG.pack(rig_id, 1 + len(rig.sensor_from_rig)))
        parts.append(_SENSOR.pack(CAMERA_SENSOR, rig.ref_camera_id))
        for camera_id, pose in sorted(rig.sensor_from_rig.items()):
            parts.append(_SENSOR.pack(CAMERA_SENSOR, camera_id))
            parts.append(b"\0" if pose is None else b"\1" + _POSE.pack(*pose_values(pose)))
    return b"".join(parts)


def read_frames(path: Path) -> dict[int, Frame]:
    file = BinaryFile(path)
    frames: dict[int, Frame] = {}
    for _ in range(file.count(_U64, _FRAME.size, "frames")):
        frame_id, rig_id, *pose, count = file.unpack(_FRAME, "a frame")
        if frame_id in frames:
            raise file.error(f"frame {frame_id} is there twice")
        file.need(count * _DATA.size, f"data of frame {frame_id}")
        views = []
        for _ in range(count):
            kind, sensor_id, view_id = file.unpack(_DATA, f"data of frame {frame_id}")
            _camera_sensor(file, kind, sensor_id)
            views.append(view_id)
        frames[frame_id] = Frame(rig_id, tuple(views), make_pose(pose, f"{path}: frame {frame_id}"))
    file.finish()
    return frames


def pack_frames(model: ColmapModel) -> bytes:
    parts = [_U64.pack(len(model.frames))]
    for frame_id, frame in model.frames.items():
        assert frame.rig_from_world is not None
        parts.append(
            _FRAME.pack(frame_id, frame.rig_id, *pose_values(frame.rig_from_world), len(frame.view_ids))
        )
        for view_id in frame.view_ids:
            parts.append(_DATA.pack(CAMERA_SENSOR, model.images[view_id].camera_id, view_id))
    return b"".join(parts)
