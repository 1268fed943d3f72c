"""What a COLMAP model holds, as its files tell it, and the way from and to a `Reconstruction`.

The files repeat themselves: a track names keypoints, and each keypoint names its point. Tracks are believed,
and checked against the images; the ids of the keypoints are made from the tracks when writing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from geo3d.cameras import MODELS, Camera, nearest_colmap
from geo3d.geometry import SE3, matrix_to_quaternion
from geo3d.scene import Frame, Points, Reconstruction, Rig, View
from geo3d.util.names import check_photo_name

NO_POINT = 2**64 - 1  # the point id of a keypoint that sees none
MAX_ID = 2**32 - 2  # ids are uint32, and the largest value means "none"
CAMERA_SENSOR = 0

# id and name of the models that COLMAP knows; the numbers are part of the file format
MODEL_NAMES = {model.id: name for name, model in MODELS.items() if model.in_colmap}


@dataclass
class ColmapImage:
    """One registered image. Pose is cam_from_world as quaternion wxyz and translation."""

    name: str
    camera_id: int
    quaternion: np.ndarray  # (4,) wxyz
    translation: np.ndarray  # (3,)
    keypoints: np.ndarray  # (N, 2) float64
    point_ids: np.ndarray  # (N,) uint64, NO_POINT where none; not used when reading


@dataclass
class ColmapModel:
    """The five files of a model. Points are in ascending order of their ids."""

    cameras: dict[int, Camera] = field(default_factory=dict)
    images: dict[int, ColmapImage] = field(default_factory=dict)
    points: Points = field(default_factory=Points.empty)
    rigs: dict[int, Rig] = field(default_factory=dict)
    frames: dict[int, Frame] = field(default_factory=dict)


def make_pose(values: np.ndarray | list[float] | tuple[float, ...], source: str) -> SE3:
    """Pose from (7,) qw qx qy qz tx ty tz; the quaternion is normalised.

    Raises
    ------
    ValueError
        If a number is not finite or the quaternion is zero.
    """
    pose = np.array(values, np.float64)
    norm = math.hypot(*pose[:4])
    if not np.isfinite(pose).all() or not 1e-12 < norm < 1e12:
        raise ValueError(f"{source}: expected a rotation quaternion and a translation, found {pose.tolist()}")
    return SE3.from_quaternion_translation(pose[:4] / norm, pose[4:])


def pose_values(pose: SE3) -> np.ndarray:
    """(7,) qw qx qy qz tx ty tz."""
    return np.concatenate([matrix_to_quaternion(pose.rotation), pose.translation])


def make_camera(
    model: str,
    width: int,
    height: int,
    params: np.ndarray | list[float],
    source: str,
    prior_focal: bool = False,
) -> Camera:
    """Camera of a file; what is wrong with it is told with the place where it stood."""
    if not (isinstance(width, int) and isinstance(height, int) and max(width, height) < 2**31):
        raise ValueError(f"{source}: expected a size in pixels, found {width!r} x {height!r}")
    try:
        return Camera(model, width, height, np.array(params, np.float64), prior_focal)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def check_colmap_camera(camera: Camera, source: str) -> None:
    """Raise ValueError where COLMAP has no such model, with the nearest one that it has."""
    if MODELS[camera.model].in_colmap:
        return
    fit = nearest_colmap(camera)
    raise ValueError(
        f"{source} has the model {camera.model}, which COLMAP lacks. The nearest that it has is "
        f"{fit.camera.model}, off by up to {fit.max_error_px:.2g} px; geo3d.cameras.nearest_colmap(camera).camera "
        "gives it. geo3d's own camera.json keeps any model."
    )


def check_ids(ids: list[int], what: str) -> None:
    bad = [i for i in ids if not 0 <= i <= MAX_ID]
    if bad:
        raise ValueError(f"COLMAP's ids of {what} go from 0 to {MAX_ID}, found {bad[0]}")


def to_reconstruction(model: ColmapModel, source: object) -> Reconstruction:
    """Check that the parts of `model` fit together and give the scene.

    Rigs and frames are left out where they are trivial (a camera a rig, a view a frame).

    Raises
    ------
    ValueError
        If something refers to what is not there.
    """
    views = {}
    for view_id, image in model.images.items():
        where = f"{source}: image {view_id} ({image.name!r})"
        check_photo_name(image.name, where)
        if image.camera_id not in model.cameras:
            raise ValueError(f"{where} refers to camera {image.camera_id}, which is not there")
        pose = make_pose(np.concatenate([image.quaternion, image.translation]), where)
        views[view_id] = View(image.name, image.camera_id, pose, image.keypoints)
    _check_points(model.points, views, source)
    _check_rigs(model.rigs, model.frames, model.cameras, model.images, source)
    trivial = all(not rig.sensor_from_rig for rig in model.rigs.values()) and all(
        len(frame.view_ids) <= 1 for frame in model.frames.values()
    )
    rigs, frames = ({}, {}) if trivial else (model.rigs, model.frames)
    return Reconstruction(model.cameras, views, model.points, rigs, frames)


def _check_points(points: Points, views: dict[int, View], source: object) -> None:
    if not np.isfinite(points.xyz).all():
        row = int(np.flatnonzero(~np.isfinite(points.xyz).all(axis=1))[0])
        raise ValueError(f"{source}: point {row} has the coordinates {points.xyz[row].tolist()}, not finite")
    ids, inverse = np.unique(points.view_ids, return_inverse=True)
    sizes = np.array([len(views[i].keypoints) if i in views else -1 for i in ids.tolist()], np.int64)
    bad = np.flatnonzero((points.keypoints < 0) | (points.keypoints >= sizes[inverse])) if len(ids) else []
    if len(bad):
        at = bad[0]
        view_id, size = int(points.view_ids[at]), int(sizes[inverse[at]])
        has = "is not there" if size < 0 else f"has {size} keypoints"
        raise ValueError(
            f"{source}: a track refers to keypoint {int(points.keypoints[at])} of image "
            f"{view_id}, which {has}"
        )


def _check_rigs(
    rigs: dict[int, Rig],
    frames: dict[int, Frame],
    cameras: dict[int, Camera],
    views: Mapping[int, object],
    source: object,
) -> None:
    for rig_id, rig in rigs.items():
        for camera_id in (rig.ref_camera_id, *rig.sensor_from_rig):
            if camera_id not in cameras:
                raise ValueError(f"{source}: rig {rig_id} refers to camera {camera_id}, which is not there")
    for frame_id, frame in frames.items():
        if frame.rig_id not in rigs:
            raise ValueError(f"{source}: frame {frame_id} refers to rig {frame.rig_id}, which is not there")
        for view_id in frame.view_ids:
            if view_id not in views:
                raise ValueError(f"{source}: frame {frame_id} refers to image {view_id}, which is not there")


def from_reconstruction(scene: Reconstruction) -> ColmapModel:
    """The registered part of `scene` as COLMAP's files want it, with rigs and frames for everything.

    Raises
    ------
    ValueError
        If a camera's model is not COLMAP's, an id or a name cannot be stored, or the tracks do not fit the
        views.
    """
    ids = scene.registered()
    check_ids(ids, "images")
    check_ids(list(scene.cameras), "cameras")
    for camera_id, camera in scene.cameras.items():
        check_colmap_camera(camera, f"camera {camera_id}")
    _check_points(scene.points, {i: scene.views[i] for i in ids}, "the reconstruction")
    _check_rigs(scene.rigs, scene.frames, scene.cameras, scene.views, "the reconstruction")
    point_ids = _point_ids(scene, ids)
    images = {}
    for view_id, seen in zip(ids, point_ids, strict=True):
        view = scene.views[view_id]
        check_photo_name(view.name, f"view {view_id}")
        if view.camera_id not in scene.cameras:
            raise ValueError(f"view {view_id} ({view.name!r}) refers to camera {view.camera_id}, not there")
        assert view.cam_from_world is not None
        pose = pose_values(view.cam_from_world)
        images[view_id] = ColmapImage(view.name, view.camera_id, pose[:4], pose[4:], view.keypoints, seen)
    rigs, frames = _rigs_and_frames(scene, ids)
    cameras = dict(sorted(scene.cameras.items()))
    return ColmapModel(cameras, images, scene.points, rigs, frames)


def _point_ids(scene: Reconstruction, ids: list[int]) -> list[np.ndarray]:
    """For each view (N,) uint64, the id (row + 1) of the point that each keypoint sees."""
    sizes = [len(scene.views[i].keypoints) for i in ids]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    points = scene.points
    flat = np.full(starts[-1], NO_POINT, np.uint64)
    place = starts[np.searchsorted(np.array(ids, np.int64), points.view_ids)] + points.keypoints
    used = np.bincount(place, minlength=len(flat))
    if used.size and used.max() > 1:
        at = int(np.argmax(used > 1))
        view_id = ids[int(np.searchsorted(starts, at, side="right")) - 1]
        raise ValueError(f"two tracks refer to the same keypoint of view {view_id}; COLMAP allows one")
    flat[place] = (points.point_rows + 1).astype(np.uint64)
    return [flat[a:b] for a, b in pairwise(starts.tolist())]


def _rigs_and_frames(scene: Reconstruction, ids: list[int]) -> tuple[dict[int, Rig], dict[int, Frame]]:
    """Those of the scene, and trivial ones for the cameras and views that have none."""
    rigs = dict(scene.rigs)
    frames: dict[int, Frame] = {}
    registered = set(ids)
    for frame_id, frame in scene.frames.items():
        views = tuple(i for i in frame.view_ids if i in registered)
        frame = replace(frame, view_ids=views)
        pose = _rig_from_world(scene, rigs, frame)  # the poses of the views come first: they may be newer
        pose = frame.rig_from_world if pose is None else pose
        if views and pose is not None:
            frames[frame_id] = replace(frame, rig_from_world=pose)
    rig_of = {}
    for rig_id, rig in rigs.items():
        rig_of |= dict.fromkeys((rig.ref_camera_id, *rig.sensor_from_rig), rig_id)
    for camera_id in sorted(set(scene.cameras) - set(rig_of)):
        rig_of[camera_id] = _free(camera_id, rigs)
        rigs[rig_of[camera_id]] = Rig(camera_id)
    framed = {i for frame in frames.values() for i in frame.view_ids}
    for view_id in sorted(registered - framed):
        frame = Frame(rig_of[scene.views[view_id].camera_id], (view_id,))
        pose = _rig_from_world(scene, rigs, frame)
        if pose is None:
            raise ValueError(
                f"view {view_id} was taken by camera {scene.views[view_id].camera_id}, whose place in rig "
                f"{frame.rig_id} is not known, and no frame holds it; write the scene without rigs"
            )
        frames[_free(view_id, frames)] = replace(frame, rig_from_world=pose)
    check_ids([*rigs, *frames], "rigs and frames")
    return dict(sorted(rigs.items())), dict(sorted(frames.items()))


def _free(wanted: int, used: dict) -> int:
    """`wanted`, or the next id after all that are in use."""
    return wanted if wanted not in used else max(used) + 1


def _rig_from_world(scene: Reconstruction, rigs: dict[int, Rig], frame: Frame) -> SE3 | None:
    """Pose of the rig from the first view of the frame whose place in the rig is known."""
    rig = rigs[frame.rig_id]
    for view_id in frame.view_ids:
        view = scene.views[view_id]
        if view.camera_id == rig.ref_camera_id:
            return view.cam_from_world
        sensor_from_rig = rig.sensor_from_rig.get(view.camera_id)
        if sensor_from_rig is not None and view.cam_from_world is not None:
            return sensor_from_rig.inverse() @ view.cam_from_world
    return None
