"""Density grids and meshes of fields whose density is known."""

import numpy as np
import pytest

from geo3d.nerf import surface
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.field_parameters import FieldShape, initial_parameters
from geo3d.nerf.model import NerfModel
from geo3d.nerf.occupancy import MarchOptions
from geo3d.nerf.surface import density_grid, field_mesh, write_density

CENTER, SIDE, RADIUS = np.array([1.0, -2.0, 0.5]), 4.0, 1.2
SHAPE = FieldShape(levels=2, log2_entries=8, coarsest=4, finest=8)


class Ball:
    """In the place of a CpuField: dense within a ball, a face towards +x red, others green."""

    unbounded = False
    dense = 1e4

    def __init__(self, shape, parameters):
        pass

    def density(self, unit):
        world = SceneBox(tuple(CENTER), SIDE, self.unbounded).world_points(unit.astype(np.float64))
        inside = RADIUS - np.linalg.norm(world - CENTER, axis=1)
        return (self.dense / (1 + np.exp(-40 * inside))).astype(np.float32)

    def forward(self, unit, directions, keep):
        red = (directions[:, 0] < -0.5).astype(np.float32)
        return self.density(unit), np.stack([red, 1 - red, np.zeros_like(red)], axis=1)


@pytest.fixture(params=[False, True])
def ball(request, monkeypatch):
    monkeypatch.setattr(surface, "CpuField", Ball)
    monkeypatch.setattr(Ball, "unbounded", request.param)
    box = SceneBox(tuple(CENTER), SIDE, request.param)
    return NerfModel(
        SHAPE,
        initial_parameters(SHAPE),
        box,
        0.0,
        100.0,
        MarchOptions(1 / 64),
        np.full(32**3, -1, np.float32),
        0.01,
    )


def test_the_grid_has_the_density_at_the_middles_of_its_voxels(ball, tmp_path):
    grid = density_grid(ball, 0.25)
    assert grid.density.shape == (16, 16, 16) and grid.voxel == 0.25
    np.testing.assert_allclose(grid.origin, CENTER - SIDE / 2 + 0.125)
    i, j, k = 8, 9, 4
    at = grid.origin + 0.25 * np.array([i, j, k])
    expected = Ball.dense / SIDE / (1 + np.exp(-40 * (RADIUS - np.linalg.norm(at - CENTER))))
    assert grid.density[i, j, k] == pytest.approx(expected, rel=1e-3)
    write_density(tmp_path / "d.npz", grid)
    with np.load(tmp_path / "d.npz") as read:
        np.testing.assert_array_equal(read["density"], grid.density)
        assert read["voxel"] == 0.25


def test_the_mesh_is_the_ball_closed_and_coloured_from_outside(ball):
    mesh = field_mesh(ball, density_grid(ball, 0.1))
    away = np.linalg.norm(mesh.points - CENTER, axis=1)
    # Where a voxel takes half of the light is outside of the ball's radius by what the edge is soft.
    assert np.ptp(away) < 0.1 and abs(np.median(away) - RADIUS) < 0.25
    edges = np.sort(
        np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1
    )
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    outwards = (mesh.points - CENTER) / away[:, None]
    assert (np.einsum("ni,ni->n", mesh.normals, outwards) > 0.8).all()
    a, b, c = (mesh.points[mesh.faces[:, k]] for k in range(3))
    assert (np.einsum("ni,ni->n", np.cross(b - a, c - a), a - CENTER) > 0).mean() > 0.99
    assert (mesh.colors[outwards[:, 0] > 0.8] == [255, 0, 0]).all()
    assert (mesh.colors[outwards[:, 0] < 0.2] == [0, 255, 0]).all()


def test_mist_and_voxels_that_cannot_be_are_refused(ball, monkeypatch):
    with pytest.raises(ValueError, match="voxel"):
        density_grid(ball, 0.0)
    with pytest.raises(ValueError, match="at most"):
        density_grid(ball, 1e-5)
    monkeypatch.setattr(Ball, "dense", 0.1)
    with pytest.raises(ValueError, match="mist"):
        field_mesh(ball, density_grid(ball, 0.2))
