"""`geo3d export SCENE --format mesh`: a surface from the depth of splats, rendered where the photos were taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo3d.cli.common import Session
from geo3d.scene import Gaussians

if TYPE_CHECKING:
    from geo3d.cameras import Camera
    from geo3d.geometry import SE3
    from geo3d.render import RenderView

_MOST_VIEWS = 100
_LONGEST_SIDE = 640  # of the rendered depth, pixels
_SCOUTS = 6  # views that tell how far away things are
_VOXEL_PIXELS = 1.5  # what a voxel covers at the typical depth
_FAR = 3.0  # times the typical depth: what is beyond is background


@dataclass(frozen=True)
class Mesh:
    """What was written."""

    points: int
    faces: int
    voxel: float


def export_mesh(
    scene: Path, target: Path, gaussians: Gaussians, voxel: float | None, session: Session
) -> Mesh:
    """Fuse the depth of `gaussians`, seen from the photos of `scene`, and write the mesh to `target` (.glb or .ply).

    Raises
    ------
    ValueError
        If the scene has no poses, or no surface is seen.
    ImportError
        If Open3D is missing.
    """
    from geo3d.cli.render_paths import read_poses
    from geo3d.render import fuse_mesh, path_camera, write_mesh
    from geo3d.splat import RenderOptions, render

    known = read_poses(scene)
    camera = path_camera(known.camera)
    shrink = min(1.0, _LONGEST_SIDE / max(camera.width, camera.height))
    camera = camera.rescaled(max(1, round(camera.width * shrink)), max(1, round(camera.height * shrink)))
    rows = np.linspace(0, len(known.poses) - 1, min(len(known.poses), _MOST_VIEWS)).round().astype(int)
    poses = [known.poses[i] for i in rows]
    settings = RenderOptions(depth=True)

    def view(camera: Camera, pose: SE3):
        return render(gaussians, camera, pose, settings)

    depth = _typical_depth(view, camera, poses)
    voxel = voxel or _VOXEL_PIXELS * depth / float(np.mean(camera.focal))
    mesh = fuse_mesh(
        view, [camera] * len(poses), poses, voxel, max_depth=_FAR * depth, progress=session.progress
    )
    write_mesh(target, mesh)
    return Mesh(len(mesh.points), 0 if mesh.faces is None else len(mesh.faces), voxel)


def _typical_depth(view: RenderView, camera: Camera, poses: list[SE3]) -> float:
    """Median of the depth in a few views.

    Raises
    ------
    ValueError
        If they see nothing.
    """
    rows = np.linspace(0, len(poses) - 1, min(len(poses), _SCOUTS)).round().astype(int)
    depths = np.concatenate([np.ravel(np.asarray(view(camera, poses[i]).median_depth)) for i in rows])
    if not (depths > 0).any():
        raise ValueError("the splats are not seen where the photos were taken; are they of this scene?")
    return float(np.median(depths[depths > 0]))
