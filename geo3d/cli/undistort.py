"""`geo3d undistort PHOTOS --calib FILE -o OUT` or `geo3d undistort SCENE -o OUT`: photos without lens distortion, and
of a scene the model for them: a COLMAP workspace for programs that know no distortion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    OptionalNumber,
    OptionalPath,
    OptionalSize,
    Session,
    UsageError,
    existing_file,
    existing_folder,
)
from geo3d.cli.inspect import model_paths

if TYPE_CHECKING:
    from geo3d.cameras import Camera
    from geo3d.io import UndistortedScene
    from geo3d.scene import Reconstruction

_LONGEST_SIDE = 32_766  # of an image that OpenCV resamples


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Photos without lens distortion, as a pinhole camera takes them.

    geo3d undistort photos/ --calib calib/camera.json -o flat/

    geo3d undistort scene/ -o flat/

    Of a folder of photos it writes the photos and camera.json, their new camera, to be given as --calib; of a scene
    OUT/images and OUT/sparse with PINHOLE cameras.
    """

    source: Annotated[Path, tyro.conf.Positional, arg(metavar="PHOTOS|SCENE")]
    """Folder of photos, with --calib; or a scene made by `geo3d reconstruct` or COLMAP, with images/ and sparse/."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder to make."""

    calib: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """File with the calibration of the camera that took the photos; a scene has its own."""

    alpha: Annotated[OptionalNumber, arg(metavar="A", help_behavior_hint="(default: 0)")] = None
    """0: no blank pixels; 1: all that the lens saw, up to 70 degrees to each side; or between."""

    size: Annotated[
        OptionalSize, arg(help_behavior_hint="(default: the resolution of the middle is kept)")
    ] = None
    """Size of the new photos."""

    same_k: bool = False
    """Keep size, focal length and optical centre of the camera, whatever is blank or cut off then."""

    crop: bool = False
    """Cut to the largest rectangle without blank pixels."""


def run(options: Options, session: Session) -> int:
    """Write the folder; it is there whole or not at all."""
    _check(options)
    if options.calib is not None:
        return _run_photos(options, options.calib, session)
    return _run_scene(options, session)


def _check(options: Options) -> None:
    """Raise UsageError where the options do not fit each other or what is there."""
    existing_folder(options.source, "the folder of photos" if options.calib else "the scene")
    is_scene = all((options.source / part).is_dir() for part in ("images", "sparse"))
    if options.calib is not None:
        existing_file(
            options.calib, "--calib", "a file with the calibration (.json, .yml, .xml, .txt, .bin, ...)"
        )
        if is_scene:
            raise UsageError(
                f"{options.source} is a scene, which has its own cameras: leave out --calib, or give "
                f"{options.source / 'images'} as the photos"
            )
        if options.out.resolve().is_relative_to(options.source.resolve()):
            raise UsageError(f"-o {options.out} is inside of the folder of photos; give another")
    elif not (options.source / "images").is_dir():
        raise UsageError(
            f"{options.source} has no images/: give a scene folder (not one of its models), or for a folder of photos "
            "--calib FILE, as `geo3d calibrate` writes it"
        )
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise UsageError(f"-o {options.out} is there and not empty; give a new folder")
    if options.alpha is not None and not 0.0 <= options.alpha <= 1.0:
        raise UsageError(
            f"--alpha {options.alpha:g}: expected a number from 0 (no blank pixels) to 1 (all that the lens saw)"
        )
    if options.size is not None and not all(0 < side <= _LONGEST_SIDE for side in options.size):
        raise UsageError(
            f"--size {options.size[0]}x{options.size[1]}: expected from 1 to {_LONGEST_SIDE} pixels a side"
        )
    for flag, value in (("--alpha", options.alpha), ("--size", options.size)):
        if options.same_k and value is not None:
            raise UsageError(f"--same-k says size and focal length: leave out {flag}, or --same-k")


def _pinhole(options: Options, camera: Camera) -> Camera:
    """The camera of the new photos."""
    from geo3d.cameras import pinhole_for, pinhole_like, undistort_map, valid_rectangle

    found = (
        pinhole_like(camera) if options.same_k else pinhole_for(camera, options.alpha or 0.0, options.size)
    )
    if max(found.width, found.height) > _LONGEST_SIDE:
        raise ValueError(
            f"the new photos would have {found.width}x{found.height} pixels, more than {_LONGEST_SIDE} a side; give a "
            "smaller --alpha, or --size"
        )
    if options.crop:
        left, top, width, height = valid_rectangle(undistort_map(camera, found), camera.width, camera.height)
        found = found.cropped(left, top, width, height)
    return found


