"""Start from poses that are known: triangulate their points, or register further photos into them.

The known poses are held as they are, and with them the frame and the scale of the world.
"""

from __future__ import annotations

import numpy as np

from geo3d.scene import Reconstruction
from geo3d.sfm.growing import finish, grow
from geo3d.sfm.mapper import MapperOptions
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.tracks import build_tracks
from geo3d.sfm.working_model import WorkingModel


def triangulate_known_poses(
    graph: MatchGraph, reconstruction: Reconstruction, options: MapperOptions | None = None
) -> Reconstruction:
    """Place every track that the registered views of a reconstruction see.

    Parameters
    ----------
    graph : MatchGraph
        Photos with their matches; views are found in the reconstruction by name.
    reconstruction : Reconstruction
        Gives poses and cameras; its points are not used.
    options : MapperOptions, optional

    Returns
    -------
    Reconstruction
        The known views, unchanged, and the points they see; view ids are those of the graph.

    Raises
    ------
    ValueError
        If fewer than two photos of the graph have a pose, or photos that share a camera in the graph do not share it
        in the reconstruction.
    """
    return _with_known_poses(graph, reconstruction, options or MapperOptions()).to_reconstruction()


def register_photos(
    graph: MatchGraph, reconstruction: Reconstruction, options: MapperOptions | None = None
) -> Reconstruction:
    """Register the photos of a graph that have no pose yet into an existing reconstruction.

    The cameras of known photos keep their intrinsics; those of new ones are refined as the options say.

    Parameters
    ----------
    graph : MatchGraph
        All photos, those of the reconstruction and the new ones, with their matches.
    reconstruction : Reconstruction
    options : MapperOptions, optional

    Returns
    -------
    Reconstruction
        The known views, unchanged, the new ones that could be registered, and the points they see.

    Raises
    ------
    ValueError
        As `triangulate_known_poses`.
    """
    options = options or MapperOptions()
    model = _with_known_poses(graph, reconstruction, options)
    known = np.bincount(model.view_camera[model.held], minlength=len(model.cameras)) > 0
    grow(model, ~model.registered, options, fixed_cameras=known)
    finish(model, options, fixed_cameras=known)
    return model.to_reconstruction()


def _with_known_poses(
    graph: MatchGraph, reconstruction: Reconstruction, options: MapperOptions
) -> WorkingModel:
    """A model whose known views are held, with their points."""
    model = WorkingModel(graph, build_tracks(graph))
    known = {view.name: view for view in reconstruction.views.values() if view.cam_from_world is not None}
    taken: dict[int, int] = {}  # row of the model's camera -> camera id of the reconstruction
    for row, name in enumerate(graph.names):
        view = known.get(name)
        if view is None or view.cam_from_world is None:
            continue
        camera = int(model.view_camera[row])
        if taken.setdefault(camera, view.camera_id) != view.camera_id:
            raise ValueError(
                f"photo {name!r} shares camera {model.camera_ids[camera]} of the database with others, but has "
                "a camera of its own in the reconstruction: enter the photos with the cameras of the reconstruction"
            )
        own, given = model.cameras[camera], reconstruction.cameras[view.camera_id]
        if (own.width, own.height) != (given.width, given.height):
            raise ValueError(
                f"photo {name!r} is {own.width}x{own.height} in the match graph and {given.width}x{given.height} in "
                "the reconstruction: bring both to one size (Camera.rescaled)"
            )
        model.cameras[camera] = given
        model.set_pose(row, view.cam_from_world)
    if model.registered.sum() < 2:
        raise ValueError(
            f"{int(model.registered.sum())} of the {len(graph)} photos have a pose in the reconstruction (matched by "
            f"name, e.g. {graph.names[0] if graph.names else ''!r}); at least two are needed"
        )
    model.held = model.registered.copy()
    for _ in range(2):
        model.triangulate(options.max_error_px, options.min_angle)
        model.complete(options.max_error_px)
        model.adjust(model.robust(options.bundle), fixed_cameras=np.ones(len(model.cameras), bool))
        model.filter(options.max_error_px, options.min_angle)
    return model
