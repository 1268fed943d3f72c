"""A mesh from rendered depth, by fusion of truncated signed distances (Curless and Levoy, SIGGRAPH 1996).

Each rendered depth map moves the distance to the surface, kept in voxels near it, towards what it shows; the mesh is
where the mean distance is zero, its colours are the means of what was rendered. The depth is the median one, which at
the edge of an object jumps from it to what is behind, where a mean would lie in between.

Open3D looks a depth up at the whole part of a pixel's coordinates: its pixels reach from one whole number to the next,
as ours do, and the principal point is passed as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.io.ply import PlyMesh, write_ply
from geo3d.io.splat_axes import Y_UP_FROM_WORLD
from geo3d.render.rendering import RenderView
from geo3d.util.files import write_bytes
from geo3d.util.memory import available_bytes
from geo3d.util.progress import Progress
from geo3d.util.require import require

TRUNCATION_VOXELS = 4.0
"""Distance from the surface up to which it is kept, in voxels."""

_LEAST_PART = 1e-3  # of the mesh's triangles, of a connected part that is kept
_LEAST_VIEWS = 2  # that agree on a voxel
_MOST_VOXELS = 4096  # between a camera and what it sees
_BLOCK, _FIRST_BLOCKS = (
    8,
    10_000,
)  # voxels along the side of a block, and blocks that memory is taken for at once
_BLOCK_BYTES = 20 * _BLOCK**3  # distance, weight and colour in float32


def fuse_mesh(
    render_view: RenderView,
    cameras: Sequence[Camera],
    poses: Sequence[SE3],
    voxel: float,
    *,
    max_depth: float = np.inf,
    progress: Progress | None = None,
) -> PlyMesh:
    """Fuse the depth that is rendered at the poses into a mesh.

    Small pieces that hang together with nothing (fewer than a thousandth of the triangles) are left out.

    Parameters
    ----------
    render_view : RenderView
        Has to give `median_depth`, and to render before a black background.
    cameras : sequence of Camera
        PINHOLE, one a pose.
    poses : sequence of SE3
        `cam_from_world`.
    voxel : float
        Edge of a voxel, world units; finer detail is lost, and the memory grows with its inverse square.
    max_depth : float
        Depths beyond it do not count, world units.
    progress : Progress, optional

    Returns
    -------
    PlyMesh
        Points float64 in the world, colours and faces.

    Raises
    ------
    ImportError
        If Open3D is not installed.
    ValueError
        If the numbers of cameras and poses differ, the voxel is not positive or far too small for the scene, or no
        surface is seen.
    """
    if not poses or len(cameras) != len(poses):
        raise ValueError(f"cameras, poses: expected one each, got {len(cameras)} and {len(poses)}")
    if not voxel > 0:
        raise ValueError(f"voxel: expected a length above 0, got {voxel}")
    o3d = require("open3d")
    grid = _voxels(o3d, voxel)
    with (progress or Progress()).stage("fusion", total=len(poses)) as stage:
        for number, (camera, pose) in enumerate(zip(cameras, poses), start=1):
            view = render_view(camera, pose)
            depth = np.asarray(view.median_depth, np.float32)
            depth = np.where((depth > 0) & (depth <= max_depth), depth, np.float32(0))
            if depth.any():
                _check_voxel(depth, voxel, grid.hashmap().size())
                # Before black the colour is alpha times that of the surface.
                color = np.asarray(view.color) / np.maximum(np.asarray(view.alpha), 0.5)[..., None]
                _integrate(o3d, grid, depth, color.astype(np.float32), camera, pose)
            stage.update(number)
    found = _surface(grid, min(_LEAST_VIEWS, len(poses))) if grid.hashmap().size() else None
    if found is None:
        raise ValueError(
            "no surface is seen: there is no depth up to max_depth, or no two views show the same place; try a larger "
            "voxel"
        )
    return found


def _voxels(o3d: Any, voxel: float) -> Any:
    """Blocks of voxels, made where depth is seen."""
    float32 = o3d.core.float32
    return o3d.t.geometry.VoxelBlockGrid(
        attr_names=("tsdf", "weight", "color"),
        attr_dtypes=(float32, float32, float32),
        attr_channels=((1), (1), (3)),
        voxel_size=voxel,
        block_resolution=_BLOCK,
        block_count=_FIRST_BLOCKS,
        device=o3d.core.Device("CPU:0"),
    )


def _surface(grid: Any, views: int) -> PlyMesh | None:
    """Where the distance is zero, of voxels that so many views saw; None where there is nothing."""
    mesh = grid.extract_triangle_mesh(views - 0.5).to_legacy()
    part, counts, _ = mesh.cluster_connected_triangles()
    counts = np.asarray(counts)
    if not len(counts):
        return None
    mesh.remove_triangles_by_mask((counts < _LEAST_PART * counts.sum())[np.asarray(part)])
    mesh.remove_unreferenced_vertices()
    colors = (np.clip(np.asarray(mesh.vertex_colors), 0, 1) * 255 + 0.5).astype(np.uint8)
    return PlyMesh(np.array(mesh.vertices), colors, None, np.asarray(mesh.triangles).astype(np.int64))


def _integrate(o3d: Any, grid: Any, depth: np.ndarray, color: np.ndarray, camera: Camera, pose: SE3) -> None:
    """Put one view into the voxels."""
    if camera.model not in ("PINHOLE", "SIMPLE_PINHOLE"):
        raise ValueError(f"cameras: expected PINHOLE, got {camera.model}")
    image, lens = o3d.t.geometry.Image, o3d.core.Tensor(camera.K)
    shown, place = image(o3d.core.Tensor(np.ascontiguousarray(depth))), o3d.core.Tensor(pose.matrix4())
    far = float(depth.max()) * 1.001
    blocks = grid.compute_unique_block_coordinates(shown, lens, place, 1.0, far, TRUNCATION_VOXELS)
    colored = image(o3d.core.Tensor(np.ascontiguousarray(color)))
    grid.integrate(blocks, shown, colored, lens, place, 1.0, far, TRUNCATION_VOXELS)


def _check_voxel(depth: np.ndarray, voxel: float, blocks: int) -> None:
    """Refuse a voxel with which the memory would be full before the scene is."""
    reach = float(np.percentile(depth[depth > 0], 95))
    free = available_bytes()
    # The table of blocks is copied to one of twice the size when it is full.
    full = free is not None and 2 * blocks * _BLOCK_BYTES > free
    if full or reach > _MOST_VOXELS * voxel:
        raise ValueError(
            f"voxel: {voxel:g} is too small for what is seen up to {reach:.3g} away"
            + (f" and the {free / 2**30:.1f} GiB of memory" if full and free is not None else "")
            + f"; give at least {max(reach / _MOST_VOXELS, 2 * voxel if full else 0.0):.2g}, or a smaller max_depth"
        )


def write_mesh(path: str | os.PathLike, mesh: PlyMesh) -> None:
    """Write a mesh with colours as PLY or GLB, atomically.

    A PLY has the numbers of the world. In a GLB y is up: the node holds the rotation from a world with z up, and the
    colours are linear, as glTF asks for it.

    Parameters
    ----------
    path : path-like
        Ends in .ply or .glb.
    mesh : PlyMesh

    Raises
    ------
    ValueError
        If the suffix is another, or the mesh has no faces.
    ImportError
        For GLB, if trimesh is not installed.
    """
    path = Path(path)
    if mesh.faces is None:
        raise ValueError("mesh: expected faces, got points only")
    if path.suffix.lower() == ".ply":
        write_ply(path, mesh.points, mesh.colors, mesh.normals, mesh.faces)
        return
    if path.suffix.lower() != ".glb":
        raise ValueError(f"{path}: a mesh is written as .ply or .glb")
    trimesh = require("trimesh")
    colors = None if mesh.colors is None else _linear(mesh.colors)
    body = trimesh.Trimesh(mesh.points, mesh.faces, vertex_colors=colors, process=False)
    turn = np.eye(4)
    turn[:3, :3] = Y_UP_FROM_WORLD
    scene = trimesh.Scene()
    scene.add_geometry(body, transform=turn)
    write_bytes(path, scene.export(file_type="glb"))


def _linear(colors: np.ndarray) -> np.ndarray:
    """Linear values of sRGB bytes, as bytes. IEC 61966-2-1."""
    value = np.arange(256) / 255.0
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return (255.0 * table + 0.5).astype(np.uint8)[colors]
