"""What was photographed how, in a COLMAP database: cameras, images, rigs, frames, pose priors."""

from __future__ import annotations

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.io.colmap_model import MODEL_NAMES, check_colmap_camera, make_camera, make_pose, pose_values
from geo3d.io.database_connection import DatabaseConnection
from geo3d.io.database_schema import (
    CAMERA_SENSOR,
    COORDINATE_SYSTEMS,
    DatabaseImage,
    PosePrior,
    pack,
    unpack_matrix,
    unpack_vector,
)
from geo3d.scene import Frame, Rig
from geo3d.util.names import check_photo_name

_SYSTEM_CODES = {name: code for code, name in COORDINATE_SYSTEMS.items()}


class DatabaseScene(DatabaseConnection):
    """Cameras, images, rigs, frames and pose priors of a database. See `ColmapDatabase`."""

    def add_camera(self, camera: Camera, camera_id: int | None = None) -> int:
        """Add a camera, with a rig of its own.

        Parameters
        ----------
        camera : Camera
            Of one of COLMAP's models.
        camera_id : int, optional
            The next one by default.

        Returns
        -------
        int
            Its id.

        Raises
        ------
        ValueError
            If COLMAP lacks the model, or the id is taken.
        """
        check_colmap_camera(camera, "the camera")
        new = self._insert("cameras", camera_id, *_camera_row(camera))
        rig_id = None if self._rows("SELECT 1 FROM rigs WHERE rig_id=?", (new,)) else new
        self._insert("rigs", rig_id, new, CAMERA_SENSOR)
        return new

    def update_camera(self, camera_id: int, camera: Camera) -> None:
        """Replace the intrinsics of a camera.

        Parameters
        ----------
        camera_id : int
        camera : Camera
            Of one of COLMAP's models.

        Raises
        ------
        ValueError
            If COLMAP lacks the model, or there is no camera of that id.
        """
        check_colmap_camera(camera, f"camera {camera_id}")
        if not self._rows("SELECT 1 FROM cameras WHERE camera_id=?", (camera_id,)):
            raise ValueError(f"{self.path} has no camera {camera_id}")
        self._execute(
            "UPDATE cameras SET model=?, width=?, height=?, params=?, prior_focal_length=? WHERE camera_id=?",
            (*_camera_row(camera), camera_id),
        )

    def cameras(self) -> dict[int, Camera]:
        """Cameras by id, ascending."""
        cameras = {}
        for camera_id, model, width, height, params, prior in self._rows(
            "SELECT camera_id, model, width, height, params, prior_focal_length FROM cameras "
            "ORDER BY camera_id"
        ):
            where = f"{self.path}, camera {camera_id}"
            if model not in MODEL_NAMES:
                raise ValueError(f"{where}: expected a model from 0 to {max(MODEL_NAMES)}, found {model!r}")
            count = len(MODELS[MODEL_NAMES[model]].param_names)
            values = unpack_matrix((1, count, params), np.float64, where)[0]
            cameras[camera_id] = make_camera(MODEL_NAMES[model], width, height, values, where, bool(prior))
        return cameras

    def add_image(self, name: str, camera_id: int, image_id: int | None = None) -> int:
        """Add an image, with a frame of its own.

        Parameters
        ----------
        name : str
            Path of the photo below the images folder, with forward slashes.
        camera_id : int
        image_id : int, optional
            The next one by default.

        Returns
        -------
        int
            Its id.

        Raises
        ------
        ValueError
            If the name is taken, or leads out of the images folder, or the camera is not there.
        """
        check_photo_name(name, "the image")
        rigs = self._rows(
            "SELECT rig_id FROM rigs WHERE ref_sensor_id=? AND ref_sensor_type=? UNION "
            "SELECT rig_id FROM rig_sensors WHERE sensor_id=? AND sensor_type=?",
            (camera_id, CAMERA_SENSOR) * 2,
        )
        if not rigs:
            raise ValueError(f"{self.path} has no camera {camera_id} for the image {name!r}")
        new = self._insert("images", image_id, name, camera_id)
        frame_id = None if self._rows("SELECT 1 FROM frames WHERE frame_id=?", (new,)) else new
        frame_id = self._insert("frames", frame_id, rigs[0][0])
        self._insert("frame_data", frame_id, new, camera_id, CAMERA_SENSOR)
        return new

    def images(self) -> dict[int, DatabaseImage]:
        """Names and camera ids by image id, ascending; names are checked to lie inside the images folder."""
        cameras = {row[0] for row in self._rows("SELECT camera_id FROM cameras")}
        images = {}
        for image_id, name, camera_id in self._rows(
            "SELECT image_id, name, camera_id FROM images ORDER BY image_id"
        ):
            where = f"{self.path}, image {image_id}"
            if not isinstance(name, str) or camera_id not in cameras:
                raise ValueError(
                    f"{where}: expected a name and the id of a camera, found {name!r} and {camera_id!r}"
                )
            images[image_id] = DatabaseImage(check_photo_name(name, where), camera_id)
        return images

    def write_rigs(self, rigs: dict[int, Rig], frames: dict[int, Frame]) -> None:
        """Replace all rigs and frames.

        Parameters
        ----------
        rigs : dict of int to Rig
            By id; each camera of the database has to be in one.
        frames : dict of int to Frame
            By id; each image has to be in one. Poses are not kept: a database has none.

        Raises
        ------
        ValueError
            If a camera or an image is left out, or one is named that is not there.
        """
        images = self.images()
        cameras_in = {c for rig in rigs.values() for c in (rig.ref_camera_id, *rig.sensor_from_rig)}
        images_in = {i for frame in frames.values() for i in frame.view_ids}
        if cameras_in != set(self.cameras()) or images_in != set(images):
            raise ValueError(
                "expected rigs that hold each camera, and frames that hold each image of the database"
            )
        for table in ("frame_data", "frames", "rig_sensors", "rigs"):
            self._execute(f"DELETE FROM {table}")
        for rig_id, rig in rigs.items():
            self._insert("rigs", rig_id, rig.ref_camera_id, CAMERA_SENSOR)
            for camera_id, pose in rig.sensor_from_rig.items():
                blob = None if pose is None else pack(pose_values(pose), np.float64)
                self._insert("rig_sensors", rig_id, camera_id, CAMERA_SENSOR, blob)
        for frame_id, frame in frames.items():
            self._insert("frames", frame_id, frame.rig_id)
            for i in frame.view_ids:
                row = (frame_id, i, images[i].camera_id, CAMERA_SENSOR)
                self._insert("frame_data", *row)

    def rigs(self) -> dict[int, Rig]:
        """Rigs by id; empty for databases before COLMAP 4. Sensors that are not cameras are left out."""
        if not self._has("rigs") or not self._has("rig_sensors"):
            return {}
        rigs = {}
        for rig_id, camera_id in self._rows(
            "SELECT rig_id, ref_sensor_id FROM rigs WHERE ref_sensor_type=? ORDER BY rig_id", (CAMERA_SENSOR,)
        ):
            sensors = {}
            for sensor_id, blob in self._rows(
                "SELECT sensor_id, sensor_from_rig FROM rig_sensors WHERE rig_id=? AND sensor_type=?",
                (rig_id, CAMERA_SENSOR),
            ):
                where = f"{self.path}, rig {rig_id}"
                values = unpack_vector(blob, 7, where)
                sensors[sensor_id] = None if values is None else make_pose(values, where)
            rigs[rig_id] = Rig(camera_id, sensors)
        return rigs

    def frames(self) -> dict[int, Frame]:
        """Frames by id, without poses; empty for databases before COLMAP 4."""
        if not self._has("frames") or not self._has("frame_data"):
            return {}
        views: dict[int, list[int]] = {}
        for frame_id, image_id in self._rows(
            "SELECT frame_id, data_id FROM frame_data WHERE sensor_type=? ORDER BY data_id", (CAMERA_SENSOR,)
        ):
            views.setdefault(frame_id, []).append(image_id)
        rows = self._rows("SELECT frame_id, rig_id FROM frames ORDER BY frame_id")
        return {frame_id: Frame(rig_id, tuple(views.get(frame_id, ()))) for frame_id, rig_id in rows}

    def write_pose_prior(self, image_id: int, prior: PosePrior) -> None:
        """Set where an image is believed to have been taken (GPS), in place of what was set before.

        Parameters
        ----------
        image_id : int
        prior : PosePrior
            Position, covariance and gravity, and the coordinate system that they are in.

        Raises
        ------
        ValueError
            If there is no such image.
        """
        rows = self._rows("SELECT camera_id FROM images WHERE image_id=?", (image_id,))
        if not rows:
            raise ValueError(f"{self.path} has no image {image_id}")
        nothing = np.full(9, np.nan)
        self._execute("DELETE FROM pose_priors WHERE corr_data_id=?", (image_id,))
        self._insert(
            "pose_priors",
            image_id,
            rows[0][0],
            CAMERA_SENSOR,
            pack(np.reshape(prior.position, 3), np.float64),
            pack(nothing if prior.covariance is None else np.reshape(prior.covariance, 9), np.float64),
            pack(nothing[:3] if prior.gravity is None else np.reshape(prior.gravity, 3), np.float64),
            _SYSTEM_CODES[prior.coordinate_system],
        )

    def pose_priors(self) -> dict[int, PosePrior]:
        """Priors by image id, those with a position."""
        if not self._has("pose_priors"):
            return {}
        new = self._has("pose_priors", "corr_data_id")
        covariance = "position_covariance" if self._has("pose_priors", "position_covariance") else "NULL"
        key = "corr_data_id" if new else "image_id"
        gravity = "gravity" if self._has("pose_priors", "gravity") else "NULL"
        priors = {}
        for image_id, position, matrix, down, system in self._rows(
            f"SELECT {key}, position, {covariance}, {gravity}, coordinate_system FROM pose_priors"
            + (f" WHERE corr_sensor_type={CAMERA_SENSOR}" if new else "")
            + f" ORDER BY {key}"
        ):
            where = f"{self.path}, pose prior of image {image_id}"
            place = unpack_vector(position, 3, where)
            if system not in COORDINATE_SYSTEMS:
                raise ValueError(f"{where}: expected a coordinate system from -1 to 1, found {system!r}")
            spread = unpack_vector(matrix, 9, where)
            if place is not None:
                priors[image_id] = PosePrior(
                    place,
                    COORDINATE_SYSTEMS[system],
                    None if spread is None else spread.reshape(3, 3),
                    unpack_vector(down, 3, where),
                )
        return priors


def _camera_row(camera: Camera) -> tuple[int, int, int, bytes, int]:
    params = pack(camera.params, np.float64)
    return MODELS[camera.model].id, camera.width, camera.height, params, int(camera.prior_focal)
