"""The density of a field on a regular grid, and the surface in it as a mesh with colours.

Marching cubes (Lorensen and Cline, SIGGRAPH 1987; the variant of Lewiner et al. 2003 of scikit-image) at the density
at which a voxel takes half of the light:

    1 - exp(-density voxel) = 1/2

The colour of a vertex is that of the field there, seen from outside along the normal.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from geo3d.io.ply import PlyMesh
from geo3d.nerf.cpu_field import CpuField
from geo3d.nerf.model import NerfModel
from geo3d.util.files import atomic_path
from geo3d.util.memory import available_bytes
from geo3d.util.progress import Progress
from geo3d.util.require import require

DEFAULT_CELLS = 256
"""Voxels along an edge of the box where none are told."""

_AT_ONCE = 1 << 17
_MOST_CELLS = 2048
_BYTES = 32  # a voxel: its density, and what marching cubes takes beside
_LEAST_PART = 1e-3  # of the mesh's triangles, of a connected part that is kept


@dataclass(frozen=True, eq=False)
class DensityGrid:
    """Densities at the middles of voxels.

    Attributes
    ----------
    density : (X, Y, Z) float32
        Per world unit.
    origin : (3,) float64
        Middle of the first voxel, world.
    voxel : float
        Edge of a voxel, world units.
    """

    density: np.ndarray
    origin: np.ndarray
    voxel: float


def density_grid(
    model: NerfModel, voxel: float | None = None, progress: Progress | None = None
) -> DensityGrid:
    """The density inside of the box of a field; of an unbounded scene that is the part that is not contracted.

    Parameters
    ----------
    model : NerfModel
    voxel : float, optional
        Edge of a voxel, world units; by default `DEFAULT_CELLS` of them along an edge of the box.
    progress : Progress, optional

    Raises
    ------
    ValueError
        If the voxel is not positive, or so small that the grid does not fit into the memory.
    """
    side = model.box.side
    voxel = side / DEFAULT_CELLS if voxel is None else voxel
    if not 0 < voxel <= side:
        raise ValueError(f"voxel: expected a length above 0 and up to {side:.3g}, got {voxel:g}")
    cells = int(np.ceil(side / voxel))
    free = available_bytes()
    most = _MOST_CELLS if free is None else min(_MOST_CELLS, int((0.5 * free / _BYTES) ** (1 / 3)))
    if cells > most:
        raise ValueError(
            f"voxel: {voxel:.3g} makes {cells} cells along an edge, and at most {most} can be had; take "
            f"{side / most:.3g}"
        )
    field, grid = CpuField(model.shape, model.parameters), model.grid()
    places = (
        (np.arange(cells) + 0.5) * voxel + (np.asarray(model.box.center)[:, None] - cells * voxel / 2)
    ).T
    found = np.zeros((cells, cells, cells), np.float32)
    with (progress or Progress()).stage("density", total=cells) as stage:
        for i in range(cells):
            y, z = np.meshgrid(places[:, 1], places[:, 2], indexing="ij")
            world = np.stack([np.full(y.size, places[i, 0]), y.ravel(), z.ravel()], axis=1)
            unit = model.box.unit_positions(world).astype(np.float32)
            at = np.clip((unit * grid.resolution).astype(np.int64), 0, grid.resolution - 1)
            rows = np.flatnonzero(grid.occupied[at[:, 0], at[:, 1], at[:, 2]])
            plane = found[i].reshape(-1)
            for first in range(0, len(rows), _AT_ONCE):
                part = rows[first : first + _AT_ONCE]
                plane[part] = field.density(unit[part]) / side
            stage.update(i + 1)
    return DensityGrid(found, places[0].copy(), voxel)


def write_density(path: str | os.PathLike, grid: DensityGrid) -> None:
    """Write a grid as .npz: `density`, `origin`, `voxel`.

    Parameters
    ----------
    path : path-like
    grid : DensityGrid
    """
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, density=grid.density, origin=grid.origin, voxel=np.array(grid.voxel))


def field_mesh(model: NerfModel, grid: DensityGrid) -> PlyMesh:
    """The surface of a field.

    Pieces that hang together with nothing (fewer than a thousandth of the triangles) are left out.

    Parameters
    ----------
    model : NerfModel
    grid : DensityGrid
        Of the model.

    Returns
    -------
    PlyMesh
        Points float64 in the world, unit normals, colours and faces.

    Raises
    ------
    ValueError
        If nothing in the box is dense enough.
    ImportError
        If scikit-image is not installed.
    """
    level = np.log(2.0) / grid.voxel
    # A border of nothing closes the surface; in log1p the density is nearly linear, and the surface smooth.
    padded = np.pad(np.log1p(grid.density * grid.voxel), 1)
    if not padded.max() > np.log1p(level * grid.voxel):
        raise ValueError(
            "the field is mist: nothing in its box takes half of the light within a voxel; train longer, or take "
            "larger voxels"
        )
    points, faces, normals, _ = require("skimage.measure").marching_cubes(
        padded, np.log1p(level * grid.voxel), gradient_direction="descent"
    )
    points, faces, normals = _large_parts(points, faces, normals)
    world = (points - 1.0) * grid.voxel + grid.origin
    return PlyMesh(
        world, _colors(model, world, normals), normals.astype(np.float64), faces[:, ::-1].astype(np.int64)
    )


def _large_parts(
    points: np.ndarray, faces: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    linked = coo_array((np.ones(len(edges), bool), edges.T), shape=(len(points), len(points)))
    part = connected_components(linked, directed=False)[1]
    size = np.bincount(part[faces[:, 0]], minlength=part.max() + 1)
    kept = size[part] >= max(1.0, _LEAST_PART * len(faces))
    number = np.cumsum(kept) - 1
    return points[kept], number[faces[kept[faces[:, 0]]]], normals[kept]


def _colors(model: NerfModel, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(N, 3) uint8."""
    field = CpuField(model.shape, model.parameters)
    unit = model.box.unit_positions(points).astype(np.float32)
    inwards = np.ascontiguousarray(-normals, np.float32)
    colors = np.empty((len(points), 3), np.uint8)
    for first in range(0, len(points), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        _, color = field.forward(unit[part], inwards[part], keep=False)
        colors[part] = np.clip(color, 0.0, 1.0) * 255.0 + 0.5
    return colors
