"""The rigs of a reconstruction as the arrays of a bundle adjustment, and back.

Only rigs of two sensors or more bind anything; a frame of one sensor is the pose of its view.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geo3d.geometry import SE3, average_rotations
from geo3d.sfm.bundle_rigs import BundleRigs

if TYPE_CHECKING:
    from geo3d.scene import Reconstruction


@dataclass(frozen=True)
class _Members:
    """What is bound, in the order of the arrays."""

    frames: list[int]  # ids
    sensors: list[tuple[int, int]]  # ids of the rig and of the camera
    poses: list[SE3]  # sensor_from_rig of each
    view: dict[int, tuple[int, int]]  # id of a registered view: rows of its frame and its sensor


def bundle_rigs(reconstruction: Reconstruction, constant_views: Iterable[int] = ()) -> BundleRigs | None:
    """Frames and sensors of all rigs with several sensors; None where there are none.

    A frame's pose is that which its views have: that of the reference sensor if it is registered, else of the first
    registered one. A sensor whose pose in the rig is not known (None) has the median of those that its views have;
    where no frame tells, they move on their own. All sensors are free but the reference.

    Parameters
    ----------
    reconstruction : Reconstruction
    constant_views : iterable of int
        Ids of views whose frames stay.
    """
    found = _members(reconstruction)
    if not found.view:
        return None
    ids = reconstruction.registered()
    rows = np.array([found.view.get(i, (-1, -1)) for i in ids], np.int64).reshape(-1, 2)
    poses = [_frame_pose(reconstruction, i, found) for i in found.frames]
    constant = np.zeros((len(found.frames), 6), bool)
    constant[[found.view[i][0] for i in constant_views if i in found.view]] = True
    free = [camera != reconstruction.rigs[rig].ref_camera_id for rig, camera in found.sensors]
    return BundleRigs(
        view_frame=rows[:, 0],
        view_sensor=rows[:, 1],
        frame_rotations=np.array([pose.rotation for pose in poses]),
        frame_translations=np.array([pose.translation for pose in poses]),
        sensor_rotations=np.array([pose.rotation for pose in found.poses]),
        sensor_translations=np.array([pose.translation for pose in found.poses]),
        free_sensor=np.array(free, bool),
        constant_frame=constant,
    )


def apply_rigs(reconstruction: Reconstruction, rigs: BundleRigs | None) -> None:
    """Write the poses of frames and sensors, adjusted from `bundle_rigs` of it, into the `reconstruction`.

    Its views have theirs already; a frame of one sensor takes that of its view.
    """
    for frame_id, frame in reconstruction.frames.items():
        views = [reconstruction.views[i] for i in frame.view_ids if i in reconstruction.views]
        if not reconstruction.rigs[frame.rig_id].sensor_from_rig and len(views) == 1:
            reconstruction.frames[frame_id] = replace(frame, rig_from_world=views[0].cam_from_world)
    if rigs is None:
        return
    found = _members(reconstruction)
    for row, (rig_id, camera_id) in enumerate(found.sensors):
        rig = reconstruction.rigs[rig_id]
        if camera_id != rig.ref_camera_id:
            pose = SE3(rigs.sensor_rotations[row].copy(), rigs.sensor_translations[row].copy())
            known = {**rig.sensor_from_rig, camera_id: pose}
            reconstruction.rigs[rig_id] = replace(rig, sensor_from_rig=known)
    for row, frame_id in enumerate(found.frames):
        pose = SE3(rigs.frame_rotations[row].copy(), rigs.frame_translations[row].copy())
        reconstruction.frames[frame_id] = replace(reconstruction.frames[frame_id], rig_from_world=pose)


def _members(reconstruction: Reconstruction) -> _Members:
    """Frames with registered views whose sensors' poses are known, in ascending order of their ids."""
    frames: list[int] = []
    sensors: dict[tuple[int, int], int] = {}
    poses: list[SE3] = []
    view: dict[int, tuple[int, int]] = {}
    known: dict[tuple[int, int], SE3 | None] = {}
    for frame_id in sorted(reconstruction.frames):
        frame = reconstruction.frames[frame_id]
        if not reconstruction.rigs[frame.rig_id].sensor_from_rig:
            continue
        bound = []
        for i in sorted(frame.view_ids):
            if i not in reconstruction.views or reconstruction.views[i].cam_from_world is None:
                continue
            key = (frame.rig_id, reconstruction.views[i].camera_id)
            if key not in known:
                known[key] = _sensor_pose(reconstruction, *key)
            pose = known[key]
            if pose is None:
                continue
            if key not in sensors:
                sensors[key] = len(sensors)
                poses.append(pose)
            bound.append((i, sensors[key]))
        if bound:
            view.update({i: (len(frames), sensor) for i, sensor in bound})
            frames.append(frame_id)
    return _Members(frames, list(sensors), poses, view)


def _sensor_pose(reconstruction: Reconstruction, rig_id: int, camera_id: int) -> SE3 | None:
    """Pose of a camera in its rig, or as its views have it; None where no frame has both it and the reference."""
    rig = reconstruction.rigs[rig_id]
    if camera_id == rig.ref_camera_id:
        return SE3.identity()
    pose = rig.sensor_from_rig.get(camera_id)
    if pose is not None:
        return pose
    found = []
    for frame in reconstruction.frames.values():
        if frame.rig_id != rig_id:
            continue
        views = [reconstruction.views[i] for i in frame.view_ids if i in reconstruction.views]
        of_camera = {view.camera_id: view.cam_from_world for view in views}
        here, reference = of_camera.get(camera_id), of_camera.get(rig.ref_camera_id)
        if here is not None and reference is not None:
            found.append(here @ reference.inverse())
    if not found:
        return None
    rotation = average_rotations(np.array([pose.rotation for pose in found]), robust=True)
    return SE3(rotation, np.median([pose.translation for pose in found], axis=0))


def _frame_pose(reconstruction: Reconstruction, frame_id: int, found: _Members) -> SE3:
    """`rig_from_world` as the views have it."""
    frame = reconstruction.frames[frame_id]
    views = sorted(i for i in frame.view_ids if i in found.view)
    reference = reconstruction.rigs[frame.rig_id].ref_camera_id
    views.sort(key=lambda i: reconstruction.views[i].camera_id != reference)
    pose = reconstruction.views[views[0]].cam_from_world
    assert pose is not None
    return found.poses[found.view[views[0]][1]].inverse() @ pose
