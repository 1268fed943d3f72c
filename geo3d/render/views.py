"""A scene on disk as posed views for a trainer: photos, cameras, poses, masks, sparse points.

Poses are `cam_from_world` (x right, y down, z forward), the world is the scene's own. Of the views sorted by name
every n-th, the first included, is held out: it is never trained on, only measured (the split of LLFF and
Mip-NeRF 360).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.images import PhotoError, find_mask, find_mask_folder, photo_size
from geo3d.io import WorldFrame, find_scene, read_colmap, read_georeference, read_transforms, scene_images
from geo3d.io.transforms import quoted
from geo3d.scene import Points, Reconstruction

_NAMES = 20  # of missing photos that a message tells

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PosedView:
    """A photo whose camera and pose are known.

    Attributes
    ----------
    name : str
        Path of the photo below the folder of images, with forward slashes.
    camera : Camera
        Of the photo as it is on disk; any lens.
    cam_from_world : SE3
    photo : Path
        The file.
    mask : Path or None
        White where the photo counts, of the proportions of the photo; `geo3d.images.read_mask` reads it.
    seen : (S,) int64
        Rows of `ViewSet.points` that the view observed, ascending; empty where the scene does not tell.
    """

    name: str
    camera: Camera
    cam_from_world: SE3
    photo: Path
    mask: Path | None = None
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class ViewSet:
    """The views of a scene, split.

    Attributes
    ----------
    views : list of PosedView
        To train on, sorted by name.
    held_out : list of PosedView
        To measure on, sorted by name; none of them is in `views`.
    points : (P, 3) float64
        Sparse points, world; none where the scene has none.
    point_colors : (P, 3) uint8
        RGB.
    missing : tuple of str
        Photos that the scene names and that are not there; their views are left out.
    damaged : tuple of str
        Photos of which not even the header can be read; their views are left out too.
    up : (3,) float64 or None
        Unit vector to the sky in the world: z in scenes of geo3d and, by its custom, in a transforms.json; None where
        the scene does not tell.
    """

    views: list[PosedView]
    held_out: list[PosedView]
    points: np.ndarray
    point_colors: np.ndarray
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    up: np.ndarray | None = None


def load_views(
    scene: str | os.PathLike, hold_out_every: int = 8, images: str | os.PathLike | None = None
) -> ViewSet:
    """Load the posed photos of a scene; of the photos only the headers are read.

    Photos that are missing, or whose headers cannot be read, are left out, and a warning is logged that counts and
    names them.

    Parameters
    ----------
    scene : path-like
        A folder with `images/` and a COLMAP model (`sparse/0` or `sparse`), as `geo3d reconstruct`, COLMAP and LLFF
        have it; or a transforms.json (NeRF's synthetic scenes, instant-ngp, nerfstudio), or a folder with one or with
        a transforms_train.json.
    hold_out_every : int
        Of the sorted views every so many-th is held out, 0: none. A scene of one view keeps it for training.
    images : path-like, optional
        Folder of the photos, where they are not with the scene.

    Raises
    ------
    FileNotFoundError
        If there is no scene, or none of its photos is there.
    ValueError
        If the scene's files are damaged, it has no posed view, a pose is no rotation and translation, no photo can be
        read, or a photo is of another size than its camera.
    """
    if hold_out_every == 1 or hold_out_every < 0:
        raise ValueError(
            f"hold_out_every: expected 0 (none) or at least 2 (1 would hold out all), got {hold_out_every}"
        )
    found = find_scene(scene)
    damaged: tuple[str, ...] = ()
    if found.is_dir():
        model, folder, missing = _colmap(found, images)
    elif found.suffix.lower() == ".json":
        listed = read_transforms(found, images)
        model, folder, missing = listed.reconstruction, listed.images, listed.missing
        damaged = listed.damaged
    else:
        raise ValueError(f"{found} holds points only: give a scene with photos and poses")
    views, unreadable = _posed_views(model, folder)
    damaged += tuple(unreadable)
    if unreadable and not views:
        raise next(iter(unreadable.values()))
    if not views:
        raise ValueError(f"{found}: no photo with a pose; reconstruct the scene first (geo3d reconstruct)")
    count = len(views) + len(missing) + len(damaged)
    for names, trouble in ((missing, "are not there"), (damaged, "cannot be read")):
        if names:
            told = ", ".join(map(quoted, names[:_NAMES])) + (", ..." if len(names) > _NAMES else "")
            _log.warning(
                "%s: %d of %d photos %s and are left out: %s", scene, len(names), count, trouble, told
            )
    held = views[::hold_out_every] if hold_out_every and len(views) > 1 else []
    kept = [view for row, view in enumerate(views) if not held or row % hold_out_every]
    points = model.points
    return ViewSet(kept, held, points.xyz, points.color, tuple(missing), damaged, world_up(found))


def world_up(scene: str | os.PathLike) -> np.ndarray | None:
    """(3,) the direction to the sky in the world of a scene, where the `scene` tells; see `ViewSet.up`."""
    found = find_scene(scene).absolute()
    folders = (found, *found.parents[:2]) if found.is_dir() else ()
    told = found.suffix.lower() == ".json" or any((f / "georeference.json").is_file() for f in folders)
    return np.array([0.0, 0.0, 1.0]) if told else None


def scene_frame(scene: str | os.PathLike) -> WorldFrame:
    """Unit and place of the world of a scene: of its folder, also where `scene` names the model or a file in it.

    Only the first model of a scene stands in the world that its georeference.json tells.
    """
    found = find_scene(scene).absolute()
    folder = found if found.is_dir() else found.parent
    if folder.name == "0" and folder.parent.name == "sparse":
        folder = folder.parent
    return read_georeference((folder.parent if folder.name == "sparse" else folder) / "georeference.json")


def _colmap(folder: Path, images: str | os.PathLike | None) -> tuple[Reconstruction, Path, tuple[str, ...]]:
    """The model, the folder of its photos, and the names of those that are not there."""
    model = read_colmap(folder)
    root = scene_images(folder) if images is None else Path(images)
    if root is None or not root.is_dir():
        raise FileNotFoundError(
            f"{folder} has its poses, and the photos are missing: no folder {root or 'images beside it'}; put them (or "
            "a link to them) there, or in Python say where they are: images=FOLDER"
        )
    missing = sorted(view.name for view in model.views.values() if not (root / view.name).is_file())
    if missing and len(missing) == len(model.views):
        raise FileNotFoundError(
            f"{folder}: none of its {len(missing)} photos is in {root}, e.g. {missing[0]}; put them (or a link to "
            "them) there, or in Python say where they are: images=FOLDER"
        )
    return model, root, tuple(missing)


def _posed_views(
    model: Reconstruction, folder: Path
) -> tuple[list[PosedView], dict[str, PhotoError | OSError]]:
    """The registered views whose photo is there, sorted by name, their sizes checked; and what is wrong with those of
    which the header cannot be read.
    """
    masks = find_mask_folder(folder)
    seen = _seen_points(model.points)
    views, damaged = [], {}
    for view_id in sorted(model.registered(), key=lambda i: model.views[i].name):
        view = model.views[view_id]
        photo = folder / view.name
        if not photo.is_file():
            continue
        assert view.cam_from_world is not None
        camera = model.cameras[view.camera_id]
        try:
            size = photo_size(photo)
        except (PhotoError, OSError) as error:
            damaged[view.name] = error
            continue
        check_size(photo, size, camera)
        mask = None if masks is None else find_mask(masks, view.name)
        rows = seen.get(view_id, np.zeros(0, np.int64))
        views.append(PosedView(view.name, camera, view.cam_from_world, photo, mask, rows))
    return views, damaged


def check_size(photo: Path, size: tuple[int, int], camera: Camera) -> None:
    """Refuse a photo whose `size` (width, height) is not that of its `camera`.

    Raises
    ------
    ValueError
        That names the `photo`, both sizes, and what to do.
    """
    width, height = size
    if size == (camera.width, camera.height):
        return
    turned = (height, width) == (camera.width, camera.height)
    raise ValueError(
        f"{photo} is {width}x{height}, and its camera is for {camera.width}x{camera.height}: "
        + (
            "it has been turned since. "
            if turned
            else "it has been resized or cropped since, or is another photo. "
        )
        + "Put the photo there that the pose was found with, or reconstruct the scene from the photos that are there"
    )


def _seen_points(points: Points) -> dict[int, np.ndarray]:
    """Rows of the points that each view observed, ascending, by the view's id."""
    order = np.argsort(points.view_ids, kind="stable")
    ids, starts = np.unique(points.view_ids[order], return_index=True)
    rows = np.split(points.point_rows[order], starts[1:])
    return {int(view_id): np.unique(own) for view_id, own in zip(ids, rows)}
