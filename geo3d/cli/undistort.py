"""`geo3d undistort SCENE -o OUT`: a COLMAP workspace of pinhole photos, for programs that know no lens distortion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, Session, UsageError, existing_folder
from geo3d.cli.inspect import model_paths

if TYPE_CHECKING:
    from geo3d.scene import Reconstruction, View

_JPEG_QUALITY = 95


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Photos and model without lens distortion: OUT/images and OUT/sparse/0 with PINHOLE cameras."""

    scene: Annotated[Path, tyro.conf.Positional, arg(metavar="SCENE")]
    """Scene folder made by `geo3d reconstruct`, or a COLMAP workspace with images/ and sparse/."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder to make."""


def run(options: Options, session: Session) -> int:
    """Write the workspace; it is there whole or not at all."""
    existing_folder(options.scene, "the scene")
    if not (options.scene / "images").is_dir():
        raise UsageError(f"{options.scene} has no images/: give the scene folder, not one of its models")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise UsageError(f"-o {options.out} is there and not empty; give a new folder")
    from geo3d.io import read_colmap, undistort_scene, write_colmap
    from geo3d.util.files import atomic_path
    from geo3d.util.threads import map_threads

    models = [read_colmap(path) for path in model_paths(options.scene)]
    with atomic_path(options.out) as folder:
        made = [undistort_scene(model) for model in models]
        for number, scene in enumerate(made):
            write_colmap(scene.reconstruction, folder / "sparse" / str(number))
        views = [(model, model.views[i]) for model in models for i in model.registered()]
        with session.progress.stage("undistort", total=len(views)) as stage:
            work = map_threads(
                lambda pair: _write_photo(*pair, options.scene / "images", folder / "images"), views
            )
            for done, name in enumerate(work, start=1):
                stage.update(done, text=name)
    session.say(f"{options.out}: {len(views)} photos, PINHOLE cameras in sparse/0")
    points = sum(scene.dropped_points for scene in made)
    observations = sum(scene.dropped_observations for scene in made)
    if observations:
        session.say(
            f"The new photos show less than the lens saw: {observations:,} observations and {points:,} points are "
            "left out of the model."
        )
    session.result(
        out=str(options.out),
        photos=len(views),
        models=len(models),
        dropped_observations=observations,
        dropped_points=points,
    )
    return 0


def _write_photo(model: Reconstruction, view: View, source: Path, target: Path) -> str:
    from PIL import Image

    from geo3d.cameras import undistort_image
    from geo3d.images import read_image
    from geo3d.util.files import path_inside
    from geo3d.util.require import require

    require("cv2").setNumThreads(1)
    image = undistort_image(read_image(path_inside(source, view.name)), model.cameras[view.camera_id])
    path = path_inside(target, view.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=_JPEG_QUALITY)
    return view.name
