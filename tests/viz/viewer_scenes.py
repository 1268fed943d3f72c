"""Small scenes for the tests of the viewer."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from geo3d.cameras import Camera
from geo3d.io import write_colmap, write_splat_ply
from geo3d.scene import Gaussians, Reconstruction
from geo3d.synthetic import make_scene

CAMERA = Camera("PINHOLE", 80, 60, [70.0, 70.0, 40.0, 30.0])
PHOTO_COLOR = (200, 30, 160)


def write_scene_folder(
    folder: Path, views: int = 5, points: int = 120, photos: bool = True, place: dict | None = None
) -> Reconstruction:
    """A COLMAP workspace; its photos are of one colour. `place` is what georeference.json holds."""
    model = make_scene(views=views, points=points, camera=CAMERA).reconstruction
    write_colmap(model, folder / "sparse" / "0")
    if photos:
        (folder / "images").mkdir()
        for view in model.views.values():
            Image.new("RGB", (CAMERA.width, CAMERA.height), PHOTO_COLOR).save(folder / "images" / view.name)
    if place is not None:
        (folder / "georeference.json").write_text(json.dumps(place))
    return model


def ball(
    count: int = 1, center: tuple[float, float, float] = (0.0, 0.0, 0.0), size: float = 0.2
) -> Gaussians:
    """Round red Gaussians, nearly opaque."""
    return Gaussians(
        np.tile(np.float32(center), (count, 1)),
        np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        np.full((count, 3), np.log(size), np.float32),
        np.full(count, 5.0, np.float32),
        np.tile(np.float32([1.5, -1.5, -1.5]), (count, 1, 1)),
    )


def write_splats(folder: Path, gaussians: Gaussians) -> None:
    """As a training does."""
    write_splat_ply(folder / "splats" / "splats.ply", gaussians)
