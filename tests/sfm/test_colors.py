"""Keypoints have the colours of their places, whatever size the photo is read at."""

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.sfm import MatchGraph, colors
from geo3d.sfm.colors import keypoint_colors


@pytest.mark.parametrize("side", [1600, 100, 33])
def test_colours_are_those_of_the_places(tmp_path, monkeypatch, side):
    monkeypatch.setattr(colors, "_SIDE", side)
    y, x = np.mgrid[:60, :200]
    Image.fromarray(np.stack([x, 4 * y, 0 * x + 7], axis=2).astype(np.uint8)).save(tmp_path / "a.png")
    keypoints = np.random.default_rng(0).uniform([0, 0], [200, 60], (100, 2))
    keypoints[:2] = [[0, 0], [200, 60]]  # the corners too
    camera = Camera.from_focal("SIMPLE_PINHOLE", 200, 60, 200)
    graph = MatchGraph([1, 2], ["a.png", "gone.png"], [1, 1], {1: camera}, [keypoints, keypoints[:3]], [])
    found, grey = keypoint_colors(tmp_path, graph, np.array([0, 1]), threads=1)
    step = (
        0.5 + 200 / side / 2 if side < 200 else 1.0
    )  # a keypoint is at most so far from the middle of its pixel
    expected = np.column_stack([keypoints[:, 0] - 0.5, 4 * (keypoints[:, 1] - 0.5), np.full(100, 7)])
    assert (np.abs(found - expected) <= [step + 1, 4 * step + 1, 0.5]).all()
    np.testing.assert_array_equal(grey, np.full((3, 3), 128))
