"""Rays: the hierarchy finds what trying every patch finds; the ground is hit on its surface and not before."""

import numpy as np
import pytest

from geo3d.synthetic.patches import box, icosphere, join, patches
from geo3d.synthetic.terrain import CELL, ORIGIN, make_terrain
from geo3d.synthetic.tracing import (
    FAR,
    STACK,
    build_hierarchy,
    ground_height,
    hit_ground,
    hit_patches,
    hit_patches_reference,
)


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(0)
    parts = [
        patches(rng.uniform(-3, 3, (60, 3)), *rng.normal(0, 0.6, (2, 60, 3)), [0.5, 0.5, 0.5], shape, 0)
        for shape in (0, 1, 2)
    ]
    things = join([*parts, box([-1, -1, -1], [2, 0, 0], [0, 2, 0], [0, 0, 2], [0.5] * 3)]).rounded()
    nodes, order = build_hierarchy(*things.bounds())
    frames = np.concatenate([things.p, things.a, things.b], axis=1)[order].astype(np.float32)
    kinds = np.stack([things.shape, things.material], axis=1)[order].astype(np.int32)
    return frames, kinds, nodes


def test_hierarchy_and_reference_find_the_same_nearest_patch(cloud):
    rng = np.random.default_rng(1)
    stack = np.empty(STACK, np.int64)
    hits = 0
    for _ in range(300):
        origin, direction = rng.uniform(-5, 5, 3), rng.standard_normal(3)
        t, row, _, _ = hit_patches(*cloud, *origin, *direction, FAR, False, stack)
        expected, expected_row = hit_patches_reference(*cloud[:2], origin, direction)
        blocked = hit_patches(*cloud, *origin, *direction, FAR, True, stack)[1] >= 0
        assert blocked == np.isfinite(expected)
        if np.isfinite(expected):
            hits += 1
            assert row == expected_row
            np.testing.assert_allclose(t, expected, rtol=1e-9)
        else:
            assert row == -1
    assert 30 < hits < 290


def test_a_ray_meets_the_ground_on_its_surface_and_not_before():
    terrain = make_terrain(0)
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        origin = np.array([*rng.uniform(-80, 80, 2), rng.uniform(25, 60)])
        direction = np.array([*rng.standard_normal(2), -rng.uniform(0.05, 2)])
        direction /= np.linalg.norm(direction)
        t = hit_ground(terrain.heights, terrain.blocks, ORIGIN, CELL, *origin, *direction)
        before = origin + np.linspace(0, min(t, 300) - 1e-6, 2000)[:, None] * direction
        inside = (np.abs(before[:, :2]) < 128).all(axis=1)
        clearance = [z - ground_height(terrain.heights, ORIGIN, CELL, x, y) for x, y, z in before[inside]]
        assert min(clearance) > -1e-6
        if t < FAR:
            hits += 1
            x, y, z = origin + t * direction
            assert abs(z - ground_height(terrain.heights, ORIGIN, CELL, x, y)) < 1e-6
    assert hits > 150


def test_icosphere_is_closed_and_outward():
    vertices, faces = icosphere(2)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    assert (np.sum(np.cross(b - a, c - a) * (a + b + c), axis=1) > 0).all()
    assert len(vertices) - len(faces) * 3 // 2 + len(faces) == 2  # Euler
