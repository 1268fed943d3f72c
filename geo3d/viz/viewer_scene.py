"""What the viewer shows of a scene, as plain data: cameras, points, splats, and the frame that they are shown in.

Display frame: x right, y away (north, or what most cameras look at), z up, the scene's middle at the origin and its
radius `REACH`: near and far planes, point sizes and single precision then fit a flower and a valley alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.geometry import SE3, Sim3
from geo3d.io import (
    SPLATS,
    SplatFile,
    find_scene,
    find_splat_format,
    find_splats,
    read_scene,
    read_splats,
    scene_images,
)
from geo3d.scene import Gaussians, Points, Reconstruction
from geo3d.sfm.georeference_up import estimate_up
from geo3d.util.files import path_inside, read_json_object
from geo3d.viz.report_map import Upright, upright

REACH = 5.0
"""Radius of the scene in the display frame."""

MAX_POINTS = 2_000_000
"""More points than this are thinned out."""

_WIDEST_RAD = np.deg2rad(120.0)  # of a frustum; a fisheye sees more than a pyramid can show
_FARTHEST = 1e5  # display units; what lies further is an error and would spoil the browser's single precision
_HEADER = 1 << 16  # bytes in which a PLY says what it holds


@dataclass(frozen=True)
class ShownCamera:
    """A registered photo.

    Attributes
    ----------
    name : str
        Of the photo.
    world_from_cam : SE3
    fov_y_rad : float
        Vertical field of view, at most 120 degrees.
    aspect : float
        Width over height of the frustum.
    photo : Path or None
        None where the file is not there.
    """

    name: str
    world_from_cam: SE3
    fov_y_rad: float
    aspect: float
    photo: Path | None


@dataclass(frozen=True)
class ViewerScene:
    """Everything that the viewer shows, and what it says about it.

    Attributes
    ----------
    title : str
    folder : Path
        Scene folder, or that of the file; pictures and camera paths are saved in `views/` below.
    cameras : tuple of ShownCamera
        In the order of their names.
    points : (P, 3) float64
        World.
    colors : (P, 3) uint8
    splats : Gaussians or None
        World, NumPy.
    splat_file : Path or None
        Where splats are, or will be once they are trained; None where there can be none.
    metrics_file : Path or None
        Where a training says how far it is.
    display_from_world : Sim3
    metres : bool
        The world's unit is the metre.
    scale_std : float
        Relative standard deviation of the scale; NaN where it is not known.
    level : bool
        The world's z is up.
    notes : tuple of str
        Sentences on what is missing or left out.
    """

    title: str
    folder: Path
    cameras: tuple[ShownCamera, ...]
    points: np.ndarray
    colors: np.ndarray
    splats: Gaussians | None
    splat_file: Path | None
    metrics_file: Path | None
    display_from_world: Sim3
    metres: bool
    scale_std: float
    level: bool
    notes: tuple[str, ...]

    def display_pose(self, world_from_cam: SE3) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) of a camera and its centre (3,) in the display frame."""
        frame = self.display_from_world
        return frame.rotation @ world_from_cam.rotation, frame.act(world_from_cam.translation)

    def world_pose(self, rotation: np.ndarray, centre: np.ndarray) -> SE3:
        """`world_from_cam` of a camera in the display frame, given its `rotation` (3, 3) and `centre` (3,)."""
        frame = self.display_from_world
        return SE3(frame.rotation.T @ rotation, frame.inverse().act(centre))


def load_viewer_scene(path: Path) -> ViewerScene:
    """What there is to show of a scene folder, a COLMAP model, a transforms.json, or a file of points or splats.

    Parameters
    ----------
    path : Path
        Splats are looked for in `splats/splats.ply` of a folder; of one that training made for them alone, its scene is
        shown too.

    Raises
    ------
    FileNotFoundError
        If there is no scene; the message tells what was looked for.
    ValueError
        If a file is corrupt or of another kind, or the scene holds nothing.
    """
    if path.is_file() and holds_splats(path):
        return _alone(path)
    trained = path / SPLATS.name
    if trained.is_file() and not _is_scene(path):
        scene = find_splats(path).scene
        if scene is None:
            return _alone(trained)
        path, root, whole, splat_file = scene, _root(scene), False, trained
    else:
        root = _root(path)
        whole = path == root or path.suffix.lower() == ".json"  # not one model of several, nor a bare cloud
        splat_file = root / SPLATS if whole else None
    there = splat_file is not None and splat_file.is_file()
    notes: list[str] = []
    splats = None
    try:
        model = read_scene(path)
    except FileNotFoundError:
        if not there:
            raise
        model = Reconstruction()
    if splat_file is not None and there:
        try:
            splats = read_splats(splat_file)
        except ValueError as error:
            if not model.registered() and not len(model.points):
                raise
            notes.append(f"the splats are not shown: {error}")
    others = [f for f in (root / "sparse").glob("[1-9]*") if f.name.isdecimal()] if path == root else []
    if others:
        more = f"{len(others)} more models" if len(others) > 1 else "one more model"
        notes.append(f"the scene has {more}: geo3d view {root / 'sparse' / '1'}")
    return _arranged(path, root, model, splats, splat_file, notes)


def _alone(path: Path) -> ViewerScene:
    return _arranged(path, path.parent, Reconstruction(), read_splats(path), path, [])


def _is_scene(folder: Path) -> bool:
    try:
        return bool(find_scene(folder))
    except FileNotFoundError:
        return False


def holds_splats(path: Path) -> bool:
    """Whether a file at `path` is of Gaussians, by its content: a PLY may be a plain cloud."""
    try:
        kind = find_splat_format(path)
    except ValueError:
        return False
    with path.open("rb") as file:
        return kind != "ply" or b"f_dc_0" in file.read(_HEADER).partition(b"end_header")[0]


