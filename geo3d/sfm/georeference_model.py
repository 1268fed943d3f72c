"""A model moved into another world: what a similarity of the world does to poses, points, rigs.

With `x' = s R x + t` a pose `x_cam = A x + a` becomes `A' = A R^T`, `a' = s a - A' t`, which projects every point to
the pixel where it was; depths grow by s, and so do the translations between the sensors of a rig.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from geo3d.geometry import SE3, Sim3
from geo3d.scene import Frame, Reconstruction, Rig


def transform_model(model: Reconstruction, world_from_model: Sim3) -> Reconstruction:
    """The same model in the world that a similarity leads to; cameras, keypoints and tracks are shared, not copied.

    Parameters
    ----------
    model : Reconstruction
    world_from_model : Sim3

    Returns
    -------
    Reconstruction
    """
    scale = float(world_from_model.scale)

    def pose(old: SE3 | None) -> SE3 | None:
        if old is None:
            return None
        rotation = old.rotation @ world_from_model.rotation.T
        return SE3(rotation, scale * old.translation - rotation @ world_from_model.translation)

    def inside(old: SE3 | None) -> SE3 | None:
        return None if old is None else SE3(old.rotation, scale * old.translation)

    points = copy(model.points)
    points.xyz = world_from_model.act(points.xyz)
    return Reconstruction(
        cameras=dict(model.cameras),
        views={i: replace(view, cam_from_world=pose(view.cam_from_world)) for i, view in model.views.items()},
        points=points,
        rigs={
            i: Rig(rig.ref_camera_id, {c: inside(p) for c, p in rig.sensor_from_rig.items()})
            for i, rig in model.rigs.items()
        },
        frames={
            i: Frame(frame.rig_id, frame.view_ids, pose(frame.rig_from_world))
            for i, frame in model.frames.items()
        },
    )
