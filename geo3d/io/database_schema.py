"""Schema and records of COLMAP's SQLite database (version 4.2), and how matrices lie in its blobs.

Matrices are row-major and little-endian: keypoints and poses as float32 and float64, matches as uint32, SIFT
descriptors as uint8. A pair of images has the key `id1 * 2147483647 + id2` with id1 < id2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from geo3d.geometry import SE3, SO3

USER_VERSION = 4020100  # COLMAP 4.2.1
MAX_IMAGES = 2147483647
CAMERA_SENSOR = 0
DESCRIPTOR_UNDEFINED, DESCRIPTOR_SIFT = -1, 0
COORDINATE_SYSTEMS: dict[int, Literal["UNDEFINED", "WGS84", "CARTESIAN"]] = {
    -1: "UNDEFINED",
    0: "WGS84",
    1: "CARTESIAN",
}

TABLES = {
    "rigs": """CREATE TABLE rigs (
        rig_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        ref_sensor_id INTEGER NOT NULL, ref_sensor_type INTEGER NOT NULL)""",
    "rig_sensors": """CREATE TABLE rig_sensors (
        rig_id INTEGER NOT NULL, sensor_id INTEGER NOT NULL, sensor_type INTEGER NOT NULL,
        sensor_from_rig BLOB,
        FOREIGN KEY(rig_id) REFERENCES rigs(rig_id) ON DELETE CASCADE)""",
    "cameras": """CREATE TABLE cameras (
        camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        model INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB,
        prior_focal_length INTEGER NOT NULL)""",
    "frames": """CREATE TABLE frames (
        frame_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, rig_id INTEGER NOT NULL,
        FOREIGN KEY(rig_id) REFERENCES rigs(rig_id) ON DELETE CASCADE)""",
    "frame_data": """CREATE TABLE frame_data (
        frame_id INTEGER NOT NULL, data_id INTEGER NOT NULL, sensor_id INTEGER NOT NULL,
        sensor_type INTEGER NOT NULL,
        FOREIGN KEY(frame_id) REFERENCES frames(frame_id) ON DELETE CASCADE)""",
    "images": f"""CREATE TABLE images (
        image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE,
        camera_id INTEGER NOT NULL,
        CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < {MAX_IMAGES}),
        FOREIGN KEY(camera_id) REFERENCES cameras(camera_id))""",
    "pose_priors": """CREATE TABLE pose_priors (
        pose_prior_id INTEGER PRIMARY KEY NOT NULL, corr_data_id INTEGER NOT NULL,
        corr_sensor_id INTEGER NOT NULL,
        corr_sensor_type INTEGER NOT NULL, position BLOB, position_covariance BLOB, gravity BLOB,
        coordinate_system INTEGER NOT NULL)""",
    "keypoints": """CREATE TABLE keypoints (
        image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
        FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE)""",
    "descriptors": """CREATE TABLE descriptors (
        image_id INTEGER PRIMARY KEY NOT NULL, type INTEGER NOT NULL, rows INTEGER NOT NULL,
        cols INTEGER NOT NULL,
        data BLOB, FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE)""",
    "matches": """CREATE TABLE matches (
        pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB)""",
    "two_view_geometries": """CREATE TABLE two_view_geometries (
        pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
        config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB, camera1 BLOB, camera2 BLOB)""",
}
INDEXES = (
    "CREATE UNIQUE INDEX rig_ref_sensor_assignment ON rigs(ref_sensor_id, ref_sensor_type)",
    "CREATE UNIQUE INDEX rig_sensor_assignment ON rig_sensors(sensor_id, sensor_type)",
    "CREATE UNIQUE INDEX frame_sensor_assignment ON frame_data(data_id, sensor_type)",
    "CREATE UNIQUE INDEX index_name ON images(name)",
    "CREATE UNIQUE INDEX pose_prior_data_assignment "
    "ON pose_priors(corr_data_id, corr_sensor_id, corr_sensor_type)",
)
# the columns that are written; later versions of COLMAP may have more
COLUMNS = {
    "cameras": "camera_id, model, width, height, params, prior_focal_length",
    "rigs": "rig_id, ref_sensor_id, ref_sensor_type",
    "images": "image_id, name, camera_id",
    "frames": "frame_id, rig_id",
    "frame_data": "frame_id, data_id, sensor_id, sensor_type",
    "rig_sensors": "rig_id, sensor_id, sensor_type, sensor_from_rig",
    "keypoints": "image_id, rows, cols, data",
    "descriptors": "image_id, type, rows, cols, data",
    "matches": "pair_id, rows, cols, data",
    "pose_priors": "corr_data_id, corr_sensor_id, corr_sensor_type, position, position_covariance, gravity, "
    "coordinate_system",
    "two_view_geometries": "pair_id, rows, cols, data, config, F, E, H, qvec, tvec",
}
# what a database of any version must have to be COLMAP's
OLDEST_TABLES = ("cameras", "images", "keypoints", "descriptors", "matches")


@dataclass(frozen=True)
class DatabaseImage:
    """A row of the table images."""

    name: str
    camera_id: int


@dataclass(frozen=True)
class PosePrior:
    """Where a photo is believed to have been taken.

    Attributes
    ----------
    position : (3,) float64
        WGS84: latitude, longitude in degrees, altitude in metres (NaN where not known). CARTESIAN: metres.
    coordinate_system : "WGS84", "CARTESIAN" or "UNDEFINED"
    covariance : (3, 3) float64 or None
        Of the position; for WGS84 in square metres.
    gravity : (3,) float64 or None
        Direction of gravity in the camera's axes.
    """

    position: np.ndarray
    coordinate_system: Literal["WGS84", "CARTESIAN", "UNDEFINED"] = "WGS84"
    covariance: np.ndarray | None = None
    gravity: np.ndarray | None = None


@dataclass(frozen=True)
class TwoViewRecord:
    """What was found about a pair of images.

    Attributes
    ----------
    config : int
        COLMAP's: 0 undefined, 1 degenerate, 2 calibrated, 3 uncalibrated, 4 planar, 5 panoramic,
        6 planar or panoramic, 7 watermark, 8 multiple, 9 calibrated rig.
    matches : (M, 2) uint32
        Rows of the keypoints of both images; inliers.
    F, E, H : (3, 3) float64 or None
        `x2^T F x1 = 0` in pixels, `x2^T E x1 = 0` on the unit plane, `x2 ~ H x1` in pixels.
    cam2_from_cam1 : SE3 or None
        Relative pose, up to the length of the translation.
    """

    config: int
    matches: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.uint32))
    F: np.ndarray | None = None
    E: np.ndarray | None = None
    H: np.ndarray | None = None
    cam2_from_cam1: SE3 | None = None

    def inverted(self) -> TwoViewRecord:
        """The same of the pair in the other order."""
        return TwoViewRecord(
            self.config,
            np.ascontiguousarray(self.matches[:, ::-1]),
            None if self.F is None else self.F.T.copy(),
            None if self.E is None else self.E.T.copy(),
            None if self.H is None else np.linalg.inv(self.H),
            None if self.cam2_from_cam1 is None else self.cam2_from_cam1.inverse(),
        )


def pair_id(id1: int, id2: int) -> int:
    """COLMAP's key of a pair, `min * 2147483647 + max`; `pair_of` takes it back.

    Parameters
    ----------
    id1, id2 : int
        Image ids; their order does not matter.

    Raises
    ------
    ValueError
        If the ids are equal or out of range.
    """
    if id1 == id2 or min(id1, id2) < 0 or max(id1, id2) >= MAX_IMAGES:
        raise ValueError(
            f"a pair is of two different image ids from 0 to {MAX_IMAGES - 1}, got {id1} and {id2}"
        )
    return min(id1, id2) * MAX_IMAGES + max(id1, id2)


def pair_of(key: int) -> tuple[int, int]:
    """The two image ids of a key, ascending."""
    return divmod(key, MAX_IMAGES)


def unpack_matrix(row: tuple[Any, ...], dtype: type, where: str) -> np.ndarray:
    """(rows, cols) array, a copy, of a row (rows, cols, blob); the blob must have exactly that size.

    Raises
    ------
    ValueError
        If it has another size.
    """
    rows, cols, data = row
    dtype_ = np.dtype(dtype).newbyteorder("<")
    blob = b"" if data is None else data
    whole = (
        isinstance(rows, int) and isinstance(cols, int) and isinstance(blob, bytes) and min(rows, cols) >= 0
    )
    if not whole or rows * cols * dtype_.itemsize != len(blob):
        found = f"{len(blob)} bytes" if isinstance(blob, bytes) else type(blob).__name__
        raise ValueError(
            f"{where}: expected {rows} x {cols} {np.dtype(dtype).name}, found {found}; it is corrupt"
        )
    return np.frombuffer(blob, dtype_).astype(dtype).reshape(rows, cols)


def unpack_vector(data: Any, count: int, where: str) -> np.ndarray | None:
    """(count,) float64, None where the blob is empty or nothing in it is a number."""
    if data is None or data == b"":
        return None
    if not isinstance(data, bytes) or len(data) != 8 * count:
        found = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise ValueError(f"{where}: expected {count} float64, found {found}; it is corrupt")
    values = np.frombuffer(data, "<f8").astype(np.float64)
    return None if np.isnan(values).all() else values


def pack(values: Any, dtype: type) -> bytes:
    """Bytes of an array as the database holds them."""
    return np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).tobytes()


def unpack_geometry(config: Any, matches: np.ndarray, blobs: tuple[Any, ...], where: str) -> TwoViewRecord:
    """Record from the blobs F, E, H, qvec, tvec.

    COLMAP 3 writes zeros, and the identity, for what it does not know: both become None.
    """
    if not isinstance(config, int):
        raise ValueError(f"{where}: expected an integer config, found {config!r}; it is corrupt")
    matrices = []
    for blob, name in zip(blobs[:3], "FEH", strict=True):
        values = unpack_vector(blob, 9, f"{where}, {name}")
        matrices.append(None if values is None or not values.any() else values.reshape(3, 3))
    quaternion = unpack_vector(blobs[3], 4, f"{where}, qvec")
    translation = unpack_vector(blobs[4], 3, f"{where}, tvec")
    pose = None
    if quaternion is not None and translation is not None:
        norm = np.linalg.norm(quaternion)
        known = translation.any() or quaternion[1:].any()
        if known and np.isfinite(norm) and norm > 1e-12 and np.isfinite(translation).all():
            pose = SE3(SO3.from_quaternion(quaternion / norm).matrix, translation)
    return TwoViewRecord(config, matches, matrices[0], matrices[1], matrices[2], pose)