def _run_photos(options: Options, calib: Path, session: Session) -> int:
    from geo3d.cameras import undistort_map, valid_rectangle
    from geo3d.images import readable_sizes, undistort_photos
    from geo3d.io import read_calibration, write_camera_json
    from geo3d.util.files import atomic_path

    sizes, _ = readable_sizes(options.source)
    camera = read_calibration(calib, max(sizes.values()))
    with atomic_path(options.out) as folder:
        folder.mkdir()
        with session.progress.stage("undistort", total=len(sizes)) as stage:
            done = undistort_photos(
                options.source,
                folder,
                camera,
                lambda source: _pinhole(options, source),
                lambda count, total, name: stage.update(count, total, name),
            )
        write_camera_json(folder / "camera.json", done.camera)
        source, target = done.source, done.camera
        left, top, width, height = valid_rectangle(undistort_map(source, target), source.width, source.height)
    for name, reason in done.skipped.items():
        session.progress.warn(f"{name} is left out: {reason}")
    session.say(
        f"{options.out}: {len(done.names)} photos of {target.width}x{target.height}, {_view(source, target)}"
    )
    if done.resized:
        session.say(
            f"{len(done.resized)} were of another size, e.g. {done.resized[0]}; the new ones are all of one."
        )
    if (width, height) == (target.width, target.height):
        session.say("The lens saw every pixel of them.")
    else:
        session.say(
            f"The lens saw every pixel of the {width}x{height} from ({left}, {top}) on; the rest is blank in part"
            + ("" if options.crop else ", and --crop cuts it off")
            + "."
        )
    session.say(f"Their camera: --calib {options.out / 'camera.json'}")
    session.result(
        out=str(options.out),
        photos=len(done.names),
        width=target.width,
        height=target.height,
        params=dict(zip(target.param_names, target.params.tolist())),
        valid=[left, top, width, height],
        resized=done.resized,
        skipped=done.skipped,
    )
    return 0


def _view(source: Camera, target: Camera) -> str:
    """How wide the new photos are, and the lens."""
    (across, down, _), (all_across, all_down, _) = (np.degrees(c.field_of_view()) for c in (target, source))
    return (
        f"{across:.0f} by {down:.0f} degrees (the lens: {all_across:.0f} by {all_down:.0f} along its middle)"
    )


def _run_scene(options: Options, session: Session) -> int:
    from geo3d.io import read_colmap, undistort_scene, write_colmap
    from geo3d.util.files import atomic_path, write_bytes

    models = [read_colmap(path) for path in model_paths(options.source)]
    count = sum(len(model.registered()) for model in models)
    with atomic_path(options.out) as folder:
        made = [undistort_scene(model, lambda camera: _pinhole(options, camera)) for model in models]
        for number, scene in enumerate(made):
            write_colmap(scene.reconstruction, folder / "sparse" / str(number))
        place = options.source / "georeference.json"
        if place.is_file():  # the world stays the same
            write_bytes(folder / place.name, place.read_bytes())
        with session.progress.stage("undistort", total=count) as stage:
            for model, scene in zip(models, made):
                for name in _write_photos(model, scene, options.source / "images", folder / "images"):
                    stage.update(stage.done + 1, text=name)
    session.say(f"{options.out}: {count} photos, PINHOLE cameras in sparse/0")
    points = sum(scene.dropped_points for scene in made)
    observations = sum(scene.dropped_observations for scene in made)
    if observations:
        session.say(
            f"The new photos show less than the lens saw: {observations:,} observations and {points:,} points are "
            "left out of the model."
        )
    session.result(
        out=str(options.out),
        photos=count,
        models=len(models),
        dropped_observations=observations,
        dropped_points=points,
    )
    return 0


def _write_photos(
    model: Reconstruction, scene: UndistortedScene, source: Path, target: Path
) -> Iterator[str]:
    """Write the registered photos of a model, camera by camera; yields the name of each."""
    from geo3d.cameras import undistort_map
    from geo3d.images import undistort_photo
    from geo3d.util.files import path_inside
    from geo3d.util.threads import map_threads

    names: dict[int, list[str]] = {}
    for view_id in model.registered():
        names.setdefault(model.views[view_id].camera_id, []).append(model.views[view_id].name)
    for camera_id in sorted(names):
        camera = model.cameras[camera_id]
        places = undistort_map(camera, scene.reconstruction.cameras[camera_id])

        def one(name: str, camera: Camera = camera, places: np.ndarray = places) -> str:
            size = camera.width, camera.height
            undistort_photo(path_inside(source, name), path_inside(target, name), size, places)
            return name

        yield from map_threads(one, names[camera_id])
