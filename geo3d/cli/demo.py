"""`geo3d demo`: the whole job on a made-up place, whose truth is known, so that the result can be judged."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from geo3d.cli.common import FAILURE, Common, Session, UsageError
from geo3d.cli.reconstruct import show_outcome

if TYPE_CHECKING:
    from geo3d.scene import Reconstruction

PHOTOS = 16
QUALITY = "low"  # enough for photos of 800 x 600, and it keeps the demo short


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Photograph a made-up place, reconstruct it, and compare with the truth. Needs no data and no network."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("geo3d-demo")
    """Folder to make."""


@dataclass(frozen=True)
class Comparison:
    """A reconstruction laid over the truth by the similarity that fits the camera centres best."""

    photos: int
    registered: int
    mean_position_cm: float
    max_position_cm: float
    mean_rotation_deg: float
    focal_px: float
    true_focal_px: float


def compare(model: Reconstruction, truth: Reconstruction) -> Comparison:
    """Errors of the poses and the focal length of `model` against `truth`, whose unit is the metre."""
    import numpy as np

    from geo3d.geometry import rotation_angle, umeyama

    true_poses = {view.name: view.cam_from_world for view in truth.views.values()}
    views = [model.views[i] for i in model.registered()]
    pairs = [(v.cam_from_world, true_poses[v.name]) for v in views]
    centres, true_centres = (np.array([p.center() for p in side if p is not None]) for side in zip(*pairs))
    truth_from_model = umeyama(centres, true_centres)
    off = np.linalg.norm(truth_from_model.act(centres) - true_centres, axis=1)
    turned = [
        rotation_angle(p.rotation @ truth_from_model.rotation.T @ q.rotation.T) for p, q in pairs if p and q
    ]
    camera, true_camera = model.cameras[views[0].camera_id], next(iter(truth.cameras.values()))
    return Comparison(
        photos=len(true_poses),
        registered=len(views),
        mean_position_cm=100 * float(off.mean()),
        max_position_cm=100 * float(off.max()),
        mean_rotation_deg=float(np.degrees(np.mean(turned))),
        focal_px=camera.mean_focal * true_camera.width / camera.width,
        true_focal_px=true_camera.mean_focal,
    )


def kept_after_interrupt(options: Options) -> str:
    """What Ctrl-C leaves behind."""
    return f"What was finished is kept in {options.out}; run the same command again to go on from there."


def run(options: Options, session: Session) -> int:
    """Render, reconstruct, compare, and say what to look at."""
    folder = options.out
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder} is a file; give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "photos").is_dir():
        raise UsageError(f"-o {folder} holds other things; give a new folder")
    start = time.monotonic()
    session.say(f"geo3d demo, everything goes to {folder}/")
    session.say("The first run compiles its numerical kernels, once; later runs are faster.")
    from geo3d.io import read_colmap
    from geo3d.options import ReconstructOptions
    from geo3d.pipeline import reconstruct
    from geo3d.synthetic import HabitatOptions, render_habitat

    session.say(f"\n1. {PHOTOS} photos of a made-up place: a hut on a meadow, seen from a drone")
    if not (folder / "truth" / "images.txt").exists():
        render_habitat(folder / "photos", HabitatOptions(photos=PHOTOS), session.progress, folder / "truth")
    session.say("\n2. Reconstruct it from the photos alone, as `geo3d reconstruct` does with yours")
    report = reconstruct(
        folder / "photos", folder / "scene", ReconstructOptions(quality=QUALITY), session.progress
    )
    show_outcome(report, session)
    result = compare(report.components[0], read_colmap(folder / "truth"))
    session.say("\n3. Compare with the truth, which only a made-up place has")
    session.say(f"   photos placed      {result.registered} of {result.photos}")
    session.say(
        f"   camera positions   off by {result.mean_position_cm:.1f} cm on average, {result.max_position_cm:.1f} cm "
        "at most; the drone flies 12 to 15 m above the meadow"
    )
    session.say(f"   directions         off by {result.mean_rotation_deg:.3f} degrees on average")
    session.say(f"   focal length       {result.focal_px:.1f} px, in truth {result.true_focal_px:.1f} px")
    session.say(f"\nDone in {time.monotonic() - start:.0f} s. Look at")
    places = {
        folder / "photos": "the photos",
        folder / "scene" / "report.html": "open it in a browser: map, photos, errors",
        folder / "scene" / "points.ply": "the points, for MeshLab or CloudCompare",
    }
    width = max(len(str(path)) for path in places)
    for path, text in places.items():
        session.say(f"   {path!s:<{width}}  {text}")
    session.say("Then your own: geo3d reconstruct my-photos/ -o my-scene/")
    session.result(folder=str(folder), seconds=round(time.monotonic() - start, 1), **asdict(result))
    return 0 if result.registered == result.photos else FAILURE
