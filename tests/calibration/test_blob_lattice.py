"""Scattered points of a lattice are put in order, whatever the view, their order, and what lies among them."""

import numpy as np
import pytest

from geo3d.calibration.blob_lattice import follow_lattice, match_grid

GRID = np.array([(x, y) for y in range(5) for x in range(7)])


def seen(rng):
    """The grid through a random homography and a bend, pixels."""
    turn = rng.uniform(0, 2 * np.pi)
    a = 40 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centred = GRID - GRID.mean(axis=0)
    x = centred @ a.T / (1 + centred @ rng.uniform(-0.06, 0.06, 2))[:, None]
    return x * (1 - 2e-6 * np.sum(x * x, axis=1, keepdims=True)) + 300


@pytest.mark.parametrize("seed", range(5))
def test_the_grid_is_put_in_order(seed):
    rng = np.random.default_rng(seed)
    pixels = seen(rng)
    shuffle = rng.permutation(len(pixels))
    clutter = rng.uniform(-200, 0, (4, 2))
    points = np.concatenate([pixels[shuffle], clutter])
    orders = match_grid(follow_lattice(points), GRID)
    assert len(orders) == 4  # two turns, each mirrored or not
    assert any((points[order] == pixels).all() for order in orders)


def test_some_points_may_be_missing():
    pixels = seen(np.random.default_rng(7))
    there = np.delete(np.arange(35), [3, 17, 24])
    orders = match_grid(follow_lattice(pixels[there]), GRID)
    wanted = np.full(35, -1)
    wanted[there] = np.arange(len(there))
    assert any((order == wanted).all() for order in orders)


def test_noise_is_no_lattice():
    points = np.random.default_rng(0).uniform(0, 500, (60, 2))
    assert match_grid(follow_lattice(points), GRID) == []
    assert match_grid(follow_lattice(points[:2]), GRID) == []