def _root(path: Path) -> Path:
    """The scene folder that a path is, or is in."""
    folder = path if path.is_dir() else path.absolute().parent
    inside = folder.absolute()
    return next((f.parent for f in (inside, inside.parent) if f.name == "sparse"), folder)


def _arranged(
    path: Path,
    folder: Path,
    model: Reconstruction,
    splats: SplatFile | None,
    splat_file: Path | None,
    notes: list[str],
) -> ViewerScene:
    place = _place(folder, splats if path == splat_file else None)
    points, lost = _finite(model.points)
    model = Reconstruction(model.cameras, model.views, points)
    views = model.registered()
    gaussians = splats.gaussians if splats is not None and len(splats.gaussians) else None
    if not views and not len(points) and gaussians is None:
        raise ValueError(
            f"{path} holds no camera with a pose, no point and no splat: there is nothing to show"
        )
    frame = _display_frame(model, gaussians, place)
    near = np.abs(frame.act(points.xyz)).max(axis=1, initial=0.0) < _FARTHEST
    if lost + (far := int((~near).sum())):
        notes.append(f"{lost + far:,} points that are not finite or absurdly far away are left out")
    xyz, colors = points.xyz[near], points.color[near]
    if len(xyz) > MAX_POINTS:
        notes.append(f"{MAX_POINTS:,} of {len(xyz):,} points are shown")
        kept = np.sort(np.random.default_rng(0).choice(len(xyz), MAX_POINTS, replace=False))
        xyz, colors = xyz[kept], colors[kept]
    cameras = _cameras(model, scene_images(path) if views else None)
    if missing := sum(camera.photo is None for camera in cameras):
        notes.append(f"{missing:,} of {len(cameras):,} photos are not there: their frusta are empty")
    metres, scale_std = _scale(place, path)
    return ViewerScene(
        title=path.absolute().name,
        folder=folder,
        cameras=cameras,
        points=xyz,
        colors=colors,
        splats=gaussians,
        splat_file=splat_file,
        metrics_file=None if splat_file is None else splat_file.with_name("metrics.json"),
        display_from_world=frame,
        metres=metres,
        scale_std=scale_std,
        level=bool(place),
        notes=tuple(notes),
    )


def _place(folder: Path, splats: SplatFile | None) -> dict[str, Any]:
    """What is known of scale and place, under the keys of `georeference.json`; empty where nothing is.

    A file of splats may tell it itself; a scene has the file.
    """
    if splats is None:
        return read_json_object(folder / "georeference.json")
    return {"metres": splats.frame.metric, "origin": splats.frame.origin} if splats.frame.metric else {}


def _finite(points: Points) -> tuple[Points, int]:
    """The points that are finite, and how many are not."""
    good = np.asarray(np.isfinite(points.xyz).all(axis=1))
    return (points, 0) if good.all() else (points.subset(good), int((~good).sum()))


def _display_frame(model: Reconstruction, splats: Gaussians | None, place: dict[str, Any]) -> Sim3:
    """The frame in which a model is shown; of points and splats without cameras z is taken for up."""
    if model.registered():
        north = np.array([0.0, 1.0, 0.0]) if place.get("origin") is not None else None
        up = np.array([0.0, 0.0, 1.0]) if place else estimate_up(model).direction
        shown = upright(model, up, north)
    else:
        xyz = model.points.xyz if splats is None else np.asarray(splats.means, np.float64)
        low, high = np.percentile(xyz, [5, 95], axis=0)
        radius = float(np.linalg.norm(high - low)) / 2
        shown = Upright(np.eye(3), (low + high) / 2, radius)
    scale = REACH / (shown.radius if np.isfinite(shown.radius) and shown.radius > 0 else 1.0)
    return Sim3(np.array(scale), shown.rotation, -scale * shown.rotation @ shown.centre)


def _cameras(model: Reconstruction, images: Path | None) -> tuple[ShownCamera, ...]:
    shapes = {i: _frustum(camera.field_of_view()) for i, camera in model.cameras.items()}
    shown = []
    for view_id in model.registered():
        view = model.views[view_id]
        assert view.cam_from_world is not None
        shown.append(
            ShownCamera(
                view.name,
                view.cam_from_world.inverse(),
                *shapes[view.camera_id],
                _photo(images, view.name),
            )
        )
    return tuple(sorted(shown, key=lambda camera: camera.name))


def _frustum(field_of_view: np.ndarray) -> tuple[float, float]:
    """Vertical angle and aspect of the pyramid that shows a field of view (3,)."""
    across, down = np.clip(field_of_view[:2], 1e-3, _WIDEST_RAD)
    return float(down), float(np.tan(across / 2) / np.tan(down / 2))


def _photo(images: Path | None, name: str) -> Path | None:
    if images is None:
        return None
    try:
        path = path_inside(images, name)
    except ValueError:  # a name that leads out of the folder: a file that is not ours to open
        return None
    return path if path.is_file() else None


def _scale(place: dict[str, Any], path: Path) -> tuple[bool, float]:
    """Whether the unit of a model is the metre, and how well its scale is known, from `georeference.json`."""
    number = int(path.name) if path.absolute().parent.name == "sparse" and path.name.isdecimal() else 0
    models = place.get("models")
    models = models if isinstance(models, list) else []
    found = [m for m in models if isinstance(m, dict) and m.get("sparse") == number]
    if not found:
        return (place.get("metres") is True if number == 0 else False), np.nan
    std = found[0].get("scale_std")
    metres = place.get("metres") is True if number == 0 else found[0].get("source") not in (None, "none")
    return metres, float(std) if isinstance(std, int | float) else np.nan
